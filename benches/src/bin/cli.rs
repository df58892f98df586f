//! Time of `adpcli`: one `get`, and a file of 10,000 `add` lines as one change; on a running lab and on its files alone.

use anyhow::{Context as _, Result, ensure};
use openadp_benches::{median, report, runs};
use openadp_suite::{Lab, binary};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Rows of the change; a table holds no more.
const ROWS: usize = 10_000;
/// `get` commands of one run.
const GETS: usize = 9;
/// Most milliseconds of a `get`, and of the change.
const MOST_GET: f64 = 15.0;
const MOST_CHANGE: f64 = 2000.0;

/// Milliseconds of one `adpcli`.
fn adpcli(data_dir: &Path, arguments: &[&str], expected: &str) -> Result<f64> {
    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(data_dir).args(arguments);
    let start = Instant::now();
    let output = command.output().context("adpcli")?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let shown = String::from_utf8_lossy(&output.stdout);
    let end: String = shown.chars().skip(shown.chars().count().saturating_sub(2000)).collect();
    ensure!(output.status.success() && shown.contains(expected), "{arguments:?}: {end}");
    Ok(milliseconds)
}

/// Milliseconds of a `get`, of the change on an empty table, and of a `get` beside the rows of that change.
fn measure(data_dir: &Path, file: &str) -> Result<[f64; 3]> {
    let get = "ADP_CLI/Applications/AuthenticationService/TokenManagement> get";
    adpcli(data_dir, &["-c", get], "tokenDurationInHours")?;
    let gets = || -> Result<f64> {
        let gets: Result<Vec<f64>> =
            (0..GETS).map(|_| adpcli(data_dir, &["-c", get], "tokenDurationInHours")).collect();
        Ok(median(&gets?))
    };
    let before = gets()?;
    // A lab has an entry already, and the table holds no more than these.
    adpcli(data_dir, &["-c", "AS_CLI/System/ClientIdentity> reset"], "...Done")?;
    let change = adpcli(data_dir, &["-q", "-f", file], &format!("{ROWS} edits as revision"))?;
    Ok([before, change, gets()?])
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("adds");
    let mut text = String::from("begin\nAS_CLI/System/ClientIdentity\n");
    for row in 0..ROWS {
        writeln!(text, "add client{row}.example.net")?;
    }
    text.push_str("commit\n");
    std::fs::write(&file, text)?;
    let file = file.to_string_lossy();
    let (mut files, mut running) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        // Each on its own: a journal with the changes of the run before is not what operators have.
        let data = tempfile::tempdir()?;
        files.push(measure(data.path(), &file)?);
        let lab = Lab::start()?;
        running.push(measure(&lab.data_dir, &file)?);
    }
    for (place, measured) in [("files alone", files), ("a running lab", running)] {
        let [get, change, beside] =
            [0, 1, 2].map(|at: usize| median(&measured.iter().map(|one| one[at]).collect::<Vec<_>>()));
        let verdict = if get <= MOST_GET && change <= MOST_CHANGE { "met" } else { "NOT met" };
        report(&format!(
            "adpcli on {place}: get {get:.1} ms (at most {MOST_GET:.0}), {ROWS} adds as one change {change:.0} ms (at most {MOST_CHANGE:.0}): {verdict}; get beside those {ROWS} rows {beside:.1} ms"
        ));
    }
    Ok(())
}
