//! What went wrong, in the words of cli.md 3.5 and the exit codes of 7.1.

use crate::backend::BackendError;
use openadp_settings::{Context, Edit, Parameter, Problem, Problems};
use serde_json::{Value as Json, json};

/// Exit codes, by what the last failure was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All done.
    Done = 0,
    /// A command was refused.
    Refused = 1,
    /// Syntax, or an unknown command.
    Syntax = 2,
    /// No rights.
    Rights = 3,
    /// The installation is out of reach.
    Unreachable = 4,
    /// Done, but a restart is needed; only with `--strict`.
    Restart = 5,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Refused, Self::Syntax, Self::Rights, Self::Unreachable, Self::Restart];

    /// What it tells whoever ran `adpcli`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "All done.",
            Self::Refused => "A command was refused.",
            Self::Syntax => "A command, or a flag, cannot be read.",
            Self::Rights => "The account has no right to it.",
            Self::Unreachable => {
                "The installation is out of reach: neither a process nor its files can be used."
            }
            Self::Restart => "Done, but something takes effect only after a restart; with `--strict` only.",
        }
    }
}

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    first: String,
    grammar: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// A word that means nothing here.
    pub(crate) fn invalid(hint: impl Into<String>) -> Self {
        Self::with(Code::Syntax, "Invalid command".to_owned(), None, Some(hint.into()))
    }
    /// A command that cannot be read.
    pub(crate) fn syntax(command: &str, what: &str) -> Self {
        Self::with(Code::Syntax, format!("[CLIError] Command {command}: {what}"), None, None)
    }
    /// A command that is refused.
    pub(crate) fn refused(command: &str, what: &str) -> Self {
        Self::with(Code::Refused, format!("[CLIError] Command {command}: {what}"), None, None)
    }
    /// A mandatory argument that is missing.
    pub(crate) fn missing(command: &str, parameter: &Parameter) -> Self {
        Self::syntax(command, "Mandatory parameter missing").grammar(grammar_line(parameter))
    }
    /// A failure that was printed where it happened, in a command file.
    pub(crate) fn printed(code: Code) -> Self {
        Self { code, blocks: Vec::new() }
    }
    pub(crate) fn grammar(mut self, line: String) -> Self {
        if let Some(block) = self.blocks.first_mut() {
            block.grammar = Some(line);
        }
        self
    }
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(block) = self.blocks.first_mut() {
            block.hint = Some(hint.into());
        }
        self
    }

    fn with(code: Code, first: String, grammar: Option<String>, hint: Option<String>) -> Self {
        Self { code, blocks: vec![Block { first, grammar, hint }] }
    }

    /// What the store or a process answered.
    pub(crate) fn of(command: &str, here: Option<&'static Context>, error: BackendError) -> Self {
        match error {
            BackendError::Refused(problems) => Self::problems(command, here, &problems),
            BackendError::Rights(reason) => {
                Self::with(Code::Rights, format!("[CLIError] Command {command}: {reason}"), None, None)
            }
            BackendError::Unreachable(reason) => {
                Self::with(Code::Unreachable, format!("[CLIError] Command {command}: {reason}"), None, None)
            }
        }
    }

    /// What the store or a process answered to a change of many edits.
    pub(crate) fn of_change(command: &str, edits: &[(&'static Context, Edit)], error: BackendError) -> Self {
        let BackendError::Refused(problems) = error else { return Self::of(command, None, error) };
        let mut failure = Self::problems(command, None, &problems);
        for (block, problem) in failure.blocks.iter_mut().zip(&problems.0) {
            let Some(number) = problem.edit else { continue };
            let Some((context, edit)) = edits.get(number) else { continue };
            let name = problem.parameter.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            block.first = format!(
                "[CLIError] Command {command}: edit {} ({}) of {}{name}: {}",
                number + 1,
                named(context, edit),
                context.full_path(),
                problem.reason
            );
            let declared = problem.parameter.as_deref().and_then(|name| context.parameter(name));
            block.grammar = declared.map(grammar_line);
        }
        failure
    }

    fn problems(command: &str, here: Option<&'static Context>, problems: &Problems) -> Self {
        let path = here.map(Context::full_path);
        let code = match problems {
            problems if problems.0.iter().any(|problem| problem.denied) => Code::Rights,
            problems if problems.is_unavailable() => Code::Unreachable,
            _ => Code::Refused,
        };
        let mut blocks: Vec<Block> =
            problems.0.iter().map(|problem| block(command, path.as_deref(), here, problem)).collect();
        if let Some(last) = blocks.last_mut()
            && problems.0.iter().all(|problem| problem.forceable)
        {
            let force = "add --force to accept it all the same";
            last.hint = Some(
                last.hint.as_ref().map_or_else(|| force.to_owned(), |hint| format!("{hint}; or {force}")),
            );
        }
        Self { code, blocks }
    }

    /// Several failures as one, each with the line it belongs to.
    pub(crate) fn joined(command: &str, failures: Vec<(usize, Self)>) -> Option<Self> {
        let mut joined: Option<Self> = None;
        for (line, failure) in failures {
            let blocks = failure.blocks.into_iter().map(|mut block| {
                let what = block.first.split_once(": ").map_or(block.first.as_str(), |(_, what)| what);
                block.first = format!("[CLIError] Command {command}: line {line}: {what}");
                block
            });
            match &mut joined {
                None => joined = Some(Self { code: failure.code, blocks: blocks.collect() }),
                Some(all) => all.blocks.extend(blocks),
            }
        }
        joined
    }

    /// The lines to print.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for block in &self.blocks {
            lines.push(block.first.clone());
            lines.extend(block.grammar.clone());
            lines.extend(block.hint.as_ref().map(|hint| format!("Hint: {hint}")));
        }
        if self.blocks.iter().any(|block| block.first == "Invalid command") {
            lines.push(String::new());
        }
        // Scripts look for the answer of success, so a failure does not even repeat it from the line.
        lines.into_iter().map(|line| line.replace("...Done", "... Done")).collect()
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Json {
        let problems: Vec<Json> = self
            .blocks
            .iter()
            .map(|block| json!({ "message": block.first, "grammar": block.grammar, "hint": block.hint }))
            .collect();
        json!({ "failed": { "code": self.code as i32, "problems": problems } })
    }
}

fn block(command: &str, path: Option<&str>, here: Option<&'static Context>, problem: &Problem) -> Block {
    let mut what = problem.reason.clone();
    let elsewhere = !problem.context.is_empty() && path != Some(problem.context.as_str());
    let parameter = problem.parameter.as_deref();
    match parameter {
        Some(name) if elsewhere => what = format!("{} {name}: {what}", problem.context),
        None if elsewhere => what = format!("{}: {what}", problem.context),
        Some(name) => what = format!("{name}: {what}"),
        None => {}
    }
    let declared = parameter.filter(|_| !elsewhere).and_then(|name| {
        let context = here?;
        let argument = || {
            let action = context.actions.iter().find(|action| action.name.eq_ignore_ascii_case(command))?;
            action.arguments.iter().find(|argument| argument.name == name)
        };
        argument().or_else(|| context.parameter(name))
    });
    // Scripts look for these words first on the line.
    let first = match problem.reason.strip_prefix("Failed to write data to the configuration system: ") {
        Some(reason) => format!("Failed to write data to the configuration system\n{reason}"),
        None => format!("[CLIError] Command {command}: {what}"),
    };
    Block { first, grammar: declared.map(grammar_line), hint: problem.hint.clone() }
}

/// An edit by its command and the row's key; keys are never secrets.
fn named(context: &'static Context, edit: &Edit) -> String {
    let (command, key) = match edit {
        Edit::Set { key, .. } => ("set", key.clone()),
        Edit::Delete { key, .. } => ("delete", key.clone()),
        Edit::Reset { .. } => ("reset", Vec::new()),
        Edit::Add { values, .. } => {
            ("add", context.keys().filter_map(|parameter| values.get(parameter.name).cloned()).collect())
        }
    };
    std::iter::once(command.to_owned()).chain(key).collect::<Vec<_>>().join(" ")
}

/// The line of the grammar that describes a parameter.
pub(crate) fn grammar_line(parameter: &Parameter) -> String {
    format!("<{}>, {}", parameter.name, parameter.kind.grammar())
}
