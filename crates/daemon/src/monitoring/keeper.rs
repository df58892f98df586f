//! Writes what is raised in this process, and looks after the data directory and the settings.

use super::{AlarmMonitoring, traps};
use crate::managed;
use crate::settings::{SnmpAgent, TrapDestination};
use openadp_alarms::{
    APPLICATION_STATE_CHANGED, AlarmFiles, CONFIGURATION_CHANGED, DATA_DIRECTORY_NOT_WRITABLE,
    DISK_SPACE_LOW, SETTINGS_PROBLEM, board,
};
use openadp_settings::{Snapshot, Store};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time between two looks at the data directory.
const LOOK: Duration = Duration::from_secs(30);
/// Time before alarms that could not be written are tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What looks after the alarms of a process.
pub(crate) struct Keeper {
    data_dir: PathBuf,
    store: Arc<Store>,
    files: AlarmFiles,
    cleared: Option<OffsetDateTime>,
    problems: Vec<(String, String)>,
    began: Instant,
    /// Number of the last trap.
    traps: u32,
}

impl Keeper {
    /// Makes the files' folders.
    ///
    /// # Errors
    /// They cannot be made.
    pub(crate) fn new(data_dir: &Path, name: &str, store: Arc<Store>) -> io::Result<Self> {
        let files = AlarmFiles::open(data_dir, name)?;
        let cleared = store.get::<AlarmMonitoring>().cleared();
        Ok(Self {
            data_dir: data_dir.to_owned(),
            store,
            files,
            cleared,
            problems: Vec::new(),
            began: Instant::now(),
            traps: 0,
        })
    }

    /// Runs until `shutdown`, and then writes what is left.
    pub(crate) async fn run(mut self, tasks: TaskTracker, shutdown: CancellationToken) {
        let (mut alarms, mut revisions) = (board().watch(), self.store.watch());
        alarms.mark_changed();
        revisions.mark_changed();
        let mut look = tokio::time::interval(LOOK);
        loop {
            let mut looked = false;
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = look.tick() => looked = true,
                _ = alarms.changed() => {}
                _ = revisions.changed() => looked = true,
            }
            let over = shutdown.is_cancelled();
            // It waits for the disk.
            let working = tasks.spawn_blocking(move || {
                if looked {
                    self.look();
                }
                let written = self.write();
                (self, written)
            });
            let Ok((keeper, written)) = working.await else { return };
            self = keeper;
            if over {
                self.files.remove();
                return;
            }
            if let Err(error) = written {
                DATA_DIRECTORY_NOT_WRITABLE.raise(&[], format_args!("alarms: {error}"));
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(AGAIN) => alarms.mark_changed(),
                }
            }
        }
    }

    fn look(&mut self) {
        let snapshot = self.store.current();
        let settings: AlarmMonitoring = snapshot.get();
        let cleared = settings.cleared();
        if let (true, Some(until)) = (cleared > self.cleared, cleared) {
            self.cleared = cleared;
            board().clear_until(until);
        }
        let written = write_probe(&self.data_dir);
        DATA_DIRECTORY_NOT_WRITABLE.set(&[], written.err());
        match room(&self.data_dir) {
            Ok(free) => {
                let least = u64::from(settings.minimum_free_mebibytes);
                DISK_SPACE_LOW
                    .set(&[], (free < least).then(|| format!("{free} MiB are free, {least} should be")));
            }
            Err(error) => tracing::debug!(%error, "the room of the data directory is not known"),
        }
        let problems: Vec<(String, String)> = self
            .store
            .registry()
            .check(&snapshot)
            .into_iter()
            .map(|problem| (problem.context.clone(), problem.to_string()))
            .collect();
        for (context, text) in self.problems.iter().filter(|known| !problems.contains(known)) {
            SETTINGS_PROBLEM.clear(&[("context", context), ("problem", text)]);
        }
        for (context, text) in &problems {
            SETTINGS_PROBLEM.raise(&[("context", context), ("problem", text)], text);
        }
        self.problems = problems;
    }

    fn write(&mut self) -> io::Result<()> {
        let snapshot = self.store.current();
        self.files.write_active(&board().raised())?;
        let events = board().take_events();
        if events.is_empty() {
            return Ok(());
        }
        let (agent, destinations) = (snapshot.get::<SnmpAgent>(), snapshot.rows::<TrapDestination>());
        traps::send(&events, &agent, &destinations, self.began.elapsed(), &mut self.traps);
        let kibibytes = snapshot.get::<AlarmMonitoring>().history_kibibytes;
        self.files.append(&events, u64::from(kibibytes) * 1024)
    }
}

/// Writes a byte as carefully as the store does.
fn write_probe(data_dir: &Path) -> io::Result<()> {
    let path = data_dir.join("run").join(format!(".writable-{}", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let written = file.write_all(b"1").and_then(|()| file.sync_all());
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

/// Free mebibytes of the file system of the data directory.
pub(crate) fn room(data_dir: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(data_dir)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize) / (1024 * 1024))
}

/// Reports what changed by a change of the settings that this process accepted.
pub(crate) fn changed(store: Arc<Store>) -> impl Fn() + Send + Sync {
    let before: Mutex<Arc<Snapshot>> = Mutex::new(store.current());
    move || {
        let now = store.current();
        let before = {
            let mut held = before.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, now.clone())
        };
        // Another process may have changed some of it in between; it told of that itself.
        if before.revision() == now.revision() {
            return;
        }
        let number = now.revision().to_string();
        let author = store.revisions(now.revision()..=now.revision()).ok().and_then(|mut last| last.pop());
        let author = author.map(|revision| revision.author.0).unwrap_or_default();
        CONFIGURATION_CHANGED.report(&[("revision", &number)], format_args!("by {author}"));
        for (name, from, to) in managed::transitions(&before, &now) {
            let about = [("application", name.as_str()), ("revision", &number)];
            APPLICATION_STATE_CHANGED.report(&about, format_args!("{from} -> {to}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_written_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_probe(dir.path()).is_err(), "there is no run/ yet");
        std::fs::create_dir(dir.path().join("run")).unwrap();
        write_probe(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("run")).unwrap().count(), 0);
        assert!(room(dir.path()).unwrap() > 0);
    }
}
