//! Every message of the table is printed by what it says, with its exit code.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{Script, house, type_lines};
use openadp_cli::{Code, Installation, MESSAGES, Options, Session};
use openadp_settings::{OpenError, Store};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;

/// What these lines print, typed by somebody at a terminal or found in a file, in a data directory or the one that is given.
fn printed(data_dir: &Path, interactive: bool, answers: &[&'static str], lines: &str) -> String {
    let mut session =
        Session::new(&house(), Box::new(Installation::new(data_dir, house())), Options::default());
    let mut script = Script { interactive, answers: answers.iter().copied().collect(), ..Script::default() };
    let mut text = type_lines(&mut session, &mut script, lines);
    if let Some(code) = session.finish(&mut script) {
        text.push_str(&script.transcript);
        writeln!(text, "(exit {})", code as i32).unwrap();
    }
    text
}

#[test]
fn every_message_is_printed_by_what_it_says() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut found = |text: &str| {
        for message in MESSAGES.iter().filter(|message| text.contains(message.text)) {
            let after = &text[text.find(message.text).unwrap()..];
            let code = after.split_once("(exit ").map(|(_, code)| code.chars().next().unwrap());
            assert_eq!(
                code.and_then(|code| code.to_digit(10)),
                Some(message.code as u32),
                "{}:\n{text}",
                message.text
            );
            seen.insert(message.text);
        }
    };
    for lines in [
        "bogus",
        "House/Door/Guests> add ann",
        "House/Door> clear openSeconds;help a b",
        "House/Door> set opensecond 3",
        "House/Door> set openSeconds 99",
        "House/Door/Guests> add ann 1 true;add ann 1 true",
        "House/Door/Guests> delete ann 1",
        "House/Door> reset",
        "abort",
        "begin\nrollback 0",
        "begin",
        "diff 7",
    ] {
        let dir = tempfile::tempdir().unwrap();
        found(&printed(dir.path(), true, &[], lines));
        found(&printed(dir.path(), false, &[], lines));
        found(&printed(dir.path(), false, &[], &format!("{lines}\nexit;maybe")));
    }
    let dir = tempfile::tempdir().unwrap();
    found(&printed(dir.path(), true, &["one", "two"], "House/Door> set code"));
    // Two at once, and a log that somebody wrote to.
    let open =
        || Session::new(&house(), Box::new(Installation::new(dir.path(), house())), Options::default());
    let (mut ann, mut script) = (open(), Script { interactive: true, ..Script::default() });
    type_lines(&mut ann, &mut script, "begin\nHouse/Door> set openSeconds 3");
    type_lines(&mut open(), &mut script, "House/Door> set openSeconds 4");
    found(&type_lines(&mut ann, &mut script, "commit"));
    let log = dir.path().join("settings/audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("\"changed\"", "\"refused\"")).unwrap();
    found(&printed(dir.path(), true, &[], "audit verify"));
    // A journal that is damaged, and one of a newer release.
    let journal = dir.path().join("settings/revisions.jsonl");
    let good = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, good.replace("openSeconds", "openseconds")).unwrap();
    found(&printed(dir.path(), true, &[], "House/Door> get"));
    let fresh = tempfile::tempdir().unwrap();
    std::fs::create_dir(fresh.path().join("settings")).unwrap();
    std::fs::write(fresh.path().join("settings/revisions.jsonl"), newer(&good)).unwrap();
    found(&printed(fresh.path(), true, &[], "House/Door> get"));
    // A disk that is full.
    let full = tempfile::tempdir().unwrap();
    std::fs::create_dir(full.path().join("settings")).unwrap();
    std::os::unix::fs::symlink("/dev/full", full.path().join("settings/revisions.jsonl")).unwrap();
    found(&printed(full.path(), true, &[], "House/Door> set openSeconds 3"));
    // Somebody holds the lock.
    let held = tempfile::tempdir().unwrap();
    let _store = Store::open(held.path(), house()).unwrap();
    let lock = std::fs::File::options().write(true).open(held.path().join("settings/lock")).unwrap();
    lock.lock().unwrap();
    found(&printed(held.path(), true, &[], "House/Door> set openSeconds 3"));
    // An alias needs a home, so the binary is asked.
    let adpcli = |lines: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adpcli"));
        command.arg("--data-dir").arg(held.path().join("data")).env("HOME", held.path());
        for line in lines {
            command.args(["-c", line]);
        }
        let output = command.output().unwrap();
        format!("{}(exit {})", String::from_utf8_lossy(&output.stdout), output.status.code().unwrap())
    };
    found(&adpcli(&["alias again \"again\"", "again"]));
    // What only somebody else, or another kind of disk, can meet is made by hand; the texts are the store's own.
    let system =
        |kind: io::ErrorKind| OpenError::Io { path: "settings".into(), source: kind.into() }.to_string();
    let by_hand = [
        (system(io::ErrorKind::PermissionDenied), Code::Rights),
        (system(io::ErrorKind::ReadOnlyFilesystem), Code::Unreachable),
    ];
    for (text, code) in by_hand {
        found(&format!("{text}\n(exit {})", code as i32));
    }
    // Those of rights are met by `together.rs`.
    let rights = |message: &&str| !message.contains("not allowed") && !message.contains("no role");
    let missing: Vec<&str> = MESSAGES
        .iter()
        .map(|message| message.text)
        .filter(|text| !seen.contains(text))
        .filter(rights)
        .collect();
    assert!(missing.is_empty(), "nothing printed {missing:?}");
}

/// A journal as a newer release would write it: another format, and checksums that are right.
fn newer(journal: &str) -> String {
    let first = journal.lines().next().unwrap();
    let body = first.split(",\"sum\"").next().unwrap().replacen("\"format\":1", "\"format\":2", 1);
    let mut child = Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    io::Write::write_all(&mut child.stdin.take().unwrap(), body.as_bytes()).unwrap();
    let sum = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    format!("{body},\"sum\":\"{}\"}}\n", sum.split(' ').next().unwrap())
}
