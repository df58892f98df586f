//! Why the settings cannot be had or written, and what an operator can do about it.

use crate::journal::Damage;
use crate::machine_key::MachineKeyError;
use crate::revision::SecretError;
use crate::{Problem, Problems};
use std::io;
use std::path::PathBuf;

/// Why the settings of a data directory cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or directory cannot be read, created or locked.
    #[error("settings {path}: {source}{}", advice(.source.kind()))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal is damaged; it was left as it is.
    #[error(
        "settings {path}: {source}; the file was left as it is: put a copy of it back, or move it away to begin anew"
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        source: Damage,
    },
    /// The machine key cannot be had.
    #[error(transparent)]
    MachineKey(#[from] MachineKeyError),
    /// A stored secret does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Another process kept the lock for too long.
    #[error(
        "settings {path}: another process holds the lock; try again, and if it stays look for a process that hangs"
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
}

impl OpenError {
    /// Whether the files belong to somebody else.
    pub fn is_denied(&self) -> bool {
        let (Self::Io { source, .. } | Self::MachineKey(MachineKeyError::Io { source, .. })) = self else {
            return false;
        };
        source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// What an operator can do about a failure of the system.
pub(crate) fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ReadOnlyFilesystem => "; mount it for writing and try again",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room and try again",
        io::ErrorKind::PermissionDenied => "; ask as root or as the owner of the data directory",
        _ => "",
    }
}

/// A store that cannot be read or written, in the form of a refusal.
pub(crate) fn unavailable(error: &OpenError) -> Problems {
    Problem::new("", format!("Failed to write data to the configuration system: {}", chain(error))).into()
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Problems {
    /// Whether the store itself failed, rather than the change being refused.
    pub fn is_unavailable(&self) -> bool {
        self.0.iter().any(|problem| problem.reason.starts_with("Failed to write data"))
    }
}
