//! What operators watch: alarms of all processes at the prompt and as metrics. cli.md 1.6, 5.8

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, PATIENCE, PortBlock, Running, Screen, binary};
use std::net::TcpListener;
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
