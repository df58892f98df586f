//! A scripted console and a small tree of contexts to talk about.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::expect_used,
    reason = "each test file uses its own part of this"
)]

use openadp_cli::{Console, Flow, Installation, Options, Session};
use openadp_settings::{
    Action, ActionOutput, Apply, Context, Edit, Kind, Module, Parameter, Presented, Registry, Secret,
    Settings, Snapshot, Tree, context,
};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

context! {
    /// How the doors of the house behave. This text is long enough that help has to wrap it, since it goes on well
    /// beyond the eighty columns that a terminal has.
    pub struct Door = Context::single(Tree::Adp, "House/Door").aliases(&["House/Gate"]) => {
        /// Whether it can be opened at all.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("true");
        /// How long it stays open.
        pub open_seconds: u32 =
            Parameter::new("openSeconds", Kind::integer(1, 60)).default("10").unit("seconds").aliases(&["openSecs"]);
        /// Its colour.
        pub colour: Option<String> = Parameter::new("colour", Kind::Choice(&["Red", "Green"])).apply(Apply::Restart);
        /// A remark for the reader.
        pub comment: Option<String> = Parameter::new("comment", Kind::text(0, 40));
        /// The code that opens it.
        pub code: Secret = Parameter::new("code", Kind::secret(64));
    }
}

context! {
    /// Guests that may come in.
    pub struct Guest = Context::table(Tree::Adp, "House/Door/Guests") => {
        /// Their name.
        pub name: String = Parameter::new("name", Kind::text(1, 20)).header("Name").key().left();
        /// Their floor.
        pub floor: u32 = Parameter::new("floor", Kind::integer(0, 99)).header("Floor").key();
        /// Whether they may stay.
        pub stays: bool = Parameter::new("stays", Kind::Boolean).header("May Stay").mandatory().apply(Apply::NextConnection);
        /// A remark for the reader.
        pub remark: Option<String> = Parameter::new("remark", Kind::text(1, 40)).header("Remark");
        /// Their own code.
        pub code: Secret = Parameter::new("code", Kind::secret(64)).header("Code");
    }
}

context! {
    /// Keys of the house, shown by their owners.
    pub struct Keys = Context::table(Tree::Adp, "House/Keys")
        .without(&["add", "set"])
        .actions(&[CUT, COUNT])
        .present(|_, row| present(row))
        .remark(remark)
        .effective(|snapshot, _| effective(snapshot)) =>
    {
        /// What it is called.
        pub alias: String = Parameter::new("alias", Kind::text(1, 20)).header("Alias").key();
        /// What is engraved.
        pub engraving: String = Parameter::new("engraving", Kind::File).mandatory().hidden();
    }
}

context! {
    /// The house next door.
    pub struct Neighbour = Context::table(Tree::As, "Street/Neighbours") => {
        /// Their name.
        pub name: String = Parameter::new("name", Kind::text(1, 20)).header("Name").key();
    }
}

const CUT: Action = Action {
    name: "cutKey",
    help: "Cuts a key; the engraving is read from a file.",
    arguments: &[
        Parameter::new("alias", Kind::text(1, 20)).mandatory().help("What it is called."),
        Parameter::new("file", Kind::File).mandatory().help("File with what is engraved."),
        Parameter::new("polish", Kind::Boolean).default("false").help("Whether to polish it."),
        Parameter::new("passphrase", Kind::secret(20)).help("What opens the file."),
    ],
    run: |context, arguments| {
        let value = |index: usize| arguments[index].clone().unwrap_or_default();
        let values = BTreeMap::from([("alias".to_owned(), value(0)), ("engraving".to_owned(), value(1))]);
        Ok(ActionOutput {
            lines: vec![format!("cutting {} (polish {})", value(0), value(2))],
            edits: vec![Edit::Add { context: context.context.full_path(), values }],
            ..ActionOutput::default()
        })
    },
};
const COUNT: Action = Action {
    name: "count",
    help: "Counts the keys.",
    arguments: &[],
    run: |context, _| {
        let lines = vec![format!("{} keys", context.snapshot.rows_of(context.context).len())];
        Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
    },
};

fn present(row: &openadp_settings::Row) -> Presented {
    let text = |name: &str| row.explicit(name).map(|value| value.text().to_owned()).unwrap_or_default();
    vec![("Alias", text("alias")), ("Says", text("engraving").trim().to_uppercase())]
}

fn remark(snapshot: &Snapshot, _: &[&str]) -> Option<String> {
    let none = snapshot.rows_of(Keys::CONTEXT).is_empty();
    none.then(|| "inherited from House/Locksmith: 1 entries; get -e shows them".to_owned())
}

fn effective(_: &Snapshot) -> Vec<Presented> {
    vec![vec![("Alias", "master".to_owned()), ("From", "House/Locksmith".to_owned())]]
}

fn nobody_on_13(snapshot: &Snapshot) -> Vec<openadp_settings::Problem> {
    let unlucky = snapshot.rows::<Guest>().into_iter().filter(|guest| guest.floor == 13);
    unlucky
        .map(|guest| {
            openadp_settings::Problem::new(
                Guest::CONTEXT.full_path(),
                format!("{} would live on 13", guest.name),
            )
            .parameter("floor")
            .forceable()
        })
        .collect()
}

pub const HOUSE: Module = Module::new("house")
    .contexts(&[Door::CONTEXT, Guest::CONTEXT, Keys::CONTEXT, Neighbour::CONTEXT])
    .checks(&[nobody_on_13]);

pub fn house() -> Registry {
    Registry::new([HOUSE]).expect("declared well")
}

/// A console that writes a transcript and answers from a list.
#[derive(Default)]
pub struct Script {
    pub transcript: String,
    pub answers: VecDeque<&'static str>,
    pub interactive: bool,
    pub files: BTreeMap<&'static str, &'static str>,
}

impl Console for Script {
    fn print(&mut self, line: &str) {
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }
    fn warn(&mut self, line: &str) {
        self.print(&format!("(stderr) {line}"));
    }
    fn interactive(&self) -> bool {
        self.interactive
    }
    fn ask(&mut self, question: &str) -> Option<String> {
        let answer = self.answers.pop_front()?;
        self.print(&format!("{question}{answer}"));
        Some(answer.to_owned())
    }
    fn ask_secret(&mut self, question: &str) -> Option<String> {
        let answer = self.answers.pop_front()?;
        self.print(question.trim_end());
        Some(answer.to_owned())
    }
    fn named_secret(&mut self, name: &str) -> Option<String> {
        (name == "passphrase").then(|| "from a file".to_owned())
    }
    fn read_file(&mut self, path: &str, _: u64) -> io::Result<String> {
        self.files.get(path).map(|text| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

pub fn session(data_dir: &Path, registry: &Registry, options: Options) -> Session {
    Session::new(registry, Box::new(Installation::new(data_dir, registry.clone())), options)
}

/// Types lines and gives the transcript, as a terminal would show it.
pub fn type_lines(session: &mut Session, script: &mut Script, lines: &str) -> String {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let prompt = session.prompt();
        script.print(&format!("{prompt}{line}"));
        match session.line(line, script) {
            Flow::Continue => {}
            Flow::Failed(code) => script.print(&format!("(exit {})", code as i32)),
            Flow::Leave => {
                script.print("(left)");
                break;
            }
        }
    }
    std::mem::take(&mut script.transcript)
}
