//! What the embedded application server promises beyond the ports: crashes, limits, pushes, secrets at rest.

#![expect(clippy::expect_used, reason = "helpers of tests, outside of a test function")]

mod support;

use openadp_appserver::conformance::{
    ALICE, BO, CAROL, DAN, DEVICE, Fixture as _, OTHER_DEVICE, SUBSCRIBERS,
};
use openadp_appserver::{
    ACTIVE, Call, CallAction, CallId, CallLogKind, CallPersonality, CallState, CallType, DialOptions,
    FORWARD_TO, FeedEvent, HookStatus, NUMBER_OF_RINGS, PortError, Ports, ServiceKind, UserId,
};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{ManualClock, Node, Process, dial, registration, ringing_at, seed, set, settings};

/// Everything that must hold of calls, hook status and event numbers, whatever happened.
async fn check(ports: &Ports) {
    let mut live: BTreeMap<String, Vec<(UserId, Call)>> = BTreeMap::new();
    for person in SUBSCRIBERS {
        let overview = ports.calls.overview(&person.id()).await.expect("known");
        let is_up = |call: &Call| {
            let rings = call.state == CallState::Alerting
                && call.personality == CallPersonality::Terminator
                && call.answer_time.is_none();
            !rings && call.state != CallState::Detached
        };
        let up = overview.calls.iter().any(is_up);
        assert_eq!(overview.hook_status == HookStatus::OffHook, up, "{} {overview:?}", person.user_id);
        for call in overview.calls {
            assert_ne!(call.state, CallState::Released);
            live.entry(call.external_tracking_id.clone()).or_default().push((person.id(), call));
        }
    }
    for (tracking, halves) in live {
        let mut states: Vec<CallState> =
            halves.iter().map(|(_, call)| call.state).filter(|state| *state != CallState::Detached).collect();
        states.sort_by_key(|state| format!("{state:?}"));
        let stranger = halves.iter().any(|(_, call)| call.remote.call_type == CallType::Network);
        let possible = match states.as_slice() {
            [CallState::Alerting, CallState::Alerting]
            | [CallState::Active, CallState::Active]
            | [CallState::Held, CallState::Held | CallState::RemoteHeld] => true,
            [CallState::Active, CallState::Held] => stranger,
            _ => false,
        };
        assert!(possible, "call {tracking}: {halves:?}");
    }
    let mut numbers: BTreeMap<UserId, u64> = BTreeMap::new();
    let mut position = 0;
    loop {
        let page: Vec<Arc<FeedEvent>> = ports.feed.read(position, 500).await.expect("kept");
        let Some(last) = page.last() else { break };
        position = last.position;
        for event in page {
            let number = numbers.entry(event.subscriber.clone()).or_default();
            assert_eq!(event.sequence, *number + 1, "numbers of {} have no gap", event.subscriber);
            *number = event.sequence;
        }
    }
}

/// A small generator, so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("fits") % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_actions_through_two_processes_leave_no_impossible_call() {
    for seed in 1..=4 {
        let node = Node::new().await;
        set(&node.settings, "AS_CLI/System/CallEngine", &[("maximumCallsPerUser", "3")]);
        let processes = [node.ports(), node.second()];
        let mut dice = Dice(seed);
        for _ in 0..120 {
            let ports = &processes[dice.roll(2)];
            let person = SUBSCRIBERS[dice.roll(5)];
            let other = SUBSCRIBERS[dice.roll(5)];
            let calls = ports.calls.overview(&person.id()).await.expect("known").calls;
            let pick = |n: usize| calls.get(n % calls.len().max(1)).map(|call| call.id.clone());
            let result = match dice.roll(14) {
                0..=2 => {
                    ports.calls.dial(&person.id(), other.number, &DialOptions::default()).await.map(drop)
                }
                3 => {
                    let active = (ACTIVE, Some(if dice.roll(2) == 0 { "true" } else { "false" }));
                    let to = (FORWARD_TO, Some(other.number));
                    let (kind, wishes) = match dice.roll(6) {
                        0 => (ServiceKind::DoNotDisturb, vec![active]),
                        1 => (ServiceKind::CallForwardingBusy, vec![active, to]),
                        2 => (ServiceKind::CallForwardingAlways, vec![active, to]),
                        3 => (ServiceKind::CallWaiting, vec![active]),
                        4 => (ServiceKind::CallingLineIdDeliveryBlocking, vec![active]),
                        _ => (
                            ServiceKind::CallForwardingNoAnswer,
                            vec![active, to, (NUMBER_OF_RINGS, Some("2"))],
                        ),
                    };
                    let patch = kind.patch(&wishes).expect("good values");
                    ports.services.change_service(&person.id(), kind, patch).await
                }
                4 => {
                    node.advance(Duration::from_secs(8)).await;
                    Ok(())
                }
                action => {
                    let (Some(call), Some(second)) = (pick(dice.roll(8)), pick(dice.roll(8))) else {
                        continue;
                    };
                    let action = match action {
                        5..=7 => CallAction::Talk,
                        8 => CallAction::Hold,
                        9 => CallAction::Release,
                        10 => CallAction::Decline,
                        11 => CallAction::Reconnect,
                        12 => CallAction::BlindTransfer { address: other.number.to_owned() },
                        _ => CallAction::ConsultTransfer { other: second },
                    };
                    ports.calls.act(&person.id(), &call, &action).await.map(drop)
                }
            };
            if let Err(error @ (PortError::Internal(_) | PortError::Unavailable(_))) = result {
                panic!("a fault with seed {seed}: {error:?}");
            }
        }
        check(&processes[0]).await;
        node.stop().await;
    }
}

#[tokio::test]
async fn a_process_that_ends_without_a_word_loses_nothing() {
    let (dir, clock, settings) = (tempfile::tempdir().expect("dir"), ManualClock::new(), settings());
    let process = Process::start(dir.path(), &settings, &clock, None).await;
    seed(&process.server).await;
    let ports = process.server.ports();
    let mine = dial(&ports, &ALICE, BO.number).await;
    let theirs = ringing_at(&ports, &BO).await;
    ports.calls.act(&BO.id(), &theirs, &CallAction::Talk).await.expect("answers");
    let rings = dial(&ports, &CAROL, DAN.number).await;
    let position = ports.feed.position().await.expect("read");
    drop(ports);
    drop(process);

    let process = Process::start(dir.path(), &settings, &clock, None).await;
    seed(&process.server).await;
    let ports = process.server.ports();
    assert_eq!(ports.feed.position().await.expect("read"), position, "a repeated seed changes nothing");
    assert_eq!(ports.calls.call(&ALICE.id(), &mine).await.expect("kept").state, CallState::Active);
    ports.calls.act(&BO.id(), &theirs, &CallAction::Hold).await.expect("goes on");
    // Its no-answer timer goes on too.
    clock.advance(Duration::from_secs(61));
    process.server.run_due().await.expect("runs");
    assert_eq!(ports.calls.call(&CAROL.id(), &rings).await.expect("kept").state, CallState::Released);
    check(&ports).await;
    process.stop().await;
}

/// Marks the folder in which the child of the next test may work.
const CHILD_MARK: &str = "child-may-work-here";

/// Not a test: the child process that the next test kills. Works in the current folder, if that is marked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of another test"]
async fn child_that_is_killed() {
    let dir = std::env::current_dir().expect("folder");
    if !dir.join(CHILD_MARK).exists() {
        return;
    }
    let process = Process::start(&dir, &settings(), &ManualClock::new(), None).await;
    let ports = process.server.ports();
    loop {
        let mine = dial(&ports, &ALICE, BO.number).await;
        let theirs = ringing_at(&ports, &BO).await;
        ports.calls.act(&BO.id(), &theirs, &CallAction::Talk).await.expect("answers");
        println!("answered {}", mine.0);
        ports.calls.act(&ALICE.id(), &mine, &CallAction::Release).await.expect("hangs up");
    }
}

#[tokio::test]
async fn a_killed_process_leaves_whole_calls() {
    let (dir, clock, settings) = (tempfile::tempdir().expect("dir"), ManualClock::new(), settings());
    let process = Process::start(dir.path(), &settings, &clock, None).await;
    seed(&process.server).await;
    std::fs::write(dir.path().join(CHILD_MARK), "").expect("marked");
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().expect("self"))
            .args(["--exact", "child_that_is_killed", "--ignored", "--nocapture"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut answered: Vec<String> = lines
            .map_while(Result::ok)
            .filter_map(|line| line.rsplit_once("answered ").map(|(_, call)| call.to_owned()))
            .take(3 + round)
            .collect();
        child.kill().expect("killed");
        child.wait().expect("gone");
        let ports = process.server.ports();
        check(&ports).await;
        let last = CallId(answered.pop().expect("some"));
        ports.calls.call(&ALICE.id(), &last).await.expect("what was told to somebody is stored");
        for call in ports.calls.overview(&ALICE.id()).await.expect("known").calls {
            ports
                .calls
                .act(&ALICE.id(), &call.id, &CallAction::Release)
                .await
                .expect("another process goes on");
        }
        check(&ports).await;
    }
    process.stop().await;
}

#[tokio::test]
async fn a_verified_password_costs_next_to_nothing_the_second_time() {
    let node = Node::new().await;
    let credentials = node.ports().credentials;
    let begin = Instant::now();
    credentials.verify_password(&ALICE.id(), ALICE.password).await.expect("verified");
    let first = begin.elapsed();
    let mut times = Vec::new();
    for _ in 0..300 {
        let begin = Instant::now();
        credentials.verify_password(&ALICE.id(), ALICE.password).await.expect("verified");
        times.push(begin.elapsed());
    }
    times.sort();
    println!("first {first:?}, cached p50 {:?}, p99 {:?}", times[150], times[297]);
    assert!(times[150] * 5 < first, "the second time is much cheaper: {:?} and {first:?}", times[150]);
    node.stop().await;
}

#[tokio::test]
async fn an_account_is_locked_after_failures_if_the_operator_says_so() {
    let node = Node::new().await;
    set(
        &node.settings,
        "AS_CLI/System/PasswordRules",
        &[("maxFailedLoginAttempts", "3"), ("lockoutInSeconds", "60")],
    );
    let (one, two) = (node.ports().credentials, node.second().credentials);
    one.verify_password(&ALICE.id(), ALICE.password).await.expect("verified");
    for credentials in [&one, &two, &one] {
        credentials.verify_password(&ALICE.id(), "wrong").await.expect_err("refused");
    }
    for credentials in [&one, &two] {
        let locked = credentials.verify_password(&ALICE.id(), ALICE.password).await;
        assert!(matches!(locked, Err(PortError::CredentialsRefused)), "locked, cached or not: {locked:?}");
    }
    one.verify_password(&BO.id(), BO.password).await.expect("others are not");
    node.clock.advance(Duration::from_secs(61));
    two.verify_password(&ALICE.id(), ALICE.password).await.expect("open again");
    node.stop().await;
}

#[tokio::test]
async fn secrets_are_not_readable_in_the_files_and_the_files_are_private() {
    let node = Node::new().await;
    let folder = node.dir.path().join("appserver");
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("folder") {
        let path = entry.expect("entry").path();
        let mode = std::fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        bytes.extend(std::fs::read(&path).expect("read"));
    }
    assert_eq!(std::fs::metadata(&folder).expect("folder").permissions().mode() & 0o777, 0o700);
    assert!(contains(&bytes, ALICE.user_id), "the check looks at the right bytes");
    let secrets = [ALICE.password, DEVICE.password, DEVICE.sip_password, OTHER_DEVICE.password];
    for secret in secrets {
        assert!(!contains(&bytes, secret), "{secret} is in the file");
    }
    let shown = format!("{:?}", node.ports().devices.devices(&ALICE.id()).await.expect("known"));
    assert!(!shown.contains(DEVICE.password));
    node.stop().await;
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_deleted_subscriber_leaves_no_call_behind() {
    let node = Node::new().await;
    let ports = node.ports();
    let mine = dial(&ports, &ALICE, BO.number).await;
    let theirs = ringing_at(&ports, &BO).await;
    ports.calls.act(&BO.id(), &theirs, &CallAction::Talk).await.expect("answers");
    node.one.server.provisioning().delete_subscriber(&BO.id()).await.expect("deleted");
    assert_eq!(ports.calls.call(&ALICE.id(), &mine).await.expect("kept").state, CallState::Released);
    let gone = ports.calls.overview(&BO.id()).await;
    assert!(matches!(gone, Err(PortError::NotFound { .. })));
    ports.credentials.verify_password(&BO.id(), BO.password).await.expect_err("refused");
    seed(&node.one.server).await;
    check(&ports).await;
    node.stop().await;
}

#[tokio::test]
async fn a_request_that_is_given_up_anywhere_does_harm_to_nobody() {
    let node = Node::new().await;
    let ports = node.ports();
    let (alice, options) = (ALICE.id(), DialOptions::default());
    let mut completed = 0;
    for patience in 0..150 {
        let give_up = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            result = ports.calls.dial(&alice, BO.number, &options) => {
                result.expect("dials");
                completed += 1;
            }
            () = give_up => {}
        }
        for call in ports.calls.overview(&alice).await.expect("known").calls {
            // The half was seen, so it is stored; a dial that was given up may still be under way.
            ports.calls.act(&alice, &call.id, &CallAction::Release).await.expect("hangs up");
        }
    }
    println!("{completed} of 150 were completed");
    let last = dial(&ports, &ALICE, BO.number).await;
    ports.calls.act(&alice, &last, &CallAction::Release).await.expect("hangs up");
    check(&ports).await;
    node.stop().await;
}

#[tokio::test]
async fn settings_count_at_once() {
    let node = Node::new().await;
    let ports = node.ports();
    dial(&ports, &ALICE, BO.number).await;
    set(&node.settings, "AS_CLI/System/CallEngine", &[("maximumCallsPerUser", "1")]);
    let refused = ports.calls.dial(&ALICE.id(), CAROL.number, &DialOptions::default()).await;
    assert!(matches!(refused, Err(PortError::LimitReached { .. })), "{refused:?}");
    set(&node.settings, "AS_CLI/System/DeviceAccess", &[("allowCredentialReadOut", "false")]);
    let devices = node.second().devices.devices(&ALICE.id()).await.expect("known");
    assert_eq!(devices[0].credentials, None);
    set(&node.settings, "AS_CLI/System/PushNotification", &[("enforceAllowedApplicationList", "true")]);
    let refused = ports.push.put_registration(&ALICE.id(), &registration("one", "VoIP")).await;
    assert!(matches!(refused, Err(PortError::Invalid { field: "applicationId", .. })), "{refused:?}");
    node.stop().await;
}

#[tokio::test]
async fn only_the_newest_log_entries_are_kept() {
    let node = Node::new().await;
    set(&node.settings, "AS_CLI/System/CallEngine", &[("maximumCallLogEntries", "10")]);
    let ports = node.ports();
    for _ in 0..12 {
        let call = dial(&ports, &ALICE, BO.number).await;
        ports.calls.act(&ALICE.id(), &call, &CallAction::Release).await.expect("hangs up");
        node.clock.advance(Duration::from_secs(1));
    }
    let page = ports.calls.call_log(&ALICE.id(), CallLogKind::Placed, 1, 50).await.expect("known");
    assert_eq!((page.total, page.entries.len()), (10, 10));
    node.stop().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_made_is_told_so() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("appserver"), "in the way").expect("written");
    let tasks = tokio_util::task::TaskTracker::new();
    let options = |data_dir: &Path| openadp_appserver_embedded::Options {
        data_dir: data_dir.to_owned(),
        wake: openadp_wake::Wake::in_process(),
        clock: ManualClock::new(),
        settings: settings(),
        tasks: tasks.clone(),
        shutdown: tokio_util::sync::CancellationToken::new(),
        push_sender: None,
    };
    assert!(openadp_appserver_embedded::EmbeddedApplicationServer::open(options(dir.path())).await.is_err());
    let other = tempfile::tempdir().expect("dir");
    std::fs::create_dir(other.path().join("appserver")).expect("made");
    std::fs::write(
        other.path().join("appserver/appserver.db"),
        "this is no database, and long enough to be read as one",
    )
    .expect("written");
    assert!(
        openadp_appserver_embedded::EmbeddedApplicationServer::open(options(other.path())).await.is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_token_is_taken_once_whichever_process_tries() {
    let node = Node::new().await;
    let (one, two) = (node.ports(), node.second());
    for _ in 0..5 {
        let token = one.logins.create_login_token(&ALICE.id()).await.expect("made");
        let tries: Vec<_> = (0..20)
            .map(|turn| {
                let (logins, token) = (if turn % 2 == 0 { &one } else { &two }.logins.clone(), token.clone());
                tokio::task::JoinSet::from_iter([async move { logins.take_login_token(&token).await }])
            })
            .collect();
        let mut taken = 0;
        for mut one in tries {
            match one.join_next().await.expect("ran").expect("ran") {
                Ok(account) => {
                    assert_eq!(account.user_id, ALICE.id());
                    taken += 1;
                }
                Err(error) => assert!(matches!(error, PortError::CredentialsRefused), "{error:?}"),
            }
        }
        assert_eq!(taken, 1);
    }
    let over = one.logins.create_login_token(&ALICE.id()).await.expect("made");
    node.advance(Duration::from_mins(1)).await;
    assert!(two.logins.take_login_token(&over).await.is_err(), "after a minute");
    let revoked = one.logins.create_login_token(&BO.id()).await.expect("made");
    node.advance(Duration::from_secs(1)).await;
    two.credentials.revoke_tokens(Some(&BO.id())).await.expect("revoked");
    assert!(one.logins.take_login_token(&revoked).await.is_err(), "revoked");
    for nonsense in ["", "x", &"x".repeat(10_000)] {
        assert!(one.logins.take_login_token(nonsense).await.is_err());
    }
    let nobody = one.logins.create_login_token(&UserId::new("nobody@acme.example")).await;
    assert!(matches!(nobody, Err(PortError::NotFound { .. })));
    node.stop().await;
}

#[tokio::test]
async fn people_sign_in_by_other_ids_and_phones_by_theirs() {
    let node = Node::new().await;
    let ports = node.ports();
    let sip = |login: &'static str, user: &'static str, password: &'static str| {
        let logins = ports.logins.clone();
        async move { logins.verify_sip(login, user, password).await.map(|account| account.user_id) }
    };
    assert_eq!(sip(ALICE.user_id, DEVICE.user_name, DEVICE.sip_password).await.expect("right"), ALICE.id());
    for (login, user, password) in [
        (ALICE.user_id, DEVICE.user_name, DEVICE.password),
        (ALICE.user_id, OTHER_DEVICE.user_name, OTHER_DEVICE.sip_password),
        (BO.user_id, DEVICE.user_name, DEVICE.sip_password),
        (ALICE.user_id, DEVICE.user_name, ""),
        ("nobody@acme.example", DEVICE.user_name, DEVICE.sip_password),
    ] {
        assert!(
            matches!(sip(login, user, password).await, Err(PortError::CredentialsRefused)),
            "{login} {user}"
        );
    }

    let find = |login: &'static str| {
        let logins = ports.logins.clone();
        async move { logins.find(login).await.ok().map(|account| account.user_id) }
    };
    assert_eq!(find("ALICE@acme.example").await, Some(ALICE.id()));
    assert_eq!(find("alice").await, None, "no default domain");
    set(&node.settings, "AS_CLI/System/SignIn", &[("defaultDomain", "acme.example")]);
    assert_eq!(find("alice").await, Some(ALICE.id()));
    let provisioning = node.one.server.provisioning();
    provisioning.put_alternate_id(&ALICE.id(), "+12125550101").await.expect("put");
    provisioning.put_alternate_id(&ALICE.id(), "A.Carter@mail.example").await.expect("put");
    assert_eq!(find("+12125550101").await, Some(ALICE.id()));
    assert_eq!(find("a.carter@MAIL.example").await, Some(ALICE.id()));
    let login = UserId::new("a.carter@mail.example");
    let account = ports.credentials.verify_password(&login, ALICE.password).await.expect("right");
    assert_eq!(account.user_id, ALICE.id(), "the account's own id, whatever was typed");
    assert!(ports.credentials.account(&login).await.is_err(), "what a token names is no login id");
    let taken = provisioning.put_alternate_id(&BO.id(), "a.carter@mail.example").await;
    assert!(matches!(taken, Err(PortError::Conflict { .. })));
    let another = provisioning.put_alternate_id(&BO.id(), ALICE.user_id).await;
    assert!(matches!(another, Err(PortError::Conflict { .. })), "nobody takes the place of somebody else");
    node.stop().await;
}
