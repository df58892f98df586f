//! The binary on a terminal: banner, prompts, Ctrl-C, secrets without echo, the question before leaving.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

struct Terminal {
    keyboard: File,
    child: Child,
}

impl Terminal {
    fn start(data_dir: &std::path::Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let screen = || Stdio::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_adpcli"))
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(screen())
            .stdout(screen())
            .stderr(screen())
            .spawn()
            .unwrap();
        Self { keyboard: File::from(master), child }
    }

    /// What appears up to and including `end`.
    fn until(&mut self, end: &str) -> String {
        let mut shown = Vec::new();
        let mut byte = [0];
        while !shown.ends_with(end.as_bytes()) {
            let read = self.keyboard.read(&mut byte).unwrap_or(0);
            assert_eq!(read, 1, "{end} does not come after {}", String::from_utf8_lossy(&shown));
            shown.push(byte[0]);
        }
        String::from_utf8(shown).unwrap()
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
