//! What operators watch: alarms of all processes at the prompt and as metrics. cli.md 1.6, 5.8

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, PATIENCE, PortBlock, Running, Screen, binary};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// A host of the AuthenticationService with its metrics, on a fresh installation.
struct Host {
    data_dir: tempfile::TempDir,
    ports: PortBlock,
    process: Running,
}

impl Host {
    fn start() -> Result<Self> {
        let (data_dir, ports) = (tempfile::tempdir()?, PortBlock::reserve()?);
        let process = run("authservice", data_dir.path(), ports.base())?;
        Ok(Self { data_dir, ports, process })
    }

    fn adpcli(&self, lines: &[&str]) -> Result<String> {
        let mut command = Command::new(binary("adpcli"));
        command.arg("--data-dir").arg(self.data_dir.path()).arg("-y");
        for line in lines {
            command.args(["-c", line]);
        }
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{lines:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    /// Asks until the answer is as it should be.
    fn until(&self, line: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.adpcli(&[line])?;
            if wanted(&text) {
                return Ok(text);
            }
            ensure!(Instant::now() < deadline, "{line}: {text}");
        }
    }

    fn metrics(&self) -> Result<String> {
        let nothing = self.data_dir.path().join("none");
        Ok(Curl::new(&nothing)
            .get(&format!("http://127.0.0.1:{}/metrics", self.ports.base()))?
            .expect_status(200)?
            .body)
    }
}

fn run(program: &str, data_dir: &Path, metrics: u16) -> Result<Running> {
    let mut command = Command::new(binary(program));
    command.arg("--data-dir").arg(data_dir).args(["--metrics", &format!("127.0.0.1:{metrics}")]);
    let process = Running::start(command)?;
    process.wait_for("ready name=")?;
    Ok(process)
}

const TABLE: &str = "ADP_CLI/Monitoring/Alarm/AlarmsTable>";

#[test]
fn an_alarm_is_raised_shown_measured_and_cleared() -> Result<()> {
    let host = Host::start()?;
    let list = format!("{TABLE} list");
    ensure!(host.adpcli(&[&list])?.ends_with("0 entry found.\n"));

    // Somebody watches.
    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(host.data_dir.path()).env("TERM", "xterm");
    let mut screen = Screen::start(command)?;
    screen.prompt()?;
    ensure!(screen.line("monitor;alarm;open;show on")?.contains("...Done"));

    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port();
    let added =
        host.adpcli(&[&format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} lab false false")])?;
    ensure!(added.contains("not listening"), "{added}");
    let about = format!("kind=http;interface=127.0.0.1:{port}");
    let listed = host.until(&list, |text| text.contains(&about))?;
    ensure!(listed.contains("interfaceNotListening     Major  kind=http"), "{listed}");
    let identifier =
        listed.split_whitespace().find(|word| word.starts_with("authservice-")).context("its identifier")?;
    let detail = host.adpcli(&[&format!("{TABLE} detail {identifier}")])?;
    ensure!(detail.contains(&format!("  correlationParameter = {about}\n")), "{detail}");
    ensure!(detail.contains("  meaning = ") && detail.contains("  whatToDo = "), "{detail}");
    let measured = "alarms_active{alarm=\"interfaceNotListening\",severity=\"Major\"} ";
    ensure!(host.metrics()?.contains(&format!("{measured}1\n")), "{}", host.metrics()?);

    let seen = screen.until("trapName = interfaceNotListening")?;
    let date = seen.trim_end_matches("  trapName = interfaceNotListening").trim_end().lines().last();
    ensure!(date.is_some_and(|line| line.contains(" UTC ")), "{seen}");
    screen.until("whatToDo = ")?;
    screen.until("ADP_CLI/Monitoring/Alarm> ")?;

    // It is tried again by itself, and is over then.
    drop(taken);
    host.until(&list, |text| text.ends_with("0 entry found.\n"))?;
    let past = host.adpcli(&[&format!("{TABLE} listHistory")])?;
    let events: Vec<&str> = past
        .lines()
        .filter(|line| line.contains(&about))
        .filter_map(|line| ["raised", "cleared"].into_iter().find(|event| line.contains(event)))
        .collect();
    ensure!(events == ["raised", "cleared"], "{past}");
    ensure!(past.contains("bwConfigurationChanged") && past.contains("processStarted"), "{past}");
    ensure!(host.metrics()?.contains(&format!("{measured}0\n")), "{}", host.metrics()?);
    ensure!(screen.until("event = cleared")?.contains("trapName = "));
    screen.until("ADP_CLI/Monitoring/Alarm> ")?;
    screen.line("show off;close")?;
    Ok(())
}

#[test]
fn alarms_of_all_processes_are_listed_and_cleared_together() -> Result<()> {
    let host = Host::start()?;
    let mut other = run("dms", host.data_dir.path(), host.ports.base() + 1)?;
    let list = format!("{TABLE} list");
    host.adpcli(&["ADP_CLI/Monitoring/Alarm> set minimumFreeMebibytes 100000000"])?;
    let listed = host.until(&list, |text| text.ends_with("2 entries found.\n"))?;
    ensure!(listed.contains("authservice-") && listed.contains("dms-"), "{listed}");
    ensure!(listed.matches("diskSpaceLow").count() == 2, "{listed}");

    // A killed process has no alarms any more.
    other.kill()?;
    host.until(&list, |text| text.ends_with("1 entry found.\n"))?;

    // Nobody is there to say yes.
    let refused = Command::new(binary("adpcli"))
        .arg("--data-dir")
        .arg(host.data_dir.path())
        .args(["-c", &format!("{TABLE} clearAll")])
        .output()?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let identifier = |text: &str| {
        text.split_whitespace().find(|word| word.starts_with("authservice-")).unwrap_or_default().to_owned()
    };
    let before = identifier(&host.adpcli(&[&list])?);
    let printed = host.adpcli(&[&format!("{TABLE} clearAll;y")])?;
    ensure!(printed.ends_with("...Done\n"), "{printed}");
    let past = host.until(&format!("{TABLE} listHistory"), |text| text.contains("cleared"))?;
    ensure!(past.lines().any(|line| line.contains("cleared") && line.contains(&before)), "{past}");
    // Its cause is still there: it comes back, as another one.
    host.until(&list, |text| text.contains("diskSpaceLow") && identifier(text) != before)?;
    host.adpcli(&["ADP_CLI/Monitoring/Alarm> clear minimumFreeMebibytes"])?;
    host.until(&list, |text| text.ends_with("0 entry found.\n"))?;
    host.process.signal("TERM")
}

#[test]
fn counters_are_read_by_name_and_are_those_of_prometheus() -> Result<()> {
    let host = Host::start()?;
    let _other = run("dms", host.data_dir.path(), host.ports.base() + 1)?;
    let counter = "ADP_CLI/Monitoring/PM/System> get -f node_lock_phase";
    let shown = host.adpcli(&[counter])?;
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    ensure!(lines.first() == Some(&"  Label       = node_lock_phase"), "{shown}");
    ensure!(shown.contains("  Access      = ReadOnly\n") && shown.contains("  Value       = 0\n"), "{shown}");
    let metrics = host.metrics()?;
    ensure!(
        metrics.contains("# HELP node_lock_phase ") && metrics.contains("node_lock_phase 0\n"),
        "{metrics}"
    );
    // Both processes told that they began.
    let started = "alarms_total{alarm=\"processStarted\",severity=\"Informational\"}";
    let shown = host.adpcli(&["ADP_CLI/Monitoring/PM/System> get -f alarms_total"])?;
    let value = shown.split_once(started).and_then(|(_, rest)| rest.split("Value       = ").nth(1));
    ensure!(value.is_some_and(|value| value.starts_with("2\n")), "{shown}");
    ensure!(host.metrics()?.contains(&format!("{started} 1\n")));
    Ok(())
}

/// Receives datagrams until one has all these texts.
fn received(mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>, texts: &[&str]) -> Result<String> {
    let mut buffer = vec![0; 65_536];
    loop {
        let length = receive(&mut buffer).context("no such line came")?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if texts.iter().all(|wanted| text.contains(wanted)) {
            return Ok(text);
        }
    }
}

#[test]
fn log_lines_go_where_they_are_sent() -> Result<()> {
    let host = Host::start()?;
    let own = host.process.id();
    // Syslog over UDP and over a socket of the machine.
    let server = UdpSocket::bind(("127.0.0.1", 0))?;
    server.set_read_timeout(Some(PATIENCE))?;
    let syslog = "ADP_CLI/System/Logging/OutputChannels/Syslog>";
    let address = server.local_addr()?;
    host.adpcli(&[
        &format!("{syslog} set transport udp address {address} facility local3 enabled true"),
        "ADP_CLI/System/Logging> set level info",
    ])?;
    let line = received(|buffer| server.recv(buffer), &["settings changed", "Host"])?;
    ensure!(
        line.starts_with("<157>1 20")
            && line.contains(&format!(" authservice {own} Host [meta sequenceId=\"")),
        "{line}"
    );
    let socket = host.data_dir.path().join("log.socket");
    let daemon = UnixDatagram::bind(&socket)?;
    daemon.set_read_timeout(Some(PATIENCE))?;
    host.adpcli(&[
        &format!("{syslog} set transport unix address {}", socket.display()),
        "ADP_CLI/System/Logging> set level info",
    ])?;
    received(|buffer| daemon.recv(buffer), &["<157>1 20", "settings changed"])?;

    // The journal, field by field.
    let journal = host.data_dir.path().join("journal.socket");
    let journald = UnixDatagram::bind(&journal)?;
    journald.set_read_timeout(Some(PATIENCE))?;
    host.adpcli(&[
        &format!("{syslog} set enabled false"),
        &format!(
            "ADP_CLI/System/Logging/OutputChannels/Journald> set socket {} enabled true",
            journal.display()
        ),
        "ADP_CLI/System/Logging> set level info",
    ])?;
    let entry = received(|buffer| journald.recv(buffer), &["settings changed"])?;
    for field in
        ["PRIORITY=5\n", "SYSLOG_IDENTIFIER=authservice\n", "ADP_CHANNEL=Host\n", "ADP_FIELD_REVISION="]
    {
        ensure!(entry.contains(field), "{field} in {entry}");
    }

    // A daemon that is gone is an alarm, and no more.
    drop(journald);
    std::fs::remove_file(&journal)?;
    host.adpcli(&["ADP_CLI/System/Logging> set level info"])?;
    host.until(&format!("{TABLE} list"), |text| {
        text.contains("logOutputFailing") && text.contains("output=journald")
    })?;
    host.adpcli(&["ADP_CLI/System/Logging/OutputChannels/Journald> set enabled false"])?;
    host.until(&format!("{TABLE} list"), |text| !text.contains("logOutputFailing"))?;
    Ok(())
}

#[test]
fn log_files_are_set_aside_and_channels_have_their_own_severity() -> Result<()> {
    let mut host = Host::start()?;
    let folder = host.data_dir.path().join("logs");
    let output = "ADP_CLI/System/Logging/OutputChannels/File>";
    host.adpcli(&[&format!("{output} set maxSizeKibibytes 16 maxFiles 3 enabled true")])?;
    let channel = "ADP_CLI/System/Logging/InputChannels>";
    let line = |text: &str| -> String {
        ["authservice.log.2", "authservice.log.1", "authservice.log"]
            .iter()
            .filter_map(|name| std::fs::read_to_string(folder.join(name)).ok())
            .flat_map(|file| {
                file.lines().filter(|line| line.contains(text)).map(str::to_owned).collect::<Vec<_>>()
            })
            .last()
            .unwrap_or_default()
    };
    let comes = |text: &str| -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = line(text);
            if !found.is_empty() {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "{text} does not come");
        }
    };
    // Off, while others go on; and on again.
    host.adpcli(&[&format!("{channel} set Host enabled false")])?;
    host.adpcli(&["ADP_CLI/Monitoring/Alarm> set historyKibibytes 2048"])?;
    comes("by ")?;
    ensure!(host.adpcli(&[&format!("{channel} get")])?.contains("Host"));
    let many: Vec<String> =
        (0..120).map(|n| format!("ADP_CLI/Monitoring/Alarm> set historyKibibytes {}", 2000 + n)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    host.adpcli(&many)?;
    comes("revision=110")?;
    let last = line("settings changed over");
    ensure!(!last.contains("revision=110"), "the channel Host is off: {last}");
    host.adpcli(&[&format!("{channel} set Host enabled true severity FieldDebug")])?;
    host.adpcli(&["ADP_CLI/Monitoring/Alarm> set historyKibibytes 1000"])?;
    let shown = comes("settings changed over")?;
    let parts: Vec<&str> = shown.splitn(5, " | ").collect();
    ensure!(parts.get(1..3) == Some(&["Notice", "Host"]), "{shown}");
    // Errors alone.
    host.adpcli(&[&format!("{channel} set Host severity Error")])?;
    host.adpcli(&["ADP_CLI/Monitoring/Alarm> set historyKibibytes 999"])?;
    comes("revision=127")?;
    let last = line("settings changed over");
    ensure!(!last.contains("revision=127"), "{last}");

    host.process.signal("TERM")?;
    host.process.wait()?;
    ensure!(
        !line("end code=0").is_empty() || !line("processStopped").is_empty(),
        "the last lines are written"
    );
    let mut names: Vec<String> = std::fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    ensure!(names.starts_with(&["authservice.log".to_owned(), "authservice.log.1".to_owned()]), "{names:?}");
    ensure!(names.len() <= 3, "{names:?}");
    for name in &names {
        ensure!(std::fs::metadata(folder.join(name))?.len() <= 16 * 1024, "{name}");
    }
    Ok(())
}

/// What the health check answers.
fn health(host: &Host) -> Result<u16> {
    let nothing = host.data_dir.path().join("none");
    Ok(Curl::new(&nothing).get(&format!("http://127.0.0.1:{}/readyz", host.ports.base()))?.status)
}

#[test]
fn a_locked_node_fails_its_health_check_first_and_refuses_then() -> Result<()> {
    let mut host = Host::start()?;
    let port = host.ports.base() + 2;
    let objects = "ADP_CLI/Maintenance/ManagedObjects>";
    host.adpcli(&[
        &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} lab false false"),
        "ADP_CLI/Maintenance/ManagedObjects/Lock> set healthCheckSeconds 3600 finishSeconds 1 retryAfterSeconds 7",
    ])?;
    let curl = Curl::new(&host.data_dir.path().join("none"));
    let url = format!("http://127.0.0.1:{port}/authService/keys");
    let served = curl.get(&url)?.status;
    ensure!(served != 503 && health(&host)? == 200);

    // First load balancers learn it, and everything is served on.
    ensure!(host.adpcli(&[&format!("{objects} lock;y")])?.ends_with("...Done\n"));
    let deadline = Instant::now() + PATIENCE;
    while health(&host)? != 503 {
        ensure!(Instant::now() < deadline, "the health check does not fail");
    }
    ensure!(curl.get(&url)?.status == served);
    host.until("ADP_CLI/Monitoring/PM/System> get -f node_lock_phase", |text| {
        text.contains("Value       = 1\n")
    })?;
    // Then new work is refused.
    host.adpcli(&["ADP_CLI/Maintenance/ManagedObjects/Lock> set healthCheckSeconds 0"])?;
    let refused = loop {
        let answer = curl.get(&url)?;
        if answer.status == 503 {
            break answer;
        }
        ensure!(Instant::now() < deadline, "it is served on");
    };
    ensure!(refused.header("retry-after") == Some("7"), "{refused:?}");
    host.until("ADP_CLI/Monitoring/PM/System> get -f node_lock_phase", |text| {
        text.contains("Value       = 4\n")
    })?;
    ensure!(host.adpcli(&[&format!("{objects} get")])?.contains("This node is locked"));
    ensure!(host.adpcli(&[&format!("{TABLE} list")])?.contains("nodeLocked"));
    ensure!(host.adpcli(&[&format!("{objects} lock;y")])?.contains("...Done [it was locked]"));

    // A restart changes nothing.
    host.process.signal("TERM")?;
    host.process.wait()?;
    host.process = run("authservice", host.data_dir.path(), host.ports.base())?;
    ensure!(health(&host)? == 503 && curl.get(&url)?.status == 503);

    host.adpcli(&[&format!("{objects} unlock")])?;
    while health(&host)? != 200 {
        ensure!(Instant::now() < deadline + PATIENCE, "it is not unlocked");
    }
    ensure!(curl.get(&url)?.status == served);
    host.until(&format!("{TABLE} list"), |text| !text.contains("nodeLocked"))?;
    Ok(())
}

/// What there is to do now, of a machine that has some memory in use and of one process.
#[test]
fn the_load_is_shown() -> Result<()> {
    let host = Host::start()?;
    let report =
        host.until("ADP_CLI/Monitoring/Report> qcurrent", |text| text.contains("processes = 1\n"))?;
    let value = |name: &str| -> Result<f64> {
        let line = report.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
        line.with_context(|| format!("no {name}: {report}"))?.parse().context("a number")
    };
    let memory = value("percentMemoryInUse")?;
    ensure!(memory > 0.0 && memory <= 100.0 && value("loadAverage")? >= 0.0, "{report}");
    ensure!(value("eventChannels")?.abs() < 0.5 && !report.contains("...Done"), "{report}");
    Ok(())
}
