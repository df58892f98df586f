//! Who may change what, and what two who change the same are told.

use super::*;
use crate::{Asker, AuditEvent, Rights};

context! {
    /// What only few may touch.
    struct Safe = Context::single(Tree::Adp, "System/Safe").needs(Rights::Administer) => {
        /// What it is locked with.
        lock: String = Parameter::new("lock", Kind::text(1, 20)).default("key");
    }
}

const PEEK: Action = Action {
    name: "peek",
    help: "Looks through the keyhole.",
    arguments: &[],
    run: |_, _| Ok(ActionOutput { query: true, ..ActionOutput::default() }),
};
const STATUS: Action = Action { name: "status", ..PEEK };
const BURN: Action =
    Action { name: "burn", help: "Burns it down.", arguments: &[], run: |_, _| Ok(ActionOutput::default()) };
const KEYHOLE: Context = Context::actions_only(Tree::Adp, "System/Keyhole")
    .actions(&[PEEK, STATUS, BURN])
    .action_needs(&[("peek", Rights::View), ("burn", Rights::Administer)]);

fn safe() -> Registry {
    Registry::new([HOUSE, Module::new("safe").contexts(&[<Safe as Settings>::CONTEXT, &KEYHOLE])]).unwrap()
}

fn by(author: &str, edits: Vec<Edit>, force: bool) -> Change {
    Change { author: Author(author.to_owned()), comment: None, edits, force }
}

fn denied(problems: &Problems) -> bool {
    problems.0.iter().all(|problem| problem.denied)
}

#[test]
fn nobody_does_more_than_they_may_and_every_attempt_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), safe()).unwrap();
    let [viewer, operator, administrator] = Rights::ALL.map(Asker::with);
    let paint = || by("kim", vec![set(DOOR, &[], &[("openSeconds", "20")])], false);
    let lock = || by("kim", vec![set("ADP_CLI/System/Safe", &[], &[("lock", "chain")])], true);
    let commit = |asker: &Asker, change: Change| store.commit_as(asker, &change, None, NOW);
    assert!(denied(&commit(&viewer, paint()).unwrap_err()));
    assert_eq!(commit(&operator, paint()).unwrap().revision, 1);
    // Neither alone nor hidden in a larger change.
    assert!(denied(&commit(&operator, lock()).unwrap_err()));
    let hidden = by("kim", [paint().edits, lock().edits].concat(), true);
    assert!(denied(&commit(&operator, hidden).unwrap_err()));
    assert_eq!(commit(&administrator, lock()).unwrap().revision, 2);
    // Going back changes it too.
    let kim = Author("kim".to_owned());
    assert!(denied(&store.rollback_as(&operator, 0, &kim, true, NOW).unwrap_err()));
    assert!(denied(&store.rollback_as(&viewer, 1, &kim, true, NOW).unwrap_err()));
    assert!(denied(&store.confirm_as(&viewer, &kim, NOW).unwrap_err()));
    let act = |asker: &Asker, action: &str| {
        store.run_action_as(asker, ("ADP_CLI/System/Keyhole", action, &[]), &kim, false, NOW)
    };
    assert!(act(&viewer, "peek").is_ok() && act(&viewer, "Status").is_ok());
    assert!(act(&operator, "peek").is_ok() && act(&administrator, "burn").is_ok());
    assert!(denied(&act(&operator, "burn").unwrap_err()));
    let invite = [Some("eve".to_owned()), None];
    let invite = ("ADP_CLI/System/Doorman", "invite", invite.as_slice());
    assert!(denied(&store.run_action_as(&viewer, invite, &kim, false, NOW).unwrap_err()));
    assert!(store.run_action_as(&operator, invite, &kim, false, NOW).is_ok());
    let entries = store.audit(100).unwrap();
    let refused = entries.iter().filter(|entry| entry.event == AuditEvent::Denied && entry.author == "kim");
    assert_eq!(refused.count(), 8, "{entries:?}");
    assert_eq!(store.verify_audit(OffsetDateTime::UNIX_EPOCH).unwrap().problems, Vec::<String>::new());
}

#[test]
fn who_is_denied_again_and_again_does_not_fill_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), safe()).unwrap();
    let minute = |minute: i64| NOW + time::Duration::minutes(minute);
    for _ in 0..100 {
        store.tell_denied(&Author("kim".to_owned()), "no", minute(0));
    }
    assert_eq!(store.audit(1000).unwrap().len(), 30);
    store.tell_denied(&Author("kim".to_owned()), "no", minute(1));
    assert_eq!(store.audit(1000).unwrap().len(), 31);
}

#[test]
fn two_who_change_the_same_are_told_of_each_other() {
    let store = Store::in_memory(house());
    let door = |name: &str, value: &str| set(DOOR, &[], &[(name, value)]);
    let exclusive = |seen: u64| Asker::with(Rights::Operate).seen(Some(seen), true);
    let commit = |asker: &Asker, change: &Change| store.commit_as(asker, change, None, NOW);
    let secret = by("ann", vec![door("code", "old"), set(GUESTS, &["bob"], &[("floor", "3")])], false);
    commit(&exclusive(0), &secret).unwrap();
    // Ann's change, begun at revision 1, meets what bob did since.
    commit(&exclusive(1), &by("bob", vec![door("openSeconds", "20"), door("code", "bobs")], false)).unwrap();
    let ann = by("ann", vec![door("openSeconds", "30")], false);
    let problems = commit(&exclusive(1), &ann).unwrap_err();
    assert_eq!(
        reasons(&problems),
        ["ADP_CLI/System/Door: bob changed openSeconds in revision 2, after this change was begun"]
    );
    assert!(problems.0[0].forceable && store.get::<Door>().open_seconds == 20);
    // A secret counts as well, and is not told.
    let told = commit(&exclusive(1), &by("ann", vec![door("code", "anns")], false)).unwrap_err();
    assert!(told.to_string().contains("bob changed code") && !told.to_string().contains("bobs"));
    // What touches nothing of it goes through; so does what was begun after it, and what is forced.
    commit(&exclusive(1), &by("ann", vec![door("colour", "Red"), delete(GUESTS, &["alice"])], false))
        .unwrap();
    commit(&exclusive(2), &ann).unwrap();
    commit(&exclusive(1), &by("ann", vec![door("openSeconds", "31")], true)).unwrap();
    // A row that went is one that was changed, and the other way round.
    let gone =
        commit(&exclusive(2), &by("bob", vec![add(GUESTS, &[("name", "alice"), ("floor", "9")])], false));
    assert!(reasons(&gone.unwrap_err())[0].contains("ann changed the entry alice in revision 3"));
    let floor = commit(&exclusive(0), &by("bob", vec![delete(GUESTS, &["BOB"])], false)).unwrap_err();
    assert!(reasons(&floor)[0].contains("ann changed the entry bob in revision 1"), "{floor}");
    // Whoever does not ask to be alone is told.
    let asker = Asker::with(Rights::Operate).seen(Some(4), false);
    let done = commit(&asker, &by("bob", vec![door("openSeconds", "40")], false)).unwrap();
    assert_eq!(done.remarks, ["ann changed openSeconds in revision 5 meanwhile"]);
}
