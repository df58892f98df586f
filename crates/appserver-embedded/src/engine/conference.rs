//! Conferences: several calls of one owner, active together. Each call has a seat; there is nothing else to a conference.

use super::actions::{hold, hold_others, take_back};
use super::{Board, Refusal, RingEnd, Seat};
use openadp_appserver::{
    CallId, CallState, Conference, ConferenceAction, ConferenceEventKind, Event, Participant, ReleasingParty,
    UserId,
};

fn seats(board: &Board, user: &UserId) -> Vec<CallId> {
    let seated = |id: &CallId| board.half(id).is_some_and(|half| half.seat.is_some());
    board.live_of(user).into_iter().filter(seated).collect()
}

/// The conference that some halves of one owner make, if any.
pub(crate) fn conference_of<'a>(halves: impl Iterator<Item = &'a super::Half>) -> Option<Conference> {
    let mut conference: Option<Conference> = None;
    for half in halves {
        let Some(seat) = half.seat.filter(|_| half.is_live()) else { continue };
        let conference = conference.get_or_insert_with(|| Conference {
            state: CallState::Active,
            address_of_record: half.call.address_of_record.clone(),
            appearance: half.call.appearance,
            muted: seat.owner_muted,
            participants: Vec::new(),
        });
        if half.holding {
            conference.state = CallState::Held;
        }
        conference.participants.push(Participant {
            call: half.call.id.clone(),
            muted: seat.muted,
            deaf: seat.deaf,
        });
    }
    conference
}

fn tell(board: &mut Board, user: &UserId, kind: ConferenceEventKind) {
    if let Some(conference) = conference_of(board.halves.values().filter(|half| half.owner == *user)) {
        board.events.push((user.clone(), Event::Conference { kind, conference }));
    }
}

/// All calls of it are held now.
pub(super) fn held(board: &mut Board, user: &UserId) {
    tell(board, user, ConferenceEventKind::Held);
}

/// A seat is empty. Two make a conference; of one less, the last call goes on alone.
pub(super) fn somebody_left(board: &mut Board, id: &CallId) {
    let Some(user) = board.half(id).map(|half| half.owner.clone()) else { return };
    let left = seats(board, &user);
    if left.len() >= 2 {
        tell(board, &user, ConferenceEventKind::Updated);
        return;
    }
    let over = conference_of(board.halves.values().filter(|half| half.owner == user));
    for id in left {
        board.edit(&id, |half| {
            half.seat = None;
            half.call.in_conference = false;
        });
    }
    if let Some(mut conference) = over {
        conference.state = CallState::Released;
        board.events.push((user, Event::Conference { kind: ConferenceEventKind::Released, conference }));
    }
}

/// Gives a call a seat; it must be one that somebody answered.
fn seat(board: &mut Board, user: &UserId, id: &CallId, seat: Seat) -> Result<(), Refusal> {
    let half = board.own(user, id)?;
    if !half.is_answered() || half.side.is_some() || half.peer.is_none() || half.queued.is_some() {
        return Err(super::actions::wrong(half.call.state));
    }
    let held = half.holding;
    board.edit(id, |half| {
        half.seat = Some(seat);
        half.call.in_conference = true;
    });
    if held {
        take_back(board, id);
    }
    Ok(())
}

/// Does something with the conference of a user.
pub(crate) fn confer(board: &mut Board, user: &UserId, action: &ConferenceAction) -> Result<(), Refusal> {
    use ConferenceEventKind as Kind;
    let seated = seats(board, user);
    if let ConferenceAction::Start(one, two) = action {
        if !seated.is_empty() {
            return Err(Refusal::WrongState("there is a conference already".to_owned()));
        }
        if one == two {
            return Err(Refusal::WrongState("a call cannot be joined with itself".to_owned()));
        }
        let parties = [one, two].map(|id| board.own(user, id).ok().and_then(|half| half.peer.clone()));
        let owners =
            parties.map(|peer| peer.and_then(|peer| board.half(&peer).map(|half| half.owner.clone())));
        if owners[0].is_some() && owners[0] == owners[1] {
            return Err(Refusal::WrongState("both calls are with the same party".to_owned()));
        }
        for id in [one, two] {
            seat(board, user, id, Seat::default())?;
        }
        tell(board, user, Kind::Started);
        return Ok(());
    }
    let of_it = |id: &CallId| if seated.contains(id) { Ok(()) } else { Err(Refusal::NotFound) };
    let state =
        conference_of(board.halves.values().filter(|half| half.owner == *user)).map(|found| found.state);
    let Some(state) = state else { return Err(Refusal::NotFound) };
    match action {
        ConferenceAction::Start(..) => {}
        ConferenceAction::Add(id) => {
            if seated.contains(id) {
                return Err(Refusal::WrongState("the call is in the conference".to_owned()));
            }
            if state == CallState::Held {
                return Err(Refusal::WrongState("the conference is held".to_owned()));
            }
            let owner_muted =
                seated.first().and_then(|id| board.half(id)?.seat).is_some_and(|seat| seat.owner_muted);
            seat(board, user, id, Seat { owner_muted, ..Seat::default() })?;
            tell(board, user, Kind::Updated);
        }
        ConferenceAction::Drop(id) => {
            of_it(id)?;
            drop_call(board, id);
        }
        ConferenceAction::MuteCall(id, muted) => {
            of_it(id)?;
            change(board, id, |seat| seat.muted = *muted);
            tell(board, user, if *muted { Kind::CallMuted } else { Kind::CallUnMuted });
        }
        ConferenceAction::DeafenCall(id, deaf) => {
            of_it(id)?;
            change(board, id, |seat| seat.deaf = *deaf);
            tell(board, user, if *deaf { Kind::CallMadeDeaf } else { Kind::CallMadeUnDeaf });
        }
        ConferenceAction::Mute(muted) => {
            for id in &seated {
                change(board, id, |seat| seat.owner_muted = *muted);
            }
            tell(board, user, if *muted { Kind::Muted } else { Kind::Unmuted });
        }
        ConferenceAction::Hold => {
            if state == CallState::Held {
                return Err(Refusal::WrongState("the conference is held".to_owned()));
            }
            for id in &seated {
                hold(board, id);
            }
            tell(board, user, Kind::Held);
        }
        ConferenceAction::Talk => {
            if state != CallState::Held {
                return Err(Refusal::WrongState("the conference is active".to_owned()));
            }
            hold_others(board, user, None);
            for id in &seated {
                take_back(board, id);
            }
            tell(board, user, Kind::Retrieved);
        }
        ConferenceAction::Release => {
            for id in &seated {
                drop_call(board, id);
            }
        }
    }
    Ok(())
}

fn change(board: &mut Board, id: &CallId, change: impl FnOnce(&mut Seat)) {
    board.edit(id, |half| {
        if let Some(seat) = &mut half.seat {
            change(seat);
        }
    });
}

fn drop_call(board: &mut Board, id: &CallId) {
    let Some((peer, link)) = board.half(id).map(|half| (half.peer.clone(), half.link)) else { return };
    board.release(id, ReleasingParty::Local, None, RingEnd::Cancelled);
    if let Some(peer) = peer {
        board.release(&peer, ReleasingParty::Remote, None, RingEnd::Cancelled);
    }
    board.sweep(link);
}
