//! What a change makes of a tree: every edit checked against its declaration, all problems at once, nothing half done.

use crate::names::nearest;
use crate::{
    Apply, Change, Context, Edit, Parameter, Problem, Problems, Registry, Role, Row, Secret, Shape, Snapshot,
    Value,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most rows of one table: far more than any site has, and few enough that every change may look at all of them.
const MAX_ROWS: usize = 10_000;
/// Most edits of one change.
const MAX_EDITS: usize = 10_000;

/// What an accepted edit does to one row.
#[derive(Debug, Clone)]
pub(crate) struct TypedEdit {
    pub(crate) context: &'static Context,
    pub(crate) key: Vec<String>,
    pub(crate) at: Option<usize>,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
}

/// A change that may be accepted.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) snapshot: Snapshot,
    pub(crate) edits: Vec<TypedEdit>,
    pub(crate) restart: Vec<String>,
    pub(crate) remarks: Vec<String>,
}

/// Checks a change as a whole.
pub(crate) fn evaluate(registry: &Registry, base: &Snapshot, change: &Change) -> Result<Evaluated, Problems> {
    if change.edits.len() > MAX_EDITS {
        let context = change.edits[0].context();
        return Err(Problem::new(context, format!("more than {MAX_EDITS} edits in one change")).into());
    }
    let mut tree = base.clone();
    let (mut edits, mut problems) = (Vec::new(), Vec::new());
    for edit in &change.edits {
        let Some(context) = registry.resolve(edit.context()) else {
            problems.push(unknown_context(registry, edit.context()));
            continue;
        };
        match typed(context, &tree, edit) {
            Ok(edit) if edit.before == edit.after => {}
            Ok(edit) => {
                apply(&mut tree, &edit);
                edits.push(edit);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        problems = introduced(registry, base, &tree, change.force);
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    if !edits.is_empty() {
        tree.revision += 1;
    }
    let (restart, mut remarks) = effects(&edits);
    remarks.extend(unused(registry, change));
    Ok(Evaluated { snapshot: tree, edits, restart, remarks })
}

/// What the checks of the whole tree have against it, as far as this change brought it about: a certificate that
/// expired last night must not stand in the way of every other change.
pub(crate) fn introduced(registry: &Registry, base: &Snapshot, tree: &Snapshot, force: bool) -> Vec<Problem> {
    let mut problems = registry.check(tree);
    problems.retain(|problem| !(force && problem.forceable));
    if !problems.is_empty() {
        let known = registry.check(base);
        problems.retain(|problem| !known.contains(problem));
    }
    problems
}

/// Puts an edit into the tree.
pub(crate) fn apply(tree: &mut Snapshot, edit: &TypedEdit) {
    let rows = Arc::make_mut(tree.rows.entry(edit.context.full_path()).or_default());
    let key: Vec<&str> = edit.key.iter().map(String::as_str).collect();
    let index = match edit.context.shape {
        Shape::Table => rows.iter().position(|row| row.has_key(edit.context, &key)),
        Shape::Single | Shape::Actions => (!rows.is_empty()).then_some(0),
    };
    match (index, &edit.after) {
        (Some(index), Some(row)) => rows[index] = row.clone(),
        (Some(index), None) => drop(rows.remove(index)),
        (None, Some(row)) => rows.insert(edit.at.unwrap_or(rows.len()).min(rows.len()), row.clone()),
        (None, None) => {}
    }
}

fn unknown_context(registry: &Registry, path: &str) -> Problem {
    let paths: Vec<String> = registry.contexts().map(Context::full_path).collect();
    let problem = Problem::new(path, "there is no such context");
    match nearest(path, paths.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem,
    }
}

fn typed(context: &'static Context, tree: &Snapshot, edit: &Edit) -> Result<TypedEdit, Vec<Problem>> {
    let command = match edit {
        Edit::Set { .. } => "set",
        Edit::Add { .. } => "add",
        Edit::Delete { .. } => "delete",
    };
    // Single rows are always there, and an action's edits may add to a table that has no `add` of its own.
    let fits = match context.shape {
        Shape::Single => command == "set",
        Shape::Table => true,
        Shape::Actions => false,
    };
    if !fits {
        return Err(vec![Problem::new(context.full_path(), format!("{command} is not possible here"))]);
    }
    match edit {
        Edit::Set { key, values, .. } => set(context, tree, key, values),
        Edit::Add { values, .. } => add(context, tree, values),
        Edit::Delete { key, .. } => {
            let (index, row) = find(context, tree, key)?;
            Ok(TypedEdit {
                context,
                key: owned_key(context, row),
                at: Some(index),
                before: Some(row.clone()),
                after: None,
            })
        }
    }
}

fn set(
    context: &'static Context,
    tree: &Snapshot,
    key: &[String],
    values: &BTreeMap<String, Option<String>>,
) -> Result<TypedEdit, Vec<Problem>> {
    let before = match context.shape {
        Shape::Table => Some(find(context, tree, key)?.1.clone()),
        Shape::Single | Shape::Actions if key.is_empty() => tree.rows_of(context).first().cloned(),
        Shape::Single | Shape::Actions => {
            return Err(vec![Problem::new(context.full_path(), "this context has one row and no keys")]);
        }
    };
    let mut after = before.clone().unwrap_or_default();
    let mut problems = Vec::new();
    for (name, value) in values {
        let Some(parameter) = context.parameter(name) else {
            problems.push(unknown_parameter(context, name));
            continue;
        };
        let problem = |reason: String| Problem::new(context.full_path(), reason).parameter(parameter.name);
        let value = value.as_deref().filter(|value| !value.is_empty());
        match (parameter.role, value) {
            (Role::Key, _) => {
                let problem = problem("it names the row and cannot be changed".to_owned());
                problems.push(problem.hint("delete the row and add it again"));
            }
            // Some kinds have an empty value of their own, a description say.
            (Role::Mandatory, None) => match parse(parameter, "") {
                Ok(value) => drop(after.0.insert(parameter.name.to_owned(), value)),
                Err(_) => problems.push(problem("Mandatory parameter: it cannot be empty".to_owned())),
            },
            (Role::Attribute, None) => drop(after.0.remove(parameter.name)),
            (Role::Mandatory | Role::Attribute, Some(value)) => match parse(parameter, value) {
                Ok(value) => drop(after.0.insert(parameter.name.to_owned(), value)),
                Err(reason) => problems.push(problem(reason)),
            },
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let key = before.as_ref().map(|row| owned_key(context, row)).unwrap_or_default();
    let before = before.or_else(|| after.0.is_empty().then(|| after.clone()));
    Ok(TypedEdit { context, key, at: None, before, after: Some(after) })
}

fn add(
    context: &'static Context,
    tree: &Snapshot,
    values: &BTreeMap<String, String>,
) -> Result<TypedEdit, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut row = Row::default();
    for (name, value) in values {
        let Some(parameter) = context.parameter(name) else {
            problems.push(unknown_parameter(context, name));
            continue;
        };
        if value.is_empty() && parameter.role == Role::Attribute {
            continue;
        }
        match parse(parameter, value) {
            Ok(value) => drop(row.0.insert(parameter.name.to_owned(), value)),
            Err(reason) => {
                problems.push(Problem::new(context.full_path(), reason).parameter(parameter.name));
            }
        }
    }
    let given = |parameter: &Parameter| {
        values.keys().any(|name| context.parameter(name).is_some_and(|p| p.name == parameter.name))
    };
    for parameter in context.parameters.iter().filter(|p| p.role != Role::Attribute && p.default.is_none()) {
        if !given(parameter) {
            problems.push(
                Problem::new(context.full_path(), "Mandatory parameter missing").parameter(parameter.name),
            );
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // A key that was left out is stored with its default, so that the row keeps its name if the default changes.
    for parameter in context.keys() {
        if let (None, Some(default)) = (row.explicit(parameter.name), parameter.default) {
            row.0.insert(parameter.name.to_owned(), Value::Text(default.to_owned()));
        }
    }
    let rows = tree.rows_of(context);
    if rows.iter().any(|other| other.has_key(context, &row.key(context))) {
        let key = row.key(context).join(" ");
        return Err(vec![
            Problem::new(context.full_path(), format!("entry is already present in list: {key}"))
                .hint("change it with set, or delete it first"),
        ]);
    }
    if rows.len() >= MAX_ROWS {
        return Err(vec![Problem::new(
            context.full_path(),
            format!("a table holds at most {MAX_ROWS} entries"),
        )]);
    }
    Ok(TypedEdit { context, key: owned_key(context, &row), at: None, before: None, after: Some(row) })
}

/// The row with this key: as typed, or in the canonical form of its kinds.
fn find<'a>(
    context: &'static Context,
    tree: &'a Snapshot,
    key: &[String],
) -> Result<(usize, &'a Row), Vec<Problem>> {
    let path = context.full_path();
    if let Some(missing) = context.keys().nth(key.len()) {
        return Err(vec![Problem::new(path, "Mandatory parameter missing").parameter(missing.name)]);
    }
    if key.len() > context.keys().count() {
        return Err(vec![Problem::new(path, "more values than the row's key has")]);
    }
    let rows = tree.rows_of(context);
    let find = |key: &[&str]| rows.iter().enumerate().find(|(_, row)| row.has_key(context, key));
    let typed: Vec<&str> = key.iter().map(String::as_str).collect();
    if let Some(found) = find(&typed) {
        return Ok(found);
    }
    let (mut canonical, mut problems) = (Vec::new(), Vec::new());
    for (parameter, word) in context.keys().zip(&typed) {
        match parameter.kind.parse(word) {
            Ok(text) => canonical.push(text),
            Err(reason) => problems.push(Problem::new(path.clone(), reason).parameter(parameter.name)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let words: Vec<&str> = canonical.iter().map(String::as_str).collect();
    find(&words).ok_or_else(|| {
        vec![
            Problem::new(path, format!("Entry not found: {}", typed.join(" ")))
                .hint("get lists the entries there are"),
        ]
    })
}

fn owned_key(context: &'static Context, row: &Row) -> Vec<String> {
    row.key(context).into_iter().map(str::to_owned).collect()
}

fn parse(parameter: &Parameter, word: &str) -> Result<Value, String> {
    let text = parameter.kind.parse(word)?;
    Ok(if parameter.is_secret() { Value::Secret(Secret::new(text)) } else { Value::Text(text) })
}

fn unknown_parameter(context: &'static Context, name: &str) -> Problem {
    let problem = Problem::new(context.full_path(), "there is no such parameter").parameter(name);
    let near = nearest(name, context.parameters.iter().map(|p| p.name));
    problem.hint(near.map_or_else(
        || {
            let names: Vec<&str> = context.parameters.iter().map(|p| p.name).collect();
            format!("parameters: {}", names.join(", "))
        },
        |near| format!("did you mean {near}?"),
    ))
}

/// What takes effect later than at once: parameters that need a restart, and remarks on those of the next connection.
pub(crate) fn effects(edits: &[TypedEdit]) -> (Vec<String>, Vec<String>) {
    let (mut restart, mut next) = (Vec::new(), Vec::new());
    for edit in edits {
        for parameter in edit.context.parameters {
            let value = |row: &Option<Row>| {
                row.as_ref().and_then(|row| row.text(edit.context, parameter.name)).map(str::to_owned)
            };
            if value(&edit.before) == value(&edit.after) {
                continue;
            }
            let list = match parameter.apply {
                Apply::Live => continue,
                Apply::NextConnection => &mut next,
                Apply::Restart => &mut restart,
            };
            if !list.iter().any(|name| name == parameter.name) {
                list.push(parameter.name.to_owned());
            }
        }
    }
    let remarks = if next.is_empty() {
        Vec::new()
    } else {
        vec![format!("{} applies to new connections", next.join(", "))]
    };
    (restart, remarks)
}

/// The remark on parameters that the change gives a value and this build does not read, whether or not the value is new.
fn unused(registry: &Registry, change: &Change) -> Option<String> {
    let mut named: Vec<&str> = Vec::new();
    for edit in &change.edits {
        let given: Vec<&str> = match edit {
            Edit::Set { values, .. } => {
                values.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.as_str()).collect()
            }
            Edit::Add { values, .. } => values.keys().map(String::as_str).collect(),
            Edit::Delete { .. } => continue,
        };
        let Some(context) = registry.resolve(edit.context()) else { continue };
        let given: Vec<&str> =
            given.iter().filter_map(|name| context.parameter(name)).map(|parameter| parameter.name).collect();
        for parameter in context.parameters.iter().filter(|parameter| parameter.unused.is_some()) {
            if given.contains(&parameter.name) && !named.contains(&parameter.name) {
                named.push(parameter.name);
            }
        }
    }
    (!named.is_empty()).then(|| format!("not used by this build: {}", named.join(", ")))
}
