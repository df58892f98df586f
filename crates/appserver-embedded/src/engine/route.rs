//! Where a call goes: through forwardings, to somebody who rings, to a mailbox or to a failure.

use super::criteria::Caller;
use super::party::{RingPlan, Wanted};
use super::{Board, Dialled, Spot};
use openadp_appserver::{Address, UserId};
use std::collections::VecDeque;

/// What a way is resolved for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A call.
    #[default]
    Call,
    /// A call that no forwarding may lead on.
    Straight,
    /// The mailbox of who is found.
    Mailbox,
    /// Only who it is.
    Find,
}

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
    /// What for.
    pub(crate) purpose: Purpose,
}

impl RouteWish {
    /// Only who an address belongs to.
    pub(crate) fn find(plan: &UserId, dialled: Dialled) -> Self {
        Self {
            caller: plan.clone(),
            plan: plan.clone(),
            dialled,
            hops: 0,
            hidden: false,
            purpose: Purpose::Find,
        }
    }
}

/// A forwarding on the way.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    /// Who forwards.
    pub(crate) by: UserId,
    /// Where to.
    pub(crate) to: Address,
    /// Why, in the wire's words (xsi.md section 3.7).
    pub(crate) reason: &'static str,
}

/// How the way ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody who may ring.
    Ring(UserId),
    /// The mailbox of somebody.
    Mailbox(UserId),
    /// The queue of a call centre.
    Queue(UserId),
    /// Somebody who does not want this call.
    Refused,
    /// Somebody who is busy or does not want to be disturbed.
    Busy(UserId),
    /// Somebody none of whose places can ring.
    Unreachable(UserId),
    /// The caller would call himself.
    Caller,
    /// No such number, or no mailbox.
    Unknown,
    /// Forwarded more often than allowed.
    TooManyForwards,
}

/// A resolved way.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// What was dialled.
    pub(crate) dialled: Dialled,
    /// Who that is, before any forwarding.
    pub(crate) called: Option<UserId>,
    /// Forwardings in order.
    pub(crate) forwards: Vec<Forward>,
    /// How it ends.
    pub(crate) end: End,
    /// Forwardings that the call took in all.
    pub(crate) hops: u32,
    /// Where it rings, when it ends so.
    pub(crate) ring: Ringing,
}

impl Route {
    /// Straight to the own device of somebody.
    pub(crate) fn to(user: UserId) -> Self {
        Self {
            dialled: Dialled::Sip(user.to_string()),
            called: Some(user.clone()),
            forwards: Vec::new(),
            end: End::Ring(user),
            hops: 0,
            ring: Ringing::default(),
        }
    }
}

/// Where somebody rings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ringing {
    /// The own device does not.
    pub(crate) away: bool,
    /// Places that ring at once.
    pub(crate) at_once: Vec<Spot>,
    /// Places that ring one after the other.
    pub(crate) then: Vec<Spot>,
    /// Rings of the first ones, where others follow.
    pub(crate) first_rings: Option<u32>,
}

/// What a party does with a call that is offered.
enum Offer {
    Ring(RingPlan),
    Busy,
    Forward(Dialled, &'static str),
}

/// Places that are being looked up.
#[derive(Debug)]
struct Search {
    called: UserId,
    open: VecDeque<Wanted>,
    ring: Ringing,
}

/// Resolves a way step by step: the caller of this looks up who an address belongs to, everything else is pure.
pub(crate) struct Router {
    wish: RouteWish,
    next: Dialled,
    search: Option<Search>,
    route: Route,
}

impl Router {
    /// Begins at the address of a wish.
    pub(crate) fn new(wish: RouteWish) -> Self {
        let route = Route {
            dialled: wish.dialled.clone(),
            called: None,
            forwards: Vec::new(),
            end: End::Unknown,
            hops: wish.hops,
            ring: Ringing::default(),
        };
        Self { next: wish.dialled.clone(), wish, search: None, route }
    }

    /// What to look up, and in whose dial plan.
    pub(crate) fn lookup(&self) -> (&UserId, &Dialled) {
        (&self.wish.plan, &self.next)
    }

    /// Goes on with what was found; the found party must be on the board. Ends after a bounded number of steps.
    pub(crate) fn found(mut self, board: &Board, found: Option<&UserId>) -> Result<Self, Box<Route>> {
        if let Some(search) = self.search.take() {
            return self.place_found(board, search, found);
        }
        let party = match (&self.next, self.wish.purpose) {
            (Dialled::Mailbox(user), _) => {
                let user = user.clone();
                return Err(self.end(End::Mailbox(user)));
            }
            _ => found.and_then(|id| board.party(id)),
        };
        let Some(party) = party else { return Err(self.end(End::Unknown)) };
        let user = party.user_id.clone();
        if self.route.called.is_none() && self.route.forwards.is_empty() {
            self.route.called = Some(user.clone());
        }
        match self.wish.purpose {
            Purpose::Find => return Err(self.end(End::Ring(user))),
            Purpose::Mailbox if party.has_mailbox() => return Err(self.end(End::Mailbox(user))),
            Purpose::Mailbox => return Err(self.end(End::Unknown)),
            Purpose::Call | Purpose::Straight => {}
        }
        if user == self.wish.caller {
            return Err(self.end(End::Caller));
        }
        if let Some(center) = &party.center {
            if board.queue_length(&user) < center.size {
                return Err(self.end(End::Queue(user)));
            }
            return match center.overflow_to.as_deref().and_then(|to| Dialled::parse(to).ok()) {
                Some(to) => self.forward(board, user, to, "call-center"),
                None => Err(self.end(End::Busy(user))),
            };
        }
        let caller = self.caller(board);
        if party.refuses(caller) {
            return Err(self.end(End::Refused));
        }
        let calls = board.calls_of(&user);
        let most = if party.call_waiting { board.limits.calls_per_user } else { 1 };
        let busy = calls >= most;
        let offer = if let Some((to, reason)) = party.forwards_at_once(caller) {
            Offer::Forward(to, reason)
        } else if busy && !party.do_not_disturb && party.searches_when_busy(caller) {
            Offer::Ring(party.ring_plan(caller, true, true))
        } else if party.do_not_disturb || busy {
            let reason = if busy { "user-busy" } else { "do-not-disturb" };
            party.forwards_busy().map_or(Offer::Busy, |to| Offer::Forward(to, reason))
        } else if let Some(unanswered) = party.unanswered(caller).filter(|unanswered| unanswered.rings == 0) {
            Offer::Forward(unanswered.to, unanswered.reason)
        } else {
            Offer::Ring(party.ring_plan(caller, calls > 0, false))
        };
        match offer {
            Offer::Ring(plan) => {
                let ring = Ringing { away: plan.away, first_rings: plan.first_rings, ..Ringing::default() };
                self.search_on(board, Search { called: user, open: plan.wanted.into(), ring })
            }
            Offer::Busy => Err(self.end(End::Busy(user))),
            Offer::Forward(to, reason) => self.forward(board, user, to, reason),
        }
    }

    fn caller<'a>(&self, board: &'a Board) -> Caller<'a> {
        Caller {
            party: board.party(&self.wish.caller),
            hidden: self.wish.hidden,
            forwarded: self.route.hops > 0,
        }
    }

    fn forward(
        mut self,
        board: &Board,
        by: UserId,
        to: Dialled,
        reason: &'static str,
    ) -> Result<Self, Box<Route>> {
        if self.wish.purpose == Purpose::Straight {
            return Err(self.end(End::Busy(by)));
        }
        if self.route.hops >= board.limits.redirections {
            return Err(self.end(End::TooManyForwards));
        }
        self.route.forwards.push(Forward { by: by.clone(), to: to.address(), reason });
        self.route.hops += 1;
        self.wish.plan = by;
        self.next = to;
        Ok(self)
    }

    /// Looks up the next place, or rings where all of them are known.
    fn search_on(mut self, board: &Board, mut search: Search) -> Result<Self, Box<Route>> {
        // What cannot be dialled was refused when it was set, so nothing is lost here but what an older release let in.
        while let Some(wanted) = search.open.front() {
            if let Ok(next) = Dialled::parse(&wanted.number) {
                self.next = next;
                self.wish.plan = search.called.clone();
                self.search = Some(search);
                return Ok(self);
            }
            search.open.pop_front();
        }
        let Search { called, mut ring, .. } = search;
        if ring.away && ring.at_once.is_empty() {
            if ring.then.is_empty() {
                let Some(party) = board.party(&called) else { return Err(self.end(End::Unknown)) };
                return match party.forwards_unreachable() {
                    Some(to) => self.forward(board, called, to, "unavailable"),
                    None => Err(self.end(End::Unreachable(called))),
                };
            }
            let first = ring.then.remove(0);
            ring.first_rings = first.rings;
            ring.at_once.push(first);
        }
        self.route.ring = ring;
        Err(self.end(End::Ring(called)))
    }

    fn place_found(
        self,
        board: &Board,
        mut search: Search,
        found: Option<&UserId>,
    ) -> Result<Self, Box<Route>> {
        let Some(wanted) = search.open.pop_front() else { return self.search_on(board, search) };
        let reachable = found
            .filter(|user| **user != search.called && **user != self.wish.caller && board.takes_calls(user));
        if let Some(user) = reachable {
            let spot = Spot::of(&wanted, self.next.address(), user.clone());
            if wanted.rings.is_some() { search.ring.then.push(spot) } else { search.ring.at_once.push(spot) }
        }
        self.search_on(board, search)
    }

    fn end(mut self, end: End) -> Box<Route> {
        self.route.end = end;
        Box::new(self.route)
    }
}
