//! Two operators at once, and operators who may not do everything.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{HOUSE, Script, house, session, type_lines};
use openadp_appserver::SystemClock;
use openadp_cli::{Options, Session};
use openadp_daemon::admin::{Admin, AdminSocket};
use openadp_settings::{Registry, Store};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A user that every machine has, and that owns nothing.
const NOBODY: u32 = 65534;

/// A session of somebody at a terminal.
struct Operator(Session);

impl Operator {
    fn new(data_dir: &Path) -> Self {
        Self(session(data_dir, &house(), Options::default()))
    }
    fn types(&mut self, lines: &str) -> String {
        type_lines(&mut self.0, &mut Script { interactive: true, ..Script::default() }, lines)
    }
}

#[test]
fn neither_of_two_operators_loses_a_change_silently() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ann, mut bob) = (Operator::new(dir.path()), Operator::new(dir.path()));
    // Changes of different things both stay.
    ann.types("House/Door> get");
    bob.types("House/Door> get");
    assert!(ann.types("House/Door> set openSeconds 2").ends_with("...Done\n"));
    assert!(bob.types("House/Door> set comment hello").ends_with("...Done\n"));
    let both = ann.types("House/Door> get");
    assert!(both.contains("openSeconds = 2") && both.contains("comment = hello"), "{both}");
    // Who changes what another changed since they looked is told.
    bob.types("House/Door> set openSeconds 3");
    let told = ann.types("House/Door> set openSeconds 4");
    assert!(
        told.contains("...Done [") && told.contains("changed openSeconds in revision 3 meanwhile]"),
        "{told}"
    );
    // An open change meets what was done since it was begun: it is refused, and nothing of it is done or lost.
    ann.types(
        "begin
        House/Door> set openSeconds 5
        House/Door/Guests> add ann 1 true",
    );
    bob.types("House/Door> set openSeconds 6");
    let refused = ann.types("commit");
    assert!(
        refused.contains("[CLIError] Command commit: ADP_CLI/House/Door: ")
            && refused.contains("changed openSeconds in revision 5, after this change was begun"),
        "{refused}"
    );
    assert!(
        refused.contains(
            "Hint: commit check shows what this change would do now, abort drops it; or add --force"
        ),
        "{refused}"
    );
    assert!(refused.ends_with("(exit 1)\n") && ann.0.change_is_open());
    assert!(bob.types("House/Door> get openSeconds").contains("openSeconds = 6"));
    let check = ann.types("commit check");
    assert!(check.contains("- openSeconds = 6") && check.contains("+ openSeconds = 5"), "{check}");
    let forced = ann.types("commit --force");
    assert!(forced.contains("...Done [2 edits as revision 6"), "{forced}");
    // What was begun before and touches something else goes through.
    ann.types(
        "begin
        House/Door> set openSeconds 7",
    );
    bob.types("House/Door/Guests> set ann 1 remark late");
    assert!(ann.types("commit").contains("...Done [1 edit as revision 8]"));
    let entries = bob.types("audit verify");
    assert!(entries.contains("none altered, none missing"), "{entries}");
}

fn roles() -> Registry {
    Registry::new([HOUSE, openadp_daemon::MODULE]).unwrap()
}

#[test]
fn a_user_of_the_machine_does_what_their_role_allows() {
    // Only root can be somebody else; the rules themselves are held by the tests of settings and daemon.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // A folder of its own: the usual one lets nobody pass.
    let top = tempfile::tempdir().unwrap();
    std::fs::set_permissions(top.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = top.path().join("adpcli");
    std::fs::copy(env!("CARGO_BIN_EXE_adpcli"), &program).unwrap();
    let dir = top.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = Store::open(&dir, roles()).unwrap();
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let admin = Admin {
        name: "adp".to_owned(),
        store: store.clone(),
        clock: Arc::new(SystemClock),
        changed: Arc::new(|| {}),
        interfaces: Arc::new(|_| Box::pin(async { Vec::new() })),
    };
    let socket = {
        let _context = runtime.enter();
        AdminSocket::start(&dir, admin, &tasks, shutdown.clone()).unwrap()
    };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let root = |line: &str| {
        let mut session = session(&dir, &roles(), Options::default());
        type_lines(&mut session, &mut Script::default(), line)
    };
    // Whether the way is open is seen a moment after the change.
    let opened = |wanted: u32| {
        let start = std::time::Instant::now();
        while mode(socket.path()) != wanted {
            assert!(start.elapsed().as_secs() < 30, "the mode stays {:o}", mode(socket.path()));
            std::thread::yield_now();
        }
    };
    let set = "ADP_CLI/System/Logging> set level warn";
    let get = "ADP_CLI/System/Logging> get";
    let give = "ADP_CLI/System/Roles> set user nobody role administer";
    let nobody = |lines: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--data-dir").arg(&dir).arg("-k").uid(NOBODY).gid(NOBODY).current_dir("/");
        for line in lines {
            command.args(["-c", line]);
        }
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    // Nothing without a role, and the way is closed.
    assert_eq!((mode(socket.path()), mode(&dir)), (0o600, 0o700));
    let (text, code) = nobody(&[get]);
    assert!(text.starts_with("[CLIError] Command get: ") && code == Some(3), "{text}");
    // The process answers everybody while somebody has a role, and says what is missing.
    root("ADP_CLI/System/Roles> add user daemon view");
    opened(0o666);
    let (text, code) = nobody(&[get]);
    assert!(text.contains("this user has no role here") && text.contains("System/Roles"), "{text}");
    assert_eq!(code, Some(3));
    root("ADP_CLI/System/Roles> add user nobody view");
    let (text, code) = nobody(&[get, "audit 1", set]);
    assert!(text.contains("level = info") && code == Some(3), "{text}");
    assert!(
        text.contains(
            "[CLIError] Command set: not allowed: it needs the right to operate, and yours is to view"
        ),
        "{text}"
    );
    assert!(text.contains("Hint: whoever administers the installation gives it in System/Roles"), "{text}");
    root("ADP_CLI/System/Roles> set user nobody role operate");
    let (text, code) = nobody(&[set, get, give, "rollback 0", "login root"]);
    assert!(text.contains("...Done\n") && text.contains("level = warn"), "{text}");
    assert_eq!(
        text.matches("it needs the right to administer, and yours is to operate").count(),
        3,
        "{text}"
    );
    assert_eq!(code, Some(3));
    // The owner goes on as somebody who may less.
    let text = root(
        "login nobody
        ADP_CLI/System/Logging> set level error
        ADP_CLI/System/Roles> delete user nobody
        login root",
    );
    assert!(text.contains("nobody (root) logging in...") && text.contains("...Done"), "{text}");
    assert_eq!(text.matches("(exit 3)").count(), 2, "{text}");
    assert!(root("login no-such-user").contains("there is no user no-such-user on this machine"));
    let log = root("audit");
    let words: Vec<String> =
        log.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for told in [
        " nobody changed ",
        " nobody (root) changed ",
        " nobody denied not allowed",
        " nobody (root) denied ",
    ] {
        assert!(words.iter().any(|line| line.contains(told)), "{told}: {log}");
    }
    root(
        "ADP_CLI/System/Roles> delete user nobody
        ADP_CLI/System/Roles> delete user daemon",
    );
    opened(0o600);
    shutdown.cancel();
    tasks.close();
    runtime.block_on(tasks.wait());
    drop(socket);
    // On the files alone nobody gets further either.
    let (text, code) = nobody(&[get]);
    assert!(text.contains("[CLIError] Command get: ") && code == Some(3), "{text}");
}
