//! `docs/cli-reference.md` is made from the declarations; this test fails when it is stale.
//!
//! `UPDATE_GOLDEN=1 cargo test -p openadp-cli --test reference` writes it anew.

use openadp_settings::{Apply, Context, Parameter, Registry, Role, Shape, Unused};
use std::fmt::Write as _;

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

fn section(out: &mut String, context: &Context) -> std::fmt::Result {
    writeln!(out, "\n## {}\n\n{}", context.full_path(), one_line(context.help))?;
    if !context.parameters.is_empty() {
        writeln!(out, "\n| parameter | role | values | default | meaning |\n|---|---|---|---|---|")?;
        for parameter in context.parameters.iter().filter(|parameter| !parameter.hidden) {
            row(out, parameter)?;
        }
    }
    let offered: Vec<&str> = match context.shape {
        Shape::Single => vec!["get", "set", "clear"],
        Shape::Table => vec!["get", "add", "set", "delete"],
        Shape::Actions => Vec::new(),
    };
    let offered = offered.into_iter().filter(|command| !context.without.contains(command));
    let commands: Vec<String> = offered
        .map(|command| format!("`{command}`"))
        .chain(context.actions.iter().map(|action| format!("`{}` ({})", action.name, one_line(action.help))))
        .collect();
    writeln!(out, "\nCommands: {}.", commands.join(", "))
}

#[test]
fn the_reference_page_says_what_is_declared() {
    let registry = Registry::new(openadp_cli::modules()).expect("declared well");
    let mut page = String::from(
        "# CLI reference\n\nEvery context with its parameters and commands, made from the declarations (see the test \
         `crates/cli/tests/reference.rs`); do not edit by hand.\n",
    );
    for context in registry.contexts() {
        section(&mut page, context).expect("writing to a String");
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli-reference.md");
    #[expect(clippy::disallowed_methods, reason = "the documented switch that rewrites golden files")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, &page).expect("writing the page");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/cli-reference.md is stale: UPDATE_GOLDEN=1 writes it anew");
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
