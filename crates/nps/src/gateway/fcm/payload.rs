//! Messages for Android: `protocols/nps.md` 6. Pure.

use crate::gateway::{Push, expiry, shortened};
use crate::wire::{Event, Notification, Target};
use bytes::Bytes;
use openadp_appserver::epoch_millis;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Largest data payload, keys and values together, bytes.
const MAX_PAYLOAD: usize = 4096;
/// Names and numbers in a payload that had to be shortened, bytes.
const SHORT: usize = 64;
/// Longest time to live: 28 days, seconds.
const MAX_TTL: i64 = 28 * 24 * 3600;

/// The payload is too large even when short.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Builds the request body; `short` cuts names and leaves out the app's own parameters.
pub(super) fn build(push: Push<'_>, short: bool) -> Result<Bytes, TooLarge> {
    let Push { notification, target, now, .. } = push;
    let mut data = data(push, short);
    if size(&data) > MAX_PAYLOAD && !short {
        data = self::data(push, true);
    }
    if size(&data) > MAX_PAYLOAD {
        return Err(TooLarge);
    }
    let ttl = match notification.event {
        // Now or never (section 10, "Cancel").
        Event::CallEnded => 0,
        Event::CallUpdate
        | Event::MissedCall
        | Event::MobileCallInfo
        | Event::Mwi
        | Event::NewCall
        | Event::RingSplash => (expiry(notification, now) - now).whole_seconds().clamp(0, MAX_TTL),
    };
    let mut android = Map::new();
    let mut put = |name: &str, value: Value| android.insert(name.to_owned(), value);
    put("priority", if high(notification, target) { "HIGH" } else { "NORMAL" }.into());
    put("ttl", format!("{ttl}s").into());
    put("restricted_package_name", target.application_id.clone().into());
    put("data", json!(data));
    let message = json!({ "message": { "token": target.token, "android": android } });
    Ok(Bytes::from(message.to_string()))
}

/// HIGH only for what the user sees: others get demoted (section 6).
fn high(notification: &Notification, target: &Target) -> bool {
    match notification.event {
        Event::CallEnded => true,
        Event::MissedCall | Event::NewCall | Event::RingSplash => !target.silent,
        Event::CallUpdate | Event::MobileCallInfo | Event::Mwi => false,
    }
}

fn size(data: &BTreeMap<String, String>) -> usize {
    data.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Names that FCM refuses as keys of data.
fn reserved(name: &str) -> bool {
    matches!(name, "from" | "message_type") || name.starts_with("google.") || name.starts_with("gcm.")
}

fn data(push: Push<'_>, short: bool) -> BTreeMap<String, String> {
    let Push { notification, target, now, .. } = push;
    let mut data = BTreeMap::new();
    let mut put = |name: &str, value: String| drop(data.insert(name.to_owned(), value));
    put("v", "1".to_owned());
    if let Some(encryption) = &target.encryption {
        put("encKid", encryption.key_identifier.clone());
        put("encAlg", encryption.algorithm.clone());
        put("encChannel", encryption.channel.clone());
        put("encPayload", encryption.encrypted_payload.clone());
    } else {
        let most = if short { SHORT } else { usize::MAX };
        put("event", notification.event.name().to_owned());
        put("callId", notification.call_id.clone());
        put("seq", notification.seq.to_string());
        put("callerName", shortened(&notification.caller.name, most).to_owned());
        put("callerNumber", shortened(&notification.caller.number, most).to_owned());
        put("sentAt", epoch_millis(now).to_string());
        put("expiresAt", epoch_millis(expiry(notification, now)).to_string());
        if !notification.called.number.is_empty() {
            put("called", shortened(&notification.called.number, most).to_owned());
        }
        if !notification.media.is_empty() {
            put("media", notification.media.join(","));
        }
        if let Some(reason) = notification.reason {
            put("reason", reason.name().to_owned());
        }
        if let Some(number) = &notification.mobile_number {
            put("mobileNumber", number.clone());
        }
        if let Some(count) = notification.new_messages {
            put("newMessages", count.to_string());
        }
    }
    if !short {
        for (name, value) in target.params.app_data.iter().chain(&target.params.android) {
            if !reserved(name) {
                data.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    data
}
