//! Failed logins by source, and by user and source. authservice.md 11: who guesses is slowed down, and nobody can lock
//! somebody else out. All applications of the process share one memory of them, so that nobody gets further guesses by going
//! to another one. Memory is bounded; what failed longest ago is forgotten first.
//!
//! An attempt that is still being checked counts as a failure until it is none: many at once are no more guesses than one
//! after the other. Who would be refused only because of those waits for them.

use crate::failure_settings::FailureLimits;
use lru::LruCache;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Sources, and pairs of user and source, that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
/// Longest wait for attempts that others began.
const WAIT: Duration = Duration::from_secs(1);
/// Attempts at once of a user who has proved itself from there and has not failed since: clients send many requests at once.
const KNOWN_AT_ONCE: u32 = 64;

/// What is too much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) per_minute: u32,
    pub(crate) burst: u32,
    pub(crate) per_pair: u32,
    pub(crate) window: Duration,
}

impl From<&FailureLimits> for Limits {
    fn from(settings: &FailureLimits) -> Self {
        Self {
            per_minute: settings.per_minute_and_source,
            burst: settings.burst_per_source,
            per_pair: settings.per_user_and_source,
            window: Duration::from_mins(u64::from(settings.window_minutes)),
        }
    }
}

/// A leaking bucket of failures.
#[derive(Clone, Copy)]
struct Bucket {
    level: f64,
    at: Instant,
    /// Attempts being checked.
    open: u32,
}

#[derive(Clone, Copy)]
struct Pair {
    since: Instant,
    failures: u32,
    /// Attempts being checked.
    open: u32,
    /// When the user proved itself from there last.
    good: Option<Instant>,
    /// When its failures were forgotten last because of that.
    forgiven: Option<Instant>,
}

struct Memory {
    sources: LruCache<IpAddr, Bucket>,
    pairs: LruCache<(u64, IpAddr), Pair>,
}

/// The memory of failures.
pub(crate) struct Failures {
    memory: Mutex<Memory>,
    /// User ids are kept as keyed hashes: they may be passwords typed in the wrong field.
    hasher: RandomState,
    ended: Notify,
}

impl Default for Failures {
    fn default() -> Self {
        let memory = Memory { sources: LruCache::new(REMEMBERED), pairs: LruCache::new(REMEMBERED) };
        Self { memory: Mutex::new(memory), hasher: RandomState::new(), ended: Notify::new() }
    }
}

/// Whether an attempt may be made.
enum Entry<'a> {
    Now(Attempt<'a>),
    /// That depends on what becomes of those that others began.
    Later,
    /// Not for so long.
    Blocked(Duration),
}

/// An attempt that is being checked. Dropped without a word, it is as if it had not been.
pub(crate) struct Attempt<'a> {
    failures: &'a Failures,
    key: (u64, IpAddr),
    limits: Limits,
}

/// Who is one source: an IPv4 address, or an IPv6 network of 64 bits, which one household has to itself.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// What is left of a bucket after it has leaked.
fn leaked(bucket: Bucket, limits: Limits, now: Instant) -> f64 {
    let minutes = now.saturating_duration_since(bucket.at).as_secs_f64() / 60.0;
    (bucket.level - minutes * f64::from(limits.per_minute)).max(0.0)
}

impl Failures {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt, or says how long none is looked at. An exempt source stands for many people and has no limit of its
    /// own.
    ///
    /// # Errors
    /// The time until the next attempt is looked at.
    pub(crate) async fn begin(
        &self,
        user: &[u8],
        address: IpAddr,
        exempt: bool,
        limits: Limits,
    ) -> Result<Attempt<'_>, Duration> {
        let until = Instant::now() + WAIT;
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            match self.enter(user, address, exempt, limits, Instant::now()) {
                Entry::Now(attempt) => return Ok(attempt),
                Entry::Blocked(left) => return Err(left),
                Entry::Later => {
                    tokio::time::timeout_at(until, ended).await.map_err(|_| Duration::from_secs(1))?;
                }
            }
        }
    }

    fn enter(&self, user: &[u8], address: IpAddr, exempt: bool, limits: Limits, now: Instant) -> Entry<'_> {
        let key = (self.hasher.hash_one(user), source(address));
        let mut memory = self.memory();
        let new = Pair { since: now, failures: 0, open: 0, good: None, forgiven: None };
        let mut pair = memory.pairs.get(&key).copied().unwrap_or(new);
        if pair.failures > 0 && now.saturating_duration_since(pair.since) >= limits.window {
            (pair.since, pair.failures) = (now, 0);
        }
        let mut bucket =
            memory.sources.get(&key.1).copied().unwrap_or(Bucket { level: 0.0, at: now, open: 0 });
        // Somebody guessing next door must not lock out who works there already.
        let known = pair.failures == 0
            && pair.good.is_some_and(|good| now.saturating_duration_since(good) < limits.window);
        if pair.failures >= limits.per_pair {
            return Entry::Blocked((pair.since + limits.window).saturating_duration_since(now));
        }
        let at_once =
            if known { limits.per_pair.max(KNOWN_AT_ONCE) } else { limits.per_pair - pair.failures };
        let mut wait = pair.open >= at_once;
        if !known && !exempt {
            let surplus = leaked(bucket, limits, now) + 1.0 - f64::from(limits.burst);
            if surplus > 0.0 {
                return Entry::Blocked(Duration::from_secs_f64(
                    surplus * 60.0 / f64::from(limits.per_minute),
                ));
            }
            wait |= surplus + f64::from(bucket.open) > 0.0;
        }
        if wait {
            return Entry::Later;
        }
        pair.open += 1;
        bucket.open += 1;
        memory.pairs.put(key, pair);
        memory.sources.put(key.1, bucket);
        Entry::Now(Attempt { failures: self, key, limits })
    }
}

impl Attempt<'_> {
    /// The credentials were wrong.
    pub(crate) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        let mut memory = self.failures.memory();
        if let Some(pair) = memory.pairs.get_mut(&self.key) {
            if pair.failures == 0 {
                pair.since = now;
            }
            pair.failures = pair.failures.saturating_add(1);
        }
        if let Some(bucket) = memory.sources.get_mut(&self.key.1) {
            *bucket = Bucket { level: leaked(*bucket, self.limits, now) + 1.0, at: now, ..*bucket };
        }
    }

    /// The user has proved itself.
    pub(crate) fn succeeded(self) {
        self.succeeded_at(Instant::now());
    }

    /// Failures are forgotten once in a window: whoever guesses beside a client that works must not go on with each of its
    /// requests.
    fn succeeded_at(&self, now: Instant) {
        let mut memory = self.failures.memory();
        let Some(pair) = memory.pairs.get_mut(&self.key) else { return };
        pair.good = Some(now);
        let again = pair.forgiven.is_none_or(|at| now.saturating_duration_since(at) >= self.limits.window);
        if pair.failures > 0 && again {
            (pair.failures, pair.forgiven) = (0, Some(now));
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut memory = self.failures.memory();
        // Either may have been forgotten meanwhile.
        if let Some(pair) = memory.pairs.peek_mut(&self.key) {
            pair.open = pair.open.saturating_sub(1);
        }
        if let Some(bucket) = memory.sources.peek_mut(&self.key.1) {
            bucket.open = bucket.open.saturating_sub(1);
        }
        drop(memory);
        self.failures.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_minute: 20, burst: 40, per_pair: 5, window: Duration::from_mins(15) };
    const WINDOW: Duration = LIMITS.window;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    impl Failures {
        fn blocked(&self, user: &[u8], at: IpAddr, exempt: bool, now: Instant) -> Option<Duration> {
            match self.enter(user, at, exempt, LIMITS, now) {
                Entry::Now(_) => None,
                Entry::Later => Some(Duration::ZERO),
                Entry::Blocked(left) => Some(left),
            }
        }
        fn fail(&self, user: &[u8], at: IpAddr, now: Instant) {
            let Entry::Now(attempt) = self.enter(user, at, true, LIMITS, now) else { return };
            attempt.failed_at(now);
        }
        fn succeed(&self, user: &[u8], at: IpAddr, now: Instant) {
            let Entry::Now(attempt) = self.enter(user, at, true, LIMITS, now) else { panic!("blocked") };
            attempt.succeeded_at(now);
        }
    }

    #[test]
    fn a_guessed_user_is_refused_from_there_and_from_nowhere_else() {
        let failures = Failures::default();
        let (here, there, now) = (address("192.0.2.1"), address("192.0.2.2"), Instant::now());
        for _ in 0..5 {
            assert_eq!(failures.blocked(b"alice", here, false, now), None);
            failures.fail(b"alice", here, now);
        }
        assert_eq!(failures.blocked(b"alice", here, false, now), Some(WINDOW));
        assert_eq!(failures.blocked(b"alice", there, false, now), None);
        assert_eq!(failures.blocked(b"bob", here, false, now), None);
        assert_eq!(failures.blocked(b"alice", here, false, now + WINDOW), None);
    }

    #[test]
    fn success_forgets_once_in_a_window() {
        let failures = Failures::default();
        let (here, now) = (address("192.0.2.1"), Instant::now());
        let four_and_success = |now| {
            for _ in 0..4 {
                failures.fail(b"alice", here, now);
            }
            failures.succeed(b"alice", here, now);
        };
        four_and_success(now);
        failures.fail(b"alice", here, now);
        assert_eq!(failures.blocked(b"alice", here, false, now), None);
        // Somebody beside a client that works goes on, and is not forgiven each time.
        failures.succeed(b"alice", here, now);
        for _ in 0..4 {
            failures.fail(b"alice", here, now);
        }
        assert_eq!(failures.blocked(b"alice", here, false, now), Some(WINDOW));
        four_and_success(now + WINDOW);
        assert_eq!(failures.blocked(b"alice", here, false, now + WINDOW), None);
    }

    #[test]
    fn many_at_once_are_no_more_guesses_than_one_after_the_other() {
        let failures = Failures::default();
        let (here, now) = (address("192.0.2.1"), Instant::now());
        let mut open = Vec::new();
        while let Entry::Now(attempt) = failures.enter(b"alice", here, false, LIMITS, now) {
            open.push(attempt);
        }
        assert_eq!(open.len(), 5);
        for attempt in &open {
            attempt.failed_at(now);
        }
        drop(open);
        assert_eq!(failures.blocked(b"alice", here, false, now), Some(WINDOW));

        let mut open = Vec::new();
        for n in 0_u32..100 {
            if let Entry::Now(attempt) = failures.enter(&n.to_be_bytes(), here, false, LIMITS, now) {
                open.push(attempt);
            }
        }
        assert_eq!(open.len(), 35, "the five of alice and these are the burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_a_client_waits_for_its_first_requests() {
        let failures = Failures::default();
        let here = address("192.0.2.1");
        let begin = || failures.begin(b"alice", here, false, LIMITS);
        let mut open = Vec::new();
        for _ in 0..5 {
            open.push(begin().await.unwrap_or_else(|_| panic!("blocked")));
        }
        assert_eq!(begin().await.err(), Some(Duration::from_secs(1)), "nobody waits for ever");
        let sixth = async {
            begin().await.unwrap_or_else(|_| panic!("blocked")).succeeded();
        };
        tokio::join!(sixth, async { open.drain(..).for_each(Attempt::succeeded) });
        for _ in 0..KNOWN_AT_ONCE {
            open.push(begin().await.unwrap_or_else(|_| panic!("blocked")));
        }
    }

    #[test]
    fn a_source_that_tries_many_users_is_slowed_to_the_rate() {
        let failures = Failures::default();
        let (one, same_network) = (address("2001:db8::1"), address("2001:db8::ffff"));
        let now = Instant::now();
        failures.succeed(b"alice", one, now);
        for n in 0_u32..40 {
            failures.fail(&n.to_be_bytes(), one, now);
        }
        assert_eq!(failures.blocked(b"x", same_network, false, now), Some(Duration::from_secs(3)));
        assert_eq!(failures.blocked(b"x", same_network, false, now + Duration::from_secs(3)), None);
        assert_eq!(failures.blocked(b"x", address("2001:db8:0:1::1"), false, now), None);
        assert_eq!(
            failures.blocked(b"alice", one, false, now),
            None,
            "who works there already is not locked out"
        );
        failures.fail(b"alice", one, now);
        assert!(failures.blocked(b"alice", one, false, now).is_some());
    }

    #[test]
    fn a_source_that_stands_for_many_is_not_slowed_but_who_is_guessed_there_is() {
        let failures = Failures::default();
        let (cloud, now) = (address("192.0.2.1"), Instant::now());
        for n in 0_u32..100 {
            failures.fail(&n.to_be_bytes(), cloud, now);
            failures.fail(b"alice", cloud, now);
        }
        assert_eq!(failures.blocked(b"bob", cloud, true, now), None);
        assert!(failures.blocked(b"bob", cloud, false, now).is_some());
        assert!(failures.blocked(b"alice", cloud, true, now).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for n in 0..u32::try_from(REMEMBERED.get()).unwrap() + 10 {
            failures.fail(&n.to_be_bytes(), IpAddr::V4(n.into()), now);
        }
        let memory = failures.memory();
        assert_eq!((memory.sources.len(), memory.pairs.len()), (REMEMBERED.get(), REMEMBERED.get()));
    }
}
