//! The container's own answers: small plain texts, for what no application takes.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, SERVER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const FRAME: HeaderName = HeaderName::from_static("x-frame-options");

/// Seconds after which a refused client may try again: overload here is short, and design.md wants another try soon.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// A plain text with a status.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// 503 with the time of the next try.
pub(crate) fn busy(text: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// 503 in an application's own form, where it has one.
pub(crate) fn refused(
    form: Option<(&'static str, Bytes)>,
    text: &'static str,
    seconds: u32,
) -> Response<Body> {
    let mut response = busy(text);
    if let Some((content_type, body)) = form {
        *response.body_mut() = Body::from(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Headers of every answer. An application's own choice stays.
pub(crate) fn harden(headers: &mut HeaderMap) {
    headers.remove(SERVER);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(NOSNIFF).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(FRAME).or_insert(HeaderValue::from_static("DENY"));
}

/// Whether an answer would send the client elsewhere, which no application of ours may.
pub(crate) fn redirects(response: &Response<Body>) -> bool {
    response.status().is_redirection()
        && (response.status() != StatusCode::NOT_MODIFIED || response.headers().contains_key(LOCATION))
}
