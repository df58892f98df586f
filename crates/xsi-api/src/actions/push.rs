//! Push registrations (xsi.md 3.9).

use crate::api::{Call, MAX_ID, Outcome};
use crate::convert;
use crate::error::ApiError;
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver::{DeviceToken, PushRegistration, UserId};
use openadp_xsi_schema::{Document, PushNotificationRegistration};

/// Most tokens of one registration: VoIP and normal, with room to spare.
const MAX_TOKENS: usize = 8;
/// Most events of one token.
const MAX_EVENTS: usize = 32;
/// Most characters of a token of APNs or FCM.
const MAX_TOKEN: usize = 4096;

/// All registrations; POST adds one.
pub(super) async fn all(call: &Call<'_>, user: &UserId) -> Outcome {
    let push = &call.api.ports.push;
    match call.method {
        Method::Get => {
            let found = push.registrations(user).await?;
            Ok(Reply::document(200, convert::push_registrations(&found).to_element()))
        }
        Method::Post => {
            call.may_control()?;
            let registration = read(call)?;
            push.put_registration(user, &registration).await?;
            let location = format!(
                "/v2.0/user/{}/profile/PushNotificationRegistrations/{}",
                percent_encode(user.as_str()),
                percent_encode(&registration.registration_id)
            );
            let document = convert::push_registration(&registration).to_element();
            Ok(Reply::document(201, document).header("Location", location))
        }
        // Without an id in the path: by query (xsi.md 3.9 leaves both open).
        Method::Delete | Method::Put => {
            let id = call.query.get("registrationId").map(str::to_owned);
            match (id, call.method) {
                (Some(id), _) => one(call, user, &id).await,
                (None, Method::Put) => {
                    let id = read(call)?.registration_id;
                    one(call, user, &id).await
                }
                (None, _) => {
                    Err(ApiError::BadParameter { name: "registrationId", reason: "it is missing".to_owned() })
                }
            }
        }
    }
}

/// One registration.
pub(super) async fn one(call: &Call<'_>, user: &UserId, id: &str) -> Outcome {
    let push = &call.api.ports.push;
    match call.method {
        Method::Get => {
            let found = push.registrations(user).await?;
            let registration = found
                .iter()
                .find(|registration| registration.registration_id == id)
                .ok_or(ApiError::NotFound { what: "registration" })?;
            Ok(Reply::document(200, convert::push_registration(registration).to_element()))
        }
        Method::Put => {
            call.may_control()?;
            let registration = read(call)?;
            if registration.registration_id != id {
                return Err(ApiError::BadDocument { reason: "registrationId is another one".to_owned() });
            }
            push.put_registration(user, &registration).await?;
            Ok(Reply::empty(200))
        }
        Method::Delete => {
            call.may_control()?;
            push.remove_registration(user, id).await?;
            Ok(Reply::empty(200))
        }
        Method::Post => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET, PUT" }),
    }
}

fn read(call: &Call<'_>) -> Result<PushRegistration, ApiError> {
    let asked: PushNotificationRegistration = call.read()?;
    let bad = |reason: &str| ApiError::BadDocument { reason: reason.to_owned() };
    let tokens = asked.device_token_list.tokens;
    if asked.registration_id.is_empty() || asked.registration_id.chars().count() > MAX_ID {
        return Err(bad("registrationId is empty or too long"));
    }
    if tokens.is_empty() || tokens.len() > MAX_TOKENS {
        return Err(bad("deviceTokenList has no token or too many"));
    }
    let tokens = tokens
        .into_iter()
        .map(|token| {
            let details = token.events.details.into_iter().map(|detail| detail.name);
            let events: Vec<String> = token.events.events.into_iter().chain(details).collect();
            if token.token.is_empty() || token.token.len() > MAX_TOKEN || events.len() > MAX_EVENTS {
                return Err(bad("a deviceToken is empty, too long or has too many events"));
            }
            let kind = match token.kind.as_deref() {
                Some("VoIP") => "VoIP",
                None | Some("Normal") => "Normal",
                Some(_) => return Err(bad("type is neither VoIP nor Normal")),
            };
            Ok(DeviceToken { token: token.token, kind: kind.to_owned(), events })
        })
        .collect::<Result<_, _>>()?;
    Ok(PushRegistration {
        registration_id: asked.registration_id,
        application_id: asked.application_id,
        application_version: asked.application_version,
        device_os_type: asked.device_os_type,
        device_os_version: asked.device_os_version,
        tokens,
    })
}
