//! The key ring that all AuthenticationService nodes of an installation share.
//!
//! One file below the data directory, [`KeyStore::path`], holds the keys that sign and verify long-lived tokens: one
//! [`State::Active`] key signs, pending and retiring ones verify, erased ones leave only their name. Private keys are sealed
//! with the installation's machine key at rest and live in aws-lc-rs in memory; nothing but an encrypted export carries them
//! anywhere else. All processes of a data directory see each other's changes.
//!
//! This crate must not know tokens, HTTP or the application server; time is given to it. Reading order: [`KeyStore`],
//! [`Key`], [`State`].

mod export;
mod file;
mod key;
mod ring;
mod settings;
mod store;

pub use export::{MAX_EXPORT, MIN_PASSPHRASE};
pub use file::FileError;
pub use key::{Algorithm, Key, KeyError, KeySpec, State};
pub use ring::{Entry, MAX_KEYS, MAX_RETIRED, RETIRING_FOR, RingError};
pub use settings::{KeyGeneration, MODULE};
pub use store::{ImportMode, ImportReport, KeyInfo, KeyStore, KeyStoreError};

#[cfg(test)]
mod tests;
