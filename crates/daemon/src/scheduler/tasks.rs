//! What the scheduler does.

use super::cpu::Idle;
use super::{TaskSettings, backup, health, support};
use crate::ErrorChain;
use openadp_alarms::{CPU_IDLE_TIME, DATA_DAMAGED};
use openadp_appserver_embedded::upkeep;
use openadp_keystore::KeyStore;
use openadp_settings::{Snapshot, Store};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// What a task did, in words, or why it could not.
pub(super) type Outcome = Result<String, Box<dyn Error + Send + Sync>>;

/// What a task works with.
pub(super) struct Work<'a> {
    pub(super) data_dir: &'a Path,
    pub(super) store: &'a Store,
    pub(super) snapshot: &'a Snapshot,
    pub(super) settings: &'a TaskSettings,
    pub(super) idle: &'a Idle,
    pub(super) now: OffsetDateTime,
}

/// A task, by the name that operators know.
pub(super) struct Task {
    pub(super) name: &'static str,
    pub(super) run: fn(&Work<'_>) -> Outcome,
}

pub(super) const TASKS: &[Task] = &[
    Task { name: "backup", run: backup::run },
    Task { name: "healthmon", run: health::run },
    Task { name: "tech-support", run: support::run },
    Task { name: "autoCleanup", run: auto_cleanup },
    Task { name: "cpuMon", run: cpu_monitor },
    Task { name: "dbMaint", run: maintain },
    Task { name: "dbSyncCheck", run: check },
];

/// Removes what is older than its retention.
fn auto_cleanup(work: &Work<'_>) -> Outcome {
    let age = Duration::from_hours(u64::from(work.settings.retention_days) * 24);
    let oldest = SystemTime::from(work.now).checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let (mut backups, half) = backup::made(&work.data_dir.join(backup::FOLDER), "backup");
    // The last one stays, however old it is.
    backups.pop();
    let mut old: Vec<PathBuf> = backups.into_iter().chain(half).collect();
    let (bundles, half) = backup::made(&work.data_dir.join(support::FOLDER), "tech-support");
    old.extend(bundles.into_iter().chain(half));
    let files = |folder: &Path, wanted: fn(&str) -> bool| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        files
            .filter(|entry| entry.file_name().to_str().is_some_and(wanted))
            .map(|entry| entry.path())
            .collect()
    };
    old.extend(files(&work.data_dir.join("tmp"), |_| true));
    old.extend(files(&support::logs(work), is_set_aside));
    let is_old = |path: &PathBuf| {
        let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified < oldest)
    };
    let mut count = 0;
    for path in old.into_iter().filter(is_old) {
        backup::remove(&path)?;
        count += 1;
    }
    Ok(format!("{count} removed"))
}

/// Whether a log file was set aside: `adp.log.3`.
fn is_set_aside(name: &str) -> bool {
    let number = name.rsplit_once(".log.").map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Raises or clears the alarm of a machine with too much to do.
fn cpu_monitor(work: &Work<'_>) -> Outcome {
    let over = Duration::from_secs(work.settings.measured_seconds.into());
    let (share, over) = work
        .idle
        .share(over)
        .ok_or("this machine does not tell how idle it is, or was not looked at long enough")?;
    let text = format!("{share:.1} percent idle over {} s", over.as_secs());
    let least = work.settings.minimum_idle;
    let low = share < f64::from(least);
    CPU_IDLE_TIME.set(&[], low.then(|| format!("{text}, at least {least} should be")));
    Ok(text)
}

/// Tidies the store of the embedded application server.
fn maintain(work: &Work<'_>) -> Outcome {
    if !upkeep::exists(work.data_dir) {
        return Ok("there is no store here".to_owned());
    }
    let done = upkeep::maintain(work.data_dir)?;
    let log = if done.log_is_empty { "empty" } else { "still read by somebody" };
    Ok(format!(
        "optimized; write-ahead log {log}; {} of {} pages free, {} given back",
        done.free, done.pages, done.given_back
    ))
}

/// What is wrong with the stores of an installation, each by its name; none of them is written to.
pub(crate) fn integrity(
    data_dir: &Path,
    store: &Store,
    now: OffsetDateTime,
) -> Vec<(&'static str, Option<String>)> {
    let settings = Store::open(data_dir, store.registry().clone()).err();
    let audit = match store.verify_audit(now) {
        Ok(report) => report.problems.first().cloned(),
        Err(problems) => Some(problems.to_string()),
    };
    let keys =
        data_dir.join("keystore").is_dir().then(|| KeyStore::open(data_dir, store.machine_key().clone()));
    let keys = keys.and_then(Result::err).map(|error| ErrorChain(&error).to_string());
    let server = upkeep::exists(data_dir).then(|| match upkeep::check(data_dir) {
        Ok(found) => found.first().map(|first| format!("{first} ({} in all)", found.len())),
        Err(error) => Some(ErrorChain(&error).to_string()),
    });
    vec![
        ("settings", settings.map(|error| ErrorChain(&error).to_string())),
        ("audit", audit),
        ("keys", keys),
        ("applicationServer", server.flatten()),
    ]
}

/// Checks that nothing that is stored is damaged.
fn check(work: &Work<'_>) -> Outcome {
    let found = integrity(work.data_dir, work.store, work.now);
    for (name, wrong) in &found {
        DATA_DAMAGED.set(&[("store", name)], wrong.as_ref());
    }
    let wrong: Vec<String> =
        found.iter().filter_map(|(name, wrong)| Some(format!("{name}: {}", wrong.as_ref()?))).collect();
    if wrong.is_empty() {
        return Ok(format!("{} stores checked, all whole", found.len()));
    }
    Err(wrong.join("; ").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_appserver::{Clock as _, SystemClock};
    use openadp_settings::{Registry, Settings};

    #[test]
    fn only_log_files_that_were_set_aside_are() {
        assert!(is_set_aside("adp.log.1") && is_set_aside("nps-2.log.15"));
        for other in ["adp.log", "adp.log.", "adp.log.1x", "log.1", ".adp.lock"] {
            assert!(!is_set_aside(other), "{other}");
        }
    }

    #[test]
    fn what_is_older_than_its_retention_goes_and_the_last_backup_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Registry::new([crate::settings::MODULE]).unwrap()).unwrap();
        let snapshot = store.current();
        let settings: TaskSettings = snapshot.get();
        assert_eq!(TaskSettings::CONTEXT.path, "Maintenance/Scheduler/TaskSettings");
        let file = |name: &str, days: u64| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = std::fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::from(SystemClock.now()) - Duration::from_hours(days * 24)).unwrap();
        };
        for (name, days) in [
            ("backups/backup-1", 50),
            ("backups/backup-2", 40),
            ("backups/unrelated", 50),
            ("tech-support/tech-support-1.zip", 31),
            ("tech-support/tech-support-2.zip", 29),
            ("tmp/authService.keys", 31),
            ("logs/adp.log.1", 31),
            ("logs/adp.log", 31),
        ] {
            file(name, days);
        }
        let work = Work {
            data_dir: dir.path(),
            store: &store,
            snapshot: &snapshot,
            settings: &settings,
            idle: &Idle::default(),
            now: SystemClock.now(),
        };
        assert_eq!(auto_cleanup(&work).unwrap(), "4 removed");
        for (name, left) in [
            ("backups/backup-1", false),
            ("backups/backup-2", true),
            ("backups/unrelated", true),
            ("tech-support/tech-support-1.zip", false),
            ("tech-support/tech-support-2.zip", true),
            ("tmp/authService.keys", false),
            ("logs/adp.log.1", false),
            ("logs/adp.log", true),
        ] {
            assert_eq!(dir.path().join(name).exists(), left, "{name}");
        }
    }
}
