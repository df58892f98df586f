//! What somebody may do, and what they know of the tree that they change.

use crate::apply::TypedEdit;
use crate::journal::{RawEdit, Record};
use crate::revision::{SecretError, opened_row};
use crate::{Context, MachineKey, Problem, Registry, Row, Shape};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What somebody may do. Who has a right also has those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rights {
    /// Read everything but secrets.
    View,
    /// Change settings.
    Operate,
    /// Give rights, start and stop, take keys out.
    Administer,
}

/// Commands that change nothing in any context.
const READING: &[&str] = &["get", "detail", "list", "status"];

impl Rights {
    /// All of them, the smallest first.
    pub const ALL: [Self; 3] = [Self::View, Self::Operate, Self::Administer];

    /// Its name, as settings and messages have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Administer => "administer",
        }
    }

    /// The right with this name, without regard to case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rights| rights.name().eq_ignore_ascii_case(name))
    }
}

/// Who asks for a change, as far as the store has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// What they may do.
    pub rights: Rights,
    /// The revision that they made their change from; `None` where they do not say.
    pub seen: Option<u64>,
    /// Whether the change is refused when somebody else changed the same since; otherwise that is only remarked on.
    pub exclusive: bool,
}

impl Asker {
    /// Somebody with these rights, who does not say what they have seen.
    pub const fn with(rights: Rights) -> Self {
        Self { rights, seen: None, exclusive: false }
    }
    /// Says from which revision the change was made.
    #[must_use]
    pub const fn seen(mut self, revision: Option<u64>, exclusive: bool) -> Self {
        (self.seen, self.exclusive) = (revision, exclusive);
        self
    }

    /// Whether they may do what needs this right.
    ///
    /// # Errors
    /// They may not: the refusal, which names the context.
    pub fn may(&self, needed: Rights, context: &str) -> Result<(), Problem> {
        if self.rights >= needed {
            return Ok(());
        }
        let (has, needs) = (self.rights.name(), needed.name());
        let problem = Problem::new(
            context,
            format!("not allowed: it needs the right to {needs}, and yours is to {has}"),
        );
        Err(problem.denied().hint("whoever administers the installation gives it in System/Roles"))
    }

    pub(crate) fn may_edit(&self, edits: &[TypedEdit], foreign: &[RawEdit]) -> Result<(), Problem> {
        for edit in edits {
            self.may(edit.context.rights, &edit.context.full_path())?;
        }
        // What a context of another process needs is not known here.
        foreign.first().map_or(Ok(()), |edit| self.may(Rights::Administer, &edit.context))
    }
}

impl Context {
    /// The right that a command needs which the context declares itself: the one that is declared for it, for `get`, `detail`,
    /// `list` and `status` that of viewing, else that of the context.
    pub fn rights_of_action(&self, action: &str) -> Rights {
        let same = |name: &str| name.eq_ignore_ascii_case(action);
        let declared = self.action_rights.iter().find(|(name, _)| same(name)).map(|(_, rights)| *rights);
        // Words that only read wherever they are.
        let reads = READING.iter().any(|name| same(name)).then_some(Rights::View);
        declared.or(reads).unwrap_or(self.rights)
    }
}

/// A change that somebody made meanwhile to what another change is about to change.
pub(crate) struct Meanwhile {
    pub(crate) context: &'static Context,
    pub(crate) key: Vec<String>,
    /// Parameters; none where the row itself came or went.
    pub(crate) parameters: Vec<&'static str>,
    pub(crate) author: String,
    pub(crate) revision: u64,
}

impl Meanwhile {
    /// What it is, for whoever is about to change it.
    pub(crate) fn text(&self) -> String {
        let what = match (self.parameters.as_slice(), self.key.as_slice()) {
            ([], key) => format!("the entry {}", key.join(" ")),
            (names, []) => names.join(", "),
            (names, key) => format!("{} of {}", names.join(", "), key.join(" ")),
        };
        format!("{} changed {what} in revision {}", self.author, self.revision)
    }
}

/// What records changed that these edits change too: the last of them for every row.
pub(crate) fn meanwhile(
    registry: &Registry,
    machine_key: &MachineKey,
    edits: &[TypedEdit],
    records: &[Record],
) -> Result<Vec<Meanwhile>, SecretError> {
    let place = |context: &Context, key: &[String]| {
        let key: Vec<String> = key.iter().map(|value| value.to_ascii_lowercase()).collect();
        (context.full_path(), key)
    };
    let mut theirs: HashMap<_, Vec<(&Record, &RawEdit)>> = HashMap::new();
    for (record, raw) in records.iter().flat_map(|record| record.edits.iter().map(move |raw| (record, raw))) {
        if let Some(context) = registry.resolve(&raw.context) {
            theirs.entry(place(context, &raw.key)).or_default().push((record, raw));
        }
    }
    let mut found = Vec::new();
    for edit in edits {
        let own = changed(edit.context, edit.before.as_ref(), edit.after.as_ref());
        for (record, raw) in theirs.get(&place(edit.context, &edit.key)).into_iter().flatten().rev() {
            let open = |row: &Option<_>| {
                row.as_ref().map(|row| opened_row(machine_key, edit.context, raw, row)).transpose()
            };
            let (before, after) = (open(&raw.before)?, open(&raw.after)?);
            let parameters = match (changed(edit.context, before.as_ref(), after.as_ref()), &own) {
                (Some(theirs), Some(own)) => {
                    let both: Vec<_> = theirs.into_iter().filter(|name| own.contains(name)).collect();
                    if both.is_empty() {
                        continue;
                    }
                    both
                }
                // One of the two is about the row itself.
                _ => Vec::new(),
            };
            found.push(Meanwhile {
                context: edit.context,
                key: edit.key.clone(),
                parameters,
                author: record.author.clone(),
                revision: record.revision,
            });
            break;
        }
    }
    Ok(found)
}

/// The parameters that differ; `None` where a row of a table comes or goes.
fn changed(
    context: &'static Context,
    before: Option<&Row>,
    after: Option<&Row>,
) -> Option<Vec<&'static str>> {
    if context.shape == Shape::Table && before.is_none() != after.is_none() {
        return None;
    }
    let value = |row: Option<&Row>, name| row.and_then(|row| row.explicit(name)).cloned();
    let names = context.parameters.iter().map(|parameter| parameter.name);
    Some(names.filter(|name| value(before, name) != value(after, name)).collect())
}
