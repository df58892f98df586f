//! Which processes of the node live. Each holds a lock on a file of its own while it does, and the operating system gives the
//! lock back however the process ends: a killed one is known to be gone at once, not when its lease is over, and its channels
//! do not swallow events meanwhile. The lease remains for processes that hang.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Longest name that gets a file.
const MAX_NAME: usize = 64;
/// Files that are looked at: far more than processes of one node.
const MAX_FILES: usize = 1_000;

/// The locks of this process and a look at those of the others.
#[derive(Debug)]
pub(crate) struct Processes {
    folder: PathBuf,
    held: Mutex<HashMap<String, File>>,
}

impl Processes {
    /// The processes of a data directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("run/processes"), held: Mutex::default() }
    }

    /// Holds the lock of a process that lives here.
    pub(crate) fn hold(&self, name: &str) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(name) || !is_file_name(name) {
            return Ok(());
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.folder.join(name);
        let file =
            std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        // Somebody may look at this very moment; without the lock the lease tells, as for any process without a file.
        if file.try_lock().is_ok() {
            held.insert(name.to_owned(), file);
        }
        Ok(())
    }

    /// Names of processes that are gone, whose files go now.
    pub(crate) fn bury(&self) -> io::Result<Vec<String>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut gone = Vec::new();
        for entry in entries.take(MAX_FILES) {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if held.contains_key(&name) {
                continue;
            }
            // Another process may bury it too.
            let Ok(file) = File::open(entry.path()) else { continue };
            if file.try_lock().is_ok() && std::fs::remove_file(entry.path()).is_ok() {
                gone.push(name);
            }
        }
        Ok(gone)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        for name in held.keys() {
            // What stays is found by whoever looks next.
            drop(std::fs::remove_file(self.folder.join(name)));
        }
    }
}

fn is_file_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_no_lock_any_more_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (here, there) = (Processes::new(folder.path()), Processes::new(folder.path()));
        assert!(here.bury().expect("nothing yet").is_empty());
        here.hold("one").expect("held");
        here.hold("one").expect("held still");
        there.hold("two").expect("held");
        there.hold("../three").expect("no file for this");
        assert!(here.bury().expect("looked").is_empty());
        assert!(there.bury().expect("looked").is_empty());
        // As a kill does: the lock is gone, the file is not.
        there.held.lock().expect("unpoisoned").clear();
        assert_eq!(here.bury().expect("looked"), ["two"]);
        assert!(here.bury().expect("looked").is_empty());
        drop(there);
        drop(here);
        let left = std::fs::read_dir(folder.path().join("run/processes")).expect("the folder").count();
        assert_eq!(left, 0);
    }
}
