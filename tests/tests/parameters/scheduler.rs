//! `ADP_CLI/Maintenance/Scheduler`: the tasks run on their schedule in a running host, and what they make is whole.

use crate::until;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Effects, Lab, PATIENCE, python};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SCHEDULER: &str = "ADP_CLI/Maintenance/Scheduler";
const IDLE: &str = "bwCPUIdleTimeLimitReached";
const HEALTH: &str = "bwSystemHealthReport";
const SETTINGS: &str = "ADP_CLI/Maintenance/Scheduler/TaskSettings";

/// What status shows of a task, with single blanks.
fn status(lab: &Lab, task: &str) -> Result<String> {
    let table = lab.administer(&[&format!("{SCHEDULER}> status")])?;
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(task));
    let row = row.with_context(|| format!("no {task}: {table}"))?;
    Ok(row.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// When a task began last, to the fraction of a second; none before it did.
fn began(lab: &Lab, task: &str) -> Result<Option<String>> {
    let text = match std::fs::read_to_string(lab.data_dir.join("scheduler/last.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let last: serde_json::Value = serde_json::from_str(&text)?;
    Ok(last[task]["at"].as_str().map(str::to_owned))
}

/// Has a task done now; gives what status shows of it then.
fn run(lab: &Lab, task: &str) -> Result<String> {
    let before = began(lab, task)?;
    let asked = lab.administer(&[&format!("{SCHEDULER}> run {task}")])?;
    ensure!(asked.contains("...Done [it begins within a second"), "{asked}");
    until(task, || Ok(began(lab, task)? != before))?;
    status(lab, task)
}

/// What there is in a folder of the data directory, whole, the oldest first.
fn made(lab: &Lab, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(lab.data_dir.join(folder)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !name.starts_with('.'))
    });
    paths.sort();
    paths
}

fn alarms(lab: &Lab) -> Result<String> {
    lab.administer(&["ADP_CLI/Monitoring/Alarm/AlarmsTable> list"])
}

fn script(source: &str, arguments: &[&std::ffi::OsStr]) -> Result<String> {
    let output = Command::new(python()?).args(["-c", source]).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn entries_are_kept_by_id_and_done_at_their_minute() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects =
        Effects::of(&lab, "parameters/scheduler.rs::entries_are_kept_by_id_and_done_at_their_minute");
    let context = |command: &str| lab.administer(&[&format!("{SCHEDULER}> {command}")]);
    let table = || -> Result<Vec<String>> {
        let printed = context("get")?;
        let rows = printed.lines().skip(2).take_while(|line| !line.is_empty());
        Ok(rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    };
    // A fresh installation looks after itself at night.
    ensure!(
        table()?
            == ["1 dbSyncCheck * * 1 30", "2 backup * * 2 0", "3 dbMaint * * 2 30", "4 autoCleanup * * 3 0"],
        "{:?}",
        table()?
    );
    ensure!(context("get")?.starts_with("  Id  Name"), "{}", context("get")?);
    for command in ["delete 4", "delete 3", "delete 2", "delete 1"] {
        effects.run(SCHEDULER, command)?;
    }
    ensure!(table()?.is_empty() && context("get")?.contains("0 entry found."), "{}", context("get")?);
    for command in [
        "add backup daily 2 10",
        "add tech-support day sun 3 15",
        "add dbMaint date 31 4 20",
        "add cpuMon minute 1440 77",
        "add HEALTHMON Minute 15",
    ] {
        effects.run(SCHEDULER, command)?;
    }
    ensure!(
        table()?
            == [
                "1 backup * * 2 10",
                "2 tech-support * Sunday 3 15",
                "3 dbMaint 31 * 4 20",
                "4 cpuMon * * * 77/1440",
                "5 healthmon * * * */15",
            ],
        "{:?}",
        table()?
    );
    // Ids shift.
    effects.run(SCHEDULER, "delete 2")?;
    ensure!(table()?.get(1).is_some_and(|row| row == "2 dbMaint 31 * 4 20"), "{:?}", table()?);
    for (command, words) in [
        ("delete 9", "Entry not found"),
        ("add backup daily 2 10", "entry is already present in list"),
        ("add backup daily 25 0", "hour 25 is not between 0 and 23"),
        ("add backup day Someday 1 1", "none of Monday"),
        ("add nothing daily 1 1", "dbSyncCheck"),
        ("add backup minute 5 5", "offset 5 is not between 0 and 4"),
        ("add backup daily 2", "minute is missing"),
    ] {
        let output = lab.adpcli(&[&format!("{SCHEDULER}> {command}")])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!output.status.success() && text.contains(words), "{command}: {text}");
    }
    // As part of a change, which sees what it did itself; and shown without being done. Who only looks is in nobody's way.
    let before = table()?;
    lab.administer(&[
        "begin",
        &format!("{SCHEDULER}> add autoCleanup daily 5 0"),
        &format!("{SCHEDULER}> delete 1"),
        &format!("{SCHEDULER}> delete 1"),
        &format!("{SCHEDULER}> status"),
        "commit",
    ])?;
    let mut changed = before.get(2..).unwrap_or_default().to_vec();
    changed.push("5 autoCleanup * * 5 0".to_owned());
    let names = |rows: &[String]| -> Vec<String> {
        rows.iter().map(|row| row.split_once(' ').map_or("", |(_, rest)| rest).to_owned()).collect()
    };
    ensure!(names(&table()?) == names(&changed), "{:?}", table()?);
    let shown = lab.adpcli_with(&["-n"], &[&format!("{SCHEDULER}> add backup daily 5 0")])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(shown.contains("+ schedule = daily 5 0") && shown.contains("Dry run"), "{shown}");
    ensure!(!table()?.iter().any(|row| row.ends_with("backup * * 5 0")), "{:?}", table()?);
    for command in ["delete 3", "delete 2", "delete 1", "add backup daily 2 10", "add dbMaint date 31 4 20"] {
        effects.run(SCHEDULER, command)?;
    }

    // It goes out and comes in as text.
    let file = lab.data_dir.join("tmp/schedule.txt");
    std::fs::create_dir_all(lab.data_dir.join("tmp"))?;
    let before = table()?;
    lab.administer(&[&format!("export {SCHEDULER} {}", file.display())])?;
    effects.run(SCHEDULER, "delete 1")?;
    lab.administer(&[&format!("import {}", file.display())])?;
    ensure!(table()? == before, "{:?}", table()?);

    // Done by itself at the next minute, and not before.
    ensure!(status(&lab, "dbMaint")? == "dbMaint never", "{}", status(&lab, "dbMaint")?);
    effects.with(SCHEDULER, &["task", "schedule"], "add dbMaint minute 1", || {
        let began = Instant::now();
        // A minute, and the patience that everything else gets too.
        while status(&lab, "dbMaint")? == "dbMaint never" {
            ensure!(began.elapsed() < Duration::from_mins(1) + PATIENCE, "a minute passed");
            std::thread::yield_now();
        }
        let row = status(&lab, "dbMaint")?;
        ensure!(row.contains("GMT done optimized; write-ahead log"), "{row}");
        // At the minute, give or take a busy machine.
        let second = row.split(':').nth(2).and_then(|rest| rest.get(..2)?.parse::<u32>().ok());
        ensure!(second.is_some_and(|second| second < 45), "{row}");
        Ok(())
    })?;
    let counters = lab.administer(&["ADP_CLI/Monitoring/PM/System> get -f scheduler"])?;
    ensure!(counters.contains("scheduler_tasks_total"), "{counters}");
    effects.finish()
}

#[test]
fn what_the_tasks_make_is_whole_and_bounded() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/scheduler.rs::what_the_tasks_make_is_whole_and_bounded");
    let alice = lab.subscriber(0);
    // A lab has no key until somebody signs in.
    lab.administer(&["ADP_CLI/Applications/AuthenticationService/KeyManagement> generateKey"])?;
    let sync = run(&lab, "dbSyncCheck")?;
    ensure!(sync.contains("done 4 stores checked, all whole"), "{sync}");

    // A backup opens elsewhere with other tools, and has the users and the settings.
    lab.administer(&["ADP_CLI/Applications/Xsi-Actions/Paging> set defaultPageSize 77"])?;
    let told = run(&lab, "backup")?;
    let backup = made(&lab, "backups").pop().with_context(|| told.clone())?;
    let look = "import sqlite3, sys\n\
        store = sqlite3.connect('file:' + sys.argv[1] + '/appserver.db?mode=ro', uri=True)\n\
        print(store.execute('PRAGMA integrity_check').fetchone()[0])\n\
        print(store.execute('SELECT COUNT(*) FROM users WHERE user_id = ?', (sys.argv[2],)).fetchone()[0])";
    let seen = script(look, &[backup.as_os_str(), alice.user_id.as_ref()])?;
    ensure!(seen == "ok\n1", "{seen}");
    let settings = std::fs::read_to_string(backup.join("settings.txt"))?;
    ensure!(
        settings.contains("ADP_CLI/Applications/Xsi-Actions/Paging> set defaultPageSize 77"),
        "{settings}"
    );
    let sums = "import hashlib, json, sys\n\
        for name, told in json.load(open(sys.argv[1] + '/manifest.json'))['files'].items():\n\
        \x20   bytes = open(sys.argv[1] + '/' + name, 'rb').read()\n\
        \x20   assert len(bytes) == told['bytes'] and hashlib.sha256(bytes).hexdigest() == told['sha256'], name\n\
        \x20   print(name)";
    let listed = script(sums, &[backup.as_os_str()])?;
    ensure!(listed.contains("appserver.db") && listed.contains("authservice.keys"), "{listed}");
    // What was changed since goes back by import.
    lab.administer(&["ADP_CLI/Applications/Xsi-Actions/Paging> set defaultPageSize 78"])?;
    lab.administer(&[&format!("import {}", backup.join("settings.txt").display())])?;
    let page = lab.administer(&["ADP_CLI/Applications/Xsi-Actions/Paging> get"])?;
    ensure!(page.contains("defaultPageSize = 77"), "{page}");

    // No more are kept than are wanted.
    run(&lab, "backup")?;
    run(&lab, "backup")?;
    ensure!(made(&lab, "backups").len() >= 3, "{:?}", made(&lab, "backups"));
    effects.with(SETTINGS, &["maxBackups"], "set maxBackups 1", || {
        run(&lab, "backup")?;
        ensure!(made(&lab, "backups").len() == 1, "{:?}", made(&lab, "backups"));
        Ok(())
    })?;
    run(&lab, "tech-support")?;
    run(&lab, "tech-support")?;
    ensure!(made(&lab, "tech-support").len() >= 2, "{:?}", made(&lab, "tech-support"));
    effects.with(SETTINGS, &["maxTechSupportBundles"], "set maxTechSupportBundles 1", || {
        run(&lab, "tech-support")?;
        ensure!(made(&lab, "tech-support").len() == 1, "{:?}", made(&lab, "tech-support"));
        Ok(())
    })?;
    no_secrets(&lab)?;

    // Older than a day: files of exports, and with one day as the retention also these.
    let old = lab.data_dir.join("tmp/left-by-an-export.txt");
    std::fs::create_dir_all(lab.data_dir.join("tmp"))?;
    let file = std::fs::File::create(&old)?;
    let now = file.metadata()?.modified()?;
    file.set_modified(now.checked_sub(Duration::from_hours(24 * 29)).context("a machine of this century")?)?;
    run(&lab, "autoCleanup")?;
    ensure!(old.exists(), "29 days are less than the retention");
    effects.with(SETTINGS, &["retentionInDays"], "set retentionInDays 28", || {
        run(&lab, "autoCleanup")?;
        ensure!(!old.exists() && made(&lab, "backups").len() == 1, "it is older than the retention");
        Ok(())
    })?;
    effects.finish()
}

/// A bundle for support has what helps, and none of the lab's secrets.
fn no_secrets(lab: &Lab) -> Result<()> {
    let bundle = made(lab, "tech-support").pop().context("a bundle")?;
    let text = script(
        "import sys, zipfile\n\
         bundle = zipfile.ZipFile(sys.argv[1])\n\
         assert bundle.testzip() is None\n\
         for name in bundle.namelist():\n\
         \x20   print('==', name)\n\
         \x20   print(bundle.read(name).decode(errors='replace'))",
        &[bundle.as_os_str()],
    )?;
    for part in [
        "health.txt",
        "settings.txt",
        "audit.jsonl",
        "alarms.jsonl",
        "stores.txt",
        "files.txt",
        "machine.txt",
    ] {
        ensure!(text.contains(&format!("== {part}")), "{part}");
    }
    ensure!(text.contains("== metrics/") && text.contains("scheduler_tasks_total"), "no metrics");
    ensure!(text.contains("applicationServer: whole"), "no stores");
    let mut secrets = Vec::new();
    let texts = |value: &serde_json::Value, names: &[&str]| -> Vec<String> {
        names.iter().filter_map(|name| Some(value.get(name)?.as_str()?.to_owned())).collect()
    };
    for list in ["subscribers", "administrators"] {
        for account in lab.description[list].as_array().into_iter().flatten() {
            secrets.extend(texts(account, &["password", "sip_password"]));
        }
    }
    ensure!(secrets.len() >= 3, "the lab has passwords");
    for secret in secrets {
        ensure!(!text.contains(&secret), "a password is in the bundle");
    }
    ensure!(!text.contains("PRIVATE KEY") && !text.contains("sealed:1:"), "a key is in the bundle");
    Ok(())
}

#[test]
fn what_is_watched_raises_alarms() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/scheduler.rs::what_is_watched_raises_alarms");
    let raised = |task: &str, name: &str| -> Result<bool> {
        run(&lab, task)?;
        Ok(alarms(&lab)?.contains(name))
    };
    // With a limit of zero nothing is too little.
    effects.run(SETTINGS, "set minimumIdlePercent 0")?;
    until("not raised", || Ok(!raised("cpuMon", IDLE)?))?;
    effects.with(SETTINGS, &["minimumIdlePercent"], "set minimumIdlePercent 100", || {
        // Asking keeps a processor busy.
        until("raised", || raised("cpuMon", IDLE))
    })?;
    effects.run(SETTINGS, "set minimumIdlePercent 0")?;
    until("cleared", || Ok(!raised("cpuMon", IDLE)?))?;
    effects.with(SETTINGS, &["measuredSeconds"], "set measuredSeconds 2", || {
        until("two seconds", || {
            let told = run(&lab, "cpuMon")?;
            Ok(["2", "3", "4"].iter().any(|seconds| told.ends_with(&format!("idle over {seconds} s"))))
        })
    })?;

    // The report follows the alarms.
    let report = || lab.administer(&["ADP_CLI/Monitoring/Report> healthmon"]);
    until("well", || Ok(report()?.contains("No abnormal condition detected.")))?;
    ensure!(report()?.contains("Report severity         : NOTIFICATION"), "{}", report()?);
    until("nothing is raised", || Ok(!raised("healthmon", HEALTH)?))?;
    lab.administer(&["ADP_CLI/Maintenance/ManagedObjects> stop application DMS"])?;
    until("raised", || raised("healthmon", HEALTH))?;
    ensure!(report()?.contains("Minor: application BroadworksDms is stopped"), "{}", report()?);
    let page = std::fs::read_to_string(lab.data_dir.join("scheduler/healthmon.txt"))?;
    ensure!(page.contains("application BroadworksDms is stopped"), "{page}");
    lab.administer(&["ADP_CLI/Maintenance/ManagedObjects> start application DMS"])?;
    until("cleared", || Ok(!raised("healthmon", HEALTH)?))?;

    // A log that somebody altered is found and told.
    let log = lab.data_dir.join("settings/audit.jsonl");
    let whole = std::fs::read_to_string(&log)?;
    std::fs::write(&log, whole.replacen("\"event\":\"changed\"", "\"event\":\"refused\"", 1))?;
    let told = run(&lab, "dbSyncCheck")?;
    ensure!(told.contains("failed") && told.contains("audit"), "{told}");
    let raised = alarms(&lab)?;
    ensure!(raised.contains("dataDamaged") && raised.contains("store=audit"), "{raised}");
    ensure!(raised.contains("scheduledTaskFailed"), "{raised}");
    effects.finish()
}
