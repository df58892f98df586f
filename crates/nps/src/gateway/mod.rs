//! The port to push providers, and its adapters.
//!
//! A [`Gateway`] makes attempts; when to try again, what is a duplicate and what is too late is decided in `service`.
//! Every adapter runs the same conformance suite (`gateway::conformance`, in tests).

pub(crate) mod apns;
pub(crate) mod cloud;
#[cfg(test)]
mod conformance;
pub(crate) mod fcm;

use crate::events;
use crate::wire::{Notification, OsType, Target};
use async_trait::async_trait;
use openadp_outgoing::Answer;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Provider {
    Apns,
    Fcm,
}

impl Provider {
    pub(crate) fn of(os: OsType) -> Self {
        match os {
            OsType::Android => Self::Fcm,
            OsType::Ios => Self::Apns,
        }
    }
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
        }
    }
}

/// One push to one target.
#[derive(Clone, Copy)]
pub(crate) struct Push<'a> {
    pub(crate) notification: &'a Notification,
    pub(crate) target: &'a Target,
    /// Time of the attempt.
    pub(crate) now: OffsetDateTime,
    /// No wait goes beyond.
    pub(crate) deadline: Instant,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The provider took it.
    Sent { provider_id: String },
    /// The token is dead since this time, milliseconds since 1970, if the provider says. `guarded`: the reason may also
    /// be a mix-up of environments, so many at once are not believed.
    TokenDead { since: Option<i64>, reason: String, guarded: bool },
    /// Trying again may help. `processed`: the provider may have taken it already.
    Failed { reason: String, after: Option<Duration>, processed: Processed },
    /// Too many pushes, to this token or in all; trying again later may help.
    Throttled { reason: String, after: Option<Duration>, whole_application: bool },
    /// Trying again does not help.
    Refused { reason: String, fault: Fault },
    /// No credentials for the application, or the provider is off.
    NotConfigured { reason: &'static str },
    /// A rule of ours: this event is not sent to such a token.
    NotForToken { reason: &'static str },
}

/// Whether a failed attempt may have reached the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processed {
    No,
    Unknown,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An operator's: alarm. `stops`: others of the application fare no better, so they wait.
    Configuration { stops: bool },
    /// Ours: a bug.
    Ours,
}

/// What one provider's answer asks for: the tables of `protocols/nps.md` 11 and 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Done.
    Sent,
    /// The token is dead.
    Drop { guarded: bool },
    /// Alarm; no retry.
    Configuration { stops: bool },
    /// Log; no retry.
    OurFault,
    /// Try again with delay, on any connection.
    Retry,
    /// Try again on another connection.
    RetryElsewhere,
    /// Renew the credentials and try again, once; then alarm.
    RenewOnce,
    /// Shorten the payload and try again, once.
    ShortenOnce,
    /// Too many for this phone; never a reason to drop the token.
    HoldToken,
    /// Too many in all: those of the application wait.
    HoldApplication,
    /// Stop renewing, use the newest token, on a new connection after a pause.
    PauseRenewals,
}

/// What ends a push the same way with every provider: credentials or a payload that did not help the second time, faults,
/// and what is tried again later. The adapters see to the rest before they ask.
fn ended(provider: Provider, action: Action, reason: String, answer: &Answer) -> Outcome {
    match action {
        Action::RenewOnce => ended(provider, Action::Configuration { stops: true }, reason, answer),
        Action::Configuration { stops } => {
            events::configuration_fault(provider, &reason);
            Outcome::Refused { reason, fault: Fault::Configuration { stops } }
        }
        Action::Retry => Outcome::Failed { reason, after: answer.retry_after(), processed: Processed::No },
        Action::RetryElsewhere => {
            answer.give_up_connection();
            ended(provider, Action::Retry, reason, answer)
        }
        Action::ShortenOnce
        | Action::OurFault
        | Action::Sent
        | Action::Drop { .. }
        | Action::HoldToken
        | Action::HoldApplication
        | Action::PauseRenewals => {
            events::our_fault(provider, &reason);
            Outcome::Refused { reason, fault: Fault::Ours }
        }
    }
}

/// State of a provider, for health.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderHealth {
    /// Whether any application has credentials.
    pub(crate) configured: bool,
    /// Open connections.
    pub(crate) connections: usize,
    /// Age of the oldest credentials in use, seconds; `null` before the first push.
    pub(crate) credentials_age_seconds: Option<i64>,
}

/// A push provider.
#[async_trait]
pub(crate) trait Gateway: Send + Sync {
    /// Makes one attempt (renewed credentials or a shortened payload may make it two requests).
    async fn push(&self, push: Push<'_>) -> Outcome;
    /// State, without asking the provider.
    fn health(&self) -> ProviderHealth;
}

/// A call's name as payloads show it: cut, at a character, to so many bytes.
fn shortened(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= most).last().unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// When the phone should forget it: the call's own end, or a while for what is not of a call.
fn expiry(notification: &Notification, now: OffsetDateTime) -> OffsetDateTime {
    use crate::wire::Event;
    let default = match notification.event {
        // Section 7: missed calls for an hour, messages for a day.
        Event::MissedCall | Event::CallEnded => time::Duration::hours(1),
        Event::Mwi => time::Duration::hours(24),
        Event::CallUpdate | Event::MobileCallInfo | Event::NewCall | Event::RingSplash => {
            time::Duration::seconds(60)
        }
    };
    notification.expires_at.unwrap_or(now + default)
}

#[cfg(test)]
mod tests {
    use super::shortened;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shortened_texts_are_beginnings_of_whole_characters(text in "\\PC{0,80}", most in 0_usize..200) {
            let short = shortened(&text, most);
            prop_assert!(short.len() <= most && text.starts_with(short));
            prop_assert!(short.len() + 4 > most || short == text);
        }
    }
}
