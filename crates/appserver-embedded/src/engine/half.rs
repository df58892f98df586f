//! One party's half of a call, and what may hang on it.

use super::party::Wanted;
use openadp_appserver::{
    Address, Call, CallId, CallLogEntry, CallLogKind, CallPersonality, CallState, Place, PlaceKind,
    RecallType, RemoteParty, UserId,
};
use serde::{Deserialize, Serialize};

/// A place of a subscriber, looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// What kind, and its number.
    pub(crate) place: Place,
    /// Who is there.
    pub(crate) user: UserId,
    /// Whether who answers must press a key first.
    pub(crate) confirm: bool,
    /// How long it rings, where it rings after others.
    pub(crate) rings: Option<u32>,
}

impl Spot {
    pub(crate) fn of(wanted: &Wanted, address: Address, user: UserId) -> Self {
        let place = Place { kind: wanted.kind, address };
        Self { place, user, confirm: wanted.confirm, rings: wanted.rings }
    }
}

/// What a half is that was made for a place of somebody else: it has no peer, and its main half talks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Side {
    /// The half whose owner has the place.
    pub(crate) main: CallId,
    /// The place.
    pub(crate) place: Place,
    /// Who answers must still press a key.
    pub(crate) confirm: bool,
}

/// Somebody who sent the call on, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Diversion {
    /// Who.
    pub(crate) by: UserId,
    /// Why, in the wire's words.
    pub(crate) reason: String,
}

/// Who gets a call back that nobody takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    /// Who gave it away.
    pub(crate) to: UserId,
    /// How it comes back.
    pub(crate) kind: RecallType,
}

/// What a half waits for that is neither ringing nor connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wait {
    /// For a place of its own to answer; then this is dialled.
    Place {
        /// As it was typed.
        address: String,
    },
    /// Parked, until somebody retrieves it.
    Parked {
        /// Against whom.
        against: UserId,
    },
    /// For an agent.
    Queue,
    /// For somebody busy.
    Camped {
        /// As the transferor typed it.
        address: String,
        /// In whose dial plan.
        plan: UserId,
        /// Until when, milliseconds since 1970.
        until: i64,
    },
}

/// Where a caller waits for an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Queued {
    /// The call centre.
    pub(crate) center: UserId,
    /// Since when.
    pub(crate) added: i64,
    /// An agent did not take it.
    pub(crate) bounced: bool,
}

/// A call's seat in its owner's conference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    /// The other side is not heard.
    pub(crate) muted: bool,
    /// The other side hears nothing.
    pub(crate) deaf: bool,
    /// The owner is not heard; the same in all seats.
    pub(crate) owner_muted: bool,
}

/// One party's half of a call, as the engine keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Half {
    /// What others see of it.
    pub(crate) call: Call,
    /// Whose it is.
    pub(crate) owner: UserId,
    /// The half at the other end.
    pub(crate) peer: Option<CallId>,
    /// What joins the halves of one call.
    pub(crate) link: i64,
    /// Rings in and was not answered.
    pub(crate) ringing: bool,
    /// Held by its owner.
    pub(crate) holding: bool,
    /// Its log entry is written.
    pub(crate) logged: bool,
    /// Forwardings that the call took to get here.
    pub(crate) hops: u32,
    /// Free text of the client that started it.
    pub(crate) info: Option<String>,
    /// When its owner last held or retrieved it.
    #[serde(default)]
    pub(crate) changed_at: Option<i64>,
    /// The own device does not ring with it.
    #[serde(default)]
    pub(crate) away: bool,
    /// It is at a place of somebody else.
    #[serde(default)]
    pub(crate) side: Option<Side>,
    /// Places that ring next.
    #[serde(default)]
    pub(crate) then: Vec<Spot>,
    /// What it waits for.
    #[serde(default)]
    pub(crate) wait: Option<Wait>,
    /// The mailbox that it is connected to.
    #[serde(default)]
    pub(crate) mailbox: Option<UserId>,
    /// Who sent the call on that this half made, in order.
    #[serde(default)]
    pub(crate) diverted: Vec<Diversion>,
    /// Who gets it back if nobody takes it.
    #[serde(default)]
    pub(crate) back: Option<Back>,
    /// Its seat in a conference.
    #[serde(default)]
    pub(crate) seat: Option<Seat>,
    /// The queue that it waits in, also while it rings at an agent.
    #[serde(default)]
    pub(crate) queued: Option<Queued>,
}

impl Half {
    /// Neither released nor detached.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.call.state, CallState::Released | CallState::Detached)
    }

    /// Whether its owner's receiver is up because of it.
    pub(crate) fn is_off_hook(&self) -> bool {
        self.is_live() && !self.ringing && self.call.personality != CallPersonality::ClickToDial
    }

    /// Whether both sides were connected and are now.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.call.state, CallState::Active | CallState::Held | CallState::RemoteHeld)
    }

    /// Whom else it may concern, beside those who have a half of the call.
    pub(crate) fn others(&self) -> impl Iterator<Item = &UserId> {
        let parked = match &self.wait {
            Some(Wait::Parked { against }) => Some(against),
            Some(Wait::Camped { plan, .. }) => Some(plan),
            Some(Wait::Place { .. } | Wait::Queue) | None => None,
        };
        let places = self.then.iter().map(|spot| &spot.user);
        let queue = self.queued.as_ref().map(|queued| &queued.center);
        let queue = queue.into_iter().chain(self.call.acd.as_ref().map(|info| &info.user_id));
        self.mailbox
            .iter()
            .chain(queue)
            .chain(parked)
            .chain(self.back.as_ref().map(|back| &back.to))
            .chain(places)
    }

    /// Whether it can be answered at the own device.
    pub(crate) fn may_answer(&self) -> bool {
        self.ringing && !self.away
    }

    /// Adds the time of a hold that ends.
    pub(crate) fn end_hold(&mut self, now: i64) {
        if let Some(since) = self.call.held_time.take() {
            let held = now.saturating_sub(since).max(0);
            self.call.total_held_time =
                Some(self.call.total_held_time.unwrap_or_default().saturating_add(held));
        }
        self.holding = false;
    }
}

/// The log entry of a call (xsi.md section 3.5).
pub(crate) fn log_entry(kind: CallLogKind, remote: &RemoteParty, time: i64, call: &CallId) -> CallLogEntry {
    let (number, name) = if remote.private {
        (Address { value: String::new(), country_code: None }, None)
    } else {
        (remote.address.clone(), remote.name.clone())
    };
    CallLogEntry {
        kind,
        number,
        name: name.unwrap_or_else(|| "Unavailable".to_owned()),
        time,
        call_log_id: call.0.trim_start_matches("callhalf-").to_owned(),
        redirections: Vec::new(),
        redirect: None,
    }
}

/// Whether a place is one that the protocol has a word for.
pub(crate) fn shown(place: &Place) -> Option<Place> {
    (place.kind != PlaceKind::Number).then(|| place.clone())
}
