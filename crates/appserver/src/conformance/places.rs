//! Calls at several places, in mailboxes, and of some callers only.

use super::calls::{act, dial, log};
use super::{
    ALICE, BO, CAROL, DAN, EVE, Fixture, Person, call_in, change, good, invalid, not_found, state_of, told,
};
use crate::{
    ACTIVE, CallAction, CallId, CallLogKind, CallPersonality, CallState, DialLocation, DialOptions,
    FORWARD_TO, InternalReleaseCause, Patch, PlaceKind, PortError, Ports, RecordChange, ServiceKind, Setting,
    Wish,
};
use std::time::Duration;

const ON: (&str, Option<&str>) = (ACTIVE, Some("true"));
const OFF: (&str, Option<&str>) = (ACTIVE, Some("false"));

/// Plain members of a record of a service.
fn record(kind: ServiceKind, wishes: &[(&str, &str)]) -> Patch {
    let (_, records) = kind.spec().records().expect("has records");
    let mut patch = Patch::new();
    for (name, text) in wishes {
        let member = records.members.iter().find(|member| member.name == *name).expect("declared");
        patch.push((member, Wish::Set(member.parse(text).expect("a good value"))));
    }
    patch
}

/// A criterion for the calls of one number, or of all.
fn criterion(kind: ServiceKind, number: Option<&str>) -> Patch {
    let (_, records) = kind.spec().records().expect("has records");
    let from = records.members.iter().find(|member| member.name == "criteriaFromDn").expect("declared");
    let crate::MemberKind::Group { members } = from.kind else { panic!("a group") };
    let member = |name: &str| members.iter().find(|member| member.name == name).expect("declared");
    let selection = if number.is_some() { "Specified Only" } else { "Any" };
    let mut inner = vec![(member("fromDnCriteriaSelection"), Wish::Set(Setting::Text(selection.to_owned())))];
    if let Some(number) = number {
        inner.push((member("phoneNumberList"), Wish::Set(Setting::Numbers(vec![number.to_owned()]))));
    }
    vec![(from, Wish::Group(inner))]
}

async fn add(ports: &Ports, person: &Person, kind: ServiceKind, key: &str, patch: Patch) {
    good(ports.services.change_record(&person.id(), kind, key, RecordChange::Add(patch)).await);
}

async fn remove(ports: &Ports, person: &Person, kind: ServiceKind, key: &str) {
    good(ports.services.change_record(&person.id(), kind, key, RecordChange::Remove).await);
}

async fn idle(ports: &Ports, person: &Person) {
    let overview = good(ports.calls.overview(&person.id()).await);
    assert!(overview.calls.is_empty(), "{} has no call: {overview:?}", person.user_id);
}

async fn cause(ports: &Ports, person: &Person, call: &CallId) -> Option<InternalReleaseCause> {
    good(ports.calls.call(&person.id(), call).await).release_cause
}

/// Simultaneous Ring, BroadWorks Anywhere, Remote Office and Sequential Ring, for calls that come and calls that go.
pub async fn places(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let anywhere = ServiceKind::BroadWorksAnywhere;
    add(&ports, &BO, anywhere, EVE.number, record(anywhere, &[])).await;
    let again = RecordChange::Add(record(anywhere, &[]));
    let again = ports.services.change_record(&BO.id(), anywhere, EVE.number, again).await;
    assert!(matches!(again, Err(PortError::Conflict { .. })), "{again:?}");
    let bad = RecordChange::Add(record(anywhere, &[]));
    invalid(ports.services.change_record(&BO.id(), anywhere, "no number", bad).await);
    not_found(ports.services.change_record(&BO.id(), anywhere, "+12125559999", RecordChange::Remove).await);

    // Both ring; the place answers for the subscriber, and the device does not ring any more.
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    let device = call_in(&ports, &BO, CallState::Alerting).await;
    let place = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &place, CallAction::Talk).await;
    let main = good(ports.calls.call(&BO.id(), &device).await);
    assert_eq!((main.state, main.personality), (CallState::Active, CallPersonality::Terminator));
    let at = main.place.expect("it is not at the device");
    assert_eq!((at.kind, at.address.value.as_str()), (PlaceKind::BroadWorksAnywhere, EVE.number));
    assert_eq!(good(ports.calls.call(&ALICE.id(), &start.call_id).await).remote.user_id, Some(BO.id()));
    // A hold at the place is one of the call.
    act(&ports, &EVE, &place, CallAction::Hold).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::RemoteHeld);
    assert_eq!(state_of(&ports, &BO, &device).await, CallState::RemoteHeld);
    act(&ports, &EVE, &place, CallAction::Talk).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Active);
    act(&ports, &EVE, &place, CallAction::Release).await;
    for person in [&ALICE, &BO, &EVE] {
        idle(&ports, person).await;
    }
    assert_eq!(
        told(&ports, &BO, position).await.iter().filter(|event| event.starts_with("Released")).count(),
        1
    );

    // The device answers: the place is let go, and sees a call that it missed.
    dial(&ports, &ALICE, BO.extension).await;
    let device = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &device, CallAction::Talk).await;
    idle(&ports, &EVE).await;
    assert_eq!(log(&ports, &EVE, CallLogKind::Missed).await.len(), 1);
    act(&ports, &BO, &device, CallAction::Release).await;

    // Who answers at a place must press a key, where that is wished.
    remove(&ports, &BO, anywhere, EVE.number).await;
    let confirmed = record(anywhere, &[("answerConfirmationRequired", "true")]);
    add(&ports, &BO, anywhere, EVE.number, confirmed).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let place = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &place, CallAction::Talk).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Alerting, "not yet");
    act(&ports, &EVE, &place, CallAction::Dtmf { digits: "1".to_owned() }).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Active);
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    idle(&ports, &EVE).await;

    // Calls from there: the place is called first.
    let options = |location, address: Option<&str>| DialOptions {
        location,
        location_address: address.map(str::to_owned),
        ..DialOptions::default()
    };
    let at = DialLocation::BroadWorksAnywhere;
    invalid(ports.calls.dial(&BO.id(), CAROL.extension, &options(at, Some(DAN.number))).await);
    let nowhere = ports.calls.dial(&ALICE.id(), CAROL.extension, &options(at, None)).await;
    assert!(matches!(nowhere, Err(PortError::NotAssigned { .. })), "{nowhere:?}");
    let start = good(ports.calls.dial(&BO.id(), CAROL.extension, &options(at, Some(EVE.number))).await);
    let call = good(ports.calls.call(&BO.id(), &start.call_id).await);
    assert_eq!((call.personality, call.state), (CallPersonality::ClickToDial, CallState::Alerting));
    assert!(!call.allow_answer, "it rings there only");
    idle(&ports, &CAROL).await;
    let place = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &place, CallAction::Talk).await;
    act(&ports, &EVE, &place, CallAction::Dtmf { digits: "#".to_owned() }).await;
    let ringing = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &ringing, CallAction::Talk).await;
    let call = good(ports.calls.call(&BO.id(), &start.call_id).await);
    assert_eq!((call.personality, call.state), (CallPersonality::Originator, CallState::Active));
    assert_eq!(call.place.map(|place| place.kind), Some(PlaceKind::BroadWorksAnywhere));
    act(&ports, &CAROL, &ringing, CallAction::Release).await;
    idle(&ports, &EVE).await;
    // Nobody answers there: nobody is called.
    let start = good(ports.calls.dial(&BO.id(), CAROL.extension, &options(at, None)).await);
    fixture.advance(fixture.no_answer_timeout() * 2).await;
    assert_eq!(state_of(&ports, &BO, &start.call_id).await, CallState::Released);
    idle(&ports, &CAROL).await;
    remove(&ports, &BO, anywhere, EVE.number).await;

    // Remote Office takes the place of the device.
    let office = ServiceKind::RemoteOffice;
    let to = |number: &'static str| [ON, ("remoteOfficeNumber", Some(number))];
    change(&ports, &BO.id(), office, &to(EVE.number)).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let main = call_in(&ports, &BO, CallState::Alerting).await;
    super::wrong_state(ports.calls.act(&BO.id(), &main, &CallAction::Talk).await);
    let place = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &place, CallAction::Talk).await;
    let kind = good(ports.calls.call(&BO.id(), &main).await).place.map(|place| place.kind);
    assert_eq!(kind, Some(PlaceKind::RemoteOffice));
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    // A number that nobody has cannot ring: Call Forwarding Not Reachable.
    change(&ports, &BO.id(), office, &to("+12125559999")).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(
        cause(&ports, &ALICE, &start.call_id).await,
        Some(InternalReleaseCause::TemporarilyUnavailable)
    );
    let unreachable = ServiceKind::CallForwardingNotReachable;
    change(&ports, &BO.id(), unreachable, &[ON, (FORWARD_TO, Some(CAROL.number))]).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let ringing = call_in(&ports, &CAROL, CallState::Alerting).await;
    let redirections = good(ports.calls.call(&CAROL.id(), &ringing).await).redirections;
    let [hop] = redirections.as_slice() else { panic!("one redirection: {redirections:?}") };
    assert_eq!(
        (hop.reason.as_str(), hop.counter, hop.party.user_id.clone()),
        ("unavailable", 1, Some(BO.id()))
    );
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    change(&ports, &BO.id(), office, &[OFF]).await;
}

/// BroadWorks Mobility, and names of those who call from outside.
pub async fn mobiles(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let mobility = ServiceKind::BroadWorksMobility;
    add(&ports, &BO, mobility, EVE.number, record(mobility, &[])).await;
    let from_there = |address: Option<&str>| DialOptions {
        location: DialLocation::Mobility,
        location_address: address.map(str::to_owned),
        ..DialOptions::default()
    };
    let idle_service = ports.calls.dial(&BO.id(), CAROL.extension, &from_there(None)).await;
    assert!(matches!(idle_service, Err(PortError::NotAssigned { .. })), "{idle_service:?}");
    change(&ports, &BO.id(), mobility, &[ON]).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let device = call_in(&ports, &BO, CallState::Alerting).await;
    let mobile = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &mobile, CallAction::Talk).await;
    let place = good(ports.calls.call(&BO.id(), &device).await).place.expect("it is not at the device");
    assert_eq!((place.kind, place.address.value.as_str()), (PlaceKind::Mobility, EVE.number));
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;

    // Only mobiles, then only the own device.
    let policy = |devices: &str| {
        let outer =
            mobility.spec().members.iter().find(|member| member.name == "profileIdentity").expect("declared");
        let crate::MemberKind::Group { members } = outer.kind else { panic!("a group") };
        let crate::MemberKind::Group { members: inner } = members[0].kind else { panic!("a group") };
        let devices = Wish::Set(Setting::Text(devices.to_owned()));
        vec![(outer, Wish::Group(vec![(&members[0], Wish::Group(vec![(&inner[0], devices)]))]))]
    };
    good(ports.services.change_service(&BO.id(), mobility, policy("Mobile")).await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    let main = call_in(&ports, &BO, CallState::Alerting).await;
    assert!(!good(ports.calls.call(&BO.id(), &main).await).allow_answer);
    call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    good(ports.services.change_service(&BO.id(), mobility, policy("Fixed")).await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    idle(&ports, &EVE).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;

    let start = good(ports.calls.dial(&BO.id(), CAROL.extension, &from_there(Some(EVE.number))).await);
    let mobile = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &mobile, CallAction::Talk).await;
    call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &BO, &start.call_id, CallAction::Release).await;
    idle(&ports, &EVE).await;

    let shown = async || {
        let start = dial(&ports, &EVE, CAROL.number).await;
        let ringing = call_in(&ports, &CAROL, CallState::Alerting).await;
        let remote = good(ports.calls.call(&CAROL.id(), &ringing).await).remote;
        act(&ports, &EVE, &start.call_id, CallAction::Release).await;
        (remote.name, remote.private)
    };
    assert_eq!(shown().await, (Some("Eve Okafor".to_owned()), false));
    change(&ports, &CAROL.id(), ServiceKind::CallingNameRetrieval, &[OFF]).await;
    assert_eq!(shown().await, (None, false));
}

/// Sequential Ring and Simultaneous Ring Personal.
pub async fn searches(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let kind = ServiceKind::SequentialRing;
    let member =
        |name: &str| kind.spec().members.iter().find(|member| member.name == name).expect("declared");
    for (name, number) in [("location1", CAROL.number), ("location2", DAN.number)] {
        let location = member(name);
        let crate::MemberKind::Group { members } = location.kind else { panic!("a group") };
        let address = vec![(&members[0], Wish::Set(Setting::Text(number.to_owned())))];
        good(ports.services.change_service(&BO.id(), kind, vec![(location, Wish::Group(address))]).await);
    }
    let start = dial(&ports, &ALICE, BO.extension).await;
    let main = call_in(&ports, &BO, CallState::Alerting).await;
    idle(&ports, &CAROL).await;
    // Two rings of six seconds at the device, three at each place.
    fixture.advance(Duration::from_secs(13)).await;
    let first = call_in(&ports, &CAROL, CallState::Alerting).await;
    super::wrong_state(ports.calls.act(&BO.id(), &main, &CallAction::Talk).await);
    act(&ports, &CAROL, &first, CallAction::Decline).await;
    fixture.advance(Duration::from_secs(1)).await;
    idle(&ports, &CAROL).await;
    let second = call_in(&ports, &DAN, CallState::Alerting).await;
    act(&ports, &DAN, &second, CallAction::Talk).await;
    assert_eq!(state_of(&ports, &BO, &main).await, CallState::Active);
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    idle(&ports, &DAN).await;
    // Nobody anywhere: the caller hears that.
    let start = dial(&ports, &ALICE, BO.extension).await;
    for _ in 0..4 {
        fixture.advance(Duration::from_secs(20)).await;
    }
    assert_eq!(cause(&ports, &ALICE, &start.call_id).await, Some(InternalReleaseCause::RequestTimeout));
    for person in [&BO, &CAROL, &DAN] {
        idle(&ports, person).await;
    }
    for name in ["location1", "location2"] {
        good(ports.services.change_service(&BO.id(), kind, vec![(member(name), Wish::Clear)]).await);
    }

    let kind = ServiceKind::SimultaneousRingPersonal;
    let list = kind.spec().members.iter().find(|member| member.name == "simRingLocations").expect("declared");
    let mut entry = crate::Settings::default();
    entry.put("address", EVE.number.into());
    invalid(ports.services.change_service(&BO.id(), kind, good(kind.patch(&[ON]))).await);
    let mut patch = good(kind.patch(&[ON, ("incomingCalls", Some("Do not Ring if on a Call"))]));
    patch.push((list, Wish::Set(Setting::Entries(vec![entry]))));
    good(ports.services.change_service(&BO.id(), kind, patch).await);
    let first = dial(&ports, &ALICE, BO.extension).await;
    let place = call_in(&ports, &EVE, CallState::Alerting).await;
    act(&ports, &EVE, &place, CallAction::Release).await;
    let device = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &device, CallAction::Talk).await;
    let second = dial(&ports, &CAROL, BO.extension).await;
    idle(&ports, &EVE).await;
    act(&ports, &CAROL, &second.call_id, CallAction::Release).await;
    act(&ports, &ALICE, &first.call_id, CallAction::Release).await;
}

/// Mailboxes, and somebody who is away.
pub async fn mailboxes(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let mailbox = ServiceKind::VoiceMessaging;
    change(&ports, &BO.id(), mailbox, &[ON]).await;
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &ringing, CallAction::Decline).await;
    let call = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!((call.state, call.remote.user_id), (CallState::Active, Some(BO.id())), "the mailbox answers");
    assert_eq!(told(&ports, &BO, position).await, ["Received Alerting", "Redirected Detached"]);
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    assert_eq!(told(&ports, &BO, position).await.last().map(String::as_str), Some("Released Released"));
    // Three rings of six seconds.
    let start = dial(&ports, &ALICE, BO.extension).await;
    fixture.advance(Duration::from_secs(17)).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Alerting);
    fixture.advance(Duration::from_secs(2)).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Active);
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    change(&ports, &BO.id(), mailbox, &[("alwaysRedirectToVoiceMail", Some("true"))]).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Active);
    // Who stays for a while leaves a message; who hung up at once left none.
    let messages = &fixture.second().messages;
    assert!(good(messages.messages(&BO.id()).await).is_empty());
    let begin = good(ports.feed.position().await);
    let staying = dial(&ports, &ALICE, BO.extension).await;
    fixture.advance(Duration::from_secs(5)).await;
    act(&ports, &ALICE, &staying.call_id, CallAction::Release).await;
    let left = good(messages.messages(&BO.id()).await);
    assert_eq!((left.len(), left[0].duration, left[0].caller.user_id.clone()), (1, 5_000, Some(ALICE.id())));
    assert!(told(&ports, &BO, begin).await.contains(&"Messages 1 0".to_owned()));
    // Who presses 0 there gets somebody.
    let zero = [("transferOnZeroToPhoneNumber", Some("true")), ("transferPhoneNumber", Some(CAROL.number))];
    change(&ports, &BO.id(), mailbox, &zero).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Dtmf { digits: "0".to_owned() }).await;
    let carol = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &carol, CallAction::Talk).await;

    // Transfers to a mailbox, of a call that rings and of one that was answered.
    let own = ports.calls.act(&CAROL.id(), &carol, &CallAction::VmTransfer { address: None }).await;
    assert!(matches!(own, Err(PortError::NotAssigned { .. })), "{own:?}");
    let to_bo = || CallAction::VmTransfer { address: Some(BO.extension.to_owned()) };
    invalid(
        ports
            .calls
            .act(&CAROL.id(), &carol, &CallAction::VmTransfer { address: Some("2199".to_owned()) })
            .await,
    );
    act(&ports, &CAROL, &carol, to_bo()).await;
    let call = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!((call.state, call.remote.user_id), (CallState::Active, Some(BO.id())));
    idle(&ports, &CAROL).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    let start = dial(&ports, &ALICE, CAROL.extension).await;
    let carol = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &carol, to_bo()).await;
    assert_eq!(state_of(&ports, &ALICE, &start.call_id).await, CallState::Active);
    let redirect = good(ports.calls.call(&CAROL.id(), &carol).await).redirect.expect("redirected");
    assert_eq!(redirect.reason, "voicemail");
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    change(&ports, &BO.id(), mailbox, &[OFF]).await;

    // Somebody who is away: the attendant, but not for everybody, and not at once if that is wished.
    let assistant = ServiceKind::PersonalAssistant;
    let away = [
        ON,
        ("presence", Some("Lunch")),
        ("enableTransferToAttendant", Some("true")),
        ("attendantNumber", Some(DAN.number)),
    ];
    change(&ports, &BO.id(), assistant, &away).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let dan = call_in(&ports, &DAN, CallState::Alerting).await;
    assert_eq!(good(ports.calls.call(&DAN.id(), &dan).await).redirections[0].reason, "away");
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    add(&ports, &BO, assistant, ALICE.number, record(assistant, &[])).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    change(&ports, &BO.id(), assistant, &[("alertMeFirst", Some("true"))]).await;
    let start = dial(&ports, &CAROL, BO.extension).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    fixture.advance(Duration::from_secs(19)).await;
    call_in(&ports, &DAN, CallState::Alerting).await;
    act(&ports, &CAROL, &start.call_id, CallAction::Release).await;
}

/// Services that act on the calls of some.
pub async fn selections(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let rejection = ServiceKind::SelectiveCallRejection;
    add(&ports, &BO, rejection, "alice", criterion(rejection, Some(ALICE.number))).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(cause(&ports, &ALICE, &start.call_id).await, Some(InternalReleaseCause::Forbidden));
    let start = dial(&ports, &CAROL, BO.extension).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &CAROL, &start.call_id, CallAction::Release).await;
    // A criterion that is switched off does not count, nor one for others that is excluded.
    let off = RecordChange::Change(record(rejection, &[(ACTIVE, "false")]));
    good(ports.services.change_record(&BO.id(), rejection, "alice", off).await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    remove(&ports, &BO, rejection, "alice").await;

    let acceptance = ServiceKind::SelectiveCallAcceptance;
    add(&ports, &BO, acceptance, "alice", criterion(acceptance, Some(ALICE.extension))).await;
    let start = dial(&ports, &CAROL, BO.extension).await;
    assert_eq!(cause(&ports, &CAROL, &start.call_id).await, Some(InternalReleaseCause::Forbidden));
    let start = dial(&ports, &ALICE, BO.extension).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    remove(&ports, &BO, acceptance, "alice").await;

    let selective = ServiceKind::CallForwardingSelective;
    change(&ports, &BO.id(), selective, &[ON, ("defaultForwardToPhoneNumber", Some(DAN.number))]).await;
    let mut but_carol = criterion(selective, Some(CAROL.number));
    but_carol.extend(record(selective, &[("blackListed", "true")]));
    add(&ports, &BO, selective, "all", criterion(selective, None)).await;
    add(&ports, &BO, selective, "not carol", but_carol).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    call_in(&ports, &DAN, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    let start = dial(&ports, &CAROL, BO.extension).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &CAROL, &start.call_id, CallAction::Release).await;
    let none = criterion(selective, Some("no number"));
    invalid(ports.services.change_record(&BO.id(), selective, "bad", RecordChange::Add(none)).await);

    // Lines that are not to be shown.
    let hides = ServiceKind::ConnectedLineIdentificationRestriction;
    change(&ports, &DAN.id(), hides, &[ON]).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let dan = call_in(&ports, &DAN, CallState::Alerting).await;
    act(&ports, &DAN, &dan, CallAction::Talk).await;
    let remote = good(ports.calls.call(&ALICE.id(), &start.call_id).await).remote;
    assert_eq!(remote.user_id, Some(BO.id()), "who answered does not show");
    act(&ports, &DAN, &dan, CallAction::Release).await;
    for (kind, hidden, shown) in [
        (ServiceKind::InternalCallingLineIdDelivery, &ALICE, &EVE),
        (ServiceKind::ExternalCallingLineIdDelivery, &EVE, &ALICE),
    ] {
        change(&ports, &CAROL.id(), kind, &[OFF]).await;
        for (caller, private) in [(hidden, true), (shown, false)] {
            let start = dial(&ports, caller, CAROL.number).await;
            let ringing = call_in(&ports, &CAROL, CallState::Alerting).await;
            let remote = good(ports.calls.call(&CAROL.id(), &ringing).await).remote;
            assert_eq!(remote.private, private, "{} with {kind:?} off", caller.user_id);
            act(&ports, caller, &start.call_id, CallAction::Release).await;
        }
        change(&ports, &CAROL.id(), kind, &[ON]).await;
    }
}
