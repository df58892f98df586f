//! Calls as pure functions: a board of the calls that an operation touches, an action and the time give a changed board
//! and what follows from it (events, log entries, timers and pushes). No store, no clock, no task.
//!
//! Every party of a call has a half. Two halves that can talk are each other's peers. A half that was forwarded away is
//! detached: it has no peer and is released with the last half of its link.
//!
//! A subscriber may be rung, or call, at other places than the own device. Whoever is there gets a half of its own, a side of
//! the subscriber's main half: it rings with it, answers for it, and goes with it; the main half has the peer. So both parties
//! of a call have one main half each, however many places rang.
//!
//! A main half without peer waits for something ([`Wait`]): for a place of its owner to answer, in a park, for somebody busy. Or
//! it is in a mailbox. One timer per main half is enough for all of this: what it is for follows from the half.
//!
//! A conference is nothing but seats at several calls of one owner, which are active together.
//!
//! Reading order: [`Half`], [`Board`], `party`, `route`, `actions`, `places`, `recall`, `conference`.

mod actions;
mod address;
mod conference;
mod connect;
mod criteria;
mod half;
mod park;
mod party;
mod places;
mod queue;
mod recording;
mod remote;
mod route;
#[cfg(test)]
mod tests;
mod transfers;

pub(crate) use actions::{act, dial, first_wish, release_all, wish};
pub(crate) use address::{Candidate, Dialled};
pub(crate) use conference::{confer, conference_of};
pub(crate) use half::{Half, Spot};
pub(crate) use park::{due, due_needs, due_wish, pick_up, retrieve_parked};
pub(crate) use party::Party;
pub(crate) use places::{dial_from, places_to_dial};
pub(crate) use queue::{
    AgentOf, Center, change_state, entry, is_free, overflow, overflow_wish, serve, waits_in, wrap_up_over,
};
pub(crate) use route::{End, Purpose, Route, RouteWish, Router};

use criteria::Caller;
use half::{Back, Seat, Side, Wait, log_entry};
use openadp_appserver::{
    Address, AgentStatus, Call, CallEventKind, CallId, CallLogEntry, CallLogKind, CallPersonality, CallState,
    CallType, Event, HookStatus, InternalReleaseCause, QueueEventKind, Redirect, ReleasingParty, RemoteParty,
    UserId,
};
use remote::unknown_remote;
use std::collections::{BTreeMap, BTreeSet};

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
    /// How long a parked call waits until it comes back, milliseconds.
    pub(crate) park_ms: i64,
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
    /// The timer of a half is to run out.
    Arm {
        half: CallId,
        after_ms: i64,
    },
    /// Its timer is not needed any more.
    Disarm {
        half: CallId,
    },
    /// A half began to ring: push.
    Ring {
        half: CallId,
    },
    /// It no longer rings: push.
    RingOver {
        half: CallId,
        end: RingEnd,
    },
    /// A half is parked against somebody.
    Parked {
        against: UserId,
        half: CallId,
    },
    /// None is any more.
    Unparked {
        against: UserId,
    },
    /// A caller waits in a queue.
    Enqueue {
        center: UserId,
        half: CallId,
    },
    /// It does not any more.
    Dequeue {
        center: UserId,
        half: CallId,
    },
    /// It rings at an agent, or waits again.
    Offered {
        center: UserId,
        half: CallId,
        offered: bool,
    },
    /// An agent has another state, and since when it is free for a call.
    Agent {
        agent: UserId,
        status: AgentStatus,
        free: Option<i64>,
    },
    /// An agent is free for a call, or is not.
    AgentFree {
        agent: UserId,
        since: Option<i64>,
    },
    /// The time for working up a call begins, or is over.
    ArmAgent {
        agent: UserId,
        after_ms: i64,
    },
    DisarmAgent {
        agent: UserId,
    },
    /// Somebody was in a mailbox for so long.
    Message {
        mailbox: UserId,
        from: CallId,
        duration_ms: i64,
    },
}

/// Why an action is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    WrongState(String),
    BadAddress(String),
    BadLocation(String),
    NotAssigned(openadp_appserver::ServiceKind),
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
    /// Those against whom a call is parked, as far as it was looked up.
    occupied: BTreeSet<UserId>,
    /// How many wait in queues, as far as it was looked up.
    queues: BTreeMap<UserId, u32>,
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
            occupied: BTreeSet::new(),
            queues: BTreeMap::new(),
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
    /// How many wait in a queue.
    pub(crate) fn queue_length(&self, center: &UserId) -> u32 {
        self.queues.get(center).copied().unwrap_or_default()
    }
    /// Says how many wait in a queue.
    pub(crate) fn set_queue_length(&mut self, center: UserId, length: u32) {
        self.queues.insert(center, length);
    }
    fn set_agent(&mut self, agent: &UserId, status: AgentStatus) {
        if let Some(agent) = self.parties.get_mut(agent).and_then(|party| party.agent.as_mut()) {
            agent.status = status;
        }
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

    /// The sides of a half.
    fn sides_of(&self, main: &CallId) -> Vec<CallId> {
        let side = |half: &&Half| half.is_live() && half.side.as_ref().is_some_and(|side| side.main == *main);
        self.halves.values().filter(side).map(|half| half.call.id.clone()).collect()
    }

    /// Whoever called a half that rings, as services of its owner ask about it.
    fn caller_of(&self, id: &CallId) -> Caller<'_> {
        let half = self.halves.get(id);
        let peer = half.and_then(|half| half.peer.as_ref());
        let party =
            peer.and_then(|peer| self.halves.get(peer)).and_then(|peer| self.parties.get(&peer.owner));
        Caller {
            party,
            hidden: peer.is_some_and(|peer| self.is_hidden(peer)),
            forwarded: half.is_some_and(|half| half.hops > 0),
        }
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

    /// Whether a call for somebody else may ring at a user.
    pub(crate) fn takes_calls(&self, user: &UserId) -> bool {
        self.parties.get(user).is_some_and(|party| {
            let most = if party.call_waiting { self.limits.calls_per_user } else { 1 };
            !party.do_not_disturb && self.calls_of(user) < most
        })
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
            redirections: Vec::new(),
            place: None,
            recall: None,
            recording: self.parties.get(owner).and_then(|party| party.recording).map(recording::idle),
            in_conference: false,
            acd: None,
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
            away: false,
            side: None,
            then: Vec::new(),
            wait: None,
            mailbox: None,
            diverted: Vec::new(),
            back: None,
            seat: None,
            queued: None,
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
        let state = self.state_of(half);
        let (before, allow_answer) = (half.call.state, half.may_answer());
        self.edit(id, |half| {
            half.call.state = state;
            half.call.allow_answer = allow_answer;
        });
        before != state
    }

    /// Whether the owner of a half holds it, at the own device or where it is.
    fn is_held_at(&self, half: &Half) -> bool {
        half.holding
            || self.halves.values().any(|other| {
                other.holding
                    && other.is_live()
                    && other.side.as_ref().is_some_and(|side| side.main == half.call.id)
            })
    }

    /// The state that a live half is in.
    fn state_of(&self, half: &Half) -> CallState {
        if half.ringing {
            return CallState::Alerting;
        }
        // Remote hold is told among parties of one enterprise only (xsi.md section 5.8).
        let told = half.call.remote.call_type != CallType::Network;
        let peer = |half: &Half| half.peer.as_ref().and_then(|peer| self.halves.get(peer));
        if let Some(side) = &half.side {
            let main = self.halves.get(&side.main);
            let held = main.is_some_and(|main| {
                main.holding || (told && peer(main).is_some_and(|peer| self.is_held_at(peer)))
            });
            return match (half.holding, held) {
                (true, _) => CallState::Held,
                (false, true) => CallState::RemoteHeld,
                (false, false) => CallState::Active,
            };
        }
        if half.queued.is_some() {
            return if half.holding { CallState::Held } else { CallState::Active };
        }
        if half.mailbox.is_some() {
            return if half.holding { CallState::Held } else { CallState::Active };
        }
        if matches!(half.wait, Some(Wait::Parked { .. })) {
            return CallState::RemoteHeld;
        }
        match peer(half) {
            None => CallState::Alerting,
            Some(peer) if peer.ringing => CallState::Alerting,
            Some(_) if half.holding => CallState::Held,
            Some(peer) if told && self.is_held_at(peer) => CallState::RemoteHeld,
            Some(_) if self.is_held_at(half) => CallState::RemoteHeld,
            Some(_) => CallState::Active,
        }
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
        let was_live = half.is_live();
        self.ring_over(id, ring);
        self.leave_park(id);
        queue::leave(self, id, QueueEventKind::Abandoned, None);
        recording::end(self, id);
        self.leave_message(id);
        let now = self.now;
        let was_seated = self.halves.get(id).is_some_and(|half| half.seat.is_some());
        self.edit(id, |half| {
            half.end_hold(now);
            half.call.state = CallState::Released;
            half.call.release_time = Some(half.call.detached_time.unwrap_or(now));
            half.call.releasing_party = Some(by);
            half.call.release_cause = cause;
            half.call.allow_answer = false;
            half.call.redirections.clear();
            half.call.in_conference = false;
            half.peer = None;
            half.ringing = false;
            half.holding = false;
            half.then.clear();
            half.wait = None;
            half.mailbox = None;
            half.seat = None;
        });
        self.log(id);
        self.emit(id, CallEventKind::Released);
        for side in self.sides_of(id) {
            self.release(&side, ReleasingParty::Remote, None, ring);
        }
        // The trace of a call that went on elsewhere let its agent go long before.
        if was_live {
            queue::agent_done(self, id);
        }
        if was_seated {
            conference::somebody_left(self, id);
        }
    }

    /// A half that rang, or whose timer ran, needs neither any more.
    fn ring_over(&mut self, id: &CallId, end: RingEnd) {
        let Some(half) = self.halves.get(id) else { return };
        let (ringing, pushed) = (half.ringing, half.may_answer());
        // A parked call's timer goes with the park.
        let waits = half.wait.as_ref().is_some_and(|wait| !matches!(wait, Wait::Parked { .. }));
        if half.side.is_none() && (ringing || waits) {
            self.effects.push(Effect::Disarm { half: id.clone() });
        }
        if pushed {
            self.effects.push(Effect::RingOver { half: id.clone(), end });
        }
    }

    /// What a caller said in a mailbox becomes a message; who leaves before the tone said nothing.
    fn leave_message(&mut self, id: &CallId) {
        const TONE_MS: i64 = 1_000;
        let Some(half) = self.halves.get(id) else { return };
        let (Some(mailbox), Some(answered)) = (half.mailbox.clone(), half.call.answer_time) else { return };
        let duration_ms = self.now.saturating_sub(answered);
        if duration_ms >= TONE_MS {
            self.effects.push(Effect::Message { mailbox, from: id.clone(), duration_ms });
        }
    }

    /// A parked call is not there any more.
    fn leave_park(&mut self, id: &CallId) {
        let Some(Wait::Parked { against }) = self.halves.get(id).and_then(|half| half.wait.clone()) else {
            return;
        };
        self.edit(id, |half| half.wait = None);
        self.events.push((against.clone(), Event::Parked { party: None }));
        self.effects.push(Effect::Unparked { against });
        self.effects.push(Effect::Disarm { half: id.clone() });
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
        entry.redirections.clone_from(&half.call.redirections);
        entry.redirect.clone_from(&half.call.redirect);
        let owner = half.owner.clone();
        self.edit(id, |half| half.logged = true);
        self.logs.push((owner, entry));
    }

    /// Makes a ringing half, or a new one, the trace of a call that went on elsewhere.
    fn detach(&mut self, id: &CallId, kind: CallEventKind, to: Address, reason: &str) {
        let now = self.now;
        self.ring_over(id, RingEnd::Missed);
        self.edit(id, |half| {
            half.call.state = CallState::Detached;
            half.call.detached_time = Some(now);
            half.call.redirect = Some(Redirect { address: to, reason: reason.to_owned(), time: now });
            half.call.allow_answer = false;
            half.call.redirections.clear();
            half.peer = None;
            half.ringing = false;
            half.then.clear();
        });
        self.log(id);
        self.emit(id, kind);
        for side in self.sides_of(id) {
            self.release(&side, ReleasingParty::Remote, None, RingEnd::Cancelled);
        }
        queue::agent_done(self, id);
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
}
