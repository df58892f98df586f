//! `ADP_CLI/Maintenance` and `ADP_CLI/Monitoring`.

use crate::{metric, until};
use anyhow::{Result, ensure};
use openadp_suite::{Curl, Effects, Lab, Plain, python};
use std::path::{Path, PathBuf};
use std::process::Command;

const OBJECTS: &str = "ADP_CLI/Maintenance/ManagedObjects";
const LIMITS: &str = "ADP_CLI/Maintenance/ManagedObjects/ArchiveLimits";
const LOCK: &str = "ADP_CLI/Maintenance/ManagedObjects/Lock";
const ALARM: &str = "ADP_CLI/Monitoring/Alarm";

/// An archive with a page and whatever the script makes of `data`, by Python's own library.
fn archive(folder: &Path, name: &str, data: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}_1.0_1.war"));
    let script = format!(
        "import os, random, sys, zipfile\n\
         with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as war:\n\
         \x20   war.writestr('index.html', '<p>page</p>')\n\
         \x20   war.writestr('data.bin', {data})\n"
    );
    let made = Command::new(python()?).args(["-c", &script]).arg(&path).status()?;
    ensure!(made.success(), "no archive");
    Ok(path)
}

/// Whether it can be installed; it is taken away again.
fn installs(lab: &Lab, file: &Path, name: &str) -> Result<bool> {
    let output = lab.adpcli(&[&format!("{OBJECTS}> install application {}", file.display())])?;
    if output.status.success() {
        lab.administer(&[&format!("{OBJECTS}> uninstall application {name} 1.0")])?;
    }
    Ok(output.status.success())
}

#[test]
fn archives() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/maintenance.rs::archives");
    let folder = tempfile::tempdir()?;
    // Three mebibytes that cannot be packed, and as much that packs to a quarter.
    let random = archive(folder.path(), "Random", "os.urandom(3 << 20)")?;
    let quarter = archive(folder.path(), "Quarter", "bytes(random.choices(b'abcd', k=3 << 20))")?;
    for (parameter, value, file, name) in [
        ("maxArchiveMebibytes", "1", &random, "Random"),
        ("maxEntries", "1", &random, "Random"),
        ("maxUnpackedMebibytes", "2", &random, "Random"),
        ("maxFileMebibytes", "2", &random, "Random"),
        ("maxRatio", "2", &quarter, "Quarter"),
    ] {
        effects.see(LIMITS, parameter, value, (true, false), || installs(&lab, file, name))?;
    }

    let curl = Curl::new(lab.ca());
    let page = |path: &str| {
        let url = format!("{}/{path}", lab.text("dms").trim_end_matches("/dms"));
        curl.get(&url).map(|answer| answer.status)
    };
    let row = || -> Result<String> {
        let table = lab.administer(&[&format!("{OBJECTS}> get")])?;
        let row = table.lines().find(|line| line.contains("Random")).unwrap_or_default();
        Ok(row.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let install = format!("install application {}", random.display());
    effects.with(OBJECTS, &["name", "version", "status"], &install, || {
        let installed = row()?.starts_with("Random 1.0") && row()?.ends_with("Installed");
        ensure!(installed && page("random/")? == 404, "{}", row()?);
        Ok(())
    })?;
    effects.run(OBJECTS, "activate application Random 1.0 /random")?;
    effects.with(OBJECTS, &["contextPath", "status"], "deploy application /random", || {
        let deployed = row()?.contains("Deployed") && row()?.contains("/random");
        ensure!(deployed && page("random/")? == 200, "{}", row()?);
        Ok(())
    })?;
    effects.finish()
}

#[test]
fn alarms() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/maintenance.rs::alarms");
    let raised = || -> Result<bool> {
        let list = lab.administer(&["ADP_CLI/Monitoring/Alarm/AlarmsTable> list"])?;
        Ok(list.contains("diskSpaceLow"))
    };
    ensure!(!raised()?, "room enough");
    effects.with(ALARM, &["minimumFreeMebibytes"], "set minimumFreeMebibytes 100000000", || {
        until("too little room", raised)
    })?;
    effects.run(ALARM, "clear minimumFreeMebibytes")?;
    until("room enough again", || Ok(!raised()?))?;

    // Each change of the configuration is an event.
    let commands: Vec<String> = (0..150)
        .map(|number| {
            format!("ADP_CLI/Applications/Xsi-Actions/Paging> set defaultPageSize {}", 100 + number)
        })
        .collect();
    lab.administer(&commands.iter().map(String::as_str).collect::<Vec<_>>())?;
    let folder = lab.data_dir.join("alarms");
    let (history, earlier) = (folder.join("history.jsonl"), folder.join("history.1.jsonl"));
    until("all are written", || Ok(std::fs::metadata(&history)?.len() > 16 * 1024))?;
    ensure!(!earlier.exists(), "a megabyte has room");
    effects.with(ALARM, &["historyKibibytes"], "set historyKibibytes 16", || {
        until("what was there is set aside", || Ok(earlier.exists()))
    })?;
    effects.finish()
}

/// A node on its way out of service, each phase as long as it is told to be.
#[test]
fn lock() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/maintenance.rs::lock");
    let plain = Plain::open(&lab)?;
    let health = lab.text("metrics").replace("/metrics", "/readyz");
    let healthy = || Curl::new(lab.ca()).get(&health).map(|answer| answer.status == 200);
    let ask = || plain.request("GET", "/authService/ping", &[], "");
    effects.run(LOCK, "set healthCheckSeconds 3600 finishSeconds 3600")?;
    ensure!(healthy()? && ask()?.status == 204, "it serves");
    effects.by((OBJECTS, "lock;y"), LOCK, &["state"], || {
        until("the health check fails", || Ok(!healthy()?))?;
        ensure!(ask()?.status == 204, "load balancers are given an hour to see it");
        Ok(())
    })?;
    let mut open = plain.connect()?;
    effects.with(LOCK, &["healthCheckSeconds"], "set healthCheckSeconds 0", || {
        until("new work is refused", || Ok(ask()?.status == 503))
    })?;
    effects.with(LOCK, &["retryAfterSeconds"], "set retryAfterSeconds 7", || {
        until("clients are told when", || Ok(ask()?.header("Retry-After") == Some("7")))
    })?;
    ensure!(metric(&lab, "node_lock_phase", "")? == 2, "what is open has an hour");
    effects.with(LOCK, &["finishSeconds"], "set finishSeconds 0", || {
        open.until_end()?;
        until("nothing is open", || Ok(metric(&lab, "node_lock_phase", "")? == 4))
    })?;
    effects.finish()
}
