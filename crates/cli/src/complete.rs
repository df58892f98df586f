//! How a line may go on: levels, commands, attributes, keys that exist, values that are allowed; and a word of help on each.

use crate::commands::{Command, General, of_context};
use crate::engine::Session;
use crate::failure::grammar_line;
use crate::help;
use crate::levels::{LevelId, Levels, starts_with};
use crate::resolve::Meaning;
use crate::words::{self, Word};
use openadp_settings::{Context, Kind, Parameter, Row, Tree, Value};

/// Most existing keys that are offered.
const MAX_KEYS: usize = 1000;

/// A word that may stand here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The word as it is put in, with quotes where it needs them.
    pub text: String,
    /// What it means, in few words.
    pub help: String,
}

impl Candidate {
    /// A word and what it means.
    pub fn new(text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { text: text.into(), help: help.into() }
    }
}

/// How a line may go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// The byte where the word begins that a candidate replaces.
    pub start: usize,
    /// Words that may stand there.
    pub candidates: Vec<Candidate>,
    /// What is expected there, as the grammar writes it.
    pub hint: Option<String>,
}

impl Completion {
    /// What all candidates begin with.
    pub(crate) fn common(&self) -> String {
        let mut candidates = self.candidates.iter();
        let mut common = candidates.next().map(|first| first.text.clone()).unwrap_or_default();
        for candidate in candidates {
            let same = common.chars().zip(candidate.text.chars());
            let count = same.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).map(|(a, _)| a.len_utf8()).sum();
            common.truncate(count);
        }
        common
    }

    /// The candidates for the eye: each with its help, or in columns where there is none.
    pub(crate) fn list(&self, columns: usize, most: usize) -> Vec<String> {
        let width = |candidate: &Candidate| candidate.text.chars().count();
        let widest = self.candidates.iter().map(width).max().unwrap_or(0);
        let shown = self.candidates.get(..most.min(self.candidates.len())).unwrap_or_default();
        let mut lines: Vec<String> = if self.candidates.iter().all(|candidate| candidate.help.is_empty()) {
            let each = (columns.saturating_sub(1) / (widest + 2)).max(1);
            let row = |row: &[Candidate]| {
                let cells = row.iter().map(|candidate| format!("  {:<widest$}", candidate.text));
                cells.collect::<String>().trim_end().to_owned()
            };
            shown.chunks(each).map(row).collect()
        } else {
            let line = |candidate: &Candidate| {
                let line = format!("  {:<widest$} : {}", candidate.text, candidate.help);
                line.chars().take(columns.saturating_sub(1)).collect::<String>().trim_end().to_owned()
            };
            shown.iter().map(line).collect()
        };
        if self.candidates.len() > most {
            lines.push(format!("  ... and {} more", self.candidates.len() - most));
        }
        if let (true, Some(hint)) = (self.candidates.is_empty(), &self.hint) {
            lines.push(format!("  {hint}"));
        }
        lines
    }

    /// What stands in grey behind the typed beginning: the rest of the only word, or what is expected.
    pub(crate) fn ghost(&self, before: &str) -> Option<String> {
        let typed = before.get(self.start..).unwrap_or_default();
        match self.candidates.as_slice() {
            [one] if !typed.is_empty() => {
                let rest = one.text.get(typed.len()..)?;
                (starts_with(&one.text, typed) && !rest.is_empty()).then(|| rest.to_owned())
            }
            _ if typed.is_empty() => self.hint.clone(),
            _ => None,
        }
    }
}

/// What was typed before the word that is completed, and that word.
struct Typed<'a> {
    before: &'a str,
    word: &'a str,
}

impl<'a> Typed<'a> {
    /// `None` inside quotes: what stands there is the operator's own.
    fn of(line: &'a str) -> Option<Self> {
        let start = line.char_indices().rev().find(|(_, c)| c.is_whitespace() || *c == ';');
        let start = start.map_or(0, |(at, c)| at + c.len_utf8());
        let (before, word) = line.split_at(start);
        let opens = word.starts_with(['"', '\'', '“', '”']);
        words::parts(before).ok().filter(|_| !opens).map(|_| Self { before, word })
    }
}

impl Session {
    /// How a line may go on that reads so far. Keys that exist are looked up only where wanted: that asks the installation.
    pub fn complete(&mut self, line: &str, keys: bool) -> Completion {
        let home = self.at;
        let completion = self.completion(line, keys).unwrap_or_default();
        self.at = home;
        completion
    }

    /// Lines that were typed, oldest first; those with secrets are not among them.
    pub fn typed(&self) -> Vec<String> {
        self.history.iter().map(|(_, line)| line.clone()).collect()
    }

    fn completion(&mut self, line: &str, keys: bool) -> Option<Completion> {
        let typed = Typed::of(line)?;
        let start = typed.before.len();
        let mut rest = typed.before;
        // A prompt that was pasted, and is whole.
        let mut first = None;
        if let Some(prompt) = words::prompt(typed.before) {
            let (at, command) = self.enter(&prompt).ok()?;
            self.at = at;
            first = command.map(|text| Word { text, quoted: false });
            rest = prompt.rest;
        }
        let parts = words::parts(rest).ok()?;
        let ended = rest.trim_end().ends_with(';') || parts.is_empty();
        let (earlier, last) =
            if ended { (parts.as_slice(), None) } else { parts.split_last().map(|(l, e)| (e, Some(l)))? };
        for part in earlier {
            // What a part that is a command leaves behind is where it ran.
            if let [word] = part.as_slice()
                && let Some((at, None)) = self.place(&word.text)
            {
                self.at = at;
            }
        }
        let words: Vec<Word> = first.into_iter().chain(last.into_iter().flatten().cloned()).collect();
        let (candidates, hint) = self.next_word(&words, typed.word, keys)?;
        let candidates = candidates.into_iter().filter(|c| starts_with(&c.text, typed.word)).collect();
        Some(Completion { start, candidates, hint })
    }

    /// Where a word or path leads, and the command that ends it.
    fn place(&self, word: &str) -> Option<(LevelId, Option<String>)> {
        if word == ".." {
            return Some((self.levels.get(self.at).parent.unwrap_or(self.at), None));
        }
        if word.contains('/') {
            return self.typed_path(word).ok();
        }
        match self.resolve(word).ok()? {
            Meaning::Level(at) => Some((at, None)),
            Meaning::Root(tree) => Some((Levels::root(tree), None)),
            Meaning::Command(..) | Meaning::General(_) => None,
        }
    }

    /// What may follow these words.
    fn next_word(
        &mut self,
        words: &[Word],
        word: &str,
        keys: bool,
    ) -> Option<(Vec<Candidate>, Option<String>)> {
        let Some((first, rest)) = words.split_first() else {
            return Some((self.beginnings(word, true), None));
        };
        if let Some((at, command)) = self.place(&first.text) {
            self.at = at;
            return match (command, rest.split_first()) {
                (Some(command), _) => match self.resolve(&command).ok()? {
                    Meaning::Command(context, command) => {
                        self.arguments_of(context, command, rest, word, keys)
                    }
                    _ => None,
                },
                (None, None) => Some((self.commands_here(), None)),
                (None, Some((next, rest))) => match self.resolve(&next.text).ok()? {
                    Meaning::Command(context, command) => {
                        self.arguments_of(context, command, rest, word, keys)
                    }
                    _ => None,
                },
            };
        }
        match self.resolve(&first.text).ok()? {
            Meaning::Command(context, command) => self.arguments_of(context, command, rest, word, keys),
            Meaning::General(General::Cd) if rest.is_empty() => Some((self.paths(word), None)),
            Meaning::General(General::Help) if rest.is_empty() => Some((self.beginnings(word, false), None)),
            Meaning::General(general) if rest.is_empty() => {
                let (arguments, _) = general.help();
                Some((Vec::new(), (!arguments.is_empty()).then(|| arguments.to_owned())))
            }
            _ => None,
        }
    }

    fn commands_here(&self) -> Vec<Candidate> {
        let context = self.levels.get(self.at).context;
        let commands = context.map(of_context).unwrap_or_default();
        commands
            .into_iter()
            .map(|command| Candidate::new(command.name(), help::sentence(command.help())))
            .collect()
    }

    /// What a line may begin with.
    fn beginnings(&self, word: &str, paths: bool) -> Vec<Candidate> {
        if paths && word.contains('/') {
            return self.paths(word);
        }
        let level = self.levels.get(self.at);
        let mut candidates = self.commands_here();
        candidates.extend(level.children.iter().map(|id| {
            let name = self.levels.get(*id).name;
            Candidate::new(name, format!("go to level {name}"))
        }));
        // The general commands only once one has begun: they are the same everywhere.
        if !word.is_empty() {
            let general = General::ALL
                .iter()
                .map(|general| Candidate::new(general.name(), help::sentence(general.help().1)));
            candidates.extend(general);
        }
        // `ad` is on its way to `add`.
        if word.len() > 2 {
            let roots = [Tree::Adp, Tree::As].map(|tree| Candidate::new(tree.root(), "go to this tree"));
            candidates.extend(roots);
        }
        candidates
    }

    /// The paths that go on from a path.
    fn paths(&self, word: &str) -> Vec<Candidate> {
        let (above, _) =
            word.rsplit_once('/').map_or(("", word), |(above, _)| word.split_at(above.len() + 1));
        let at = match above {
            "" => Some(self.at),
            "/" => Some(Levels::root(self.levels.get(self.at).tree)),
            path => self.typed_path(path).ok().filter(|(_, command)| command.is_none()).map(|(at, _)| at),
        };
        let Some(at) = at else { return Vec::new() };
        let level = |id: &LevelId| {
            let below = self.levels.get(*id);
            let slash = if below.children.is_empty() { "" } else { "/" };
            Candidate::new(format!("{above}{}{slash}", below.name), "")
        };
        self.levels.get(at).children.iter().map(level).collect()
    }

    fn arguments_of(
        &mut self,
        context: &'static Context,
        command: Command,
        given: &[Word],
        word: &str,
        keys: bool,
    ) -> Option<(Vec<Candidate>, Option<String>)> {
        let given: Vec<&str> = given
            .iter()
            .map(|word| word.text.as_str())
            .filter(|word| !word.eq_ignore_ascii_case("--force"))
            .collect();
        let positional = command.positional(context);
        let attributes = command.attributes(context);
        if let Some(parameter) = positional.get(given.len()) {
            let mut candidates = values(parameter);
            if keys && !matches!(command, Command::Add) {
                candidates.extend(self.keys(context, parameter, &given));
            }
            return Some((candidates, Some(grammar_line(parameter))));
        }
        let pairs = given.get(positional.len()..).unwrap_or_default();
        let names_only = matches!(command, Command::Clear | Command::Get);
        let (named, open) = match pairs.split_last() {
            Some((last, before)) if !names_only && pairs.len() % 2 == 1 => (before, Some(*last)),
            _ => (pairs, None),
        };
        if let Some(name) = open {
            let has = |p: &&&Parameter| {
                p.name.eq_ignore_ascii_case(name) || p.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
            };
            let parameter = attributes.iter().find(has)?;
            return Some((values(parameter), Some(grammar_line(parameter))));
        }
        let step = if names_only { 1 } else { 2 };
        let used: Vec<&str> = named.iter().step_by(step).copied().collect();
        let free = attributes.iter().filter(|p| !used.iter().any(|used| p.name.eq_ignore_ascii_case(used)));
        let candidates: Vec<Candidate> =
            free.map(|p| Candidate::new(p.name, help::sentence(p.help))).collect();
        let names: Vec<&str> = candidates.iter().map(|candidate| candidate.text.as_str()).collect();
        let hint = (word.is_empty() && !names.is_empty()).then(|| format!("[{}]", names.join(" | ")));
        Some((candidates, hint))
    }

    /// Keys of rows that exist and begin with the keys that were given.
    fn keys(&mut self, context: &'static Context, parameter: &Parameter, given: &[&str]) -> Vec<Candidate> {
        let Some(place) = context.keys().position(|key| key.name == parameter.name) else {
            return Vec::new();
        };
        let Ok(snapshot) = self.backend.snapshot(context) else { return Vec::new() };
        let fits = |row: &&Row| {
            let own = row.key(context);
            given.len() < place
                || given.iter().take(place).zip(own).all(|(given, own)| own.eq_ignore_ascii_case(given))
        };
        let rows = snapshot.rows_of(context).iter().filter(fits);
        let mut candidates: Vec<Candidate> = Vec::new();
        for text in rows.filter_map(|row| row.explicit(parameter.name)).map(Value::text).take(MAX_KEYS) {
            let word = if text.is_empty() || text.contains([' ', ';', '"']) {
                format!("\"{}\"", text.replace('"', "\\\""))
            } else {
                text.to_owned()
            };
            if !candidates.iter().any(|candidate| candidate.text == word) {
                candidates.push(Candidate::new(word, ""));
            }
        }
        candidates
    }
}

/// The values that a parameter can have, where they are words.
fn values(parameter: &Parameter) -> Vec<Candidate> {
    let help = match parameter.kind {
        Kind::Boolean | Kind::Choice(_) => parameter.default,
        _ => None,
    };
    let word = |word: &&str| Candidate::new(*word, if Some(*word) == help { "the default" } else { "" });
    parameter.kind.words().iter().map(word).collect()
}
