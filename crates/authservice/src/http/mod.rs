//! The application over HTTP: methods, headers, status codes. authservice.md 3

mod answer;
mod client_keys;
mod cors;

pub(crate) use client_keys::ClientKeys;

use crate::service::{Claim, Farm, Minter, Proof, Rates, Standing, Validator, Wanted, standing};
use crate::settings::{CertificateCaller, TokenLimits};
use crate::wire::{Presented, Refusal, bearer, form_parameters, key_of_json, presented, wants_json};
use answer::{Answer, json, refuse};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use openadp_identity::{Denied, Identities, Proven};
use openadp_keystore::{KeyStore, PEER_HEADER};
use openadp_settings::{Live, Store};
use openadp_tls::PeerIdentity;
use openadp_token::TokenManagement;
use openadp_webcontainer::{AuthError, Authenticator, BodyError, ConnectionInfo, RequestId, read_body};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a body: a token of 8 KiB, or a key of 2 KiB, and what encodes them.
const MAX_BODY: usize = 16 * 1024;

/// Characters of a path that the log shows.
const MAX_LOGGED_PATH: usize = 64;

/// What proxies add: whoever they speak for is not on this machine.
const FORWARDING: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];
const NO_CHALLENGE: HeaderName = HeaderName::from_static("x-broadworks-no-authchallenge");

/// What the handlers need; shared, since a copy for every request would cost more than parsing it.
pub(crate) struct Edge {
    pub(crate) authenticator: Authenticator,
    pub(crate) farm: Farm,
    pub(crate) in_progress: Arc<AtomicU32>,
    pub(crate) keys: ClientKeys,
    pub(crate) identities: Identities,
    pub(crate) keystore: Arc<KeyStore>,
    pub(crate) token_limits: Live<TokenLimits>,
    pub(crate) per_user: Arc<Rates>,
    pub(crate) per_certificate: Arc<Rates>,
    pub(crate) store: Arc<Store>,
    pub(crate) minter: Minter,
    pub(crate) settings: Live<TokenManagement>,
    pub(crate) validator: Validator,
}

/// Everything below `/authService`.
pub(crate) fn router(edge: Edge) -> Router {
    let edge = Arc::new(edge);
    let get = |handler: MethodRouter<Arc<Edge>>| handler.head(not_get).fallback(not_get);
    Router::new()
        .route(
            "/token",
            get(on(MethodFilter::GET, token_get))
                .post(token_post)
                .layer(axum::middleware::from_fn_with_state(edge.clone(), cors::allow)),
        )
        .route("/validate", on(MethodFilter::POST, validate).fallback(not_post))
        .route("/ping", get(on(MethodFilter::GET, ping)))
        .route("/keys", get(on(MethodFilter::GET, keys)))
        .route("/ring", on(MethodFilter::POST, ring).fallback(not_post))
        .route("/claim", on(MethodFilter::POST, claim).fallback(not_post))
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
    /// What the client's certificate says, where one was verified.
    certificate: Option<PeerIdentity>,
    /// What a node of the farm proves itself by.
    proof: Option<String>,
    /// Why it is refused, where the answer does not say it.
    reason: OnceLock<&'static str>,
    /// What is asked for.
    resource: String,
    secure: bool,
    tracking_id: String,
}

impl Facts {
    fn of(request: &Request) -> Self {
        let info = request.extensions().get::<Arc<ConnectionInfo>>();
        let peer = info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.peer.ip().to_canonical());
        let headers = request.headers();
        let forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
        let tls = info.and_then(|info| info.tls.as_ref());
        Self {
            no_challenge: headers
                .get(NO_CHALLENGE)
                .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"true")),
            peer,
            local: peer.is_loopback() && !forwarded,
            certificate: tls.and_then(|tls| tls.client.clone()),
            proof: headers
                .get(PEER_HEADER)
                .filter(|_| !forwarded)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            reason: OnceLock::new(),
            resource: request.uri().path().chars().take(MAX_LOGGED_PATH).collect(),
            secure: tls.is_some(),
            tracking_id: request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        }
    }

    /// Whether the caller may know whose password has expired.
    fn trusted(&self) -> bool {
        self.local || self.certificate.is_some()
    }

    /// Whether a node of the farm asks.
    fn is_peer(&self, farm: &Farm, method: &str, path: &str, body: &[u8]) -> bool {
        self.proof.as_ref().is_some_and(|proof| farm.proves(proof, method, path, body))
    }

    /// Whole seconds, and never the invitation to try at once.
    fn too_many(&self, reason: &'static str, left: Duration) -> Refusal {
        self.because(reason);
        Refusal::SlowDown(left.as_secs() + 1)
    }

    /// Remembers the reason for the log.
    fn because(&self, reason: &'static str) {
        // The first is the one that the refusal comes from.
        self.reason.get_or_init(|| reason);
    }

    /// The refusal, with its line in the log: the one place for all of them.
    fn refuse(&self, refusal: &Refusal) -> Response {
        tracing::info!(
            target: "audit",
            event = "tokenRefused",
            resource = self.resource,
            status = refusal.status().as_u16(),
            reason = self.reason.get().copied().unwrap_or(refusal.code()),
            detail = refusal.detail(),
            source = %self.peer,
            caller = self.certificate.as_ref().and_then(|certificate| certificate.common_name.as_deref()),
            tracking_id = self.tracking_id,
            notice = true,
        );
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

async fn token_get(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let facts = Facts::of(&request);
    let (head, _) = request.into_parts();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let done = async {
        let _place = edge.admit(&facts).await?;
        let [key, asserted] = form_parameters(query, ["key", "userId"])?;
        edge.token(&head.headers, &facts, key, asserted).await
    };
    done.await.unwrap_or_else(|refusal| facts.refuse(&refusal))
}

async fn token_post(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let facts = Facts::of(&request);
    let (head, body) = request.into_parts();
    let done = async {
        // No place is held for a body that may never come.
        let body = bounded(body).await?;
        let _place = edge.admit(&facts).await?;
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let [in_query, asserted] = form_parameters(query, ["key", "userId"])?;
        let in_body = match (body.is_empty(), media_type(&head.headers)) {
            (true, _) => None,
            (false, Some(kind)) if kind.eq_ignore_ascii_case("application/json") => key_of_json(&body)?,
            (false, _) => {
                return Err(Refusal::InvalidRequest("the body must be application/json".to_owned()));
            }
        };
        let key = match (in_query, in_body) {
            (Some(_), Some(_)) => return Err(Refusal::InvalidRequest("key is given twice".to_owned())),
            (query, body) => query.or(body),
        };
        edge.token(&head.headers, &facts, key, asserted).await
    };
    done.await.unwrap_or_else(|refusal| facts.refuse(&refusal))
}

impl Edge {
    /// A place among the requests that are worked on; those beyond the limit learn at once to go elsewhere, before anything is
    /// done for them.
    ///
    /// # Errors
    /// All places are taken.
    async fn admit(&self, facts: &Facts) -> Result<Place, Refusal> {
        let place =
            Place::take(&self.in_progress, self.token_limits.load().in_progress).ok_or_else(|| {
                facts.because("tokensInProgress");
                Refusal::Overloaded
            })?;
        // Signing happens on this thread. Without a turn for the others, requests would wait unread where nobody counts them.
        tokio::task::yield_now().await;
        Ok(place)
    }

    /// Both forms of `token`. What is cheap comes first: no password is checked for a request that cannot succeed.
    async fn token(
        &self,
        headers: &HeaderMap,
        facts: &Facts,
        key: Option<String>,
        asserted: Option<String>,
    ) -> Result<Response, Refusal> {
        let limits = self.token_limits.load();
        if let Some(certificate) = &facts.certificate {
            let most = limits.per_second_and_certificate;
            let taken = self.per_certificate.take(&certificate.fingerprint, most, Instant::now());
            taken.map_err(|left| facts.too_many("requestsOfCertificate", left))?;
        }
        let callers = self.store.current().rows::<CertificateCaller>();
        let standing = standing(facts.certificate.as_ref(), &callers);
        if let Standing::Refused(reason) = standing {
            facts.because(reason);
            return Err(Refusal::AccessDenied);
        }
        let method = match presented(headers) {
            Presented::Basic => Some("pwd"),
            Presented::Sip => Some("sip"),
            Presented::SingleSignOn if facts.secure || facts.local => Some("sso"),
            Presented::SingleSignOn => {
                facts.because("loginTokenNotSecured");
                return Err(Refusal::InvalidClient);
            }
            Presented::Bearer if self.identities.is_on() => None,
            // What a caller says of a user counts only where nothing proves one.
            Presented::Nothing if asserted.is_some() && standing == (Standing::Listed { asserts: true }) => {
                None
            }
            // Long-lived tokens do not beget others, or they would live for ever.
            Presented::Bearer => {
                facts.because("bearer");
                return Err(Refusal::InvalidToken);
            }
            Presented::Nothing => {
                facts.because("noCredentials");
                return Err(Refusal::InvalidClient);
            }
        };
        let wanted = match key {
            Some(key) => match self.keys.parse(key) {
                Ok(key) => Wanted::Wrapped(key),
                Err(error) => return Err(Refusal::InvalidRequest(error.to_string())),
            },
            None if self.settings.load().allow_unwrapped_token && (facts.secure || facts.local) => {
                Wanted::Bare
            }
            None => return Err(Refusal::InvalidRequest("key is missing".to_owned())),
        };
        let Some(method) = method else {
            let (method, verified) = match (bearer(headers), asserted) {
                (Some(token), _) if facts.secure || facts.local => {
                    ("ci", self.identities.verify(token).await)
                }
                (Some(_), _) => ("ci", Err(Denied::Token("ciNotSecured"))),
                (None, Some(user)) if headers.get(AUTHORIZATION).is_none() => {
                    ("mtls", self.identities.asserted(&user).await)
                }
                (None, _) => ("ci", Err(Denied::Token("ciMalformed"))),
            };
            return self.token_for(method, verified, headers, facts, wanted).await;
        };
        let account = match self.authenticator.authenticate_anew(headers, facts.peer, facts.trusted()).await {
            Ok(account) => account,
            Err(AuthError::TooManyFailures { left }) => {
                return Err(facts.too_many("failures", left));
            }
            Err(AuthError::PasswordExpired { days }) if facts.trusted() => {
                facts.because("password_expired");
                return Err(Refusal::PasswordExpired(days));
            }
            Err(error @ (AuthError::Missing | AuthError::Refused | AuthError::PasswordExpired { .. })) => {
                let expired = matches!(error, AuthError::PasswordExpired { .. });
                facts.because(if expired { "password_expired" } else { "credentials" });
                return Err(Refusal::InvalidClient);
            }
            Err(AuthError::Unavailable(error)) => {
                facts.because("applicationServer");
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
        // Only who has proved itself is counted: nobody can use up the tokens of somebody else.
        let most = limits.per_minute_and_user;
        let taken = self.per_user.take(account.user_id.as_str(), most, Instant::now());
        taken.map_err(|left| facts.too_many("tokensOfUser", left))?;
        let proof = Proof { method, organization: None };
        let minted = self.minter.mint(&account, proof, wanted, facts.peer, &facts.tracking_id).await?;
        Ok(Answer::of(minted, wants_json(headers)).into_response())
    }

    /// The token of a user for whom somebody else vouches, or the refusal and the reason for the log.
    async fn token_for(
        &self,
        method: &'static str,
        verified: Result<Proven, Denied>,
        headers: &HeaderMap,
        facts: &Facts,
        wanted: Wanted,
    ) -> Result<Response, Refusal> {
        let (reason, refusal) = match verified {
            Ok(proven) => {
                let proof = Proof { method, organization: proven.organization() };
                let account = proven.account();
                let most = self.token_limits.load().per_minute_and_user;
                let taken = self.per_user.take(account.user_id.as_str(), most, Instant::now());
                taken.map_err(|left| facts.too_many("tokensOfUser", left))?;
                let minted = self.minter.mint(account, proof, wanted, facts.peer, &facts.tracking_id).await?;
                return Ok(Answer::of(minted, wants_json(headers)).into_response());
            }
            Err(Denied::Token(reason)) => (reason, Refusal::InvalidToken),
            Err(Denied::Scope) => ("ciScope", Refusal::InsufficientScope),
            Err(Denied::User(reason)) => (reason, Refusal::AccessDenied),
            Err(Denied::Unavailable(reason)) => (reason, Refusal::Unavailable),
            Err(Denied::Internal) => ("internal", Refusal::Internal),
        };
        facts.because(reason);
        Err(refusal)
    }
}

/// One request for a token that is worked on.
struct Place(Arc<AtomicU32>);

impl Place {
    fn take(counter: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < most).then_some(now + 1))
            .ok()
            .map(|_| Self(counter.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn validate(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let facts = Facts::of(&request);
    if !facts.local && facts.proof.is_none() {
        return facts.refuse(&Refusal::NotFound);
    }
    let done = async {
        let body = bounded(request.into_body()).await?;
        if !facts.local && !facts.is_peer(&edge.farm, "POST", "/validate", &body) {
            return Err(Refusal::NotFound);
        }
        let [token] = form_parameters(&body, ["token"])?;
        let token = token.ok_or_else(|| Refusal::InvalidRequest("token is missing".to_owned()))?;
        edge.validator.introspect(&token, &facts.tracking_id).await
    };
    match done.await {
        Ok(introspection) => json(StatusCode::OK, &introspection),
        Err(refusal) => facts.refuse(&refusal),
    }
}

/// The ring for a node of the farm, encrypted under the farm's secret.
async fn ring(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let facts = Facts::of(&request);
    let done = async {
        let body = peer_body(&edge, &facts, request, "/ring").await?;
        drop(body);
        edge.farm.ring().await.map_err(|error| {
            tracing::error!(%error, tracking_id = facts.tracking_id, "the ring cannot be given to a peer");
            Refusal::Unavailable
        })
    };
    match done.await {
        Ok(Some(text)) => {
            tracing::info!(target: "audit", event = "keysGiven", source = %facts.peer, tracking_id = facts.tracking_id, notice = true);
            answer::text(StatusCode::OK, "application/json", text)
        }
        Ok(None) => facts.refuse(&Refusal::Unavailable),
        Err(refusal) => facts.refuse(&refusal),
    }
}

/// A node of the farm wants to make the first key.
async fn claim(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let facts = Facts::of(&request);
    let done = async {
        let body = peer_body(&edge, &facts, request, "/claim").await?;
        serde_json::from_slice::<Claim>(&body)
            .map_err(|_| Refusal::InvalidRequest("the body is no claim".to_owned()))
    };
    match done.await {
        Ok(claim) => json(StatusCode::OK, &edge.farm.claimed(&claim)),
        Err(refusal) => facts.refuse(&refusal),
    }
}

/// The body of a request that only nodes of the farm may make; towards all others the resource does not exist.
async fn peer_body(
    edge: &Edge,
    facts: &Facts,
    request: Request,
    path: &'static str,
) -> Result<bytes::Bytes, Refusal> {
    if facts.proof.is_none() {
        return Err(Refusal::NotFound);
    }
    let body = bounded(request.into_body()).await?;
    if facts.is_peer(&edge.farm, "POST", path, &body) { Ok(body) } else { Err(Refusal::NotFound) }
}

/// Whether tokens can be made here: the ring is open and the clock is right.
async fn ping(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    if edge.farm.clock_fault().is_some() {
        return Facts::of(&request).refuse(&Refusal::Unavailable);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn keys(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let facts = Facts::of(&request);
    if !facts.local && !facts.is_peer(&edge.farm, "GET", "/keys", b"") {
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
