//! The binary on a terminal: banner, prompts, Ctrl-C, secrets without echo, the question before leaving.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

struct Terminal {
    keyboard: File,
    /// The other side, where its mode is seen.
    screen: File,
    child: Child,
}

impl Terminal {
    fn start(data_dir: &std::path::Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&name, flags, Mode::empty()).unwrap();
        let screen = || Stdio::from(open());
        let child = Command::new(env!("CARGO_BIN_EXE_adpcli"))
            .arg("--data-dir")
            .arg(data_dir)
            .env("TERM", "xterm")
            .stdin(screen())
            .stdout(screen())
            .stderr(screen())
            .spawn()
            .unwrap();
        Self { keyboard: File::from(master), screen: File::from(open()), child }
    }

    /// What appears up to and including `end`.
    fn until(&mut self, end: &str) -> String {
        let mut shown = Vec::new();
        let mut byte = [0];
        while !shown.ends_with(end.as_bytes()) {
            // Far above what anything needs, for loaded machines.
            let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.keyboard, PollFlags::IN)], Some(&patience)).unwrap();
            let read = if ready > 0 { self.keyboard.read(&mut byte).unwrap_or(0) } else { 0 };
            assert_eq!(read, 1, "{end} does not come after {}", String::from_utf8_lossy(&shown));
            shown.push(byte[0]);
        }
        String::from_utf8(shown).unwrap()
    }

    /// Types something and a tab, and waits for what comes of it. What follows a tab at once counts as pasted.
    fn completes(&mut self, typed: &str, end: &str) {
        self.types(&format!("{typed}\t"));
        self.until(end);
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn a_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(dir.path());
    let rule = "=".repeat(70);
    assert_eq!(
        terminal.until("CLI> "),
        format!(
            "{rule}\r\nBroadWorks Command Line Interface\r\n  Type HELP for more information\r\n{rule}\r\n\r\nADP_CLI> "
        )
    );
    // Ctrl-C abandons the line and not the process.
    terminal.types("sys\u{3}");
    terminal.until("ADP_CLI> ");
    terminal.types("AS_CLI/System/NotificationPushServer\n");
    let prompt = "AS_CLI/System/NotificationPushServer> ";
    terminal.until(prompt);
    for (second, expected) in [("planted", "...Done"), ("other", "the two entries differ")] {
        terminal.types("set sharedSecret\n");
        terminal.until("New Password: ");
        terminal.types("planted\n");
        let between = terminal.until("Re-type New Password: ");
        terminal.types(&format!("{second}\n"));
        let after = terminal.until(prompt);
        assert!(!between.contains("planted") && !after.contains(second), "a secret is not echoed");
        assert!(after.contains(expected), "{after}");
    }
    terminal.types("get\n");
    assert!(terminal.until(prompt).contains("sharedSecret = ********"));
    terminal.types("exit\n");
    terminal.until("Please confirm (Yes, Y, No, N): ");
    terminal.types("n\n");
    terminal.until(prompt);
    terminal.types("e\n");
    terminal.until("Please confirm (Yes, Y, No, N): ");
    terminal.types("Y\n");
    terminal.until("This session is ended.\r\n");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(1), "the last failure was a refusal");
}

#[test]
fn the_end_of_the_input_leaves_without_a_question() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(dir.path());
    terminal.until("CLI> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
}

/// Shown and erased again: what the terminal's cursor does is not told here, only that the words come.
#[test]
fn lines_are_edited_completed_and_recalled() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(dir.path());
    terminal.until("CLI> ");
    // Levels, the rest of a command.
    terminal.completes("as_", "AS_CLI ");
    terminal.types("\r");
    terminal.until("AS_CLI> ");
    terminal.completes("cd System/Clie", "ntIdentity ");
    terminal.types("\r");
    let prompt = "AS_CLI/System/ClientIdentity> ";
    terminal.until(prompt);
    for name in ["bwcticlient.webex.com", "other.example.net"] {
        terminal.completes("ad", "add ");
        terminal.types(&format!("{name}\r"));
        assert!(terminal.until(&format!("\n{prompt}")).contains("...Done"));
    }
    // A key that exists; two that do are listed.
    terminal.types("delete \t");
    terminal.until("delete ");
    let listed = terminal.until(&format!("{prompt}delete "));
    assert!(listed.contains("bwcticlient.webex.com") && listed.contains("other.example.net"), "{listed}");
    terminal.completes("o", "other.example.net ");
    terminal.types("\r");
    assert!(terminal.until(&format!("\n{prompt}")).contains("...Done"));
    // The line before that, changed in the middle: `add x.example.net`.
    terminal.types("\u{1b}[A\u{1b}[A\u{1}\u{1b}[1;5C\u{1b}[C\u{b}x.example.net\r");
    assert!(terminal.until(&format!("\n{prompt}")).contains("...Done"));
    terminal.types("get\r");
    let shown = terminal.until(&format!("\n{prompt}"));
    assert!(shown.contains("  x.example.net\r\n") && shown.contains("2 entries found."), "{shown}");
    // A secret is asked for without the editor, and a line that holds one does not come back.
    terminal.completes("cd ../NotificationP", "ushServer ");
    terminal.types("\r");
    let prompt = "AS_CLI/System/NotificationPushServer> ";
    terminal.until(prompt);
    terminal.types("set sharedSecret planted\r");
    terminal.until(&format!("\n{prompt}"));
    terminal.types("\u{1b}[A\r");
    let recalled = terminal.until(&format!("\n{prompt}"));
    assert!(!recalled.contains("planted"), "{recalled}");
    terminal.types("cd\r");
    terminal.until("\nAS_CLI> ");
    // Whoever stops to think is shown how it may go on.
    terminal.types("clie\u{15}hist");
    assert!(terminal.until("\u{1b}[2m").ends_with("hist\u{1b}[2m"));
    terminal.until("ory\u{1b}[0m\u{1b}[3D");
    terminal.types("\u{3}");
    terminal.until("^C\r\nAS_CLI> ");
}

/// Whether lines are read whole, and shown as they are typed.
fn is_own_mode(terminal: &Terminal) -> bool {
    let own = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    tcgetattr(&terminal.screen).unwrap().local_modes.contains(own)
}

#[test]
fn whatever_ends_the_session_puts_the_terminal_back() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let mut terminal = Terminal::start(dir.path());
        assert!(is_own_mode(&terminal));
        terminal.until("CLI> ");
        assert!(!is_own_mode(&terminal));
        let killed =
            Command::new("kill").args(["-s", signal, &terminal.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(terminal.child.wait().unwrap().code(), Some(code), "{signal}");
        assert!(is_own_mode(&terminal), "{signal}");
    }
    // Ctrl-C, sent as a signal, is no end; leaving is.
    let mut terminal = Terminal::start(dir.path());
    terminal.until("CLI> ");
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &terminal.child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    terminal.types("e;y\r");
    terminal.until("This session is ended.\r\n");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    assert!(is_own_mode(&terminal));
}

#[test]
fn what_is_typed_ahead_is_shown_once_behind_the_prompt_that_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut terminal = Terminal::start(dir.path());
    terminal.until("ADP_CLI> ");
    let read = format!("read {}", pipe.display());
    terminal.types(&format!("{read}\r"));
    terminal.until(&format!("{read}\r\n"));
    // The command waits for its file: a whole line and the beginning of another are typed meanwhile.
    terminal.types("AS_CLI\rhist");
    File::options().write(true).open(&pipe).unwrap().write_all(b"cd /\n").unwrap();
    assert_eq!(terminal.until("AS_CLI> hist"), "ADP_CLI> AS_CLI\r\nAS_CLI> hist");
    terminal.types("ory 1\r");
    assert_eq!(terminal.until("AS_CLI> "), "ory 1\r\n    2  AS_CLI\r\nAS_CLI> ");
}
