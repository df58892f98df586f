//! The ledger of effects: which test changes which parameter through `adpcli` and sees from outside what that changes.
//!
//! `tests/parameters/effects.txt` holds a line `CONTEXT PARAMETER TEST` for each. A test that changes parameters through
//! [`Effects`] compares its lines with what it really did when it ends; `crates/cli/tests/ledger.rs` compares the file with
//! the declarations. `UPDATE_GOLDEN=1` has tests write their lines.

use crate::{Lab, PATIENCE, repository};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::time::Instant;

/// What one test changed and saw.
pub struct Effects<'a> {
    lab: &'a Lab,
    test: &'static str,
    seen: BTreeSet<String>,
}

impl<'a> Effects<'a> {
    /// For the test of this name: file and function, `parameters/http.rs::limits` say.
    pub fn of(lab: &'a Lab, test: &'static str) -> Self {
        Self { lab, test, seen: BTreeSet::new() }
    }

    /// The lab.
    pub fn lab(&self) -> &'a Lab {
        self.lab
    }

    /// Runs a command of a context that gives values to these parameters, then the probe, which fails unless it sees what
    /// they changed.
    ///
    /// # Errors
    /// When the command is refused, says that a parameter has no effect, or the probe fails.
    pub fn with<T>(
        &mut self,
        context: &str,
        parameters: &[&str],
        command: &str,
        probe: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let named = command.split_whitespace().collect::<Vec<_>>();
        if named.first() == Some(&"set") {
            // Keys are given by value alone.
            let set = parameters.iter().any(|parameter| named.contains(parameter));
            ensure!(set, "'{command}' sets none of {parameters:?}");
        }
        self.by((context, command), context, parameters, probe)
    }

    /// The same by a command of another context, which puts rows into this one.
    ///
    /// # Errors
    /// As of [`Self::with`].
    pub fn by<T>(
        &mut self,
        (elsewhere, command): (&str, &str),
        context: &str,
        parameters: &[&str],
        probe: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.run(elsewhere, command)?;
        let found = probe().with_context(|| format!("after {elsewhere}> {command}"))?;
        self.seen.extend(parameters.iter().map(|parameter| format!("{context} {parameter}")));
        Ok(found)
    }

    /// Runs a command that only prepares or tidies up.
    ///
    /// # Errors
    /// When it is refused or without effect.
    pub fn run(&self, context: &str, command: &str) -> Result<String> {
        let printed = self.lab.administer(&[&format!("{context}> {command}")])?;
        ensure!(printed.contains("...Done"), "{context}> {command}: {printed}");
        ensure!(!printed.contains("not used by this build"), "{context}> {command}: {printed}");
        Ok(printed)
    }

    /// Sets one parameter of a context with one row, and puts back what was there: the probe gives `before` at first, `after`
    /// once it is set, and `before` again at the end.
    ///
    /// # Errors
    /// When the probe gives anything else, or a command is refused.
    pub fn see<T: PartialEq + Debug>(
        &mut self,
        context: &str,
        parameter: &str,
        value: &str,
        (before, after): (T, T),
        mut probe: impl FnMut() -> Result<T>,
    ) -> Result<()> {
        let had = self.value(context, parameter)?;
        until(&before, &mut probe).with_context(|| format!("before {context}> set {parameter} {value}"))?;
        self.with(context, &[parameter], &format!("set {parameter} {value}"), || until(&after, &mut probe))?;
        let back = match had.as_deref() {
            Some(had) => format!("set {parameter} \"{had}\""),
            None => format!("clear {parameter}"),
        };
        self.run(context, &back)?;
        until(&before, &mut probe).with_context(|| format!("after {context}> {back}"))
    }

    /// Adds or changes rows and takes that back again: the probe gives `before`, `after`, `before`.
    ///
    /// # Errors
    /// When the probe gives anything else, or a command is refused.
    pub fn see_rows<T: PartialEq + Debug>(
        &mut self,
        context: &str,
        parameters: &[&str],
        (command, back): (&str, &str),
        (before, after): (T, T),
        mut probe: impl FnMut() -> Result<T>,
    ) -> Result<()> {
        until(&before, &mut probe).with_context(|| format!("before {context}> {command}"))?;
        self.with(context, parameters, command, || until(&after, &mut probe))?;
        self.run(context, back)?;
        until(&before, &mut probe).with_context(|| format!("after {context}> {back}"))
    }

    /// What `get` shows for a parameter of a context with one row; `None` where it is empty.
    fn value(&self, context: &str, parameter: &str) -> Result<Option<String>> {
        let printed = self.lab.administer(&[&format!("{context}> get")])?;
        let found = printed
            .lines()
            .filter_map(|line| line.split_once('='))
            .find_map(|(name, value)| (name.trim() == parameter).then(|| value.trim().to_owned()))
            .with_context(|| format!("no {parameter} in {context}:\n{printed}"))?;
        Ok(Some(found).filter(|found| !found.is_empty() && found != "********"))
    }

    /// Compares the test's lines of the ledger with what it did; `UPDATE_GOLDEN=1` writes them.
    ///
    /// # Errors
    /// When they differ.
    pub fn finish(self) -> Result<()> {
        ensure!(!self.seen.is_empty(), "{} saw nothing", self.test);
        let own: BTreeSet<String> = self.seen.iter().map(|seen| format!("{seen} {}", self.test)).collect();
        let path = repository().join("tests/parameters/effects.txt");
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        // Other tests write their own lines at the same time.
        file.lock().context("locking the ledger")?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let is_own = |line: &&str| line.rsplit(' ').next() == Some(self.test);
        let listed: BTreeSet<String> = text.lines().filter(is_own).map(str::to_owned).collect();
        if listed == own {
            return Ok(());
        }
        if std::env::var_os("UPDATE_GOLDEN").is_none() {
            let missing: Vec<_> = own.difference(&listed).collect();
            let stale: Vec<_> = listed.difference(&own).collect();
            bail!(
                "{}: not listed: {missing:#?}, listed but not done: {stale:#?}; UPDATE_GOLDEN=1",
                path.display()
            );
        }
        let others = text.lines().filter(|line| !is_own(line)).map(str::to_owned);
        let all: BTreeSet<String> = others.chain(own).collect();
        file.set_len(0)?;
        file.rewind()?;
        for line in all {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

/// Probes until it gives this; a process of its own may learn of a change a moment after `adpcli` is done.
fn until<T: PartialEq + Debug>(wanted: &T, mut probe: impl FnMut() -> Result<T>) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = probe()?;
        if found == *wanted {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "expected {wanted:?}, saw {found:?}");
    }
}
