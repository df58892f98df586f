//! CTI: the XSI API and its events on one long-lived TCP connection, in clear, over TLS, or with client certificates.
//!
//! A connection carries XML messages back to back ([`wire::Framer`]); each is one of six envelopes ([`wire::parse`]). A
//! request names an XSI resource by URI template, method and parameters; it is expanded ([`wire::expand`]) and dispatched
//! to the same `XsiApi` that serves HTTP. A channel that is opened here belongs to the connection: its events are written
//! on it, and it ends with it, while subscriptions stay.
//!
//! `session` holds the conversation: a state machine without I/O (which request runs when, who is authenticated, timers),
//! a small task that drives it, a bounded outbound queue (a client that does not read is cut off with a reason counted).
//! Formats: `protocols/cti.md`; what is marked *proposed* there is the format of this crate.
//!
//! Timers and errors, in short: a connection on which nobody proves who they are within 30 s is closed; a client that
//! promises keepalives and goes silent is closed after three periods (30 s at least); five refused credentials in a row
//! close it; XML that is not well-formed is answered with an `ErrorEvent` and closes it; every request is answered within
//! two seconds.
//!
//! Reading order: [`wire`], `session/machine.rs`, `session/run.rs`, `session/connection.rs`, [`server`].

mod server;
mod session;
mod settings;
pub mod wire;

pub use server::{Deps, build, server};
pub use settings::{CertificateAuthentication, ClientIdentity, GeneralSettings, MODULE, MODULES};
