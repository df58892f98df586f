//! Whatever is typed, the session survives it and keeps its promises.

mod common;

use common::{Script, house, session};
use openadp_cli::{Flow, Options};
use proptest::prelude::*;

fn any_line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "get",
        "set",
        "add",
        "delete",
        "clear",
        "detail",
        "cutKey",
        "count",
        "help",
        "h",
        "exit",
        "quit",
        "q",
        "cd",
        "tree",
        "-c",
        "-e",
        "diff",
        "revisions",
        "rollback",
        "history",
        "re",
        "config",
        "format",
        "json",
        "House",
        "Door",
        "Guests",
        "Keys",
        "AS_CLI",
        "ADP_CLI/House/Door>",
        "House/Door",
        "..",
        "/",
        ";",
        "\"",
        "'",
        "“",
        "”",
        "openSeconds",
        "code",
        "colour",
        "name",
        "=",
        "1",
        "13",
        "99999999999999999999",
        "true",
        "x",
        "--force",
        "...Done",
        "New",
        "Password:",
        ">",
        "|",
        "\\",
        "é",
        "0",
        "#",
        "New Password:",
        "read",
        "/tmp/nothing",
        "y",
    ]);
    prop_oneof![
        3 => prop::collection::vec(word, 0..8).prop_map(|words| words.join(" ")),
        1 => "\\PC{0,60}",
        1 => ".{0,60}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn no_line_panics_and_no_failure_says_done(lines in prop::collection::vec(any_line(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let mut session = session(dir.path(), &house(), Options { yes: true, ..Options::default() });
        let mut script = Script::default();
        let mut typed: Vec<String> = Vec::new();
        for line in lines {
            let flow = session.line(&line, &mut script);
            let output = std::mem::take(&mut script.transcript);
            if flow == Flow::Leave {
                break;
            }
            if let (Flow::Failed(_), false) = (flow, line.contains(';')) {
                // `repeat` shows the line that it repeats.
                let mut echoed = typed.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
                let shown = echoed.find_map(|line| output.strip_prefix(line)).unwrap_or(&output);
                prop_assert!(!shown.contains("...Done"), "{line}: {output}");
            }
            typed.push(line);
            let prompt = session.prompt();
            // A star stands before it while a change is open.
            let place = prompt.strip_prefix('*').unwrap_or(&prompt);
            prop_assert!(place.starts_with("ADP_CLI") || place.starts_with("AS_CLI"), "{prompt}");
            prop_assert!(prompt.ends_with("> "));
        }
    }
}
