//! Calls as pure functions: a board of the calls that an operation touches, an action and the time give a changed board
//! and what follows from it (events, log entries, timers and pushes). No store, no clock, no task.
//!
//! Every party of a call has a half. Two halves that can talk are each other's peers. A half that was forwarded away is
//! detached: it has no peer and is released with the last half of its link. Reading order: [`Half`], [`Board`],
//! `actions`, `route`.

mod actions;
mod address;
mod route;
#[cfg(test)]
mod tests;

pub(crate) use actions::{RouteWish, act, dial, first_wish, no_answer, release_all, wish};
pub(crate) use address::{Candidate, Dialled};
pub(crate) use route::{End, Route, Router};

use openadp_appserver::{
    Address, Call, CallEventKind, CallId, CallLogEntry, CallLogKind, CallPersonality, CallState, CallType,
    Event, HookStatus, InternalReleaseCause, NUMBER_OF_RINGS, PHONE_NUMBER, PREFIX, Redirect, ReleasingParty,
    RemoteParty, SPEED_CODE, SPEED_DIAL_8, SPEED_DIAL_100, Service, ServiceKind, Settings, UserId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is dialled before a code of Speed Dial 100, where nothing else is set.
const DEFAULT_PREFIX: &str = "#";

/// A subscriber as the engine sees it.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    pub(crate) user_id: UserId,
    pub(crate) provider: String,
    pub(crate) group: String,
    pub(crate) is_enterprise: bool,
    pub(crate) name: String,
    pub(crate) number: Option<String>,
    pub(crate) extension: Option<String>,
    pub(crate) country_code: String,
    pub(crate) line_port: String,
    pub(crate) off_hook: bool,
    pub(crate) do_not_disturb: bool,
    /// Call Forwarding Always, where active.
    pub(crate) always: Option<String>,
    /// Call Forwarding Busy, where active.
    pub(crate) busy: Option<String>,
    /// Call Forwarding No Answer, where active, with its rings.
    pub(crate) no_answer: Option<(String, u32)>,
    /// Takes a call while it has another.
    pub(crate) call_waiting: bool,
    /// Does not show those whom it calls who it is.
    pub(crate) hides_itself: bool,
    /// Sees who calls although they hide it.
    pub(crate) sees_hidden: bool,
    /// Takes no call of somebody who hides.
    pub(crate) refuses_hidden: bool,
    /// What it dials for which number.
    pub(crate) speed_dials: BTreeMap<String, String>,
}

impl Party {
    /// Takes over what a service says.
    pub(crate) fn apply(&mut self, service: &Service) {
        let forwards_to = service.forwards_to().map(str::to_owned);
        let settings = &service.settings;
        match service.kind {
            ServiceKind::AnonymousCallRejection => self.refuses_hidden = service.is_active(),
            ServiceKind::CallForwardingAlways => self.always = forwards_to,
            ServiceKind::CallForwardingBusy => self.busy = forwards_to,
            ServiceKind::CallForwardingNoAnswer => {
                let rings = settings.integer(NUMBER_OF_RINGS).unwrap_or_default();
                self.no_answer = forwards_to.map(|to| (to, rings));
            }
            ServiceKind::CallWaiting => self.call_waiting = service.is_active(),
            ServiceKind::CallingLineIdBlockingOverride => self.sees_hidden = service.is_active(),
            ServiceKind::CallingLineIdDeliveryBlocking => self.hides_itself = service.is_active(),
            ServiceKind::DoNotDisturb => self.do_not_disturb = service.is_active(),
            ServiceKind::SpeedDial100 => {
                let prefix = settings.text(PREFIX).unwrap_or(DEFAULT_PREFIX);
                self.take_codes(prefix, settings.entries(SPEED_DIAL_100));
            }
            ServiceKind::SpeedDial8 => self.take_codes("", settings.entries(SPEED_DIAL_8)),
        }
    }

    fn take_codes(&mut self, prefix: &str, entries: &[Settings]) {
        for entry in entries {
            if let (Some(code), Some(number)) = (entry.text(SPEED_CODE), entry.text(PHONE_NUMBER)) {
                self.speed_dials.insert(format!("{prefix}{code}"), number.to_owned());
            }
        }
    }

    /// What it means by what it dials: its codes first.
    pub(crate) fn dialled(&self, text: &str) -> Result<Dialled, Refusal> {
        let dialled = match Dialled::parse(text) {
            Ok(Dialled::Digits(digits)) => match self.speed_dials.get(&digits) {
                Some(number) => Dialled::parse(number),
                None => Ok(Dialled::Digits(digits)),
            },
            dialled => dialled,
        };
        dialled.map_err(Refusal::BadAddress)
    }
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
}

/// The id that a client's request follows its call with, and who is told it beside the one who asked.
#[derive(Debug, Clone)]
pub(crate) struct Correlation {
    pub(crate) id: String,
    /// Called parties of the same enterprise.
    pub(crate) access: bool,
    /// Called parties that a network lies between.
    pub(crate) network: bool,
}

impl Correlation {
    /// The id, for somebody who may know it.
    fn told(&self, personality: CallPersonality, remote: &RemoteParty) -> Option<String> {
        let told = match personality {
            CallPersonality::ClickToDial | CallPersonality::Originator => true,
            CallPersonality::Terminator if remote.call_type == CallType::Network => self.network,
            CallPersonality::Terminator => self.access,
        };
        told.then(|| self.id.clone())
    }
}

/// Limits of the engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most calls of one subscriber.
    pub(crate) calls_per_user: usize,
    /// Most forwardings of one call.
    pub(crate) redirections: u32,
    /// Length of a ring, milliseconds.
    pub(crate) ring_ms: i64,
    /// How long an unanswered call rings, milliseconds.
    pub(crate) no_answer_ms: i64,
}

/// Why ringing ended, in the words of nps.md section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingEnd {
    Answered,
    Cancelled,
    Rejected,
    Missed,
}

/// What is to be done outside of the board, in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A half began to ring: arm its timer, push.
    Ring { half: CallId, after_ms: i64 },
    /// It no longer rings: disarm, push.
    RingOver { half: CallId, end: RingEnd },
}

/// Why an action is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    WrongState(String),
    BadAddress(String),
    LimitReached,
}

/// The calls and parties that an operation touches, and what it changed.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) now: i64,
    pub(crate) limits: Limits,
    /// Network call id of the halves that are made, in place of one made up.
    pub(crate) correlation: Option<Correlation>,
    halves: BTreeMap<CallId, Half>,
    parties: BTreeMap<UserId, Party>,
    /// Number of the next half of each link.
    links: BTreeMap<i64, u32>,
    /// Events in order.
    pub(crate) events: Vec<(UserId, Event)>,
    /// Log entries.
    pub(crate) logs: Vec<(UserId, CallLogEntry)>,
    /// Timers and pushes.
    pub(crate) effects: Vec<Effect>,
    changed: BTreeSet<CallId>,
}

impl Board {
    pub(crate) fn new(now: i64, limits: Limits) -> Self {
        Self {
            now,
            limits,
            correlation: None,
            halves: BTreeMap::new(),
            parties: BTreeMap::new(),
            links: BTreeMap::new(),
            events: Vec::new(),
            logs: Vec::new(),
            effects: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Puts a party on the board, unless it is there.
    pub(crate) fn add_party(&mut self, party: Party) {
        self.parties.entry(party.user_id.clone()).or_insert(party);
    }
    /// Puts a stored half on the board, unless it is there.
    pub(crate) fn add_half(&mut self, half: Half) {
        self.halves.entry(half.call.id.clone()).or_insert(half);
    }
    /// Makes a link known, with the number of its next half.
    pub(crate) fn add_link(&mut self, link: i64, next_half: u32) {
        self.links.entry(link).or_insert(next_half);
    }
    pub(crate) fn party(&self, user: &UserId) -> Option<&Party> {
        self.parties.get(user)
    }
    pub(crate) fn half(&self, id: &CallId) -> Option<&Half> {
        self.halves.get(id)
    }
    pub(crate) fn links(&self) -> impl Iterator<Item = (i64, u32)> + '_ {
        self.links.iter().map(|(link, next)| (*link, *next))
    }
    pub(crate) fn all_halves(&self) -> impl Iterator<Item = &Half> {
        self.halves.values()
    }
    /// Halves that the operation made or changed.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Half> {
        self.changed.iter().filter_map(|id| self.halves.get(id))
    }

    /// A half of this user.
    fn own(&self, user: &UserId, id: &CallId) -> Result<&Half, Refusal> {
        self.halves.get(id).filter(|half| half.owner == *user).ok_or(Refusal::NotFound)
    }

    /// Ids of the user's halves that are neither released nor detached.
    fn live_of(&self, user: &UserId) -> Vec<CallId> {
        self.halves
            .values()
            .filter(|half| half.owner == *user && half.is_live())
            .map(|h| h.call.id.clone())
            .collect()
    }

    /// How many calls the user has.
    pub(crate) fn calls_of(&self, user: &UserId) -> usize {
        self.halves.values().filter(|half| half.owner == *user && half.is_live()).count()
    }

    /// Makes a half.
    fn create(
        &mut self,
        link: i64,
        owner: &UserId,
        personality: CallPersonality,
        remote: RemoteParty,
        hops: u32,
    ) -> CallId {
        let next = self.links.entry(link).or_insert(0);
        let id = CallId(format!("callhalf-{link}:{next}"));
        *next += 1;
        let taken: BTreeSet<u32> = self
            .halves
            .values()
            .filter(|half| half.owner == *owner && half.is_live())
            .map(|half| half.call.appearance)
            .collect();
        let highest = taken.last().copied().unwrap_or(0);
        let appearance = (1..=highest).find(|n| !taken.contains(n)).unwrap_or(highest.saturating_add(1));
        let call = Call {
            id: id.clone(),
            external_tracking_id: format!("{link}:1"),
            network_call_id: self
                .correlation
                .as_ref()
                .and_then(|correlation| correlation.told(personality, &remote))
                .unwrap_or_else(|| format!("BW{link}-{}@openadp", self.now)),
            personality,
            state: CallState::Alerting,
            release_cause: None,
            releasing_party: None,
            remote,
            redirect: None,
            address_of_record: self.parties.get(owner).map(|p| p.line_port.clone()).unwrap_or_default(),
            appearance,
            allow_answer: false,
            start_time: self.now,
            answer_time: None,
            held_time: None,
            total_held_time: None,
            detached_time: None,
            release_time: None,
        };
        let half = Half {
            call,
            owner: owner.clone(),
            peer: None,
            link,
            ringing: false,
            holding: false,
            logged: false,
            hops,
            info: None,
            changed_at: None,
        };
        self.halves.insert(id.clone(), half);
        id
    }

    /// Changes a half.
    fn edit(&mut self, id: &CallId, change: impl FnOnce(&mut Half)) {
        if let Some(half) = self.halves.get_mut(id) {
            change(half);
            self.changed.insert(id.clone());
        }
    }

    /// Brings the shown state in line with who rings and who holds; tells whether it changed.
    fn refresh(&mut self, id: &CallId) -> bool {
        let Some(half) = self.halves.get(id) else { return false };
        if !half.is_live() {
            return false;
        }
        let peer = half.peer.as_ref().and_then(|peer| self.halves.get(peer));
        // Remote hold is told among parties of one enterprise only (xsi.md section 5.8).
        let told = half.call.remote.call_type != CallType::Network;
        let state = match peer {
            None => CallState::Alerting,
            Some(peer) if half.ringing || peer.ringing => CallState::Alerting,
            Some(_) if half.holding => CallState::Held,
            Some(peer) if peer.holding && told => CallState::RemoteHeld,
            Some(_) => CallState::Active,
        };
        let (before, allow_answer) = (half.call.state, half.ringing);
        self.edit(id, |half| {
            half.call.state = state;
            half.call.allow_answer = allow_answer;
        });
        before != state
    }

    /// Tells of a half as it is now, with the hook status in its right place: off-hook before the event that lifts the
    /// receiver, on-hook after the one that puts it down (xsi.md section 5.8).
    fn emit(&mut self, id: &CallId, kind: CallEventKind) {
        let Some(half) = self.halves.get(id) else { return };
        let (owner, call) = (half.owner.clone(), half.call.clone());
        self.changed.insert(id.clone());
        let up = self.halves.values().any(|half| half.owner == owner && half.is_off_hook());
        let was = self.parties.get_mut(&owner).map(|party| std::mem::replace(&mut party.off_hook, up));
        if was == Some(false) && up {
            self.events.push((owner.clone(), Event::Hook(HookStatus::OffHook)));
        }
        self.events.push((owner.clone(), Event::Call { kind, call }));
        if was == Some(true) && !up {
            self.events.push((owner, Event::Hook(HookStatus::OnHook)));
        }
    }

    /// Ends a half: log entry, effects, event.
    fn release(
        &mut self,
        id: &CallId,
        by: ReleasingParty,
        cause: Option<InternalReleaseCause>,
        ring: RingEnd,
    ) {
        let Some(half) = self.halves.get(id) else { return };
        if half.call.state == CallState::Released {
            return;
        }
        let was_ringing = half.ringing;
        let now = self.now;
        self.edit(id, |half| {
            half.end_hold(now);
            half.call.state = CallState::Released;
            half.call.release_time = Some(half.call.detached_time.unwrap_or(now));
            half.call.releasing_party = Some(by);
            half.call.release_cause = cause;
            half.call.allow_answer = false;
            half.peer = None;
            half.ringing = false;
            half.holding = false;
        });
        if was_ringing {
            self.effects.push(Effect::RingOver { half: id.clone(), end: ring });
        }
        self.log(id);
        self.emit(id, CallEventKind::Released);
    }

    /// Writes the half's log entry, once.
    fn log(&mut self, id: &CallId) {
        let Some(half) = self.halves.get(id).filter(|half| !half.logged) else { return };
        let kind = match (half.call.personality, half.call.answer_time) {
            (CallPersonality::ClickToDial | CallPersonality::Originator, _) => CallLogKind::Placed,
            (CallPersonality::Terminator, Some(_)) => CallLogKind::Received,
            (CallPersonality::Terminator, None) => CallLogKind::Missed,
        };
        let mut entry = log_entry(kind, &half.call.remote, half.call.start_time, &half.call.id);
        entry.redirect.clone_from(&half.call.redirect);
        let owner = half.owner.clone();
        self.edit(id, |half| half.logged = true);
        self.logs.push((owner, entry));
    }

    /// Makes a ringing half, or a new one, the trace of a call that went on elsewhere.
    fn detach(&mut self, id: &CallId, kind: CallEventKind, to: Address, reason: &str) {
        let now = self.now;
        let was_ringing = self.halves.get(id).is_some_and(|half| half.ringing);
        self.edit(id, |half| {
            half.call.state = CallState::Detached;
            half.call.detached_time = Some(now);
            half.call.redirect = Some(Redirect { address: to, reason: reason.to_owned(), time: now });
            half.call.allow_answer = false;
            half.peer = None;
            half.ringing = false;
        });
        if was_ringing {
            self.effects.push(Effect::RingOver { half: id.clone(), end: RingEnd::Missed });
        }
        self.log(id);
        self.emit(id, kind);
    }

    /// Releases the detached halves of a link that nobody talks on any more.
    fn sweep(&mut self, link: i64) {
        if self.halves.values().any(|half| half.link == link && half.is_live()) {
            return;
        }
        let detached: Vec<CallId> = self
            .halves
            .values()
            .filter(|half| half.link == link && half.call.state == CallState::Detached)
            .map(|half| half.call.id.clone())
            .collect();
        for id in detached {
            self.release(&id, ReleasingParty::Remote, None, RingEnd::Missed);
        }
    }

    /// Whether the owner of a half hides from those whom it calls. Who was called has nothing to hide.
    pub(crate) fn is_hidden(&self, id: &CallId) -> bool {
        self.halves.get(id).is_some_and(|half| {
            half.call.personality != CallPersonality::Terminator
                && self.parties.get(&half.owner).is_some_and(|party| party.hides_itself)
        })
    }

    /// How the owner of a half shows to who has, or gets, the other one.
    fn other_end(&self, viewer: &UserId, id: &CallId) -> Option<RemoteParty> {
        let mut remote = self.remote(viewer, &self.halves.get(id)?.owner);
        remote.private =
            self.is_hidden(id) && !self.parties.get(viewer).is_some_and(|party| party.sees_hidden);
        Some(remote)
    }

    /// How one party shows to another.
    fn remote(&self, viewer: &UserId, other: &UserId) -> RemoteParty {
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
fn unknown_remote(address: Address) -> RemoteParty {
    RemoteParty {
        name: None,
        address,
        user_id: None,
        user_dn: None,
        call_type: CallType::Network,
        private: false,
    }
}

/// The log entry of a call (xsi.md section 3.5).
fn log_entry(kind: CallLogKind, remote: &RemoteParty, time: i64, call: &CallId) -> CallLogEntry {
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
        redirect: None,
    }
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
    fn is_answered(&self) -> bool {
        matches!(self.call.state, CallState::Active | CallState::Held | CallState::RemoteHeld)
    }

    /// Adds the time of a hold that ends.
    fn end_hold(&mut self, now: i64) {
        if let Some(since) = self.call.held_time.take() {
            let held = now.saturating_sub(since).max(0);
            self.call.total_held_time =
                Some(self.call.total_held_time.unwrap_or_default().saturating_add(held));
        }
        self.holding = false;
    }
}
