//! The application over HTTP: methods, headers, status codes. authservice.md 3

mod answer;

use crate::service::{Failures, Limits, Minter, Validator, Wanted};
use crate::settings::FailureLimits;
use crate::wire::{Presented, Refusal, form_parameter, key_of_json, presented, wants_json};
use answer::{Answer, json, refuse};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::header::{ALLOW, CONTENT_TYPE, FORWARDED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use openadp_appserver::Clock;
use openadp_keystore::{KeyState, KeyStore};
use openadp_settings::Live;
use openadp_token::{ClientKey, TokenManagement};
use openadp_webcontainer::{AuthError, Authenticator, BodyError, ConnectionInfo, RequestId, read_body};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::time::Instant;

/// Bytes of a body: a token of 8 KiB, or a key of 2 KiB, and what encodes them.
const MAX_BODY: usize = 16 * 1024;
/// Seconds that the clock may lie before the creation of a key: more, and tokens would be void before they begin.
const CLOCK_SLACK: i64 = 300;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const NO_CHALLENGE: HeaderName = HeaderName::from_static("x-broadworks-no-authchallenge");

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) authenticator: Authenticator,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) keystore: Arc<KeyStore>,
    pub(crate) limits: Live<FailureLimits>,
    pub(crate) minter: Minter,
    pub(crate) settings: Live<TokenManagement>,
    pub(crate) validator: Validator,
}

/// Everything below `/authService`.
pub(crate) fn router(edge: Edge) -> Router {
    let get = |handler: MethodRouter<Edge>| handler.head(not_get).fallback(not_get);
    Router::new()
        .route("/token", get(on(MethodFilter::GET, token_get)).post(token_post))
        .route("/validate", on(MethodFilter::POST, validate).fallback(not_post))
        .route("/ping", get(on(MethodFilter::GET, ping)))
        .route("/keys", get(on(MethodFilter::GET, keys)))
        .fallback(|request: Request| async move { Facts::of(&request).refuse(&Refusal::NotFound) })
        .with_state(edge)
}

/// What every handler knows of its request.
struct Facts {
    /// A browser's page that wants no dialog.
    no_challenge: bool,
    peer: IpAddr,
    /// Asked from this machine, and by nobody on behalf of another.
    local: bool,
    secure: bool,
    tracking_id: String,
}

impl Facts {
    fn of(request: &Request) -> Self {
        let info = request.extensions().get::<Arc<ConnectionInfo>>();
        let peer = info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.peer.ip().to_canonical());
        let headers = request.headers();
        let forwarded = headers.contains_key(FORWARDED) || headers.contains_key(FORWARDED_FOR);
        Self {
            no_challenge: headers
                .get(NO_CHALLENGE)
                .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"true")),
            peer,
            local: peer.is_loopback() && !forwarded,
            secure: info.is_some_and(|info| info.tls.is_some()),
            tracking_id: request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        metrics::counter!("authservice_rejected_total", "reason" => refusal.code()).increment(1);
        refuse(refusal, &self.tracking_id, self.no_challenge)
    }
}

async fn not_get(request: Request) -> Response {
    let methods = if request.uri().path() == "/token" { "GET, POST" } else { "GET" };
    not_allowed(&request, HeaderValue::from_static(methods))
}

async fn not_post(request: Request) -> Response {
    // Towards others than this machine the resource does not exist, whatever the method.
    if Facts::of(&request).local {
        not_allowed(&request, HeaderValue::from_static("POST"))
    } else {
        Facts::of(&request).refuse(&Refusal::NotFound)
    }
}

fn not_allowed(request: &Request, methods: HeaderValue) -> Response {
    let mut response = Facts::of(request).refuse(&Refusal::MethodNotAllowed);
    response.headers_mut().insert(ALLOW, methods);
    response
}

async fn token_get(State(edge): State<Edge>, request: Request) -> Response {
    let facts = Facts::of(&request);
    let key = form_parameter(request.uri().query().unwrap_or_default().as_bytes(), "key");
    let done = match key {
        Ok(key) => edge.token(request.headers(), &facts, key).await,
        Err(refusal) => Err(refusal),
    };
    done.unwrap_or_else(|refusal| facts.refuse(&refusal))
}

async fn token_post(State(edge): State<Edge>, request: Request) -> Response {
    let facts = Facts::of(&request);
    let (head, body) = request.into_parts();
    let key = async {
        let in_query = form_parameter(head.uri.query().unwrap_or_default().as_bytes(), "key")?;
        let body = bounded(body).await?;
        let in_body = match (body.is_empty(), media_type(&head.headers)) {
            (true, _) => None,
            (false, Some(kind)) if kind.eq_ignore_ascii_case("application/json") => key_of_json(&body)?,
            (false, _) => {
                return Err(Refusal::InvalidRequest("the body must be application/json".to_owned()));
            }
        };
        match (in_query, in_body) {
            (Some(_), Some(_)) => Err(Refusal::InvalidRequest("key is given twice".to_owned())),
            (query, body) => Ok(body.or(query)),
        }
    };
    let done = match key.await {
        Ok(key) => edge.token(&head.headers, &facts, key).await,
        Err(refusal) => Err(refusal),
    };
    done.unwrap_or_else(|refusal| facts.refuse(&refusal))
}

impl Edge {
    /// Both forms of `token`. What is cheap comes first: no password is checked for a request that cannot succeed.
    async fn token(
        &self,
        headers: &HeaderMap,
        facts: &Facts,
        key: Option<String>,
    ) -> Result<Response, Refusal> {
        let user = match presented(headers) {
            Presented::Basic(user) => user,
            // Long-lived tokens do not beget others, or they would live for ever; tokens of others are not taken.
            Presented::Bearer => return Err(Refusal::InvalidToken),
            Presented::Nothing => return Err(Refusal::InvalidClient),
        };
        let wanted = match key {
            Some(key) => match ClientKey::parse(&key) {
                Ok(key) => Wanted::Wrapped(Box::new(key)),
                Err(error) => return Err(Refusal::InvalidRequest(error.to_string())),
            },
            None if self.settings.load().allow_unwrapped_token && (facts.secure || facts.local) => {
                Wanted::Bare
            }
            None => return Err(Refusal::InvalidRequest("key is missing".to_owned())),
        };
        let limits = Limits::from(&*self.limits.load());
        if let Some(left) = self.failures.blocked(&user, facts.peer, limits, Instant::now()) {
            // Whole seconds, and never the invitation to try at once.
            return Err(Refusal::SlowDown(left.as_secs() + 1));
        }
        let principal = match self.authenticator.authenticate(headers).await {
            Ok(principal) => principal,
            Err(AuthError::Missing | AuthError::Refused) => {
                self.failures.failed(&user, facts.peer, limits, Instant::now());
                tracing::info!(
                    target: "audit",
                    event = "tokenRefused",
                    reason = "credentials",
                    source = %facts.peer,
                    tracking_id = facts.tracking_id,
                );
                return Err(Refusal::InvalidClient);
            }
            Err(AuthError::Unavailable(error)) => {
                tracing::warn!(
                    error,
                    tracking_id = facts.tracking_id,
                    "application server cannot check a password"
                );
                return Err(Refusal::Unavailable);
            }
            Err(AuthError::Internal(error)) => {
                tracing::error!(error, tracking_id = facts.tracking_id, "checking a password failed inside");
                return Err(Refusal::Internal);
            }
        };
        self.failures.succeeded(&user, facts.peer);
        let minted = self.minter.mint(&principal, "pwd", wanted, facts.peer, &facts.tracking_id).await?;
        Ok(Answer::of(minted, wants_json(headers)).into_response())
    }
}

async fn validate(State(edge): State<Edge>, request: Request) -> Response {
    let facts = Facts::of(&request);
    if !facts.local {
        return facts.refuse(&Refusal::NotFound);
    }
    let done = async {
        let body = bounded(request.into_body()).await?;
        let token = form_parameter(&body, "token")?
            .ok_or_else(|| Refusal::InvalidRequest("token is missing".to_owned()))?;
        edge.validator.introspect(&token, &facts.tracking_id).await
    };
    match done.await {
        Ok(introspection) => json(StatusCode::OK, &introspection),
        Err(refusal) => facts.refuse(&refusal),
    }
}

/// Whether tokens can be made here: the ring is open and the clock is not behind it.
async fn ping(State(edge): State<Edge>, request: Request) -> Response {
    let now = edge.clock.now().unix_timestamp();
    let behind = |created: i64| created > now.saturating_add(CLOCK_SLACK);
    let keys = edge.keystore.keys();
    if keys.iter().any(|key| key.state == KeyState::Active && behind(key.created.unix_timestamp())) {
        return Facts::of(&request).refuse(&Refusal::Unavailable);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn keys(State(edge): State<Edge>, request: Request) -> Response {
    let facts = Facts::of(&request);
    if !facts.local {
        return facts.refuse(&Refusal::NotFound);
    }
    json(StatusCode::OK, &edge.keystore.public_jwks())
}

async fn bounded(body: Body) -> Result<bytes::Bytes, Refusal> {
    read_body(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::Broken(_) => Refusal::InvalidRequest("the body broke off".to_owned()),
        BodyError::Timeout => Refusal::RequestTimeout,
        BodyError::TooLarge { limit } => {
            Refusal::InvalidRequest(format!("the body is longer than {limit} bytes"))
        }
    })
}

/// The media type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}
