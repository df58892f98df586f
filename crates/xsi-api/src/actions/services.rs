//! Services (xsi.md 3.2 and 3.3).

use super::get_only;
use crate::api::{Call, Outcome};
use crate::error::ApiError;
use crate::services::{document, patch};
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver::{ServiceKind, UserId};
use openadp_xsi_schema::{Document, ServiceEntry, Services};

/// The services of the user.
pub(super) async fn list(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let path = format!("/v2.0/user/{}/services/", percent_encode(user.as_str()));
    let services = call
        .api
        .ports
        .services
        .assigned(user)
        .await?
        .into_iter()
        .map(|kind| ServiceEntry {
            name: kind.display_name().to_owned(),
            uri: Some(format!("{path}{}", kind.spec().segment)),
        })
        .collect();
    Ok(Reply::document(200, Services { services }.to_element()))
}

/// One service: read it, or change what the document names.
pub(super) async fn one(call: &Call<'_>, user: &UserId, name: &str) -> Outcome {
    let kind = ServiceKind::ALL
        .iter()
        .copied()
        .find(|kind| kind.spec().segment.eq_ignore_ascii_case(name))
        .ok_or(ApiError::ResourceNotFound)?;
    let port = &call.api.ports.services;
    match call.method {
        Method::Get => Ok(Reply::document(200, document(&port.service(user, kind).await?.1))),
        Method::Put => {
            call.may_control()?;
            // Who does not have the service is told so, whatever was sent.
            port.service(user, kind).await?;
            let spec = kind.spec();
            let asked = patch(spec.segment, spec.members, call.document(spec.segment)?)?;
            port.change_service(user, kind, asked).await?;
            Ok(Reply::empty(200))
        }
        Method::Delete | Method::Post => Err(ApiError::MethodNotAllowed { allow: "GET, PUT" }),
    }
}
