//! The commands that are known not to pass yet.

use crate::fixtures;
use crate::script::Script;
use anyhow::{Context as _, Result, bail, ensure};
use openadp_suite::repository;
use std::collections::BTreeMap;

const FILE: &str = "missing.txt";

/// By line of the guide: in which runs a command fails (`all`, or way/place with commas between), and why.
pub(crate) struct Missing(BTreeMap<usize, (String, String)>);

impl Missing {
    pub(crate) fn read() -> Result<Self> {
        let mut entries = BTreeMap::new();
        for line in fixtures::data(FILE)?.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().filter(|word| !word.trim().is_empty());
            let number = word().context("a line")?.parse()?;
            let runs = word().with_context(|| format!("{line}: which runs?"))?;
            let reason = word().with_context(|| format!("{line}: why?"))?;
            entries.insert(number, (runs.to_owned(), reason.to_owned()));
        }
        Ok(Self(entries))
    }

    fn expects(&self, line: usize, run: &str) -> bool {
        let listed = |runs: &str| runs == "all" || runs.split(',').any(|listed| listed == run);
        self.0.get(&line).is_some_and(|(runs, _)| listed(runs))
    }

    /// Fails unless exactly the listed commands failed.
    pub(crate) fn compare(&self, run: &str, script: &Script, failures: &[(usize, String)]) -> Result<()> {
        for line in self.0.keys() {
            ensure!(script.commands.iter().any(|c| c.line == *line), "{FILE}: line {line} has no command");
        }
        let mut wrong: Vec<String> = failures
            .iter()
            .filter(|(line, _)| !self.expects(*line, run))
            .map(|(line, what)| format!("line {line} fails: {what}"))
            .collect();
        let passes =
            |line: &usize| self.expects(*line, run) && !failures.iter().any(|(failed, _)| failed == line);
        let passing: Vec<usize> = self.0.keys().copied().filter(passes).collect();
        #[expect(clippy::disallowed_methods, reason = "the documented switch that rewrites golden files")]
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            return take_out(&passing);
        }
        if !passing.is_empty() {
            wrong.push(format!("these pass now, take them out of tests/guide/{FILE}: {passing:?}"));
        }
        if !wrong.is_empty() {
            bail!("{run}:\n{}", wrong.join("\n"));
        }
        Ok(())
    }
}

/// Takes lines out of the list. Runs may do so side by side.
fn take_out(lines: &[usize]) -> Result<()> {
    let path = repository().join("tests/guide").join(FILE);
    let lock = std::fs::File::open(&path)?;
    lock.lock()?;
    let listed =
        |line: &str| line.split(' ').next().and_then(|n| n.parse().ok()).is_some_and(|n| lines.contains(&n));
    let text = std::fs::read_to_string(&path)?;
    let kept: String = text.lines().filter(|line| !listed(line)).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, kept)?;
    Ok(())
}
