//! The server of the admin socket.

use super::roles::{self, Who};
use super::socket::{author, create_directory, directory, short};
use super::{
    Answer, Content, Hello, InterfaceStatus, MAX_ANSWER, MAX_REQUEST, MAX_REVISIONS, Operator, Request,
    Status,
};
use openadp_appserver::Clock;
use openadp_settings::{Asker, Author, Change, OpenError, Problem, Problems, Rights, Snapshot, Store};
use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Sessions at once: a few operators and scripts.
const MAX_SESSIONS: usize = 32;
/// Silence after which a session ends: an operator thinks for long.
const IDLE: Duration = Duration::from_hours(1);
/// Time for a peer to take an answer.
const WRITE: Duration = Duration::from_secs(30);
/// Time that `status` waits for interfaces to follow a revision.
const SETTLE: Duration = Duration::from_secs(1);

/// Time between two looks at the deadline of a change that waits for its confirmation.
const DEADLINE_PAUSE: Duration = Duration::from_secs(1);

/// Tells how the interfaces are once a revision is applied; the socket stops waiting after a second.
pub type Interfaces =
    Arc<dyn Fn(u64) -> Pin<Box<dyn Future<Output = Vec<InterfaceStatus>> + Send>> + Send + Sync>;

/// What the socket acts on.
#[derive(Clone)]
pub struct Admin {
    /// The process's name: letters, digits and hyphens.
    pub name: String,
    /// The settings.
    pub store: Arc<Store>,
    /// Where times of revisions come from.
    pub clock: Arc<dyn Clock>,
    /// Called after every accepted change, to wake the other processes.
    pub changed: Arc<dyn Fn() + Send + Sync>,
    /// How the interfaces are.
    pub interfaces: Interfaces,
}

/// A listening admin socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Whoever finds it later sees that nobody listens and removes it.
        let _removed = std::fs::remove_file(&self.path);
    }
}

impl AdminSocket {
    /// Binds the socket and serves it until `shutdown`. Keep what this gives while the process runs.
    ///
    /// # Errors
    /// The directory or the socket cannot be made.
    pub fn start(
        data_dir: &Path,
        admin: Admin,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> io::Result<Self> {
        let directory = directory(data_dir);
        create_directory(&directory)?;
        let name: String =
            admin.name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
        let path = directory.join(format!("{name}-{}.sock", std::process::id()));
        let listener = bind(&path)?;
        let socket = Self { path };
        let sessions = Arc::new(Semaphore::new(MAX_SESSIONS));
        let session_tasks = tasks.clone();
        let started_with = admin.store.current().revision();
        let (deadlines, over) = (keep_deadlines(admin.clone(), tasks.clone()), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = deadlines => {}
            }
        });
        let (way, over) =
            (Way { data_dir: data_dir.to_owned(), socket: socket.path.clone() }, shutdown.clone());
        way.follow(&admin.store.current());
        let (store, mut revisions) = (admin.store.clone(), admin.store.watch());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = over.cancelled() => return,
                    changed = revisions.changed() => if changed.is_err() { return },
                }
                way.follow(&store.current());
            }
        });
        tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = shutdown.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let stream = match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "admin socket: accept failed");
                        // Out of file descriptors, most likely: let others close theirs.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let permit = sessions.clone().try_acquire_owned();
                let (admin, tasks, shutdown) = (admin.clone(), session_tasks.clone(), shutdown.clone());
                session_tasks.spawn(async move {
                    let allowed = permit.is_ok();
                    let served = serve(stream, admin, started_with, allowed, &tasks);
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        ended = served => if let Err(error) = ended {
                            tracing::debug!(%error, "admin session ended");
                        },
                    }
                    drop(permit);
                });
            }
        });
        Ok(socket)
    }

    /// The socket's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The way to a socket: open to all users of the machine while a role is given to somebody.
struct Way {
    data_dir: PathBuf,
    socket: PathBuf,
}

impl Way {
    fn follow(&self, tree: &Snapshot) {
        // A few calls that change modes, and none where they are right already.
        if let Err(error) = roles::open_way(&self.data_dir, &self.socket, roles::any(tree)) {
            tracing::warn!(%error, socket = %self.socket.display(), "the modes of the admin socket cannot be changed");
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let (name, _directory) = short(path)?;
    let bound = UnixListener::bind(&name);
    let listener = match bound {
        // The name carries our own process id: whoever made the file is gone, or is another part of this process.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(&name).is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(&name)?
        }
        other => other?,
    };
    // Until here the directory's mode keeps others away.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whom a session asks, and who asks.
#[derive(Clone)]
struct Asked {
    admin: Admin,
    author: Author,
    /// Whose rights count: of whom the kernel names, or of whom they signed in as.
    who: Who,
    /// The user that the process runs as.
    owner: u32,
    started_with: u64,
}

impl Asked {
    fn rights(&self) -> Option<Rights> {
        roles::rights(&self.admin.store.current(), self.who, self.owner)
    }
}

/// What a user gets who has no role.
const NO_ROLE: &str =
    "this user has no role here; whoever administers the installation gives one in System/Roles";

/// Answers one request line as the socket does, for whom the kernel would name: what fuzzing calls.
pub fn respond(line: &[u8], admin: &Admin, who: Who, owner: u32) -> Vec<u8> {
    let answer = match serde_json::from_slice(line) {
        Err(error) => Answer::Failed(format!("malformed request: {error}")),
        Ok(request) => {
            let author = Author(author(who.uid));
            settled(blocking(
                request,
                &mut Asked { admin: admin.clone(), author, who, owner, started_with: 0 },
            ))
        }
    };
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// One session: requests answered one after another.
async fn serve(
    stream: UnixStream,
    admin: Admin,
    started_with: u64,
    allowed: bool,
    tasks: &TaskTracker,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let who = Who { uid: peer.uid(), gid: peer.gid() };
    let owner = rustix::process::geteuid().as_raw();
    let (read, mut write) = stream.into_split();
    if !allowed {
        return answer(&mut write, &Answer::<()>::Failed("too many admin sessions".to_owned())).await;
    }
    // The machine's directories name users and groups, and the refusal is written down; it is given whether or not that works.
    let known = tasks.spawn_blocking(move || {
        let asked = Asked { admin, author: Author(author(who.uid)), who, owner, started_with };
        if asked.rights().is_some() {
            return Some(asked);
        }
        asked.admin.store.tell_denied(&asked.author, NO_ROLE, asked.admin.clock.now());
        None
    });
    let Some(mut asked) = known.await.unwrap_or_default() else {
        return answer(&mut write, &Answer::<()>::Failed(NO_ROLE.to_owned())).await;
    };
    let mut read = BufReader::new(read);
    loop {
        let line = tokio::time::timeout(IDLE, line(&mut read)).await;
        let Some(line) = line.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
        let request = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => {
                // What follows cannot be trusted to be a request either.
                return answer(&mut write, &Answer::<()>::Failed(format!("malformed request: {error}")))
                    .await;
            }
        };
        let reply = handle(request, &mut asked, tasks).await;
        answer(&mut write, &reply).await?;
    }
}

/// The next line without its end; `None` at the end of the stream.
async fn line(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = read.take(MAX_REQUEST as u64 + 1).read_until(b'\n', &mut line).await?;
    if count == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a request that is too long or cut off"));
    }
    Ok(Some(line))
}

async fn answer<T: serde::Serialize>(write: &mut OwnedWriteHalf, answer: &Answer<T>) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    if line.len() > MAX_ANSWER {
        line = serde_json::to_vec(&Answer::<()>::Failed("the answer is too long".to_owned()))?;
    }
    line.push(b'\n');
    tokio::time::timeout(WRITE, write.write_all(&line)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn handle(request: Request, asked: &mut Asked, tasks: &TaskTracker) -> Answer<Content> {
    let admin = &asked.admin;
    if let Request::Status { revision } = request {
        // A process that does not follow within the time tells how it is now.
        let waited = (admin.interfaces)(revision);
        let interfaces = match tokio::time::timeout(SETTLE, waited).await {
            Ok(interfaces) => interfaces,
            Err(_) => (admin.interfaces)(0).await,
        };
        return Answer::Ok(Content::Status(Status {
            revision: admin.store.current().revision(),
            interfaces,
        }));
    }
    let mut working = asked.clone();
    // The store reads and writes files and waits for a lock.
    let done = tasks.spawn_blocking(move || {
        let done = blocking(request, &mut working);
        (done, working)
    });
    match done.await {
        Ok((done, now)) => {
            *asked = now;
            settled(done)
        }
        Err(error) => {
            tracing::error!(%error, "admin request failed");
            Answer::Failed("the process failed while it worked on the request".to_owned())
        }
    }
}

fn settled(done: Result<Content, Problems>) -> Answer<Content> {
    match done {
        Ok(content) => Answer::Ok(content),
        Err(problems) => Answer::Refused(problems),
    }
}

/// Goes on as another user: who may do everything may also do as little as somebody else.
fn login(user: &str, asked: &mut Asked) -> Result<Content, Problems> {
    let tree = asked.admin.store.current();
    Asker::with(asked.rights().unwrap_or(Rights::View))
        .may(Rights::Administer, "")
        .map_err(|problem| problem.hint(format!("sudo -u {user} adpcli begins a session as another user")))?;
    let unknown = || Problem::new("", format!("there is no user {user} on this machine"));
    let (uid, gid, rights) = roles::rights_of_name(&tree, user, asked.owner).ok_or_else(unknown)?;
    let rights = rights.ok_or_else(|| Problem::new("", format!("{user} has no role here")).denied())?;
    asked.who = Who { uid, gid };
    asked.author = Author(format!("{user} ({})", asked.author.0));
    Ok(Content::Operator(Operator { name: asked.author.0.clone(), rights }))
}

fn blocking(request: Request, asked: &mut Asked) -> Result<Content, Problems> {
    if let Request::Login { user } = request {
        return login(&user, asked);
    }
    let rights = asked.rights().ok_or_else(|| Problem::new("", NO_ROLE).denied())?;
    let asker = Asker::with(rights);
    let Asked { admin, author, started_with, .. } = &*asked;
    let Admin { name, store, clock, changed, .. } = admin;
    let before = store.current().revision();
    settle(admin);
    let content = match request {
        Request::Hello => Content::Hello(Hello {
            process: name.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contexts: store.registry().contexts().map(openadp_settings::Context::full_path).collect(),
            started_with: *started_with,
        }),
        Request::Snapshot => {
            store.refresh().map_err(|error| unreadable(&error))?;
            Content::Snapshot(store.current().masked())
        }
        Request::Commit { change, dry_run, confirm_within, seen, exclusive } => {
            let change = Change { author: author.clone(), ..change };
            if dry_run {
                Content::Preview(store.preview(&change)?)
            } else {
                let asker = asker.seen(seen, exclusive);
                Content::Done(store.commit_as(&asker, &change, confirm_within, clock.now())?)
            }
        }
        Request::Confirm => Content::Done(store.confirm_as(&asker, author, clock.now())?),
        Request::Pending => Content::Pending(store.pending()),
        Request::Revisions { from, to } => {
            store.refresh().map_err(|error| unreadable(&error))?;
            let to = to.min(store.current().revision());
            let from = from.max(to.saturating_sub(MAX_REVISIONS - 1));
            Content::Revisions(store.revisions(from..=to).map_err(|error| unreadable(&error))?)
        }
        Request::Diff { from, to } => Content::Changes(store.diff(from, to)?),
        Request::Audit { most } => Content::Audit(store.audit(most)?),
        Request::VerifyAudit => Content::AuditReport(store.verify_audit(clock.now())?),
        Request::Export { below, seal } => {
            if seal {
                asker.may(Rights::Operate, below.as_deref().unwrap_or_default())?;
            }
            Content::Lines(store.export(below.as_deref(), seal)?)
        }
        Request::Origin { context, key, parameter } => {
            Content::Origin(store.origin(&context, &key, &parameter)?)
        }
        Request::Rollback { to, force, dry_run } => {
            if dry_run {
                Content::Preview(store.preview_rollback(to, force)?)
            } else {
                Content::Done(store.rollback_as(&asker, to, author, force, clock.now())?)
            }
        }
        Request::Action { context, action, arguments, force } => {
            let what = (context.as_str(), action.as_str(), arguments.as_slice());
            Content::Action(store.run_action_as(&asker, what, author, force, clock.now())?)
        }
        Request::Counters => Content::Lines(match crate::telemetry::metrics() {
            Ok(metrics) => metrics.render().lines().map(str::to_owned).collect(),
            Err(error) => {
                tracing::error!(%error, "no metrics");
                Vec::new()
            }
        }),
        Request::Refresh => {
            store.refresh().map_err(|error| unreadable(&error))?;
            Content::Revision(store.current().revision())
        }
        Request::Login { .. } | Request::Status { .. } => Content::Status(Status::default()),
    };
    let after = store.current().revision();
    // Actions may have changed other files than the settings (a key ring), so they always wake the others.
    if after != before || matches!(content, Content::Action(_)) {
        tracing::info!(revision = after, author = %author.0, notice = true, "settings changed over the admin socket");
        changed();
    }
    Ok(content)
}

/// Takes back what was not confirmed in time. Where that fails the disk is full, say: reading goes on, and the next look
/// tries again.
fn settle(Admin { store, clock, .. }: &Admin) -> bool {
    match store.settle(clock.now()) {
        Ok(settled) => settled.is_some(),
        Err(error) => {
            tracing::error!(%error, "an unconfirmed change cannot be taken back");
            false
        }
    }
}

/// Watches the deadline of a change that waits for its confirmation, whoever made it.
async fn keep_deadlines(admin: Admin, tasks: TaskTracker) {
    let mut revisions = admin.store.watch();
    loop {
        let looked = admin.clone();
        let look = tasks.spawn_blocking(move || {
            if settle(&looked) {
                (looked.changed)();
            }
            looked.store.pending().is_some()
        });
        match look.await {
            // Not one sleep until the deadline: the clock may jump.
            Ok(true) => tokio::time::sleep(DEADLINE_PAUSE).await,
            Ok(false) | Err(_) => {
                if revisions.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn unreadable(error: &OpenError) -> Problems {
    Problem::new("", format!("Failed to read the configuration system: {error}")).into()
}
