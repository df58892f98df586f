//! How idle the processors were, by the kernel's own count.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Readings that are kept: one a second for as long as can be asked for.
const KEPT: usize = 320;

/// Ticks of all processors since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. proc(5)
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let numbers: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
        let idle = numbers.get(3)?.saturating_add(numbers.get(4).copied().unwrap_or(0));
        Some(Self { idle, all: numbers.iter().fold(0, |sum, number| sum.saturating_add(*number)) })
    }
}

/// The readings of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Idle(VecDeque<(Instant, Ticks)>);

impl Idle {
    /// Reads the count now.
    pub(super) fn look(&mut self) {
        if let Some(ticks) = std::fs::read_to_string("/proc/stat").ok().as_deref().and_then(Ticks::parse) {
            self.take(Instant::now(), ticks);
        }
    }

    fn take(&mut self, at: Instant, ticks: Ticks) {
        self.0.push_back((at, ticks));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Percent of the time that was idle, over at least this long before the last reading or as much of it as is known; and over
    /// how long that is.
    pub(super) fn share(&self, over: Duration) -> Option<(f64, Duration)> {
        let (end, last) = self.0.back()?;
        let since = |at: &Instant| end.duration_since(*at);
        // Readings come a moment later than a second apart.
        let far = self.0.iter().rev().find(|(at, _)| since(at) >= over);
        let (begin, first) = far.or(self.0.front()).filter(|(at, _)| at != end)?;
        let (idle, all) = (last.idle.saturating_sub(first.idle), last.all.saturating_sub(first.all));
        let parts = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        (all > 0).then(|| (100.0 * parts(idle) / parts(all), since(begin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let text = "cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 1 1 1\n";
        assert_eq!(Ticks::parse(text), Some(Ticks { idle: 450, all: 531 }));
        for bad in ["", "cpu", "cpu  1 2 3", "intr 5 5 5 5 5"] {
            assert_eq!(Ticks::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_share_is_that_of_the_time_asked_for() {
        let mut idle = Idle::default();
        let begin = Instant::now();
        assert_eq!(idle.share(Duration::from_secs(10)), None);
        for second in 0..400_u64 {
            // Busy until the last ten seconds, then half of the time.
            let ticks = Ticks { idle: second.saturating_sub(389) * 50, all: second * 100 };
            idle.take(begin + Duration::from_secs(second), ticks);
        }
        assert_eq!(idle.0.len(), KEPT);
        let (share, over) = idle.share(Duration::from_secs(10)).unwrap();
        assert!((share - 50.0).abs() < 0.1 && over == Duration::from_secs(10), "{share}");
        let (share, over) = idle.share(Duration::from_secs(100)).unwrap();
        assert!((share - 5.0).abs() < 0.1 && over == Duration::from_secs(100), "{share}");
        let (_, over) = idle.share(Duration::from_millis(9_999)).unwrap();
        assert_eq!(over, Duration::from_secs(10), "at least as long");
        let (_, over) = idle.share(Duration::from_hours(1)).unwrap();
        assert_eq!(over, Duration::from_secs(319), "as much as is known");
    }
}
