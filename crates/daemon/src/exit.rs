//! Exit codes, those of sysexits.h.

use std::process::ExitCode;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done and drained: 0.
    Clean,
    /// Wrong flags: 64.
    Usage,
    /// Something that it needs is not available at the start: 69.
    Unavailable,
    /// A fault of ours: 70.
    Internal,
    /// Connections were still open when the drain limit was over, or a second signal came: 75.
    DrainTimedOut,
    /// The settings, or the files below the data directory, cannot be right: 78.
    Configuration,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::DrainTimedOut => 75,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
