//! Sockets: accept, secure, limit, drain. One place for HTTP and CTI.
//!
//! [`Listeners`] follows the settings `Interface/Http/HttpServer` or `Interface/CTI/CTIServer` live: it binds new
//! interfaces, drains removed ones and leaves the others alone. Every accepted connection is counted against the limits,
//! secured with the configuration that holds at that moment, and handed to a [`ConnectionHandler`] as a [`Stream`] with
//! its [`ConnectionInfo`]. This crate must not know what is spoken on a connection.
//!
//! Reading order: [`ConnectionHandler`], [`ConnectionInfo`], [`Listeners`], [`InterfaceState`], the settings.

mod accept;
mod access;
mod bind;
mod connection;
mod handshake;
mod limits;
mod listeners;
mod settings;

pub use access::{CtiAccess, refuses};
pub use connection::{BoxFuture, ConnectionHandler, ConnectionInfo, Stream, TlsInfo};
pub use limits::Limits;
pub use listeners::{Filter, InterfaceState, Listeners};
pub use openadp_tls::InterfaceRef;
pub use settings::{
    CtiGeneralSettings, CtiServer, HttpAlias, HttpGeneralSettings, HttpServer, MODULE, WebApp, interfaces,
};
