//! From a subscription to a channel: order, numbers, bounds.

use super::super::types::{Id, Item, Millis, Output, StateKind, Timer};
use super::{InFlight, Machine, SEQUENCE_BLOCK, SEQUENCE_LOW, Subscription};
use crate::{ChannelTransport, Delivery, DeliveryKind};
use openadp_appserver::{Owner, SubscriptionTarget, TerminationReason};
use openadp_xsi_schema::{EventData, EventForm, EventOwner, EventRoute, SubscriptionEvent, wire_sequence};
use std::collections::VecDeque;
use uuid::Uuid;

/// How many times longer an event waits for its answer that is posted: posts go one after the other, some several times.
const POSTS: Millis = 6;

impl Machine {
    pub(super) fn enqueue(&mut self, id: &str, item: Item) {
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
    pub(super) fn advance(&mut self, now: Millis, id: &str) {
        loop {
            let Some(subscription) = self.subscriptions.get(id) else { return };
            if subscription.held || subscription.fetching || !subscription.owned {
                return;
            }
            let tried = subscription.queue.front().map(|item| item.tried.clone()).unwrap_or_default();
            let Some(channel) = self.choose(subscription, &tried) else { return };
            let Some(subscription) = self.subscriptions.get_mut(id) else { return };
            // Whether anybody delivered before shows in the numbers, and decides what the state is called.
            let unsure = !subscription.used && !subscription.made_here && subscription.reserved_to == 0;
            if unsure && subscription.state.is_some() {
                Self::reserve(&mut self.outputs, subscription, &id.into());
                return;
            }
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

    pub(super) fn reserve(outputs: &mut VecDeque<Output>, subscription: &mut Subscription, id: &Id) {
        if !subscription.reserving {
            subscription.reserving = true;
            outputs.push_back(Output::Reserve { subscription: id.clone(), count: SEQUENCE_BLOCK });
        }
    }

    pub(super) fn send_front(&mut self, now: Millis, id: &str, channel: &Id) {
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
        let posted =
            self.channels.get(channel).is_some_and(|channel| channel.transport == ChannelTransport::Contact);
        let patience = if posted { POSTS * self.limits.acknowledgement } else { self.limits.acknowledgement };
        self.arm(now + patience, Timer::Acknowledgement(event));
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.outstanding.insert(order, event);
        }
        if let Some(subscription) = self.subscriptions.get(id) {
            let document =
                self.compose(channel, subscription, event, sequence, Some(&item.target), &item.data);
            self.outputs.push_back(document);
        }
        self.in_flight
            .insert(event, InFlight { subscription: id.into(), channel: channel.clone(), order, item });
    }

    pub(super) fn write(
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

    pub(super) fn compose(
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
            route: match (transport, record.http_contact.as_deref()) {
                (ChannelTransport::Contact, Some(uri)) => EventRoute::HttpContact(uri),
                _ => EventRoute::Channel(channel),
            },
            target_id,
            target_sub_id: None,
        };
        let bytes = envelope.assemble(data, form_of(transport));
        Output::Send { channel: channel.clone(), delivery: Delivery { kind: DeliveryKind::Event, bytes } }
    }
}

pub(super) fn form_of(transport: ChannelTransport) -> EventForm {
    match transport {
        ChannelTransport::Connection => EventForm::Cti,
        ChannelTransport::Contact | ChannelTransport::Stream => EventForm::Stream,
    }
}
