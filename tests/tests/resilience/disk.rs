//! A disk without room: changes are refused, nothing is lost, and everything goes on when there is room again.

use crate::value;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Lab, Plain};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; `None`, with the reason printed, where this user may not.
    fn mount(at: &Path) -> Option<Self> {
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "openadp-test"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                skipped(&String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                skipped(&error.to_string());
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: files may still be open.
        if Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status().is_ok() {}
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads the test's output must see that nothing was tested")]
fn skipped(reason: &str) {
    eprintln!("skipped, a disk cannot be mounted here: {}", reason.trim());
}

/// Writes until there is no room for another byte.
fn fill(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path)?;
    for size in [1 << 20, 4096, 1] {
        let block = vec![0_u8; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(path)
}

/// A folder that can only be read; as before when dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// Mounts the folder over itself; `None`, with the reason printed, where this user may not.
    fn mount(folder: &Path) -> Option<Self> {
        let mount = |options: &[&str]| {
            let output = Command::new("mount").args(options).arg(folder).arg(folder).output();
            match output {
                Ok(output) if output.status.success() => true,
                Ok(output) => {
                    skipped(&String::from_utf8_lossy(&output.stderr));
                    false
                }
                Err(error) => {
                    skipped(&error.to_string());
                    false
                }
            }
        };
        let mounted = mount(&["--bind"]).then(|| Self(folder.to_owned()))?;
        mount(&["-o", "remount,bind,ro"]).then_some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status().is_ok() {}
    }
}

/// The settings on a file system that is mounted for reading: they can be read, every change is refused whole, and the message
/// says what to do; with a process that runs and without.
#[test]
fn settings_that_can_only_be_read_say_what_to_do() -> Result<()> {
    const ADVICE: &str = "mount it for writing and try again";
    const LIMITS: &str = "ADP_CLI/Applications/WebContainer/Tomcat/Limits";
    let mut lab = Lab::seed()?;
    lab.administer(&[&format!("{TOKENS}> set tokenDurationInHours 24")])?;
    let settings = lab.data_dir.join("settings");
    let before = std::fs::read(settings.join("revisions.jsonl"))?;
    let streams = value(&lab, LIMITS, "maxStreamsPerConnection")?;
    for running in [false, true] {
        if running {
            lab.run()?;
        }
        let Some(read_only) = ReadOnly::mount(&settings) else { return Ok(()) };
        let set = format!("{TOKENS}> set tokenDurationInHours 25");
        let other = format!("{LIMITS}> set maxStreamsPerConnection 7");
        for commands in [
            &[set.as_str()][..],
            &["begin", &other, &set, "commit"],
            &["ADP_CLI/Interface/Http/SSLCommonSettings/Ciphers> add TLS_AES_128_GCM_SHA256"],
            &["ADP_CLI/Maintenance/ManagedObjects> undeploy application /dms"],
            &["rollback 1"],
        ] {
            let output = lab.adpcli(commands)?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.code() == Some(4),
                "running {running}: {commands:?}: {}: {text}",
                output.status
            );
            ensure!(
                text.contains(ADVICE) && !text.lines().any(|line| line == "...Done"),
                "running {running}: {commands:?}: {text}"
            );
        }
        ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == "24", "running {running}");
        ensure!(
            value(&lab, LIMITS, "maxStreamsPerConnection")? == streams,
            "running {running}: half of a change"
        );
        if running {
            let alice = lab.subscriber(0);
            lab.curl(&alice).get(&lab.user_url(&alice, "profile"))?.expect_status(200)?;
        }
        drop(read_only);
        ensure!(
            std::fs::read(settings.join("revisions.jsonl"))? == before,
            "running {running}: something was written"
        );
    }
    // For writing again: everything goes on in the process that runs.
    lab.administer(&[&format!("{TOKENS}> set tokenDurationInHours 26")])?;
    ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == "26", "for writing again");
    // A process that starts while they can only be read serves what they say, and writes them later.
    lab.process.as_mut().context("a running lab")?.kill()?;
    let Some(read_only) = ReadOnly::mount(&settings) else { return Ok(()) };
    let mut command = Command::new(openadp_suite::binary("dms"));
    command
        .arg("--data-dir")
        .arg(&lab.data_dir)
        .args(["--interface", &format!("127.0.0.1:{}", lab.port_base())]);
    let process = openadp_suite::Running::start(command)?;
    process.wait_for("ready")?;
    ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == "26", "read");
    ensure!(!lab.adpcli(&[&format!("{TOKENS}> set tokenDurationInHours 27")])?.status.success());
    drop(read_only);
    lab.administer(&[&format!("{TOKENS}> set tokenDurationInHours 28")])?;
    ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == "28", "written");
    Ok(())
}

#[test]
fn a_full_disk_refuses_changes_and_loses_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(_disk) = SmallDisk::mount(folder.path()) else { return Ok(()) };
    let disk = folder.path().to_owned();
    let mut lab = Lab::seed_in(folder)?;
    lab.run()?;
    let plain = Plain::open(&lab)?;
    let alice = lab.subscriber(0);
    lab.administer(&[&format!("{TOKENS}> set tokenDurationInHours 24")])?;
    plain.others_are_served()?;

    let filler = fill(&disk)?;
    // The page that the journal ends in may have room for a few changes; then they are refused, each whole.
    let mut accepted = 24;
    let refused = loop {
        let output = lab.adpcli(&[&format!("{TOKENS}> set tokenDurationInHours {}", accepted + 1)])?;
        if !output.status.success() {
            break output;
        }
        accepted += 1;
        ensure!(accepted < 200, "a full disk refuses nothing");
    };
    let text =
        String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    ensure!(
        !text.contains("...Done") && text.to_lowercase().contains("space"),
        "it does not say why: {text}"
    );
    ensure!(
        value(&lab, TOKENS, "tokenDurationInHours")? == accepted.to_string(),
        "the last accepted value holds"
    );
    // Who only reads is served; who writes is told that it does not work now.
    plain
        .request_as(
            &alice,
            "GET",
            &format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id),
            "",
        )?
        .expect_status(200)
        .context("a reader")?;
    // SQLite reuses room within its files, so a few changes may still fit; then they are refused, each whole.
    let mut accepted = false;
    let mut refused = None;
    for turn in 0..3_000 {
        let active = turn % 2 == 0;
        let body = format!(
            "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>{active}</active></DoNotDisturb>"
        );
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/services/DoNotDisturb", alice.user_id);
        let answer = plain.request_as(&alice, "PUT", &path, body)?;
        if answer.status == 200 {
            accepted = active;
        } else {
            refused = Some(answer);
            break;
        }
    }
    if let Some(answer) = refused {
        ensure!(matches!(answer.status, 500 | 503) && answer.body.contains("<ErrorInfo"), "{answer:?}");
        ensure!(
            !answer.body.contains("sqlite") && !answer.body.contains("disk"),
            "its inside shows: {answer:?}"
        );
    }
    let now = lab
        .curl(&alice)
        .get(&lab.user_url(&alice, "services/DoNotDisturb"))?
        .expect_status(200)
        .context("afterwards")?;
    ensure!(now.text_of("active") == Some(if accepted { "true" } else { "false" }), "{now:?}");

    // Room again: everything works without a restart, and after one.
    std::fs::remove_file(&filler)?;
    lab.administer(&[&format!("{TOKENS}> set tokenDurationInHours 72")])?;
    ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == "72", "room again");
    let body = "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>true</active></DoNotDisturb>";
    lab.curl(&alice)
        .body(body)
        .put(&lab.user_url(&alice, "services/DoNotDisturb"))?
        .expect_status(200)
        .with_context(|| {
            format!(
                "with room again: {}",
                lab.process.as_ref().map(openadp_suite::Running::log).unwrap_or_default()
            )
        })?;
    lab.process.as_mut().context("a running lab")?.kill()?;
    lab.run()?;
    ensure!(value(&lab, TOKENS, "tokenDurationInHours")? == "72", "after a restart");
    lab.process.as_mut().context("a running lab")?.kill()?;
    Ok(())
}
