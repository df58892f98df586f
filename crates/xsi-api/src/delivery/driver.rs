//! The tasks of delivery: one reads the feed, one follows the store, one keeps time and does the machine's errands.

use super::hub::{Hub, Work};
use super::machine::Machine;
use super::types::{Id, Output, SetKey};
use crate::events::Poster;
use crate::{ChannelTransport, convert};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use openadp_appserver::{ChannelRecord, Event, FeedEvent, PortError, SubscriptionRecord};
use openadp_xsi_schema::Element;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Events read at once.
const FEED_BATCH: usize = 256;
/// Between two tries when the application server does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// Without any wake-up the feed and the store are looked at this often, in case one was lost.
const FALLBACK: Duration = Duration::from_secs(5);
/// Shortest time between two readings of the store: bursts of subscriptions are read once.
const STORE_PAUSE: Duration = Duration::from_millis(10);
/// Share of time that reading the store may take: the pause is this many times the last reading.
const STORE_PAUSE_FACTOR: u32 = 4;
/// How long other processes wait with the first event of a subscription, so that its answer comes first.
const REMOTE_HOLD_MILLIS: i64 = 25;
/// A process that is silent for this long has lost its channels.
const LEASE: Duration = Duration::from_secs(30);
/// How often a process says that it lives.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
/// How long the end waits for the store to forget the channels.
const FAREWELL: Duration = Duration::from_secs(2);

/// Starts the tasks; they end with `shutdown`.
pub(crate) fn spawn(hub: &Arc<Hub>, tasks: &TaskTracker, shutdown: &CancellationToken) {
    tasks.spawn(follow(hub.clone(), shutdown.clone()));
    tasks.spawn(drive(hub.clone(), shutdown.clone()));
}

/// Position first, then the records, then the feed from that position: nothing falls between.
async fn follow(hub: Arc<Hub>, shutdown: CancellationToken) {
    let position = tokio::select! {
        () = shutdown.cancelled() => return,
        position = start_position(&hub) => position,
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        ((), ()) = async { tokio::join!(follow_feed(&hub, position), follow_store(&hub)) } => {}
    }
}

async fn start_position(hub: &Hub) -> u64 {
    loop {
        match hub.ports.feed.position().await {
            Ok(position) => return position,
            Err(error) => tracing::warn!(error = %chain(&error), "the event feed cannot be read yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_feed(hub: &Hub, mut position: u64) {
    let mut changes = hub.ports.feed.changes();
    loop {
        changes.mark_unchanged();
        match hub.ports.feed.read(position, FEED_BATCH).await {
            Ok(events) if events.is_empty() => {
                // A closed sender means that the process ends; the fallback keeps this from spinning.
                if let Ok(Err(_)) = tokio::time::timeout(FALLBACK, changes.changed()).await {
                    tokio::time::sleep(FALLBACK).await;
                }
            }
            Ok(events) => {
                for event in events {
                    position = event.position;
                    handle(hub, &event).await;
                }
                // A long backlog must not starve the other tasks of this thread.
                tokio::task::yield_now().await;
            }
            Err(PortError::NotFound { .. }) => {
                tracing::warn!(
                    position,
                    "events were discarded before they were read; states are sent again"
                );
                position = start_position(hub).await;
                hub.step(Machine::feed_lost);
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the event feed cannot be read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn handle(hub: &Hub, event: &FeedEvent) {
    if matches!(event.event, Event::PushRegistrations) {
        if hub.look(|machine| machine.wants(event))
            && let Ok(registrations) = hub.ports.push.registrations(&event.subscriber).await
        {
            let data = convert::push_registrations_event(&registrations);
            hub.step(|machine, now| machine.event(now, event, || Some(data)));
        }
        return;
    }
    hub.step(|machine, now| {
        machine.event(now, event, || convert::event_data(&event.subscriber, &event.event));
    });
}

async fn follow_store(hub: &Hub) {
    let mut changes = hub.ports.subscriptions.changes();
    loop {
        changes.mark_unchanged();
        let begun = Instant::now();
        let generation = hub.step(|machine, _| machine.begin_synchronise());
        let read = async {
            let channels = hub.ports.subscriptions.channels().await?;
            Ok::<_, PortError>((channels, hub.ports.subscriptions.subscriptions().await?))
        };
        match read.await {
            Ok((channels, subscriptions)) => {
                let (subscriptions, others) = routed_here(hub, subscriptions);
                hub.step(|machine, now| {
                    machine.synchronise(now, generation, channels, subscriptions, REMOTE_HOLD_MILLIS);
                });
                hub.set_ready();
                // Their clients were told just now.
                for subscription in others {
                    errand_forget(hub, &subscription).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "channels and subscriptions cannot be read");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        let pause = STORE_PAUSE.max(begun.elapsed() * STORE_PAUSE_FACTOR);
        match tokio::time::timeout(FALLBACK, changes.changed()).await {
            Ok(Ok(())) | Err(_) => tokio::time::sleep(pause).await,
            Ok(Err(_)) => tokio::time::sleep(FALLBACK).await,
        }
    }
}

/// The subscriptions whose events come to nodes of this name, and the ids of those that came here under a former one.
fn routed_here(hub: &Hub, subscriptions: Vec<SubscriptionRecord>) -> (Vec<SubscriptionRecord>, Vec<String>) {
    let general = hub.general();
    let (here, others): (Vec<_>, Vec<_>) = subscriptions
        .into_iter()
        .partition(|record| record.call_control == general.call_control_application_name);
    let formerly =
        |record: &SubscriptionRecord| hub.look(|machine| machine.holds_subscription(&record.subscription_id));
    let others = others.into_iter().filter(formerly).map(|record| record.subscription_id).collect();
    (here, others)
}

async fn drive(hub: Arc<Hub>, shutdown: CancellationToken) {
    let mut errands: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let mut answers: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let mut alive = tokio::time::interval(LEASE_PERIOD);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut busy = 0;
    loop {
        while errands.len() < hub.handlers()
            && let Some(work) = hub.take_work()
        {
            match work {
                Work::AwaitAnswer { subscription, written } => {
                    let hub = hub.clone();
                    answers.push(Box::pin(async move {
                        // A dropped sender says the same as a sent word: the answer is written, or never will be.
                        drop(written.await);
                        hub.step(|machine, now| machine.release(now, &subscription));
                    }));
                }
                Work::Machine(output) => errands.push(Box::pin(errand(hub.clone(), output))),
            }
        }
        if busy != errands.len() {
            busy = errands.len();
            metrics::gauge!("xsi_event_handlers_busy").set(as_gauge(busy));
        }
        let due = hub.deadline().map(|at| {
            let wait = u64::try_from(at - hub.now()).unwrap_or(0);
            // A clock that jumps is noticed within the fallback.
            Duration::from_millis(wait).min(FALLBACK)
        });
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = hub.wake.notified() => {}
            Some(()) = errands.next(), if !errands.is_empty() => {}
            Some(()) = answers.next(), if !answers.is_empty() => {}
            () = tokio::time::sleep(due.unwrap_or(FALLBACK)), if due.is_some() => {
                hub.step(Machine::tick);
            }
            _ = alive.tick() => {
                let (_, subscriptions, waiting) = hub.look(Machine::sizes);
                metrics::gauge!("xsi_subscriptions").set(as_gauge(subscriptions));
                metrics::gauge!("xsi_events_unacknowledged").set(as_gauge(waiting));
                let hub = hub.clone();
                errands.push(Box::pin(async move {
                    if let Err(error) = hub.ports.subscriptions.process_alive(&hub.process, LEASE).await {
                        tracing::warn!(error = %chain(&error), "the channels' lease cannot be renewed");
                    }
                }));
            }
        }
    }
    // Errands under way may hold what the farewell waits for, and one of them may forget a channel itself.
    let finish = async { while errands.next().await.is_some() {} };
    let end = async { tokio::join!(finish, farewell(&hub)) };
    if tokio::time::timeout(FAREWELL, end).await.is_err() {
        tracing::warn!("the application server is too slow to be told that the channels are gone");
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory are far below 2^52")]
fn as_gauge(count: usize) -> f64 {
    count as f64
}

/// Ends the channels of this process: their connections close, their subscriptions wait for the next.
async fn farewell(hub: &Hub) {
    for channel in hub.look(Machine::local_channels) {
        hub.step(|machine, now| machine.closed(now, &channel));
    }
    while let Some(work) = hub.take_work() {
        if let Work::Machine(Output::ForgetChannel { channel }) = work
            && let Err(error) = hub.ports.subscriptions.remove_channel(&channel).await
        {
            tracing::debug!(error = %chain(&error), "a channel stays in the store until the lease is over");
        }
    }
}

async fn errand(hub: Arc<Hub>, output: Output) {
    match output {
        Output::FetchState { subscription, kind, user, packages } => {
            let state = convert::state(&hub.ports, kind, &user, &packages).await;
            if let Err(error) = &state {
                tracing::debug!(error = %chain(error), "no full state for a subscription");
            }
            hub.step(|machine, now| machine.state_read(now, &subscription, state.ok()));
        }
        Output::ForgetChannel { channel } => {
            if let Err(error) = hub.ports.subscriptions.remove_channel(&channel).await {
                tracing::warn!(error = %chain(&error), "a channel cannot be removed");
            }
        }
        Output::OpenContact { set, uri } => open_contact(&hub, set, uri).await,
        Output::ForgetSubscription { subscription } => errand_forget(&hub, &subscription).await,
        Output::Reserve { subscription, count } => {
            let reserved = hub.ports.subscriptions.reserve_sequence(&subscription, count).await;
            match reserved {
                Ok(last) => {
                    hub.step(|machine, now| machine.reserved(now, &subscription, Some((last, count))));
                }
                Err(PortError::NotFound { .. }) => {
                    hub.step(|machine, now| machine.unsubscribe(now, &subscription, false));
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "sequence numbers cannot be reserved");
                    tokio::time::sleep(RETRY).await;
                    hub.step(|machine, now| machine.reserved(now, &subscription, None));
                }
            }
        }
        // The hub wrote these itself.
        Output::Close { .. } | Output::Send { .. } => {}
    }
}

/// Opens a channel that stands for an address, and posts what goes down it until it ends.
async fn open_contact(hub: &Arc<Hub>, set: SetKey, uri: Id) {
    let Some(sender) = hub.contacts.clone() else { return };
    let record = ChannelRecord {
        channel_id: Uuid::new_v4().to_string(),
        channel_set_id: set.name.to_string(),
        owner: set.owner.clone(),
        application_id: None,
        priority: 1,
        weight: 1,
        expires_at: None,
        process: hub.process.clone(),
    };
    match hub.ports.subscriptions.put_channel(&record).await {
        Ok(ended) => {
            let document = Element::new("Channel");
            let channel = hub.attach(record, ChannelTransport::Contact, &ended, document);
            let (settings, owner) = (hub.http_contact(), set.owner);
            let poster = Poster { hub: hub.clone(), sender, settings, uri, owner };
            hub.tasks.spawn(poster.run(channel));
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "no channel for an address that events are posted to");
            hub.step(|machine, now| machine.contact_failed(now, &set));
        }
    }
}

async fn errand_forget(hub: &Hub, subscription: &str) {
    match hub.ports.subscriptions.remove_subscription(subscription).await {
        Ok(_) | Err(PortError::NotFound { .. }) => {}
        Err(error) => tracing::warn!(error = %chain(&error), "a subscription cannot be removed"),
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
