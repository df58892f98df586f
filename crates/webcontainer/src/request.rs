//! One request from its head to its answer's head: what the container does for all applications alike.

use crate::activity::InFlight;
use crate::body::{CappedBody, HeldBody, LentBody, Pace};
use crate::container::{Running, WebContainer};
use crate::mount::{Mounted, has_dot_segment};
use crate::{ConnectionInfo, Refused, cors, respond};
use axum::Router;
use axum::body::Body;
use axum::extract::OriginalUri;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as HttpBody;
use openadp_alarms::APPLICATION_PANICKED;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::Instrument;

/// Characters of a path that the access log shows; longer than any real one.
const MAX_LOGGED_PATH: usize = 512;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// Id of a request, from edge to store: the client's own where it is sane, else made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    /// Takes the client's id from `X-Request-Id` or `TrackingID`, or makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        [REQUEST_ID, TRACKING_ID]
            .iter()
            .filter_map(|name| headers.get(name))
            .filter_map(|value| value.to_str().ok())
            .find(|text| is_sane(text))
            .map_or_else(|| Self(uuid::Uuid::new_v4().to_string()), |text| Self(text.to_owned()))
    }
}

/// Long enough for every cloud's tracking id, and nothing in it that could forge a log line.
fn is_sane(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// Why an application gave no answer.
enum Fault {
    Panicked,
    TimedOut,
}

impl WebContainer {
    /// Answers one request.
    pub(crate) async fn handle<B>(
        self: Arc<Self>,
        info: Arc<ConnectionInfo>,
        request: Request<B>,
        in_flight: InFlight,
    ) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let id = RequestId::of(request.headers());
        let tracked = request.headers().contains_key(TRACKING_ID);
        let (method, version) = (request.method().clone(), request.version());
        // Never the query: tokens and keys travel there.
        let path: String = request.uri().path().chars().take(MAX_LOGGED_PATH).collect();
        let span = tracing::info_span!("request", id = %id.0, app = tracing::field::Empty);
        // Who asks first whether to send the body is told by the answer that it is not wanted.
        let asks = request.headers().contains_key(EXPECT);
        let listed = self.cors().listed(request.headers());
        let (parts, body) = request.into_parts();
        let (body, unwanted) = LentBody::lend(body);
        let request = Request::from_parts(parts, body);
        let (app, response) =
            self.clone().route(&info, request, &id, listed.is_some()).instrument(span.clone()).await;
        if !asks {
            unwanted.discard().await;
        }

        let mut response = self.finish(response, app, &method);
        if let Some(listed) = listed {
            listed.mark(app, response.headers_mut());
        }
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            if tracked {
                response.headers_mut().insert(TRACKING_ID, value.clone());
            }
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let took = began.elapsed();
        let status = response.status();
        count(app, &method, status, took);
        span.in_scope(|| {
            tracing::info!(
                target: "access",
                method = %method,
                path,
                version = ?version,
                status = status.as_u16(),
                app,
                peer = %info.peer,
                duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "request"
            );
        });
        response.map(|body| Body::new(HeldBody::new(body, in_flight)))
    }

    /// Finds who answers, and lets them; gives the application's name for logs and metrics with the answer.
    async fn route<B>(
        self: Arc<Self>,
        info: &Arc<ConnectionInfo>,
        request: Request<B>,
        id: &RequestId,
        listed: bool,
    ) -> (&'static str, Response<Body>)
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        const NOBODY: &str = "none";
        if let Some(refused) = malformed(&request) {
            return (NOBODY, refused);
        }
        let mounts = self.mounts();
        let Some((mount, below)) = mounts.1.find(request.uri().path()) else {
            return (NOBODY, respond::plain(StatusCode::NOT_FOUND, "not found\n"));
        };
        let application = &mount.application;
        let name = application.label;
        if !self.bindings().serve(info, &application.name) {
            return (NOBODY, respond::plain(StatusCode::NOT_FOUND, "not found\n"));
        }
        tracing::Span::current().record("app", name);
        if let Some(response) = listed.then(|| cors::preflight(&request, name)).flatten() {
            return (name, response);
        }
        if let Some(reason) = self.rules().refuses(info, &application.name) {
            return (name, respond::plain(StatusCode::FORBIDDEN, reason));
        }
        if let Some(seconds) = self.lock().refuses()
            && !mount.finishes.is_some_and(|finishes| finishes(request.method(), below))
        {
            let refused = Refused {
                id: &id.0,
                query: request.uri().query().unwrap_or_default(),
                headers: request.headers(),
            };
            let form = mount.refusal.map(|refusal| refusal(&refused));
            return (name, respond::refused(form, "the node is locked\n", seconds));
        }
        if mount.stopped {
            return (name, respond::busy("the application is stopped\n"));
        }
        let limits = self.limits();
        let max_body = usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX);
        let Some(running) = Running::begin(&self, application, &limits) else {
            return (name, respond::busy("too many requests at once, try again\n"));
        };
        let pace = Arc::new(Pace::default());
        let body_timeout = Duration::from_secs(limits.body_timeout_secs.into());
        let Ok(uri) = rebase(request.uri(), below) else {
            return (name, respond::plain(StatusCode::BAD_REQUEST, "malformed path\n"));
        };
        let (mut parts, body) = request.into_parts();
        let original = std::mem::replace(&mut parts.uri, uri);
        parts.extensions.insert(OriginalUri(original));
        parts.extensions.insert(id.clone());
        parts.extensions.insert(info.clone());
        // What is too long is found when it is read, if only announced: the application refuses it in its own form.
        let body = Body::new(CappedBody::new(body, max_body, body_timeout, pace.clone()));
        let safe = parts.method.is_safe();
        let request = Request::from_parts(parts, body);

        let answering =
            answer(mount, request, pace, Duration::from_millis(limits.answer_timeout_millis.into()));
        let answering = openadp_appserver::request_id::scope(id.0.clone(), async move {
            // Counted as long as somebody works on it, also after its client went away.
            let _running = running;
            answering.await
        });
        let answered = if safe {
            answering.await
        } else {
            // A change that was begun is finished, whether its client waits for the answer or not.
            let detached = self.tasks().spawn(answering.instrument(tracing::Span::current()));
            detached.await.unwrap_or(Err(Fault::Panicked))
        };
        let response = match answered {
            Ok(response) => response,
            Err(Fault::Panicked) => {
                metrics::counter!("http_panics_total", "app" => name).increment(1);
                APPLICATION_PANICKED.report(&[("application", name)], "a request was answered 500");
                respond::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
            }
            Err(Fault::TimedOut) => {
                metrics::counter!("http_timeouts_total", "app" => name).increment(1);
                tracing::warn!(app = name, "no answer in time");
                respond::busy("no answer in time, try again\n")
            }
        };
        (name, response)
    }

    /// What every answer gets.
    #[expect(clippy::unused_self, reason = "a step of the container's work, beside the others")]
    fn finish(&self, mut response: Response<Body>, app: &'static str, method: &Method) -> Response<Body> {
        if respond::redirects(&response) {
            tracing::error!(app, status = response.status().as_u16(), "an application tried to redirect");
            response = respond::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n");
        }
        respond::harden(response.headers_mut());
        if method == Method::HEAD {
            let length = response.body().size_hint().exact();
            *response.body_mut() = Body::empty();
            if let Some(length) = length.filter(|length| *length > 0) {
                response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
            }
        }
        response
    }
}

/// Requests that no application should see.
fn malformed<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.method() == Method::CONNECT || request.method() == Method::TRACE {
        return Some(respond::plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"));
    }
    // RFC 9112 3.2: HTTP/1.1 without Host, or with several, is answered 400.
    if request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1 {
        return Some(respond::plain(StatusCode::BAD_REQUEST, "exactly one Host header is needed\n"));
    }
    if has_dot_segment(request.uri().path()) {
        return Some(respond::plain(StatusCode::BAD_REQUEST, "malformed path\n"));
    }
    None
}

/// The URI as the application sees it: the path below its mount, and the query.
fn rebase(uri: &Uri, below: &str) -> Result<Uri, http::uri::InvalidUri> {
    match uri.query() {
        Some(query) => format!("{below}?{query}").parse(),
        None => below.parse(),
    }
}

/// Runs the application until it answers, panics, or its time is over; time that it waits for the client is its own.
fn answer(
    mount: &Mounted,
    request: Request<Body>,
    pace: Arc<Pace>,
    limit: Duration,
) -> impl Future<Output = Result<Response<Body>, Fault>> + Send + use<> {
    let router: Router = mount.router.clone();
    async move {
        let began = Instant::now();
        let mut working = std::pin::pin!(AssertUnwindSafe(router.oneshot(request)).catch_unwind());
        loop {
            let deadline = began + limit + pace.waited();
            tokio::select! {
                done = &mut working => return match done {
                    Ok(Ok(response)) => Ok(response),
                    Ok(Err(never)) => match never {},
                    Err(_panic) => Err(Fault::Panicked),
                },
                () = tokio::time::sleep_until(deadline) => {
                    if began.elapsed() >= limit + pace.waited() {
                        return Err(Fault::TimedOut);
                    }
                }
            }
        }
    }
}

fn count(app: &'static str, method: &Method, status: StatusCode, took: Duration) {
    let method = match *method {
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    };
    let class = match status.as_u16() {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "1xx",
    };
    metrics::counter!("http_requests_total", "app" => app, "method" => method, "status" => class)
        .increment(1);
    metrics::histogram!("http_request_duration_seconds", "app" => app).record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: HeaderName, value: &'static str) -> String {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        RequestId::of(&headers).0
    }

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        assert_eq!(id(REQUEST_ID, "abc-1.2_3:4"), "abc-1.2_3:4");
        assert_eq!(id(TRACKING_ID, "ROUTER_5F1-01BB"), "ROUTER_5F1-01BB");
        for bad in ["", "a b", "a\"b", "{}", "a=b"] {
            let made = id(REQUEST_ID, bad);
            assert_ne!(made, bad);
            assert_eq!(made.len(), 36);
        }
        let long = Box::leak("x".repeat(129).into_boxed_str());
        assert_eq!(id(REQUEST_ID, long).len(), 36);
    }

    #[test]
    fn the_query_stays_with_the_path_below() {
        let uri: Uri = "https://h/app/a%20b?x=1&y".parse().unwrap();
        assert_eq!(rebase(&uri, "/a%20b").unwrap().to_string(), "/a%20b?x=1&y");
    }
}
