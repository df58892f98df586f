//! The tree at one revision, in memory.

use crate::{Context, Role, Settings, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One row of a context: values by parameter name, only those that were set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row(pub(crate) BTreeMap<String, Value>);

impl Row {
    /// A row with these values.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(values.into_iter().collect())
    }
    /// What was set, without the default.
    pub fn explicit(&self, parameter: &str) -> Option<&Value> {
        self.0.get(parameter)
    }
    /// The text of a parameter, or its default. Secrets too: never print what this gives.
    pub fn text<'a>(&'a self, context: &'static Context, parameter: &str) -> Option<&'a str> {
        let declared = context.parameter(parameter)?;
        self.0.get(declared.name).map(Value::text).or(declared.default)
    }
    /// The row's key values in declared order.
    pub fn key<'a>(&'a self, context: &'static Context) -> Vec<&'a str> {
        context.keys().map(|p| self.0.get(p.name).map_or("", Value::text)).collect()
    }
    /// Whether this is the row's key; case does not count.
    pub fn has_key(&self, context: &'static Context, key: &[&str]) -> bool {
        let own = self.key(context);
        own.len() == key.len() && own.iter().zip(key).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
    /// All explicit values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// Values of one row in declared order, defaults filled in: what a typed struct is read from.
pub struct Values<'a> {
    row: Option<&'a Row>,
    parameters: std::slice::Iter<'static, crate::Parameter>,
}

impl<'a> Values<'a> {
    /// The values of a row; a missing row gives the defaults.
    pub fn new(context: &'static Context, row: Option<&'a Row>) -> Self {
        Self { row, parameters: context.parameters.iter() }
    }
    /// The next parameter's value.
    pub fn next_value(&mut self) -> Option<&'a str> {
        let parameter = self.parameters.next()?;
        self.row.and_then(|row| row.0.get(parameter.name)).map(Value::text).or(parameter.default)
    }
}

/// The whole tree at one revision. Cheap to share, never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) rows: BTreeMap<String, Arc<Vec<Row>>>,
}

impl Snapshot {
    /// Number of the last accepted change; 0 is the fresh installation.
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// The rows of a context in their order; a single-row context has none until something is set.
    pub fn rows_of(&self, context: &Context) -> &[Row] {
        self.rows.get(&context.full_path()).map_or(&[], |rows| rows.as_slice())
    }
    /// The rows of a context that is declared elsewhere, by its full path.
    pub fn rows_at(&self, path: &str) -> &[Row] {
        self.rows.get(path).map_or(&[], |rows| rows.as_slice())
    }
    /// The row of a table with this key.
    pub fn row(&self, context: &'static Context, key: &[&str]) -> Option<&Row> {
        self.rows_of(context).iter().find(|row| row.has_key(context, key))
    }
    /// A single-row context, typed.
    pub fn get<T: Settings>(&self) -> T {
        T::read(Values::new(T::CONTEXT, self.rows_of(T::CONTEXT).first()))
    }
    /// A table, typed.
    pub fn rows<T: Settings>(&self) -> Vec<T> {
        self.rows_of(T::CONTEXT).iter().map(|row| T::read(Values::new(T::CONTEXT, Some(row)))).collect()
    }
    /// The rows of a fresh installation.
    pub(crate) fn initial(contexts: impl Iterator<Item = &'static Context>) -> Self {
        let mut rows = BTreeMap::new();
        for context in contexts {
            let initial: Vec<Row> = context
                .initial
                .iter()
                .map(|words| {
                    Row::new(
                        context
                            .parameters
                            .iter()
                            .filter(|p| p.role != Role::Attribute)
                            .zip(words.iter())
                            .map(|(p, word)| (p.name.to_owned(), Value::Text((*word).to_owned()))),
                    )
                })
                .collect();
            if !initial.is_empty() {
                rows.insert(context.full_path(), Arc::new(initial));
            }
        }
        Self { revision: 0, rows }
    }
}
