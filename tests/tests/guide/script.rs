//! The guide's commands with their expectations. The form is told in the head of the file.

use crate::fixtures::{self, Fixtures};
use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;

/// All commands, in order.
pub(crate) struct Script {
    pub(crate) commands: Vec<GuideCommand>,
}

/// A command of the guide.
pub(crate) struct GuideCommand {
    /// Line of the file.
    pub(crate) line: usize,
    /// The line as it is typed at the root.
    pub(crate) text: String,
    expectations: Vec<Expectation>,
    exit: i32,
}

enum Expectation {
    Contains(String),
    Matches(Regex),
    Lacks(String),
}

/// What a command printed.
pub(crate) struct Outcome {
    pub(crate) output: String,
    /// Where it was run by itself.
    pub(crate) exit: Option<i32>,
}

impl Script {
    pub(crate) fn read(fixtures: &Fixtures) -> Result<Self> {
        let text = fixtures::data("guide-commands.txt")?;
        let mut commands: Vec<GuideCommand> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = fixtures.substitute(line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let expectation = if let Some(pattern) = line.strip_prefix("=/ ") {
                Expectation::Matches(Regex::new(&format!("^(?:{pattern})$"))?)
            } else if let Some(text) = line.strip_prefix("= ") {
                Expectation::Contains(one_blank(text))
            } else if let Some(text) = line.strip_prefix("! ") {
                Expectation::Lacks(one_blank(text))
            } else if let Some(code) = line.strip_prefix("exit ") {
                commands.last_mut().context("an exit before any command")?.exit = code.parse()?;
                continue;
            } else {
                ensure!(line.contains('>'), "line {} is not understood: {line}", index + 1);
                commands.push(GuideCommand {
                    line: index + 1,
                    text: line,
                    expectations: Vec::new(),
                    exit: 0,
                });
                continue;
            };
            commands.last_mut().context("an expectation before any command")?.expectations.push(expectation);
        }
        ensure!(!commands.is_empty(), "the guide has commands");
        Ok(Self { commands })
    }
}

impl GuideCommand {
    /// The levels that lead to it, the root first, and the command itself.
    pub(crate) fn walk(&self) -> Result<(Vec<&str>, &str)> {
        let (path, command) = self.text.split_once('>').context("a prompt")?;
        let mut levels: Vec<&str> = path.split('/').filter(|level| !level.is_empty()).collect();
        let root = levels.first_mut().context("a root")?;
        *root = if root.starts_with("AS_") { "AS_CLI" } else { "ADP_CLI" };
        Ok((levels, command.trim()))
    }

    fn may_fail(&self) -> bool {
        let refused =
            |expectation: &Expectation| matches!(expectation, Expectation::Lacks(text) if text == "...Done");
        self.exit != 0 || self.expectations.iter().any(refused)
    }

    /// What is not as expected.
    pub(crate) fn check(&self, outcome: &Outcome) -> Result<()> {
        let lines: Vec<String> = outcome.output.lines().map(one_blank).collect();
        let output = lines.join("\n");
        for expectation in &self.expectations {
            match expectation {
                Expectation::Contains(text) => ensure!(output.contains(text), "no '{text}'"),
                Expectation::Lacks(text) => ensure!(!output.contains(text), "'{text}'"),
                Expectation::Matches(pattern) => {
                    ensure!(lines.iter().any(|line| pattern.is_match(line)), "no line like {pattern}");
                }
            }
        }
        if !self.may_fail() {
            for failure in ["Invalid command", "[CLIError]", "Hint:"] {
                ensure!(!output.contains(failure), "'{failure}'");
            }
        }
        // A table without rows still has its header and rule.
        if output.contains("0 entry found.") && !output.contains("====") {
            bail!("no header and rule");
        }
        if let Some(exit) = outcome.exit {
            ensure!(exit == self.exit, "exit {exit} in place of {}", self.exit);
        }
        Ok(())
    }
}

/// Runs of blanks as one.
fn one_blank(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
