//! `ADP_CLI/Maintenance/Patching`: patches come as whole releases here. cli.md 5.7

use crate::table::{Column, table};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Rights, Tree, context,
};

const ACTIONS: &[Action] = &[
    Action {
        name: "listBundle",
        help: "Lists the bundles of patches. This build has none: what is mended comes with the next release as a whole.",
        arguments: &[],
        run: list,
    },
    Action {
        name: "detail",
        help: "Shows what a bundle of patches has in it. This build has none, so it finds none.",
        arguments: &[Parameter::new("bundle", Kind::text(1, 80)).mandatory().help("Name of the bundle.")],
        run: detail,
    },
];

context! {
    /// Bundles of patches. This build has none: what is mended comes with the next release as a whole, and CHANGELOG.md tells what
    /// each has. qversions shows the release that is installed.
    pub struct Patching = Context::actions_only(Tree::Adp, "Maintenance/Patching")
        .action_needs(&[("listBundle", Rights::View), ("detail", Rights::View)])
        .actions(ACTIONS) => {}
}

#[expect(clippy::unnecessary_wraps, reason = "commands may be refused")]
fn list(_: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let mut lines = table(&[Column("Bundle", true), Column("Release", true), Column("Status", true)], &[]);
    lines.push(format!(
        "This build has no bundles: release {} has everything that it has, and what is mended comes with the next one.",
        env!("CARGO_PKG_VERSION")
    ));
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn detail(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let bundle = arguments.first().and_then(Option::as_deref).unwrap_or_default();
    let reason = format!("Entry not found: {}", bundle.escape_debug());
    Err(Problem::new(context.context.full_path(), reason)
        .parameter("bundle")
        .hint("this build has no bundles; qversions shows the release, CHANGELOG.md what each has")
        .into())
}
