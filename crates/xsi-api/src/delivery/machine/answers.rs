//! EventResponses, and events that get none.

use super::super::types::{Id, Item, Millis, Timer};
use super::{Acknowledged, InFlight, Machine};
use openadp_appserver::{Owner, TerminationReason};
use uuid::Uuid;

impl Machine {
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

    pub(super) fn requeue(&mut self, now: Millis, subscription: &Id, item: Item) {
        if let Some(found) = self.subscriptions.get_mut(subscription) {
            found.queue.push_front(item);
            self.advance(now, subscription);
        }
    }

    pub(super) fn take_flight(&mut self, event: Uuid) -> Option<InFlight> {
        let flight = self.in_flight.remove(&event)?;
        self.disarm(&Timer::Acknowledgement(event));
        if let Some(channel) = self.channels.get_mut(&flight.channel) {
            channel.outstanding.remove(&flight.order);
        }
        Some(flight)
    }

    pub(super) fn unanswered(&mut self, now: Millis, event: Uuid) {
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
}
