//! The three ways in which the guide is run.

use crate::script::{Outcome, Script};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Resolver, Screen, binary};
use std::path::Path;
use std::process::{Command, Stdio};

/// A way to run the guide.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Each command by `-c`, the prompt as printed or with the `/` that some guides put before it.
    Each { slash: bool },
    /// All as one file, going on after failures.
    File,
    /// Typed in a terminal, level by level.
    Terminal,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Each { .. } => "command",
            Self::File => "file",
            Self::Terminal => "terminal",
        }
    }

    /// Runs it; nothing that is looked up is looked up elsewhere than at the resolver.
    pub(crate) fn run(self, script: &Script, data_dir: &Path, names: &Resolver) -> Result<Vec<Outcome>> {
        match self {
            Self::Each { slash } => each(script, data_dir, names, slash),
            Self::File => file(script, data_dir, names),
            Self::Terminal => terminal(script, data_dir, names),
        }
    }
}

fn adpcli(data_dir: &Path) -> Command {
    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(data_dir);
    command
}

fn each(script: &Script, data_dir: &Path, names: &Resolver, slash: bool) -> Result<Vec<Outcome>> {
    let run = |text: &str| -> Result<Outcome> {
        let slash = if slash && !text.starts_with('/') { "/" } else { "" };
        let mut command = adpcli(data_dir);
        command.args(["-c", &format!("{slash}{text}")]);
        let output = names.around(command).stdin(Stdio::null()).output()?;
        Ok(Outcome { output: String::from_utf8(output.stdout)?, exit: output.status.code() })
    };
    script.commands.iter().map(|command| run(&command.text)).collect()
}

/// The output of a file has every command behind a prompt, and what it printed below.
fn file(script: &Script, data_dir: &Path, names: &Resolver) -> Result<Vec<Outcome>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("guide");
    let lines: Vec<&str> = script.commands.iter().map(|command| command.text.as_str()).collect();
    std::fs::write(&path, lines.join("\n"))?;
    let mut command = adpcli(data_dir);
    command.arg("-k").arg("-f").arg(&path);
    let output = names.around(command).stdin(Stdio::null()).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let mut rest = printed.as_str();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for line in lines {
        let (at, echo) = echoed(rest, line).with_context(|| format!("no echo of {line}:\n{rest}"))?;
        let (before, after) = rest.split_at(at);
        if let Some(last) = outcomes.last_mut() {
            before.clone_into(&mut last.output);
        }
        outcomes.push(Outcome { output: String::new(), exit: None });
        rest = after.get(echo..).unwrap_or_default();
    }
    if let Some(last) = outcomes.last_mut() {
        rest.clone_into(&mut last.output);
    }
    Ok(outcomes)
}

/// Where the echo of a line begins, and its length. What is a secret of it stands there as stars.
fn echoed(printed: &str, line: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    for shown in printed.split_inclusive('\n') {
        if let Some(echo) = shown.strip_prefix("ADP_CLI> ") {
            let echo = echo.trim_end();
            let masked =
                |before: &str| line.strip_prefix(before).is_some_and(|rest| rest.starts_with([' ', '=']));
            if echo == line.trim_end() || echo.strip_suffix(" ********").is_some_and(masked) {
                return Some((at, shown.len()));
            }
        }
        at += shown.len();
    }
    None
}

fn terminal(script: &Script, data_dir: &Path, names: &Resolver) -> Result<Vec<Outcome>> {
    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(data_dir).env("TERM", "xterm-256color");
    let mut screen = Screen::start(names.around(command))?;
    screen.prompt()?;
    let mut outcomes = Vec::new();
    for command in &script.commands {
        let (levels, typed) = command.walk()?;
        for level in levels {
            // A level that is not there is told where the command then fails.
            screen.line(level)?;
        }
        let output = screen.line(typed)?;
        outcomes.push(Outcome { output, exit: None });
    }
    screen.keys("exit\r")?;
    screen.until("Please confirm (Yes, Y, No, N): ")?;
    screen.keys("Y\r")?;
    let code = screen.end()?;
    ensure!(code == Some(2), "the code says what the last failure was: {code:?}");
    Ok(outcomes)
}
