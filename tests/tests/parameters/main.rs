//! Every parameter, changed through `adpcli` on a running lab, and what that changes seen from outside: the ledger of
//! `tests/parameters/effects.txt`. A file for each part of the tree; a test shares one lab among many parameters.

mod application_server;
mod authservice;
mod callers;
mod clients;
mod cors;
mod cti;
mod dms;
mod dms_identity;
mod farm;
mod hook;
mod http;
mod identity;
mod logging;
mod maintenance;
mod management;
mod nps;
mod open_client_server;
mod proxy_policy;
mod push_cloud;
mod scheduler;
mod system;
mod tls;
mod upgrades;
mod xsi;

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Curl, Lab, PATIENCE, Response, python};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The port of the lab's HTTPS interface.
fn https_port(lab: &Lab) -> Result<u16> {
    let host = lab.text("xsi_actions").split('/').nth(2).context("a host")?;
    host.rsplit(':').next().context("a port")?.parse().context("a port")
}

/// curl that comes from another address of this machine: a source of its own.
fn from_source(curl: &Curl, last: u8) -> Curl {
    curl.clone().args(["--interface", &format!("127.0.0.{last}")])
}

/// The seconds of `Retry-After`.
fn retry_after(answer: &Response) -> Result<u64> {
    answer
        .header("Retry-After")
        .with_context(|| format!("no Retry-After: {answer:?}"))?
        .parse()
        .context("seconds")
}

/// The first device of a subscriber whose type has this name: its part of `profile/device`.
fn device(lab: &Lab, account: &Account, name: &str) -> Result<Response> {
    let answer = lab.curl(account).get(&lab.user_url(account, "profile/device"))?.expect_status(200)?;
    let part =
        answer.body.split("<accessDevice>").find(|part| part.contains(name)).context("no such device")?;
    Ok(Response { body: part.to_owned(), ..answer })
}

/// Whether a client of another address of this machine is answered by a CTI interface, in clear.
fn is_answered(port: u16, last: u8) -> Result<bool> {
    let script = "import socket, sys\n\
        try:\n\
        \x20   s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20, (sys.argv[2], 0))\n\
        \x20   s.sendall(b'what\\n\\n<')\n\
        \x20   s.shutdown(socket.SHUT_WR)\n\
        \x20   print(s.recv(100).startswith(b'<'))\n\
        except OSError:\n\
        \x20   print(False)";
    let output = Command::new(python()?)
        .args(["-c", script, &port.to_string(), &format!("127.0.0.{last}")])
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(["True", "False"].contains(&said.trim()), "{said:?}");
    Ok(said.trim() == "True")
}

/// Holds a lock of the application server's store until it is dropped.
struct Locked(Child);

impl Locked {
    /// The lock of writers: what writes gets no answer meanwhile.
    fn hold(lab: &Lab) -> Result<Self> {
        let script = "import sqlite3, sys\n\
            store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
            store.execute('BEGIN IMMEDIATE')\n\
            print('held', flush=True)\n\
            sys.stdin.read()";
        Self::by(lab, script)
    }

    /// The locks of readers, as a machine that stands still in the middle of a checkpoint holds them: nothing that reads or
    /// writes gets an answer meanwhile. They are bytes 123 to 127 of the WAL index (<https://sqlite.org/walformat.html>, 2.3.3).
    fn silence(lab: &Lab) -> Result<Self> {
        let script = "import fcntl, sys\n\
            index = open(sys.argv[1] + '-shm', 'r+b')\n\
            fcntl.lockf(index, fcntl.LOCK_EX, 5, 123)\n\
            print('held', flush=True)\n\
            sys.stdin.read()";
        Self::by(lab, script)
    }

    fn by(lab: &Lab, script: &str) -> Result<Self> {
        let mut child = Command::new(python()?)
            .args(["-c", script])
            .arg(lab.data_dir.join("appserver/appserver.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = [0; 4];
        child.stdout.as_mut().context("its output")?.read_exact(&mut said)?;
        Ok(Self(child))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if self.0.wait().is_ok() {}
    }
}

/// Runs a statement on the application server's store and gives the first value of its first row: time that has passed.
fn sql(lab: &Lab, statement: &str) -> Result<i64> {
    let script = "import sqlite3, sys\n\
        store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
        print((store.execute(sys.argv[2]).fetchone() or [0])[0])";
    let output = Command::new(python()?)
        .args(["-c", script])
        .arg(lab.data_dir.join("appserver/appserver.db"))
        .arg(statement)
        .output()?;
    ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.trim().parse().context("a number")
}

/// The sum of a counter's or gauge's samples whose labels contain a text, as the host of the lab counts it.
fn metric(lab: &Lab, name: &str, label: &str) -> Result<u64> {
    let answer = Curl::new(lab.ca()).get(lab.text("metrics"))?.expect_status(200)?;
    let samples = answer.body.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    samples
        .map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<f64>().context("a number"))
        .try_fold(0, |sum, value| {
            let text = format!("{:.0}", value?);
            Ok(sum + text.parse::<u64>()?)
        })
}

/// The longest time until the kernel asks the peer of a connection of this port whether it is there, seconds.
fn keepalive(port: u16) -> Result<u64> {
    let local = format!(":{port:04X}");
    std::fs::read_to_string("/proc/net/tcp")?
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let timer = fields.get(5)?.strip_prefix("02:")?;
            (fields.get(1)?.ends_with(&local) && *fields.get(3)? == "01").then_some(timer)?;
            u64::from_str_radix(timer, 16).ok()
        })
        .max()
        .map(|ticks| ticks.div_ceil(100))
        .context("no connection with a keepalive timer")
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
    }
    Ok(())
}

/// How long something takes that must take this long, and ends before it would without what was set.
fn lasts(about: Duration, otherwise: Duration, what: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    what()?;
    let took = began.elapsed();
    // The clocks of two processes: a little short of it is as good.
    ensure!(took + Duration::from_millis(100) >= about, "took {took:?}, not {about:?}");
    ensure!(took < otherwise, "took {took:?}, no less than {otherwise:?}");
    Ok(())
}

/// So many seconds.
const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
