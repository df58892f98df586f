//! Which subscriptions an event concerns: looked up by its target, so that all others cost nothing.

use super::types::Id;
use openadp_appserver::{SubscriptionTarget, UserId};
use std::collections::HashMap;

/// Subscriptions by target.
#[derive(Debug, Default)]
pub(super) struct Index {
    groups: HashMap<(String, String), Vec<Id>>,
    providers: HashMap<String, Vec<Id>>,
    system: Vec<Id>,
    users: HashMap<UserId, Vec<Id>>,
}

impl Index {
    pub(super) fn add(&mut self, target: &SubscriptionTarget, id: Id) {
        match target {
            SubscriptionTarget::Group { provider, group } => {
                self.groups.entry((provider.clone(), group.clone())).or_default().push(id);
            }
            SubscriptionTarget::ServiceProvider { provider } => {
                self.providers.entry(provider.clone()).or_default().push(id);
            }
            SubscriptionTarget::System => self.system.push(id),
            SubscriptionTarget::User(user) => self.users.entry(user.clone()).or_default().push(id),
        }
    }

    pub(super) fn remove(&mut self, target: &SubscriptionTarget, id: &Id) {
        fn take<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Id>>, key: &K, id: &Id) {
            if let Some(list) = map.get_mut(key) {
                list.retain(|other| other != id);
                if list.is_empty() {
                    map.remove(key);
                }
            }
        }
        match target {
            SubscriptionTarget::Group { provider, group } => {
                take(&mut self.groups, &(provider.clone(), group.clone()), id);
            }
            SubscriptionTarget::ServiceProvider { provider } => take(&mut self.providers, provider, id),
            SubscriptionTarget::System => self.system.retain(|other| other != id),
            SubscriptionTarget::User(user) => take(&mut self.users, user, id),
        }
    }

    /// Subscriptions to one user alone.
    pub(super) fn of_user(&self, user: &UserId) -> Vec<Id> {
        self.users.get(user).cloned().unwrap_or_default()
    }

    /// All that an event of this user concerns.
    pub(super) fn concerned(&self, user: &UserId, provider: &str, group: &str) -> Vec<Id> {
        let mut found = self.of_user(user);
        if !self.groups.is_empty()
            && let Some(list) = self.groups.get(&(provider.to_owned(), group.to_owned()))
        {
            found.extend(list.iter().cloned());
        }
        if let Some(list) = self.providers.get(provider) {
            found.extend(list.iter().cloned());
        }
        found.extend(self.system.iter().cloned());
        found
    }
}
