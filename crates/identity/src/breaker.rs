//! Stops asking a host that fails, and tries one request now and then. Pure: the time comes from the caller.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many failures
const FAILURES: usize = 5;
/// within this time
const WINDOW: Duration = Duration::from_secs(10);
/// stop all requests for this long. authservice.md 5.2
const OPEN_FOR: Duration = Duration::from_secs(5);
/// A probe that says nothing for so long is given up, and another may try.
const PROBE: Duration = Duration::from_secs(5);
/// Hosts remembered; configurations name a handful.
const MOST: usize = 256;

#[derive(Default)]
struct Host {
    failures: VecDeque<Instant>,
    open_until: Option<Instant>,
    probe_until: Option<Instant>,
}

/// Breakers by host.
#[derive(Default)]
pub(crate) struct Breakers(Mutex<HashMap<String, Host>>);

impl Breakers {
    /// Whether a request to this host may go out.
    pub(crate) fn ask(&self, host: &str, now: Instant) -> bool {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = hosts.get_mut(host) else { return true };
        match (state.open_until, state.probe_until) {
            (None, _) => true,
            (Some(until), _) if now < until => false,
            (Some(_), Some(until)) if now < until => false,
            (Some(_), _) => {
                state.probe_until = Some(now + PROBE);
                true
            }
        }
    }

    /// A host did not do what it is for.
    pub(crate) fn failed(&self, host: &str, now: Instant) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST && !hosts.contains_key(host) {
            hosts.retain(|_, state| state.failures.back().is_some_and(|at| now.duration_since(*at) < WINDOW));
            if hosts.len() >= MOST {
                return;
            }
        }
        let state = hosts.entry(host.to_owned()).or_default();
        if state.open_until.is_some() {
            // The probe failed, or what was under way when it opened.
            state.open_until = Some(now + OPEN_FOR);
            state.probe_until = None;
            return;
        }
        while state.failures.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            state.failures.pop_front();
        }
        state.failures.push_back(now);
        if state.failures.len() >= FAILURES {
            state.failures.clear();
            state.open_until = Some(now + OPEN_FOR);
            tracing::warn!(host, "identity provider fails: not asked for a while");
        }
    }

    /// A host answered as it should.
    pub(crate) fn succeeded(&self, host: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.remove(host).is_some_and(|state| state.open_until.is_some()) {
            tracing::info!(host, notice = true, "identity provider answers again");
        }
    }

    /// Hosts that are not asked now.
    pub(crate) fn open(&self, now: Instant) -> usize {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.values().filter(|state| state.open_until.is_some_and(|until| now < until)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_failures_in_ten_seconds_open_it_for_five() {
        let breakers = Breakers::default();
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        for second in 0..4 {
            breakers.failed("a", at(second));
        }
        assert!(breakers.ask("a", at(4)));
        breakers.failed("a", at(4));
        assert!(!breakers.ask("a", at(5)));
        assert!(breakers.ask("b", at(5)), "hosts are apart");
        assert_eq!(breakers.open(at(5)), 1);
        assert!(breakers.ask("a", at(9)), "one tries");
        assert!(!breakers.ask("a", at(9)), "and one only");
        breakers.failed("a", at(10));
        assert!(!breakers.ask("a", at(14)));
        assert!(breakers.ask("a", at(15)));
        breakers.succeeded("a");
        assert!(breakers.ask("a", at(15)));
        assert!(breakers.ask("a", at(15)));
    }

    #[test]
    fn failures_far_apart_open_nothing() {
        let breakers = Breakers::default();
        let now = Instant::now();
        for turn in 0..100 {
            breakers.failed("a", now + Duration::from_secs(turn * 3));
            assert!(breakers.ask("a", now + Duration::from_secs(turn * 3)), "{turn}");
        }
    }

    proptest! {
        /// However often somebody asks, a host that only fails gets few requests: five, then one in five seconds.
        #[test]
        fn a_failing_host_is_left_alone(gaps in proptest::collection::vec(0u64..3000, 1..400)) {
            let breakers = Breakers::default();
            let start = Instant::now();
            let (mut now, mut sent) = (start, 0_u64);
            for gap in gaps {
                now += Duration::from_millis(gap);
                if breakers.ask("a", now) {
                    sent += 1;
                    breakers.failed("a", now);
                }
            }
            // Never more than four in any ten seconds before it opens, and one probe in five seconds after.
            prop_assert!(sent <= 5 + now.duration_since(start).as_secs() / 2 + 1, "{sent}");
        }
    }
}
