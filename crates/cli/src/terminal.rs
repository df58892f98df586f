//! The terminal: a thin shell around a session.
//!
//! A line is read by the terminal's own line discipline, or, where somebody types commands into a terminal that can move its
//! cursor, by [`Editor`]. Both send the same bytes to who only types.

use crate::console::Console;
use crate::engine::Session;
use crate::keys::{self, Key};
use crate::line::{Editor, MAX_LINE, Made};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;
/// How long nobody types before a hint appears. Scripts type whole lines, so they never see one.
const PENSIVE: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };

/// How often somebody who watches alarms is shown those that came.
const ALARMS: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

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
    editing: bool,
    broken: bool,
    secrets: Vec<(String, String)>,
    input: Input,
}

/// What was received and not used yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// How much of it is used.
    start: usize,
    /// How much of the rest the terminal has shown already.
    echoed: usize,
}

impl Input {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.rest().get(..count).unwrap_or_default().to_vec();
        self.start += taken.len();
        self.echoed = self.echoed.saturating_sub(taken.len());
        taken
    }

    /// Waits for more; false at the end.
    fn more(&mut self) -> bool {
        self.bytes.drain(..self.start);
        self.start = 0;
        let mut chunk = [0; 16 * 1024];
        let read = loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap_or(0),
            }
        };
        self.bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        read > 0
    }
}

impl Terminal {
    /// `secrets` are names of attributes and what to answer where they are asked for; `editing` says whether the terminal,
    /// if it is one, can move its cursor.
    pub(crate) fn new(secrets: Vec<(String, String)>, editing: bool) -> Self {
        let interactive = io::stdin().is_terminal();
        let editing = editing && interactive && io::stdout().is_terminal();
        Self { interactive, editing, broken: false, secrets, input: Input::default() }
    }

    /// Whether nobody reads the output any more.
    pub(crate) fn broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn write(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        self.broken |= out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }

    /// Reads the next command after its prompt.
    pub(crate) fn command(&mut self, prompt: &str, session: &mut Session) -> Typed {
        // What was typed ahead as whole lines has been shown already, and is taken as it is.
        let ahead = self.input.echoed > 0
            || (self.input.rest().is_empty()
                && rustix::io::ioctl_fionread(rustix::stdio::stdin()).is_ok_and(|count| count > 0));
        if !self.editing || ahead {
            return self.read(prompt, true, Some(session));
        }
        // Before the prompt: whoever waits for it may type at once.
        let Some(_mode) = Mode::change(every_key) else { return self.read(prompt, true, Some(session)) };
        self.write(prompt);
        self.edit(prompt, session)
    }

    fn edit(&mut self, prompt: &str, session: &mut Session) -> Typed {
        let history = session.typed();
        let mut editor = Editor::new(prompt, &history, columns());
        loop {
            let Some((key, count)) = keys::first(self.input.rest()) else {
                if editor.wants_hint() && self.input.rest().is_empty() && nobody_types() {
                    let before = editor.before();
                    if let Some(ghost) = session.complete(&before, false).ghost(&before) {
                        let mut out = String::new();
                        editor.hint(&ghost, &mut out);
                        self.write(&out);
                    }
                }
                let alarms = self.alarms_before_input(session);
                if !alarms.is_empty() {
                    let mut out = String::new();
                    editor.above(&alarms, &mut out);
                    self.write(&out);
                    continue;
                }
                if !self.input.more() {
                    return Typed::End;
                }
                editor.resize(columns());
                continue;
            };
            self.input.take(count);
            let mut out = String::new();
            // A key behind which more is waiting was not pressed but pasted.
            let pasted = key == Key::Tab && !self.input.rest().is_empty();
            let made = if pasted {
                editor.literal(' ', &mut out);
                Made::Nothing
            } else {
                editor.key(key, &mut out)
            };
            if made == Made::Complete {
                let completion = session.complete(&editor.before(), true);
                editor.complete(&completion, &mut out);
            }
            self.write(&out);
            match made {
                Made::Nothing | Made::Complete => {}
                Made::Line(line) => return Typed::Line(line),
                Made::Abandoned => return Typed::Abandoned,
                Made::End => return Typed::End,
            }
            if self.broken {
                return Typed::End;
            }
        }
    }

    /// Waits, for who watches alarms, until some came or something is typed; gives what to show.
    fn alarms_before_input(&self, session: &mut Session) -> Vec<String> {
        while session.shows_alarms() && self.input.rest().is_empty() && !self.broken {
            if typed_within(&ALARMS) {
                break;
            }
            let lines = session.alarms();
            if !lines.is_empty() {
                return lines;
            }
        }
        Vec::new()
    }

    /// Reads the next line of the standard input after a prompt; `shown` unless it is a secret.
    fn read(&mut self, prompt: &str, shown: bool, mut session: Option<&mut Session>) -> Typed {
        // Before the prompt: whoever waits for it may type at once.
        let _mode = self.interactive.then(|| Mode::change(interrupt_ends_line)).flatten();
        self.write(prompt);
        let mut searched = 0;
        let count = loop {
            let rest = self.input.rest();
            let ends = |byte: &u8| matches!(*byte, b'\n' | b'\r') || (self.interactive && *byte == INTERRUPT);
            let new = rest.get(searched..).unwrap_or_default();
            if let Some(end) =
                new.iter().position(|byte| if self.interactive { ends(byte) } else { *byte == b'\n' })
            {
                break searched + end + 1;
            }
            searched = rest.len();
            if searched > MAX_LINE {
                return Typed::End;
            }
            while let Some(session) = session.as_deref_mut() {
                let alarms = self.alarms_before_input(session);
                if alarms.is_empty() {
                    break;
                }
                let begin = if prompt.is_empty() { "" } else { "\n" };
                self.write(&format!("{begin}{}\n{prompt}", alarms.join("\n")));
            }
            if !self.input.more() {
                if searched == 0 {
                    return Typed::End;
                }
                break searched;
            }
            if self.interactive {
                self.input.echoed = self.input.rest().len();
            }
        };
        let unseen = self.interactive && self.input.echoed < count;
        let mut bytes = self.input.take(count);
        let interrupted = self.interactive && bytes.last() == Some(&INTERRUPT);
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r' | &INTERRUPT)) {
            bytes.pop();
        }
        let line = String::from_utf8_lossy(&bytes).into_owned();
        if unseen {
            // It came while keys were read one by one, and the terminal has not shown it.
            let visible: String = line.chars().filter(|character| shown && !character.is_control()).collect();
            self.write(&visible);
            self.write(if interrupted { "^C" } else { "\n" });
        }
        if interrupted {
            self.write("\n");
            return Typed::Abandoned;
        }
        Typed::Line(line)
    }
}

fn columns() -> usize {
    tcgetwinsize(rustix::stdio::stdout()).map_or(0, |size| size.ws_col.into())
}

/// Whether nothing is typed for a while.
fn nobody_types() -> bool {
    !typed_within(&PENSIVE)
}

/// Whether something is typed, or the input ends, within a time.
fn typed_within(time: &Timespec) -> bool {
    let stdin = rustix::stdio::stdin();
    !matches!(
        poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(time)),
        Ok(0) | Err(rustix::io::Errno::INTR)
    )
}

/// Lets Ctrl-C end the line in place of the process.
fn interrupt_ends_line(mode: &mut Termios) {
    mode.special_codes[SpecialCodeIndex::VINTR] = 0;
    mode.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
}

/// Gives every key as it is pressed, unseen; return still counts as the end of a line, and output stays as it is.
fn every_key(mode: &mut Termios) {
    mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
    mode.input_modes.insert(InputModes::ICRNL);
    mode.special_codes[SpecialCodeIndex::VINTR] = 0;
    mode.special_codes[SpecialCodeIndex::VQUIT] = 0;
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
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
        match self.read(question, true, None) {
            Typed::Line(line) => Some(line),
            Typed::Abandoned | Typed::End => None,
        }
    }

    fn ask_secret(&mut self, question: &str) -> Option<String> {
        let _mode = if self.interactive { Some(Mode::change(no_echo)?) } else { None };
        match self.read(if self.interactive { question } else { "" }, false, None) {
            Typed::Line(line) => Some(line),
            Typed::Abandoned | Typed::End => None,
        }
    }

    fn named_secret(&mut self, name: &str) -> Option<String> {
        self.secrets
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, secret)| secret.clone())
    }

    fn read_file(&mut self, path: &str, most: u64) -> io::Result<String> {
        // Keys and certificates also come in files that are no texts.
        read_bytes(path, most).map(openadp_tls::text_of)
    }
}

/// A text file of at most so many bytes.
pub(crate) fn read_text(path: &str, most: u64) -> io::Result<String> {
    String::from_utf8(read_bytes(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

/// A file of at most so many bytes.
fn read_bytes(path: &str, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let read = file.take(most + 1).read_to_end(&mut bytes)?;
    if read as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most} bytes")));
    }
    Ok(bytes)
}
