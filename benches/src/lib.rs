//! What the benchmarks share: pinning, medians, a load generator that is not ours (wrk), a raw client for event streams.

mod paced;
mod stream;

pub use paced::{Tally, paced};
pub use stream::{Client, Stream};

use anyhow::{Context as _, Result, bail, ensure};
use openadp_suite::{Lab, Running};
use std::process::Command;

/// Core of whatever serves.
pub const SERVER_CORE: &str = "0";
/// Core of whatever asks.
pub const CLIENT_CORE: &str = "1";

/// How many runs a median is taken of: 5, or `RUNS`.
pub fn runs() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of the benchmarks, not of the suite")]
    std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5)
}

/// Prints a line of the report.
#[expect(clippy::print_stdout, reason = "this is what a benchmark is for")]
pub fn report(line: &str) {
    println!("{line}");
}

/// The value that half of the samples do not exceed.
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The smallest sample that this share of the samples does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small counts"
)]
pub fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Pins this process with all its threads, and what it starts from now on; a lab that runs already keeps its core.
///
/// # Errors
/// When `taskset` fails.
pub fn pin(core: &str) -> Result<()> {
    let own = std::process::id().to_string();
    let output =
        Command::new("taskset").args(["-a", "-c", "-p", core, &own]).output().context("running taskset")?;
    ensure!(output.status.success(), "taskset: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A running lab that never had another core than the server's.
///
/// # Errors
/// When it does not start.
pub fn pinned_lab() -> Result<Lab> {
    // From its start: the runtime has as many threads as the process has cores.
    Lab::start_behind(["taskset", "-c", SERVER_CORE].map(Into::into).to_vec())
}

/// The lab's process.
///
/// # Errors
/// When it does not run.
pub fn process(lab: &Lab) -> Result<&Running> {
    lab.process.as_ref().context("the lab does not run")
}

/// Requests a second by wrk with this many connections for five seconds, every answer a success.
///
/// # Errors
/// When an answer was none.
pub fn wrk(url: &str, headers: &[String], connections: u32) -> Result<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE, "wrk", "-t1", "-d5s", &format!("-c{connections}")]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().context("running wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || !output.status.success() {
        bail!("wrk got errors from {url}:\n{text}");
    }
    text.lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .with_context(|| format!("no rate in:\n{text}"))
}

/// As [`wrk`], with the time in milliseconds that 99 of 100 answers do not exceed, and a script of the load generator's own.
///
/// # Errors
/// When an answer was none.
pub fn wrk_latency(
    url: &str,
    headers: &[String],
    connections: u32,
    script: Option<&str>,
) -> Result<(f64, f64)> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE, "wrk", "-t1", "-d5s", "--latency", &format!("-c{connections}")]);
    for header in headers {
        command.args(["-H", header]);
    }
    let folder = tempfile::tempdir()?;
    if let Some(script) = script {
        let file = folder.path().join("script.lua");
        std::fs::write(&file, script)?;
        command.arg("-s").arg(file);
    }
    let output = command.arg(url).output().context("running wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || !output.status.success() {
        bail!("wrk got errors from {url}:\n{text}");
    }
    let value =
        |name: &str| text.lines().find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()));
    let rate = value("Requests/sec:").and_then(|rate| rate.parse().ok());
    let p99 = value("99%").and_then(|time| {
        let number = |unit: &str| time.strip_suffix(unit)?.parse::<f64>().ok();
        number("us").map(|us| us / 1e3).or_else(|| number("ms")).or_else(|| number("s").map(|s| s * 1e3))
    });
    match (rate, p99) {
        (Some(rate), Some(p99)) => Ok((rate, p99)),
        _ => bail!("no figures in:\n{text}"),
    }
}

/// A client's key as a parameter of a request for a token.
///
/// # Errors
/// When openssl makes none.
pub fn client_key() -> Result<String> {
    let script = "openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -outform DER | openssl base64 -A | tr '+/' '-_' | tr -d =";
    let output = Command::new("sh").args(["-c", script]).output().context("making a key")?;
    let key = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(!key.is_empty(), "openssl made no key");
    Ok(key)
}

/// A Basic credentials header line.
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!(
        "Authorization: Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

/// Resident memory of a process in bytes.
///
/// # Errors
/// When the process is gone.
pub fn resident(process: u32) -> Result<f64> {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).context("reading the process's status")?;
    let kilobytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
        .context("no VmRSS")?;
    Ok(kilobytes * 1024.0)
}
