//! What an alarm is, and how it is raised.

use crate::board::board;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// How bad it is: the perceived severities of ITU-T X.733, and one for what is only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Told; nobody has to do anything.
    Informational,
    /// It may become worse.
    Warning,
    /// Something does not work that most do not need at once.
    Minor,
    /// A part of the service is down, or soon will be.
    Major,
    /// The service is down, or will be within the day.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Warning, Self::Minor, Self::Major, Self::Critical];

    /// As operators read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::Informational => "Informational",
            Self::Major => "Major",
            Self::Minor => "Minor",
            Self::Warning => "Warning",
        }
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A declared alarm.
#[derive(Debug)]
pub struct Alarm {
    /// Its name, in the log, in the table and in metrics.
    pub name: &'static str,
    /// How bad it is, where the raiser does not say otherwise.
    pub severity: Severity,
    /// What has happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

impl Alarm {
    /// Raises it about these parameters, or updates its text where it is raised already.
    pub fn raise(&'static self, about: &[(&str, &str)], text: impl Display) {
        self.raise_as(self.severity, about, text);
    }
    /// Raises it with a severity of its own.
    pub fn raise_as(&'static self, severity: Severity, about: &[(&str, &str)], text: impl Display) {
        board().raise(self, severity, about, &text.to_string());
    }
    /// Clears it about these parameters; nothing happens where it is not raised.
    pub fn clear(&'static self, about: &[(&str, &str)]) {
        board().clear(self, about);
    }
    /// Tells of something that has no end: it stands in the history and is never raised.
    pub fn report(&'static self, about: &[(&str, &str)], text: impl Display) {
        board().report(self, about, &text.to_string());
    }
    /// Raises or clears it by what a check found.
    pub fn set<T: Display>(&'static self, about: &[(&str, &str)], wrong: Option<T>) {
        match wrong {
            Some(text) => self.raise(about, text),
            None => self.clear(about),
        }
    }
}
