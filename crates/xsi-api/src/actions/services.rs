//! Services (xsi.md 3.2 and 3.3).

use super::{call_center, get_only};
use crate::api::{Call, Outcome};
use crate::error::ApiError;
use crate::services::{document, part_document, patch, record_document, record_patch};
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver::{PortError, RecordChange, Records, ServiceKind, Setting, UserId, Wish};
use openadp_xsi_schema::{Document, ServiceEntry, Services};

/// The services of the user.
pub(super) async fn list(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let path = format!("/v2.0/user/{}/services/", percent_encode(user.as_str()));
    let agent = match call.api.ports.call_centers.agent(user).await {
        Ok(_) => Some(call_center::SERVICE),
        Err(PortError::NotAssigned { .. }) => None,
        Err(error) => return Err(error.into()),
    };
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
        .chain(agent.map(|segment| ServiceEntry {
            name: call_center::NAME.to_owned(),
            uri: Some(format!("{path}{segment}")),
        }))
        .collect();
    Ok(Reply::document(200, Services { services }.to_element()))
}

fn kind_of(name: &str) -> Result<ServiceKind, ApiError> {
    ServiceKind::ALL
        .iter()
        .copied()
        .find(|kind| kind.spec().segment.eq_ignore_ascii_case(name))
        .ok_or(ApiError::ResourceNotFound)
}

/// One service: read it, or change what the document names.
pub(super) async fn one(call: &Call<'_>, user: &UserId, name: &str) -> Outcome {
    let kind = kind_of(name)?;
    let port = &call.api.ports.services;
    match call.method {
        Method::Get => Ok(Reply::document(200, document(user, &port.service(user, kind).await?.1))),
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

/// A part of a service, or the list that its records are added to.
pub(super) async fn below(call: &Call<'_>, user: &UserId, name: &str, segment: &str) -> Outcome {
    let kind = kind_of(name)?;
    let (spec, port) = (kind.spec(), &call.api.ports.services);
    if let Some(part) = spec.part().filter(|part| part.segment.eq_ignore_ascii_case(segment)) {
        let (_, service) = port.service(user, kind).await?;
        return match call.method {
            Method::Get => Ok(Reply::document(200, part_document(part, &service.settings))),
            Method::Put => {
                call.may_control()?;
                let asked = patch(part.root, part.members, call.document(part.root)?)?;
                port.change_service(user, kind, asked).await?;
                Ok(Reply::empty(200))
            }
            Method::Delete | Method::Post => Err(ApiError::MethodNotAllowed { allow: "GET, PUT" }),
        };
    }
    let (_, records) = records_of(kind, segment)?;
    if call.method != Method::Post {
        return Err(ApiError::MethodNotAllowed { allow: "POST" });
    }
    call.may_control()?;
    port.service(user, kind).await?;
    let asked = record_patch(records, call.document(records.root)?)?;
    let key = asked.iter().find_map(|(member, wish)| match wish {
        Wish::Set(Setting::Text(text)) if member.name == records.key => Some(text.clone()),
        _ => None,
    });
    let key = key.unwrap_or_default();
    port.change_record(user, kind, &key, RecordChange::Add(asked)).await?;
    let (user, key) = (percent_encode(user.as_str()), percent_encode(&key));
    let location = format!("/v2.0/user/{user}/services/{}/{}/{key}", spec.segment, records.segment);
    Ok(Reply::empty(201).header("Location", location))
}

fn records_of(kind: ServiceKind, segment: &str) -> Result<(&'static str, &'static Records), ApiError> {
    kind.spec()
        .records()
        .filter(|(_, records)| records.segment.eq_ignore_ascii_case(segment))
        .ok_or(ApiError::ResourceNotFound)
}

/// One record of a service. Numbers may come with `tel:`.
pub(super) async fn record(call: &Call<'_>, user: &UserId, name: &str, segment: &str, id: &str) -> Outcome {
    let kind = kind_of(name)?;
    let (member, records) = records_of(kind, segment)?;
    let port = &call.api.ports.services;
    let (_, service) = port.service(user, kind).await?;
    let entries = service.settings.entries(member);
    let keyed = |key: &str| entries.iter().find(|entry| entry.text(records.key) == Some(key));
    let bare = id.strip_prefix("tel:").unwrap_or(id);
    let entry = keyed(id).or_else(|| keyed(bare)).ok_or(ApiError::NotFound { what: records.what })?;
    let key = entry.text(records.key).unwrap_or_default();
    match call.method {
        Method::Get => Ok(Reply::document(200, record_document(records, entry))),
        Method::Put => {
            call.may_control()?;
            let asked = record_patch(records, call.document(records.root)?)?;
            port.change_record(user, kind, key, RecordChange::Change(asked)).await?;
            Ok(Reply::empty(200))
        }
        Method::Delete => {
            call.may_control()?;
            port.change_record(user, kind, key, RecordChange::Remove).await?;
            Ok(Reply::empty(200))
        }
        Method::Post => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET, PUT" }),
    }
}
