//! The commands of a context: get, set, add, delete, clear, detail, and the actions it declares.

use crate::arguments;
use crate::backend::{Applied, Asked};
use crate::commands::Command;
use crate::console::Console;
use crate::engine::{Format, Output, Session};
use crate::failure::Failure;
use crate::show;
use crate::words::Word;
use openadp_appserver::{Clock as _, SystemClock};
use openadp_daemon::AlarmMonitoring;
use openadp_settings::Settings as _;
use openadp_settings::{
    Action, ActionContext, Author, Change, Context, Edit, MachineKey, Parameter, Problems, Rights, RowChange,
    Shape, Snapshot, decoded,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

impl Session {
    pub(crate) fn command(
        &mut self,
        context: &'static Context,
        command: Command,
        mut words: Vec<Word>,
        io: &mut dyn Console,
    ) -> Result<Output, Failure> {
        let name = command.name();
        let before = words.len();
        words.retain(|word| word.quoted || !word.text.eq_ignore_ascii_case("--force"));
        let force = self.options.force || words.len() < before;
        match command {
            Command::Get => self.get(context, words),
            Command::Detail => self.detail(context, words, io),
            Command::Clear | Command::Delete | Command::Set | Command::Add => {
                let edit = self.edit(context, command, words, io)?;
                self.commit(context, name, edit, force)
            }
            Command::Action(action) => {
                let given = self.arguments(context, command, words, io)?;
                if context.full_path() == AlarmMonitoring::CONTEXT.full_path() {
                    return self.live(name, given.first().map(|(_, value)| value.as_str()));
                }
                let value = |parameter: &Parameter| {
                    given.iter().find(|(p, _)| p.name == parameter.name).map(|(_, value)| value.clone())
                };
                let arguments: Vec<Option<String>> = action.arguments.iter().map(value).collect();
                let edits_only = context.editing.iter().any(|known| known.eq_ignore_ascii_case(action.name));
                if edits_only && (self.open.is_some() || self.options.dry_run) {
                    return self.edits_of(context, action, &arguments, force);
                }
                // Who only looks is in nobody's way.
                let looks = context.rights_of_action(action.name) == Rights::View;
                if self.open.is_some() && !looks {
                    return Err(Failure::refused(
                        name,
                        "it acts at once and cannot be part of an open change",
                    )
                    .hint("commit or abort the change first"));
                }
                if self.options.dry_run && !looks {
                    return Err(Failure::refused(name, "what it would do cannot be shown without doing it"));
                }
                if let Some(warning) = context.warning(action.name)
                    && !self.warned(name, warning, io)?
                {
                    return Ok(Output::none());
                }
                let done = self
                    .backend
                    .action(context, action.name, &arguments, force)
                    .map_err(|error| Failure::of(name, Some(context), error))?;
                if done.query {
                    return Ok(Output::lines(done.lines));
                }
                let applied = Applied { notes: done.committed.remarks.clone(), committed: done.committed };
                let mut output = self.done(context, name, &applied);
                if let (Some(json), false) = (&mut output.json, done.lines.is_empty()) {
                    json["text"] = json!(done.lines);
                }
                output.lines.splice(0..0, done.lines);
                Ok(output)
            }
        }
    }

    /// What a command does that only makes edits: gathered in the open change, or shown.
    fn edits_of(
        &mut self,
        context: &'static Context,
        action: &Action,
        arguments: &[Option<String>],
        force: bool,
    ) -> Result<Output, Failure> {
        let name = action.name;
        let refused = |problems: Problems| Failure::of(name, Some(context), problems.into());
        let checked = action.checked(&context.full_path(), arguments).map_err(refused)?;
        let (snapshot, _) = self.snapshot(context, name)?;
        // It has no use for a key, and none is at hand where a process holds the store.
        let machine_key =
            MachineKey::ephemeral().map_err(|error| Failure::refused(name, &error.to_string()))?;
        let within = ActionContext {
            snapshot: &snapshot,
            data_dir: Path::new(""),
            now: SystemClock.now(),
            machine_key: &machine_key,
            context,
        };
        let made = (action.run)(&within, &checked).map_err(refused)?;
        let mut output = Output::none();
        for edit in made.edits {
            output = self.commit(context, name, edit, force)?;
        }
        Ok(output)
    }

    /// Says what will happen, and whether the operator wants it. cli.md 3.4
    fn warned(&mut self, command: &str, warning: &str, io: &mut dyn Console) -> Result<bool, Failure> {
        let asks = !self.options.yes && (io.interactive() || self.is_answered());
        if asks && self.options.format == Format::Text {
            io.print("+++ WARNING +++ WARNING +++ WARNING +++");
            io.print(warning);
            io.print("Continue?");
        }
        self.confirm(command, io)
    }

    /// The edit that a command asks for.
    pub(crate) fn edit(
        &mut self,
        context: &'static Context,
        command: Command,
        mut words: Vec<Word>,
        io: &mut dyn Console,
    ) -> Result<Edit, Failure> {
        let name = command.name();
        match command {
            Command::Clear => {
                let keys = context.keys().count();
                let names = words.split_off(keys.min(words.len()));
                let key = key_of(context, command, words)?;
                if names.is_empty() {
                    return Err(Failure::syntax(name, "Mandatory parameter missing")
                        .hint("name the attributes to empty"));
                }
                let attributes = command.attributes(context);
                let mut values = BTreeMap::new();
                for word in names {
                    let parameter = arguments::named(name, &attributes, &word.text)?;
                    values.insert(parameter.name.to_owned(), None);
                }
                Ok(Edit::Set { context: context.full_path(), key, values })
            }
            Command::Delete => {
                let key = key_of(context, command, words)?;
                Ok(Edit::Delete { context: context.full_path(), key })
            }
            Command::Set => {
                let given = self.arguments(context, command, words, io)?;
                let keys: Vec<&str> = context.keys().map(|parameter| parameter.name).collect();
                let (key, values): (Vec<_>, Vec<_>) =
                    given.into_iter().partition(|(parameter, _)| keys.contains(&parameter.name));
                if values.is_empty() {
                    let names: Vec<&str> = command.attributes(context).iter().map(|p| p.name).collect();
                    return Err(Failure::syntax(name, "Mandatory parameter missing")
                        .hint(format!("attributes: {}", names.join(", "))));
                }
                let values =
                    values.into_iter().map(|(parameter, value)| (parameter.name.to_owned(), Some(value)));
                let key = key.into_iter().map(|(_, value)| value).collect();
                Ok(Edit::Set { context: context.full_path(), key, values: values.collect() })
            }
            Command::Add => {
                let given = self.arguments(context, command, words, io)?;
                let values = given.into_iter().map(|(parameter, value)| (parameter.name.to_owned(), value));
                Ok(Edit::Add { context: context.full_path(), values: values.collect() })
            }
            Command::Action(_) | Command::Detail | Command::Get => {
                Err(Failure::refused(name, "it changes no settings"))
            }
        }
    }

    fn arguments(
        &mut self,
        context: &'static Context,
        command: Command,
        words: Vec<Word>,
        io: &mut dyn Console,
    ) -> Result<Vec<(&'static Parameter, String)>, Failure> {
        let (positional, attributes) = (command.positional(context), command.attributes(context));
        // Even a line that cannot be read may hold a secret.
        let secrets = positional.iter().chain(&attributes).any(|parameter| parameter.is_secret());
        let before = self.secret_seen;
        self.secret_seen |= secrets && !words.is_empty();
        let given = arguments::read(command.name(), &positional, &attributes, words, io)?;
        self.secret_seen = before || given.secret_on_line;
        if given.secret_on_line && self.options.lines_are_public {
            io.warn("Warning: other users of this machine can see a secret on the command line.");
        }
        Ok(given.values)
    }

    /// The tree to show, with what is gathered in an open change; and a remark where that is not possible.
    fn snapshot(
        &mut self,
        context: &'static Context,
        command: &str,
    ) -> Result<(Arc<Snapshot>, Option<String>), Failure> {
        let snapshot =
            self.backend.snapshot(context).map_err(|error| Failure::of(command, Some(context), error))?;
        self.seen.insert(context.full_path(), snapshot.revision());
        Ok(match self.with_open(&snapshot) {
            None => (snapshot, None),
            Some(Ok(changed)) => (Arc::new(changed), None),
            Some(Err(remark)) => (snapshot, Some(remark)),
        })
    }

    fn get(&mut self, context: &'static Context, words: Vec<Word>) -> Result<Output, Failure> {
        let (mut effective, mut long) = (false, false);
        let mut keys = Vec::new();
        for word in words {
            match word.text.as_str() {
                "-e" if !word.quoted => effective = true,
                "-l" if !word.quoted => long = true,
                other if !word.quoted && other.starts_with('-') && other.len() == 2 => {
                    return Err(Failure::syntax("get", &format!("there is no option {other}"))
                        .hint("-e shows what is in force, -l more of each entry"));
                }
                _ => keys.push(word.text),
            }
        }
        if context.shape == Shape::Single {
            let attributes = Command::Get.attributes(context);
            let only = keys.iter().map(|name| arguments::named("get", &attributes, name));
            let only: Vec<&'static Parameter> = only.collect::<Result<_, _>>()?;
            let (snapshot, open) = self.snapshot(context, "get")?;
            let rows: Vec<_> = snapshot.rows_of(context).iter().take(1).collect();
            let mut lines = show::row_lines(context, rows.first().copied(), &only);
            lines.extend(context.remark.and_then(|remark| remark(&snapshot, &[])));
            lines.extend(open);
            return Ok(Output::new(lines, show::context_json(context, &rows, None))
                .table(show::context_rows(context, &snapshot, &rows)));
        }
        if keys.len() > context.keys().count() {
            let extra = keys.last().map_or("", String::as_str);
            return Err(Failure::syntax("get", &format!("'{extra}' is one argument too many")));
        }
        let (snapshot, open) = self.snapshot(context, "get")?;
        let words: Vec<&str> = keys.iter().map(String::as_str).collect();
        if effective {
            let Some(effective) = context.effective else {
                return Err(Failure::syntax("get", "nothing is inherited here; -e is not possible"));
            };
            let rows = effective(&snapshot, &words);
            let lines = match rows.first() {
                Some(headers) => show::presented_lines(context, headers, &rows, self.options.width),
                None => show::table_lines(context, &snapshot, &[], self.options.width),
            };
            return Ok(
                Output::new(lines, show::presented_json(context, &rows)).table(show::presented_rows(&rows))
            );
        }
        if long {
            let Some(long) = context.long else {
                return Err(Failure::syntax("get", "the table has all there is; -l is not possible")
                    .hint("detail shows one entry in full"));
            };
            let rows: Vec<_> = show::matching(context, &snapshot, &keys)
                .into_iter()
                .map(|row| long(&snapshot, row))
                .collect();
            let lines = match rows.first() {
                Some(headers) => show::presented_lines(context, headers, &rows, self.options.width),
                None => show::table_lines(context, &snapshot, &[], self.options.width),
            };
            return Ok(
                Output::new(lines, show::presented_json(context, &rows)).table(show::presented_rows(&rows))
            );
        }
        let rows = show::matching(context, &snapshot, &keys);
        let mut lines = show::table_lines(context, &snapshot, &rows, self.options.width);
        let remark = context.remark.and_then(|remark| remark(&snapshot, &words));
        lines.extend(remark.clone());
        lines.extend(open);
        Ok(Output::new(lines, show::context_json(context, &rows, remark.as_deref()))
            .table(show::context_rows(context, &snapshot, &rows)))
    }

    fn detail(
        &mut self,
        context: &'static Context,
        words: Vec<Word>,
        _io: &mut dyn Console,
    ) -> Result<Output, Failure> {
        let key = key_of(context, Command::Detail, words)?;
        let (snapshot, _) = self.snapshot(context, "detail")?;
        let rows = show::matching(context, &snapshot, &key);
        let Some(row) = rows.first() else {
            return Err(Failure::refused("detail", &format!("Entry not found: {}", key.join(" "))));
        };
        let lines = show::row_lines(context, Some(row), &[]);
        Ok(Output::new(lines, show::context_json(context, &rows, None))
            .table(show::context_rows(context, &snapshot, &rows)))
    }

    pub(crate) fn commit(
        &mut self,
        context: &'static Context,
        command: &str,
        edit: Edit,
        force: bool,
    ) -> Result<Output, Failure> {
        let edit = match self.gather(context, command, edit, force)? {
            Ok(output) => return Ok(output),
            Err(edit) => edit,
        };
        let author = Author(String::new());
        let change = Change { author, comment: None, edits: vec![edit], force };
        let refused = |error| Failure::of(command, Some(context), error);
        if self.options.dry_run {
            let preview = self.backend.preview(&[context], &change).map_err(refused)?;
            return Ok(previewed(&preview.edits));
        }
        let path = context.full_path();
        let asked = Asked { seen: self.seen.get(&path).copied(), ..Asked::default() };
        let applied = self.backend.commit(&[context], &change, asked).map_err(refused)?;
        // Whatever others did meanwhile to the same was told with the answer.
        self.seen.insert(path, applied.committed.revision);
        Ok(self.done(context, command, &applied))
    }

    /// `...Done`, with the notices that belong to it.
    pub(crate) fn done(&mut self, context: &'static Context, command: &str, applied: &Applied) -> Output {
        let path = context.full_path();
        self.done_at(&path, command, applied)
    }

    pub(crate) fn done_at(&mut self, path: &str, command: &str, applied: &Applied) -> Output {
        let restart = &applied.committed.restart;
        self.restart_needed |= !restart.is_empty();
        let mut lines = Vec::new();
        if !restart.is_empty() {
            lines.push(
                "*** Warning: BroadWorks needs to be restarted for the changes to take effect ***".to_owned(),
            );
            lines.push(format!("A restart is required for: {}", restart.join(", ")));
        }
        lines.push(if applied.notes.is_empty() {
            "...Done".to_owned()
        } else {
            format!("...Done [{}]", applied.notes.join("; "))
        });
        let json = json!({
            "done": true,
            "context": path,
            "command": command,
            "revision": applied.committed.revision,
            "restart": restart,
            "remarks": applied.notes,
        });
        Output::new(lines, json)
    }
}

/// The key values of a command that takes nothing else.
fn key_of(context: &'static Context, command: Command, words: Vec<Word>) -> Result<Vec<String>, Failure> {
    if let Some(missing) = context.keys().nth(words.len()) {
        return Err(Failure::missing(command.name(), missing));
    }
    let keys = context.keys().count();
    if let Some(extra) = words.get(keys) {
        let what = format!("'{}' is one argument too many", extra.text);
        return Err(Failure::syntax(command.name(), &what));
    }
    Ok(words.into_iter().map(|word| decoded(&word.text).unwrap_or(word.text)).collect())
}

/// What a change would do, without `...Done`.
pub(crate) fn previewed(edits: &[RowChange]) -> Output {
    let mut lines: Vec<String> = edits.iter().flat_map(RowChange::lines).collect();
    lines.push(
        if edits.is_empty() { "Nothing would change." } else { "Dry run: nothing was changed." }.to_owned(),
    );
    Output::new(lines, json!({ "done": false, "dryRun": true, "changes": edits }))
        .table(show::change_rows(edits))
}
