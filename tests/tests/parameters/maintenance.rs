//! `ADP_CLI/Maintenance` and `ADP_CLI/Monitoring`.

use crate::{metric, until};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Effects, Lab, Plain, python};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

const OBJECTS: &str = "ADP_CLI/Maintenance/ManagedObjects";
const LIMITS: &str = "ADP_CLI/Maintenance/ManagedObjects/ArchiveLimits";
const AGENT: &str = "ADP_CLI/Interface/SNMP/Agent";
const DESTINATIONS: &str = "ADP_CLI/Interface/SNMP/Agent/TrapDestinations";
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

#[test]
fn traps() -> Result<()> {
    const FILE: &str = "ADP_CLI/System/Logging/OutputChannels/File";
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/maintenance.rs::traps");
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    receiver.set_nonblocking(true)?;
    let port = receiver.local_addr()?.port();
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let changes = || -> Result<usize> {
        let history = lab.administer(&["ADP_CLI/Monitoring/Alarm/AlarmsTable> listHistory 100000"])?;
        Ok(history.matches("bwConfigurationChanged").count())
    };
    // What came until a change of the settings stands in the history of alarms, which is written after the trap was sent.
    let next = std::cell::Cell::new(1_024);
    let told = || -> Result<Vec<(Vec<u8>, SocketAddr)>> {
        let (mut traps, mut buffer) = (Vec::new(), [0; 4_096]);
        while receiver.recv_from(&mut buffer).is_ok() {}
        let before = changes()?;
        next.set(next.get() + 1);
        done(&lab, &format!("{ALARM}> set historyKibibytes {}", next.get()))?;
        until("the change is told", || Ok(changes()? > before))?;
        while let Ok((length, from)) = receiver.recv_from(&mut buffer) {
            traps.push((buffer[..length].to_vec(), from));
        }
        Ok(traps)
    };
    let comes = || Ok(!told()?.is_empty());
    effects.see_rows(
        DESTINATIONS,
        &["address", "port"],
        (&format!("add 127.0.0.1 {port}"), &format!("delete 127.0.0.1 {port}")),
        (false, true),
        comes,
    )?;
    effects.run(DESTINATIONS, &format!("add 127.0.0.1 {port}"))?;
    // Version 2c, the community, an SNMPv2-Trap, and alarmActiveState of the Alarm MIB.
    let head = [&[2, 1, 1, 4, 10][..], b"between-us", &[0xa7]].concat();
    let state = [6, 8, 0x2b, 6, 1, 2, 1, 118, 0, 2];
    effects.with(AGENT, &["trapCommunity"], "set trapCommunity between-us", || {
        let traps = told()?;
        let fits = |bytes: &[u8]| has(bytes, &head) && has(bytes, &state) && has(bytes, b"revision=");
        let trap = traps.iter().find(|(bytes, _)| fits(bytes));
        let (bytes, _) = trap.with_context(|| format!("no such trap: {traps:?}"))?;
        // Somebody else's reader of the encoding takes all of it.
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("trap");
        std::fs::write(&file, bytes)?;
        let output =
            Command::new("openssl").args(["asn1parse", "-inform", "DER", "-in"]).arg(&file).output()?;
        let read = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{output:?}");
        for part in [":between-us", "cont [ 7 ]", ":1.3.6.1.2.1.118.0.2\n", ":1.3.6.1.6.3.1.1.4.1.0\n"] {
            ensure!(read.contains(part), "no {part}: {read}");
        }
        Ok(())
    })?;
    effects.with(AGENT, &["trapSourceAddress"], "set trapSourceAddress 127.0.0.7", || {
        let traps = told()?;
        ensure!(traps.iter().any(|(_, from)| from.ip() == Ipv4Addr::new(127, 0, 0, 7)), "{traps:?}");
        Ok(())
    })?;
    effects.see(AGENT, "disableV2", "true", (true, false), comes)?;
    let name = [6, 8, 0x2b, 6, 1, 2, 1, 1, 5, 0];
    let named = || Ok(told()?.iter().any(|(bytes, _)| has(bytes, &name)));
    effects.see(AGENT, "hostMibII", "true", (false, true), named)?;
    // A folder that cannot be made is named in its alarm, once there is a line for it.
    effects.run("ADP_CLI/System/Logging/InputChannels", "set Host severity Info")?;
    let latin = || -> Result<bool> {
        let mut found = None;
        done(&lab, &format!("{FILE}> set enabled true directory /proc/f\u{fc}r"))?;
        until("the output fails", || {
            // Its line of the log finds the output failing.
            next.set(next.get() + 1);
            done(&lab, &format!("{ALARM}> set historyKibibytes {}", next.get()))?;
            let mut buffer = [0; 4_096];
            while let Ok(length) = receiver.recv(&mut buffer) {
                let bytes = buffer[..length].to_vec();
                found = found.take().or_else(|| has(&bytes, b"/proc/f").then_some(bytes));
            }
            Ok(found.is_some())
        })?;
        done(&lab, &format!("{FILE}> set enabled false"))?;
        Ok(has(&found.unwrap_or_default(), b"/proc/f\xfcr"))
    };
    effects.see(AGENT, "encoding", "UTF-8", (true, false), latin)?;
    effects.finish()
}

/// A command that is no part of what is tested.
fn done(lab: &Lab, line: &str) -> Result<()> {
    let printed = lab.administer(&[line])?;
    ensure!(printed.contains("...Done"), "{line}: {printed}");
    Ok(())
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
