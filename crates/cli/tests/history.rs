//! What the history keeps, and what it must not.

mod common;

use common::{Script, house, session, type_lines};
use openadp_cli::Options;

#[test]
fn no_line_with_a_secret_is_kept_whatever_became_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut session = session(dir.path(), &house(), Options::default());
    let mut script = Script { files: [("key", "x")].into(), ..Script::default() };
    type_lines(
        &mut session,
        &mut script,
        "House/Door> set code planted
         House> set code planted
         bogus/Door> set CODE planted
         set code = planted
         House/Door> set cod planted
         House;Door;set code planted;bogus
         House/Keys> cutKey a key true passphrase planted
         House> cutKey a key true passphrase planted
         House/Door> get code
         House/Door> clear code
         history",
    );
    let kept = session.typed();
    assert!(kept.iter().all(|line| !line.contains("planted")), "{kept:?}");
    assert_eq!(kept, ["House/Door> get code", "House/Door> clear code", "history"]);
    // What was not kept cannot be repeated either.
    let repeated = type_lines(&mut session, &mut Script::default(), "repeat 1");
    assert!(repeated.contains("House/Door> get code"), "{repeated}");
}
