//! Who delivers a subscription, and on which channel.

use super::super::types::{Id, Millis, SetKey, StateKind, Timer};
use super::{Channel, Machine, Subscription};
use openadp_appserver::{ChannelRecord, SubscriptionTarget};

impl Machine {
    /// Whether there is a channel that did not refuse the event yet.
    pub(super) fn untried(&self, subscription: &str, tried: &[Id]) -> bool {
        self.subscriptions
            .get(subscription)
            .and_then(|subscription| self.choose(subscription, tried))
            .is_some_and(|channel| !tried.contains(&channel))
    }

    /// The local channel that takes the next event of an owned subscription: the preferred one, else (it left events
    /// unanswered or did not take this one) the next of the set.
    pub(super) fn choose(&self, subscription: &Subscription, tried: &[Id]) -> Option<Id> {
        let set = self.sets.get(&subscription.set)?;
        let locals = || set.local.iter().filter_map(|id| self.channels.get(id));
        let fit = |channel: &Channel, trusted: bool| {
            let refused = tried.iter().any(|id| **id == *channel.record.channel_id);
            !refused && (!trusted || !channel.suspect)
        };
        let id = &subscription.record.subscription_id;
        preferred(locals().filter(|c| fit(c, true)).map(|c| &c.record), id)
            .or_else(|| preferred(locals().filter(|c| fit(c, false)).map(|c| &c.record), id))
            .or_else(|| preferred(locals().map(|c| &c.record), id))
            .map(|record| record.channel_id.as_str().into())
    }

    /// After a set's channels or subscriptions changed: who delivers, and whether its grace period runs.
    pub(super) fn settle_set(&mut self, now: Millis, key: &SetKey) {
        let Some(set) = self.sets.get_mut(key) else { return };
        if set.local.is_empty() && set.remote.is_empty() {
            if set.subscriptions.is_empty() {
                self.sets.remove(key);
                self.disarm(&Timer::Grace(key.clone()));
                self.disarm(&Timer::Contact(key.clone()));
                return;
            }
            if set.empty_since.is_none() {
                set.empty_since = Some(now);
                let at = now + self.limits.grace;
                self.arm(at, Timer::Grace(key.clone()));
            }
            self.want_contact(now, key);
            return;
        }
        let waited = set.empty_since.take().is_some();
        let subscriptions = set.subscriptions.clone();
        if waited {
            self.disarm(&Timer::Grace(key.clone()));
        }
        for id in subscriptions {
            self.settle(now, key, &id);
        }
    }

    pub(super) fn settle(&mut self, now: Millis, key: &SetKey, id: &Id) {
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
            subscription.fetching = false;
            subscription.used = true;
            subscription.queue.clear();
            subscription.lost = false;
            subscription.state = None;
        }
        self.advance(now, id);
    }
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
