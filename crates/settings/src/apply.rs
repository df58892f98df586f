//! What a change makes of a tree: every edit checked against its declaration, all problems at once, nothing half done.

use crate::editing::Editing;
use crate::export;
use crate::names::nearest;
use crate::{
    Apply, Change, Context, Edit, MachineKey, Parameter, Problem, Problems, Registry, Role, Row, Secret,
    Shape, Snapshot, Value, revision,
};
use std::collections::{BTreeMap, BTreeSet};

/// Most rows of one table: far more than any site has, and few enough that every change may look at all of them.
const MAX_ROWS: usize = 10_000;
/// Most edits of one change: the whole tree of a large site is imported as one.
const MAX_EDITS: usize = 100_000;
/// Most problems that one answer tells.
const MAX_PROBLEMS: usize = 1000;
/// What `get` prints for a secret; given as a value it keeps the secret that is there.
pub(crate) const STARS: &str = "********";

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
pub(crate) fn evaluate(
    registry: &Registry,
    machine_key: &MachineKey,
    base: &Snapshot,
    change: &Change,
) -> Result<Evaluated, Problems> {
    if change.edits.len() > MAX_EDITS {
        let context = change.edits[0].context();
        return Err(Problem::new(context, format!("more than {MAX_EDITS} edits in one change")).into());
    }
    let mut tree = Editing::new(base.clone());
    let (mut edits, mut problems) = (Vec::new(), Vec::new());
    let mut secrets = Secrets { base, machine_key, left_out: BTreeSet::new() };
    let (mut touched, mut again) = (BTreeSet::new(), false);
    for (number, edit) in change.edits.iter().enumerate() {
        if problems.len() > MAX_PROBLEMS {
            problems.truncate(MAX_PROBLEMS);
            problems.push(Problem::new("", "there are more problems; these are the first"));
            break;
        }
        let found = match registry.resolve(edit.context()) {
            None => Err(vec![unknown_context(registry, edit.context())]),
            Some(context) => typed(context, &mut tree, edit, &mut secrets),
        };
        match found {
            Ok(steps) => {
                for step in steps.into_iter().filter(|step| step.before != step.after) {
                    again |= !touched.insert((step.context.full_path(), step.key.clone()));
                    tree.apply(&step);
                    edits.push(step);
                }
            }
            Err(found) => problems.extend(found.into_iter().map(|problem| problem.edit(number))),
        }
    }
    let mut tree = tree.into_tree();
    if problems.is_empty() {
        problems = introduced(registry, base, &tree, change.force);
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    if again {
        // What is taken away and put back, or changed twice, counts as what it comes to.
        edits = revision::typed_difference(registry, base, &tree);
    }
    if !edits.is_empty() {
        tree.revision += 1;
    }
    let (restart, mut remarks) = effects(&edits);
    remarks.extend(unused(registry, change));
    remarks.extend(of_rows(registry, change));
    if !secrets.left_out.is_empty() {
        let names: Vec<&str> = secrets.left_out.into_iter().collect();
        remarks.push(format!("there is no secret to keep for {}; it stays unset", names.join(", ")));
    }
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

fn unknown_context(registry: &Registry, path: &str) -> Problem {
    let paths: Vec<String> = registry.contexts().map(Context::full_path).collect();
    let problem = Problem::new(path, "there is no such context");
    match nearest(path, paths.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem,
    }
}

fn typed(
    context: &'static Context,
    tree: &mut Editing,
    edit: &Edit,
    secrets: &mut Secrets<'_>,
) -> Result<Vec<TypedEdit>, Vec<Problem>> {
    let command = match edit {
        Edit::Set { .. } => "set",
        Edit::Add { .. } => "add",
        Edit::Delete { .. } => "delete",
        Edit::Reset { .. } => "reset",
    };
    // Single rows are always there, and an action's edits may add to a table that has no `add` of its own.
    let fits = match context.shape {
        Shape::Single => matches!(command, "set" | "reset"),
        Shape::Table => true,
        Shape::Actions => false,
    };
    if !fits {
        return Err(vec![Problem::new(context.full_path(), format!("{command} is not possible here"))]);
    }
    match edit {
        Edit::Set { key, values, .. } => set(context, tree, key, values, secrets).map(|edit| vec![edit]),
        Edit::Add { values, .. } => add(context, tree, values, secrets).map(|edit| vec![edit]),
        Edit::Delete { key, .. } => {
            let (index, row) = find(context, tree, key)?;
            let row = row.clone();
            Ok(vec![TypedEdit {
                context,
                key: owned_key(context, &row),
                at: Some(index),
                before: Some(row),
                after: None,
            }])
        }
        Edit::Reset { .. } => Ok(reset(context, tree.tree())),
    }
}

/// Takes everything out of a context that was put there; what is mandatory in a single row has no other value to fall to.
fn reset(context: &'static Context, tree: &Snapshot) -> Vec<TypedEdit> {
    let rows = tree.rows_of(context).iter().enumerate();
    if context.shape == Shape::Table {
        let delete = |(at, row): (usize, &Row)| TypedEdit {
            context,
            key: owned_key(context, row),
            at: Some(at),
            before: Some(row.clone()),
            after: None,
        };
        return rows.rev().map(delete).collect();
    }
    let clear = |(_, row): (usize, &Row)| TypedEdit {
        context,
        key: Vec::new(),
        at: None,
        before: Some(row.clone()),
        after: Some(Row::default()),
    };
    rows.map(clear).collect()
}

fn set(
    context: &'static Context,
    tree: &mut Editing,
    key: &[String],
    values: &BTreeMap<String, Option<String>>,
    secrets: &mut Secrets<'_>,
) -> Result<TypedEdit, Vec<Problem>> {
    let before = match context.shape {
        Shape::Table => Some(find(context, tree, key)?.1.clone()),
        Shape::Single | Shape::Actions if key.is_empty() => tree.tree().rows_of(context).first().cloned(),
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
            (_, Some(value)) if parameter.is_secret() => {
                let key = if context.shape == Shape::Table { owned_key(context, &after) } else { Vec::new() };
                let now = after.explicit(parameter.name).cloned();
                match secrets.value(context, &key, parameter, value, now) {
                    Ok(Some(secret)) => drop(after.0.insert(parameter.name.to_owned(), secret)),
                    Ok(None) => {}
                    Err(reason) => problems.push(problem(reason)),
                }
            }
            (Role::Mandatory | Role::Attribute, Some(value)) => match parse(parameter, value) {
                Ok(value) => drop(after.0.insert(parameter.name.to_owned(), value)),
                Err(reason) => problems.push(problem(reason)),
            },
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let key = match (&before, context.shape) {
        (Some(row), Shape::Table) => owned_key(context, row),
        _ => Vec::new(),
    };
    let before = before.or_else(|| after.0.is_empty().then(|| after.clone()));
    Ok(TypedEdit { context, key, at: None, before, after: Some(after) })
}

/// Where secrets come from that are not typed as they are.
struct Secrets<'a> {
    base: &'a Snapshot,
    machine_key: &'a MachineKey,
    /// Parameters whose secret was to be kept, and there was none.
    left_out: BTreeSet<&'static str>,
}

impl Secrets<'_> {
    /// The secret that a word means: the one there is now or was before the change for stars, a sealed one, or itself.
    fn value(
        &mut self,
        context: &'static Context,
        key: &[String],
        parameter: &'static Parameter,
        word: &str,
        now: Option<Value>,
    ) -> Result<Option<Value>, String> {
        if word == STARS {
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let before = match context.shape {
                Shape::Table => self.base.row(context, &key),
                Shape::Single | Shape::Actions => self.base.rows_of(context).first(),
            };
            let kept = now.or_else(|| before.and_then(|row| row.explicit(parameter.name)).cloned());
            if kept.is_none() {
                self.left_out.insert(parameter.name);
            }
            return Ok(kept);
        }
        match export::unsealed(self.machine_key, context, key, parameter, word) {
            Some(opened) => parse(parameter, &opened?).map(Some),
            None => parse(parameter, word).map(Some),
        }
    }
}

fn add(
    context: &'static Context,
    tree: &mut Editing,
    values: &BTreeMap<String, String>,
    secrets: &mut Secrets<'_>,
) -> Result<TypedEdit, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut row = Row::default();
    let mut hidden = Vec::new();
    for (name, value) in values {
        let Some(parameter) = context.parameter(name) else {
            problems.push(unknown_parameter(context, name));
            continue;
        };
        if value.is_empty() && parameter.role == Role::Attribute {
            continue;
        }
        if parameter.is_secret() {
            hidden.push((parameter, value));
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
    let key = owned_key(context, &row);
    for (parameter, value) in hidden {
        match secrets.value(context, &key, parameter, value, None) {
            Ok(Some(secret)) => drop(row.0.insert(parameter.name.to_owned(), secret)),
            Ok(None) => {}
            Err(reason) => {
                problems.push(Problem::new(context.full_path(), reason).parameter(parameter.name));
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if tree.position(context, &row.key(context)).is_some() {
        let key = row.key(context).join(" ");
        return Err(vec![
            Problem::new(context.full_path(), format!("entry is already present in list: {key}"))
                .hint("change it with set, or delete it first"),
        ]);
    }
    if tree.tree().rows_of(context).len() >= MAX_ROWS {
        return Err(vec![Problem::new(
            context.full_path(),
            format!("a table holds at most {MAX_ROWS} entries"),
        )]);
    }
    Ok(TypedEdit { context, key, at: None, before: None, after: Some(row) })
}

/// The row with this key: as typed, or in the canonical form of its kinds.
fn find<'a>(
    context: &'static Context,
    tree: &'a mut Editing,
    key: &[String],
) -> Result<(usize, &'a Row), Vec<Problem>> {
    let path = context.full_path();
    if let Some(missing) = context.keys().nth(key.len()) {
        return Err(vec![Problem::new(path, "Mandatory parameter missing").parameter(missing.name)]);
    }
    if key.len() > context.keys().count() {
        return Err(vec![Problem::new(path, "more values than the row's key has")]);
    }
    if tree.position(context, key).is_none() {
        let (mut canonical, mut problems) = (Vec::new(), Vec::new());
        for (parameter, word) in context.keys().zip(key) {
            match parameter.kind.parse(word) {
                Ok(text) => canonical.push(text),
                Err(reason) => problems.push(Problem::new(path.clone(), reason).parameter(parameter.name)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        return tree.find(context, &canonical).ok_or_else(|| {
            vec![
                Problem::new(path, format!("Entry not found: {}", key.join(" ")))
                    .hint("get lists the entries there are"),
            ]
        });
    }
    tree.find(context, key).ok_or_else(|| vec![Problem::new(path, "Entry not found")])
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
            Edit::Delete { .. } | Edit::Reset { .. } => continue,
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

/// What contexts say of the rows that the change adds or sets.
fn of_rows(registry: &Registry, change: &Change) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    for edit in &change.edits {
        let Some(context) = registry.resolve(edit.context()) else { continue };
        let Some(remark) = context.row_remark else { continue };
        let key: Vec<&str> = match edit {
            Edit::Set { key, .. } => key.iter().map(String::as_str).collect(),
            Edit::Add { values, .. } => {
                let value = |name: &str| {
                    let is_it =
                        |given: &str| context.parameter(given).is_some_and(|known| known.name == name);
                    values.iter().find(|(given, _)| is_it(given)).map_or("", |(_, value)| value.as_str())
                };
                context.keys().map(|parameter| value(parameter.name)).collect()
            }
            Edit::Delete { .. } | Edit::Reset { .. } => continue,
        };
        remarks.extend(remark(&key).filter(|remark| !remarks.contains(remark)));
    }
    remarks
}
