//! Commands that contexts declare beyond get, set, add and delete.

use super::{ActionDone, Committed, Store, unavailable};
use crate::audit::AuditEvent;
use crate::{ActionContext, ActionOutput, Asker, Author, Change, Context, Problem, Problems, Rights};
use time::OffsetDateTime;

impl Store {
    /// Runs a command that a context declares beyond get, set, add and delete, and commits its edits as one change.
    ///
    /// # Errors
    /// No such context or action, what the action refuses, and what speaks against its edits.
    pub fn run_action(
        &self,
        context: &str,
        action: &str,
        arguments: &[Option<String>],
        author: &Author,
        force: bool,
        now: OffsetDateTime,
    ) -> Result<ActionDone, Problems> {
        self.run_action_as(&Asker::with(Rights::Administer), (context, action, arguments), author, force, now)
    }

    /// Like [`run_action`](Self::run_action), with context, action and arguments, for somebody who may not do everything.
    ///
    /// # Errors
    /// No such context or action, what the action refuses, what speaks against its edits, and no right to it.
    pub fn run_action_as(
        &self,
        asker: &Asker,
        (context, action, arguments): (&str, &str, &[Option<String>]),
        author: &Author,
        force: bool,
        now: OffsetDateTime,
    ) -> Result<ActionDone, Problems> {
        if let Some(declared) = self.registry.resolve(context) {
            self.permit(asker, declared.rights_of_action(action), &declared.full_path(), author, now)?;
        }
        self.refresh().map_err(|error| unavailable(&error))?;
        let (declared, output) = self.act(context, action, arguments, now).inspect_err(|problems| {
            let reason = format!("{action}: {problems}");
            self.tell_locked(author, AuditEvent::Refused, Some(context.to_owned()), reason, now);
        })?;
        if output.edits.is_empty() && !output.query {
            let context = Some(declared.full_path());
            self.tell_locked(author, AuditEvent::Changed, context, action.to_owned(), now);
        }
        let mut committed = Committed { revision: self.current.load().revision(), ..Committed::default() };
        if !output.edits.is_empty() {
            let comment = Some(format!("{} {}", declared.full_path(), action));
            committed = self.commit_as(
                asker,
                &Change { author: author.clone(), comment, edits: output.edits, force },
                None,
                now,
            )?;
        }
        committed.remarks.extend(output.remarks);
        Ok(ActionDone { lines: output.lines, query: output.query, committed })
    }

    fn act(
        &self,
        context: &str,
        action: &str,
        arguments: &[Option<String>],
        now: OffsetDateTime,
    ) -> Result<(&'static Context, ActionOutput), Problems> {
        let declared = self
            .registry
            .resolve(context)
            .ok_or_else(|| Problem::new(context, "there is no such context"))?;
        let path = declared.full_path();
        let action = declared
            .actions
            .iter()
            .find(|candidate| candidate.name.eq_ignore_ascii_case(action))
            .ok_or_else(|| Problem::new(path.clone(), format!("there is no command {action} here")))?;
        let checked = action.checked(&path, arguments)?;
        let snapshot = self.current();
        let context = ActionContext {
            snapshot: &snapshot,
            data_dir: &self.data_dir,
            now,
            machine_key: &self.machine_key,
            context: declared,
        };
        Ok((declared, (action.run)(&context, &checked)?))
    }
}
