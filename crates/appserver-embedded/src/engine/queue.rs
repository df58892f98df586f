//! Queues of call centres: callers wait, the longest idle agent is offered the one who waits longest.
//!
//! A caller who waits has one half, connected with the call centre as far as it sees. While it is offered, the agent's half is its
//! peer. Who the agents are is asked of the store when the timer of the half is due; everything else is decided here.

use super::actions::hold_others;
use super::connect::{connect, ring};
use super::half::Queued;
use super::{Board, Effect, End, Party, Purpose, RingEnd, Route, RouteWish, Wait, places};
use openadp_appserver::{
    AcdInfo, AcdState, Address, AgentStatus, CallEventKind, CallId, Event, InternalReleaseCause, QueueEntry,
    QueueEventKind, Redirect, ReleasingParty, UserId,
};
use serde::{Deserialize, Serialize};

/// How often the first of a queue looks for an agent.
pub(crate) const QUEUE_MS: i64 = 1_000;

/// What an administrator sets about a call centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Center {
    /// Most callers who wait.
    pub(crate) size: u32,
    /// Longest time that a caller waits, seconds.
    pub(crate) wait: u32,
    /// Where callers go who find it full, or waited too long.
    pub(crate) overflow_to: Option<String>,
    /// Rings at an agent who does not answer.
    pub(crate) rings: u32,
    /// Time for working up a call, seconds.
    pub(crate) wrap_up: u32,
}

/// What an agent has of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AgentOf {
    /// State.
    pub(crate) status: AgentStatus,
}

fn number(party: &Party) -> Address {
    let number = party.number.clone().or_else(|| party.extension.clone());
    Address::of(&number.unwrap_or_else(|| format!("sip:{}", party.user_id)))
}

/// What a queue says of who waits in it.
pub(crate) fn entry(board: &Board, center: &UserId, id: &CallId) -> Option<QueueEntry> {
    let (half, party) = (board.half(id)?, board.party(center)?);
    let queued = half.queued.as_ref()?;
    Some(QueueEntry {
        call_id: id.clone(),
        external_tracking_id: half.call.external_tracking_id.clone(),
        remote: board.other_end(center, id)?,
        added_at: queued.added,
        removed_at: None,
        bounced: queued.bounced,
        name: party.name.clone(),
        number: number(party),
        redirect: None,
        answered_by: None,
    })
}

fn tell(
    board: &mut Board,
    center: &UserId,
    kind: QueueEventKind,
    mut entry: QueueEntry,
    position: Option<u32>,
) {
    let gone =
        !matches!(kind, QueueEventKind::Added | QueueEventKind::Bounced | QueueEventKind::OfferedToAgent);
    entry.removed_at = gone.then_some(board.now);
    board.events.push((center.clone(), Event::Queue { kind, entry, position }));
}

/// A caller comes into a queue.
pub(super) fn enter(board: &mut Board, from: &CallId, center: &UserId) {
    let Some(caller) = board.half(from).map(|half| half.owner.clone()) else { return };
    let (seen, now) = (board.remote(&caller, center), board.now);
    board.edit(from, |half| {
        half.peer = None;
        half.queued = Some(Queued { center: center.clone(), added: now, bounced: false });
        half.wait = Some(Wait::Queue);
        half.call.answer_time = Some(now);
        half.diverted.clear();
        half.back = None;
        half.call.remote = seen;
    });
    hold_others(board, &caller, Some(from));
    board.refresh(from);
    board.emit(from, CallEventKind::Answered);
    places::tell_sides(board, from);
    let waiting = board.queue_length(center) + 1;
    board.set_queue_length(center.clone(), waiting);
    if let Some(entry) = entry(board, center, from) {
        tell(board, center, QueueEventKind::Added, entry, Some(waiting));
    }
    board.effects.push(Effect::Enqueue { center: center.clone(), half: from.clone() });
    board.effects.push(Effect::Arm { half: from.clone(), after_ms: 0 });
}

/// An agent sends a caller on in place of taking the call: it waits no longer, or gets in line again.
pub(super) fn send_on(board: &mut Board, id: &CallId, to: Address, reason: &str) {
    let redirect = Redirect { address: to, reason: reason.to_owned(), time: board.now };
    go(board, id, QueueEventKind::Transferred, |entry| entry.redirect = Some(redirect));
}

/// A caller leaves its queue.
pub(super) fn leave(
    board: &mut Board,
    id: &CallId,
    kind: QueueEventKind,
    answered_by: Option<(UserId, CallId)>,
) {
    go(board, id, kind, |entry| entry.answered_by = answered_by);
}

fn go(board: &mut Board, id: &CallId, kind: QueueEventKind, tells: impl FnOnce(&mut QueueEntry)) {
    let Some(queued) = board.half(id).and_then(|half| half.queued.clone()) else { return };
    if let Some(mut entry) = entry(board, &queued.center, id) {
        tells(&mut entry);
        tell(board, &queued.center, kind, entry, None);
    }
    let now = board.now;
    board.edit(id, |half| {
        half.queued = None;
        if matches!(kind, QueueEventKind::Overflowed | QueueEventKind::Transferred) {
            half.end_hold(now);
        }
        if half.wait == Some(Wait::Queue) {
            half.wait = None;
        }
    });
    let waiting = board.queue_length(&queued.center).saturating_sub(1);
    board.set_queue_length(queued.center.clone(), waiting);
    board.effects.push(Effect::Disarm { half: id.clone() });
    board.effects.push(Effect::Dequeue { center: queued.center, half: id.clone() });
}

/// What an agent is told of a call of a queue.
pub(super) fn info(board: &Board, from: &CallId) -> Option<AcdInfo> {
    let queued = board.half(from)?.queued.as_ref()?;
    let party = board.party(&queued.center)?;
    Some(AcdInfo {
        user_id: queued.center.clone(),
        name: party.name.clone(),
        number: number(party),
        waiting: board.queue_length(&queued.center).saturating_sub(1),
        waited: board.now.saturating_sub(queued.added).max(0),
    })
}

/// Rings at an agent for a call of a queue.
pub(super) fn rings(board: &Board, from: &CallId) -> Option<u32> {
    let queued = board.half(from)?.queued.as_ref()?;
    board.party(&queued.center)?.center.as_ref().map(|center| center.rings)
}

/// The queue that a half waits in and is looking for an agent of, and whether it waited too long.
pub(crate) fn waits_in(board: &Board, id: &CallId) -> Option<(UserId, bool)> {
    let half = board.half(id)?;
    let queued = half.queued.as_ref().filter(|_| half.wait == Some(Wait::Queue))?;
    let most = board.party(&queued.center).and_then(|party| party.center.as_ref()).map(|center| center.wait);
    let until = queued.added.saturating_add(most.map_or(0, |seconds| i64::from(seconds) * 1_000));
    Some((queued.center.clone(), until <= board.now))
}

/// The way of who waited too long.
pub(crate) fn overflow_wish(board: &Board, id: &CallId) -> Option<RouteWish> {
    let half = board.half(id)?;
    let queued = half.queued.as_ref()?;
    let to = board.party(&queued.center)?.center.as_ref()?.overflow_to.as_deref()?;
    Some(RouteWish {
        caller: half.owner.clone(),
        plan: queued.center.clone(),
        dialled: super::Dialled::parse(to).ok()?,
        hops: half.hops + 1,
        hidden: board.is_hidden(id),
        purpose: Purpose::Call,
    })
}

/// Whether an agent can be offered a call.
pub(crate) fn is_free(board: &Board, agent: &UserId) -> bool {
    board.calls_of(agent) == 0
        && board.party(agent).is_some_and(|party| {
            !party.do_not_disturb
                && party.agent.as_ref().is_some_and(|agent| agent.status.state == AcdState::Available)
        })
}

/// The timer of a half that waits ran out: an agent is offered it, or it goes on waiting.
pub(crate) fn serve(board: &mut Board, id: &CallId, agent: Option<&UserId>) {
    let Some((center, false)) = waits_in(board, id) else { return };
    let Some(agent) = agent.filter(|agent| is_free(board, agent)) else {
        board.effects.push(Effect::Arm { half: id.clone(), after_ms: QUEUE_MS });
        return;
    };
    board.edit(id, |half| half.wait = None);
    board.effects.push(Effect::Disarm { half: id.clone() });
    board.effects.push(Effect::Offered { center: center.clone(), half: id.clone(), offered: true });
    ring(board, id, agent, &Route::to(agent.clone()), false, None);
    if let Some(entry) = entry(board, &center, id) {
        tell(board, &center, QueueEventKind::OfferedToAgent, entry, None);
    }
}

/// Somebody waited too long; `route` is the resolved [`overflow_wish`].
pub(crate) fn overflow(board: &mut Board, id: &CallId, route: Option<&Route>) {
    let Some(link) = board.half(id).map(|half| half.link) else { return };
    leave(board, id, QueueEventKind::Overflowed, None);
    let goes_on = |route: &&Route| matches!(route.end, End::Ring(_) | End::Mailbox(_) | End::Queue(_));
    if let Some(route) = route.filter(goes_on) {
        connect(board, id, route, true);
    } else {
        let cause = InternalReleaseCause::TemporarilyUnavailable;
        board.release(id, ReleasingParty::Remote, Some(cause), RingEnd::Missed);
        board.sweep(link);
    }
}

/// An agent does not take the call that rings: the caller waits on, in its place.
pub(super) fn bounce(board: &mut Board, id: &CallId, by: ReleasingParty, end: RingEnd) {
    let Some(caller) = board.half(id).and_then(|half| half.peer.clone()) else { return };
    board.edit(id, |half| half.peer = None);
    board.edit(&caller, |half| {
        half.peer = None;
        half.wait = Some(Wait::Queue);
        if let Some(queued) = &mut half.queued {
            queued.bounced = true;
        }
    });
    board.release(id, by, None, end);
    let Some((center, _)) = waits_in(board, &caller) else { return };
    if let Some(entry) = entry(board, &center, &caller) {
        tell(board, &center, QueueEventKind::Bounced, entry, None);
    }
    board.effects.push(Effect::Offered { center, half: caller.clone(), offered: false });
    board.effects.push(Effect::Arm { half: caller, after_ms: QUEUE_MS });
}

/// The half of an agent is over: it is free again, or works up what it talked about.
pub(super) fn agent_done(board: &mut Board, id: &CallId) {
    let Some(half) = board.half(id) else { return };
    let Some(info) = half.call.acd.clone() else { return };
    let (agent, talked) = (half.owner.clone(), half.call.answer_time.is_some());
    let wrap_up =
        board.party(&info.user_id).and_then(|party| party.center.as_ref()).map_or(0, |center| center.wrap_up);
    let status = board.party(&agent).and_then(|party| party.agent.as_ref()).map(|agent| agent.status.clone());
    let Some(status) = status.filter(|status| status.state == AcdState::Available) else { return };
    if talked && wrap_up > 0 {
        let status = AgentStatus {
            state: AcdState::WrapUp,
            since: board.now,
            wrap_up_call: Some(id.clone()),
            ..status
        };
        put_status(board, &agent, status);
        board.effects.push(Effect::ArmAgent { agent, after_ms: i64::from(wrap_up) * 1_000 });
    } else {
        board.effects.push(Effect::AgentFree { agent, since: Some(board.now) });
    }
}

/// The time for working up a call is over.
pub(crate) fn wrap_up_over(board: &mut Board, agent: &UserId) {
    let status = board.party(agent).and_then(|party| party.agent.as_ref()).map(|agent| agent.status.clone());
    if let Some(status) = status.filter(|status| status.state == AcdState::WrapUp) {
        let status =
            AgentStatus { state: AcdState::Available, since: board.now, wrap_up_call: None, ..status };
        put_status(board, agent, status);
    }
}

/// An agent asks for another state.
pub(crate) fn change_state(board: &mut Board, agent: &UserId, state: AcdState, code: Option<String>) {
    let Some(status) =
        board.party(agent).and_then(|party| party.agent.as_ref()).map(|agent| agent.status.clone())
    else {
        return;
    };
    let now = board.now;
    let sign_in_at = match state {
        AcdState::SignOut => None,
        _ if status.state == AcdState::SignOut => Some(now),
        _ => status.sign_in_at,
    };
    let since = if status.state == state { status.since } else { now };
    let unavailable_code = code.filter(|_| state == AcdState::Unavailable);
    let changed = AgentStatus { state, since, unavailable_code, wrap_up_call: None, sign_in_at };
    if changed != status {
        board.effects.push(Effect::DisarmAgent { agent: agent.clone() });
        put_status(board, agent, changed);
    }
}

fn put_status(board: &mut Board, agent: &UserId, status: AgentStatus) {
    let busy =
        board.all_halves().any(|half| half.owner == *agent && half.is_live() && half.call.acd.is_some());
    let free = (status.state == AcdState::Available && !busy).then_some(board.now);
    board.set_agent(agent, status.clone());
    board.events.push((agent.clone(), Event::Agent(status.clone())));
    board.effects.push(Effect::Agent { agent: agent.clone(), status, free });
}
