//! The machine step by step, without a runtime.

use super::machine::{Acknowledged, Machine};
use super::types::{Hold, Limits, Millis, Output, SetKey, StateKind};
use crate::{ChannelTransport, DeliveryKind};
use openadp_appserver::{
    ChannelRecord, Event, FeedEvent, HookStatus, Owner, SubscriptionRecord, SubscriptionTarget,
    TerminationReason, UserId,
};
use openadp_xsi_schema::EventData;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

const LIMITS: Limits =
    Limits { heartbeat: 15_000, client_silence: 60_000, acknowledgement: 10_000, grace: 600_000, queue: 5 };

fn owner() -> Owner {
    Owner::User(UserId::new("alice@lab.example"))
}

fn channel(id: &str, set: &str) -> ChannelRecord {
    ChannelRecord {
        channel_id: id.to_owned(),
        channel_set_id: set.to_owned(),
        owner: owner(),
        application_id: Some("app".to_owned()),
        priority: 1,
        weight: 50,
        expires_at: Some(3_600_000),
        process: "here".to_owned(),
    }
}

fn subscription(id: &str, set: &str, package: &str) -> SubscriptionRecord {
    SubscriptionRecord {
        subscription_id: id.to_owned(),
        owner: owner(),
        target: SubscriptionTarget::User(UserId::new("bo@lab.example")),
        package: package.to_owned(),
        channel_set_id: set.to_owned(),
        application_id: Some("app".to_owned()),
        expires_at: Some(3_600_000),
        sequence_reserved: 0,
    }
}

fn hook(position: u64) -> FeedEvent {
    FeedEvent {
        position,
        sequence: position,
        subscriber: UserId::new("bo@lab.example"),
        provider: "acme".to_owned(),
        group: "north".to_owned(),
        time: 0,
        request_id: None,
        event: Event::Hook(HookStatus::OffHook),
    }
}

fn data(name: &'static str) -> Arc<EventData> {
    Arc::new(EventData::new(name, Vec::new()))
}

/// One document that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    channel: String,
    event: Uuid,
    subscription: String,
    sequence: u64,
    kind: String,
}

/// The machine with the ports' answers.
struct Bench {
    machine: Machine,
    now: Millis,
    position: u64,
    reserved: BTreeMap<String, u64>,
    sent: Vec<Sent>,
    heartbeats: usize,
    closed: Vec<(String, Option<String>)>,
    forgotten: Vec<String>,
    fetched: Vec<StateKind>,
    answer_fetches: bool,
}

impl Bench {
    fn new() -> Self {
        let mut next = 0u128;
        let machine = Machine::new(
            "here".to_owned(),
            LIMITS,
            Box::new(move || {
                next += 1;
                Uuid::from_u128(next)
            }),
        );
        Self {
            machine,
            now: 1_000,
            position: 0,
            reserved: BTreeMap::new(),
            sent: Vec::new(),
            heartbeats: 0,
            closed: Vec::new(),
            forgotten: Vec::new(),
            fetched: Vec::new(),
            answer_fetches: true,
        }
    }

    fn text<'a>(xml: &'a str, name: &str) -> &'a str {
        xml.split_once(&format!("<xsi:{name}>"))
            .and_then(|(_, rest)| rest.split_once('<'))
            .map_or("", |(t, _)| t)
    }

    fn settle(&mut self) {
        while let Some(output) = self.machine.next_output() {
            match output {
                Output::Close { channel, last } => {
                    let reason = last.map(|bytes| {
                        Self::text(std::str::from_utf8(&bytes).expect("UTF-8"), "reason").to_owned()
                    });
                    self.closed.push((channel.to_string(), reason));
                }
                Output::FetchState { subscription, kind, .. } => {
                    self.fetched.push(kind);
                    if self.answer_fetches {
                        let state = vec![data("CallSubscriptionEvent")];
                        self.machine.state_read(self.now, &subscription, Some((self.position, state)));
                    }
                }
                Output::ForgetChannel { channel } => self.forgotten.push(channel.to_string()),
                Output::ForgetSubscription { subscription } => self.forgotten.push(subscription.to_string()),
                Output::Reserve { subscription, count } => {
                    let last = self.reserved.entry(subscription.to_string()).or_default();
                    let before = *last;
                    *last += count;
                    self.machine.reserved(self.now, &subscription, Some((before, count)));
                }
                Output::Send { channel, delivery } => match delivery.kind {
                    DeliveryKind::Heartbeat => self.heartbeats += 1,
                    DeliveryKind::Terminated => panic!("the hub makes these"),
                    DeliveryKind::Event => {
                        let xml = std::str::from_utf8(&delivery.bytes).expect("UTF-8");
                        assert!(
                            !self.closed.iter().any(|(closed, _)| **closed == *channel),
                            "sent to a closed channel"
                        );
                        assert_eq!(Self::text(xml, "channelId"), &*channel);
                        let (_, kind) = xml.split_once("eventData xsi1:type=\"xsi:").expect("typed");
                        self.sent.push(Sent {
                            channel: channel.to_string(),
                            event: Self::text(xml, "eventID").parse().expect("a UUID"),
                            subscription: Self::text(xml, "subscriptionId").to_owned(),
                            sequence: Self::text(xml, "sequenceNumber").parse().expect("a number"),
                            kind: kind.split('"').next().unwrap_or_default().to_owned(),
                        });
                    }
                },
            }
        }
    }

    fn open(&mut self, record: ChannelRecord) {
        self.machine.open(self.now, record, ChannelTransport::Stream, &[]);
        self.settle();
    }
    fn subscribe(&mut self, record: SubscriptionRecord) {
        let id = record.subscription_id.clone();
        self.machine.subscribe(self.now, record, Hold::UntilReleased);
        self.settle();
        self.machine.release(self.now, &id);
        self.settle();
    }
    fn hook(&mut self) {
        self.position += 1;
        let event = hook(self.position);
        self.machine.event(self.now, &event, || Some(data("HookStatusEvent")));
        self.settle();
    }
    fn wait(&mut self, millis: Millis) {
        let end = self.now + millis;
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.machine.tick(self.now);
            self.settle();
        }
        self.now = end;
    }
    fn beat(&mut self, channel: &str) -> bool {
        self.machine.heartbeat(self.now, channel, &owner())
    }
    fn answer(&mut self, event: Uuid, status: u16) -> Acknowledged {
        let known = self.machine.acknowledge(self.now, event, status, &owner());
        self.settle();
        known
    }
    fn sequences(&self) -> Vec<u64> {
        self.sent.iter().map(|sent| sent.sequence).collect()
    }
}

#[test]
fn the_state_comes_first_and_only_after_the_answer() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.machine.subscribe(bench.now, subscription("s1", "set", "Advanced Call"), Hold::UntilReleased);
    bench.settle();
    bench.hook();
    assert_eq!(bench.sent, []);
    bench.machine.release(bench.now, "s1");
    bench.settle();
    bench.hook();
    assert_eq!(bench.fetched, [StateKind::Initial]);
    let kinds: Vec<&str> = bench.sent.iter().map(|sent| sent.kind.as_str()).collect();
    assert_eq!(kinds, ["CallSubscriptionEvent", "HookStatusEvent"], "the first hook event is in the state");
    assert_eq!(bench.sequences(), [1, 2]);
}

#[test]
fn events_after_the_state_are_kept_while_it_is_read() {
    let mut bench = Bench::new();
    bench.answer_fetches = false;
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.hook();
    bench.hook();
    bench.machine.state_read(bench.now, "s1", Some((1, vec![data("CallSubscriptionEvent")])));
    bench.settle();
    assert_eq!(bench.sequences(), [1, 2]);
    assert_eq!(bench.sent[1].kind, "HookStatusEvent");
}

#[test]
fn packages_filter_and_unknown_targets_cost_nothing() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Do Not Disturb"));
    let before = bench.sent.len();
    bench.hook();
    assert_eq!(bench.sent.len(), before);
    let mut other = hook(9);
    other.subscriber = UserId::new("carol@lab.example");
    bench.machine.event(bench.now, &other, || panic!("nobody wants it, so it must not be made"));
}

#[test]
fn group_subscriptions_get_their_group_without_a_state() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    for (id, group) in [("s1", "north"), ("s2", "south")] {
        let mut record = subscription(id, "set", "Advanced Call");
        record.target = SubscriptionTarget::Group { provider: "acme".to_owned(), group: group.to_owned() };
        bench.subscribe(record);
    }
    assert_eq!(bench.fetched, []);
    bench.hook();
    assert_eq!(bench.sequences(), [1]);
}

#[test]
fn unanswered_events_end_the_only_channel_and_wait_for_the_next() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.hook();
    bench.wait(10_000);
    assert_eq!(bench.closed, [("c1".to_owned(), Some("NonResponsiveChannel".to_owned()))]);
    assert!(bench.forgotten.contains(&"c1".to_owned()));
    let before = bench.sent.clone();
    bench.open(channel("c2", "set"));
    let again = &bench.sent[before.len()..];
    assert_eq!(
        again.iter().map(|s| (s.event, s.sequence)).collect::<Vec<_>>(),
        [(before[0].event, 1), (before[1].event, 2)]
    );
    assert_eq!(bench.fetched.len(), 1, "nothing was lost, so no state is sent again");
}

#[test]
fn unanswered_events_go_to_the_next_channel_of_the_set_first() {
    let mut bench = Bench::new();
    let mut spare = channel("c2", "set");
    spare.priority = 2;
    bench.open(channel("c1", "set"));
    bench.open(spare);
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    let first = bench.sent[0].clone();
    assert_eq!(first.channel, "c1");
    bench.beat("c1");
    bench.wait(10_000);
    assert_eq!(bench.closed, []);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!((bench.sent[1].channel.as_str(), bench.sent[1].event), ("c2", first.event));
    assert_eq!(bench.answer(first.event, 200), Acknowledged::Known);
    assert_eq!(bench.answer(first.event, 200), Acknowledged::Unknown);
    // The first channel is avoided until it answers something.
    bench.hook();
    assert_eq!(bench.sent[2].channel, "c2");
    bench.wait(10_000);
    bench.wait(10_000);
    let ended: HashSet<&str> = bench.closed.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ended, HashSet::from(["c1", "c2"]), "when none answers, all end");
}

#[test]
fn answers_drop_move_or_end() {
    let mut bench = Bench::new();
    let mut spare = channel("c2", "set");
    spare.priority = 2;
    bench.open(channel("c1", "set"));
    bench.open(spare);
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.answer(bench.sent[0].event, 400);
    assert_eq!(bench.sent.len(), 1, "400 drops the event");
    bench.hook();
    bench.answer(bench.sent[1].event, 500);
    assert_eq!(bench.sent[2].channel, "c2", "500 tries the next channel");
    assert_eq!(bench.sent[2].event, bench.sent[1].event);
    bench.answer(bench.sent[2].event, 500);
    assert_eq!(bench.sent.len(), 3, "and no further one");
    bench.hook();
    bench.answer(bench.sent[3].event, 404);
    assert_eq!(bench.closed, [("c1".to_owned(), Some("UnknownChannel".to_owned()))]);
    assert_eq!((bench.sent[4].channel.as_str(), bench.sent[4].event), ("c2", bench.sent[3].event));
    assert_eq!(bench.answer(bench.sent[4].event, 481), Acknowledged::Ended("s1".into()));
    let before = bench.sent.len();
    bench.hook();
    assert_eq!(bench.sent.len(), before, "481 ends the subscription");
}

#[test]
fn answers_of_others_count_for_nothing() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    let event = bench.sent[0].event;
    let stranger = Owner::User(UserId::new("mallory@lab.example"));
    assert_eq!(bench.machine.acknowledge(bench.now, event, 481, &stranger), Acknowledged::Unknown);
    assert!(!bench.machine.heartbeat(bench.now, "c1", &stranger));
    assert_eq!(bench.answer(event, 200), Acknowledged::Known);
}

#[test]
fn heartbeats_go_both_ways_or_the_channel_ends() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.wait(50_000);
    assert_eq!(bench.heartbeats, 3);
    assert!(bench.beat("c1"));
    bench.wait(59_000);
    assert_eq!(bench.closed, []);
    bench.wait(1_000);
    assert_eq!(bench.closed, [("c1".to_owned(), Some("NonResponsiveChannel".to_owned()))]);
    assert!(!bench.beat("c1"));
}

#[test]
fn connections_have_no_heartbeats() {
    let mut bench = Bench::new();
    bench.machine.open(bench.now, channel("c1", "set"), ChannelTransport::Connection, &[]);
    bench.wait(500_000);
    assert_eq!((bench.heartbeats, bench.closed.len()), (0, 0));
}

#[test]
fn channels_and_subscriptions_expire() {
    let mut bench = Bench::new();
    bench.machine.open(bench.now, channel("c1", "set"), ChannelTransport::Connection, &[]);
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.answer(bench.sent[0].event, 200);
    let mut later = subscription("s2", "set", "Basic Call");
    later.expires_at = None;
    bench.subscribe(later);
    bench.answer(bench.sent[1].event, 200);
    bench.machine.refresh_channel(bench.now, "c1", Some(7_200_000));
    bench.wait(3_600_000);
    assert_eq!(bench.sent.last().map(|s| s.kind.as_str()), Some("SubscriptionTerminatedEvent"));
    assert_eq!(bench.forgotten, ["s1"]);
    bench.wait(3_600_000);
    assert_eq!(bench.closed, [("c1".to_owned(), Some("Expired".to_owned()))]);
    bench.wait(600_000);
    assert_eq!(bench.forgotten, ["s1", "c1"], "a subscription without end outlives the grace period");
}

#[test]
fn subscriptions_outlive_their_channel_by_the_grace_period() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.answer(bench.sent[0].event, 200);
    bench.machine.closed(bench.now, "c1");
    bench.settle();
    bench.hook();
    assert_eq!(bench.sent.len(), 1);
    bench.wait(599_000);
    bench.open(channel("c2", "set"));
    assert_eq!(bench.sent[1].kind, "HookStatusEvent", "what happened meanwhile is delivered");
    bench.answer(bench.sent[1].event, 200);
    bench.machine.closed(bench.now, "c2");
    bench.settle();
    bench.wait(600_000);
    assert!(bench.forgotten.contains(&"s1".to_owned()));
}

#[test]
fn too_much_for_a_subscription_without_channel_becomes_one_state() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.answer(bench.sent[0].event, 200);
    bench.machine.closed(bench.now, "c1");
    bench.settle();
    for _ in 0..20 {
        bench.hook();
    }
    bench.open(channel("c2", "set"));
    assert_eq!(bench.fetched, [StateKind::Initial, StateKind::Resync]);
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn too_much_for_a_channel_ends_it() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    for _ in 0..5 {
        bench.hook();
    }
    assert_eq!(bench.closed, [("c1".to_owned(), Some("NonResponsiveChannel".to_owned()))]);
    assert_eq!(bench.sequences(), [1, 2, 3, 4, 5]);
    bench.open(channel("c2", "set"));
    assert_eq!(bench.sequences()[5..], [1, 2, 3, 4, 5], "the five that fit go out again, in order");
}

#[test]
fn another_set_of_the_application_ends_the_first() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "one"));
    bench.machine.open(bench.now, channel("c2", "two"), ChannelTransport::Stream, &[channel("c1", "one")]);
    bench.settle();
    assert_eq!(bench.closed, [("c1".to_owned(), Some("DuplicateChannelSet".to_owned()))]);
    assert_eq!(bench.forgotten, Vec::<String>::new(), "the store has forgotten it already");
}

#[test]
fn deleted_users_take_everything_with_them() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    let mut gone = hook(5);
    gone.event = Event::SubscriberDeleted;
    bench.machine.event(bench.now, &gone, || None);
    bench.settle();
    assert_eq!(bench.sent.last().map(|s| s.kind.as_str()), Some("SubscriptionTerminatedEvent"));
    assert_eq!(bench.closed, []);
    gone.subscriber = UserId::new("alice@lab.example");
    bench.machine.event(bench.now, &gone, || None);
    bench.settle();
    assert_eq!(bench.closed, [("c1".to_owned(), Some("UserDeleted".to_owned()))]);
}

#[test]
fn a_subscription_made_elsewhere_is_delivered_here() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    let generation = bench.machine.begin_synchronise();
    let channels = vec![channel("c1", "set")];
    let made = vec![subscription("s1", "set", "Advanced Call")];
    bench.machine.synchronise(bench.now, generation, channels.clone(), made, 100);
    bench.settle();
    assert_eq!(bench.sent, [], "its answer is written first");
    bench.wait(100);
    assert_eq!(bench.sequences(), [1]);
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, channels, Vec::new(), 100);
    bench.settle();
    assert_eq!(bench.sent[1].kind, "SubscriptionTerminatedEvent", "deleted elsewhere");
}

#[test]
fn whoever_takes_over_sends_the_state_and_skips_numbers() {
    let mut bench = Bench::new();
    let mut far = channel("c9", "set");
    far.process = "there".to_owned();
    let mut record = subscription("s1", "set", "Advanced Call");
    record.sequence_reserved = 100;
    bench.reserved.insert("s1".to_owned(), 100);
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, vec![far], vec![record.clone()], 100);
    bench.settle();
    bench.hook();
    assert_eq!(bench.sent, []);
    bench.open(channel("c1", "set"));
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, vec![channel("c1", "set")], vec![record], 100);
    bench.settle();
    assert_eq!(bench.fetched, [StateKind::Resync]);
    assert_eq!(bench.sequences(), [101]);
}

#[test]
fn a_channel_deleted_elsewhere_ends_here() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "one"));
    let generation = bench.machine.begin_synchronise();
    bench.open(channel("c2", "one"));
    let mut duplicate = channel("c3", "two");
    duplicate.process = "there".to_owned();
    bench.machine.synchronise(bench.now, generation, vec![duplicate], Vec::new(), 100);
    bench.settle();
    assert_eq!(
        bench.closed,
        [("c1".to_owned(), Some("DuplicateChannelSet".to_owned()))],
        "the one opened while the store was read stays"
    );
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, Vec::new(), Vec::new(), 100);
    bench.settle();
    assert_eq!(bench.closed[1], ("c2".to_owned(), Some("ExplicitDelete".to_owned())));
}

#[test]
fn refreshing_sends_the_state_again_after_what_waits() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    bench.machine.refresh_subscription(bench.now, "s1", Some(7_200_000), true);
    bench.hook();
    assert_eq!(bench.sent.len(), 1);
    bench.machine.release(bench.now, "s1");
    bench.settle();
    let kinds: Vec<&str> = bench.sent.iter().map(|sent| sent.kind.as_str()).collect();
    assert_eq!(kinds, ["CallSubscriptionEvent", "HookStatusEvent", "CallSubscriptionEvent"]);
    assert_eq!(bench.sequences(), [1, 2, 3]);
}

#[test]
fn weights_spread_subscriptions_and_keep_each_on_one_channel() {
    let mut bench = Bench::new();
    bench.machine.set_limits(Limits { queue: 10_000, ..LIMITS });
    for (id, weight) in [("c1", 90), ("c2", 10)] {
        let mut record = channel(id, "set");
        record.weight = weight;
        bench.open(record);
    }
    for n in 0..1000 {
        let mut record = subscription(&format!("s-{n}"), "set", "Advanced Call");
        record.target = SubscriptionTarget::User(UserId::new(&format!("user{n}@lab.example")));
        bench.subscribe(record);
    }
    let first = bench.sent.iter().filter(|sent| sent.channel == "c1").count();
    assert!((820..980).contains(&first), "{first} of 1000 for a weight of 90 in 100");
}

#[test]
fn counts_are_per_owner_and_set() {
    let mut bench = Bench::new();
    bench.open(channel("c1", "set"));
    bench.subscribe(subscription("s1", "set", "Advanced Call"));
    assert_eq!(bench.machine.channels_of(&owner()), 1);
    assert_eq!(bench.machine.subscriptions_of(&owner()), 1);
    assert_eq!(bench.machine.channels_in(&SetKey { owner: owner(), name: "other".into() }), 0);
    bench.machine.terminate(bench.now, "c1", TerminationReason::ExplicitDelete);
    bench.settle();
    assert_eq!(bench.machine.channels_of(&owner()), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Open(u8, u8),
    Close(u8),
    Terminate(u8),
    Subscribe(u8),
    Unsubscribe(u8),
    Hook,
    Answer(usize, u16),
    Beat(u8),
    Wait(u16),
    Synchronise,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0u8..4, 1u8..3).prop_map(|(id, priority)| Step::Open(id, priority)),
        1 => (0u8..4).prop_map(Step::Close),
        1 => (0u8..4).prop_map(Step::Terminate),
        1 => (0u8..3).prop_map(Step::Subscribe),
        1 => (0u8..3).prop_map(Step::Unsubscribe),
        5 => Just(Step::Hook),
        5 => (0usize..40, prop_oneof![Just(200u16), Just(400), Just(404), Just(481), Just(500)])
            .prop_map(|(index, status)| Step::Answer(index, status)),
        1 => (0u8..4).prop_map(Step::Beat),
        2 => (0u16..20_000).prop_map(Step::Wait),
        1 => Just(Step::Synchronise),
    ]
}

proptest! {
    /// Whatever happens: new events of a subscription count up without gaps or repeats, an event keeps its number,
    /// nothing goes to a channel that ended, and nothing is left behind when all is closed.
    #[test]
    fn numbers_hold_whatever_happens(steps in proptest::collection::vec(step(), 0..120)) {
        let mut bench = Bench::new();
        let mut open: HashMap<u8, (String, ChannelRecord)> = HashMap::new();
        let mut live: HashMap<u8, SubscriptionRecord> = HashMap::new();
        let mut counter = 0;
        for step in steps {
            counter += 1;
            match step {
                Step::Open(id, priority) => {
                    if open.get(&id).is_none() {
                        let mut record = channel(&format!("c{id}-{counter}"), "set");
                        record.priority = u32::from(priority);
                        record.expires_at = None;
                        open.insert(id, (record.channel_id.clone(), record.clone()));
                        bench.open(record);
                    }
                }
                Step::Close(id) => if let Some((name, _)) = open.get(&id) {
                    bench.machine.closed(bench.now, name);
                },
                Step::Terminate(id) => if let Some((name, _)) = open.get(&id) {
                    bench.machine.terminate(bench.now, name, TerminationReason::ExplicitDelete);
                },
                Step::Subscribe(id) => {
                    if !live.contains_key(&id) {
                        let mut record = subscription(&format!("s{id}-{counter}"), "set", "Advanced Call");
                        record.expires_at = None;
                        live.insert(id, record.clone());
                        bench.subscribe(record);
                    }
                }
                Step::Unsubscribe(id) => if let Some(record) = live.remove(&id) {
                    bench.machine.unsubscribe(bench.now, &record.subscription_id, true);
                },
                Step::Hook => bench.hook(),
                Step::Answer(index, status) => {
                    if let Some(sent) = bench.sent.iter().rev().nth(index).cloned() {
                        if let Acknowledged::Ended(id) = bench.answer(sent.event, status) {
                            bench.forgotten.push(id.to_string());
                        }
                    }
                }
                Step::Beat(id) => if let Some((name, _)) = open.get(&id).cloned() {
                    bench.beat(&name);
                },
                Step::Wait(millis) => bench.wait(Millis::from(millis)),
                Step::Synchronise => {
                    let generation = bench.machine.begin_synchronise();
                    let channels = open.values().map(|(_, record)| record.clone()).collect();
                    let subscriptions = live.values().cloned().collect();
                    bench.machine.synchronise(bench.now, generation, channels, subscriptions, 100);
                }
            }
            bench.settle();
            open.retain(|_, (name, _)| !bench.closed.iter().any(|(closed, _)| closed == name));
            live.retain(|_, record| !bench.forgotten.contains(&record.subscription_id));
        }
        let mut numbers: HashMap<Uuid, u64> = HashMap::new();
        let mut last: HashMap<&str, u64> = HashMap::new();
        for sent in &bench.sent {
            match numbers.get(&sent.event) {
                Some(known) => prop_assert_eq!(*known, sent.sequence, "an event keeps its number"),
                None => {
                    numbers.insert(sent.event, sent.sequence);
                    let last = last.entry(sent.subscription.as_str()).or_default();
                    prop_assert_eq!(sent.sequence, *last + 1, "new events count up");
                    *last = sent.sequence;
                }
            }
        }
        for (name, _) in open.values() {
            bench.machine.closed(bench.now, name);
        }
        for record in live.values() {
            bench.machine.unsubscribe(bench.now, &record.subscription_id, false);
        }
        bench.settle();
        prop_assert_eq!(bench.machine.sizes(), (0, 0, 0));
    }
}
