//! Several edits as one change, and changes that wait for their confirmation.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{Script, house, session, type_lines};
use openadp_appserver::{Clock, SystemClock};
use openadp_cli::{Console as _, Flow, Options};
use openadp_settings::{Author, Change, Edit, Store};
use std::path::Path;

fn typed(data_dir: &Path, interactive: bool, options: Options, lines: &str) -> String {
    let mut session = session(data_dir, &house(), options);
    let mut script = Script { interactive, ..Script::default() };
    let mut text = type_lines(&mut session, &mut script, lines);
    if let Some(code) = session.finish(&mut script) {
        script.print(&format!("(exit {})", code as i32));
        text.push_str(&script.transcript);
    }
    // The deadline is the one thing that differs from run to run.
    let mut rest = text.as_str();
    let mut same = String::new();
    while let Some(at) = rest.find("goes back at ") {
        same.push_str(&rest[..at]);
        same.push_str("goes back at TIME");
        rest = &rest[at + "goes back at 2026-01-01 00:00:00 UTC".len()..];
    }
    same + rest
}

fn transcript(lines: &str) -> String {
    typed(tempfile::tempdir().unwrap().path(), true, Options::default(), lines)
}

#[test]
fn all_or_nothing() {
    insta::assert_snapshot!(transcript(
        "commit
        abort
        House/Door
        begin
        begin
        diff
        commit
        begin
        set openSeconds 2 code secret
        Guests> add ann 1 true
        Guests> add bob 2 false
        *ADP_CLI/House/Door/Guests> set bob 2 stays true
        get
        Guests> get
        diff
        commit check
        rollback 0
        /House/Keys> count
        commit comment \"new guests\"
        get
        begin
        Guests> delete ann 1
        abort
        begin
        set openSeconds 200
        Guests> add ann 1 true
        Guests> add carol 13 true
        Guests> delete nobody 9
        get
        commit
        commit nonsense
        abort
        begin; Guests> add carol 13 true --force; commit
        begin
        Guests> add carol 13 true --force
        commit
        diff
        Guests> get
        begin
        set openSeconds 5
        exit; n
        exit; y"
    ));
}

#[test]
fn a_context_is_emptied() {
    insta::assert_snapshot!(transcript(
        "House/Door/Guests> add ann 1 true
        House> reset
        House/Door
        set openSeconds 2 code secret
        reset; n
        reset; y
        get
        diff
        begin
        Guests> reset
        Guests> add ann 1 true
        diff
        Guests> add ann 2 true
        commit"
    ));
}

#[test]
fn a_change_waits_for_its_confirmation() {
    insta::assert_snapshot!(transcript(
        "House/Door
        commit confirm
        commit confirmed 5
        begin
        set openSeconds 2
        commit confirmed
        commit confirmed soon
        commit confirmed 5000
        commit confirmed 5
        begin
        set openSeconds 3
        commit confirmed 5
        commit
        commit confirm
        commit
        begin
        set openSeconds 4
        commit confirmed 1
        commit
        get openSeconds"
    ));
}

#[test]
fn what_nobody_confirmed_is_taken_back_by_the_next_who_looks() {
    let dir = tempfile::tempdir().unwrap();
    let values = [("openSeconds".to_owned(), Some("2".to_owned()))].into();
    let edit = Edit::Set { context: "ADP_CLI/House/Door".to_owned(), key: Vec::new(), values };
    let change = Change { author: Author("ann".to_owned()), comment: None, edits: vec![edit], force: false };
    let store = Store::open(dir.path(), house()).unwrap();
    store.commit_confirmed(&change, 5, SystemClock.now() - time::Duration::minutes(6)).unwrap();
    drop(store);
    let text = typed(dir.path(), true, Options::default(), "House/Door> get openSeconds\nrevisions");
    assert!(text.contains("  openSeconds = 10\n"), "{text}");
    assert!(text.contains("openadp  revision 1 was not confirmed and is taken back"), "{text}");
}

#[test]
fn a_file_is_done_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "House/Door
        begin
        set openSeconds 2
        set nonsense 2
        set openSeconds 3
        commit
        exit
        get openSeconds
        abort
        begin
        set openSeconds 4";
    let mut session = session(dir.path(), &house(), Options::default());
    let mut script = Script::default();
    let mut flows = Vec::new();
    for line in lines.lines() {
        flows.push(session.line(line, &mut script));
    }
    let failed = |flow: &Flow| matches!(flow, Flow::Failed(_));
    let failures: Vec<usize> = (0..flows.len()).filter(|index| failed(&flows[*index])).collect();
    assert_eq!(failures, [3, 5, 6], "{}", script.transcript);
    assert!(session.change_is_open());
    assert!(session.finish(&mut script).is_some());
    insta::assert_snapshot!(script.transcript);
    assert_eq!(Store::open(dir.path(), house()).unwrap().current().revision(), 0);
}

#[test]
fn a_dry_run_of_a_whole_change() {
    let dry = Options { dry_run: true, ..Options::default() };
    let dir = tempfile::tempdir().unwrap();
    let lines = "House/Door\nbegin\nset openSeconds 2\nGuests> add ann 1 true\ncommit\ncommit confirm";
    insta::assert_snapshot!(typed(dir.path(), false, dry, lines));
    assert_eq!(Store::open(dir.path(), house()).unwrap().current().revision(), 0);
}

#[test]
fn ten_thousand_lines_are_one_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path(), &house(), Options::default());
    let mut script = Script::default();
    assert_eq!(session.line("begin", &mut script), Flow::Continue);
    for number in 0..10_000 {
        let line = format!("ADP_CLI/House/Door/Guests> add \"guest {number}\" 1 true");
        assert_eq!(session.line(&line, &mut script), Flow::Continue);
    }
    assert_eq!(session.line("commit", &mut script), Flow::Continue, "{}", script.transcript);
    let store = Store::open(dir.path(), house()).unwrap();
    assert_eq!(store.current().revision(), 1);
    assert_eq!(store.rows::<common::Guest>().len(), 10_000);
}
