//! What every push provider's adapter must do, whatever it speaks: each test runs against both.

use super::{Fault, Gateway, Outcome, Processed, Push};
use crate::tests::bench::{Bench, Setup, add, android, set, voip};
use crate::wire::Notification;
use openadp_appserver::Clock as _;
use openadp_standins::{Handle, Script};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// An adapter and the stand-in it pushes to.
struct Subject<'a> {
    gateway: Box<dyn Gateway>,
    standin: &'a Handle,
    target: fn(u32) -> Value,
    /// Reason code of a server's own fault.
    fault: &'static str,
}

fn subjects(bench: &Bench) -> [Subject<'_>; 2] {
    let (apns, fcm) = bench.gateways();
    [
        Subject { gateway: Box::new(apns), standin: &bench.apns, target: voip, fault: "InternalServerError" },
        Subject { gateway: Box::new(fcm), standin: &bench.fcm, target: android, fault: "INTERNAL" },
    ]
}

impl Subject<'_> {
    async fn push(&self, bench: &Bench, change: impl Fn(&mut Value)) -> Outcome {
        let mut target = (self.target)(1);
        change(&mut target);
        let call = bench.call(&[target]).to_string();
        let notification = Notification::parse(call.as_bytes()).unwrap();
        let push = Push {
            notification: &notification,
            target: &notification.targets[0],
            now: bench.clock.now(),
            deadline: Instant::now() + Duration::from_secs(5),
        };
        self.gateway.push(push).await
    }
    async fn plain(&self, bench: &Bench) -> Outcome {
        self.push(bench, |_| ()).await
    }
}

fn sent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Sent { provider_id } if !provider_id.is_empty())
}

#[tokio::test]
async fn a_push_is_sent_and_named() {
    let bench = Bench::new().await;
    for subject in subjects(&bench) {
        let outcome = subject.plain(&bench).await;
        assert!(sent(&outcome), "{outcome:?}");
        let health = subject.gateway.health();
        assert!(health.configured);
        assert_eq!((health.connections, health.credentials_age_seconds), (1, Some(0)));
    }
}

#[tokio::test]
async fn an_application_without_credentials_is_not_configured_and_nothing_is_opened() {
    let bench = Bench::new().await;
    bench.change(vec![
        add("APNS/Production/Tokens", &[("appId", "keyless")]),
        add("FCM/Applications", &[("applicationId", "keyless")]),
    ]);
    for subject in subjects(&bench) {
        for application in ["keyless", "unheard.of"] {
            let outcome = subject.push(&bench, |target| target["applicationId"] = json!(application)).await;
            assert!(matches!(outcome, Outcome::NotConfigured { .. }), "{outcome:?}");
        }
        assert_eq!(subject.standin.connections(), 0);
    }
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_the_next_push_takes_another() {
    let bench = Bench::new().await;
    for subject in subjects(&bench) {
        assert!(sent(&subject.plain(&bench).await));
        subject.standin.script(Script::Cut, 1);
        let outcome = subject.plain(&bench).await;
        assert!(matches!(outcome, Outcome::Failed { processed: Processed::Unknown, .. }), "{outcome:?}");
        assert!(sent(&subject.plain(&bench).await));
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_timeout() {
    let bench = Bench::with(Setup { timeout_millis: 200, ..Setup::default() }).await;
    for subject in subjects(&bench) {
        assert!(sent(&subject.plain(&bench).await));
        subject.standin.script(Script::Silence, 1);
        let began = Instant::now();
        let outcome = subject.plain(&bench).await;
        assert!(matches!(outcome, Outcome::Failed { processed: Processed::Unknown, .. }), "{outcome:?}");
        assert!(began.elapsed() >= Duration::from_millis(200));
        assert!(sent(&subject.plain(&bench).await), "on another connection");
    }
}

#[tokio::test]
async fn what_was_refused_or_told_to_go_away_was_not_processed() {
    let bench = Bench::new().await;
    for subject in subjects(&bench) {
        assert!(sent(&subject.plain(&bench).await));
        subject.standin.script(Script::RefuseStream, 1);
        let outcome = subject.plain(&bench).await;
        assert!(matches!(outcome, Outcome::Failed { processed: Processed::No, .. }), "{outcome:?}");
        subject.standin.script(Script::Goaway, 1);
        assert!(sent(&subject.plain(&bench).await), "the stream itself finishes");
        // The GOAWAY may be on its way still: at worst one more push is told so.
        let outcome = subject.plain(&bench).await;
        let retried = matches!(outcome, Outcome::Failed { processed: Processed::No, .. });
        assert!(retried || sent(&outcome), "{outcome:?}");
        assert!(sent(&subject.plain(&bench).await));
    }
}

#[tokio::test]
async fn server_faults_may_be_retried() {
    let bench = Bench::new().await;
    for subject in subjects(&bench) {
        for (script, after) in [
            (Script::Answer { status: 500, reason: subject.fault.to_owned(), retry_after: None }, None),
            (
                Script::Answer { status: 503, reason: "unheardOf".to_owned(), retry_after: Some(7) },
                Some(Duration::from_secs(7)),
            ),
            (Script::Raw { status: 502, body: String::new(), location: None }, None),
        ] {
            subject.standin.script(script, 1);
            let outcome = subject.plain(&bench).await;
            let Outcome::Failed { after: told, processed: Processed::No, .. } = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(told, after);
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let bench = Bench::new().await;
    for subject in subjects(&bench) {
        let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let location = Some(format!("https://{}/elsewhere", elsewhere.local_addr().unwrap()));
        subject.standin.script(Script::Raw { status: 307, body: String::new(), location }, 1);
        let outcome = subject.plain(&bench).await;
        let stops = Fault::Configuration { stops: true };
        assert!(matches!(outcome, Outcome::Refused { fault, .. } if fault == stops), "{outcome:?}");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
        assert!(sent(&subject.plain(&bench).await));
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_nothing() {
    for setup in [
        Setup { distrusted: true, ..Setup::default() },
        Setup { name: "somebody.else.example", ..Setup::default() },
    ] {
        let bench = Bench::with(setup).await;
        for subject in subjects(&bench) {
            let outcome = subject.plain(&bench).await;
            assert!(matches!(outcome, Outcome::Failed { processed: Processed::No, .. }), "{outcome:?}");
            assert!(subject.standin.received().is_empty());
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_was_not_reached() {
    let bench = Bench::new().await;
    // A port that was free a moment ago; whoever has it now does not have our certificate.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.change(vec![
        set("APNS/Production", "url", &format!("https://{free}/3/device")),
        set("FCM", "pushURL", &format!("https://{free}/v1/projects/PROJECT-ID/messages:send")),
    ]);
    for subject in subjects(&bench) {
        let outcome = subject.plain(&bench).await;
        assert!(matches!(outcome, Outcome::Failed { processed: Processed::No, .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn too_large_answers_are_shortened_once() {
    let bench = Bench::new().await;
    for subject in subjects(&bench) {
        let too_large = || Script::Raw { status: 413, body: String::new(), location: None };
        let long = |target: &mut Value| target["params"]["appData"] = json!({ "extra": "x".repeat(1000) });
        subject.standin.script(too_large(), 1);
        assert!(sent(&subject.push(&bench, long).await));
        let received = subject.standin.received();
        let last = received.last().unwrap();
        let payload =
            last.apns().map_or_else(|| last.fcm().unwrap().body.to_string(), |push| push.payload.to_string());
        assert!(!payload.contains("xxx"), "the app's own parameters are left out");
        assert!(payload.contains("Bob Example"));
        subject.standin.script(too_large(), 2);
        let outcome = subject.push(&bench, long).await;
        assert!(matches!(outcome, Outcome::Refused { fault: Fault::Ours, .. }), "{outcome:?}");
    }
}
