//! `alias`, `write`, `repeat`, `config`, `qversions`, `qbw`, and what of a line may be shown.

mod common;

use common::{Script, house, session, type_lines};
use openadp_cli::{Console, Flow, Options};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Somebody at a terminal of a few lines, with a home.
#[derive(Default)]
struct Person {
    script: Script,
    home: PathBuf,
    rows: usize,
    /// How often they wait before they press a key.
    patience: usize,
}

impl Console for Person {
    fn print(&mut self, line: &str) {
        self.script.print(line);
    }
    fn warn(&mut self, line: &str) {
        self.script.warn(line);
    }
    fn interactive(&self) -> bool {
        true
    }
    fn ask(&mut self, question: &str) -> Option<String> {
        self.script.ask(question)
    }
    fn ask_secret(&mut self, question: &str) -> Option<String> {
        self.script.ask_secret(question)
    }
    fn named_secret(&mut self, name: &str) -> Option<String> {
        self.script.named_secret(name)
    }
    fn append_file(&mut self, path: &str) -> io::Result<File> {
        File::options().append(true).create(true).open(self.home.join(path))
    }
    fn read_file(&mut self, path: &str, _: u64) -> io::Result<String> {
        std::fs::read_to_string(self.home.join(path))
    }
    fn home(&self, file: &str) -> Option<String> {
        Some(self.home.join(file).to_string_lossy().into_owned())
    }
    fn rows(&self) -> usize {
        self.rows
    }
    fn wait(&mut self, time: Duration) -> bool {
        self.print(&format!("(waits {} s)", time.as_secs()));
        self.patience = self.patience.saturating_sub(1);
        self.patience == 0
    }
}

/// What somebody sees who types these lines in a session of their own.
fn typed(home: &Path, person: &mut Person, lines: &str) -> String {
    home.clone_into(&mut person.home);
    let mut session = session(&home.join("data"), &house(), Options::default());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let prompt = session.prompt();
        person.print(&format!("{prompt}{line}"));
        if let Flow::Failed(code) = session.line(line, person) {
            person.print(&format!("(exit {})", code as i32));
        }
    }
    std::mem::take(&mut person.script.transcript)
}

#[test]
fn aliases_are_kept_for_the_account() {
    let home = tempfile::tempdir().unwrap();
    let text = typed(
        home.path(),
        &mut Person::default(),
        "alias
        a door \"x\"
        alias gate2 \"cd /House/Door; set openSeconds\"
        GATE2 7
        alias show \"gate2 8; get openSeconds\"
        cd
        show
        alias loop \"loop\"
        loop
        alias get \"help\"
        alias hi2 \"set code planted\"
        alias 9lives \"get\"
        alias",
    );
    assert!(text.contains("'door' is the name of a command or a level"), "{text}");
    assert!(text.contains("ADP_CLI> GATE2 7\n...Done\nADP_CLI/House/Door> "), "{text}");
    assert!(text.contains("> show\n...Done\n  openSeconds = 8\n"), "{text}");
    assert!(text.contains("loop comes back to itself"), "{text}");
    assert!(
        text.contains("'get' is the name")
            && text.contains("it holds a secret")
            && text.contains("'9lives' is no name")
    );
    assert!(text.ends_with("> alias\n  gate2 = cd /House/Door; set openSeconds\n  loop = loop\n  show = gate2 8; get openSeconds\n"), "{text}");
    // Another session has them too, and one that was taken away is gone.
    let text = typed(home.path(), &mut Person::default(), "alias loop \"\"\nalias loop\nshow\nloop");
    assert!(text.contains("there is no alias loop") && text.contains("  openSeconds = 8\n"), "{text}");
    assert!(text.contains("'loop' is unknown here"), "{text}");
}

#[test]
fn commands_and_output_go_to_a_file_without_secrets() {
    let home = tempfile::tempdir().unwrap();
    let text = typed(
        home.path(),
        &mut Person::default(),
        "write off
        write
        write log
        House/Door> set openSeconds 7
        House/Door> set code pl4nted comment none
        bogus
        House/Door> get
        write off
        get",
    );
    assert!(text.contains("nothing is written to a file") && text.contains("<file>, File"), "{text}");
    let log = std::fs::read_to_string(home.path().join("log")).unwrap();
    assert!(
        log.starts_with("ADP_CLI> House/Door> set openSeconds 7\n...Done\nADP_CLI> House/Door> set code ********\n...Done\nADP_CLI> bogus\nInvalid command\n"),
        "{log}"
    );
    assert!(log.contains("  code = ********\n") && log.ends_with("ADP_CLI> write off\n...Done\n"), "{log}");
    assert!(!log.contains("pl4nted"));
}

#[test]
fn repeating_goes_on_until_a_key_is_pressed() {
    let home = tempfile::tempdir().unwrap();
    let mut person = Person { patience: 3, ..Person::default() };
    let text = typed(home.path(), &mut person, "House/Door> get openSeconds\nrepeat 1 5");
    assert_eq!(text.matches("  openSeconds = 10\n").count(), 4, "{text}");
    assert_eq!(text.matches("(waits 5 s)").count(), 3, "{text}");
    // What fails is not repeated, and nobody is waited for where nobody sits.
    let text = typed(home.path(), &mut Person { patience: 3, ..Person::default() }, "bogus\nre 1 5");
    assert_eq!(text.matches("Invalid command").count(), 2, "{text}");
    let mut script = Script::default();
    let mut session = session(&home.path().join("data"), &house(), Options::default());
    let text = type_lines(&mut session, &mut script, "help\nrepeat 1 5");
    assert!(text.contains("it goes on until a key is pressed, and nobody sits here"), "{text}");
}

#[test]
fn long_and_wide_output_is_shown_as_the_operator_wants_it() {
    let home = tempfile::tempdir().unwrap();
    let mut person = Person { rows: 4, ..Person::default() };
    person.script.answers = ["", "q"].into();
    let text = typed(
        home.path(),
        &mut person,
        "House/Door/Guests> add ann 1 true remark \"a long remark\"
        House/Door/Guests> add bob 2 false
        config width 30
        House/Door/Guests> get
        config width 0
        config width many
        config pager true
        House/Door/Guests> get
        House/Door> get
        config",
    );
    assert!(
        text.contains("> get\n  Name = ann\n  Floor = 1\n  May Stay = true\n  Remark = a long remark\n  Code =\n\n  Name = bob\n"),
        "{text}"
    );
    assert!(text.contains("width many is no setting of the session"), "{text}");
    // Three lines a page; the second question is answered with q.
    assert!(
        text.contains("-- return for more, q to stop -- \n")
            && text.contains("-- return for more, q to stop -- q\n")
    );
    assert!(text.contains("  pager = true\n"), "{text}");
}

#[test]
fn the_files_of_somebody_else_are_not_run() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".adpcli_alias");
    std::fs::write(&file, "mine qversions\n").unwrap();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adpcli"));
        command.arg("--data-dir").arg(home.path().join("data")).env("HOME", home.path()).args(["-c", "mine"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let mode = |mode: u32| {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(0o600);
    assert!(run().contains("Identity"));
    mode(0o622);
    assert!(run().contains("Invalid command"));
}

#[test]
fn what_is_installed() {
    let home = tempfile::tempdir().unwrap();
    let text = typed(home.path(), &mut Person::default(), "qversions\nqbw");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains("  Identity  Version  Install Date  Status\n"), "{text}");
    assert!(
        text.contains(&format!("  ADP       {version}")) && text.contains("  Installed\n\n1 entry found."),
        "{text}"
    );
    assert!(text.contains(&format!("ADP version Rel_{version}\n\nApplications Info:\n")), "{text}");
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let mut session = session(home.path(), &house(), Options::default());
    for (line, shown) in [
        ("House/Door> set code planted", "House/Door> set code ********"),
        (
            "House;Door;set openSeconds 2 CODE \"planted too\"; get",
            "House;Door;set openSeconds 2 CODE ********",
        ),
        ("set code=planted", "set code ********"),
        ("set code", "set code"),
        ("House/Door> get code", "House/Door> get code"),
        ("set “code” planted", "set “code ********"),
    ] {
        assert_eq!(session.masked(line), shown);
    }
    assert_eq!(session.prompt(), "ADP_CLI> ");
}

#[test]
fn the_echo_of_a_file_and_its_run_hold_no_secret_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("commands");
    let commands = "AS_CLI/System/NotificationPushServer> set sharedSecret pl4nted\nbogus sharedSecret pl4nted\nhistory\n";
    std::fs::write(&file, commands).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adpcli"));
        command.arg("--data-dir").arg(dir.path().join("data")).args(["-k", "-f"]).arg(&file).args(arguments);
        let output = command.output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    let text = run(&[]);
    assert!(
        text.contains("ADP_CLI> AS_CLI/System/NotificationPushServer> set sharedSecret ********\n...Done\n"),
        "{text}"
    );
    assert!(!text.contains("pl4nted"), "{text}");
    assert!(!run(&["-q"]).contains("sharedSecret"));
    // A file that another one reads is echoed only where that is wanted.
    let nested =
        format!("config echo false\nread {}\nconfig echo true\nread {}\n", file.display(), file.display());
    let outer = dir.path().join("outer");
    std::fs::write(&outer, nested).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_adpcli"));
    let output = command
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .args(["-k", "-f"])
        .arg(&outer)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("set sharedSecret ********").count(), 1, "{text}");
    assert!(!text.contains("pl4nted"), "{text}");
}
