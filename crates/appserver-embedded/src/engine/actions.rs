//! What can be done with calls.

use super::{Board, Dialled, Effect, End, Half, Refusal, RingEnd, Route, log_entry, unknown_remote};
use openadp_appserver::{
    CallAction, CallEventKind, CallId, CallLogKind, CallPersonality, CallStart, CallState,
    InternalReleaseCause, Redirect, ReleasingParty, UserId,
};

/// A way that must be resolved before an action can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteWish {
    /// Who calls.
    pub(crate) caller: UserId,
    /// Whose dial plan the address is read in.
    pub(crate) plan: UserId,
    /// Where to.
    pub(crate) dialled: Dialled,
    /// Forwardings so far.
    pub(crate) hops: u32,
    /// Whether the caller hides from who is called.
    pub(crate) hidden: bool,
}

/// The way that a new call of a user needs.
pub(crate) fn first_wish(board: &Board, user: &UserId, address: &str) -> Result<RouteWish, Refusal> {
    let party = board.party(user).ok_or(Refusal::NotFound)?;
    Ok(RouteWish {
        caller: user.clone(),
        plan: user.clone(),
        dialled: party.dialled(address)?,
        hops: 0,
        hidden: party.hides_itself,
    })
}

/// Which way an action on a call needs, if any; the action itself checks everything else.
pub(crate) fn wish(
    board: &Board,
    user: &UserId,
    call: &CallId,
    action: &CallAction,
) -> Result<Option<RouteWish>, Refusal> {
    let half = board.own(user, call)?;
    let party = board.party(user).ok_or(Refusal::NotFound)?;
    let (address, hops) = match action {
        CallAction::BlindTransfer { address } => {
            let hops = if half.ringing { half.hops + 1 } else { 0 };
            (party.dialled(address)?, hops)
        }
        CallAction::Release if half.ringing => {
            match party.no_answer.as_ref().map(|(to, _)| Dialled::parse(to)) {
                Some(Ok(dialled)) => (dialled, half.hops + 1),
                Some(Err(_)) | None => return Ok(None),
            }
        }
        CallAction::Decline if half.ringing => match party.busy.as_ref().map(|to| Dialled::parse(to)) {
            Some(Ok(dialled)) => (dialled, half.hops + 1),
            Some(Err(_)) | None => return Ok(None),
        },
        CallAction::Release
        | CallAction::Decline
        | CallAction::Talk
        | CallAction::Hold
        | CallAction::Reconnect
        | CallAction::ConsultTransfer { .. } => return Ok(None),
    };
    let Some(peer) = &half.peer else { return Ok(None) };
    let Some(caller) = board.half(peer) else { return Ok(None) };
    if hops > board.limits.redirections {
        return Ok(None);
    }
    Ok(Some(RouteWish {
        caller: caller.owner.clone(),
        plan: user.clone(),
        dialled: address,
        hops,
        hidden: board.is_hidden(peer),
    }))
}

/// Starts a call. The caller's own phone is taken to pick up at once.
pub(crate) fn dial(
    board: &mut Board,
    caller: &UserId,
    link: i64,
    info: Option<String>,
    route: &Route,
) -> Result<CallStart, Refusal> {
    if board.party(caller).is_none() {
        return Err(Refusal::NotFound);
    }
    if board.calls_of(caller) >= board.limits.calls_per_user {
        return Err(Refusal::LimitReached);
    }
    hold_others(board, caller, None);
    let remote = match &route.called {
        Some(called) => board.remote(caller, called),
        None => unknown_remote(route.dialled.address()),
    };
    let id = board.create(link, caller, CallPersonality::ClickToDial, remote, 0);
    board.edit(&id, |half| half.info = info);
    board.emit(&id, CallEventKind::Originating);
    board.edit(&id, |half| half.call.personality = CallPersonality::Originator);
    board.emit(&id, CallEventKind::Originated);
    let external_tracking_id =
        board.half(&id).map(|half| half.call.external_tracking_id.clone()).unwrap_or_default();
    connect(board, &id, route, false);
    Ok(CallStart { call_id: id, external_tracking_id })
}

/// Leads a half whose other end is open along a way: somebody rings, or the half is released with the reason.
fn connect(board: &mut Board, from: &CallId, route: &Route, again: bool) {
    let Some(half) = board.half(from) else { return };
    let (caller, link) = (half.owner.clone(), half.link);
    for forward in &route.forwards {
        let Some(remote) = board.other_end(&forward.by, from) else { continue };
        if matches!(route.end, End::Ring(_)) {
            let id = board.create(link, &forward.by, CallPersonality::Terminator, remote, route.hops);
            board.detach(&id, CallEventKind::Forwarded, forward.to.clone(), forward.reason);
        } else {
            missed(board, &forward.by, from);
        }
    }
    let cause = match &route.end {
        End::Ring(called) => {
            let Some(remote) = board.other_end(called, from) else { return };
            let id = board.create(link, called, CallPersonality::Terminator, remote, route.hops);
            board.edit(&id, |half| {
                half.ringing = true;
                half.peer = Some(from.clone());
            });
            let seen = board.remote(&caller, called);
            board.edit(from, |half| {
                half.peer = Some(id.clone());
                if again {
                    half.call.remote = seen;
                }
            });
            board.refresh(from);
            board.refresh(&id);
            if again {
                board.emit(from, CallEventKind::Updated);
            }
            board.emit(&id, CallEventKind::Received);
            let rings =
                board.party(called).and_then(|party| party.no_answer.as_ref().map(|(_, rings)| *rings));
            let after_ms =
                rings.map_or(board.limits.no_answer_ms, |rings| i64::from(rings) * board.limits.ring_ms);
            board.effects.push(Effect::Ring { half: id, after_ms });
            return;
        }
        End::Busy(called) => {
            missed(board, called, from);
            InternalReleaseCause::Busy
        }
        // It does not want to know.
        End::Refused => InternalReleaseCause::Forbidden,
        End::Caller => InternalReleaseCause::Busy,
        End::Unknown => InternalReleaseCause::UserNotFound,
        End::TooManyForwards => InternalReleaseCause::TemporarilyUnavailable,
    };
    board.release(from, ReleasingParty::Remote, Some(cause), RingEnd::Missed);
    board.sweep(link);
}

/// Logs a call that did not even ring.
fn missed(board: &mut Board, called: &UserId, from: &CallId) {
    let Some(remote) = board.other_end(called, from) else { return };
    let entry = log_entry(CallLogKind::Missed, &remote, board.now, from);
    board.logs.push((called.clone(), entry));
}

/// Does something with a call; `route` is the resolved [`wish`].
pub(crate) fn act(
    board: &mut Board,
    user: &UserId,
    call: &CallId,
    action: &CallAction,
    route: Option<&Route>,
) -> Result<(), Refusal> {
    let half = board.own(user, call)?;
    let (state, ringing) = (half.call.state, half.ringing);
    if !half.is_live() {
        return Err(wrong(state));
    }
    match action {
        CallAction::Talk if ringing => answer(board, user, call),
        CallAction::Talk if state == CallState::Held => retrieve(board, user, call),
        CallAction::Hold if matches!(state, CallState::Active | CallState::RemoteHeld) => hold(board, call),
        CallAction::Reconnect if half.is_answered() => reconnect(board, user, call),
        CallAction::Release if ringing => {
            refuse(
                board,
                call,
                route,
                "no-answer",
                InternalReleaseCause::TemporarilyUnavailable,
                RingEnd::Rejected,
            );
        }
        CallAction::Release => hang_up(board, call),
        CallAction::Decline if ringing => {
            refuse(board, call, route, "user-busy", InternalReleaseCause::Busy, RingEnd::Rejected);
        }
        CallAction::BlindTransfer { .. } if ringing || half.is_answered() => {
            return blind_transfer(board, call, route);
        }
        CallAction::ConsultTransfer { other } => return consult_transfer(board, user, call, other),
        CallAction::Talk
        | CallAction::Hold
        | CallAction::Reconnect
        | CallAction::Decline
        | CallAction::BlindTransfer { .. } => return Err(wrong(state)),
    }
    Ok(())
}

/// Nobody answered in time.
pub(crate) fn no_answer(board: &mut Board, call: &CallId, route: Option<&Route>) {
    if board.half(call).is_some_and(|half| half.ringing) {
        refuse(board, call, route, "no-answer", InternalReleaseCause::RequestTimeout, RingEnd::Missed);
    }
}

fn wrong(state: CallState) -> Refusal {
    let state = match state {
        CallState::Active => "active",
        CallState::Alerting => "alerting",
        CallState::Detached => "detached",
        CallState::Held => "held",
        CallState::Released => "released",
        CallState::RemoteHeld => "held by the other party",
    };
    Refusal::WrongState(format!("the call is {state}"))
}

fn peer_of(board: &Board, id: &CallId) -> Option<CallId> {
    board.half(id).and_then(|half| half.peer.clone())
}

/// Holds what a user is connected with, because another call gets the line. A call that the other side holds too: else it
/// would come back by itself.
fn hold_others(board: &mut Board, user: &UserId, except: Option<&CallId>) {
    for id in board.live_of(user) {
        let connected = |half: &Half| matches!(half.call.state, CallState::Active | CallState::RemoteHeld);
        if Some(&id) != except && board.half(&id).is_some_and(connected) {
            hold(board, &id);
        }
    }
}

fn hold(board: &mut Board, id: &CallId) {
    let now = board.now;
    board.edit(id, |half| {
        half.holding = true;
        half.changed_at = Some(now);
        half.call.held_time = Some(now);
    });
    board.refresh(id);
    board.emit(id, CallEventKind::Held);
    tell_peer(board, id);
}

fn retrieve(board: &mut Board, user: &UserId, id: &CallId) {
    hold_others(board, user, Some(id));
    let now = board.now;
    board.edit(id, |half| {
        half.changed_at = Some(now);
        half.end_hold(now);
    });
    board.refresh(id);
    board.emit(id, CallEventKind::Retrieved);
    tell_peer(board, id);
}

/// Tells the other party, if it sees a difference.
fn tell_peer(board: &mut Board, id: &CallId) {
    if let Some(peer) = peer_of(board, id)
        && board.refresh(&peer)
    {
        board.emit(&peer, CallEventKind::Updated);
    }
}

fn answer(board: &mut Board, user: &UserId, id: &CallId) {
    hold_others(board, user, Some(id));
    let now = board.now;
    board.edit(id, |half| {
        half.ringing = false;
        half.call.answer_time = Some(now);
    });
    board.effects.push(Effect::RingOver { half: id.clone(), end: RingEnd::Answered });
    board.refresh(id);
    board.emit(id, CallEventKind::Answered);
    let Some(peer) = peer_of(board, id) else { return };
    if let Some(caller) = board.half(&peer).map(|half| half.owner.clone()) {
        // The caller may have got another call meanwhile.
        hold_others(board, &caller, Some(&peer));
        let remote = board.remote(&caller, user);
        board.edit(&peer, |half| {
            half.call.answer_time.get_or_insert(now);
            half.call.remote = remote;
        });
    }
    board.refresh(&peer);
    board.emit(&peer, CallEventKind::Answered);
}

fn hang_up(board: &mut Board, id: &CallId) {
    let Some((peer, link)) = board.half(id).map(|half| (half.peer.clone(), half.link)) else { return };
    board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
    if let Some(peer) = peer {
        board.release(&peer, ReleasingParty::Remote, None, RingEnd::Cancelled);
    }
    board.sweep(link);
}

/// A ringing half does not take the call: it goes on along a way, or the caller hears why not.
fn refuse(
    board: &mut Board,
    id: &CallId,
    route: Option<&Route>,
    reason: &str,
    cause: InternalReleaseCause,
    ring: RingEnd,
) {
    let Some((peer, link)) = board.half(id).map(|half| (half.peer.clone(), half.link)) else { return };
    let by = if ring == RingEnd::Missed { ReleasingParty::Remote } else { ReleasingParty::Local };
    match (peer, route) {
        (Some(caller), Some(route)) if matches!(route.end, End::Ring(_)) => {
            board.edit(&caller, |half| half.peer = None);
            board.detach(id, CallEventKind::Redirected, route.dialled.address(), reason);
            connect(board, &caller, route, false);
        }
        (Some(caller), Some(route)) => {
            board.release(id, by, None, ring);
            board.edit(&caller, |half| half.peer = None);
            connect(board, &caller, route, false);
        }
        (caller, _) => {
            board.release(id, by, None, ring);
            if let Some(caller) = caller {
                board.release(&caller, ReleasingParty::Remote, Some(cause), ring);
            }
        }
    }
    board.sweep(link);
}

/// Ends all calls of a subscriber who goes away.
pub(crate) fn release_all(board: &mut Board, user: &UserId) {
    for id in board.live_of(user) {
        if board.half(&id).is_some_and(|half| half.ringing) {
            let cause = InternalReleaseCause::TemporarilyUnavailable;
            refuse(board, &id, None, "unavailable", cause, RingEnd::Cancelled);
        } else {
            hang_up(board, &id);
        }
    }
}

fn reconnect(board: &mut Board, user: &UserId, id: &CallId) {
    for other in board.live_of(user) {
        if other == *id {
            continue;
        }
        if board.half(&other).is_some_and(|half| half.ringing) {
            refuse(board, &other, None, "user-busy", InternalReleaseCause::Busy, RingEnd::Rejected);
        } else {
            hang_up(board, &other);
        }
    }
    if board.half(id).is_some_and(|half| half.holding) {
        retrieve(board, user, id);
    }
}

fn blind_transfer(board: &mut Board, id: &CallId, route: Option<&Route>) -> Result<(), Refusal> {
    let Some(route) = route else {
        return Err(Refusal::WrongState("the call was forwarded too often".to_owned()));
    };
    match &route.end {
        End::Ring(_) => {}
        End::Refused => return Err(Refusal::WrongState("the destination refuses the call".to_owned())),
        End::Busy(_) | End::Caller => return Err(Refusal::WrongState("the destination is busy".to_owned())),
        End::TooManyForwards => {
            return Err(Refusal::WrongState("the destination cannot be reached".to_owned()));
        }
        End::Unknown => return Err(Refusal::BadAddress("no such number".to_owned())),
    }
    let half = board.half(id).ok_or(Refusal::NotFound)?;
    let peer = half.peer.clone().ok_or_else(|| wrong(half.call.state))?;
    if half.ringing {
        refuse(board, id, Some(route), "deflection", InternalReleaseCause::Busy, RingEnd::Rejected);
        return Ok(());
    }
    let now = board.now;
    let to = route.dialled.address();
    board.edit(id, |half| {
        half.call.redirect = Some(Redirect { address: to, reason: "transfer".to_owned(), time: now });
        half.peer = None;
    });
    board.edit(&peer, |half| {
        half.end_hold(now);
        half.peer = None;
    });
    board.emit(id, CallEventKind::Transferred);
    board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
    connect(board, &peer, route, true);
    Ok(())
}

fn consult_transfer(
    board: &mut Board,
    user: &UserId,
    first: &CallId,
    second: &CallId,
) -> Result<(), Refusal> {
    if first == second {
        return Err(Refusal::WrongState("a call cannot be joined with itself".to_owned()));
    }
    let (one, two) = (board.own(user, first)?, board.own(user, second)?);
    let joinable = |half: &Half| half.is_live() && !half.ringing;
    if !joinable(one) || !joinable(two) || !(one.is_answered() || two.is_answered()) {
        let state = if joinable(one) && one.is_answered() { two.call.state } else { one.call.state };
        return Err(wrong(state));
    }
    let (links, remotes) = ((one.link, two.link), (one.call.remote.clone(), two.call.remote.clone()));
    let (Some(left), Some(right)) = (one.peer.clone(), two.peer.clone()) else {
        return Err(Refusal::WrongState("there is nobody at the other end".to_owned()));
    };
    let owner =
        |board: &Board, id: &CallId| board.half(id).map(|half| half.owner.clone()).ok_or(Refusal::NotFound);
    let (left_user, right_user) = (owner(board, &left)?, owner(board, &right)?);
    if left_user == right_user {
        return Err(Refusal::WrongState("both calls are with the same party".to_owned()));
    }
    let now = board.now;
    for (id, remote) in [(first, &remotes.1), (second, &remotes.0)] {
        let redirect = Redirect { address: remote.address.clone(), reason: "transfer".to_owned(), time: now };
        board.edit(id, |half| {
            half.call.redirect = Some(redirect);
            half.peer = None;
        });
        board.emit(id, CallEventKind::Transferred);
    }
    for id in [first, second] {
        board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
    }
    merge_links(board, links.0, links.1);
    for (id, peer, viewer) in [(&left, &right, &left_user), (&right, &left, &right_user)] {
        let remote = board.other_end(viewer, peer).ok_or(Refusal::NotFound)?;
        board.edit(id, |half| {
            half.peer = Some(peer.clone());
            half.call.remote = remote;
        });
    }
    for id in [&left, &right] {
        board.refresh(id);
        board.emit(id, CallEventKind::Updated);
    }
    Ok(())
}

/// Makes two links one, so that detached halves of both end with the joined call.
fn merge_links(board: &mut Board, into: i64, from: i64) {
    let tracking = format!("{into}:1");
    let moved: Vec<CallId> =
        board.halves.values().filter(|half| half.link == from).map(|half| half.call.id.clone()).collect();
    for id in moved {
        board.edit(&id, |half| {
            half.link = into;
            half.call.external_tracking_id.clone_from(&tracking);
        });
    }
}
