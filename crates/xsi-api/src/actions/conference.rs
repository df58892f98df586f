//! Conferences (xsi.md 3.6).

use super::calls::{call_id, post_or_put};
use crate::api::{Call, Outcome};
use crate::convert;
use crate::error::ApiError;
use crate::{Method, Reply};
use openadp_appserver::{ConferenceAction, UserId};
use openadp_xsi_schema::{Conference, Document as _};

async fn confer(call: &Call<'_>, user: &UserId, action: &ConferenceAction) -> Result<(), ApiError> {
    call.may_control()?;
    Ok(call.api.ports.calls.confer(user, action).await?)
}

/// The conference: read it, make it of two calls, end it with all its calls.
pub(super) async fn all(call: &Call<'_>, user: &UserId) -> Outcome {
    match call.method {
        Method::Get => {
            let found = call.api.ports.calls.conference(user).await?;
            Ok(Reply::document(200, convert::conference(&found).to_element()))
        }
        Method::Post => {
            let asked: Conference = call.read()?;
            let [one, two] = asked.participants.participants.as_slice() else {
                let reason = "a conference begins with two calls".to_owned();
                return Err(ApiError::BadDocument { reason });
            };
            let action = ConferenceAction::Start(call_id(&one.call_id)?, call_id(&two.call_id)?);
            confer(call, user, &action).await?;
            let location =
                format!("/v2.0/user/{}/calls/Conference", crate::text::percent_encode(user.as_str()));
            Ok(Reply::empty(201).header("Location", location))
        }
        Method::Delete => {
            confer(call, user, &ConferenceAction::Release).await?;
            Ok(Reply::empty(200))
        }
        Method::Put => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET, POST" }),
    }
}

/// Hold, Talk, Mute, `UnMute`.
pub(super) async fn act(call: &Call<'_>, user: &UserId, part: &str) -> Outcome {
    post_or_put(call, "PUT")?;
    let action = match part {
        "hold" => ConferenceAction::Hold,
        "talk" => ConferenceAction::Talk,
        part => ConferenceAction::Mute(part == "mute"),
    };
    confer(call, user, &action).await?;
    Ok(Reply::empty(200))
}

/// Adds a call, or releases one of the conference.
pub(super) async fn one(call: &Call<'_>, user: &UserId, id: &str) -> Outcome {
    let id = call_id(id)?;
    let action = match call.method {
        Method::Put | Method::Post => ConferenceAction::Add(id),
        Method::Delete => ConferenceAction::Drop(id),
        Method::Get => return Err(ApiError::MethodNotAllowed { allow: "DELETE, PUT" }),
    };
    confer(call, user, &action).await?;
    Ok(Reply::empty(200))
}

/// Mute, `UnMute`, Deaf, `UnDeaf` of one call.
pub(super) async fn act_on_call(call: &Call<'_>, user: &UserId, id: &str, part: &str) -> Outcome {
    let id = call_id(id)?;
    let action = match part {
        "deaf" | "undeaf" => ConferenceAction::DeafenCall(id, part == "deaf"),
        "mute" | "unmute" => ConferenceAction::MuteCall(id, part == "mute"),
        _ => return Err(ApiError::ResourceNotFound),
    };
    post_or_put(call, "PUT")?;
    confer(call, user, &action).await?;
    Ok(Reply::empty(200))
}
