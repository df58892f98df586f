//! The rules of delivery, end to end: what is sent, when, and what is not.

use super::bench::{Bench, android, apple_token, normal, voip};
use http::StatusCode;
use openadp_standins::{ApnsPush, FcmPush, Script};
use serde_json::{Value, json};

fn last_apns(bench: &Bench) -> ApnsPush {
    bench.apns.received().last().unwrap().apns().unwrap().clone()
}

fn last_fcm(bench: &Bench) -> FcmPush {
    bench.fcm.received().last().unwrap().fcm().unwrap().clone()
}

#[tokio::test]
async fn a_call_reaches_both_kinds_of_phones() {
    let bench = Bench::new().await;
    let call = bench.call(&[voip(1), android(2)]);
    let (status, body) = bench.post(&call).await;
    assert_eq!(status, StatusCode::OK);
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|result| result["status"] == "sent" && result["providerId"].is_string()));

    let push = last_apns(&bench);
    assert_eq!(push.token, apple_token(1));
    assert_eq!((push.topic.as_str(), push.push_type.as_str()), ("lab.phone.ios.voip", "voip"));
    assert_eq!((push.priority.as_str(), push.expiration.as_str()), ("10", "1800000035"));
    assert_eq!(push.collapse_id, None);
    let own = &push.payload["bw"];
    assert_eq!(push.payload["aps"], json!({}));
    assert_eq!((&own["event"], &own["seq"]), (&json!("NEW_CALL"), &json!(1)));
    assert_eq!(own["callId"], call["callId"]);
    assert_eq!((&own["name"], &own["number"]), (&json!("Bob Example"), &json!("+15550100")));
    assert_eq!(own["sentAt"], 1_800_000_000_000_i64);
    assert_eq!(own["expiresAt"], 1_800_000_035_000_i64);
    assert!(uuid::Uuid::try_parse(own["uuid"].as_str().unwrap()).is_ok());

    let push = last_fcm(&bench);
    let android = &push.body["message"]["android"];
    assert_eq!((&android["priority"], &android["ttl"]), (&json!("HIGH"), &json!("35s")));
    assert_eq!(android["data"]["callerName"], "Bob Example");
    assert_eq!(android["data"]["expiresAt"], "1800000035000");
    assert!(push.body["message"].get("notification").is_none());
}

#[tokio::test]
async fn a_caller_who_hides_is_hidden_everywhere() {
    let bench = Bench::new().await;
    for presentation in ["restricted", "unavailable", "Allowed?"] {
        let mut call = bench.call(&[voip(1), android(1), normal(2)]);
        call["caller"]["presentation"] = json!(presentation);
        bench.post(&call).await;
        let sent: Vec<String> = bench
            .apns
            .received()
            .iter()
            .map(|received| received.apns().unwrap().payload.to_string())
            .chain(bench.fcm.received().iter().filter_map(|received| Some(received.fcm()?.body.to_string())))
            .collect();
        assert!(sent.iter().all(|text| !text.contains("Bob") && !text.contains("+15550100")), "{sent:?}");
    }
}

#[tokio::test]
async fn what_goes_to_which_token() {
    let bench = Bench::new().await;
    let silent = |mut target: Value| {
        target["silent"] = json!(true);
        target
    };
    // event, reason, target, push type, priority; none: not sent
    for (event, reason, target, sent) in [
        ("CALL_ENDED", "missed", voip(1), None),
        ("CALL_UPDATE", "", voip(1), None),
        ("MWI", "", voip(1), None),
        ("NEW_CALL", "", normal(1), Some(("alert", "10"))),
        ("NEW_CALL", "", silent(normal(1)), Some(("background", "5"))),
        ("CALL_ENDED", "missed", normal(1), Some(("alert", "10"))),
        ("CALL_ENDED", "cancelled", normal(1), Some(("alert", "10"))),
        ("CALL_ENDED", "answered_elsewhere", normal(1), Some(("background", "5"))),
        ("CALL_UPDATE", "", normal(1), Some(("background", "5"))),
        ("MWI", "", normal(1), Some(("alert", "5"))),
        ("MISSED_CALL", "", normal(1), Some(("alert", "10"))),
        ("RING_SPLASH", "", normal(1), Some(("alert", "10"))),
    ] {
        let before = bench.apns.answered();
        let mut notification = bench.event(event, &uuid::Uuid::new_v4().to_string(), 2, &[target]);
        notification["reason"] = json!(reason);
        notification["newMessages"] = json!(3);
        let result = bench.push(&notification).await;
        match sent {
            None => {
                assert_eq!(result["status"], "rejected", "{event}");
                assert_eq!(bench.apns.answered(), before, "{event}: nothing on the VoIP token");
            }
            Some(expected) => {
                assert_eq!(result["status"], "sent", "{event}: {result}");
                let push = last_apns(&bench);
                assert_eq!((push.push_type.as_str(), push.priority.as_str()), expected, "{event}");
                assert!(push.collapse_id.is_some_and(|id| id.len() <= 64));
            }
        }
    }
    for (event, reason, target, priority, ttl) in [
        ("CALL_ENDED", "cancelled", silent(android(1)), "HIGH", "0s"),
        ("NEW_CALL", "", silent(android(1)), "NORMAL", "35s"),
        ("MWI", "", android(1), "NORMAL", "35s"),
        ("CALL_UPDATE", "", android(1), "NORMAL", "35s"),
    ] {
        let mut notification = bench.event(event, &uuid::Uuid::new_v4().to_string(), 2, &[target]);
        notification["reason"] = json!(reason);
        assert_eq!(bench.push(&notification).await["status"], "sent");
        let android = &last_fcm(&bench).body["message"]["android"];
        assert_eq!((&android["priority"], &android["ttl"]), (&json!(priority), &json!(ttl)), "{event}");
    }
}

#[tokio::test]
async fn expiry_is_one_instant_everywhere_and_late_is_not_sent() {
    let bench = Bench::new().await;
    let mut call = bench.call(&[voip(1), android(1)]);
    call["expiresAt"] = json!(bench.in_seconds(-1));
    let (_, body) = bench.post(&call).await;
    assert!(body["results"].as_array().unwrap().iter().all(|result| result["status"] == "expired"), "{body}");
    let mut call = bench.call(&[voip(1)]);
    call["expiresAt"] = json!(bench.in_seconds(0));
    assert_eq!(bench.push(&call).await["status"], "expired", "less than half a second is left");
    assert_eq!(bench.apns.answered() + bench.fcm.answered(), 0);
    let mut call = bench.call(&[voip(1)]);
    call["expiresAt"] = json!(bench.in_seconds(1));
    assert_eq!(bench.push(&call).await["status"], "sent");
    assert_eq!(last_apns(&bench).expiration, "0", "too late to store");
}

#[tokio::test]
async fn the_same_push_is_sent_once() {
    let bench = Bench::new().await;
    let call = bench.call(&[voip(1)]);
    let first = bench.push(&call).await;
    assert_eq!(bench.push(&call).await, first, "the same notification: the stored result");
    let mut other_id = call.clone();
    other_id["notificationId"] = json!("another-id");
    assert_eq!(bench.push(&other_id).await["status"], "duplicate");
    other_id["notificationId"] = json!("a-third-id");
    other_id["seq"] = json!(2);
    assert_eq!(bench.push(&other_id).await["status"], "sent", "another sequence number is another push");
    assert_eq!(bench.apns.answered(), 2);
    let ids: Vec<String> = bench.apns.received().iter().map(|r| r.apns().unwrap().id.clone()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn two_posts_of_one_notification_at_once_are_one() {
    let bench = Bench::new().await;
    let call = bench.call(&[voip(1)]);
    bench.apns.script(Script::Hold, 1);
    let release = async {
        bench.apns.held_at_least(1).await;
        bench.apns.release();
    };
    let (first, second, ()) = tokio::join!(bench.push(&call), bench.push(&call), release);
    assert_eq!(first, second);
    assert_eq!(bench.apns.answered(), 1);
}

#[tokio::test]
async fn a_calls_end_takes_the_place_of_a_beginning_that_was_not_sent() {
    let bench = Bench::new().await;
    let call = "call-1";
    let update = bench.event("CALL_UPDATE", call, 1, &[android(1)]);
    let begin = bench.event("NEW_CALL", call, 2, &[android(1)]);
    let mut end = bench.event("CALL_ENDED", call, 3, &[android(1)]);
    end["reason"] = json!("cancelled");
    bench.fcm.script(Script::Hold, 1);
    let later = async {
        bench.fcm.held_at_least(1).await;
        // Both wait for the one that is held; the end makes the beginning worthless at once.
        let mut end = std::pin::pin!(bench.push(&end));
        let begin = tokio::select! {
            begin = bench.push(&begin) => begin,
            end = &mut end => panic!("the end came before the beginning was given up: {end}"),
        };
        bench.fcm.release();
        (begin, end.await)
    };
    let (update, (begin, end)) = tokio::join!(bench.push(&update), later);
    assert_eq!(
        (&update["status"], &begin["status"], &end["status"]),
        (&json!("sent"), &json!("expired"), &json!("sent"))
    );
    let events: Vec<Value> = bench
        .fcm
        .received()
        .iter()
        .filter_map(|received| received.fcm())
        .map(|push| push.body["message"]["android"]["data"]["event"].clone())
        .collect();
    assert_eq!(events, ["CALL_UPDATE", "CALL_ENDED"]);
}

#[tokio::test]
async fn an_answer_that_takes_long_is_202_and_the_result_comes_later() {
    let bench = Bench::new().await;
    bench.apns.script(Script::Hold, 1);
    let call = bench.call(&[voip(1), android(1)]);
    let request = super::bench::post(&call)
        .header("prefer", "wait=1, respond-async")
        .body(axum::body::Body::from(call.to_string()))
        .unwrap();
    let (status, _) = bench.ask(request).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    bench.apns.held_at_least(1).await;
    bench.apns.release();
    let (status, body) = bench.post(&call).await;
    assert_eq!(status, StatusCode::OK, "the same notification again tells the result");
    assert!(body["results"].as_array().unwrap().iter().all(|result| result["status"] == "sent"), "{body}");
    assert_eq!(bench.apns.answered(), 1);
}

#[tokio::test]
async fn an_encrypted_payload_is_relayed_and_nothing_else_told() {
    let bench = Bench::new().await;
    let encryption = json!({
        "keyIdentifier": "k1", "algorithm": "A256GCM", "channel": "c", "encryptedPayload": "b3BhcXVl"
    });
    for target in [voip(1), normal(2), android(3)] {
        let mut target = target;
        target["encryption"] = encryption.clone();
        assert_eq!(bench.push(&bench.call(&[target])).await["status"], "sent");
    }
    for received in bench.apns.received().iter().chain(&bench.fcm.received()) {
        let text = match (received.apns(), received.fcm()) {
            (Some(push), _) => push.payload.to_string(),
            (_, Some(push)) => push.body.to_string(),
            _ => continue,
        };
        assert!(text.contains("b3BhcXVl"));
        assert!(!text.contains("Bob") && !text.contains("NEW_CALL"), "{text}");
    }
}

#[tokio::test]
async fn parameters_of_the_app_are_merged_and_ours_stay() {
    let bench = Bench::new().await;
    let mut ios = normal(1);
    ios["params"] =
        json!({ "ios": { "category": "CALL", "sound": "quiet" }, "appData": { "k": "v", "event": "FAKE" } });
    let mut phone = android(1);
    phone["params"] =
        json!({ "android": { "channel": "calls" }, "appData": { "k": "v", "seq": "99", "from": "x" } });
    bench.post(&bench.call(&[ios, phone])).await;
    let payload = last_apns(&bench).payload;
    assert_eq!((&payload["aps"]["category"], &payload["aps"]["sound"]), (&json!("CALL"), &json!("default")));
    assert_eq!((&payload["bw"]["k"], &payload["bw"]["event"]), (&json!("v"), &json!("NEW_CALL")));
    let data = &last_fcm(&bench).body["message"]["android"]["data"];
    assert_eq!((&data["channel"], &data["k"], &data["seq"]), (&json!("calls"), &json!("v"), &json!("1")));
    assert!(data.get("from").is_none());
}

#[tokio::test]
async fn names_of_any_length_and_language_fit() {
    let bench = Bench::new().await;
    let parameters: Value =
        (0..10).map(|n| (format!("p{n}"), json!("x".repeat(1000)))).collect::<serde_json::Map<_, _>>().into();
    for name in
        ["\u{1F468}\u{200D}\u{1F469}".repeat(40), "\u{e9}".repeat(250), "\"\\\u{2028}</script>".repeat(20)]
    {
        let mut targets = [voip(1), normal(2), android(3)];
        for target in &mut targets {
            target["params"]["appData"] = parameters.clone();
        }
        let mut call = bench.call(&targets);
        call["caller"]["name"] = json!(name);
        let (_, body) = bench.post(&call).await;
        assert!(
            body["results"].as_array().unwrap().iter().all(|result| result["status"] == "sent"),
            "{body}"
        );
    }
}
