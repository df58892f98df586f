//! Refusals of requests, put into the wire's form: one place.

use crate::wire::SchemaProblem;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// Seconds after which an application server may come back; it tries another server meanwhile.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Neither secret nor certificate.
    Unauthenticated,
    /// A wrong secret, or a certificate that is not listed.
    Forbidden,
    /// The body is not what it should be.
    Schema(Vec<SchemaProblem>),
    TooLarge,
    /// The body did not come.
    BodyTimeout,
    BodyBroken,
    Overloaded,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match &self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Schema(_) => (StatusCode::BAD_REQUEST, "schema"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "tooLarge"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "bodyTimeout"),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "bodyBroken"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        };
        let mut body = json!({ "error": error });
        if let Self::Schema(problems) = &self {
            body["problems"] = json!(problems);
        }
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
