//! Recorded scenarios: files that say what people do, and below each step what everybody is told of it, in order.
//!
//! `UPDATE_GOLDEN=1` records what is told now; a change of a recorded line is a change of what clients see. People are numbers;
//! a step is about the newest call of somebody, or about the one before with `/1`, and so on. What is refused is recorded too.

use super::*;
use std::fmt::Write as _;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/engine/tests/scenarios")
}

/// Does one step; the text says why it was refused.
fn step(world: &mut World, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [verb, rest @ ..] = words.as_slice() else { return Ok(()) };
    let (person, back) = match rest.first().map(|word| word.split_once('/').unwrap_or((word, "0"))) {
        Some((person, back)) => (person.parse().unwrap_or(0), back.parse().unwrap_or(0)),
        None => (0, 0),
    };
    let to = rest.get(1).map(|word| (*word).to_owned());
    let address = || to.clone().expect("an address");
    let number = || address().parse::<usize>().expect("a person");
    let refused = |refusal: Refusal| format!("{refusal:?}");
    let call =
        |world: &World, back: usize| world.calls_of(person).get(back).cloned().ok_or("no call".to_owned());
    let action = match *verb {
        "talk" => CallAction::Talk,
        "hold" => CallAction::Hold,
        "reconnect" => CallAction::Reconnect,
        "release" => CallAction::Release,
        "decline" => CallAction::Decline,
        "blind" => CallAction::BlindTransfer { address: address() },
        "deflect" => CallAction::Deflect { address: address() },
        "mailbox" => CallAction::VmTransfer { address: to.clone() },
        "park" => CallAction::Park { address: to.clone() },
        "grouppark" => CallAction::GroupPark,
        "press" => CallAction::Dtmf { digits: address() },
        "record" => CallAction::Record,
        "pause" => CallAction::PauseRecording,
        "consult" => CallAction::ConsultTransfer { other: call(world, back + 1)? },
        "dial" => {
            let location = match rest.get(2) {
                Some(&"all") => DialLocation::All,
                Some(&"primary") => DialLocation::Primary,
                Some(&"anywhere") => DialLocation::BroadWorksAnywhere,
                _ => DialLocation::Usual,
            };
            let options = DialOptions { location, ..DialOptions::default() };
            return world.dial_with(person, &address(), &options).map(drop).map_err(refused);
        }
        "pickup" => return world.pick_up(person, number()).map(drop).map_err(refused),
        "retrieve" => return world.retrieve(person, number()).map(drop).map_err(refused),
        "time" => return if world.time_goes_by() { Ok(()) } else { Err("nothing is due".to_owned()) },
        "agent" => {
            use openadp_appserver::AcdState as State;
            let states = [State::SignIn, State::Available, State::Unavailable, State::SignOut];
            let state = states.into_iter().find(|state| format!("{state:?}") == address()).expect("a state");
            world.agent(person, state);
            return Ok(());
        }
        "confer" => {
            let action = match address().as_str() {
                "start" => ConferenceAction::Start(call(world, back + 1)?, call(world, back)?),
                "add" => ConferenceAction::Add(call(world, back)?),
                "drop" => ConferenceAction::Drop(call(world, back)?),
                "hold" => ConferenceAction::Hold,
                "talk" => ConferenceAction::Talk,
                "mute" => ConferenceAction::Mute(true),
                _ => ConferenceAction::Release,
            };
            return world.confer(person, &action).map_err(refused);
        }
        "service" | "place" => {
            let segment = address();
            let kind = ServiceKind::ALL
                .iter()
                .copied()
                .find(|kind| kind.spec().segment == segment)
                .expect("a service");
            if *verb == "place" {
                let number = rest.get(2).expect("a number");
                world.record(person, kind, number, RecordChange::Add(Vec::new()));
                return Ok(());
            }
            for wish in &rest[2..] {
                let (name, text) = wish.split_once('=').expect("name=value");
                let member = kind.spec().members.iter().find(|member| member.name == name).expect("declared");
                world.set(person, kind, &[(member.name, Some(text))]);
            }
            return Ok(());
        }
        other => panic!("what is {other}?"),
    };
    let call = call(world, back)?;
    world.act(person, &call, &action).map(drop).map_err(refused)
}

/// Plays a scenario and gives it as it would be recorded now.
fn play(text: &str) -> String {
    let mut world = World::new();
    let mut recorded = String::new();
    for line in text.lines().filter(|line| !line.starts_with("    ")) {
        writeln!(recorded, "{line}").expect("a string");
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let before = world.events.len();
        if let Err(refusal) = step(&mut world, line) {
            writeln!(recorded, "    refused: {refusal}").expect("a string");
        }
        for (owner, event) in &world.events[before..] {
            let owner = owner.as_str().trim_start_matches('u').trim_end_matches("@test");
            let more = match event {
                Event::Call { call, .. } => details(call),
                _ => String::new(),
            };
            writeln!(recorded, "    {owner}: {}{more}", short(event)).expect("a string");
        }
    }
    recorded
}

/// What a call says beside its state.
fn details(call: &Call) -> String {
    let mut text = String::new();
    if let Some(cause) = call.release_cause {
        write!(text, ", {cause:?}").expect("a string");
    }
    for hop in &call.redirections {
        write!(text, ", {} of {}", hop.reason, hop.party.name.as_deref().unwrap_or("?")).expect("a string");
    }
    if let Some(redirect) = call.redirect.as_ref().filter(|_| call.state != CallState::Released) {
        write!(text, ", {} to {}", redirect.reason, redirect.address.value).expect("a string");
    }
    if let Some(place) = &call.place {
        write!(text, ", at {:?} {}", place.kind, place.address.value).expect("a string");
    }
    if let Some(recall) = call.recall {
        write!(text, ", {recall:?}").expect("a string");
    }
    text
}

#[test]
fn recorded_scenarios_are_told_as_ever() {
    let mut played = 0;
    for entry in std::fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        let now = play(&text);
        if now != text && std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &now).expect("written");
        } else {
            assert_eq!(now, text, "{}", path.display());
        }
        played += 1;
    }
    assert!(played >= 8, "{played} scenarios");
}
