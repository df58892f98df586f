//! How often something may be done, by who does it. Pure: the time comes from the caller. Memory is bounded; what was done
//! longest ago is forgotten first.

use lru::LruCache;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Names that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// A leaking bucket for every name: `limit` at once, refilled evenly within a period.
pub(crate) struct Rates {
    buckets: Mutex<LruCache<u64, (f64, Instant)>>,
    /// Names are kept as keyed hashes.
    hasher: RandomState,
    period: Duration,
}

impl Rates {
    /// Limits that are meant for each of these periods.
    pub(crate) fn new(period: Duration) -> Self {
        Self { buckets: Mutex::new(LruCache::new(REMEMBERED)), hasher: RandomState::new(), period }
    }

    /// Counts one; when there were too many, how long until the next is taken. 0 is no limit.
    pub(crate) fn take(&self, name: &str, limit: u32, now: Instant) -> Result<(), Duration> {
        if limit == 0 {
            return Ok(());
        }
        let (most, period) = (f64::from(limit), self.period.as_secs_f64());
        let key = self.hasher.hash_one(name);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_or_insert_mut(key, || (0.0, now));
        let passed = now.saturating_duration_since(bucket.1).as_secs_f64();
        let level = (bucket.0 - passed * most / period).max(0.0);
        let surplus = level + 1.0 - most;
        if surplus > 1e-9 {
            *bucket = (level, now);
            return Err(Duration::from_secs_f64(surplus * period / most));
        }
        *bucket = (level + 1.0, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_limit_and_it_refills() {
        let rates = Rates::new(Duration::from_mins(1));
        let now = Instant::now();
        for _ in 0..3 {
            rates.take("alice", 3, now).unwrap();
        }
        assert_eq!(rates.take("alice", 3, now), Err(Duration::from_secs(20)));
        rates.take("bob", 3, now).unwrap();
        assert!(rates.take("alice", 3, now + Duration::from_secs(19)).is_err());
        rates.take("alice", 3, now + Duration::from_secs(20)).unwrap();
        assert!(rates.take("alice", 3, now + Duration::from_secs(20)).is_err());
        for _ in 0..1000 {
            rates.take("alice", 0, now).unwrap();
        }
    }

    #[test]
    fn memory_is_bounded() {
        let rates = Rates::new(Duration::from_secs(1));
        let now = Instant::now();
        for n in 0..REMEMBERED.get() + 10 {
            rates.take(&n.to_string(), 1, now).unwrap();
        }
        assert_eq!(rates.buckets.lock().unwrap().len(), REMEMBERED.get());
    }
}
