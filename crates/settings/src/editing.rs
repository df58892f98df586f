//! A tree while it is edited: finds rows by their key without looking at all of them, so that a change of ten thousand
//! entries is not a matter of fifty million comparisons.

use crate::apply::TypedEdit;
use crate::{Context, Row, Shape, Snapshot, Tree};
use std::collections::HashMap;
use std::sync::Arc;

/// A snapshot and, for the tables that were touched, where each key is.
pub(crate) struct Editing {
    tree: Snapshot,
    indexes: HashMap<(Tree, &'static str), Index>,
}

/// Where the keys of one table are. Rows are numbered as they come, so a row's place is found by its number.
struct Index {
    numbers: HashMap<Vec<String>, u64>,
    order: Vec<u64>,
    next: u64,
}

impl Index {
    fn of(context: &'static Context, rows: &[Row]) -> Self {
        let mut index = Self { numbers: HashMap::new(), order: Vec::new(), next: 0 };
        for row in rows {
            index.push(folded(&row.key(context)));
        }
        index
    }

    fn push(&mut self, key: Vec<String>) {
        // Of rows with the same key, which no change can make, the first counts.
        self.numbers.entry(key).or_insert(self.next);
        self.order.push(self.next);
        self.next += 1;
    }

    fn position(&self, key: &[String]) -> Option<usize> {
        self.order.binary_search(self.numbers.get(key)?).ok()
    }
}

/// A key as it is compared: without regard to case.
fn folded(key: &[impl AsRef<str>]) -> Vec<String> {
    key.iter().map(|word| word.as_ref().to_ascii_lowercase()).collect()
}

impl Editing {
    pub(crate) fn new(tree: Snapshot) -> Self {
        Self { tree, indexes: HashMap::new() }
    }

    pub(crate) fn tree(&self) -> &Snapshot {
        &self.tree
    }

    pub(crate) fn tree_mut(&mut self) -> &mut Snapshot {
        &mut self.tree
    }

    pub(crate) fn into_tree(self) -> Snapshot {
        self.tree
    }

    /// The place of a row of a table.
    pub(crate) fn position(&mut self, context: &'static Context, key: &[impl AsRef<str>]) -> Option<usize> {
        if key.len() != context.keys().count() {
            return None;
        }
        self.index(context).position(&folded(key))
    }

    /// A row of a table and its place.
    pub(crate) fn find(
        &mut self,
        context: &'static Context,
        key: &[impl AsRef<str>],
    ) -> Option<(usize, &Row)> {
        let position = self.position(context, key)?;
        Some((position, self.tree.rows_of(context).get(position)?))
    }

    fn index(&mut self, context: &'static Context) -> &mut Index {
        let rows = self.tree.rows_of(context);
        self.indexes.entry((context.tree, context.path)).or_insert_with(|| Index::of(context, rows))
    }

    /// Puts an edit into the tree.
    pub(crate) fn apply(&mut self, edit: &TypedEdit) {
        let context = edit.context;
        let position = match context.shape {
            Shape::Table => self.position(context, &edit.key),
            Shape::Single | Shape::Actions => (!self.tree.rows_of(context).is_empty()).then_some(0),
        };
        let rows = Arc::make_mut(self.tree.rows.entry(context.full_path()).or_default());
        match (position, &edit.after) {
            (Some(position), Some(row)) => rows[position] = row.clone(),
            (Some(position), None) => {
                rows.remove(position);
                if let Some(index) = self.indexes.get_mut(&(context.tree, context.path)) {
                    index.order.remove(position);
                    index.numbers.remove(&folded(&edit.key));
                }
            }
            (None, Some(row)) => {
                let at = edit.at.unwrap_or(rows.len()).min(rows.len());
                rows.insert(at, row.clone());
                if at + 1 < rows.len() {
                    // Those behind it have other places now; the next look makes the index anew.
                    self.indexes.remove(&(context.tree, context.path));
                } else if let Some(index) = self.indexes.get_mut(&(context.tree, context.path)) {
                    index.push(folded(&row.key(context)));
                }
            }
            (None, None) => {}
        }
    }
}
