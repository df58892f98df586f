//! `kill -9` at every point at which a commit waits for the disk: before it, and after it. The points are found by killing at
//! the first, the second and so on until a run is not killed any more.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Running, binary, repository};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement>";
const SCOPES: &str = "ADP_CLI/System/CommunicationUtility/DefaultSettings/OutgoingNames>";
/// More than any commit has.
const MANY: u32 = 60;

/// The library that kills, made from its source.
struct Killer {
    folder: tempfile::TempDir,
}

impl Killer {
    fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(folder.path().join("syncs.so"))
            .arg(repository().join("tests/tests/resilience/syncs.c"))
            .arg("-ldl")
            .output()
            .context("running cc, which aws-lc needs as well")?;
        ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { folder })
    }

    fn arm(&self, command: &mut Command, point: Point) {
        command
            .env("LD_PRELOAD", self.folder.path().join("syncs.so"))
            .env("SYNC_AT", point.number.to_string());
        if point.after {
            command.env("SYNC_AFTER", "1");
        }
    }
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
struct Point {
    number: u32,
    after: bool,
}

/// All points, before and after each synchronisation, until `run` says that nobody was killed; gives how many there were.
fn at_every_point(mut run: impl FnMut(Point) -> Result<bool>) -> Result<u32> {
    for number in 1..MANY {
        for after in [false, true] {
            let point = Point { number, after };
            if !run(point).with_context(|| format!("killed at {point:?}"))? {
                return Ok(number - 1);
            }
        }
    }
    anyhow::bail!("a commit of {MANY} synchronisations")
}

fn adpcli(data_dir: &Path, lines: &[&str]) -> Command {
    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(data_dir).arg("-y").stdin(std::process::Stdio::null());
    for line in lines {
        command.args(["-c", line]);
    }
    command
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn must(data_dir: &Path, lines: &[&str]) -> Result<String> {
    let output = adpcli(data_dir, lines).output()?;
    ensure!(output.status.success(), "{lines:?}: {}", printed(&output));
    Ok(printed(&output))
}

/// The value of `get`.
fn hours(data_dir: &Path) -> Result<u32> {
    let text = must(data_dir, &[&format!("{TOKENS} get tokenDurationInHours")])?;
    text.split('=')
        .nth(1)
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("no number: {text}"))
}

/// Whether the first process was killed, as asked.
fn killed(output: &Output) -> Result<bool> {
    if output.status.signal() == Some(9) {
        ensure!(!printed(output).contains("...Done"), "Done was said before it was: {}", printed(output));
        return Ok(true);
    }
    ensure!(output.status.success(), "{}", printed(output));
    Ok(false)
}

/// What must hold after any kill: the log is whole, the next change works at once, and it is there afterwards.
fn goes_on(data_dir: &Path) -> Result<()> {
    let verified = must(data_dir, &["audit verify"])?;
    ensure!(verified.contains("none altered, none missing"), "{verified}");
    must(data_dir, &[&format!("{TOKENS} set tokenDurationInHours 77")])?;
    ensure!(hours(data_dir)? == 77, "the next change");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    ensure!(output.status.success(), "cp: {}", printed(&output));
    Ok(())
}

#[test]
fn the_first_change_of_an_installation_is_whole_or_not_there() -> Result<()> {
    let killer = Killer::make()?;
    let points = at_every_point(|point| {
        let folder = tempfile::tempdir()?;
        let data_dir = folder.path().join("data");
        let mut command = adpcli(&data_dir, &[&format!("{TOKENS} set tokenDurationInHours 24")]);
        killer.arm(&mut command, point);
        let was_killed = killed(&command.output()?)?;
        let now = hours(&data_dir)?;
        ensure!(now == 24 || (was_killed && now == 720), "{now} hours");
        goes_on(&data_dir)?;
        Ok(was_killed)
    })?;
    // The machine key and its folder, the journal, the audit log.
    ensure!(points >= 3, "{points} points: the library is not in force");
    Ok(())
}

#[test]
fn a_change_of_many_edits_is_whole_or_not_there() -> Result<()> {
    let killer = Killer::make()?;
    let folder = tempfile::tempdir()?;
    let seeded = folder.path().join("seeded");
    must(&seeded, &[&format!("{TOKENS} set tokenDurationInHours 23")])?;
    let mut lines = vec!["begin".to_owned(), format!("{TOKENS} set tokenDurationInHours 24")];
    lines.extend((0..20).map(|number| format!("{SCOPES} add host{number}.example.net 127.0.0.1")));
    lines.push("commit".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let points = at_every_point(|point| {
        let data_dir = folder.path().join(format!("{}-{}", point.number, point.after));
        copy(&seeded, &data_dir)?;
        let mut command = adpcli(&data_dir, &lines);
        killer.arm(&mut command, point);
        let output = command.output()?;
        let was_killed = output.status.signal() == Some(9);
        ensure!(was_killed || output.status.success(), "{}", printed(&output));
        let names = must(&data_dir, &[&format!("{SCOPES} get")])?;
        let (now, all) = (hours(&data_dir)?, names.contains("20 entries found."));
        let none = names.contains("0 entry found.");
        ensure!((now == 24 && all) || (was_killed && now == 23 && none), "half: {now} hours, {names}");
        goes_on(&data_dir)?;
        Ok(was_killed)
    })?;
    ensure!(points >= 2, "{points} points");
    Ok(())
}

/// The process that answers is killed. Whoever asked goes on with the files, or learns that it is not known whether it was done;
/// either way there is all of it or nothing.
#[test]
fn a_process_that_is_killed_while_it_commits_leaves_a_whole_change() -> Result<()> {
    let killer = Killer::make()?;
    let folder = tempfile::tempdir()?;
    let seeded = folder.path().join("seeded");
    must(&seeded, &[&format!("{TOKENS} set tokenDurationInHours 23")])?;
    start(&seeded, |_| {})?;
    let points = at_every_point(|point| {
        let data_dir = folder.path().join(format!("{}-{}", point.number, point.after));
        copy(&seeded, &data_dir)?;
        let armed = folder.path().join(format!("armed-{}-{}", point.number, point.after));
        let mut process = start(&data_dir, |command| {
            killer.arm(command, point);
            command.env("SYNC_ARMED", &armed);
        })?;
        std::fs::write(&armed, "")?;
        let output = adpcli(&data_dir, &[&format!("{TOKENS} set tokenDurationInHours 24")]).output()?;
        let done = printed(&output).contains("...Done");
        ensure!(done || output.status.code().is_some_and(|code| code != 0), "{}", printed(&output));
        let was_killed = !armed.exists();
        if was_killed {
            process.wait()?;
        }
        drop(process);
        let now = hours(&data_dir)?;
        ensure!(now == 24 || (!done && now == 23), "{now} hours after: {}", printed(&output));
        goes_on(&data_dir)?;
        Ok(was_killed)
    })?;
    ensure!(points >= 2, "{points} points");
    Ok(())
}

fn start(data_dir: &Path, prepare: impl FnOnce(&mut Command)) -> Result<Running> {
    let mut command = Command::new(binary("authservice"));
    command.arg("--data-dir").arg(data_dir);
    prepare(&mut command);
    let running = Running::start(command)?;
    running.wait_for("ready")?;
    Ok(running)
}
