//! How the parties of a call show to each other.

use super::Board;
use openadp_appserver::{Address, CallId, CallPersonality, CallType, RemoteParty, UserId};

impl Board {
    /// Whether the owner of a half hides from those whom it calls. Who was called has nothing to hide.
    pub(crate) fn is_hidden(&self, id: &CallId) -> bool {
        self.halves.get(id).is_some_and(|half| {
            half.call.personality != CallPersonality::Terminator
                && self.parties.get(&half.owner).is_some_and(|party| party.hides_itself)
        })
    }

    /// How the owner of a half shows to who has, or gets, the other one.
    pub(crate) fn other_end(&self, viewer: &UserId, id: &CallId) -> Option<RemoteParty> {
        let half = self.halves.get(id)?;
        let mut remote = self.remote(viewer, &half.owner);
        let viewer = self.parties.get(viewer);
        let inside = remote.call_type != CallType::Network;
        let calls = half.call.personality != CallPersonality::Terminator;
        let not_delivered = calls
            && viewer.is_some_and(|party| {
                let (internal, external) = party.shown_callers;
                !(if inside { internal } else { external })
            });
        let hidden = self.is_hidden(id) && !viewer.is_some_and(|party| party.sees_hidden);
        remote.private = hidden || not_delivered;
        if calls && !inside && viewer.is_some_and(|party| !party.sees_names) {
            remote.name = None;
        }
        Some(remote)
    }

    /// How one party shows to another.
    pub(super) fn remote(&self, viewer: &UserId, other: &UserId) -> RemoteParty {
        let (Some(viewer), Some(other)) = (self.parties.get(viewer), self.parties.get(other)) else {
            return unknown_remote(Address { value: format!("sip:{other}"), country_code: None });
        };
        let call_type = if viewer.provider != other.provider {
            CallType::Network
        } else if viewer.group == other.group {
            CallType::Group
        } else if viewer.is_enterprise {
            CallType::Enterprise
        } else {
            CallType::Network
        };
        let inside = call_type != CallType::Network;
        let number = other.number.as_deref().map(Address::of);
        let extension = other.extension.clone().filter(|_| inside);
        let address = extension
            .map(|value| Address { value, country_code: None })
            .or_else(|| number.clone())
            .unwrap_or_else(|| Address { value: format!("sip:{}", other.user_id), country_code: None });
        RemoteParty {
            name: Some(other.name.clone()),
            address,
            user_id: inside.then(|| other.user_id.clone()),
            user_dn: number.filter(|_| inside),
            call_type,
            private: false,
        }
    }
}

/// Somebody of whom only the address is known.
pub(super) fn unknown_remote(address: Address) -> RemoteParty {
    RemoteParty {
        name: None,
        address,
        user_id: None,
        user_dn: None,
        call_type: CallType::Network,
        private: false,
    }
}
