//! What a request costs that reads a setting: no allocation, and no lock that a writer could hold.
#![expect(clippy::expect_used, reason = "a failing helper fails the test")]

use openadp_settings::{
    Author, Change, Context, Edit, Kind, Module, Parameter, Problem, Registry, Settings, Snapshot, Store,
    Tree, context,
};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

context! {
    /// As many contexts are: a number, a text, something that may be missing.
    struct Hot = Context::single(Tree::Adp, "System/Hot") => {
        /// A number.
        number: u32 = Parameter::new("number", Kind::integer(1, 100)).default("10");
        /// A text.
        text: String = Parameter::new("text", Kind::text(1, 80)).default("a text that is not short");
        /// Something.
        something: Option<String> = Parameter::new("something", Kind::text(1, 80));
    }
}

fn set(number: u32) -> Change {
    Change {
        author: Author("test".to_owned()),
        comment: None,
        edits: vec![Edit::Set {
            context: Hot::CONTEXT.full_path(),
            key: Vec::new(),
            values: BTreeMap::from([("number".to_owned(), Some(number.to_string()))]),
        }],
        force: false,
    }
}

#[test]
fn a_read_allocates_nothing() {
    let module = Module::new("hot").contexts(&[Hot::CONTEXT]);
    let store = Store::in_memory(Registry::new([module]).expect("declared well"));
    let live = store.live::<Hot>();
    let read = || {
        let hot = live.load();
        std::hint::black_box((hot.number, hot.text.len(), hot.something.is_some()));
    };
    // The first read of a thread may set up what all later ones use, and so may the first one after a change.
    read();
    let reads = allocation_counter::measure(|| (0..10_000).for_each(|_| read()));
    assert_eq!(reads.count_total, 0, "{reads:?}");
    // The counter counts.
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total > 0);

    store.commit(&set(11), time::OffsetDateTime::UNIX_EPOCH).expect("accepted");
    read();
    assert_eq!(live.load().number, 11);
    let reads = allocation_counter::measure(|| (0..10_000).for_each(|_| read()));
    assert_eq!(reads.count_total, 0, "{reads:?}");
}

/// Where the check of the tree says that it has begun, and where it waits until it may go on.
static GATE: Mutex<Option<(SyncSender<()>, Receiver<()>)>> = Mutex::new(None);

fn waits(_: &Snapshot) -> Vec<Problem> {
    let gate = GATE.lock().expect("not poisoned").take();
    if let Some((begun, go_on)) = gate {
        begun.send(()).expect("somebody waits");
        go_on.recv().expect("somebody lets it go on");
    }
    Vec::new()
}

#[test]
fn reads_go_on_while_a_change_is_being_made() {
    let module = Module::new("hot").contexts(&[Hot::CONTEXT]).checks(&[waits]);
    let store = Store::in_memory(Registry::new([module]).expect("declared well"));
    let live = store.live::<Hot>();
    let ((begun, has_begun), (go_on, may_go_on)) = (sync_channel(1), sync_channel(1));
    *GATE.lock().expect("not poisoned") = Some((begun, may_go_on));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.commit(&set(12), time::OffsetDateTime::UNIX_EPOCH));
        has_begun.recv().expect("the change is being checked");
        // In the middle of a commit, which holds the lock of all writers.
        for _ in 0..10_000 {
            assert_eq!(live.load().number, 10);
        }
        go_on.send(()).expect("the change goes on");
        writer.join().expect("it ends").expect("accepted");
    });
    assert_eq!(live.load().number, 12);
}
