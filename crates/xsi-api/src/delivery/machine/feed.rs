//! Events of the feed, to the subscriptions that they concern.

use super::super::types::{Id, Item, Millis, Output, StateKind};
use super::Machine;
use openadp_appserver::{Event, FeedEvent, Owner, SubscriptionTarget, TerminationReason, UserId};
use openadp_xsi_schema::EventData;
use std::collections::HashSet;
use std::sync::Arc;

impl Machine {
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

    pub(super) fn user_deleted(&mut self, now: Millis, user: &UserId) {
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
}
