//! The message itself: known members only, as the real parser has it.

use super::error::Refusal;
use serde_json::{Map, Value};

/// Largest data payload, keys and values together, bytes.
const PAYLOAD: usize = 4096;
/// Longest time to live: 28 days.
const TTL: u64 = 28 * 24 * 3600;
/// Longest registration token taken.
const TOKEN: usize = 4096;

/// What is left to check of a message.
pub(super) struct Checked {
    pub(super) token: String,
}

/// Members of each object; camelCase and snake_case both, as in every Google API.
const TOP: &[&str] = &["message", "validateOnly", "validate_only"];
const MESSAGE: &[&str] = &[
    "name",
    "data",
    "notification",
    "android",
    "androidV2",
    "webpush",
    "apns",
    "fcmOptions",
    "fcm_options",
    "token",
    "topic",
    "condition",
    "fid",
];
const ANDROID: &[&str] = &[
    "collapseKey",
    "collapse_key",
    "priority",
    "ttl",
    "restrictedPackageName",
    "restricted_package_name",
    "data",
    "notification",
    "fcmOptions",
    "fcm_options",
    "directBootOk",
    "direct_boot_ok",
    "bandwidthConstrainedOk",
    "bandwidth_constrained_ok",
    "restrictedSatelliteOk",
    "restricted_satellite_ok",
];

/// Whether a made-up registration token looks like one.
pub(super) fn well_formed(token: &str) -> bool {
    (20..=TOKEN).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.'))
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| Refusal::bad_request(at, format!("Invalid value at '{at}' (type object)")))
}

fn known(map: &Map<String, Value>, members: &[&str], at: &str) -> Result<(), Refusal> {
    match map.keys().find(|name| !members.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
            Err(Refusal::bad_request(
                at,
                format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."),
            ))
        }
    }
}

/// Checks the body of a send request.
pub(super) fn check(body: &Value) -> Result<Checked, Refusal> {
    let top = object(body, "")?;
    known(top, TOP, "")?;
    let message = object(top.get("message").unwrap_or(&Value::Null), "message")?;
    known(message, MESSAGE, "message")?;
    let mut size = 0;
    if let Some(data) = message.get("data") {
        size += check_data(data, "message.data")?;
    }
    if let Some(android) = message.get("android") {
        let android = object(android, "message.android")?;
        known(android, ANDROID, "message.android")?;
        check_android(android)?;
        if let Some(data) = android.get("data") {
            size += check_data(data, "message.android.data")?;
        }
    }
    if size > PAYLOAD {
        return Err(Refusal::too_big());
    }
    let targets =
        ["token", "topic", "condition", "fid"].iter().filter(|name| message.contains_key(**name)).count();
    match (targets, message.get("token")) {
        (1, Some(Value::String(token))) => Ok(Checked { token: token.clone() }),
        (0, _) => Err(Refusal::bad_request("message", "Recipient of the message is not set.")),
        (1, Some(_)) => {
            Err(Refusal::bad_request("message.token", "Invalid value at 'message.token' (TYPE_STRING)"))
        }
        // Nobody of ours sends to topics or installations; said plainly rather than pretended.
        (1, None) => Err(Refusal::bad_request("message", "This stand-in takes messages to tokens only.")),
        _ => Err(Refusal::bad_request(
            "message",
            "Invalid value at 'message' (oneof), oneof field 'target' is already set.",
        )),
    }
}

fn check_android(android: &Map<String, Value>) -> Result<(), Refusal> {
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| android.get(*name).map(|value| ((*name).to_owned(), value)))
    };
    for names in [["collapseKey", "collapse_key"], ["restrictedPackageName", "restricted_package_name"]] {
        if let Some((name, value)) = text(names)
            && !value.is_string()
        {
            let at = format!("message.android.{name}");
            return Err(Refusal::bad_request(at.clone(), format!("Invalid value at '{at}' (TYPE_STRING)")));
        }
    }
    if let Some(priority) = android.get("priority")
        && !matches!(priority.as_str(), Some("NORMAL" | "HIGH" | "normal" | "high"))
    {
        return Err(Refusal::bad_request(
            "message.android.priority",
            format!(
                "Invalid value at 'message.android.priority' (type.googleapis.com/google.firebase.fcm.v1.AndroidConfig.AndroidMessagePriority), {priority}"
            ),
        ));
    }
    if let Some(ttl) = android.get("ttl")
        && !ttl.as_str().is_some_and(good_ttl)
    {
        return Err(Refusal::bad_request(
            "message.android.ttl",
            "Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration), Field 'ttl', Illegal duration format; duration must end with 's'",
        ));
    }
    Ok(())
}

/// `35s`, `3.5s`; at most 28 days.
fn good_ttl(ttl: &str) -> bool {
    let Some(number) = ttl.strip_suffix('s') else { return false };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && fraction.len() <= 9
        && whole.parse::<u64>().is_ok_and(|seconds| seconds <= TTL)
}

/// Checks keys and values; gives their size in bytes.
fn check_data(data: &Value, at: &str) -> Result<usize, Refusal> {
    let mut size = 0;
    for (key, value) in object(data, at)? {
        let Some(value) = value.as_str() else {
            let member = format!("{at}['{key}']");
            return Err(Refusal::bad_request(
                member.clone(),
                format!("Invalid value at '{member}' (TYPE_STRING), {value}"),
            ));
        };
        if key.is_empty()
            || matches!(key.as_str(), "from" | "message_type")
            || key.starts_with("google.")
            || key.starts_with("gcm.")
        {
            return Err(Refusal::bad_request(at, format!("Invalid data payload key: {key}")));
        }
        size += key.len() + value.len();
    }
    Ok(size)
}
