//! Stops pushing for an application whose pushes are all refused, and tries one now and then. Pure.

use crate::gateway::Provider;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long nothing is tried after a refusal of the configuration.
const OPEN_FOR: Duration = Duration::from_secs(30);
/// Applications remembered; a deployment has a handful.
const MOST: usize = 10_000;

struct Open {
    until: Instant,
    /// Whether one push is being tried.
    probing: bool,
}

#[derive(Default)]
struct State {
    /// Revision of the settings that the faults belong to.
    revision: u64,
    open: HashMap<(Provider, String), Open>,
}

/// Breakers by provider and application.
#[derive(Default)]
pub(super) struct Breakers(Mutex<State>);

/// Whether a push may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    /// It may, and its result decides for the others.
    Probe,
    Closed,
}

impl Breakers {
    /// Asks for passage. Changed settings let everything through again.
    pub(super) fn ask(&self, provider: Provider, application: &str, revision: u64, now: Instant) -> Passage {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.revision != revision {
            state.revision = revision;
            state.open.clear();
        }
        match state.open.get_mut(&(provider, application.to_owned())) {
            None => Passage::Open,
            Some(open) if now < open.until || open.probing => Passage::Closed,
            Some(open) => {
                open.probing = true;
                Passage::Probe
            }
        }
    }
    /// A push was refused for its configuration (`for_how_long`: a provider's own wish).
    pub(super) fn refused(
        &self,
        provider: Provider,
        application: &str,
        for_how_long: Option<Duration>,
        now: Instant,
    ) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open.len() >= MOST {
            state.open.retain(|_, open| now < open.until);
        }
        if state.open.len() < MOST {
            let until = now + for_how_long.unwrap_or(OPEN_FOR).min(OPEN_FOR * 2);
            state.open.insert((provider, application.to_owned()), Open { until, probing: false });
        }
    }
    /// A push was not refused for its configuration.
    pub(super) fn passed(&self, provider: Provider, application: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.remove(&(provider, application.to_owned()));
    }
    /// A probe ended without saying anything about the configuration.
    pub(super) fn undecided(&self, provider: Provider, application: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = state.open.get_mut(&(provider, application.to_owned())) {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_after_the_pause_decides() {
        let breakers = Breakers::default();
        let now = Instant::now();
        let ask = |at| breakers.ask(Provider::Fcm, "app", 1, at);
        assert_eq!(ask(now), Passage::Open);
        breakers.refused(Provider::Fcm, "app", None, now);
        assert_eq!(ask(now), Passage::Closed);
        assert_eq!(breakers.ask(Provider::Apns, "app", 1, now), Passage::Open);
        let later = now + OPEN_FOR;
        assert_eq!(ask(later), Passage::Probe);
        assert_eq!(ask(later), Passage::Closed, "one probe at a time");
        breakers.undecided(Provider::Fcm, "app");
        assert_eq!(ask(later), Passage::Probe);
        breakers.refused(Provider::Fcm, "app", None, later);
        assert_eq!(ask(later), Passage::Closed);
        assert_eq!(
            breakers.ask(Provider::Fcm, "app", 2, later),
            Passage::Open,
            "changed settings start anew"
        );
    }

    #[test]
    fn a_passed_probe_closes_it() {
        let breakers = Breakers::default();
        let now = Instant::now();
        breakers.refused(Provider::Fcm, "app", Some(Duration::from_secs(1)), now);
        assert_eq!(breakers.ask(Provider::Fcm, "app", 0, now + Duration::from_secs(1)), Passage::Probe);
        breakers.passed(Provider::Fcm, "app");
        assert_eq!(breakers.ask(Provider::Fcm, "app", 0, now), Passage::Open);
    }
}
