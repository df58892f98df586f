//! Searches of directories beside a model of them that looks at everybody, one after the other.

mod support;

use openadp_appserver::conformance::{ALICE, ENTERPRISE, Fixture as _};
use openadp_appserver::{
    DirectoryQuery, DirectoryScope, PhoneListEntry, PortError, Profile, SearchTerm, UserId,
};
use openadp_appserver_embedded::{NewSubscriber, PhoneListOwner};
use openadp_settings::Secret;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::{Node, set, subscriber};

/// Names that are alike in every way that a search tells apart.
const NAMES: &[&str] = &[
    "Ann",
    "ANNA",
    "anna",
    "Joanna",
    "Muñoz",
    "MUÑOZ",
    "Öst",
    "O'Neil",
    "a*b",
    "x\"y\"z",
    "de la Cruz",
    "Li",
    "ΣΑΣ",
];
const FIELDS: &[&str] = &[
    "firstName",
    "lastName",
    "name",
    "userId",
    "groupId",
    "number",
    "extension",
    "mobileNo",
    "department",
    "emailAddress",
    "title",
    "nothing",
];

fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether a value fits a pattern with `*` at either end.
fn matches(value: &str, pattern: &str, ignore_case: bool) -> bool {
    let (value, pattern) =
        if ignore_case { (folded(value), folded(pattern)) } else { (value.to_owned(), pattern.to_owned()) };
    let (open_start, open_end) = (pattern.starts_with('*'), pattern.len() > 1 && pattern.ends_with('*'));
    let text = pattern.strip_prefix('*').unwrap_or(&pattern);
    let text = if open_end { text.strip_suffix('*').unwrap_or(text) } else { text };
    match (open_start, open_end) {
        (true, true) => value.contains(text),
        (true, false) => value.ends_with(text),
        (false, true) => value.starts_with(text),
        (false, false) => value == text,
    }
}

fn fits(entry: &Profile, term: &SearchTerm) -> bool {
    let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
    let is_number = matches!(term.field.as_str(), "number" | "mobileNo");
    let values = match term.field.as_str() {
        "firstName" => vec![entry.first_name.clone()],
        "lastName" => vec![entry.last_name.clone()],
        "name" => vec![
            entry.first_name.clone(),
            entry.last_name.clone(),
            format!("{} {}", entry.first_name, entry.last_name),
            format!("{} {}", entry.last_name, entry.first_name),
        ],
        "userId" => vec![entry.user_id.clone()],
        "groupId" => vec![entry.group_id.clone()],
        "number" => one(&entry.number),
        "extension" => one(&entry.extension),
        "mobileNo" => one(&entry.mobile),
        "department" => one(&entry.department),
        "emailAddress" => one(&entry.email_address),
        "title" => one(&entry.title),
        _ => Vec::new(),
    };
    let plain = |text: &str| text.replace(['-', ' ', '+'], "");
    term.patterns.iter().any(|pattern| {
        values.iter().any(|value| {
            if is_number {
                matches(&plain(value), &plain(pattern), false)
            } else {
                matches(value, pattern, term.ignore_case)
            }
        })
    })
}

fn people() -> Vec<NewSubscriber> {
    (0..90_usize)
        .map(|n| {
            let name = |n: usize| NAMES[n % NAMES.len()].to_owned();
            NewSubscriber {
                user_id: UserId::new(&format!("u{n}@acme.example")),
                group: if n % 3 == 0 { "north" } else { "south" }.to_owned(),
                first_name: name(n / 7),
                last_name: name(n),
                number: Some(format!("+1212777{n:04}")),
                extension: Some(format!("7{n:03}")),
                mobile: (n % 2 == 0).then(|| format!("+1-917-555-{n:04}")),
                email_address: (n % 4 != 0).then(|| format!("{}.{n}@Acme.example", name(n).replace(' ', ""))),
                title: (n % 5 == 0).then(|| format!("Engineer {}", name(n))),
                department: (n % 6 != 0).then(|| format!("R&D {}", n % 4)),
                password: Secret::new("one password for all"),
                ..subscriber(&ALICE)
            }
        })
        .collect()
}

/// A pattern: a piece of something that somebody has, or of nothing, with wildcards.
fn pattern() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "ann",
        "Ann",
        "ANNA",
        "an",
        "a",
        "uño",
        "ÑO",
        "o'n",
        "a*b",
        "\"",
        "\"y\"",
        "la c",
        "anna li",
        "Öst",
        "σα",
        "σας",
        "u1",
        "@acme",
        "acme.EXAMPLE",
        "south",
        "+1-212-777",
        "2127",
        "70",
        "7001",
        "917",
        "R&D 1",
        "d 1",
        "engineer",
        "",
        "zzz",
        "anna ann",
        "x\"y\"z",
    ]);
    (any::<bool>(), words, any::<bool>()).prop_map(|(start, word, end)| {
        format!("{}{word}{}", if start { "*" } else { "" }, if end { "*" } else { "" })
    })
}

fn term() -> impl Strategy<Value = SearchTerm> {
    (prop::sample::select(FIELDS.to_vec()), prop::collection::vec(pattern(), 0..3), any::<bool>()).prop_map(
        |(field, patterns, ignore_case)| SearchTerm { field: field.to_owned(), patterns, ignore_case },
    )
}

#[tokio::test]
async fn what_the_store_finds_is_what_a_look_at_everybody_finds() {
    let node = Node::new().await;
    node.one.server.provisioning().put_subscribers(&people()).await.expect("made");
    let port = node.ports().directory;
    let look =
        async |scope, query: &DirectoryQuery| port.directory(&ALICE.id(), scope, query).await.expect("found");
    let mut runner = TestRunner::deterministic();
    for round in 0..400 {
        let scope = if round % 4 == 0 { DirectoryScope::Group } else { DirectoryScope::Enterprise };
        let everybody = look(scope, &DirectoryQuery::page(1, 1_000)).await;
        assert_eq!(everybody.total, everybody.entries.len());
        let terms = prop::collection::vec(term(), 1..4).new_tree(&mut runner).expect("a search").current();
        let any_term = round % 2 == 0;
        let query = DirectoryQuery { terms, any_term, ..DirectoryQuery::page(1, 1_000) };
        let expected: Vec<&Profile> = everybody
            .entries
            .iter()
            .filter(|entry| {
                let mut fitting = query.terms.iter().map(|term| fits(entry, term));
                if any_term { fitting.any(|fits| fits) } else { fitting.all(|fits| fits) }
            })
            .collect();
        let found = look(scope, &query).await;
        assert_eq!(found.entries.iter().collect::<Vec<_>>(), expected, "{query:?}");
        assert_eq!(found.total, expected.len());
        let middle = DirectoryQuery { start: 3, results: 2, ..query };
        let page = look(scope, &middle).await;
        let cut: Vec<&Profile> = expected.iter().skip(2).take(2).copied().collect();
        assert_eq!(
            (page.entries.iter().collect::<Vec<_>>(), page.total),
            (cut, expected.len()),
            "{middle:?}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn directories_follow_those_who_come_change_and_go() {
    let node = Node::new().await;
    let provisioning = node.one.server.provisioning();
    let port = node.second().directory;
    let count = async |pattern: &str, scope| {
        let terms = vec![SearchTerm {
            field: "name".to_owned(),
            patterns: vec![pattern.to_owned()],
            ignore_case: true,
        }];
        let found = DirectoryQuery { terms, ..DirectoryQuery::page(1, 50) };
        let all = port.directory(&ALICE.id(), scope, &DirectoryQuery::page(1, 1)).await.expect("read").total;
        (port.directory(&ALICE.id(), scope, &found).await.expect("read").total, all)
    };
    let mut new = NewSubscriber {
        user_id: UserId::new("zoe@acme.example"),
        first_name: "Zoë".to_owned(),
        last_name: "Winterbottom".to_owned(),
        number: None,
        extension: None,
        ..subscriber(&ALICE)
    };
    provisioning.put_subscriber(&new).await.expect("made");
    assert_eq!(count("*winter*", DirectoryScope::Group).await, (1, 4));
    new.last_name = "Sommer".to_owned();
    new.group = "south".to_owned();
    provisioning.put_subscriber(&new).await.expect("changed");
    assert_eq!(count("*winter*", DirectoryScope::Enterprise).await, (0, 5));
    assert_eq!(count("ZOË sommer", DirectoryScope::Enterprise).await, (1, 5));
    assert_eq!(count("*somm*", DirectoryScope::Group).await, (0, 3), "gone from the group");
    provisioning.delete_subscriber(&new.user_id).await.expect("deleted");
    assert_eq!(count("*somm*", DirectoryScope::Enterprise).await, (0, 4));
    node.stop().await;
}

#[tokio::test]
async fn a_phone_list_has_a_bound() {
    let node = Node::new().await;
    set(&node.settings, "AS_CLI/System/Directories", &[("maximumPhoneListEntries", "2")]);
    let provisioning = node.one.server.provisioning();
    let owner = PhoneListOwner::Enterprise { provider: ENTERPRISE.to_owned() };
    let entry = |name: &str| PhoneListEntry { name: name.to_owned(), number: "1".to_owned() };
    provisioning.put_phone_entries(&owner, &[entry("a"), entry("b")]).await.expect("put");
    let more = provisioning.put_phone_entries(&owner, &[entry("b"), entry("c")]).await;
    assert!(matches!(more, Err(PortError::LimitReached { .. })), "{more:?}");
    provisioning.remove_phone_entry(&owner, "a").await.expect("removed");
    provisioning.put_phone_entries(&owner, &[entry("b"), entry("c")]).await.expect("room again");
    let nobody = PhoneListOwner::Enterprise { provider: "nobody".to_owned() };
    let refused = provisioning.put_phone_entries(&nobody, &[entry("a")]).await;
    assert!(matches!(refused, Err(PortError::NotFound { .. })), "{refused:?}");
    for (name, number) in [("", "1"), ("x", ""), ("x", "<b>"), ("x\n", "1")] {
        let bad = PhoneListEntry { name: name.to_owned(), number: number.to_owned() };
        let refused = provisioning.put_phone_entries(&owner, &[bad]).await;
        assert!(matches!(refused, Err(PortError::Invalid { .. })), "{name:?} {number:?}");
    }
    node.stop().await;
}
