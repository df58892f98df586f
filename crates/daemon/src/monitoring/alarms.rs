//! The commands that show alarms.

use crate::table::{Column, table};
use openadp_alarms::{Alarm, Record, list};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Edit, Kind, Parameter, Problem, Problems, Rights, Settings,
    Snapshot, Tree, context,
};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// As the alarm table of the product shows it: the hour is not filled up.
const TABLE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour padding:none]:[minute]:[second] GMT");
/// The first line of an alarm that is shown as it comes.
const LIVE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]");

context! {
    /// Alarms as they come: open, then show on, prints each over the prompt. AlarmsTable has those that are raised.
    pub struct AlarmMonitoring = Context::single(Tree::Adp, "Monitoring/Alarm")
        .action_needs(&[("open", Rights::View), ("show", Rights::View), ("close", Rights::View)])
        .actions(LIVE) => {
        /// Size of the history of alarms; the one before is kept too.
        pub history_kibibytes: u32 = Parameter::new("historyKibibytes", Kind::integer(16, 65_536))
            .default("1024").unit("KiB");
        /// Room on the file system of the data directory below which the alarm diskSpaceLow is raised.
        pub minimum_free_mebibytes: u32 =
            Parameter::new("minimumFreeMebibytes", Kind::integer(1, 100_000_000)).default("200").unit("MiB");
        /// Until when alarms were cleared by clearAll.
        pub cleared_at: Option<String> = Parameter::new("clearedAt", Kind::text(1, 64)).hidden();
    }
}

impl AlarmMonitoring {
    /// Until when alarms were cleared by an operator.
    pub(crate) fn cleared(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.cleared_at.as_deref()?, &Rfc3339).ok()
    }
}

/// `adpcli` does these itself: they are about its own screen.
const LIVE: &[Action] = &[
    Action {
        name: "open",
        help: "Connects this session to the alarms of all processes of the installation.",
        arguments: &[],
        run: of_the_prompt,
    },
    Action {
        name: "show",
        help: "Prints every alarm over the prompt as it is raised, changed, cleared or reported, or stops doing so.",
        arguments: &[Parameter::new("state", Kind::Choice(&["on", "off"]))
            .mandatory()
            .help("on: print them; off: stop.")],
        run: of_the_prompt,
    },
    Action { name: "close", help: "Ends the connection that open made.", arguments: &[], run: of_the_prompt },
];

fn of_the_prompt(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    Err(Problem::new(context.context.full_path(), "it is a command of the prompt")
        .hint("Monitoring/Alarm/AlarmsTable list")
        .into())
}

context! {
    /// The alarms of all processes of the installation.
    pub struct AlarmsTable = Context::actions_only(Tree::Adp, "Monitoring/Alarm/AlarmsTable")
        .confirmed(&[(
            "clearAll",
            "All alarms are cleared, in all processes. Those whose cause is still there come back when it is found again.",
        )])
        .action_needs(&[("list", Rights::View), ("listHistory", Rights::View), ("detail", Rights::View)])
        .actions(TABLE) => {}
}

const TABLE: &[Action] = &[
    Action { name: "list", help: "Lists the alarms that are raised.", arguments: &[], run: list_raised },
    Action {
        name: "listHistory",
        help: "Lists what became of alarms: raised, changed, cleared, reported; the newest last.",
        arguments: &[Parameter::new("entries", Kind::integer(1, 100_000))
            .default("100")
            .mandatory()
            .help("How many, at most.")],
        run: list_history,
    },
    Action {
        name: "detail",
        help: "Shows an alarm in full: what was found, what it means and what to do.",
        arguments: &[Parameter::new("alarm", Kind::text(1, 80))
            .mandatory()
            .help("Its identifier, as list shows it, or the name of any alarm there is.")],
        run: detail,
    },
    Action {
        name: "clearAll",
        help: "Clears all alarms of all processes. Those whose cause is still there come back when it is found again.",
        arguments: &[],
        run: clear_all,
    },
];

type Done = Result<ActionOutput, Problems>;

#[expect(clippy::unnecessary_wraps, reason = "the end of every query")]
fn shown(lines: Vec<String>) -> Done {
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn unreadable(context: &ActionContext<'_>, error: &std::io::Error) -> Problem {
    Problem::new(context.context.full_path(), format!("the alarms cannot be read: {error}"))
}

fn time(at: OffsetDateTime, form: &[BorrowedFormatItem<'_>]) -> String {
    at.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()
}

/// What is raised and was not cleared since; another process may not have followed yet.
fn raised(context: &ActionContext<'_>) -> Result<Vec<Record>, Problems> {
    let cleared = cleared(context.snapshot);
    let mut records =
        openadp_alarms::active(context.data_dir).map_err(|error| unreadable(context, &error))?;
    records.retain(|record| cleared.is_none_or(|until| record.raised > until));
    Ok(records)
}

fn cleared(snapshot: &Snapshot) -> Option<OffsetDateTime> {
    snapshot.get::<AlarmMonitoring>().cleared()
}

fn list_raised(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let rows: Vec<Vec<String>> = raised(context)?
        .into_iter()
        .map(|record| {
            vec![
                record.identifier(),
                time(record.raised, TABLE_TIME),
                record.name,
                record.severity.name().to_owned(),
                record.about,
            ]
        })
        .collect();
    let columns = [
        Column("Identifier", false),
        Column("Timestamp", false),
        Column("Alarm Name", false),
        Column("Severity", false),
        Column("Correlation Parameter", true),
    ];
    shown(table(&columns, &rows))
}

fn list_history(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let most = arguments.first().and_then(Option::as_deref).and_then(|most| most.parse().ok()).unwrap_or(100);
    let records =
        openadp_alarms::history(context.data_dir, most).map_err(|error| unreadable(context, &error))?;
    let rows: Vec<Vec<String>> = records
        .into_iter()
        .map(|record| {
            vec![
                time(record.at, TABLE_TIME),
                record.event.name().to_owned(),
                record.identifier(),
                record.name,
                record.severity.name().to_owned(),
                record.about,
                record.text,
            ]
        })
        .collect();
    let columns = [
        Column("Timestamp", false),
        Column("Event", false),
        Column("Identifier", false),
        Column("Alarm Name", false),
        Column("Severity", false),
        Column("Correlation Parameter", true),
        Column("Text", true),
    ];
    shown(table(&columns, &rows))
}

fn detail(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let wanted = arguments.first().and_then(Option::as_deref).unwrap_or_default();
    let raised = raised(context)?;
    let record = raised.iter().find(|record| record.identifier().eq_ignore_ascii_case(wanted));
    let name = record.map_or(wanted, |record| record.name.as_str());
    let Some(alarm) = declared(name) else {
        let names: Vec<&str> = list::ALL.iter().map(|alarm| alarm.name).collect();
        let hint = match openadp_settings::nearest(wanted, names) {
            Some(near) => format!("did you mean {near}?"),
            None => "list shows those that are raised".to_owned(),
        };
        return Err(Problem::new(context.context.full_path(), format!("Entry not found: {wanted}"))
            .hint(hint)
            .into());
    };
    let mut lines = Vec::new();
    if let Some(record) = record {
        lines.extend(record_lines(record));
    } else {
        lines.push(format!("  alarmName = {}", alarm.name));
        lines.push(format!("  severity = {}", alarm.severity));
    }
    lines.push(format!("  meaning = {}", alarm.meaning.trim()));
    lines.push(format!("  whatToDo = {}", alarm.action));
    shown(lines)
}

fn declared(name: &str) -> Option<&'static Alarm> {
    list::ALL.iter().copied().find(|alarm| alarm.name.eq_ignore_ascii_case(name))
}

fn record_lines(record: &Record) -> Vec<String> {
    let line = |name: &str, value: &str| format!("  {name} = {value}").trim_end().to_owned();
    vec![
        line("identifier", &record.identifier()),
        line("alarmName", &record.name),
        line("severity", record.severity.name()),
        line("raised", &time(record.raised, TABLE_TIME)),
        line("correlationParameter", &record.about),
        line("text", &record.text),
    ]
}

/// An event as it is shown over the prompt: a line with the date alone, then its fields. cli.md 1.6
pub fn live_lines(record: &Record) -> Vec<String> {
    let line = |name: &str, value: &str| format!("  {name} = {value}").trim_end().to_owned();
    let mut lines = vec![
        time(record.at, LIVE_TIME),
        line("trapName", &record.name),
        line("event", record.event.name()),
        line("identifier", &record.identifier()),
        line("severity", record.severity.name()),
        line("correlationParameter", &record.about),
        line("text", &record.text),
    ];
    if let Some(alarm) = declared(&record.name) {
        lines.push(line("whatToDo", alarm.action));
    }
    lines
}

#[expect(clippy::unnecessary_wraps, reason = "commands may be refused")]
fn clear_all(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let at = context.now.format(&Rfc3339).unwrap_or_default();
    let edit = Edit::Set {
        context: AlarmMonitoring::CONTEXT.full_path(),
        key: Vec::new(),
        values: BTreeMap::from([("clearedAt".to_owned(), Some(at))]),
    };
    Ok(ActionOutput { edits: vec![edit], ..ActionOutput::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_alarms::{Event, Severity};
    use time::macros::datetime;

    #[test]
    fn an_alarm_over_the_prompt_begins_with_its_date_alone() {
        let record = Record {
            at: datetime!(2025-03-04 8:05:09 UTC),
            event: Event::Raised,
            number: 7,
            process: "adp-12".to_owned(),
            name: "certificateExpires".to_owned(),
            severity: Severity::Major,
            about: "interface=192.0.2.7:443".to_owned(),
            text: String::new(),
            raised: datetime!(2025-03-04 8:05:09 UTC),
        };
        let lines = live_lines(&record);
        assert_eq!(lines[0], "Tue Mar 04 08:05:09 UTC 2025");
        assert_eq!(lines[1], "  trapName = certificateExpires");
        assert!(lines.iter().any(|line| line.starts_with("  whatToDo = ")), "{lines:?}");
        assert_eq!(time(record.at, TABLE_TIME), "2025-03-04 8:05:09 GMT");
    }
}
