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

#[test]
fn a_store_that_cannot_be_used_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings/revisions.jsonl");
    let store = Store::open(dir.path(), house()).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "20")])]).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "30")])]).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    let told = || Store::open(dir.path(), house()).err().map(|error| error.to_string()).unwrap_or_default();
    std::fs::write(&path, good.replacen("20", "21", 1)).unwrap();
    assert!(
        told().contains("a line with a wrong checksum") && told().contains("put a copy of it back"),
        "{}",
        told()
    );
    // As a newer release would write it: another format, and a checksum that is right.
    let first = good.lines().next().unwrap();
    let newer = first.split(",\"sum\"").next().unwrap().replacen("\"format\":1", "\"format\":2", 1);
    let sum = crate::machine_key::hex(
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, newer.as_bytes()).as_ref(),
    );
    std::fs::write(&path, format!("{newer},\"sum\":\"{}\"}}\n", sum.as_str())).unwrap();
    assert!(told().contains("a newer release wrote it, so use that one here"), "{}", told());
    let refused = |kind: io::ErrorKind| OpenError::Io { path: path.clone(), source: kind.into() }.to_string();
    assert!(refused(io::ErrorKind::ReadOnlyFilesystem).ends_with("mount it for writing and try again"));
    assert!(refused(io::ErrorKind::StorageFull).ends_with("make room and try again"));
    assert!(refused(io::ErrorKind::PermissionDenied).ends_with("the owner of the data directory"));
}

/// A disk on which the process is killed at one of the steps of writing: everything after it fails.
struct Killing {
    bytes: Arc<Mutex<Vec<u8>>>,
    steps: Arc<Mutex<u32>>,
}

impl Killing {
    /// Whether the process is still there for this step.
    fn step(&self) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap();
        *steps = steps.checked_sub(1).ok_or(io::ErrorKind::Interrupted)?;
        Ok(())
    }
}

impl Medium for Killing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }
    fn read_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        Ok(self.bytes.lock().unwrap()[usize::try_from(offset).unwrap()..].to_vec())
    }
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let half = bytes.len() / 2;
        for part in [&bytes[..half], &bytes[half..]] {
            self.step()?;
            let mut all = self.bytes.lock().unwrap();
            if part.as_ptr() == bytes.as_ptr() {
                all.truncate(usize::try_from(offset).unwrap());
            }
            all.extend_from_slice(part);
        }
        self.step() // the sync
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.step()?;
        self.bytes.lock().unwrap().truncate(usize::try_from(len).unwrap());
        self.step() // the sync
    }
}

#[test]
fn killed_at_each_step_of_a_commit_it_is_whole_or_not_there() {
    let (bytes, steps) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(u32::MAX)));
    let key = MachineKey::ephemeral().unwrap();
    let open = || {
        let medium = Killing { bytes: bytes.clone(), steps: steps.clone() };
        let store = Store::over(house(), PathBuf::new(), key.clone(), None, Box::new(medium));
        store.refresh().unwrap();
        store
    };
    let edits = |seconds: &str| vec![set(DOOR, &[], &[("openSeconds", seconds)]), delete(GUESTS, &["alice"])];
    let mut outcomes = Vec::new();
    for kill in 0..10 {
        bytes.lock().unwrap().clear();
        *steps.lock().unwrap() = u32::MAX;
        commit(&open(), vec![set(DOOR, &[], &[("openSeconds", "20")])]).unwrap();
        *steps.lock().unwrap() = kill;
        let accepted = commit(&open(), edits("30")).is_ok();
        *steps.lock().unwrap() = u32::MAX;
        let after = open();
        let seconds = after.get::<Door>().open_seconds;
        let whole = (seconds, after.rows::<Guest>().len());
        assert!(whole == (20, 2) || whole == (30, 1), "killed at step {kill}: {whole:?}");
        assert!(!accepted || seconds == 30, "what was accepted stays; step {kill}");
        // Whatever was left behind, the next change goes in after it.
        commit(&after, vec![set(DOOR, &[], &[("openSeconds", "40")])]).unwrap();
        assert_eq!(open().get::<Door>().open_seconds, 40, "step {kill}");
        outcomes.push(accepted);
    }
    assert!(!outcomes[0] && outcomes[9], "{outcomes:?}");
}

#[test]
fn a_revision_whose_maker_was_killed_is_told_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), house()).unwrap();
    for seconds in ["20", "21", "22"] {
        commit(&store, vec![set(DOOR, &[], &[("openSeconds", seconds)])]).unwrap();
    }
    let path = dir.path().join("settings/audit.jsonl");
    let log = std::fs::read_to_string(&path).unwrap();
    let later = OffsetDateTime::UNIX_EPOCH;
    let first = |lines: usize| log.split_inclusive('\n').take(lines).collect::<String>();
    // As after a kill between the revision and its line.
    std::fs::write(&path, first(2)).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "23")])]).unwrap();
    let entries = store.audit(9).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(),
        [Some(1), Some(2), Some(3), Some(4)]
    );
    assert!(entries[2].reason.as_ref().is_some_and(|reason| reason.contains("told late")), "{entries:?}");
    assert_eq!(store.verify_audit(later).unwrap().problems, Vec::<String>::new());
    // So it is when somebody looks before the next change.
    std::fs::write(&path, first(3)).unwrap();
    assert_eq!(store.verify_audit(later).unwrap().problems, Vec::<String>::new());
    let last = store.audit(1).unwrap().remove(0);
    assert!(last.revision == Some(4) && last.reason.is_some_and(|reason| reason.contains("told late")));
    // Two cannot be lost to a kill: they were taken out.
    std::fs::write(&path, first(1)).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("openSeconds", "24")])]).unwrap();
    assert_eq!(store.verify_audit(later).unwrap().problems.len(), 1);
}
