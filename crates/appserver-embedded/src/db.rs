//! The SQLite file: opening, reading, and one way to write.
//!
//! Every process has one writer connection, on which transactions begin with `BEGIN IMMEDIATE`, and a few readers. A
//! commit runs to its end even when the request that asked for it is cancelled, and wakes the other processes after it.

use openadp_appserver::{Clock, PortError, PortResult, epoch_millis};
use openadp_wake::Wake;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Readers of one process; each is a thread, and reads are short.
const READERS: u32 = 4;
/// How long a statement waits for another process's transaction. With the wait for a connection it stays below the two
/// seconds in which every request is answered.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a request waits for a connection of this process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(900);

/// Bytes of the header of a WAL index, and the place in it of the mark that it is set up.
const HEADER: usize = 48;
const IS_INIT: usize = 12;
/// A state of the store.
pub(crate) type Stamp = [u8; HEADER];

/// Topic of everything that the feed carries.
pub(crate) const FEED: &str = "feed";
/// Topic of channels and subscriptions.
pub(crate) const SUBSCRIPTIONS: &str = "subscriptions";

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or file could not be made.
    #[error("cannot prepare {}", path.display())]
    File {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No random key could be made.
    #[error("cannot make a key")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database could not be opened or brought up to date.
    #[error("cannot open the database {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a database error means to the caller of a port.
pub(crate) fn fault(error: sqlx::Error) -> PortError {
    let busy = match &error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        // Primary result codes 5 (busy) and 6 (locked), extended ones in the higher bits.
        sqlx::Error::Database(database) => database
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    };
    if busy { PortError::Unavailable(Box::new(error)) } else { PortError::Internal(Box::new(error)) }
}

/// A stored document that does not read back is a fault of ours, never of the caller.
pub(crate) fn unreadable(error: serde_json::Error) -> PortError {
    PortError::Internal(Box::new(error))
}

/// JSON of a value of ours.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> PortResult<String> {
    serde_json::to_string(value).map_err(unreadable)
}

/// A count or id as SQLite stores it.
pub(crate) fn int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// A stored count or id.
pub(crate) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[derive(Clone)]
pub(crate) struct Db {
    read: SqlitePool,
    write: SqlitePool,
    wake: Wake,
    tasks: TaskTracker,
    clock: Arc<dyn Clock>,
    /// The WAL index, shared by all processes.
    index: Option<Arc<std::fs::File>>,
}

impl Db {
    /// Opens the file, making or migrating it under a lock where needed.
    pub(crate) async fn open(
        data_dir: &Path,
        wake: Wake,
        tasks: TaskTracker,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let folder = data_dir.join("appserver");
        let path = folder.join("appserver.db");
        let lock_path = folder.join("lock");
        let prepare = {
            let (folder, path, lock_path) = (folder.clone(), path.clone(), lock_path.clone());
            move || -> Result<std::fs::File, OpenError> {
                let error = |path: &Path, source| OpenError::File { path: path.to_owned(), source };
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&folder)
                    .map_err(|e| error(&folder, e))?;
                let open = |path: &Path| {
                    std::fs::OpenOptions::new()
                        .create(true)
                        .append(true)
                        .mode(0o600)
                        .open(path)
                        .map_err(|e| error(path, e))
                };
                drop(open(&path)?);
                let lock = open(&lock_path)?;
                lock.lock().map_err(|e| error(&lock_path, e))?;
                Ok(lock)
            }
        };
        let lock = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|source| OpenError::Database { path: path.clone(), source: Box::new(source) })??;
        let database =
            |source: sqlx::Error| OpenError::Database { path: path.clone(), source: Box::new(source) };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode this survives a crash of the process; a power cut may lose the last moments, never the order.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let write = pool(1).connect_with(options.clone()).await.map_err(database)?;
        let step = |number: i64, name: &'static str, sql: &'static str| {
            Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        let migrations = vec![
            step(1, "init", include_str!("../migrations/0001_init.sql")),
            step(2, "logins", include_str!("../migrations/0002_logins.sql")),
            step(3, "services", include_str!("../migrations/0003_services.sql")),
            step(4, "device_addresses", include_str!("../migrations/0004_device_addresses.sql")),
            step(5, "events", include_str!("../migrations/0005_events.sql")),
            step(6, "calls", include_str!("../migrations/0006_calls.sql")),
            step(7, "directories", include_str!("../migrations/0007_directories.sql")),
            step(8, "call_centers", include_str!("../migrations/0008_call_centers.sql")),
            step(9, "messages", include_str!("../migrations/0009_messages.sql")),
        ];
        Migrator::with_migrations(migrations)
            .run(&write)
            .await
            .map_err(|source| OpenError::Database { path: path.clone(), source: Box::new(source) })?;
        let read = pool(READERS).connect_with(options.pragma("query_only", "1")).await.map_err(database)?;
        drop(lock);
        // Held open by the connections above for as long as this lives.
        let index = std::fs::File::open(folder.join("appserver.db-shm")).ok().map(Arc::new);
        Ok(Self { read, write, wake, tasks, clock, index })
    }

    /// What tells one state of the store from another, for all processes; `None` where it cannot be told just now.
    ///
    /// It is the header of SQLite's WAL index (<https://sqlite.org/walformat.html>, 2.1), which every commit of every process
    /// changes before it returns; two copies of it stand in the file, and differ while one is written. Reading it costs a
    /// hundredth of a question to the database.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let mut bytes = [0_u8; 2 * HEADER];
        self.index.as_ref()?.read_exact_at(&mut bytes, 0).ok()?;
        let (one, other) = bytes.split_at(HEADER);
        let stamp: Stamp = one.try_into().ok()?;
        // Without the mark of being set up it says nothing.
        (one == other && stamp[IS_INIT] == 1).then_some(stamp)
    }

    /// The readers.
    pub(crate) fn read(&self) -> &SqlitePool {
        &self.read
    }

    /// Wake-ups of the node.
    pub(crate) fn wake(&self) -> &Wake {
        &self.wake
    }

    /// The time now, milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        epoch_millis(self.clock.now())
    }

    /// Begins a transaction that may write; waits for its turn.
    pub(crate) async fn begin(&self) -> PortResult<WriteTx> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        let tx = match self.write.begin_with(BEGIN).await {
            // SQLite itself rolls a transaction back when the disk is full, say. The driver does not learn of it and holds
            // the connection to be in a transaction for ever; another connection does not have that past.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                let poisoned = self.write.acquire().await.map_err(fault)?;
                poisoned.close().await.map_err(fault)?;
                self.write.begin_with(BEGIN).await
            }
            begun => begun,
        }
        .map_err(fault)?;
        Ok(WriteTx { tx, topics: Vec::new(), db: self.clone(), now: self.now() })
    }

    /// A transaction that sees one state of everything and writes nothing.
    pub(crate) async fn snapshot(&self) -> PortResult<Transaction<'static, Sqlite>> {
        self.read.begin().await.map_err(fault)
    }

    /// Runs something to its end, whether anybody waits for it or not.
    pub(crate) fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.tasks.spawn(work)
    }

    /// Closes the connections; what was committed stays.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// A transaction that may write. Dropped without commit it leaves nothing behind.
pub(crate) struct WriteTx {
    tx: Transaction<'static, Sqlite>,
    topics: Vec<&'static str>,
    db: Db,
    /// When it began: the time of everything that happens in it.
    pub(crate) now: i64,
}

impl WriteTx {
    /// The connection, for statements.
    pub(crate) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    /// Notes a topic that is notified after the commit.
    pub(crate) fn touch(&mut self, topic: &'static str) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    /// Commits and wakes. Runs to its end even if the caller goes away.
    pub(crate) async fn commit(self) -> PortResult<()> {
        let Self { tx, topics, db, .. } = self;
        let tasks = db.tasks.clone();
        let commit = async move {
            tx.commit().await.map_err(fault)?;
            for topic in topics {
                db.wake.notify(topic);
            }
            Ok(())
        };
        tasks.spawn(commit).await.map_err(|error| PortError::Internal(Box::new(error)))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_appserver::SystemClock;

    #[tokio::test]
    async fn a_commit_of_another_process_changes_the_stamp_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Db::open(folder.path(), Wake::in_process(), TaskTracker::new(), Arc::new(SystemClock));
        let (one, two) = (open().await.expect("opened"), open().await.expect("opened"));
        let write = async |db: &Db, value: &str| {
            let mut tx = db.begin().await.expect("begun");
            crate::events::put_fact(&mut tx, "test", value).await.expect("written");
            tx
        };
        write(&two, "1").await.commit().await.expect("committed");
        let before = one.stamp().expect("told");
        assert_eq!(two.stamp(), Some(before), "one state, whoever looks");
        drop(one.snapshot().await.expect("read"));
        let open_change = write(&two, "2").await;
        assert_eq!(one.stamp(), Some(before), "nothing is committed yet");
        open_change.commit().await.expect("committed");
        let after = one.stamp().expect("told");
        assert_ne!(after, before);
        for value in 3..200 {
            let last = one.stamp();
            write(&two, &value.to_string()).await.commit().await.expect("committed");
            assert_ne!(one.stamp(), last, "commit {value}");
        }
    }

    #[tokio::test]
    async fn a_full_disk_does_not_poison_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(folder.path(), Wake::in_process(), TaskTracker::new(), Arc::new(SystemClock))
            .await
            .expect("opened");
        let fill = "INSERT INTO processes VALUES (hex(randomblob(2000)), 1)";
        for statement in ["PRAGMA max_page_count = 1", fill] {
            let mut tx = db.begin().await.expect("begun");
            // As on a full disk, SQLite ends the transaction with the statement that found no room.
            let mut done = sqlx::query(statement).execute(tx.conn()).await;
            for _ in 0..2_000 {
                if statement == fill && done.is_ok() {
                    done = sqlx::query(statement).execute(tx.conn()).await;
                }
            }
            assert_eq!(done.is_ok(), statement != fill, "{done:?}");
        }
        let mut tx = db.begin().await.expect("begun all the same");
        sqlx::query("INSERT INTO processes VALUES ('after', 1)")
            .execute(tx.conn())
            .await
            .expect("room again");
        tx.commit().await.expect("committed");
        let rows: (i64,) =
            sqlx::query_as("SELECT count(*) FROM processes").fetch_one(db.read()).await.expect("read");
        assert_eq!(rows.0, 1);
    }
}
