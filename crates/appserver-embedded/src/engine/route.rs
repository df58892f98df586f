//! Where a call goes: through forwardings, to somebody who rings or to a failure.

use super::{Board, Dialled, RouteWish};
use openadp_appserver::{Address, UserId};

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
    /// Somebody who takes no call of who hides.
    Refused,
    /// Somebody who is busy or does not want to be disturbed.
    Busy(UserId),
    /// The caller would call himself.
    Caller,
    /// No such number.
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
}

/// What a party does with a call that is offered.
enum Offer<'a> {
    Ring,
    Busy,
    Forward(&'a str, &'static str),
}

/// Resolves a way step by step: the caller of this looks up who an address belongs to, everything else is pure.
pub(crate) struct Router {
    caller: UserId,
    /// Whose dial plan the address is read in.
    plan: UserId,
    next: Dialled,
    hidden: bool,
    route: Route,
}

impl Router {
    /// Begins at the address of a wish.
    pub(crate) fn new(wish: RouteWish) -> Self {
        let RouteWish { caller, plan, dialled, hops, hidden } = wish;
        let route =
            Route { dialled: dialled.clone(), called: None, forwards: Vec::new(), end: End::Unknown, hops };
        Self { caller, plan, next: dialled, hidden, route }
    }

    /// What to look up, and in whose dial plan.
    pub(crate) fn lookup(&self) -> (&UserId, &Dialled) {
        (&self.plan, &self.next)
    }

    /// Goes on with what was found; the found party must be on the board. Ends after a bounded number of steps.
    pub(crate) fn found(mut self, board: &Board, found: Option<&UserId>) -> Result<Self, Route> {
        let Some(party) = found.and_then(|id| board.party(id)) else {
            return Err(self.end(End::Unknown));
        };
        let user = party.user_id.clone();
        if self.route.called.is_none() && self.route.forwards.is_empty() {
            self.route.called = Some(user.clone());
        }
        if user == self.caller {
            return Err(self.end(End::Caller));
        }
        if self.hidden && party.refuses_hidden && !party.sees_hidden {
            return Err(self.end(End::Refused));
        }
        let most = if party.call_waiting { board.limits.calls_per_user } else { 1 };
        let busy = board.calls_of(&user) >= most;
        let offer = if let Some(to) = &party.always {
            Offer::Forward(to, "unconditional")
        } else if party.do_not_disturb || busy {
            let reason = if busy { "user-busy" } else { "do-not-disturb" };
            party.busy.as_ref().map_or(Offer::Busy, |to| Offer::Forward(to, reason))
        } else if let Some((to, 0)) = &party.no_answer {
            Offer::Forward(to, "no-answer")
        } else {
            Offer::Ring
        };
        match offer {
            Offer::Ring => Err(self.end(End::Ring(user))),
            Offer::Busy => Err(self.end(End::Busy(user))),
            Offer::Forward(to, reason) => {
                if self.route.hops >= board.limits.redirections {
                    return Err(self.end(End::TooManyForwards));
                }
                let Ok(next) = Dialled::parse(to) else { return Err(self.end(End::Unknown)) };
                self.route.forwards.push(Forward { by: user.clone(), to: next.address(), reason });
                self.route.hops += 1;
                self.plan = user;
                self.next = next;
                Ok(self)
            }
        }
    }

    fn end(mut self, end: End) -> Route {
        self.route.end = end;
        self.route
    }
}
