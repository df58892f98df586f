//! Everything a `main()` needs: flags, telemetry, signals, readiness, admin socket, drain, exit codes.
//!
//! A binary is a [`Program`]: a name and the applications it hosts. [`run`] does the rest. Programs that compose more than
//! that (`adp`) use the same parts: [`CommonArgs`] for their flags, [`supervise`] for telemetry, runtime and signals, and
//! [`Node`] for a set of applications over one data directory.
//!
//! Only this crate puts the embedded application server, the key ring, TLS, listeners and applications together; no library
//! imports it. Reading order: [`Program`], [`Node`], [`Exit`], [`admin`].

pub mod admin;
mod args;
mod chain;
mod exit;
mod expiry;
mod generate;
mod health;
mod lock;
mod logging;
mod maintenance;
mod managed;
mod monitoring;
mod node;
mod notify;
mod options;
mod push;
mod relay;
mod run;
mod scheduler;
mod settings;
mod table;
mod telemetry;

pub use args::{CommonArgs, LogFormat, LogLevel};
pub use chain::ErrorChain;
pub use exit::Exit;
pub use generate::generate;
pub use lock::NodeLock;
pub use logging::{FileOutput, JournaldOutput, SyslogOutput};
pub use maintenance::{LicenseFile, Licensing, Patching, Tools};
pub use managed::{ArchiveLimits, ManagedObjects};
pub use monitoring::{AlarmMonitoring, AlarmsTable, Report, live_lines};
pub use node::{Node, Prepared, StartError};
pub use openadp_listener::Filter;
pub use openadp_webcontainer::{ApplicationSpec, BuildError, Host};
pub use options::{NodeOptions, ServerSpec};
pub use push::HttpPushSender;
pub use relay::{CapProxy, NetworkServer, OciProxy};
pub use run::{Process, Program, run, run_with, supervise, usage};
pub use scheduler::{ScheduleEntry, TaskSettings};
pub use settings::{LogSettings, MODULE};
