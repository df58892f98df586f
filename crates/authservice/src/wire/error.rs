//! The errors of authservice.md 3.1: status, code and text, in one place.

use http::StatusCode;
use serde::Serialize;
use std::borrow::Cow;

/// Why a request is refused, as the client learns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A user whose rights do not reach, or a page whose origin is not allowed.
    AccessDenied,
    /// A fault of ours.
    Internal,
    /// An access token of an identity provider without a scope that must be there.
    InsufficientScope,
    /// No or wrong user id and password.
    InvalidClient,
    /// A parameter or the body is missing or wrong; the text says which.
    InvalidRequest(String),
    /// A bearer token that does not prove a user here.
    InvalidToken,
    /// Another method.
    MethodNotAllowed,
    /// Nothing there, or not for this caller.
    NotFound,
    /// There is no key, or nobody to ask, or too much to do.
    Overloaded,
    /// The password has expired; days since. For callers that are trusted with it.
    PasswordExpired(i64),
    /// The body did not come in time.
    RequestTimeout,
    /// Too many failures or requests; seconds until another is looked at.
    SlowDown(u64),
    /// The application server or the key ring cannot be had now.
    Unavailable,
}

/// Seconds after which a client may try again when something behind us is down. authservice.md 8 rule 5
pub(crate) const RETRY_SECONDS: u64 = 2;

impl Refusal {
    /// HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::AccessDenied | Self::InsufficientScope | Self::PasswordExpired(_) => StatusCode::FORBIDDEN,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::SlowDown(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code in `error`: RFC 6749 and 6750 where they have one.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::InsufficientScope => "insufficient_scope",
            Self::Internal => "server_error",
            Self::InvalidClient => "invalid_client",
            Self::InvalidRequest(_) | Self::RequestTimeout => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::PasswordExpired(_) => "password_expired",
            Self::SlowDown(_) => "slow_down",
            Self::Overloaded | Self::Unavailable => "temporarily_unavailable",
        }
    }

    /// The text; the same for unknown users and wrong passwords.
    fn description(&self) -> Cow<'_, str> {
        let text = match self {
            Self::AccessDenied => "The account may not have a token.",
            Self::InsufficientScope => "The token lacks a scope that it must have.",
            Self::Internal => "Internal fault.",
            Self::InvalidClient => "User id and password are missing or refused.",
            Self::InvalidRequest(reason) => reason,
            Self::PasswordExpired(days) => {
                return format!("The password expired {days} days ago and must be changed.").into();
            }
            Self::InvalidToken => "The token is refused.",
            Self::MethodNotAllowed => "The resource does not have this method.",
            Self::NotFound => "There is no such resource.",
            Self::RequestTimeout => "The body did not come in time.",
            Self::SlowDown(_) => "Too many attempts.",
            Self::Overloaded | Self::Unavailable => "Try again, or another host.",
        };
        text.into()
    }

    /// What the log says beside the reason: nothing that the client sent.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::InvalidRequest(reason) => Some(reason),
            _ => None,
        }
    }

    /// Seconds for `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::SlowDown(seconds) => Some(*seconds),
            Self::Overloaded => Some(1),
            Self::Unavailable => Some(RETRY_SECONDS),
            _ => None,
        }
    }

    /// The body.
    pub(crate) fn body<'a>(&'a self, tracking_id: &'a str) -> ErrorBody<'a> {
        ErrorBody { error: self.code(), error_description: self.description(), tracking_id }
    }
}

/// The body of every error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    error: &'static str,
    error_description: Cow<'a, str>,
    tracking_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_row() {
        let table = include_str!("../../../../docs/errors.md");
        for refusal in [
            Refusal::AccessDenied,
            Refusal::InsufficientScope,
            Refusal::Internal,
            Refusal::InvalidClient,
            Refusal::InvalidRequest(String::new()),
            Refusal::InvalidToken,
            Refusal::MethodNotAllowed,
            Refusal::NotFound,
            Refusal::Overloaded,
            Refusal::PasswordExpired(1),
            Refusal::SlowDown(1),
            Refusal::Unavailable,
        ] {
            let row = format!("| `{}` | {} |", refusal.code(), refusal.status().as_u16());
            assert!(table.contains(&row), "docs/errors.md has no {row}");
        }
    }

    #[test]
    fn the_body_has_its_three_members_in_order() {
        let body = serde_json::to_string(&Refusal::InvalidClient.body("t-1")).unwrap();
        assert_eq!(
            body,
            r#"{"error":"invalid_client","error_description":"User id and password are missing or refused.","tracking_id":"t-1"}"#
        );
    }
}
