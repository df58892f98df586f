//! The arguments of a command: positional ones, then pairs of name and value. cli.md 2.3 and 2.4.

use crate::console::Console;
use crate::failure::{Failure, grammar_line};
use crate::levels::starts_with;
use crate::words::Word;
use openadp_settings::{Kind, Parameter, decoded, nearest};
use std::collections::VecDeque;

/// Most bytes of a file given as an argument.
pub(crate) const MAX_FILE: u64 = 1024 * 1024;

/// Most lines of an argument that takes several, and about how many bytes; the declaration refuses what is more.
const MAX_LINES: usize = 10_000;
const MAX_TEXT: usize = 1024 * 1024;
/// Lines after which nobody can have meant to end it.
const MOST_READ: usize = 100_000;

/// Arguments as given, in the order given.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// Parameter and value.
    pub(crate) values: Vec<(&'static Parameter, String)>,
    /// Whether a secret stood on the line.
    pub(crate) secret_on_line: bool,
}

impl Arguments {
    pub(crate) fn get(&self, parameter: &Parameter) -> Option<&str> {
        let same = |(given, _): &&(&'static Parameter, String)| given.name == parameter.name;
        self.values.iter().find(same).map(|(_, value)| value.as_str())
    }
}

/// Reads the arguments of a command.
pub(crate) fn read(
    command: &str,
    positional: &[&'static Parameter],
    attributes: &[&'static Parameter],
    words: Vec<Word>,
    io: &mut dyn Console,
) -> Result<Arguments, Failure> {
    let mut words = VecDeque::from(words);
    let mut arguments = Arguments::default();
    for parameter in positional {
        match words.pop_front() {
            Some(word) => take(command, parameter, word.text, &mut arguments, io)?,
            None if parameter.is_secret() => {
                let secret = ask_secret(command, parameter, io)?;
                arguments.values.push((parameter, secret));
            }
            None if matches!(parameter.kind, Kind::Lines { .. }) => {
                let lines = ask_lines(command, parameter, io)?;
                arguments.values.push((parameter, lines));
            }
            None if parameter.default.is_some() => {}
            None => return Err(Failure::missing(command, parameter)),
        }
    }
    while let Some(name) = words.pop_front() {
        let parameter = named(command, attributes, &name.text)?;
        // Guides paste `name = value`, and the question for a secret before its answer.
        if words.len() > 1 && words.front().is_some_and(|word| word.text == "=" && !word.quoted) {
            words.pop_front();
        }
        if parameter.is_secret() {
            skip_question(&mut words);
        }
        match words.pop_front() {
            Some(word) => take(command, parameter, word.text, &mut arguments, io)?,
            None if parameter.is_secret() => {
                let secret = ask_secret(command, parameter, io)?;
                arguments.values.push((parameter, secret));
            }
            None => {
                let failure = Failure::syntax(command, &format!("{} has no value", parameter.name));
                let hint = format!("to empty it: clear {}", parameter.name);
                return Err(failure.grammar(grammar_line(parameter)).hint(hint));
            }
        }
        if parameter.is_secret() {
            skip_repetition(&mut words);
        }
    }
    Ok(arguments)
}

/// The lines after the command, up to one with a single `.`. cli.md 2.1
fn ask_lines(command: &str, parameter: &Parameter, io: &mut dyn Console) -> Result<String, Failure> {
    let (mut text, mut count) = (String::new(), 0);
    loop {
        let Some(line) = io.next_line() else {
            return Err(Failure::syntax(command, &format!("{} has no end", parameter.name))
                .grammar(grammar_line(parameter))
                .hint("a line with a single . ends it"));
        };
        if line.trim_end() == "." {
            return Ok(text);
        }
        // What is too much is read to its end all the same: it must not be taken for commands.
        count += 1;
        if count <= MAX_LINES && text.len() <= MAX_TEXT {
            text.push_str(line.trim_end_matches('\r'));
            text.push('\n');
        }
        if count > MOST_READ {
            return Err(Failure::syntax(
                command,
                &format!("{} has no end after {MOST_READ} lines", parameter.name),
            ));
        }
    }
}

/// The attribute with this name.
pub(crate) fn named(
    command: &str,
    attributes: &[&'static Parameter],
    name: &str,
) -> Result<&'static Parameter, Failure> {
    let has = |given: &str| given.eq_ignore_ascii_case(name);
    let found = attributes.iter().find(|p| has(p.name) || p.aliases.iter().any(|alias| has(alias)));
    found.copied().ok_or_else(|| {
        if attributes.is_empty() {
            return Failure::syntax(command, &format!("'{name}' is one argument too many"))
                .hint(format!("help {command} shows what it takes"));
        }
        let failure = Failure::syntax(command, &format!("there is no attribute '{name}'"));
        match nearest(name, attributes.iter().map(|p| p.name)) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint(format!(
                "attributes: {}",
                attributes.iter().map(|p| p.name).collect::<Vec<_>>().join(", ")
            )),
        }
    })
}

fn take(
    command: &str,
    parameter: &'static Parameter,
    word: String,
    arguments: &mut Arguments,
    io: &mut dyn Console,
) -> Result<(), Failure> {
    if arguments.get(parameter).is_some() {
        return Err(Failure::syntax(command, &format!("{} is given twice", parameter.name)));
    }
    let value = match (parameter.kind, decoded(&word)) {
        // What no line can hold as it is; a secret is never anything but what was typed.
        (_, Some(text)) if !parameter.is_secret() => text,
        (Kind::File, _) => io.read_file(&word, MAX_FILE).map_err(|error| {
            Failure::refused(command, &format!("{}: cannot read {word}: {error}", parameter.name))
                .grammar(grammar_line(parameter))
        })?,
        (Kind::Path, _) => io.whole_path(&word).map_err(|error| {
            Failure::refused(command, &format!("{}: {word}: {error}", parameter.name))
                .grammar(grammar_line(parameter))
                .hint("name it by its whole path")
        })?,
        (Kind::Boolean | Kind::Choice(_), _) => whole_choice(parameter, word),
        _ => word,
    };
    arguments.secret_on_line |= parameter.is_secret();
    arguments.values.push((parameter, value));
    Ok(())
}

/// The whole word of a choice whose unambiguous beginning was typed.
fn whole_choice(parameter: &Parameter, word: String) -> String {
    let words = parameter.kind.words();
    let mut beginning = words.iter().filter(|candidate| !word.is_empty() && starts_with(candidate, &word));
    match (beginning.next(), beginning.next()) {
        (Some(one), None) => (*one).to_owned(),
        _ => word,
    }
}

fn is(word: Option<&Word>, text: &str) -> bool {
    word.is_some_and(|word| word.text.eq_ignore_ascii_case(text) && !word.quoted)
}

/// Drops a pasted `New Password:` before a secret.
fn skip_question(words: &mut VecDeque<Word>) {
    if is(words.front(), "New") && is(words.get(1), "Password:") {
        words.drain(..2);
    }
}

/// Drops a pasted `Re-type New Password: SECRET` behind a secret.
fn skip_repetition(words: &mut VecDeque<Word>) {
    if is(words.front(), "Re-type") && is(words.get(1), "New") && is(words.get(2), "Password:") {
        words.drain(..words.len().min(4));
    }
}

/// Asks for a secret: twice on a terminal, once otherwise.
fn ask_secret(command: &str, parameter: &Parameter, io: &mut dyn Console) -> Result<String, Failure> {
    if let Some(secret) = io.named_secret(parameter.name) {
        return Ok(secret);
    }
    let none = || {
        Failure::syntax(command, "Mandatory parameter missing").hint("a secret is read from the next line")
    };
    let secret = io.ask_secret("New Password: ").filter(|secret| !secret.is_empty()).ok_or_else(none)?;
    if io.interactive() {
        let again = io.ask_secret("Re-type New Password: ");
        if again.as_deref() != Some(secret.as_str()) {
            return Err(Failure::refused(command, "the two entries differ; nothing was changed"));
        }
    }
    Ok(secret)
}
