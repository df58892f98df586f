//! Calls at other places than the own device: ringing there, answering there, calling from there.

use super::actions::{answer_main, hold_others};
use super::connect::connect;
use super::party::{RingPlan, Wanted};
use super::{Board, Dialled, Effect, Half, Refusal, RingEnd, Route, Side, Spot, Wait};
use openadp_appserver::{
    CallEventKind, CallId, CallPersonality, CallStart, DialLocation, DialOptions, Place, ReleasingParty,
    ServiceKind, UserId,
};

/// Rings at places, each with a side of its own; tells whether any of them rings.
pub(super) fn ring<'a>(board: &mut Board, main: &CallId, spots: impl IntoIterator<Item = &'a Spot>) -> bool {
    let Some(half) = board.half(main) else { return false };
    let (link, hops, peer, owner) = (half.link, half.hops, half.peer.clone(), half.owner.clone());
    let mut rings = false;
    for spot in spots {
        let taken =
            board.all_halves().any(|half| half.link == link && half.is_live() && half.owner == spot.user);
        if taken || !board.takes_calls(&spot.user) {
            continue;
        }
        // Who is there sees who calls; of a call that is only to be made, for whom it rings.
        let remote = match &peer {
            Some(peer) => board.other_end(&spot.user, peer),
            None => Some(board.remote(&spot.user, &owner)),
        };
        let Some(remote) = remote else { continue };
        let id = board.create(link, &spot.user, CallPersonality::Terminator, remote, hops);
        board.edit(&id, |half| {
            half.ringing = true;
            half.side = Some(Side { main: main.clone(), place: spot.place.clone(), confirm: spot.confirm });
        });
        board.refresh(&id);
        board.emit(&id, CallEventKind::Received);
        board.effects.push(Effect::Ring { half: id });
        rings = true;
    }
    rings
}

/// Lets the next place ring in place of those that did.
pub(super) fn advance(board: &mut Board, main: &CallId) {
    let Some(half) = board.half(main) else { return };
    let mut then = half.then.clone();
    let at_device = half.may_answer();
    for side in board.sides_of(main) {
        board.release(&side, ReleasingParty::Remote, None, RingEnd::Missed);
    }
    let mut next = None;
    while next.is_none() && !then.is_empty() {
        let spot = then.remove(0);
        if ring(board, main, [&spot]) {
            next = Some(spot);
        }
    }
    if at_device {
        board.effects.push(Effect::RingOver { half: main.clone(), end: RingEnd::Missed });
    }
    let after_ms = match next.and_then(|spot| spot.rings) {
        Some(rings) => i64::from(rings) * board.limits.ring_ms,
        // Nothing rings any more: what follows from that is due at once.
        None => 0,
    };
    board.edit(main, |half| {
        half.away = true;
        half.then = then;
    });
    board.refresh(main);
    if at_device {
        board.emit(main, CallEventKind::Updated);
    }
    board.effects.push(Effect::Arm { half: main.clone(), after_ms });
}

/// Whoever is at a place does not take the call. When nothing rings any more, what follows is due at once.
pub(super) fn refuse_at(board: &mut Board, id: &CallId, main: &CallId) {
    board.release(id, ReleasingParty::Local, None, RingEnd::Rejected);
    let rings = board.half(main).is_some_and(Half::may_answer)
        || board.sides_of(main).iter().any(|side| board.half(side).is_some_and(|half| half.ringing));
    if !rings {
        board.effects.push(Effect::Arm { half: main.clone(), after_ms: 0 });
    }
}

/// Answered at a place. Where a key must be pressed first, the main half waits for it.
pub(super) fn answer_at(board: &mut Board, id: &CallId, side: &Side, route: Option<&Route>) {
    let Some(owner) = board.half(id).map(|half| half.owner.clone()) else { return };
    hold_others(board, &owner, Some(id));
    board.ring_over(id, RingEnd::Answered);
    let now = board.now;
    board.edit(id, |half| {
        half.ringing = false;
        half.call.answer_time = Some(now);
    });
    board.refresh(id);
    board.emit(id, CallEventKind::Answered);
    if !side.confirm {
        take_over(board, id, side, route);
    }
}

/// A key was pressed by who had answered.
pub(super) fn confirm(board: &mut Board, id: &CallId, side: &Side, route: Option<&Route>) {
    board.edit(id, |half| {
        if let Some(side) = &mut half.side {
            side.confirm = false;
        }
    });
    take_over(board, id, side, route);
}

fn take_over(board: &mut Board, id: &CallId, side: &Side, route: Option<&Route>) {
    let main = &side.main;
    for other in board.sides_of(main) {
        if other != *id {
            board.release(&other, ReleasingParty::Remote, None, RingEnd::Answered);
        }
    }
    let place = super::half::shown(&side.place);
    let waits = board.half(main).is_some_and(|half| matches!(half.wait, Some(Wait::Place { .. })));
    if waits {
        begin(board, main, place, route);
    } else {
        answer_main(board, main, place);
    }
    if board.refresh(id) {
        board.emit(id, CallEventKind::Updated);
    }
}

/// Begins a call whose place was answered.
pub(super) fn begin(board: &mut Board, main: &CallId, place: Option<Place>, route: Option<&Route>) {
    board.ring_over(main, RingEnd::Answered);
    if let Some(owner) = board.half(main).map(|half| half.owner.clone()) {
        hold_others(board, &owner, Some(main));
    }
    board.edit(main, |half| {
        half.ringing = false;
        half.away = false;
        half.wait = None;
        half.call.place = place;
        half.call.personality = CallPersonality::Originator;
    });
    board.refresh(main);
    board.emit(main, CallEventKind::Originated);
    if let Some(route) = route {
        connect(board, main, route, false);
    }
}

/// Where a call is to be made from, unless at the own device.
pub(crate) fn places_to_dial(
    board: &Board,
    user: &UserId,
    options: &DialOptions,
) -> Result<Option<RingPlan>, Refusal> {
    let party = board.party(user).ok_or(Refusal::NotFound)?;
    let Some(mut plan) = party.dials_from(options.location) else { return Ok(None) };
    if let Some(wished) = &options.location_address {
        let same = |wanted: &Wanted| match (Dialled::parse(wished), Dialled::parse(&wanted.number)) {
            (Ok(one), Ok(other)) => {
                let (one, other) =
                    (one.candidates(&party.country_code), other.candidates(&party.country_code));
                one.iter().any(|meaning| other.contains(meaning))
            }
            _ => false,
        };
        plan.wanted.retain(same);
        plan.away = true;
        if plan.wanted.is_empty() {
            return Err(Refusal::BadLocation("is no active location of the user".to_owned()));
        }
    }
    if plan.wanted.is_empty() {
        return match options.location {
            DialLocation::BroadWorksAnywhere => Err(Refusal::NotAssigned(ServiceKind::BroadWorksAnywhere)),
            DialLocation::Mobility => Err(Refusal::NotAssigned(ServiceKind::BroadWorksMobility)),
            DialLocation::All | DialLocation::Primary | DialLocation::Usual => Ok(None),
        };
    }
    Ok(Some(plan))
}

/// Starts a call at places: they ring, and when one is answered the other side rings.
pub(crate) fn dial_from(
    board: &mut Board,
    caller: &UserId,
    link: i64,
    info: Option<String>,
    address: &str,
    route: &Route,
    (spots, away): (&[Spot], bool),
) -> Result<CallStart, Refusal> {
    if board.calls_of(caller) >= board.limits.calls_per_user {
        return Err(Refusal::LimitReached);
    }
    let remote = match &route.called {
        Some(called) => board.remote(caller, called),
        None => super::unknown_remote(route.dialled.address()),
    };
    let id = board.create(link, caller, CallPersonality::ClickToDial, remote, 0);
    board.edit(&id, |half| {
        half.info = info;
        half.ringing = true;
        half.away = away;
        half.wait = Some(Wait::Place { address: address.to_owned() });
    });
    board.refresh(&id);
    board.emit(&id, CallEventKind::Originating);
    if !away {
        board.effects.push(Effect::Ring { half: id.clone() });
    }
    let rings = ring(board, &id, spots);
    let after_ms = if rings || !away { board.limits.no_answer_ms } else { 0 };
    board.effects.push(Effect::Arm { half: id.clone(), after_ms });
    let external_tracking_id =
        board.half(&id).map(|half| half.call.external_tracking_id.clone()).unwrap_or_default();
    Ok(CallStart { call_id: id, external_tracking_id })
}

/// Tells whoever is at the places of a half, if they see a difference.
pub(super) fn tell_sides(board: &mut Board, main: &CallId) {
    for side in board.sides_of(main) {
        if board.refresh(&side) {
            board.emit(&side, CallEventKind::Updated);
        }
    }
}
