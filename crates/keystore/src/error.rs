//! Why the key ring cannot do what it is asked. No text here ever holds key material or a passphrase.

use openadp_settings::MachineKeyError;
use std::io;
use std::path::{Path, PathBuf};

/// Why the key ring cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// aws-lc refused an operation; practically out of randomness or memory.
    #[error("cryptographic operation failed: {what}")]
    Crypto {
        /// The operation.
        what: &'static str,
    },
    /// The ring's file is damaged, or is not one.
    #[error("key ring {path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An imported file is damaged, is not an export of this suite, or its passphrase is wrong.
    #[error("import refused: {reason}")]
    Import {
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process kept the lock for too long.
    #[error("key ring {path}: another process holds the lock")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Sealing or opening with the machine key failed.
    #[error(transparent)]
    MachineKey(#[from] MachineKeyError),
    /// The passphrase is too short or too long.
    #[error("a passphrase needs {min} to {max} characters")]
    Passphrase {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// There are as many keys as the ring may hold.
    #[error("the ring holds {limit} keys already; revoke one first")]
    TooMany {
        /// How many it may hold.
        limit: usize,
    },
    /// No key has this id.
    #[error("there is no key {kid}")]
    UnknownKey {
        /// The id asked for, if it has the form of one; else a remark.
        kid: String,
    },
    /// The key is in a state that does not allow this.
    #[error("key {kid} is {state}, so it cannot be {wanted}")]
    WrongState {
        /// The key.
        kid: String,
        /// Its state.
        state: &'static str,
        /// What it was to become.
        wanted: &'static str,
    },
}

impl KeyStoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
    pub(crate) fn import(reason: impl Into<String>) -> Self {
        Self::Import { reason: reason.into() }
    }
}
