//! The engine against random actions: whatever happens, the board stays a possible one.

use super::*;
use openadp_appserver::{CallAction, CallStart};
use proptest::prelude::*;

const PEOPLE: usize = 5;

fn user(n: usize) -> UserId {
    UserId::new(&format!("u{n}@test"))
}

fn party(n: usize) -> Party {
    Party {
        user_id: user(n),
        // The last one is of another enterprise, the one before of another group.
        provider: if n == PEOPLE - 1 { "other".into() } else { "acme".into() },
        group: if n == PEOPLE - 2 { "south".into() } else { "north".into() },
        is_enterprise: true,
        name: format!("User {n}"),
        number: Some(format!("+1212555010{n}")),
        extension: Some(format!("210{n}")),
        country_code: "1".into(),
        line_port: format!("u{n}@test"),
        off_hook: false,
        do_not_disturb: false,
        always: None,
        busy: None,
        no_answer: None,
        call_waiting: true,
        hides_itself: false,
        sees_hidden: false,
        refuses_hidden: false,
        speed_dials: BTreeMap::new(),
    }
}

/// Everything there is, and what the last operation told.
struct World {
    now: i64,
    next_link: i64,
    parties: BTreeMap<UserId, Party>,
    halves: BTreeMap<CallId, Half>,
    links: BTreeMap<i64, u32>,
    ringing: BTreeSet<CallId>,
    events: Vec<(UserId, Event)>,
    logs: Vec<(UserId, CallLogEntry)>,
}

impl World {
    fn new() -> Self {
        Self {
            now: 1_000,
            next_link: 1,
            parties: (0..PEOPLE).map(|n| (user(n), party(n))).collect(),
            halves: BTreeMap::new(),
            links: BTreeMap::new(),
            ringing: BTreeSet::new(),
            events: Vec::new(),
            logs: Vec::new(),
        }
    }

    fn board(&mut self) -> Board {
        self.now += 10;
        let limits = Limits { calls_per_user: 3, redirections: 3, ring_ms: 6_000, no_answer_ms: 60_000 };
        let mut board = Board::new(self.now, limits);
        self.parties.values().for_each(|party| board.add_party(party.clone()));
        self.halves.values().for_each(|half| board.add_half(half.clone()));
        self.links.iter().for_each(|(link, next)| board.add_link(*link, *next));
        board
    }

    fn resolve(&self, board: &Board, wish: RouteWish) -> Route {
        let mut router = Router::new(wish);
        loop {
            let (plan, dialled) = router.lookup();
            let plan = &self.parties[plan];
            let found = dialled.candidates(&plan.country_code).into_iter().find_map(|candidate| {
                let fits = |party: &&Party| match &candidate {
                    Candidate::Extension(extension) => {
                        party.provider == plan.provider && party.extension.as_ref() == Some(extension)
                    }
                    Candidate::Number(number) => party.number.as_ref() == Some(number),
                    Candidate::Identity(identity) => party.user_id.as_str() == identity,
                };
                self.parties.values().find(fits).map(|party| party.user_id.clone())
            });
            match router.found(board, found.as_ref()) {
                Ok(further) => router = further,
                Err(route) => return route,
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
                Effect::Ring { half, after_ms } => {
                    assert!(*after_ms >= 0);
                    assert!(self.ringing.insert(half.clone()), "armed once");
                }
                Effect::RingOver { half, .. } => assert!(self.ringing.remove(half), "{half:?} was armed"),
            }
        }
        for (owner, event) in &board.events {
            if let Event::Hook(status) = event {
                let party = self.parties.get_mut(owner).expect("known");
                assert_ne!(party.off_hook, *status == HookStatus::OffHook, "the hook status really changed");
                party.off_hook = *status == HookStatus::OffHook;
            }
        }
        self.events.extend(board.events);
        self.logs.extend(board.logs);
        self.check();
    }

    fn dial(&mut self, caller: usize, address: &str) -> Result<CallStart, Refusal> {
        let mut board = self.board();
        let wish = first_wish(&board, &user(caller), address)?;
        let route = self.resolve(&board, wish);
        let link = self.next_link;
        self.next_link += 1;
        let start = dial(&mut board, &user(caller), link, None, &route)?;
        self.keep(board);
        Ok(start)
    }

    fn act(&mut self, who: usize, call: &CallId, action: &CallAction) -> Result<(), Refusal> {
        let mut board = self.board();
        let route = wish(&board, &user(who), call, action)?.map(|wish| self.resolve(&board, wish));
        act(&mut board, &user(who), call, action, route.as_ref())?;
        self.keep(board);
        Ok(())
    }

    fn no_answer(&mut self, call: &CallId) {
        let mut board = self.board();
        let owner = self.halves[call].owner.clone();
        let route = wish(&board, &owner, call, &CallAction::Release)
            .expect("rings")
            .map(|wish| self.resolve(&board, wish));
        no_answer(&mut board, call, route.as_ref());
        self.keep(board);
    }

    /// No half is left in an impossible state or pair of states.
    fn check(&self) {
        for half in self.halves.values() {
            let (call, id) = (&half.call, &half.call.id);
            assert_eq!(
                half.ringing,
                self.ringing.contains(id),
                "a timer for whoever rings, and for nobody else"
            );
            assert_eq!(call.allow_answer, half.ringing && half.is_live(), "{half:?}");
            assert_eq!(call.release_time.is_some(), call.state == CallState::Released);
            assert_eq!(call.release_time.is_some(), call.releasing_party.is_some());
            if !half.is_live() {
                assert!(half.peer.is_none() && !half.ringing && !half.holding && half.logged, "{half:?}");
                if call.state == CallState::Detached {
                    let live = self.halves.values().any(|other| other.link == half.link && other.is_live());
                    assert!(live, "a detached half ends with its call: {half:?}");
                    assert!(call.redirect.is_some() && call.detached_time.is_some());
                }
                continue;
            }
            assert!(!half.logged);
            let peer = &self.halves[half.peer.as_ref().expect("a live half has a peer")];
            assert_eq!(peer.peer.as_ref(), Some(id), "peers know each other");
            assert_eq!(peer.link, half.link);
            assert_eq!(peer.call.external_tracking_id, call.external_tracking_id);
            assert_ne!(peer.owner, half.owner, "nobody talks with himself");
            assert!(!(half.ringing && peer.ringing));
            if half.ringing {
                assert_eq!(call.personality, CallPersonality::Terminator);
                assert_eq!(call.answer_time, None);
            }
            assert_eq!(half.holding, call.held_time.is_some());
            let network = call.remote.call_type == CallType::Network;
            let possible = match (call.state, peer.call.state) {
                (CallState::Alerting, CallState::Alerting) => half.ringing || peer.ringing,
                (CallState::Active, CallState::Active) | (CallState::Held, CallState::Held) => true,
                (CallState::Active, CallState::Held) | (CallState::Held, CallState::Active) => network,
                (CallState::Held, CallState::RemoteHeld) | (CallState::RemoteHeld, CallState::Held) => {
                    !network
                }
                _ => false,
            };
            assert!(possible, "{:?} with {:?}", call.state, peer.call.state);
        }
        for party in self.parties.values() {
            let up = self.halves.values().any(|half| half.owner == party.user_id && half.is_off_hook());
            assert_eq!(party.off_hook, up, "hook status of {}", party.user_id);
            let active = |half: &&Half| half.owner == party.user_id && half.call.state == CallState::Active;
            assert!(self.halves.values().filter(active).count() <= 1, "one active call of {}", party.user_id);
        }
    }

    fn told(&mut self, who: usize) -> Vec<String> {
        let events = self.events.iter().filter(|(owner, _)| *owner == user(who));
        let told = events.map(|(_, event)| match event {
            Event::Call { kind, call } => format!("{kind:?} {:?}", call.state),
            Event::Hook(status) => format!("{status:?}"),
            other => format!("{other:?}"),
        });
        told.collect()
    }

    fn calls_of(&self, who: usize) -> Vec<CallId> {
        self.halves.values().filter(|half| half.owner == user(who)).map(|half| half.call.id.clone()).collect()
    }

    fn ringing_at(&self, who: usize) -> CallId {
        let ringing = |id: &&CallId| self.halves[*id].owner == user(who);
        self.ringing.iter().find(ringing).expect("rings").clone()
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
    world.parties.get_mut(&user(1)).expect("known").do_not_disturb = true;
    let refused = world.dial(0, "2101").expect("dials");
    assert_eq!(cause(&world, &refused), Some(InternalReleaseCause::Busy));
    assert!(world.told(1).is_empty(), "who does not want to be disturbed is not");
    let unanswered = world.dial(0, "2102").expect("dials");
    let callee = world.ringing_at(2);
    world.no_answer(&callee);
    assert_eq!(cause(&world, &unanswered), Some(InternalReleaseCause::RequestTimeout));
    assert_eq!(world.logs.iter().filter(|(_, entry)| entry.kind == CallLogKind::Missed).count(), 2);
    assert!(matches!(world.dial(0, "nonsense"), Err(Refusal::BadAddress(_))));
}

#[test]
fn forwardings_are_followed_and_loops_end() {
    let mut world = World::new();
    world.parties.get_mut(&user(1)).expect("known").always = Some("2102".into());
    let start = world.dial(0, "2101").expect("dials");
    let callee = world.ringing_at(2);
    assert_eq!(world.told(1), ["Forwarded Detached"]);
    world.act(2, &callee, &CallAction::Talk).expect("answers");
    assert_eq!(world.halves[&start.call_id].call.remote.user_id, Some(user(2)), "who answered shows");
    world.act(0, &start.call_id, &CallAction::Release).expect("hangs up");
    assert_eq!(world.told(1), ["Forwarded Detached", "Released Released"]);

    world.parties.get_mut(&user(2)).expect("known").always = Some("2101".into());
    let start = world.dial(0, "2101").expect("dials");
    assert_eq!(
        world.halves[&start.call_id].call.release_cause,
        Some(InternalReleaseCause::TemporarilyUnavailable)
    );

    let third = world.parties.get_mut(&user(3)).expect("known");
    third.no_answer = Some(("+12125550104".into(), 3));
    world.dial(0, "2103").expect("dials");
    let rings = world.ringing_at(3);
    world.no_answer(&rings);
    assert_eq!(world.told(3), ["Received Alerting", "Redirected Detached"]);
    let callee = world.ringing_at(4);
    assert_eq!(world.halves[&callee].call.remote.call_type, CallType::Network);
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
    assert!(world.calls_of(2).iter().all(|id| world.halves[id].call.state == CallState::Released));
    world.act(3, &dan, &CallAction::Release).expect("hangs up");
}

#[derive(Debug, Clone)]
enum Step {
    Dial(usize, usize),
    Act(usize, usize, usize, usize),
    NoAnswer(usize),
    Service(usize, usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..PEOPLE, 0..PEOPLE + 2).prop_map(|(a, b)| Step::Dial(a, b)),
        8 => (0..PEOPLE, 0_usize..8, 0_usize..8, 0..PEOPLE + 2).prop_map(|(a, b, c, d)| Step::Act(a, b, c, d)),
        1 => (0_usize..4).prop_map(Step::NoAnswer),
        1 => (0..PEOPLE, 0_usize..8, 0..PEOPLE).prop_map(|(a, b, c)| Step::Service(a, b, c)),
    ]
}

fn address(n: usize) -> String {
    match n {
        n if n < PEOPLE => format!("+1212555010{n}"),
        PEOPLE => "sip:nobody@nowhere".into(),
        _ => "2103".into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_actions_leaves_an_impossible_board(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Dial(who, to) => drop(world.dial(who, &address(to))),
                Step::Act(who, which, action, other) => {
                    // Calls are picked from the newest, which are those that live.
                    let calls = world.calls_of(who);
                    let pick = |n: usize| calls.iter().rev().nth(n % calls.len().max(1)).cloned();
                    let Some(call) = pick(which) else { continue };
                    let action = match action {
                        0 | 1 => CallAction::Talk,
                        2 => CallAction::Hold,
                        3 => CallAction::Reconnect,
                        4 => CallAction::Release,
                        5 => CallAction::Decline,
                        6 => CallAction::BlindTransfer { address: address(other) },
                        _ => CallAction::ConsultTransfer { other: pick(other).expect("some") },
                    };
                    drop(world.act(who, &call, &action));
                }
                Step::NoAnswer(which) => {
                    let ringing = world.ringing.iter().nth(which).cloned();
                    if let Some(call) = ringing {
                        world.no_answer(&call);
                    }
                }
                Step::Service(who, service, to) => {
                    let party = world.parties.get_mut(&user(who)).expect("known");
                    match service {
                        0 => party.do_not_disturb = !party.do_not_disturb,
                        1 => party.always = party.always.is_none().then(|| address(to)),
                        2 => party.busy = party.busy.is_none().then(|| address(to)),
                        3 => party.no_answer = party.no_answer.is_none().then(|| (address(to), 3)),
                        4 => party.call_waiting = !party.call_waiting,
                        5 => party.hides_itself = !party.hides_itself,
                        6 => party.refuses_hidden = !party.refuses_hidden,
                        _ => party.no_answer = party.no_answer.is_none().then(|| (address(to), 0)),
                    }
                }
            }
        }
    }
}
