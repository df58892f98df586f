//! The push outbox against a push server that the test plays.

#![expect(clippy::expect_used, reason = "helpers of tests, outside of a test function")]

mod support;

use async_trait::async_trait;
use openadp_appserver::conformance::{ALICE, BO, CAROL, EVE, Fixture as _};
use openadp_appserver::{ACTIVE, CallAction, DialLocation, DialOptions, RecordChange, ServiceKind};
use openadp_appserver_embedded::{PushSendError, PushSender};
use openadp_settings::Secret;
use std::sync::Arc;
use std::time::Duration;
use support::{Node, dial, registration, ringing_at, set};
use tokio::sync::mpsc;

/// When a test gives up waiting.
const TOO_LATE: Duration = Duration::from_secs(20);

/// What was posted, and the answer that each post gets from the test.
struct Post {
    url: String,
    key: String,
    secret: Secret,
    body: serde_json::Value,
    answer: tokio::sync::oneshot::Sender<Answer>,
}

/// Stands for the push server: hands every post to the test and waits for its answer.
struct TestSender(mpsc::Sender<Post>);

#[async_trait]
impl PushSender for TestSender {
    async fn send(
        &self,
        url: &str,
        secret: &Secret,
        idempotency_key: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), PushSendError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let post = Post {
            url: url.to_owned(),
            key: idempotency_key.to_owned(),
            secret: secret.clone(),
            body: serde_json::from_slice(&body).expect("JSON"),
            answer,
        };
        self.0.send(post).await.expect("the test listens");
        match answered.await.expect("the test answers") {
            Ok((status, body)) => Ok((status, body.into_bytes())),
            Err(()) => Err(PushSendError("no answer".into())),
        }
    }
}

async fn next(posts: &mut mpsc::Receiver<Post>) -> Post {
    tokio::time::timeout(TOO_LATE, posts.recv()).await.expect("posted in time").expect("the worker lives")
}

type Answer = Result<(u16, String), ()>;

#[expect(clippy::unnecessary_wraps, reason = "the type of every answer")]
fn results(status: &str) -> Answer {
    Ok((200, format!(r#"{{"results":[{{"registrationId":"one","status":"{status}"}}]}}"#)))
}

async fn push_node() -> (Node, mpsc::Receiver<Post>) {
    let (sender, posts) = mpsc::channel(8);
    let node = Node::with_sender(Some(Arc::new(TestSender(sender)))).await;
    let values = [("url", "https://push.example/nps/"), ("sharedSecret", "between us")];
    set(&node.settings, "AS_CLI/System/NotificationPushServer", &values);
    node.ports().push.put_registration(&BO.id(), &registration("one", "VoIP")).await.expect("registered");
    (node, posts)
}

#[tokio::test]
async fn an_incoming_call_wakes_the_phone_and_its_end_is_told() {
    let (node, mut posts) = push_node().await;
    // Dialled through the process that has no way out: the other one delivers.
    let call = dial(&node.second(), &ALICE, BO.number).await;
    let post = next(&mut posts).await;
    assert_eq!(post.url, "https://push.example/nps/v1/notifications");
    assert_eq!(post.secret.expose(), "between us");
    assert_eq!(post.body["notificationId"], post.key.as_str());
    assert_eq!((&post.body["event"], &post.body["seq"]), (&"NEW_CALL".into(), &1.into()));
    assert_eq!(post.body["userId"], BO.user_id);
    assert_eq!(post.body["caller"]["name"], "Alice Carter");
    assert_eq!(post.body["caller"]["number"], ALICE.number);
    assert_eq!(post.body["caller"]["presentation"], "allowed");
    assert_eq!(post.body["callId"], ringing_at(&node.ports(), &BO).await.0.as_str());
    let targets = post.body["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), 1, "only tokens that want it");
    assert_eq!((&targets[0]["token"], &targets[0]["tokenType"]), (&"token-one".into(), &"VoIP".into()));
    assert!(post.body["expiresAt"].as_str() > post.body["createdAt"].as_str());
    // The end waits for the beginning.
    node.ports().calls.act(&ALICE.id(), &call, &CallAction::Release).await.expect("hangs up");
    assert!(posts.try_recv().is_err());
    post.answer.send(results("sent")).expect("waits");
    let post = next(&mut posts).await;
    assert_eq!((&post.body["event"], &post.body["seq"]), (&"CALL_ENDED".into(), &2.into()));
    assert_eq!(post.body["reason"], "cancelled");
    post.answer.send(results("sent")).expect("waits");
    node.stop().await;
}

#[tokio::test]
async fn failures_are_repeated_under_the_same_key_until_the_time_is_over() {
    let (node, mut posts) = push_node().await;
    dial(&node.ports(), &ALICE, BO.number).await;
    let first = next(&mut posts).await;
    let key = first.key.clone();
    first.answer.send(Err(())).expect("waits");
    for failure in [Ok((503, String::new())), results("throttled"), Ok((401, String::new()))] {
        node.clock.advance(Duration::from_secs(3));
        // The result of the attempt is stored beside us; asking again until it is due is all there is to wait for.
        let post = loop {
            node.advance(Duration::ZERO).await;
            if let Ok(post) = tokio::time::timeout(Duration::from_millis(50), posts.recv()).await {
                break post.expect("the worker lives");
            }
            node.clock.advance(Duration::from_millis(100));
        };
        assert_eq!(post.key, key, "the push server knows the repetition");
        post.answer.send(failure).expect("waits");
    }
    // Time is over; the next to be woken is somebody else, though the older notification would come first.
    node.clock.advance(Duration::from_secs(40));
    node.ports().push.put_registration(&EVE.id(), &registration("two", "VoIP")).await.expect("registered");
    dial(&node.ports(), &CAROL, EVE.number).await;
    let post = next(&mut posts).await;
    assert_eq!(post.body["userId"], EVE.user_id);
    post.answer.send(results("sent")).expect("waits");
    node.stop().await;
}

#[tokio::test]
async fn a_dead_token_is_dropped_and_nothing_more_is_pushed_to_it() {
    let (node, mut posts) = push_node().await;
    let ports = node.ports();
    let mut changes = node.second().feed.changes();
    let call = dial(&ports, &ALICE, BO.number).await;
    next(&mut posts).await.answer.send(results("tokenInvalid")).expect("waits");
    let dropped = async {
        loop {
            let tokens = ports.push.registrations(&BO.id()).await.expect("known");
            if tokens
                .iter()
                .all(|registration| registration.tokens.iter().all(|token| token.token == "quiet"))
            {
                return;
            }
            changes.changed().await.expect("lives");
        }
    };
    tokio::time::timeout(TOO_LATE, dropped).await.expect("dropped");
    ports.calls.act(&ALICE.id(), &call, &CallAction::Release).await.expect("hangs up");
    ports.push.put_registration(&EVE.id(), &registration("two", "VoIP")).await.expect("registered");
    dial(&ports, &ALICE, EVE.number).await;
    let post = next(&mut posts).await;
    assert_eq!((&post.body["userId"], &post.body["event"]), (&EVE.user_id.into(), &"NEW_CALL".into()));
    post.answer.send(results("sent")).expect("waits");
    node.stop().await;
}

#[tokio::test]
async fn services_say_how_and_for_what_apps_are_woken() {
    let (node, mut posts) = push_node().await;
    let ports = node.ports();
    let set = async |kind: ServiceKind, wishes: &[(&'static str, Option<&str>)]| {
        let patch = kind.patch(wishes).expect("good values");
        ports.services.change_service(&BO.id(), kind, patch).await.expect("changed");
    };
    let add = RecordChange::Add(Vec::new());
    let anywhere = ServiceKind::BroadWorksAnywhere;
    ports.services.change_record(&BO.id(), anywhere, EVE.number, add).await.expect("a location");
    set(ServiceKind::SilentAlerting, &[(ACTIVE, Some("true"))]).await;
    // Calls of one's own wake nobody, unless that is wished; the first one here would be told before the second.
    let everywhere = DialOptions { location: DialLocation::All, ..DialOptions::default() };
    let first = ports.calls.dial(&BO.id(), CAROL.number, &everywhere).await.expect("dialled");
    ports.calls.act(&BO.id(), &first.call_id, &CallAction::Release).await.expect("given up");
    set(ServiceKind::PushNotification, &[("sendPushNotificationForClickToDial", Some("true"))]).await;
    let second = ports.calls.dial(&BO.id(), CAROL.number, &everywhere).await.expect("dialled");
    let post = next(&mut posts).await;
    assert_eq!(post.body["callId"], second.call_id.0.as_str());
    assert_eq!((&post.body["event"], &post.body["targets"][0]["silent"]), (&"NEW_CALL".into(), &true.into()));
    post.answer.send(results("sent")).expect("waits");
    node.stop().await;
}
