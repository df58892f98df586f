//! Apple Push Notification service: `POST /3/device/<token>` over HTTP/2 with a provider token.
//!
//! Checks in this order: method and path, duplicate headers, provider token, topic, push type, priority, expiration,
//! ids, payload, device token. Statuses and reasons are those of `protocols/nps.md` sections 7 and 11.
//!
//! The real server announces one stream in SETTINGS and raises that after the first success. hyper fixes the number
//! when a connection starts, so this one announces the final number and refuses (`REFUSED_STREAM`) a second stream that
//! comes before the first success: what a client sees that ignores the limit.

use crate::handle::{Environment, Handle, StartError};
use crate::jws::{Jws, PublicKey};
use crate::record::{ApnsPush, Log, Received, Verdict};
use crate::server::{self, BodyFault, Connection, Provider, Reply, Scripts};
use crate::{Millis, UnknownTokens};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Provider tokens are good for one hour.
const TOKEN_AGE: i64 = 3600;
/// A token dated further ahead than this is not accepted.
const TOKEN_AHEAD: i64 = 60;
/// Newer tokens may come only this often on a connection, milliseconds.
const TOKEN_UPDATES: i64 = 20 * 60 * 1000;
/// Largest payload of a VoIP push, bytes.
const VOIP_PAYLOAD: usize = 5120;
/// Largest payload of other pushes, bytes.
const PAYLOAD: usize = 4096;
/// A body is read whole up to here before it is refused as too large: a client in the middle of sending may not see
/// an answer that comes before the end.
const BODY: usize = 1024 * 1024;
/// Longest `apns-collapse-id`, bytes.
const COLLAPSE_ID: usize = 64;
/// Most device tokens remembered; the lab and the tests have a few dozen.
const TOKENS: usize = 100_000;
/// What the topic of VoIP pushes ends in.
const VOIP_SUFFIX: &str = ".voip";
/// Streams a connection may have at once.
const STREAMS: u32 = 1000;

/// A key that provider tokens are signed with.
#[derive(Debug, Clone)]
pub struct AuthKey {
    /// Key id, 10 characters.
    pub key_id: String,
    /// Team id, 10 characters.
    pub team_id: String,
    /// Public key in PEM (`BEGIN PUBLIC KEY`), P-256.
    pub public_key: String,
}

/// A provider token of a team (`bearer` and all), signed now (seconds since 1970) with its private key in PEM; `None` where that is
/// none. For stand-ins of those who hold a key in place of NotificationPushServer.
pub fn authorization(key_id: &str, team_id: &str, private_key: &str, now: i64) -> Option<String> {
    let header = serde_json::json!({"alg": "ES256", "kid": key_id});
    let token = crate::jws::es256(&header, &serde_json::json!({"iss": team_id, "iat": now}), private_key)?;
    Some(format!("bearer {token}"))
}

/// What the stand-in knows.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Bundle ids of the registered apps.
    pub apps: Vec<String>,
    /// Keys of teams.
    pub keys: Vec<AuthKey>,
    /// Device tokens and the topic each belongs to (`<bundle>` or `<bundle>.voip`).
    pub tokens: Vec<(String, String)>,
    /// What to do with others.
    pub unknown_tokens: UnknownTokens,
}

#[derive(Clone)]
struct Device {
    topic: String,
    /// Milliseconds since 1970.
    unregistered: Option<i64>,
}

struct Apns {
    apps: Vec<String>,
    keys: HashMap<String, (String, PublicKey)>,
    devices: Arc<Mutex<HashMap<String, Device>>>,
    unknown: UnknownTokens,
    clock: Millis,
    log: Arc<Log>,
    scripts: Arc<Scripts>,
}

/// The running stand-in: its [`Handle`], and its device tokens.
#[derive(Clone)]
pub struct ApnsHandle {
    handle: Handle,
    devices: Arc<Mutex<HashMap<String, Device>>>,
}

impl ApnsHandle {
    /// Registers a device token for a topic.
    pub fn register(&self, token: &str, topic: &str) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.insert(token.to_ascii_lowercase(), Device { topic: topic.to_owned(), unregistered: None });
    }
    /// Makes a registered token dead since this time, milliseconds since 1970.
    pub fn unregister(&self, token: &str, since: i64) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = devices.get_mut(&token.to_ascii_lowercase()) {
            device.unregistered = Some(since);
        }
    }
}

impl std::ops::Deref for ApnsHandle {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// Starts the stand-in.
///
/// # Errors
/// The address cannot be bound, certificate or key cannot be used, or a public key is not one.
pub async fn start(environment: Environment, config: Config) -> Result<ApnsHandle, StartError> {
    let mut keys = HashMap::new();
    for key in config.keys {
        let public =
            PublicKey::es256(&key.public_key).ok_or_else(|| StartError::PublicKey(key.key_id.clone()))?;
        keys.insert(key.key_id, (key.team_id, public));
    }
    let devices = config
        .tokens
        .into_iter()
        .map(|(token, topic)| (token.to_ascii_lowercase(), Device { topic, unregistered: None }))
        .collect();
    let devices = Arc::new(Mutex::new(devices));
    let log = Arc::new(Log::new(environment.sink.clone()));
    let scripts = Arc::new(Scripts::new());
    let apns = Apns {
        apps: config.apps,
        keys,
        devices: devices.clone(),
        unknown: config.unknown_tokens,
        clock: environment.clock.clone(),
        log: log.clone(),
        scripts: scripts.clone(),
    };
    let address = server::start(&environment, Arc::new(apns), scripts.clone()).await?;
    Ok(ApnsHandle { handle: Handle { address, log, scripts }, devices })
}

/// A refusal: status, reason and, for dead tokens, since when.
struct Refusal {
    status: u16,
    reason: &'static str,
    timestamp: Option<i64>,
}

const fn refuse(status: u16, reason: &'static str) -> Refusal {
    Refusal { status, reason, timestamp: None }
}

/// The one value of a header, if it is text.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Provider for Apns {
    const ALPN: &'static [&'static [u8]] = &[b"h2"];
    const ONE_STREAM_FIRST: bool = true;

    fn max_concurrent_streams(&self) -> u32 {
        STREAMS
    }

    async fn answer(self: Arc<Self>, connection: Arc<Connection>, request: Request<Incoming>) -> Reply {
        let (head, incoming) = request.into_parts();
        let text = |name: &str| single(&head.headers, name).unwrap_or_default().to_owned();
        let id =
            single(&head.headers, "apns-id").map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let mut push = ApnsPush {
            at: (self.clock)(),
            connection: connection.number,
            token: head.uri.path().strip_prefix("/3/device/").unwrap_or_default().to_owned(),
            topic: text("apns-topic"),
            push_type: text("apns-push-type"),
            priority: text("apns-priority"),
            expiration: text("apns-expiration"),
            collapse_id: single(&head.headers, "apns-collapse-id").map(str::to_owned),
            id,
            issued_at: None,
            payload: Value::Null,
            verdict: Verdict { status: 200, reason: None },
        };
        let body = server::body(incoming, BODY).await;
        let judged = self.judge(&connection, &head.method, head.uri.path(), &head.headers, &body, &mut push);
        let id = HeaderValue::from_str(&push.id).unwrap_or_else(|_| HeaderValue::from_static(""));
        let reply = if let Err(refusal) = judged {
            push.verdict = Verdict { status: refusal.status, reason: Some(refusal.reason.to_owned()) };
            Reply::Response(refusal_response(refusal.status, refusal.reason, refusal.timestamp, &id))
        } else {
            let (reply, status, reason) = server::play(
                &self.scripts,
                self.scripts.next(),
                |status, reason| refusal_response(status, reason, None, &id),
                || {
                    let mut response = Response::new(Full::new(Bytes::new()));
                    response.headers_mut().insert("apns-id", id.clone());
                    response
                },
            )
            .await;
            push.verdict = Verdict { status, reason };
            reply
        };
        self.log.add(Received::Apns(push));
        reply
    }
}

fn refusal_response(
    status: u16,
    reason: &str,
    timestamp: Option<i64>,
    id: &HeaderValue,
) -> Response<Full<Bytes>> {
    let mut body = serde_json::json!({ "reason": reason });
    if let Some(timestamp) = timestamp {
        body["timestamp"] = timestamp.into();
    }
    let mut response = server::json(status, &body);
    response.headers_mut().insert("apns-id", id.clone());
    response
}

impl Apns {
    fn judge(
        &self,
        connection: &Connection,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Result<Bytes, BodyFault>,
        push: &mut ApnsPush,
    ) -> Result<(), Refusal> {
        let Some(token) = path.strip_prefix("/3/device") else { return Err(refuse(404, "BadPath")) };
        if method != Method::POST {
            return Err(refuse(405, "MethodNotAllowed"));
        }
        let token = match token.strip_prefix('/') {
            None if token.is_empty() => return Err(refuse(400, "MissingDeviceToken")),
            Some("") => return Err(refuse(400, "MissingDeviceToken")),
            Some(token) if !token.contains('/') => token,
            None | Some(_) => return Err(refuse(404, "BadPath")),
        };
        if headers.keys().any(|name| {
            (name.as_str().starts_with("apns-") || name == http::header::AUTHORIZATION)
                && headers.get_all(name).iter().nth(1).is_some()
        }) {
            return Err(refuse(400, "DuplicateHeaders"));
        }
        self.check_provider_token(connection, headers, push)?;
        let voip = self.check_headers(headers, push)?;
        check_payload(voip, body, push)?;
        self.check_device(token, push)
    }

    fn check_provider_token(
        &self,
        connection: &Connection,
        headers: &HeaderMap,
        push: &mut ApnsPush,
    ) -> Result<(), Refusal> {
        const INVALID: Refusal = refuse(403, "InvalidProviderToken");
        let Some(authorization) = headers.get(http::header::AUTHORIZATION) else {
            return Err(refuse(403, "MissingProviderToken"));
        };
        let token = authorization
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token)
            .ok_or(INVALID)?;
        let jws = Jws::parse(token).ok_or(INVALID)?;
        let key_id = jws.header("kid").filter(|kid| kid.len() == 10).ok_or(INVALID)?;
        let (team, key) = self.keys.get(key_id).ok_or(INVALID)?;
        if !jws.verified_by(key) || jws.text("iss") != Some(team) {
            return Err(INVALID);
        }
        let issued_at = jws.number("iat").ok_or(INVALID)?;
        push.issued_at = Some(issued_at);
        let now = push.at / 1000;
        if issued_at > now + TOKEN_AHEAD {
            return Err(INVALID);
        }
        if now - issued_at > TOKEN_AGE {
            return Err(refuse(403, "ExpiredProviderToken"));
        }
        let mut memory = connection.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.team.get_or_insert_with(|| team.clone()) != team {
            return Err(INVALID);
        }
        match memory.newest_token {
            Some((newest, came)) if issued_at > newest => {
                if push.at - came < TOKEN_UPDATES {
                    return Err(refuse(429, "TooManyProviderTokenUpdates"));
                }
                memory.newest_token = Some((issued_at, push.at));
            }
            Some(_) => {}
            None => memory.newest_token = Some((issued_at, push.at)),
        }
        Ok(())
    }

    /// Gives whether it is a VoIP push.
    fn check_headers(&self, headers: &HeaderMap, push: &ApnsPush) -> Result<bool, Refusal> {
        if push.topic.is_empty() {
            return Err(refuse(400, "MissingTopic"));
        }
        if !push.topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-') {
            return Err(refuse(400, "BadTopic"));
        }
        let bundle = push.topic.strip_suffix(VOIP_SUFFIX).unwrap_or(&push.topic);
        if !self.apps.iter().any(|app| app == bundle || *app == push.topic) {
            return Err(refuse(400, "TopicDisallowed"));
        }
        let voip = match push.push_type.as_str() {
            "voip" => true,
            "alert" | "background" => false,
            _ => return Err(refuse(400, "InvalidPushType")),
        };
        if voip != push.topic.strip_suffix(VOIP_SUFFIX).is_some() {
            return Err(refuse(400, "InvalidPushType"));
        }
        match (push.push_type.as_str(), push.priority.as_str()) {
            ("background", "5") | ("voip" | "alert", "10" | "5" | "1" | "") => {}
            _ => return Err(refuse(400, "BadPriority")),
        }
        if headers.contains_key("apns-expiration") && push.expiration.parse::<u64>().is_err() {
            return Err(refuse(400, "BadExpirationDate"));
        }
        if headers.contains_key("apns-id") && uuid::Uuid::try_parse(&push.id).is_err() {
            return Err(refuse(400, "BadMessageId"));
        }
        if let Some(collapse_id) = headers.get("apns-collapse-id")
            && (collapse_id.is_empty() || collapse_id.len() > COLLAPSE_ID)
        {
            return Err(refuse(400, "BadCollapseId"));
        }
        Ok(voip)
    }

    fn check_device(&self, token: &str, push: &ApnsPush) -> Result<(), Refusal> {
        // Apple's tokens have 32 bytes today; up to 100 are announced.
        if !(64..=200).contains(&token.len())
            || !token.len().is_multiple_of(2)
            || !token.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(refuse(400, "BadDeviceToken"));
        }
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token.to_ascii_lowercase();
        match devices.get(&token) {
            Some(device) if device.topic != push.topic => Err(refuse(400, "DeviceTokenNotForTopic")),
            Some(Device { unregistered: Some(since), .. }) => {
                Err(Refusal { status: 410, reason: "Unregistered", timestamp: Some(*since) })
            }
            Some(_) => Ok(()),
            None if self.unknown == UnknownTokens::Refuse => Err(refuse(400, "BadDeviceToken")),
            None => {
                if devices.len() < TOKENS {
                    devices.insert(token, Device { topic: push.topic.clone(), unregistered: None });
                }
                Ok(())
            }
        }
    }
}

fn check_payload(voip: bool, body: &Result<Bytes, BodyFault>, push: &mut ApnsPush) -> Result<(), Refusal> {
    let body = match body {
        Ok(body) => body,
        Err(BodyFault::TooLong) => return Err(refuse(413, "PayloadTooLarge")),
        Err(BodyFault::Broken) => return Err(refuse(400, "PayloadEmpty")),
    };
    if body.len() > if voip { VOIP_PAYLOAD } else { PAYLOAD } {
        return Err(refuse(413, "PayloadTooLarge"));
    }
    push.payload = serde_json::from_slice(body).unwrap_or_default();
    if !push.payload.get("aps").is_some_and(Value::is_object) {
        return Err(refuse(400, "PayloadEmpty"));
    }
    Ok(())
}
