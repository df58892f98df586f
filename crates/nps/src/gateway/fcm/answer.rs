//! What FCM's answers mean: the table of `protocols/nps.md` 12. Pure.

use crate::gateway::Action;
use serde_json::Value;

macro_rules! codes {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// FCM's own error codes; anything else is [`Code::Unknown`], none at all is [`Code::Absent`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $($name,)+ Unknown, Absent }

        impl Code {
            /// All known ones, for tests.
            #[cfg(test)]
            pub(super) const KNOWN: &[Self] = &[$(Self::$name),+];
            fn parse(text: &str) -> Self {
                match text { $($text => Self::$name,)+ _ => Self::Unknown }
            }
            /// Its name in metrics.
            pub(super) fn label(self) -> &'static str {
                match self { $(Self::$name => $text,)+ Self::Unknown => "other", Self::Absent => "none" }
            }
        }
    };
}

codes!(
    Internal = "INTERNAL",
    InvalidArgument = "INVALID_ARGUMENT",
    QuotaExceeded = "QUOTA_EXCEEDED",
    SenderIdMismatch = "SENDER_ID_MISMATCH",
    ThirdPartyAuthError = "THIRD_PARTY_AUTH_ERROR",
    Unavailable = "UNAVAILABLE",
    Unregistered = "UNREGISTERED",
    UnspecifiedError = "UNSPECIFIED_ERROR",
);

/// What matters of an error body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// `error.status`.
    pub(super) canonical: String,
    /// Whether a detail names a bad field: then the message is wrong, not the token.
    pub(super) bad_request: bool,
    /// Whether the message is too big.
    pub(super) too_big: bool,
    /// Whether one phone gets too many, not the project.
    pub(super) device_rate: bool,
}

impl Failure {
    /// Reads a body; an empty or strange one has no code.
    pub(super) fn parse(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &body["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let typed = |name: &str| {
            details.iter().find(|detail| detail["@type"].as_str().is_some_and(|t| t.ends_with(name)))
        };
        let code = typed("google.firebase.fcm.v1.FcmError")
            .and_then(|detail| detail["errorCode"].as_str())
            .map_or(Code::Absent, Code::parse);
        let message = text(&error["message"]).to_ascii_lowercase();
        Self {
            code,
            canonical: text(&error["status"]),
            bad_request: typed("google.rpc.BadRequest").is_some(),
            too_big: message.contains("too big") || message.contains("too large"),
            device_rate: message.contains("device"),
        }
    }
    /// Its name in logs and answers.
    pub(super) fn name(&self) -> &str {
        match self.code {
            Code::Absent | Code::Unknown => &self.canonical,
            Code::Internal
            | Code::InvalidArgument
            | Code::QuotaExceeded
            | Code::SenderIdMismatch
            | Code::ThirdPartyAuthError
            | Code::Unavailable
            | Code::Unregistered
            | Code::UnspecifiedError => self.code.label(),
        }
    }
}

/// What to do about an answer.
pub(super) fn action(status: u16, failure: &Failure) -> Action {
    if status == 200 {
        return Action::Sent;
    }
    if failure.too_big {
        return Action::ShortenOnce;
    }
    match failure.code {
        Code::InvalidArgument if failure.bad_request => Action::OurFault,
        Code::InvalidArgument | Code::SenderIdMismatch => Action::Drop { guarded: true },
        Code::Unregistered => Action::Drop { guarded: false },
        Code::QuotaExceeded if failure.device_rate => Action::HoldToken,
        Code::QuotaExceeded => Action::HoldApplication,
        Code::ThirdPartyAuthError => Action::Configuration { stops: false },
        Code::Internal => Action::Retry,
        Code::Unavailable => Action::RetryElsewhere,
        Code::UnspecifiedError | Code::Unknown | Code::Absent => by_status(status),
    }
}

/// No code of FCM's own.
fn by_status(status: u16) -> Action {
    match status {
        401 => Action::RenewOnce,
        // The interface is off, a role is missing, or the project does not exist. Redirects are never followed.
        300..=399 | 403 | 404 => Action::Configuration { stops: true },
        413 => Action::ShortenOnce,
        429 => Action::HoldApplication,
        503 => Action::RetryElsewhere,
        500..=599 => Action::Retry,
        _ => Action::OurFault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(status: u16, canonical: &str, code: Option<&str>, bad_request: bool, message: &str) -> Failure {
        let mut details = Vec::new();
        if let Some(code) = code {
            details.push(
                json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }),
            );
        }
        if bad_request {
            details
                .push(json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [] }));
        }
        let body = json!({ "error": { "code": status, "message": message, "status": canonical, "details": details } });
        Failure::parse(body.to_string().as_bytes())
    }

    /// The table of section 12, written out again.
    #[test]
    fn every_row_of_the_table() {
        let rows = [
            (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), false, "", Action::Drop { guarded: true }),
            (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), true, "", Action::OurFault),
            (400, "INVALID_ARGUMENT", None, true, "", Action::OurFault),
            (
                400,
                "INVALID_ARGUMENT",
                Some("INVALID_ARGUMENT"),
                false,
                "Android message is too big",
                Action::ShortenOnce,
            ),
            (401, "UNAUTHENTICATED", None, false, "", Action::RenewOnce),
            (
                401,
                "UNAUTHENTICATED",
                Some("THIRD_PARTY_AUTH_ERROR"),
                false,
                "",
                Action::Configuration { stops: false },
            ),
            (403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), false, "", Action::Drop { guarded: true }),
            (403, "PERMISSION_DENIED", None, false, "", Action::Configuration { stops: true }),
            (404, "NOT_FOUND", Some("UNREGISTERED"), false, "", Action::Drop { guarded: false }),
            (404, "NOT_FOUND", None, false, "", Action::Configuration { stops: true }),
            (413, "", None, false, "", Action::ShortenOnce),
            (
                429,
                "RESOURCE_EXHAUSTED",
                Some("QUOTA_EXCEEDED"),
                false,
                "project rate",
                Action::HoldApplication,
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                Some("QUOTA_EXCEEDED"),
                false,
                "Device message rate exceeded",
                Action::HoldToken,
            ),
            (429, "RESOURCE_EXHAUSTED", None, false, "", Action::HoldApplication),
            (500, "INTERNAL", Some("INTERNAL"), false, "", Action::Retry),
            (503, "UNAVAILABLE", Some("UNAVAILABLE"), false, "", Action::RetryElsewhere),
            (500, "", Some("UNSPECIFIED_ERROR"), false, "", Action::Retry),
            (302, "", None, false, "", Action::Configuration { stops: true }),
        ];
        let mut covered = Vec::new();
        for (status, canonical, code, bad_request, message, expected) in rows {
            let failure = body(status, canonical, code, bad_request, message);
            covered.push(failure.code);
            assert_eq!(action(status, &failure), expected, "{status} {canonical} {code:?} {message}");
        }
        for known in Code::KNOWN {
            assert!(covered.contains(known), "{known:?} has no row");
        }
    }

    #[test]
    fn empty_and_strange_bodies_go_by_status() {
        for text in ["", "<html>", "[]", "{\"error\":[]}", "{\"error\":{\"details\":{}}}"] {
            let failure = Failure::parse(text.as_bytes());
            assert_eq!(action(502, &failure), Action::Retry, "{text}");
            assert_eq!(action(503, &failure), Action::RetryElsewhere, "{text}");
            assert_eq!(action(400, &failure), Action::OurFault, "{text}");
        }
    }
}
