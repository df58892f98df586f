//! Who runs the tasks, and when each is due.

use super::cpu::Idle;
use super::last::{self, Last, Run};
use super::tasks::{TASKS, Task, Work};
use super::when::When;
use super::{ScheduleEntry, TaskSettings, folder};
use openadp_alarms::SCHEDULED_TASK_FAILED;
use openadp_appserver::Clock;
use openadp_settings::{Snapshot, Store};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Time between two looks at the clock and at requests.
const LOOK: Duration = Duration::from_secs(1);
/// Minutes that are made up for when a look came late (a task that took long, say).
const LATE: i64 = 15;

/// What runs the tasks of the installation while this process holds the lock.
pub(crate) struct Scheduler {
    data_dir: PathBuf,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    lock: Option<File>,
    /// The last minute whose entries were looked at, counted from 1970.
    looked: Option<i64>,
    idle: Idle,
}

impl Scheduler {
    pub(crate) fn new(data_dir: &Path, store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        let data_dir = data_dir.to_owned();
        Self { data_dir, store, clock, lock: None, looked: None, idle: Idle::default() }
    }

    /// Runs until `shutdown`. A task that is under way then is left: what it makes is renamed into its place at its end.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = look.tick() => {}
            }
            // It waits for the disk.
            let working = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            self = tokio::select! {
                () = shutdown.cancelled() => return,
                done = working => match done {
                    Ok(scheduler) => scheduler,
                    Err(error) => {
                        tracing::error!(%error, "the scheduler ended; another process takes over, or this one when it starts again");
                        return;
                    }
                },
            };
        }
    }

    fn look(&mut self) {
        if self.lock.is_none() {
            self.lock = hold(&self.data_dir);
            if self.lock.is_none() {
                return;
            }
        }
        self.idle.look();
        for name in last::take_requests(&self.data_dir) {
            self.work(name, None);
        }
        let minute = self.clock.now().unix_timestamp().div_euclid(60);
        let from = self.looked.map_or(minute, |looked| (looked + 1).max(minute - LATE));
        self.looked = Some(minute);
        for (name, minute) in due(&self.store.current(), from..=minute) {
            // Another process may have done it before this one took over.
            let done = Last::read(&self.data_dir).ok().and_then(|last| last.of(name)?.minute);
            if done.is_none_or(|done| done < minute) {
                self.work(name, Some(minute));
            }
        }
    }

    fn work(&self, name: &str, minute: Option<i64>) {
        let Some(task) = TASKS.iter().find(|task| task.name == name) else { return };
        let (began, at) = (Instant::now(), self.clock.now());
        let (failed, text) = self.outcome(task, at);
        SCHEDULED_TASK_FAILED.set(&[("task", name)], failed.then_some(&text));
        metrics::counter!("scheduler_tasks_total", "task" => task.name, "result" => if failed { "failed" } else { "done" })
            .increment(1);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(task = name, took_ms, failed, notice = true, "scheduled task: {text}");
        let kept = Last::read(&self.data_dir).unwrap_or_default().keep(
            &self.data_dir,
            name,
            Run { at, minute, failed, text },
        );
        if let Err(error) = kept {
            tracing::warn!(%error, task = name, "what the task did is not kept");
        }
    }

    fn outcome(&self, task: &Task, now: OffsetDateTime) -> (bool, String) {
        let snapshot = self.store.current();
        let settings: TaskSettings = snapshot.get();
        let work = Work {
            data_dir: &self.data_dir,
            store: &self.store,
            snapshot: &snapshot,
            settings: &settings,
            idle: &self.idle,
            now,
        };
        match (task.run)(&work) {
            Ok(text) => (false, text),
            Err(error) => (true, crate::ErrorChain(&*error).to_string()),
        }
    }
}

/// The lock, if no other process has it; another one that ends gives it free.
fn hold(data_dir: &Path) -> Option<File> {
    last::make_folder(&folder(data_dir)).ok()?;
    let file = last::private(&folder(data_dir).join("lock"), false).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// The tasks that are due in these minutes, each once, with the last minute in which it is.
fn due(snapshot: &Snapshot, minutes: std::ops::RangeInclusive<i64>) -> Vec<(&'static str, i64)> {
    let rows: Vec<ScheduleEntry> = snapshot.rows();
    let is_due = |row: &ScheduleEntry, minute: i64| {
        let at = OffsetDateTime::from_unix_timestamp(minute.saturating_mul(60)).ok();
        At(at).is_due(&row.schedule)
    };
    let last = |task: &Task| {
        let own = || rows.iter().filter(|row| row.task == task.name);
        minutes.clone().rev().find(|minute| own().any(|row| is_due(row, *minute)))
    };
    TASKS.iter().filter_map(|task| Some((task.name, last(task)?))).collect()
}

struct At(Option<OffsetDateTime>);

impl At {
    fn is_due(&self, schedule: &str) -> bool {
        self.0.is_some_and(|at| When::parse(schedule).is_ok_and(|when| when.is_due(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_settings::{Author, Change, Edit, Registry, Settings};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use time::macros::datetime;

    struct Hand(Mutex<OffsetDateTime>);

    impl Clock for Hand {
        fn now(&self) -> OffsetDateTime {
            *self.0.lock().unwrap()
        }
    }

    impl Hand {
        fn set(&self, at: OffsetDateTime) {
            *self.0.lock().unwrap() = at;
        }
    }

    fn schedule(store: &Store, entries: &[(&str, &str)]) {
        let context = ScheduleEntry::CONTEXT.full_path();
        let add = |(task, schedule): &(&str, &str)| {
            let values = [("task", *task), ("schedule", *schedule)];
            let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Edit::Add { context: context.clone(), values: BTreeMap::from(values) }
        };
        let edits = std::iter::once(Edit::Reset { context: context.clone() }).chain(entries.iter().map(add));
        let change = Change {
            author: Author("tester".to_owned()),
            comment: None,
            edits: edits.collect(),
            force: false,
        };
        store.commit(&change, datetime!(2026-03-04 1:00 UTC)).unwrap();
    }

    #[test]
    fn what_is_due_is_done_once_whoever_does_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Registry::new([crate::settings::MODULE]).unwrap()).unwrap();
        schedule(
            &store,
            &[("autoCleanup", "daily 2 0"), ("autoCleanup", "minute 60"), ("healthmon", "daily 2 1")],
        );
        let clock = Arc::new(Hand(Mutex::new(datetime!(2026-03-04 1:59:30 UTC))));
        let mut first = Scheduler::new(dir.path(), store.clone(), clock.clone());
        let mut second = Scheduler::new(dir.path(), store, clock.clone());
        let ran = |task: &str| Last::read(dir.path()).unwrap().of(task).map(|run| run.at);
        first.look();
        second.look();
        assert!(first.lock.is_some() && second.lock.is_none());
        assert_eq!(ran("autoCleanup"), None);

        let two = datetime!(2026-03-04 2:00:10 UTC);
        clock.set(two);
        second.look();
        assert_eq!(ran("autoCleanup"), None, "it is not its turn");
        first.look();
        assert_eq!((ran("autoCleanup"), ran("healthmon")), (Some(two), None));
        clock.set(datetime!(2026-03-04 2:00:50 UTC));
        first.look();
        // Whoever takes over in the same minute knows that it was done.
        drop(first);
        second.look();
        assert_eq!(ran("autoCleanup"), Some(two));

        // A look that comes late makes up for what it missed, an hour later no more.
        clock.set(datetime!(2026-03-04 2:05:00 UTC));
        second.look();
        assert_eq!(ran("healthmon"), Some(datetime!(2026-03-04 2:05:00 UTC)));
        clock.set(datetime!(2026-03-04 3:30:00 UTC));
        second.look();
        assert_eq!(ran("autoCleanup"), Some(two), "three o'clock is too long ago");
    }

    #[test]
    fn a_request_is_done_at_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Registry::new([crate::settings::MODULE]).unwrap()).unwrap();
        schedule(&store, &[]);
        let clock = Arc::new(Hand(Mutex::new(datetime!(2026-03-04 1:59:30 UTC))));
        let mut scheduler = Scheduler::new(dir.path(), store, clock);
        last::request(dir.path(), "healthmon").unwrap();
        scheduler.look();
        let last = Last::read(dir.path()).unwrap();
        assert!(last.of("healthmon").is_some_and(|run| !run.failed && run.minute.is_none()), "{last:?}");
    }
}
