//! Queues and agents.

use super::calls::{act, dial};
use super::{
    ALICE, BO, CAROL, DAN, EVE, Fixture, Person, call_in, good, invalid, not_found, state_of, told,
    wrong_state,
};
use crate::{AcdState, AgentChange, CallAction, CallState, InternalReleaseCause, PortError, Ports};
use std::time::Duration;

async fn turn(ports: &Ports, person: &Person, state: AcdState) {
    let change = AgentChange { state: Some(state), ..AgentChange::default() };
    good(ports.call_centers.change_agent(&person.id(), &change).await);
}

async fn state(ports: &Ports, person: &Person) -> AcdState {
    good(ports.call_centers.agent(&person.id()).await).1.status.state
}

/// A call centre, Carol, with the agents Alice and Bo.
pub async fn call_centers(fixture: &dyn Fixture) {
    let (ports, second) = (fixture.ports(), fixture.second());
    not_found(ports.call_centers.call_center(&CAROL.id()).await);
    not_found(ports.call_centers.queue(&CAROL.id()).await);
    let none = ports.call_centers.agent(&ALICE.id()).await;
    assert!(matches!(none, Err(PortError::NotAssigned { .. })), "{none:?}");
    fixture.call_center(&CAROL.id(), &[ALICE.id(), BO.id()]).await;
    let profile = good(second.call_centers.call_center(&CAROL.id()).await);
    assert_eq!((profile.extension.as_deref(), profile.agents.len()), (Some(CAROL.extension), 2));
    assert_eq!(state(&ports, &ALICE).await, AcdState::SignOut);

    // Nobody is there: the caller waits, and hears that it is connected.
    let position = good(ports.feed.position().await);
    let first = dial(&ports, &DAN, CAROL.extension).await;
    let call = good(ports.calls.call(&DAN.id(), &first.call_id).await);
    assert_eq!((call.state, call.remote.user_id), (CallState::Active, Some(CAROL.id())));
    for action in [CallAction::Hold, CallAction::Park { address: None }] {
        wrong_state(ports.calls.act(&DAN.id(), &first.call_id, &action).await);
    }
    fixture.advance(Duration::from_secs(3)).await;
    let (_, entries) = good(second.call_centers.queue(&CAROL.id()).await);
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].remote.user_id.clone(), entries[0].call_id.clone()),
        (Some(DAN.id()), first.call_id.clone())
    );
    assert_eq!(told(&ports, &CAROL, position).await, ["Queue Added"]);

    // Bo comes, then Alice; the one who is free for longest gets the first.
    let events = good(ports.feed.position().await);
    turn(&second, &BO, AcdState::SignIn).await;
    assert_eq!(told(&ports, &BO, events).await, ["Agent SignIn"]);
    turn(&ports, &BO, AcdState::Available).await;
    fixture.advance(Duration::from_millis(10)).await;
    turn(&ports, &ALICE, AcdState::Available).await;
    fixture.advance(Duration::from_secs(2)).await;
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    let info = good(ports.calls.call(&BO.id(), &ringing).await).acd.expect("it comes from a queue");
    assert_eq!((info.user_id, info.waiting), (CAROL.id(), 0));
    assert!(info.waited >= 3_000, "{}", info.waited);
    assert!(good(ports.calls.overview(&ALICE.id()).await).calls.is_empty());
    // He does not take it, and she gets it.
    act(&ports, &BO, &ringing, CallAction::Decline).await;
    fixture.advance(Duration::from_secs(2)).await;
    let alice = call_in(&ports, &ALICE, CallState::Alerting).await;
    // Nor does she, in twelve seconds.
    fixture.advance(Duration::from_secs(13)).await;
    fixture.advance(Duration::from_secs(2)).await;
    assert_eq!(state_of(&ports, &ALICE, &alice).await, CallState::Released);
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    act(&ports, &BO, &ringing, CallAction::Talk).await;
    let call = good(ports.calls.call(&DAN.id(), &first.call_id).await);
    assert_eq!((call.state, call.remote.user_id), (CallState::Active, Some(BO.id())));
    assert!(good(ports.call_centers.queue(&CAROL.id()).await).1.is_empty());
    let kinds = [
        "Added",
        "OfferedToAgent",
        "Bounced",
        "OfferedToAgent",
        "Bounced",
        "OfferedToAgent",
        "AnsweredByAgent",
    ];
    let expected: Vec<String> = kinds.iter().map(|kind| format!("Queue {kind}")).collect();
    assert_eq!(told(&ports, &CAROL, position).await, expected);

    // Who talks gets no other; two may wait, a third finds it full.
    turn(&ports, &ALICE, AcdState::Unavailable).await;
    let second_call = dial(&ports, &EVE, CAROL.number).await;
    let third = dial(&ports, &ALICE, CAROL.extension).await;
    let full = dial(&ports, &DAN, CAROL.extension).await;
    let call = good(ports.calls.call(&DAN.id(), &full.call_id).await);
    assert_eq!(call.release_cause, Some(InternalReleaseCause::Busy));
    act(&ports, &ALICE, &third.call_id, CallAction::Release).await;
    fixture.advance(Duration::from_secs(3)).await;
    assert_eq!(good(ports.calls.overview(&BO.id()).await).calls.len(), 1);

    // After the call it is worked up, then the next one rings.
    let events = good(ports.feed.position().await);
    let talking = ringing;
    act(&ports, &BO, &talking, CallAction::Release).await;
    assert_eq!(state(&ports, &BO).await, AcdState::WrapUp);
    fixture.advance(Duration::from_secs(3)).await;
    assert!(good(ports.calls.overview(&BO.id()).await).calls.is_empty());
    fixture.advance(Duration::from_secs(8)).await;
    fixture.advance(Duration::from_secs(2)).await;
    assert_eq!(state(&ports, &BO).await, AcdState::Available);
    let ringing = call_in(&ports, &BO, CallState::Alerting).await;
    let agent: Vec<String> =
        told(&ports, &BO, events).await.into_iter().filter(|event| event.starts_with("Agent")).collect();
    assert_eq!(agent, ["Agent WrapUp", "Agent Available"]);
    // The caller gives up while it rings; the agent is free again at once.
    act(&ports, &EVE, &second_call.call_id, CallAction::Release).await;
    assert_eq!(state_of(&ports, &BO, &ringing).await, CallState::Released);
    assert_eq!(state(&ports, &BO).await, AcdState::Available);

    // Nobody takes it for too long.
    turn(&ports, &BO, AcdState::SignOut).await;
    let start = dial(&ports, &DAN, CAROL.extension).await;
    for _ in 0..5 {
        fixture.advance(Duration::from_secs(14)).await;
    }
    let call = good(ports.calls.call(&DAN.id(), &start.call_id).await);
    assert_eq!(call.release_cause, Some(InternalReleaseCause::TemporarilyUnavailable));

    // Codes and queues of one's own only.
    let with_code = |code: &str| AgentChange {
        state: Some(AcdState::Unavailable),
        unavailable_code: Some(Some(code.to_owned())),
        ..AgentChange::default()
    };
    good(ports.call_centers.change_agent(&BO.id(), &with_code("10")).await);
    let (_, agent) = good(second.call_centers.agent(&BO.id()).await);
    assert_eq!(agent.status.unavailable_code.as_deref(), Some("10"));
    invalid(ports.call_centers.change_agent(&BO.id(), &with_code("11")).await);
    let join =
        |center: &Person, joins| AgentChange { joins: vec![(center.id(), joins)], ..AgentChange::default() };
    invalid(ports.call_centers.change_agent(&BO.id(), &join(&DAN, true)).await);
    good(ports.call_centers.change_agent(&BO.id(), &join(&CAROL, false)).await);
    turn(&ports, &BO, AcdState::Available).await;
    dial(&ports, &DAN, CAROL.extension).await;
    fixture.advance(Duration::from_secs(3)).await;
    assert!(good(ports.calls.overview(&BO.id()).await).calls.is_empty(), "who left takes none");
    good(ports.call_centers.change_agent(&BO.id(), &join(&CAROL, true)).await);
    fixture.advance(Duration::from_secs(3)).await;
    call_in(&ports, &BO, CallState::Alerting).await;
    wrong_state(
        ports
            .call_centers
            .change_agent(
                &ALICE.id(),
                &AgentChange { state: Some(AcdState::WrapUp), ..AgentChange::default() },
            )
            .await,
    );
    assert_eq!(good(ports.call_centers.unavailable_codes(super::ENTERPRISE).await).len(), 1);
}
