//! `ADP_CLI/Maintenance/Scheduler`: what the installation does by itself, and when. cli.md 5.7
//!
//! One process of the data directory runs the tasks: whichever holds the lock; another takes over when that one ends.
//! Reading order: [`ScheduleEntry`], `when` (when an entry is due), `runner` (who runs it), `tasks` (what is done).

mod backup;
mod cpu;
mod health;
mod last;
mod runner;
mod support;
mod tasks;
mod when;

pub(crate) use health::page;
pub(crate) use runner::Scheduler;
pub(crate) use tasks::integrity;

use crate::table::{Column, table};
use last::{Last, Run};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Edit, Kind, NamedKind, Parameter, Presented, Problem,
    Problems, Rights, Row, Settings, Snapshot, Tree, context,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tasks::{TASKS, Task};
use when::{FORMS, When};

/// Folder of what the scheduler keeps below the data directory.
const FOLDER: &str = "scheduler";
/// Most entries: each is looked at every minute, and no more than a page of them can be meant.
const MOST_ENTRIES: usize = 64;

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

static TASK: NamedKind = NamedKind {
    label: "Task",
    parse: |word| {
        let found = TASKS.iter().find(|task| task.name.eq_ignore_ascii_case(word));
        let names = || TASKS.iter().map(|task| task.name).collect::<Vec<_>>().join(", ");
        found.map(|task| task.name.to_owned()).ok_or_else(|| format!("it is none of {}", names()))
    },
    words: || TASKS.iter().map(|task| task.name).collect(),
};

static SCHEDULE: NamedKind = NamedKind {
    label: "Schedule",
    parse: |text| When::parse(text).map(|when| when.to_string()),
    words: || FORMS.to_vec(),
};

context! {
    /// What is done by itself, and when, in UTC as all times of the log are. One process of the installation does it; status
    /// tells when each task ran last and how it ended. What was due while no process ran is not made up for.
    pub struct ScheduleEntry = Context::table(Tree::Adp, "Maintenance/Scheduler")
        .initial(&[
            &["dbSyncCheck", "daily 1 30"],
            &["backup", "daily 2 0"],
            &["dbMaint", "daily 2 30"],
            &["autoCleanup", "daily 3 0"],
        ])
        .without(&["add", "set", "delete", "clear", "detail"])
        .present(present)
        .action_needs(&[("status", Rights::View)])
        .editing(&["add", "delete"])
        .actions(ACTIONS) => {
        /// The task: backup, healthmon, tech-support, autoCleanup, cpuMon, dbMaint or dbSyncCheck.
        pub task: String = Parameter::new("task", Kind::Named(&TASK)).header("Name").key().left();
        /// When: minute 15 5 (every 15 minutes from 5 on), daily 2 30, day Sunday 3 0 or date 1 4 0.
        pub schedule: String = Parameter::new("schedule", Kind::Named(&SCHEDULE)).header("Schedule").key().left();
    }
}

context! {
    /// How the tasks of the Scheduler do their work.
    pub struct TaskSettings = Context::single(Tree::Adp, "Maintenance/Scheduler/TaskSettings") => {
        /// Backups that are kept in the folder backups of the data directory; the oldest are deleted.
        pub max_backups: u32 = Parameter::new("maxBackups", Kind::integer(1, 100)).default("7");
        /// Bundles of tech-support that are kept in the folder tech-support of the data directory.
        pub max_bundles: u32 = Parameter::new("maxTechSupportBundles", Kind::integer(1, 100)).default("3");
        /// Age at which autoCleanup deletes backups (but never the last one), bundles of tech-support, files that exports left
        /// in the folder tmp, and log files that were set aside.
        pub retention_days: u32 = Parameter::new("retentionInDays", Kind::integer(1, 3650)).default("30").unit("days");
        /// Share of the processors' time that must be idle; with less cpuMon raises bwCPUIdleTimeLimitReached. 0 for never.
        pub minimum_idle: u32 = Parameter::new("minimumIdlePercent", Kind::integer(0, 100)).default("10").unit("percent");
        /// The time before cpuMon runs over which that share is measured, at least; less where the process is younger.
        pub measured_seconds: u32 = Parameter::new("measuredSeconds", Kind::integer(1, 300)).default("60").unit("seconds");
    }
}

const ACTIONS: &[Action] = &[
    Action {
        name: "add",
        help: "Has a task done from now on: add TASK minute N [OFFSET] every N minutes, counted from midnight, and OFFSET \
               minutes after that; add TASK daily HOUR MINUTE; add TASK day WEEKDAY HOUR MINUTE; add TASK date DAY HOUR \
               MINUTE once a month. All times are UTC.",
        arguments: &[
            Parameter::new("task", Kind::Named(&TASK)).mandatory().help("What is done."),
            Parameter::new("recurrence", Kind::Choice(FORMS)).mandatory().help("How often it is done."),
            Parameter::new("first", Kind::text(1, 20))
                .mandatory()
                .help("Of minute their number, of daily the hour, of day the weekday, of date the day of the month."),
            Parameter::new("second", Kind::text(0, 20))
                .default("")
                .mandatory()
                .help("Of minute the offset, of daily the minute, of day and date the hour."),
            Parameter::new("third", Kind::text(0, 20))
                .default("")
                .mandatory()
                .help("Of day and date the minute."),
        ],
        run: add,
    },
    Action {
        name: "delete",
        help: "Deletes an entry by its id, as get shows it. The ids of those after it shift, so a list of them is deleted \
               from the highest down.",
        arguments: &[Parameter::new("id", Kind::integer(1, 1000)).mandatory().help("Id of the entry.")],
        run: delete,
    },
    Action {
        name: "run",
        help: "Has a task done now, whether it has an entry or not. It begins within a second; status tells how it ended.",
        arguments: &[Parameter::new("task", Kind::Named(&TASK)).mandatory().help("What is done.")],
        run: run_now,
    },
    Action {
        name: "status",
        help: "Shows of each task when it ran last, how it ended, and what it did.",
        arguments: &[],
        run: status,
    },
];

type Done = Result<ActionOutput, Problems>;

fn argument(arguments: &[Option<String>], index: usize) -> &str {
    arguments.get(index).and_then(Option::as_deref).unwrap_or_default()
}

fn refused(reason: impl Into<String>) -> Problem {
    Problem::new(ScheduleEntry::CONTEXT.full_path(), reason)
}

fn present(snapshot: &Snapshot, row: &Row) -> Presented {
    let text = |name: &str| row.explicit(name).map(|value| value.text().to_owned()).unwrap_or_default();
    let at = snapshot.rows_of(ScheduleEntry::CONTEXT).iter().position(|other| other == row);
    let [date, day, hour, minute] = When::parse(&text("schedule")).map(When::columns).unwrap_or_default();
    vec![
        ("Id", at.map(|at| (at + 1).to_string()).unwrap_or_default()),
        ("Name", text("task")),
        ("Date", date),
        ("Day", day),
        ("Hour", hour),
        ("Minute", minute),
    ]
}

fn add(_: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let words: Vec<&str> =
        (2..5).map(|index| argument(arguments, index)).take_while(|word| !word.is_empty()).collect();
    let when = When::of(argument(arguments, 1), &words).map_err(|wrong| {
        let name = ["first", "second", "third"].get(wrong.place).copied().unwrap_or("third");
        refused(wrong.reason).parameter(name).hint("help add shows the forms")
    })?;
    let values = BTreeMap::from([
        ("task".to_owned(), argument(arguments, 0).to_owned()),
        ("schedule".to_owned(), when.to_string()),
    ]);
    let edit = Edit::Add { context: ScheduleEntry::CONTEXT.full_path(), values };
    Ok(ActionOutput { edits: vec![edit], ..ActionOutput::default() })
}

fn delete(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id: usize = argument(arguments, 0).parse().unwrap_or_default();
    let rows: Vec<ScheduleEntry> = context.snapshot.rows();
    let row = id
        .checked_sub(1)
        .and_then(|index| rows.into_iter().nth(index))
        .ok_or_else(|| refused(format!("Entry not found: {id}")).hint("get shows the ids"))?;
    let edit =
        Edit::Delete { context: ScheduleEntry::CONTEXT.full_path(), key: vec![row.task, row.schedule] };
    Ok(ActionOutput { edits: vec![edit], ..ActionOutput::default() })
}

fn run_now(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    if crate::admin::discover(context.data_dir).is_empty() {
        return Err(refused("no process runs that could do it").hint("start the service first").into());
    }
    let task = argument(arguments, 0);
    last::request(context.data_dir, task)
        .map_err(|error| refused(format!("the request cannot be written: {error}")))?;
    let remarks = vec!["it begins within a second; status tells how it ended".to_owned()];
    Ok(ActionOutput { remarks, ..ActionOutput::default() })
}

fn status(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let last = Last::read(context.data_dir)
        .map_err(|error| refused(format!("what ran last cannot be read: {error}")))?;
    let cells = |task: &Task| {
        let run: Option<&Run> = last.of(task.name);
        vec![
            task.name.to_owned(),
            run.map_or_else(|| "never".to_owned(), Run::time),
            run.map_or("", |run| if run.failed { "failed" } else { "done" }).to_owned(),
            run.map(|run| run.text.clone()).unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = TASKS.iter().map(cells).collect();
    let columns = [
        Column("Name", true),
        Column("Last Run", false),
        Column("Result", true),
        Column("What It Did", true),
    ];
    Ok(ActionOutput { lines: table(&columns, &rows), query: true, ..ActionOutput::default() })
}

/// The backups that there are, the oldest first.
pub(crate) fn backups(data_dir: &Path) -> Vec<PathBuf> {
    backup::made(&data_dir.join(backup::FOLDER), "backup").0
}

/// No more entries than can be meant.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    if snapshot.rows_of(ScheduleEntry::CONTEXT).len() <= MOST_ENTRIES {
        return Vec::new();
    }
    vec![refused(format!("there may be {MOST_ENTRIES} entries at most"))]
}
