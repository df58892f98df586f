//! What a word means where it is typed: a level, a command, a path. cli.md 1.4, 2.1 and 2.2

use crate::commands::{Command, General, of_context};
use crate::engine::Session;
use crate::failure::Failure;
use crate::help::{self, Item};
use crate::levels::{LevelId, Levels, NoLevel, starts_with};
use crate::words::{self, Root};
use openadp_settings::{Context, Tree, nearest};

/// What a word means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning {
    Command(&'static Context, Command),
    General(General),
    Level(LevelId),
    Root(Tree),
}

impl Session {
    /// The level that a prompt names, and the command that stands in the place of its last level.
    pub(crate) fn enter(&self, prompt: &words::Prompt<'_>) -> Result<(LevelId, Option<String>), Failure> {
        let here = self.levels.get(self.at).tree;
        let tree = prompt.root.tree(here);
        if prompt.absolute {
            return self.path(Levels::root(tree), &prompt.path);
        }
        self.relative(&prompt.path)
    }

    /// A path from here, or else from the root: a guide's path is pasted anywhere.
    fn relative(&self, path: &[&str]) -> Result<(LevelId, Option<String>), Failure> {
        let root = Levels::root(self.levels.get(self.at).tree);
        let begins = |at: LevelId| path.first().is_some_and(|name| self.levels.step(at, name).is_ok());
        match self.path(self.at, path) {
            Err(failure) if self.at != root && begins(root) => {
                // Of two attempts, the one that got somewhere tells where it failed.
                self.path(root, path).map_err(|other| if begins(self.at) { failure } else { other })
            }
            other => other,
        }
    }

    pub(crate) fn path(&self, from: LevelId, path: &[&str]) -> Result<(LevelId, Option<String>), Failure> {
        let mut at = from;
        for (index, name) in path.iter().enumerate() {
            match self.levels.step(at, name) {
                Ok(next) => at = next,
                Err(NoLevel::Unknown) if index + 1 == path.len() && self.is_command(at, name) => {
                    return Ok((at, Some((*name).to_owned())));
                }
                Err(error) => return Err(self.no_level(at, name, &error)),
            }
        }
        Ok((at, None))
    }

    fn is_command(&self, at: LevelId, name: &str) -> bool {
        let commands = self.levels.get(at).context.map(of_context).unwrap_or_default();
        let own = commands.iter().any(|command| starts_with(command.name(), name));
        own || General::ALL.iter().any(|general| general.name().eq_ignore_ascii_case(name))
    }

    fn no_level(&self, at: LevelId, name: &str, error: &NoLevel) -> Failure {
        let here = self.levels.path(at);
        match error {
            NoLevel::Ambiguous(names) => {
                Failure::invalid(format!("'{name}' may be {} below {here}", names.join(" or ")))
            }
            NoLevel::Unknown => Failure::invalid(match self.levels.nearest(at, name) {
                Some(near) => format!("there is no level '{name}' below {here}; did you mean {near}?"),
                None => format!("there is no level '{name}' below {here}; help lists what there is"),
            }),
        }
    }

    /// A typed path: relative, absolute, or with a root's name.
    pub(crate) fn typed_path(&self, text: &str) -> Result<(LevelId, Option<String>), Failure> {
        let names = words::names(text);
        let here = self.levels.get(self.at).tree;
        if let Some((first, below)) = names.split_first()
            && let Some(root) = words::root(first)
        {
            return self.path(Levels::root(root.tree(here)), below);
        }
        if text.starts_with('/') { self.path(Levels::root(here), &names) } else { self.relative(&names) }
    }

    /// What a word means here; cli.md 2.2.
    pub(crate) fn resolve(&self, word: &str) -> Result<Meaning, Failure> {
        let same = |name: &str| name.eq_ignore_ascii_case(word);
        if let Some(general) = General::ALL.into_iter().find(|general| general.short().is_some_and(same)) {
            return Ok(Meaning::General(general));
        }
        let level = self.levels.get(self.at);
        let commands = level.context.map(|context| (context, of_context(context)));
        let own = |fits: &dyn Fn(&str) -> bool| -> Vec<Meaning> {
            let Some((context, commands)) = &commands else { return Vec::new() };
            let fitting = commands.iter().filter(|command| fits(command.name()));
            fitting.map(|command| Meaning::Command(context, *command)).collect()
        };
        if let Some(exact) = own(&same).pop() {
            return Ok(exact);
        }
        if let Some(id) = self.levels.exact(self.at, word) {
            return Ok(Meaning::Level(id));
        }
        if let Some(general) = General::ALL.into_iter().find(|general| same(general.name())) {
            return Ok(Meaning::General(general));
        }
        if let Some(Root::Of(tree)) = words::root(word) {
            return Ok(Meaning::Root(tree));
        }
        if let Ok(number) = word.parse::<usize>() {
            return self.item(number);
        }
        let beginning = |name: &str| starts_with(name, word);
        let levels = self.levels.beginning(self.at, word).into_iter().map(Meaning::Level).collect();
        let general = |known: bool| -> Vec<Meaning> {
            let fits = |general: &General| general.is_known() == known && beginning(general.name());
            General::ALL.into_iter().filter(fits).map(Meaning::General).collect()
        };
        for mut candidates in [own(&beginning), levels, general(true), general(false)] {
            if candidates.len() > 1 {
                let names: Vec<&str> = candidates.iter().map(|meaning| self.name(meaning)).collect();
                return Err(Failure::invalid(format!("'{word}' may be {}", names.join(" or "))));
            }
            if let Some(one) = candidates.pop() {
                return Ok(one);
            }
        }
        Err(self.unknown(word))
    }

    fn item(&self, number: usize) -> Result<Meaning, Failure> {
        let level = self.levels.get(self.at);
        match (help::items(&self.levels, self.at).get(number), level.context) {
            (Some(Item::Level(id)), _) => Ok(Meaning::Level(*id)),
            (Some(Item::Command(command)), Some(context)) => Ok(Meaning::Command(context, *command)),
            _ => Err(Failure::invalid(format!("help has no item {number} here"))),
        }
    }

    fn name(&self, meaning: &Meaning) -> &'static str {
        match meaning {
            Meaning::Command(_, command) => command.name(),
            Meaning::General(general) => general.name(),
            Meaning::Level(id) => self.levels.get(*id).name,
            Meaning::Root(tree) => tree.root(),
        }
    }

    /// The hint for a word that means nothing: a forgotten `set`, the nearest name, or where to look.
    fn unknown(&self, word: &str) -> Failure {
        let level = self.levels.get(self.at);
        if let Some(context) = level.context
            && let Some(parameter) = context.parameter(word)
        {
            return Failure::invalid(format!("did you mean set {} ...?", parameter.name));
        }
        let commands = level.context.map(of_context).unwrap_or_default();
        let names = commands.iter().map(|command| command.name());
        let children = level.children.iter().map(|id| self.levels.get(*id).name);
        let general = General::ALL.iter().map(|general| general.name());
        match nearest(word, names.chain(children).chain(general)) {
            Some(near) => Failure::invalid(format!("'{word}' is unknown here; did you mean {near}?")),
            None => Failure::invalid(format!("'{word}' is unknown here; help lists what there is")),
        }
    }
}
