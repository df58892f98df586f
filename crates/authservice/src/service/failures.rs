//! Failed attempts by source, and by user and source. authservice.md 11: who guesses is slowed down, and nobody can lock
//! somebody else out. Pure: the time comes from the caller. Memory is bounded; what failed longest ago is forgotten first.

use crate::settings::FailureLimits;
use lru::LruCache;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Sources, and pairs of user and source, that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

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
}

#[derive(Clone, Copy)]
struct Pair {
    since: Instant,
    failures: u32,
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
}

impl Default for Failures {
    fn default() -> Self {
        let memory = Memory { sources: LruCache::new(REMEMBERED), pairs: LruCache::new(REMEMBERED) };
        Self { memory: Mutex::new(memory), hasher: RandomState::new() }
    }
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
    fn key(&self, user: &[u8], address: IpAddr) -> (u64, IpAddr) {
        (self.hasher.hash_one(user), source(address))
    }

    /// How long an attempt is refused unseen, if it is. An exempt source stands for many people and has no limit of its own.
    pub(crate) fn blocked(
        &self,
        user: &[u8],
        address: IpAddr,
        exempt: bool,
        limits: Limits,
        now: Instant,
    ) -> Option<Duration> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = memory.pairs.get(&self.key(user, address)).and_then(|pair| {
            let left = (pair.since + limits.window).saturating_duration_since(now);
            (pair.failures >= limits.per_pair && !left.is_zero()).then_some(left)
        });
        let bucket = memory.sources.get(&source(address)).filter(|_| !exempt).and_then(|bucket| {
            let surplus = leaked(*bucket, limits, now) + 1.0 - f64::from(limits.burst);
            (surplus > 0.0).then(|| Duration::from_secs_f64(surplus * 60.0 / f64::from(limits.per_minute)))
        });
        pair.max(bucket)
    }

    /// Takes note of wrong credentials.
    pub(crate) fn failed(&self, user: &[u8], address: IpAddr, limits: Limits, now: Instant) {
        let key = self.key(user, address);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = memory.pairs.get_or_insert_mut(key, || Pair { since: now, failures: 0 });
        if now.saturating_duration_since(pair.since) >= limits.window {
            *pair = Pair { since: now, failures: 0 };
        }
        pair.failures = pair.failures.saturating_add(1);
        let bucket = memory.sources.get_or_insert_mut(key.1, || Bucket { level: 0.0, at: now });
        *bucket = Bucket { level: leaked(*bucket, limits, now) + 1.0, at: now };
    }

    /// Forgets the failures of a user from a source that has proved who it is.
    pub(crate) fn succeeded(&self, user: &[u8], address: IpAddr) {
        let key = self.key(user, address);
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).pairs.pop(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_minute: 20, burst: 40, per_pair: 5, window: Duration::from_mins(15) };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_guessed_user_is_refused_from_there_and_from_nowhere_else() {
        let failures = Failures::default();
        let (here, there, now) = (address("192.0.2.1"), address("192.0.2.2"), Instant::now());
        for _ in 0..5 {
            assert_eq!(failures.blocked(b"alice", here, false, LIMITS, now), None);
            failures.failed(b"alice", here, LIMITS, now);
        }
        assert_eq!(failures.blocked(b"alice", here, false, LIMITS, now), Some(Duration::from_mins(15)));
        assert_eq!(failures.blocked(b"alice", there, false, LIMITS, now), None);
        assert_eq!(failures.blocked(b"bob", here, false, LIMITS, now), None);
        assert_eq!(failures.blocked(b"alice", here, false, LIMITS, now + Duration::from_mins(15)), None);
    }

    #[test]
    fn success_forgets() {
        let failures = Failures::default();
        let (here, now) = (address("192.0.2.1"), Instant::now());
        for _ in 0..4 {
            failures.failed(b"alice", here, LIMITS, now);
        }
        failures.succeeded(b"alice", here);
        failures.failed(b"alice", here, LIMITS, now);
        assert_eq!(failures.blocked(b"alice", here, false, LIMITS, now), None);
    }

    #[test]
    fn a_source_that_tries_many_users_is_slowed_to_the_rate() {
        let failures = Failures::default();
        let (one, same_network) = (address("2001:db8::1"), address("2001:db8::ffff"));
        let now = Instant::now();
        for n in 0_u32..40 {
            failures.failed(&n.to_be_bytes(), one, LIMITS, now);
        }
        assert_eq!(failures.blocked(b"x", same_network, false, LIMITS, now), Some(Duration::from_secs(3)));
        assert_eq!(failures.blocked(b"x", same_network, false, LIMITS, now + Duration::from_secs(3)), None);
        assert_eq!(failures.blocked(b"x", address("2001:db8:0:1::1"), false, LIMITS, now), None);
    }

    #[test]
    fn a_source_that_stands_for_many_is_not_slowed_but_who_is_guessed_there_is() {
        let failures = Failures::default();
        let (cloud, now) = (address("192.0.2.1"), Instant::now());
        for n in 0_u32..100 {
            failures.failed(&n.to_be_bytes(), cloud, LIMITS, now);
            failures.failed(b"alice", cloud, LIMITS, now);
        }
        assert_eq!(failures.blocked(b"bob", cloud, true, LIMITS, now), None);
        assert!(failures.blocked(b"bob", cloud, false, LIMITS, now).is_some());
        assert!(failures.blocked(b"alice", cloud, true, LIMITS, now).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for n in 0..u32::try_from(REMEMBERED.get()).unwrap() + 10 {
            failures.failed(&n.to_be_bytes(), IpAddr::V4(n.into()), LIMITS, now);
        }
        let memory = failures.memory.lock().unwrap();
        assert_eq!((memory.sources.len(), memory.pairs.len()), (REMEMBERED.get(), REMEMBERED.get()));
    }
}
