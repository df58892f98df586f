//! What the engine needs of the world around it: lines out, answers and files in.

use std::io;

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
    /// Asks for a line without showing what is typed; without a terminal it is the next line of the input.
    fn ask_secret(&mut self, question: &str) -> Option<String>;
    /// The secret that was given beforehand for an attribute of this name.
    fn named_secret(&mut self, name: &str) -> Option<String>;
    /// Reads a file of the operator.
    ///
    /// # Errors
    /// It cannot be read, is longer than `most` bytes, or is not text.
    fn read_file(&mut self, path: &str, most: u64) -> io::Result<String>;
}
