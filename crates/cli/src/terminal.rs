//! The terminal: a thin shell around a session.

use crate::console::Console;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;
/// Longest line: a certificate typed in one, with much to spare.
const MAX_LINE: usize = 1024 * 1024;

/// A line that was typed.
pub(crate) enum Typed {
    Line(String),
    /// Ctrl-C: the line is abandoned, the session is not.
    Abandoned,
    End,
}

/// Standard input and output.
pub(crate) struct Terminal {
    interactive: bool,
    broken: bool,
    secrets: Vec<(String, String)>,
}

impl Terminal {
    /// `secrets` are names of attributes and what to answer where they are asked for.
    pub(crate) fn new(secrets: Vec<(String, String)>) -> Self {
        Self { interactive: io::stdin().is_terminal(), broken: false, secrets }
    }

    /// Whether nobody reads the output any more.
    pub(crate) fn broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn write(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        self.broken |= out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }

    /// Reads the next line of the standard input after a prompt.
    pub(crate) fn read(&mut self, prompt: &str) -> Typed {
        // Before the prompt: whoever waits for it may type at once.
        let _mode = self.interactive.then(|| Mode::change(interrupt_ends_line)).flatten();
        self.write(prompt);
        let mut bytes = Vec::new();
        let mut input = io::stdin().lock();
        loop {
            let Ok(read) = input.fill_buf() else { return Typed::End };
            if read.is_empty() {
                if bytes.is_empty() {
                    return Typed::End;
                }
                break;
            }
            let ends = |byte: &u8| *byte == b'\n' || (self.interactive && *byte == INTERRUPT);
            let end = read.iter().position(ends);
            let count = end.map_or(read.len(), |end| end + 1);
            bytes.extend_from_slice(&read[..count]);
            input.consume(count);
            if end.is_some() {
                break;
            }
            if bytes.len() > MAX_LINE {
                return Typed::End;
            }
        }
        drop(input);
        if self.interactive && bytes.last() == Some(&INTERRUPT) {
            self.write("\n");
            return Typed::Abandoned;
        }
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        Typed::Line(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Lets Ctrl-C end the line in place of the process.
fn interrupt_ends_line(mode: &mut Termios) {
    mode.special_codes[SpecialCodeIndex::VINTR] = 0;
    mode.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
}

fn no_echo(mode: &mut Termios) {
    mode.local_modes.remove(LocalModes::ECHO);
    mode.local_modes.insert(LocalModes::ECHONL);
}

/// A changed mode of the terminal; the old one comes back when it is dropped.
struct Mode(Termios);

impl Mode {
    fn change(how: impl FnOnce(&mut Termios)) -> Option<Self> {
        let old = tcgetattr(io::stdin()).ok()?;
        let mut new = old.clone();
        how(&mut new);
        tcsetattr(io::stdin(), OptionalActions::Now, &new).ok()?;
        Some(Self(old))
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        // Nothing more can be done about a terminal that has gone.
        let _restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

impl Console for Terminal {
    fn print(&mut self, line: &str) {
        self.write(&format!("{line}\n"));
    }

    fn warn(&mut self, line: &str) {
        // A warning that nobody sees is no reason to stop.
        let _written = writeln!(io::stderr(), "{line}");
    }

    fn interactive(&self) -> bool {
        self.interactive
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        match self.read(question) {
            Typed::Line(line) => Some(line),
            Typed::Abandoned | Typed::End => None,
        }
    }

    fn ask_secret(&mut self, question: &str) -> Option<String> {
        if !self.interactive {
            return match self.read("") {
                Typed::Line(line) => Some(line),
                Typed::Abandoned | Typed::End => None,
            };
        }
        let _mode = Mode::change(no_echo)?;
        self.ask(question)
    }

    fn named_secret(&mut self, name: &str) -> Option<String> {
        self.secrets
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, secret)| secret.clone())
    }

    fn read_file(&mut self, path: &str, most: u64) -> io::Result<String> {
        read_text(path, most)
    }
}

/// A text file of at most so many bytes.
pub(crate) fn read_text(path: &str, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let read = file.take(most + 1).read_to_string(&mut text)?;
    if read as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most} bytes")));
    }
    Ok(text)
}
