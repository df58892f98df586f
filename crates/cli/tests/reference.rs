//! The pages of `docs/reference` are made from the declarations; this test fails when they are stale.
//!
//! `UPDATE_GOLDEN=1 cargo test -p openadp-cli --test reference` writes them anew.
#![expect(clippy::expect_used, clippy::panic, reason = "a failing helper fails the test")]

mod common;

use common::{Script, session};
use openadp_cli::{Code, Flow, MESSAGES, Options, Session};
use openadp_settings::{Apply, Context, Parameter, Registry, Rights, Role, Shape, Unused};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What stands above each page.
const MADE: &str =
    "<!-- Made from the declarations by crates/cli/tests/reference.rs; do not edit by hand. -->\n";

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn row(out: &mut String, parameter: &Parameter) -> std::fmt::Result {
    let role = match parameter.role {
        Role::Key => "key",
        Role::Mandatory => "mandatory",
        Role::Attribute => "",
    };
    let apply = match parameter.apply {
        Apply::Live => "",
        Apply::NextConnection => " Applies to new connections.",
        Apply::Restart => " Needs a restart.",
    };
    let unused = match parameter.unused {
        Some(Unused::Later) => " **Not used by this build: its feature is not there yet.**",
        Some(Unused::Never) => " **Not used by this build.**",
        None => "",
    };
    let default = parameter.default.map(|value| format!("`{value}`")).unwrap_or_default();
    let kind = one_line(&format!("{} {}", parameter.kind.grammar(), parameter.unit));
    writeln!(
        out,
        "| `{}` | {role} | {kind} | {default} | {}{apply}{unused} |",
        parameter.name,
        one_line(parameter.help)
    )
}

fn section(out: &mut String, context: &'static Context, session: &mut Session) -> std::fmt::Result {
    let path = context.full_path();
    writeln!(out, "\n## {path}\n\n{}", one_line(context.help))?;
    if !context.aliases.is_empty() {
        let aliases: Vec<String> = context.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        writeln!(out, "\nAlso: {}.", aliases.join(", "))?;
    }
    if !context.parameters.is_empty() {
        writeln!(out, "\n| parameter | role | values | default | meaning |\n|---|---|---|---|---|")?;
        for parameter in context.parameters.iter().filter(|parameter| !parameter.hidden) {
            row(out, parameter)?;
        }
    }
    let standard: &[&str] = match context.shape {
        Shape::Single => &["get", "set", "clear"],
        Shape::Table => &["get", "add", "set", "delete", "clear", "detail"],
        Shape::Actions => &[],
    };
    let actions = || context.actions.iter().map(|action| action.name);
    // What is offered is what has a help.
    let offered: Vec<&str> = standard
        .iter()
        .copied()
        .filter(|name| !actions().any(|action| action == *name))
        .filter(|name| asked(session, &path, name).is_some())
        .collect();
    let commands: Vec<String> =
        offered.iter().copied().chain(actions()).map(|name| format!("`{name}`")).collect();
    writeln!(out, "\nCommands: {}.", commands.join(", "))?;
    if context.rights != Rights::Operate {
        writeln!(out, "\nChanging it needs the right to {}.", context.rights.name())?;
    }
    // The standard ones take what the table says; the others are told in full.
    for name in actions() {
        let help = asked(session, &path, name).unwrap_or_default();
        writeln!(out, "\n### {name}\n\n```\n{}\n```", help.trim_end())?;
    }
    Ok(())
}

/// What `help` says about a command of a context.
fn asked(session: &mut Session, path: &str, command: &str) -> Option<String> {
    let mut script = Script::default();
    let flow = session.line(&format!("/{path}> help {command}"), &mut script);
    let named = script.transcript.lines().any(|line| line == command);
    (flow == Flow::Continue && named).then_some(script.transcript)
}

/// The page that a context is on: its tree and the first two levels of its path.
fn page_of(context: &Context) -> String {
    let mut levels = vec![context.tree.root().trim_end_matches("_CLI")];
    levels.extend(context.path.split('/').take(2));
    levels.join("-").to_lowercase()
}

/// The commands of every level, with their help.
fn general(session: &mut Session) -> String {
    let mut script = Script::default();
    assert_eq!(session.line("help", &mut script), Flow::Continue);
    let list = script.transcript.rsplit("\n\n").next().unwrap_or_default();
    let mut page = format!("{MADE}\n# Commands of every level\n");
    for entry in list.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let (short, name) = match entry.split_once(" (") {
            Some((short, name)) => (Some(short), name.trim_end_matches(')')),
            None => (None, entry),
        };
        let help = asked(session, "ADP_CLI", name).unwrap_or_else(|| panic!("{name} has no help"));
        let short =
            short.filter(|short| *short != name).map(|short| format!(" (`{short}`)")).unwrap_or_default();
        write!(page, "\n## {name}{short}\n\n```\n{}\n```\n", help.trim_end()).expect("writing to a String");
    }
    page
}

fn anchor(path: &str) -> String {
    path.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect::<String>().to_lowercase()
}

/// All alarms, by name.
fn alarms() -> String {
    let mut page = format!(
        "{MADE}\n# Alarms\n\n`Monitoring/Alarm/AlarmsTable list` has those that are raised, `listHistory` what became of them, \
         `Monitoring/Alarm show on` prints them as they come. In the log the field `alarm` has the name; the metrics are \
         `alarms_active` and `alarms_total`.\n\n| alarm | severity | what it means | what to do |\n|---|---|---|---|\n"
    );
    let mut sorted = openadp_alarms::ALL.to_vec();
    sorted.sort_by_key(|alarm| alarm.name.to_ascii_lowercase());
    for alarm in sorted {
        let (meaning, action) = (one_line(alarm.meaning), one_line(alarm.action));
        writeln!(page, "| `{}` | {} | {meaning} | {action} |", alarm.name, alarm.severity)
            .expect("writing to a String");
    }
    page
}

/// What a command that fails prints, and what adpcli exits with.
fn errors() -> String {
    let mut page = format!(
        "{MADE}\n# Messages of adpcli\n\n\
         A command that fails prints `Invalid command`, or `[CLIError] Command NAME: ` and what is wrong; below it the line of \
         the grammar that describes the value to blame, and where there is one `Hint: ` with what would help. With \
         `-o json` the same comes as `{{\"failed\": ...}}`. The error codes of the protocols are in \
         [errors.md](../errors.md).\n\n\
         ## Exit codes\n\nThe code says what the last failure was.\n\n| code | meaning |\n|---|---|\n"
    );
    for code in Code::ALL {
        writeln!(page, "| {} | {} |", code as i32, code.meaning()).expect("writing to a String");
    }
    page.push_str("\n## Messages\n\n| text | exit code | what happened | what helps |\n|---|---|---|---|\n");
    for message in MESSAGES {
        let (code, what, helps) = (message.code as i32, one_line(message.meaning), one_line(message.remedy));
        writeln!(page, "| `{}` | {code} | {what} | {helps} |", message.text).expect("writing to a String");
    }
    page
}

/// Every page by its name.
fn pages() -> BTreeMap<String, String> {
    let registry = Registry::new(openadp_cli::modules()).expect("declared well");
    let dir = tempfile::tempdir().expect("a folder");
    let mut session = session(dir.path(), &registry, Options::default());
    let mut pages = BTreeMap::new();
    let mut index = format!(
        "{MADE}\n# Reference\n\n[Commands of every level](commands.md) · [messages of adpcli](errors.md) · [alarms](alarms.md) · \
         [error codes of the protocols](../errors.md)\n\n\
         | context | what it is |\n|---|---|\n"
    );
    for context in registry.contexts() {
        let (path, name) = (context.full_path(), page_of(context));
        let what = one_line(context.help);
        let what = what.split(". ").next().unwrap_or_default().trim_end_matches('.');
        writeln!(index, "| [{path}]({name}.md#{}) | {what} |", anchor(&path)).expect("writing to a String");
        let levels: Vec<&str> = context.path.split('/').take(2).collect();
        let title = || format!("{MADE}\n# {}/{}\n", context.tree.root(), levels.join("/"));
        let page = pages.entry(format!("{name}.md")).or_insert_with(title);
        section(page, context, &mut session).expect("writing to a String");
    }
    pages.insert("errors.md".to_owned(), errors());
    pages.insert("README.md".to_owned(), index);
    pages.insert("commands.md".to_owned(), general(&mut session));
    pages.insert("alarms.md".to_owned(), alarms());
    pages
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

#[test]
fn the_reference_pages_say_what_is_declared() {
    let (pages, folder) = (pages(), folder());
    let kept = || -> BTreeMap<String, String> {
        let files = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        files
            .map(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(file.path()).unwrap_or_default())
            })
            .collect()
    };
    #[expect(clippy::disallowed_methods, reason = "the documented switch that rewrites golden files")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::create_dir_all(&folder).expect("making the folder");
        for name in kept().keys().filter(|name| !pages.contains_key(*name)) {
            std::fs::remove_file(folder.join(name)).expect("removing a page");
        }
        for (name, page) in &pages {
            std::fs::write(folder.join(name), page).expect("writing a page");
        }
    }
    let kept = kept();
    let stale: Vec<&String> =
        pages.keys().chain(kept.keys()).filter(|name| pages.get(*name) != kept.get(*name)).collect();
    assert!(stale.is_empty(), "docs/reference is stale ({stale:?}): UPDATE_GOLDEN=1 writes it anew");
}

/// Parameters that have nothing to change are for guides and command files only, and few; a new one needs a reason good
/// enough to raise the limit, which the project's goals set.
#[test]
fn at_most_15_parameters_have_nothing_to_change() {
    let registry = Registry::new(openadp_cli::modules()).expect("declared well");
    let never: Vec<String> = registry
        .contexts()
        .flat_map(|context| context.parameters.iter().map(move |parameter| (context, parameter)))
        .filter(|(_, parameter)| parameter.unused == Some(Unused::Never))
        .map(|(context, parameter)| format!("{} {}", context.full_path(), parameter.name))
        .collect();
    assert!(never.len() <= 15, "{} parameters have no effect: {never:#?}", never.len());
}
