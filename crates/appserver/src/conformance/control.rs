//! Parking and taking calls, recalls, conferences, recording.

use super::calls::{act, connect, dial};
use super::{
    ALICE, BO, CAROL, DAN, EVE, Fixture, call_in, change, good, invalid, not_found, state_of, told,
    wrong_state,
};
use crate::{
    CallAction, CallId, CallPersonality, CallState, ConferenceAction, PickUp, PortError, RecallType,
    RecordingControls, RecordingState, ServiceKind,
};
use std::time::Duration;

/// Parking, retrieving, recall.
pub async fn parking(fixture: &dyn Fixture) {
    let (ports, second) = (fixture.ports(), fixture.second());
    let (alice, bo) = connect(&ports, &ALICE, &BO).await;
    let park = |address: Option<&str>| CallAction::Park { address: address.map(str::to_owned) };
    invalid(ports.calls.act(&BO.id(), &bo, &park(Some("2199"))).await);
    let stranger = ports.calls.act(&BO.id(), &bo, &park(Some(EVE.number))).await;
    invalid(stranger);
    let position = good(ports.feed.position().await);
    let at =
        good(ports.calls.act(&BO.id(), &bo, &park(Some(CAROL.extension))).await).expect("parked somewhere");
    assert_eq!(at.value, CAROL.extension);
    assert_eq!(told(&ports, &BO, position).await, ["Released Released", "OnHook"]);
    assert_eq!(told(&ports, &ALICE, position).await, ["Updated RemoteHeld"]);
    assert_eq!(told(&ports, &CAROL, position).await, ["Parked somebody"]);
    let (_, party) = good(second.calls.parked(&CAROL.id()).await);
    assert_eq!(party.and_then(|party| party.user_id), Some(ALICE.id()));
    assert_eq!(good(ports.calls.parked(&BO.id()).await).1, None);
    not_found(ports.calls.parked(&super::nobody()).await);
    wrong_state(ports.calls.act(&ALICE.id(), &alice, &CallAction::Hold).await);

    let of = |address: &str| PickUp::Parked { address: address.to_owned() };
    not_found(ports.calls.pick_up(&EVE.id(), &of(CAROL.number)).await);
    not_found(ports.calls.pick_up(&DAN.id(), &of(BO.extension)).await);
    let position = good(ports.feed.position().await);
    let start = good(second.calls.pick_up(&DAN.id(), &of(CAROL.extension)).await);
    assert_eq!(
        told(&ports, &DAN, position).await,
        ["OffHook", "Originated Alerting", "ParkRetrieved Active"]
    );
    assert_eq!(told(&ports, &CAROL, position).await, ["Parked nobody"]);
    let call = good(ports.calls.call(&ALICE.id(), &alice).await);
    assert_eq!((call.state, call.remote.user_id), (CallState::Active, Some(DAN.id())));
    not_found(ports.calls.pick_up(&DAN.id(), &of(CAROL.extension)).await);

    // Against whoever is free; one at a time.
    let first = good(ports.calls.act(&DAN.id(), &start.call_id, &park(Some(CAROL.extension))).await);
    assert_eq!(first.map(|at| at.value).as_deref(), Some(CAROL.extension));
    let (_, carol) = connect(&ports, &EVE, &CAROL).await;
    wrong_state(ports.calls.act(&CAROL.id(), &carol, &park(None)).await);
    let at = good(ports.calls.act(&CAROL.id(), &carol, &CallAction::GroupPark).await).expect("parked");
    assert_eq!(at.value, ALICE.extension, "the first of the group against whom nothing is parked");

    // It comes back to who parked it.
    let position = good(ports.feed.position().await);
    fixture.advance(Duration::from_secs(50)).await;
    let recall = call_in(&ports, &DAN, CallState::Alerting).await;
    let call = good(ports.calls.call(&DAN.id(), &recall).await);
    assert_eq!((call.recall, call.remote.user_id), (Some(RecallType::CallPark), Some(ALICE.id())));
    assert_eq!(told(&ports, &ALICE, position).await, ["Updated Alerting", "Parked nobody"]);
    act(&ports, &DAN, &recall, CallAction::Talk).await;
    assert_eq!(state_of(&ports, &ALICE, &alice).await, CallState::Active);
    let other = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &other, CallAction::Release).await;
    // Who is parked may leave.
    act(&ports, &DAN, &recall, park(None)).await;
    let position = good(ports.feed.position().await);
    act(&ports, &ALICE, &alice, CallAction::Release).await;
    assert_eq!(told(&ports, &DAN, position).await, ["Parked nobody"]);
    fixture.advance(Duration::from_mins(2)).await;
    assert!(good(ports.calls.overview(&DAN.id()).await).calls.is_empty());
}

/// Calls that ring at others of the group.
pub async fn pick_ups(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    not_found(ports.calls.pick_up(&CAROL.id(), &PickUp::Group).await);
    let first = dial(&ports, &DAN, BO.extension).await;
    fixture.advance(Duration::from_secs(1)).await;
    let second = dial(&ports, &EVE, ALICE.number).await;
    let position = good(ports.feed.position().await);
    // Nobody of another group.
    let of_bo = PickUp::Directed { address: BO.extension.to_owned() };
    not_found(ports.calls.pick_up(&EVE.id(), &PickUp::Directed { address: BO.number.to_owned() }).await);
    let taken = good(ports.calls.pick_up(&CAROL.id(), &PickUp::Group).await);
    let call = good(ports.calls.call(&CAROL.id(), &taken.call_id).await);
    assert_eq!((call.state, call.personality), (CallState::Active, CallPersonality::Terminator));
    assert_eq!(call.remote.user_id, Some(DAN.id()), "the one that rang first");
    assert_eq!(told(&ports, &BO, position).await, ["PickedUp Alerting", "Released Released"]);
    assert_eq!(state_of(&ports, &DAN, &first.call_id).await, CallState::Active);
    assert_eq!(good(ports.calls.call(&DAN.id(), &first.call_id).await).remote.user_id, Some(CAROL.id()));
    not_found(ports.calls.pick_up(&ALICE.id(), &of_bo).await);
    let of_alice = PickUp::Directed { address: ALICE.extension.to_owned() };
    let taken = good(ports.calls.pick_up(&BO.id(), &of_alice).await);
    assert_eq!(state_of(&ports, &EVE, &second.call_id).await, CallState::Active);
    act(&ports, &BO, &taken.call_id, CallAction::Release).await;
    assert_eq!(state_of(&ports, &EVE, &second.call_id).await, CallState::Released);
    invalid(ports.calls.pick_up(&BO.id(), &PickUp::Directed { address: "nonsense".to_owned() }).await);
}

/// Transferred calls that come back, and those that wait for somebody busy.
pub async fn recalls(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let recall = [("recallActive", Some("true")), ("recallNumberOfRings", Some("2"))];
    change(&ports, &BO.id(), ServiceKind::CallTransfer, &recall).await;
    let (alice, bo) = connect(&ports, &ALICE, &BO).await;
    let to = |address: &str| CallAction::BlindTransfer { address: address.to_owned() };
    act(&ports, &BO, &bo, to(CAROL.extension)).await;
    call_in(&ports, &CAROL, CallState::Alerting).await;
    fixture.advance(Duration::from_secs(13)).await;
    let back = call_in(&ports, &BO, CallState::Alerting).await;
    let call = good(ports.calls.call(&BO.id(), &back).await);
    assert_eq!((call.recall, call.remote.user_id), (Some(RecallType::CallTransfer), Some(ALICE.id())));
    assert!(good(ports.calls.overview(&CAROL.id()).await).calls.is_empty());
    act(&ports, &BO, &back, CallAction::Talk).await;
    assert_eq!(state_of(&ports, &ALICE, &alice).await, CallState::Active);

    // Carol is busy; the call waits until she is not.
    change(&ports, &CAROL.id(), ServiceKind::CallWaiting, &[(crate::ACTIVE, Some("false"))]).await;
    let (dan, _) = connect(&ports, &DAN, &CAROL).await;
    wrong_state(ports.calls.act(&BO.id(), &back, &to(CAROL.extension)).await);
    let camp = [("busyCampOnActive", Some("true")), ("busyCampOnSeconds", Some("30"))];
    change(&ports, &BO.id(), ServiceKind::CallTransfer, &camp).await;
    act(&ports, &BO, &back, to(CAROL.extension)).await;
    assert_eq!(state_of(&ports, &ALICE, &alice).await, CallState::Alerting);
    fixture.advance(Duration::from_secs(10)).await;
    act(&ports, &DAN, &dan, CallAction::Release).await;
    fixture.advance(Duration::from_secs(3)).await;
    let carol = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &carol, CallAction::Talk).await;
    assert_eq!(state_of(&ports, &ALICE, &alice).await, CallState::Active);
    act(&ports, &CAROL, &carol, CallAction::Release).await;

    // Or not in time.
    let (dan, _) = connect(&ports, &DAN, &CAROL).await;
    let (alice, bo) = connect(&ports, &ALICE, &BO).await;
    act(&ports, &BO, &bo, to(CAROL.extension)).await;
    for _ in 0..12 {
        fixture.advance(Duration::from_secs(3)).await;
    }
    let back = call_in(&ports, &BO, CallState::Alerting).await;
    assert_eq!(good(ports.calls.call(&BO.id(), &back).await).recall, Some(RecallType::BusyCampOn));
    act(&ports, &ALICE, &alice, CallAction::Release).await;
    act(&ports, &DAN, &dan, CallAction::Release).await;
    // A call that must not be forwarded is not.
    let inhibit =
        [("useDiversionInhibitorForBlindTransfer", Some("true")), ("busyCampOnActive", Some("false"))];
    change(&ports, &BO.id(), ServiceKind::CallTransfer, &inhibit).await;
    let forward = [(crate::ACTIVE, Some("true")), (crate::FORWARD_TO, Some(DAN.number))];
    change(&ports, &CAROL.id(), ServiceKind::CallForwardingAlways, &forward).await;
    let (_, bo) = connect(&ports, &ALICE, &BO).await;
    wrong_state(ports.calls.act(&BO.id(), &bo, &to(CAROL.extension)).await);
    // Deflection is for calls that ring.
    wrong_state(
        ports.calls.act(&BO.id(), &bo, &CallAction::Deflect { address: DAN.number.to_owned() }).await,
    );
    act(&ports, &BO, &bo, CallAction::Release).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let bo = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &bo, CallAction::Deflect { address: DAN.number.to_owned() }).await;
    call_in(&ports, &DAN, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
}

/// Conferences.
pub async fn conferences(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    not_found(ports.calls.conference(&ALICE.id()).await);
    let (one, bo) = connect(&ports, &ALICE, &BO).await;
    let confer = async |action| ports.calls.confer(&ALICE.id(), &action).await;
    not_found(confer(ConferenceAction::Hold).await);
    let ringing = dial(&ports, &ALICE, CAROL.extension).await;
    let two = ringing.call_id;
    wrong_state(confer(ConferenceAction::Start(one.clone(), two.clone())).await);
    wrong_state(confer(ConferenceAction::Start(one.clone(), one.clone())).await);
    not_found(confer(ConferenceAction::Start(one.clone(), CallId("callhalf-0:0".to_owned()))).await);
    let carol = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &carol, CallAction::Talk).await;
    let position = good(ports.feed.position().await);
    good(confer(ConferenceAction::Start(one.clone(), two.clone())).await);
    assert_eq!(told(&ports, &ALICE, position).await, ["Retrieved Active", "Conference Started Active"]);
    for (person, call) in [(ALICE, &one), (ALICE, &two), (BO, &bo), (CAROL, &carol)] {
        assert_eq!(state_of(&ports, &person, call).await, CallState::Active, "{}", person.user_id);
    }
    let overview = good(ports.calls.overview(&ALICE.id()).await);
    assert!(overview.calls.iter().all(|call| call.in_conference));
    assert_eq!(overview.conference.map(|conference| conference.participants.len()), Some(2));
    wrong_state(ports.calls.act(&ALICE.id(), &one, &CallAction::Hold).await);

    // A third one: the conference waits meanwhile.
    let (three, dan) = connect(&ports, &ALICE, &DAN).await;
    assert_eq!(good(ports.calls.conference(&ALICE.id()).await).state, CallState::Held);
    assert_eq!(state_of(&ports, &BO, &bo).await, CallState::RemoteHeld);
    wrong_state(confer(ConferenceAction::Add(three.clone())).await);
    good(confer(ConferenceAction::Talk).await);
    assert_eq!(state_of(&ports, &ALICE, &three).await, CallState::Held, "one at a time");
    good(confer(ConferenceAction::Add(three.clone())).await);
    assert_eq!(state_of(&ports, &DAN, &dan).await, CallState::Active);

    let position = good(ports.feed.position().await);
    good(confer(ConferenceAction::MuteCall(two.clone(), true)).await);
    good(confer(ConferenceAction::DeafenCall(three.clone(), true)).await);
    good(confer(ConferenceAction::Mute(true)).await);
    let conference = good(ports.calls.conference(&ALICE.id()).await);
    assert!(conference.muted);
    let found = |id: &CallId| {
        let part = conference.participants.iter().find(|part| part.call == *id).expect("part of it");
        (part.muted, part.deaf)
    };
    assert_eq!((found(&one), found(&two), found(&three)), ((false, false), (true, false), (false, true)));
    good(confer(ConferenceAction::MuteCall(two.clone(), false)).await);
    good(confer(ConferenceAction::DeafenCall(three.clone(), false)).await);
    good(confer(ConferenceAction::Mute(false)).await);
    let kinds = ["CallMuted", "CallMadeDeaf", "Muted", "CallUnMuted", "CallMadeUnDeaf", "Unmuted"];
    let expected: Vec<String> = kinds.iter().map(|kind| format!("Conference {kind} Active")).collect();
    assert_eq!(told(&ports, &ALICE, position).await, expected);

    good(confer(ConferenceAction::Drop(three)).await);
    assert_eq!(state_of(&ports, &DAN, &dan).await, CallState::Released);
    let position = good(ports.feed.position().await);
    act(&ports, &BO, &bo, CallAction::Release).await;
    assert_eq!(told(&ports, &ALICE, position).await, ["Released Released", "Conference Released Released"]);
    not_found(ports.calls.conference(&ALICE.id()).await);
    let last = good(ports.calls.call(&ALICE.id(), &two).await);
    assert_eq!((last.state, last.in_conference), (CallState::Active, false), "the last call goes on");
    let (one, bo) = connect(&ports, &BO, &ALICE).await;
    good(confer(ConferenceAction::Start(two, bo)).await);
    good(confer(ConferenceAction::Release).await);
    assert_eq!(state_of(&ports, &BO, &one).await, CallState::Released);
    assert!(good(ports.calls.overview(&ALICE.id()).await).calls.is_empty());
}

/// Recording.
pub async fn recording(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let mode = async |mode| {
        change(&ports, &BO.id(), ServiceKind::CallRecording, &[(crate::RECORDING_MODE, Some(mode))]).await;
    };
    let of = async |call: &CallId| {
        good(ports.calls.call(&BO.id(), call).await).recording.expect("has the service")
    };
    mode("on-demand-user-start").await;
    let (alice, bo) = connect(&ports, &ALICE, &BO).await;
    let try_to = async |action| ports.calls.act(&BO.id(), &bo, &action).await;
    assert_eq!(of(&bo).await.controls, RecordingControls::Record);
    wrong_state(try_to(CallAction::PauseRecording).await);
    let position = good(ports.feed.position().await);
    good(try_to(CallAction::Record).await);
    let recording = of(&bo).await;
    assert_eq!((recording.state, recording.recorded), (Some(RecordingState::Started), true));
    assert_eq!(recording.controls, RecordingControls::PauseStop);
    wrong_state(try_to(CallAction::Record).await);
    good(try_to(CallAction::PauseRecording).await);
    assert_eq!(of(&bo).await.controls, RecordingControls::ResumeStop);
    good(try_to(CallAction::ResumeRecording).await);
    good(try_to(CallAction::StopRecording).await);
    assert_eq!((of(&bo).await.state, of(&bo).await.recorded), (None, true));
    act(&ports, &ALICE, &alice, CallAction::Release).await;
    let kinds = ["Starting", "Started", "Paused", "Resumed", "Stopped"];
    let mut expected: Vec<String> = kinds.iter().map(|kind| format!("Recording{kind} Active")).collect();
    expected.extend(["Released Released".to_owned(), "OnHook".to_owned()]);
    assert_eq!(told(&ports, &BO, position).await, expected);

    mode("always").await;
    let position = good(ports.feed.position().await);
    let (_, bo) = connect(&ports, &ALICE, &BO).await;
    wrong_state(ports.calls.act(&BO.id(), &bo, &CallAction::StopRecording).await);
    act(&ports, &BO, &bo, CallAction::Release).await;
    let events = told(&ports, &BO, position).await;
    let recorded: Vec<_> = events.iter().filter(|event| event.starts_with("Recording")).collect();
    assert_eq!(recorded.len(), 3, "begins with the answer, ends with the call: {events:?}");
    mode("never").await;
    let (_, bo) = connect(&ports, &ALICE, &BO).await;
    wrong_state(ports.calls.act(&BO.id(), &bo, &CallAction::Record).await);
    fixture.unassign(&CAROL.id(), ServiceKind::CallRecording).await;
    act(&ports, &BO, &bo, CallAction::Release).await;
    let (_, carol) = connect(&ports, &ALICE, &CAROL).await;
    assert_eq!(good(ports.calls.call(&CAROL.id(), &carol).await).recording, None);
    let refused = ports.calls.act(&CAROL.id(), &carol, &CallAction::Record).await;
    assert!(matches!(refused, Err(PortError::NotAssigned { .. })), "{refused:?}");
}
