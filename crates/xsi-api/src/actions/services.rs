//! Services (xsi.md 3.2 and 3.3).

use super::get_only;
use crate::api::{Call, Outcome};
use crate::convert;
use crate::error::ApiError;
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver as port;
use openadp_appserver::{ServiceKind, UserId};
use openadp_xsi_schema as wire;
use openadp_xsi_schema::{Address, Document, Patch, ServiceDocument, ServiceEntry, Services};

/// The segment of a service: its name without blanks (xsi.md 3.2).
fn segment(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::CallForwardingAlways => "CallForwardingAlways",
        ServiceKind::CallForwardingBusy => "CallForwardingBusy",
        ServiceKind::CallForwardingNoAnswer => "CallForwardingNoAnswer",
        ServiceKind::DoNotDisturb => "DoNotDisturb",
    }
}

/// The services of the user.
pub(super) async fn list(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let services = call
        .api
        .ports
        .services
        .assigned(user)
        .await?
        .into_iter()
        .map(|kind| ServiceEntry {
            name: kind.display_name().to_owned(),
            uri: Some(format!("/v2.0/user/{}/services/{}", percent_encode(user.as_str()), segment(kind))),
        })
        .collect();
    Ok(Reply::document(200, Services { services }.to_element()))
}

/// One service: read it, or change what the document names.
pub(super) async fn one(call: &Call<'_>, user: &UserId, name: &str) -> Outcome {
    let kind = ServiceKind::ALL
        .into_iter()
        .find(|kind| segment(*kind).eq_ignore_ascii_case(name))
        .ok_or(ApiError::ResourceNotFound)?;
    match call.method {
        Method::Get => {
            let (_, found) = call.api.ports.services.service(user, kind).await?;
            let element = match convert::service(&found) {
                ServiceDocument::CallForwardingAlways(document) => document.to_element(),
                ServiceDocument::CallForwardingBusy(document) => document.to_element(),
                ServiceDocument::CallForwardingNoAnswer(document) => document.to_element(),
                ServiceDocument::DoNotDisturb(document) => document.to_element(),
            };
            Ok(Reply::document(200, element))
        }
        Method::Put => {
            call.may_control()?;
            let (_, stored) = call.api.ports.services.service(user, kind).await?;
            let changed = change(call, stored)?;
            call.api.ports.services.set_service(user, changed).await?;
            Ok(Reply::empty(200))
        }
        Method::Delete | Method::Post => Err(ApiError::MethodNotAllowed { allow: "GET, PUT" }),
    }
}

/// Most characters of a number to forward to; SIP addresses are the longest.
const MAX_NUMBER: usize = 161;

fn forward(patch: Patch<Address>, stored: &mut Option<String>) -> Result<(), ApiError> {
    let patch = match patch {
        Patch::Unchanged => Patch::Unchanged,
        Patch::Clear => Patch::Clear,
        Patch::Set(address) => {
            let number = address.without_scheme().trim().to_owned();
            if number.len() > MAX_NUMBER {
                return Err(ApiError::BadDocument { reason: "forwardToPhoneNumber is too long".to_owned() });
            }
            Patch::Set(number)
        }
    };
    patch.apply(stored);
    Ok(())
}

fn change(call: &Call<'_>, stored: port::Service) -> Result<port::Service, ApiError> {
    Ok(match stored {
        port::Service::CallForwardingAlways(mut service) => {
            let asked: wire::CallForwardingAlways = call.read()?;
            service.active = asked.active.unwrap_or(service.active);
            service.ring_splash = asked.ring_splash.unwrap_or(service.ring_splash);
            forward(asked.forward_to_phone_number, &mut service.forward_to)?;
            port::Service::CallForwardingAlways(service)
        }
        port::Service::CallForwardingBusy(mut service) => {
            let asked: wire::CallForwardingBusy = call.read()?;
            service.active = asked.active.unwrap_or(service.active);
            forward(asked.forward_to_phone_number, &mut service.forward_to)?;
            port::Service::CallForwardingBusy(service)
        }
        port::Service::CallForwardingNoAnswer(mut service) => {
            let asked: wire::CallForwardingNoAnswer = call.read()?;
            service.active = asked.active.unwrap_or(service.active);
            service.number_of_rings = asked.number_of_rings.unwrap_or(service.number_of_rings);
            if service.number_of_rings == 1 || service.number_of_rings > 20 {
                return Err(ApiError::BadDocument {
                    reason: "numberOfRings is neither 0 nor 2 to 20".to_owned(),
                });
            }
            forward(asked.forward_to_phone_number, &mut service.forward_to)?;
            port::Service::CallForwardingNoAnswer(service)
        }
        port::Service::DoNotDisturb(mut service) => {
            let asked: wire::DoNotDisturb = call.read()?;
            service.active = asked.active.unwrap_or(service.active);
            service.ring_splash = asked.ring_splash.unwrap_or(service.ring_splash);
            port::Service::DoNotDisturb(service)
        }
    })
}
