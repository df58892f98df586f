//! Where log lines come from and where they go. cli.md 5.8
//!
//! Input channels are names that operators know for parts of the suite; each may have a severity of its own or be off.
//! Outputs are the standard error stream, files, syslog and journald. Lines go through a bounded queue to one thread, so that
//! no disk and no server slows the applications; what does not fit is counted, and an alarm says so. Reading order:
//! `channels`, `capture` (a line as data), `output` (the thread), `file`, `network`.

mod capture;
mod channels;
mod file;
mod network;
mod output;
mod settings;

pub(crate) use capture::Capture;
pub(crate) use channels::{Filter, Severities};
pub(crate) use output::{Config, Outputs};
pub(crate) use settings::{CONTEXTS, check};
pub use settings::{FileOutput, JournaldOutput, SyslogOutput};

use time::OffsetDateTime;

/// A log line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: OffsetDateTime,
    pub(crate) level: tracing::Level,
    /// Whether it is of the severity between a warning and what else happens.
    pub(crate) notice: bool,
    pub(crate) channel: &'static str,
    pub(crate) target: &'static str,
    pub(crate) thread: String,
    pub(crate) message: String,
    /// Of the line and of the spans around it.
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Line {
    /// The severity's name, as the settings have it.
    pub(crate) fn severity(&self) -> &'static str {
        if self.notice {
            return channels::NOTICE;
        }
        channels::SEVERITIES
            .iter()
            .find(|(_, level)| level.eq_ignore_ascii_case(self.level.as_str()))
            .map_or("Info", |(name, _)| *name)
    }

    /// Message and fields in one line; nothing in it could begin another.
    pub(crate) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let quoted = value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"');
            text.push(' ');
            text.push_str(name);
            text.push('=');
            let shown = if quoted { format!("{value:?}") } else { value.clone() };
            text.push_str(&shown);
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}
