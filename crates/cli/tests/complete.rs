//! How a line may go on.
mod common;

use common::{Script, house, session, type_lines};
use openadp_cli::{Options, Session};
use proptest::prelude::*;

fn words(session: &mut Session, line: &str) -> Vec<String> {
    session.complete(line, true).candidates.into_iter().map(|candidate| candidate.text).collect()
}

fn hint(session: &mut Session, line: &str) -> String {
    session.complete(line, true).hint.unwrap_or_default()
}

#[test]
fn levels_commands_attributes_keys_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path(), &house(), Options::default());
    let guests = "House/Door/Guests> add anna 3 true\nHouse/Door/Guests> add anna 4 true\nHouse/Door/Guests> add \"ben b\" 5 true";
    type_lines(&mut session, &mut Script::default(), guests);
    let mut check = |line: &str, expected: &[&str]| assert_eq!(words(&mut session, line), expected, "{line}");
    // Levels, by name, by path, behind `;` and behind a prompt.
    check("", &["House"]);
    check("hou", &["House"]);
    check("House/", &["House/Door/", "House/Keys"]);
    check("cd /house/d", &["/house/Door/"]);
    check("house;do", &["Door"]);
    check("AS_CLI;", &["Street"]);
    check("ADP_CLI/House> K", &["Keys"]);
    check("XSP|ADP_CLI/House/Door> set col", &["colour"]);
    // Commands, here and elsewhere.
    check("house;door;g", &["get", "Guests"]);
    check("House/Door g", &["get"]);
    check("qui", &["quit"]);
    check("help rol", &["rollback"]);
    // Attributes not given yet, and the words of a choice.
    check("House/Door> set ", &["enabled", "openSeconds", "colour", "comment", "code"]);
    check("House/Door> set enabled true o", &["openSeconds"]);
    check("House/Door> set ENABLED ", &["false", "true"]);
    check("House/Door> set colour g", &["Green"]);
    check("House/Door> set code ", &[]);
    check("House/Door> clear colour c", &["comment", "code"]);
    // Keys that exist, each behind those before it; not for what is to be added.
    check("House/Door/Guests> delete ", &["anna", "\"ben b\""]);
    check("House/Door/Guests> set anna ", &["3", "4"]);
    check("House/Door/Guests> set \"ben b\" ", &["5"]);
    check("House/Door/Guests> set anna 4 r", &["remark"]);
    check("House/Door/Guests> add ", &[]);
    check("House/Door/Guests> add x 1 ", &["false", "true"]);
    // Nothing.
    check("bogus ", &[]);
    check("House/Door> set comment \"a ", &[]);
    assert_eq!(session.prompt(), "ADP_CLI> ", "looking moves nobody");
}

#[test]
fn hints_are_the_grammar() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(dir.path(), &house(), Options::default());
    assert_eq!(hint(&mut session, "House/Door/Guests> add "), "<name>, String {1 to 20 characters}");
    assert_eq!(hint(&mut session, "House/Door/Guests> add x "), "<floor>, Integer {0 to 99}");
    assert_eq!(hint(&mut session, "House/Door> set openSeconds "), "<openSeconds>, Integer {1 to 60}");
    assert_eq!(hint(&mut session, "House/Keys> cutKey a b "), "[polish | passphrase]");
    assert_eq!(hint(&mut session, "read "), "file");
    let helped = session.complete("House/Door> set op", true).candidates;
    assert_eq!(helped.iter().map(|c| c.help.as_str()).collect::<Vec<_>>(), ["How long it stays open"]);
}

proptest! {
    #[test]
    fn any_line_is_survived(line in "([A-Za-z/>; \"“\\\\]|\\PC){0,40}") {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path(), &house(), Options::default());
        let completion = session.complete(&line, false);
        prop_assert!(line.get(completion.start..).is_some());
    }
}
