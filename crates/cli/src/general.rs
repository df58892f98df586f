//! The commands that are there at every level; cli.md 4.1.

use crate::commands::General;
use crate::console::Console;
use crate::engine::{Flow, Format, MAX_COMMAND_FILE, Output, Session, Step};
use crate::execute::previewed;
use crate::failure::Failure;
use crate::help;
use crate::levels::Levels;
use crate::resolve::Meaning;
use crate::show::{self, Table};
use crate::transaction::edits;
use crate::words::Word;
use openadp_settings::{Align, Edit, RowChange, Shape};
use serde_json::json;
use std::time::Duration;
use time::macros::format_description;

/// Revisions that are listed when no number is given.
const LISTED: u64 = 20;
/// Longest pause of a command file.
const MAX_PAUSE: u64 = 3600;

impl Session {
    pub(crate) fn general(
        &mut self,
        general: General,
        words: Vec<Word>,
        io: &mut dyn Console,
    ) -> Result<Step, Failure> {
        let most = match general {
            General::Abort
            | General::Begin
            | General::Exit
            | General::Qbw
            | General::Quit
            | General::Qversions
            | General::Reset => 0,
            General::Commit => 5,
            General::Export => 3,
            General::Alias
            | General::Config
            | General::Diff
            | General::Import
            | General::Repeat
            | General::Tree
            | General::Watch => 2,
            General::Pause | General::Why => usize::MAX,
            _ => 1,
        };
        if let Some(extra) = words.get(most) {
            let what = format!("'{}' is one argument too many", extra.text);
            return Err(Failure::syntax(general.name(), &what));
        }
        let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
        let first = words.first().map(String::as_str);
        let output = match general {
            General::Abort => self.abort()?,
            General::Alias => self.alias(&words, io)?,
            General::Login => self.login(first)?,
            General::Qbw => self.applications()?,
            General::Qversions => self.versions()?,
            General::Write => self.write(first, io)?,
            General::Audit if first.is_some_and(|word| word.eq_ignore_ascii_case("verify")) => {
                self.verify_audit()?
            }
            General::Audit => self.audit(number("audit", first, LISTED)?)?,
            General::Begin => self.begin()?,
            General::Commit => self.commit_open(&words, io)?,
            General::Reset => self.reset(io)?,
            General::Export => self.export(&words, io)?,
            General::Import => self.import(&words, io)?,
            General::Watch => {
                let most = number("watch", words.get(1).map(String::as_str), u64::MAX)?;
                self.watch(first, most, io)?
            }
            General::Why => self.why(&words)?,
            General::Cd => {
                self.at = match first {
                    None => Levels::root(self.levels.get(self.at).tree),
                    Some(path) => match self.typed_path(path)? {
                        (at, None) => at,
                        (_, Some(command)) => {
                            return Err(Failure::invalid(format!("{command} is a command and no level")));
                        }
                    },
                };
                Output::none()
            }
            General::Config => self.config(&words)?,
            General::Diff => self.diff(&words)?,
            General::Exit => {
                // Leaving loses nothing, so where nobody can be asked it just happens - unless a change is open.
                let asks = io.interactive() || !self.pending.is_empty();
                if let Some(open) = &self.open {
                    let count = edits(open.edits.len());
                    if !asks && !self.options.yes {
                        let what = format!("a change of {count} is open and would be lost");
                        return Err(Failure::refused("exit", &what).hint("commit does it, abort drops it"));
                    }
                    if asks && self.options.format == Format::Text {
                        io.print(&format!("A change of {count} is open and will be lost."));
                    }
                }
                if asks && !self.confirm("exit", io)? {
                    return Ok(Step::Output(Output::none()));
                }
                if self.options.format == Format::Text {
                    io.print("This session is ended.");
                }
                self.open = None;
                return Ok(Step::Leave);
            }
            General::Help => self.help(first)?,
            General::History => {
                let most = number("history", first, u64::MAX)?;
                let skipped = self.history.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
                let entry = |(number, line): &(usize, String)| format!("{number:>5}  {line}");
                Output::lines(self.history.iter().skip(skipped).map(entry).collect())
            }
            General::Pause => {
                if let (Some(Ok(seconds)), 1) = (first.map(str::parse::<u64>), words.len()) {
                    // Whoever sits there may cut it short.
                    let _key = io.wait(Duration::from_secs(seconds.min(MAX_PAUSE)));
                } else if io.interactive() {
                    let text = words.join(" ");
                    io.ask(if text.is_empty() { "Press return to go on " } else { &text });
                }
                Output::none()
            }
            General::Quit => {
                self.at = self.levels.get(self.at).parent.unwrap_or(self.at);
                Output::none()
            }
            General::Read => {
                let file = first.ok_or_else(|| Failure::syntax("read", "Mandatory parameter missing"))?;
                let text = io
                    .read_file(file, MAX_COMMAND_FILE)
                    .map_err(|error| Failure::refused("read", &format!("cannot read {file}: {error}")))?;
                return self.then(|session| session.file(file, &text, io));
            }
            General::Repeat => {
                let wanted = first.map(|_| number("repeat", first, 0)).transpose()?;
                let found = match wanted {
                    None => self.history.back(),
                    Some(wanted) => self.history.iter().find(|(number, _)| *number as u64 == wanted),
                };
                let Some((_, line)) = found.cloned() else {
                    return Err(Failure::refused("repeat", "the history has no such line"));
                };
                if self.nesting > 0 || self.repeats(&line) {
                    return Err(Failure::refused("repeat", "a repetition is not repeated"));
                }
                let pause = words.get(1).map(|word| number("repeat", Some(word), 0)).transpose()?;
                if pause.is_some() && !io.interactive() {
                    return Err(Failure::refused(
                        "repeat",
                        "it goes on until a key is pressed, and nobody sits here",
                    ));
                }
                let echo = std::mem::take(&mut self.options.echo);
                let step = loop {
                    if self.options.format == Format::Text {
                        io.print(&line);
                    }
                    let step = self.then(|session| session.file("repeat", &line, io));
                    let again = pause.filter(|_| matches!(step, Ok(Step::Output(_))));
                    match again {
                        Some(pause) if !io.wait(Duration::from_secs(pause.clamp(1, MAX_PAUSE))) => {}
                        _ => break step,
                    }
                };
                self.options.echo = echo;
                return step;
            }
            General::Revisions => self.revisions(number("revisions", first, LISTED)?)?,
            General::Rollback => {
                let to = match first {
                    None => {
                        return Err(Failure::syntax("rollback", "Mandatory parameter missing")
                            .grammar("<revision>, Integer".to_owned())
                            .hint("revisions lists them"));
                    }
                    Some(_) => number("rollback", first, 0)?,
                };
                return self.rollback(to, io).map(Step::Output);
            }
            General::Tree => {
                let commands = words.iter().any(|word| word == "-c");
                let depth = words.iter().find(|word| *word != "-c").map(String::as_str);
                let depth = number("tree", depth, u64::MAX)?;
                let depth = usize::try_from(depth).unwrap_or(usize::MAX);
                Output::lines(help::tree(&self.levels, self.at, depth, commands))
            }
        };
        Ok(Step::Output(output))
    }

    /// Whether a line of the history is itself a repetition.
    fn repeats(&self, line: &str) -> bool {
        let first = line.split([' ', ';']).next().unwrap_or_default();
        matches!(self.resolve(first), Ok(Meaning::General(General::Repeat)))
    }

    /// Lines that ran within a line: a failure among them is the line's own, already printed.
    fn then(&mut self, run: impl FnOnce(&mut Self) -> Result<Flow, Failure>) -> Result<Step, Failure> {
        match run(self)? {
            Flow::Leave => Ok(Step::Leave),
            Flow::Continue => Ok(Step::Output(Output::none())),
            Flow::Failed(code) => Err(Failure::printed(code)),
        }
    }

    fn config(&mut self, words: &[String]) -> Result<Output, Failure> {
        if let [name, value] = words {
            match (name.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
                ("format", "text") => self.options.format = Format::Text,
                ("format", "json") => self.options.format = Format::Json,
                ("format", "csv") => self.options.format = Format::Csv,
                ("confirmations", "true") => self.options.yes = false,
                ("confirmations", "false") => self.options.yes = true,
                ("pager", "true") => self.options.pager = true,
                ("pager", "false") => self.options.pager = false,
                ("echo", "true") => self.options.echo = true,
                ("echo", "false") => self.options.echo = false,
                ("width", columns) if columns.parse::<u16>().is_ok() => {
                    self.options.width = columns.parse().unwrap_or(0);
                }
                _ => {
                    return Err(Failure::syntax(
                        "config",
                        &format!("{name} {value} is no setting of the session"),
                    )
                    .hint("format text, json or csv; confirmations, pager, echo true or false; width 0 to 65535"));
                }
            }
            return Ok(Output::none());
        }
        if let Some(name) = words.first() {
            return Err(Failure::syntax("config", &format!("{name} has no value")));
        }
        let format = match self.options.format {
            Format::Text => "text",
            Format::Json => "json",
            Format::Csv => "csv",
        };
        Ok(Output::lines(vec![
            format!("  format = {format}"),
            format!("  confirmations = {}", !self.options.yes),
            format!("  pager = {}", self.options.pager),
            format!("  width = {}", self.options.width),
            format!("  echo = {}", self.options.echo),
        ]))
    }

    fn help(&self, word: Option<&str>) -> Result<Output, Failure> {
        let Some(word) = word else { return Ok(Output::lines(help::level(&self.levels, self.at))) };
        // A command in full goes before a general one's short form: `h add` is about `add`.
        let context = self.levels.get(self.at).context;
        let commands = context.map(crate::commands::of_context).unwrap_or_default();
        if let (Some(context), Some(command)) =
            (context, commands.iter().find(|command| command.name().eq_ignore_ascii_case(word)))
        {
            return Ok(Output::lines(help::command(context, *command)));
        }
        Ok(Output::lines(match self.resolve(word)? {
            Meaning::Command(context, command) => help::command(context, command),
            Meaning::General(general) => help::general(general),
            Meaning::Level(at) => help::level(&self.levels, at),
            Meaning::Root(tree) => help::level(&self.levels, Levels::root(tree)),
        }))
    }

    fn revisions(&mut self, most: u64) -> Result<Output, Failure> {
        let failed = |error| Failure::of("revisions", None, error);
        let mut revisions = self.backend.revisions(0, u64::MAX).map_err(failed)?;
        let settled: Vec<u64> = revisions.iter().filter_map(|revision| revision.settles).collect();
        let skipped = revisions.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        revisions.drain(..skipped);
        let mut table = Table::new(vec![
            ("Revision".to_owned(), Align::Right),
            ("Time".to_owned(), Align::Left),
            ("Author".to_owned(), Align::Left),
            ("Change".to_owned(), Align::Left),
        ]);
        let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        for revision in &revisions {
            let time = revision.time.format(form).unwrap_or_default();
            let mut contexts: Vec<&str> = revision.edits.iter().map(|edit| edit.context.as_str()).collect();
            contexts.dedup();
            let what = match (&revision.comment, contexts.as_slice()) {
                (Some(comment), _) => comment.clone(),
                (None, [one]) => (*one).to_owned(),
                (None, [first, rest @ ..]) => format!("{first} and {} more", rest.len()),
                (None, []) => String::new(),
            };
            let what = match (revision.confirm_by, revision.settles) {
                (Some(_), _) if !settled.contains(&revision.number) => {
                    format!("{what} [waits for commit confirm]")
                }
                (_, Some(settled)) if revision.edits.is_empty() => format!("confirms revision {settled}"),
                _ => what,
            };
            table.row(vec![revision.number.to_string(), time, revision.author.0.clone(), what]);
        }
        Ok(Output::new(table.lines(self.options.width), json!({ "revisions": revisions }))
            .table(table.into_rows()))
    }

    fn audit(&mut self, most: u64) -> Result<Output, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let entries = self.backend.audit(most).map_err(|error| Failure::of("audit", None, error))?;
        let headers = [("Number", Align::Right), ("Time", Align::Left), ("Author", Align::Left)];
        let rest = [("Event", Align::Left), ("Revision", Align::Right), ("What", Align::Left)];
        let columns = headers.into_iter().chain(rest).map(|(header, align)| (header.to_owned(), align));
        let mut table = Table::new(columns.collect());
        let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        for entry in &entries {
            let time = entry.time.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default();
            let revision = entry.revision.map(|revision| revision.to_string()).unwrap_or_default();
            let what = match &entry.reason {
                Some(reason) => reason.lines().next().unwrap_or_default().to_owned(),
                None => entry.contexts.join(", "),
            };
            let event = entry.event.name().to_owned();
            table.row(vec![entry.number.to_string(), time, entry.author.clone(), event, revision, what]);
        }
        Ok(Output::new(table.lines(self.options.width), json!({ "audit": entries })).table(table.into_rows()))
    }

    fn verify_audit(&mut self) -> Result<Output, Failure> {
        let report = self.backend.verify_audit().map_err(|error| Failure::of("audit", None, error))?;
        let Some(first) = report.problems.first() else {
            let mut lines = vec![format!("{} entries, none altered, none missing.", report.entries)];
            if report.late {
                lines.push(
                    "The last change was not in it and is now: its maker was stopped before, or the end was cut off."
                        .to_owned(),
                );
            }
            let json = json!({ "entries": report.entries, "problems": [], "late": report.late });
            return Ok(Output::new(lines, json));
        };
        let more = report.problems.len() - 1;
        let what = if more > 0 { format!("{first}; and {more} more") } else { first.clone() };
        Err(Failure::refused("audit", &what)
            .hint("keep the files DATA_DIR/settings/audit*.jsonl and find out who wrote to them"))
    }

    fn diff(&mut self, words: &[String]) -> Result<Output, Failure> {
        let failed = |error| Failure::of("diff", None, error);
        let revision = |index: usize| number("diff", words.get(index).map(String::as_str), 0);
        let edits = match words.len() {
            0 => {
                if let Some(open) = self.diff_open() {
                    return open;
                }
                let all = self.backend.revisions(0, u64::MAX).map_err(failed)?;
                all.into_iter().next_back().map(|revision| revision.edits).unwrap_or_default()
            }
            1 => {
                let to = revision(0)?;
                // Also tells that there is no such revision.
                self.backend.diff(to.saturating_sub(1), to).map_err(failed)?
            }
            _ => self.backend.diff(revision(0)?, revision(1)?).map_err(failed)?,
        };
        let mut lines: Vec<String> = edits.iter().flat_map(RowChange::lines).collect();
        if lines.is_empty() {
            lines.push("No difference.".to_owned());
        }
        Ok(Output::new(lines, json!({ "changes": edits })).table(show::change_rows(&edits)))
    }

    fn reset(&mut self, io: &mut dyn Console) -> Result<Output, Failure> {
        let level = self.levels.get(self.at);
        let Some(context) = level.context.filter(|context| context.shape != Shape::Actions) else {
            return Err(Failure::refused("reset", "there is nothing to empty at this level"));
        };
        // Within a change there is still commit to think before.
        let asks = self.open.is_none() && !self.options.dry_run;
        if asks && io.interactive() && !self.options.yes && !self.is_answered() {
            io.print(&format!("All of {} is emptied.", context.full_path()));
            io.print("Continue?");
        }
        if asks && (io.interactive() || self.is_answered()) && !self.confirm("reset", io)? {
            return Ok(Output::lines(vec!["Nothing was changed.".to_owned()]));
        }
        self.commit(context, "reset", Edit::Reset { context: context.full_path() }, self.options.force)
    }

    fn rollback(&mut self, to: u64, io: &mut dyn Console) -> Result<Output, Failure> {
        let failed = |error| Failure::of("rollback", None, error);
        if self.open.is_some() {
            return Err(
                Failure::refused("rollback", "a change is open").hint("commit or abort the change first")
            );
        }
        let force = self.options.force;
        let preview = self.backend.preview_rollback(to, force).map_err(failed)?;
        if self.options.dry_run {
            return Ok(previewed(&preview.edits));
        }
        if self.options.format == Format::Text && !self.options.yes {
            for line in preview.edits.iter().flat_map(RowChange::lines) {
                io.print(&line);
            }
        }
        // A rollback is a revision itself and can be taken back, so scripts are not asked; they may answer all the same.
        let asks = io.interactive() && !preview.edits.is_empty() && !self.options.yes;
        if asks {
            io.print("Continue?");
        }
        if (asks || self.is_answered()) && !self.confirm("rollback", io)? {
            return Ok(Output::lines(vec!["Nothing was changed.".to_owned()]));
        }
        let applied = self.backend.rollback(to, force).map_err(failed)?;
        Ok(self.done_at("", "rollback", &applied))
    }
}

fn number(command: &str, word: Option<&str>, otherwise: u64) -> Result<u64, Failure> {
    let Some(word) = word else { return Ok(otherwise) };
    word.parse().map_err(|_| Failure::syntax(command, &format!("'{word}' is not a number")))
}
