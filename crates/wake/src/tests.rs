use super::*;
use std::os::unix::fs::PermissionsExt;

const SOON: Duration = Duration::from_secs(5);

struct Node {
    wake: Wake,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Node {
    fn start(data_dir: &Path) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let wake = Wake::join(data_dir, &tasks, shutdown.clone()).expect("joins");
        Self { wake, tasks, shutdown }
    }
    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn sockets(data_dir: &Path) -> usize {
    std::fs::read_dir(data_dir.join("run/wake")).expect("directory").count()
}

async fn woken(receiver: &mut watch::Receiver<u64>) {
    tokio::time::timeout(SOON, receiver.changed()).await.expect("woken in time").expect("sender lives");
}

#[tokio::test]
async fn a_topic_reaches_oneself_and_the_siblings_and_no_other_topic() {
    let dir = tempfile::tempdir().expect("dir");
    let (one, two) = (Node::start(dir.path()), Node::start(dir.path()));
    let (mut here, mut there) = (one.wake.subscribe("feed"), two.wake.subscribe("feed"));
    let mut other = two.wake.subscribe("keys");
    one.wake.notify("feed");
    woken(&mut here).await;
    woken(&mut there).await;
    assert!(!other.has_changed().expect("lives"));
    two.wake.notify("keys");
    woken(&mut other).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(sockets(dir.path()), 0, "sockets are removed on shutdown");
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_works() {
    let dir = tempfile::tempdir().expect("dir");
    let long = dir.path().join("x".repeat(120)).join("y".repeat(120));
    let (one, two) = (Node::start(&long), Node::start(&long));
    let mut there = two.wake.subscribe("feed");
    one.wake.notify("feed");
    woken(&mut there).await;
    let mode = std::fs::metadata(long.join("run/wake")).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn sockets_of_the_dead_are_removed_and_strange_files_stay() {
    let dir = tempfile::tempdir().expect("dir");
    let one = Node::start(dir.path());
    let dead = dir.path().join("run/wake/1-dead.sock");
    drop(std::os::unix::net::UnixDatagram::bind(&dead).expect("binds"));
    let strange = dir.path().join("run/wake/readme");
    std::fs::write(&strange, "x").expect("written");
    one.wake.notify("feed");
    assert!(!dead.exists());
    assert!(strange.exists());
    one.stop().await;
}

#[tokio::test]
async fn a_full_sibling_is_told_once_it_reads_again() {
    let dir = tempfile::tempdir().expect("dir");
    let one = Node::start(dir.path());
    // A sibling that does not read: a bare socket with a full queue.
    let slow = UnixDatagram::bind(dir.path().join("run/wake/2-slow.sock")).expect("binds");
    for _ in 0..2_000 {
        one.wake.notify("feed");
    }
    one.wake.notify("keys");
    let mut buffer = [0_u8; 64];
    let everything = async {
        loop {
            let length = slow.recv(&mut buffer).await.expect("received");
            if matches!(&buffer[..length], b"*" | b"keys") {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, everything).await.expect("the missed wake-up comes");
    one.stop().await;
}

#[tokio::test]
async fn garbage_is_ignored_and_a_program_without_socket_can_tell() {
    let dir = tempfile::tempdir().expect("dir");
    let one = Node::start(dir.path());
    let mut feed = one.wake.subscribe("feed");
    let own = std::fs::read_dir(dir.path().join("run/wake"))
        .expect("dir")
        .next()
        .expect("one")
        .expect("entry")
        .path();
    let stranger = std::os::unix::net::UnixDatagram::unbound().expect("socket");
    for garbage in [&[0xff_u8, 0xfe][..], b"", b"unknown", &[b'x'; 4096][..]] {
        stranger.send_to(garbage, &own).expect("sent");
    }
    Wake::notify_once(dir.path(), "feed").expect("told");
    woken(&mut feed).await;
    one.stop().await;
}
