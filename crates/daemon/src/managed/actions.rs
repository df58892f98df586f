//! The commands of `ManagedObjects`.

use super::{
    ACTIVE, ArchiveLimits, BUILT_IN, BuiltIn, CATALOGUE, DEPLOYED, INSTALLED, ManagedObjects, STOPPED,
    archive, folder, same_path,
};
use crate::lock::{LOCKED, NodeLock, UNLOCKED};
use crate::maintenance::{Relation, Release};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Edit, Kind, Parameter, Problem, Problems, Settings,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const WHAT: Parameter = Parameter::new("object", Kind::Choice(&["application"]))
    .mandatory()
    .help("What the command is about: an application.");
const NAME: Parameter =
    Parameter::new("name", Kind::text(1, 80)).mandatory().help("Name of the application, as get shows it.");
const VERSION: Parameter = Parameter::new("version", Kind::text(1, 255))
    .mandatory()
    .help("Version of the application, as get shows it or its beginning up to a '_'.");
const PATH: Parameter = Parameter::new("contextPath", Kind::text(1, 255))
    .mandatory()
    .help("Where the application answers: /callsettings.");

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "install",
        help: "Unpacks an archive of a web application. It is named NAME_VERSION.war, .bwar or .zip. What it may hold is limited \
               by ArchiveLimits. Its files are served once it is activated and deployed; servlets and JSP pages are not run.",
        arguments: &[
            WHAT,
            Parameter::new("file", Kind::Path).mandatory().help(
                "The archive; the user that the process which answers runs as must be able to read it.",
            ),
        ],
        run: install,
    },
    Action {
        name: "activate",
        help: "Gives an application its context path. A built-in application has a path of its own, and the version of the \
               build whatever version is named.",
        arguments: &[
            WHAT,
            NAME,
            VERSION,
            Parameter::new("contextPath", Kind::text(0, 255))
                .default("")
                .mandatory()
                .help("Where it is to answer; mandatory for an archive."),
        ],
        run: activate,
    },
    Action {
        name: "deploy",
        help: "Lets an active application answer at its context path, at once and in every process.",
        arguments: &[WHAT, PATH],
        run: deploy,
    },
    Action {
        name: "undeploy",
        help: "Takes an application from its context path: its paths answer 404 at once. Others do not notice.",
        arguments: &[WHAT, PATH],
        run: undeploy,
    },
    Action {
        name: "deactivate",
        help: "Takes the context path from an application that is not deployed.",
        arguments: &[WHAT, PATH],
        run: deactivate,
    },
    Action {
        name: "start",
        help: "Lets a stopped application answer again.",
        arguments: &[WHAT, NAME],
        run: start,
    },
    Action {
        name: "stop",
        help: "Stops a deployed application: its paths answer 503 until it is started.",
        arguments: &[WHAT, NAME],
        run: stop,
    },
    Action {
        name: "lock",
        help: "Takes the node out of service: the health check fails first, then new work is refused with 503 and Retry-After, \
               then what is open is told to finish. Lock has the time of each phase. It survives a restart.",
        arguments: &[Parameter::new("how", Kind::Choice(&["graceful", "force"]))
            .default("graceful")
            .mandatory()
            .help("force: without waiting between the phases.")],
        run: lock,
    },
    Action { name: "unlock", help: "Lets a locked node serve again, at once.", arguments: &[], run: unlock },
    Action {
        name: "uninstall",
        help: "Forgets an archive that is not active. A rollback within the hour finds its files; later they are deleted.",
        arguments: &[WHAT, NAME, VERSION],
        run: uninstall,
    },
    Action {
        name: "set",
        help: "Sets the active version. Of an application: an active or deployed archive gives its context path to another \
               version of it, in one step; a built-in application has the version of the build. Of the server: it has the \
               version of the build too, so another one is refused, with what installs it.",
        arguments: &[
            Parameter::new("what", Kind::Choice(&["activeSoftwareVersion"]))
                .mandatory()
                .help("What is set: the active version."),
            Parameter::new("object", Kind::Choice(&["application", "server"]))
                .mandatory()
                .help("The server, or one of its applications."),
            Parameter::new("name", Kind::text(1, 80))
                .mandatory()
                .help("Name of the application, as get shows it, or type of the server: ADP."),
            VERSION,
            Parameter::new("revert", Kind::text(0, 20))
                .default("")
                .mandatory()
                .help("Of a server: going back to it."),
            Parameter::new("backup", Kind::text(0, 255))
                .default("")
                .mandatory()
                .help("Of a server that goes back: from which backup."),
        ],
        run: set_version,
    },
];

type Done = Result<ActionOutput, Problems>;

fn argument(arguments: &[Option<String>], index: usize) -> &str {
    arguments.get(index).and_then(Option::as_deref).unwrap_or_default()
}

fn refused(context: &ActionContext<'_>, reason: impl Into<String>) -> Problem {
    Problem::new(context.context.full_path(), reason)
}

#[expect(clippy::unnecessary_wraps, reason = "the end of every command")]
fn done(lines: Vec<String>, edits: Vec<Edit>, remarks: Vec<String>) -> Done {
    Ok(ActionOutput { lines, edits, remarks, ..ActionOutput::default() })
}

/// What is there already.
fn as_it_was(remark: impl Into<String>) -> Done {
    done(Vec::new(), Vec::new(), vec![remark.into()])
}

fn this_build() -> String {
    format!("this build is {}", env!("CARGO_PKG_VERSION"))
}

fn rows(context: &ActionContext<'_>) -> Vec<ManagedObjects> {
    context.snapshot.rows()
}

/// Gives a row a status, and a context path or none.
fn become_(row: &ManagedObjects, status: &str, path: Option<&str>) -> Edit {
    let mut values = BTreeMap::from([("status".to_owned(), Some(status.to_owned()))]);
    if row.built_in().is_none() {
        values.insert("contextPath".to_owned(), path.map(str::to_owned));
    }
    Edit::Set {
        context: ManagedObjects::CONTEXT.full_path(),
        key: vec![row.name.clone(), row.version.clone()],
        values,
    }
}

fn built_in(name: &str) -> Option<&'static BuiltIn> {
    CATALOGUE.iter().find(|known| {
        known.name.eq_ignore_ascii_case(name)
            || known.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// Whether a version means an installed one: the same, or its beginning (`1.7.5` of `1.7.5_1`).
fn means(given: &str, installed: &str) -> bool {
    installed.get(..given.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(given))
        && installed.get(given.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The one installed archive that name and version mean.
fn installed<'a>(
    context: &ActionContext<'_>,
    rows: &'a [ManagedObjects],
    name: &str,
    version: &str,
) -> Result<&'a ManagedObjects, Problems> {
    let named: Vec<&ManagedObjects> =
        rows.iter().filter(|row| row.version != BUILT_IN && row.name.eq_ignore_ascii_case(name)).collect();
    let exact = named.iter().find(|row| row.version.eq_ignore_ascii_case(version));
    let mut meant = named.iter().filter(|row| means(version, &row.version));
    match (exact, meant.next(), meant.next()) {
        (Some(row), _, _) | (None, Some(row), None) => Ok(row),
        (None, Some(_), Some(_)) => {
            Err(refused(context, format!("several versions of {name} begin with {version}"))
                .parameter("version")
                .hint("get lists them")
                .into())
        }
        _ => {
            let problem = refused(context, format!("there is no application {name} {version}"));
            let versions: Vec<&str> = named.iter().map(|row| row.version.as_str()).collect();
            Err(if versions.is_empty() {
                problem.hint("install application <file> brings it in; get lists what there is")
            } else {
                problem.hint(format!("installed versions: {}", versions.join(", ")))
            }
            .into())
        }
    }
}

/// Whether a context path can be one.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    let rest = path.strip_prefix('/');
    let good = rest.is_some_and(|rest| {
        rest.is_empty() || (rest.split('/').all(segment) && rest.split('/').count() <= 8)
    });
    if good {
        Ok(())
    } else {
        Err(format!(
            "'{}' is no context path: '/' and letters, digits, '-', '.', '_', '~'",
            path.escape_debug()
        ))
    }
}

/// The row that is active at a path.
fn at<'a>(
    context: &ActionContext<'_>,
    rows: &'a [ManagedObjects],
    path: &str,
) -> Result<&'a ManagedObjects, Problems> {
    rows.iter().find(|row| row.path().is_some_and(|own| same_path(own, path))).ok_or_else(|| {
        refused(context, format!("no application is active at {}", path.escape_debug()))
            .parameter("contextPath")
            .hint(format!("activate application <name> <version> {}", path.escape_debug()))
            .into()
    })
}

fn install(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let file = PathBuf::from(argument(arguments, 1));
    let about = |reason: String| refused(context, reason).parameter("file");
    if !file.is_absolute() {
        return Err(about("the file's whole path is needed".to_owned()).hint("it begins with /").into());
    }
    let (name, version) = archive::name_and_version(&file).map_err(about)?;
    if built_in(&name).is_some() {
        return Err(about(format!("{name} is built in"))
            .hint("it needs no archive: activate, deploy")
            .into());
    }
    let rows = rows(context);
    let same = |row: &&ManagedObjects| {
        row.name.eq_ignore_ascii_case(&name) && row.version.eq_ignore_ascii_case(&version)
    };
    let present = rows.iter().find(same);
    if let Some(present) = present
        && folder(context.data_dir, &present.name, &present.version).is_dir()
    {
        let digest = archive::digest(&file)
            .map_err(|error| about(format!("cannot read {}: {error}", file.display())))?;
        if digest == present.archive {
            return as_it_was(format!("{} {} is installed", present.name, present.version));
        }
        let problem =
            about(format!("{} {} is installed, from another archive", present.name, present.version));
        return Err(problem.hint(format!("uninstall application {name} {version}")).into());
    }
    let (name, version) = present.map_or((name, version), |row| (row.name.clone(), row.version.clone()));
    archive::sweep(context.data_dir, &known(context.data_dir, &rows));
    let limits = context.snapshot.get::<ArchiveLimits>();
    let unpacked = archive::unpack(context.data_dir, &file, (&name, &version), &limits)
        .map_err(|error| about(error.to_string()))?;
    let mut lines = vec![format!("{name} {version}: {} files", unpacked.files)];
    if !unpacked.servlets.is_empty() {
        let shown: Vec<&str> = unpacked.servlets.iter().take(20).map(String::as_str).collect();
        lines.push(format!("Servlets are not run by this build: {}", shown.join(", ")));
    }
    if unpacked.pages > 0 {
        lines.push(format!("JSP pages are not run by this build: {}", unpacked.pages));
    }
    let edit = if present.is_some() {
        let values = BTreeMap::from([("archive".to_owned(), Some(unpacked.digest))]);
        Edit::Set { context: ManagedObjects::CONTEXT.full_path(), key: vec![name, version], values }
    } else {
        let values = [
            ("name", name),
            ("version", version),
            ("status", INSTALLED.to_owned()),
            ("archive", unpacked.digest),
        ];
        Edit::Add {
            context: ManagedObjects::CONTEXT.full_path(),
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    };
    done(lines, vec![edit], Vec::new())
}

/// The folders of what is installed.
pub(super) fn known(data_dir: &Path, rows: &[ManagedObjects]) -> Vec<PathBuf> {
    rows.iter().map(|row| folder(data_dir, &row.name, &row.version)).collect()
}

fn activate(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (name, mut version, mut path) =
        (argument(arguments, 1), argument(arguments, 2), argument(arguments, 3));
    // Published pages glue the two: 22.0_1.1123/authService.
    if path.is_empty()
        && let Some(at) = version.find('/')
    {
        (version, path) = version.split_at(at);
    }
    let rows = rows(context);
    if let Some(known) = built_in(name) {
        if !path.is_empty() && !same_path(path, known.path) {
            return Err(refused(context, format!("{} answers at {} in this build", known.name, known.path))
                .parameter("contextPath")
                .hint(format!("activate application {} {version} {}", known.name, known.path))
                .into());
        }
        let Some(row) = rows.iter().find(|row| row.version == BUILT_IN && row.name == known.name) else {
            return Err(refused(context, format!("{} is not part of this installation", known.name)).into());
        };
        if row.status != INSTALLED {
            return as_it_was(this_build());
        }
        free(context, &rows, known.path)?;
        return done(Vec::new(), vec![become_(row, ACTIVE, None)], vec![this_build()]);
    }
    let row = installed(context, &rows, name, version)?;
    if path.is_empty() {
        return Err(refused(context, "Mandatory parameter missing").parameter("contextPath").into());
    }
    check_path(path).map_err(|reason| refused(context, reason).parameter("contextPath"))?;
    if let Some(own) = row.path() {
        if same_path(own, path) {
            return as_it_was(format!("{} {} is active", row.name, row.version));
        }
        let problem = refused(context, format!("{} {} is active at {own}", row.name, row.version));
        return Err(problem.hint(format!("undeploy application {own}; deactivate application {own}")).into());
    }
    free(context, &rows, path)?;
    let path = if path == "/" { path } else { path.trim_end_matches('/') };
    done(Vec::new(), vec![become_(row, ACTIVE, Some(path))], Vec::new())
}

/// Whether nobody is active at a path.
fn free(context: &ActionContext<'_>, rows: &[ManagedObjects], path: &str) -> Result<(), Problems> {
    match rows.iter().find(|row| row.path().is_some_and(|own| same_path(own, path))) {
        None => Ok(()),
        Some(row) => Err(refused(context, format!("{path} belongs to {} {}", row.name, row.shown_version()))
            .parameter("contextPath")
            .hint(format!("undeploy application {path}; deactivate application {path}"))
            .into()),
    }
}

fn deploy(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let rows = rows(context);
    let row = at(context, &rows, argument(arguments, 1))?;
    let path = row.path().unwrap_or_default();
    let lines = vec![format!("deploying {path}")];
    if row.answers() {
        return done(lines, Vec::new(), vec!["it was deployed".to_owned()]);
    }
    done(lines, vec![become_(row, DEPLOYED, Some(path))], Vec::new())
}

fn undeploy(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let rows = rows(context);
    let row = at(context, &rows, argument(arguments, 1))?;
    let path = row.path().unwrap_or_default();
    let lines = vec![format!("undeploying {path}")];
    if !row.answers() {
        return done(lines, Vec::new(), vec!["it was not deployed".to_owned()]);
    }
    done(lines, vec![become_(row, ACTIVE, Some(path))], Vec::new())
}

fn deactivate(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let rows = rows(context);
    let row = at(context, &rows, argument(arguments, 1))?;
    let path = row.path().unwrap_or_default();
    if row.answers() {
        let problem =
            refused(context, format!("{} is deployed at {path}", row.name)).parameter("contextPath");
        return Err(problem.hint(format!("undeploy application {path}")).into());
    }
    done(Vec::new(), vec![become_(row, INSTALLED, None)], Vec::new())
}

/// The deployed rows of an application.
fn deployed<'a>(
    context: &ActionContext<'_>,
    rows: &'a [ManagedObjects],
    name: &str,
) -> Result<Vec<&'a ManagedObjects>, Problems> {
    let name = built_in(name).map_or(name, |known| known.name);
    let named: Vec<&ManagedObjects> =
        rows.iter().filter(|row| row.answers() && row.name.eq_ignore_ascii_case(name)).collect();
    if named.is_empty() {
        let problem = refused(context, format!("{} is not deployed", name.escape_debug())).parameter("name");
        return Err(problem.hint("get lists the applications").into());
    }
    Ok(named)
}

fn start(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    turn(context, argument(arguments, 1), "Starting", STOPPED, DEPLOYED, "it was started")
}

fn stop(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    turn(context, argument(arguments, 1), "Stopping", DEPLOYED, STOPPED, "it was stopped")
}

fn turn(context: &ActionContext<'_>, name: &str, doing: &str, from: &str, to: &str, already: &str) -> Done {
    let rows = rows(context);
    let named = deployed(context, &rows, name)?;
    let shown = named.first().map_or(name, |row| row.name.as_str());
    let lines = vec![format!("--> {doing} application {shown} <--")];
    let edits: Vec<Edit> =
        named.iter().filter(|row| row.status == from).map(|row| become_(row, to, row.path())).collect();
    let remarks = if edits.is_empty() { vec![already.to_owned()] } else { Vec::new() };
    done(lines, edits, remarks)
}

fn lock(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let forced = argument(arguments, 0) == "force";
    let held = context.snapshot.get::<NodeLock>();
    if held.state == LOCKED && (held.forced || !forced) {
        return as_it_was("it was locked");
    }
    done(Vec::new(), vec![state(LOCKED, forced)], Vec::new())
}

fn unlock(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    if context.snapshot.get::<NodeLock>().state != LOCKED {
        return as_it_was("it was not locked");
    }
    done(Vec::new(), vec![state(UNLOCKED, false)], Vec::new())
}

fn state(state: &str, forced: bool) -> Edit {
    let values = [("state", state.to_owned()), ("forced", forced.to_string())];
    Edit::Set {
        context: NodeLock::CONTEXT.full_path(),
        key: Vec::new(),
        values: values.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect(),
    }
}

fn uninstall(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (name, version) = (argument(arguments, 1), argument(arguments, 2));
    if let Some(known) = built_in(name) {
        return Err(refused(context, format!("{} is built in", known.name))
            .hint(format!("undeploy application {}; deactivate application {}", known.path, known.path))
            .into());
    }
    let rows = rows(context);
    let row = installed(context, &rows, name, version)?;
    if let Some(path) = row.path() {
        let problem = refused(context, format!("{} {} is active at {path}", row.name, row.version));
        return Err(problem
            .hint(format!("undeploy application {path}; deactivate application {path}"))
            .into());
    }
    // Its folder goes with a later sweep: until then a rollback finds it.
    let key = vec![row.name.clone(), row.version.clone()];
    done(Vec::new(), vec![Edit::Delete { context: ManagedObjects::CONTEXT.full_path(), key }], Vec::new())
}

/// A server of this suite is one program: another version of it comes with another package.
fn set_server(context: &ActionContext<'_>, kind: &str, version: &str) -> Done {
    const TYPES: [&str; 3] = ["ADP", "XSP", "PS"];
    if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        let reason = format!("{} is no type of this server", kind.escape_debug());
        return Err(refused(context, reason).parameter("name").hint("ADP").into());
    }
    let same = Release::parse(version).is_some_and(|release| release.relation() == Relation::Same);
    if same {
        return as_it_was(this_build());
    }
    let reason = format!("{}: another release comes with its own package", this_build());
    let hint = format!("Maintenance/Tools upgradeCheck {} shows what it would meet", version.escape_debug());
    Err(refused(context, reason).parameter("version").hint(hint).into())
}

fn set_version(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (name, version) = (argument(arguments, 2), argument(arguments, 3));
    if argument(arguments, 1) == "server" {
        return set_server(context, name, version);
    }
    if built_in(name).is_some() {
        return as_it_was(this_build());
    }
    let rows = rows(context);
    let row = installed(context, &rows, name, version)?;
    let active = rows.iter().find(|other| {
        other.version != BUILT_IN && other.name.eq_ignore_ascii_case(&row.name) && other.path().is_some()
    });
    let Some(active) = active else {
        return Err(refused(context, format!("no version of {} is active", row.name))
            .hint(format!("activate application {} {} <contextPath>", row.name, row.version))
            .into());
    };
    if active.version == row.version {
        return as_it_was(format!("{} {} is active", row.name, row.version));
    }
    let path = active.path().unwrap_or_default();
    let edits = vec![become_(active, INSTALLED, None), become_(row, &active.status, Some(path))];
    done(vec![format!("{path}: {} {} -> {}", row.name, active.version, row.version)], edits, Vec::new())
}
