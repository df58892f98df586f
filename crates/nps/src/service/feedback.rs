//! Dead tokens, for application servers that did not wait for the result. Kept in memory: the next push to such a
//! token finds it dead again.

use crate::wire::{Feedback, FeedbackEntry};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a death is told (section 4).
const KEPT: Duration = Duration::from_hours(7 * 24);
/// Deaths kept.
const MOST: usize = 10_000;
/// Deaths in one answer.
const PAGE: usize = 1000;

#[derive(Default)]
struct State {
    last: u64,
    entries: VecDeque<(Instant, FeedbackEntry)>,
}

/// The deaths.
#[derive(Default)]
pub(super) struct Deaths(Mutex<State>);

impl Deaths {
    pub(super) fn add(&self, registration: &str, application: &str, since: &str, reason: &str, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let entry = FeedbackEntry {
            cursor: state.last,
            registration_id: registration.to_owned(),
            application_id: application.to_owned(),
            invalid_since: since.to_owned(),
            reason: reason.to_owned(),
        };
        state.entries.push_back((now, entry));
        while state.entries.len() > MOST
            || state.entries.front().is_some_and(|(at, _)| now.duration_since(*at) > KEPT)
        {
            state.entries.pop_front();
        }
    }
    /// Deaths after a cursor. A cursor from before a restart is larger than any: then all are told.
    pub(super) fn since(&self, cursor: u64) -> Feedback {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = if cursor > state.last { 0 } else { cursor };
        let entries: Vec<FeedbackEntry> = state
            .entries
            .iter()
            .map(|(_, entry)| entry)
            .filter(|entry| entry.cursor > cursor)
            .take(PAGE)
            .cloned()
            .collect();
        let cursor = entries.last().map_or(state.last, |entry| entry.cursor);
        Feedback { cursor, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_cursor() {
        let deaths = Deaths::default();
        let now = Instant::now();
        for number in 0..1500 {
            deaths.add(&format!("r{number}"), "app", "t", "Unregistered", now);
        }
        let first = deaths.since(0);
        assert_eq!((first.entries.len(), first.cursor), (1000, 1000));
        let second = deaths.since(first.cursor);
        assert_eq!((second.entries.len(), second.cursor), (500, 1500));
        assert!(deaths.since(1500).entries.is_empty());
        assert_eq!(deaths.since(9999).entries.len(), 1000, "a cursor of another life starts anew");
        deaths.add("late", "app", "t", "Unregistered", now + KEPT + Duration::from_secs(1));
        assert_eq!(deaths.since(0).entries.len(), 1, "old ones are forgotten");
    }
}
