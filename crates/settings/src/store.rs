//! The store of one data directory: the tree in memory, its journal on disk, and those who follow it.

mod action;
mod errors;
mod history;
mod live;
mod told;

pub use errors::OpenError;
pub(crate) use errors::{advice, unavailable};
pub use live::Live;

use crate::apply::{Evaluated, TypedEdit, evaluate};
use crate::audit::{AuditEvent, AuditLog};
use crate::editing::Editing;
use crate::export;
use crate::files;
use crate::journal::{self, FileMedium, Medium, MemoryMedium, Position, Record};
use crate::machine_key::sync_directory;
use crate::pending::{self, Pending};
use crate::revision::{self, RowChange};
use crate::rights::{self, Asker, Rights};
use crate::{Author, Change, Edit, MachineKey, Problem, Problems, Registry, Settings, Snapshot};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;
use tokio::sync::watch;

/// Most changes of others that one answer tells of.
const MAX_TOLD: usize = 20;

/// An accepted change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its revision number; the number before where the change changed nothing.
    pub revision: u64,
    /// Parameters whose new value takes effect only when the process starts again.
    #[serde(default)]
    pub restart: Vec<String>,
    /// Remarks for the operator (what takes effect at the next connection).
    pub remarks: Vec<String>,
}

/// What a change would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Row by row.
    pub edits: Vec<RowChange>,
    /// What [`Store::commit`] would answer.
    pub committed: Committed,
}

/// What an action did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDone {
    /// Lines for the operator.
    pub lines: Vec<String>,
    /// Whether it was a pure query.
    pub query: bool,
    /// The revision its edits made, or the present one.
    pub committed: Committed,
}

/// The settings of one data directory.
///
/// Reading never waits and never touches the disk. [`commit`](Self::commit), [`refresh`](Self::refresh) and their like
/// read and write files and take a lock: call them from a thread that may block.
pub struct Store {
    registry: Registry,
    data_dir: PathBuf,
    machine_key: MachineKey,
    lock: Option<PathBuf>,
    /// Where it is told who changed what; none for a store in memory.
    audit: Option<AuditLog>,
    /// The minute of the last attempts that were denied, and how many of it were told.
    denials: Mutex<(i64, u32)>,
    journal: Mutex<Journal>,
    current: ArcSwap<Snapshot>,
    followers: Mutex<Vec<Follower>>,
    revision: watch::Sender<u64>,
}

/// What is told of a change before whoever made it hears that it is done.
type Follower = Box<dyn Fn(&Snapshot) + Send>;

pub(crate) struct Journal {
    medium: Box<dyn Medium>,
    position: Position,
    /// The change that goes back by itself unless it is confirmed.
    pub(crate) pending: Option<Pending>,
}

/// Edits of a change, and what they make of the tree.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) snapshot: Snapshot,
    pub(crate) typed: Vec<TypedEdit>,
    pub(crate) raw: Vec<journal::RawEdit>,
    pub(crate) committed: Committed,
    /// Until when it must be confirmed.
    pub(crate) confirm_by: Option<OffsetDateTime>,
    /// The revision that it confirms or takes back.
    pub(crate) settles: Option<u64>,
}

impl Store {
    /// A store without files, for tests.
    ///
    /// # Panics
    /// The system gives no randomness for its machine key.
    #[expect(clippy::expect_used, reason = "only for tests and for the reference page; no input reaches it")]
    pub fn in_memory(registry: Registry) -> Arc<Self> {
        let machine_key = MachineKey::ephemeral().expect("the system gives randomness");
        Arc::new(Self::over(registry, PathBuf::new(), machine_key, None, Box::<MemoryMedium>::default()))
    }

    /// Opens the settings of a data directory, creating them when there are none.
    ///
    /// # Errors
    /// Files that cannot be read or created, a damaged journal, a machine key that others may read or that does not
    /// open the stored secrets.
    pub fn open(data_dir: &Path, registry: Registry) -> Result<Arc<Self>, OpenError> {
        let folder = data_dir.join("settings");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        if !folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io(&folder))?;
        }
        let (key, path, lock) =
            (folder.join("machine.key"), folder.join("revisions.jsonl"), folder.join("lock"));
        let machine_key = MachineKey::load_or_create(&key)?;
        let fresh = !path.exists();
        let medium = FileMedium::open(&path).map_err(io(&path))?;
        match files::open_lock(&lock) {
            // It can be read all the same; whoever changes something hears of it.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && !fresh => {}
            opened => drop(opened.map_err(io(&lock))?),
        }
        for made in [&folder, &key, &path, &lock] {
            files::give_to_owner(data_dir, made).map_err(io(made))?;
        }
        if fresh {
            sync_directory(&folder).map_err(io(&folder))?;
        }
        let store = Self::over(registry, data_dir.to_owned(), machine_key, Some(lock), Box::new(medium));
        store.refresh()?;
        Ok(Arc::new(store))
    }

    fn over(
        registry: Registry,
        data_dir: PathBuf,
        machine_key: MachineKey,
        lock: Option<PathBuf>,
        medium: Box<dyn Medium>,
    ) -> Self {
        let snapshot = Snapshot::initial(registry.contexts());
        let journal = Mutex::new(Journal { medium, position: Position::default(), pending: None });
        let current = ArcSwap::from_pointee(snapshot);
        let audit = lock.as_ref().map(|_| AuditLog::new(&data_dir));
        Self {
            registry,
            data_dir,
            machine_key,
            lock,
            audit,
            denials: Mutex::default(),
            journal,
            current,
            followers: Mutex::default(),
            revision: watch::Sender::new(0),
        }
    }

    /// The declarations it was opened with.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
    /// The data directory it was opened in; empty for a store in memory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
    /// The key that secrets of this installation are wrapped with.
    pub fn machine_key(&self) -> &MachineKey {
        &self.machine_key
    }
    /// The tree as it is now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
    /// A single-row context, typed, as it is now.
    pub fn get<T: Settings>(&self) -> T {
        self.current.load().get()
    }
    /// A table, typed, as it is now.
    pub fn rows<T: Settings>(&self) -> Vec<T> {
        self.current.load().rows()
    }
    /// Tells of every accepted change, by any process of the data directory.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
    /// Calls the follower now and at every change, in their order, before whoever made the change hears that it is done.
    /// For what must have taken effect by then; it must be quick and must not ask the store for anything.
    pub fn follow(&self, follower: impl Fn(&Snapshot) + Send + 'static) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        follower(&self.current());
        followers.push(Box::new(follower));
    }
    /// A typed context that follows changes and costs no parsing while none happens.
    pub fn live<T: Settings>(self: &Arc<Self>) -> Live<T> {
        let snapshot = self.current();
        Live {
            value: Arc::new(ArcSwap::from_pointee((snapshot.revision(), Arc::new(snapshot.get::<T>())))),
            store: self.clone(),
        }
    }

    /// Reads what other processes committed; whether there was anything.
    ///
    /// # Errors
    /// The journal cannot be read, is damaged, or holds secrets that do not open. The tree stays as it was.
    pub fn refresh(&self) -> Result<bool, OpenError> {
        let mut journal = self.journal();
        match self.read_new(&mut journal) {
            // Seen while another process cut off a torn line and wrote on: under the lock nobody writes.
            Err(OpenError::Damaged { .. }) => {
                let _lock = self.lock()?;
                self.read_new(&mut journal)
            }
            other => other,
        }
    }

    /// Checks a change as a whole and accepts it.
    ///
    /// # Errors
    /// Everything that speaks against the change; nothing of it was kept.
    pub fn commit(&self, change: &Change, now: OffsetDateTime) -> Result<Committed, Problems> {
        self.commit_as(&Asker::with(Rights::Administer), change, None, now)
    }

    /// Like [`commit`](Self::commit), but the change is taken back by itself unless [`confirm`](Self::confirm) comes within
    /// so many minutes.
    ///
    /// # Errors
    /// Everything that speaks against the change, and another change that waits for its confirmation.
    pub fn commit_confirmed(
        &self,
        change: &Change,
        minutes: u32,
        now: OffsetDateTime,
    ) -> Result<Committed, Problems> {
        self.commit_as(&Asker::with(Rights::Administer), change, Some(minutes), now)
    }

    /// Like [`commit`](Self::commit) for somebody who may not do everything, or tells what they have seen of the tree; with
    /// a number of minutes like [`commit_confirmed`](Self::commit_confirmed).
    ///
    /// # Errors
    /// Everything that speaks against the change.
    pub fn commit_as(
        &self,
        asker: &Asker,
        change: &Change,
        confirm_within: Option<u32>,
        now: OffsetDateTime,
    ) -> Result<Committed, Problems> {
        let wait = confirm_within.map(pending::wait).transpose()?;
        let comment = change.comment.as_deref();
        self.permit(
            asker,
            Rights::Operate,
            change.edits.first().map_or("", Edit::context),
            &change.author,
            now,
        )?;
        self.settle(now)?;
        self.write(asker, &change.author, comment, change.force, now, |journal, base| {
            let confirm_by = match (&journal.pending, wait) {
                (Some(pending), Some(_)) => return Err(pending.in_the_way()),
                (_, wait) => wait.map(|wait| now + wait),
            };
            let Evaluated { snapshot, edits: typed, restart, mut remarks } =
                evaluate(&self.registry, &self.machine_key, base, change)?;
            let confirm_by = confirm_by.filter(|_| !typed.is_empty());
            remarks.extend(confirm_by.map(pending::remark));
            let committed = Committed { revision: snapshot.revision, restart, remarks };
            Ok(Prepared { snapshot, typed, committed, confirm_by, ..Prepared::default() })
        })
    }

    /// The change that goes back by itself unless it is confirmed.
    pub fn pending(&self) -> Option<Pending> {
        self.journal().pending.clone()
    }

    /// Keeps the change that waits for it.
    ///
    /// # Errors
    /// None waits, or no longer.
    pub fn confirm(&self, author: &Author, now: OffsetDateTime) -> Result<Committed, Problems> {
        self.confirm_as(&Asker::with(Rights::Administer), author, now)
    }

    /// Like [`confirm`](Self::confirm) for somebody who may not do everything.
    ///
    /// # Errors
    /// None waits, or no longer, or they have no right to it.
    pub fn confirm_as(
        &self,
        asker: &Asker,
        author: &Author,
        now: OffsetDateTime,
    ) -> Result<Committed, Problems> {
        self.permit(asker, Rights::Operate, "", author, now)?;
        self.settle(now)?;
        self.write(asker, author, None, false, now, |journal, base| {
            let Some(pending) = &journal.pending else { return Err(pending::none()) };
            Ok(pending.confirmed(base))
        })
    }

    /// Takes back the change that was not confirmed in time, if there is one. Whoever opens or refreshes a store does this
    /// next; so does every change.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn settle(&self, now: OffsetDateTime) -> Result<Option<Committed>, Problems> {
        self.refresh().map_err(|error| unavailable(&error))?;
        let over = |journal: &Journal| journal.pending.clone().filter(|pending| pending.is_over(now));
        let Some(pending) = over(&self.journal()) else { return Ok(None) };
        let comment = format!("revision {} was not confirmed and is taken back", pending.revision);
        let author = Author(pending::AUTHOR.to_owned());
        let asker = Asker::with(Rights::Administer);
        let committed = self.write(&asker, &author, Some(&comment), true, now, |journal, base| {
            // Another process may have been faster.
            let Some(pending) = over(journal) else {
                let committed = Committed { revision: base.revision, ..Committed::default() };
                return Ok(Prepared { snapshot: base.clone(), committed, ..Prepared::default() });
            };
            let records = self.records(journal).map_err(|error| unavailable(&error))?;
            let prepared = pending.taken_back(&self.registry, &self.machine_key, base, &records);
            prepared.map_err(|error| unavailable(&error.into()))
        })?;
        tracing::warn!(revision = committed.revision, "{comment}");
        Ok(Some(committed))
    }

    /// Checks a change as a whole and tells what it would do.
    ///
    /// # Errors
    /// Everything that speaks against the change.
    pub fn preview(&self, change: &Change) -> Result<Preview, Problems> {
        self.refresh().map_err(|error| unavailable(&error))?;
        let Evaluated { snapshot, edits, restart, remarks } =
            evaluate(&self.registry, &self.machine_key, &self.current.load(), change)?;
        Ok(Preview {
            edits: edits.iter().map(revision::shown_edit).collect(),
            committed: Committed { revision: snapshot.revision, restart, remarks },
        })
    }

    /// The tree, or the contexts at and below a path, as commands of the CLI that make it; secrets sealed for this
    /// installation, or left out.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn export(&self, below: Option<&str>, seal: bool) -> Result<Vec<String>, Problems> {
        self.refresh().map_err(|error| unavailable(&error))?;
        let lines = export::lines(&self.registry, &self.machine_key, &self.current.load(), below, seal);
        lines.map_err(|error| unavailable(&error.into()))
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // Whoever panicked with the lock held left either the state before or the state after.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal_path(&self) -> PathBuf {
        self.data_dir.join("settings").join("revisions.jsonl")
    }

    fn lock(&self) -> Result<Option<File>, OpenError> {
        self.lock.as_deref().map(files::hold_lock).transpose()
    }

    fn parse_from(&self, journal: &Journal, from: &Position) -> Result<(Vec<Record>, Position), OpenError> {
        let io = |source| OpenError::Io { path: self.journal_path(), source };
        if journal.medium.len().map_err(io)? == from.offset {
            return Ok((Vec::new(), from.clone()));
        }
        let bytes = journal.medium.read_from(from.offset).map_err(io)?;
        journal::parse(&bytes, from)
            .map_err(|source| OpenError::Damaged { path: self.journal_path(), source })
    }

    fn read_new(&self, journal: &mut Journal) -> Result<bool, OpenError> {
        let (records, position) = self.parse_from(journal, &journal.position)?;
        if records.is_empty() {
            return Ok(false);
        }
        let mut tree = Editing::new(Snapshot::clone(&self.current.load()));
        for record in &records {
            revision::replay(&self.registry, &self.machine_key, &mut tree, record)?;
        }
        for record in &records {
            pending::follow(&mut journal.pending, record);
        }
        journal.position = position;
        self.publish(tree.into_tree());
        Ok(true)
    }

    fn publish(&self, snapshot: Snapshot) {
        let revision = snapshot.revision;
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(snapshot));
        let snapshot = self.current();
        followers.iter().for_each(|follower| follower(&snapshot));
        drop(followers);
        self.revision.send_replace(revision);
    }

    fn records(&self, journal: &Journal) -> Result<Vec<Record>, OpenError> {
        Ok(self.parse_from(journal, &Position::default())?.0)
    }

    /// Reads what is new, lets `prepare` make a change of it, appends it to the journal and publishes it: all under the
    /// lock, so that every change is checked against the tree it is applied to.
    fn write(
        &self,
        asker: &Asker,
        author: &Author,
        comment: Option<&str>,
        forced: bool,
        now: OffsetDateTime,
        prepare: impl FnOnce(&Journal, &Snapshot) -> Result<Prepared, Problems>,
    ) -> Result<Committed, Problems> {
        let mut journal = self.journal();
        let _lock = self.lock().map_err(|error| unavailable(&error))?;
        self.read_new(&mut journal).map_err(|error| unavailable(&error))?;
        // Told or not, this change is made.
        let _late = self.tell_late(&journal, now);
        let base = self.current.load_full();
        let prepared = prepare(&journal, &base)
            .and_then(|prepared| self.allowed(asker, &journal, &base, forced, prepared))
            .inspect_err(|problems| {
                let contexts = problems.0.iter().map(|problem| problem.context.clone()).collect();
                let reason = Some(problems.to_string());
                let denied = problems.0.iter().any(|problem| problem.denied);
                let event = if denied { AuditEvent::Denied } else { AuditEvent::Refused };
                // A refusal stays one whether or not it can be written down.
                let _told = self.tell(author, event, (None, contexts, reason), now);
            })?;
        let Prepared { mut snapshot, typed, mut raw, mut committed, confirm_by, settles } = prepared;
        for edit in &typed {
            raw.push(
                revision::raw_edit(&self.machine_key, edit).map_err(|error| unavailable(&error.into()))?,
            );
        }
        if raw.is_empty() && settles.is_none() {
            return Ok(committed);
        }
        snapshot.revision = base.revision + 1;
        committed.revision = snapshot.revision;
        let mut record = Record::new(&author.0, comment, forced, now, raw);
        (record.confirm_by, record.settles) = (confirm_by, settles);
        self.append(&mut journal, &mut record)
            .map_err(|source| unavailable(&OpenError::Io { path: self.journal_path(), source }))?;
        pending::follow(&mut journal.pending, &record);
        self.publish(snapshot);
        let contexts = record.edits.iter().map(|edit| edit.context.clone()).collect();
        let what = (Some(record.revision), contexts, record.comment.clone());
        if let Err(error) = self.tell(author, AuditEvent::Changed, what, now) {
            committed.remarks.push(format!("the audit log cannot be written: {error}"));
        }
        Ok(committed)
    }

    /// Whether somebody may do what a change comes to, and what others did meanwhile to what it touches.
    fn allowed(
        &self,
        asker: &Asker,
        journal: &Journal,
        base: &Snapshot,
        forced: bool,
        mut prepared: Prepared,
    ) -> Result<Prepared, Problems> {
        asker.may_edit(&prepared.typed, &prepared.raw)?;
        let Some(seen) = asker.seen.filter(|seen| *seen < base.revision) else { return Ok(prepared) };
        let mut records = self.records(journal).map_err(|error| unavailable(&error))?;
        records.retain(|record| record.revision > seen);
        let others = rights::meanwhile(&self.registry, &self.machine_key, &prepared.typed, &records)
            .map_err(|error| unavailable(&error.into()))?;
        if asker.exclusive && !forced && !others.is_empty() {
            let problem = |other: &rights::Meanwhile| {
                Problem::new(
                    other.context.full_path(),
                    format!("{}, after this change was begun", other.text()),
                )
                .forceable()
                .hint("commit check shows what this change would do now, abort drops it")
            };
            return Err(Problems(others.iter().take(MAX_TOLD).map(problem).collect()));
        }
        prepared
            .committed
            .remarks
            .extend(others.iter().take(MAX_TOLD).map(|other| format!("{} meanwhile", other.text())));
        Ok(prepared)
    }

    fn append(&self, journal: &mut Journal, record: &mut Record) -> io::Result<()> {
        let (line, next) = journal::encode(record, &journal.position)?;
        // Somebody was killed while writing: the torn line was never accepted.
        if journal.medium.len()? > journal.position.offset {
            tracing::warn!(path = %self.journal_path().display(), "dropping a torn revision");
            journal.medium.truncate(journal.position.offset)?;
        }
        if let Err(error) = journal.medium.append_at(journal.position.offset, &line) {
            // What was written of it must not be taken for accepted; if this fails too, the next writer cuts it off.
            if let Err(error) = journal.medium.truncate(journal.position.offset) {
                tracing::error!(path = %self.journal_path().display(), %error, "cannot take back a refused revision");
            }
            return Err(error);
        }
        journal.position = next;
        Ok(())
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
