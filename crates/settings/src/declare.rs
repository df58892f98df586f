//! Declarations: what a context and a parameter are, and the macro that makes both the type and its declaration.

use crate::{Edit, Kind, Problem, Problems, Rights, Row, Snapshot, Values};
use std::path::Path;

/// Which of the two trees of the CLI a context belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// `ADP_CLI`: this suite.
    Adp,
    /// `AS_CLI`: the application server.
    As,
}

impl Tree {
    /// The root's name as the prompt shows it.
    pub fn root(self) -> &'static str {
        match self {
            Self::Adp => "ADP_CLI",
            Self::As => "AS_CLI",
        }
    }
}

/// Whether a context holds one row of parameters or a table of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Exactly one row, always there; `get` and `set`.
    Single,
    /// Any number of rows in the order they were added; `get`, `add`, `set`, `delete`.
    Table,
    /// Only actions; no stored values.
    Actions,
}

/// What part a parameter plays in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Names the row of a table; positional.
    Key,
    /// Given by position when a row is added.
    Mandatory,
    /// Given as a `name value` pair.
    Attribute,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// At once, for what is under way too.
    Live,
    /// For connections and handshakes that begin after the change.
    NextConnection,
    /// When the process starts again; the CLI says so at every change.
    Restart,
}

/// Why nothing in this build reads a parameter. Its values are checked and kept, and every `set` and `add` that gives one is
/// answered `...Done [not used by this build: NAME]`, so that nobody takes it for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// The feature that it belongs to is not built yet.
    Later,
    /// There is nothing here that it could change; it is there because guides and command files set it.
    Never,
}

/// How a table's column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// As most columns of the known tables.
    Right,
    /// Addresses, ids and free text of some tables.
    Left,
}

/// One typed parameter of a context.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Name as operators type it, matched without regard to case.
    pub name: &'static str,
    /// Column header of tables; empty means the name itself.
    pub header: &'static str,
    /// Other spellings that guides use.
    pub aliases: &'static [&'static str],
    /// What values it takes.
    pub kind: Kind,
    /// Value of a row that does not set it.
    pub default: Option<&'static str>,
    /// Unit of the number, for help.
    pub unit: &'static str,
    /// Part in the row.
    pub role: Role,
    /// When a change takes effect.
    pub apply: Apply,
    /// Column alignment.
    pub align: Align,
    /// Not shown by `get` (the PEM text of a trust anchor, say).
    pub hidden: bool,
    /// Why this build does not read it, if it does not.
    pub unused: Option<Unused>,
    /// What it means; one or a few lines.
    pub help: &'static str,
}

impl Parameter {
    /// An attribute without default that applies live.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            header: "",
            aliases: &[],
            kind,
            default: None,
            unit: "",
            role: Role::Attribute,
            apply: Apply::Live,
            align: Align::Right,
            hidden: false,
            unused: None,
            help: "",
        }
    }
    /// Sets the default, in the form an operator would type.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }
    /// Sets the unit that help shows.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }
    /// Sets the column header.
    #[must_use]
    pub const fn header(mut self, header: &'static str) -> Self {
        self.header = header;
        self
    }
    /// Adds spellings that are taken too.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    /// Makes it (part of) the row's key.
    #[must_use]
    pub const fn key(mut self) -> Self {
        self.role = Role::Key;
        self
    }
    /// Makes it positional and required when a row is added.
    #[must_use]
    pub const fn mandatory(mut self) -> Self {
        self.role = Role::Mandatory;
        self
    }
    /// Says when a change takes effect.
    #[must_use]
    pub const fn apply(mut self, apply: Apply) -> Self {
        self.apply = apply;
        self
    }
    /// Aligns the column to the left.
    #[must_use]
    pub const fn left(mut self) -> Self {
        self.align = Align::Left;
        self
    }
    /// Keeps it out of `get`.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
    /// Marks it as not read by this build.
    #[must_use]
    pub const fn unused(mut self, why: Unused) -> Self {
        self.unused = Some(why);
        self
    }
    /// Sets the help text; the macro does this from the doc comment.
    #[must_use]
    pub const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }
    /// Whether its values are secrets.
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. })
    }
}

/// Headers and cells of a table row that are not plain parameters (owner and issuer of a trust anchor, say).
pub type Presented = Vec<(&'static str, String)>;

/// Makes a remark line for `get`; the strings are the keys that it was given.
pub type Remark = fn(&Snapshot, &[&str]) -> Option<String>;

/// Says something of a row that is added or set; the strings are its key as it was typed.
pub type RowRemark = fn(&[&str]) -> Option<String>;

/// Makes the list that is in force, inherited or own; the strings are the keys that `get` was given.
pub type Effective = fn(&Snapshot, &[&str]) -> Vec<Presented>;

/// One level of the tree that holds settings or actions.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The tree it hangs in.
    pub tree: Tree,
    /// Levels below the root, joined by `/`, in the spelling that the prompt shows.
    pub path: &'static str,
    /// Whole paths that mean this context too.
    pub aliases: &'static [&'static str],
    /// One row, many, or none.
    pub shape: Shape,
    /// What it is for.
    pub help: &'static str,
    /// Its parameters in declared order; keys first.
    pub parameters: &'static [Parameter],
    /// Commands beyond get, set, add and delete.
    pub actions: &'static [Action],
    /// Rows of a fresh installation, as values of the keys and mandatory parameters.
    pub initial: &'static [&'static [&'static str]],
    /// Commands of the four that this context does not offer (a trust list has `updateTrust` in place of `add`).
    pub without: &'static [&'static str],
    /// What `get` shows for a row in place of the parameters, where that differs.
    pub present: Option<fn(&Snapshot, &Row) -> Presented>,
    /// A remark line after `get`'s count (where an empty list is inherited from, say).
    pub remark: Option<Remark>,
    /// What `get -e` shows: the list that is in force, inherited or own; the strings are the keys that `get` was given.
    pub effective: Option<Effective>,
    /// What `get -l` shows of an entry: more than fits in its table.
    pub long: Option<fn(&Snapshot, &Row) -> Presented>,
    /// Commands that are confirmed before they are done, with what will happen.
    pub confirmed: &'static [(&'static str, &'static str)],
    /// What is said when a row is added or set; the strings are its key as it was typed.
    pub row_remark: Option<RowRemark>,
    /// What somebody must be allowed who changes it.
    pub rights: Rights,
    /// The same for commands of its own, where it differs.
    pub action_rights: &'static [(&'static str, Rights)],
    /// Commands of its own that only make edits from their arguments and the tree: they may be part of an open change, and what
    /// they would do can be shown.
    pub editing: &'static [&'static str],
}

impl Context {
    const fn new(tree: Tree, path: &'static str, shape: Shape) -> Self {
        Self {
            tree,
            path,
            aliases: &[],
            shape,
            help: "",
            parameters: &[],
            actions: &[],
            initial: &[],
            without: &[],
            present: None,
            remark: None,
            effective: None,
            long: None,
            confirmed: &[],
            row_remark: None,
            rights: Rights::Operate,
            action_rights: &[],
            editing: &[],
        }
    }
    /// A context with one row.
    pub const fn single(tree: Tree, path: &'static str) -> Self {
        Self::new(tree, path, Shape::Single)
    }
    /// A context with a table of rows.
    pub const fn table(tree: Tree, path: &'static str) -> Self {
        Self::new(tree, path, Shape::Table)
    }
    /// A context with actions only.
    pub const fn actions_only(tree: Tree, path: &'static str) -> Self {
        Self::new(tree, path, Shape::Actions)
    }
    /// Adds whole paths that mean this context too.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    /// Sets the help text; the macro does this from the doc comment.
    #[must_use]
    pub const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }
    /// Sets the parameters; the macro does this from the fields.
    #[must_use]
    pub const fn parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }
    /// Adds commands beyond get, set, add and delete.
    #[must_use]
    pub const fn actions(mut self, actions: &'static [Action]) -> Self {
        self.actions = actions;
        self
    }
    /// Sets the rows of a fresh installation.
    #[must_use]
    pub const fn initial(mut self, rows: &'static [&'static [&'static str]]) -> Self {
        self.initial = rows;
        self
    }
    /// Takes commands away (`"add"`, `"set"`, `"delete"`).
    #[must_use]
    pub const fn without(mut self, commands: &'static [&'static str]) -> Self {
        self.without = commands;
        self
    }
    /// Sets what `get` shows for a row.
    #[must_use]
    pub const fn present(mut self, present: fn(&Snapshot, &Row) -> Presented) -> Self {
        self.present = Some(present);
        self
    }
    /// Sets the remark line after `get`'s count; the strings are the keys that `get` was given.
    #[must_use]
    pub const fn remark(mut self, remark: Remark) -> Self {
        self.remark = Some(remark);
        self
    }
    /// Sets what `get -e` shows; the strings are the keys that `get` was given.
    #[must_use]
    pub const fn effective(mut self, effective: Effective) -> Self {
        self.effective = Some(effective);
        self
    }
    /// Sets what is said when a row is added or set; the strings are its key as it was typed.
    #[must_use]
    pub const fn row_remark(mut self, remark: RowRemark) -> Self {
        self.row_remark = Some(remark);
        self
    }
    /// Sets what `get -l` shows of an entry.
    #[must_use]
    pub const fn long(mut self, long: fn(&Snapshot, &Row) -> Presented) -> Self {
        self.long = Some(long);
        self
    }
    /// Asks for a confirmation before these commands, and says what will happen.
    #[must_use]
    pub const fn confirmed(mut self, commands: &'static [(&'static str, &'static str)]) -> Self {
        self.confirmed = commands;
        self
    }
    /// What is to be said before a command is done; `None` where it is done without a question.
    pub fn warning(&self, command: &str) -> Option<&'static str> {
        self.confirmed.iter().find(|(name, _)| name.eq_ignore_ascii_case(command)).map(|(_, text)| *text)
    }
    /// Sets the right that somebody needs who changes it; to operate unless told.
    #[must_use]
    pub const fn needs(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }
    /// Sets the rights that commands of its own need, where they differ from that.
    #[must_use]
    pub const fn action_needs(mut self, rights: &'static [(&'static str, Rights)]) -> Self {
        self.action_rights = rights;
        self
    }
    /// Says which commands of its own only make edits from their arguments and the tree.
    #[must_use]
    pub const fn editing(mut self, commands: &'static [&'static str]) -> Self {
        self.editing = commands;
        self
    }
    /// Full path with the root, as errors and revisions name it.
    pub fn full_path(&self) -> String {
        format!("{}/{}", self.tree.root(), self.path)
    }
    /// Its key parameters, in order.
    pub fn keys(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().filter(|p| p.role == Role::Key)
    }
    /// A parameter by name or alias, without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|p| {
            p.name.eq_ignore_ascii_case(name)
                || p.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        })
    }
}

/// What an action may use. Actions run in the process that holds the store: a host, or `adpcli` itself when none runs.
pub struct ActionContext<'a> {
    /// The tree as it is now.
    pub snapshot: &'a Snapshot,
    /// The data directory of the installation.
    pub data_dir: &'a Path,
    /// Time of the command.
    pub now: time::OffsetDateTime,
    /// The key that secrets of this installation are wrapped with.
    pub machine_key: &'a crate::MachineKey,
    /// The context's full path; one handler may serve several contexts (the trust lists, say).
    pub context: &'static Context,
}

/// What an action did: lines to print, and edits that the caller commits as one change before it prints them.
#[derive(Debug, Default)]
pub struct ActionOutput {
    /// Lines printed before `...Done`.
    pub lines: Vec<String>,
    /// Edits to commit with it.
    pub edits: Vec<Edit>,
    /// Pure queries print no `...Done`.
    pub query: bool,
    /// Remarks in brackets behind `...Done`.
    pub remarks: Vec<String>,
}

/// A command of a context beyond get, set, add and delete.
#[derive(Clone, Copy)]
pub struct Action {
    /// Name as typed.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its arguments: keys and mandatory ones by position, attributes as pairs. A `Kind::File` argument reaches the
    /// handler as the file's text: the CLI reads it with the operator's own rights. A `Kind::Path` argument reaches it as a whole
    /// path, wherever the operator stood.
    pub arguments: &'static [Parameter],
    /// The handler; arguments are in the order of `arguments`, `None` where not given.
    pub run: fn(&ActionContext<'_>, &[Option<String>]) -> Result<ActionOutput, Problems>,
}

impl Action {
    /// The arguments as the handler takes them: each in its canonical text, defaults where nothing is given.
    ///
    /// # Errors
    /// What is missing, too much, or no value of its kind; the path names the context in the problems.
    pub fn checked(&self, path: &str, arguments: &[Option<String>]) -> Result<Vec<Option<String>>, Problems> {
        if arguments.len() > self.arguments.len() {
            return Err(Problem::new(path, "too many arguments").into());
        }
        let mut checked = Vec::with_capacity(self.arguments.len());
        let mut problems = Vec::new();
        for (index, parameter) in self.arguments.iter().enumerate() {
            let given = arguments.get(index).cloned().flatten().filter(|text| !text.is_empty());
            let problem = |reason: String| Problem::new(path, reason).parameter(parameter.name);
            match given {
                Some(word) => match parameter.kind.parse(&word) {
                    Ok(word) => checked.push(Some(word)),
                    Err(reason) => problems.push(problem(reason)),
                },
                None if parameter.role == Role::Attribute || parameter.default.is_some() => {
                    checked.push(parameter.default.map(str::to_owned));
                }
                None => problems.push(problem("Mandatory parameter missing".to_owned())),
            }
        }
        if problems.is_empty() { Ok(checked) } else { Err(Problems(problems)) }
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A typed row of a context; made by [`context!`](crate::context).
pub trait Settings: Sized + Send + Sync + 'static {
    /// The declaration.
    const CONTEXT: &'static Context;
    /// Reads one row whose values were validated when they were stored.
    fn read(values: Values<'_>) -> Self;
}

/// Declares a context: its typed struct and its [`Context`], from one place.
///
/// The doc comments are the help texts; see the crate's example.
#[macro_export]
macro_rules! context {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident = $context:expr => {
            $(
                $(#[doc = $field_doc:literal])+
                $field_vis:vis $field:ident : $type:ty = $parameter:expr;
            )*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        $vis struct $name {
            $( $(#[doc = $field_doc])+ $field_vis $field: $type, )*
        }

        impl $crate::Settings for $name {
            const CONTEXT: &'static $crate::Context = &{
                const PARAMETERS: &[$crate::Parameter] =
                    &[$( ($parameter).help(concat!($($field_doc, "\n"),+)), )*];
                ($context).help(concat!($($doc, "\n"),+)).parameters(PARAMETERS)
            };

            #[allow(unused_mut, unused_variables, clippy::allow_attributes)]
            fn read(mut values: $crate::Values<'_>) -> Self {
                Self { $( $field: <$type as $crate::FromValue>::from_value(values.next_value()), )* }
            }
        }
    };
}
