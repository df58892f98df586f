//! What the application server gets back.

use serde::Serialize;

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// The same push was sent before, or is being sent.
    Duplicate,
    /// Its time was over, or a newer one took its place, before it could be sent.
    Expired,
    /// No credentials for the application.
    NotConfigured,
    /// The provider, or a rule of ours, does not allow it; trying again does not help.
    Rejected,
    /// The provider took it.
    Sent,
    /// Too many for the provider, the phone or this server.
    Throttled,
    /// The token is dead: delete the registration, unless it is newer than `invalidSince`.
    TokenInvalid,
    /// The provider could not be reached, or failed.
    Unavailable,
}

impl Status {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Expired => "expired",
            Self::NotConfigured => "notConfigured",
            Self::Rejected => "rejected",
            Self::Sent => "sent",
            Self::Throttled => "throttled",
            Self::TokenInvalid => "tokenInvalid",
            Self::Unavailable => "unavailable",
        }
    }
    /// Whether the same request may fare better later.
    pub(crate) fn may_improve(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::NotConfigured => true,
            Self::Duplicate | Self::Expired | Self::Rejected | Self::Sent | Self::TokenInvalid => false,
        }
    }
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetResult {
    pub(crate) registration_id: String,
    pub(crate) status: Status,
    /// The provider's own id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider_id: Option<String>,
    /// Why, in the provider's words or ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Since when the token is dead, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invalid_since: Option<String>,
    pub(crate) latency_ms: u64,
}

/// The answer to a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) notification_id: String,
    pub(crate) results: Vec<TargetResult>,
}

/// A dead token, for an application server that did not wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeedbackEntry {
    pub(crate) cursor: u64,
    pub(crate) registration_id: String,
    pub(crate) application_id: String,
    pub(crate) invalid_since: String,
    pub(crate) reason: String,
}

/// A page of dead tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Feedback {
    /// Pass as `since` to get what came later.
    pub(crate) cursor: u64,
    pub(crate) entries: Vec<FeedbackEntry>,
}
