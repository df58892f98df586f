//! Lines that are typed, pasted or read from a file: whatever they are, they are answered, and no secret is kept or shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_cli::{Console, Installation, Options, Session, modules};
use openadp_settings::{Context, Module, Registry, Store};
use std::fs::File;
use std::io;
use std::sync::OnceLock;

/// What is planted as a secret where a line says so.
const PLANTED: &str = "pl4nted";
/// Lines of one input.
const MAX_LINES: usize = 40;

/// All contexts that do nothing but hold settings: actions work on files and servers.
fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let contexts = modules().into_iter().flat_map(|module| module.contexts.iter().copied());
        let contexts: Vec<&'static Context> = contexts.filter(|context| context.actions.is_empty()).collect();
        Registry::new([Module::new("fuzz").contexts(Vec::leak(contexts))]).expect("declared well")
    })
}

/// Nobody, with an answer to everything and a file of every name.
struct Nobody {
    answers: usize,
    shown: String,
}

impl Console for Nobody {
    fn print(&mut self, line: &str) {
        self.shown.push_str(line);
        self.shown.push('\n');
    }
    fn warn(&mut self, line: &str) {
        self.print(line);
    }
    fn interactive(&self) -> bool {
        true
    }
    fn ask(&mut self, _: &str) -> Option<String> {
        self.answers = self.answers.checked_sub(1)?;
        Some("y".to_owned())
    }
    fn ask_secret(&mut self, _: &str) -> Option<String> {
        self.answers = self.answers.checked_sub(1)?;
        Some(PLANTED.to_owned())
    }
    fn named_secret(&mut self, _: &str) -> Option<String> {
        None
    }
    fn write_file(&mut self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn append_file(&mut self, _: &str) -> io::Result<File> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn read_file(&mut self, path: &str, _: u64) -> io::Result<String> {
        Ok(format!("{path}\nget\nADP_CLI/System/Roles> add user kim view\nhelp\n"))
    }
    fn home(&self, file: &str) -> Option<String> {
        Some(file.to_owned())
    }
    fn rows(&self) -> usize {
        24
    }
    fn wait(&mut self, _: std::time::Duration) -> bool {
        true
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let store = Store::in_memory(registry().clone());
    let mut session = Session::new(registry(), Box::new(Installation::of(store)), Options::default());
    let mut io = Nobody { answers: 50, shown: String::new() };
    // Secrets that are asked for come back nowhere.
    session.line("AS_CLI/System/NotificationPushServer> set sharedSecret", &mut io);
    for line in text.lines().filter(|line| !line.contains(PLANTED)).take(MAX_LINES) {
        let _shown = session.masked(line);
        let _completion = session.complete(line, true);
        let _flow = session.line(line, &mut io);
        assert!(session.prompt().ends_with("> "));
    }
    assert!(!io.shown.contains(PLANTED), "{}", io.shown);
    assert!(session.typed().iter().all(|line| !line.contains(PLANTED)));
});
