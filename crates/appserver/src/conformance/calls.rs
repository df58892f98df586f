//! Calls and call logs.

use super::{
    ALICE, BO, CAROL, DAN, EVE, Fixture, Person, call_in, change, good, invalid, nobody, not_found, now,
    state_of, told, wrong_state,
};
use crate::{
    ACTIVE, CallAction, CallId, CallLogKind, CallStart, CallState, CallType, DialOptions, FORWARD_TO,
    HookStatus, InternalReleaseCause, NUMBER_OF_RINGS, PHONE_NUMBER, Patch, PortError, Ports, ReleasingParty,
    SPEED_CODE, SPEED_DIAL_8, SPEED_DIAL_100, ServiceKind,
};
use std::time::Duration;

pub(super) async fn dial(ports: &Ports, caller: &Person, address: &str) -> CallStart {
    good(ports.calls.dial(&caller.id(), address, &DialOptions::default()).await)
}

pub(super) async fn act(ports: &Ports, person: &Person, call: &CallId, action: CallAction) {
    good(ports.calls.act(&person.id(), call, &action).await);
}

/// Dials and answers; gives both halves.
pub(super) async fn connect(ports: &Ports, caller: &Person, callee: &Person) -> (CallId, CallId) {
    let start = dial(ports, caller, callee.number).await;
    let ringing = call_in(ports, callee, CallState::Alerting).await;
    act(ports, callee, &ringing, CallAction::Talk).await;
    (start.call_id, ringing)
}

pub(super) async fn log(ports: &Ports, person: &Person, kind: CallLogKind) -> Vec<(String, String)> {
    let page = good(ports.calls.call_log(&person.id(), kind, 1, 50).await);
    page.entries.into_iter().map(|entry| (entry.number.value, entry.name)).collect()
}

/// A call from dialling to its log entries.
pub async fn calls(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    let overview = good(ports.calls.overview(&BO.id()).await);
    assert_eq!(
        (overview.hook_status, overview.calls.len()),
        (HookStatus::OnHook, 1),
        "ringing is not off-hook"
    );
    let ringing = &overview.calls[0];
    assert!(ringing.allow_answer);
    assert_eq!(ringing.external_tracking_id, start.external_tracking_id, "shared by both halves");
    assert_ne!(ringing.id, start.call_id);
    assert_eq!(ringing.remote.user_id, Some(ALICE.id()));
    assert_eq!(ringing.remote.call_type, CallType::Group);
    assert_eq!(ringing.remote.address.value, ALICE.extension);
    assert_eq!(ringing.remote.name.as_deref(), Some("Alice Carter"));
    let own = good(ports.calls.overview(&ALICE.id()).await);
    assert_eq!((own.hook_status, own.calls[0].state), (HookStatus::OffHook, CallState::Alerting));
    let ringing = ringing.id.clone();
    wrong_state(ports.calls.act(&ALICE.id(), &start.call_id, &CallAction::Talk).await);
    wrong_state(ports.calls.act(&ALICE.id(), &start.call_id, &CallAction::Hold).await);
    not_found(ports.calls.act(&BO.id(), &start.call_id, &CallAction::Talk).await);

    fixture.advance(Duration::from_secs(2)).await;
    act(&ports, &BO, &ringing, CallAction::Talk).await;
    let answered = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!(answered.state, CallState::Active);
    assert!(answered.answer_time.is_some_and(|at| at >= answered.start_time + 2_000));
    act(&ports, &ALICE, &start.call_id, CallAction::Hold).await;
    assert_eq!(state_of(&ports, &BO, &ringing).await, CallState::RemoteHeld);
    act(&ports, &BO, &ringing, CallAction::Hold).await;
    fixture.advance(Duration::from_secs(3)).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Talk).await;
    assert_eq!(
        state_of(&ports, &ALICE, &start.call_id).await,
        CallState::RemoteHeld,
        "still held by the other"
    );
    act(&ports, &BO, &ringing, CallAction::Reconnect).await;
    let talking = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!((talking.state, talking.total_held_time), (CallState::Active, Some(3_000)));
    act(&ports, &BO, &ringing, CallAction::Release).await;
    wrong_state(ports.calls.act(&BO.id(), &ringing, &CallAction::Release).await);

    let over = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!((over.state, over.releasing_party), (CallState::Released, Some(ReleasingParty::Remote)));
    assert_eq!(over.release_cause, None);
    assert!(good(ports.calls.overview(&ALICE.id()).await).calls.is_empty());
    assert_eq!(
        told(&ports, &ALICE, position).await,
        [
            "Originating Alerting",
            "OffHook",
            "Originated Alerting",
            "Answered Active",
            "Held Held",
            "Retrieved RemoteHeld",
            "Updated Active",
            "Released Released",
            "OnHook"
        ]
    );
    assert_eq!(
        told(&ports, &BO, position).await,
        [
            "Received Alerting",
            "OffHook",
            "Answered Active",
            "Updated RemoteHeld",
            "Held Held",
            "Retrieved Active",
            "Released Released",
            "OnHook"
        ]
    );
    assert_eq!(
        log(&ports, &ALICE, CallLogKind::Placed).await,
        [(BO.extension.to_owned(), "Bo Lindqvist".to_owned())]
    );
    assert_eq!(log(&ports, &BO, CallLogKind::Received).await.len(), 1);
    assert!(log(&ports, &BO, CallLogKind::Missed).await.is_empty());

    // Every way to write the same address reaches the same person.
    let forms = [
        "tel:2102",
        "+12125550102",
        "tel:+1-212-555-0102",
        "2125550102",
        "sip:bo@acme.example",
        "BO@acme.example",
    ];
    for form in forms {
        let start = dial(&ports, &ALICE, form).await;
        let call = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
        assert_eq!(call.remote.user_id, Some(BO.id()), "{form}");
        act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    }
    assert_eq!(
        log(&ports, &BO, CallLogKind::Missed).await.len(),
        forms.len(),
        "given up before the answer: missed"
    );
    let page = good(ports.calls.call_log(&BO.id(), CallLogKind::Missed, 2, 2).await);
    assert_eq!((page.entries.len(), page.total), (2, forms.len()));
    assert!(page.entries[0].time >= page.entries[1].time, "newest first");

    // Strangers see numbers, not user ids; another group is the enterprise.
    let (mine, theirs) = connect(&ports, &ALICE, &EVE).await;
    let call = good(ports.calls.call(&EVE.id(), &theirs).await);
    assert_eq!((call.remote.call_type, call.remote.user_id), (CallType::Network, None));
    assert_eq!(call.remote.address.value, ALICE.number);
    assert_eq!(call.remote.address.country_code.as_deref(), Some("1"));
    act(&ports, &ALICE, &mine, CallAction::Release).await;
    let (mine, _) = connect(&ports, &ALICE, &DAN).await;
    let call = good(ports.calls.call(&ALICE.id(), &mine).await);
    assert_eq!((call.remote.call_type, call.remote.user_id), (CallType::Enterprise, Some(DAN.id())));
    act(&ports, &ALICE, &mine, CallAction::Release).await;

    // Failures.
    let failed = dial(&ports, &ALICE, "+12125559999").await;
    let call = good(ports.calls.call(&ALICE.id(), &failed.call_id).await);
    assert_eq!(
        (call.state, call.release_cause),
        (CallState::Released, Some(InternalReleaseCause::UserNotFound))
    );
    let start = dial(&ports, &ALICE, BO.extension).await;
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &ringing, CallAction::Decline).await;
    let call = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!(call.release_cause, Some(InternalReleaseCause::Busy));
    for bad in ["", "not an address", "tel:", "sip:@"] {
        invalid(ports.calls.dial(&ALICE.id(), bad, &DialOptions::default()).await);
    }
    not_found(ports.calls.dial(&nobody(), BO.extension, &DialOptions::default()).await);
    not_found(ports.calls.overview(&nobody()).await);
    not_found(ports.calls.call(&nobody(), &start.call_id).await);
    not_found(ports.calls.call(&ALICE.id(), &CallId("callhalf-0:0".to_owned())).await);
    not_found(ports.calls.call_log(&nobody(), CallLogKind::Placed, 1, 1).await);
    good(ports.calls.clear_call_logs(&BO.id()).await);
    assert!(log(&ports, &BO, CallLogKind::Missed).await.is_empty());
    assert!(!log(&ports, &ALICE, CallLogKind::Placed).await.is_empty(), "others keep theirs");
    not_found(ports.calls.clear_call_logs(&nobody()).await);

    // A released call is forgotten after a while.
    fixture.advance(Duration::from_hours(1)).await;
    not_found(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert!(now(&ports) > over.start_time);
}

/// Do Not Disturb and call forwarding.
pub async fn forwarding(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let always = async |person: &Person, to: Option<&Person>| {
        let wish = match to {
            Some(to) => [(ACTIVE, Some("true")), (FORWARD_TO, Some(to.extension))],
            None => [(ACTIVE, Some("false")), (FORWARD_TO, None)],
        };
        change(&ports, &person.id(), ServiceKind::CallForwardingAlways, &wish).await;
    };
    let disturb = async |active| {
        change(&ports, &BO.id(), ServiceKind::DoNotDisturb, &[(ACTIVE, Some(active))]).await;
    };
    let cause =
        async |start: &CallStart| good(ports.calls.call(&ALICE.id(), &start.call_id).await).release_cause;

    disturb("true").await;
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(cause(&start).await, Some(InternalReleaseCause::Busy));
    assert!(told(&ports, &BO, position).await.is_empty(), "who does not want to be disturbed is not");
    assert_eq!(log(&ports, &BO, CallLogKind::Missed).await.len(), 1);
    let to_carol = [(ACTIVE, Some("true")), (FORWARD_TO, Some(CAROL.number))];
    change(&ports, &BO.id(), ServiceKind::CallForwardingBusy, &to_carol).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    disturb("false").await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &ringing, CallAction::Decline).await;
    call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;

    always(&BO, Some(&CAROL)).await;
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(told(&ports, &BO, position).await, ["Forwarded Detached"]);
    let detached = call_in(&ports, &BO, CallState::Detached).await;
    let redirect = good(ports.calls.call(&BO.id(), &detached).await).redirect.expect("redirected");
    assert_eq!(
        (redirect.reason.as_str(), redirect.address.value.as_str()),
        ("unconditional", CAROL.extension)
    );
    let ringing = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &ringing, CallAction::Talk).await;
    assert_eq!(good(ports.calls.call(&ALICE.id(), &start.call_id).await).remote.user_id, Some(CAROL.id()));
    act(&ports, &CAROL, &ringing, CallAction::Release).await;
    assert_eq!(told(&ports, &BO, position).await, ["Forwarded Detached", "Released Released"]);

    // A loop ends.
    always(&CAROL, Some(&BO)).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert!(cause(&start).await.is_some());
    assert!(good(ports.calls.overview(&ALICE.id()).await).calls.is_empty());
}

/// Call waiting, callers who hide, and speed dials.
pub async fn call_services(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let turn = async |person: &Person, kind, on: bool| {
        change(&ports, &person.id(), kind, &[(ACTIVE, Some(if on { "true" } else { "false" }))]).await;
    };
    let cause =
        async |start: &CallStart| good(ports.calls.call(&ALICE.id(), &start.call_id).await).release_cause;

    // One call at a time.
    let first = dial(&ports, &BO, CAROL.extension).await;
    turn(&BO, ServiceKind::CallWaiting, false).await;
    let refused = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(cause(&refused).await, Some(InternalReleaseCause::Busy));
    turn(&BO, ServiceKind::CallWaiting, true).await;
    let second = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(cause(&second).await, None);
    act(&ports, &ALICE, &second.call_id, CallAction::Release).await;
    act(&ports, &BO, &first.call_id, CallAction::Release).await;

    // Who calls is not shown, in no way; who is called hides nothing.
    turn(&ALICE, ServiceKind::CallingLineIdDeliveryBlocking, true).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    assert!(good(ports.calls.call(&BO.id(), &ringing).await).remote.private);
    assert!(!good(ports.calls.call(&ALICE.id(), &start.call_id).await).remote.private);
    act(&ports, &BO, &ringing, CallAction::Talk).await;
    assert!(
        good(ports.calls.call(&BO.id(), &ringing).await).remote.private,
        "an answer tells nothing either"
    );
    act(&ports, &BO, &ringing, CallAction::Release).await;
    let logged = log(&ports, &BO, CallLogKind::Received).await;
    assert_eq!(logged, [(String::new(), "Unavailable".to_owned())]);
    turn(&BO, ServiceKind::AnonymousCallRejection, true).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    assert_eq!(cause(&start).await, Some(InternalReleaseCause::Forbidden));
    turn(&BO, ServiceKind::CallingLineIdBlockingOverride, true).await;
    let start = dial(&ports, &ALICE, BO.extension).await;
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    assert!(!good(ports.calls.call(&BO.id(), &ringing).await).remote.private, "who may see it sees it");
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    turn(&ALICE, ServiceKind::CallingLineIdDeliveryBlocking, false).await;

    // Codes lead where they say, and nowhere once they are gone.
    for (kind, member, code, dialled) in [
        (ServiceKind::SpeedDial8, SPEED_DIAL_8, "4", "4"),
        (ServiceKind::SpeedDial100, SPEED_DIAL_100, "07", "#07"),
    ] {
        let set = |number: Option<&str>| {
            let number = (PHONE_NUMBER, number);
            good(kind.entry_patch(member, &[(SPEED_CODE, Some(code)), number]))
        };
        good(ports.services.change_service(&ALICE.id(), kind, set(Some(CAROL.number))).await);
        invalid(ports.services.change_service(&ALICE.id(), kind, set(Some("no number"))).await);
        let keyless: Patch = good(kind.entry_patch(member, &[(PHONE_NUMBER, Some(CAROL.number))]));
        invalid(ports.services.change_service(&ALICE.id(), kind, keyless).await);
        let start = dial(&ports, &ALICE, dialled).await;
        call_in(&ports, &CAROL, CallState::Alerting).await;
        act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
        good(ports.services.change_service(&ALICE.id(), kind, set(None)).await);
        let start = dial(&ports, &ALICE, dialled).await;
        assert_eq!(cause(&start).await, Some(InternalReleaseCause::UserNotFound));
        let (_, service) = good(ports.services.service(&ALICE.id(), kind).await);
        assert!(service.settings.entries(member).is_empty());
    }
}

/// Calls that nobody answers.
pub async fn no_answer(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    fixture.advance(fixture.no_answer_timeout() / 2).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    fixture.advance(fixture.no_answer_timeout()).await;
    let call = good(ports.calls.call(&ALICE.id(), &start.call_id).await);
    assert_eq!(call.release_cause, Some(InternalReleaseCause::RequestTimeout));
    assert_eq!(told(&ports, &BO, position).await, ["Received Alerting", "Released Released"]);
    assert_eq!(log(&ports, &BO, CallLogKind::Missed).await.len(), 1);

    let wish = [(ACTIVE, Some("true")), (FORWARD_TO, Some(CAROL.number)), (NUMBER_OF_RINGS, Some("3"))];
    change(&ports, &BO.id(), ServiceKind::CallForwardingNoAnswer, &wish).await;
    let position = good(ports.feed.position().await);
    let start = dial(&ports, &ALICE, BO.extension).await;
    fixture.advance(fixture.no_answer_timeout()).await;
    assert_eq!(told(&ports, &BO, position).await, ["Received Alerting", "Redirected Detached"]);
    let ringing = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &ringing, CallAction::Talk).await;
    fixture.advance(fixture.no_answer_timeout() * 2).await;
    assert_eq!(state_of(&ports, &CAROL, &ringing).await, CallState::Active, "an answered call is left alone");
    act(&ports, &ALICE, &start.call_id, CallAction::Release).await;
    assert!(good(ports.calls.overview(&BO.id()).await).calls.is_empty());
}

/// Blind and consultative transfer.
pub async fn transfers(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let (alice, bo) = connect(&ports, &ALICE, &BO).await;
    let transfer = |to: &str| CallAction::BlindTransfer { address: to.to_owned() };
    invalid(ports.calls.act(&BO.id(), &bo, &transfer("+12125559999")).await);
    invalid(ports.calls.act(&BO.id(), &bo, &transfer("nonsense")).await);
    wrong_state(ports.calls.act(&BO.id(), &bo, &transfer(ALICE.extension)).await);
    let position = good(ports.feed.position().await);
    act(&ports, &BO, &bo, transfer(CAROL.extension)).await;
    assert_eq!(told(&ports, &BO, position).await, ["Transferred Active", "Released Released", "OnHook"]);
    assert_eq!(told(&ports, &ALICE, position).await, ["Updated Alerting"], "it rings again");
    let carol = call_in(&ports, &CAROL, CallState::Alerting).await;
    act(&ports, &CAROL, &carol, CallAction::Talk).await;
    assert_eq!(told(&ports, &ALICE, position).await, ["Updated Alerting", "Answered Active"]);
    assert_eq!(good(ports.calls.call(&ALICE.id(), &alice).await).remote.user_id, Some(CAROL.id()));

    // Carol asks Dan, with Alice on hold, and joins the two.
    let asked = dial(&ports, &CAROL, DAN.number).await;
    assert_eq!(state_of(&ports, &CAROL, &carol).await, CallState::Held, "one call at a time");
    let dan = call_in(&ports, &DAN, CallState::Alerting).await;
    act(&ports, &DAN, &dan, CallAction::Talk).await;
    let join = |other: &CallId| CallAction::ConsultTransfer { other: other.clone() };
    wrong_state(ports.calls.act(&CAROL.id(), &carol, &join(&carol)).await);
    not_found(ports.calls.act(&CAROL.id(), &carol, &join(&alice)).await);
    act(&ports, &CAROL, &carol, join(&asked.call_id)).await;
    assert!(good(ports.calls.overview(&CAROL.id()).await).calls.is_empty());
    for (person, call, other) in [(ALICE, &alice, DAN), (DAN, &dan, ALICE)] {
        let call = good(ports.calls.call(&person.id(), call).await);
        assert_eq!(
            (call.state, call.remote.user_id),
            (CallState::Active, Some(other.id())),
            "{}",
            person.user_id
        );
    }
    act(&ports, &DAN, &dan, CallAction::Release).await;
    assert_eq!(state_of(&ports, &ALICE, &alice).await, CallState::Released);
    assert_eq!(good(ports.calls.overview(&ALICE.id()).await).hook_status, HookStatus::OnHook);

    // Reconnect keeps one call and ends the others.
    let (_, held) = connect(&ports, &ALICE, &BO).await;
    let (_, second) = connect(&ports, &CAROL, &BO).await;
    assert_eq!(state_of(&ports, &BO, &held).await, CallState::Held);
    act(&ports, &BO, &held, CallAction::Reconnect).await;
    assert_eq!(state_of(&ports, &BO, &held).await, CallState::Active);
    assert_eq!(state_of(&ports, &BO, &second).await, CallState::Released);
    assert!(good(ports.calls.overview(&CAROL.id()).await).calls.is_empty());
}

/// Most calls of one subscriber.
pub async fn call_limits(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let most = fixture.calls_per_user();
    for _ in 0..most {
        connect(&ports, &ALICE, &EVE).await;
    }
    let refused = ports.calls.dial(&ALICE.id(), BO.extension, &DialOptions::default()).await;
    assert!(matches!(refused, Err(PortError::LimitReached { .. })), "{refused:?}");
    let busy = dial(&ports, &BO, EVE.number).await;
    let call = good(ports.calls.call(&BO.id(), &busy.call_id).await);
    assert_eq!(call.release_cause, Some(InternalReleaseCause::Busy));
    let active = good(ports.calls.overview(&ALICE.id()).await);
    assert_eq!(active.calls.len(), most);
    assert_eq!(
        active.calls.iter().filter(|call| call.state == CallState::Active).count(),
        1,
        "one at a time"
    );
    let appearances: std::collections::BTreeSet<u32> =
        active.calls.iter().map(|call| call.appearance).collect();
    assert_eq!(appearances.len(), most);
}
