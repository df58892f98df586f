//! What happens when the machine runs short of memory, or requests for calls wait for too long: `System/OverloadControls`.

use crate::db::{Db, WriteTx};
use crate::tree::OverloadControls;
use openadp_appserver::{PortError, PortResult};
use openadp_settings::Live;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a look at the memory counts.
const SAMPLE: Duration = Duration::from_millis(500);
/// How long a new call is held up in the yellow zone.
const DELAY: Duration = Duration::from_millis(500);
/// How long a request that is dropped stays without an answer: longer than anybody waits.
const DROPPED: Duration = Duration::from_secs(10);

/// Too much to do.
#[derive(Debug, thiserror::Error)]
#[error("overload: {0}")]
struct Overloaded(&'static str);

impl From<Overloaded> for PortError {
    fn from(overloaded: Overloaded) -> Self {
        Self::Unavailable(Box::new(overloaded))
    }
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Green,
    Yellow,
    Red,
}

impl Zone {
    fn of(percent: u32, settings: &OverloadControls) -> Self {
        if percent >= settings.percent_red {
            Self::Red
        } else if percent >= settings.percent_yellow {
            Self::Yellow
        } else {
            Self::Green
        }
    }
}

/// Percent of the machine's memory that is in use, from the kernel's own table.
fn percent_in_use(meminfo: &str) -> Option<u32> {
    let kilobytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().split(' ').next()?.parse().ok()
    };
    let (total, available) = (kilobytes("MemTotal")?, kilobytes("MemAvailable")?);
    let used = total.saturating_sub(available).saturating_mul(100);
    u32::try_from(used.checked_div(total)?).ok()
}

/// Watches the load.
pub(crate) struct Overload {
    settings: Live<OverloadControls>,
    sampled: Mutex<Option<(Instant, u32)>>,
}

impl Overload {
    pub(crate) fn new(settings: Live<OverloadControls>) -> Self {
        Self { settings, sampled: Mutex::new(None) }
    }

    fn percent(&self) -> u32 {
        let now = Instant::now();
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        match *sampled {
            Some((at, percent)) if now.saturating_duration_since(at) < SAMPLE => percent,
            _ => {
                // A machine that does not tell is not short of it.
                let found = std::fs::read_to_string("/proc/meminfo").ok();
                let percent = found.as_deref().and_then(percent_in_use).unwrap_or(0);
                *sampled = Some((now, percent));
                percent
            }
        }
    }

    /// Lets a new call through, late or not at all; then waits for its turn in the store, for as long as it may.
    ///
    /// # Errors
    /// `Unavailable` when there is too much to do.
    pub(crate) async fn turn(&self, db: &Db) -> PortResult<WriteTx> {
        let settings = self.settings.load();
        if !settings.enabled {
            return db.begin().await;
        }
        let zone = Zone::of(self.percent(), &settings);
        let count = |result: &'static str| {
            metrics::counter!("appserver_overload_total", "result" => result).increment(1);
        };
        match zone {
            Zone::Green => {}
            Zone::Yellow => {
                count("delayed");
                tokio::time::sleep(DELAY).await;
            }
            Zone::Red if settings.sip_overload_action == "drop" => {
                count("dropped");
                tokio::time::sleep(DROPPED).await;
                return Err(Overloaded("memory").into());
            }
            Zone::Red => {
                count("refused");
                return Err(Overloaded("memory").into());
            }
        }
        let age = if zone == Zone::Green { settings.max_age } else { settings.max_age_overload };
        let age = Duration::from_millis(age.into());
        // The transaction is begun in any case and taken back where nobody waits for it any more.
        let begun = db.spawn({
            let db = db.clone();
            async move { db.begin().await }
        });
        match tokio::time::timeout(age, begun).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => Err(PortError::Internal(Box::new(error))),
            Err(_) => {
                count("tooOld");
                Err(Overloaded("waited too long").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n";
        assert_eq!(percent_in_use(table), Some(75));
        assert_eq!(percent_in_use("MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
        assert_eq!(percent_in_use("MemTotal: x\n"), None);
    }

    #[test]
    fn zones_begin_where_they_are_set() {
        let settings = OverloadControls {
            enabled: true,
            sip_overload_action: "error".to_owned(),
            percent_yellow: 85,
            percent_red: 90,
            max_age: 3_000,
            max_age_overload: 1_500,
        };
        for (percent, zone) in [
            (0, Zone::Green),
            (84, Zone::Green),
            (85, Zone::Yellow),
            (89, Zone::Yellow),
            (90, Zone::Red),
            (100, Zone::Red),
        ] {
            assert_eq!(Zone::of(percent, &settings), zone, "{percent}");
        }
    }
}
