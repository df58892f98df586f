//! `write`: commands and output into a file as well; and what of a line may be shown.

use crate::commands::{Command, General};
use crate::console::Console;
use crate::engine::{Output, Session};
use crate::failure::Failure;
use crate::resolve::Meaning;
use crate::words;
use openadp_settings::Context;
use serde_json::json;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

/// Most bytes that one `write` puts into its file.
const MAX_COPY: u64 = 256 * 1024 * 1024;
/// What stands for a secret.
const STARS: &str = "********";

/// A file that commands and output go to as well.
pub(crate) struct Copy {
    file: File,
    path: String,
    written: u64,
}

impl Copy {
    /// Adds a line; the failure that ends the copy.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.written += line.len() as u64 + 1;
        if self.written > MAX_COPY {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MAX_COPY} bytes")));
        }
        writeln!(self.file, "{line}")
    }
}

/// What a line makes of the file of the next.
#[derive(Default)]
pub(crate) enum NextCopy {
    /// Nothing.
    #[default]
    AsBefore,
    /// There is none.
    Off,
    /// Another.
    To(Copy),
}

impl NextCopy {
    pub(crate) fn after(self, before: Option<Copy>) -> Option<Copy> {
        match self {
            Self::AsBefore => before,
            Self::Off => None,
            Self::To(copy) => Some(copy),
        }
    }
}

/// A console whose output also goes to a file.
pub(crate) struct Copying<'a> {
    pub(crate) inner: &'a mut dyn Console,
    pub(crate) copy: Option<Copy>,
}

impl Copying<'_> {
    pub(crate) fn line(&mut self, line: &str) {
        let Some(copy) = &mut self.copy else { return };
        if let Err(error) = copy.line(line) {
            self.inner.warn(&format!("Warning: {} is not written any further: {error}", copy.path));
            self.copy = None;
        }
    }
}

impl Console for Copying<'_> {
    fn print(&mut self, line: &str) {
        self.inner.print(line);
        self.line(line);
    }
    fn warn(&mut self, line: &str) {
        self.inner.warn(line);
        self.line(line);
    }
    fn interactive(&self) -> bool {
        self.inner.interactive()
    }
    fn ask(&mut self, question: &str) -> Option<String> {
        let answer = self.inner.ask(question);
        self.line(&format!("{question}{}", answer.as_deref().unwrap_or_default()));
        answer
    }
    fn next_line(&mut self) -> Option<String> {
        let line = self.inner.next_line();
        self.line(line.as_deref().unwrap_or_default());
        line
    }
    fn ask_secret(&mut self, question: &str) -> Option<String> {
        self.line(question.trim_end());
        self.inner.ask_secret(question)
    }
    fn named_secret(&mut self, name: &str) -> Option<String> {
        self.inner.named_secret(name)
    }
    fn write_file(&mut self, path: &str, text: &str) -> io::Result<()> {
        self.inner.write_file(path, text)
    }
    fn append_file(&mut self, path: &str) -> io::Result<File> {
        self.inner.append_file(path)
    }
    fn read_file(&mut self, path: &str, most: u64) -> io::Result<String> {
        self.inner.read_file(path, most)
    }
    fn home(&self, file: &str) -> Option<String> {
        self.inner.home(file)
    }
    fn rows(&self) -> usize {
        self.inner.rows()
    }
    fn wait(&mut self, time: Duration) -> bool {
        self.inner.wait(time)
    }
}

impl Session {
    /// `write file`, `write off`.
    pub(crate) fn write(&mut self, word: Option<&str>, io: &mut dyn Console) -> Result<Output, Failure> {
        let path = word.ok_or_else(|| {
            Failure::syntax("write", "Mandatory parameter missing")
                .grammar("<file>, File".to_owned())
                .hint("write off ends it")
        })?;
        let json = json!({ "done": true, "command": "write", "file": path });
        if path.eq_ignore_ascii_case("off") {
            if !self.copied {
                return Err(Failure::refused("write", "nothing is written to a file"));
            }
            self.next_copy = NextCopy::Off;
            return Ok(Output::new(vec!["...Done".to_owned()], json));
        }
        let file = io
            .append_file(path)
            .map_err(|error| Failure::refused("write", &format!("cannot write {path}: {error}")))?;
        self.next_copy = NextCopy::To(Copy { file, path: path.to_owned(), written: 0 });
        Ok(Output::new(vec!["...Done [write off ends it]".to_owned()], json))
    }

    /// The line as it may be shown and kept: stars for what is, or may be, a secret.
    pub fn masked(&mut self, line: &str) -> String {
        let mut end = self.secret_by_name(line);
        if let Some(by_place) = self.secret_by_place(line) {
            end = Some(end.map_or(by_place, |end| end.min(by_place)));
        }
        match end.and_then(|end| line.get(..end)) {
            Some(before) => format!("{} {STARS}", before.trim_end()),
            None => line.to_owned(),
        }
    }

    /// Where the name of a secret ends that something follows.
    fn secret_by_name(&self, line: &str) -> Option<usize> {
        let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '=' | '"' | '\'' | '“' | '”');
        let mut start = 0;
        while start < line.len() {
            let rest = line.get(start..)?;
            let length = rest.find(ends).unwrap_or(rest.len());
            let word = rest.get(..length)?;
            let after = rest.get(length..)?;
            if self.is_secret(word) && after.chars().any(|c| !ends(c)) {
                return Some(start + length);
            }
            start += length + after.chars().next().map_or(1, char::len_utf8);
        }
        None
    }

    /// Where a command ends that takes a secret without its name.
    fn secret_by_place(&mut self, line: &str) -> Option<usize> {
        let home = self.at;
        let found = self.command_with_secret(line);
        self.at = home;
        let word = found?;
        line.rfind(&word).map(|at| at + word.len())
    }

    fn command_with_secret(&mut self, line: &str) -> Option<String> {
        let rest = match words::prompt(line) {
            None => line.to_owned(),
            Some(prompt) => {
                let (at, command) = self.enter(&prompt).ok()?;
                self.at = at;
                format!("{} {}", command.unwrap_or_default(), prompt.rest)
            }
        };
        for part in words::parts(&rest).ok()? {
            let mut words = part.into_iter().peekable();
            while let Some(word) = words.next() {
                // What an alias stands for may take a secret by its place.
                if self.aliases.has(&word.text) && words.peek().is_some() {
                    return Some(word.text);
                }
                if word.text.contains('/') {
                    self.at = self.typed_path(&word.text).ok()?.0;
                    continue;
                }
                match self.resolve(&word.text).ok()? {
                    Meaning::Level(at) => self.at = at,
                    Meaning::Root(tree) => self.at = crate::levels::Levels::root(tree),
                    Meaning::Command(context, command) => {
                        if takes_secret(context, command) && words.peek().is_some() {
                            return Some(word.text);
                        }
                        break;
                    }
                    Meaning::General(General::Cd) => {
                        let path = words.next()?;
                        self.at = self.typed_path(&path.text).ok()?.0;
                        break;
                    }
                    Meaning::General(_) => break,
                }
            }
        }
        None
    }
}

/// Whether a command takes a secret by its place on the line.
fn takes_secret(context: &'static Context, command: Command) -> bool {
    command.positional(context).iter().any(|parameter| parameter.is_secret())
}
