//! The commands of a context, and the general ones; cli.md 4.

use openadp_settings::{Action, Context, Parameter, Role, Shape};

/// A command of a context.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Action(&'static Action),
    Add,
    Clear,
    Delete,
    Detail,
    Get,
    Set,
}

impl Command {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Action(action) => action.name,
            Self::Add => "add",
            Self::Clear => "clear",
            Self::Delete => "delete",
            Self::Detail => "detail",
            Self::Get => "get",
            Self::Set => "set",
        }
    }

    /// What it does, in few words.
    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Action(action) => action.help,
            Self::Add => "add a new entry",
            Self::Clear => "empty an attribute",
            Self::Delete => "delete an entry",
            Self::Detail => "show one entry in full",
            Self::Get => "show the attributes",
            Self::Set => "modify the attributes",
        }
    }

    /// What it takes by position.
    pub(crate) fn positional(self, context: &'static Context) -> Vec<&'static Parameter> {
        let keys = || context.keys().collect();
        match self {
            Self::Action(action) => action.arguments.iter().filter(|p| p.role != Role::Attribute).collect(),
            Self::Add => context.parameters.iter().filter(|p| p.role != Role::Attribute).collect(),
            Self::Clear | Self::Delete | Self::Detail | Self::Set => keys(),
            Self::Get if context.shape == Shape::Table => keys(),
            Self::Get => Vec::new(),
        }
    }

    /// What it takes as pairs of name and value (`clear`: as names).
    pub(crate) fn attributes(self, context: &'static Context) -> Vec<&'static Parameter> {
        let of = |role: &[Role]| context.parameters.iter().filter(|p| role.contains(&p.role)).collect();
        match self {
            Self::Action(action) => action.arguments.iter().filter(|p| p.role == Role::Attribute).collect(),
            Self::Add | Self::Clear => of(&[Role::Attribute]),
            Self::Set => of(&[Role::Mandatory, Role::Attribute]),
            Self::Get if context.shape == Shape::Single => of(&[Role::Mandatory, Role::Attribute]),
            Self::Get | Self::Delete | Self::Detail => Vec::new(),
        }
    }
}

/// The commands of a context in the order of its help.
pub(crate) fn of_context(context: &'static Context) -> Vec<Command> {
    let standard: &[Command] = match context.shape {
        Shape::Single => &[Command::Get, Command::Set, Command::Clear],
        Shape::Table => {
            &[Command::Get, Command::Add, Command::Set, Command::Delete, Command::Clear, Command::Detail]
        }
        Shape::Actions => &[],
    };
    let named = |name: &str| context.actions.iter().any(|action| action.name.eq_ignore_ascii_case(name));
    let without = |name: &str| context.without.contains(&name);
    let offered = |command: &Command| {
        let has_attributes = !command.attributes(context).is_empty();
        let possible = match command {
            Command::Set => has_attributes && !without("set"),
            Command::Clear => has_attributes && !without("set") && !without("clear"),
            Command::Detail => context.present.is_none() && context.parameters.len() > context.keys().count(),
            other => !without(other.name()),
        };
        possible && !named(command.name())
    };
    standard.iter().copied().filter(offered).chain(context.actions.iter().map(Command::Action)).collect()
}

/// A command that is there at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum General {
    Abort,
    Alias,
    Audit,
    Begin,
    Cd,
    Commit,
    Config,
    Diff,
    Exit,
    Export,
    Help,
    History,
    Import,
    Login,
    Pause,
    Qbw,
    Quit,
    Qversions,
    Read,
    Repeat,
    Reset,
    Revisions,
    Rollback,
    Tree,
    Watch,
    Why,
    Write,
}

impl General {
    /// All of them, in the order in which help lists them.
    pub(crate) const ALL: [Self; 27] = [
        Self::Help,
        Self::Exit,
        Self::Quit,
        Self::Read,
        Self::Write,
        Self::Tree,
        Self::Config,
        Self::Cd,
        Self::Alias,
        Self::History,
        Self::Pause,
        Self::Repeat,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Reset,
        Self::Revisions,
        Self::Diff,
        Self::Rollback,
        Self::Export,
        Self::Import,
        Self::Why,
        Self::Watch,
        Self::Audit,
        Self::Login,
        Self::Qversions,
        Self::Qbw,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Alias => "alias",
            Self::Audit => "audit",
            Self::Begin => "begin",
            Self::Cd => "cd",
            Self::Commit => "commit",
            Self::Config => "config",
            Self::Diff => "diff",
            Self::Exit => "exit",
            Self::Export => "export",
            Self::Help => "help",
            Self::History => "history",
            Self::Import => "import",
            Self::Login => "login",
            Self::Pause => "pause",
            Self::Qbw => "qbw",
            Self::Quit => "quit",
            Self::Qversions => "qversions",
            Self::Read => "read",
            Self::Repeat => "repeat",
            Self::Reset => "reset",
            Self::Revisions => "revisions",
            Self::Rollback => "rollback",
            Self::Tree => "tree",
            Self::Watch => "watch",
            Self::Why => "why",
            Self::Write => "write",
        }
    }

    /// The short form that is taken before anything else.
    pub(crate) fn short(self) -> Option<&'static str> {
        match self {
            Self::Alias => Some("a"),
            Self::Cd => Some("cd"),
            Self::Config => Some("c"),
            Self::Exit => Some("e"),
            Self::Help => Some("h"),
            Self::History => Some("hi"),
            Self::Pause => Some("p"),
            Self::Quit => Some("q"),
            Self::Read => Some("r"),
            Self::Repeat => Some("re"),
            Self::Tree => Some("t"),
            Self::Write => Some("w"),
            Self::Abort
            | Self::Audit
            | Self::Begin
            | Self::Commit
            | Self::Diff
            | Self::Export
            | Self::Import
            | Self::Login
            | Self::Qbw
            | Self::Qversions
            | Self::Reset
            | Self::Revisions
            | Self::Rollback
            | Self::Watch
            | Self::Why => None,
        }
    }

    /// Whether the product that operators know has it too. What is new gives way to it where a beginning fits both.
    pub(crate) fn is_known(self) -> bool {
        self.short().is_some() || matches!(self, Self::Login | Self::Qbw | Self::Qversions)
    }

    /// What it takes, and what it does.
    pub(crate) fn help(self) -> (&'static str, &'static str) {
        match self {
            Self::Abort => ("", "Drops the open change: nothing of it is done."),
            Self::Alias => (
                "[name [\"text\"]]",
                "Lists the commands of your own, or makes one of a text, kept for your account; an empty text takes it away. What follows the name on a line follows the text.",
            ),
            Self::Audit => (
                "[number | verify]",
                "Lists the last changes and refusals, with who asked; verify checks that nothing in the log was altered.",
            ),
            Self::Begin => (
                "",
                "Opens a change: what follows is gathered, and commit does all of it or nothing, as one revision.",
            ),
            Self::Commit => (
                "[check | confirm | confirmed minutes] [comment \"text\"]",
                "Does what was gathered since begin. check only shows what it would do. confirmed makes it go back by itself unless commit confirm comes within so many minutes.",
            ),
            Self::Reset => {
                ("", "Empties the context: a table of all its entries, others of everything that was set.")
            }
            Self::Cd => ("[path]", "Goes to a level; without a path to the root."),
            Self::Config => (
                "[name value]",
                "Shows or changes settings of this session: format (text, json or csv), confirmations (true or false), pager (whether long output stops at each page; true or false), width (tables wider than so many columns are shown entry by entry; 0 for never) and echo (whether the commands of a file are shown; true or false).",
            ),
            Self::Diff => (
                "[revision [revision]]",
                "Shows what the open change or else the last revision changes, what one revision changed, or what leads from one to another.",
            ),
            Self::Exit => ("", "Leaves the CLI, with a confirmation."),
            Self::Help => ("[command]", "Lists what there is at this level, or explains a command."),
            Self::History => ("[number]", "Lists the last commands. Lines with secrets are not kept."),
            Self::Login => (
                "userId",
                "Goes on as another user of this machine, with the rights of that one. Only who may administer everything may; others begin a session of their own.",
            ),
            Self::Qbw => ("", "Lists the active applications with their versions and context paths."),
            Self::Qversions => ("", "Lists the installed versions and whether a process runs them."),
            Self::Pause => ("[seconds | text]", "In a command file: waits, or waits for the return key."),
            Self::Quit => ("", "Goes one level up."),
            Self::Read => ("file", "Runs a file of commands; it stops at the first that fails."),
            Self::Repeat => (
                "[number] [seconds]",
                "Runs the last command again, or the one with this number in the history; with a number of seconds again and again with that pause, until a key is pressed.",
            ),
            Self::Revisions => ("[number]", "Lists the last accepted changes: number, time, author, what."),
            Self::Rollback => (
                "revision",
                "Makes all settings what they were at a revision, as a new revision. 0 is the fresh installation.",
            ),
            Self::Export => (
                "[level] [file] [-s]",
                "Writes the settings of a level and those below it, or all, as commands that import takes. Secrets are left out, or with -s sealed for this installation.",
            ),
            Self::Import => (
                "file [check]",
                "Makes the contexts that a file of export names what the file says, as one change; check only shows what would change.",
            ),
            Self::Why => (
                "[level] [key ...] parameter",
                "Tells where the value of a parameter comes from, who set it, when, and whether it is in force.",
            ),
            Self::Watch => (
                "target [number]",
                "Prints what happens to subscribers as it happens, until a key is pressed or so many events were printed. The target is user/<userId>, group/<provider>/<group>, serviceprovider/<id>, enterprise/<id> or system.",
            ),
            Self::Write => (
                "file | off",
                "Adds all commands and output from here on to the end of a file as well, until write off. Secrets are left out.",
            ),
            Self::Tree => ("[-c] [depth]", "Shows the levels below; with -c their commands too."),
        }
    }
}
