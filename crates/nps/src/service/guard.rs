//! The 20 % guard: when so many tokens of an application are bad at once, the environment is wrong, not the tokens.
//! `protocols/nps.md` 11 and 12. Pure.

use crate::gateway::Provider;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What is looked at.
const WINDOW: Duration = Duration::from_mins(1);
/// Bad ones of so many and more are a mix-up.
const SHARE: usize = 5;
/// Below so many pushes in the window the share says nothing.
const ENOUGH: usize = 10;
/// Pushes remembered for each application; enough for a share.
const MOST: usize = 1000;
/// Applications remembered.
const APPLICATIONS: usize = 10_000;

/// When each push was, and whether its token was bad.
type Pushes = VecDeque<(Instant, bool)>;

/// The guard.
#[derive(Default)]
pub(super) struct Guard(Mutex<HashMap<(Provider, String), Pushes>>);

impl Guard {
    /// Takes note of a push; for a bad token, says whether to believe it.
    pub(super) fn note(&self, provider: Provider, application: &str, bad: bool, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: Instant| now.duration_since(at) < WINDOW;
        let key = (provider, application.to_owned());
        if seen.len() >= APPLICATIONS && !seen.contains_key(&key) {
            seen.retain(|_, pushes| pushes.back().is_some_and(|(at, _)| recent(*at)));
            if seen.len() >= APPLICATIONS {
                return false;
            }
        }
        let pushes = seen.entry(key).or_default();
        pushes.push_back((now, bad));
        while pushes.len() > MOST || pushes.front().is_some_and(|(at, _)| !recent(*at)) {
            pushes.pop_front();
        }
        let bad = pushes.iter().filter(|(_, bad)| *bad).count();
        pushes.len() < ENOUGH || bad * SHARE <= pushes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bad_tokens_are_believed_and_many_are_not() {
        let guard = Guard::default();
        let now = Instant::now();
        let note = |bad| guard.note(Provider::Apns, "app", bad, now);
        for _ in 0..9 {
            assert!(note(true), "too few to say");
        }
        assert!(!note(true), "ten of ten");
        assert!(guard.note(Provider::Apns, "other", true, now), "applications are apart");
        let later = now + WINDOW;
        assert!(guard.note(Provider::Apns, "app", true, later), "a new minute");
        for _ in 0..8 {
            guard.note(Provider::Apns, "app", false, later);
        }
        assert!(guard.note(Provider::Apns, "app", true, later), "two of ten are a fifth, not more");
        assert!(!guard.note(Provider::Apns, "app", true, later), "three of eleven are more");
    }
}
