//! `ADP_CLI/Maintenance/ManagedObjects`: which applications there are, where they answer, and whether they do. cli.md 5.7
//!
//! What is built in is deployed on a fresh installation; archives come in by `install`. The settings hold all of it, so every
//! process of the data directory follows at once: the web container asks [`deployments`] at the first request after a change.
//! Reading order: [`ManagedObjects`], `actions`, `archive` (how one is unpacked, and what is refused), `descriptor`.

mod actions;
mod archive;
mod descriptor;
#[cfg(test)]
mod tests;

use openadp_settings::{
    Context, Kind, Parameter, Presented, Problem, Rights, Row, Settings, Snapshot, Tree, context,
};
use openadp_webcontainer::{Content, Deployed, Service};
use std::path::{Path, PathBuf};

/// Folder of the installed archives below the data directory.
const FOLDER: &str = "applications";
/// What stands for the version of built-in applications: theirs is the build's, and rows outlive builds.
const BUILT_IN: &str = "built-in";

/// A built-in application by name, other names that guides use, and where it answers.
struct BuiltIn {
    name: &'static str,
    aliases: &'static [&'static str],
    path: &'static str,
}

/// All of them; their rows are on a fresh installation below.
const CATALOGUE: [BuiltIn; 5] = [
    BuiltIn { name: "AuthenticationService", aliases: &["AuthService"], path: "/authService" },
    BuiltIn { name: "Xsi-Actions", aliases: &[], path: "/com.broadsoft.xsi-actions" },
    BuiltIn { name: "Xsi-Events", aliases: &[], path: "/com.broadsoft.xsi-events" },
    BuiltIn { name: "BroadworksDms", aliases: &["DMS"], path: "/dms" },
    BuiltIn { name: "NotificationPushServer", aliases: &[], path: "/nps" },
];
const INITIAL: &[&[&str]] = &[
    &["AuthenticationService", BUILT_IN, DEPLOYED],
    &["Xsi-Actions", BUILT_IN, DEPLOYED],
    &["Xsi-Events", BUILT_IN, DEPLOYED],
    &["BroadworksDms", BUILT_IN, DEPLOYED],
    &["NotificationPushServer", BUILT_IN, DEPLOYED],
];

const INSTALLED: &str = "Installed";
const ACTIVE: &str = "Active";
const DEPLOYED: &str = "Deployed";
const STOPPED: &str = "Stopped";

context! {
    /// The applications: install, activate, deploy, start and stop them while everything else runs. What is built in is
    /// deployed on a fresh installation. Of an installed archive the files are served; servlets are not run.
    pub struct ManagedObjects = Context::table(Tree::Adp, "Maintenance/ManagedObjects")
        .initial(INITIAL)
        .without(&["add", "set", "delete", "clear"])
        .needs(Rights::Administer)
        .present(present)
        .remark(|snapshot, _| {
            let locked = snapshot.get::<crate::NodeLock>().state == crate::lock::LOCKED;
            locked.then(|| "This node is locked; unlock lets it serve again.".to_owned())
        })
        .confirmed(&[
            (
                "lock",
                "The node goes out of service: its health check fails, then new work is refused, then what is open is ended.",
            ),
            ("set", "Another version answers at the context path of the present one, at once."),
        ])
        .actions(actions::ACTIONS) => {
        /// Name of the application.
        pub name: String = Parameter::new("name", Kind::text(1, 80)).header("Name").key().left();
        /// Its version; built-in applications have the version of the build.
        pub version: String = Parameter::new("version", Kind::text(1, 80)).header("Version").key().left();
        /// Installed: its files are there. Active: it has a context path. Deployed: it answers there. Stopped: it is
        /// deployed and answers 503.
        pub status: String = Parameter::new("status", Kind::Choice(&[INSTALLED, ACTIVE, DEPLOYED, STOPPED]))
            .header("Status").mandatory().left();
        /// Where it answers; a built-in application has its own.
        pub context_path: String = Parameter::new("contextPath", Kind::text(1, 255)).header("Context Path").left();
        /// SHA-256 of the archive it was installed from.
        pub archive: String = Parameter::new("archive", Kind::text(64, 64)).hidden();
    }
}

context! {
    /// What an archive may hold that is installed as an application; one that holds more is refused.
    pub struct ArchiveLimits = Context::single(Tree::Adp, "Maintenance/ManagedObjects/ArchiveLimits") => {
        /// Bytes of the archive itself.
        pub max_archive_mebibytes: u32 =
            Parameter::new("maxArchiveMebibytes", Kind::integer(1, 1024)).default("128").unit("MiB");
        /// Files and folders in it.
        pub max_entries: u32 = Parameter::new("maxEntries", Kind::integer(1, 50_000)).default("10000");
        /// Bytes of all its files when unpacked.
        pub max_unpacked_mebibytes: u32 =
            Parameter::new("maxUnpackedMebibytes", Kind::integer(1, 4096)).default("512").unit("MiB");
        /// Bytes of one file when unpacked.
        pub max_file_mebibytes: u32 =
            Parameter::new("maxFileMebibytes", Kind::integer(1, 1024)).default("128").unit("MiB");
        /// How many times larger than packed a file of more than one MiB may become.
        pub max_ratio: u32 = Parameter::new("maxRatio", Kind::integer(2, 1000)).default("200");
    }
}

impl ManagedObjects {
    fn built_in(&self) -> Option<&'static BuiltIn> {
        (self.version == BUILT_IN).then(|| CATALOGUE.iter().find(|known| known.name == self.name)).flatten()
    }

    /// Its context path, where it has one.
    fn path(&self) -> Option<&str> {
        if self.status == INSTALLED {
            return None;
        }
        match self.built_in() {
            Some(built_in) => Some(built_in.path),
            None => Some(self.context_path.as_str()).filter(|path| !path.is_empty()),
        }
    }

    /// Whether its paths answer 503 because it was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.status == STOPPED
    }

    /// The version that operators see.
    fn shown_version(&self) -> &str {
        if self.version == BUILT_IN { env!("CARGO_PKG_VERSION") } else { &self.version }
    }

    fn answers(&self) -> bool {
        self.status == DEPLOYED || self.status == STOPPED
    }
}

/// Where an installed archive is below the data directory.
fn folder(data_dir: &Path, name: &str, version: &str) -> PathBuf {
    data_dir.join(FOLDER).join(format!("{name}_{version}"))
}

/// Removes what archives that are no longer installed left below the data directory.
pub(crate) fn sweep(data_dir: &Path, snapshot: &Snapshot) {
    archive::sweep(data_dir, &actions::known(data_dir, &snapshot.rows::<ManagedObjects>()));
}

/// Whether two context paths mean the same.
fn same_path(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// What the web container serves at a revision of the settings.
pub(crate) fn deployments(data_dir: &Path, snapshot: &Snapshot) -> Vec<Deployed> {
    let rows: Vec<ManagedObjects> = snapshot.rows();
    rows.iter()
        .filter_map(|row| {
            let content = match row.built_in() {
                Some(_) => Content::BuiltIn,
                None => Content::Files(folder(data_dir, &row.name, &row.version)),
            };
            let path = row.built_in().map(|known| known.path).or_else(|| row.path())?.to_owned();
            let service = match row.status.as_str() {
                DEPLOYED => Service::Up,
                STOPPED => Service::Stopped,
                _ => Service::Down,
            };
            Some(Deployed { name: row.name.clone(), path, service, content })
        })
        .collect()
}

/// Name, former and present status of the applications whose status differs.
pub(crate) fn transitions(before: &Snapshot, now: &Snapshot) -> Vec<(String, String, String)> {
    const ABSENT: &str = "not installed";
    let of = |snapshot: &Snapshot| -> Vec<(String, String)> {
        let rows: Vec<ManagedObjects> = snapshot.rows();
        rows.into_iter().map(|row| (format!("{} {}", row.name, row.shown_version()), row.status)).collect()
    };
    let (before, now) = (of(before), of(now));
    let status = |rows: &[(String, String)], name: &str| {
        rows.iter().find(|(own, _)| own == name).map_or(ABSENT, |(_, status)| status.as_str()).to_owned()
    };
    let gone = before.iter().filter(|(name, _)| !now.iter().any(|(other, _)| other == name));
    let names = now.iter().chain(gone).map(|(name, _)| name);
    names
        .map(|name| (name.clone(), status(&before, name), status(&now, name)))
        .filter(|(_, from, to)| from != to)
        .collect()
}

fn present(_: &Snapshot, row: &Row) -> Presented {
    use openadp_settings::Values;
    let row = ManagedObjects::read(Values::new(ManagedObjects::CONTEXT, Some(row)));
    let shown = if row.name.is_empty() { "" } else { row.shown_version() };
    let kind = match (row.name.is_empty(), row.built_in()) {
        (true, _) => "",
        (false, Some(_)) => "built-in",
        (false, None) => "archive",
    };
    vec![
        ("Name", row.name.clone()),
        ("Version", shown.to_owned()),
        ("Context Path", row.path().unwrap_or_default().to_owned()),
        ("Type", kind.to_owned()),
        ("Status", row.status.clone()),
    ]
}

/// Two applications must not answer at one path, however the rows came about.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let rows: Vec<ManagedObjects> = snapshot.rows();
    let mut problems = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Some(path) = row.path() else { continue };
        let twice =
            rows[..index].iter().find(|other| other.path().is_some_and(|taken| same_path(taken, path)));
        if let Some(other) = twice {
            let reason = format!("{path} belongs to both {} and {}", other.name, row.name);
            problems.push(Problem::new(ManagedObjects::CONTEXT.full_path(), reason).parameter("contextPath"));
        }
        if let Err(reason) = actions::check_path(path) {
            problems.push(Problem::new(ManagedObjects::CONTEXT.full_path(), reason).parameter("contextPath"));
        }
        if row.built_in().is_none()
            && let Err(reason) = archive::check_words(&row.name, &row.version)
        {
            problems.push(Problem::new(ManagedObjects::CONTEXT.full_path(), reason).parameter("name"));
        }
    }
    problems
}
