//! All contexts that a process knows, and the checks of the whole tree.

use crate::{Context, Problem, Role, Shape, Snapshot, Tree};
use std::collections::BTreeMap;

/// A check of the whole tree: run on the tree as it would be after a change.
pub type Check = fn(&Snapshot) -> Vec<Problem>;

/// What one crate declares.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// The crate's name.
    pub name: &'static str,
    /// Its contexts.
    pub contexts: &'static [&'static Context],
    /// Its checks of the whole tree.
    pub checks: &'static [Check],
}

impl Module {
    /// A module without contexts.
    pub const fn new(name: &'static str) -> Self {
        Self { name, contexts: &[], checks: &[] }
    }
    /// Sets its contexts.
    #[must_use]
    pub const fn contexts(mut self, contexts: &'static [&'static Context]) -> Self {
        self.contexts = contexts;
        self
    }
    /// Sets its checks.
    #[must_use]
    pub const fn checks(mut self, checks: &'static [Check]) -> Self {
        self.checks = checks;
        self
    }
}

/// A declaration that cannot be right; found by every test that builds a registry.
#[derive(Debug, thiserror::Error)]
#[error("context {context}: {reason}")]
pub struct RegistryError {
    context: String,
    reason: String,
}

/// All contexts of a process by full path.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    contexts: BTreeMap<String, &'static Context>,
    /// Full paths and aliases in lower case to full paths.
    names: BTreeMap<String, &'static Context>,
    checks: Vec<Check>,
}

impl Registry {
    /// Collects modules; the same module twice counts once.
    ///
    /// # Errors
    /// Two contexts at one path or alias, a key after other parameters, a parameter declared twice, a secret key, a
    /// default that its own kind refuses, a table without key.
    pub fn new(modules: impl IntoIterator<Item = Module>) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        let mut seen = Vec::new();
        for module in modules {
            if seen.contains(&module.name) {
                continue;
            }
            seen.push(module.name);
            for context in module.contexts {
                let path = context.full_path();
                let error = |reason: String| RegistryError { context: path.clone(), reason };
                let mut keys_over = false;
                for (index, parameter) in context.parameters.iter().enumerate() {
                    let earlier = &context.parameters[..index];
                    if earlier.iter().any(|other| other.name.eq_ignore_ascii_case(parameter.name)) {
                        return Err(error(format!("{} is declared twice", parameter.name)));
                    }
                    if parameter.role == Role::Key && parameter.is_secret() {
                        return Err(error(format!("key {} is a secret", parameter.name)));
                    }
                    if parameter.role == Role::Key && keys_over {
                        return Err(error(format!("key {} after other parameters", parameter.name)));
                    }
                    keys_over |= parameter.role != Role::Key;
                    if let Some(default) = parameter.default {
                        parameter.kind.parse(default).map_err(|reason| {
                            error(format!("default of {} is refused: {reason}", parameter.name))
                        })?;
                    }
                }
                if context.shape == Shape::Table && context.keys().next().is_none() {
                    return Err(error("a table needs a key".to_owned()));
                }
                let aliases = context.aliases.iter().map(|alias| absolute(context, alias));
                for name in std::iter::once(path.clone()).chain(aliases) {
                    if registry.names.insert(name.to_ascii_lowercase(), context).is_some() {
                        return Err(error(format!("{name} is declared twice")));
                    }
                }
                registry.contexts.insert(path, context);
            }
            registry.checks.extend_from_slice(module.checks);
        }
        Ok(registry)
    }

    /// A context by its full path, as declared.
    pub fn context(&self, full_path: &str) -> Option<&'static Context> {
        self.contexts.get(full_path).copied()
    }
    /// A context by its full path or an alias of it, without regard to case.
    pub fn resolve(&self, full_path: &str) -> Option<&'static Context> {
        self.context(full_path).or_else(|| self.names.get(&full_path.to_ascii_lowercase()).copied())
    }
    /// All contexts, by path.
    pub fn contexts(&self) -> impl Iterator<Item = &'static Context> + '_ {
        self.contexts.values().copied()
    }
    /// Runs every check of the whole tree.
    pub fn check(&self, snapshot: &Snapshot) -> Vec<Problem> {
        self.checks.iter().flat_map(|check| check(snapshot)).collect()
    }
}

/// The full path of an alias, which may come with or without the root.
fn absolute(context: &Context, alias: &str) -> String {
    let whole = [Tree::Adp, Tree::As]
        .iter()
        .any(|tree| alias.strip_prefix(tree.root()).is_some_and(|rest| rest.starts_with('/')));
    if whole { alias.to_owned() } else { format!("{}/{alias}", context.tree.root()) }
}
