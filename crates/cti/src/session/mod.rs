//! The conversation on one connection.

mod connection;
#[cfg(test)]
mod harness;
mod identity;
mod machine;
mod outbound;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use connection::serve;
pub(crate) use identity::Peer;
pub(crate) use run::Shared;
