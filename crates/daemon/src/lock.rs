//! `ADP_CLI/Maintenance/ManagedObjects/Lock`: taking a node out of service and back. cli.md 4.2, 5.7
//!
//! The settings hold whether the node is locked, so every process follows and a restart changes nothing. The way there has
//! phases, so that a load balancer sends nobody any more before anybody is refused: a pure [`Machine`] tells which one holds,
//! and [`Locking`] does what each means.

use crate::health::Health;
use openadp_alarms::NODE_LOCKED;
use openadp_listener::Listeners;
use openadp_settings::{Context, Kind, Parameter, Store, Tree, context};
use openadp_webcontainer::ServiceLock;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time between two looks at what is still open.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) const LOCKED: &str = "Locked";
pub(crate) const UNLOCKED: &str = "Unlocked";

context! {
    /// Whether this node serves. lock and unlock of ManagedObjects set the state; when it becomes Locked the health check fails
    /// first, then new work is refused, then what is open is told to finish. It survives a restart.
    pub struct NodeLock = Context::single(Tree::Adp, "Maintenance/ManagedObjects/Lock") => {
        /// Unlocked: the node serves. Locked: it does not, or is on the way there; the metric node_lock_phase says how far.
        pub state: String = Parameter::new("state", Kind::Choice(&[UNLOCKED, LOCKED])).default(UNLOCKED);
        /// Time for load balancers to see that the health check fails, while everything is served on.
        pub health_check_secs: u32 =
            Parameter::new("healthCheckSeconds", Kind::integer(0, 3600)).default("10").unit("seconds");
        /// Time that what is open then may go on, while new work is refused. It is shorter when nothing is open.
        pub finish_secs: u32 =
            Parameter::new("finishSeconds", Kind::integer(0, 86_400)).default("30").unit("seconds");
        /// When a client that is refused may try again, as the answer tells it.
        pub retry_after_secs: u32 =
            Parameter::new("retryAfterSeconds", Kind::integer(1, 3600)).default("30").unit("seconds");
        /// Whether the phases follow at once.
        pub forced: bool = Parameter::new("forced", Kind::Boolean).default("false").hidden();
    }
}

/// How far a node is on its way out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Unlocked,
    /// Everything is served; the health check fails.
    HealthFails,
    /// New work is refused, what is open goes on.
    Refuses,
    /// What is open is told to finish.
    Drains,
    Locked,
}

impl Phase {
    fn number(self) -> u8 {
        self as u8
    }

    fn text(self) -> &'static str {
        match self {
            Self::Unlocked => "unlocked",
            Self::HealthFails => "the health check fails, everything is served",
            Self::Refuses => "new work is refused, what is open goes on",
            Self::Drains => "new work is refused, what is open is told to finish",
            Self::Locked => "new work is refused, nothing else is open",
        }
    }
}

/// Which phase holds.
#[derive(Debug)]
struct Machine {
    phase: Phase,
    since: Instant,
}

impl Machine {
    /// A process begins where it would have come to.
    fn new(locked: bool, now: Instant) -> Self {
        Self { phase: if locked { Phase::Locked } else { Phase::Unlocked }, since: now }
    }

    /// Goes on as far as it is time to; gives how long nothing will change by itself.
    fn step(&mut self, wanted: &NodeLock, drain: Duration, open: usize, now: Instant) -> Option<Duration> {
        if wanted.state != LOCKED {
            self.phase = Phase::Unlocked;
            return None;
        }
        loop {
            let seconds = |seconds: u32| Duration::from_secs(seconds.into());
            let (limit, looks) = match self.phase {
                Phase::Locked => return None,
                Phase::Unlocked => (Duration::ZERO, false),
                Phase::HealthFails if wanted.forced => (Duration::ZERO, false),
                Phase::HealthFails => (seconds(wanted.health_check_secs), false),
                Phase::Refuses if wanted.forced || open == 0 => (Duration::ZERO, false),
                Phase::Refuses => (seconds(wanted.finish_secs), true),
                Phase::Drains if open == 0 => (Duration::ZERO, false),
                Phase::Drains => (drain, true),
            };
            let passed = now.saturating_duration_since(self.since);
            if passed < limit {
                let left = limit.saturating_sub(passed);
                return Some(if looks { left.min(LOOK) } else { left });
            }
            self.phase = match self.phase {
                Phase::Unlocked => Phase::HealthFails,
                Phase::HealthFails => Phase::Refuses,
                Phase::Refuses => Phase::Drains,
                Phase::Drains | Phase::Locked => Phase::Locked,
            };
            self.since = now;
            // Each phase is done before the next one is looked at.
            if self.phase == Phase::Drains {
                return Some(Duration::ZERO);
            }
        }
    }
}

/// Does what the phases mean in this process.
pub(crate) struct Locking {
    store: Arc<Store>,
    health: Arc<Health>,
    lock: ServiceLock,
    machine: Machine,
}

impl Locking {
    /// Before anybody can connect: a node that was locked is.
    pub(crate) fn new(store: Arc<Store>, health: Arc<Health>, lock: ServiceLock) -> Self {
        let wanted = store.get::<NodeLock>();
        let machine = Machine::new(wanted.state == LOCKED, Instant::now());
        let this = Self { store, health, lock, machine };
        this.apply(&wanted);
        this
    }

    fn apply(&self, wanted: &NodeLock) {
        let phase = self.machine.phase;
        self.health.locked.store(phase != Phase::Unlocked, Ordering::Release);
        self.lock.refuse((phase >= Phase::Refuses).then_some(wanted.retry_after_secs));
        metrics::gauge!("node_lock_phase").set(f64::from(phase.number()));
        NODE_LOCKED.set(&[], (phase != Phase::Unlocked).then(|| phase.text()));
    }

    /// Follows the settings until `shutdown`.
    pub(crate) async fn run(mut self, listeners: Vec<Arc<Listeners>>, shutdown: CancellationToken) {
        let mut revisions = self.store.watch();
        revisions.mark_changed();
        loop {
            let wanted = self.store.get::<NodeLock>();
            let http = self.store.get::<openadp_listener::HttpGeneralSettings>().drain_timeout_secs;
            let cti = self.store.get::<openadp_listener::CtiGeneralSettings>().drain_timeout_secs;
            let drain = Duration::from_secs(http.max(cti).into());
            let open = listeners.iter().map(|listeners| listeners.open()).sum();
            let before = self.machine.phase;
            let wait = self.machine.step(&wanted, drain, open, Instant::now());
            self.apply(&wanted);
            if self.machine.phase != before {
                tracing::info!(open, notice = true, "lock: {}", self.machine.phase.text());
                if self.machine.phase == Phase::Drains {
                    for one in &listeners {
                        one.drain_connections();
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = revisions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(state: &str, forced: bool) -> NodeLock {
        NodeLock {
            state: state.to_owned(),
            health_check_secs: 10,
            finish_secs: 30,
            retry_after_secs: 5,
            forced,
        }
    }

    #[test]
    fn each_phase_has_its_time() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let drain = Duration::from_secs(20);
        let mut machine = Machine::new(false, begin);
        assert_eq!(machine.step(&wanted(UNLOCKED, false), drain, 3, begin), None);
        let lock = wanted(LOCKED, false);
        assert_eq!(machine.step(&lock, drain, 3, begin), Some(Duration::from_secs(10)));
        assert_eq!(machine.phase, Phase::HealthFails);
        assert_eq!(machine.step(&lock, drain, 3, at(10)), Some(LOOK));
        assert_eq!(machine.phase, Phase::Refuses);
        machine.step(&lock, drain, 3, at(39));
        assert_eq!(machine.phase, Phase::Refuses);
        machine.step(&lock, drain, 3, at(40));
        assert_eq!(machine.phase, Phase::Drains);
        machine.step(&lock, drain, 1, at(59));
        assert_eq!(machine.phase, Phase::Drains);
        assert_eq!(machine.step(&lock, drain, 1, at(60)), None);
        assert_eq!(machine.phase, Phase::Locked);
        machine.step(&wanted(UNLOCKED, false), drain, 0, at(61));
        assert_eq!(machine.phase, Phase::Unlocked);
    }

    #[test]
    fn nothing_open_and_force_shorten_the_way() {
        let begin = Instant::now();
        let drain = Duration::from_secs(20);
        let mut machine = Machine::new(false, begin);
        let forced = wanted(LOCKED, true);
        machine.step(&forced, drain, 3, begin);
        assert_eq!(machine.phase, Phase::Drains);
        assert_eq!(machine.step(&forced, drain, 0, begin), None);
        assert_eq!(machine.phase, Phase::Locked);

        let mut idle = Machine::new(false, begin);
        let lock = wanted(LOCKED, false);
        idle.step(&lock, drain, 0, begin);
        assert_eq!(idle.phase, Phase::HealthFails, "the load balancer is waited for in any case");
        idle.step(&lock, drain, 0, begin + Duration::from_secs(10));
        assert_eq!(idle.step(&lock, drain, 0, begin + Duration::from_secs(10)), None);
        assert_eq!(idle.phase, Phase::Locked);
        assert_eq!(Machine::new(true, begin).phase, Phase::Locked, "after a restart");
    }
}
