//! Answers: bodies and headers. authservice.md 3.1

use crate::service::Minted;
use crate::wire::Refusal;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, PRAGMA, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"AuthService\"");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"AuthService\", error=\"invalid_token\"");

/// A token on its way out, in one of two forms.
pub(super) enum Answer {
    Json(Box<TokenBody>),
    Text { bearer: String, kind: &'static str },
}

#[derive(Serialize)]
pub(super) struct TokenBody {
    token: Bearer,
    token_type: &'static str,
    expires_in: i64,
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_expires_in_days: Option<i64>,
}

#[derive(Serialize)]
struct Bearer {
    bearer: String,
}

impl Answer {
    pub(super) fn of(minted: Minted, as_json: bool) -> Self {
        if as_json {
            return Self::Json(Box::new(TokenBody {
                token: Bearer { bearer: minted.bearer },
                token_type: "Bearer",
                expires_in: minted.expires_in,
                user_id: minted.user_id,
                password_expires_in_days: minted.password_expires_in_days,
            }));
        }
        let kind = if minted.wrapped { "application/jose" } else { "application/jwt" };
        Self::Text { bearer: minted.bearer, kind }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(body) => json(StatusCode::OK, &body),
            Self::Text { bearer, kind } => text(StatusCode::OK, kind, bearer),
        }
    }
}

/// A JSON answer that nobody keeps.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => text(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A refusal, with its challenge unless a browser's page does not want one.
pub(super) fn refuse(refusal: &Refusal, tracking_id: &str, no_challenge: bool) -> Response {
    let mut response = json(refusal.status(), &refusal.body(tracking_id));
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if !no_challenge {
        match refusal {
            Refusal::InvalidClient => {
                headers.append(WWW_AUTHENTICATE, BASIC);
            }
            Refusal::InvalidToken => {
                headers.append(WWW_AUTHENTICATE, BASIC);
                headers.append(WWW_AUTHENTICATE, BEARER);
            }
            _ => {}
        }
    }
    response
}

/// An answer that nobody keeps.
pub(super) fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
