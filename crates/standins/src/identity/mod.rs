//! The identity cloud: an OAuth token endpoint, the check of users' access tokens, the federation service, a ping, and services
//! that know their callers by access tokens (`services`).
//!
//! Shapes are those of `protocols/authservice.md` 5. It misbehaves on command ([`Fault`]), also over HTTP
//! (`POST /stand-in/faults`), and gives users' access tokens out to whoever asks (`POST /stand-in/tokens`): it runs on
//! loopback, for tests and for the lab.

mod control;
mod services;
mod wire;

pub use control::TokenRequest;
pub use services::PushTokens;

use crate::handle::{Environment, Handle, StartError};
use crate::record::{IdentityQuestion, Log, Received, Verdict};
use crate::server::{self, Connection, Provider, Reply, Scripts};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Largest request body.
const BODY: usize = 64 * 1024;
/// Requests at once on one connection.
const STREAMS: u32 = 200;
/// Tokens that are remembered.
const TOKENS: usize = 100_000;
/// Faults that may wait.
const FAULTS: usize = 1000;
/// Bytes of an answer that is too long.
const OVERSIZED: usize = 2 * 1024 * 1024;
/// Life of an access token of a client, seconds.
const CLIENT_LIFE: i64 = 43_200;

/// An endpoint of the identity cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST .../oauth2/v1/access_token`.
    Token,
    /// `POST .../idp/authenticate`.
    Introspection,
    /// `GET /federation`.
    Federation,
    /// `GET .../idp/ping`.
    Ping,
    /// `GET .../v1/push-token`.
    PushToken,
    /// `POST .../v1/device-auth`.
    DeviceAuth,
    /// `GET /.well-known/oauth-authorization-server`.
    Discovery,
}

/// All of them, in the order of their declaration.
const ENDPOINTS: [Endpoint; 7] = [
    Endpoint::Token,
    Endpoint::Introspection,
    Endpoint::Federation,
    Endpoint::Ping,
    Endpoint::PushToken,
    Endpoint::DeviceAuth,
    Endpoint::Discovery,
];

impl Endpoint {
    /// As `POST /stand-in/faults` and the record name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Introspection => "introspection",
            Self::Federation => "federation",
            Self::Ping => "ping",
            Self::PushToken => "pushToken",
            Self::DeviceAuth => "deviceAuth",
            Self::Discovery => "discovery",
        }
    }
    fn named(name: &str) -> Option<Self> {
        ENDPOINTS.into_iter().find(|one| one.name() == name)
    }
}

/// How an endpoint misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers rightly, but so much later.
    Slow(Duration),
    /// Answers with this status and an HTML page.
    Status(u16),
    /// Answers with two megabytes.
    Oversized,
    /// Answers with two kilobytes that decompress to two megabytes.
    Compressed,
    /// Says that another issuer made the token.
    WrongIssuer,
    /// Sends the client somewhere else.
    Redirect,
    /// Gives a new refresh token and takes the old one no more (token endpoint).
    Rotate,
    /// Breaks off in the middle of the answer.
    HangUp,
    /// Cuts the connection before the answer.
    Cut,
    /// Never answers.
    Silence,
    /// Answers 200 with what is no JSON.
    Garbage,
}

/// A client of the identity cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `clientId`.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Its first refresh token.
    pub refresh_token: String,
}

/// An identity provider as the federation service names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `name`.
    pub name: String,
    /// `issuer` and `url`.
    pub issuer: String,
}

/// What the identity cloud knows.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Its clients.
    pub clients: Vec<Client>,
    /// Whether any other client is taken too, with any secret and refresh token. For the lab.
    pub any_client: bool,
    /// What the federation service answers.
    pub clusters: Vec<Cluster>,
    /// Scope without which the bridge of devices answers no client; empty for none.
    pub bridge_scope: String,
}

/// A user's access token.
#[derive(Debug, Clone)]
pub(crate) struct UserToken {
    answer: Value,
    active: bool,
    expires: i64,
    user: String,
}

/// An access token of a client.
struct Access {
    client: String,
    scope: String,
    /// Milliseconds since 1970.
    expires: i64,
}

#[derive(Default)]
struct State {
    /// Refresh token to client.
    refresh: HashMap<String, String>,
    /// Access tokens of clients.
    access: HashMap<String, Access>,
    /// Activated devices by their token.
    devices: HashMap<String, services::Activated>,
    users: HashMap<String, UserToken>,
    faults: VecDeque<(Endpoint, Fault, usize)>,
}

struct Cloud {
    config: Config,
    clock: crate::Millis,
    log: Arc<Log>,
    scripts: Arc<Scripts>,
    state: Arc<Mutex<State>>,
    counts: Arc<Counts>,
    push: Arc<Mutex<Option<PushTokens>>>,
}

/// Requests by endpoint.
type Counts = [AtomicU64; ENDPOINTS.len()];

/// A running identity cloud; clones share it.
#[derive(Clone)]
pub struct IdentityCloud {
    handle: Handle,
    state: Arc<Mutex<State>>,
    counts: Arc<Counts>,
    push: Arc<Mutex<Option<PushTokens>>>,
    clock: crate::Millis,
}

impl std::ops::Deref for IdentityCloud {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// Starts it.
///
/// # Errors
/// The address cannot be bound, or the certificate not used.
pub async fn start(environment: Environment, config: Config) -> Result<IdentityCloud, StartError> {
    LazyLock::force(&COMPRESSED);
    let log = Arc::new(Log::new(environment.sink.clone()));
    let scripts = Arc::new(Scripts::new());
    let state: Arc<Mutex<State>> = Arc::default();
    let counts: Arc<Counts> = Arc::default();
    let push: Arc<Mutex<Option<PushTokens>>> = Arc::default();
    {
        let mut state = lock(&state);
        for client in &config.clients {
            state.refresh.insert(client.refresh_token.clone(), client.id.clone());
        }
    }
    let clock = environment.clock.clone();
    let cloud = Arc::new(Cloud {
        config,
        clock: clock.clone(),
        log: log.clone(),
        scripts: scripts.clone(),
        state: state.clone(),
        counts: counts.clone(),
        push: push.clone(),
    });
    let address = server::start(&environment, cloud, scripts.clone()).await?;
    Ok(IdentityCloud { handle: Handle { address, log, scripts }, state, counts, push, clock })
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IdentityCloud {
    /// Makes the next `times` answers of an endpoint go wrong; faults come in the order given.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        add_fault(&mut lock(&self.state), endpoint, fault, times);
    }
    /// Forgets all faults that have not happened yet.
    pub fn clear_faults(&self) {
        lock(&self.state).faults.clear();
    }
    /// How many requests an endpoint got.
    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.counts[endpoint as usize].load(Ordering::SeqCst)
    }
    /// Gives a user an access token.
    pub fn issue(&self, request: &TokenRequest) -> String {
        control::issue(&mut lock(&self.state), request, (self.clock)())
    }
    /// Ends a user's access token before its time.
    pub fn revoke(&self, token: &str) {
        if let Some(token) = lock(&self.state).users.get_mut(token) {
            token.active = false;
        }
    }
    /// Answers questions for push credentials with what this gives; before, no application is known.
    pub fn give_push_tokens(&self, source: PushTokens) {
        *self.push.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }
    /// Activates a device of this hardware address: gives the token that it brings, good for so many seconds.
    pub fn activate(&self, address: &str, seconds: i64) -> String {
        services::activate(&mut lock(&self.state), address, seconds, (self.clock)())
    }
    /// Ends all access tokens of clients: they must get new ones.
    pub fn forget_clients(&self) {
        lock(&self.state).access.clear();
    }
    /// The refresh tokens that would be taken now.
    pub fn refresh_tokens(&self) -> Vec<String> {
        lock(&self.state).refresh.keys().cloned().collect()
    }
}

fn add_fault(state: &mut State, endpoint: Endpoint, fault: Fault, times: usize) {
    if state.faults.len() < FAULTS && times > 0 {
        state.faults.push_back((endpoint, fault, times));
    }
}

impl State {
    fn next_fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let index = self.faults.iter().position(|(at, ..)| *at == endpoint)?;
        let (_, fault, times) = self.faults.get_mut(index)?;
        let fault = *fault;
        *times -= 1;
        if *times == 0 {
            self.faults.remove(index);
        }
        Some(fault)
    }
}

/// What a request comes to before faults: status and body, and whom it was about.
struct Answer {
    status: u16,
    body: Value,
    client: Option<String>,
    user: Option<String>,
    reason: Option<String>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, body, client: None, user: None, reason: None }
    }
    fn refused(status: u16, error: &str) -> Self {
        Self {
            status,
            body: json!({"error": error}),
            client: None,
            user: None,
            reason: Some(error.to_owned()),
        }
    }
}

impl Provider for Cloud {
    const ALPN: &'static [&'static [u8]] = &[b"h2", b"http/1.1"];
    const ONE_STREAM_FIRST: bool = false;

    fn max_concurrent_streams(&self) -> u32 {
        STREAMS
    }

    async fn answer(self: Arc<Self>, _: Arc<Connection>, request: Request<Incoming>) -> Reply {
        let (head, incoming) = request.into_parts();
        let path = head.uri.path().to_owned();
        let endpoint = match (&head.method, path.as_str()) {
            (&Method::POST, path) if path.ends_with("/oauth2/v1/access_token") => Endpoint::Token,
            (&Method::POST, path) if path.ends_with("/idp/authenticate") => Endpoint::Introspection,
            (&Method::GET, "/federation") => Endpoint::Federation,
            (&Method::GET, path) if path.ends_with("/idp/ping") => Endpoint::Ping,
            (&Method::GET, path) if path.ends_with("/v1/push-token") => Endpoint::PushToken,
            (&Method::POST, path) if path.ends_with("/v1/device-auth") => Endpoint::DeviceAuth,
            (&Method::GET, "/.well-known/oauth-authorization-server") => Endpoint::Discovery,
            (&Method::POST, "/stand-in/tokens" | "/stand-in/devices" | "/stand-in/faults") => {
                let Ok(body) = server::body(incoming, BODY).await else {
                    return Reply::Response(server::json(400, &json!({"error": "no body"})));
                };
                let mut state = lock(&self.state);
                let done = match path.as_str() {
                    "/stand-in/tokens" => control::token(&mut state, &body, (self.clock)()),
                    "/stand-in/devices" => control::device(&mut state, &body, (self.clock)()),
                    _ => control::fault(&mut state, &body),
                };
                let (status, body) = match done {
                    Ok(body) => (200, body),
                    Err(reason) => (400, json!({"error": reason})),
                };
                return Reply::Response(server::json(status, &body));
            }
            _ => return Reply::Response(server::json(404, &json!({"error": "not_found"}))),
        };
        let Ok(body) = server::body(incoming, BODY).await else {
            return Reply::Response(server::json(400, &json!({"error": "invalid_request"})));
        };
        self.counts[endpoint as usize].fetch_add(1, Ordering::SeqCst);
        let fault = lock(&self.state).next_fault(endpoint);
        let answer = match endpoint {
            Endpoint::Token => self.token(&head.headers, &body, fault == Some(Fault::Rotate)),
            Endpoint::Introspection => self.introspect(&head.headers, &body),
            Endpoint::Federation => self.federation(&head.headers),
            Endpoint::Ping => Answer::ok(json!({"status": "ok"})),
            Endpoint::PushToken => self.push_token(&head.headers, head.uri.query().unwrap_or_default()),
            Endpoint::DeviceAuth => self.device_auth(&head.headers, &body),
            Endpoint::Discovery => self.discovery(),
        };
        let (reply, verdict) = self.misbehave(fault, &answer).await;
        self.log.add(Received::Identity(IdentityQuestion {
            at: (self.clock)(),
            endpoint,
            client: answer.client,
            user: answer.user,
            verdict,
        }));
        reply
    }
}

impl Cloud {
    /// RFC 6749 6.
    fn token(&self, headers: &HeaderMap, body: &Bytes, rotate: bool) -> Answer {
        let Some((id, secret)) = wire::basic(headers) else { return Answer::refused(401, "invalid_client") };
        let known = self.config.clients.iter().find(|client| client.id == id);
        if !(self.config.any_client || known.is_some_and(|client| client.secret == secret)) {
            return Answer::refused(401, "invalid_client");
        }
        if wire::field(body, "grant_type").as_deref() != Some("refresh_token") {
            return Answer::refused(400, "unsupported_grant_type");
        }
        let Some(refresh) = wire::field(body, "refresh_token") else {
            return Answer::refused(400, "invalid_request");
        };
        let now = (self.clock)();
        let mut state = lock(&self.state);
        let taken = match state.refresh.get(&refresh) {
            Some(owner) => *owner == id,
            None => self.config.any_client && known.is_none(),
        };
        if !taken {
            return Answer { client: Some(id), ..Answer::refused(400, "invalid_grant") };
        }
        let mut current = refresh.clone();
        if rotate {
            state.refresh.remove(&refresh);
            current = wire::random();
            state.refresh.insert(current.clone(), id.clone());
        }
        let access = wire::random();
        state.access.retain(|_, access| access.expires > now);
        if state.access.len() < TOKENS {
            let scope = wire::field(body, "scope").unwrap_or_default();
            let given = Access { client: id.clone(), scope, expires: now + CLIENT_LIFE * 1000 };
            state.access.insert(access.clone(), given);
        }
        let body = json!({
            "access_token": access,
            "expires_in": CLIENT_LIFE,
            "refresh_token": current,
            "refresh_token_expires_in": 60 * 86_400,
            "token_type": "Bearer",
        });
        Answer { client: Some(id), ..Answer::ok(body) }
    }

    /// The client whose access token is shown, and the scope that it was asked for with.
    fn client(&self, headers: &HeaderMap) -> Option<(String, String)> {
        let token = wire::bearer(headers)?;
        let state = lock(&self.state);
        let access = state.access.get(token)?;
        (access.expires > (self.clock)()).then(|| (access.client.clone(), access.scope.clone()))
    }

    /// RFC 7662.
    fn introspect(&self, headers: &HeaderMap, body: &Bytes) -> Answer {
        let Some((client, _)) = self.client(headers) else { return Answer::refused(401, "invalid_token") };
        let Some(token) = wire::field(body, "token") else {
            return Answer { client: Some(client), ..Answer::refused(400, "invalid_request") };
        };
        let now = (self.clock)();
        let state = lock(&self.state);
        match state.users.get(&token) {
            Some(known) if known.active && known.expires > now => {
                let (answer, user) = (known.answer.clone(), known.user.clone());
                Answer { client: Some(client), user: Some(user), ..Answer::ok(answer) }
            }
            Some(_) | None => Answer { client: Some(client), ..Answer::ok(json!({"active": false})) },
        }
    }

    fn federation(&self, headers: &HeaderMap) -> Answer {
        let Some((client, _)) = self.client(headers) else { return Answer::refused(401, "invalid_token") };
        let providers: Vec<Value> = self
            .config
            .clusters
            .iter()
            .map(|cluster| json!({"name": cluster.name, "issuer": cluster.issuer, "url": cluster.issuer}))
            .collect();
        Answer { client: Some(client), ..Answer::ok(json!({"identityProviders": providers})) }
    }

    async fn misbehave(&self, fault: Option<Fault>, answer: &Answer) -> (Reply, Verdict) {
        let as_it_is = || server::json(answer.status, &answer.body);
        let verdict = |status: u16, reason: Option<&str>| Verdict {
            status,
            reason: reason.map(str::to_owned).or_else(|| answer.reason.clone()),
        };
        let Some(fault) = fault else {
            return (Reply::Response(as_it_is()), verdict(answer.status, None));
        };
        match fault {
            Fault::Slow(wait) => {
                tokio::time::sleep(wait).await;
                (Reply::Response(as_it_is()), verdict(answer.status, Some("slow")))
            }
            Fault::Rotate => (Reply::Response(as_it_is()), verdict(answer.status, None)),
            Fault::Status(status) => {
                let page = "<html><body>Service unavailable</body></html>".to_owned();
                (Reply::Response(server::raw(status, page, "text/html")), verdict(status, Some("scripted")))
            }
            Fault::Oversized => {
                (Reply::Response(oversized(&answer.body, false)), verdict(200, Some("oversized")))
            }
            Fault::Compressed => {
                (Reply::Response(oversized(&answer.body, true)), verdict(200, Some("compressed")))
            }
            Fault::WrongIssuer => {
                let mut body = answer.body.clone();
                body["iss"] = "https://idbroker.elsewhere.invalid/idb".into();
                (
                    Reply::Response(server::json(answer.status, &body)),
                    verdict(answer.status, Some("wrongIssuer")),
                )
            }
            Fault::Redirect => {
                let mut response = server::raw(302, String::new(), "text/plain");
                let location = http::HeaderValue::from_static("https://127.0.0.1:1/elsewhere");
                response.headers_mut().insert(http::header::LOCATION, location);
                (Reply::Response(response), verdict(302, Some("redirect")))
            }
            Fault::HangUp => (Reply::Half(as_it_is()), verdict(0, Some("hangUp"))),
            Fault::Cut => (Reply::Cut, verdict(0, Some("cut"))),
            Fault::Silence => {
                self.scripts.silence().await;
                (Reply::Cut, verdict(0, Some("silence")))
            }
            Fault::Garbage => (
                Reply::Response(server::raw(200, "<html>{\"active\":true".to_owned(), "application/json")),
                verdict(200, Some("garbage")),
            ),
        }
    }
}

/// Two kilobytes that decompress to two megabytes. Made once: it takes its time.
static COMPRESSED: LazyLock<Bytes> = LazyLock::new(|| {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let body = json!({"active": true, "padding": " ".repeat(OVERSIZED)}).to_string();
    // Writing to memory does not fail.
    let written = std::io::Write::write_all(&mut encoder, body.as_bytes());
    Bytes::from(written.and_then(|()| encoder.finish()).unwrap_or_default())
});

/// An answer with far too much in it.
fn oversized(body: &Value, compress: bool) -> Response<Full<Bytes>> {
    if !compress {
        let mut body = body.clone();
        body["padding"] = " ".repeat(OVERSIZED).into();
        return server::json(200, &body);
    }
    let mut response = Response::new(Full::new(COMPRESSED.clone()));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    response
}
