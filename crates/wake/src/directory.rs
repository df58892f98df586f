//! The directory of sockets: names, sending, cleaning. No task, no topic.

use crate::JoinError;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Suffix of the sockets; other files in the directory are left alone.
const SUFFIX: &str = ".sock";
/// Longest path that is given to the kernel as it is: `sun_path` has 108 bytes, the socket's own name takes up to 50.
const MAX_DIRECT_BYTES: usize = 56;

/// What became of a datagram.
pub(crate) enum SendOutcome {
    /// Delivered to the socket's queue.
    Sent,
    /// The queue is full.
    Full,
    /// Nobody is there; the file was removed if it was a dead process's.
    Gone,
}

pub(crate) struct Directory {
    /// Kept open: names are reached below `/proc/self/fd/N`, however long the path of the directory is.
    _handle: File,
    /// How the directory is named in socket addresses.
    short: PathBuf,
    /// Name of the own socket, if one was bound.
    own: Option<String>,
    sender: std::os::unix::net::UnixDatagram,
}

impl Directory {
    /// Opens the directory, making it where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, JoinError> {
        let error = |action, source| JoinError { action, path: path.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| error("create directory", e))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
            .map_err(|e| error("protect directory", e))?;
        let handle = File::open(path).map_err(|e| error("open directory", e))?;
        let sender =
            std::os::unix::net::UnixDatagram::unbound().map_err(|e| error("make a socket for", e))?;
        sender.set_nonblocking(true).map_err(|e| error("make a socket for", e))?;
        let short = if path.as_os_str().len() <= MAX_DIRECT_BYTES {
            path.to_owned()
        } else {
            PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
        };
        Ok(Self { _handle: handle, short, own: None, sender })
    }

    /// Opens the directory and binds a socket of one's own in it. Needs a runtime.
    pub(crate) fn bind(path: &Path) -> Result<(Self, tokio::net::UnixDatagram), JoinError> {
        let mut directory = Self::open(path)?;
        // Unique among processes and within one, also when process ids come round again.
        let name = format!("{}-{}{SUFFIX}", std::process::id(), uuid::Uuid::new_v4().simple());
        let socket = tokio::net::UnixDatagram::bind(directory.short.join(&name))
            .map_err(|source| JoinError { action: "bind a socket in", path: path.to_owned(), source })?;
        directory.own = Some(name);
        Ok((directory, socket))
    }

    /// Names of all sockets but the own one; an unreadable directory has none.
    pub(crate) fn siblings(&self, most: usize) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.short) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(SUFFIX) && Some(name) != self.own.as_ref())
            .take(most)
            .collect()
    }

    /// Sends without waiting.
    pub(crate) fn send(&self, name: &str, bytes: &[u8]) -> SendOutcome {
        let path = self.short.join(name);
        match self.sender.send_to(bytes, &path) {
            Ok(_) => SendOutcome::Sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => SendOutcome::Full,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                // Bound names are never bound again, so a name that refuses stays dead.
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::debug!(%error, "a dead wake-up socket could not be removed");
                }
                SendOutcome::Gone
            }
            Err(error) => {
                tracing::debug!(%error, "wake-up not sent");
                SendOutcome::Gone
            }
        }
    }

    /// Removes the own socket.
    pub(crate) fn leave(&self) {
        if let Some(own) = &self.own
            && let Err(error) = std::fs::remove_file(self.short.join(own))
        {
            tracing::debug!(%error, "the own wake-up socket could not be removed");
        }
    }
}
