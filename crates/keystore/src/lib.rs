//! The key ring that all AuthenticationService nodes share: create, rotate, export, import, sign, verify.
//!
//! One key is active and signs; pending and retiring ones verify; retired ones are erased (authservice.md 9). A key's id is
//! its RFC 7638 thumbprint, and its algorithm is bound to it. Private keys lie in the file sealed by the machine key, and
//! every operation with them runs in aws-lc-rs.
//!
//! This crate must not know tokens, HTTP or any application. Reading order: [`KeyStore`], [`KeyState`], [`SigningKey`],
//! [`VerifyKey`], `export`, [`MODULE`].

mod error;
mod export;
mod file;
mod jwk;
mod key;
mod peer;
mod ring;
mod rotation;
mod settings;
mod store;
#[cfg(test)]
mod store_tests;

pub use error::KeyStoreError;
pub use export::{MAX_PASSPHRASE, MIN_PASSPHRASE};
pub use jwk::{KID_LEN, PublicJwk, PublicJwks, SetEntry, is_kid};
pub use key::{Algorithm, KeyType, SigningKey, VerifyKey};
pub use peer::{FRESH_SECONDS, PEER_HEADER, PeerView, is_peer, prove_peer, read_peers, write_peers};
pub use ring::{ImportMode, KeyState, MAX_KEYS, RETIRING_SECONDS};
pub use rotation::{Peer, PeerAccess, Rotation};
pub use settings::{KeyManagement, MODULE};
pub use store::{Imported, KeyInfo, KeyStore, Now, Scheduled};
