//! `ADP_CLI/Monitoring`: alarms and counters, read at the prompt. cli.md 1.6, 5.8
//!
//! Reading order: [`AlarmMonitoring`], `keeper` (writes what is raised in this process), `traps` (sends it), [`AlarmsTable`].

mod alarms;
mod counters;
mod keeper;
mod report;
mod traps;

pub use alarms::{AlarmMonitoring, AlarmsTable, live_lines};
pub(crate) use counters::{COMPONENTS, describe};
pub(crate) use keeper::{Keeper, changed, room};
pub use report::Report;
pub(crate) use report::load_and_memory;
