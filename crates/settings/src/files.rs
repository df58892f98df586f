//! The lock among processes, and whom new files belong to.

use crate::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for another process that is committing; a commit takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Pause between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Waits for the lock; it is held while the file is open.
pub(crate) fn hold_lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = open_lock(path).map_err(io)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
}

/// The lock file, created with mode 0600.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Files that root makes in the data directory of another user belong to that user: the service must be able to read
/// what an operator set before its first start.
pub(crate) fn give_to_owner(data_dir: &Path, made: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (owner, own) = (std::fs::metadata(data_dir)?, std::fs::metadata(made)?);
    if (own.uid(), own.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(made, Some(owner.uid()), Some(owner.gid()))
}
