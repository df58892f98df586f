//! Channels: opened, refreshed, ended.

use super::super::types::{Id, Millis, Output, Timer};
use super::sending::form_of;
use super::{Channel, Machine, key_of};
use crate::ChannelTransport;
use openadp_appserver::{ChannelRecord, Owner, TerminationReason};
use openadp_xsi_schema::{ChannelTerminationReason, channel_terminated_event};
use std::collections::BTreeMap;

impl Machine {
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
            ChannelTransport::Connection | ChannelTransport::Contact => {}
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
        if transport == ChannelTransport::Contact {
            self.contact_opened(now, &set);
        }
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

    pub(super) fn terminate_silently(
        &mut self,
        now: Millis,
        channel: &str,
        reason: TerminationReason,
    ) -> bool {
        self.removed.insert(channel.into(), self.generation);
        self.detach(now, channel, Some(reason)).is_some()
    }

    /// Takes a channel out; its unanswered events go to another channel of the set or wait for one.
    pub(super) fn detach(&mut self, now: Millis, id: &str, reason: Option<TerminationReason>) -> Option<()> {
        let channel = self.channels.remove(id)?;
        self.removed.insert(id.into(), self.generation);
        let last = reason
            .map(|reason| channel_terminated_event(id, wire_reason(reason), form_of(channel.transport)));
        self.outputs.push_back(Output::Close { channel: id.into(), last });
        for timer in
            [Timer::ChannelExpiry(id.into()), Timer::Heartbeat(id.into()), Timer::Liveness(id.into())]
        {
            self.disarm(&timer);
        }
        if let Some(set) = self.sets.get_mut(&channel.set) {
            set.local.retain(|other| &**other != id);
        }
        // Latest first, so that putting each in front restores the order.
        for event in channel.outstanding.into_values().rev() {
            let Some(flight) = self.in_flight.remove(&event) else { continue };
            self.disarm(&Timer::Acknowledgement(event));
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
        let expiry = Timer::ChannelExpiry(id.into());
        match expires_at {
            Some(at) => self.arm(at, expiry),
            None => self.disarm(&expiry),
        }
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
