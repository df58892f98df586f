//! Why a request is refused: one enum, one exhaustive function to the wire, one table.
//!
//! Codes below 200000 are the product's, as clients know them (xsi.md 4); codes from 210000 on are ours and never change
//! their meaning. `docs/errors.md` has a row for each; a test holds both lists equal.

use crate::Reply;
use openadp_appserver::PortError;

/// Why a transport refuses a request before XSI sees it; [`Reply::refused`] is its wire form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is no document.
    #[error("not a document: {reason}")]
    BadBody {
        /// What is wrong; repeats nothing of the body.
        reason: String,
    },
    /// The account may not do this at all.
    #[error("not allowed")]
    Forbidden,
    /// A fault of ours.
    #[error("internal fault")]
    Internal,
    /// No such resource.
    #[error("resource not found")]
    ResourceNotFound,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    Timeout,
    /// The body is larger than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// Too many logins failed.
    #[error("too many failed logins")]
    TooManyFailures {
        /// Until the next one is looked at.
        seconds: u64,
    },
    /// Nobody knows who asks.
    #[error("not authenticated")]
    Unauthenticated,
    /// It cannot be found out who asks.
    #[error("application server unavailable")]
    Unavailable,
    /// The method is none of the four.
    #[error("method not allowed")]
    UnknownMethod,
}

impl Reply {
    /// The answer to a request that a transport refuses.
    pub fn refused(refusal: &Refusal) -> Self {
        let error = match refusal {
            Refusal::BadBody { reason } => ApiError::BadDocument { reason: reason.clone() },
            Refusal::Forbidden => ApiError::Forbidden,
            Refusal::Internal => ApiError::Internal { source: None },
            Refusal::ResourceNotFound => ApiError::ResourceNotFound,
            Refusal::Timeout => ApiError::BodyTimeout,
            Refusal::TooLarge => ApiError::BodyTooLarge,
            Refusal::TooManyFailures { seconds } => ApiError::TooManyFailures { seconds: *seconds },
            Refusal::Unauthenticated => ApiError::Unauthenticated,
            Refusal::Unavailable => ApiError::Overloaded,
            Refusal::UnknownMethod => ApiError::MethodNotAllowed { allow: "DELETE, GET, POST, PUT" },
        };
        crate::api::refusal(&error)
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// A location of BroadWorks Anywhere has the number already.
    #[error("the number is a location already")]
    AnywhereNumberTaken,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    BodyTimeout,
    /// The body is larger than allowed.
    #[error("the body is too large")]
    BodyTooLarge,
    /// Another application or subscription got there first.
    #[error("{what} exists already")]
    Conflict { what: &'static str },
    /// The channel is not there.
    #[error("channel not found")]
    ChannelNotFound,
    /// No channel of the set is open.
    #[error("channel set not found")]
    ChannelSetNotFound,
    /// A document is missing, has the wrong root, or lacks something.
    #[error("bad document: {reason}")]
    BadDocument { reason: String },
    /// A parameter is missing or no good.
    #[error("bad parameter {name}: {reason}")]
    BadParameter { name: &'static str, reason: String },
    /// Outside of what the account may see or do.
    #[error("not allowed")]
    Forbidden,
    /// A fault of ours or of the adapter.
    #[error("internal fault")]
    Internal { source: Option<PortError> },
    /// A limit is reached.
    #[error("limit of {what} reached")]
    LimitReached { what: &'static str },
    /// A limit of requests within a period is reached.
    #[error("limit of requests reached: {limit}")]
    TooMany { limit: &'static str },
    /// Too many logins failed; further ones are not looked at for a while.
    #[error("too many failed logins")]
    TooManyFailures { seconds: u64 },
    /// It cannot be found out who asks.
    #[error("overloaded")]
    Overloaded,
    /// The resource is there, the method is not.
    #[error("method not allowed")]
    MethodNotAllowed { allow: &'static str },
    /// The named user, call, registration or the like is not there.
    #[error("{what} not found")]
    NotFound { what: &'static str },
    /// The user does not have the service.
    #[error("service not assigned: {service}")]
    NotAssigned { service: &'static str },
    /// The package is known and not offered here.
    #[error("event package not offered: {name}")]
    PackageNotOffered { name: String },
    /// Nobody knows the package.
    #[error("event package unknown: {name}")]
    PackageUnknown { name: String },
    /// No such resource.
    #[error("resource not found")]
    ResourceNotFound,
    /// The subscription is not there, or is somebody else's.
    #[error("subscription not found")]
    SubscriptionNotFound,
    /// Nobody knows who asks.
    #[error("not authenticated")]
    Unauthenticated,
    /// The application server cannot be reached.
    #[error("application server unavailable")]
    Unavailable { source: PortError },
    /// The transport cannot do it.
    #[error("not supported: {what}")]
    Unsupported { what: &'static str },
    /// The call is in a state that does not allow it.
    #[error("not possible now: {reason}")]
    WrongState { reason: String },
}

/// How an error looks on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WireError {
    /// HTTP status.
    pub(crate) status: u16,
    /// `errorCode`.
    pub(crate) code: u32,
    /// `summary` and `summaryEnglish`.
    pub(crate) summary: String,
    /// Value of the `Allow` header.
    pub(crate) allow: Option<&'static str>,
}

/// All codes with their status and meaning: the table of `docs/errors.md`.
#[cfg(test)]
pub(crate) const TABLE: &[(u32, u16, &str)] = &[
    (8_251, 409, "The number is a BroadWorks Anywhere location already"),
    (110_842, 403, "No channel of the channel set is open"),
    (110_862, 403, "The subscription does not exist, or belongs to somebody else"),
    (210_400, 400, "A document is missing or not acceptable"),
    (210_401, 400, "A parameter is missing or not acceptable"),
    (210_402, 400, "The event package is unknown"),
    (210_403, 403, "The account may not see or do this"),
    (210_404, 404, "There is no such resource"),
    (210_405, 405, "The resource does not have this method"),
    (210_406, 404, "The named user, group, call, device or registration does not exist"),
    (210_407, 404, "The channel does not exist"),
    (210_408, 404, "The service is not assigned to the user"),
    (210_409, 409, "It exists already"),
    (210_410, 409, "The call is not in a state that allows this"),
    (210_411, 403, "A limit is reached"),
    (210_412, 403, "The event package is not offered here"),
    (210_413, 400, "This kind of delivery is not supported"),
    (210_414, 401, "The credentials are missing or refused"),
    (210_415, 413, "The body is too large"),
    (210_416, 408, "The body did not come in time"),
    (
        210_429,
        429,
        "Too many logins failed, of the user from there or from there altogether; Retry-After tells when the next is looked at",
    ),
    (210_500, 500, "Internal fault"),
    (210_503, 503, "The application server cannot be reached"),
    (210_504, 503, "Too many requests within a period"),
];

impl ApiError {
    /// The wire form; the one place that decides.
    pub(crate) fn wire(&self) -> WireError {
        let (status, code, summary) = match self {
            Self::AnywhereNumberTaken => {
                (409, 8_251, "The number is a BroadWorks Anywhere location already".to_owned())
            }
            Self::BadDocument { reason } => (400, 210_400, format!("Invalid document: {reason}")),
            Self::BadParameter { name, reason } => {
                (400, 210_401, format!("Invalid parameter {name}: {reason}"))
            }
            Self::BodyTimeout => (408, 210_416, "The body did not come in time".to_owned()),
            Self::BodyTooLarge => (413, 210_415, "The body is too large".to_owned()),
            Self::ChannelNotFound => (404, 210_407, "Channel not found".to_owned()),
            Self::ChannelSetNotFound => (403, 110_842, "Channel set not found".to_owned()),
            Self::Conflict { what } => (409, 210_409, format!("The {what} exists already")),
            Self::Forbidden => (403, 210_403, "Not allowed".to_owned()),
            Self::Internal { .. } => (500, 210_500, "Internal fault".to_owned()),
            Self::LimitReached { what } => (403, 210_411, format!("The limit of {what} is reached")),
            Self::MethodNotAllowed { .. } => (405, 210_405, "Method not allowed".to_owned()),
            Self::NotAssigned { service } => (404, 210_408, format!("Service not assigned: {service}")),
            Self::NotFound { what } => (404, 210_406, format!("Not found: {what}")),
            Self::PackageNotOffered { name } => (403, 210_412, format!("Event package not offered: {name}")),
            Self::PackageUnknown { name } => (400, 210_402, format!("Unknown event package: {name}")),
            Self::ResourceNotFound => (404, 210_404, "Resource not found".to_owned()),
            Self::SubscriptionNotFound => (403, 110_862, "Subscription not found".to_owned()),
            Self::Unauthenticated => (401, 210_414, "Authentication required".to_owned()),
            Self::Overloaded | Self::Unavailable { .. } => {
                (503, 210_503, "The application server cannot be reached".to_owned())
            }
            Self::TooMany { limit } => {
                (503, 210_504, format!("Too many requests ({limit}), try again later"))
            }
            Self::TooManyFailures { .. } => {
                (429, 210_429, "Too many logins failed, try again later".to_owned())
            }
            Self::Unsupported { what } => (400, 210_413, format!("Not supported: {what}")),
            Self::WrongState { reason } => (409, 210_410, format!("Not possible now: {reason}")),
        };
        let allow = match self {
            Self::MethodNotAllowed { allow } => Some(*allow),
            _ => None,
        };
        WireError { status, code, summary, allow }
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::CredentialsRefused | PortError::PasswordExpired { .. } => Self::Forbidden,
            PortError::NotFound { what: "subscription" } => Self::SubscriptionNotFound,
            PortError::NotFound { what: "channel" } => Self::ChannelNotFound,
            PortError::NotFound { what } => Self::NotFound { what },
            PortError::NotAssigned { service } => Self::NotAssigned { service },
            PortError::WrongState { reason } => Self::WrongState { reason },
            PortError::Invalid { field, reason } => Self::BadParameter { name: field, reason },
            PortError::Conflict { what: "BroadWorks Anywhere number" } => Self::AnywhereNumberTaken,
            PortError::Conflict { what } => Self::Conflict { what },
            PortError::LimitReached { what } => Self::LimitReached { what },
            error @ PortError::Unavailable(_) => Self::Unavailable { source: error },
            error @ PortError::Internal(_) => Self::Internal { source: Some(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn one_of_each() -> Vec<ApiError> {
        let boxed = || -> Box<dyn std::error::Error + Send + Sync> { "gone".into() };
        vec![
            ApiError::AnywhereNumberTaken,
            ApiError::BadDocument { reason: String::new() },
            ApiError::BadParameter { name: "address", reason: String::new() },
            ApiError::BodyTimeout,
            ApiError::BodyTooLarge,
            ApiError::Overloaded,
            ApiError::Unauthenticated,
            ApiError::ChannelNotFound,
            ApiError::ChannelSetNotFound,
            ApiError::Conflict { what: "registration" },
            ApiError::Forbidden,
            ApiError::Internal { source: None },
            ApiError::LimitReached { what: "channels" },
            ApiError::MethodNotAllowed { allow: "GET" },
            ApiError::NotAssigned { service: "Do Not Disturb" },
            ApiError::NotFound { what: "user" },
            ApiError::PackageNotOffered { name: String::new() },
            ApiError::PackageUnknown { name: String::new() },
            ApiError::ResourceNotFound,
            ApiError::SubscriptionNotFound,
            ApiError::TooMany { limit: "user" },
            ApiError::TooManyFailures { seconds: 1 },
            ApiError::Unavailable { source: PortError::Unavailable(boxed()) },
            ApiError::Unsupported { what: "httpContact" },
            ApiError::WrongState { reason: String::new() },
        ]
    }

    #[test]
    fn every_code_is_in_the_table_and_every_row_is_used() {
        let used: BTreeMap<u32, u16> =
            one_of_each().iter().map(|e| (e.wire().code, e.wire().status)).collect();
        let table: BTreeMap<u32, u16> = TABLE.iter().map(|(code, status, _)| (*code, *status)).collect();
        assert_eq!(used, table);
        assert_eq!(TABLE.len(), table.len());
    }

    #[test]
    fn the_table_is_the_page_of_the_documents() {
        let page = include_str!("../../../docs/errors.md");
        let (_, section) = page.split_once("## XSI and CTI").expect("section of docs/errors.md");
        let section = section.split("\n## ").next().unwrap_or_default();
        let documented: BTreeSet<String> = section
            .lines()
            .filter(|line| {
                line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
            .map(|line| line.trim().to_owned())
            .collect();
        let table: BTreeSet<String> = TABLE
            .iter()
            .map(|(code, status, meaning)| format!("| {code} | {status} | {meaning} |"))
            .collect();
        assert_eq!(documented, table);
    }

    #[test]
    fn sources_stay_inside() {
        let error = ApiError::from(PortError::Internal("SELECT secret".into()));
        assert!(!error.wire().summary.contains("SELECT"));
    }
}
