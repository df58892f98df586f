//! Changes of many edits, and changes that wait for their confirmation.

use super::*;
use crate::MAX_WAIT_MINUTES;
use std::time::Instant;

fn reset(context: &str) -> Edit {
    Edit::Reset { context: context.to_owned() }
}

#[test]
fn problems_name_their_edits_and_come_at_once() {
    let store = Store::in_memory(house());
    let edits = vec![
        set(DOOR, &[], &[("openSeconds", "20")]),
        set(DOOR, &[], &[("openSeconds", "99")]),
        add(GUESTS, &[("name", "alice"), ("floor", "1")]),
        delete(GUESTS, &["nobody"]),
    ];
    let problems = commit(&store, edits).unwrap_err();
    let edits: Vec<_> = problems.0.iter().map(|problem| problem.edit).collect();
    assert_eq!(edits, [Some(1), Some(2), Some(3)]);
    assert_eq!(store.current().revision(), 0);
}

#[test]
fn what_is_emptied_and_put_back_is_no_change() {
    let store = Store::in_memory(house());
    commit(&store, vec![set(GUESTS, &["bob"], &[("code", "s3cret")])]).unwrap();
    let same = vec![
        reset(GUESTS),
        add(GUESTS, &[("name", "alice"), ("floor", "1")]),
        add(GUESTS, &[("name", "bob"), ("floor", "2"), ("code", "********")]),
    ];
    assert_eq!(store.preview(&change(same.clone())).unwrap().edits, []);
    assert_eq!(commit(&store, same).unwrap().revision, 1);
    let done = commit(
        &store,
        vec![
            reset(GUESTS),
            add(GUESTS, &[("name", "bob"), ("floor", "3"), ("code", "********")]),
            add(GUESTS, &[("name", "eve"), ("floor", "4"), ("code", "********")]),
        ],
    )
    .unwrap();
    assert_eq!(done.remarks, ["there is no secret to keep for code; it stays unset"]);
    assert_eq!(guests(&store), ["bob 3", "eve 4"]);
    let codes: Vec<_> = store.rows::<Guest>().into_iter().map(|guest| guest.code).collect();
    assert_eq!((codes[0].expose(), codes[1].expose()), ("s3cret", ""));
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "20")]), reset(DOOR)]).unwrap();
    assert_eq!(store.current().revision(), 2, "a net change of nothing is none");
}

fn at(minutes: i64) -> OffsetDateTime {
    NOW + time::Duration::minutes(1000 + minutes)
}

#[test]
fn a_change_goes_back_unless_it_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), both()).unwrap();
    let edits = vec![
        set(DOOR, &[], &[("openSeconds", "20"), ("colour", "red")]),
        add(GUESTS, &[("name", "eve"), ("floor", "5")]),
        delete(GUESTS, &["alice"]),
        set(GUESTS, &["bob"], &[("floor", "9")]),
        add(GARDEN, &[("plant", "oak")]),
    ];
    let done = store.commit_confirmed(&change(edits), 5, at(0)).unwrap();
    assert_eq!(
        done.remarks.last().unwrap(),
        "goes back at 1970-01-01 16:45:00 UTC unless commit confirm comes before"
    );
    // Somebody else goes on working meanwhile.
    store.commit(&change(vec![set(DOOR, &[], &[("colour", "green")])]), at(1)).unwrap();
    store.commit(&change(vec![add(GUESTS, &[("name", "dan"), ("floor", "6")])]), at(2)).unwrap();
    let again = store.commit_confirmed(&change(vec![reset(DOOR)]), 5, at(2)).unwrap_err();
    assert_eq!(reasons(&again), [": revision 1 is not confirmed yet"]);
    assert_eq!(store.settle(at(4)).unwrap(), None);
    drop(store);
    // The process died; one that does not know all of it carries it out.
    let store = Store::open(dir.path(), house()).unwrap();
    assert_eq!(store.pending().unwrap().revision, 1);
    assert_eq!(store.settle(at(5)).unwrap().unwrap().revision, 4);
    assert_eq!(store.get::<Door>().open_seconds, 10);
    assert_eq!(store.get::<Door>().colour, "Green", "what others changed since stays");
    assert_eq!(guests(&store), ["alice 1", "bob 2", "dan 6"]);
    assert_eq!(store.settle(at(6)).unwrap(), None);
    assert!(store.confirm(&Author("x".to_owned()), at(6)).is_err());
    let all = Store::open(dir.path(), both()).unwrap();
    let plants: Vec<_> = all.rows::<Garden>().into_iter().map(|row| row.plant).collect();
    assert_eq!(plants, ["rose", "tulip"]);
    let last = all.revisions(4..=4).unwrap().remove(0);
    assert_eq!((last.author.0.as_str(), last.settles), ("openadp", Some(1)));
}

#[test]
fn a_confirmed_change_and_one_that_was_given_up_stay_as_they_are() {
    let store = Store::in_memory(house());
    let author = Author("x".to_owned());
    let edit = || change(vec![set(DOOR, &[], &[("openSeconds", "20")])]);
    store.commit_confirmed(&edit(), 1, at(0)).unwrap();
    assert_eq!(store.confirm(&author, at(0)).unwrap().revision, 2);
    assert_eq!(store.settle(at(9)).unwrap(), None);
    assert_eq!(store.get::<Door>().open_seconds, 20);
    store.commit(&change(vec![reset(DOOR)]), at(10)).unwrap();
    store.commit_confirmed(&edit(), 1, at(10)).unwrap();
    store.rollback(3, &author, false, at(10)).unwrap();
    assert_eq!(store.pending(), None);
    for minutes in [0, MAX_WAIT_MINUTES + 1] {
        assert!(store.commit_confirmed(&edit(), minutes, at(11)).is_err());
    }
    // A change that changes nothing has nothing to confirm.
    store.commit_confirmed(&change(vec![reset(DOOR)]), 1, at(11)).unwrap();
    assert_eq!(store.pending(), None);
}

#[test]
fn a_clock_that_jumps_never_makes_the_wait_longer() {
    for (later, over) in [(0, false), (4, false), (5, true), (60 * 24 * 365, true), (-1, false), (-2, true)] {
        let store = Store::in_memory(house());
        store.commit_confirmed(&change(vec![set(DOOR, &[], &[("openSeconds", "20")])]), 5, at(0)).unwrap();
        assert_eq!(store.settle(at(later)).unwrap().is_some(), over, "{later} minutes");
    }
}

#[test]
fn whoever_changes_something_next_takes_it_back_first() {
    let store = Store::in_memory(house());
    store.commit_confirmed(&change(vec![set(DOOR, &[], &[("openSeconds", "20")])]), 5, at(0)).unwrap();
    let done = store.commit(&change(vec![set(DOOR, &[], &[("code", "1")])]), at(7)).unwrap();
    assert_eq!((done.revision, store.get::<Door>().open_seconds), (3, 10));
}

#[test]
fn ten_thousand_entries_are_one_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), house()).unwrap();
    let names: Vec<String> = (0..9_998).map(|number| format!("guest {number}")).collect();
    let edits = names.iter().map(|name| add(GUESTS, &[("name", name), ("floor", "1")])).collect();
    let start = Instant::now();
    assert_eq!(commit(&store, edits).unwrap().revision, 1);
    // Many times what it takes, so that only a search of every row for every row would fail.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    let edits = names.iter().map(|name| set(GUESTS, &[name], &[("floor", "2")])).collect();
    commit(&store, edits).unwrap();
    assert_eq!(Store::open(dir.path(), house()).unwrap().current(), store.current());
    commit(&store, names.iter().map(|name| delete(GUESTS, &[name])).collect()).unwrap();
    assert_eq!(guests(&store), ["alice 1", "bob 2"]);
    store.rollback(2, &Author("x".to_owned()), false, NOW).unwrap();
    assert_eq!(store.rows::<Guest>().len(), 10_000);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
