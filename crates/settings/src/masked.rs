//! A snapshot that may leave the process: secrets only say whether they are set.

use crate::apply::{STARS, TypedEdit};
use crate::editing::Editing;
use crate::{Registry, Row, RowChange, Secret, Snapshot, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A snapshot without its secrets, to be sent to a tool that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedSnapshot {
    revision: u64,
    rows: BTreeMap<String, Vec<BTreeMap<String, MaskedValue>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum MaskedValue {
    Text(String),
    Secret { set: bool },
}

impl Snapshot {
    /// The snapshot without its secrets.
    pub fn masked(&self) -> MaskedSnapshot {
        let value = |value: &Value| match value {
            Value::Text(text) => MaskedValue::Text(text.clone()),
            Value::Secret(secret) => MaskedValue::Secret { set: !secret.is_empty() },
        };
        let row = |row: &Row| row.iter().map(|(name, v)| (name.to_owned(), value(v))).collect();
        let rows =
            self.rows.iter().map(|(path, rows)| (path.clone(), rows.iter().map(row).collect())).collect();
        MaskedSnapshot { revision: self.revision, rows }
    }
}

impl Snapshot {
    /// The snapshot to show as it would be after these changes; a secret that would be set is stars.
    #[must_use]
    pub fn with(&self, registry: &Registry, changes: &[RowChange]) -> Self {
        let mut tree = Editing::new(self.clone());
        for change in changes {
            let Some(context) = registry.resolve(&change.context) else { continue };
            let value = |(name, text): (&String, &String)| {
                let secret = context.parameter(name).is_some_and(crate::Parameter::is_secret);
                let value = match (secret, text.is_empty()) {
                    (false, _) => Value::Text(text.clone()),
                    (true, true) => Value::Secret(Secret::default()),
                    (true, false) => Value::Secret(Secret::new(STARS)),
                };
                (name.clone(), value)
            };
            let after = change.after.as_ref().map(|row| Row::new(row.iter().map(value)));
            tree.apply(&TypedEdit { context, key: change.key.clone(), at: None, before: None, after });
        }
        tree.into_tree()
    }
}

impl MaskedSnapshot {
    /// A snapshot to show: a secret that is set is stars. Contexts that the registry does not know are left out.
    pub fn into_snapshot(self, registry: &Registry) -> Snapshot {
        let value = |value: MaskedValue| match value {
            MaskedValue::Text(text) => Value::Text(text),
            MaskedValue::Secret { set: true } => Value::Secret(Secret::new("********")),
            MaskedValue::Secret { set: false } => Value::Secret(Secret::default()),
        };
        let rows = self
            .rows
            .into_iter()
            .filter(|(path, _)| registry.context(path).is_some())
            .map(|(path, rows)| {
                let row = |row: BTreeMap<String, MaskedValue>| {
                    Row::new(row.into_iter().map(|(name, v)| (name, value(v))))
                };
                (path, Arc::new(rows.into_iter().map(row).collect()))
            })
            .collect();
        Snapshot { revision: self.revision, rows }
    }
}
