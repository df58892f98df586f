//! Calls (xsi.md 3.6).

use super::get_only;
use crate::api::{Call, MAX_ID, Outcome};
use crate::convert;
use crate::error::ApiError;
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver::{CallAction, CallId, DialLocation, DialOptions, PickUp, UserId};
use openadp_xsi_schema::{CallReference, CallStartInfo, Calls, Document, HookStatus};

/// Most characters of an address to dial; SIP addresses are the longest.
const MAX_ADDRESS: usize = 161;
/// Most digits that are sent at once.
const MAX_DIGITS: usize = 64;
/// Most characters of a client's free text.
const MAX_INFO: usize = 1024;

pub(super) fn post_or_put(call: &Call<'_>, allow: &'static str) -> Result<(), ApiError> {
    let allowed = match allow {
        "POST" => call.method == Method::Post,
        // Some clients POST the actions.
        _ => matches!(call.method, Method::Put | Method::Post),
    };
    if allowed { Ok(()) } else { Err(ApiError::MethodNotAllowed { allow }) }
}

pub(super) fn call_id(text: &str) -> Result<CallId, ApiError> {
    if text.len() > MAX_ID {
        return Err(ApiError::NotFound { what: "call" });
    }
    Ok(CallId(text.to_owned()))
}

/// The address of a query: `tel:` is optional (xsi.md 1.4).
fn address(call: &Call<'_>, names: &[&'static str]) -> Result<String, ApiError> {
    let missing = || ApiError::BadParameter { name: "address", reason: "it is missing".to_owned() };
    let text = names.iter().find_map(|name| call.query.get(name)).ok_or_else(missing)?;
    checked(text)
}

/// The address of a query that may lack it.
fn maybe_address(call: &Call<'_>, name: &str) -> Result<Option<String>, ApiError> {
    call.query.get(name).filter(|text| !text.trim().is_empty()).map(checked).transpose()
}

fn checked(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let missing = || ApiError::BadParameter { name: "address", reason: "it is missing".to_owned() };
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
            in_conference: half.in_conference,
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
    let location = match call.query.get("location").map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => DialLocation::Usual,
        Some("all") => DialLocation::All,
        Some("primary") => DialLocation::Primary,
        Some("broadworksanywhere") => DialLocation::BroadWorksAnywhere,
        Some("flexibleseatingguest") => {
            return Err(ApiError::NotAssigned { service: "Flexible Seating Guest" });
        }
        Some("mobility") => DialLocation::Mobility,
        Some("sharedcallappearance") => {
            return Err(ApiError::NotAssigned { service: "Shared Call Appearance" });
        }
        Some(_) => {
            let reason = "it is none of its values".to_owned();
            return Err(ApiError::BadParameter { name: "location", reason });
        }
    };
    let location_address = maybe_address(call, "locationAddress")?;
    let options = DialOptions { info, correlation_id, location, location_address };
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

/// What can be done with one call, by the last segment of its URI.
pub(super) async fn act(call: &Call<'_>, user: &UserId, id: &str, action: &str) -> Outcome {
    let names: &[&'static str] = &["address", "phoneno"];
    let to = || address(call, names);
    let action = match action {
        "blindtransfer" => Asked::To(|address| CallAction::BlindTransfer { address }),
        // The transferred party hears nothing of it either way: there is no media here.
        "mutetransfer" => Asked::To(|address| CallAction::BlindTransfer { address }),
        "deflect" => Asked::To(|address| CallAction::Deflect { address }),
        "vmtransfer" => Asked::Maybe(|address| CallAction::VmTransfer { address }),
        "park" => Asked::Maybe(|address| CallAction::Park { address }),
        "groupcallpark" => Asked::Plain(CallAction::GroupPark),
        "hold" => Asked::Plain(CallAction::Hold),
        "reconnect" => Asked::Plain(CallAction::Reconnect),
        "talk" => Asked::Plain(CallAction::Talk),
        "record" => Asked::Plain(CallAction::Record),
        "stoprecording" => Asked::Plain(CallAction::StopRecording),
        "pauserecording" => Asked::Plain(CallAction::PauseRecording),
        "resumerecording" => Asked::Plain(CallAction::ResumeRecording),
        "transmitdtmf" => Asked::Digits,
        _ => return Err(ApiError::ResourceNotFound),
    };
    post_or_put(call, "PUT")?;
    let action = match action {
        Asked::To(make) => make(to()?),
        Asked::Maybe(make) => make(maybe_address(call, "address")?),
        Asked::Plain(action) => action,
        Asked::Digits => CallAction::Dtmf { digits: digits(call)? },
    };
    act_on(call, user, &call_id(id)?, &action).await
}

/// What an action takes.
enum Asked {
    /// An address.
    To(fn(String) -> CallAction),
    /// An address, or none.
    Maybe(fn(Option<String>) -> CallAction),
    /// Digits.
    Digits,
    /// Nothing.
    Plain(CallAction),
}

/// Digits to be sent: of the query, or of a document (xsi.md 3.6).
fn digits(call: &Call<'_>) -> Result<String, ApiError> {
    let bad = |reason: &str| ApiError::BadParameter { name: "playdtmf", reason: reason.to_owned() };
    let written = call.document.and_then(|document| document.child_text("dtmfToTransmit"));
    let text = call.query.get("playdtmf").or(written).ok_or_else(|| bad("it is missing"))?;
    let digits = text.trim().to_ascii_uppercase();
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return Err(bad("it is empty or too long"));
    }
    if !digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'A'..=b'D' | b'*' | b'#' | b',')) {
        return Err(bad("it has something else than digits, A to D, *, # and commas"));
    }
    Ok(digits)
}

/// Takes a call of others: a parked one, one that rings in the group.
pub(super) async fn pick_up(call: &Call<'_>, user: &UserId, what: &str) -> Outcome {
    post_or_put(call, "POST, PUT")?;
    call.may_control()?;
    let names: &[&'static str] = &["address", "phoneno"];
    let what = match what {
        "callparkretrieve" => {
            // Without an address: what is parked against the user.
            let address = maybe_address(call, "address")?.unwrap_or_else(|| user.to_string());
            PickUp::Parked { address }
        }
        "directedcallpickup" => PickUp::Directed { address: address(call, names)? },
        _ => PickUp::Group,
    };
    let started = call.api.ports.calls.pick_up(user, &what).await?;
    let document =
        CallStartInfo { call_id: started.call_id.0, external_tracking_id: started.external_tracking_id };
    Ok(Reply::document(201, document.to_element()))
}

/// Connects the other parties of two calls.
pub(super) async fn consult_transfer(call: &Call<'_>, user: &UserId, id: &str, other: &str) -> Outcome {
    post_or_put(call, "PUT")?;
    let action = CallAction::ConsultTransfer { other: call_id(other)? };
    act_on(call, user, &call_id(id)?, &action).await
}

async fn act_on(call: &Call<'_>, user: &UserId, id: &CallId, action: &CallAction) -> Outcome {
    call.may_control()?;
    let parked = call.api.ports.calls.act(user, id, action).await?;
    let reply = Reply::empty(200);
    // Clients take what follows the last colon (xsi.md 3.6).
    Ok(match parked {
        Some(against) => {
            let at = convert::address(&against).uri;
            let user = percent_encode(user.as_str());
            reply.header("Content-Location", format!("/v2.0/user/{user}/calls/CallParkRetrieve?address={at}"))
        }
        None => reply,
    })
}

/// Whether the user has a call up.
pub(super) async fn hook_status(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.calls.overview(user).await?;
    let document = HookStatus { hook_status: convert::hook(found.hook_status) };
    Ok(Reply::document(200, document.to_element()))
}
