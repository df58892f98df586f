//! A session: a line in, effects and output out. It does no input or output of its own.

use crate::alias::Aliases;
use crate::backend::Backend;
use crate::console::Console;
use crate::copy::{Copy, Copying, NextCopy};
use crate::failure::{Code, Failure};
use crate::levels::{LevelId, Levels};
use crate::live::Live;
use crate::resolve::Meaning;
use crate::show;
use crate::transaction::OpenChange;
use crate::words::{self, Word};
use openadp_settings::{Registry, Tree};
use serde_json::{Value as Json, json};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::time::Duration;

/// Deepest nesting of command files.
const MAX_NESTING: usize = 8;
/// Most bytes of a command file.
pub(crate) const MAX_COMMAND_FILE: u64 = 16 * 1024 * 1024;
/// Lines that the history keeps.
pub(crate) const MAX_HISTORY: usize = 500;

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As the product writes them.
    #[default]
    Text,
    /// One JSON value for each command.
    Json,
    /// Rows of values with commas between them, names first; what is no table is written as text.
    Csv,
}

/// How a session behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Say yes to every confirmation.
    pub yes: bool,
    /// Check and show changes without making them.
    pub dry_run: bool,
    /// Overrule checks that may be overruled.
    pub force: bool,
    /// Go on after a command that failed.
    pub keep_going: bool,
    /// How answers are written.
    pub format: Format,
    /// Whether lines come from the command line, where others can see secrets.
    pub lines_are_public: bool,
    /// Whether long output stops at each page of the terminal.
    pub pager: bool,
    /// Columns above which a table is shown entry by entry; 0 for never.
    pub width: usize,
    /// Whether the commands of a file are shown as they run.
    pub echo: bool,
}

/// Whether a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It waits for the next line.
    Continue,
    /// The line failed; its code.
    Failed(Code),
    /// The operator left.
    Leave,
}

/// What a command answers.
pub(crate) struct Output {
    pub(crate) lines: Vec<String>,
    pub(crate) json: Option<Json>,
    /// The same as rows, names first.
    pub(crate) table: Option<Vec<Vec<String>>>,
}

impl Output {
    pub(crate) fn new(lines: Vec<String>, json: Json) -> Self {
        Self { lines, json: Some(json), table: None }
    }
    pub(crate) fn table(mut self, rows: Vec<Vec<String>>) -> Self {
        self.table = Some(rows);
        self
    }
    pub(crate) fn none() -> Self {
        Self { lines: Vec::new(), json: None, table: None }
    }
    pub(crate) fn lines(lines: Vec<String>) -> Self {
        let json = Some(json!({ "text": lines }));
        Self { lines, json, table: None }
    }
}

/// What a line led to.
pub(crate) enum Step {
    Output(Output),
    Leave,
}

/// A session.
pub struct Session {
    pub(crate) levels: Levels,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) options: Options,
    pub(crate) at: LevelId,
    /// Parts of the line that were not run yet; a question takes its answer from here.
    pub(crate) pending: VecDeque<Vec<Word>>,
    pub(crate) history: VecDeque<(usize, String)>,
    pub(crate) lines_seen: usize,
    pub(crate) nesting: usize,
    /// Whether the line holds a secret and must not be kept.
    pub(crate) secret_seen: bool,
    /// Names of all secret parameters.
    secrets: Vec<&'static str>,
    /// Whether something that was done needs a restart.
    pub(crate) restart_needed: bool,
    /// The edits since `begin`.
    pub(crate) open: Option<OpenChange>,
    /// The connection to the alarms, once it is open.
    pub(crate) live: Option<Live>,
    pub(crate) registry: Registry,
    /// The operator's own commands.
    pub(crate) aliases: Aliases,
    /// The revision at which each context was seen last.
    pub(crate) seen: HashMap<String, u64>,
    /// The file that commands and output go to as well, while no line runs.
    copy: Option<Copy>,
    /// Whether there is one.
    pub(crate) copied: bool,
    /// What the line made of it.
    pub(crate) next_copy: NextCopy,
}

impl Session {
    /// A session at the root of the ADP tree.
    pub fn new(registry: &Registry, backend: Box<dyn Backend>, options: Options) -> Self {
        Self {
            levels: Levels::new(registry),
            backend,
            options,
            at: Levels::root(Tree::Adp),
            pending: VecDeque::new(),
            history: VecDeque::new(),
            lines_seen: 0,
            nesting: 0,
            secret_seen: false,
            secrets: secret_names(registry),
            restart_needed: false,
            open: None,
            live: None,
            registry: registry.clone(),
            aliases: Aliases::default(),
            seen: HashMap::new(),
            copy: None,
            copied: false,
            next_copy: NextCopy::AsBefore,
        }
    }

    /// The prompt, with the blank that ends it; a star before it says that a change is open.
    pub fn prompt(&self) -> String {
        let open = if self.open.is_some() { "*" } else { "" };
        format!("{open}{}> ", self.levels.path(self.at))
    }

    /// Whether the commands of a file are shown.
    pub fn echoes(&self) -> bool {
        self.options.echo && self.options.format == Format::Text
    }

    /// Whether something that was done takes effect only after a restart.
    pub fn restart_needed(&self) -> bool {
        self.restart_needed
    }

    /// Runs a line.
    pub fn line(&mut self, line: &str, io: &mut dyn Console) -> Flow {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Flow::Continue;
        }
        self.secret_seen = false;
        let flow = self.run_copied(line, io);
        self.pending.clear();
        // Lines with secrets are kept nowhere; neither are those that run others.
        if !self.secret_seen && self.nesting == 0 && !self.names_secret(line) {
            self.lines_seen += 1;
            self.history.push_back((self.lines_seen, line.to_owned()));
            if self.history.len() > MAX_HISTORY {
                self.history.pop_front();
            }
        }
        flow
    }

    /// Runs a line, and has it and its output in the file of `write` as well.
    fn run_copied(&mut self, line: &str, io: &mut dyn Console) -> Flow {
        let Some(mut copy) = self.copy.take() else {
            let flow = self.run(line, io);
            self.copy = std::mem::take(&mut self.next_copy).after(None);
            self.copied = self.copy.is_some();
            return flow;
        };
        let shown = format!("{}{}", self.prompt(), self.masked(line));
        let mut io = Copying { inner: io, copy: None };
        if let Err(error) = copy.line(&shown) {
            io.warn(&format!("Warning: the file is not written any further: {error}"));
        } else {
            io.copy = Some(copy);
        }
        let flow = self.run(line, &mut io);
        self.copy = std::mem::take(&mut self.next_copy).after(io.copy);
        self.copied = self.copy.is_some();
        flow
    }

    /// Whether a word is the name of a secret.
    pub(crate) fn is_secret(&self, word: &str) -> bool {
        self.secrets.iter().any(|secret| secret.eq_ignore_ascii_case(word))
    }

    /// Whether a word follows the name of a secret: a line that went wrong, in another context say, may hold one as well.
    pub(crate) fn names_secret(&self, line: &str) -> bool {
        let words: Vec<&str> = line.split([' ', '\t', ';', '=']).filter(|word| !word.is_empty()).collect();
        let names = words.split_last().map(|(_, before)| before).unwrap_or_default();
        names.iter().any(|name| self.is_secret(name))
    }

    pub(crate) fn run(&mut self, line: &str, io: &mut dyn Console) -> Flow {
        let home = self.at;
        let (returns, rest) = match words::prompt(line) {
            Some(prompt) => match self.enter(&prompt) {
                Ok((at, command)) => {
                    self.at = at;
                    let rest = format!("{} {}", command.unwrap_or_default(), prompt.rest);
                    (!rest.trim().is_empty(), rest)
                }
                Err(failure) => return self.fail(&failure, io),
            },
            None => (false, line.to_owned()),
        };
        let flow = self.parts(&rest, io);
        // A line given as `CONTEXT> command` runs there and returns; parts on their own move the session.
        if returns {
            self.at = home;
        }
        flow
    }

    fn parts(&mut self, line: &str, io: &mut dyn Console) -> Flow {
        let Ok(parts) = words::parts(line) else {
            return self.fail(&Failure::invalid("a quotation mark is not closed"), io);
        };
        self.pending = parts.into();
        self.aliases.begin();
        while let Some(part) = self.pending.pop_front() {
            match self.part(part, io) {
                Ok(Step::Output(output)) => self.print(&output, io),
                Ok(Step::Leave) => return Flow::Leave,
                Err(failure) => return self.fail(&failure, io),
            }
        }
        Flow::Continue
    }

    fn print(&self, output: &Output, io: &mut dyn Console) {
        match (self.options.format, &output.json) {
            (Format::Csv, _) if output.table.is_some() => {
                let rows = output.table.iter().flatten();
                rows.for_each(|row| io.print(&show::csv_line(row)));
            }
            (Format::Text, _) if self.options.pager && io.interactive() => pages(&output.lines, io),
            (Format::Text | Format::Csv, _) => output.lines.iter().for_each(|line| io.print(line)),
            (Format::Json, Some(json)) => io.print(&json.to_string()),
            (Format::Json, None) => {}
        }
    }

    pub(crate) fn fail(&mut self, failure: &Failure, io: &mut dyn Console) -> Flow {
        // Whoever sits there sees it and may commit the rest; a file is done as a whole or not at all.
        if let Some(open) = self.open.as_mut().filter(|_| !io.interactive()) {
            open.failed += 1;
        }
        match self.options.format {
            Format::Text | Format::Csv => failure.lines().iter().for_each(|line| io.print(line)),
            Format::Json => io.print(&failure.json().to_string()),
        }
        Flow::Failed(failure.code)
    }

    fn part(&mut self, mut words: Vec<Word>, io: &mut dyn Console) -> Result<Step, Failure> {
        if words::drop_glued_answer(&mut words) {
            io.warn("Remark: dropped the pasted answer at the end of the line.");
        }
        if words.is_empty() {
            return Ok(Step::Output(Output::none()));
        }
        let first = words.remove(0);
        if first.quoted {
            return Err(Failure::invalid("a command does not begin with a quotation mark"));
        }
        if self.unfold(&first, &words, io)? {
            return Ok(Step::Output(Output::none()));
        }
        if first.text == ".." {
            self.at = self.levels.get(self.at).parent.unwrap_or(self.at);
            return Ok(Step::Output(Output::none()));
        }
        if first.text.contains('/') {
            let (at, command) = self.typed_path(&first.text)?;
            if let Some(command) = command {
                words.insert(0, Word { text: command, quoted: false });
            }
            if words.is_empty() {
                self.at = at;
                return Ok(Step::Output(Output::none()));
            }
            return self.there(at, words, io);
        }
        match self.resolve(&first.text)? {
            Meaning::Level(at) if words.is_empty() => {
                self.at = at;
                Ok(Step::Output(Output::none()))
            }
            Meaning::Level(at) => self.there(at, words, io),
            Meaning::Root(tree) => {
                self.at = Levels::root(tree);
                Ok(Step::Output(Output::none()))
            }
            Meaning::Command(context, command) => self.command(context, command, words, io).map(Step::Output),
            Meaning::General(general) => self.general(general, words, io),
        }
    }

    /// Runs words at a level and comes back.
    fn there(&mut self, at: LevelId, words: Vec<Word>, io: &mut dyn Console) -> Result<Step, Failure> {
        let home = std::mem::replace(&mut self.at, at);
        let step = match words.first().map(|word| self.resolve(&word.text)) {
            // One level deep only: `A B C get` is `A/B/C get`.
            Some(Ok(Meaning::Level(_) | Meaning::Root(_))) | None => {
                Err(Failure::invalid("levels are joined by '/' or ';'"))
            }
            Some(Err(failure)) => Err(failure),
            Some(Ok(_)) => self.part(words, io),
        };
        self.at = home;
        step
    }

    /// Whether the next part of the line is an answer to a question.
    pub(crate) fn is_answered(&self) -> bool {
        self.pending.front().is_some_and(|words| {
            matches!(words.as_slice(), [word]
                if ["y", "yes", "n", "no"].iter().any(|answer| word.text.eq_ignore_ascii_case(answer)))
        })
    }

    /// Whether the operator confirms.
    pub(crate) fn confirm(&mut self, command: &str, io: &mut dyn Console) -> Result<bool, Failure> {
        const QUESTION: &str = "Please confirm (Yes, Y, No, N): ";
        if self.options.yes {
            if self.is_answered() {
                self.pending.pop_front();
            }
            return Ok(true);
        }
        // An answer after `;` first, then whoever sits at the terminal.
        let mut pending = self
            .pending
            .pop_front()
            .map(|words| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "));
        if pending.is_none() && !io.interactive() {
            return Err(Failure::refused(command, "it needs a confirmation, and there is nobody to ask")
                .hint("-y confirms everything"));
        }
        // Whoever answers neither so often does not mean to.
        for _ in 0..20 {
            let Some(answer) = pending.take().or_else(|| io.ask(QUESTION)) else { return Ok(false) };
            match answer.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ if !io.interactive() => return Ok(false),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Runs a command file.
    pub(crate) fn file(&mut self, name: &str, text: &str, io: &mut dyn Console) -> Result<Flow, Failure> {
        if self.nesting >= MAX_NESTING {
            return Err(Failure::refused(
                "read",
                &format!("{name}: files are nested more than {MAX_NESTING} deep"),
            ));
        }
        self.nesting += 1;
        let mut flow = Flow::Continue;
        let mut io = Following { inner: io, lines: text.lines().collect() };
        while let Some(line) = io.lines.pop_front() {
            if self.echoes() && !line.trim().is_empty() {
                let shown = format!("{}{}", self.prompt(), self.masked(line.trim()));
                io.print(&shown);
            }
            match self.run_quietly(line, &mut io) {
                Flow::Leave => {
                    flow = Flow::Leave;
                    break;
                }
                Flow::Failed(code) => {
                    flow = Flow::Failed(code);
                    if !self.options.keep_going {
                        break;
                    }
                }
                Flow::Continue => {}
            }
        }
        self.nesting -= 1;
        Ok(flow)
    }

    fn run_quietly(&mut self, line: &str, io: &mut dyn Console) -> Flow {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Flow::Continue;
        }
        let pending = std::mem::take(&mut self.pending);
        let flow = self.run(line, io);
        self.pending = pending;
        flow
    }
}

/// A console whose next lines are those of a file.
struct Following<'a, 'b> {
    inner: &'a mut dyn Console,
    lines: VecDeque<&'b str>,
}

impl Console for Following<'_, '_> {
    fn next_line(&mut self) -> Option<String> {
        self.lines.pop_front().map(str::to_owned)
    }
    fn print(&mut self, line: &str) {
        self.inner.print(line);
    }
    fn warn(&mut self, line: &str) {
        self.inner.warn(line);
    }
    fn interactive(&self) -> bool {
        self.inner.interactive()
    }
    fn ask(&mut self, question: &str) -> Option<String> {
        self.inner.ask(question)
    }
    fn ask_secret(&mut self, question: &str) -> Option<String> {
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
    fn home(&self, file: &str) -> Option<String> {
        self.inner.home(file)
    }
    fn rows(&self) -> usize {
        self.inner.rows()
    }
    fn wait(&mut self, time: Duration) -> bool {
        self.inner.wait(time)
    }
    fn whole_path(&self, path: &str) -> io::Result<String> {
        self.inner.whole_path(path)
    }
    fn read_file(&mut self, path: &str, most: u64) -> io::Result<String> {
        self.inner.read_file(path, most)
    }
}

/// Prints as much as the terminal shows at once, and goes on when the operator wants it.
fn pages(lines: &[String], io: &mut dyn Console) {
    let room = io.rows().saturating_sub(1);
    if room == 0 || lines.len() <= room {
        for line in lines {
            io.print(line);
        }
        return;
    }
    for (index, page) in lines.chunks(room).enumerate() {
        let stop =
            |answer: Option<String>| answer.is_none_or(|answer| answer.trim_start().starts_with(['q', 'Q']));
        if index > 0 && stop(io.ask("-- return for more, q to stop -- ")) {
            return;
        }
        for line in page {
            io.print(line);
        }
    }
}

/// The names, with aliases, of all parameters and arguments that are secret.
fn secret_names(registry: &Registry) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for context in registry.contexts() {
        let arguments = context.actions.iter().flat_map(|action| action.arguments);
        for parameter in context.parameters.iter().chain(arguments).filter(|parameter| parameter.is_secret())
        {
            names.push(parameter.name);
            names.extend(parameter.aliases);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
