//! Which web pages may ask for tokens from a browser: those whose origin is on the list, to the letter. authservice.md 11
//!
//! The origin is never reflected unseen, `null` and `*` cannot be on the list, and nothing is said to others, so that their
//! browser keeps the answer from them.

use super::{Edge, Facts};
use crate::settings::AllowedOrigin;
use crate::wire::Refusal;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use std::sync::Arc;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-broadworks-no-authchallenge");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("retry-after, trackingid, www-authenticate, x-request-id");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// Answers preflights, and lets pages on the list read answers.
pub(super) async fn allow(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let allowed = origin.as_ref().filter(|origin| {
        let rows = edge.store.rows::<AllowedOrigin>();
        rows.iter().any(|row| row.origin.as_bytes() == origin.as_bytes())
    });
    let preflight = request.method() == Method::OPTIONS
        && origin.is_some()
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (preflight, allowed) {
        (true, Some(_)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            response
        }
        (true, None) => {
            let facts = Facts::of(&request);
            facts.because("origin");
            facts.refuse(&Refusal::AccessDenied)
        }
        (false, _) => next.run(request).await,
    };
    response.headers_mut().append(VARY, BY_ORIGIN);
    if let Some(origin) = allowed {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}
