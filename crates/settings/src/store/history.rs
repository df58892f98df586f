//! What a store was at its revisions, and the way back.

use super::{Committed, Journal, Prepared, Preview, Store, unavailable};
use crate::apply::{TypedEdit, effects, introduced};
use crate::editing::Editing;
use crate::journal::{self, Record};
use crate::revision::{self, Foreign, Origin, Revision, RowChange};
use crate::{Asker, Author, OpenError, Problem, Problems, Rights, Snapshot};
use std::ops::RangeInclusive;
use time::OffsetDateTime;

impl Store {
    /// Accepted changes with these numbers, oldest first, secrets as stars.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn revisions(&self, range: RangeInclusive<u64>) -> Result<Vec<Revision>, OpenError> {
        let records = self.records(&self.journal())?;
        let shown = |record: &Record| revision::shown(&self.machine_key, &self.registry, record);
        Ok(records.iter().filter(|record| range.contains(&record.revision)).map(shown).collect())
    }

    /// What leads from one revision to another; 0 is the fresh installation.
    ///
    /// # Errors
    /// The journal cannot be read, or there is no such revision.
    pub fn diff(&self, from: u64, to: u64) -> Result<Vec<RowChange>, Problems> {
        let records = self.records(&self.journal()).map_err(|error| unavailable(&error))?;
        let (typed, raw) = self.between(&records, from, to)?;
        Ok(revision::shown_all(&self.machine_key, &self.registry, &typed, &raw))
    }

    /// The revision that gave a parameter of a row the value it has; `None` where it was never changed.
    ///
    /// # Errors
    /// There is no such context or parameter, or the journal cannot be read.
    pub fn origin(&self, context: &str, key: &[String], parameter: &str) -> Result<Option<Origin>, Problems> {
        let declared = self
            .registry
            .resolve(context)
            .ok_or_else(|| Problem::new(context, "there is no such context"))?;
        let parameter = declared
            .parameter(parameter)
            .ok_or_else(|| Problem::new(context, "there is no such parameter").parameter(parameter))?;
        let records = self.records(&self.journal()).map_err(|error| unavailable(&error))?;
        let place = (declared, key, parameter.name);
        revision::origin(&self.machine_key, &self.registry, &records, place)
            .map_err(|error| unavailable(&error.into()))
    }

    /// Makes the tree what it was at a revision, as a new revision; 0 is the fresh installation.
    ///
    /// # Errors
    /// There is no such revision, or a check of the whole tree speaks against it.
    pub fn rollback(
        &self,
        to: u64,
        author: &Author,
        force: bool,
        now: OffsetDateTime,
    ) -> Result<Committed, Problems> {
        self.rollback_as(&Asker::with(Rights::Administer), to, author, force, now)
    }

    /// Like [`rollback`](Self::rollback) for somebody who may not do everything.
    ///
    /// # Errors
    /// There is no such revision, a check of the whole tree speaks against it, or they have no right to it.
    pub fn rollback_as(
        &self,
        asker: &Asker,
        to: u64,
        author: &Author,
        force: bool,
        now: OffsetDateTime,
    ) -> Result<Committed, Problems> {
        let comment = format!("rollback to revision {to}");
        self.permit(asker, Rights::Operate, "", author, now)?;
        self.settle(now)?;
        self.write(asker, author, Some(&comment), force, now, |journal, base| {
            let mut prepared = self.rolled_back(journal, base, to, force)?;
            // Whoever goes back to before the change that waits has decided on it.
            prepared.settles = journal.pending.as_ref().map(|p| p.revision).filter(|revision| to < *revision);
            Ok(prepared)
        })
    }

    /// What [`rollback`](Self::rollback) would do.
    ///
    /// # Errors
    /// There is no such revision, or a check of the whole tree speaks against it.
    pub fn preview_rollback(&self, to: u64, force: bool) -> Result<Preview, Problems> {
        self.refresh().map_err(|error| unavailable(&error))?;
        let prepared = self.rolled_back(&self.journal(), &self.current.load(), to, force)?;
        let edits = revision::shown_all(&self.machine_key, &self.registry, &prepared.typed, &prepared.raw);
        Ok(Preview { edits, committed: prepared.committed })
    }

    fn rolled_back(
        &self,
        journal: &Journal,
        base: &Snapshot,
        to: u64,
        force: bool,
    ) -> Result<Prepared, Problems> {
        let records = self.records(journal).map_err(|error| unavailable(&error))?;
        let (typed, raw) = self.between(&records, base.revision, to)?;
        let mut tree = Editing::new(base.clone());
        for edit in &typed {
            tree.apply(edit);
        }
        let mut snapshot = tree.into_tree();
        let problems = introduced(&self.registry, base, &snapshot, force);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        if !typed.is_empty() || !raw.is_empty() {
            snapshot.revision += 1;
        }
        let (restart, remarks) = effects(&typed);
        let committed = Committed { revision: snapshot.revision, restart, remarks };
        Ok(Prepared { snapshot, typed, raw, committed, ..Prepared::default() })
    }

    /// What leads from one revision to another: typed edits of known contexts, raw ones of the others.
    fn between(
        &self,
        records: &[Record],
        from: u64,
        to: u64,
    ) -> Result<(Vec<TypedEdit>, Vec<journal::RawEdit>), Problems> {
        let last = records.last().map_or(0, |record| record.revision);
        if let Some(missing) = [to, from].into_iter().find(|revision| *revision > last) {
            let problem = Problem::new("", format!("there is no revision {missing}; the last is {last}"));
            return Err(problem.hint("revisions lists them").into());
        }
        let tree = |revision: u64| -> Result<(Snapshot, Foreign), Problems> {
            let mut tree = Editing::new(Snapshot::initial(self.registry.contexts()));
            for record in records.iter().take_while(|record| record.revision <= revision) {
                revision::replay(&self.registry, &self.machine_key, &mut tree, record)
                    .map_err(|error| unavailable(&error.into()))?;
            }
            Ok((tree.into_tree(), Foreign::at(&self.registry, records, revision)))
        };
        let ((old, old_foreign), (new, new_foreign)) = (tree(from)?, tree(to)?);
        Ok(revision::difference(&self.registry, (&old, &old_foreign), (&new, &new_foreign)))
    }
}
