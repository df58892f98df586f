//! Help texts, made from the declarations. cli.md 3.6.

use crate::commands::{Command, General, of_context};
use crate::failure::grammar_line;
use crate::levels::{LevelId, Levels};
use openadp_settings::{Context, Kind, Parameter, Unused};

/// Columns that texts are wrapped below.
const WIDTH: usize = 79;
/// Width of the names in the list of a level, as the known listings have it.
const NAMES: usize = 19;

/// Commands of every level in the first of the two known lines.
const FIRST_LINE: usize = 6;

/// One numbered item of a level's list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    /// A level below.
    Level(LevelId),
    /// A command.
    Command(Command),
}

/// The items of a level: levels first, then the commands.
pub(crate) fn items(levels: &Levels, at: LevelId) -> Vec<Item> {
    let level = levels.get(at);
    let commands = level.context.map(of_context).unwrap_or_default();
    let children = level.children.iter().map(|id| Item::Level(*id));
    children.chain(commands.into_iter().map(Item::Command)).collect()
}

/// The numbered list of a level.
pub(crate) fn level(levels: &Levels, at: LevelId) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(context) = levels.get(at).context {
        lines.extend(wrap(&paragraph(context.help), 0));
        lines.push(String::new());
    }
    let items: Vec<(String, String)> = items(levels, at)
        .into_iter()
        .map(|item| match item {
            Item::Level(id) => {
                let name = levels.get(id).name;
                (name.to_owned(), format!("go to level {name}"))
            }
            Item::Command(command) => (command.name().to_owned(), sentence(command.help())),
        })
        .collect();
    let width = items.iter().map(|(name, _)| name.chars().count() + 1).max().unwrap_or(0).max(NAMES);
    for (number, (name, text)) in items.iter().enumerate() {
        lines.push(format!("{number:>3})  {name:<width$}: {text}"));
    }
    lines.push(String::new());
    // The known ones stand in two lines, as they always did; what is new follows.
    let named = |command: &General| match command.short() {
        Some(short) => format!("{short} ({})", command.name()),
        None => command.name().to_owned(),
    };
    let (known, new): (Vec<&General>, Vec<&General>) =
        General::ALL.iter().partition(|command| command.short().is_some());
    let known: Vec<String> = known.into_iter().map(named).collect();
    let (first, second) = known.split_at(known.len().min(FIRST_LINE));
    let new: Vec<String> = new.into_iter().map(named).collect();
    lines.push(format!("  {},", first.join(", ")));
    lines.push(format!("  {}", second.join(", ")));
    lines.extend(wrap(&new.join(", "), 2).into_iter().map(|line| format!("  {line}")));
    lines
}

/// The first sentence without its full stop, for a list.
pub(crate) fn sentence(text: &str) -> String {
    let text = paragraph(text);
    let end = text.find([';', ':']).into_iter().chain(text.find(". ")).min().unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}

/// Doc comments as one paragraph.
fn paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The help of a context's command.
pub(crate) fn command(context: &'static Context, command: Command) -> Vec<String> {
    let what = match command {
        Command::Action(action) => paragraph(action.help),
        Command::Add => format!("Adds an entry. {}", paragraph(context.help)),
        Command::Clear => "Empties an attribute; one with a default gets it again.".to_owned(),
        Command::Delete => "Deletes an entry.".to_owned(),
        Command::Detail => "Shows one entry in full.".to_owned(),
        Command::Get => format!(
            "Shows what is set. {}{}{}",
            paragraph(context.help),
            if context.effective.is_some() {
                " get -e shows what is in force, inherited or not."
            } else {
                ""
            },
            if context.long.is_some() { " get -l shows more of each entry." } else { "" }
        ),
        Command::Set => format!("Changes attributes. {}", paragraph(context.help)),
    };
    let positional = command.positional(context);
    let attributes = command.attributes(context);
    let mut entries: Vec<(String, String)> = Vec::new();
    entries.extend(positional.iter().map(|parameter| explained(parameter)));
    if !attributes.is_empty() && !matches!(command, Command::Clear) {
        let text = match command {
            Command::Set => "Attributes to change, as pairs of name and value.",
            Command::Get => "The only attributes to show.",
            _ => "Additional attributes, as pairs of name and value.",
        };
        entries.push(("attribute".to_owned(), text.to_owned()));
    }
    entries.extend(attributes.iter().map(|parameter| explained(parameter)));
    let mut lines = wrap(&what, 0);
    if !entries.is_empty() {
        lines.push(String::new());
        lines.push("Parameters description:".to_owned());
        let width = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, text) in entries {
            for (index, line) in wrap(&text, width + 2).into_iter().enumerate() {
                if index == 0 {
                    lines.push(format!("{name:<width$}: {line}"));
                } else {
                    lines.push(format!("{:width$}  {line}", ""));
                }
            }
        }
    }
    lines.push(String::new());
    lines.push("=".repeat(70));
    lines.push(command.name().to_owned());
    lines.extend(grammar(command, &positional, &attributes));
    lines
}

fn grammar(command: Command, positional: &[&Parameter], attributes: &[&Parameter]) -> Vec<String> {
    let mut lines = Vec::new();
    let keys_optional = matches!(command, Command::Get);
    for parameter in positional {
        let optional = keys_optional || parameter.default.is_some();
        lines.push(format!("    {}", if optional { bracketed(parameter) } else { grammar_line(parameter) }));
    }
    if attributes.is_empty() {
        return lines;
    }
    let names: Vec<&str> = attributes.iter().map(|parameter| parameter.name).collect();
    let names = names.join(", ");
    match command {
        Command::Clear => lines.push(format!("    <attribute>, Multiple Choice = {{{names}}}")),
        Command::Get => lines.push(format!("    [<attribute>, Multiple Choice = {{{names}}}]")),
        _ => {
            if matches!(command, Command::Set) {
                lines.push(format!("    <attribute>, Multiple Choice = {{{names}}}"));
            } else {
                lines.push(format!("    [<attribute>, Multiple Choice = {{{names}}}]"));
            }
            lines.extend(attributes.iter().map(|parameter| format!("        {}", grammar_line(parameter))));
        }
    }
    lines
}

fn bracketed(parameter: &Parameter) -> String {
    format!("[{}]", grammar_line(parameter))
}

/// Name and explanation of a parameter, with unit and default.
fn explained(parameter: &Parameter) -> (String, String) {
    let mut text = paragraph(parameter.help);
    if !parameter.unit.is_empty() {
        text = format!("{text} Unit: {}.", parameter.unit);
    }
    if let Some(default) = parameter.default.filter(|default| !default.is_empty()) {
        text = format!("{text} Default: {default}.");
    }
    if let Kind::Named(named) = parameter.kind {
        let words = (named.words)();
        if !words.is_empty() && words.len() <= 8 {
            text = format!("{text} One of {}.", words.join(", "));
        }
    }
    if parameter.apply == openadp_settings::Apply::Restart {
        text.push_str(" A change takes effect with the next start.");
    }
    match parameter.unused {
        Some(Unused::Later) => text.push_str(" Not used by this build: its feature is not there yet."),
        Some(Unused::Never) => text.push_str(" Not used by this build."),
        None => {}
    }
    (parameter.name.to_owned(), text.trim().to_owned())
}

/// The help of a general command.
pub(crate) fn general(command: General) -> Vec<String> {
    let (arguments, what) = command.help();
    let mut lines = wrap(what, 0);
    lines.push(String::new());
    lines.push("=".repeat(70));
    lines.push(command.name().to_owned());
    if !arguments.is_empty() {
        lines.push(format!("    {arguments}"));
    }
    lines
}

/// Words in lines that fit below the width when `indent` columns stand before them.
fn wrap(text: &str, indent: usize) -> Vec<String> {
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// The levels below, indented; with their commands if wanted.
pub(crate) fn tree(levels: &Levels, at: LevelId, depth: usize, commands: bool) -> Vec<String> {
    let mut lines = vec![levels.path(at)];
    branch(levels, at, depth, 1, commands, &mut lines);
    lines
}

fn branch(
    levels: &Levels,
    at: LevelId,
    depth: usize,
    indent: usize,
    commands: bool,
    lines: &mut Vec<String>,
) {
    let level = levels.get(at);
    if commands && let Some(context) = level.context {
        let names: Vec<&str> = of_context(context).iter().map(|command| command.name()).collect();
        lines.push(format!("{:width$}[{}]", "", names.join(", "), width = indent * 2));
    }
    if depth == 0 {
        return;
    }
    for child in &level.children {
        lines.push(format!("{:width$}{}", "", levels.get(*child).name, width = indent * 2));
        branch(levels, *child, depth - 1, indent + 1, commands, lines);
    }
}
