//! One line of the history.

use crate::Severity;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What became of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// Its severity is another now.
    Changed,
    /// It is over.
    Cleared,
    /// It was raised, and is.
    Raised,
    /// It was told, and has no end.
    Reported,
}

impl Event {
    /// As operators read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Cleared => "cleared",
            Self::Raised => "raised",
            Self::Reported => "reported",
        }
    }
}

/// An alarm and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What became of it.
    pub event: Event,
    /// Number of the alarm in its process.
    pub number: u64,
    /// The process, `adp-1234` say; empty until it is written.
    #[serde(default)]
    pub process: String,
    /// Name of the alarm.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `name=value`, with `;` between.
    pub about: String,
    /// What was found, in words.
    pub text: String,
    /// When it was raised.
    #[serde(with = "time::serde::rfc3339")]
    pub raised: OffsetDateTime,
}

impl Record {
    /// What names the alarm among those of all processes.
    pub fn identifier(&self) -> String {
        format!("{}.{}", self.process, self.number)
    }
}
