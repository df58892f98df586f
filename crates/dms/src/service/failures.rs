//! Sources that guess: so many wrong credentials within a window, and the source is refused for a while. Pure.

use lru::LruCache;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Sources remembered; the ones that failed longest ago are forgotten first.
const SOURCES: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// What is too much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) failures: u32,
    pub(crate) window: Duration,
    pub(crate) block: Duration,
}

struct Source {
    since: Instant,
    failures: u32,
    blocked_until: Option<Instant>,
}

/// The memory.
pub(crate) struct Failures(Mutex<LruCache<IpAddr, Source>>);

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SOURCES)))
    }
}

/// Who is one source: an IPv4 address, or an IPv6 network of 64 bits, which one household has to itself.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Failures {
    /// How long the source stays refused, if it is.
    pub(crate) fn blocked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = sources.get(&source(address))?.blocked_until?;
        (until > now).then(|| until - now)
    }
    /// Takes note of wrong credentials; true if that was one too many.
    pub(crate) fn failed(&self, address: IpAddr, limits: Limits, now: Instant) -> bool {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Source { since: now, failures: 0, blocked_until: None };
        let entry = sources.get_or_insert_mut(source(address), fresh);
        if now.duration_since(entry.since) >= limits.window
            || entry.blocked_until.is_some_and(|until| until <= now)
        {
            *entry = fresh();
        }
        entry.failures = entry.failures.saturating_add(1);
        let too_many = entry.failures >= limits.failures && entry.blocked_until.is_none();
        if too_many {
            entry.blocked_until = Some(now + limits.block);
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { failures: 3, window: Duration::from_mins(10), block: Duration::from_mins(1) };

    #[test]
    fn the_last_straw_blocks_for_a_while() {
        let failures = Failures::default();
        let now = Instant::now();
        let bad: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(!failures.failed(bad, LIMITS, now));
        assert!(!failures.failed(bad, LIMITS, now));
        assert_eq!(failures.blocked(bad, now), None);
        assert!(failures.failed(bad, LIMITS, now));
        assert_eq!(failures.blocked(bad, now), Some(LIMITS.block));
        assert_eq!(failures.blocked("192.0.2.2".parse().unwrap(), now), None);
        let later = now + LIMITS.block;
        assert_eq!(failures.blocked(bad, later), None);
        assert!(!failures.failed(bad, LIMITS, later), "counted anew");
    }

    #[test]
    fn slow_failures_never_add_up() {
        let failures = Failures::default();
        let now = Instant::now();
        let slow: IpAddr = "2001:db8::1".parse().unwrap();
        for hour in 0..10 {
            assert!(!failures.failed(slow, LIMITS, now + Duration::from_hours(hour)));
        }
    }

    #[test]
    fn a_network_of_64_bits_is_one_source_and_mapped_addresses_are_ipv4() {
        let failures = Failures::default();
        let now = Instant::now();
        for host in 1..=3 {
            failures.failed(format!("2001:db8::{host}").parse().unwrap(), LIMITS, now);
            failures.failed("::ffff:192.0.2.1".parse().unwrap(), LIMITS, now);
        }
        assert!(failures.blocked("2001:db8::ffff".parse().unwrap(), now).is_some());
        assert!(failures.blocked("2001:db8:0:1::1".parse().unwrap(), now).is_none());
        assert!(failures.blocked("192.0.2.1".parse().unwrap(), now).is_some());
    }
}
