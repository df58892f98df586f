//! Revisions as operators see them, and the way back to an earlier one.

use crate::apply::TypedEdit;
use crate::editing::Editing;
use crate::journal::{RawEdit, RawRow, RawValue, Record};
use crate::{
    Author, Context, MachineKey, MachineKeyError, Parameter, Registry, Row, Secret, Snapshot, Value,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use time::OffsetDateTime;

/// Characters of a value that `diff` prints; certificates are longer and only told by their size.
const MAX_SHOWN: usize = 200;

/// One accepted change. Secrets are shown as stars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number; the first change of an installation is 1.
    pub number: u64,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Who made it.
    pub author: Author,
    /// Why, if they said.
    pub comment: Option<String>,
    /// Whether a check was overruled.
    pub forced: bool,
    /// Until when it had to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub confirm_by: Option<OffsetDateTime>,
    /// The revision that it confirms or takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<u64>,
    /// What it did, row by row.
    pub edits: Vec<RowChange>,
}

/// Where the value of a parameter comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The revision that gave or cleared it.
    pub revision: u64,
    /// When that was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Who made it.
    pub author: Author,
    /// Why, if they said.
    pub comment: Option<String>,
}

/// What happened to one row. Secrets are shown as stars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// Full path of the context.
    pub context: String,
    /// The row's key values; empty for a single-row context.
    pub key: Vec<String>,
    /// Values by parameter before; `None` where there was no row.
    pub before: Option<BTreeMap<String, String>>,
    /// Values by parameter after; `None` where there is no row any more.
    pub after: Option<BTreeMap<String, String>>,
}

impl RowChange {
    /// Its lines of a diff: the context and key, then what went and what came.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![if self.key.is_empty() {
            self.context.clone()
        } else {
            format!("{} [{}]", self.context, self.key.join(" "))
        }];
        let empty = BTreeMap::new();
        let (before, after) = (self.before.as_ref().unwrap_or(&empty), self.after.as_ref().unwrap_or(&empty));
        let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            // A changed secret is stars on both sides, and yet a change; `masked` marks it.
            if old == new {
                continue;
            }
            if let Some(old) = old {
                lines.push(format!("  - {name} = {}", shortened(old)));
            }
            if let Some(new) = new {
                lines.push(format!("  + {name} = {}", shortened(new)));
            }
        }
        lines
    }
}

fn shortened(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    if first.len() == text.len() && text.len() <= MAX_SHOWN {
        return text.to_owned();
    }
    let start: String = first.chars().take(MAX_SHOWN / 4).collect();
    format!("{start}... ({} bytes)", text.len())
}

/// A stored secret that does not open: the machine key is not the one it was sealed with.
#[derive(Debug, thiserror::Error)]
#[error("{context} {parameter}: the stored secret does not open with this installation's machine key")]
pub struct SecretError {
    context: String,
    parameter: String,
    #[source]
    source: MachineKeyError,
}

/// The place a secret belongs to: its context, the row's key and the parameter, each with its length before it.
pub(crate) fn place(context: &str, key: &[String], parameter: &str) -> Vec<u8> {
    let mut place = Vec::new();
    for part in std::iter::once(context).chain(key.iter().map(String::as_str)).chain([parameter]) {
        place.extend_from_slice(&(part.len() as u64).to_be_bytes());
        place.extend_from_slice(part.as_bytes());
    }
    place
}

fn sealed_row(
    machine_key: &MachineKey,
    context: &str,
    key: &[String],
    row: &Row,
) -> Result<RawRow, MachineKeyError> {
    row.0
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Text(text) => RawValue::Text(text.clone()),
                Value::Secret(secret) => RawValue::Sealed {
                    sealed: STANDARD
                        .encode(machine_key.seal(&place(context, key, name), secret.expose().as_bytes())?),
                },
            };
            Ok((name.clone(), value))
        })
        .collect()
}

pub(crate) fn opened_row(
    machine_key: &MachineKey,
    declared: &'static Context,
    edit: &RawEdit,
    row: &RawRow,
) -> Result<Row, SecretError> {
    let mut opened = Row::default();
    for (name, value) in row {
        // A parameter that was renamed is read under its new name; one that this release does not know is kept.
        let parameter = declared.parameter(name);
        let error = |source| SecretError { context: edit.context.clone(), parameter: name.clone(), source };
        let value = match value {
            RawValue::Text(text) if parameter.is_some_and(Parameter::is_secret) => {
                Value::Secret(Secret::new(text.clone()))
            }
            RawValue::Text(text) => Value::Text(text.clone()),
            RawValue::Sealed { sealed } => {
                let sealed = STANDARD.decode(sealed).map_err(|_| error(MachineKeyError::Open))?;
                let plain =
                    machine_key.open(&place(&edit.context, &edit.key, name), &sealed).map_err(error)?;
                let text = std::str::from_utf8(&plain).map_err(|_| error(MachineKeyError::Open))?;
                Value::Secret(Secret::new(text))
            }
        };
        opened.0.insert(parameter.map_or(name.as_str(), |p| p.name).to_owned(), value);
    }
    Ok(opened)
}

/// An edit in the form of the journal.
pub(crate) fn raw_edit(machine_key: &MachineKey, edit: &TypedEdit) -> Result<RawEdit, MachineKeyError> {
    let context = edit.context.full_path();
    let seal = |row: &Option<Row>| {
        row.as_ref().map(|row| sealed_row(machine_key, &context, &edit.key, row)).transpose()
    };
    let (before, after) = (seal(&edit.before)?, seal(&edit.after)?);
    Ok(RawEdit { context, key: edit.key.clone(), at: edit.at, before, after })
}

/// Puts a record of the journal into the tree; contexts that this process does not know are passed over.
pub(crate) fn replay(
    registry: &Registry,
    machine_key: &MachineKey,
    tree: &mut Editing,
    record: &Record,
) -> Result<(), SecretError> {
    for edit in &record.edits {
        if let Some(context) = registry.resolve(&edit.context) {
            let after =
                edit.after.as_ref().map(|row| opened_row(machine_key, context, edit, row)).transpose()?;
            tree.apply(&TypedEdit { context, key: edit.key.clone(), at: edit.at, before: None, after });
        }
    }
    tree.tree_mut().revision = record.revision;
    Ok(())
}

/// Rows of contexts that this process does not know, as they were recorded.
#[derive(Default)]
pub(crate) struct Foreign(BTreeMap<String, Vec<(Vec<String>, RawRow)>>);

impl Foreign {
    /// The rows after these records. `all` is the whole journal: it tells which rows were there from the beginning.
    pub(crate) fn at(registry: &Registry, all: &[Record], revision: u64) -> Self {
        let mut tree = Self::default();
        let foreign = |record: &'_ Record| -> Vec<RawEdit> {
            record.edits.iter().filter(|edit| registry.resolve(&edit.context).is_none()).cloned().collect()
        };
        let mut mentioned = std::collections::BTreeSet::new();
        for edit in all.iter().flat_map(foreign) {
            if mentioned.insert((edit.context.clone(), edit.key.clone())) && edit.before.is_some() {
                tree.apply(&RawEdit { after: edit.before.clone(), before: None, ..edit });
            }
        }
        for edit in all.iter().take_while(|record| record.revision <= revision).flat_map(foreign) {
            tree.apply(&edit);
        }
        tree
    }

    /// A row as it was recorded last.
    pub(crate) fn row(&self, context: &str, key: &[String]) -> Option<&RawRow> {
        self.0.get(context)?.iter().find(|(own, _)| own == key).map(|(_, row)| row)
    }

    fn apply(&mut self, edit: &RawEdit) {
        let rows = self.0.entry(edit.context.clone()).or_default();
        let index = rows.iter().position(|(key, _)| *key == edit.key);
        match (index, &edit.after) {
            (Some(index), Some(row)) => rows[index].1 = row.clone(),
            (Some(index), None) => drop(rows.remove(index)),
            (None, Some(row)) => {
                let at = edit.at.unwrap_or(rows.len()).min(rows.len());
                rows.insert(at, (edit.key.clone(), row.clone()));
            }
            (None, None) => {}
        }
    }
}

/// What leads from one tree to another: typed edits for the known contexts, raw ones for the others.
pub(crate) fn difference(
    registry: &Registry,
    (from, from_foreign): (&Snapshot, &Foreign),
    (to, to_foreign): (&Snapshot, &Foreign),
) -> (Vec<TypedEdit>, Vec<RawEdit>) {
    let typed = typed_difference(registry, from, to);
    let mut raw = Vec::new();
    let names: std::collections::BTreeSet<&String> =
        from_foreign.0.keys().chain(to_foreign.0.keys()).collect();
    for name in names {
        let rows = |tree: &Foreign| tree.0.get(name).cloned().unwrap_or_default();
        for step in steps(&rows(from_foreign), &rows(to_foreign)) {
            let Step { key, at, before, after } = step;
            raw.push(RawEdit { context: name.clone(), key, at, before, after });
        }
    }
    (typed, raw)
}

/// What leads from one tree to another, as far as this process knows the contexts.
pub(crate) fn typed_difference(registry: &Registry, from: &Snapshot, to: &Snapshot) -> Vec<TypedEdit> {
    let mut typed = Vec::new();
    for context in registry.contexts() {
        let path = context.full_path();
        if let (Some(from), Some(to)) = (from.rows.get(&path), to.rows.get(&path))
            && std::sync::Arc::ptr_eq(from, to)
        {
            continue;
        }
        let rows = |tree: &Snapshot| -> Vec<(Vec<String>, Row)> {
            let key = |row: &Row| row.key(context).into_iter().map(str::to_owned).collect();
            tree.rows_of(context).iter().map(|row| (key(row), row.clone())).collect()
        };
        for step in steps(&rows(from), &rows(to)) {
            let Step { key, at, before, after } = step;
            // A single row without values is as good as none.
            if before.is_none()
                && context.shape != crate::Shape::Table
                && after.as_ref() == Some(&Row::default())
            {
                continue;
            }
            typed.push(TypedEdit { context, key, at, before, after });
        }
    }
    typed
}

struct Step<R> {
    key: Vec<String>,
    at: Option<usize>,
    before: Option<R>,
    after: Option<R>,
}

/// Deletions, changes and insertions that make `from` into `to`, order included.
fn steps<R: Clone + PartialEq>(from: &[(Vec<String>, R)], to: &[(Vec<String>, R)]) -> Vec<Step<R>> {
    let old: HashMap<&Vec<String>, &R> = from.iter().map(|(key, row)| (key, row)).collect();
    let new: HashSet<&Vec<String>> = to.iter().map(|(key, _)| key).collect();
    // Rows that stay keep their places unless their order changed: then all are taken out and put back.
    let in_order = from
        .iter()
        .map(|(key, _)| key)
        .filter(|key| new.contains(key))
        .eq(to.iter().map(|(key, _)| key).filter(|key| old.contains_key(key)));
    let stays = |key: &Vec<String>| in_order && new.contains(key) && old.contains_key(key);
    let mut steps = Vec::new();
    let mut at = 0;
    for (key, row) in from {
        if stays(key) {
            at += 1;
        } else {
            steps.push(Step { key: key.clone(), at: Some(at), before: Some(row.clone()), after: None });
        }
    }
    for (at, (key, row)) in to.iter().enumerate() {
        let before = old.get(key).filter(|_| stays(key)).copied();
        match before {
            None => {
                steps.push(Step { key: key.clone(), at: Some(at), before: None, after: Some(row.clone()) });
            }
            Some(before) if before != row => {
                let (before, after) = (Some(before.clone()), Some(row.clone()));
                steps.push(Step { key: key.clone(), at: None, before, after });
            }
            Some(_) => {}
        }
    }
    steps
}

/// Typed values as operators may see them; a secret that changes is marked on its new side.
pub(crate) fn shown_edit(edit: &TypedEdit) -> RowChange {
    let text = |row: &Row, other: Option<&Row>, new: bool| -> BTreeMap<String, String> {
        let changed = |name: &str, value: &Value| {
            new && matches!(value, Value::Secret(_))
                && other.and_then(|row| row.explicit(name)).is_some_and(|old| old != value)
        };
        row.iter()
            .map(|(name, value)| {
                let mark = if changed(name, value) { " (changed)" } else { "" };
                (name.to_owned(), format!("{}{mark}", value.shown()))
            })
            .collect()
    };
    RowChange {
        context: edit.context.full_path(),
        key: edit.key.clone(),
        before: edit.before.as_ref().map(|row| text(row, None, false)),
        after: edit.after.as_ref().map(|row| text(row, edit.before.as_ref(), true)),
    }
}

/// Recorded values as operators may see them.
fn shown_raw(machine_key: &MachineKey, registry: &Registry, edit: &RawEdit) -> RowChange {
    if let Some(context) = registry.resolve(&edit.context) {
        let open = |row: &Option<RawRow>| {
            row.as_ref().map(|row| opened_row(machine_key, context, edit, row)).transpose()
        };
        if let (Ok(before), Ok(after)) = (open(&edit.before), open(&edit.after)) {
            return shown_edit(&TypedEdit { context, key: edit.key.clone(), at: edit.at, before, after });
        }
    }
    let text = |row: &RawRow| -> BTreeMap<String, String> {
        row.iter()
            .map(|(name, value)| {
                let shown = match value {
                    RawValue::Text(text) => text.clone(),
                    RawValue::Sealed { .. } => "********".to_owned(),
                };
                (name.clone(), shown)
            })
            .collect()
    };
    RowChange {
        context: edit.context.clone(),
        key: edit.key.clone(),
        before: edit.before.as_ref().map(text),
        after: edit.after.as_ref().map(text),
    }
}

/// The last record that changed a parameter of a row.
pub(crate) fn origin(
    machine_key: &MachineKey,
    registry: &Registry,
    records: &[Record],
    (context, key, parameter): (&'static Context, &[String], &str),
) -> Result<Option<Origin>, SecretError> {
    let same_key = |other: &[String]| {
        other.len() == key.len() && other.iter().zip(key).all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    for record in records.iter().rev() {
        for edit in record.edits.iter().filter(|edit| same_key(&edit.key)) {
            if !registry.resolve(&edit.context).is_some_and(|other| std::ptr::eq(other, context)) {
                continue;
            }
            let value = |row: &Option<RawRow>| -> Result<Option<Value>, SecretError> {
                let row = row.as_ref().map(|row| opened_row(machine_key, context, edit, row)).transpose()?;
                Ok(row.and_then(|row| row.explicit(parameter).cloned()))
            };
            if value(&edit.before)? != value(&edit.after)? {
                let (author, comment) = (Author(record.author.clone()), record.comment.clone());
                return Ok(Some(Origin { revision: record.revision, time: record.time, author, comment }));
            }
        }
    }
    Ok(None)
}

/// Typed and raw edits as operators may see them.
pub(crate) fn shown_all(
    machine_key: &MachineKey,
    registry: &Registry,
    typed: &[TypedEdit],
    raw: &[RawEdit],
) -> Vec<RowChange> {
    let typed = typed.iter().map(shown_edit);
    typed.chain(raw.iter().map(|edit| shown_raw(machine_key, registry, edit))).collect()
}

/// A record as operators may see it.
pub(crate) fn shown(machine_key: &MachineKey, registry: &Registry, record: &Record) -> Revision {
    Revision {
        number: record.revision,
        time: record.time,
        author: Author(record.author.clone()),
        comment: record.comment.clone(),
        forced: record.forced,
        confirm_by: record.confirm_by,
        settles: record.settles,
        edits: record.edits.iter().map(|edit| shown_raw(machine_key, registry, edit)).collect(),
    }
}
