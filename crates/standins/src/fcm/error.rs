//! Refusals in Google's shape: `error.code`, `error.message`, `error.status`, `error.details`.

use crate::server;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

/// Type of the detail that carries FCM's own code.
const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
/// Type of the detail that names a bad field.
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

pub(super) enum Refusal {
    NoAccessToken,
    BadAccessToken,
    NoPermission(String),
    NoProject,
    /// A field of the request is wrong.
    BadRequest {
        field: String,
        description: String,
    },
    TooBig,
    BadToken,
    SenderIdMismatch,
    Unregistered,
    Scripted {
        status: u16,
        code: String,
    },
}

impl Refusal {
    pub(super) fn bad_request(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::BadRequest { field: field.into(), description: description.into() }
    }
    pub(super) fn too_big() -> Self {
        Self::TooBig
    }
    pub(super) fn scripted(status: u16, code: &str) -> Self {
        Self::Scripted { status, code: code.to_owned() }
    }
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::NoAccessToken | Self::BadAccessToken => 401,
            Self::NoPermission(_) | Self::SenderIdMismatch => 403,
            Self::NoProject | Self::Unregistered => 404,
            Self::BadRequest { .. } | Self::TooBig | Self::BadToken => 400,
            Self::Scripted { status, .. } => *status,
        }
    }
    /// What the record calls it.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::NoAccessToken | Self::BadAccessToken => "UNAUTHENTICATED",
            Self::NoPermission(_) => "PERMISSION_DENIED",
            Self::NoProject => "NOT_FOUND",
            Self::BadRequest { .. } | Self::TooBig | Self::BadToken => "INVALID_ARGUMENT",
            Self::SenderIdMismatch => "SENDER_ID_MISMATCH",
            Self::Unregistered => "UNREGISTERED",
            Self::Scripted { code, .. } => code,
        }
    }
    fn message(&self) -> String {
        match self {
            Self::NoAccessToken => "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential.".to_owned(),
            Self::BadAccessToken => "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.".to_owned(),
            Self::NoPermission(project) => format!("Permission 'cloudmessaging.messages.create' denied on resource '//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."),
            Self::BadRequest { description, .. } => description.clone(),
            Self::TooBig => "Android message is too big".to_owned(),
            Self::BadToken => "The registration token is not a valid FCM registration token".to_owned(),
            Self::SenderIdMismatch => "SenderId mismatch".to_owned(),
            Self::NoProject | Self::Unregistered => "Requested entity was not found.".to_owned(),
            Self::Scripted { code, .. } => format!("scripted {code}"),
        }
    }
    fn details(&self) -> Vec<Value> {
        let fcm = |code: &str| json!({ "@type": FCM_ERROR, "errorCode": code });
        match self {
            Self::NoAccessToken | Self::BadAccessToken | Self::NoPermission(_) | Self::NoProject => {
                Vec::new()
            }
            Self::BadRequest { field, description } => vec![json!({
                "@type": BAD_REQUEST, "fieldViolations": [{ "field": field, "description": description }]
            })],
            Self::TooBig | Self::BadToken => vec![fcm("INVALID_ARGUMENT")],
            Self::SenderIdMismatch | Self::Unregistered => vec![fcm(self.reason())],
            // Quota errors of the platform itself carry no FCM code.
            Self::Scripted { code, .. }
                if matches!(
                    code.as_str(),
                    "RESOURCE_EXHAUSTED" | "PERMISSION_DENIED" | "UNAUTHENTICATED"
                ) =>
            {
                Vec::new()
            }
            Self::Scripted { code, .. } => vec![fcm(code)],
        }
    }
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let status = match self.status() {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        let mut error = json!({ "code": self.status(), "message": self.message(), "status": status });
        let details = self.details();
        if !details.is_empty() {
            error["details"] = details.into();
        }
        server::json(self.status(), &json!({ "error": error }))
    }
}
