//! The conversation on one connection.

mod connection;
mod identity;
mod machine;
mod outbound;
mod run;

pub(crate) use connection::serve;
pub(crate) use identity::Peer;
pub(crate) use run::Shared;
