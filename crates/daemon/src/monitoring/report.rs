//! `ADP_CLI/Monitoring/Report`: how much there is to do now.

use crate::admin::discover;
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Problem, Problems, Rights, Tree, context,
};
use std::collections::BTreeMap;

context! {
    /// How much there is to do now. Monitoring/PM has the counters since the start.
    pub struct Report = Context::actions_only(Tree::Adp, "Monitoring/Report")
        .action_needs(&[("qcurrent", Rights::View), ("healthmon", Rights::View)])
        .actions(ACTIONS) => {}
}

const ACTIONS: &[Action] = &[
    Action {
        name: "qcurrent",
        help: "Shows the load now: of the machine, and of all processes of the installation together.",
        arguments: &[],
        run: qcurrent,
    },
    Action {
        name: "healthmon",
        help: "Shows how the installation is now, on one page: what the task healthmon of Maintenance/Scheduler reports.",
        arguments: &[],
        run: healthmon,
    },
];

/// What is shown of the processes, and the gauge that has it.
const GAUGES: &[(&str, &str)] = &[
    ("connections", "listener_connections_active"),
    ("ctiConnections", "cti_connections"),
    ("eventChannels", "xsi_channels_open"),
    ("eventsUnacknowledged", "xsi_events_unacknowledged"),
    ("pushesWaiting", "nps_pushes_waiting"),
];

/// The load of the last minute and the memory in use in percent, from the kernel's own tables.
fn machine(load: &str, memory: &str) -> (String, String) {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let used = || {
        let (total, available) = (kibibytes("MemTotal")?, kibibytes("MemAvailable")?);
        Some(total.saturating_sub(available).saturating_mul(100).checked_div(total)?.to_string())
    };
    (load.split(' ').next().unwrap_or_default().to_owned(), used().unwrap_or_default())
}

/// The load of the last minute and the memory in use in percent; empty where the machine does not tell.
pub(crate) fn load_and_memory() -> (String, String) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    machine(&read("/proc/loadavg"), &read("/proc/meminfo"))
}

#[expect(clippy::unnecessary_wraps, reason = "commands may be refused")]
fn healthmon(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let (_, lines) = crate::scheduler::page(context.data_dir, context.snapshot, context.now);
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn qcurrent(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let mut processes = discover(context.data_dir);
    if processes.is_empty() {
        return Err(
            Problem::new(context.context.full_path(), "no process runs, so nothing is to be done").into()
        );
    }
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for process in &mut processes {
        for line in process.counters().unwrap_or_default() {
            let Some((id, value)) = super::counters::sample(&line) else { continue };
            let name = id.split('{').next().unwrap_or_default();
            if let Some((shown, _)) = GAUGES.iter().find(|(_, gauge)| *gauge == name) {
                *sums.entry(shown).or_default() += value;
            }
        }
    }
    let (load, memory) = load_and_memory();
    let mut lines = vec![
        format!("  processes = {}", processes.len()),
        format!("  loadAverage = {load}"),
        format!("  percentMemoryInUse = {memory}"),
    ];
    lines.extend(
        GAUGES
            .iter()
            .map(|(shown, _)| format!("  {shown} = {}", sums.get(shown).copied().unwrap_or_default())),
    );
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let memory = "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  250 kB\n";
        assert_eq!(machine("0.52 0.58 0.59 1/600 1234\n", memory), ("0.52".to_owned(), "75".to_owned()));
        assert_eq!(machine("", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"), (String::new(), String::new()));
    }

    #[test]
    fn what_is_shown_is_counted() {
        for (_, gauge) in GAUGES {
            assert!(super::super::counters::COUNTED.iter().any(|counted| counted.name == *gauge), "{gauge}");
        }
    }
}
