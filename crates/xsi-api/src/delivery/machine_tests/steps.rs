//! The machine step by step.

use super::super::machine::Acknowledged;
use super::super::types::{Hold, Limits, SetKey, StateKind};
use super::bench::{Bench, LIMITS, channel, data, hook, owner, subscription};
use crate::ChannelTransport;
use openadp_appserver::{Event, Owner, SubscriptionRecord, SubscriptionTarget, TerminationReason, UserId};
use std::collections::HashSet;

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
fn a_store_read_too_early_does_not_hide_that_another_process_delivered() {
    let mut bench = Bench::new();
    // The other process reserved its numbers after this was read.
    let record = subscription("s1", "set", "Advanced Call");
    bench.reserved.insert("s1".to_owned(), 100);
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, Vec::new(), vec![record], 100);
    bench.open(channel("c1", "set"));
    bench.wait(100);
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

#[test]
fn a_record_without_its_channel_is_removed_after_a_while() {
    let mut bench = Bench::new();
    let read = |bench: &mut Bench| {
        let generation = bench.machine.begin_synchronise();
        bench.machine.synchronise(bench.now, generation, vec![channel("c1", "set")], Vec::new(), 100);
        bench.settle();
    };
    read(&mut bench);
    bench.wait(9_999);
    read(&mut bench);
    assert_eq!(bench.forgotten, Vec::<String>::new(), "it may be opening");
    bench.wait(1);
    read(&mut bench);
    assert_eq!(bench.forgotten, ["c1"]);
}

fn posted(id: &str) -> SubscriptionRecord {
    let http_contact = Some("https://hook.example/".to_owned());
    SubscriptionRecord { http_contact, ..subscription(id, "hook", "Advanced Call") }
}

#[test]
fn an_address_gets_a_channel_and_loses_it_with_its_last_subscription() {
    let mut bench = Bench::new();
    bench.subscribe(posted("s1"));
    bench.subscribe(posted("s2"));
    bench.wait(0);
    let key = SetKey { owner: owner(), name: "hook".into() };
    assert_eq!(bench.contacts, [(key.clone(), "https://hook.example/".to_owned())], "one for both");
    bench.wait(10_000);
    assert_eq!(bench.contacts.len(), 1, "it is being opened");
    bench.machine.contact_failed(bench.now, &key);
    bench.wait(5_000);
    assert_eq!(bench.contacts.len(), 2, "once more");
    bench.contact("c1", "hook");
    assert_eq!(bench.sent.len(), 2, "the state for each");
    bench.hook();
    assert_eq!(bench.sent.len(), 4);
    bench.machine.unsubscribe(bench.now, "s1", true);
    bench.settle();
    assert_eq!(bench.closed, []);
    bench.machine.unsubscribe(bench.now, "s2", true);
    bench.settle();
    assert_eq!(bench.sent.last().map(|sent| sent.kind.as_str()), Some("SubscriptionTerminatedEvent"));
    assert_eq!(bench.closed.len(), 1);
    assert_eq!(bench.machine.timers(), 0);
}

#[test]
fn an_address_that_does_not_answer_gets_the_state_once_it_does() {
    let mut bench = Bench::new();
    bench.subscribe(posted("s1"));
    bench.wait(0);
    bench.contact("c1", "hook");
    // Three times the patience with a channel, and it is still being tried.
    bench.wait(3 * LIMITS.acknowledgement);
    assert_eq!(bench.closed, []);
    bench.wait(6 * LIMITS.acknowledgement);
    assert_eq!(bench.closed, [("c1".to_owned(), Some("NonResponsiveChannel".to_owned()))]);
    assert_eq!(bench.contacts.len(), 2, "another takes its place");
    bench.contact("c2", "hook");
    let first = bench.sent[0].clone();
    assert_eq!(
        bench.sent.last().map(|sent| (sent.event, sent.sequence)),
        Some((first.event, first.sequence))
    );
    // One that refuses has it dropped: the numbers tell.
    bench.answer(first.event, 500);
    bench.hook();
    assert_eq!(bench.sent.last().map(|sent| sent.sequence), Some(2));
}

#[test]
fn another_process_posts_where_the_first_does_not() {
    let mut bench = Bench::new();
    let generation = bench.machine.begin_synchronise();
    let mut record = posted("s1");
    record.expires_at = None;
    bench.machine.synchronise(bench.now, generation, Vec::new(), vec![record.clone()], 100);
    bench.wait(1_000);
    assert_eq!(bench.contacts, [], "the other process is given time");
    let mut there = channel("c1", "hook");
    there.process = "there".to_owned();
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, vec![there], vec![record.clone()], 100);
    bench.wait(60_000);
    assert_eq!(bench.contacts, [], "it did");
    let generation = bench.machine.begin_synchronise();
    bench.machine.synchronise(bench.now, generation, Vec::new(), vec![record], 100);
    bench.wait(2_000);
    assert_eq!(bench.contacts.len(), 1, "and died");
}

#[test]
fn a_process_that_cannot_post_opens_nothing() {
    let mut bench = Bench::new();
    bench.machine.set_limits(Limits { contacts: false, ..LIMITS });
    bench.subscribe(posted("s1"));
    bench.wait(60_000);
    assert_eq!(bench.contacts, []);
}
