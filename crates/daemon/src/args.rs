//! The flags of every binary.

use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Severity of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what needs somebody.
    Error,
    /// And what may need somebody.
    Warn,
    /// And what changes how the node serves, and who was refused.
    Notice,
    /// And what happens, a line per request.
    Info,
    /// And why.
    Debug,
    /// And how.
    Trace,
}

impl LogLevel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Flags that every binary takes. Everything else is a setting.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Directory that holds everything of this installation; made if missing.
    #[arg(long, env = "ADP_DATA_DIR", value_name = "DIR", default_value = "/var/lib/openadp")]
    pub data_dir: PathBuf,

    /// Serve only this configured interface (may be repeated); without it, all of them.
    #[arg(long = "interface", value_name = "IP:PORT")]
    pub interfaces: Vec<SocketAddr>,

    /// Where /metrics, /healthz and /readyz answer; without it, nowhere.
    #[arg(long, value_name = "IP:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Do everything that a start does up to binding interfaces, say what is wrong, and end.
    #[arg(long)]
    pub check_config: bool,

    /// Form of log lines.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// Severity of log lines, whatever the setting System/Logging says.
    #[arg(long, value_enum)]
    pub log_level: Option<LogLevel>,

    /// End, as on a signal, when the standard input reaches its end: when the parent process is gone.
    #[arg(long)]
    pub exit_with_parent: bool,
}
