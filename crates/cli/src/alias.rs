//! `alias`: commands of the operator's own, kept in a file of theirs.

use crate::commands::{General, of_context};
use crate::console::Console;
use crate::engine::{Output, Session};
use crate::failure::Failure;
use crate::words::{self, Word};
use serde_json::json;
use std::collections::BTreeMap;

/// The file in the operator's home.
const FILE: &str = ".adpcli_alias";
/// Most bytes of it.
const MAX_FILE: u64 = 256 * 1024;
/// Most aliases, and most characters of a name and a text.
const MAX_ALIASES: usize = 200;
const MAX_NAME: usize = 32;
const MAX_TEXT: usize = 1000;
/// Most aliases that one line stands for, so that one that comes back to itself ends.
const MAX_UNFOLDED: usize = 20;

/// The operator's own commands.
#[derive(Default)]
pub(crate) struct Aliases {
    /// Text by name; none before the file was looked at.
    words: Option<BTreeMap<String, String>>,
    /// How many stood in the line so far.
    unfolded: usize,
}

impl Aliases {
    /// Whether a word is one, as far as the file was looked at.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.words.as_ref().is_some_and(|words| words.contains_key(&name.to_ascii_lowercase()))
    }

    /// Another line begins.
    pub(crate) fn begin(&mut self) {
        self.unfolded = 0;
    }

    fn read(&mut self, io: &mut dyn Console) -> &mut BTreeMap<String, String> {
        self.words.get_or_insert_with(|| {
            // A file that is not there, or not to be read, holds none.
            let text = io.home(FILE).and_then(|path| io.read_file(&path, MAX_FILE).ok()).unwrap_or_default();
            let split =
                |line: &str| line.split_once(' ').map(|(name, text)| (name.to_owned(), text.to_owned()));
            text.lines().filter_map(split).take(MAX_ALIASES).collect()
        })
    }
}

impl Session {
    /// Puts what an alias stands for before the rest of the line; whether the word is one.
    pub(crate) fn unfold(
        &mut self,
        first: &Word,
        rest: &[Word],
        io: &mut dyn Console,
    ) -> Result<bool, Failure> {
        let name = first.text.to_ascii_lowercase();
        let Some(text) = self.aliases.read(io).get(&name).cloned() else { return Ok(false) };
        self.aliases.unfolded += 1;
        if self.aliases.unfolded > MAX_UNFOLDED {
            return Err(Failure::refused("alias", &format!("{name} comes back to itself"))
                .hint(format!("alias {name} \"\" takes it away")));
        }
        let mut parts = words::parts(&text)
            .map_err(|_| Failure::refused("alias", &format!("{name}: a quotation mark is not closed")))?;
        if let Some(last) = parts.last_mut() {
            last.extend_from_slice(rest);
        }
        for part in parts.into_iter().rev() {
            self.pending.push_front(part);
        }
        Ok(true)
    }

    /// `alias [name ["text"]]`.
    pub(crate) fn alias(&mut self, words: &[String], io: &mut dyn Console) -> Result<Output, Failure> {
        let shown = |aliases: &BTreeMap<String, String>| {
            let lines = aliases.iter().map(|(name, text)| format!("  {name} = {text}")).collect();
            let rows = aliases.iter().map(|(name, text)| vec![name.clone(), text.clone()]);
            let names = vec!["name".to_owned(), "text".to_owned()];
            Output::new(lines, json!({ "aliases": aliases }))
                .table(std::iter::once(names).chain(rows).collect())
        };
        let name = words.first().map(|name| name.to_ascii_lowercase());
        let (Some(name), Some(text)) = (&name, words.get(1)) else {
            let aliases = self.aliases.read(io);
            return match name {
                None => Ok(shown(aliases)),
                Some(name) => match aliases.get_key_value(&name) {
                    Some((name, text)) => Ok(shown(&BTreeMap::from([(name.clone(), text.clone())]))),
                    None => Err(Failure::refused("alias", &format!("there is no alias {name}"))
                        .hint("alias lists them, alias name \"text\" makes one")),
                },
            };
        };
        self.may_be_alias(name, text)?;
        let mut aliases = self.aliases.read(io).clone();
        if text.is_empty() {
            if aliases.remove(name).is_none() {
                return Err(Failure::refused("alias", &format!("there is no alias {name}")));
            }
        } else if aliases.len() >= MAX_ALIASES && !aliases.contains_key(name) {
            return Err(Failure::refused("alias", &format!("there are at most {MAX_ALIASES}")));
        } else {
            aliases.insert(name.clone(), text.clone());
        }
        let path = io.home(FILE).ok_or_else(|| {
            Failure::refused("alias", "there is no home to keep it in")
                .hint("HOME is to be a folder of yours, and its .adpcli_alias for nobody else to write")
        })?;
        let file: String = aliases.iter().map(|(name, text)| format!("{name} {text}\n")).collect();
        io.write_file(&path, &file)
            .map_err(|error| Failure::refused("alias", &format!("cannot write {path}: {error}")))?;
        self.aliases.words = Some(aliases);
        Ok(Output::new(vec!["...Done".to_owned()], json!({ "done": true, "command": "alias", "name": name })))
    }

    fn may_be_alias(&self, name: &str, text: &str) -> Result<(), Failure> {
        let refused = |what: &str| Err(Failure::refused("alias", what));
        let letters = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
        if !letters || !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) || name.len() > MAX_NAME
        {
            return refused(&format!(
                "'{name}' is no name: a letter, then letters, digits, - and _, {MAX_NAME} at most"
            ));
        }
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        let general =
            General::ALL.iter().any(|general| same(general.name()) || general.short().is_some_and(same));
        let declared = self.registry.contexts().any(|context| {
            context.path.split('/').any(same)
                || of_context(context).iter().any(|command| same(command.name()))
        });
        if general || declared {
            return refused(&format!("'{name}' is the name of a command or a level"));
        }
        if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
            return refused(&format!("the text has one line of at most {MAX_TEXT} characters"));
        }
        if self.names_secret(text) {
            return refused("it holds a secret, and the file is not sealed");
        }
        Ok(())
    }
}
