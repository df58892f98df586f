#![expect(dead_code, reason = "fields that are declared to be stored and checked, and read by nobody")]

use super::*;
use crate::{
    Action, ActionOutput, Context, Edit, Kind, Module, Parameter, Role, Shape, Tree, Unused, context,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

context! {
    /// How a door behaves.
    struct Door = Context::single(Tree::Adp, "System/Door").aliases(&["System/OldDoor"]) => {
        /// Seconds until it closes.
        open_seconds: u32 = Parameter::new("openSeconds", Kind::integer(1, 60)).default("10");
        /// Its colour.
        colour: String = Parameter::new("colour", Kind::Choice(&["Red", "Green"])).apply(crate::Apply::Restart);
        /// The code that opens it.
        code: crate::Secret = Parameter::new("code", Kind::secret(64));
    }
}

context! {
    /// Who may come in.
    struct Guest = Context::table(Tree::Adp, "System/Door/Guests").initial(&[&["alice", "1"], &["bob", "2"]]) => {
        /// Their name.
        name: String = Parameter::new("name", Kind::text(1, 20)).key();
        /// Their floor.
        floor: u32 = Parameter::new("floor", Kind::integer(0, 99)).mandatory();
        /// Their own code.
        code: crate::Secret = Parameter::new("code", Kind::secret(64)).apply(crate::Apply::NextConnection);
    }
}

context! {
    /// Something that only another process knows.
    struct Garden = Context::table(Tree::Adp, "System/Garden").initial(&[&["rose"], &["tulip"]]) => {
        /// What grows.
        plant: String = Parameter::new("plant", Kind::text(1, 20)).key();
        /// A hidden place.
        place: crate::Secret = Parameter::new("place", Kind::secret(64));
    }
}

context! {
    /// A cellar that nobody visits.
    struct Cellar = Context::table(Tree::Adp, "System/Cellar") => {
        /// What lies there.
        item: String = Parameter::new("item", Kind::text(1, 20)).key();
        /// How much of it.
        amount: u32 = Parameter::new("amount", Kind::integer(0, 99)).default("1").unused(Unused::Later);
        /// Who owns it.
        owner: crate::Secret = Parameter::new("owner", Kind::secret(64)).unused(Unused::Never);
    }
}

fn no_floor_13(snapshot: &Snapshot) -> Vec<Problem> {
    let unlucky = snapshot.rows::<Guest>().into_iter().filter(|guest| guest.floor == 13);
    let problem = |guest: Guest| Problem::new("ADP_CLI/System/Door/Guests", format!("{} on 13", guest.name));
    unlucky.map(|guest| problem(guest).parameter("floor").forceable()).collect()
}

fn no_floor_66(snapshot: &Snapshot) -> Vec<Problem> {
    let bad = snapshot.rows::<Guest>().iter().any(|guest| guest.floor == 66);
    if bad { vec![Problem::new("ADP_CLI/System/Door/Guests", "never 66")] } else { Vec::new() }
}

const INVITE: Action = Action {
    name: "invite",
    help: "Invites somebody.",
    arguments: &[
        Parameter::new("name", Kind::text(1, 20)).key(),
        Parameter::new("floor", Kind::integer(0, 99)).default("7"),
    ],
    run: |context, arguments| {
        let name = arguments[0].clone().unwrap_or_default();
        let values = BTreeMap::from([
            ("name".to_owned(), name.clone()),
            ("floor".to_owned(), arguments[1].clone().unwrap_or_default()),
        ]);
        Ok(ActionOutput {
            lines: vec![format!("inviting {name} in {}", context.context.path)],
            edits: vec![Edit::Add { context: "ADP_CLI/System/Door/Guests".to_owned(), values }],
            ..ActionOutput::default()
        })
    },
};
const DOORMAN: Context = Context::actions_only(Tree::Adp, "System/Doorman").actions(&[INVITE]);

const HOUSE: Module = Module::new("house")
    .contexts(&[<Door as Settings>::CONTEXT, <Guest as Settings>::CONTEXT, &DOORMAN])
    .checks(&[no_floor_13, no_floor_66]);
const OUTSIDE: Module = Module::new("outside").contexts(&[<Garden as Settings>::CONTEXT]);

fn house() -> Registry {
    Registry::new([HOUSE]).unwrap()
}
fn outside() -> Registry {
    Registry::new([OUTSIDE]).unwrap()
}
fn both() -> Registry {
    Registry::new([HOUSE, OUTSIDE]).unwrap()
}
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const DOOR: &str = "ADP_CLI/System/Door";
const GUESTS: &str = "ADP_CLI/System/Door/Guests";
const GARDEN: &str = "ADP_CLI/System/Garden";

fn set(context: &str, key: &[&str], values: &[(&str, &str)]) -> Edit {
    Edit::Set {
        context: context.to_owned(),
        key: key.iter().map(|&word| word.to_owned()).collect(),
        values: values
            .iter()
            .map(|&(name, value)| (name.to_owned(), (!value.is_empty()).then(|| value.to_owned())))
            .collect(),
    }
}
fn add(context: &str, values: &[(&str, &str)]) -> Edit {
    let values = values.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Edit::Add { context: context.to_owned(), values }
}
fn delete(context: &str, key: &[&str]) -> Edit {
    Edit::Delete { context: context.to_owned(), key: key.iter().map(|&word| word.to_owned()).collect() }
}
fn change(edits: Vec<Edit>) -> Change {
    Change { author: Author("tester".to_owned()), comment: None, edits, force: false }
}
fn commit(store: &Store, edits: Vec<Edit>) -> Result<Committed, Problems> {
    store.commit(&change(edits), NOW)
}
fn reasons(problems: &Problems) -> Vec<String> {
    problems.0.iter().map(ToString::to_string).collect()
}
fn guests(store: &Store) -> Vec<String> {
    store.rows::<Guest>().into_iter().map(|guest| format!("{} {}", guest.name, guest.floor)).collect()
}

#[test]
fn a_change_is_kept_and_read_again_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), house()).unwrap();
    let live = store.live::<Door>();
    let mut watch = store.watch();
    assert_eq!(live.load().open_seconds, 10);
    let done = commit(
        &store,
        vec![
            set(
                "adp_cli/system/olddoor",
                &[],
                &[("OPENSECONDS", "20"), ("colour", "gREEN"), ("code", "s3cret")],
            ),
            add(GUESTS, &[("name", "Carol"), ("floor", "3"), ("code", "own")]),
        ],
    )
    .unwrap();
    assert_eq!(done.revision, 1);
    assert_eq!(done.restart, ["colour"]);
    assert_eq!(done.remarks, ["code applies to new connections"]);
    assert_eq!(live.load().open_seconds, 20);
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow_and_update(), 1);

    let other = Store::open(dir.path(), house()).unwrap();
    assert_eq!(other.current(), store.current());
    let door = other.get::<Door>();
    assert_eq!((door.open_seconds, door.colour.as_str(), door.code.expose()), (20, "Green", "s3cret"));
    assert_eq!(guests(&other), ["alice 1", "bob 2", "Carol 3"]);

    commit(&other, vec![delete(GUESTS, &["BOB"])]).unwrap();
    assert_eq!(guests(&store).len(), 3);
    assert!(store.refresh().unwrap());
    assert!(!store.refresh().unwrap());
    assert_eq!(guests(&store), ["alice 1", "Carol 3"]);
    assert_eq!(*watch.borrow_and_update(), 2);
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_directory() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    // Only root can hand a directory to somebody else; for everyone else there is nothing to hand over.
    let owner = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.path(), Some(4711), Some(4712)).unwrap();
        (4711, 4712)
    } else {
        let own = std::fs::metadata(dir.path()).unwrap();
        (own.uid(), own.gid())
    };
    let store = Store::open(dir.path(), house()).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "2")])]).unwrap();
    let folder = dir.path().join("settings");
    for entry in
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).chain([folder.clone()])
    {
        let made = std::fs::metadata(&entry).unwrap();
        assert_eq!((made.uid(), made.gid()), owner, "{}", entry.display());
        assert_eq!(made.mode() & 0o077, 0, "{}", entry.display());
    }
}

#[test]
fn secrets_are_nowhere_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), house()).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("code", "planted-secret")])]).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("code", "planted-secret-2")])]).unwrap();
    for file in std::fs::read_dir(dir.path().join("settings")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("planted"));
    }
    let revisions = store.revisions(0..=u64::MAX).unwrap();
    assert!(!format!("{revisions:?}").contains("planted"));
    assert_eq!(
        revisions[1].edits[0].lines(),
        ["ADP_CLI/System/Door", "  - code = ********", "  + code = ******** (changed)"]
    );
    assert!(!format!("{:?}", store.current()).contains("planted"));
}

#[test]
fn a_masked_snapshot_shows_everything_but_secrets() {
    let store = Store::in_memory(house());
    commit(&store, vec![set(DOOR, &[], &[("code", "planted-secret"), ("colour", "Red")])]).unwrap();
    let text = serde_json::to_string(&store.current().masked()).unwrap();
    assert!(!text.contains("planted"));
    let masked: crate::MaskedSnapshot = serde_json::from_str(&text).unwrap();
    let shown = masked.into_snapshot(store.registry());
    assert_eq!(shown.revision(), 1);
    assert_eq!(shown.get::<Door>().colour, "Red");
    assert_eq!(shown.get::<Door>().code.expose(), "********");
    assert_eq!(
        shown.rows_of(<Guest as Settings>::CONTEXT),
        store.current().rows_of(<Guest as Settings>::CONTEXT)
    );
}

#[test]
fn all_problems_are_told_at_once_and_nothing_is_kept() {
    let store = Store::in_memory(house());
    let problems = commit(
        &store,
        vec![
            set(DOOR, &[], &[("openSeconds", "99"), ("colour", "blue"), ("colur", "Red")]),
            set("ADP_CLI/System/Dor", &[], &[]),
            add(GUESTS, &[("name", "ALICE"), ("floor", "1")]),
            add(GUESTS, &[("floor", "1")]),
            add(GUESTS, &[("name", "dan"), ("floor", "1")]),
            delete(GUESTS, &["nobody"]),
            set(GUESTS, &["alice"], &[("name", "eve")]),
            set(GUESTS, &["alice"], &[("floor", "")]),
            set(GUESTS, &[], &[("floor", "1")]),
            delete(DOOR, &[]),
        ],
    )
    .unwrap_err();
    assert_eq!(
        reasons(&problems),
        [
            "ADP_CLI/System/Door colour: 'blue' is none of Red, Green",
            "ADP_CLI/System/Door colur: there is no such parameter",
            "ADP_CLI/System/Door openSeconds: 99 is not between 1 and 60",
            "ADP_CLI/System/Dor: there is no such context",
            "ADP_CLI/System/Door/Guests: entry is already present in list: ALICE",
            "ADP_CLI/System/Door/Guests name: Mandatory parameter missing",
            "ADP_CLI/System/Door/Guests: Entry not found: nobody",
            "ADP_CLI/System/Door/Guests name: it names the row and cannot be changed",
            "ADP_CLI/System/Door/Guests floor: Mandatory parameter: it cannot be empty",
            "ADP_CLI/System/Door/Guests name: Mandatory parameter missing",
            "ADP_CLI/System/Door: delete is not possible here",
        ]
    );
    assert_eq!(problems.0[1].hint.as_deref(), Some("did you mean colour?"));
    assert_eq!(problems.0[3].hint.as_deref(), Some("did you mean ADP_CLI/System/Door?"));
    assert_eq!(guests(&store), ["alice 1", "bob 2"]);
    assert_eq!(store.current().revision(), 0);
}

#[test]
fn force_overrules_forceable_checks_only_and_old_problems_do_not_block() {
    let store = Store::in_memory(house());
    let unlucky = change(vec![set(GUESTS, &["alice"], &[("floor", "13")])]);
    assert_eq!(
        reasons(&store.commit(&unlucky, NOW).unwrap_err()),
        ["ADP_CLI/System/Door/Guests floor: alice on 13"]
    );
    store.commit(&Change { force: true, ..unlucky }, NOW).unwrap();
    assert!(store.revisions(1..=1).unwrap()[0].forced);
    // The forced problem stays, and another change does not fall over it.
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "5")])]).unwrap();
    assert!(commit(&store, vec![set(GUESTS, &["bob"], &[("floor", "13")])]).is_err());
    let never = change(vec![set(GUESTS, &["bob"], &[("floor", "66")])]);
    assert!(store.commit(&Change { force: true, ..never }, NOW).is_err());
}

#[test]
fn a_change_that_changes_nothing_makes_no_revision() {
    let store = Store::in_memory(house());
    assert_eq!(commit(&store, vec![set(DOOR, &[], &[("colour", "")])]).unwrap().revision, 0);
    assert_eq!(commit(&store, vec![set(DOOR, &[], &[("colour", "Red")])]).unwrap().revision, 1);
    assert_eq!(commit(&store, vec![set(DOOR, &[], &[("colour", "red")])]).unwrap().revision, 1);
}

#[test]
fn rollback_brings_back_values_order_and_secrets() {
    let store = Store::in_memory(house());
    commit(&store, vec![set(DOOR, &[], &[("code", "one"), ("openSeconds", "1")])]).unwrap();
    let good = store.current();
    commit(&store, vec![delete(GUESTS, &["alice"]), set(DOOR, &[], &[("code", "two")])]).unwrap();
    commit(&store, vec![add(GUESTS, &[("name", "alice"), ("floor", "9")])]).unwrap();
    assert_eq!(guests(&store), ["bob 2", "alice 9"]);
    let preview = store.preview_rollback(1, false).unwrap();
    assert_eq!(preview.committed.revision, 4);
    assert!(!preview.edits.is_empty());
    assert_eq!(store.current().revision(), 3, "a preview changes nothing");

    let author = Author("tester".to_owned());
    assert_eq!(store.rollback(1, &author, false, NOW).unwrap().revision, 4);
    assert_eq!(store.current().rows, good.rows);
    assert_eq!(guests(&store), ["alice 1", "bob 2"]);
    assert_eq!(store.get::<Door>().code.expose(), "one");
    assert_eq!(store.rollback(0, &author, false, NOW).unwrap().revision, 5);
    assert_eq!(store.get::<Door>().code.expose(), "");
    assert_eq!(store.rollback(3, &author, false, NOW).unwrap().revision, 6);
    assert_eq!(guests(&store), ["bob 2", "alice 9"]);
    assert_eq!(store.rollback(6, &author, false, NOW).unwrap().revision, 6, "nothing to do");
    assert_eq!(
        reasons(&store.rollback(7, &author, false, NOW).unwrap_err()),
        [": there is no revision 7; the last is 6"]
    );
    assert!(store.diff(6, 3).unwrap().is_empty());
    assert_eq!(
        store.diff(0, 1).unwrap()[0].lines(),
        ["ADP_CLI/System/Door", "  + code = ********", "  + openSeconds = 1"]
    );
}

#[test]
fn contexts_of_other_processes_are_carried_along() {
    let dir = tempfile::tempdir().unwrap();
    let garden = Store::open(dir.path(), outside()).unwrap();
    commit(&garden, vec![set(GARDEN, &["rose"], &[("place", "behind the shed")])]).unwrap();
    commit(&garden, vec![delete(GARDEN, &["tulip"]), add(GARDEN, &[("plant", "lily")])]).unwrap();
    let house = Store::open(dir.path(), house()).unwrap();
    commit(&house, vec![set(DOOR, &[], &[("openSeconds", "3")])]).unwrap();
    garden.refresh().unwrap();
    let plants = || garden.rows::<Garden>().into_iter().map(|row| row.plant).collect::<Vec<_>>();
    assert_eq!(plants(), ["rose", "lily"]);
    // A process that knows nothing of gardens rolls one back, secrets and first rows included.
    house.rollback(1, &Author("tester".to_owned()), false, NOW).unwrap();
    garden.refresh().unwrap();
    assert_eq!(plants(), ["rose", "tulip"]);
    assert_eq!(garden.rows::<Garden>()[0].place.expose(), "behind the shed");
    house.rollback(0, &Author("tester".to_owned()), false, NOW).unwrap();
    garden.refresh().unwrap();
    assert_eq!(garden.rows::<Garden>()[0].place.expose(), "");
    let all = Store::open(dir.path(), both()).unwrap();
    assert_eq!(all.current().rows_of(<Garden as Settings>::CONTEXT).len(), 2);
}

#[test]
fn commits_of_several_stores_at_once_are_all_kept_one_after_another() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let dir = dir.path();
            scope.spawn(move || {
                let store = Store::open(dir, house()).unwrap();
                for round in 0..5 {
                    let name = format!("guest{writer}x{round}");
                    commit(&store, vec![add(GUESTS, &[("name", &name), ("floor", "1")])]).unwrap();
                    // All want this one too; exactly one gets it.
                    drop(commit(&store, vec![add(GUESTS, &[("name", "same"), ("floor", "1")])]));
                }
            });
        }
    });
    let store = Store::open(dir.path(), house()).unwrap();
    assert_eq!(store.rows::<Guest>().len(), 2 + 20 + 1);
    let numbers: Vec<u64> = store.revisions(0..=99).unwrap().iter().map(|r| r.number).collect();
    assert_eq!(numbers, (1..=21).collect::<Vec<u64>>());
}

#[test]
fn actions_commit_their_edits() {
    let store = Store::in_memory(house());
    let author = Author("tester".to_owned());
    let run = |arguments: &[&str]| {
        let arguments: Vec<Option<String>> = arguments.iter().map(|&word| Some(word.to_owned())).collect();
        store.run_action("ADP_CLI/System/Doorman", "INVITE", &arguments, &author, false, NOW)
    };
    let done = run(&["dave"]).unwrap();
    assert_eq!(done.lines, ["inviting dave in System/Doorman"]);
    assert_eq!(done.committed.revision, 1);
    assert_eq!(guests(&store), ["alice 1", "bob 2", "dave 7"]);
    assert_eq!(
        reasons(&run(&["dave", "100"]).unwrap_err()),
        ["ADP_CLI/System/Doorman floor: 100 is not between 0 and 99"]
    );
    assert_eq!(reasons(&run(&[]).unwrap_err()), ["ADP_CLI/System/Doorman name: Mandatory parameter missing"]);
    assert!(run(&["dave"]).is_err());
}

#[test]
fn declarations_that_cannot_be_right_are_found() {
    context! {
        /// Twice.
        struct Twice = Context::single(Tree::Adp, "A") => {
            /// One.
            one: String = Parameter::new("same", Kind::text(1, 2));
            /// Two.
            two: String = Parameter::new("Same", Kind::text(1, 2));
        }
    }
    let module = Module::new("x").contexts(&[<Twice as Settings>::CONTEXT]);
    assert!(Registry::new([module]).is_err());
    assert!(Twice::CONTEXT.parameters.iter().all(|p| p.role == Role::Attribute));
    assert_eq!(Twice::CONTEXT.shape, Shape::Single);
}

#[test]
fn whoever_sets_what_nothing_reads_is_told_each_time() {
    const CELLAR: &str = "ADP_CLI/System/Cellar";
    let module = Module::new("cellar").contexts(&[<Cellar as Settings>::CONTEXT]);
    let store = Store::in_memory(Registry::new([module]).unwrap());
    let remarks = |edits| commit(&store, edits).unwrap().remarks;
    assert!(remarks(vec![add(CELLAR, &[("item", "wine")])]).is_empty());
    let both = ["not used by this build: amount, owner"];
    assert_eq!(remarks(vec![set(CELLAR, &["wine"], &[("OWNER", "alice"), ("amount", "7")])]), both);
    assert_eq!(remarks(vec![set(CELLAR, &["wine"], &[("owner", "alice"), ("amount", "7")])]), both);
    assert_eq!(
        remarks(vec![add(CELLAR, &[("item", "coal"), ("amount", "2")])]),
        ["not used by this build: amount"]
    );
    assert_eq!(store.rows::<Cellar>().iter().map(|row| row.amount).collect::<Vec<_>>(), [7, 2]);
    assert!(remarks(vec![set(CELLAR, &["wine"], &[("owner", "")])]).is_empty());
    assert_eq!(remarks(vec![set(CELLAR, &["wine"], &[("owner", "bob")])]), ["not used by this build: owner"]);
    assert!(remarks(vec![delete(CELLAR, &["wine"])]).is_empty());
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let name =
        prop::sample::select(vec!["alice", "bob", "carol", "dave", "", "ALICE", "toolongtoolongtoolong"]);
    let value = prop::sample::select(vec!["1", "13", "66", "100", "x", "", "Red", "secret"]);
    let parameter = prop::sample::select(vec!["name", "floor", "code", "colour", "openSeconds", "none"]);
    let context = prop::sample::select(vec![DOOR, GUESTS, GARDEN, "ADP_CLI/None", ""]);
    prop_oneof![
        (context.clone(), name.clone(), parameter.clone(), value.clone())
            .prop_map(|(context, key, parameter, value)| set(context, &[key], &[(parameter, value)])),
        (context.clone(), parameter, value.clone()).prop_map(|(context, parameter, value)| set(
            context,
            &[],
            &[(parameter, value)]
        )),
        (context.clone(), name.clone(), value)
            .prop_map(|(context, name, floor)| add(context, &[("name", name), ("floor", floor)])),
        (context, name).prop_map(|(context, name)| delete(context, &[name])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is asked: a refusal leaves everything, an acceptance is one revision more, and a process that opens
    /// the same journal later, or rolls back to any revision, sees the same tree.
    #[test]
    fn the_journal_and_the_tree_agree(changes in prop::collection::vec(prop::collection::vec(any_edit(), 1..4), 1..12)) {
        let store = Store::in_memory(house());
        let mut trees = vec![store.current()];
        for edits in changes {
            let before = store.current();
            match commit(&store, edits) {
                Ok(done) => {
                    prop_assert_eq!(done.revision, store.current().revision());
                    if done.revision != before.revision() {
                        prop_assert_eq!(done.revision, before.revision() + 1);
                        trees.push(store.current());
                    }
                }
                Err(problems) => {
                    prop_assert!(!problems.0.is_empty());
                    prop_assert_eq!(store.current(), before);
                }
            }
        }
        let bytes = store.journal().medium.read_from(0).unwrap();
        let mut medium = MemoryMedium::default();
        medium.append_at(0, &bytes).unwrap();
        let again = Store::over(house(), PathBuf::new(), store.machine_key().clone(), None, Box::new(medium));
        again.refresh().unwrap();
        prop_assert_eq!(again.current(), store.current());
        for tree in trees {
            again.rollback(tree.revision(), &Author(String::new()), true, NOW).unwrap();
            let rows = |snapshot: &Snapshot| {
                let contexts = again.registry().contexts();
                contexts.map(|context| snapshot.rows_of(context).to_vec()).filter(|rows| !rows.is_empty()).collect::<Vec<_>>()
            };
            prop_assert_eq!(rows(&again.current()), rows(&tree));
        }
    }
}

#[path = "damage_tests.rs"]
mod damage;
#[path = "rights_tests.rs"]
mod rights;
#[path = "transaction_tests.rs"]
mod transactions;
