//! What can be done with calls.

use super::connect::{connect, divert};
use super::criteria::Caller;
use super::transfers::{consult_transfer, give_away};
use super::{
    Board, Dialled, End, Half, Purpose, Refusal, RingEnd, Route, RouteWish, Wait, conference, park, places,
    queue, recording, unknown_remote,
};
use openadp_appserver::{
    Address, CallAction, CallEventKind, CallId, CallPersonality, CallStart, CallState, InternalReleaseCause,
    Place, QueueEventKind, ReleasingParty, ServiceKind, UserId,
};

/// The way that a new call of a user needs.
pub(crate) fn first_wish(board: &Board, user: &UserId, address: &str) -> Result<RouteWish, Refusal> {
    let party = board.party(user).ok_or(Refusal::NotFound)?;
    Ok(RouteWish {
        caller: user.clone(),
        plan: user.clone(),
        dialled: party.dialled(address)?,
        hops: 0,
        hidden: party.hides_itself,
        purpose: Purpose::Call,
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
    let peer_queued =
        half.peer.as_ref().and_then(|peer| board.half(peer)).is_some_and(|peer| peer.queued.is_some());
    // What an agent does not take goes to nobody else than the next agent.
    let rings_in = half.ringing && half.side.is_none() && half.wait.is_none() && !peer_queued;
    let straight = if party.transfer.inhibits { Purpose::Straight } else { Purpose::Call };
    let (dialled, hops, purpose) = match action {
        CallAction::BlindTransfer { address } | CallAction::Deflect { address } => {
            let hops = if half.ringing { half.hops + 1 } else { 0 };
            (party.dialled(address)?, hops, if half.ringing { Purpose::Call } else { straight })
        }
        CallAction::VmTransfer { address: Some(address) } => (party.dialled(address)?, 0, Purpose::Mailbox),
        CallAction::VmTransfer { address: None } if party.has_mailbox() => {
            (Dialled::Mailbox(user.clone()), 0, Purpose::Mailbox)
        }
        CallAction::VmTransfer { address: None } => {
            return Err(Refusal::NotAssigned(ServiceKind::VoiceMessaging));
        }
        CallAction::Park { address: Some(address) } => (party.dialled(address)?, 0, Purpose::Find),
        CallAction::Release if rings_in => match board.unanswered(call) {
            Some(to) => (to.to, half.hops + 1, Purpose::Call),
            None => return Ok(None),
        },
        CallAction::Decline if rings_in => match party.forwards_busy() {
            Some(to) => (to, half.hops + 1, Purpose::Call),
            None => return Ok(None),
        },
        CallAction::Talk => return begins(board, half),
        CallAction::Dtmf { digits } => {
            if let Some(mailbox) = half.mailbox.as_ref().filter(|_| digits.contains('0')) {
                let to = board.party(mailbox).and_then(super::Party::on_zero);
                return Ok(to.map(|dialled| RouteWish {
                    caller: user.clone(),
                    plan: mailbox.clone(),
                    dialled,
                    hops: half.hops + 1,
                    hidden: board.is_hidden(call),
                    purpose: Purpose::Call,
                }));
            }
            return begins(board, half);
        }
        CallAction::ConsultTransfer { .. }
        | CallAction::Decline
        | CallAction::GroupPark
        | CallAction::Hold
        | CallAction::Park { address: None }
        | CallAction::PauseRecording
        | CallAction::Reconnect
        | CallAction::Record
        | CallAction::Release
        | CallAction::ResumeRecording
        | CallAction::StopRecording => return Ok(None),
    };
    let Some(peer) = &half.peer else { return Ok(None) };
    let Some(caller) = board.half(peer) else { return Ok(None) };
    if hops > board.limits.redirections {
        return Ok(None);
    }
    Ok(Some(RouteWish {
        caller: caller.owner.clone(),
        plan: user.clone(),
        dialled,
        hops,
        hidden: board.is_hidden(peer),
        purpose,
    }))
}

/// The way of a call that begins with the answer of a place.
fn begins(board: &Board, half: &Half) -> Result<Option<RouteWish>, Refusal> {
    let main = half.side.as_ref().map_or(Some(half), |side| board.half(&side.main));
    match main {
        Some(main) => match &main.wait {
            Some(Wait::Place { address }) => first_wish(board, &main.owner, address).map(Some),
            _ => Ok(None),
        },
        None => Ok(None),
    }
}

impl Board {
    /// What becomes of a ringing half that nobody answers.
    pub(super) fn unanswered(&self, id: &CallId) -> Option<super::party::Unanswered> {
        let caller: Caller<'_> = self.caller_of(id);
        self.party(&self.half(id)?.owner)?.unanswered(caller)
    }
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

/// Does something with a call; `route` is the resolved [`wish`]. Gives the address that it was parked against.
pub(crate) fn act(
    board: &mut Board,
    user: &UserId,
    call: &CallId,
    action: &CallAction,
    route: Option<&Route>,
) -> Result<Option<Address>, Refusal> {
    let half = board.own(user, call)?.clone();
    let (state, ringing) = (half.call.state, half.ringing);
    if !half.is_live() {
        return Err(wrong(state));
    }
    let seated = half.seat.is_some();
    if half.queued.is_some()
        && !matches!(action, CallAction::Release | CallAction::Dtmf { .. } | CallAction::Talk)
    {
        return Err(Refusal::WrongState("the call waits in a queue".to_owned()));
    }
    match action {
        CallAction::Talk if ringing => match &half.side {
            Some(side) => places::answer_at(board, call, side, route),
            None if half.away => return Err(away()),
            None if half.wait.is_some() => {
                for side in board.sides_of(call) {
                    board.release(&side, ReleasingParty::Remote, None, RingEnd::Answered);
                }
                places::begin(board, call, None, route);
            }
            None => answer_main(board, call, None),
        },
        CallAction::BlindTransfer { .. }
        | CallAction::ConsultTransfer { .. }
        | CallAction::GroupPark
        | CallAction::Hold
        | CallAction::Park { .. }
        | CallAction::Talk
        | CallAction::VmTransfer { .. }
            if seated =>
        {
            return Err(Refusal::WrongState("the call is in a conference".to_owned()));
        }
        CallAction::Talk if state == CallState::Held => retrieve(board, user, call),
        CallAction::Hold | CallAction::Reconnect if half.wait.is_some() => {
            return Err(Refusal::WrongState("there is nobody at the other end".to_owned()));
        }
        CallAction::Hold if matches!(state, CallState::Active | CallState::RemoteHeld) => hold(board, call),
        CallAction::Reconnect if half.is_answered() => reconnect(board, user, call),
        CallAction::Release | CallAction::Decline if ringing && half.side.is_some() => {
            if let Some(side) = &half.side {
                places::refuse_at(board, call, &side.main);
            }
        }
        CallAction::Release if ringing && half.wait.is_none() => {
            let reason = board.unanswered(call).map_or("no-answer", |unanswered| unanswered.reason);
            let cause = InternalReleaseCause::TemporarilyUnavailable;
            refuse(board, call, route, reason, cause, RingEnd::Rejected);
        }
        CallAction::Release => hang_up(board, call),
        CallAction::Decline if ringing && half.wait.is_none() => {
            refuse(board, call, route, "user-busy", InternalReleaseCause::Busy, RingEnd::Rejected);
        }
        CallAction::Deflect { .. } if ringing && half.side.is_none() => {
            give_away(board, user, call, route, "deflection")?;
        }
        CallAction::BlindTransfer { .. } if half.side.is_none() && (ringing || half.is_answered()) => {
            give_away(board, user, call, route, if ringing { "deflection" } else { "transfer" })?;
        }
        CallAction::VmTransfer { .. } if half.side.is_none() && (ringing || half.is_answered()) => {
            give_away(board, user, call, route, "voicemail")?;
        }
        CallAction::ConsultTransfer { other } => consult_transfer(board, user, call, other)?,
        CallAction::Park { .. } | CallAction::GroupPark if half.is_answered() => {
            return park::park(board, user, call, route).map(Some);
        }
        CallAction::Dtmf { digits } if half.is_answered() => dial_digits(board, &half, digits, route),
        CallAction::Record
        | CallAction::StopRecording
        | CallAction::PauseRecording
        | CallAction::ResumeRecording => recording::control(board, &half, action)?,
        CallAction::Talk
        | CallAction::Hold
        | CallAction::Reconnect
        | CallAction::Decline
        | CallAction::Deflect { .. }
        | CallAction::Dtmf { .. }
        | CallAction::GroupPark
        | CallAction::Park { .. }
        | CallAction::VmTransfer { .. }
        | CallAction::BlindTransfer { .. } => return Err(wrong(state)),
    }
    Ok(None)
}

fn away() -> Refusal {
    Refusal::WrongState("the call rings elsewhere and not at the own device".to_owned())
}

/// Nobody answered in time.
pub(super) fn no_answer(board: &mut Board, call: &CallId, route: Option<&Route>) {
    let reason = board.unanswered(call).map_or("no-answer", |unanswered| unanswered.reason);
    refuse(board, call, route, reason, InternalReleaseCause::RequestTimeout, RingEnd::Missed);
}

pub(super) fn wrong(state: CallState) -> Refusal {
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
/// would come back by itself. Of a conference, all of it.
pub(super) fn hold_others(board: &mut Board, user: &UserId, except: Option<&CallId>) {
    let mut seats = false;
    for id in board.live_of(user) {
        let connected = |half: &Half| matches!(half.call.state, CallState::Active | CallState::RemoteHeld);
        let parked = |half: &Half| matches!(half.wait, Some(Wait::Parked { .. }));
        if Some(&id) != except && board.half(&id).is_some_and(|half| connected(half) && !parked(half)) {
            seats |= board.half(&id).is_some_and(|half| half.seat.is_some());
            hold(board, &id);
        }
    }
    if seats {
        conference::held(board, user);
    }
}

pub(super) fn hold(board: &mut Board, id: &CallId) {
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
    take_back(board, id);
}

/// Ends the hold of a half.
pub(super) fn take_back(board: &mut Board, id: &CallId) {
    let now = board.now;
    board.edit(id, |half| {
        half.changed_at = Some(now);
        half.end_hold(now);
    });
    board.refresh(id);
    board.emit(id, CallEventKind::Retrieved);
    tell_peer(board, id);
}

/// Tells the other party, and whoever is at other places, if they see a difference.
pub(super) fn tell_peer(board: &mut Board, id: &CallId) {
    let main = board.half(id).and_then(|half| half.side.as_ref().map(|side| side.main.clone()));
    let near = main.clone().unwrap_or_else(|| id.clone());
    let far = peer_of(board, &near);
    if main.is_some() && board.refresh(&near) {
        board.emit(&near, CallEventKind::Updated);
    }
    if let Some(far) = &far
        && board.refresh(far)
    {
        board.emit(far, CallEventKind::Updated);
    }
    for main in [Some(near), far].into_iter().flatten() {
        places::tell_sides(board, &main);
    }
}

/// The own device answers, or a place for it.
pub(super) fn answer_main(board: &mut Board, id: &CallId, place: Option<Place>) {
    let Some(user) = board.half(id).map(|half| half.owner.clone()) else { return };
    hold_others(board, &user, Some(id));
    let now = board.now;
    board.ring_over(id, RingEnd::Answered);
    let elsewhere = board.sides_of(id);
    board.edit(id, |half| {
        half.ringing = false;
        half.then.clear();
        half.call.answer_time = Some(now);
        half.call.place = place;
        half.call.redirections.clear();
    });
    for side in elsewhere {
        // Who rings there, or was asked for a key.
        let waits = |half: &Half| half.ringing || half.side.as_ref().is_some_and(|side| side.confirm);
        if board.half(&side).is_some_and(waits) {
            board.release(&side, ReleasingParty::Remote, None, RingEnd::Answered);
        }
    }
    board.refresh(id);
    board.emit(id, CallEventKind::Answered);
    recording::begin(board, id);
    let Some(peer) = peer_of(board, id) else { return };
    if let Some(caller) = board.half(&peer).map(|half| half.owner.clone()) {
        // The caller may have got another call meanwhile.
        hold_others(board, &caller, Some(&peer));
        let shown = board.party(&caller).is_some_and(|party| party.sees_connected)
            && board.party(&user).is_some_and(|party| !party.hides_connected);
        queue::leave(board, &peer, QueueEventKind::AnsweredByAgent, Some((user.clone(), id.clone())));
        let remote = board.remote(&caller, &user);
        board.edit(&peer, |half| {
            half.call.answer_time.get_or_insert(now);
            half.diverted.clear();
            half.back = None;
            if shown {
                half.call.remote = remote;
            }
        });
    }
    board.refresh(&peer);
    board.emit(&peer, CallEventKind::Answered);
    recording::begin(board, &peer);
    places::tell_sides(board, &peer);
}

fn hang_up(board: &mut Board, id: &CallId) {
    let Some(half) = board.half(id) else { return };
    let (peer, link) = (half.peer.clone(), half.link);
    // Who answered for somebody ends the call; who is only asked for a key does not.
    let answered_for = half.side.clone().filter(|side| !side.confirm).map(|side| side.main);
    let asked = half.side.clone().filter(|side| side.confirm).map(|side| side.main);
    if let Some(main) = answered_for {
        board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
        hang_up(board, &main);
        return;
    }
    if let Some(main) = asked {
        places::refuse_at(board, id, &main);
        return;
    }
    board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
    if let Some(peer) = peer {
        board.release(&peer, ReleasingParty::Remote, None, RingEnd::Cancelled);
    }
    board.sweep(link);
}

/// A ringing half does not take the call: it goes on along a way, or the caller hears why not.
pub(super) fn refuse(
    board: &mut Board,
    id: &CallId,
    route: Option<&Route>,
    reason: &str,
    cause: InternalReleaseCause,
    ring: RingEnd,
) {
    let Some(half) = board.half(id) else { return };
    let (peer, link, owner) = (half.peer.clone(), half.link, half.owner.clone());
    let by = if ring == RingEnd::Missed { ReleasingParty::Remote } else { ReleasingParty::Local };
    let queued = |peer: &CallId| board.half(peer).is_some_and(|half| half.queued.is_some());
    if route.is_none() && peer.as_ref().is_some_and(queued) {
        queue::bounce(board, id, by, ring);
        board.sweep(link);
        return;
    }
    match (peer, route) {
        (Some(caller), Some(route))
            if matches!(route.end, End::Ring(_) | End::Mailbox(_) | End::Queue(_)) =>
        {
            // Who waited in a queue was connected with it already, as it sees it.
            let waited = queued(&caller);
            queue::send_on(board, &caller, route.dialled.address(), reason);
            board.edit(&caller, |half| half.peer = None);
            board.detach(id, CallEventKind::Redirected, route.dialled.address(), reason);
            divert(board, &caller, &owner, reason);
            connect(board, &caller, route, waited);
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

/// Ends all calls of a subscriber who goes away, and of those who wait for it.
pub(crate) fn release_all(board: &mut Board, user: &UserId) {
    for id in board.live_of(user) {
        let Some(half) = board.half(&id) else { continue };
        match &half.side {
            Some(side) if half.ringing => {
                let main = side.main.clone();
                places::refuse_at(board, &id, &main);
            }
            None if half.ringing && half.wait.is_none() => {
                let cause = InternalReleaseCause::TemporarilyUnavailable;
                refuse(board, &id, None, "unavailable", cause, RingEnd::Cancelled);
            }
            _ => hang_up(board, &id),
        }
    }
}

fn reconnect(board: &mut Board, user: &UserId, id: &CallId) {
    for other in board.live_of(user) {
        let Some(half) = board.half(&other).filter(|_| other != *id) else { continue };
        match &half.side {
            Some(side) if half.ringing => {
                let main = side.main.clone();
                places::refuse_at(board, &other, &main);
            }
            None if half.ringing && half.wait.is_none() => {
                refuse(board, &other, None, "user-busy", InternalReleaseCause::Busy, RingEnd::Rejected);
            }
            _ => hang_up(board, &other),
        }
    }
    if board.half(id).is_some_and(|half| half.holding) {
        retrieve(board, user, id);
    }
}

/// Digits are heard by the other side. Mailboxes, and places that ask for a key, do something with them.
fn dial_digits(board: &mut Board, half: &Half, digits: &str, route: Option<&Route>) {
    let id = &half.call.id;
    match &half.side {
        Some(side) if side.confirm && digits.contains(|key| key != ',') => {
            places::confirm(board, id, side, route);
        }
        _ => {}
    }
    if let Some(route) = route.filter(|_| half.mailbox.is_some()) {
        board.edit(id, |half| half.mailbox = None);
        connect(board, id, route, true);
    }
}
