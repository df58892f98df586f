//! Wake-ups among the processes of one data directory.
//!
//! State that processes share lies in files; this crate only tells them that there may be something new to read. Every
//! process binds a datagram socket below `DATA_DIR/run/wake/` (mode 0700). [`Wake::notify`] bumps the local watchers of a
//! topic and sends one tiny datagram to every sibling socket; sockets whose process is gone are removed on the way.
//! A wake-up says nothing and may come without cause: a receiver always reads the shared state. It may be merged with
//! others, but it is not lost while both processes live: a full receiver is tried again for [`RETRY_FOR`].
//!
//! The crate must not know what the topics mean. Start at [`Wake`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let wake = openadp_wake::Wake::in_process();
//! let mut changes = wake.subscribe("feed");
//! wake.notify("feed");
//! changes.changed().await?;
//! # Ok(()) }
//! ```

mod directory;

use directory::{Directory, SendOutcome};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a sibling whose queue is full is tried again. Longer than any pause of a healthy process.
pub const RETRY_FOR: Duration = Duration::from_secs(2);
/// Pause between two tries; well below the 50 ms in which wake-ups are to arrive.
const RETRY_EVERY: Duration = Duration::from_millis(5);
/// Most bytes of a datagram: a handful of topic names.
const MAX_DATAGRAM_BYTES: usize = 256;
/// Most sibling sockets that are told; more than any node runs. Bounds the work of a directory that somebody filled.
const MAX_SIBLINGS: usize = 256;
/// What a datagram says that stands for all topics.
const EVERYTHING: &str = "*";

/// Why a process could not join.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct JoinError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Wake-ups by topic; clones share everything.
#[derive(Clone)]
pub struct Wake {
    inner: Arc<Inner>,
}

struct Inner {
    topics: Mutex<BTreeMap<&'static str, watch::Sender<u64>>>,
    siblings: Option<Siblings>,
}

struct Siblings {
    directory: Directory,
    /// Names of sockets that were full.
    full: Mutex<BTreeSet<String>>,
    retry: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded values are valid after every statement, so a poisoned lock is as good as another.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake {
    /// Wake-ups within this process only.
    pub fn in_process() -> Self {
        Self { inner: Arc::new(Inner { topics: Mutex::default(), siblings: None }) }
    }

    /// Joins the processes of a data directory. The receiving task runs until `shutdown` and removes the socket then.
    ///
    /// # Errors
    /// When the directory `run/wake` cannot be made or the socket cannot be bound.
    pub fn join(
        data_dir: &Path,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<Self, JoinError> {
        let (directory, socket) = Directory::bind(&data_dir.join("run").join("wake"))?;
        let siblings = Siblings { directory, full: Mutex::default(), retry: Notify::new() };
        let wake = Self { inner: Arc::new(Inner { topics: Mutex::default(), siblings: Some(siblings) }) };
        let inner = wake.inner.clone();
        tasks.spawn(async move { inner.run(socket, shutdown).await });
        Ok(wake)
    }

    /// Tells the processes of a data directory without joining them: for short-lived programs such as the CLI.
    ///
    /// # Errors
    /// When the directory `run/wake` cannot be made or the socket cannot be bound.
    pub fn notify_once(data_dir: &Path, topic: &str) -> Result<(), JoinError> {
        let path = data_dir.join("run").join("wake");
        let directory = Directory::open(&path)?;
        for name in directory.siblings(MAX_SIBLINGS) {
            // A full queue already holds wake-ups; a program that is about to end cannot do more than a few tries.
            for _ in 0..3 {
                match directory.send(&name, topic.as_bytes()) {
                    SendOutcome::Full => std::thread::sleep(RETRY_EVERY),
                    SendOutcome::Sent | SendOutcome::Gone => break,
                }
            }
        }
        Ok(())
    }

    /// Wakes everybody who watches the topic, here and in all sibling processes. Never blocks, never fails.
    pub fn notify(&self, topic: &'static str) {
        self.inner.bump(topic);
        let Some(siblings) = &self.inner.siblings else { return };
        for name in siblings.directory.siblings(MAX_SIBLINGS) {
            match siblings.directory.send(&name, topic.as_bytes()) {
                SendOutcome::Sent | SendOutcome::Gone => {}
                SendOutcome::Full => {
                    lock(&siblings.full).insert(name);
                    siblings.retry.notify_one();
                }
            }
        }
    }

    /// Changes whenever somebody notified the topic. The number has no meaning beyond being new.
    pub fn subscribe(&self, topic: &'static str) -> watch::Receiver<u64> {
        lock(&self.inner.topics).entry(topic).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }
}

impl Inner {
    fn bump(&self, topic: &str) {
        let topics = lock(&self.topics);
        if topic == EVERYTHING {
            topics.values().for_each(|sender| sender.send_modify(|count| *count = count.wrapping_add(1)));
        } else if let Some(sender) = topics.get(topic) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    async fn run(&self, socket: UnixDatagram, shutdown: CancellationToken) {
        let Some(siblings) = &self.siblings else { return };
        let mut buffer = [0_u8; MAX_DATAGRAM_BYTES];
        let retries = async {
            loop {
                siblings.retry.notified().await;
                siblings.retry().await;
            }
        };
        tokio::pin!(retries);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = &mut retries => {}
                received = socket.recv(&mut buffer) => match received {
                    // Not text or an unknown topic: nobody watches it.
                    Ok(length) => {
                        if let Ok(topic) = std::str::from_utf8(buffer.get(..length).unwrap_or_default()) {
                            self.bump(topic);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "wake-up socket failed");
                        tokio::time::sleep(RETRY_EVERY).await;
                    }
                },
            }
        }
        siblings.directory.leave();
    }
}

impl Siblings {
    /// Tries full siblings again, each for a bounded time. What was missed is not known any more, so it is everything.
    async fn retry(&self) {
        let rounds = RETRY_FOR.as_millis() / RETRY_EVERY.as_millis();
        for _ in 0..rounds {
            let names = std::mem::take(&mut *lock(&self.full));
            if names.is_empty() {
                return;
            }
            let still = names
                .into_iter()
                .filter(|name| matches!(self.directory.send(name, EVERYTHING.as_bytes()), SendOutcome::Full));
            let still: Vec<String> = still.collect();
            if still.is_empty() {
                return;
            }
            lock(&self.full).extend(still);
            tokio::time::sleep(RETRY_EVERY).await;
        }
        let given_up = std::mem::take(&mut *lock(&self.full));
        tracing::warn!(sockets = given_up.len(), "processes do not take their wake-ups");
    }
}

#[cfg(test)]
mod tests;
