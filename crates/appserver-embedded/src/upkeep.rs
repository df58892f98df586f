//! What is done to the store from time to time, by whichever process: a copy of it, tidying, and a look whether it is whole.
//!
//! Each has a connection of its own beside those of the processes that use the store, and blocks until it is done.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another process's transaction; nobody waits for this one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most faults that a look lists.
const MOST_FAULTS: i64 = 20;

/// Why something could not be done to the store.
#[derive(Debug, thiserror::Error)]
#[error("the store {}: {what}", path.display())]
pub struct UpkeepError {
    path: PathBuf,
    what: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What tidying came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintained {
    /// Whether everything of the write-ahead log is in the database itself now.
    pub log_is_empty: bool,
    /// Pages of the database.
    pub pages: u64,
    /// Pages that wait for being used again.
    pub free: u64,
    /// Pages that were given back to the file system, where the database was made to do so.
    pub given_back: u64,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("appserver").join("appserver.db")
}

/// Whether there is a store.
pub fn exists(data_dir: &Path) -> bool {
    path(data_dir).is_file()
}

/// Runs statements on a connection of their own, by a thread of their own: who asks may be a thread of a runtime.
fn with<T: Send>(
    data_dir: &Path,
    what: &'static str,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error> + Send,
) -> Result<T, UpkeepError> {
    let path = path(data_dir);
    let fault =
        |source: Box<dyn std::error::Error + Send + Sync>| UpkeepError { path: path.clone(), what, source };
    let run = || -> Result<T, UpkeepError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| fault(error.into()))?;
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT);
            let mut connection = options.connect().await.map_err(|error| fault(error.into()))?;
            let done = work(&mut connection).await.map_err(|error| fault(error.into()))?;
            connection.close().await.map_err(|error| fault(error.into()))?;
            Ok(done)
        })
    };
    match std::thread::scope(|scope| scope.spawn(run).join()) {
        Ok(done) => done,
        Err(_panicked) => Err(fault(io::Error::other("it ended early").into())),
    }
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// Writes a copy of the store as it is at one moment, while it is used. The file must not be there yet.
///
/// # Errors
/// The store cannot be read, or the copy not be written.
pub fn copy(data_dir: &Path, to: &Path) -> Result<(), UpkeepError> {
    const WHAT: &str = "no copy of it can be made";
    let name = to.to_str().ok_or_else(|| UpkeepError {
        path: path(data_dir),
        what: WHAT,
        source: "the name of the copy is not text".into(),
    })?;
    with(data_dir, WHAT, async |connection| {
        sqlx::query("VACUUM INTO ?1").bind(name).execute(connection).await.map(drop)
    })
}

/// Brings the statistics of the indexes up to date, the write-ahead log into the database, and free pages back to the file system
/// where the database was made to do so.
///
/// # Errors
/// The store cannot be read or written.
pub fn maintain(data_dir: &Path) -> Result<Maintained, UpkeepError> {
    with(data_dir, "it cannot be tidied", async |connection| {
        async fn number(connection: &mut SqliteConnection, pragma: &'static str) -> Result<u64, sqlx::Error> {
            sqlx::query_scalar::<_, i64>(pragma).fetch_one(connection).await.map(count)
        }
        sqlx::query("PRAGMA optimize").execute(&mut *connection).await?;
        let before = number(connection, "PRAGMA page_count").await?;
        sqlx::query("PRAGMA incremental_vacuum").execute(&mut *connection).await?;
        let pages = number(connection, "PRAGMA page_count").await?;
        // Whether somebody was in the way, pages of the log, and pages of it that are in the database.
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
        let free = number(connection, "PRAGMA freelist_count").await?;
        Ok(Maintained { log_is_empty: busy == 0, pages, free, given_back: before.saturating_sub(pages) })
    })
}

/// Looks whether the store is whole; what is wrong with it, nothing for one that is.
///
/// # Errors
/// It cannot be read at all.
pub fn check(data_dir: &Path) -> Result<Vec<String>, UpkeepError> {
    with(data_dir, "it cannot be read", async |connection| {
        sqlx::query("PRAGMA query_only = 1").execute(&mut *connection).await?;
        let told: Vec<String> =
            sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut *connection).await?;
        let mut faults: Vec<String> = told.into_iter().filter(|line| line != "ok").collect();
        let orphans: Vec<(String, String)> =
            sqlx::query_as("SELECT \"table\", parent FROM pragma_foreign_key_check LIMIT ?1")
                .bind(MOST_FAULTS)
                .fetch_all(&mut *connection)
                .await?;
        faults.extend(
            orphans
                .into_iter()
                .map(|(table, parent)| format!("a row of {table} belongs to none of {parent}")),
        );
        Ok(faults)
    })
}

/// The newest migration that the store has seen; none where it is not one of ours.
///
/// # Errors
/// It cannot be read.
pub fn schema(data_dir: &Path) -> Result<Option<u64>, UpkeepError> {
    with(data_dir, "its version cannot be read", async |connection| {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(connection)
                .await?;
        Ok(newest.map(count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use openadp_appserver::SystemClock;
    use openadp_wake::Wake;
    use std::sync::Arc;
    use tokio_util::task::TaskTracker;

    async fn opened(data_dir: &Path) -> Db {
        let db = Db::open(data_dir, Wake::in_process(), TaskTracker::new(), Arc::new(SystemClock)).await;
        db.unwrap()
    }

    #[tokio::test]
    async fn a_copy_of_a_store_in_use_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!exists(dir.path()));
        let db = opened(dir.path()).await;
        assert!(exists(dir.path()));
        // A transaction that is open does not get into the copy, and does not hold it up.
        let mut tx = db.begin().await.unwrap();
        sqlx::query("CREATE TABLE half (x)").execute(tx.conn()).await.unwrap();
        let restored = dir.path().join("restored");
        std::fs::create_dir_all(restored.join("appserver")).unwrap();
        copy(dir.path(), &path(&restored)).unwrap();
        drop(tx);
        assert_eq!(check(&restored).unwrap(), Vec::<String>::new());
        assert_eq!(schema(&restored).unwrap(), schema(dir.path()).unwrap());
        assert!(schema(&restored).unwrap().is_some_and(|newest| newest >= 5));
        assert!(copy(dir.path(), &path(&restored)).is_err(), "an existing file is left alone");
        db.close().await;
    }

    #[tokio::test]
    async fn tidying_empties_the_log_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let db = opened(dir.path()).await;
        let done = maintain(dir.path()).unwrap();
        assert!(done.log_is_empty && done.pages > 10, "{done:?}");
        assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
        db.close().await;
        let mut bytes = std::fs::read(path(dir.path())).unwrap();
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(8192).for_each(|byte| *byte = b'#');
        std::fs::write(path(dir.path()), &bytes).unwrap();
        let found = check(dir.path());
        assert!(found.as_ref().map_or(true, |faults| !faults.is_empty()), "{found:?}");
        std::fs::write(path(dir.path()), vec![b'#'; 8192]).unwrap();
        assert!(check(dir.path()).is_err());
    }
}
