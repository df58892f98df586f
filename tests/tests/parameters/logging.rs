//! What is logged and where it goes: `InputChannels` of all applications, and `ADP_CLI/System/Logging`.

use crate::identity::KEY;
use crate::{https_port, is_answered, until};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Curl, Effects, Lab, PATIENCE, Raw, Running, binary};
use std::cell::Cell;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

const LOGGING: &str = "ADP_CLI/System/Logging";
const FILE: &str = "ADP_CLI/System/Logging/OutputChannels/File";
const SYSLOG: &str = "ADP_CLI/System/Logging/OutputChannels/Syslog";
/// A line of every process that follows the settings.
const CHANGED: &str = "settings changed";
const JOURNALD: &str = "ADP_CLI/System/Logging/OutputChannels/Journald";

/// A lab that logs to a folder.
struct Bench {
    lab: Lab,
    folder: PathBuf,
    number: Cell<u16>,
    alice: Account,
}

impl Bench {
    fn start() -> Result<Self> {
        let lab = Lab::start()?;
        // A lab says little by itself.
        lab.administer(&[
            &format!("{FILE}> set enabled true"),
            &format!("{APPLICATIONS}/WebContainer/Tomcat/Logging/InputChannels> set AccessLog severity Info"),
            &format!("{LOGGING}/InputChannels> set Host severity Info"),
        ])?;
        let (folder, alice) = (lab.data_dir.join("logs"), lab.subscriber(0));
        Ok(Self { lab, folder, number: Cell::new(0), alice })
    }

    fn next(&self) -> u16 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    /// Lines of a channel with a text, in the files of all processes.
    fn count(&self, channel: &str, text: &str) -> Result<usize> {
        let mut count = 0;
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten() {
            let log = std::fs::read_to_string(entry?.path()).unwrap_or_default();
            let of_channel = |line: &&str| line.split(" | ").nth(2) == Some(channel);
            count += log.lines().filter(of_channel).filter(|line| line.contains(text)).count();
        }
        Ok(count)
    }

    /// Changes a setting, which the channel Host tells.
    fn change(&self) -> Result<()> {
        let command =
            format!("ADP_CLI/Applications/Xsi-Actions/Paging> set defaultPageSize {}", 100 + self.next());
        self.lab.administer(&[&command]).map(drop)
    }

    /// Waits until everything that was logged before is written: what follows it is, in another channel.
    fn settle(&self, channel: &str) -> Result<()> {
        if channel == "AccessLog" {
            let before = self.count("Host", CHANGED)?;
            self.change()?;
            return until("the change is logged", || Ok(self.count("Host", CHANGED)? > before));
        }
        let mark = format!("mark-{}", self.next());
        let base = if channel == "NPSLog" { self.lab.text("nps") } else { self.lab.text("dms") };
        Curl::new(self.lab.ca()).get(&format!("{base}/{mark}"))?;
        until("the mark is logged", || Ok(self.count("AccessLog", &mark)? > 0))
    }
}

/// How a line of a channel comes to be.
struct Case {
    context: &'static str,
    channel: &'static str,
    text: &'static str,
    /// Whether it is there without a severity of the channel's own.
    told: bool,
    action: fn(&Bench) -> Result<()>,
}

/// A request that is logged under the lab's DMS, whatever it answers.
fn get(bench: &Bench, path: &str) -> Result<()> {
    Curl::new(bench.lab.ca()).get(&format!("{}/{path}", bench.lab.text("dms"))).map(drop)
}

fn as_alice(bench: &Bench, path: &str) -> Result<()> {
    bench.lab.curl(&bench.alice).get(&bench.lab.user_url(&bench.alice, path)).map(drop)
}

const APPLICATIONS: &str = "ADP_CLI/Applications";

fn cases() -> Vec<Case> {
    let case = |context, channel, text, told, action| Case { context, channel, text, told, action };
    vec![
        case("WebContainer/Tomcat", "AccessLog", "/dms/seen", true, |bench| get(bench, "seen")),
        case("WebContainer/Tomcat", "TLS", "handshake failed", false, |bench| {
            let mut connection = Raw::connect(https_port(&bench.lab)?)?;
            connection.send("no handshake\r\n\r\n")?;
            connection.until_end().map(drop)
        }),
        case("AuthenticationService", "authenticationService", "tokenRefused", false, |bench| {
            let url = format!("{}/token?key={KEY}", bench.lab.text("auth_service"));
            Curl::new(bench.lab.ca()).bearer("nobodys.access.token").get(&url).map(drop)
        }),
        case("BroadworksDms", "DMSLog", "path refused", false, |bench| get(bench, "%00")),
        case("CTI", "CTILog", "connection opened", false, |bench| {
            is_answered(bench.lab.port_base() + 1, 1).map(drop)
        }),
        case("NotificationPushServer", "NPSLog", "peer refused", true, |bench| {
            let url = format!("{}/v1/notifications", bench.lab.text("nps"));
            let request = Curl::new(bench.lab.ca()).header("X-NPS-Secret: another-one-of-nobody");
            request.header("Content-Type: application/json").body("{}").post(&url).map(drop)
        }),
        case("Xsi-Actions", "XsiActionsLog", "a request was refused", false, |bench| {
            as_alice(bench, "calls/none")
        }),
        case("Xsi-Events", "XsiEventsLog", "channel opened", false, |bench| {
            bench.lab.channel(&bench.alice, &format!("set-{}", bench.next())).map(drop)
        }),
    ]
}

#[test]
fn channels() -> Result<()> {
    let bench = Bench::start()?;
    let mut effects = Effects::of(&bench.lab, "parameters/logging.rs::channels");
    let mut all = cases();
    all.push(Case { context: "", channel: "Host", text: CHANGED, told: true, action: Bench::change });
    for Case { context, channel, text, told, action } in all {
        let context = match context {
            "" => format!("{LOGGING}/InputChannels"),
            name => format!("{APPLICATIONS}/{name}/Logging/InputChannels"),
        };
        let logged = || -> Result<bool> {
            let before = bench.count(channel, text)?;
            action(&bench)?;
            bench.settle(channel)?;
            Ok(bench.count(channel, text)? > before)
        };
        // A level of its own: more than the others, or less.
        let severity = if told { "Error" } else { "FieldDebug" };
        until(channel, || Ok(logged()? == told))?;
        let set = format!("set {channel} severity {severity}");
        effects.with(&context, &["name", "severity"], &set, || until(channel, || Ok(logged()? != told)))?;
        effects.run(&context, &format!("set {channel} severity FieldDebug"))?;
        until(channel, &logged)?;
        let set = format!("set {channel} enabled false");
        effects.with(&context, &["name", "enabled"], &set, || until(channel, || Ok(!logged()?)))?;
        effects.run(&context, &format!("set {channel} enabled true"))?;
    }
    // Notice: of what happens only what changes how the node serves and who was refused.
    let channel = format!("{APPLICATIONS}/WebContainer/Tomcat/Logging/InputChannels");
    let requests = || bench.count("AccessLog", "/dms/seen");
    for (severity, logged) in [("Info", true), ("Notice", false)] {
        effects.run(&channel, &format!("set AccessLog severity {severity}"))?;
        effects.run(&format!("{LOGGING}/InputChannels"), &format!("set Host severity {severity}"))?;
        until(severity, || {
            let before = requests()?;
            get(&bench, "seen")?;
            bench.settle("AccessLog")?;
            Ok((requests()? > before) == logged)
        })?;
    }
    let notices = std::fs::read_dir(&bench.folder)?.flatten().any(|file| {
        let log = std::fs::read_to_string(file.path()).unwrap_or_default();
        log.lines().any(|line| line.contains(CHANGED) && line.split(" | ").nth(1) == Some("Notice"))
    });
    ensure!(notices, "a change of the settings is a notice");
    effects.finish()
}

/// Receives datagrams until one has all these texts.
fn received(mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>, texts: &[&str]) -> Result<String> {
    let mut buffer = vec![0; 65_536];
    loop {
        let length = receive(&mut buffer).with_context(|| format!("no line with {texts:?}"))?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if texts.iter().all(|wanted| text.contains(wanted)) {
            return Ok(text);
        }
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn outputs() -> Result<()> {
    // A process of its own: the lab's have many files.
    let lab = Lab::seed()?;
    let mut effects = Effects::of(&lab, "parameters/logging.rs::outputs");
    let mut command = Command::new(binary("dms"));
    command
        .arg("--data-dir")
        .arg(&lab.data_dir)
        .args(["--interface", &format!("127.0.0.1:{}", lab.port_base())]);
    let process = Running::start(command)?;
    process.wait_for("ready")?;
    let number = Cell::new(0);
    // A request that is logged; gives the path that its line has.
    let mark = || -> Result<String> {
        number.set(number.get() + 1);
        let path = format!("/dms/line-{}-end", number.get());
        Curl::new(lab.ca()).get(&format!("{}/line-{}-end", lab.text("dms"), number.get()))?;
        Ok(path)
    };
    let has = |file: &Path, text: &str| lines(file).into_iter().find(|line| line.contains(text));

    let folder = tempfile::tempdir()?;
    let own = lab.data_dir.join("logs/dms.log");
    ensure!(!own.exists(), "not at first");
    effects.with(FILE, &["enabled"], "set enabled true", || {
        until("a line in the file", || mark().map(|_| has(&own, "/dms/line-").is_some()))
    })?;
    let elsewhere = folder.path().join("dms.log");
    // Files of earlier days.
    std::fs::write(&elsewhere, "earlier\n".repeat(3_000))?;
    for old in 1..5 {
        std::fs::write(folder.path().join(format!("dms.log.{old}")), format!("{old}\n"))?;
    }
    effects.with(FILE, &["directory"], &format!("set directory {}", folder.path().display()), || {
        until("a line in the other folder", || mark().map(|_| has(&elsewhere, "/dms/line-").is_some()))
    })?;
    ensure!(lines(&elsewhere).len() > 3_000, "it goes on");
    effects.with(FILE, &["format"], "set format json", || {
        let objects = || {
            lines(&elsewhere).into_iter().find(|line| line.starts_with('{') && line.contains("/dms/line-"))
        };
        until("a line", || mark().map(|_| objects().is_some()))?;
        let line: serde_json::Value = serde_json::from_str(&objects().unwrap_or_default())?;
        ensure!(line["channel"] == "AccessLog" && line["fields"]["method"] == "GET", "{line}");
        Ok(())
    })?;
    let aside = |number: u32| folder.path().join(format!("dms.log.{number}"));
    effects.with(FILE, &["maxSizeKibibytes"], "set maxSizeKibibytes 16", || {
        until("what was there is set aside", || {
            mark()?;
            Ok(lines(&aside(1)).len() > 3_000)
        })
    })?;
    ensure!(aside(5).exists(), "there is room for ten");
    effects.with(FILE, &["maxFiles"], "set maxFiles 2", || {
        std::fs::write(folder.path().join("unrelated"), "")?;
        until("the oldest are gone", || {
            let long = "x".repeat(1_000);
            Curl::new(lab.ca()).get(&format!("{}/{long}", lab.text("dms")))?;
            Ok(!aside(2).exists() && !aside(5).exists() && aside(1).exists())
        })
    })?;

    effects.with(LOGGING, &["standardError"], "set standardError false", || {
        until("the last lines came", || {
            let before = process.log().len();
            let path = mark()?;
            until("it is in the file", || {
                Ok(has(&elsewhere, &path).is_some() || has(&aside(1), &path).is_some())
            })?;
            Ok(process.log().len() == before)
        })
    })?;
    effects.run(LOGGING, "set standardError true")?;
    let before = process.log().len();
    until("a line", || mark().map(|_| process.log().len() > before))?;

    network(&mut effects, &folder.path().join("log.socket"), &mark)?;
    effects.finish()
}

/// Syslog over UDP and over a socket of the machine, and the journal.
fn network(effects: &mut Effects<'_>, socket: &Path, mark: &dyn Fn() -> Result<String>) -> Result<()> {
    let server = UdpSocket::bind(("127.0.0.1", 0))?;
    server.set_read_timeout(Some(PATIENCE))?;
    let arrives = |receive: &dyn Fn(&mut [u8]) -> std::io::Result<usize>| -> Result<String> {
        let path = mark()?;
        received(receive, &[path.as_str()])
    };
    let set = format!("set transport udp address {} enabled true", server.local_addr()?);
    effects.with(SYSLOG, &["enabled", "transport", "address"], &set, || {
        let line = arrives(&|buffer| server.recv(buffer))?;
        // Facility 3 (daemon) and severity 6.
        ensure!(line.starts_with("<30>1 20") && line.contains(" dms "), "{line}");
        Ok(())
    })?;
    effects.with(SYSLOG, &["facility"], "set facility local3", || {
        let line = arrives(&|buffer| server.recv(buffer))?;
        ensure!(line.starts_with("<158>1 20"), "{line}");
        Ok(())
    })?;
    let daemon = UnixDatagram::bind(socket)?;
    daemon.set_read_timeout(Some(PATIENCE))?;
    let set = format!("set transport unix address {}", socket.display());
    effects.with(SYSLOG, &["transport", "address"], &set, || arrives(&|buffer| daemon.recv(buffer)))?;
    effects.run(SYSLOG, "set enabled false")?;
    let journal = socket.with_extension("journal");
    let journald = UnixDatagram::bind(&journal)?;
    journald.set_read_timeout(Some(PATIENCE))?;
    let set = format!("set enabled true socket {}", journal.display());
    effects.with(JOURNALD, &["enabled", "socket"], &set, || {
        let entry = arrives(&|buffer| journald.recv(buffer))?;
        for field in ["PRIORITY=6\n", "SYSLOG_IDENTIFIER=dms\n", "ADP_CHANNEL=AccessLog\n"] {
            ensure!(entry.contains(field), "{field} in {entry}");
        }
        Ok(())
    })?;
    Ok(())
}
