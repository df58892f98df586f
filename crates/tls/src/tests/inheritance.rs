//! style.md 6: resolving twice changes nothing; clearing a level equals never setting it; setting a general level
//! never changes a more specific one that is set.
use super::*;
use proptest::prelude::*;

const LEVELS: [&str; 4] = [
    "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers",
    "ADP_CLI/System/SSLCommonSettings/OpenSSL/Ciphers",
    "ADP_CLI/Interface/Http/SSLCommonSettings/Ciphers",
    "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Ciphers",
];

fn list() -> impl Strategy<Value = Vec<usize>> {
    proptest::sample::subsequence((0..suites::SUITES.len()).collect::<Vec<_>>(), 0..4)
}

/// Edits that set a level's list; `level` counts from the most general one.
fn set(level: usize, list: &[usize]) -> Vec<Edit> {
    list.iter()
        .map(|index| {
            let name = suites::SUITES[*index].name;
            if level == 3 { own_cipher(name) } else { add(LEVELS[level], &[("cipher", name)]) }
        })
        .collect()
}

fn clear(snapshot: &openadp_settings::Snapshot, store: &Store, level: usize) -> Vec<Edit> {
    let context = store.registry().context(LEVELS[level]).unwrap();
    snapshot
        .rows_of(context)
        .iter()
        .map(|row| Edit::Delete {
            context: LEVELS[level].to_owned(),
            key: row.key(context).into_iter().map(str::to_owned).collect(),
        })
        .collect()
}

fn names(list: &[usize]) -> Vec<String> {
    list.iter().map(|index| suites::SUITES[*index].name.to_owned()).collect()
}

fn store_with(lists: &[Vec<usize>]) -> Arc<Store> {
    let store = Store::in_memory(Registry::new([MODULE]).unwrap());
    let mut edits = clear(&store.current(), &store, 0);
    for (level, list) in lists.iter().enumerate() {
        edits.extend(set(level, list));
    }
    commit(&store, edits);
    store
}

fn commit(store: &Store, edits: Vec<Edit>) {
    if !edits.is_empty() {
        let change = Change { author: Author("test".into()), comment: None, edits, force: true };
        store.commit(&change, now()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_most_specific_list_supplies_the_whole(lists in proptest::collection::vec(list(), 4)) {
        let store = store_with(&lists);
        let snapshot = store.current();
        let once = resolve(&snapshot, &interface());
        prop_assert_eq!(&once, &resolve(&snapshot, &interface()));
        let nearest = lists.iter().rev().find(|list| !list.is_empty());
        prop_assert_eq!(once.ciphers.from == Level::Provider, nearest.is_none());
        if let Some(nearest) = nearest {
            prop_assert_eq!(&once.ciphers.value, &names(nearest));
        }
    }

    #[test]
    fn clearing_a_level_equals_never_setting_it(lists in proptest::collection::vec(list(), 4), level in 0usize..4) {
        let store = store_with(&lists);
        commit(&store, clear(&store.current(), &store, level));
        let mut never = lists;
        never[level].clear();
        prop_assert_eq!(
            resolve(&store.current(), &interface()),
            resolve(&store_with(&never).current(), &interface())
        );
    }

    #[test]
    fn a_general_level_never_changes_a_more_specific_one(
        mut lists in proptest::collection::vec(list(), 4),
        general in 0usize..3,
        other in list(),
    ) {
        let before = resolve(&store_with(&lists).current(), &interface());
        let more_specific = lists[general + 1..].iter().any(|list| !list.is_empty());
        lists[general] = other;
        let after = resolve(&store_with(&lists).current(), &interface());
        if more_specific {
            prop_assert_eq!(before, after);
        }
    }
}
