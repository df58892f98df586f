//! Harness of the end-to-end tests and benchmarks: the built binaries, started as a user would, met with clients that we
//! did not write (curl, openssl, Python programs).
//!
//! Nothing here sleeps to wait: every wait reads from a process or a socket, under a deadline that only a broken
//! program reaches.

mod channel;
mod cti;
mod curl;
mod effects;
mod lab;
mod plain;
mod ports;
mod process;
mod raw;
mod resolver;
mod screen;

pub use channel::{Document, EventChannel};
pub use cti::CtiClient;
pub use curl::{Curl, Response};
pub use effects::Effects;
pub use lab::{Account, Lab};
pub use plain::Plain;
pub use ports::PortBlock;
pub use process::{Running, binary, python, repository};
pub use raw::Raw;
pub use resolver::Resolver;
pub use screen::Screen;

/// How long a wait may take before the test fails. Far above what anything needs, for loaded machines.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);
