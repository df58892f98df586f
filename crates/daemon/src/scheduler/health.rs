//! The task healthmon: how the installation is, on one page, and the alarm bwSystemHealthReport while something is wrong.

use super::folder;
use super::last::{named, private};
use super::tasks::{Outcome, Work};
use crate::monitoring::{AlarmMonitoring, load_and_memory, room};
use crate::{ManagedObjects, NodeLock};
use openadp_alarms::{HEALTH_REPORT, Severity};
use openadp_settings::Snapshot;
use std::io::Write;
use std::path::Path;
use time::OffsetDateTime;
use time::macros::format_description;

/// Most findings that a page lists.
const MOST: usize = 50;
/// Name of the page's file below the folder of the scheduler.
const PAGE: &str = "healthmon.txt";

/// What is wrong: how bad it is, and what.
struct Finding(Severity, String);

fn findings(data_dir: &Path, snapshot: &Snapshot) -> Vec<Finding> {
    let mut found = Vec::new();
    match openadp_alarms::active(data_dir) {
        Ok(records) => {
            let cleared = snapshot.get::<AlarmMonitoring>().cleared();
            let counts = records.into_iter().filter(|record| {
                record.name != HEALTH_REPORT.name
                    && record.severity > Severity::Informational
                    && cleared.is_none_or(|until| record.raised > until)
            });
            found.extend(counts.map(|record| {
                let about =
                    if record.about.is_empty() { String::new() } else { format!(" ({})", record.about) };
                Finding(record.severity, format!("{}{about}: {}", record.name, record.text))
            }));
        }
        Err(error) => found.push(Finding(Severity::Major, format!("the alarms cannot be read: {error}"))),
    }
    found.extend(snapshot.rows::<ManagedObjects>().into_iter().filter(ManagedObjects::is_stopped).map(
        |application| {
            Finding(
                Severity::Minor,
                format!("application {} is stopped: its paths answer 503", application.name),
            )
        },
    ));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.0));
    found
}

/// The page, and how bad the worst of it is; none where all is well.
pub(crate) fn page(
    data_dir: &Path,
    snapshot: &Snapshot,
    now: OffsetDateTime,
) -> (Option<Severity>, Vec<String>) {
    let form = format_description!(
        "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]"
    );
    let rule = "-".repeat(70);
    let found = findings(data_dir, snapshot);
    let worst = found.first().map(|finding| finding.0);
    let (load, memory) = load_and_memory();
    let free = room(data_dir).map(|mebibytes| format!("{mebibytes} MiB")).unwrap_or_default();
    let line = |name: &str, value: &str| format!("{name:<24}: {value}").trim_end().to_owned();
    let mut lines = vec![
        rule.clone(),
        "System Health Report".to_owned(),
        rule.clone(),
        line("Server name", &rustix::system::uname().nodename().to_string_lossy()),
        line("Date and time", &now.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()),
        line(
            "Report severity",
            &worst.map_or("NOTIFICATION".to_owned(), |worst| worst.name().to_uppercase()),
        ),
        line("Server type", "ADP"),
        line("Server state", &snapshot.get::<NodeLock>().state),
        line("Release", env!("CARGO_PKG_VERSION")),
        line("Load of the last minute", &load),
        line("Memory in use", &if memory.is_empty() { memory } else { format!("{memory} percent") }),
        line("Free for data", &free),
        rule.clone(),
    ];
    if found.is_empty() {
        lines.push("No abnormal condition detected.".to_owned());
    }
    lines.extend(
        found.iter().take(MOST).map(|Finding(severity, text)| format!("{}: {text}", severity.name())),
    );
    if found.len() > MOST {
        lines.push(format!("{} more; Monitoring/Alarm/AlarmsTable list has all", found.len() - MOST));
    }
    lines.push(rule);
    (worst, lines)
}

pub(super) fn run(work: &Work<'_>) -> Outcome {
    let (worst, lines) = page(work.data_dir, work.snapshot, work.now);
    let path = folder(work.data_dir).join(PAGE);
    let mut text = lines.join("\n");
    text.push('\n');
    private(&path, true)?.write_all(text.as_bytes()).map_err(|error| named(&path, &error))?;
    let Some(worst) = worst else {
        HEALTH_REPORT.clear(&[]);
        return Ok("No abnormal condition detected.".to_owned());
    };
    let found = findings(work.data_dir, work.snapshot);
    let first = found.first().map(|finding| finding.1.as_str()).unwrap_or_default();
    let text = format!("{} found, {first}", found.len());
    HEALTH_REPORT.raise_as(worst, &[], &text);
    Ok(text)
}
