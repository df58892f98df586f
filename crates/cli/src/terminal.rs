//! The terminal: a thin shell around a session.
//!
//! A line is read by the terminal's own line discipline, or, where somebody types commands into a terminal that can move its
//! cursor, by [`Editor`]. Both send the same bytes to who only types. With the editor the terminal gives every key unseen from
//! the beginning to the end of the session, so that what is typed ahead is shown once, behind the prompt that it is for; only
//! questions are left to the line discipline. Whatever ends the session puts the terminal back as it was.

use crate::console::Console;
use crate::engine::Session;
use crate::keys::{self, Key};
use crate::line::{Editor, MAX_LINE, Made};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;
/// How long nobody types before a hint appears. Scripts type whole lines, so they never see one.
const PENSIVE: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };

/// How often somebody who watches alarms is shown those that came.
const ALARMS: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Longest wait until signals are listened to.
const SIGNALS: Duration = Duration::from_secs(2);
/// Bytes that are shown at the latest.
const MAX_UNSHOWN: usize = 16 * 1024;

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
    /// How the terminal was before keys were read one by one; none where lines are read.
    own: Option<Termios>,
    /// Puts it back.
    mode: Option<Mode>,
    home: Option<PathBuf>,
    broken: bool,
    secrets: Vec<(String, String)>,
    /// Lines that were there beforehand and were not run yet; none where lines come from the input.
    pub(crate) following: Option<VecDeque<String>>,
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
    /// `secrets` are names of attributes and what to answer where they are asked for; `home` is where the operator's own
    /// files are.
    pub(crate) fn new(secrets: Vec<(String, String)>, home: Option<PathBuf>) -> Self {
        let interactive = io::stdin().is_terminal();
        let input = Input::default();
        Self { interactive, own: None, mode: None, home, broken: false, secrets, following: None, input }
    }

    /// A conversation begins; `editing` says whether the terminal can move its cursor.
    pub(crate) fn begin(&mut self, editing: bool) {
        if !self.interactive {
            return;
        }
        let own = tcgetattr(io::stdin()).ok();
        if let Some(own) = own.clone() {
            restore_on_signals(own);
        }
        if editing && io::stdout().is_terminal() {
            self.mode = Mode::change(every_key);
            self.own = own.filter(|_| self.mode.is_some());
        }
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
        // What was typed behind the answer to a question has been shown already, and is taken as it is.
        if self.own.is_none() || self.input.echoed > 0 {
            return self.read(prompt, true, Some(session));
        }
        self.write(prompt);
        self.edit(prompt, session)
    }

    fn edit(&mut self, prompt: &str, session: &mut Session) -> Typed {
        let history = session.typed();
        let mut editor = Editor::new(prompt, &history, columns());
        let mut out = String::new();
        loop {
            let Some((key, count)) = keys::first(self.input.rest()) else {
                self.write(&std::mem::take(&mut out));
                if editor.wants_hint() && self.input.rest().is_empty() && nobody_types() {
                    let before = editor.before();
                    if let Some(ghost) = session.complete(&before, false).ghost(&before) {
                        editor.hint(&ghost, &mut out);
                        self.write(&std::mem::take(&mut out));
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
            // What is pasted is shown in one go.
            if !matches!(made, Made::Nothing) || out.len() > MAX_UNSHOWN {
                self.write(&std::mem::take(&mut out));
            }
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

    /// Whether a whole line was received.
    fn has_line(&self) -> bool {
        self.input.rest().iter().any(|byte| matches!(*byte, b'\n' | b'\r' | INTERRUPT))
    }

    /// Reads the next line of the standard input after a prompt; `shown` unless it is a secret.
    fn read(&mut self, prompt: &str, shown: bool, mut session: Option<&mut Session>) -> Typed {
        // Before the prompt: whoever waits for it may type at once.
        let own = self.own.clone();
        let _mode = self.interactive.then(|| Mode::change(|mode| question(mode, own, shown))).flatten();
        self.write(prompt);
        // The beginning of a line that was typed while nothing was shown.
        if self.interactive && self.input.echoed < self.input.rest().len() && !self.has_line() {
            let begun = String::from_utf8_lossy(self.input.rest()).into_owned();
            let visible: String = begun.chars().filter(|c| shown && !c.is_control()).collect();
            self.write(&visible);
            self.input.echoed = self.input.rest().len();
        }
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

/// Puts the terminal back as it was when a signal ends the process. Ctrl-C ends a line, and never the process.
fn restore_on_signals(own: Termios) {
    let (ready, wait) = std::sync::mpsc::sync_channel(1);
    // Without this thread a signal ends the process as it would have; there is nobody to tell.
    let _thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        let ended = runtime.block_on(async {
            let (mut terminate, mut hangup) =
                (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
            let (mut quit, mut interrupt) = (signal(SignalKind::quit())?, signal(SignalKind::interrupt())?);
            // Whoever waits has given up by then, or goes on now.
            let _told = ready.send(());
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok::<u8, io::Error>(15),
                    _ = hangup.recv() => return Ok(1),
                    _ = quit.recv() => return Ok(3),
                    _ = interrupt.recv() => {}
                }
            }
        });
        if let Ok(number) = ended {
            // Nothing more can be done about a terminal that has gone.
            let _restored = tcsetattr(io::stdin(), OptionalActions::Now, &own);
            std::process::exit(128 + i32::from(number));
        }
    });
    // Before the terminal is changed; a thread that cannot listen drops its end.
    let _ready = wait.recv_timeout(SIGNALS);
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

/// How a question is asked: a line, shown or not, that Ctrl-C ends.
fn question(mode: &mut Termios, own: Option<Termios>, shown: bool) {
    if let Some(own) = own {
        *mode = own;
        interrupt_ends_line(mode);
        if !shown {
            no_echo(mode);
        }
        return;
    }
    interrupt_ends_line(mode);
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
    // A shell would not know how to bring the terminal back.
    mode.special_codes[SpecialCodeIndex::VSUSP] = 0;
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

    fn next_line(&mut self) -> Option<String> {
        match &mut self.following {
            Some(lines) => lines.pop_front(),
            None => self.ask(""),
        }
    }

    fn ask_secret(&mut self, question: &str) -> Option<String> {
        // Within the editor's mode the question itself sets how it is asked.
        let _mode = if self.interactive && self.own.is_none() { Some(Mode::change(no_echo)?) } else { None };
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

    fn home(&self, file: &str) -> Option<String> {
        let path = self.home.as_ref().filter(|home| home.is_absolute())?.join(file);
        // Whoever runs this as root, in the home of somebody else, runs nothing that the other wrote.
        let own = |file: &std::fs::Metadata| {
            file.uid() == rustix::process::geteuid().as_raw() && file.mode() & 0o022 == 0
        };
        let fits = std::fs::metadata(&path)
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |file| own(&file));
        fits.then(|| path.to_string_lossy().into_owned())
    }

    fn rows(&self) -> usize {
        tcgetwinsize(rustix::stdio::stdout()).map_or(0, |size| size.ws_row.into())
    }

    fn wait(&mut self, time: Duration) -> bool {
        if self.broken {
            return true;
        }
        if !self.interactive {
            std::thread::sleep(time);
            return false;
        }
        // Any key, and unseen.
        let _mode = if self.own.is_none() { Mode::change(every_key) } else { None };
        if !self.input.rest().is_empty() {
            return true;
        }
        let patience = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let stdin = rustix::stdio::stdin();
        let pressed = !matches!(poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&patience)), Ok(0));
        if pressed {
            self.input.more();
            // One key ends it; what follows is typed ahead.
            self.input.take(1);
        }
        pressed
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
