//! `ADP_CLI/Maintenance/Tools`: what an upgrade of this installation would meet. cli.md 5.7

use super::release::{Relation, Release};
use crate::monitoring::{AlarmMonitoring, room};
use crate::scheduler::{backups, integrity};
use crate::table::{Column, table};
use crate::{ErrorChain, NodeLock};
use openadp_alarms::Severity;
use openadp_appserver_embedded::upkeep;
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Registry, Rights,
    Store, Tree, context,
};
use std::path::Path;
use time::Duration;

/// A backup that is older than this does not help much after an upgrade that went wrong.
const FRESH: Duration = Duration::days(1);
/// Room that a new release needs beside copies of what is stored.
const RELEASE_MEBIBYTES: u64 = 200;

context! {
    /// Tools for whoever looks after the installation.
    pub struct Tools = Context::actions_only(Tree::Adp, "Maintenance/Tools")
        .action_needs(&[("upgradeCheck", Rights::View)])
        .actions(&[Action {
            name: "upgradeCheck",
            help: "Looks at what an upgrade to a release would meet, and changes nothing: the release itself, whether all that is \
                   stored is whole, the room on the disk, the last backup, what is wrong now, and which processes have to be \
                   started again.",
            arguments: &[Parameter::new("release", Kind::text(1, 80))
                .mandatory()
                .help("The release: 0.2.0, or with its whole name ADP_Rel_0.2.0.")],
            run: upgrade_check,
        }]) => {}
}

/// What is found of one thing.
enum Found {
    /// Nothing stands in the way.
    Good(String),
    /// It should be looked at first.
    Look(String),
    /// The upgrade cannot be made.
    Stop(String),
}

impl Found {
    fn row(&self, what: &str) -> Vec<String> {
        let (result, text) = match self {
            Self::Good(text) => ("ok", text),
            Self::Look(text) => ("look", text),
            Self::Stop(text) => ("stop", text),
        };
        vec![what.to_owned(), result.to_owned(), text.clone()]
    }
}

fn release(wanted: &Release) -> Found {
    let own = env!("CARGO_PKG_VERSION");
    match wanted.relation() {
        Relation::Newer => Found::Good(format!("{wanted} is newer than {own}")),
        Relation::Same => Found::Look(format!("{own} is this build already")),
        Relation::Older => Found::Stop(format!(
            "{wanted} is older than {own}, which may have written what it cannot read; put a backup of that release back instead"
        )),
        Relation::Other => Found::Stop(format!(
            "{wanted} is a release of another product; those of this one are named like {own}"
        )),
    }
}

fn stores(context: &ActionContext<'_>) -> Vec<Vec<String>> {
    let opened =
        Registry::new([crate::settings::MODULE]).map_err(|error| error.to_string()).and_then(|registry| {
            Store::open(context.data_dir, registry).map_err(|error| ErrorChain(&error).to_string())
        });
    let found = match opened {
        Ok(store) => integrity(context.data_dir, &store, context.now),
        Err(error) => vec![("settings", Some(error))],
    };
    let row = |(name, wrong): (&str, Option<String>)| {
        let found = wrong.map_or_else(|| Found::Good("whole".to_owned()), Found::Stop);
        found.row(&format!("store {name}"))
    };
    found.into_iter().map(row).collect()
}

fn schema(data_dir: &Path) -> Found {
    if !upkeep::exists(data_dir) {
        return Found::Good("there is none here".to_owned());
    }
    match upkeep::schema(data_dir) {
        Ok(Some(newest)) => Found::Good(format!(
            "{newest}; a newer release brings it up to date at its first start, and an older one then refuses it"
        )),
        Ok(None) => Found::Stop("the store has no version".to_owned()),
        Err(error) => Found::Stop(ErrorChain(&error).to_string()),
    }
}

/// Bytes of the files that a backup and an upgrade copy.
fn stored(data_dir: &Path) -> u64 {
    let of = |folder: &str| -> u64 {
        let entries = std::fs::read_dir(data_dir.join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    };
    ["appserver", "settings", "keystore"].into_iter().map(of).sum()
}

fn disk(data_dir: &Path) -> Found {
    let wanted = RELEASE_MEBIBYTES + 2 * stored(data_dir).div_ceil(1024 * 1024);
    match room(data_dir) {
        Ok(free) if free >= wanted => Found::Good(format!("{free} MiB are free, {wanted} are wanted")),
        Ok(free) => Found::Stop(format!("{free} MiB are free, {wanted} are wanted: make room first")),
        Err(error) => Found::Look(format!("the room of the data directory is not known: {error}")),
    }
}

fn backup(context: &ActionContext<'_>) -> Found {
    const MAKE: &str = "Maintenance/Scheduler run backup makes one";
    let last = backups(context.data_dir).pop().and_then(|path| std::fs::metadata(path).ok()?.modified().ok());
    match last.map(|made| context.now - time::OffsetDateTime::from(made)) {
        None => Found::Look(format!("there is none: {MAKE}")),
        Some(age) if age > FRESH => Found::Look(format!("the last is {} days old: {MAKE}", age.whole_days())),
        Some(age) => Found::Good(format!("the last is {} hours old", age.whole_hours().max(0))),
    }
}

fn alarms(context: &ActionContext<'_>) -> Found {
    let cleared = context.snapshot.get::<AlarmMonitoring>().cleared();
    let raised = match openadp_alarms::active(context.data_dir) {
        Ok(records) => records,
        Err(error) => return Found::Look(format!("they cannot be read: {error}")),
    };
    let bad: Vec<String> = raised
        .into_iter()
        .filter(|record| {
            record.severity >= Severity::Major && cleared.is_none_or(|until| record.raised > until)
        })
        .map(|record| record.name)
        .collect();
    if bad.is_empty() {
        return Found::Good("none that is Major or Critical".to_owned());
    }
    Found::Look(format!("{} raised: {}; look at them first", bad.len(), bad.join(", ")))
}

fn processes(data_dir: &Path) -> Found {
    let found = crate::admin::discover(data_dir);
    let named: Vec<String> = found
        .iter()
        .map(|process| format!("{} {}", process.hello().process, process.hello().version))
        .collect();
    if named.is_empty() {
        return Found::Good("none runs".to_owned());
    }
    Found::Good(format!("to be started again after it: {}", named.join(", ")))
}

/// Contexts that no later release has, where something is set there.
fn dropped(context: &ActionContext<'_>) -> Found {
    const DROPPED: &[&str] = &["ADP_CLI/Applications/OpenClientServer/CAPProxy"];
    let set: Vec<&str> = DROPPED
        .iter()
        .filter(|path| context.snapshot.rows_at(path).iter().any(|row| row.iter().next().is_some()))
        .copied()
        .collect();
    if set.is_empty() {
        return Found::Good("nothing is set that a later release is known to drop".to_owned());
    }
    Found::Look(format!("set, and gone in a later release: {}", set.join(", ")))
}

fn upgrade_check(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
) -> Result<ActionOutput, Problems> {
    let word = arguments.first().and_then(Option::as_deref).unwrap_or_default();
    let wanted = Release::parse(word).ok_or_else(|| {
        Problem::new(
            context.context.full_path(),
            format!("'{}' is no name of a release", word.escape_debug()),
        )
        .parameter("release")
        .hint(format!("releases are named like {}", env!("CARGO_PKG_VERSION")))
    })?;
    let mut rows = vec![release(&wanted).row("release")];
    rows.extend(stores(context));
    let locked = context.snapshot.get::<NodeLock>().state == crate::lock::LOCKED;
    let lock = if locked {
        Found::Good("the node is locked: nobody notices".to_owned())
    } else {
        Found::Look(
            "the node serves: Maintenance/ManagedObjects lock takes it out of service first".to_owned(),
        )
    };
    for (what, found) in [
        ("store version", schema(context.data_dir)),
        ("disk", disk(context.data_dir)),
        ("backup", backup(context)),
        ("alarms", alarms(context)),
        ("settings dropped", dropped(context)),
        ("processes", processes(context.data_dir)),
        ("lock", lock),
    ] {
        rows.push(found.row(what));
    }
    let count = |result: &str| rows.iter().filter(|row| row.get(1).is_some_and(|own| own == result)).count();
    let (stop, look) = (count("stop"), count("look"));
    let mut lines =
        table(&[Column("Check", true), Column("Result", true), Column("What Was Found", true)], &rows);
    lines.push(match (stop, look) {
        (0, 0) => format!("Nothing stands in the way of {wanted}."),
        (0, look) => format!("{wanted} can be installed; {look} to be looked at first."),
        (stop, _) => format!("{wanted} cannot be installed here now: {stop} in the way."),
    });
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}
