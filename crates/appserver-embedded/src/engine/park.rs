//! Calls that wait: parked, camped on somebody busy, on their way back to who gave them away. And calls that others take.

use super::actions::{answer_main, hold_others, no_answer};
use super::connect::{connect, ring};
use super::{
    Back, Board, Dialled, Effect, End, Purpose, Refusal, RingEnd, Route, RouteWish, Wait, places, wish,
};
use openadp_appserver::{
    Address, CallAction, CallEventKind, CallId, CallPersonality, CallStart, Event, InternalReleaseCause,
    RecallType, ReleasingParty, UserId,
};

/// How often a call that waits for a busy party looks whether it got free.
const CAMP_MS: i64 = 2_000;

impl Board {
    /// Says that a call is parked against a user.
    pub(crate) fn add_parked(&mut self, user: UserId) {
        self.occupied.insert(user);
    }

    /// Whether two users are of one group, or one enterprise.
    fn are_colleagues(&self, one: &UserId, other: &UserId) -> bool {
        match (self.party(one), self.party(other)) {
            (Some(one), Some(other)) => {
                one.provider == other.provider && (one.is_enterprise || one.group == other.group)
            }
            _ => false,
        }
    }
}

/// Parks the other party of a call; gives the address that it can be retrieved from.
pub(super) fn park(
    board: &mut Board,
    user: &UserId,
    id: &CallId,
    route: Option<&Route>,
) -> Result<Address, Refusal> {
    let half = board.own(user, id)?;
    let nobody = || Refusal::WrongState("there is nobody at the other end".to_owned());
    let peer = half.peer.clone().ok_or_else(nobody)?;
    let unknown = || Refusal::BadAddress("no such extension".to_owned());
    let against = match route {
        Some(route) => route.called.clone().ok_or_else(unknown)?,
        None => user.clone(),
    };
    if !board.are_colleagues(user, &against) {
        return Err(unknown());
    }
    if board.occupied.contains(&against) {
        return Err(Refusal::WrongState("another call is parked there".to_owned()));
    }
    let party = board.party(&against).ok_or_else(unknown)?;
    let address = party.extension.clone().or_else(|| party.number.clone());
    let address = Address::of(&address.unwrap_or_else(|| format!("sip:{against}")));
    let seen = board.other_end(&against, &peer).ok_or_else(nobody)?;
    let now = board.now;
    board.edit(id, |half| half.peer = None);
    board.edit(&peer, |half| {
        half.end_hold(now);
        half.peer = None;
        half.wait = Some(Wait::Parked { against: against.clone() });
        half.back = Some(Back { to: user.clone(), kind: RecallType::CallPark });
    });
    board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
    board.refresh(&peer);
    board.emit(&peer, CallEventKind::Updated);
    places::tell_sides(board, &peer);
    board.occupied.insert(against.clone());
    board.events.push((against.clone(), Event::Parked { party: Some(seen) }));
    board.effects.push(Effect::Parked { against, half: peer.clone() });
    board.effects.push(Effect::Arm { half: peer, after_ms: board.limits.park_ms });
    Ok(address)
}

/// Takes a parked call.
pub(crate) fn retrieve_parked(
    board: &mut Board,
    user: &UserId,
    parked: &CallId,
) -> Result<CallStart, Refusal> {
    let half = board.half(parked).ok_or(Refusal::NotFound)?;
    let Some(Wait::Parked { against }) = half.wait.clone() else { return Err(Refusal::NotFound) };
    if !board.are_colleagues(user, &against) {
        return Err(Refusal::NotFound);
    }
    let (link, waits) = (half.link, half.owner.clone());
    if waits == *user {
        return Err(Refusal::WrongState("it is the user who is parked".to_owned()));
    }
    if board.calls_of(user) >= board.limits.calls_per_user {
        return Err(Refusal::LimitReached);
    }
    hold_others(board, user, None);
    let remote = board.other_end(user, parked).ok_or(Refusal::NotFound)?;
    let id = board.create(link, user, CallPersonality::Originator, remote, 0);
    board.emit(&id, CallEventKind::Originated);
    board.leave_park(parked);
    let now = board.now;
    board.edit(&id, |half| {
        half.peer = Some(parked.clone());
        half.call.answer_time = Some(now);
    });
    let seen = board.other_end(&waits, &id).ok_or(Refusal::NotFound)?;
    board.edit(parked, |half| {
        half.peer = Some(id.clone());
        half.back = None;
        half.call.remote = seen;
    });
    hold_others(board, &waits, Some(parked));
    board.refresh(&id);
    board.refresh(parked);
    board.emit(&id, CallEventKind::ParkRetrieved);
    board.emit(parked, CallEventKind::Updated);
    places::tell_sides(board, parked);
    Ok(started(board, id))
}

fn started(board: &Board, id: CallId) -> CallStart {
    let external_tracking_id =
        board.half(&id).map(|half| half.call.external_tracking_id.clone()).unwrap_or_default();
    CallStart { call_id: id, external_tracking_id }
}

/// Takes a call that rings at somebody of the same group.
pub(crate) fn pick_up(board: &mut Board, user: &UserId, ringing: &CallId) -> Result<CallStart, Refusal> {
    let half = board.half(ringing).ok_or(Refusal::NotFound)?;
    let group = |user: &UserId| board.party(user).map(|party| (party.provider.clone(), party.group.clone()));
    let (Some(caller), true) = (half.peer.clone(), half.ringing && half.side.is_none()) else {
        return Err(Refusal::NotFound);
    };
    let calls = board.half(&caller).is_some_and(|caller| caller.owner == *user);
    if half.owner == *user || calls || group(&half.owner) != group(user) {
        return Err(Refusal::NotFound);
    }
    if board.calls_of(user) >= board.limits.calls_per_user {
        return Err(Refusal::LimitReached);
    }
    let (link, hops) = (half.link, half.hops);
    let remote = board.other_end(user, &caller).ok_or(Refusal::NotFound)?;
    board.emit(ringing, CallEventKind::PickedUp);
    board.edit(ringing, |half| half.peer = None);
    board.release(ringing, ReleasingParty::Remote, None, RingEnd::Answered);
    let id = board.create(link, user, CallPersonality::Terminator, remote, hops);
    board.edit(&id, |half| {
        half.ringing = true;
        half.peer = Some(caller.clone());
    });
    board.edit(&caller, |half| half.peer = Some(id.clone()));
    board.refresh(&id);
    board.emit(&id, CallEventKind::Received);
    board.effects.push(Effect::Ring { half: id.clone() });
    board.effects.push(Effect::Arm { half: id.clone(), after_ms: board.limits.no_answer_ms });
    answer_main(board, &id, None);
    Ok(started(board, id))
}

/// Lets the other party of a transferred call wait for somebody busy.
pub(super) fn camp_on(board: &mut Board, id: &CallId, user: &UserId, route: &Route, seconds: u32) {
    let until = board.now.saturating_add(i64::from(seconds) * 1_000);
    let address = route.dialled.address().value;
    board.edit(id, |half| {
        half.wait = Some(Wait::Camped { address, plan: user.clone(), until });
        half.back = Some(Back { to: user.clone(), kind: RecallType::BusyCampOn });
    });
    board.refresh(id);
    board.emit(id, CallEventKind::Updated);
    places::tell_sides(board, id);
    board.effects.push(Effect::Arm { half: id.clone(), after_ms: CAMP_MS });
}

/// Who must be on the board for the timer of a half, beside those around its owner.
pub(crate) fn due_needs(board: &Board, id: &CallId) -> Vec<UserId> {
    let Some(half) = board.half(id) else { return Vec::new() };
    let peer = half.peer.as_ref().and_then(|peer| board.half(peer));
    half.others().chain(peer.into_iter().flat_map(super::Half::others)).cloned().collect()
}

/// Which way the timer of a half needs.
pub(crate) fn due_wish(board: &Board, id: &CallId) -> Option<RouteWish> {
    let half = board.half(id)?;
    if let Some(Wait::Camped { address, plan, .. }) = &half.wait {
        return Some(RouteWish {
            caller: half.owner.clone(),
            plan: plan.clone(),
            dialled: Dialled::parse(address).ok()?,
            hops: 0,
            hidden: board.is_hidden(id),
            purpose: Purpose::Straight,
        });
    }
    let peer = half.peer.as_ref().and_then(|peer| board.half(peer))?;
    if !half.ringing || !half.then.is_empty() || peer.back.is_some() {
        return None;
    }
    wish(board, &half.owner, id, &CallAction::Release).ok().flatten()
}

/// The timer of a half ran out; `route` is the resolved [`due_wish`].
pub(crate) fn due(board: &mut Board, id: &CallId, route: Option<&Route>) {
    let Some(half) = board.half(id).filter(|half| half.is_live() && half.side.is_none()).cloned() else {
        return;
    };
    let back = half.peer.as_ref().and_then(|peer| board.half(peer)).and_then(|peer| peer.back.clone());
    match (&half.wait, half.ringing) {
        (Some(Wait::Place { .. }), _) => {
            let cause = InternalReleaseCause::RequestTimeout;
            board.release(id, ReleasingParty::Remote, Some(cause), RingEnd::Missed);
            board.sweep(half.link);
        }
        (Some(Wait::Parked { .. }), _) => {
            if let Some(back) = half.back {
                board.leave_park(id);
                recall(board, id, &back);
            }
        }
        (Some(Wait::Camped { until, .. }), _) => match (route, half.back) {
            (Some(route), _) if matches!(route.end, End::Ring(_)) => {
                board.edit(id, |half| half.wait = None);
                board.effects.push(Effect::Disarm { half: id.clone() });
                connect(board, id, route, true);
            }
            (_, Some(back)) if *until <= board.now => {
                board.edit(id, |half| half.wait = None);
                board.effects.push(Effect::Disarm { half: id.clone() });
                recall(board, id, &back);
            }
            _ => board.effects.push(Effect::Arm { half: id.clone(), after_ms: CAMP_MS }),
        },
        (None, true) if !half.then.is_empty() => places::advance(board, id),
        (None, true) => match (back, half.peer) {
            (Some(back), Some(caller)) => {
                board.edit(&caller, |half| half.peer = None);
                board.edit(id, |half| half.peer = None);
                board.release(id, ReleasingParty::Remote, None, RingEnd::Missed);
                recall(board, &caller, &back);
            }
            _ => no_answer(board, id, route),
        },
        // Agents are asked for in the store first.
        (Some(Wait::Queue), _) | (None, false) => {}
    }
}

/// A call that nobody took rings at who gave it away. Who cannot take it back leaves its party alone.
fn recall(board: &mut Board, id: &CallId, back: &Back) {
    let Some(half) = board.half(id) else { return };
    let (owner, link) = (half.owner.clone(), half.link);
    board.edit(id, |half| half.back = None);
    let full = board.calls_of(&back.to) >= board.limits.calls_per_user;
    if board.party(&back.to).is_none() || owner == back.to || full {
        let cause = InternalReleaseCause::TemporarilyUnavailable;
        board.release(id, ReleasingParty::Remote, Some(cause), RingEnd::Missed);
        board.sweep(link);
        return;
    }
    let route = Route::to(back.to.clone());
    ring(board, id, &back.to, &route, true, Some(back.kind));
}
