//! Headers and payloads for Apple: the table and the payloads of `protocols/nps.md` 7. Pure.
//!
//! A VoIP push must lead to a call that the app reports, or the system stops waking it: so only `NEW_CALL` goes to VoIP
//! tokens, and a call's end never does (section 14, "Apps killed").

use crate::gateway::{Push, expiry, shortened};
use crate::wire::{EndReason, Event, Notification, Target, TokenType};
use bytes::Bytes;
use openadp_appserver::epoch_millis;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Largest payload of a VoIP push, bytes.
const MAX_VOIP: usize = 5120;
/// Largest payload of other pushes, bytes.
const MAX_PAYLOAD: usize = 4096;
/// Names and numbers in a payload that had to be shortened, bytes.
const SHORT: usize = 64;
/// With less time left than this, Apple tries once and stores nothing, seconds (section 7).
const STORE_ABOVE: i64 = 2;

/// Namespace of our version 5 ids; made once, at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b8f_3c1e_9a47_4d02_8e6b_d1f0_72c4_a935);

/// A push, ready to send.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) push_type: &'static str,
    pub(super) priority: &'static str,
    /// UNIX seconds.
    pub(super) expiration: i64,
    pub(super) collapse_id: Option<String>,
    pub(super) id: Uuid,
    pub(super) body: Bytes,
}

/// Why there is nothing to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skip {
    NotForToken(&'static str),
    TooLarge,
}

/// What the phone does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Voip,
    /// `loc-key` of the text.
    Alert(&'static str),
    Background,
}

fn kind(notification: &Notification, target: &Target) -> Result<Kind, Skip> {
    if target.token_type == TokenType::Voip {
        return match notification.event {
            Event::NewCall => Ok(Kind::Voip),
            Event::CallEnded
            | Event::CallUpdate
            | Event::MissedCall
            | Event::MobileCallInfo
            | Event::Mwi
            | Event::RingSplash => Err(Skip::NotForToken("only NEW_CALL is sent to VoIP tokens")),
        };
    }
    if target.silent {
        return Ok(Kind::Background);
    }
    Ok(match notification.event {
        Event::NewCall => Kind::Alert("INCOMING_CALL_FROM"),
        Event::MissedCall => Kind::Alert("MISSED_CALL_FROM"),
        Event::CallEnded => match notification.reason {
            Some(EndReason::Cancelled | EndReason::Missed) => Kind::Alert("MISSED_CALL_FROM"),
            Some(EndReason::AnsweredElsewhere | EndReason::Failed | EndReason::Rejected) | None => {
                Kind::Background
            }
        },
        Event::Mwi => Kind::Alert("NEW_VOICE_MESSAGES"),
        Event::RingSplash => Kind::Alert("RING_SPLASH_FROM"),
        Event::CallUpdate | Event::MobileCallInfo => Kind::Background,
    })
}

/// `c-` and a hash of the call: what belongs to one call replaces what it showed before. Stays below 64 bytes.
fn collapse_id(notification: &Notification) -> String {
    let of = if notification.call_id.is_empty() { &notification.user_id } else { &notification.call_id };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of.as_bytes());
    let digits = digest.as_ref().iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]);
    "c-".chars().chain(digits.filter_map(|digit| char::from_digit(digit.into(), 16))).collect()
}

/// Builds the push; `short` cuts names and leaves out the app's own parameters.
///
/// # Errors
/// The event is not sent to such a token, or the payload is too large even when short.
pub(super) fn build(push: Push<'_>, short: bool) -> Result<Message, Skip> {
    let Push { notification, target, now, .. } = push;
    let kind = kind(notification, target)?;
    let limit = if kind == Kind::Voip { MAX_VOIP } else { MAX_PAYLOAD };
    let mut body = payload(push, kind, short).to_string();
    if body.len() > limit && !short {
        body = payload(push, kind, true).to_string();
    }
    if body.len() > limit {
        return Err(Skip::TooLarge);
    }
    let expires = expiry(notification, now);
    let left = (expires - now).whole_seconds();
    let expiration = match kind {
        Kind::Voip if left < STORE_ABOVE => 0,
        Kind::Background => 0,
        Kind::Voip | Kind::Alert(_) => expires.unix_timestamp(),
    };
    let (push_type, priority) = match kind {
        Kind::Voip => ("voip", "10"),
        Kind::Alert(_) if notification.event == Event::Mwi => ("alert", "5"),
        Kind::Alert(_) => ("alert", "10"),
        Kind::Background => ("background", "5"),
    };
    let topic = match kind {
        Kind::Voip => format!("{}.voip", target.application_id),
        Kind::Alert(_) | Kind::Background => target.application_id.clone(),
    };
    let name = format!("{}\n{}\n{}", notification.id, target.registration_id, target.token);
    Ok(Message {
        topic,
        push_type,
        priority,
        expiration,
        collapse_id: (kind != Kind::Voip).then(|| collapse_id(notification)),
        id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
        body: Bytes::from(body),
    })
}

fn payload(push: Push<'_>, kind: Kind, short: bool) -> Value {
    let Push { notification, target, .. } = push;
    let most = if short { SHORT } else { usize::MAX };
    let mut aps = match kind {
        Kind::Voip => Map::new(),
        Kind::Background => object(json!({ "content-available": 1 })),
        Kind::Alert(loc_key) => {
            let caller = &notification.caller;
            let shown = if caller.name.is_empty() { &caller.number } else { &caller.name };
            let mut alert = object(json!({ "loc-key": loc_key }));
            if target.encryption.is_none() {
                let argument = match notification.event {
                    Event::Mwi => notification.new_messages.unwrap_or_default().to_string(),
                    Event::CallEnded
                    | Event::CallUpdate
                    | Event::MissedCall
                    | Event::MobileCallInfo
                    | Event::NewCall
                    | Event::RingSplash => shortened(shown, most).to_owned(),
                };
                alert.insert("loc-args".to_owned(), json!([argument]));
            }
            object(json!({
                "alert": alert,
                "sound": "default",
                "mutable-content": u8::from(target.mutable_content || target.encryption.is_some()),
                "thread-id": if notification.event == Event::Mwi { "messages" } else { "calls" },
            }))
        }
    };
    let mut own = match &target.encryption {
        Some(encryption) => object(json!({
            "v": 1,
            "enc": {
                "kid": encryption.key_identifier,
                "alg": encryption.algorithm,
                "channel": encryption.channel,
                "payload": encryption.encrypted_payload,
            },
        })),
        None => plain(push, kind, most),
    };
    if !short {
        add(&mut aps, &target.params.ios);
        add(&mut own, &target.params.app_data);
    }
    json!({ "aps": aps, "bw": own })
}

fn plain(push: Push<'_>, kind: Kind, most: usize) -> Map<String, Value> {
    let Push { notification, now, .. } = push;
    let mut own = object(json!({
        "v": 1,
        "event": notification.event.name(),
        "callId": notification.call_id,
        "seq": notification.seq,
        "sentAt": epoch_millis(now),
        "expiresAt": epoch_millis(expiry(notification, now)),
    }));
    let mut put = |name: &str, value: Value| own.insert(name.to_owned(), value);
    if !notification.caller.name.is_empty() {
        put("name", shortened(&notification.caller.name, most).into());
    }
    if !notification.caller.number.is_empty() {
        put("number", shortened(&notification.caller.number, most).into());
    }
    if !notification.called.number.is_empty() {
        put("called", shortened(&notification.called.number, most).into());
    }
    if !notification.media.is_empty() {
        put("media", notification.media.clone().into());
    }
    if let Some(reason) = notification.reason {
        put("reason", reason.name().into());
    }
    if let Some(number) = &notification.mobile_number {
        put("mobileNumber", number.clone().into());
    }
    if let Some(count) = notification.new_messages {
        put("newMessages", count.into());
    }
    if kind == Kind::Voip {
        // What CallKit names the call by: the same for every push of this call to this user.
        let name = format!("{}\n{}", notification.call_id, notification.user_id);
        put("uuid", Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string().into());
    }
    own
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Merges an app's parameters; what is ours cannot be overwritten.
fn add(map: &mut Map<String, Value>, params: &std::collections::BTreeMap<String, String>) {
    for (name, value) in params {
        map.entry(name.clone()).or_insert_with(|| value.clone().into());
    }
}
