//! Processes that are killed, told to end, started twice, or out of room: what was accepted stays, and whoever is refused
//! is told why.

#[path = "resilience/disk.rs"]
mod disk;
#[path = "resilience/kill.rs"]
mod kill;
#[path = "resilience/start.rs"]
mod start;
#[path = "resilience/syncs.rs"]
mod syncs;

use anyhow::{Context as _, Result};
use openadp_suite::{Account, Lab, python, repository};
use std::process::Command;

/// Step 1 with tools that are not ours.
pub(crate) fn sign_in(lab: &Lab, account: &Account) -> Result<String> {
    let output = Command::new(repository().join("tests/clients/sign_in.sh"))
        .args([lab.text("auth_service"), lab.text("ca"), &account.user_id, &account.password])
        .env("PYTHON", python()?)
        .output()?;
    anyhow::ensure!(output.status.success(), "sign_in.sh: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The value of a parameter as `get` prints it.
pub(crate) fn value(lab: &Lab, context: &str, name: &str) -> Result<String> {
    let printed = lab.administer(&[&format!("{context}> get")])?;
    let line = printed.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix('='));
    Ok(line.with_context(|| format!("no {name} in {printed}"))?.trim().to_owned())
}
