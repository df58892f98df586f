//! The binary itself: where lines come from, exit codes, many at once.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";

fn adpcli(data_dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_adpcli"))
        .args(arguments)
        .env("ADP_DATA_DIR", data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn exit_codes_say_what_the_last_failure_was() {
    let dir = tempfile::tempdir().unwrap();
    let set = |value: &str| format!("{TOKENS}> set tokenDurationInHours {value}");
    let code = |arguments: &[&str]| adpcli(dir.path(), arguments, "").status.code().unwrap();
    assert_eq!(code(&[&set("1000")]), 0);
    assert_eq!(code(&[&set("4321")]), 1);
    assert_eq!(code(&["bogus"]), 2);
    assert_eq!(code(&["-x"]), 2);
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["-c", &set("4321"), "-c", &set("1001")]), 1);
    assert_eq!(code(&["-k", "-c", &set("4321"), "-c", "bogus", "-c", &set("1002")]), 2);
    assert_eq!(code(&["-f", "/nowhere"]), 1);
    assert_eq!(code(&["--data-dir", "/proc/nowhere", &set("1003")]), 4);
    let shown = adpcli(dir.path(), &[&format!("{TOKENS}> get")], "");
    assert!(text(&shown).contains("  tokenDurationInHours = 1002\n"), "{}", text(&shown));
}

#[test]
fn a_file_echoes_its_commands_and_standard_input_has_a_banner() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("commands");
    std::fs::write(&file, format!("# remark\n\n{TOKENS}> set tokenIssuer X\nbogus\nSystem\n")).unwrap();
    let file = file.to_str().unwrap();
    let stopped = adpcli(dir.path(), &["-f", file], "");
    assert_eq!(stopped.status.code(), Some(2));
    let all = adpcli(dir.path(), &["-k", "-f", file], "");
    assert_eq!(
        text(&all),
        format!(
            "ADP_CLI> # remark\nADP_CLI> {TOKENS}> set tokenIssuer X\n...Done\nADP_CLI> bogus\nInvalid command\n\
             Hint: 'bogus' is unknown here; help lists what there is\n\nADP_CLI> System\n"
        )
    );
    assert_eq!(text(&adpcli(dir.path(), &["-q", "-f", file], "")).lines().next(), Some("...Done"));
    let rule = "=".repeat(70);
    let piped = adpcli(dir.path(), &[], "System\nexit\nY\n");
    assert_eq!(
        text(&piped),
        format!(
            "{rule}\nBroadWorks Command Line Interface\n  Type HELP for more information\n{rule}\n\n\
             ADP_CLI> ADP_CLI/System> This session is ended.\n"
        )
    );
    assert_eq!(piped.status.code(), Some(0));
    assert_eq!(text(&adpcli(dir.path(), &["-q", "-o", "json"], "cd System\n")), "");
}

#[test]
fn a_secret_comes_from_a_file_or_the_next_line_and_is_printed_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let context = "AS_CLI/System/NotificationPushServer";
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "planted-1\n").unwrap();
    let file = format!("sharedSecret={}", secret.display());
    let set = format!("{context}> set sharedSecret");
    let outputs = [
        adpcli(dir.path(), &["--secret-file", &file, &set], ""),
        adpcli(dir.path(), &[&set], "planted-2\n"),
        adpcli(dir.path(), &[&format!("{set} planted-3")], ""),
        adpcli(dir.path(), &["-c", &format!("{context}> get"), "-c", "diff 0 3", "-c", "history"], ""),
    ];
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{}", text(output));
        assert!(!text(output).contains("planted"));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("planted"));
    }
    assert!(String::from_utf8_lossy(&outputs[2].stderr).contains("Warning"));
    assert!(text(&outputs[3]).contains("sharedSecret = ********"));
}

#[test]
fn many_at_once_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let add = |number: usize| format!("AS_CLI/System/ClientIdentity> add client{number}.example.net");
    let children: Vec<_> = (0..6)
        .map(|number| {
            Command::new(env!("CARGO_BIN_EXE_adpcli"))
                .args(["--data-dir", dir.path().to_str().unwrap(), &add(number)])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let shown = adpcli(dir.path(), &["AS_CLI/System/ClientIdentity> get"], "");
    assert!(text(&shown).contains("6 entries found."), "{}", text(&shown));
}
