//! Several edits as one change: `begin`, then what would change at once is gathered, then `commit` or `abort`.

use crate::backend::Asked;
use crate::console::Console;
use crate::engine::{Output, Session};
use crate::execute::previewed;
use crate::failure::{Code, Failure};
use openadp_settings::{Author, Change, Context, Edit};
use serde_json::json;

/// Most edits of one change; the store takes no more.
const MAX_EDITS: usize = 100_000;

/// The edits since `begin`.
#[derive(Default)]
pub(crate) struct OpenChange {
    pub(crate) edits: Vec<(&'static Context, Edit)>,
    /// Whether one of them was forced.
    pub(crate) force: bool,
    /// The command that opened it, where it is done with the same: `import`.
    pub(crate) whole: Option<&'static str>,
    /// Commands that failed since `begin` while nobody sat there to see it.
    pub(crate) failed: usize,
    /// The revision from which it was begun.
    pub(crate) seen: Option<u64>,
}

impl OpenChange {
    fn change(&self, force: bool, comment: Option<String>) -> Change {
        let edits = self.edits.iter().map(|(_, edit)| edit.clone()).collect();
        Change { author: Author(String::new()), comment, edits, force: force || self.force }
    }

    fn contexts(&self) -> Vec<&'static Context> {
        let mut contexts: Vec<&'static Context> = Vec::new();
        for (context, _) in &self.edits {
            if !contexts.iter().any(|known| std::ptr::eq(*known, *context)) {
                contexts.push(context);
            }
        }
        contexts
    }
}

/// What `commit` was asked for.
enum How {
    Now,
    Check,
    Within(u32),
}

impl Session {
    /// Whether a change is open: what is typed is gathered and not done.
    pub fn change_is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the session: a change that is still open was not done, and that is a failure.
    pub fn finish(&mut self, io: &mut dyn Console) -> Option<Code> {
        let open = self.open.take()?;
        let what = format!(
            "the open change of {} was not committed; nothing of it was done",
            edits(open.edits.len())
        );
        let failure = Failure::refused("begin", &what).hint("commit does it, abort drops it");
        let _flow = self.fail(&failure, io);
        Some(failure.code)
    }

    /// Puts an edit into the open change, if there is one.
    pub(crate) fn gather(
        &mut self,
        context: &'static Context,
        command: &str,
        edit: Edit,
        force: bool,
    ) -> Result<Result<Output, Edit>, Failure> {
        let Some(open) = &mut self.open else { return Ok(Err(edit)) };
        if open.edits.len() >= MAX_EDITS {
            return Err(Failure::refused(command, &format!("a change has at most {MAX_EDITS} edits")));
        }
        open.edits.push((context, edit));
        open.force |= force;
        let count = open.edits.len();
        let json = json!({ "done": true, "open": count, "context": context.full_path(), "command": command });
        Ok(Ok(Output::new(vec![format!("...Done [{} in the open change]", edits(count))], json)))
    }

    pub(crate) fn begin(&mut self) -> Result<Output, Failure> {
        if let Some(open) = &self.open {
            let what = format!("a change of {} is open already", edits(open.edits.len()));
            return Err(Failure::refused("begin", &what).hint("commit does it, abort drops it"));
        }
        // Where the installation cannot be reached now, commit says so.
        let seen = self.backend.revision().ok();
        self.open = Some(OpenChange { seen, ..OpenChange::default() });
        let remark = "a change is open: commit does all of it or nothing, abort drops it";
        Ok(Output::new(vec![format!("...Done [{remark}]")], json!({ "done": true, "open": 0 })))
    }

    pub(crate) fn abort(&mut self) -> Result<Output, Failure> {
        let Some(open) = self.open.take() else { return Err(none_open("abort")) };
        let count = open.edits.len();
        let lines = vec![format!("...Done [{} dropped]", edits(count))];
        Ok(Output::new(lines, json!({ "done": true, "dropped": count })))
    }

    /// `commit [check | confirm | confirmed minutes] [comment text]`.
    pub(crate) fn commit_open(&mut self, words: &[String], io: &mut dyn Console) -> Result<Output, Failure> {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        let given = words.len();
        words.retain(|word| !word.eq_ignore_ascii_case("--force"));
        let force = self.options.force || words.len() < given;
        let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
        let (words, comment) = match words.as_slice() {
            [before @ .., word, text] if is(word, "comment") => (before, Some((*text).to_owned())),
            all => (all, None),
        };
        let asked = match words {
            [] if self.open.is_none() => return self.confirm_pending(),
            [word] if is(word, "confirm") => return self.confirm_pending(),
            [] => How::Now,
            [word] if is(word, "check") => How::Check,
            [word, minutes] if is(word, "confirmed") => How::Within(minutes.parse().map_err(|_| {
                Failure::syntax("commit", &format!("'{minutes}' is not a number of minutes"))
            })?),
            [word] if is(word, "confirmed") => {
                return Err(Failure::syntax("commit", "Mandatory parameter missing")
                    .grammar(format!("<minutes>, Integer {{1 to {}}}", openadp_settings::MAX_WAIT_MINUTES)));
            }
            [word, ..] => {
                return Err(Failure::syntax("commit", &format!("'{word}' is nothing it takes"))
                    .hint("commit, commit check, commit confirmed 5, commit confirm"));
            }
        };
        let Some(open) = &self.open else { return Err(none_open("commit")) };
        if open.failed > 0 {
            let what = format!("{} of this change failed; nothing of it was done", commands(open.failed));
            return Err(Failure::refused("commit", &what).hint("abort drops the change"));
        }
        let name = open.whole.unwrap_or("commit");
        let (change, contexts) = (open.change(force, comment), open.contexts());
        let seen = open.seen;
        if self.options.dry_run || matches!(asked, How::Check) {
            let preview = self.backend.preview(&contexts, &change);
            let preview = preview.map_err(|error| Failure::of_change(name, &open.edits, error))?;
            let dropped = self.options.dry_run.then(|| self.open.take());
            drop(dropped);
            return Ok(previewed(&preview.edits));
        }
        let within = match asked {
            How::Within(minutes) => Some(minutes),
            How::Now | How::Check => None,
        };
        let asked = Asked { confirm_within: within, seen, exclusive: true };
        let applied = self.backend.commit(&contexts, &change, asked);
        let mut applied = applied.map_err(|error| Failure::of_change(name, &open.edits, error))?;
        self.open = None;
        let what = match change.edits.len() {
            0 => "the change was empty".to_owned(),
            count => format!("{} as revision {}", edits(count), applied.committed.revision),
        };
        applied.notes.insert(0, what);
        if within.is_none()
            && let Ok(Some(pending)) = self.backend.pending()
        {
            io.warn(&format!("Remark: revision {} still waits for commit confirm.", pending.revision));
        }
        Ok(self.done_at("", name, &applied))
    }

    fn confirm_pending(&mut self) -> Result<Output, Failure> {
        let failed = |error| Failure::of("commit", None, error);
        if self.options.dry_run {
            return Err(Failure::refused("commit", "a confirmation changes nothing that could be shown"));
        }
        if self.backend.pending().map_err(failed)?.is_none() {
            return Err(Failure::refused("commit", "no change is open, and none waits for a confirmation")
                .hint("begin opens a change"));
        }
        let applied = self.backend.confirm().map_err(failed)?;
        Ok(self.done_at("", "commit", &applied))
    }

    /// What the open change would do, if one is open.
    pub(crate) fn diff_open(&mut self) -> Option<Result<Output, Failure>> {
        let open = self.open.as_ref().filter(|open| !open.edits.is_empty())?;
        let change = open.change(self.options.force, None);
        let preview = self.backend.preview(&open.contexts(), &change);
        let preview = preview.map_err(|error| Failure::of_change("diff", &open.edits, error));
        Some(preview.map(|preview| {
            let mut output = previewed(&preview.edits);
            if let Some(last) = output.lines.last_mut().filter(|_| !preview.edits.is_empty()) {
                "Not done yet: commit does it, abort drops it.".clone_into(last);
            }
            output
        }))
    }

    /// What the open change makes of a context's rows; `Err` with a remark where it could not be done as it is.
    pub(crate) fn with_open(
        &mut self,
        snapshot: &openadp_settings::Snapshot,
    ) -> Option<Result<openadp_settings::Snapshot, String>> {
        let open = self.open.as_ref().filter(|open| !open.edits.is_empty())?;
        let change = open.change(true, None);
        Some(match self.backend.preview(&open.contexts(), &change) {
            Ok(preview) => Ok(snapshot.with(&self.registry, &preview.edits)),
            Err(_) => {
                Err("the open change has a problem and is not shown here; commit check tells it".to_owned())
            }
        })
    }
}

fn none_open(command: &str) -> Failure {
    Failure::refused(command, "no change is open").hint("begin opens one")
}

/// `1 edit`, `2 edits`.
pub(crate) fn edits(count: usize) -> String {
    format!("{count} {}", if count == 1 { "edit" } else { "edits" })
}

fn commands(count: usize) -> String {
    format!("{count} {}", if count == 1 { "command" } else { "commands" })
}
