//! Whether this node's clock may date tokens: one that is off by more than five minutes may not. authservice.md 14
//!
//! What it is compared with are the keys of the ring, which were not made in the future, and the clocks of the other nodes, as
//! their answers date themselves. Those are kept against the time since the start, which nobody sets: a clock that jumps is
//! seen at once. Of two nodes that disagree nobody knows which is right: the one ahead makes no tokens, since those would be
//! void at the other.

use openadp_appserver::Clock;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

/// Seconds that a clock may be off.
const SLACK: i64 = 300;
/// What a node said of its time counts for so long.
const FRESH: Duration = Duration::from_mins(10);

/// Why the clock may not date tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClockFault {
    #[error("a key of the ring was made {seconds} seconds in the future: the clock is behind")]
    BehindKey { seconds: i64 },
    #[error("the clock is {seconds} seconds away from those of other nodes")]
    AwayFromPeers { seconds: i64 },
}

/// The clocks of other nodes, by URL.
#[derive(Default)]
pub(crate) struct PeerClocks(Mutex<BTreeMap<String, (i64, Instant)>>);

impl PeerClocks {
    /// Takes note of the `Date` of an answer.
    pub(crate) fn saw(&self, peer: &str, date: Option<&str>) {
        let Some(date) = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok()) else { return };
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.insert(peer.to_owned(), (date.unix_timestamp(), Instant::now()));
    }

    /// Forgets who is none of these.
    pub(crate) fn keep(&self, peers: &[String]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|peer, _| peers.contains(peer));
    }

    /// How many seconds each is ahead of ours now.
    pub(crate) fn offsets(&self, now: i64) -> Vec<i64> {
        let clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = clocks.values().filter(|(_, at)| at.elapsed() < FRESH);
        fresh
            .map(|(date, at)| {
                let since = i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX);
                date.saturating_add(since).saturating_sub(now)
            })
            .collect()
    }

    /// What is wrong with our clock, if anything is; `newest_key` is when the newest key of the ring was made.
    pub(crate) fn fault(&self, clock: &dyn Clock, newest_key: Option<i64>) -> Option<ClockFault> {
        let now = clock.now().unix_timestamp();
        judge(now, newest_key, &self.offsets(now))
    }
}

fn judge(now: i64, newest_key: Option<i64>, offsets: &[i64]) -> Option<ClockFault> {
    let behind = newest_key.map_or(0, |made| made.saturating_sub(now));
    if behind > SLACK {
        return Some(ClockFault::BehindKey { seconds: behind });
    }
    let away: Vec<i64> = offsets.iter().copied().filter(|offset| offset.saturating_abs() > SLACK).collect();
    let nodes = offsets.len() + 1;
    let ahead = away.iter().any(|offset| *offset < 0);
    let minority = away.len() * 2 > nodes || (away.len() * 2 == nodes && ahead);
    let worst = away.iter().copied().map(i64::saturating_abs).max()?;
    minority.then_some(ClockFault::AwayFromPeers { seconds: worst })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_255_200;

    #[test]
    fn who_is_off_is_found_by_the_majority_and_the_keys() {
        let off = |offsets: &[i64]| judge(NOW, Some(NOW - 10), offsets).is_some();
        assert!(!off(&[]) && !off(&[0, 300]) && !off(&[-300]));
        assert!(off(&[-301]), "of two, the one ahead");
        assert!(!off(&[301]), "and not the one behind, whose tokens hold everywhere");
        assert!(!off(&[0, -4000]), "another one is off");
        assert!(off(&[-4000, -4001]) && off(&[4000, 4001]), "we are off");
        assert!(!off(&[0, 0, 4000]) && off(&[0, -4000, -4000]) && !off(&[0, 4000, 4000]));
        assert_eq!(judge(NOW, Some(NOW + 301), &[]), Some(ClockFault::BehindKey { seconds: 301 }));
        assert_eq!(judge(NOW, Some(NOW + 300), &[]), None);
        assert!(judge(i64::MIN, Some(i64::MAX), &[i64::MIN + 1]).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_is_seen_at_once() {
        let clocks = PeerClocks::default();
        for (peer, date) in [
            ("https://b.example", Some("Sat, 21 Nov 2026 10:00:00 GMT")),
            ("https://c.example", Some("Sat, 21 Nov 2026 10:00:02 GMT")),
            ("https://d.example", Some("no date")),
            ("https://e.example", None),
        ] {
            clocks.saw(peer, date);
        }
        let ten = 1_795_255_200;
        assert_eq!(clocks.offsets(ten), [0, 2]);
        tokio::time::advance(Duration::from_mins(3)).await;
        assert_eq!(clocks.offsets(ten + 180), [0, 2], "their time goes on as ours should");
        assert!(judge(ten + 3_600, None, &clocks.offsets(ten + 3_600)).is_some());
        clocks.keep(&["https://c.example".to_owned()]);
        assert_eq!(clocks.offsets(ten + 180), [2]);
        tokio::time::advance(Duration::from_mins(8)).await;
        assert!(clocks.offsets(ten).is_empty(), "nobody has said anything for long");
    }
}
