//! The engine against random actions: whatever happens, the board stays a possible one, no call is lost, and each is told to
//! be over exactly once.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Dial(usize, usize, usize),
    Act(usize, usize, usize, usize),
    Confer(usize, usize, usize, usize),
    PickUp(usize, usize),
    Retrieve(usize, usize),
    Agent(usize, usize),
    Time,
    Service(usize, usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PEOPLE, 0..PEOPLE + 2, 0_usize..6).prop_map(|(a, b, c)| Step::Dial(a, b, c)),
        10 => (0..PEOPLE, 0_usize..4, 0_usize..24, 0..PEOPLE + 2).prop_map(|(a, b, c, d)| Step::Act(a, b, c, d)),
        2 => (0..PEOPLE, 0_usize..4, 0_usize..9, 0_usize..4).prop_map(|(a, b, c, d)| Step::Confer(a, b, c, d)),
        1 => (0..PEOPLE, 0..PEOPLE).prop_map(|(a, b)| Step::PickUp(a, b)),
        1 => (0..PEOPLE, 0..PEOPLE).prop_map(|(a, b)| Step::Retrieve(a, b)),
        1 => (0..AGENTS.len(), 0_usize..6).prop_map(|(a, b)| Step::Agent(a, b)),
        2 => Just(Step::Time),
        3 => (0..PEOPLE, 0_usize..25, 0..PEOPLE).prop_map(|(a, b, c)| Step::Service(a, b, c)),
    ]
}

fn address(n: usize) -> String {
    match n {
        n if n < PEOPLE => format!("+1212555010{n}"),
        PEOPLE => "sip:nobody@nowhere".into(),
        _ => "2103".into(),
    }
}

fn change_service(world: &mut World, who: usize, service: usize, to: usize) {
    let number = address(to);
    let on = |world: &World, kind| !world.services.get(&(user(who), kind)).is_some_and(Service::is_active);
    let active = |on: bool| (ACTIVE, Some(if on { "true" } else { "false" }));
    let flags = [
        ServiceKind::DoNotDisturb,
        ServiceKind::CallWaiting,
        ServiceKind::CallingLineIdDeliveryBlocking,
        ServiceKind::AnonymousCallRejection,
        ServiceKind::ConnectedLineIdentificationRestriction,
    ];
    let forwards = [
        ServiceKind::CallForwardingAlways,
        ServiceKind::CallForwardingBusy,
        ServiceKind::CallForwardingNotReachable,
        ServiceKind::CallForwardingNoAnswer,
    ];
    let group = |name: &'static str, wishes: &[(&'static str, &str)]| {
        let member =
            ServiceKind::SequentialRing.spec().members.iter().find(|m| m.name == name).expect("declared");
        let openadp_appserver::MemberKind::Group { members } = member.kind else { panic!("a group") };
        let patch = wishes.iter().map(|(name, text)| {
            let member = members.iter().find(|member| member.name == *name).expect("declared");
            (member, openadp_appserver::Wish::Set(member.parse(text).expect("good")))
        });
        vec![(member, openadp_appserver::Wish::Group(patch.collect()))]
    };
    match service {
        0..=4 => {
            let on = on(world, flags[service]);
            world.turn(who, flags[service], on);
        }
        5..=8 => {
            let kind = forwards[service - 5];
            let on = on(world, kind);
            world.set(who, kind, &[active(on), (FORWARD_TO, Some(&number))]);
        }
        9 => {
            let kind = ServiceKind::CallForwardingNoAnswer;
            world.set(who, kind, &[active(true), (FORWARD_TO, Some(&number)), (NUMBER_OF_RINGS, Some("0"))]);
        }
        10 | 11 => {
            let kind = ServiceKind::RemoteOffice;
            let on = on(world, kind);
            world.set(who, kind, &[active(on), ("remoteOfficeNumber", Some(&number))]);
        }
        12 | 13 => {
            let kind = ServiceKind::BroadWorksAnywhere;
            let confirm = ("answerConfirmationRequired", Some(if service == 12 { "true" } else { "false" }));
            let patch = records(kind, &[confirm]);
            world.record(who, kind, &number, RecordChange::Add(patch));
            world.set(who, kind, &[("alertAllLocationsForClickToDialCalls", Some("true"))]);
        }
        14 => {
            let kind = ServiceKind::BroadWorksAnywhere;
            world.record(who, kind, &number, RecordChange::Remove);
        }
        15 | 16 => {
            let name = if service == 15 { "location1" } else { "location2" };
            let patch = group(name, &[("address", &number), (NUMBER_OF_RINGS, "2")]);
            let kind = ServiceKind::SequentialRing;
            let service = world.services.entry((user(who), kind)).or_insert_with(|| Service::new(kind));
            service.change(patch).expect("good");
        }
        17 => drop(world.services.remove(&(user(who), ServiceKind::SequentialRing))),
        18 | 19 => {
            let kind = ServiceKind::VoiceMessaging;
            let on = on(world, kind);
            let always = ("alwaysRedirectToVoiceMail", Some(if service == 18 { "true" } else { "false" }));
            let zero = ("transferOnZeroToPhoneNumber", Some("true"));
            world.set(who, kind, &[active(on), always, zero, ("transferPhoneNumber", Some(&number))]);
        }
        20 => {
            let kind = ServiceKind::CallTransfer;
            world.set(who, kind, &[("recallActive", Some("true")), ("busyCampOnActive", Some("true"))]);
        }
        21 => {
            let modes =
                ["always", "always-pause-resume", "on-demand", "on-demand-user-start", "never", "never"];
            world.set(who, ServiceKind::CallRecording, &[("recordingMode", Some(modes[to % modes.len()]))]);
        }
        22 => {
            let kind = ServiceKind::PersonalAssistant;
            let on = on(world, kind);
            let first = ("alertMeFirst", Some(if to.is_multiple_of(2) { "true" } else { "false" }));
            let attendant =
                [("enableTransferToAttendant", Some("true")), ("attendantNumber", Some(number.as_str()))];
            world.set(
                who,
                kind,
                &[active(on), ("presence", Some("Lunch")), first, attendant[0], attendant[1]],
            );
        }
        23 => {
            let kind = ServiceKind::BroadWorksMobility;
            let on = on(world, kind);
            world.turn(who, kind, on);
            world.record(who, kind, &number, RecordChange::Add(Vec::new()));
        }
        _ => {
            let kind = ServiceKind::SelectiveCallRejection;
            world.record(who, kind, "some", RecordChange::Add(Vec::new()));
            world.record(who, kind, if to == 0 { "some" } else { "none" }, RecordChange::Remove);
        }
    }
}

fn records(kind: ServiceKind, wishes: &[(&'static str, Option<&str>)]) -> openadp_appserver::Patch {
    let (_, records) = kind.spec().records().expect("has records");
    let wish = |(name, text): &(&'static str, Option<&str>)| {
        let member = records.members.iter().find(|member| member.name == *name).expect("declared");
        (member, openadp_appserver::Wish::Set(member.parse(text.expect("some")).expect("good")))
    };
    wishes.iter().map(wish).collect()
}

fn act(world: &mut World, who: usize, which: usize, action: usize, other: usize) {
    let calls = world.calls_of(who);
    let pick = |n: usize| calls.get(n % calls.len().max(1)).cloned();
    let Some(call) = pick(which) else { return };
    let to = address(other);
    let action = match action {
        0..=4 => CallAction::Talk,
        5 => CallAction::Hold,
        6 => CallAction::Reconnect,
        7 => CallAction::Release,
        8 => CallAction::Decline,
        9 | 10 => CallAction::BlindTransfer { address: to },
        11 => CallAction::Deflect { address: to },
        12 => CallAction::VmTransfer { address: (other > 2).then_some(to) },
        13 => CallAction::Park { address: (other > 2).then_some(to) },
        14 => CallAction::GroupPark,
        15 => CallAction::Dtmf { digits: "0".into() },
        16 => CallAction::Dtmf { digits: "1,".into() },
        17 => CallAction::Record,
        18 => CallAction::PauseRecording,
        19 => CallAction::ResumeRecording,
        20 => CallAction::StopRecording,
        _ => CallAction::ConsultTransfer { other: pick(other).expect("some") },
    };
    drop(world.act(who, &call, &action));
}

fn confer(world: &mut World, who: usize, which: usize, action: usize, other: usize) {
    let calls = world.calls_of(who);
    let pick = |n: usize| calls.get(n % calls.len().max(1)).cloned();
    let (Some(call), Some(other)) = (pick(which), pick(other)) else { return };
    let action = match action {
        0..=2 => ConferenceAction::Start(call, other),
        3 => ConferenceAction::Add(call),
        4 => ConferenceAction::Drop(call),
        5 => ConferenceAction::Hold,
        6 => ConferenceAction::Talk,
        7 => ConferenceAction::MuteCall(call, true),
        _ => ConferenceAction::Release,
    };
    drop(world.confer(who, &action));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_actions_leaves_an_impossible_board(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Dial(who, to, from) => {
                    let location = match from {
                        0 => DialLocation::All,
                        1 => DialLocation::Primary,
                        2 => DialLocation::BroadWorksAnywhere,
                        _ => DialLocation::Usual,
                    };
                    let options = DialOptions { location, ..DialOptions::default() };
                    drop(world.dial_with(who, &address(to), &options));
                }
                Step::Act(who, which, action, other) => act(&mut world, who, which, action, other),
                Step::Confer(who, which, action, other) => confer(&mut world, who, which, action, other),
                Step::PickUp(who, from) => drop(world.pick_up(who, from)),
                Step::Retrieve(who, against) => drop(world.retrieve(who, against)),
                Step::Agent(which, state) => {
                    use openadp_appserver::AcdState as State;
                    let states = [State::SignIn, State::Unavailable, State::SignOut];
                    world.agent(AGENTS[which], states.get(state).copied().unwrap_or(State::Available));
                }
                Step::Time => drop(world.time_goes_by()),
                Step::Service(who, service, to) => change_service(&mut world, who, service, to),
            }
        }
        // Everything ends: nobody is left waiting for ever.
        let mut bound = 2_000;
        while world.time_goes_by() {
            bound -= 1;
            prop_assert!(bound > 0, "timers end");
        }
        for who in 0..PEOPLE {
            for call in world.calls_of(who) {
                drop(world.act(who, &call, &CallAction::Release));
            }
        }
        while world.time_goes_by() {}
        for who in 0..PEOPLE {
            for call in world.calls_of(who) {
                drop(world.act(who, &call, &CallAction::Release));
            }
        }
        prop_assert!(world.halves.values().all(|half| half.call.state == CallState::Released));
        prop_assert!(world.told.values().all(|(_, over)| *over == 1));
    }
}
