//! The audit log, as operators see it.

mod common;

use common::{Script, house, session, type_lines};
use openadp_cli::Options;
use std::path::Path;

fn typed(data_dir: &Path, lines: &str) -> String {
    let mut session = session(data_dir, &house(), Options::default());
    type_lines(&mut session, &mut Script { interactive: true, ..Script::default() }, lines)
}

#[test]
fn changes_and_refusals_are_written_down_without_values() {
    let dir = tempfile::tempdir().unwrap();
    let text = typed(
        dir.path(),
        "House/Door
        set openSeconds 2 code s3cret
        set openSeconds 99
        set code s3cret
        House/Keys> cutKey home /nowhere
        begin
        set comment topsecret
        commit comment \"for the night\"
        rollback 0; y
        audit verify
        audit 2
        audit",
    );
    assert!(text.contains("4 entries, none altered, none missing."), "{text}");
    let list: Vec<&str> = text.lines().skip_while(|line| !line.ends_with("> audit")).collect();
    assert!(list[1].trim_start().starts_with("Number  Time"), "{text}");
    assert!(list[3].contains("  changed  ") && list[3].ends_with("1  ADP_CLI/House/Door"), "{text}");
    assert!(list[4].contains("  refused  ") && list[4].ends_with("99 is not between 1 and 60"), "{text}");
    assert!(list[5].contains("  changed  ") && list[5].ends_with("2  for the night"), "{text}");
    assert!(list[6].ends_with("3  rollback to revision 0"), "{text}");
    assert_eq!(list[8], "4 entries found.");
    let path = dir.path().join("settings/audit.jsonl");
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(!log.contains("s3cret") && !log.contains("topsecret"), "{log}");
    std::fs::write(&path, log.replacen("\"refused\"", "\"changed\"", 1)).unwrap();
    let text = typed(dir.path(), "audit verify");
    assert!(
        text.contains("[CLIError] Command audit: entry 2 was altered") && text.ends_with("(exit 1)\n"),
        "{text}"
    );
    // The line of the last change alone may be lost to a kill; it is told late, and the operator of it.
    std::fs::write(&path, log.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    let text = typed(dir.path(), "audit verify; audit verify; audit 1");
    assert_eq!(text.matches("4 entries, none altered, none missing.").count(), 2, "{text}");
    assert_eq!(text.matches("The last change was not in it and is now").count(), 1, "{text}");
    assert!(text.contains("told late"), "{text}");
    std::fs::write(&path, log.split_inclusive('\n').take(2).collect::<String>()).unwrap();
    let text = typed(dir.path(), "audit verify");
    assert!(text.contains("the end is missing: revision 1 is its last, and there are 3"), "{text}");
}
