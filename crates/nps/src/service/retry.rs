//! When to try again: delays, their jitter, and a budget for all. `protocols/nps.md` 10. Pure but for randomness.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait before each retry; the wait is anything from nothing to this (full jitter).
const DELAYS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_millis(1200),
    Duration::from_millis(2500),
];
/// No attempt begins with less time left.
pub(super) const LEAST_TIME: Duration = Duration::from_millis(500);
/// Part of a retry that each push earns: 10 % of the traffic.
const EARNED: f64 = 0.1;
/// Retries a second that are always allowed, so that a quiet server may retry at all.
const PER_SECOND: f64 = 2.0;
/// Retries that may be saved up.
const SAVED: f64 = 100.0;

/// The longest wait before retry number `retry` (from 0), if there is such a one.
fn longest(retry: usize) -> Option<Duration> {
    DELAYS.get(retry).copied()
}

/// A random wait up to the longest before retry number `retry`.
fn jittered(retry: usize) -> Option<Duration> {
    let longest = longest(retry)?;
    let mut random = [0; 4];
    // Without randomness, which does not happen, the longest wait is right too.
    let share = match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    };
    Some(longest.mul_f64(share))
}

/// When retry number `retry` (from 0) begins: not before the peer's own wish, and with time left. `None`: not at all.
pub(super) fn next(
    retry: usize,
    after: Option<Duration>,
    now: Instant,
    deadline: Instant,
) -> Option<Instant> {
    let wait = jittered(retry)?.max(after.unwrap_or_default());
    let at = now + wait;
    (at + LEAST_TIME <= deadline).then_some(at)
}

struct State {
    saved: f64,
    at: Instant,
}

/// What retries may cost in all.
pub(super) struct Budget(Mutex<State>);

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { saved: SAVED / 10.0, at: now }))
    }
    /// A push was tried for the first time.
    pub(super) fn earn(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.saved = (state.saved + EARNED).min(SAVED);
    }
    /// Whether there is enough for a retry; takes it if so.
    pub(super) fn spend(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.duration_since(state.at).as_secs_f64();
        state.saved = (state.saved + seconds * PER_SECOND).min(SAVED);
        state.at = now;
        let enough = state.saved >= 1.0;
        if enough {
            state.saved -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_retries_each_within_its_delay() {
        let now = Instant::now();
        let far = now + Duration::from_mins(1);
        for (retry, delay) in DELAYS.iter().enumerate() {
            for _ in 0..50 {
                let at = next(retry, None, now, far).unwrap();
                assert!(at >= now && at <= now + *delay);
            }
        }
        assert_eq!(next(4, None, now, far), None);
    }

    #[test]
    fn a_wish_beyond_the_deadline_gives_up_at_once() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(10);
        let wish = |seconds| next(0, Some(Duration::from_secs(seconds)), now, deadline);
        assert_eq!(wish(9), Some(now + Duration::from_secs(9)));
        assert_eq!(wish(10), None);
        assert_eq!(next(0, None, now, now + Duration::from_millis(499)), None);
    }

    #[test]
    fn retries_are_a_tenth_of_the_traffic() {
        let now = Instant::now();
        let budget = Budget::new(now);
        let spend = |at| (0..1000).take_while(|_| budget.spend(at)).count();
        assert_eq!(spend(now), 10, "what one begins with");
        for _ in 0..505 {
            budget.earn();
        }
        assert_eq!(spend(now), 50);
        assert_eq!(spend(now + Duration::from_secs(3)), 6, "a quiet server may retry too");
    }
}
