//! What other processes did, as the store tells it.

use super::super::types::{Hold, Id, Millis, Output, SetKey};
use super::{Machine, key_of};
use openadp_appserver::{ChannelRecord, SubscriptionRecord, TerminationReason};
use std::collections::HashSet;

impl Machine {
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
        let mut strays: Vec<Id> = Vec::new();
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
                match self.channels.get(&*record.channel_id) {
                    Some(known) => {
                        if known.generation < generation && known.record.expires_at != record.expires_at {
                            self.refresh_channel(now, &record.channel_id, record.expires_at);
                        }
                    }
                    None => strays.push(record.channel_id.as_str().into()),
                }
                continue;
            }
            let key = key_of(&record);
            self.sets.entry(key.clone()).or_default().remote.push(record);
            touched.insert(key);
        }
        self.forget_strays(now, strays);
        for (id, reason) in vanished {
            self.terminate_silently(now, &id, reason);
        }

        let present: HashSet<String> =
            subscriptions.iter().map(|record| record.subscription_id.clone()).collect();
        for record in subscriptions {
            if gone(&record.subscription_id) {
                continue;
            }
            if let Some(known) = self.subscriptions.get_mut(&*record.subscription_id) {
                // What this process reserved itself says nothing.
                if !known.reserving && record.sequence_reserved > known.reserved_to {
                    known.delivered_before();
                }
                if known.generation < generation && known.record.expires_at != record.expires_at {
                    let id = record.subscription_id.clone();
                    self.refresh_subscription(now, &id, record.expires_at, false);
                }
            } else {
                let fresh = record.sequence_reserved == 0;
                let hold = if fresh { Hold::Until(now + remote_hold) } else { Hold::None };
                self.subscribe(now, record, hold);
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

    /// Removes channels from the store that have stood there for this process for some time without being here: other
    /// processes would wait for it to deliver.
    fn forget_strays(&mut self, now: Millis, strays: Vec<Id>) {
        let before = std::mem::take(&mut self.strays);
        for id in strays {
            let since = before.get(&id).copied().unwrap_or(now);
            if since + STRAY_AFTER <= now {
                self.outputs.push_back(Output::ForgetChannel { channel: id });
            } else {
                self.strays.insert(id, since);
            }
        }
    }
}

/// Opening a channel takes far less; what the store has longer without a connection here was written back by a refresh
/// that met the channel's end.
const STRAY_AFTER: Millis = 10_000;

fn why_vanished(record: &ChannelRecord, others: &[ChannelRecord]) -> TerminationReason {
    let duplicate = record.application_id.is_some()
        && others.iter().any(|other| {
            other.owner == record.owner
                && other.application_id == record.application_id
                && other.channel_set_id != record.channel_set_id
        });
    if duplicate { TerminationReason::DuplicateChannelSet } else { TerminationReason::ExplicitDelete }
}
