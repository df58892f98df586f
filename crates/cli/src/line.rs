//! A line in the making: keys in, what the terminal has to be sent out. It does no input or output of its own.
//!
//! Whoever only types, corrects the end of the line and presses return sees the bytes that the terminal's own line
//! discipline would send, and no others: scripts that wait for prompts cannot tell the difference.

use crate::complete::Completion;
use crate::keys::Key;
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Longest line: a certificate typed in one, with much to spare.
pub(crate) const MAX_LINE: usize = 1024 * 1024;
/// Candidates that are listed at once.
const MAX_LISTED: usize = 100;

/// What a key led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// The line goes on.
    Nothing,
    /// The line is ready.
    Line(String),
    /// Ctrl-C: the line is abandoned, the session is not.
    Abandoned,
    /// Ctrl-D on an empty line.
    End,
    /// The operator wants to know how it may go on.
    Complete,
}

/// A line in the making.
pub(crate) struct Editor<'a> {
    prompt: &'a str,
    history: &'a [String],
    /// Columns of the terminal; 0 where it does not say.
    columns: usize,
    text: Vec<char>,
    cursor: usize,
    /// The row in which the cursor is, counted from the prompt's.
    row: usize,
    /// Which line of the history is shown; its length means the own one.
    at: usize,
    /// The own line while one of the history is shown.
    draft: Vec<char>,
    /// Whether a hint stands behind the cursor.
    hinted: bool,
}

impl<'a> Editor<'a> {
    /// An empty line behind a prompt that was printed.
    pub(crate) fn new(prompt: &'a str, history: &'a [String], columns: usize) -> Self {
        let at = history.len();
        let (text, draft) = (Vec::new(), Vec::new());
        Self { prompt, history, columns, text, cursor: 0, row: 0, at, draft, hinted: false }
    }

    /// The terminal has another width now.
    pub(crate) fn resize(&mut self, columns: usize) {
        self.columns = columns;
    }

    /// The text before the cursor.
    pub(crate) fn before(&self) -> String {
        self.text.iter().take(self.cursor).collect()
    }

    /// Whether a hint would help: something was typed, and the cursor is at its end.
    pub(crate) fn wants_hint(&self) -> bool {
        !self.hinted && !self.text.is_empty() && self.cursor == self.text.len()
    }

    /// Takes a key; what to send to the terminal is added to `out`.
    pub(crate) fn key(&mut self, key: Key, out: &mut String) -> Made {
        if std::mem::take(&mut self.hinted) {
            out.push_str("\x1b[K");
        }
        match key {
            Key::Enter => {
                self.go(self.text.len(), out);
                out.push('\n');
                return Made::Line(self.text.iter().collect());
            }
            Key::Interrupt => {
                self.go(self.text.len(), out);
                out.push_str("^C\n");
                return Made::Abandoned;
            }
            Key::Delete if self.text.is_empty() => return Made::End,
            Key::Tab => return Made::Complete,
            Key::Character(character) => self.insert(&[character], out),
            Key::EraseBack => self.erase(self.cursor.saturating_sub(1), out),
            Key::EraseToBegin => self.erase(0, out),
            Key::EraseWord => self.erase(self.word_left(), out),
            Key::Delete | Key::DeleteOnly => {
                if self.cursor < self.text.len() {
                    self.text.remove(self.cursor);
                    self.draw(out);
                }
            }
            Key::EraseToEnd => {
                if self.cursor < self.text.len() {
                    self.text.truncate(self.cursor);
                    self.draw(out);
                }
            }
            Key::Begin => self.go(0, out),
            Key::End => self.go(self.text.len(), out),
            Key::Left => self.go(self.cursor.saturating_sub(1), out),
            Key::Right => self.go(self.text.len().min(self.cursor + 1), out),
            Key::WordLeft => self.go(self.word_left(), out),
            Key::WordRight => self.go(self.word_right(), out),
            Key::Older => self.show(self.at.checked_sub(1), out),
            Key::Newer => self.show((self.at < self.history.len()).then_some(self.at + 1), out),
            Key::Search => self.search(out),
            Key::Redraw => {
                out.push_str("\x1b[H\x1b[2J");
                self.row = 0;
                self.draw(out);
            }
            Key::None => {}
        }
        Made::Nothing
    }

    /// Takes a pasted character that has a meaning as a key.
    pub(crate) fn literal(&mut self, character: char, out: &mut String) {
        self.insert(&[character], out);
    }

    /// Shows in grey how the line may go on, behind the cursor and as far as the row goes.
    pub(crate) fn hint(&mut self, hint: &str, out: &mut String) {
        let used = self.column(self.text.len());
        let room = if self.columns == 0 { 0 } else { (self.columns - used).saturating_sub(1) };
        let mut width = 0;
        let fits = |character: &char| {
            width += character.width().unwrap_or(0);
            width <= room
        };
        let shown: String = hint.chars().take_while(fits).collect();
        if !shown.is_empty() {
            let back = shown.width();
            // Writing to a String cannot fail.
            let _written = write!(out, "\x1b[2m{shown}\x1b[0m\x1b[{back}D");
            self.hinted = true;
        }
    }

    /// Puts in what all candidates have in common, or lists them.
    pub(crate) fn complete(&mut self, completion: &Completion, out: &mut String) {
        let before = self.before();
        let typed = before.get(completion.start..).unwrap_or_default().to_owned();
        let common = completion.common();
        if common.chars().count() > typed.chars().count() || completion.candidates.len() == 1 {
            let start = before.get(..completion.start).map_or(0, |kept| kept.chars().count());
            let last = completion.candidates.len() == 1 && !common.ends_with('/');
            let mut word: Vec<char> = common.chars().collect();
            if last && self.text.get(self.cursor) != Some(&' ') {
                word.push(' ');
            }
            // What is typed already stays where it is, so that only the rest has to be drawn.
            if typed.chars().eq(word.iter().take(typed.chars().count()).copied()) {
                let rest = word.split_off(typed.chars().count());
                self.insert(&rest, out);
            } else {
                self.text.splice(start..self.cursor, word.iter().copied());
                self.cursor = start + word.len();
                self.draw(out);
            }
            return;
        }
        let list = completion.list(if self.columns == 0 { 80 } else { self.columns }, MAX_LISTED);
        if list.is_empty() {
            return;
        }
        let at = self.cursor;
        self.go(self.text.len(), out);
        out.push('\n');
        for line in list {
            out.push_str(&line);
            out.push('\n');
        }
        self.row = 0;
        self.cursor = at;
        self.draw(out);
    }

    fn insert(&mut self, characters: &[char], out: &mut String) {
        if self.text.len() + characters.len() > MAX_LINE {
            return;
        }
        let at_end = self.cursor == self.text.len();
        self.text.splice(self.cursor..self.cursor, characters.iter().copied());
        self.cursor += characters.len();
        if at_end {
            out.extend(characters);
            self.row = self.written_row();
        } else {
            self.draw(out);
        }
    }

    /// Erases from here to the cursor.
    fn erase(&mut self, from: usize, out: &mut String) {
        if from >= self.cursor {
            return;
        }
        let at_end = self.cursor == self.text.len();
        let wide = self.prompt.width() + self.width(self.text.len());
        let same_row = self.columns == 0 || wide < self.columns;
        let gone: Vec<char> = self.text.drain(from..self.cursor).collect();
        self.cursor = from;
        if at_end && same_row && gone.iter().all(|character| character.width() == Some(1)) {
            for _ in gone {
                out.push_str("\u{8} \u{8}");
            }
        } else {
            self.draw(out);
        }
    }

    fn word_left(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let word = before.iter().rposition(|c| !c.is_whitespace()).unwrap_or(0);
        before
            .get(..word)
            .and_then(|before| before.iter().rposition(|c| c.is_whitespace()))
            .map_or(0, |at| at + 1)
    }

    fn word_right(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let word = after.iter().position(|c| !c.is_whitespace()).unwrap_or(after.len());
        let end = after.iter().skip(word).position(|c| c.is_whitespace());
        self.cursor + end.map_or(after.len(), |end| word + end)
    }

    /// Shows a line of the history, or the own one behind its end.
    fn show(&mut self, at: Option<usize>, out: &mut String) {
        let Some(at) = at else { return };
        if self.at == self.history.len() {
            self.draft.clone_from(&self.text);
        }
        self.at = at;
        self.text = self.history.get(at).map_or_else(|| self.draft.clone(), |line| line.chars().collect());
        self.cursor = self.text.len();
        self.draw(out);
    }

    fn search(&mut self, out: &mut String) {
        let own = if self.at == self.history.len() { &self.text } else { &self.draft };
        let wanted: String = own.iter().collect();
        let earlier = self.history.get(..self.at).unwrap_or_default();
        let found = earlier.iter().rposition(|line| line.contains(&wanted));
        self.show(found, out);
    }

    /// Columns of the first characters.
    fn width(&self, characters: usize) -> usize {
        self.text.iter().take(characters).map(|character| character.width().unwrap_or(0)).sum()
    }

    /// The column in which a character of the text stands.
    fn column(&self, character: usize) -> usize {
        let wide = self.prompt.width() + self.width(character);
        if self.columns == 0 { wide } else { wide % self.columns }
    }

    fn row_of(&self, character: usize) -> usize {
        (self.prompt.width() + self.width(character)).checked_div(self.columns).unwrap_or(0)
    }

    /// The row in which the terminal leaves its cursor behind the text: it goes on to the next only with what comes then.
    fn written_row(&self) -> usize {
        let wide = self.prompt.width() + self.width(self.text.len());
        wide.saturating_sub(1).checked_div(self.columns).unwrap_or(0)
    }

    /// Moves the cursor.
    fn go(&mut self, to: usize, out: &mut String) {
        if to != self.cursor {
            self.cursor = to;
            self.draw(out);
        }
    }

    /// Erases everything from the prompt on.
    fn home(&self, out: &mut String) {
        if self.row > 0 {
            let _written = write!(out, "\x1b[{}A", self.row);
        }
        out.push_str("\r\x1b[J");
    }

    /// Prints lines above the prompt, which is drawn anew below them.
    pub(crate) fn above(&mut self, lines: &[String], out: &mut String) {
        self.home(out);
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
        self.row = 0;
        self.draw(out);
    }

    /// Draws prompt and text anew and puts the cursor into its place.
    fn draw(&mut self, out: &mut String) {
        self.home(out);
        out.push_str(self.prompt);
        out.extend(&self.text);
        let end = self.text.len();
        self.row = self.written_row();
        if self.cursor == end {
            return;
        }
        let up = self.row - self.row_of(self.cursor).min(self.row);
        if up > 0 {
            let _written = write!(out, "\x1b[{up}A");
        }
        out.push('\r');
        let column = self.column(self.cursor);
        if column > 0 {
            let _written = write!(out, "\x1b[{column}C");
        }
        self.row -= up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complete::Candidate;
    use crate::keys;
    use proptest::prelude::*;

    /// Types bytes; gives what was sent and what the last key led to.
    fn typed(editor: &mut Editor<'_>, bytes: &str) -> (String, Made) {
        let (mut out, mut made) = (String::new(), Made::Nothing);
        let mut rest = bytes.as_bytes();
        while let Some((key, count)) = keys::first(rest) {
            made = editor.key(key, &mut out);
            rest = &rest[count..];
        }
        (out, made)
    }

    fn line(history: &[String], bytes: &str) -> Made {
        typed(&mut Editor::new("> ", history, 80), bytes).1
    }

    fn ready(text: &str) -> Made {
        Made::Line(text.to_owned())
    }

    #[test]
    fn who_only_types_gets_what_the_line_discipline_sends() {
        let mut editor = Editor::new("ADP_CLI> ", &[], 80);
        assert_eq!(
            typed(&mut editor, "sys;sex\x7fc\r"),
            ("sys;sex\u{8} \u{8}c\n".to_owned(), ready("sys;sec"))
        );
        let mut editor = Editor::new("ADP_CLI> ", &[], 80);
        assert_eq!(typed(&mut editor, "ab\u{3}"), ("ab^C\n".to_owned(), Made::Abandoned));
        let mut editor = Editor::new("ADP_CLI> ", &[], 0);
        assert_eq!(
            typed(&mut editor, "get x\x17\x15h\r").0,
            "get x\u{8} \u{8}\u{8} \u{8}\u{8} \u{8}\u{8} \u{8}\u{8} \u{8}h\n"
        );
        // Over the end of the row as well.
        let long = "x".repeat(200);
        let mut editor = Editor::new("ADP_CLI> ", &[], 80);
        assert_eq!(typed(&mut editor, &format!("{long}\r")), (format!("{long}\n"), ready(&long)));
    }

    #[test]
    fn the_line_is_edited_everywhere() {
        assert_eq!(line(&[], "bc\x01a\r"), ready("abc"));
        assert_eq!(line(&[], "abd\x1b[Dc\x05e\r"), ready("abcde"));
        assert_eq!(line(&[], "one two three\x1bb\x1bb\x17\r"), ready("two three"));
        assert_eq!(line(&[], "one two\x1b[1;5D\x0bx\r"), ready("one x"));
        assert_eq!(line(&[], "abc\x1b[H\x1b[3~\x04\r"), ready("c"));
        assert_eq!(line(&[], "abc\x1b[H\x1b[1;5C!\r"), ready("abc!"));
        assert_eq!(line(&[], "\x04"), Made::End);
        assert_eq!(line(&[], "\x7f\x7f\x1b[D\x1b[C\x0b\x15\x17\x1bd\r"), ready("d"));
    }

    #[test]
    fn the_history_is_walked_and_searched() {
        let history = ["get".to_owned(), "set a 1".to_owned(), "help".to_owned()];
        assert_eq!(line(&history, "\x1b[A\r"), ready("help"));
        assert_eq!(line(&history, "own\x1b[A\x1b[A\x1b[B\x1b[B!\r"), ready("own!"));
        assert_eq!(line(&history, "\x10\x10\x10\x10\x10\r"), ready("get"));
        assert_eq!(line(&history, "et\x12\r"), ready("set a 1"));
        assert_eq!(line(&history, "et\x12\x12\x12\r"), ready("get"));
        assert_eq!(line(&history, "nowhere\x12\r"), ready("nowhere"));
    }

    fn completion(start: usize, candidates: &[&str]) -> Completion {
        let candidates = candidates.iter().map(|text| Candidate::new(*text, "")).collect();
        Completion { start, candidates, hint: None }
    }

    #[test]
    fn tab_completes_and_lists() {
        let mut editor = Editor::new("> ", &[], 80);
        let mut out = String::new();
        assert_eq!(typed(&mut editor, "sys\t").1, Made::Complete);
        editor.complete(&completion(0, &["System"]), &mut out);
        assert_eq!(editor.before(), "System ");
        out.clear();
        typed(&mut editor, "set con");
        editor.complete(&completion(11, &["connectionPoolSize", "connectionTimeout"]), &mut out);
        assert_eq!((editor.before().as_str(), out.as_str()), ("System set connection", "nection"));
        out.clear();
        editor.complete(&completion(11, &["connectionPoolSize", "connectionTimeout"]), &mut out);
        assert_eq!(out, "\n  connectionPoolSize  connectionTimeout\n\r\x1b[J> System set connection");
        // In the middle of a line the rest stays.
        let mut editor = Editor::new("> ", &[], 80);
        typed(&mut editor, "g x\x01\x1b[C");
        editor.complete(&completion(0, &["get"]), &mut out);
        assert_eq!(typed(&mut editor, "\r").1, ready("get x"));
    }

    #[test]
    fn a_hint_stands_behind_the_cursor_and_goes_with_the_next_key() {
        let mut editor = Editor::new("> ", &[], 10);
        typed(&mut editor, "ge");
        let mut out = String::new();
        editor.hint("t and much more", &mut out);
        assert_eq!(out, "\x1b[2mt and\x1b[0m\x1b[5D");
        assert_eq!(typed(&mut editor, "t\r"), ("\x1b[Kt\n".to_owned(), ready("get")));
    }

    /// A terminal that knows the sequences that are sent here, and nothing else.
    struct Model {
        columns: usize,
        cells: Vec<Vec<char>>,
        row: usize,
        column: usize,
    }

    impl Model {
        fn send(&mut self, text: &str) {
            let mut letters = text.chars();
            while let Some(letter) = letters.next() {
                match letter {
                    '\r' => self.column = 0,
                    '\u{8}' => self.column = self.column.min(self.columns - 1).saturating_sub(1),
                    '\x1b' => {
                        assert_eq!(letters.next(), Some('['));
                        let mut number = String::new();
                        let last = loop {
                            match letters.next().expect("a whole sequence") {
                                digit if digit.is_ascii_digit() => number.push(digit),
                                other => break other,
                            }
                        };
                        let count = number.parse().unwrap_or(0);
                        match last {
                            'A' => self.row -= count,
                            'C' => self.column += count,
                            'J' => {
                                self.cells.truncate(self.row + 1);
                                self.cells[self.row].truncate(self.column);
                            }
                            other => panic!("{other}"),
                        }
                    }
                    _ => {
                        if self.column == self.columns {
                            self.row += 1;
                            self.column = 0;
                        }
                        while self.cells.len() <= self.row {
                            self.cells.push(Vec::new());
                        }
                        let row = &mut self.cells[self.row];
                        row.resize(row.len().max(self.column + 1), ' ');
                        row[self.column] = letter;
                        self.column += 1;
                    }
                }
            }
        }
    }

    proptest! {
        /// Whatever is typed, the terminal shows prompt and text, and its cursor stands where the line's is.
        #[test]
        fn the_terminal_shows_the_line(
            keys in proptest::collection::vec(prop_oneof![
                4 => "[a-z ]{1,9}".boxed(),
                1 => Just("\x7f".to_owned()), 1 => Just("\x1b[D".to_owned()), 1 => Just("\x1b[C".to_owned()),
                1 => Just("\x01".to_owned()), 1 => Just("\x05".to_owned()), 1 => Just("\x17".to_owned()),
                1 => Just("\x15".to_owned()), 1 => Just("\x0b".to_owned()), 1 => Just("\x10".to_owned()),
                1 => Just("\x0e".to_owned()), 1 => Just("\x1bb".to_owned()), 1 => Just("\x1b[3~".to_owned()),
            ], 0..40),
            columns in 12_usize..40,
        ) {
            let history = ["get".to_owned(), "a line that is longer than one row of any of these".to_owned()];
            let mut model = Model { columns, cells: vec![Vec::new()], row: 0, column: 0 };
            model.send("prompt> ");
            let mut editor = Editor::new("prompt> ", &history, columns);
            for key in keys {
                model.send(&typed(&mut editor, &key).0);
                let text: String = editor.text.iter().collect();
                let shown: String = model.cells.iter().map(|row| row.iter().collect::<String>()).collect();
                let expected = format!("prompt> {text}");
                prop_assert_eq!(shown.trim_end(), expected.trim_end());
                let at = 8 + editor.cursor;
                prop_assert!(model.row * columns + model.column == at, "row {} column {} for {at}", model.row, model.column);
            }
        }
    }
}
