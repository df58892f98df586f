//! The tree as a file of commands, and back.

use crate::commands::Command;
use crate::console::Console;
use crate::engine::{MAX_COMMAND_FILE, Output, Session};
use crate::failure::Failure;
use crate::levels::Levels;
use crate::transaction::{OpenChange, edits};
use crate::words;
use openadp_settings::{Context, Edit, Shape};
use serde_json::json;

/// Most lines that are told about before the rest of a file is only counted.
const MAX_TOLD: usize = 100;

impl Session {
    /// `export [level] [file] [-s]`.
    pub(crate) fn export(&mut self, words: &[String], io: &mut dyn Console) -> Result<Output, Failure> {
        let seal = words.iter().any(|word| word == "-s");
        let mut words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "-s").collect();
        // A name that is no level is a file.
        let level = words.first().and_then(|word| match *word {
            "." => Some(self.at),
            word if words.len() > 1 || !word.starts_with(['/', '.', '~']) => {
                self.typed_path(word).ok().filter(|(_, command)| command.is_none()).map(|(at, _)| at)
            }
            _ => None,
        });
        if level.is_some() {
            words.remove(0);
        } else if words.len() > 1 {
            return Err(Failure::syntax("export", &format!("there is no level '{}'", words[0]))
                .hint("export level file"));
        }
        let below = level.map(|level| self.levels.path(level));
        let inside = |context: &&'static Context| {
            let path = context.full_path();
            below.as_deref().is_none_or(|below| {
                path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let contexts: Vec<&'static Context> = self.registry.contexts().filter(inside).collect();
        let lines = self
            .backend
            .export(&contexts, below.as_deref(), seal)
            .map_err(|error| Failure::of("export", None, error))?;
        let Some(file) = words.first() else { return Ok(Output::lines(lines)) };
        let mut text = lines.join("\n");
        text.push('\n');
        io.write_file(file, &text)
            .map_err(|error| Failure::refused("export", &format!("cannot write {file}: {error}")))?;
        let settings = lines.iter().filter(|line| !line.starts_with('#')).count();
        let json = json!({ "done": true, "command": "export", "file": file, "lines": settings });
        let counted = if settings == 1 { "line" } else { "lines" };
        Ok(Output::new(vec![format!("...Done [{settings} {counted} in {file}]")], json))
    }

    /// `import file [check]`.
    pub(crate) fn import(&mut self, words: &[String], io: &mut dyn Console) -> Result<Output, Failure> {
        let (file, check) = match words {
            [file] => (file, false),
            [file, word] if word.eq_ignore_ascii_case("check") => (file, true),
            [_, word] => return Err(Failure::syntax("import", &format!("'{word}' is not check"))),
            _ => {
                return Err(Failure::syntax("import", "Mandatory parameter missing")
                    .grammar("<file>, File".to_owned()));
            }
        };
        let text = io
            .read_file(file, MAX_COMMAND_FILE)
            .map_err(|error| Failure::refused("import", &format!("cannot read {file}: {error}")))?;
        let (mut given, mut failures, mut told) = (Vec::new(), Vec::new(), 0);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match self.imported(line, io) {
                Ok(edit) => given.push(edit),
                Err(failure) if failures.len() < MAX_TOLD => failures.push((number + 1, failure)),
                Err(_) => told += 1,
            }
        }
        if told > 0 {
            io.warn(&format!("Remark: {told} more lines of {file} are wrong."));
        }
        if let Some(failure) = Failure::joined("import", failures) {
            return Err(failure);
        }
        // Within an open change it is a part of it; otherwise it is a change of its own.
        if let Some(open) = &mut self.open {
            let count = given.len();
            open.edits.extend(given);
            let json = json!({ "done": true, "command": "import", "open": open.edits.len() });
            let lines = vec![format!("...Done [{} more in the open change]", edits(count))];
            return Ok(Output::new(lines, json));
        }
        self.open = Some(OpenChange { edits: given, whole: Some("import"), ..OpenChange::default() });
        let words = if check { vec!["check".to_owned()] } else { Vec::new() };
        let words: Vec<String> =
            words.into_iter().chain(["comment".to_owned(), format!("import of {file}")]).collect();
        let output = self.commit_open(&words, io);
        self.open = None;
        output
    }

    /// The edit of a line of an export: `CONTEXT> add`, `set`, `delete`, `clear` or `reset`, also where the context does not
    /// offer the command by hand.
    fn imported(&mut self, line: &str, io: &mut dyn Console) -> Result<(&'static Context, Edit), Failure> {
        let wrong = |what: &str| {
            Failure::syntax("import", what)
                .hint("a line is CONTEXT> add, set, delete, clear or reset, as export writes it")
        };
        let prompt = words::prompt(line).ok_or_else(|| wrong("it names no context"))?;
        let tree = prompt.root.tree(self.levels.get(self.at).tree);
        let at = match self.path(Levels::root(tree), &prompt.path)? {
            (at, None) => at,
            (_, Some(command)) => return Err(wrong(&format!("there is no level '{command}'"))),
        };
        let parts = words::parts(prompt.rest).map_err(|_| wrong("a quotation mark is not closed"))?;
        let [part] = parts.as_slice() else { return Err(wrong("it is not one command")) };
        let context = self.levels.get(at).context.filter(|context| context.shape != Shape::Actions);
        let context = context.ok_or_else(|| wrong("nothing is set at this level"))?;
        let (name, words) = part.split_first().ok_or_else(|| wrong("it is not one command"))?;
        let command = match name.text.to_ascii_lowercase().as_str() {
            "add" => Command::Add,
            "clear" => Command::Clear,
            "delete" => Command::Delete,
            "set" => Command::Set,
            "reset" if words.is_empty() => {
                return Ok((context, Edit::Reset { context: context.full_path() }));
            }
            _ => return Err(wrong("the command changes no settings")),
        };
        Ok((context, self.edit(context, command, words.to_vec(), io)?))
    }
}
