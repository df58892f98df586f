//! Profiles, directories, phone lists, custom contact directories.

use super::{ALICE, BO, CAROL, DAN, ENTERPRISE, EVE, Fixture, good, invalid, nobody, not_found};
use crate::{DirectoryQuery, DirectoryScope, PhoneList, PhoneListEntry, SearchTerm};

pub(super) fn search(field: &str, patterns: &[&str], ignore_case: bool) -> SearchTerm {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    SearchTerm { field: field.to_owned(), patterns, ignore_case }
}

fn query(start: usize, results: usize, terms: &[SearchTerm], any_term: bool) -> DirectoryQuery {
    DirectoryQuery { terms: terms.to_vec(), any_term, ..DirectoryQuery::page(start, results) }
}

fn sorted(column: &str) -> DirectoryQuery {
    DirectoryQuery { sort: Some(column.to_owned()), ..DirectoryQuery::page(1, 50) }
}

/// Profiles and directories.
pub async fn directory(fixture: &dyn Fixture) {
    let port = fixture.ports().directory;
    let profile = good(port.profile(&CAROL.id()).await);
    assert_eq!(
        (profile.first_name.as_str(), profile.last_name.as_str(), profile.number.as_deref()),
        (CAROL.first_name, CAROL.last_name, Some(CAROL.number))
    );
    assert!(profile.is_enterprise);
    assert!(!good(port.profile(&EVE.id()).await).is_enterprise);
    not_found(port.profile(&nobody()).await);

    let ids = async |scope, query: DirectoryQuery| {
        let page = good(port.directory(&ALICE.id(), scope, &query).await);
        let ids: Vec<String> = page.entries.into_iter().map(|entry| entry.user_id).collect();
        (ids, page.total)
    };
    let everybody = [ALICE, DAN, BO, CAROL].map(|person| person.user_id.to_owned()).to_vec();
    let north = [ALICE, BO, CAROL].map(|person| person.user_id.to_owned()).to_vec();
    let enterprise = DirectoryScope::Enterprise;
    assert_eq!(ids(enterprise, query(1, 50, &[], false)).await, (everybody.clone(), 4), "ordered by name");
    assert_eq!(ids(DirectoryScope::Group, query(1, 50, &[], false)).await, (north, 3));
    assert_eq!(ids(enterprise, query(2, 2, &[], false)).await, (everybody[1..3].to_vec(), 4));
    assert_eq!(ids(enterprise, query(9, 2, &[], false)).await, (Vec::new(), 4));
    let carters = [search("lastName", &["carter"], true)];
    assert_eq!(ids(enterprise, query(1, 1, &carters, false)).await, (everybody[..1].to_vec(), 2));
    assert_eq!(ids(enterprise, query(9, 1, &carters, false)).await, (Vec::new(), 2), "counted all the same");
    assert_eq!(ids(enterprise, query(1, 0, &carters, false)).await, (Vec::new(), 2));
    assert_eq!(ids(enterprise, query(1, 9, &[search("lastName", &["carter"], false)], false)).await.1, 0);
    let both = [search("lastName", &["Car*"], false), search("firstName", &["Dan", "Bo"], false)];
    assert_eq!(ids(enterprise, query(1, 9, &both, false)).await, (vec![DAN.user_id.to_owned()], 1));
    assert_eq!(ids(enterprise, query(1, 9, &both, true)).await.1, 3);
    for (field, pattern, ignore_case, found) in [
        ("lastName", "*ÑOZ*", true, 1),
        ("lastName", "*ÑOZ*", false, 0),
        ("lastName", "*ñ*", false, 1),
        ("lastName", "*", false, 4),
        ("lastName", "", false, 0),
        ("number", "*5550103", false, 1),
        ("number", "+1-212-555-0103", false, 1),
        ("extension", "210*", false, 4),
        ("extension", "*3", false, 1),
        ("name", "Alice Carter", false, 1),
        ("name", "Carter Alice", false, 1),
        ("name", "carter", true, 2),
        ("name", "*ce ca*", true, 1),
        ("name", "al*", true, 1),
        ("name", "al*", false, 0),
        ("userId", "*@acme*", false, 4),
        ("userId", "dan@acme.example", false, 1),
        ("groupId", "SOUTH", true, 1),
        ("groupId", "*o*", false, 4),
        ("emailAddress", "*", false, 0),
        ("impId", "*", false, 0),
        ("pager", "*", false, 0),
        ("shoeSize", "*", false, 0),
    ] {
        let terms = [search(field, &[pattern], ignore_case)];
        assert_eq!(ids(enterprise, query(1, 9, &terms, false)).await.1, found, "{field}={pattern}");
    }
    let ordered = |people: [super::Person; 4]| people.map(|person| person.user_id.to_owned()).to_vec();
    for (column, people) in [
        ("firstName", [ALICE, BO, CAROL, DAN]),
        ("extension", [ALICE, BO, CAROL, DAN]),
        ("groupId", [ALICE, BO, CAROL, DAN]),
        ("lastName", [ALICE, DAN, BO, CAROL]),
        ("department", [ALICE, DAN, BO, CAROL]),
    ] {
        assert_eq!(ids(enterprise, sorted(column)).await.0, ordered(people), "{column}");
    }
    invalid(port.directory(&ALICE.id(), enterprise, &sorted("shoeSize")).await);
    let many = vec!["x"; 1_000];
    invalid(
        port.directory(&ALICE.id(), enterprise, &query(1, 9, &[search("name", &many, true)], true)).await,
    );
    not_found(port.directory(&nobody(), enterprise, &query(1, 9, &[], false)).await);

    assert!(good(port.organisation_exists(ENTERPRISE, None).await));
    assert!(good(port.organisation_exists(ENTERPRISE, Some("south")).await));
    assert!(!good(port.organisation_exists(ENTERPRISE, Some("west")).await));
    assert!(!good(port.organisation_exists("nobody", None).await));
}

fn entry(name: &str, number: &str) -> PhoneListEntry {
    PhoneListEntry { name: name.to_owned(), number: number.to_owned() }
}

/// Phone lists of the enterprise, of a group and of one's own.
pub async fn phone_lists(fixture: &dyn Fixture) {
    let port = fixture.second().directory;
    let lists = [PhoneList::Enterprise, PhoneList::Group, PhoneList::Personal];
    for list in lists {
        let page = good(port.phone_list(&ALICE.id(), list, &DirectoryQuery::page(1, 50)).await);
        assert_eq!((page.entries, page.total), (Vec::new(), 0));
    }
    let taxi = entry("Taxi", "+1-212-555-0900");
    fixture.put_phone_entries(PhoneList::Enterprise, &ALICE, &[entry("pizza", "*72"), taxi.clone()]).await;
    fixture.put_phone_entries(PhoneList::Group, &ALICE, &[entry("Porter", "9")]).await;
    fixture.put_phone_entries(PhoneList::Personal, &ALICE, &[entry("Äpfel & <Birnen>", "0900")]).await;
    let names = async |person: &super::Person, list, query: DirectoryQuery| {
        let page = good(port.phone_list(&person.id(), list, &query).await);
        (page.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), page.total)
    };
    let all = || DirectoryQuery::page(1, 50);
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (person, list, expected) in [
        (ALICE, PhoneList::Enterprise, &["Taxi", "pizza"][..]),
        (DAN, PhoneList::Enterprise, &["Taxi", "pizza"]),
        (BO, PhoneList::Group, &["Porter"]),
        (DAN, PhoneList::Group, &[]),
        (ALICE, PhoneList::Personal, &["Äpfel & <Birnen>"]),
        (BO, PhoneList::Personal, &[]),
        (EVE, PhoneList::Enterprise, &[]),
    ] {
        assert_eq!(names(&person, list, all()).await, (own(expected), expected.len()), "{list:?}");
    }
    let list = PhoneList::Enterprise;
    assert_eq!(names(&ALICE, list, sorted("name")).await.0, own(&["pizza", "Taxi"]), "case does not count");
    assert_eq!(names(&ALICE, list, query(2, 1, &[], false)).await, (own(&["pizza"]), 2));
    for (field, pattern, ignore_case, expected) in [
        ("name", "taxi", true, &["Taxi"][..]),
        ("name", "taxi", false, &[]),
        ("name", "*a*", false, &["Taxi", "pizza"]),
        ("number", "*5550900", false, &["Taxi"]),
        ("number", "1212*", false, &["Taxi"]),
        ("department", "*", false, &[]),
    ] {
        let found = names(&ALICE, list, query(1, 50, &[search(field, &[pattern], ignore_case)], false)).await;
        assert_eq!(found, (own(expected), expected.len()), "{field}={pattern}");
    }
    let either = [search("name", &["pizza"], false), search("number", &["1212*"], false)];
    assert_eq!(names(&ALICE, list, query(1, 50, &either, true)).await.1, 2);
    assert_eq!(names(&ALICE, list, query(1, 50, &either, false)).await.1, 0);
    invalid(port.phone_list(&ALICE.id(), list, &sorted("department")).await);
    not_found(port.phone_list(&nobody(), list, &all()).await);
}

/// Directories that an administrator put together for a group.
pub async fn custom_directories(fixture: &dyn Fixture) {
    let port = fixture.second().directory;
    assert!(good(port.custom_directories(&ALICE.id()).await).is_empty());
    fixture.put_custom_directory(&ALICE, "Sales", &[DAN, BO]).await;
    fixture.put_custom_directory(&ALICE, "Empty", &[]).await;
    assert_eq!(good(port.custom_directories(&BO.id()).await), ["Empty", "Sales"]);
    assert!(good(port.custom_directories(&DAN.id()).await).is_empty(), "another group");
    let page = |query: DirectoryQuery| {
        let port = port.clone();
        async move {
            let page = good(port.custom_directory(&ALICE.id(), "Sales", &query).await);
            (page.entries.into_iter().map(|entry| entry.user_id).collect::<Vec<_>>(), page.total)
        }
    };
    let all = DirectoryQuery::page(1, 50);
    assert_eq!(page(all.clone()).await, (vec![DAN.user_id.to_owned(), BO.user_id.to_owned()], 2));
    assert_eq!(page(query(2, 1, &[], false)).await, (vec![BO.user_id.to_owned()], 2));
    assert_eq!(page(sorted("firstName")).await.0, [BO.user_id, DAN.user_id]);
    for (field, pattern, found) in
        [("lastName", "*art*", 1), ("name", "*", 2), ("firstName", "Alice", 0), ("groupId", "south", 1)]
    {
        let found_now = page(query(1, 50, &[search(field, &[pattern], false)], false)).await.1;
        assert_eq!(found_now, found, "{field}={pattern}");
    }
    assert_eq!(good(port.custom_directory(&ALICE.id(), "Empty", &all).await).total, 0);
    not_found(port.custom_directory(&ALICE.id(), "sales", &all).await);
    not_found(port.custom_directory(&DAN.id(), "Sales", &all).await);
    not_found(port.custom_directory(&nobody(), "Sales", &all).await);
}
