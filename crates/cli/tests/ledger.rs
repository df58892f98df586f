//! Every parameter does something: a test changes it through `adpcli` and sees that from outside, or it says
//! `not used by this build` whenever it is set.
//!
//! `tests/parameters/effects.txt` lists parameter and test; each test compares its own lines with what it did, so the list
//! cannot claim more than that. Here it is compared with the declarations, both ways. `tests/parameters/owed.txt` has those
//! whose test is still to be written; it may only get shorter (`UPDATE_GOLDEN=1` writes it).

use openadp_settings::{Registry, Role, Unused};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Most parameters that nothing reads, whether for good or until their feature comes.
const WITHOUT_EFFECT: usize = 15;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(name)
}

fn lines(path: &Path) -> BTreeSet<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether a test of this name, `parameters/http.rs::limits` say, is there and keeps its own lines.
fn is_a_test(name: &str) -> bool {
    let Some((source, function)) = name.split_once("::") else { return false };
    let source = std::fs::read_to_string(file("tests").join(source)).unwrap_or_default();
    source.contains(&format!("fn {function}()")) && source.contains(&format!("\"{name}\""))
}

#[test]
fn every_parameter_has_an_effect_or_says_that_it_has_none() {
    let registry = Registry::new(openadp_cli::modules()).expect("declared well");
    let mut declared = BTreeMap::new();
    for context in registry.contexts() {
        // A row of which nothing is read says so when it is added; its key names it and nothing more.
        let values = || context.parameters.iter().filter(|parameter| parameter.role != Role::Key);
        let idle = values().next().is_some() && values().all(|parameter| parameter.unused.is_some());
        let shown = context.parameters.iter().filter(|parameter| !parameter.hidden);
        for parameter in shown.filter(|parameter| !(idle && parameter.role == Role::Key)) {
            declared.insert(format!("{} {}", context.full_path(), parameter.name), parameter.unused);
        }
    }
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in lines(&file("parameters/effects.txt")) {
        let Some((parameter, test)) = line.rsplit_once(' ') else {
            wrong.push(format!("no line of the ledger: {line}"));
            continue;
        };
        match declared.get(parameter) {
            None => wrong.push(format!("{parameter} is not declared, yet {test} changes it")),
            Some(Some(_)) => {
                wrong.push(format!("{parameter} says that nothing reads it, yet {test} sees its effect"));
            }
            Some(None) => {}
        }
        if !is_a_test(test) {
            wrong.push(format!("there is no test {test}"));
        }
        seen.insert(parameter.to_owned());
    }
    let lacking: BTreeSet<String> = declared
        .iter()
        .filter(|(name, unused)| unused.is_none() && !seen.contains(*name))
        .map(|(name, _)| name.clone())
        .collect();
    let path = file("parameters/owed.txt");
    let owed = lines(&path);
    if lacking != owed && std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text: String = lacking.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).expect("writing the list");
    } else {
        wrong.extend(lacking.difference(&owed).map(|name| format!("{name}: no test sees what it changes")));
        wrong.extend(owed.difference(&lacking).map(|name| format!("{name} is owed no test any more")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let later = declared.values().filter(|unused| **unused == Some(Unused::Later)).count();
    let all = declared.values().flatten().count();
    println!(
        "{all} of {} parameters have no effect, {later} of them until their feature comes",
        declared.len()
    );
    assert!(all <= WITHOUT_EFFECT, "{all} parameters have no effect");
}
