//! What is due.

use super::super::types::{Millis, Output, SetKey, Timer};
use super::{Machine, ORPHAN_EXPIRY_DELAY};
use crate::{Delivery, DeliveryKind};
use bytes::Bytes;
use openadp_appserver::TerminationReason;
use openadp_xsi_schema::HEARTBEAT;

impl Machine {
    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let timer = entry.remove();
            self.armed.remove(&timer);
            self.fire(now, timer);
        }
    }

    pub(super) fn fire(&mut self, now: Millis, timer: Timer) {
        match timer {
            Timer::Acknowledgement(event) => self.unanswered(now, event),
            Timer::ChannelExpiry(id) => {
                if self.channels.get(&id).is_some_and(|c| c.record.expires_at.is_some_and(|at| at <= now)) {
                    self.terminate(now, &id, TerminationReason::Expired);
                }
            }
            Timer::Contact(key) => self.contact_due(&key),
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

    pub(super) fn grace_over(&mut self, now: Millis, key: &SetKey) {
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
