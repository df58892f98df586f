//! Channels, subscriptions and the events on their way: a state machine without I/O.
//!
//! Inputs carry `now`; [`Machine::take_outputs`] gives what the driver has to do, [`Machine::next_deadline`] when to
//! call [`Machine::tick`]. Every process has one and reads the whole feed; a subscription's events are delivered by the
//! process that holds the channel which [`preferred`] names, and since that is a pure function of the shared records all
//! processes agree. Whoever takes a subscription over begins with its full state.
//!
//! What happens when a queue is full: a channel with too many unanswered events ends as NonResponsiveChannel; a
//! subscription without channel forgets its waiting events and gets one full state when a channel comes (`eventQueueSize`).

use super::index::Index;
use super::package::Packages;
use super::types::{Hold, Id, Item, Limits, Millis, Output, SetKey, StateKind, Timer};
use crate::{ChannelTransport, Delivery, DeliveryKind};
use bytes::Bytes;
use openadp_appserver::{
    ChannelRecord, Event, FeedEvent, Owner, SubscriptionRecord, SubscriptionTarget, TerminationReason, UserId,
};
use openadp_xsi_schema::{
    ChannelTerminationReason, EventData, EventForm, EventOwner, EventRoute, HEARTBEAT, SubscriptionEvent,
    channel_terminated_event, wire_sequence,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Sequence numbers reserved at once: few enough that a crash loses little, many enough that the store is rarely asked.
const SEQUENCE_BLOCK: u64 = 100;
/// Left in a block when the next one is asked for.
const SEQUENCE_LOW: u64 = 20;
/// A subscription that expired and that nobody owns is removed this much later, so that its owner goes first.
const ORPHAN_EXPIRY_DELAY: Millis = 2_000;

/// What an EventResponse led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The client does not know the subscription: it is over here, and the caller removes it from the store.
    Ended(Id),
    /// The event was waiting for it.
    Known,
    /// Too late, twice, another process's, or never sent.
    Unknown,
}

struct Channel {
    record: ChannelRecord,
    transport: ChannelTransport,
    set: SetKey,
    heard: Millis,
    /// It left an event unanswered; others of the set are preferred until it answers one.
    suspect: bool,
    /// Unanswered events in the order they were sent.
    outstanding: BTreeMap<u64, Uuid>,
    generation: u64,
}

#[derive(Default)]
struct Set {
    local: Vec<Id>,
    remote: Vec<ChannelRecord>,
    subscriptions: BTreeSet<Id>,
    empty_since: Option<Millis>,
}

struct Subscription {
    record: SubscriptionRecord,
    packages: Packages,
    set: SetKey,
    /// Whether this process delivers its events.
    owned: bool,
    /// Whether the answer to its request is still to be written.
    held: bool,
    fetching: bool,
    state: Option<StateKind>,
    /// Whether anything was ever delivered, by any process.
    used: bool,
    lost: bool,
    queue: VecDeque<Item>,
    next_sequence: u64,
    reserved_to: u64,
    reserving: bool,
    generation: u64,
}

struct InFlight {
    subscription: Id,
    channel: Id,
    order: u64,
    item: Item,
    timer: (Millis, u64),
}

/// The state machine of one process.
pub(crate) struct Machine {
    process: String,
    limits: Limits,
    new_id: Box<dyn FnMut() -> Uuid + Send>,
    channels: HashMap<Id, Channel>,
    sets: HashMap<SetKey, Set>,
    subscriptions: HashMap<Id, Subscription>,
    index: Index,
    in_flight: HashMap<Uuid, InFlight>,
    timers: BTreeMap<(Millis, u64), Timer>,
    counter: u64,
    generation: u64,
    removed: HashMap<Id, u64>,
    outputs: VecDeque<Output>,
}

/// The channel of a set that a subscription's events go to: lowest priority value, then by weight, always the same one
/// for a subscription so that its events keep their order (xsi.md 5.1, cti.md 6.1).
fn preferred<'a>(
    candidates: impl Iterator<Item = &'a ChannelRecord>,
    subscription: &str,
) -> Option<&'a ChannelRecord> {
    let mut best: Vec<&ChannelRecord> = Vec::new();
    for candidate in candidates {
        match best.first().map(|first| candidate.priority.cmp(&first.priority)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => best.push(candidate),
            None | Some(std::cmp::Ordering::Less) => best = vec![candidate],
        }
    }
    best.sort_unstable_by(|a, b| a.channel_id.cmp(&b.channel_id));
    let total: u64 = best.iter().map(|c| u64::from(c.weight.max(1))).sum();
    let mut point = fnv(subscription) % total.max(1);
    for candidate in best {
        let weight = u64::from(candidate.weight.max(1));
        if point < weight {
            return Some(candidate);
        }
        point -= weight;
    }
    None
}

/// FNV-1a: the same in every process and release, which the standard hasher does not promise.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Machine {
    /// An empty machine of the process with this name.
    pub(crate) fn new(process: String, limits: Limits, new_id: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        Self {
            process,
            limits,
            new_id,
            channels: HashMap::new(),
            sets: HashMap::new(),
            subscriptions: HashMap::new(),
            index: Index::default(),
            in_flight: HashMap::new(),
            timers: BTreeMap::new(),
            counter: 0,
            generation: 0,
            removed: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Applies settings.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
    /// The next thing for the driver to do.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    /// When something is due.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.timers.keys().next().map(|(at, _)| *at)
    }
    /// Channels of an owner, in all processes as far as known.
    pub(crate) fn channels_of(&self, owner: &Owner) -> usize {
        self.sets
            .iter()
            .filter(|(key, _)| key.owner == *owner)
            .map(|(_, set)| set.local.len() + set.remote.len())
            .sum()
    }
    /// Channels of one set.
    pub(crate) fn channels_in(&self, key: &SetKey) -> usize {
        self.sets.get(key).map_or(0, |set| set.local.len() + set.remote.len())
    }
    /// Subscriptions of an owner.
    pub(crate) fn subscriptions_of(&self, owner: &Owner) -> usize {
        self.sets.iter().filter(|(key, _)| key.owner == *owner).map(|(_, set)| set.subscriptions.len()).sum()
    }
    /// All channels whose connections are here.
    pub(crate) fn local_channels(&self) -> Vec<Id> {
        self.channels.keys().cloned().collect()
    }
    /// Numbers for gauges: channels here, subscriptions known, events unanswered.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.subscriptions.len(), self.in_flight.len())
    }

    // === channels ===

    /// A channel was opened here; `ended` are those that the store ended for it.
    pub(crate) fn open(
        &mut self,
        now: Millis,
        record: ChannelRecord,
        transport: ChannelTransport,
        ended: &[ChannelRecord],
    ) {
        for other in ended {
            self.removed.insert(other.channel_id.as_str().into(), self.generation);
            self.terminate_silently(now, &other.channel_id, TerminationReason::DuplicateChannelSet);
            let key = key_of(other);
            if let Some(set) = self.sets.get_mut(&key) {
                set.remote.retain(|remote| remote.channel_id != other.channel_id);
            }
            self.settle_set(now, &key);
        }
        let id: Id = record.channel_id.as_str().into();
        let set = key_of(&record);
        if let Some(at) = record.expires_at {
            self.arm(at, Timer::ChannelExpiry(id.clone()));
        }
        match transport {
            ChannelTransport::Connection => {}
            ChannelTransport::Stream => {
                self.arm(now + self.limits.heartbeat, Timer::Heartbeat(id.clone()));
                self.arm(now + self.limits.client_silence, Timer::Liveness(id.clone()));
            }
        }
        self.sets.entry(set.clone()).or_default().local.push(id.clone());
        self.channels.insert(
            id,
            Channel {
                record,
                transport,
                set: set.clone(),
                heard: now,
                suspect: false,
                outstanding: BTreeMap::new(),
                generation: self.generation,
            },
        );
        self.settle_set(now, &set);
    }

    /// The connection of a channel is gone.
    pub(crate) fn closed(&mut self, now: Millis, channel: &str) {
        if self.detach(now, channel, None).is_some() {
            self.outputs.push_back(Output::ForgetChannel { channel: channel.into() });
        }
    }

    /// Ends a channel with a last word.
    pub(crate) fn terminate(&mut self, now: Millis, channel: &str, reason: TerminationReason) {
        if self.terminate_silently(now, channel, reason) {
            self.outputs.push_back(Output::ForgetChannel { channel: channel.into() });
        }
    }

    fn terminate_silently(&mut self, now: Millis, channel: &str, reason: TerminationReason) -> bool {
        self.removed.insert(channel.into(), self.generation);
        self.detach(now, channel, Some(reason)).is_some()
    }

    /// Takes a channel out; its unanswered events go to another channel of the set or wait for one.
    fn detach(&mut self, now: Millis, id: &str, reason: Option<TerminationReason>) -> Option<()> {
        let channel = self.channels.remove(id)?;
        self.removed.insert(id.into(), self.generation);
        let last = reason
            .map(|reason| channel_terminated_event(id, wire_reason(reason), form_of(channel.transport)));
        self.outputs.push_back(Output::Close { channel: id.into(), last });
        if let Some(set) = self.sets.get_mut(&channel.set) {
            set.local.retain(|other| &**other != id);
        }
        // Latest first, so that putting each in front restores the order.
        for event in channel.outstanding.into_values().rev() {
            let Some(flight) = self.in_flight.remove(&event) else { continue };
            self.timers.remove(&flight.timer);
            if let Some(subscription) = self.subscriptions.get_mut(&flight.subscription) {
                let mut item = flight.item;
                item.tried.clear();
                subscription.queue.push_front(item);
            }
        }
        self.settle_set(now, &channel.set);
        Some(())
    }

    /// A heartbeat of the client; whether the channel is the owner's and its connection is here.
    pub(crate) fn heartbeat(&mut self, now: Millis, channel: &str, owner: &Owner) -> bool {
        match self.channels.get_mut(channel) {
            Some(channel) if channel.record.owner == *owner => {
                channel.heard = now;
                true
            }
            _ => false,
        }
    }

    /// A channel's lifetime was changed.
    pub(crate) fn refresh_channel(&mut self, now: Millis, id: &str, expires_at: Option<Millis>) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        channel.record.expires_at = expires_at;
        channel.heard = now;
        channel.generation = self.generation;
        if let Some(at) = expires_at {
            self.arm(at, Timer::ChannelExpiry(id.into()));
        }
    }

    // === subscriptions ===

    /// A subscription was made or found.
    pub(crate) fn subscribe(&mut self, now: Millis, record: SubscriptionRecord, hold: Hold) {
        let id: Id = record.subscription_id.as_str().into();
        if let Some(known) = self.subscriptions.get_mut(&id) {
            known.generation = self.generation;
            if hold == Hold::UntilReleased && !known.used && !known.fetching {
                known.held = true;
            }
            return;
        }
        let set = SetKey { owner: record.owner.clone(), name: record.channel_set_id.as_str().into() };
        if let Some(at) = record.expires_at {
            self.arm(at, Timer::SubscriptionExpiry(id.clone()));
        }
        if let Hold::Until(at) = hold {
            self.arm(at, Timer::Release(id.clone()));
        }
        self.index.add(&record.target, id.clone());
        self.sets.entry(set.clone()).or_default().subscriptions.insert(id.clone());
        let subscription = Subscription {
            packages: Packages::of_record(&record.package),
            set: set.clone(),
            owned: false,
            held: hold != Hold::None,
            fetching: false,
            state: None,
            used: record.sequence_reserved > 0,
            lost: false,
            queue: VecDeque::new(),
            next_sequence: record.sequence_reserved + 1,
            reserved_to: record.sequence_reserved,
            reserving: false,
            generation: self.generation,
            record,
        };
        self.subscriptions.insert(id.clone(), subscription);
        if self.channels_in(&set) == 0 {
            self.settle_set(now, &set);
        } else {
            self.settle(now, &set, &id);
        }
    }

    /// The answer to the request that made the subscription is written.
    pub(crate) fn release(&mut self, now: Millis, id: &str) {
        if let Some(subscription) = self.subscriptions.get_mut(id)
            && subscription.held
        {
            subscription.held = false;
            self.advance(now, id);
        }
    }

    /// A subscription's lifetime was changed; its full state is sent again (xsi.md 5.5).
    pub(crate) fn refresh_subscription(
        &mut self,
        now: Millis,
        id: &str,
        expires_at: Option<Millis>,
        hold: bool,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        subscription.record.expires_at = expires_at;
        subscription.generation = self.generation;
        if matches!(subscription.record.target, SubscriptionTarget::User(_)) {
            subscription.state = subscription.state.or(Some(StateKind::Initial));
        }
        subscription.held |= hold;
        if let Some(at) = expires_at {
            self.arm(at, Timer::SubscriptionExpiry(id.into()));
        }
        self.advance(now, id);
    }

    /// A subscription is over; `tell` sends its last event.
    pub(crate) fn unsubscribe(&mut self, now: Millis, id: &str, tell: bool) {
        let Some(mut subscription) = self.subscriptions.remove(id) else { return };
        self.removed.insert(id.into(), self.generation);
        self.index.remove(&subscription.record.target, &id.into());
        if tell
            && subscription.owned
            && let Some(channel) = self.choose(&subscription, &[])
        {
            let sequence = subscription.next_sequence;
            subscription.next_sequence += 1;
            let data = EventData::subscription_terminated();
            let event = (self.new_id)();
            self.write(&channel, &subscription, event, sequence, None, &data);
        }
        if let Some(set) = self.sets.get_mut(&subscription.set) {
            set.subscriptions.remove(id);
        }
        if self.channels_in(&subscription.set) == 0 {
            self.settle_set(now, &subscription.set);
        }
    }

    /// Sequence numbers were reserved: `count` after `last`; `None` when that failed.
    pub(crate) fn reserved(&mut self, now: Millis, id: &str, reserved: Option<(u64, u64)>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        subscription.reserving = false;
        if let Some((last, count)) = reserved {
            if last != subscription.reserved_to {
                subscription.next_sequence = last + 1;
            }
            subscription.reserved_to = last + count;
        }
        self.advance(now, id);
    }

    /// The full state was read, as it was at a position of the feed; `None` when that failed.
    pub(crate) fn state_read(&mut self, now: Millis, id: &str, state: Option<(u64, Vec<Arc<EventData>>)>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if !std::mem::take(&mut subscription.fetching) {
            return;
        }
        if let Some((position, events)) = state
            && let SubscriptionTarget::User(user) = &subscription.record.target
        {
            let target: Id = user.as_str().into();
            // The first event of a subscription is its state; later, what waits already keeps its place before it.
            let kept = std::mem::take(&mut subscription.queue);
            let used = subscription.used;
            let (before, after): (VecDeque<Item>, VecDeque<Item>) =
                kept.into_iter().partition(|item| item.identity.is_some() || item.position <= position);
            subscription.queue = before.into_iter().filter(|item| used || item.identity.is_some()).collect();
            subscription.queue.extend(events.into_iter().map(|data| Item {
                identity: None,
                position,
                target: target.clone(),
                data,
                tried: Vec::new(),
            }));
            subscription.queue.extend(after);
        }
        if subscription.lost {
            subscription.state = Some(StateKind::Resync);
        }
        self.advance(now, id);
    }

    // === events ===

    /// An event of the feed. `data` makes the event data, at most once, and only when somebody gets it.
    pub(crate) fn event(
        &mut self,
        now: Millis,
        event: &FeedEvent,
        data: impl FnOnce() -> Option<Arc<EventData>>,
    ) {
        if matches!(event.event, Event::SubscriberDeleted) {
            self.user_deleted(now, &event.subscriber);
            return;
        }
        let concerned: Vec<Id> = self
            .index
            .concerned(&event.subscriber, &event.provider, &event.group)
            .into_iter()
            .filter(|id| {
                self.subscriptions.get(id).is_some_and(|subscription| {
                    subscription.owned && subscription.packages.carry(&event.event)
                })
            })
            .collect();
        if concerned.is_empty() {
            return;
        }
        let Some(data) = data() else { return };
        let target: Id = event.subscriber.as_str().into();
        for id in concerned {
            let item = Item {
                identity: None,
                position: event.position,
                target: target.clone(),
                data: data.clone(),
                tried: Vec::new(),
            };
            self.enqueue(&id, item);
            self.advance(now, &id);
        }
    }

    /// Whether an event would reach anybody through this process.
    pub(crate) fn wants(&self, event: &FeedEvent) -> bool {
        self.index
            .concerned(&event.subscriber, &event.provider, &event.group)
            .iter()
            .any(|id| self.subscriptions.get(id).is_some_and(|s| s.owned && s.packages.carry(&event.event)))
    }

    /// Events were lost between the feed and here: every user's state is sent again.
    pub(crate) fn feed_lost(&mut self, now: Millis) {
        let ids: Vec<Id> = self.subscriptions.keys().cloned().collect();
        for id in ids {
            if let Some(subscription) = self.subscriptions.get_mut(&id)
                && subscription.owned
                && matches!(subscription.record.target, SubscriptionTarget::User(_))
            {
                subscription.state = Some(StateKind::Resync);
                self.advance(now, &id);
            }
        }
    }

    fn user_deleted(&mut self, now: Millis, user: &UserId) {
        let owner = Owner::User(user.clone());
        let subscriptions: HashSet<Id> = self
            .subscriptions
            .iter()
            .filter(|(_, s)| s.record.owner == owner)
            .map(|(id, _)| id.clone())
            .chain(self.index.of_user(user))
            .collect();
        for id in subscriptions {
            self.outputs.push_back(Output::ForgetSubscription { subscription: id.clone() });
            self.unsubscribe(now, &id, true);
        }
        let channels: Vec<Id> =
            self.channels.iter().filter(|(_, c)| c.record.owner == owner).map(|(id, _)| id.clone()).collect();
        for id in channels {
            self.terminate(now, &id, TerminationReason::UserDeleted);
        }
    }

    /// An EventResponse (xsi.md 5.7, cti.md 7).
    pub(crate) fn acknowledge(
        &mut self,
        now: Millis,
        event: Uuid,
        status: u16,
        owner: &Owner,
    ) -> Acknowledged {
        let Some(flight) = self.in_flight.get(&event) else { return Acknowledged::Unknown };
        if self.channels.get(&flight.channel).is_none_or(|channel| channel.record.owner != *owner) {
            return Acknowledged::Unknown;
        }
        if status == 404 {
            // The event is among the channel's unanswered ones and moves on with them.
            let channel = flight.channel.clone();
            self.terminate(now, &channel, TerminationReason::UnknownChannel);
            return Acknowledged::Known;
        }
        let Some(flight) = self.take_flight(event) else { return Acknowledged::Unknown };
        if let Some(channel) = self.channels.get_mut(&flight.channel) {
            channel.heard = now;
            channel.suspect = false;
        }
        match status {
            481 => {
                self.unsubscribe(now, &flight.subscription, false);
                return Acknowledged::Ended(flight.subscription);
            }
            500..=599 => {
                let mut item = flight.item;
                item.tried.push(flight.channel);
                // No channel took it: it is dropped, and the gap in the numbers shows it.
                if self.untried(&flight.subscription, &item.tried) {
                    self.requeue(now, &flight.subscription, item);
                }
            }
            _ => {}
        }
        self.advance(now, &flight.subscription);
        Acknowledged::Known
    }

    fn requeue(&mut self, now: Millis, subscription: &Id, item: Item) {
        if let Some(found) = self.subscriptions.get_mut(subscription) {
            found.queue.push_front(item);
            self.advance(now, subscription);
        }
    }

    fn take_flight(&mut self, event: Uuid) -> Option<InFlight> {
        let flight = self.in_flight.remove(&event)?;
        self.timers.remove(&flight.timer);
        if let Some(channel) = self.channels.get_mut(&flight.channel) {
            channel.outstanding.remove(&flight.order);
        }
        Some(flight)
    }

    fn untried(&self, subscription: &str, tried: &[Id]) -> bool {
        self.subscriptions
            .get(subscription)
            .and_then(|subscription| self.choose(subscription, tried))
            .is_some_and(|channel| !tried.contains(&channel))
    }

    fn unanswered(&mut self, now: Millis, event: Uuid) {
        let Some(flight) = self.in_flight.get(&event) else { return };
        let subscription = flight.subscription.clone();
        let last = flight.channel.clone();
        let mut tried = flight.item.tried.clone();
        tried.push(last.clone());
        if let Some(channel) = self.channels.get_mut(&last) {
            channel.suspect = true;
        }
        if self.untried(&subscription, &tried) {
            if let Some(flight) = self.take_flight(event) {
                self.requeue(now, &subscription, Item { tried, ..flight.item });
            }
        } else {
            // No channel of the set answers: all that were tried end, and the event waits for the next one.
            for channel in tried {
                self.terminate(now, &channel, TerminationReason::NonResponsiveChannel);
            }
        }
    }

    fn enqueue(&mut self, id: &str, item: Item) {
        let limit = self.limits.queue;
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if subscription.lost {
            return;
        }
        if subscription.queue.len() >= limit {
            subscription.queue.clear();
            subscription.lost = true;
            if matches!(subscription.record.target, SubscriptionTarget::User(_)) && !subscription.fetching {
                subscription.state = Some(StateKind::Resync);
            } else if !matches!(subscription.record.target, SubscriptionTarget::User(_)) {
                // Nothing to resynchronise with: numbers are skipped so that the loss shows.
                subscription.next_sequence += 1;
                subscription.lost = false;
                subscription.queue.push_back(item);
            }
            return;
        }
        subscription.queue.push_back(item);
    }

    /// Sends what can be sent of a subscription.
    fn advance(&mut self, now: Millis, id: &str) {
        loop {
            let Some(subscription) = self.subscriptions.get(id) else { return };
            if subscription.held || subscription.fetching || !subscription.owned {
                return;
            }
            let tried = subscription.queue.front().map(|item| item.tried.clone()).unwrap_or_default();
            let Some(channel) = self.choose(subscription, &tried) else { return };
            let Some(subscription) = self.subscriptions.get_mut(id) else { return };
            if let Some(kind) = subscription.state.take()
                && let SubscriptionTarget::User(user) = &subscription.record.target
            {
                subscription.fetching = true;
                subscription.lost = false;
                let kind = if subscription.used { kind } else { StateKind::Initial };
                let (user, packages) = (user.clone(), subscription.packages.clone());
                Self::reserve(&mut self.outputs, subscription, &id.into());
                self.outputs.push_back(Output::FetchState { subscription: id.into(), kind, user, packages });
                return;
            }
            let Some(front) = subscription.queue.front() else { return };
            if front.identity.is_none() && subscription.next_sequence > subscription.reserved_to {
                Self::reserve(&mut self.outputs, subscription, &id.into());
                return;
            }
            if self.channels.get(&channel).is_none_or(|c| c.outstanding.len() >= self.limits.queue) {
                self.terminate(now, &channel, TerminationReason::NonResponsiveChannel);
                continue;
            }
            self.send_front(now, id, &channel);
        }
    }

    fn reserve(outputs: &mut VecDeque<Output>, subscription: &mut Subscription, id: &Id) {
        if !subscription.reserving {
            subscription.reserving = true;
            outputs.push_back(Output::Reserve { subscription: id.clone(), count: SEQUENCE_BLOCK });
        }
    }

    fn send_front(&mut self, now: Millis, id: &str, channel: &Id) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let Some(mut item) = subscription.queue.pop_front() else { return };
        subscription.used = true;
        let (event, sequence) = item.identity.unwrap_or_else(|| {
            let sequence = subscription.next_sequence;
            subscription.next_sequence += 1;
            ((self.new_id)(), sequence)
        });
        item.identity = Some((event, sequence));
        if subscription.reserved_to.saturating_sub(subscription.next_sequence) < SEQUENCE_LOW {
            Self::reserve(&mut self.outputs, subscription, &id.into());
        }
        self.counter += 1;
        let order = self.counter;
        let timer = self.arm(now + self.limits.acknowledgement, Timer::Acknowledgement(event));
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.outstanding.insert(order, event);
        }
        if let Some(subscription) = self.subscriptions.get(id) {
            let document =
                self.compose(channel, subscription, event, sequence, Some(&item.target), &item.data);
            self.outputs.push_back(document);
        }
        self.in_flight.insert(
            event,
            InFlight { subscription: id.into(), channel: channel.clone(), order, item, timer },
        );
    }

    fn write(
        &mut self,
        channel: &Id,
        subscription: &Subscription,
        event: Uuid,
        sequence: u64,
        target: Option<&str>,
        data: &EventData,
    ) {
        let output = self.compose(channel, subscription, event, sequence, target, data);
        self.outputs.push_back(output);
    }

    fn compose(
        &self,
        channel: &Id,
        subscription: &Subscription,
        event: Uuid,
        sequence: u64,
        target_id: Option<&str>,
        data: &EventData,
    ) -> Output {
        let transport =
            self.channels.get(channel).map_or(ChannelTransport::Connection, |channel| channel.transport);
        let mut buffer = Uuid::encode_buffer();
        let record = &subscription.record;
        let envelope = SubscriptionEvent {
            event_id: event.hyphenated().encode_lower(&mut buffer),
            sequence_number: wire_sequence(sequence),
            owner: match &record.owner {
                Owner::Client(client) => EventOwner::Client(client),
                Owner::User(user) => EventOwner::User(user.as_str()),
            },
            application_id: record.application_id.as_deref().unwrap_or_default(),
            subscription_id: &record.subscription_id,
            shared_subscription_id: None,
            route: EventRoute::Channel(channel),
            target_id,
            target_sub_id: None,
        };
        let bytes = envelope.assemble(data, form_of(transport));
        Output::Send { channel: channel.clone(), delivery: Delivery { kind: DeliveryKind::Event, bytes } }
    }

    /// The local channel that takes the next event of an owned subscription: the preferred one, else (it left events
    /// unanswered or did not take this one) the next of the set.
    fn choose(&self, subscription: &Subscription, tried: &[Id]) -> Option<Id> {
        let set = self.sets.get(&subscription.set)?;
        let locals = || set.local.iter().filter_map(|id| self.channels.get(id));
        let fit = |channel: &Channel, trusted: bool| {
            !tried.iter().any(|id| **id == *channel.record.channel_id) && !(trusted && channel.suspect)
        };
        let id = &subscription.record.subscription_id;
        preferred(locals().filter(|c| fit(c, true)).map(|c| &c.record), id)
            .or_else(|| preferred(locals().filter(|c| fit(c, false)).map(|c| &c.record), id))
            .or_else(|| preferred(locals().map(|c| &c.record), id))
            .map(|record| record.channel_id.as_str().into())
    }

    /// After a set's channels or subscriptions changed: who delivers, and whether its grace period runs.
    fn settle_set(&mut self, now: Millis, key: &SetKey) {
        let Some(set) = self.sets.get_mut(key) else { return };
        if set.local.is_empty() && set.remote.is_empty() {
            if set.subscriptions.is_empty() {
                self.sets.remove(key);
                return;
            }
            if set.empty_since.is_none() {
                set.empty_since = Some(now);
                let at = now + self.limits.grace;
                self.arm(at, Timer::Grace(key.clone()));
            }
            return;
        }
        set.empty_since = None;
        let subscriptions = set.subscriptions.clone();
        for id in subscriptions {
            self.settle(now, key, &id);
        }
    }

    fn settle(&mut self, now: Millis, key: &SetKey, id: &Id) {
        let Some(set) = self.sets.get(key) else { return };
        let locals = set.local.iter().filter_map(|id| self.channels.get(id)).map(|channel| &channel.record);
        let Some(best) = preferred(locals.chain(&set.remote), id) else { return };
        let mine = best.process == self.process;
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        if mine && !subscription.owned {
            subscription.owned = true;
            if matches!(subscription.record.target, SubscriptionTarget::User(_)) {
                let kind = if subscription.used { StateKind::Resync } else { StateKind::Initial };
                subscription.state = Some(kind);
            }
        } else if !mine && subscription.owned {
            subscription.owned = false;
            subscription.used = true;
            subscription.queue.clear();
            subscription.lost = false;
            subscription.state = None;
        }
        self.advance(now, id);
    }

    // === what other processes did ===

    /// The store is about to be read; gives what to hand to [`Self::synchronise`].
    pub(crate) fn begin_synchronise(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// The store as it was read. What changed here since the reading began is left alone.
    pub(crate) fn synchronise(
        &mut self,
        now: Millis,
        generation: u64,
        channels: Vec<ChannelRecord>,
        subscriptions: Vec<SubscriptionRecord>,
        remote_hold: Millis,
    ) {
        let removed = std::mem::take(&mut self.removed);
        let gone = |id: &str| removed.get(id).is_some_and(|at| *at >= generation);
        let present: HashSet<&str> = channels.iter().map(|record| record.channel_id.as_str()).collect();
        let vanished: Vec<(Id, TerminationReason)> = self
            .channels
            .iter()
            .filter(|(id, channel)| channel.generation < generation && !present.contains(&***id))
            .map(|(id, channel)| (id.clone(), why_vanished(&channel.record, &channels)))
            .collect();
        let mut touched: HashSet<SetKey> = HashSet::new();
        for (key, set) in &mut self.sets {
            if !set.remote.is_empty() {
                set.remote.clear();
                touched.insert(key.clone());
            }
        }
        for record in channels {
            if gone(&record.channel_id) {
                continue;
            }
            if record.process == self.process {
                let known = self.channels.get(&*record.channel_id);
                if known
                    .is_some_and(|c| c.generation < generation && c.record.expires_at != record.expires_at)
                {
                    self.refresh_channel(now, &record.channel_id, record.expires_at);
                }
                continue;
            }
            let key = key_of(&record);
            self.sets.entry(key.clone()).or_default().remote.push(record);
            touched.insert(key);
        }
        for (id, reason) in vanished {
            self.terminate_silently(now, &id, reason);
        }

        let present: HashSet<String> =
            subscriptions.iter().map(|record| record.subscription_id.clone()).collect();
        for record in subscriptions {
            if gone(&record.subscription_id) {
                continue;
            }
            match self.subscriptions.get_mut(&*record.subscription_id) {
                Some(known) => {
                    known.used |= record.sequence_reserved > 0;
                    if known.generation < generation && known.record.expires_at != record.expires_at {
                        let id = record.subscription_id.clone();
                        self.refresh_subscription(now, &id, record.expires_at, false);
                    }
                }
                None => {
                    let hold = if record.sequence_reserved == 0 {
                        Hold::Until(now + remote_hold)
                    } else {
                        Hold::None
                    };
                    self.subscribe(now, record, hold);
                }
            }
        }
        let vanished: Vec<Id> = self
            .subscriptions
            .iter()
            .filter(|(id, s)| s.generation < generation && !present.contains(&***id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in vanished {
            self.unsubscribe(now, &id, true);
        }
        for key in touched {
            self.settle_set(now, &key);
        }
        self.removed.extend(removed.into_iter().filter(|(_, at)| *at >= generation));
    }

    // === time ===

    fn arm(&mut self, at: Millis, timer: Timer) -> (Millis, u64) {
        self.counter += 1;
        self.timers.insert((at, self.counter), timer);
        (at, self.counter)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let timer = entry.remove();
            self.fire(now, timer);
        }
    }

    fn fire(&mut self, now: Millis, timer: Timer) {
        match timer {
            Timer::Acknowledgement(event) => self.unanswered(now, event),
            Timer::ChannelExpiry(id) => {
                if self.channels.get(&id).is_some_and(|c| c.record.expires_at.is_some_and(|at| at <= now)) {
                    self.terminate(now, &id, TerminationReason::Expired);
                }
            }
            Timer::Grace(key) => self.grace_over(now, &key),
            Timer::Heartbeat(id) => {
                if self.channels.contains_key(&id) {
                    let delivery = Delivery {
                        kind: DeliveryKind::Heartbeat,
                        bytes: Bytes::from_static(HEARTBEAT.as_bytes()),
                    };
                    self.outputs.push_back(Output::Send { channel: id.clone(), delivery });
                    self.arm(now + self.limits.heartbeat, Timer::Heartbeat(id));
                }
            }
            Timer::Liveness(id) => {
                if let Some(channel) = self.channels.get(&id) {
                    let due = channel.heard + self.limits.client_silence;
                    if due <= now {
                        self.terminate(now, &id, TerminationReason::NonResponsiveChannel);
                    } else {
                        self.arm(due, Timer::Liveness(id));
                    }
                }
            }
            Timer::Release(id) => self.release(now, &id),
            Timer::SubscriptionExpiry(id) => {
                let Some(subscription) = self.subscriptions.get(&id) else { return };
                let Some(at) = subscription.record.expires_at else { return };
                let due = if subscription.owned { at } else { at + ORPHAN_EXPIRY_DELAY };
                if due <= now {
                    self.outputs.push_back(Output::ForgetSubscription { subscription: id.clone() });
                    self.unsubscribe(now, &id, true);
                } else if at <= now {
                    self.arm(due, Timer::SubscriptionExpiry(id));
                }
            }
        }
    }

    fn grace_over(&mut self, now: Millis, key: &SetKey) {
        let Some(set) = self.sets.get(key) else { return };
        let Some(since) = set.empty_since else { return };
        let due = since + self.limits.grace;
        if due > now {
            self.arm(due, Timer::Grace(key.clone()));
            return;
        }
        for id in set.subscriptions.clone() {
            if self.subscriptions.get(&id).is_some_and(|s| s.record.expires_at.is_some()) {
                self.outputs.push_back(Output::ForgetSubscription { subscription: id.clone() });
                self.unsubscribe(now, &id, false);
            }
        }
    }
}

/// The set that a channel belongs to.
pub(crate) fn key_of(record: &ChannelRecord) -> SetKey {
    SetKey { owner: record.owner.clone(), name: record.channel_set_id.as_str().into() }
}

fn why_vanished(record: &ChannelRecord, others: &[ChannelRecord]) -> TerminationReason {
    let duplicate = record.application_id.is_some()
        && others.iter().any(|other| {
            other.owner == record.owner
                && other.application_id == record.application_id
                && other.channel_set_id != record.channel_set_id
        });
    if duplicate { TerminationReason::DuplicateChannelSet } else { TerminationReason::ExplicitDelete }
}

fn form_of(transport: ChannelTransport) -> EventForm {
    match transport {
        ChannelTransport::Connection => EventForm::Cti,
        ChannelTransport::Stream => EventForm::Stream,
    }
}

fn wire_reason(reason: TerminationReason) -> ChannelTerminationReason {
    match reason {
        TerminationReason::DuplicateChannelSet => ChannelTerminationReason::DuplicateChannelSet,
        TerminationReason::ExplicitDelete => ChannelTerminationReason::ExplicitDelete,
        TerminationReason::Expired => ChannelTerminationReason::Expired,
        TerminationReason::NonResponsiveChannel => ChannelTerminationReason::NonResponsiveChannel,
        TerminationReason::UnknownChannel => ChannelTerminationReason::UnknownChannel,
        TerminationReason::UserDeleted => ChannelTerminationReason::UserDeleted,
    }
}
