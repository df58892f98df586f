//! Where the settings are: in the processes of a data directory, or in its files while none of them runs.

use crate::about::Release;
use openadp_appserver::{Clock, SystemClock};
use openadp_daemon::admin::{
    Client, ClientError, InterfaceStatus, Operator, Who, author, discover, refusal, rights, rights_of_name,
};
use openadp_settings::{
    ActionDone, Asker, AuditEntry, AuditReport, Author, Change, Committed, Context, Edit, OpenError, Origin,
    Pending, Preview, Problem, Problems, Registry, Revision, Rights, RowChange, Snapshot, Store,
};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the settings gave no answer.
#[derive(Debug)]
pub enum BackendError {
    /// The change or action is refused.
    Refused(Problems),
    /// The operator has no right to it.
    Rights(String),
    /// Neither a process nor the files can be reached.
    Unreachable(String),
}

impl From<OpenError> for BackendError {
    fn from(error: OpenError) -> Self {
        let reason = error.to_string();
        if error.is_denied() { Self::Rights(reason) } else { Self::Unreachable(reason) }
    }
}

impl From<Problems> for BackendError {
    fn from(problems: Problems) -> Self {
        Self::Refused(problems)
    }
}

impl From<ClientError> for BackendError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problems) => Self::Refused(problems),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// An accepted change, and what the operator should know about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// What the store answered.
    pub committed: Committed,
    /// Remarks in brackets behind `...Done`.
    pub notes: Vec<String>,
}

/// How a change is to be committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// It goes back by itself unless it is confirmed within so many minutes.
    pub confirm_within: Option<u32>,
    /// The revision that it was made from.
    pub seen: Option<u64>,
    /// Whether it is refused when others changed the same since; otherwise that is remarked on.
    pub exclusive: bool,
}

/// Where the settings are.
pub trait Backend {
    /// The data directory, where there is one.
    fn data_dir(&self) -> Option<&Path> {
        None
    }
    /// The tree as it is now, for showing this context; secrets may be stars.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn snapshot(&mut self, context: &'static Context) -> Result<Arc<Snapshot>, BackendError>;
    /// Commits a change to these contexts.
    ///
    /// # Errors
    /// The change is refused, or the settings cannot be reached.
    fn commit(
        &mut self,
        contexts: &[&'static Context],
        change: &Change,
        asked: Asked,
    ) -> Result<Applied, BackendError>;
    /// The present revision.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn revision(&mut self) -> Result<u64, BackendError>;
    /// Goes on as another user of the machine.
    ///
    /// # Errors
    /// There is no such user, or the operator may not.
    fn login(&mut self, user: &str) -> Result<Operator, BackendError>;
    /// The releases that are installed or run, this one first.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn releases(&mut self) -> Result<Vec<Release>, BackendError>;
    /// What a change to these contexts would do.
    ///
    /// # Errors
    /// The change would be refused, or the settings cannot be reached.
    fn preview(&mut self, contexts: &[&'static Context], change: &Change) -> Result<Preview, BackendError>;
    /// The change that waits for its confirmation.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn pending(&mut self) -> Result<Option<Pending>, BackendError>;
    /// Keeps the change that waits for its confirmation.
    ///
    /// # Errors
    /// None waits, or the settings cannot be reached.
    fn confirm(&mut self) -> Result<Applied, BackendError>;
    /// Runs an action of this context.
    ///
    /// # Errors
    /// The action is refused, or the settings cannot be reached.
    fn action(
        &mut self,
        context: &'static Context,
        action: &str,
        arguments: &[Option<String>],
        force: bool,
    ) -> Result<ActionDone, BackendError>;
    /// The revisions with these numbers, oldest first.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn revisions(&mut self, from: u64, to: u64) -> Result<Vec<Revision>, BackendError>;
    /// What leads from one revision to another.
    ///
    /// # Errors
    /// There is no such revision, or the settings cannot be reached.
    fn diff(&mut self, from: u64, to: u64) -> Result<Vec<RowChange>, BackendError>;
    /// These contexts, which are those at and below a path or all, as commands that make them.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn export(
        &mut self,
        contexts: &[&'static Context],
        below: Option<&str>,
        seal: bool,
    ) -> Result<Vec<String>, BackendError>;
    /// The revision that gave a parameter of a row its value.
    ///
    /// # Errors
    /// The settings cannot be reached.
    fn origin(
        &mut self,
        context: &'static Context,
        key: &[String],
        parameter: &str,
    ) -> Result<Option<Origin>, BackendError>;
    /// The last entries of the audit log, oldest first.
    ///
    /// # Errors
    /// It cannot be reached or read.
    fn audit(&mut self, most: usize) -> Result<Vec<AuditEntry>, BackendError>;
    /// Checks the audit log.
    ///
    /// # Errors
    /// It cannot be reached or read.
    fn verify_audit(&mut self) -> Result<AuditReport, BackendError>;
    /// The processes that read a context and started before a revision; `None` where no process runs.
    fn older(&mut self, context: &'static Context, revision: u64) -> Option<Vec<String>>;
    /// Goes back to a revision.
    ///
    /// # Errors
    /// It is refused, or the settings cannot be reached.
    fn rollback(&mut self, to: u64, force: bool) -> Result<Applied, BackendError>;
    /// What going back to a revision would do.
    ///
    /// # Errors
    /// It would be refused, or the settings cannot be reached.
    fn preview_rollback(&mut self, to: u64, force: bool) -> Result<Preview, BackendError>;
}

/// A data directory: the processes that listen there, and its files.
pub struct Installation {
    data_dir: PathBuf,
    registry: Registry,
    clients: Vec<Client>,
    local: Option<Arc<Store>>,
    /// Whom the operator goes on as.
    user: Option<String>,
}

impl Installation {
    /// The installation in a data directory; nothing is opened before it is needed.
    pub fn new(data_dir: &Path, registry: Registry) -> Self {
        Self { data_dir: data_dir.to_owned(), registry, clients: Vec::new(), local: None, user: None }
    }

    /// A store without files; for tests.
    pub fn of(store: Arc<Store>) -> Self {
        let registry = store.registry().clone();
        Self { local: Some(store), ..Self::new(Path::new(""), registry) }
    }

    /// The process that answers for these contexts; `None` where the files do. For no context, any process.
    fn process(&mut self, contexts: &[&'static Context]) -> Option<&mut Client> {
        // A process may have ended since the last command, and others begun.
        let before = self.clients.len();
        self.clients.retain_mut(|client| client.refresh().is_ok());
        if self.clients.is_empty() || self.clients.len() < before {
            self.clients = discover(&self.data_dir);
            if let Some(user) = &self.user {
                self.clients.retain_mut(|client| client.login(user).is_ok());
            }
        }
        let paths: Vec<String> = contexts.iter().map(|context| context.full_path()).collect();
        // Whole-tree checks of other crates run only where their contexts are known: the more the better.
        self.clients
            .iter_mut()
            .filter(|client| paths.iter().all(|path| client.knows(path)))
            .max_by_key(|client| client.hello().contexts.len())
    }

    fn local(&mut self) -> Result<Arc<Store>, BackendError> {
        if let Some(store) = &self.local {
            store.refresh()?;
        } else {
            let opened = Store::open(&self.data_dir, self.registry.clone()).map_err(BackendError::from);
            self.local = Some(opened.map_err(|error| match error {
                // A process that is there can say more than the modes of the files.
                BackendError::Rights(reason) => {
                    BackendError::Rights(refusal(&self.data_dir).unwrap_or(reason))
                }
                other => other,
            })?);
        }
        let Some(store) = self.local.clone() else {
            return Err(BackendError::Unreachable("the settings are not open".to_owned()));
        };
        // No process runs that would have done it.
        if store.pending().is_some() && store.settle(SystemClock.now())?.is_some() {
            self.tell();
        }
        Ok(store)
    }

    /// Who acts on the files, and what they may do.
    fn asker(&self, store: &Store) -> Result<(Author, Asker), BackendError> {
        let tree = store.current();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = std::fs::metadata(&self.data_dir).map_or(uid, |data_dir| data_dir.uid());
        let given = match &self.user {
            Some(user) => rights_of_name(&tree, user, owner).and_then(|(_, _, rights)| rights),
            None => rights(&tree, Who { uid, gid }, owner),
        };
        let who = author(uid);
        let name = self.user.as_ref().map_or_else(|| who.clone(), |user| format!("{user} ({who})"));
        let none = || BackendError::Rights(format!("{name} has no role here; System/Roles gives one"));
        Ok((Author(name.clone()), Asker::with(given.ok_or_else(none)?)))
    }

    /// The store to read from, for who may.
    fn readable(&mut self) -> Result<Arc<Store>, BackendError> {
        let store = self.local()?;
        self.asker(&store)?;
        Ok(store)
    }

    /// Has every running process take what was committed: who reads `...Done` may rely on it everywhere, not only in the
    /// process that answered. The others would follow by themselves, a little later.
    fn tell(&mut self) {
        self.clients.retain_mut(|client| client.refresh().is_ok());
    }

    fn applied(&mut self, committed: Committed, edits: &[Edit]) -> Applied {
        self.tell();
        let mut notes = committed.remarks.clone();
        let keys: Vec<(&str, &String, &String)> = edits.iter().filter_map(interface).collect();
        if !keys.is_empty() {
            let states: Vec<InterfaceStatus> = self
                .clients
                .iter_mut()
                .filter_map(|client| client.status(committed.revision).ok())
                .flat_map(|status| status.interfaces)
                .collect();
            notes.extend(keys.into_iter().filter_map(|key| not_listening(&states, key)));
        }
        Applied { committed, notes }
    }
}

/// Kind, address and port of an interface that an edit adds or changes.
fn interface(edit: &Edit) -> Option<(&'static str, &String, &String)> {
    let kind = match edit.context() {
        "ADP_CLI/Interface/Http/HttpServer" => "http",
        "ADP_CLI/Interface/CTI/CTIServer" => "cti",
        _ => return None,
    };
    match edit {
        Edit::Add { values, .. } => Some((kind, values.get("interfaceIp")?, values.get("port")?)),
        Edit::Set { key, .. } => Some((kind, key.first()?, key.get(1)?)),
        Edit::Delete { .. } | Edit::Reset { .. } => None,
    }
}

/// A note on an interface that some process serves and none listens on.
fn not_listening(
    states: &[InterfaceStatus],
    (kind, address, port): (&str, &String, &String),
) -> Option<String> {
    let mut reason = None;
    for state in states {
        let here = address.parse() == Ok(state.address) && port.parse() == Ok(state.port);
        if state.kind == kind && here {
            reason = Some(state.not_listening.as_ref()?);
        }
    }
    reason.map(|reason| format!("not listening: {reason}"))
}

impl Backend for Installation {
    fn data_dir(&self) -> Option<&Path> {
        Some(&self.data_dir)
    }

    fn snapshot(&mut self, context: &'static Context) -> Result<Arc<Snapshot>, BackendError> {
        if let Some(client) = self.process(&[context]) {
            let masked = client.snapshot()?;
            return Ok(Arc::new(masked.into_snapshot(&self.registry)));
        }
        Ok(self.readable()?.current())
    }

    fn commit(
        &mut self,
        contexts: &[&'static Context],
        change: &Change,
        Asked { confirm_within, seen, exclusive }: Asked,
    ) -> Result<Applied, BackendError> {
        if let Some(client) = self.process(contexts) {
            let committed = client.commit_as(change, confirm_within, seen, exclusive)?;
            return Ok(self.applied(committed, &change.edits));
        }
        let store = self.local()?;
        let (author, asker) = self.asker(&store)?;
        let (change, asker) = (Change { author, ..change.clone() }, asker.seen(seen, exclusive));
        let committed = store.commit_as(&asker, &change, confirm_within, SystemClock.now())?;
        Ok(self.applied(committed, &change.edits))
    }

    fn preview(&mut self, contexts: &[&'static Context], change: &Change) -> Result<Preview, BackendError> {
        if let Some(client) = self.process(contexts) {
            return Ok(client.preview(change)?);
        }
        Ok(self.readable()?.preview(change)?)
    }

    fn pending(&mut self) -> Result<Option<Pending>, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.pending()?);
        }
        Ok(self.readable()?.pending())
    }

    fn confirm(&mut self) -> Result<Applied, BackendError> {
        if let Some(client) = self.process(&[]) {
            let committed = client.confirm()?;
            return Ok(self.applied(committed, &[]));
        }
        let store = self.local()?;
        let (author, asker) = self.asker(&store)?;
        let committed = store.confirm_as(&asker, &author, SystemClock.now())?;
        Ok(self.applied(committed, &[]))
    }

    fn action(
        &mut self,
        context: &'static Context,
        action: &str,
        arguments: &[Option<String>],
        force: bool,
    ) -> Result<ActionDone, BackendError> {
        let path = context.full_path();
        let done = if let Some(client) = self.process(&[context]) {
            client.action(&path, action, arguments, force)?
        } else {
            let store = self.local()?;
            let (author, asker) = self.asker(&store)?;
            let what = (path.as_str(), action, arguments);
            store.run_action_as(&asker, what, &author, force, SystemClock.now())?
        };
        self.tell();
        Ok(done)
    }

    fn revisions(&mut self, from: u64, to: u64) -> Result<Vec<Revision>, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.revisions(from, to)?);
        }
        Ok(self.readable()?.revisions(from..=to)?)
    }

    fn diff(&mut self, from: u64, to: u64) -> Result<Vec<RowChange>, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.diff(from, to)?);
        }
        Ok(self.readable()?.diff(from, to)?)
    }

    fn export(
        &mut self,
        contexts: &[&'static Context],
        below: Option<&str>,
        seal: bool,
    ) -> Result<Vec<String>, BackendError> {
        if let Some(client) = self.process(contexts) {
            return Ok(client.export(below, seal)?);
        }
        let store = self.local()?;
        let (_, asker) = self.asker(&store)?;
        if seal {
            asker.may(Rights::Operate, below.unwrap_or_default()).map_err(Problems::from)?;
        }
        Ok(store.export(below, seal)?)
    }

    fn origin(
        &mut self,
        context: &'static Context,
        key: &[String],
        parameter: &str,
    ) -> Result<Option<Origin>, BackendError> {
        let path = context.full_path();
        if let Some(client) = self.process(&[context]) {
            return Ok(client.origin(&path, key, parameter)?);
        }
        Ok(self.readable()?.origin(&path, key, parameter)?)
    }

    fn audit(&mut self, most: usize) -> Result<Vec<AuditEntry>, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.audit(most)?);
        }
        Ok(self.readable()?.audit(most)?)
    }

    fn verify_audit(&mut self) -> Result<AuditReport, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.verify_audit()?);
        }
        Ok(self.readable()?.verify_audit(SystemClock.now())?)
    }

    fn revision(&mut self) -> Result<u64, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.refresh()?);
        }
        Ok(self.readable()?.current().revision())
    }

    fn login(&mut self, user: &str) -> Result<Operator, BackendError> {
        if self.process(&[]).is_some() {
            let mut operator = None;
            for client in &mut self.clients {
                operator = Some(client.login(user)?);
            }
            let gone = || BackendError::Unreachable("no process answers".to_owned());
            let operator = operator.ok_or_else(gone)?;
            self.user = Some(user.to_owned());
            return Ok(operator);
        }
        let store = self.local()?;
        let (_, asker) = self.asker(&store)?;
        asker.may(Rights::Administer, "").map_err(|problem| {
            Problems::from(problem.hint(format!("sudo -u {user} adpcli begins a session as another user")))
        })?;
        if rights_of_name(&store.current(), user, 0).is_none() {
            return Err(
                Problems::from(Problem::new("", format!("there is no user {user} on this machine"))).into()
            );
        }
        let before = self.user.replace(user.to_owned());
        match self.asker(&store) {
            Ok((author, asker)) => Ok(Operator { name: author.0, rights: asker.rights }),
            Err(error) => {
                self.user = before;
                Err(error)
            }
        }
    }

    fn releases(&mut self) -> Result<Vec<Release>, BackendError> {
        if self.process(&[]).is_none() {
            self.readable()?;
        }
        let installed = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| file.modified());
        let version = env!("CARGO_PKG_VERSION");
        let runs = |version: &str| self.clients.iter().any(|client| client.hello().version == version);
        let own = Release {
            version: version.to_owned(),
            installed: installed.ok().map(Into::into),
            active: runs(version),
        };
        let mut releases = vec![own];
        for client in &self.clients {
            if !releases.iter().any(|known| known.version == client.hello().version) {
                let version = client.hello().version.clone();
                releases.push(Release { version, installed: None, active: true });
            }
        }
        Ok(releases)
    }

    fn older(&mut self, context: &'static Context, revision: u64) -> Option<Vec<String>> {
        self.process(&[context])?;
        let path = context.full_path();
        let older = self
            .clients
            .iter()
            .map(Client::hello)
            .filter(|hello| hello.started_with < revision && hello.contexts.contains(&path));
        Some(older.map(|hello| hello.process.clone()).collect())
    }

    fn rollback(&mut self, to: u64, force: bool) -> Result<Applied, BackendError> {
        if let Some(client) = self.process(&[]) {
            let committed = client.rollback(to, force)?;
            return Ok(self.applied(committed, &[]));
        }
        let store = self.local()?;
        let (author, asker) = self.asker(&store)?;
        let committed = store.rollback_as(&asker, to, &author, force, SystemClock.now())?;
        Ok(self.applied(committed, &[]))
    }

    fn preview_rollback(&mut self, to: u64, force: bool) -> Result<Preview, BackendError> {
        if let Some(client) = self.process(&[]) {
            return Ok(client.preview_rollback(to, force)?);
        }
        Ok(self.readable()?.preview_rollback(to, force)?)
    }
}
