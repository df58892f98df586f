//! Formats of long-lived tokens and their validation over a key ring.
//!
//! A token is a compact JWS that its holder may read; on its way to the client it is wrapped as JWE for the client's key
//! (authservice.md 3.1 and 7). [`validate`] is the only way from text to a [`ValidToken`], for every application.
//!
//! This crate must not know HTTP, accounts or the time. Reading order: [`Claims`], [`issue`], [`validate`], [`ClientKey`],
//! [`wrap`], [`TokenManagement`].

mod claims;
mod client_key;
mod error;
mod llt;
mod settings;
mod strict;
#[cfg(test)]
mod tests;

pub use claims::{AUDIENCE, Claims, MAX_HOURS};
pub use client_key::{ClientKey, MAX_KEY_CHARACTERS, wrap};
pub use error::{ClientKeyError, IssueError, TokenError};
pub use llt::{Expected, LEEWAY, MAX_TOKEN, ValidToken, issue, issue_by, validate};
pub use settings::{MODULE, TokenManagement};
