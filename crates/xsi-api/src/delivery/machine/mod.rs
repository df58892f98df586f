//! Channels, subscriptions and the events on their way: a state machine without I/O.
//!
//! Inputs carry `now`; [`Machine::next_output`] gives what the driver has to do, [`Machine::next_deadline`] when to
//! call [`Machine::tick`]. Every process has one and reads the whole feed; a subscription's events are delivered by the
//! process that holds the channel which `placement::preferred` names, and since that is a pure function of the shared records all
//! processes agree. Whoever takes a subscription over begins with its full state.
//!
//! What happens when a queue is full: a channel with too many unanswered events ends as NonResponsiveChannel; a
//! subscription without channel forgets its waiting events and gets one full state when a channel comes (`eventQueueSize`).

mod answers;
mod channels;
mod contacts;
mod feed;
mod placement;
mod sending;
mod subscriptions;
mod synchronise;
mod time;

use super::index::Index;
use super::package::Packages;
use super::types::{Id, Item, Limits, Millis, Output, SetKey, StateKind, Timer};
use crate::ChannelTransport;
use openadp_appserver::{ChannelRecord, Owner, SubscriptionRecord};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
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
    /// Address that its events are posted to.
    contact: Option<Id>,
    /// Whether the driver opens a channel for that.
    opening: bool,
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
    /// Whether its request came here. Of others the store may have said more since it was read.
    made_here: bool,
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
    armed: HashMap<Timer, (Millis, u64)>,
    counter: u64,
    generation: u64,
    removed: HashMap<Id, u64>,
    /// Channels that the store has for this process and that are not here, and since when.
    strays: HashMap<Id, Millis>,
    outputs: VecDeque<Output>,
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
            armed: HashMap::new(),
            counter: 0,
            generation: 0,
            removed: HashMap::new(),
            strays: HashMap::new(),
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
    /// Whether a subscription is known here.
    pub(crate) fn holds_subscription(&self, id: &str) -> bool {
        self.subscriptions.contains_key(id)
    }
    /// All channels whose connections are here.
    pub(crate) fn local_channels(&self) -> Vec<Id> {
        self.channels.keys().cloned().collect()
    }
    /// How many timers run.
    #[cfg(test)]
    pub(crate) fn timers(&self) -> usize {
        assert_eq!(self.timers.len(), self.armed.len());
        self.timers.len()
    }
    /// Numbers for gauges: channels here, subscriptions known, events unanswered.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.subscriptions.len(), self.in_flight.len())
    }

    /// Makes something due, instead of when it was due before.
    fn arm(&mut self, at: Millis, timer: Timer) {
        self.counter += 1;
        let place = (at, self.counter);
        if let Some(before) = self.armed.insert(timer.clone(), place) {
            self.timers.remove(&before);
        }
        self.timers.insert(place, timer);
    }

    fn disarm(&mut self, timer: &Timer) {
        if let Some(place) = self.armed.remove(timer) {
            self.timers.remove(&place);
        }
    }
}

/// The set that a channel belongs to.
pub(crate) fn key_of(record: &ChannelRecord) -> SetKey {
    SetKey { owner: record.owner.clone(), name: record.channel_set_id.as_str().into() }
}
