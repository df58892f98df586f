//! The tree as a file, where values come from, and the forms of answers.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{Guest, Script, house, session, type_lines};
use openadp_appserver::{Clock, SystemClock};
use openadp_cli::{Format, Installation, Options, Session, modules};
use openadp_settings::{Author, Change, Edit, Registry, Store};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

fn typed_with(data_dir: &Path, options: Options, lines: &str) -> String {
    type_lines(
        &mut session(data_dir, &house(), options),
        &mut Script { interactive: true, ..Script::default() },
        lines,
    )
}

fn typed(data_dir: &Path, lines: &str) -> String {
    typed_with(data_dir, Options::default(), lines)
}

fn imported(data_dir: &Path, file: &str) -> String {
    let mut session = session(data_dir, &house(), Options::default());
    let text = std::fs::read_to_string(file).unwrap();
    let mut script = Script { interactive: true, ..Script::default() };
    script.files.insert("given", Box::leak(text.into_boxed_str()));
    type_lines(&mut session, &mut script, "import given check\nimport given")
}

const MADE: &str = "House/Door
    set openSeconds 2 code s3cret comment \"with; \\\"odd\\\" words\"
    Guests> add ann 1 true remark \"likes blue\"
    Guests> add \"bob the builder\" 2 false code own
    AS_CLI/Street/Neighbours> add eve";

#[test]
fn the_tree_is_written_as_commands() {
    let dir = tempfile::tempdir().unwrap();
    typed(dir.path(), MADE);
    insta::assert_snapshot!(typed(
        dir.path(),
        "export
        export House/Door/Guests
        House
        export .
        export nowhere /tmp/x
        export /proc/nowhere/file
        import
        import /nowhere
        import /nowhere now"
    ));
}

#[test]
fn what_is_imported_is_what_was_exported() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |name: &str| one.path().join(name).to_str().unwrap().to_owned();
    let (plain, sealed) = (file("plain.adpcli"), file("sealed.adpcli"));
    typed(one.path(), MADE);
    typed(one.path(), &format!("export {plain}\nexport {sealed} -s"));
    for file in [&plain, &sealed] {
        let text = imported(one.path(), file);
        assert!(!text.contains("(exit") && text.contains("Nothing would change."), "{text}");
    }
    assert_eq!(Store::open(one.path(), house()).unwrap().current().revision(), 4);
    for file in [&plain, &sealed] {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains("s3cret") && !text.contains("own"), "{text}");
    }
    // Elsewhere the secrets are not known, and the answer says so; other entries go.
    std::fs::create_dir_all(two.path()).unwrap();
    typed(two.path(), "House/Door/Guests> add old 9 true");
    let text = imported(two.path(), &sealed);
    assert!(text.contains("House/Door code: it is sealed by another installation"), "{text}");
    let text = imported(two.path(), &plain);
    assert!(text.contains("  - name = old"), "{text}");
    assert!(text.contains("there is no secret to keep for code; it stays unset"), "{text}");
    let (one, two) = (Store::open(one.path(), house()).unwrap(), Store::open(two.path(), house()).unwrap());
    let names =
        |store: &Store| -> Vec<String> { store.rows::<Guest>().into_iter().map(|row| row.name).collect() };
    assert_eq!(names(&one), names(&two));
    assert_eq!(two.current().revision(), 2);
}

#[test]
fn all_wrong_lines_of_an_import_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script { interactive: true, ..Script::default() };
    script.files.insert(
        "wrong",
        "# a remark
        begin
        ADP_CLI/House/Door> get
        ADP_CLI/House/Door> set nonsense 2
        ADP_CLI/House/Nowhere> reset
        ADP_CLI/House> reset
        ADP_CLI/House/Door> set openSeconds 5; exit
        ADP_CLI/House/Keys> count
        ADP_CLI/House/Door> set openSeconds 5",
    );
    script
        .files
        .insert("values", "ADP_CLI/House/Door> set openSeconds 500\nADP_CLI/House/Door/Guests> delete ann 1");
    script
        .files
        .insert("keys", "ADP_CLI/House/Keys> reset\nADP_CLI/House/Keys> add home base64:Zm9yIG1lCg==");
    let mut session = session(dir.path(), &house(), Options::default());
    insta::assert_snapshot!(type_lines(
        &mut session,
        &mut script,
        "import wrong
        import values
        House/Door> get openSeconds
        import keys
        House/Keys> get
        begin
        import keys
        abort"
    ));
}

#[test]
fn why_a_value_is_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |seconds| time::OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
    let store = Store::open(dir.path(), house()).unwrap();
    let values =
        |name: &str, value: Option<&str>| BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
    let change = |author: &str, name: &str, value: Option<&str>| {
        let context = "ADP_CLI/House/Door".to_owned();
        let edits = vec![Edit::Set { context, key: Vec::new(), values: values(name, value) }];
        Change { author: Author(author.to_owned()), comment: None, edits, force: false }
    };
    store.commit(&change("ann", "openSeconds", Some("2")), at(0)).unwrap();
    store.commit(&change("bob", "code", Some("1234")), at(60)).unwrap();
    store.commit(&change("carol", "colour", Some("red")), at(120)).unwrap();
    store.commit(&change("dan", "colour", None), at(180)).unwrap();
    insta::assert_snapshot!(typed(
        dir.path(),
        "why
        House/Door
        why
        why openSecs
        why code
        why colour
        why enabled
        why nonsense
        why a b
        /House/Keys> why home alias
        /House/Keys> why alias
        why /House/Keys home alias
        why /House/Door colour
        cd /House
        why Door colour
        why Keys home alias
        why Nowhere colour
        why Door/get colour
        get"
    ));
}

#[test]
fn rows_with_commas() {
    let dir = tempfile::tempdir().unwrap();
    typed(dir.path(), MADE);
    let csv = Options { format: Format::Csv, ..Options::default() };
    insta::assert_snapshot!(typed_with(
        dir.path(),
        csv,
        "House/Door
        get
        Guests> get
        Guests> get ann
        Guests> detail ann 1
        /House/Keys> get
        /House/Keys> get -e
        diff 2 3
        why enabled
        set openSeconds 100
        set openSeconds 3
        config"
    ));
}

/// The real tree: what is exported is imported without a difference.
#[test]
fn the_whole_real_tree_goes_out_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new(modules()).unwrap();
    let backend = Installation::new(dir.path(), registry.clone());
    let mut session = Session::new(&registry, Box::new(backend), Options::default());
    let mut script = Script { interactive: true, ..Script::default() };
    let file = dir.path().join("all.adpcli").to_str().unwrap().to_owned();
    let text = type_lines(&mut session, &mut script, &format!("export {file}"));
    assert!(text.contains("...Done ["), "{text}");
    let exported = std::fs::read_to_string(&file).unwrap();
    script.files.insert("all", Box::leak(exported.into_boxed_str()));
    let text = type_lines(&mut session, &mut script, "import all check\nimport all");
    assert!(text.contains("Nothing would change.") && !text.contains("(exit"), "{text}");
    assert_eq!(Store::open(dir.path(), registry).unwrap().current().revision(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_value_survives_the_way_out_and_back(comment in "[^\\p{Cc}]{1,40}", engraving in "\\PC*\n?", secret in "[^\\p{Cc}]{1,40}") {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), house()).unwrap();
        let edits = vec![
            Edit::Set {
                context: "ADP_CLI/House/Door".to_owned(),
                key: Vec::new(),
                values: [("comment", comment), ("code", secret)].map(|(name, value)| (name.to_owned(), Some(value))).into(),
            },
            Edit::Add {
                context: "ADP_CLI/House/Keys".to_owned(),
                values: [("alias", "home".to_owned()), ("engraving", engraving)].map(|(name, value)| (name.to_owned(), value)).into(),
            },
        ];
        let change = Change { author: Author("x".to_owned()), comment: None, edits, force: false };
        store.commit(&change, SystemClock.now()).unwrap();
        let before = store.current();
        let text = store.export(None, true).unwrap().join("\n");
        let edits = ["ADP_CLI/House/Door", "ADP_CLI/House/Keys"];
        let edits = edits.map(|context| Edit::Reset { context: context.to_owned() }).to_vec();
        store.commit(&Change { edits, ..change }, SystemClock.now()).unwrap();
        let mut script = Script::default();
        script.files.insert("all", Box::leak(text.into_boxed_str()));
        let shown = type_lines(&mut session(dir.path(), &house(), Options::default()), &mut script, "import all");
        store.refresh().unwrap();
        let after = store.current();
        for context in house().contexts() {
            prop_assert_eq!(after.rows_of(context), before.rows_of(context), "{}", shown);
        }
    }
}
