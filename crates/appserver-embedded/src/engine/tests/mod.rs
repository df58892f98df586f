//! The engine without a store: a world of a few people, in which everything that may happen happens.

mod random;
mod scenarios;

use super::*;
use openadp_appserver::{
    ACTIVE, CallAction, CallStart, ConferenceAction, DialLocation, DialOptions, FORWARD_TO, NUMBER_OF_RINGS,
    RecordChange, Service, ServiceKind,
};

const PEOPLE: usize = 7;
/// A call centre, and its agents.
const CENTER: usize = 6;
const AGENTS: [usize; 2] = [2, 3];

fn user(n: usize) -> UserId {
    UserId::new(&format!("u{n}@test"))
}

fn extension(n: usize) -> String {
    format!("210{n}")
}

/// Somebody with all services as they are at first. One is of another enterprise, one of another group.
fn party(n: usize, services: &BTreeMap<(UserId, ServiceKind), Service>) -> Party {
    let mut party = Party::of(user(n));
    party.provider = if n == 5 { "other".into() } else { "acme".into() };
    party.group = if n == 4 { "south".into() } else { "north".into() };
    party.is_enterprise = true;
    party.name = format!("User {n}");
    party.number = Some(format!("+1212555010{n}"));
    party.extension = Some(extension(n));
    party.country_code = "1".into();
    party.line_port = format!("u{n}@test");
    for kind in ServiceKind::ALL {
        let first = Service::new(*kind);
        party.apply(services.get(&(user(n), *kind)).unwrap_or(&first));
    }
    party
}

/// Everything there is, and what was told.
struct World {
    now: i64,
    next_link: i64,
    off_hook: BTreeSet<UserId>,
    services: BTreeMap<(UserId, ServiceKind), Service>,
    halves: BTreeMap<CallId, Half>,
    links: BTreeMap<i64, u32>,
    /// When the timer of each half is due.
    timers: BTreeMap<CallId, i64>,
    /// Halves that ring at a device.
    ringing: BTreeSet<CallId>,
    parked: BTreeMap<UserId, CallId>,
    /// Halves that left a message.
    messages: BTreeSet<CallId>,
    /// Who waits in the queue, since when, and whether it is offered.
    queue: BTreeMap<CallId, (i64, bool)>,
    agents: BTreeMap<UserId, (AgentStatus, Option<i64>)>,
    /// State of each half in the last event of it, and how often it was told to be over.
    told: BTreeMap<CallId, (CallState, usize)>,
    events: Vec<(UserId, Event)>,
    logs: Vec<(UserId, CallLogEntry)>,
}

impl World {
    fn new() -> Self {
        Self {
            now: 1_000,
            next_link: 1,
            off_hook: BTreeSet::new(),
            services: BTreeMap::new(),
            halves: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: BTreeMap::new(),
            ringing: BTreeSet::new(),
            parked: BTreeMap::new(),
            messages: BTreeSet::new(),
            queue: BTreeMap::new(),
            agents: AGENTS.iter().map(|n| (user(*n), Default::default())).collect(),
            told: BTreeMap::new(),
            events: Vec::new(),
            logs: Vec::new(),
        }
    }

    fn board(&mut self) -> Board {
        self.now += 10;
        let limits = Limits {
            calls_per_user: 3,
            redirections: 3,
            ring_ms: 6_000,
            no_answer_ms: 60_000,
            park_ms: 45_000,
        };
        let mut board = Board::new(self.now, limits);
        for n in 0..PEOPLE {
            let mut party = party(n, &self.services);
            party.off_hook = self.off_hook.contains(&user(n));
            party.agent = self.agents.get(&user(n)).map(|(status, _)| AgentOf { status: status.clone() });
            party.center = (n == CENTER).then_some(Center {
                size: 2,
                wait: 120,
                overflow_to: None,
                rings: 2,
                wrap_up: 10,
            });
            board.add_party(party);
        }
        self.halves.values().for_each(|half| board.add_half(half.clone()));
        self.links.iter().for_each(|(link, next)| board.add_link(*link, *next));
        board.set_queue_length(user(CENTER), u32::try_from(self.queue.len()).expect("few"));
        self.parked.keys().for_each(|user| board.add_parked(user.clone()));
        board
    }

    fn resolve(board: &Board, wish: RouteWish) -> Route {
        let mut router = Router::new(wish);
        let people: Vec<&Party> = (0..PEOPLE).map(|n| board.party(&user(n)).expect("known")).collect();
        loop {
            let (plan, dialled) = router.lookup();
            let plan = board.party(plan).expect("known");
            let found = dialled.candidates(&plan.country_code).into_iter().find_map(|candidate| {
                let fits = |party: &&&Party| match &candidate {
                    Candidate::Extension(extension) => {
                        party.provider == plan.provider && party.extension.as_ref() == Some(extension)
                    }
                    Candidate::Number(number) => party.number.as_ref() == Some(number),
                    Candidate::Identity(identity) => party.user_id.as_str() == identity,
                };
                people.iter().find(fits).map(|party| party.user_id.clone())
            });
            match router.found(board, found.as_ref()) {
                Ok(further) => router = further,
                Err(route) => return *route,
            }
        }
    }

    fn keep(&mut self, board: Board) {
        for half in board.changed() {
            self.halves.insert(half.call.id.clone(), half.clone());
        }
        self.links.extend(board.links());
        for effect in &board.effects {
            match effect {
                Effect::Arm { half, after_ms } => {
                    assert!(*after_ms >= 0);
                    self.timers.insert(half.clone(), self.now + after_ms);
                }
                Effect::Disarm { half } => drop(self.timers.remove(half)),
                Effect::Ring { half } => assert!(self.ringing.insert(half.clone()), "rings once"),
                Effect::RingOver { half, .. } => assert!(self.ringing.remove(half), "{half:?} rang"),
                Effect::Parked { against, half } => {
                    assert_eq!(self.parked.insert(against.clone(), half.clone()), None, "one at a time");
                }
                Effect::Message { from, duration_ms, .. } => {
                    assert!(*duration_ms >= 1_000, "who left at once said nothing");
                    assert!(self.messages.insert(from.clone()), "one message of a call");
                }
                Effect::Enqueue { half, .. } => {
                    assert_eq!(self.queue.insert(half.clone(), (self.now, false)), None, "waits once");
                }
                Effect::Dequeue { half, .. } => assert!(self.queue.remove(half).is_some(), "waited"),
                Effect::Offered { half, offered, .. } => {
                    let waits = self.queue.get_mut(half).expect("waits");
                    assert_ne!(std::mem::replace(&mut waits.1, *offered), *offered);
                }
                Effect::Agent { agent, status, free } => {
                    *self.agents.get_mut(agent).expect("an agent") = (status.clone(), *free);
                }
                Effect::AgentFree { agent, since } => {
                    self.agents.get_mut(agent).expect("an agent").1 = *since;
                }
                Effect::ArmAgent { agent, after_ms } => {
                    self.timers.insert(agent_timer(agent), self.now + after_ms);
                }
                Effect::DisarmAgent { agent } => drop(self.timers.remove(&agent_timer(agent))),
                Effect::Unparked { against } => assert!(self.parked.remove(against).is_some()),
            }
        }
        for (owner, event) in &board.events {
            match event {
                Event::Hook(HookStatus::OffHook) => {
                    assert!(self.off_hook.insert(owner.clone()), "really changed");
                }
                Event::Hook(HookStatus::OnHook) => assert!(self.off_hook.remove(owner), "really changed"),
                Event::Call { kind, call } => {
                    let told = self.told.entry(call.id.clone()).or_insert((call.state, 0));
                    assert_eq!(told.1, 0, "nothing is told of a call that is over: {kind:?} {call:?}");
                    told.0 = call.state;
                    told.1 += usize::from(*kind == CallEventKind::Released);
                }
                _ => {}
            }
        }
        self.events.extend(board.events);
        self.logs.extend(board.logs);
        self.check();
    }

    fn dial(&mut self, caller: usize, address: &str) -> Result<CallStart, Refusal> {
        self.dial_with(caller, address, &DialOptions::default())
    }

    fn dial_with(
        &mut self,
        caller: usize,
        address: &str,
        options: &DialOptions,
    ) -> Result<CallStart, Refusal> {
        let mut board = self.board();
        let plan = places_to_dial(&board, &user(caller), options)?;
        let wish = first_wish(&board, &user(caller), address)?;
        let route = Self::resolve(&board, wish);
        let mut spots = Vec::new();
        for wanted in plan.iter().flat_map(|plan| &plan.wanted) {
            let Ok(dialled) = Dialled::parse(&wanted.number) else { continue };
            if let End::Ring(at) = Self::resolve(&board, RouteWish::find(&user(caller), dialled.clone())).end
                && at != user(caller)
            {
                spots.push(Spot::of(wanted, dialled.address(), at));
            }
        }
        let link = self.next_link;
        self.next_link += 1;
        let start = match plan {
            Some(plan) => {
                dial_from(&mut board, &user(caller), link, None, address, &route, (&spots, plan.away))?
            }
            None => dial(&mut board, &user(caller), link, None, &route)?,
        };
        self.keep(board);
        Ok(start)
    }

    fn act(&mut self, who: usize, call: &CallId, action: &CallAction) -> Result<Option<Address>, Refusal> {
        let mut board = self.board();
        let wish = match action {
            CallAction::GroupPark => {
                let free = (0..PEOPLE).map(user).find(|user| !self.parked.contains_key(user));
                free.map(|free| RouteWish::find(&user(who), Dialled::Sip(free.to_string())))
            }
            _ => wish(&board, &user(who), call, action)?,
        };
        let route = wish.map(|wish| Self::resolve(&board, wish));
        let done = act(&mut board, &user(who), call, action, route.as_ref())?;
        self.keep(board);
        Ok(done)
    }

    fn confer(&mut self, who: usize, action: &ConferenceAction) -> Result<(), Refusal> {
        let mut board = self.board();
        confer(&mut board, &user(who), action)?;
        self.keep(board);
        Ok(())
    }

    fn pick_up(&mut self, who: usize, from: usize) -> Result<CallStart, Refusal> {
        let ringing = |half: &&Half| half.owner == user(from) && half.ringing && half.peer.is_some();
        let ringing =
            self.halves.values().find(ringing).map(|half| half.call.id.clone()).ok_or(Refusal::NotFound)?;
        let mut board = self.board();
        let start = pick_up(&mut board, &user(who), &ringing)?;
        self.keep(board);
        Ok(start)
    }

    fn retrieve(&mut self, who: usize, against: usize) -> Result<CallStart, Refusal> {
        let parked = self.parked.get(&user(against)).cloned().ok_or(Refusal::NotFound)?;
        let mut board = self.board();
        let start = retrieve_parked(&mut board, &user(who), &parked)?;
        self.keep(board);
        Ok(start)
    }

    /// Lets the next timer run out, if there is one.
    fn time_goes_by(&mut self) -> bool {
        let next = self.timers.iter().min_by_key(|(_, due)| **due).map(|(half, due)| (half.clone(), *due));
        let Some((call, at)) = next else { return false };
        self.timers.remove(&call);
        self.now = self.now.max(at);
        let mut board = self.board();
        if let Some(agent) = call.0.strip_prefix("agent:") {
            wrap_up_over(&mut board, &UserId::new(agent));
        } else if let Some((_, overdue)) = waits_in(&board, &call) {
            if overdue {
                let route = overflow_wish(&board, &call).map(|wish| Self::resolve(&board, wish));
                overflow(&mut board, &call, route.as_ref());
            } else {
                let free = |(agent, (_, since)): (&UserId, &(_, Option<i64>))| {
                    since.filter(|_| is_free(&board, agent)).map(|since| (since, agent.clone()))
                };
                let waiting = self.queue.iter().filter(|(_, (_, offered))| !offered);
                let first = waiting.min_by_key(|(half, (added, _))| (*added, (*half).clone()));
                let caller = &self.halves[&call].owner;
                let agent = self.agents.iter().filter(|(agent, _)| *agent != caller).filter_map(free).min();
                let agent = agent.filter(|_| first.is_some_and(|(half, _)| *half == call));
                serve(&mut board, &call, agent.as_ref().map(|(_, agent)| agent));
            }
        } else {
            let route = due_wish(&board, &call).map(|wish| Self::resolve(&board, wish));
            due(&mut board, &call, route.as_ref());
        }
        self.keep(board);
        true
    }

    fn agent(&mut self, who: usize, state: openadp_appserver::AcdState) {
        let mut board = self.board();
        change_state(&mut board, &user(who), state, None);
        self.keep(board);
    }

    fn set(&mut self, who: usize, kind: ServiceKind, wishes: &[(&'static str, Option<&str>)]) {
        let patch = kind.patch(wishes).expect("good values");
        let service = self.services.entry((user(who), kind)).or_insert_with(|| Service::new(kind));
        let mut changed = service.clone();
        if changed.change(patch).is_ok() {
            *service = changed;
        }
    }

    fn turn(&mut self, who: usize, kind: ServiceKind, on: bool) {
        self.set(who, kind, &[(ACTIVE, Some(if on { "true" } else { "false" }))]);
    }

    fn forward(&mut self, who: usize, kind: ServiceKind, to: &str) {
        self.set(who, kind, &[(ACTIVE, Some("true")), (FORWARD_TO, Some(to))]);
    }

    fn record(&mut self, who: usize, kind: ServiceKind, key: &str, change: RecordChange) {
        let service = self.services.entry((user(who), kind)).or_insert_with(|| Service::new(kind));
        drop(service.change_record(key, change));
    }

    /// No half is left in an impossible state or pair of states.
    fn check(&self) {
        for half in self.halves.values() {
            self.check_half(half);
        }
        for (against, id) in &self.parked {
            assert!(matches!(&self.halves[id].wait, Some(Wait::Parked { against: user }) if user == against));
        }
        for id in self.queue.keys() {
            assert!(self.halves[id].queued.is_some() && self.halves[id].is_live());
        }
        for (agent, (status, free)) in &self.agents {
            use openadp_appserver::AcdState as State;
            assert!(free.is_none() || status.state == State::Available, "{agent} is free while {status:?}");
            let working = self
                .halves
                .values()
                .any(|half| half.owner == *agent && half.is_live() && half.call.acd.is_some());
            assert!(free.is_none() || !working, "{agent} is free while it has a call");
            assert!(
                free.is_some() || working || status.state != State::Available,
                "{agent} is never asked again"
            );
            let timed = self.timers.contains_key(&agent_timer(agent));
            assert_eq!(timed, status.state == State::WrapUp, "wrapping up ends");
        }
        for n in 0..PEOPLE {
            let live = || self.halves.values().filter(|half| half.owner == user(n) && half.is_live());
            assert_eq!(self.off_hook.contains(&user(n)), live().any(Half::is_off_hook), "hook status of {n}");
            let (seats, others): (Vec<_>, Vec<_>) = live()
                .filter(|half| half.call.state == CallState::Active)
                .partition(|half| half.seat.is_some());
            assert!(
                others.len() + usize::from(!seats.is_empty()) <= 1,
                "one active call of {n}: {others:?} {seats:?}"
            );
            assert_ne!(live().filter(|half| half.seat.is_some()).count(), 1, "nobody confers alone");
            assert!(live().count() <= 3 + 1, "about as many calls as allowed");
        }
    }

    fn check_half(&self, half: &Half) {
        let (call, id) = (&half.call, &half.call.id);
        let (state, over) = self.told[id];
        assert_eq!(state, call.state, "the last event tells the state: {half:?}");
        assert_eq!(over == 1, call.state == CallState::Released, "released is told once: {half:?}");
        assert_eq!(self.ringing.contains(id), half.may_answer(), "pushed to whose device rings: {half:?}");
        assert_eq!(call.allow_answer, half.may_answer() && half.is_live(), "{half:?}");
        let timed = half.is_live() && half.side.is_none() && (half.ringing || half.wait.is_some());
        assert_eq!(self.timers.contains_key(id), timed, "a timer for whoever waits: {half:?}");
        assert_eq!(call.release_time.is_some(), call.state == CallState::Released);
        assert_eq!(call.release_time.is_some(), call.releasing_party.is_some());
        if !half.is_live() {
            assert!(half.peer.is_none() && !half.ringing && !half.holding && half.logged, "{half:?}");
            assert!(half.seat.is_none() && half.wait.is_none() && half.mailbox.is_none(), "{half:?}");
            if call.state == CallState::Detached {
                let live = self.halves.values().any(|other| other.link == half.link && other.is_live());
                assert!(live, "a detached half ends with its call: {half:?}");
                assert!(call.redirect.is_some() && call.detached_time.is_some());
            }
            return;
        }
        assert!(!half.logged);
        assert_eq!(half.holding, call.held_time.is_some());
        assert_eq!(half.seat.is_some(), call.in_conference);
        if let Some(side) = &half.side {
            let main = &self.halves[&side.main];
            assert!(main.is_live() && half.peer.is_none() && main.link == half.link, "{half:?} {main:?}");
            assert_ne!(main.owner, half.owner, "a place is somebody else's");
            assert_eq!(
                half.ringing || side.confirm,
                main.ringing,
                "a place rings with its main half: {half:?}"
            );
            return;
        }
        assert_eq!(half.queued.is_some(), self.queue.contains_key(id), "{half:?}");
        assert_eq!(half.wait == Some(Wait::Queue), self.queue.get(id).is_some_and(|(_, offered)| !offered));
        let open = [half.wait.is_some(), half.mailbox.is_some(), half.peer.is_some()];
        assert_eq!(open.iter().filter(|open| **open).count(), 1, "one other end: {half:?}");
        let Some(peer) = half.peer.as_ref().map(|peer| &self.halves[peer]) else { return };
        assert_eq!(peer.peer.as_ref(), Some(id), "peers know each other");
        assert_eq!(peer.link, half.link);
        assert_eq!(peer.call.external_tracking_id, call.external_tracking_id);
        assert_ne!(peer.owner, half.owner, "nobody talks with himself");
        assert!(!(half.ringing && peer.ringing));
        if half.ringing {
            assert_eq!(call.personality, CallPersonality::Terminator);
            assert_eq!(call.answer_time, None);
        }
        let network = call.remote.call_type == CallType::Network;
        let at_places = self.halves.values().any(|other| {
            let of = |main: &CallId| other.side.as_ref().is_some_and(|side| side.main == *main);
            other.holding && (of(id) || of(&peer.call.id))
        });
        let possible = match (call.state, peer.call.state) {
            // Who waits for an agent is connected already.
            (CallState::Active | CallState::Held, CallState::Alerting) => half.queued.is_some(),
            (CallState::Alerting, CallState::Active | CallState::Held) => peer.queued.is_some(),
            (CallState::Alerting, CallState::Alerting) => half.ringing || peer.ringing,
            (CallState::Active, CallState::Active) | (CallState::Held, CallState::Held) => true,
            (CallState::Active, CallState::Held) | (CallState::Held, CallState::Active) => network,
            (CallState::Held, CallState::RemoteHeld) | (CallState::RemoteHeld, CallState::Held) => {
                !network || at_places
            }
            (CallState::RemoteHeld, _) | (_, CallState::RemoteHeld) => at_places,
            _ => false,
        };
        assert!(possible, "{:?} with {:?}", call.state, peer.call.state);
    }

    fn told(&self, who: usize) -> Vec<String> {
        self.events.iter().filter(|(owner, _)| *owner == user(who)).map(|(_, event)| short(event)).collect()
    }

    /// The live calls of somebody, the newest first.
    fn calls_of(&self, who: usize) -> Vec<CallId> {
        let mut calls: Vec<&Half> =
            self.halves.values().filter(|half| half.owner == user(who) && half.is_live()).collect();
        calls.sort_by_key(|half| std::cmp::Reverse((half.call.start_time, half.call.id.clone())));
        calls.into_iter().map(|half| half.call.id.clone()).collect()
    }

    fn ringing_at(&self, who: usize) -> CallId {
        let ringing = |half: &&Half| half.owner == user(who) && half.ringing;
        self.halves.values().find(ringing).expect("rings").call.id.clone()
    }
}

fn agent_timer(agent: &UserId) -> CallId {
    CallId(format!("agent:{agent}"))
}

/// An event in a few words.
fn short(event: &Event) -> String {
    match event {
        Event::Call { kind, call } => format!("{kind:?} {:?}", call.state),
        Event::Hook(status) => format!("{status:?}"),
        Event::Conference { kind, conference } => {
            format!("Conference {kind:?} {:?} of {}", conference.state, conference.participants.len())
        }
        Event::Parked { party } => {
            format!("Parked {}", party.as_ref().and_then(|party| party.name.as_deref()).unwrap_or("nobody"))
        }
        Event::Agent(status) => format!("Agent {:?}", status.state),
        Event::Queue { kind, position, .. } => match position {
            Some(position) => format!("Queue {kind:?} at {position}"),
            None => format!("Queue {kind:?}"),
        },
        other => format!("{other:?}"),
    }
}

#[test]
fn a_call_tells_both_sides_in_order() {
    let mut world = World::new();
    let start = world.dial(0, "2101").expect("dials");
    let callee = world.ringing_at(1);
    world.act(1, &callee, &CallAction::Talk).expect("answers");
    world.act(0, &start.call_id, &CallAction::Hold).expect("holds");
    assert!(matches!(world.act(0, &start.call_id, &CallAction::Hold), Err(Refusal::WrongState(_))));
    world.act(0, &start.call_id, &CallAction::Talk).expect("retrieves");
    world.act(1, &callee, &CallAction::Release).expect("hangs up");
    assert_eq!(
        world.told(0),
        [
            "Originating Alerting",
            "OffHook",
            "Originated Alerting",
            "Answered Active",
            "Held Held",
            "Retrieved Active",
            "Released Released",
            "OnHook"
        ]
    );
    assert_eq!(
        world.told(1),
        [
            "Received Alerting",
            "OffHook",
            "Answered Active",
            "Updated RemoteHeld",
            "Updated Active",
            "Released Released",
            "OnHook"
        ]
    );
    let kinds: Vec<_> = world.logs.iter().map(|(owner, entry)| (owner.clone(), entry.kind)).collect();
    assert_eq!(kinds, [(user(1), CallLogKind::Received), (user(0), CallLogKind::Placed)]);
    let half = &world.halves[&start.call_id];
    assert_eq!(half.call.total_held_time, Some(20));
    assert_eq!(half.call.releasing_party, Some(ReleasingParty::Remote));
}

#[test]
fn failures_have_their_causes() {
    let mut world = World::new();
    let cause = |world: &World, start: &CallStart| world.halves[&start.call_id].call.release_cause;
    let unknown = world.dial(0, "+4930123456").expect("dials");
    assert_eq!(cause(&world, &unknown), Some(InternalReleaseCause::UserNotFound));
    let own = world.dial(0, "2100").expect("dials");
    assert_eq!(cause(&world, &own), Some(InternalReleaseCause::Busy));
    world.turn(1, ServiceKind::DoNotDisturb, true);
    let refused = world.dial(0, "2101").expect("dials");
    assert_eq!(cause(&world, &refused), Some(InternalReleaseCause::Busy));
    assert!(world.told(1).is_empty(), "who does not want to be disturbed is not");
    let unanswered = world.dial(0, "2102").expect("dials");
    world.ringing_at(2);
    assert!(world.time_goes_by());
    assert_eq!(cause(&world, &unanswered), Some(InternalReleaseCause::RequestTimeout));
    assert_eq!(world.logs.iter().filter(|(_, entry)| entry.kind == CallLogKind::Missed).count(), 2);
    assert!(matches!(world.dial(0, "nonsense"), Err(Refusal::BadAddress(_))));
}

#[test]
fn forwardings_are_followed_and_loops_end() {
    let mut world = World::new();
    world.forward(1, ServiceKind::CallForwardingAlways, "2102");
    let start = world.dial(0, "2101").expect("dials");
    let callee = world.ringing_at(2);
    assert_eq!(world.told(1), ["Forwarded Detached"]);
    world.act(2, &callee, &CallAction::Talk).expect("answers");
    assert_eq!(world.halves[&start.call_id].call.remote.user_id, Some(user(2)), "who answered shows");
    world.act(0, &start.call_id, &CallAction::Release).expect("hangs up");
    assert_eq!(world.told(1), ["Forwarded Detached", "Released Released"]);

    world.forward(2, ServiceKind::CallForwardingAlways, "2101");
    let start = world.dial(0, "2101").expect("dials");
    assert_eq!(
        world.halves[&start.call_id].call.release_cause,
        Some(InternalReleaseCause::TemporarilyUnavailable)
    );

    world.forward(3, ServiceKind::CallForwardingNoAnswer, "+12125550105");
    world.dial(0, "2103").expect("dials");
    world.ringing_at(3);
    assert!(world.time_goes_by());
    assert_eq!(world.told(3), ["Received Alerting", "Redirected Detached"]);
    let callee = &world.halves[&world.ringing_at(5)].call;
    assert_eq!(callee.remote.call_type, CallType::Network);
    let reasons: Vec<_> = callee.redirections.iter().map(|hop| (hop.reason.as_str(), hop.counter)).collect();
    assert_eq!(reasons, [("no-answer", 1)]);
}

#[test]
fn transfers_connect_the_others() {
    let mut world = World::new();
    let start = world.dial(0, "2101").expect("dials");
    let bo = world.ringing_at(1);
    world.act(1, &bo, &CallAction::Talk).expect("answers");
    assert!(matches!(
        world.act(1, &bo, &CallAction::BlindTransfer { address: "9999".into() }),
        Err(Refusal::BadAddress(_))
    ));
    world.act(1, &bo, &CallAction::BlindTransfer { address: "2102".into() }).expect("transfers");
    assert_eq!(world.halves[&bo].call.state, CallState::Released);
    assert_eq!(world.halves[&start.call_id].call.state, CallState::Alerting);
    let carol = world.ringing_at(2);
    world.act(2, &carol, &CallAction::Talk).expect("answers");
    assert_eq!(world.halves[&start.call_id].call.state, CallState::Active);

    // Carol consults Dan and joins him with Alice.
    let consult = world.dial(2, "2103").expect("dials");
    assert_eq!(world.halves[&carol].call.state, CallState::Held, "the first call is held by the second");
    let dan = world.ringing_at(3);
    world.act(3, &dan, &CallAction::Talk).expect("answers");
    world.act(2, &carol, &CallAction::ConsultTransfer { other: consult.call_id.clone() }).expect("joins");
    assert_eq!(world.halves[&start.call_id].call.remote.user_id, Some(user(3)));
    assert_eq!(world.halves[&dan].call.remote.user_id, Some(user(0)));
    assert!(world.calls_of(2).is_empty());
    world.act(3, &dan, &CallAction::Release).expect("hangs up");
}
