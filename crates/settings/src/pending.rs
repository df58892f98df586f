//! A change that waits for its confirmation: until when, and how it is taken back.
//!
//! The deadline is in the journal, so it outlives the one who set it. Only what the change did is taken back; what others
//! changed since stays.

use crate::apply::{TypedEdit, effects};
use crate::editing::Editing;
use crate::journal::{RawEdit, Record};
use crate::revision::{Foreign, SecretError, opened_row};
use crate::store::Prepared;
use crate::{Committed, MachineKey, Problem, Problems, Registry, Row, Snapshot};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// Longest wait for a confirmation, in minutes: a day.
pub const MAX_WAIT_MINUTES: u32 = 24 * 60;
/// Who takes back what was not confirmed.
pub(crate) const AUTHOR: &str = "openadp";
/// How far the clock may be set back without a doubt about the deadline.
const TOLERANCE: Duration = Duration::minutes(1);

/// A change that goes back by itself unless it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its revision.
    pub revision: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub made: OffsetDateTime,
    /// Until when it must be confirmed.
    #[serde(with = "time::serde::rfc3339")]
    pub confirm_by: OffsetDateTime,
}

impl Pending {
    /// Whether the time for a confirmation is over. A clock that was set back to before the change cannot tell any more, and
    /// waiting longer than was asked for is the worse mistake.
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.confirm_by || now < self.made - TOLERANCE
    }

    pub(crate) fn in_the_way(&self) -> Problems {
        let reason = format!("revision {} is not confirmed yet", self.revision);
        Problem::new("", reason).hint("commit confirm keeps it; rollback takes it back").into()
    }

    /// The confirmation.
    pub(crate) fn confirmed(&self, base: &Snapshot) -> Prepared {
        let remarks = vec![format!("revision {} stays", self.revision)];
        let committed = Committed { remarks, ..Committed::default() };
        Prepared { snapshot: base.clone(), committed, settles: Some(self.revision), ..Prepared::default() }
    }

    /// What takes the change back.
    pub(crate) fn taken_back(
        &self,
        registry: &Registry,
        machine_key: &MachineKey,
        base: &Snapshot,
        records: &[Record],
    ) -> Result<Prepared, SecretError> {
        let mut tree = Editing::new(base.clone());
        let (mut typed, mut raw) = (Vec::new(), Vec::new());
        let made = records.iter().find(|record| record.revision == self.revision);
        let foreign = Foreign::at(registry, records, base.revision());
        for edit in made.iter().flat_map(|record| record.edits.iter().rev()) {
            let Some(context) = registry.resolve(&edit.context) else {
                // Rows of other processes' contexts cannot be looked into: they go back whole, or not.
                if foreign.row(&edit.context, &edit.key) == edit.after.as_ref() {
                    let (before, after) = (edit.after.clone(), edit.before.clone());
                    raw.push(RawEdit { before, after, ..edit.clone() });
                }
                continue;
            };
            let open = |row: &Option<_>| {
                row.as_ref().map(|row| opened_row(machine_key, context, edit, row)).transpose()
            };
            let (before, after) = (open(&edit.before)?, open(&edit.after)?);
            let now = match context.shape {
                crate::Shape::Table => tree.find(context, &edit.key).map(|(_, row)| row.clone()),
                _ => tree.tree().rows_of(context).first().cloned(),
            };
            let back = match (&before, &after, &now) {
                (Some(before), Some(after), Some(now)) => Some(merged(before, after, now)),
                (None, Some(after), Some(now)) if context.shape != crate::Shape::Table => {
                    Some(merged(&Row::default(), after, now))
                }
                (None, Some(_), Some(_)) => None,
                (Some(before), None, None) => Some(before.clone()),
                // Somebody deleted it, or added it again: that was decided later.
                _ => continue,
            };
            if back != now {
                let step =
                    TypedEdit { context, key: edit.key.clone(), at: edit.at, before: now, after: back };
                tree.apply(&step);
                typed.push(step);
            }
        }
        let (restart, remarks) = effects(&typed);
        let committed = Committed { restart, remarks, ..Committed::default() };
        let snapshot = tree.into_tree();
        Ok(Prepared { snapshot, typed, raw, committed, settles: Some(self.revision), ..Prepared::default() })
    }
}

/// A row with the values before a change, where it still has those after it.
fn merged(before: &Row, after: &Row, now: &Row) -> Row {
    let mut merged = now.clone();
    let names = before.iter().chain(after.iter()).map(|(name, _)| name);
    for name in names.filter(|name| before.explicit(name) != after.explicit(name)) {
        if now.explicit(name) == after.explicit(name) {
            match before.explicit(name) {
                Some(value) => drop(merged.0.insert(name.to_owned(), value.clone())),
                None => drop(merged.0.remove(name)),
            }
        }
    }
    merged
}

/// The change that waits after a record.
pub(crate) fn follow(pending: &mut Option<Pending>, record: &Record) {
    if pending.as_ref().is_some_and(|pending| record.settles == Some(pending.revision)) {
        *pending = None;
    }
    if let Some(confirm_by) = record.confirm_by {
        *pending = Some(Pending { revision: record.revision, made: record.time, confirm_by });
    }
}

/// How long so many minutes are.
pub(crate) fn wait(minutes: u32) -> Result<Duration, Problems> {
    if (1..=MAX_WAIT_MINUTES).contains(&minutes) {
        return Ok(Duration::minutes(i64::from(minutes)));
    }
    Err(Problem::new("", format!("{minutes} is not between 1 and {MAX_WAIT_MINUTES} minutes")).into())
}

pub(crate) fn none() -> Problems {
    Problem::new("", "no change waits for a confirmation").hint("revisions lists what was done").into()
}

pub(crate) fn remark(confirm_by: OffsetDateTime) -> String {
    let form = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let time = confirm_by.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default();
    format!("goes back at {time} unless commit confirm comes before")
}
