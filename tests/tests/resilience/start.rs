//! Starts that are refused, checks of a configuration, and two administrators at once.

use crate::value;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Lab, Running, binary};
use std::path::Path;
use std::process::{Command, Output};

fn adp(arguments: &[&str], data_dir: &Path) -> Result<Output> {
    Command::new(binary("adp"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .context("running adp")
}

/// Asserts an exit code, and that every one of these words is in what was printed.
fn ends(what: &str, output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{what}: expected {code}, got {}: {text}", output.status);
    for word in words {
        ensure!(text.contains(word), "{what}: nothing about {word}: {text}");
    }
    ensure!(!text.contains("panicked"), "{what}: {text}");
    Ok(())
}

#[test]
fn a_second_lab_is_refused_and_the_first_goes_on() -> Result<()> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0);
    let again = lab.command(&["lab"]).output()?;
    ends("the same data", &again, 69, &["already", &lab.data_dir.display().to_string()])?;
    // Other data, the same ports.
    let folder = tempfile::tempdir()?;
    let base = lab.port_base().to_string();
    let clash = adp(&["lab", "--port-base", &base], &folder.path().join("data"))?;
    ends("the same ports", &clash, 69, &["cannot listen on 127.0.0.1:"])?;
    // It left nobody behind who would hold its own data.
    let free = lab.port_base() + 10;
    let command = |words: &[&str]| {
        let mut command = Command::new(binary("adp"));
        command.args(words).arg("--data-dir").arg(folder.path().join("data"));
        command
    };
    let moved = Running::start(command(&["lab", "--port-base", &free.to_string()]))?;
    moved.wait_for("The lab is ready")?;
    lab.curl(&alice).get(&lab.user_url(&alice, "profile"))?.expect_status(200)?;
    Ok(())
}

#[test]
fn what_cannot_be_hosted_is_refused_with_a_reason() -> Result<()> {
    let lab = Lab::seed()?;
    let data = lab.data_dir.as_path();
    for (what, arguments, code, words) in [
        ("nps with others", vec!["run", "--application", "nps,xsi"], 78, vec!["must not share"]),
        (
            "nps with others, checked",
            vec!["run", "--application", "nps,xsi", "--check-config"],
            78,
            vec!["must not share"],
        ),
        ("an unknown application", vec!["run", "--application", "xsj"], 78, vec!["xsj", "xsi"]),
        ("nothing", vec!["run"], 78, vec!["--application"]),
        ("an unknown flag", vec!["run", "--no-such-flag"], 64, vec!["--no-such-flag"]),
        ("no command", vec![], 64, vec!["Usage"]),
        (
            "an interface that is none",
            vec!["run", "--application", "xsi", "--interface", "here"],
            64,
            vec!["here"],
        ),
        ("a port that is none", vec!["lab", "--port-base", "70000"], 64, vec!["70000"]),
        (
            "a configuration that is not there",
            vec!["run", "--config", "/no/such/file"],
            78,
            vec!["/no/such/file"],
        ),
        (
            "everything but nps, checked",
            vec!["run", "--application", "authservice,xsi,cti,dms", "--check-config"],
            0,
            vec![],
        ),
        ("nps, checked", vec!["run", "--application", "nps", "--check-config"], 0, vec![]),
    ] {
        ends(what, &adp(&arguments, data)?, code, &words)?;
    }
    Ok(())
}

#[test]
fn damaged_files_are_named() -> Result<()> {
    let lab = Lab::seed()?;
    let check = |what: &str, words: &[&str], codes: &[i32]| -> Result<()> {
        let output = adp(&["run", "--application", "xsi", "--check-config"], &lab.data_dir)?;
        let code = output.status.code().unwrap_or(-1);
        ensure!(codes.contains(&code), "{what}: {code}: {}", String::from_utf8_lossy(&output.stderr));
        ends(what, &output, code, words)
    };
    check("as seeded", &[], &[0])?;

    let journal = lab.data_dir.join("settings/revisions.jsonl");
    let whole = std::fs::read(&journal)?;
    // Cut in the middle of its last line, as a crash leaves it: nothing that was accepted is there to lose.
    std::fs::write(&journal, [whole.as_slice(), b"{\"revision\":99,\"ti"].concat())?;
    check("a torn end", &[], &[0])?;
    let middle = whole.len() / 2;
    let mut damaged = whole.clone();
    for byte in damaged.iter_mut().skip(middle).take(8) {
        *byte = b'#';
    }
    std::fs::write(&journal, &damaged)?;
    check("damage in the middle", &["revisions.jsonl"], &[78])?;
    let refused = lab.adpcli(&["revisions"])?;
    ensure!(refused.status.code().is_some_and(|code| code != 0), "{refused:?}");
    std::fs::write(&journal, &whole)?;
    check("put back", &[], &[0])?;

    let key = lab.data_dir.join("settings/machine.key");
    let sealed_by = std::fs::read(&key)?;
    std::fs::write(&key, b"short")?;
    check("a damaged machine key", &["machine.key"], &[78])?;
    ensure!(std::fs::read(&key)? == b"short", "a key that cannot be read is never replaced");
    std::fs::write(&key, &sealed_by)?;

    let database = lab.data_dir.join("appserver/appserver.db");
    let rows = std::fs::read(&database)?;
    for suffix in ["-wal", "-shm"] {
        let beside = lab.data_dir.join(format!("appserver/appserver.db{suffix}"));
        if beside.exists() {
            std::fs::remove_file(beside)?;
        }
    }
    std::fs::write(&database, vec![b'#'; 4096])?;
    check("a database that is none", &["appserver"], &[69, 78])?;
    std::fs::write(&database, &rows)?;
    check("put back again", &[], &[0])?;
    Ok(())
}

/// Changes at the same moment: both are made, whoever is first, with the lab running and without.
#[test]
fn two_administrators_at_once_both_succeed() -> Result<()> {
    const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";
    const LIMITS: &str = "ADP_CLI/Applications/WebContainer/Tomcat/Limits";
    const TIMES: u32 = 6;
    let mut lab = Lab::seed()?;
    // Its numbers have no gaps: the newest tells how many there are.
    let newest = |lab: &Lab| -> Result<u32> {
        let printed = lab.administer(&["revisions"])?;
        let numbers = printed.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
        numbers.max().with_context(|| format!("no revision: {printed}"))
    };
    for running in [false, true] {
        if running {
            lab.run()?;
        }
        let before = newest(&lab)?;
        std::thread::scope(|scope| -> Result<()> {
            let lab = &lab;
            let hours = scope.spawn(move || {
                (1..=TIMES).try_for_each(|n| {
                    lab.administer(&[&format!(
                        "{TOKENS}> set tokenDurationInHours {}",
                        n + 10 * u32::from(running)
                    )])
                    .map(|_| ())
                })
            });
            let streams = scope.spawn(move || {
                (1..=TIMES).try_for_each(|n| {
                    lab.administer(&[&format!(
                        "{LIMITS}> set maxStreamsPerConnection {}",
                        n + 10 * u32::from(running)
                    )])
                    .map(|_| ())
                })
            });
            for writer in [hours, streams] {
                writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
            }
            Ok(())
        })?;
        ensure!(newest(&lab)? == before + 2 * TIMES, "running {running}: a revision is missing");
        let last = (TIMES + 10 * u32::from(running)).to_string();
        ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == last, "running {running}");
        ensure!(value(&lab, LIMITS, "maxStreamsPerConnection")? == last, "running {running}");
    }
    Ok(())
}
