//! The feed, subscriptions, and two processes on one installation.

use super::{ALICE, BO, CAROL, Fixture, call_in, change, events_after, good, not_found, now};
use crate::{
    ACTIVE, CallAction, CallEventKind, CallState, ChannelRecord, DialOptions, Event, Owner, PortError, Ports,
    ServiceKind, SubscriptionRecord, SubscriptionTarget, UserId, request_id,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How soon an event must be seen by another process.
const SOON: Duration = Duration::from_millis(50);
/// When a test gives up.
const TOO_LATE: Duration = Duration::from_secs(10);

async fn toggle(ports: &Ports, user: &UserId, active: bool) {
    let active = if active { "true" } else { "false" };
    change(ports, user, ServiceKind::DoNotDisturb, &[(ACTIVE, Some(active))]).await;
}

/// Order, numbers and limits of the feed.
pub async fn feed(fixture: &dyn Fixture) {
    let (one, two) = (fixture.ports(), fixture.second());
    let begin = good(one.feed.position().await);
    for round in 0..5 {
        let ports = if round % 2 == 0 { &one } else { &two };
        let start = good(ports.calls.dial(&ALICE.id(), BO.extension, &DialOptions::default()).await);
        toggle(ports, &CAROL.id(), round % 2 == 0).await;
        good(ports.calls.act(&ALICE.id(), &start.call_id, &CallAction::Release).await);
    }
    let end = good(two.feed.position().await);
    let events = events_after(&two, begin).await;
    assert_eq!(events.last().map(|event| event.position), Some(end));
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position), "positions grow");
    assert!(events.windows(2).all(|pair| pair[0].time <= pair[1].time), "time does not go back");
    let mut numbers = BTreeMap::<UserId, Vec<u64>>::new();
    for event in &events {
        numbers.entry(event.subscriber.clone()).or_default().push(event.sequence);
    }
    assert_eq!(numbers.len(), 3);
    for (user, numbers) in numbers {
        assert!(
            numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "numbers of {user} have no gap: {numbers:?}"
        );
    }
    // A reader with small pages sees the same.
    let (mut paged, mut position) = (Vec::new(), begin);
    loop {
        let page = good(two.feed.read(position, 7).await);
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        position = last.position;
        paged.extend(page);
    }
    assert_eq!(paged, events);
    assert!(good(one.feed.read(end, 10).await).is_empty());
    assert!(good(one.feed.read(begin, 0).await).is_empty());

    // Whoever is too far behind is told so, and can begin again at the end.
    fixture.advance(Duration::from_hours(25)).await;
    toggle(&one, &CAROL.id(), false).await;
    fixture.advance(Duration::from_secs(1)).await;
    not_found(two.feed.read(begin, 10).await);
    let now_at = good(two.feed.position().await);
    assert!(now_at >= end);
    assert!(good(two.feed.read(now_at, 10).await).is_empty());
}

/// The request id goes with the event.
pub async fn request_ids(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let begin = good(ports.feed.position().await);
    request_id::scope("request-1".to_owned(), toggle(&ports, &ALICE.id(), true)).await;
    toggle(&ports, &ALICE.id(), false).await;
    let events = events_after(&fixture.second(), begin).await;
    let ids: Vec<_> = events.iter().map(|event| event.request_id.as_deref()).collect();
    assert_eq!(ids, [Some("request-1"), None]);
}

/// What is done through one process is seen and continued through the other.
pub async fn two_processes(fixture: &dyn Fixture) {
    let (one, two) = (fixture.ports(), fixture.second());
    let mut delays = Vec::new();
    for _ in 0..10 {
        let mut changes = two.feed.changes();
        changes.borrow_and_update();
        let mut position = good(two.feed.position().await);
        let begin = Instant::now();
        let start = good(one.calls.dial(&ALICE.id(), BO.extension, &DialOptions::default()).await);
        let committed = Instant::now();
        let received = async {
            loop {
                changes.changed().await.expect("the sender lives");
                for event in events_after(&two, position).await {
                    position = event.position;
                    if let Event::Call { kind: CallEventKind::Received, call } = &event.event {
                        return call.id.clone();
                    }
                }
            }
        };
        let ringing = tokio::time::timeout(TOO_LATE, received).await.expect("the event arrives");
        delays.push(committed.elapsed().min(begin.elapsed()));
        assert_eq!(call_in(&two, &BO, CallState::Alerting).await, ringing);
        good(two.calls.act(&BO.id(), &ringing, &CallAction::Talk).await);
        let answered = good(one.calls.call(&ALICE.id(), &start.call_id).await);
        assert_eq!(answered.state, CallState::Active);
        good(one.calls.act(&ALICE.id(), &start.call_id, &CallAction::Release).await);
    }
    // The machine may be busy with something else once; it may not be the rule.
    delays.sort();
    assert!(delays[delays.len() / 2] <= SOON, "events reach the other process late: {delays:?}");

    // Both act on one call at once: one wins, and the call is whole.
    for _ in 0..5 {
        let start = good(one.calls.dial(&ALICE.id(), BO.extension, &DialOptions::default()).await);
        let ringing = call_in(&two, &BO, CallState::Alerting).await;
        let bo = BO.id();
        let (left, right) = tokio::join!(
            one.calls.act(&bo, &ringing, &CallAction::Talk),
            two.calls.act(&bo, &ringing, &CallAction::Talk)
        );
        assert!(left.is_ok() != right.is_ok(), "one answers: {left:?} {right:?}");
        good(two.calls.act(&ALICE.id(), &start.call_id, &CallAction::Release).await);
        assert!(good(one.calls.overview(&bo).await).calls.is_empty());
    }
}

fn channel(id: &str, set: &str, application: Option<&str>, process: &str) -> ChannelRecord {
    ChannelRecord {
        channel_id: id.to_owned(),
        channel_set_id: set.to_owned(),
        owner: Owner::User(ALICE.id()),
        application_id: application.map(str::to_owned),
        priority: 1,
        weight: 50,
        expires_at: None,
        process: process.to_owned(),
    }
}

/// Channels, subscriptions and leases of processes.
pub async fn subscriptions(fixture: &dyn Fixture) {
    let (one, two) = (fixture.ports(), fixture.second());
    let (here, there) = (&one.subscriptions, &two.subscriptions);
    let mut changes = there.changes();
    changes.borrow_and_update();
    let lease = Duration::from_secs(30);
    good(here.process_alive("p1", lease).await);
    good(there.process_alive("p2", lease).await);
    assert!(good(here.put_channel(&channel("c1", "set", Some("app"), "p1")).await).is_empty());
    tokio::time::timeout(TOO_LATE, changes.changed())
        .await
        .expect("in time")
        .expect("the other process is told");
    assert!(
        good(there.put_channel(&channel("c2", "set", Some("app"), "p2")).await).is_empty(),
        "one set may have several"
    );
    assert!(good(here.put_channel(&channel("c3", "loose", None, "p1")).await).is_empty());
    assert!(
        good(here.put_channel(&channel("c4", "loose too", None, "p1")).await).is_empty(),
        "no application, no rule"
    );
    let mut ended = good(there.put_channel(&channel("c5", "other set", Some("app"), "p2")).await);
    ended.sort_by(|a, b| a.channel_id.cmp(&b.channel_id));
    assert_eq!(ended, [channel("c1", "set", Some("app"), "p1"), channel("c2", "set", Some("app"), "p2")]);
    let ids = async |ports: &Ports| {
        let channels = good(ports.subscriptions.channels().await);
        let mut ids: Vec<String> = channels.into_iter().map(|channel| channel.channel_id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&one).await, ["c3", "c4", "c5"]);
    assert!(good(here.remove_channel("c4").await));
    assert!(!good(here.remove_channel("c4").await));

    // A process that is silent loses its channels.
    fixture.advance(Duration::from_secs(20)).await;
    good(there.process_alive("p2", lease).await);
    fixture.advance(Duration::from_secs(20)).await;
    good(there.process_alive("p2", lease).await);
    assert_eq!(ids(&two).await, ["c5"]);

    let record = |id: &str, package: &str, application: Option<&str>| SubscriptionRecord {
        subscription_id: id.to_owned(),
        owner: Owner::User(ALICE.id()),
        target: SubscriptionTarget::User(BO.id()),
        package: package.to_owned(),
        channel_set_id: "set".to_owned(),
        http_contact: (package == "Do Not Disturb").then(|| "https://hook.example/events".to_owned()),
        application_id: application.map(str::to_owned),
        call_control: "com.example.events".to_owned(),
        expires_at: Some(now(&one) + 3_600_000),
        sequence_reserved: 0,
    };
    let first = record("s1", "Advanced Call", None);
    assert_eq!(good(here.add_subscription(&first).await), None);
    assert_eq!(good(here.add_subscription(&record("s2", "Do Not Disturb", None)).await), None);
    assert_eq!(good(here.add_subscription(&record("s3", "Advanced Call", Some("app"))).await), None);
    assert_eq!(good(there.subscription("s1").await), first);
    let posted = good(there.subscription("s2").await).http_contact;
    assert_eq!(posted.as_deref(), Some("https://hook.example/events"));
    let again = record("s4", "Advanced Call", None);
    assert_eq!(good(there.add_subscription(&again).await), Some(first), "the same again replaces");
    not_found(here.subscription("s1").await);
    assert_eq!(good(here.subscriptions().await).len(), 3);

    // Numbers are never given twice, whoever asks.
    assert_eq!(good(here.reserve_sequence("s4", 10).await), 0);
    let (left, right) = tokio::join!(here.reserve_sequence("s4", 10), there.reserve_sequence("s4", 10));
    let mut both = [good(left), good(right)];
    both.sort_unstable();
    assert_eq!(both, [10, 20]);
    assert_eq!(good(there.subscription("s4").await).sequence_reserved, 30);
    let expires_at = Some(now(&one) + 7_200_000);
    good(here.refresh_subscription("s4", expires_at).await);
    assert_eq!(good(there.subscription("s4").await).expires_at, expires_at);
    assert_eq!(good(there.remove_subscription("s4").await).subscription_id, "s4");
    not_found(here.remove_subscription("s4").await);
    not_found(here.refresh_subscription("s4", None).await);
    not_found(here.reserve_sequence("s4", 1).await);

    let mut refused = None;
    for n in 0..10_000 {
        if let Err(error) = here.put_channel(&channel(&format!("n{n}"), "many", None, "p2")).await {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(PortError::LimitReached { .. })), "{refused:?}");
}
