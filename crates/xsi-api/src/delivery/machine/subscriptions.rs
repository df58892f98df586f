//! Subscriptions: made, refreshed, ended; their numbers and their full state.

use super::super::package::Packages;
use super::super::types::{Hold, Id, Item, Millis, SetKey, StateKind, Timer};
use super::{Machine, Subscription};
use openadp_appserver::{SubscriptionRecord, SubscriptionTarget};
use openadp_xsi_schema::EventData;
use std::collections::VecDeque;
use std::sync::Arc;

impl Machine {
    /// A subscription was made or found.
    pub(crate) fn subscribe(&mut self, now: Millis, record: SubscriptionRecord, hold: Hold) {
        let id: Id = record.subscription_id.as_str().into();
        if let Some(known) = self.subscriptions.get_mut(&id) {
            known.generation = self.generation;
            if hold == Hold::UntilReleased && !known.used && !known.fetching {
                known.held = true;
                known.made_here = true;
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
        let members = self.sets.entry(set.clone()).or_default();
        members.subscriptions.insert(id.clone());
        members.contact = record.http_contact.as_deref().map(Into::into);
        let subscription = Subscription {
            packages: Packages::of_record(&record.package),
            set: set.clone(),
            owned: false,
            held: hold != Hold::None,
            fetching: false,
            state: None,
            made_here: hold == Hold::UntilReleased,
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
            self.disarm(&Timer::Release(id.into()));
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
        let expiry = Timer::SubscriptionExpiry(id.into());
        match expires_at {
            Some(at) => self.arm(at, expiry),
            None => self.disarm(&expiry),
        }
        self.advance(now, id);
    }

    /// A subscription is over; `tell` sends its last event.
    pub(crate) fn unsubscribe(&mut self, now: Millis, id: &str, tell: bool) {
        let Some(mut subscription) = self.subscriptions.remove(id) else { return };
        self.removed.insert(id.into(), self.generation);
        self.index.remove(&subscription.record.target, &id.into());
        self.disarm(&Timer::SubscriptionExpiry(id.into()));
        self.disarm(&Timer::Release(id.into()));
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
        self.end_idle_contacts(now, &subscription.set);
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
            if last > 0 {
                subscription.delivered_before();
            }
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
}

impl Subscription {
    /// Another process delivered some of its events: what follows is no first state.
    pub(super) fn delivered_before(&mut self) {
        if !self.used {
            self.used = true;
            self.state = self.state.and(Some(StateKind::Resync));
        }
    }
}
