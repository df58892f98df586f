//! The same session on a running process, on files, and on both at once.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{Guest, HOUSE, Script, house, session, type_lines};
use openadp_appserver::{Clock, SystemClock};
use openadp_cli::{Options, Session};
use openadp_daemon::admin::{Admin, AdminSocket, InterfaceStatus};
use openadp_settings::{Context, Kind, Module, Parameter, Registry, Settings, Store, Tree, context};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

context! {
    /// An interface, as the real declaration has it.
    struct Interface = Context::table(Tree::Adp, "Interface/Http/HttpServer") => {
        /// Its address.
        interface_ip: IpAddr = Parameter::new("interfaceIp", Kind::IpAddress).key();
        /// Its port.
        port: u16 = Parameter::new("port", Kind::integer(1, 65535)).key();
    }
}
const INTERFACES: Module = Module::new("interfaces").contexts(&[<Interface as Settings>::CONTEXT]);

fn all() -> Registry {
    Registry::new([HOUSE, INTERFACES]).unwrap()
}

/// A process with an admin socket.
struct Process {
    runtime: Runtime,
    socket: Option<AdminSocket>,
    store: Arc<Store>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Process {
    fn start(data_dir: &Path, name: &str, registry: Registry) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = Store::open(data_dir, registry).unwrap();
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let admin = Admin {
            name: name.to_owned(),
            store: store.clone(),
            clock: Arc::new(SystemClock),
            changed: Arc::new(|| {}),
            interfaces: Arc::new(|_| {
                Box::pin(async {
                    let state = |port, not_listening: Option<&str>| InterfaceStatus {
                        kind: "http".to_owned(),
                        address: IpAddr::from([127, 0, 0, 9]),
                        port,
                        not_listening: not_listening.map(str::to_owned),
                    };
                    vec![state(443, Some("Permission denied")), state(8443, None)]
                })
            }),
        };
        let socket = {
            let _context = runtime.enter();
            AdminSocket::start(data_dir, admin, &tasks, shutdown.clone()).unwrap()
        };
        Self { runtime, socket: Some(socket), store, tasks, shutdown }
    }

    fn stop(mut self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.runtime.block_on(self.tasks.wait());
        self.socket.take();
    }
}

fn typed(session: &mut Session, lines: &str) -> String {
    type_lines(session, &mut Script::default(), lines)
}

#[test]
fn every_process_has_a_change_by_the_time_it_is_done() {
    // These processes do not tell each other, so the session has to.
    let dir = tempfile::tempdir().unwrap();
    let processes = ["authservice", "cti", "xsi"].map(|name| Process::start(dir.path(), name, all()));
    let mut session = session(dir.path(), &all(), Options { yes: true, ..Options::default() });
    for line in
        ["ADP_CLI/House/Door> set openSeconds 20", "ADP_CLI/House/Door> set openSeconds 21", "rollback 1"]
    {
        let text = typed(&mut session, line);
        assert!(text.contains("...Done"), "{text}");
        let revisions = processes.each_ref().map(|process| process.store.current().revision());
        assert_eq!(revisions, [revisions[0]; 3], "after {line}");
    }
    for process in processes {
        process.stop();
    }
}

#[test]
fn a_running_process_takes_the_changes_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), "adp", all());
    let mut session = session(dir.path(), &all(), Options { yes: true, ..Options::default() });
    let text = typed(
        &mut session,
        "House/Door
         set openSeconds 20 code planted-secret
         get
         diff
         set openSeconds 99
         set openSeconds 21
         ADP_CLI/House/Keys> count
         rollback 1
         rollback 7
         ADP_CLI/Interface/Http/HttpServer> add 127.0.0.9 443
         ADP_CLI/Interface/Http/HttpServer> add 127.0.0.9 8443
         ADP_CLI/Interface/Http/HttpServer> add 127.0.0.9 8444
         ADP_CLI/Interface/Http/HttpServer> add 127.0.0.9 8444
         ADP_CLI/Interface/Http/HttpServer> delete 127.0.0.9 443",
    );
    assert!(!text.replace("code planted-secret\n", "").contains("planted-secret"));
    insta::assert_snapshot!(text);
    assert_eq!(process.store.current().revision(), 7);
    assert_eq!(process.store.get::<common::Door>().open_seconds, 20);
    assert_eq!(process.store.get::<common::Door>().code.expose(), "planted-secret");
    process.stop();
}

#[test]
fn a_session_outlives_the_process_it_began_with_and_finds_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path(), &house(), Options::default());
    assert!(typed(&mut session, "House/Door> set openSeconds 2").contains("...Done"));
    let first = Process::start(dir.path(), "one", house());
    assert!(typed(&mut session, "House/Door> set openSeconds 3").contains("...Done"));
    assert_eq!(first.store.get::<common::Door>().open_seconds, 3);
    first.stop();
    assert!(typed(&mut session, "House/Door> set openSeconds 4").contains("...Done"));
    let second = Process::start(dir.path(), "two", house());
    assert!(typed(&mut session, "House/Door> get").contains("openSeconds = 4"));
    assert!(typed(&mut session, "House/Door> set openSeconds 5").contains("...Done"));
    assert_eq!(second.store.get::<common::Door>().open_seconds, 5);
    assert!(typed(&mut session, "revisions").contains("4 entries found."));
    second.stop();
}

#[test]
fn what_no_process_knows_goes_to_the_files_and_the_processes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), "other", Registry::new([INTERFACES]).unwrap());
    let mut changes = process.store.watch();
    changes.mark_unchanged();
    let mut session = session(dir.path(), &all(), Options::default());
    assert!(typed(&mut session, "House/Door> set openSeconds 2").contains("...Done"));
    assert!(changes.has_changed().unwrap());
    assert_eq!(process.store.current().revision(), 1);
    assert!(
        typed(&mut session, "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.9 8443").contains("...Done\n")
    );
    assert_eq!(process.store.rows::<Interface>()[0].port, 8443);
    assert!(typed(&mut session, "House/Door> get").contains("openSeconds = 2"));
    process.stop();
}

#[test]
fn sessions_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), "adp", house());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = dir.path();
            scope.spawn(move || {
                let mut session = session(path, &house(), Options::default());
                for round in 0..4 {
                    let line = format!("House/Door/Guests> add g{writer}x{round} 1 true");
                    assert!(typed(&mut session, &line).contains("...Done"));
                }
            });
        }
    });
    assert_eq!(process.store.rows::<Guest>().len(), 16);
    assert!(
        process.store.revisions(0..=99).unwrap().iter().all(|revision| revision.time <= SystemClock.now())
    );
    process.stop();
}

#[test]
fn a_data_directory_that_cannot_be_had_is_out_of_reach() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let mut session = session(&file, &house(), Options::default());
    assert!(typed(&mut session, "House/Door> get").ends_with("(exit 4)\n"));
    let folder = dir.path().join("settings");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("machine.key"), "0").unwrap();
    let mut session = common::session(dir.path(), &house(), Options::default());
    let text = typed(&mut session, "House/Door> set openSeconds 2");
    assert!(text.contains("machine key") && text.ends_with("(exit 4)\n"), "{text}");
}
