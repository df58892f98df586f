//! Who takes himself out of a call: blind and consultative transfers, deflections, transfers to a mailbox.

use super::actions::{refuse, wrong};
use super::connect::connect;
use super::{Back, Board, End, Half, Refusal, RingEnd, Route, park, places};
use openadp_appserver::{
    CallEventKind, CallId, InternalReleaseCause, RecallType, Redirect, ReleasingParty, UserId,
};

/// Blind transfer, deflection, transfer to a mailbox: the other party goes along a way, the user leaves.
pub(super) fn give_away(
    board: &mut Board,
    user: &UserId,
    id: &CallId,
    route: Option<&Route>,
    reason: &str,
) -> Result<(), Refusal> {
    let half = board.half(id).ok_or(Refusal::NotFound)?;
    let peer = half
        .peer
        .clone()
        .ok_or_else(|| Refusal::WrongState("there is nobody at the other end".to_owned()))?;
    let Some(route) = route else {
        return Err(Refusal::WrongState("the call was forwarded too often".to_owned()));
    };
    let rules = board.party(user).map(|party| party.transfer).unwrap_or_default();
    match &route.end {
        End::Ring(_) | End::Mailbox(_) | End::Queue(_) => {}
        End::Refused => return Err(Refusal::WrongState("the destination refuses the call".to_owned())),
        End::Busy(_) if reason == "transfer" && rules.camp_seconds.is_some() => {
            let camp = rules.camp_seconds.unwrap_or_default();
            leave(board, id, &peer, route, reason);
            park::camp_on(board, &peer, user, route, camp);
            return Ok(());
        }
        End::Busy(_) | End::Caller => return Err(Refusal::WrongState("the destination is busy".to_owned())),
        End::TooManyForwards | End::Unreachable(_) => {
            return Err(Refusal::WrongState("the destination cannot be reached".to_owned()));
        }
        End::Unknown => return Err(Refusal::BadAddress("no such number".to_owned())),
    }
    if half.ringing {
        refuse(board, id, Some(route), reason, InternalReleaseCause::Busy, RingEnd::Rejected);
        return Ok(());
    }
    leave(board, id, &peer, route, reason);
    let back = rules.recall_rings.filter(|_| reason == "transfer");
    let back = back.map(|_| Back { to: user.clone(), kind: RecallType::CallTransfer });
    board.edit(&peer, |half| half.back = back);
    connect(board, &peer, route, true);
    Ok(())
}

/// Takes a user out of a call; the other party is left with an open end.
fn leave(board: &mut Board, id: &CallId, peer: &CallId, route: &Route, reason: &str) {
    let now = board.now;
    let redirect = Redirect { address: route.dialled.address(), reason: reason.to_owned(), time: now };
    board.edit(id, |half| {
        half.call.redirect = Some(redirect);
        half.peer = None;
    });
    board.edit(peer, |half| {
        half.end_hold(now);
        half.peer = None;
    });
    board.emit(id, CallEventKind::Transferred);
    board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
}

pub(super) fn consult_transfer(
    board: &mut Board,
    user: &UserId,
    first: &CallId,
    second: &CallId,
) -> Result<(), Refusal> {
    if first == second {
        return Err(Refusal::WrongState("a call cannot be joined with itself".to_owned()));
    }
    let (one, two) = (board.own(user, first)?, board.own(user, second)?);
    if one.queued.is_some() || two.queued.is_some() {
        return Err(Refusal::WrongState("the call waits in a queue".to_owned()));
    }
    if one.seat.is_some() || two.seat.is_some() {
        return Err(Refusal::WrongState("the call is in a conference".to_owned()));
    }
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
        places::tell_sides(board, id);
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
