//! Device files over HTTP: `protocols/dms.md` 10.

mod tokens;

pub(crate) use tokens::Bearers;

use crate::service::{Access, Denied, Failures, Limits, Shown};
use crate::settings::{AccessControl, Certificates, Headers, TrustedSource};
use crate::wire::{
    Compiled, HardwareAddress, Presented, Told, clean_path, etag, http_date, is_current, told,
};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use openadp_alarms::DMS_GUESSING;
use openadp_appserver::DeviceFile;
use openadp_settings::{Live, Store};
use openadp_webcontainer::ConnectionInfo;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the handler needs.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) access: Access,
    pub(crate) control: Live<AccessControl>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) proofs: Arc<Proofs>,
}

/// Where a device's hardware address is found that others have proved.
pub(crate) struct Proofs {
    certificates: Live<Certificates>,
    headers: Live<Headers>,
    names: Compiled,
    lines: Compiled,
    store: Arc<Store>,
}

/// What others have proved of a device.
enum Proven {
    Nothing,
    /// Its address, and how it was proved.
    Address(HardwareAddress, &'static str),
    /// A trusted firewall says what cannot be understood.
    Unclear,
}

impl Proofs {
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        Self {
            certificates: store.live(),
            headers: store.live(),
            names: Compiled::default(),
            lines: Compiled::default(),
            store: store.clone(),
        }
    }

    fn of(&self, info: Option<&ConnectionInfo>, headers: &HeaderMap) -> Proven {
        let Some(info) = info else { return Proven::Nothing };
        let certificates = self.certificates.load();
        // A certificate that is here was verified in the handshake.
        let name = info.tls.as_ref().and_then(|tls| tls.client.as_ref()?.common_name.as_deref());
        if let (true, Some(pattern), Some(name)) =
            (certificates.enable, certificates.identity_pattern.as_deref(), name)
            && let Some(address) = self.names.find(pattern, name)
        {
            return Proven::Address(address, "certificate");
        }
        let rule = self.headers.load();
        let (true, Some(pattern)) = (rule.enable, rule.identity_pattern.as_deref()) else {
            return Proven::Nothing;
        };
        let peer = info.peer.ip();
        let trusted = self.store.current().rows::<TrustedSource>();
        if !trusted.iter().any(|row| row.network.holds(peer)) {
            return Proven::Nothing;
        }
        match told(&self.lines, pattern, headers) {
            Told::Nothing => Proven::Nothing,
            Told::Address(address) => Proven::Address(address, "header"),
            Told::Unclear => Proven::Unclear,
        }
    }
}

/// Every path below the context.
pub(crate) fn router(edge: Edge) -> Router {
    Router::new().fallback(answer).with_state(edge)
}

async fn answer(State(edge): State<Edge>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        count("methodNotAllowed", "none");
        return with(plain(StatusCode::METHOD_NOT_ALLOWED), ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let info = request.extensions().get::<Arc<ConnectionInfo>>();
    let peer = info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.peer.ip());
    let secure = info.is_some_and(|info| info.tls.is_some());
    if let Some(left) = edge.failures.blocked(peer, Instant::now()) {
        count("blocked", "none");
        return retry(StatusCode::TOO_MANY_REQUESTS, left);
    }
    // The same for every caller, so it tells nobody anything.
    let path = match clean_path(request.uri().path()) {
        Ok(path) => path,
        Err(fault) => {
            count("badPath", "none");
            tracing::debug!(%fault, "path refused");
            return plain(StatusCode::BAD_REQUEST);
        }
    };
    let control = edge.control.load();
    let presented = Presented::of(request.headers());
    let (proven, way) = match edge.proofs.of(info.map(AsRef::as_ref), request.headers()) {
        Proven::Nothing => (None, presented.name()),
        Proven::Address(address, way) => (Some(address), way),
        Proven::Unclear => return refuse(&edge, &control, Denied::Challenge(Shown::Address), peer, "header"),
    };
    let allow_password = secure || control.allow_basic_over_http;
    match edge.access.file(path, secure, allow_password, proven, presented).await {
        Ok(file) => found(request.headers(), file, way),
        Err(denied) => refuse(&edge, &control, denied, peer, way),
    }
}

fn refuse(edge: &Edge, control: &AccessControl, denied: Denied, peer: IpAddr, way: &'static str) -> Response {
    match denied {
        Denied::Challenge(shown) => {
            if matches!(shown, Shown::Password | Shown::Elsewhere) {
                let limits = Limits {
                    failures: control.failures_per_source,
                    window: Duration::from_secs(control.failure_window_seconds),
                    block: Duration::from_secs(control.block_seconds),
                };
                if edge.failures.failed(peer, limits, Instant::now()) {
                    metrics::counter!("dms_sources_blocked_total").increment(1);
                    let source = peer.to_string();
                    DMS_GUESSING.report(&[("source", &source)], "too many wrong credentials");
                }
            }
            count(if shown == Shown::Nothing { "challenged" } else { "refused" }, way);
            let challenge = format!("Basic realm=\"{}\"", control.realm.replace(['"', '\\'], ""));
            let challenge = HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Basic"));
            let response = with(plain(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, challenge);
            with(response, VARY, HeaderValue::from_static("Authorization"))
        }
        Denied::NotFound => {
            count("notFound", way);
            with(plain(StatusCode::NOT_FOUND), VARY, HeaderValue::from_static("Authorization"))
        }
        Denied::Unavailable(error) => {
            count("unavailable", way);
            tracing::warn!(error = chain(&*error), "application server cannot decide over a file");
            retry(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(2))
        }
        Denied::Internal(error) => {
            count("internal", way);
            tracing::error!(error = chain(&*error), "deciding over a file failed");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// The file, or 304: asked for with valid credentials either way.
fn found(asked: &HeaderMap, file: DeviceFile, way: &'static str) -> Response {
    let tag = etag(&file.content);
    let current = is_current(asked, &tag, file.built_at);
    count(if current { "notModified" } else { "served" }, way);
    let mut response = if current { StatusCode::NOT_MODIFIED.into_response() } else { Response::default() };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    if let Some(date) = http_date(file.built_at).and_then(|date| HeaderValue::from_str(&date).ok()) {
        headers.insert(LAST_MODIFIED, date);
    }
    // One URL for every user: nothing between us and the device may keep it.
    let cache = if file.confidential { "private, no-store" } else { "private, no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(VARY, HeaderValue::from_static("Authorization"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !current {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        metrics::counter!("dms_bytes_total").increment(u64::try_from(file.content.len()).unwrap_or(u64::MAX));
        *response.body_mut() = Body::from(file.content);
    }
    response
}

/// A status and its name.
fn plain(status: StatusCode) -> Response {
    let text = status.canonical_reason().unwrap_or_default();
    let mut response = (status, format!("{text}\n")).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn with(mut response: Response, name: http::HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

fn retry(status: StatusCode, after: Duration) -> Response {
    with(plain(status), RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
}

fn count(outcome: &'static str, way: &'static str) {
    metrics::counter!("dms_requests_total", "outcome" => outcome, "authentication" => way).increment(1);
}

/// An error and its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
