//! The conversation's state, with time handed in.

use super::*;
use openadp_appserver::{Account, AccountKind, UserId};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        max_message: 65_536,
        max_pending: 4,
        max_sessions: 2,
        max_failures: 3,
        unauthenticated: 30 * SECOND,
        keepalive: None,
    }
}

fn machine(now: Instant) -> Machine {
    Machine::new(limits(), false, now)
}

fn request(id: &str, session: &str, credentials: &str) -> String {
    format!(
        "<request><requestId>{id}</requestId><sessionId>{session}</sessionId>{credentials}\
         <HoldRequest><uri>u</uri><method>PUT</method><version/><params/><payload/></HoldRequest></request>"
    )
}

const BASIC: &str = "<credentials>YTpi</credentials>";

fn job(actions: Vec<Action>) -> Job {
    match <[Action; 1]>::try_from(actions) {
        Ok([Action::Run(job)]) => *job,
        other => panic!("{other:?}"),
    }
}

fn done(job: &Job, proof: Proof) -> Done {
    Done {
        request_id: job.request_id.clone(),
        session_id: job.session_id.clone(),
        proof,
        status: 200,
        reason: "OK",
        document: None,
        after: AfterReply::default(),
    }
}

fn given(job: &Job) -> Proof {
    match &job.credentials {
        Credentials::Given(presented) | Credentials::Remembered(presented) => {
            Proof::Accepted(Some(presented.clone()))
        }
        Credentials::None => Proof::Accepted(None),
    }
}

fn text(action: &Action) -> String {
    match action {
        Action::Write(bytes, _) => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_of_one_session_run_in_order_and_of_others_beside() {
    let mut machine = machine(Instant::now());
    let first = job(machine.document(request("1", "a", BASIC).as_bytes(), None));
    assert!(machine.document(request("2", "a", BASIC).as_bytes(), None).is_empty(), "waits for the first");
    let other = job(machine.document(request("3", "b", BASIC).as_bytes(), None));
    assert!(machine.takes_input());
    assert!(machine.document(request("4", "a", BASIC).as_bytes(), None).is_empty());
    assert!(!machine.takes_input(), "four are pending");

    let actions = machine.done(done(&other, given(&other)));
    assert!(text(&actions[0]).contains("<requestId>3</requestId>"), "other sessions do not wait");
    let actions = machine.done(done(&first, given(&first)));
    assert!(text(&actions[0]).contains("<requestId>1</requestId><sessionId>a</sessionId>"));
    let Action::Run(second) = &actions[1] else { panic!("{actions:?}") };
    assert_eq!(second.request_id, "2");
    let actions = machine.done(done(second, given(second)));
    let Action::Run(fourth) = &actions[1] else { panic!("{actions:?}") };
    assert_eq!((fourth.request_id.as_str(), machine.is_idle()), ("4", false));
    assert_eq!(machine.done(done(fourth, given(fourth))).len(), 1);
    assert!(machine.is_idle() && machine.takes_input());
}

#[test]
fn proven_credentials_are_remembered_for_their_session_only() {
    let mut machine = machine(Instant::now());
    let run = |machine: &mut Machine, session: &str, credentials: &str| {
        job(machine.document(request("1", session, credentials).as_bytes(), None))
    };
    let first = run(&mut machine, "a", BASIC);
    machine.done(done(&first, given(&first)));
    let second = run(&mut machine, "a", "");
    assert!(
        matches!(second.credentials, Credentials::Remembered(_)),
        "they are checked again with every use"
    );
    machine.done(done(&second, given(&second)));
    let stranger = run(&mut machine, "b", "");
    assert!(matches!(stranger.credentials, Credentials::None));
    machine.done(done(&stranger, Proof::Refused));
    // Refused now: forgotten.
    let again = run(&mut machine, "a", "");
    machine.done(done(&again, Proof::Refused));
    assert!(matches!(run(&mut machine, "a", "").credentials, Credentials::None));
}

#[test]
fn only_so_many_sessions_are_remembered() {
    let mut machine = machine(Instant::now());
    for session in ["a", "b", "c"] {
        let job = job(machine.document(request("1", session, BASIC).as_bytes(), None));
        machine.done(done(&job, given(&job)));
    }
    let known = |machine: &mut Machine, session: &str| {
        let job = job(machine.document(request("1", session, "").as_bytes(), None));
        let known = matches!(job.credentials, Credentials::Remembered(_));
        machine.done(done(&job, Proof::Unknown));
        known
    };
    assert_eq!(
        [known(&mut machine, "a"), known(&mut machine, "b"), known(&mut machine, "c")],
        [false, true, true]
    );
}

#[test]
fn refused_credentials_in_a_row_close_the_connection() {
    let mut machine = machine(Instant::now());
    let mut refuse = |proof: Proof| {
        let job = job(machine.document(request("1", "a", BASIC).as_bytes(), None));
        let actions = machine.done(done(&job, proof));
        matches!(actions.last(), Some(Action::Close(CloseReason::AuthenticationFailures)))
    };
    assert!(!refuse(Proof::Refused));
    assert!(!refuse(Proof::Refused));
    assert!(!refuse(Proof::Accepted(None)), "counting begins again");
    assert!(!refuse(Proof::Refused));
    assert!(!refuse(Proof::Unknown), "an outage is nobody's failure");
    assert!(!refuse(Proof::Refused));
    assert!(refuse(Proof::Refused));
}

#[test]
fn nobody_may_stay_unproven() {
    let now = Instant::now();
    let mut unproven = machine(now);
    assert_eq!(unproven.deadline(), Some(now + 30 * SECOND));
    assert!(unproven.tick(now + 29 * SECOND).is_empty());
    unproven.heard(now + 29 * SECOND);
    assert!(matches!(unproven.tick(now + 30 * SECOND)[..], [Action::Close(CloseReason::Unauthenticated)]));
    assert_eq!(Machine::new(limits(), true, now).deadline(), None, "a certificate is proof");
    let mut proven = machine(now);
    let job = job(proven.document(request("1", "a", BASIC).as_bytes(), None));
    proven.done(done(&job, given(&job)));
    assert_eq!(proven.deadline(), None, "and may be silent for ever");
}

#[test]
fn who_promised_to_speak_must() {
    let now = Instant::now();
    let mut machine = Machine::new(limits(), true, now);
    let actions =
        machine.document(b"<keepalive><requestId>k-9</requestId><period>60</period></keepalive>", None);
    assert!(text(&actions[0]).contains("<xsp:keepaliveResponse"), "{actions:?}");
    assert!(text(&actions[0]).contains("<requestId>k-9</requestId>"));
    assert_eq!(machine.deadline(), Some(now + 180 * SECOND));
    machine.heard(now + 100 * SECOND);
    assert!(machine.tick(now + 180 * SECOND).is_empty());
    assert!(matches!(machine.tick(now + 280 * SECOND)[..], [Action::Close(CloseReason::Silent)]));
    machine.document(b"<keepalive><requestId>k</requestId><period>1</period></keepalive>", None);
    assert_eq!(machine.deadline(), Some(now + 130 * SECOND), "thirty seconds at least");
    machine.document(b"<keepalive><period>99999999999999999999</period></keepalive>", None);
    machine.document(b"<keepalive><period>18446744073709551615</period></keepalive>", None);
    assert!(machine.deadline().is_some(), "no overflow");
    machine.document(b"<keepalive><requestId>k</requestId><period>0</period></keepalive>", None);
    assert_eq!(machine.deadline(), None, "the promise is taken back");
}

#[test]
fn our_own_keepalives_where_configured() {
    let now = Instant::now();
    let mut machine = Machine::new(Limits { keepalive: Some(60 * SECOND), ..limits() }, true, now);
    assert_eq!(machine.deadline(), Some(now + 60 * SECOND));
    let actions = machine.tick(now + 60 * SECOND);
    assert!(
        text(&actions[0]).contains("<xsp:keepalive ") && text(&actions[0]).contains("<period>60</period>")
    );
    assert_eq!(machine.deadline(), Some(now + 120 * SECOND));
    assert!(
        machine
            .document(b"<keepaliveResponse><requestId>k-1</requestId></keepaliveResponse>", None)
            .is_empty()
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test says who asks")]
fn answers_to_events_go_to_the_owner() {
    let owner = Arc::new(Principal::client_application("cti.lab.invalid".into()));
    let other = Arc::new(Principal::of(Account {
        user_id: UserId::new("a@x.test"),
        kind: AccountKind::Subscriber { provider: "p".into(), group: "g".into() },
        password_expires_days: None,
    }));
    let mut machine = Machine::new(limits(), true, Instant::now());
    let event = machine.event(b"<xsi:Event/>", Some(&owner));
    assert!(
        String::from_utf8_lossy(&event)
            .contains("<requestId>e-1</requestId><xsp:payload><xsi:Event/></xsp:payload>")
    );
    let answer = |id: &str| {
        format!(
            "<eventResponse><requestId>{id}</requestId><payload><EventResponse/></payload></eventResponse>"
        )
    };
    let taken = machine.document(answer("e-1").as_bytes(), Some(&other));
    assert!(matches!(&taken[..], [Action::Acknowledge(to, _)] if **to == *owner), "{taken:?}");
    assert!(machine.document(answer("e-1").as_bytes(), None).is_empty(), "once");
    let guessed = machine.document(answer("lost").as_bytes(), Some(&other));
    assert!(
        matches!(&guessed[..], [Action::Acknowledge(to, _)] if **to == *other),
        "the only owner there is"
    );
    assert!(!machine.is_idle());
    machine.acknowledged();
    machine.acknowledged();
    assert!(machine.is_idle());
    assert!(
        machine
            .document(b"<eventResponse><requestId>e-1</requestId></eventResponse>", Some(&other))
            .is_empty()
    );
}

#[test]
fn what_cannot_be_read_is_told_and_closes() {
    for document in ["<request>", "<request>&unknown;</request>", "<a></b>", "<a b='1' b='2'/>"] {
        let actions = machine(Instant::now()).document(document.as_bytes(), None);
        assert!(
            text(&actions[0]).contains("xsi1:type=\"xsi:ErrorEvent\"><xsi:errorCode>400</xsi:errorCode>")
        );
        assert!(matches!(actions[1], Action::Close(CloseReason::Malformed)));
    }
    assert!(machine(Instant::now()).document(b"<somethingElse/>", None).is_empty(), "ignored and counted");
}

proptest! {
    /// Whatever order requests come in and finish in: each is answered once, those of a session in order, and never are
    /// two of one session under way.
    #[test]
    fn every_request_is_answered_once_in_the_order_of_its_session(
        steps in prop::collection::vec((any::<bool>(), 0..3_usize, any::<prop::sample::Index>()), 0..60),
    ) {
        let mut machine = Machine::new(limits(), true, Instant::now());
        let mut running: Vec<Job> = Vec::new();
        let (mut sent, mut answered) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
        let mut count = 0_u32;
        let finish = |machine: &mut Machine, running: &mut Vec<Job>, answered: &mut Vec<Vec<String>>, at: usize| {
            let job = running.swap_remove(at);
            let session: usize = job.session_id.parse().expect("a number");
            for action in machine.done(done(&job, Proof::Unknown)) {
                match action {
                    Action::Write(..) => answered[session].push(job.request_id.clone()),
                    Action::Run(next) => running.push(*next),
                    other => panic!("{other:?}"),
                }
            }
        };
        for (send, session, pick) in steps {
            if send && machine.takes_input() {
                count += 1;
                sent[session].push(count.to_string());
                let document = request(&count.to_string(), &session.to_string(), "");
                for action in machine.document(document.as_bytes(), None) {
                    match action {
                        Action::Run(job) => running.push(*job),
                        other => panic!("{other:?}"),
                    }
                }
            } else if !running.is_empty() {
                let at = pick.index(running.len());
                finish(&mut machine, &mut running, &mut answered, at);
            }
            let mut sessions: Vec<&str> = running.iter().map(|job| job.session_id.as_str()).collect();
            sessions.sort_unstable();
            let all = sessions.len();
            sessions.dedup();
            prop_assert_eq!(sessions.len(), all);
        }
        while !running.is_empty() {
            finish(&mut machine, &mut running, &mut answered, 0);
        }
        prop_assert!(machine.is_idle());
        prop_assert_eq!(answered, sent);
    }
}
