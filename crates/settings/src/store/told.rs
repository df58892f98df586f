//! The audit log of a store: who changed what, and what was refused.

use super::{Journal, Store, unavailable};
use crate::audit::{AuditEntry, AuditEvent, AuditLog, AuditReport, Happened};
use crate::{Asker, Author, Problem, Problems, Rights};
use std::io;
use std::sync::PoisonError;
use time::OffsetDateTime;

/// Denials of one minute that the audit log tells.
const MAX_DENIALS: u32 = 30;

impl Store {
    /// Writes an event into the audit log; the lock is held.
    pub(super) fn tell(
        &self,
        author: &Author,
        event: AuditEvent,
        (revision, contexts, reason): (Option<u64>, Vec<String>, Option<String>),
        now: OffsetDateTime,
    ) -> io::Result<()> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let happened = Happened { author: &author.0, event, revision, contexts, reason };
        audit.write(&self.machine_key, happened, now).inspect_err(|error| {
            tracing::error!(%error, "the audit log cannot be written");
        })
    }

    /// Writes down the last revision if whoever made it was killed, or had no room, before it could; the lock is held. More
    /// than one that is missing is left for `verify_audit` to find: only somebody else can have taken it out.
    pub(super) fn tell_late(&self, journal: &Journal, now: OffsetDateTime) -> bool {
        let last = journal.position.revision;
        let missing =
            |audit: &AuditLog| audit.last_revision().ok().flatten().is_some_and(|told| told + 1 == last);
        if !self.audit.as_ref().is_some_and(missing) {
            return false;
        }
        let Ok(records) = self.records(journal) else { return false };
        let Some(record) = records.last() else { return false };
        let contexts = record.edits.iter().map(|edit| edit.context.clone()).collect();
        let reason = format!("made at {}, told late: it could not be told then", record.time);
        // What cannot be told now either stays missing, and shows.
        let author = Author(record.author.clone());
        self.tell(&author, AuditEvent::Changed, (Some(last), contexts, Some(reason)), now).is_ok()
    }

    pub(super) fn tell_locked(
        &self,
        author: &Author,
        event: AuditEvent,
        context: Option<String>,
        reason: String,
        now: OffsetDateTime,
    ) {
        if event == AuditEvent::Denied && !self.has_room_for_denial(now) {
            tracing::warn!(author = %author.0, %reason, "denied; more of these were told in this minute than the audit log takes");
            return;
        }
        let _journal = self.journal();
        let what = (None, context.into_iter().collect(), Some(reason));
        let told =
            self.lock().map_err(io::Error::other).and_then(|_lock| self.tell(author, event, what, now));
        if let Err(error) = told {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }

    /// Whoever has no right to anything must not push out what others did: so many denials a minute are told.
    fn has_room_for_denial(&self, now: OffsetDateTime) -> bool {
        let minute = now.unix_timestamp().div_euclid(60);
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        if denials.0 != minute {
            *denials = (minute, 0);
        }
        denials.1 += 1;
        denials.1 <= MAX_DENIALS
    }

    /// Lets somebody pass who has a right, and writes down who has not.
    pub(super) fn permit(
        &self,
        asker: &Asker,
        needed: Rights,
        context: &str,
        author: &Author,
        now: OffsetDateTime,
    ) -> Result<(), Problems> {
        asker.may(needed, context).map_err(|problem| {
            let context = (!context.is_empty()).then(|| context.to_owned());
            self.tell_locked(author, AuditEvent::Denied, context, problem.reason.clone(), now);
            problem.into()
        })
    }

    /// Writes down that somebody without a right to it asked for something.
    pub fn tell_denied(&self, author: &Author, reason: &str, now: OffsetDateTime) {
        self.tell_locked(author, AuditEvent::Denied, None, reason.to_owned(), now);
    }

    /// The last entries of the audit log, oldest first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn audit(&self, most: usize) -> Result<Vec<AuditEntry>, Problems> {
        let Some(audit) = &self.audit else { return Ok(Vec::new()) };
        let _lock = self.lock().map_err(|error| unavailable(&error))?;
        audit.last(most).map_err(|error| unreadable_audit(&error))
    }

    /// Checks that nothing in the audit log was altered, taken out or put in. A last change that whoever made it could not tell
    /// any more is told first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn verify_audit(&self, now: OffsetDateTime) -> Result<AuditReport, Problems> {
        self.refresh().map_err(|error| unavailable(&error))?;
        let Some(audit) = &self.audit else { return Ok(AuditReport::default()) };
        let journal = self.journal();
        let _lock = self.lock().map_err(|error| unavailable(&error))?;
        let late = self.tell_late(&journal, now);
        let revision = journal.position.revision;
        let report = audit.verify(&self.machine_key, revision).map_err(|error| unreadable_audit(&error))?;
        Ok(AuditReport { late, ..report })
    }
}

fn unreadable_audit(error: &io::Error) -> Problems {
    Problem::new("", format!("the audit log cannot be read: {error}")).into()
}
