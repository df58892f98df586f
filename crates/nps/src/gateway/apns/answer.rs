//! What APNs' answers mean: the table of `protocols/nps.md` 11. Pure.

use crate::gateway::Action;

macro_rules! reasons {
    ($($name:ident),+ $(,)?) => {
        /// Reason codes; anything else is [`Reason::Unknown`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Reason { $($name,)+ Unknown }

        impl Reason {
            /// All known ones, for tests.
            #[cfg(test)]
            pub(super) const KNOWN: &[Self] = &[$(Self::$name),+];
            pub(super) fn parse(text: &str) -> Self {
                match text { $(stringify!($name) => Self::$name,)+ _ => Self::Unknown }
            }
            /// Its name in metrics.
            pub(super) fn label(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ Self::Unknown => "other" }
            }
        }
    };
}

reasons!(
    BadCertificate,
    BadCertificateEnvironment,
    BadCollapseId,
    BadDeviceToken,
    BadEnvironmentKeyIdInToken,
    BadExpirationDate,
    BadMessageId,
    BadPath,
    BadPriority,
    BadTopic,
    DeviceTokenNotForTopic,
    DuplicateHeaders,
    ExpiredProviderToken,
    ExpiredToken,
    Forbidden,
    IdleTimeout,
    InternalServerError,
    InvalidProviderToken,
    InvalidPushType,
    MethodNotAllowed,
    MissingDeviceToken,
    MissingProviderToken,
    MissingTopic,
    PayloadEmpty,
    PayloadTooLarge,
    ServiceUnavailable,
    Shutdown,
    TooManyProviderTokenUpdates,
    TooManyRequests,
    TopicDisallowed,
    UnrelatedKeyIdInToken,
    Unregistered,
);

/// What to do about an answer.
pub(super) fn action(status: u16, reason: Reason) -> Action {
    if status == 200 {
        return Action::Sent;
    }
    match reason {
        Reason::BadDeviceToken | Reason::DeviceTokenNotForTopic => Action::Drop { guarded: true },
        Reason::Unregistered | Reason::ExpiredToken => Action::Drop { guarded: false },
        Reason::BadTopic | Reason::MissingTopic | Reason::TopicDisallowed | Reason::InvalidPushType => {
            Action::Configuration { stops: false }
        }
        Reason::BadCollapseId
        | Reason::BadExpirationDate
        | Reason::BadMessageId
        | Reason::BadPriority
        | Reason::DuplicateHeaders
        | Reason::PayloadEmpty
        | Reason::MissingDeviceToken
        | Reason::BadPath
        | Reason::MethodNotAllowed => Action::OurFault,
        Reason::IdleTimeout | Reason::ServiceUnavailable | Reason::Shutdown => Action::RetryElsewhere,
        Reason::ExpiredProviderToken | Reason::InvalidProviderToken | Reason::MissingProviderToken => {
            Action::RenewOnce
        }
        Reason::BadCertificate
        | Reason::BadCertificateEnvironment
        | Reason::Forbidden
        | Reason::UnrelatedKeyIdInToken
        | Reason::BadEnvironmentKeyIdInToken => Action::Configuration { stops: true },
        Reason::PayloadTooLarge => Action::ShortenOnce,
        Reason::TooManyProviderTokenUpdates => Action::PauseRenewals,
        Reason::TooManyRequests => Action::HoldToken,
        Reason::InternalServerError => Action::Retry,
        Reason::Unknown => by_status(status),
    }
}

/// A reason that is not known, or none.
fn by_status(status: u16) -> Action {
    match status {
        410 => Action::Drop { guarded: false },
        413 => Action::ShortenOnce,
        429 => Action::HoldToken,
        // Redirects are never followed.
        300..=399 | 403 => Action::Configuration { stops: true },
        503 => Action::RetryElsewhere,
        500..=599 => Action::Retry,
        _ => Action::OurFault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of section 11, written out again.
    #[test]
    fn every_row_of_the_table() {
        let rows: &[(u16, &str, Action)] = &[
            (200, "", Action::Sent),
            (400, "BadDeviceToken", Action::Drop { guarded: true }),
            (400, "DeviceTokenNotForTopic", Action::Drop { guarded: true }),
            (400, "BadTopic", Action::Configuration { stops: false }),
            (400, "MissingTopic", Action::Configuration { stops: false }),
            (400, "TopicDisallowed", Action::Configuration { stops: false }),
            (400, "InvalidPushType", Action::Configuration { stops: false }),
            (400, "BadCollapseId", Action::OurFault),
            (400, "BadExpirationDate", Action::OurFault),
            (400, "BadMessageId", Action::OurFault),
            (400, "BadPriority", Action::OurFault),
            (400, "DuplicateHeaders", Action::OurFault),
            (400, "PayloadEmpty", Action::OurFault),
            (400, "MissingDeviceToken", Action::OurFault),
            (400, "IdleTimeout", Action::RetryElsewhere),
            (403, "ExpiredProviderToken", Action::RenewOnce),
            (403, "InvalidProviderToken", Action::RenewOnce),
            (403, "MissingProviderToken", Action::RenewOnce),
            (403, "BadCertificate", Action::Configuration { stops: true }),
            (403, "BadCertificateEnvironment", Action::Configuration { stops: true }),
            (403, "Forbidden", Action::Configuration { stops: true }),
            (403, "UnrelatedKeyIdInToken", Action::Configuration { stops: true }),
            (403, "BadEnvironmentKeyIdInToken", Action::Configuration { stops: true }),
            (404, "BadPath", Action::OurFault),
            (405, "MethodNotAllowed", Action::OurFault),
            (410, "Unregistered", Action::Drop { guarded: false }),
            (410, "ExpiredToken", Action::Drop { guarded: false }),
            (413, "PayloadTooLarge", Action::ShortenOnce),
            (429, "TooManyProviderTokenUpdates", Action::PauseRenewals),
            (429, "TooManyRequests", Action::HoldToken),
            (500, "InternalServerError", Action::Retry),
            (503, "ServiceUnavailable", Action::RetryElsewhere),
            (503, "Shutdown", Action::RetryElsewhere),
        ];
        for (status, reason, expected) in rows {
            assert_eq!(action(*status, Reason::parse(reason)), *expected, "{status} {reason}");
        }
        let covered: Vec<Reason> = rows.iter().map(|(_, reason, _)| Reason::parse(reason)).collect();
        for known in Reason::KNOWN {
            assert!(covered.contains(known), "{known:?} has no row");
        }
    }

    #[test]
    fn unknown_reasons_go_by_status() {
        for (status, expected) in [
            (302, Action::Configuration { stops: true }),
            (400, Action::OurFault),
            (403, Action::Configuration { stops: true }),
            (410, Action::Drop { guarded: false }),
            (413, Action::ShortenOnce),
            (429, Action::HoldToken),
            (500, Action::Retry),
            (502, Action::Retry),
            (503, Action::RetryElsewhere),
            (999, Action::OurFault),
        ] {
            assert_eq!(action(status, Reason::parse("SomethingNew")), expected, "{status}");
        }
    }
}
