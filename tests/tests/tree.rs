//! The tree that operators know is there, row by row: `tests/tree/contexts.txt` has every context, command and parameter of it,
//! and `adpcli` on a fresh installation must show each with its type and its default, in `tree`, `help` and `get`.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{binary, repository};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A row of the file.
struct Row {
    line: usize,
    context: String,
    command: String,
    parameter: String,
    kind: String,
    default: String,
}

impl Row {
    fn read() -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(repository().join("tests/tree/contexts.txt"))?;
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            // A bar within a type is written with a backslash.
            let line = line.replace("\\|", "\u{1}");
            let mut cells = line.split('|').map(|cell| cell.trim().replace('\u{1}', "|"));
            let mut cell = || cells.next().unwrap_or_default();
            let section = cell();
            ensure!(section.starts_with("5."), "line {}: section '{section}'", index + 1);
            rows.push(Self {
                line: index + 1,
                context: cell(),
                command: cell(),
                parameter: cell(),
                kind: cell(),
                default: cell(),
            });
        }
        Ok(rows)
    }
}

/// `adpcli` on an installation that nobody has used.
struct Fresh<'a>(&'a Path);

impl Fresh<'_> {
    fn ask(&self, command: &str) -> Result<Option<String>> {
        let output =
            Command::new(binary("adpcli")).arg("--data-dir").arg(self.0).args(["-c", command]).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(output.status.success().then_some(text))
    }
}

/// What `help COMMAND` says: descriptions and grammar lines by name of the parameter.
#[derive(Default)]
struct Help {
    descriptions: BTreeMap<String, String>,
    grammar: BTreeMap<String, String>,
}

impl Help {
    fn read(text: &str) -> Self {
        let mut help = Self::default();
        let (mut described, mut ruled) = (false, false);
        let mut last = String::new();
        for line in text.lines() {
            if line.starts_with("=====") {
                ruled = true;
            } else if line == "Parameters description:" {
                described = true;
            } else if ruled {
                let line = line.trim().trim_start_matches('[').trim_end_matches(']');
                let rest = line.strip_prefix('<').and_then(|rest| rest.split_once(">, "));
                if let Some((name, kind)) = rest {
                    help.grammar.entry(name.to_owned()).or_insert_with(|| kind.to_owned());
                }
            } else if described
                && !line.starts_with(' ')
                && let Some((name, text)) = line.split_once(':')
            {
                name.trim().clone_into(&mut last);
                help.descriptions.insert(last.clone(), text.trim().to_owned());
            } else if let Some(text) = help.descriptions.get_mut(&last) {
                text.push(' ');
                text.push_str(line.trim());
            }
        }
        help
    }

    fn default_of(&self, parameter: &str) -> Option<&str> {
        let text = self.descriptions.get(parameter)?;
        let (_, rest) = text.split_once("Default: ")?;
        // A full stop within it is one of a number or a name.
        Some(rest.split(". ").next().unwrap_or(rest).trim_end_matches('.'))
    }
}

/// Words of a table's line: its cells are two blanks apart.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn check(fresh: &Fresh<'_>, row: &Row, helps: &mut BTreeMap<String, Option<Help>>) -> Result<Option<String>> {
    let wrong = |what: String| Ok(Some(what));
    if row.command.is_empty() {
        return Ok(fresh
            .ask(&format!("cd {}", row.context))?
            .is_none()
            .then(|| "it is not there".to_owned()));
    }
    let key = format!("{}> help {}", row.context, row.command);
    if !helps.contains_key(&key) {
        let read = fresh.ask(&key)?.map(|text| Help::read(&text));
        helps.insert(key.clone(), read);
    }
    let Some(Some(help)) = helps.get(&key) else { return wrong("there is no such command".to_owned()) };
    if row.parameter.is_empty() {
        // Columns of a table, and its rows.
        if row.kind.is_empty() && row.default.is_empty() {
            return Ok(None);
        }
        let Some(printed) = fresh.ask(&format!("{}> {}", row.context, row.command))? else {
            return wrong("it fails".to_owned());
        };
        let mut lines = printed.lines();
        let header = cells(lines.next().unwrap_or_default()).join(", ");
        if !row.kind.is_empty() && header != row.kind {
            return wrong(format!("columns {header}"));
        }
        if let Some(rows) = row.default.strip_prefix("rows:") {
            let found: Vec<String> =
                lines.skip(1).take_while(|line| !line.is_empty()).map(|line| cells(line).join(" ")).collect();
            if found.join(", ") != rows.trim() {
                return wrong(format!("rows {found:?}"));
            }
        }
        return Ok(None);
    }
    match help.grammar.get(&row.parameter) {
        None => return wrong(format!("it takes no {}: {:?}", row.parameter, help.grammar)),
        Some(kind) if !row.kind.is_empty() && *kind != row.kind => {
            return wrong(format!("its type is {kind}"));
        }
        Some(_) => {}
    }
    let default = help.default_of(&row.parameter);
    let wanted = Some(row.default.as_str()).filter(|wanted| *wanted != "none");
    if !row.default.is_empty() && default != wanted {
        return wrong(format!("its default is {default:?}"));
    }
    Ok(None)
}

#[test]
fn everything_that_operators_know_is_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let fresh = Fresh(folder.path());
    let rows = Row::read()?;
    ensure!(rows.len() > 300, "{} rows", rows.len());
    let (mut helps, mut wrong) = (BTreeMap::new(), Vec::new());
    for row in &rows {
        if let Some(what) = check(&fresh, row, &mut helps).with_context(|| format!("line {}", row.line))? {
            wrong.push(format!(
                "line {}: {}> {} {}: {what}",
                row.line, row.context, row.command, row.parameter
            ));
        }
    }
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    // tree has all of them, in both trees.
    for root in ["ADP_CLI", "AS_CLI"] {
        let tree = fresh.ask(&format!("{root};tree -c"))?.context("a tree")?;
        let own = rows.iter().filter(|row| row.context.starts_with(&format!("{root}/")));
        for row in own {
            let last = row.context.rsplit('/').next().unwrap_or_default();
            // Other spellings of a context have no place of their own in it.
            let alias =
                row.context.contains("/AuthService/") || row.context.contains("/CiscoIdentityProvider");
            let alias = alias || row.context == "AS_CLI/Maintenance/ContainerOptions";
            ensure!(
                alias || tree.lines().any(|line| line.trim() == last),
                "{} is not in the tree",
                row.context
            );
        }
    }
    Ok(())
}
