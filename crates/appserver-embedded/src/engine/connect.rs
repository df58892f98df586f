//! A half whose other end is open is led along a way.

use super::actions::hold_others;
use super::half::Diversion;
use super::{Board, Effect, End, RingEnd, Route, log_entry, places, queue};
use openadp_appserver::{
    CallEventKind, CallId, CallLogKind, CallPersonality, InternalReleaseCause, RecallType, Redirection,
    ReleasingParty, UserId,
};

/// Leads a half whose other end is open along a way: somebody rings, a mailbox answers, or the half is released with the
/// reason.
pub(super) fn connect(board: &mut Board, from: &CallId, route: &Route, again: bool) {
    let Some(half) = board.half(from) else { return };
    let (caller, link) = (half.owner.clone(), half.link);
    let goes_on = matches!(route.end, End::Ring(_) | End::Mailbox(_) | End::Queue(_));
    for forward in &route.forwards {
        let Some(remote) = board.other_end(&forward.by, from) else { continue };
        if goes_on {
            let id = board.create(link, &forward.by, CallPersonality::Terminator, remote, route.hops);
            board.detach(&id, CallEventKind::Forwarded, forward.to.clone(), forward.reason);
            divert(board, from, &forward.by, forward.reason);
        } else {
            missed(board, &forward.by, from);
        }
    }
    let cause = match &route.end {
        End::Ring(called) => {
            ring(board, from, called, route, again, None);
            return;
        }
        End::Queue(center) => {
            queue::enter(board, from, center);
            return;
        }
        End::Mailbox(user) => {
            let seen = board.remote(&caller, user);
            let now = board.now;
            board.edit(from, |half| {
                half.peer = None;
                half.mailbox = Some(user.clone());
                half.call.answer_time = Some(now);
                half.diverted.clear();
                half.back = None;
                half.call.remote = seen;
            });
            hold_others(board, &caller, Some(from));
            board.refresh(from);
            board.emit(from, CallEventKind::Answered);
            places::tell_sides(board, from);
            return;
        }
        End::Busy(called) => {
            missed(board, called, from);
            InternalReleaseCause::Busy
        }
        End::Unreachable(called) => {
            missed(board, called, from);
            InternalReleaseCause::TemporarilyUnavailable
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

/// Somebody rings at the other end of a half; with a recall, because the call comes back.
pub(super) fn ring(
    board: &mut Board,
    from: &CallId,
    called: &UserId,
    route: &Route,
    again: bool,
    recall: Option<RecallType>,
) {
    let Some(half) = board.half(from) else { return };
    let (caller, link, back) = (half.owner.clone(), half.link, half.back.clone());
    let Some(remote) = board.other_end(called, from) else { return };
    let redirections = redirections(board, called, from);
    let acd = queue::info(board, from);
    if acd.is_some() && board.party(called).is_some_and(|party| party.agent.is_some()) {
        // However it came here: by its turn, or because another agent sent it on.
        board.effects.push(Effect::AgentFree { agent: called.clone(), since: None });
    }
    let id = board.create(link, called, CallPersonality::Terminator, remote, route.hops);
    board.edit(&id, |half| {
        half.ringing = true;
        half.away = route.ring.away;
        half.then.clone_from(&route.ring.then);
        half.peer = Some(from.clone());
        half.call.redirections = redirections;
        half.call.recall = recall;
        half.call.acd = acd;
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
    if !route.ring.away {
        board.effects.push(Effect::Ring { half: id.clone() });
    }
    places::ring(board, &id, &route.ring.at_once);
    let recall_rings = back.and_then(|back| board.party(&back.to)?.transfer.recall_rings);
    let rings = route
        .ring
        .first_rings
        .filter(|_| !route.ring.then.is_empty())
        .or(recall_rings)
        .or_else(|| queue::rings(board, from))
        .or_else(|| board.unanswered(&id).map(|unanswered| unanswered.rings));
    let after_ms = rings.map_or(board.limits.no_answer_ms, |rings| i64::from(rings) * board.limits.ring_ms);
    board.effects.push(Effect::Arm { half: id, after_ms });
}

/// Notes on a half who sent on the call that it made.
pub(super) fn divert(board: &mut Board, from: &CallId, by: &UserId, reason: &str) {
    board.edit(from, |half| half.diverted.push(Diversion { by: by.clone(), reason: reason.to_owned() }));
}

/// How a call got to who is called: the last redirection first, and repetitions counted.
fn redirections(board: &Board, called: &UserId, from: &CallId) -> Vec<Redirection> {
    let mut redirections: Vec<Redirection> = Vec::new();
    let diverted = board.half(from).map(|half| half.diverted.as_slice()).unwrap_or_default();
    for diversion in diverted.iter().rev() {
        let party = board.remote(called, &diversion.by);
        match redirections.last_mut() {
            Some(last) if last.party == party && last.reason == diversion.reason => last.counter += 1,
            _ => redirections.push(Redirection { party, reason: diversion.reason.clone(), counter: 1 }),
        }
    }
    redirections
}

/// Logs a call that did not even ring.
fn missed(board: &mut Board, called: &UserId, from: &CallId) {
    let Some(remote) = board.other_end(called, from) else { return };
    let entry = log_entry(CallLogKind::Missed, &remote, board.now, from);
    board.logs.push((called.clone(), entry));
}
