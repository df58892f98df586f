//! What the engine needs of the world around it: lines out, answers and files in.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

/// The world around a session. The terminal is one, a test another.
pub trait Console {
    /// Prints a line of output.
    fn print(&mut self, line: &str);
    /// Prints a warning beside the output.
    fn warn(&mut self, line: &str);
    /// Whether somebody sits there who can be asked.
    fn interactive(&self) -> bool;
    /// Asks for a line; `None` at the end of the input.
    fn ask(&mut self, question: &str) -> Option<String>;
    /// The line after a command that takes several, from wherever the command came: a file, the arguments, the terminal.
    fn next_line(&mut self) -> Option<String> {
        self.ask("")
    }
    /// Asks for a line without showing what is typed; without a terminal it is the next line of the input.
    fn ask_secret(&mut self, question: &str) -> Option<String>;
    /// The secret that was given beforehand for an attribute of this name.
    fn named_secret(&mut self, name: &str) -> Option<String>;
    /// Writes a file of the operator, whole or not at all, for its owner's eyes only.
    ///
    /// # Errors
    /// It cannot be written.
    fn write_file(&mut self, path: &str, text: &str) -> io::Result<()> {
        let temporary = format!("{path}.{}.tmp", std::process::id());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        let placed = written.and_then(|()| std::fs::rename(&temporary, path));
        if placed.is_err() {
            // The failure itself is what counts.
            let _removed = std::fs::remove_file(&temporary);
        }
        placed
    }
    /// Opens a file of the operator to add to its end; a new one is for its owner's eyes only.
    ///
    /// # Errors
    /// It cannot be opened.
    fn append_file(&mut self, path: &str) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)
    }
    /// The path of a file in the operator's home; `None` where there is no home.
    fn home(&self, _file: &str) -> Option<String> {
        None
    }
    /// Lines that the terminal shows at once; 0 where there is none.
    fn rows(&self) -> usize {
        0
    }
    /// Waits; true once somebody pressed a key.
    fn wait(&mut self, time: Duration) -> bool {
        std::thread::sleep(time);
        false
    }
    /// The whole path of what the operator names from where they stand.
    ///
    /// # Errors
    /// There is no such place: their folder was deleted.
    fn whole_path(&self, path: &str) -> io::Result<String> {
        let whole = std::path::absolute(path)?;
        whole.into_os_string().into_string().map_err(|_| io::Error::other("its name is not text"))
    }
    /// Reads a file of the operator.
    ///
    /// # Errors
    /// It cannot be read, is longer than `most` bytes, or is not text.
    fn read_file(&mut self, path: &str, most: u64) -> io::Result<String>;
}
