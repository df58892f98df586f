//! Calls (xsi.md 3.6).

use super::get_only;
use crate::api::{Call, MAX_ID, Outcome};
use crate::convert;
use crate::error::ApiError;
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver::{CallAction, CallId, DialOptions, UserId};
use openadp_xsi_schema::{CallReference, CallStartInfo, Calls, Document, HookStatus};

/// Most characters of an address to dial; SIP addresses are the longest.
const MAX_ADDRESS: usize = 161;
/// Most characters of a client's free text.
const MAX_INFO: usize = 1024;

fn post_or_put(call: &Call<'_>, allow: &'static str) -> Result<(), ApiError> {
    let allowed = match allow {
        "POST" => call.method == Method::Post,
        // Some clients POST the actions.
        _ => matches!(call.method, Method::Put | Method::Post),
    };
    if allowed { Ok(()) } else { Err(ApiError::MethodNotAllowed { allow }) }
}

fn call_id(text: &str) -> Result<CallId, ApiError> {
    if text.len() > MAX_ID {
        return Err(ApiError::NotFound { what: "call" });
    }
    Ok(CallId(text.to_owned()))
}

/// The address of a query: `tel:` is optional (xsi.md 1.4).
fn address(call: &Call<'_>, names: &[&'static str]) -> Result<String, ApiError> {
    let missing = || ApiError::BadParameter { name: "address", reason: "it is missing".to_owned() };
    let text = names.iter().find_map(|name| call.query.get(name)).ok_or_else(missing)?.trim();
    let number = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => text.get(4..).unwrap_or_default(),
        _ => text,
    };
    if number.is_empty() {
        return Err(missing());
    }
    if number.len() > MAX_ADDRESS {
        return Err(ApiError::BadParameter { name: "address", reason: "it is too long".to_owned() });
    }
    Ok(number.to_owned())
}

/// The user's calls.
pub(super) async fn list(call: &Call<'_>, user: &UserId, shown: &str) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.calls.overview(user).await?;
    let calls = found
        .calls
        .into_iter()
        .map(|half| CallReference {
            in_conference: false,
            uri: Some(format!("/v2.0/user/{}/calls/{}", percent_encode(shown), half.id.0)),
            call_id: half.id.0,
        })
        .collect();
    Ok(Reply::document(200, Calls { calls }.to_element()))
}

/// Starts a call.
pub(super) async fn dial(call: &Call<'_>, user: &UserId) -> Outcome {
    post_or_put(call, "POST")?;
    call.may_control()?;
    let address = address(call, &["address"])?;
    let info = call.query.get("info").map(|text| text.chars().take(MAX_INFO).collect());
    let follows = call.api.actions.load().enable_call_correlation_id;
    let correlation_id = openadp_appserver::request_id::current().filter(|_| follows);
    let options = DialOptions { info, correlation_id };
    let started = call.api.ports.calls.dial(user, &address, &options).await?;
    let document =
        CallStartInfo { call_id: started.call_id.0, external_tracking_id: started.external_tracking_id };
    Ok(Reply::document(201, document.to_element()))
}

/// Reads or releases a call.
pub(super) async fn one(call: &Call<'_>, user: &UserId, id: &str) -> Outcome {
    let id = call_id(id)?;
    match call.method {
        Method::Get => {
            let found = call.api.ports.calls.call(user, &id).await?;
            Ok(Reply::document(200, convert::call(&found).to_element()))
        }
        Method::Delete => {
            let decline = call.query.flag("decline").unwrap_or(false);
            act_on(call, user, &id, &if decline { CallAction::Decline } else { CallAction::Release }).await
        }
        Method::Post | Method::Put => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET" }),
    }
}

/// Talk, Hold, Reconnect, BlindTransfer.
pub(super) async fn act(call: &Call<'_>, user: &UserId, id: &str, action: &str) -> Outcome {
    if !matches!(action, "blindtransfer" | "hold" | "reconnect" | "talk") {
        return Err(ApiError::ResourceNotFound);
    }
    post_or_put(call, "PUT")?;
    let action = match action {
        "blindtransfer" => CallAction::BlindTransfer { address: address(call, &["address", "phoneno"])? },
        "hold" => CallAction::Hold,
        "reconnect" => CallAction::Reconnect,
        _ => CallAction::Talk,
    };
    act_on(call, user, &call_id(id)?, &action).await
}

/// Connects the other parties of two calls.
pub(super) async fn consult_transfer(call: &Call<'_>, user: &UserId, id: &str, other: &str) -> Outcome {
    post_or_put(call, "PUT")?;
    let action = CallAction::ConsultTransfer { other: call_id(other)? };
    act_on(call, user, &call_id(id)?, &action).await
}

async fn act_on(call: &Call<'_>, user: &UserId, id: &CallId, action: &CallAction) -> Outcome {
    call.may_control()?;
    call.api.ports.calls.act(user, id, action).await?;
    Ok(Reply::empty(200))
}

/// Whether the user has a call up.
pub(super) async fn hook_status(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.calls.overview(user).await?;
    let document = HookStatus { hook_status: convert::hook(found.hook_status) };
    Ok(Reply::document(200, document.to_element()))
}
