//! The machine in any order of events.

use super::super::machine::Acknowledged;
use super::super::types::Millis;
use super::bench::{Bench, channel, subscription};
use openadp_appserver::{ChannelRecord, SubscriptionRecord, TerminationReason};
use proptest::prelude::*;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use uuid::Uuid;

#[derive(Debug, Clone)]
enum Step {
    Open(u8, u8),
    Close(u8),
    Terminate(u8),
    Subscribe(u8),
    SubscribePosted(u8),
    OpenContact,
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
        1 => (3u8..5).prop_map(Step::SubscribePosted),
        2 => Just(Step::OpenContact),
        1 => (0u8..5).prop_map(Step::Unsubscribe),
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
                    if let Entry::Vacant(free) = open.entry(id) {
                        let mut record = channel(&format!("c{id}-{counter}"), "set");
                        record.priority = u32::from(priority);
                        record.expires_at = None;
                        free.insert((record.channel_id.clone(), record.clone()));
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
                    let mut record = subscription(&format!("s{id}-{counter}"), "set", "Advanced Call");
                    record.expires_at = None;
                    if let Entry::Vacant(free) = live.entry(id) {
                        free.insert(record.clone());
                        bench.subscribe(record);
                    }
                }
                Step::SubscribePosted(id) => {
                    let mut record = subscription(&format!("s{id}-{counter}"), "hook", "Advanced Call");
                    record.expires_at = None;
                    record.http_contact = Some("https://hook.example/".to_owned());
                    if let Entry::Vacant(free) = live.entry(id) {
                        free.insert(record.clone());
                        bench.subscribe(record);
                    }
                }
                // Late, twice, for nobody: whatever was asked for is opened some time.
                Step::OpenContact => if let Some((set, _)) = bench.contacts.pop() {
                    bench.contact(&format!("hook-{counter}"), &set.name);
                    let mut record = channel(&format!("hook-{counter}"), &set.name);
                    record.expires_at = None;
                    record.application_id = None;
                    open.insert(100 + u8::try_from(counter % 100).unwrap_or(0), (record.channel_id.clone(), record));
                },
                Step::Unsubscribe(id) => if let Some(record) = live.remove(&id) {
                    bench.machine.unsubscribe(bench.now, &record.subscription_id, true);
                },
                Step::Hook => bench.hook(),
                Step::Answer(index, status) => {
                    if let Some(sent) = bench.sent.iter().rev().nth(index).cloned()
                        && let Acknowledged::Ended(id) = bench.answer(sent.event, status)
                    {
                        bench.forgotten.push(id.to_string());
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
            if let Some(known) = numbers.insert(sent.event, sent.sequence) {
                prop_assert_eq!(known, sent.sequence, "an event keeps its number");
            } else {
                let last = last.entry(sent.subscription.as_str()).or_default();
                prop_assert_eq!(sent.sequence, *last + 1, "new events count up");
                *last = sent.sequence;
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
        prop_assert_eq!(bench.machine.timers(), 0);
    }
}
