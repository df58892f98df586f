//! Sets of addresses: their channels are opened here and not by clients.

use super::super::types::{Id, Millis, Output, SetKey, Timer};
use super::Machine;
use crate::ChannelTransport;
use openadp_appserver::TerminationReason;

/// Until the next try, when no channel could be opened.
const RETRY: Millis = 5_000;

impl Machine {
    /// Sees to it that a set of an address that has no channel gets one: at once where its request came here, a little later
    /// where it came to another process, so that only one of them opens it.
    pub(super) fn want_contact(&mut self, now: Millis, key: &SetKey) {
        let Some(set) = self.sets.get(key) else { return };
        let timer = Timer::Contact(key.clone());
        if !self.limits.contacts || set.contact.is_none() || set.opening || self.armed.contains_key(&timer) {
            return;
        }
        let made_here = |id: &Id| self.subscriptions.get(id).is_some_and(|found| found.made_here);
        let wait = if set.subscriptions.iter().any(made_here) { 0 } else { self.limits.contact_wait };
        self.arm(now + wait, timer);
    }

    pub(super) fn contact_due(&mut self, key: &SetKey) {
        let Some(set) = self.sets.get_mut(key) else { return };
        if !set.local.is_empty() || !set.remote.is_empty() || set.subscriptions.is_empty() {
            return;
        }
        if let Some(uri) = set.contact.clone() {
            set.opening = true;
            self.outputs.push_back(Output::OpenContact { set: key.clone(), uri });
        }
    }

    /// No channel could be opened for the address of a set.
    pub(crate) fn contact_failed(&mut self, now: Millis, key: &SetKey) {
        let Some(set) = self.sets.get_mut(key) else { return };
        set.opening = false;
        if set.local.is_empty() && set.remote.is_empty() {
            self.arm(now + RETRY, Timer::Contact(key.clone()));
        }
    }

    /// A set has a channel now; one that stands for an address is of no use without subscriptions.
    pub(super) fn contact_opened(&mut self, now: Millis, key: &SetKey) {
        self.disarm(&Timer::Contact(key.clone()));
        if let Some(set) = self.sets.get_mut(key) {
            set.opening = false;
        }
        self.end_idle_contacts(now, key);
    }

    /// Ends the channels that stand for an address nobody has events posted to any more.
    pub(super) fn end_idle_contacts(&mut self, now: Millis, key: &SetKey) {
        let Some(set) = self.sets.get(key).filter(|set| set.subscriptions.is_empty()) else { return };
        let contact = |id: &&Id| {
            self.channels.get(*id).is_some_and(|channel| channel.transport == ChannelTransport::Contact)
        };
        let idle: Vec<Id> = set.local.iter().filter(contact).cloned().collect();
        for id in idle {
            self.terminate(now, &id, TerminationReason::ExplicitDelete);
        }
    }
}
