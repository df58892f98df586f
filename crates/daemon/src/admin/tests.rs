use super::*;
use openadp_appserver::Clock;
use openadp_settings::{
    Author, Context, Edit, Kind, Module, Parameter, Registry, Settings, Store, Tree, context,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

context! {
    /// A door.
    struct Door = Context::single(Tree::Adp, "System/Door") => {
        /// Its colour.
        colour: String = Parameter::new("colour", Kind::text(1, 20));
        /// Its code.
        code: openadp_settings::Secret = Parameter::new("code", Kind::secret(20));
    }
}

fn registry() -> Registry {
    Registry::new([Module::new("door").contexts(&[<Door as Settings>::CONTEXT])]).unwrap()
}

struct Noon;
impl Clock for Noon {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }
}

struct Running {
    socket: Option<AdminSocket>,
    store: Arc<Store>,
    wakes: Arc<AtomicU32>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Running {
    fn start(data_dir: &Path, name: &str) -> Self {
        Self::start_at(data_dir, name, Arc::new(Noon))
    }

    fn start_at(data_dir: &Path, name: &str, clock: Arc<dyn Clock>) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let store = Store::open(data_dir, registry()).unwrap();
        let wakes = Arc::new(AtomicU32::new(0));
        let count = wakes.clone();
        let admin = Admin {
            name: name.to_owned(),
            store: store.clone(),
            clock,
            changed: Arc::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }),
            interfaces: Arc::new(|revision| {
                Box::pin(async move {
                    if revision > 1000 {
                        std::future::pending::<()>().await;
                    }
                    vec![InterfaceStatus {
                        kind: "http".to_owned(),
                        address: "127.0.0.1".parse().unwrap(),
                        port: 443,
                        not_listening: Some("Permission denied".to_owned()),
                    }]
                })
            }),
        };
        let socket = AdminSocket::start(data_dir, admin, &tasks, shutdown.clone()).unwrap();
        Self { socket: Some(socket), store, wakes, tasks, shutdown }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.socket.take();
    }
}

fn paint(colour: &str) -> Change {
    let values = BTreeMap::from([("colour".to_owned(), Some(colour.to_owned()))]);
    let edit = Edit::Set { context: "ADP_CLI/System/Door".to_owned(), key: Vec::new(), values };
    Change { author: Author("somebody else".to_owned()), comment: None, edits: vec![edit], force: false }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn a_session_reads_changes_and_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), "adp");
    let path = running.socket.as_ref().unwrap().path().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let data_dir = dir.path().to_owned();
    blocking(move || {
        let mut clients = discover(&data_dir);
        assert_eq!(clients.len(), 1);
        let client = &mut clients[0];
        assert_eq!(client.hello().process, "adp");
        assert!(client.knows("ADP_CLI/System/Door") && !client.knows("ADP_CLI/System"));
        assert_eq!(client.preview(&paint("red")).unwrap().committed.revision, 1);
        assert_eq!(client.commit(&paint("red")).unwrap().revision, 1);
        assert_eq!(client.commit(&paint("blue")).unwrap().revision, 2);
        let snapshot = client.snapshot().unwrap().into_snapshot(&registry());
        assert_eq!(snapshot.get::<Door>().colour, "blue");
        let revisions = client.revisions(0, u64::MAX).unwrap();
        assert_eq!(revisions.len(), 2);
        assert_ne!(revisions[0].author.0, "somebody else", "the socket knows who asks");
        assert_eq!(client.diff(0, 2).unwrap()[0].lines(), ["ADP_CLI/System/Door", "  + colour = blue"]);
        assert_eq!(client.preview_rollback(1, false).unwrap().committed.revision, 3);
        assert_eq!(client.rollback(1, false).unwrap().revision, 3);
        assert!(matches!(client.rollback(9, false), Err(ClientError::Refused(_))));
        let refused = client.commit(&paint("")).unwrap().revision;
        assert_eq!(refused, 4, "an empty value clears");
        assert!(matches!(client.commit(&paint(&"x".repeat(21))), Err(ClientError::Refused(_))));
        assert!(matches!(
            client.action("ADP_CLI/System/Door", "slam", &[], false),
            Err(ClientError::Refused(_))
        ));
        assert_eq!(client.refresh().unwrap(), 4);
        let status = client.status(4).unwrap();
        assert_eq!(status.interfaces[0].not_listening.as_deref(), Some("Permission denied"));
    })
    .await;
    assert_eq!(running.store.current().revision(), 4);
    assert_eq!(running.wakes.load(Ordering::Relaxed), 4);
    running.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn dead_sockets_and_other_files_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), "xsi");
    let folder = dir.path().join("run/admin");
    drop(std::os::unix::net::UnixListener::bind(folder.join("dead-1.sock")).unwrap());
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    let data_dir = dir.path().to_owned();
    let names = move || discover(&data_dir).iter().map(|c| c.hello().process.clone()).collect::<Vec<_>>();
    assert_eq!(blocking(names).await, ["xsi"]);
    assert!(!folder.join("dead-1.sock").exists());
    assert!(folder.join("notes.txt").exists());
    running.stop().await;
    assert!(discover(dir.path()).is_empty());
    assert!(discover(&dir.path().join("nowhere")).is_empty());
}

#[tokio::test]
async fn a_data_directory_with_a_long_name_works() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("n".repeat(120));
    let running = Running::start(&long, "adp");
    assert_eq!(blocking(move || discover(&long).len()).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_request_ends_the_session_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), "adp");
    let path = running.socket.as_ref().unwrap().path().to_owned();
    for bad in ["{}", "[", "{\"op\":\"open\"}", "\u{0}\u{1}", "{\"op\":\"commit\"}"] {
        let path = path.clone();
        let answer = blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(bad.as_bytes()).unwrap();
            stream.write_all(b"\n").unwrap();
            let mut lines = BufReader::new(stream).lines();
            let first = lines.next().unwrap().unwrap();
            assert!(lines.next().is_none());
            first
        })
        .await;
        assert!(answer.starts_with("{\"failed\":\"malformed request"), "{bad}: {answer}");
    }
    // A request without an end, longer than any, closes the session and nothing else.
    let flood = path.clone();
    blocking(move || {
        let mut stream = UnixStream::connect(flood).unwrap();
        let _cut_off = stream.write_all(&vec![b'x'; MAX_REQUEST + 10]);
        let read = BufReader::new(stream).lines().next();
        assert!(!matches!(read, Some(Ok(_))));
    })
    .await;
    let data_dir = dir.path().to_owned();
    assert_eq!(blocking(move || discover(&data_dir).len()).await, 1);
    running.stop().await;
}

#[tokio::test]
async fn sessions_beyond_the_most_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), "adp");
    let data_dir = dir.path().to_owned();
    blocking(move || {
        let held: Vec<Client> = (0..32).flat_map(|_| discover(&data_dir)).collect();
        assert_eq!(held.len(), 32);
        assert!(discover(&data_dir).is_empty());
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn status_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), "adp");
    let data_dir = dir.path().to_owned();
    let status = blocking(move || discover(&data_dir)[0].status(5000).unwrap()).await;
    assert_eq!(status.interfaces.len(), 1);
    running.stop().await;
}

#[test]
fn users_have_names() {
    assert_eq!(author(0), "root");
    assert_eq!(author(4_000_000_123), "uid:4000000123");
}

struct Settable(std::sync::atomic::AtomicI64);
impl Clock for Settable {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_process_takes_back_what_nobody_confirms() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Settable(1000.into()));
    let running = Running::start_at(dir.path(), "adp", clock.clone());
    let data_dir = dir.path().to_owned();
    blocking(move || {
        let client = &mut discover(&data_dir)[0];
        assert_eq!(client.pending().unwrap(), None);
        assert!(matches!(client.confirm(), Err(ClientError::Refused(_))));
        client.commit_confirmed(&paint("red"), 1).unwrap();
        assert_eq!(client.pending().unwrap().unwrap().revision, 1);
        assert_eq!(client.confirm().unwrap().revision, 2);
        client.commit_confirmed(&paint("blue"), 1).unwrap();
    })
    .await;
    let mut revisions = running.store.watch();
    clock.0.store(1060, Ordering::Relaxed);
    // Nobody asks for anything any more.
    while *revisions.borrow_and_update() < 4 {
        revisions.changed().await.unwrap();
    }
    assert_eq!(running.store.get::<Door>().colour, "red");
    running.stop().await;
}
