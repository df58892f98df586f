//! Changes: what an operator asks for, and why it is refused.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author(pub String);

/// One step of a change. Paths are full (`ADP_CLI/...`); values are as typed and are parsed when the change is checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Edit {
    /// Sets parameters of the single row, or of the row with this key; `None` clears a parameter.
    Set {
        /// Full path.
        context: String,
        /// Key values; empty for a single-row context.
        key: Vec<String>,
        /// New values by parameter name.
        values: BTreeMap<String, Option<String>>,
    },
    /// Adds a row.
    Add {
        /// Full path.
        context: String,
        /// All its values by parameter name, keys included.
        values: BTreeMap<String, String>,
    },
    /// Deletes the row with this key.
    Delete {
        /// Full path.
        context: String,
        /// Key values.
        key: Vec<String>,
    },
    /// Empties a context: a table of its rows, a single row of its values.
    Reset {
        /// Full path.
        context: String,
    },
}

impl Edit {
    /// The context it touches, as a full path.
    pub fn context(&self) -> &str {
        match self {
            Self::Set { context, .. }
            | Self::Add { context, .. }
            | Self::Delete { context, .. }
            | Self::Reset { context } => context,
        }
    }
}

// Values may be secrets, so only names are shown.
impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set { context, key, values } => {
                write!(f, "Set({context} {key:?} {:?})", values.keys().collect::<Vec<_>>())
            }
            Self::Add { context, values } => {
                write!(f, "Add({context} {:?})", values.keys().collect::<Vec<_>>())
            }
            Self::Delete { context, key } => write!(f, "Delete({context} {key:?})"),
            Self::Reset { context } => write!(f, "Reset({context})"),
        }
    }
}

/// A change: checked as a whole, then accepted or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who asks.
    pub author: Author,
    /// Why, if they said.
    pub comment: Option<String>,
    /// The steps, in order.
    pub edits: Vec<Edit>,
    /// Accept it although a check of the whole tree refuses (kinds and keys are never forced).
    pub force: bool,
}

/// One reason for a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Full path of the context.
    pub context: String,
    /// The parameter, where one is to blame.
    pub parameter: Option<String>,
    /// What is wrong, for the operator. Never holds a secret.
    pub reason: String,
    /// What would help: a nearest name, the allowed values, the command that works.
    pub hint: Option<String>,
    /// Whether `force` may overrule it.
    pub forceable: bool,
    /// Which edit of the change is to blame, counted from 0; `None` for what a check of the whole tree found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<usize>,
    /// Whether who asks has no right to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

impl Problem {
    /// A problem that `force` cannot overrule.
    pub fn new(context: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            parameter: None,
            reason: reason.into(),
            hint: None,
            forceable: false,
            edit: None,
            denied: false,
        }
    }
    /// Says which edit of the change is to blame.
    #[must_use]
    pub fn edit(mut self, number: usize) -> Self {
        self.edit = Some(number);
        self
    }
    /// Names the parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into());
        self
    }
    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// Says that who asks has no right to it.
    #[must_use]
    pub fn denied(mut self) -> Self {
        self.denied = true;
        self
    }
    /// Lets `force` overrule it.
    #[must_use]
    pub fn forceable(mut self) -> Self {
        self.forceable = true;
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.context)?;
        if let Some(parameter) = &self.parameter {
            write!(f, " {parameter}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// All reasons for a refusal, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
