//! What the providers answer, and what the application server learns of it: `protocols/nps.md` 11 and 12, end to end.

use super::bench::{Bench, IOS, Setup, android, apple_token, normal, scripted, set, voip};
use openadp_standins::{Script, UnknownTokens};
use serde_json::json;

#[tokio::test]
async fn every_reason_of_apns_becomes_a_status() {
    for (status, reason, expected) in [
        (400, "BadDeviceToken", "tokenInvalid"),
        (400, "DeviceTokenNotForTopic", "tokenInvalid"),
        (410, "Unregistered", "tokenInvalid"),
        (410, "ExpiredToken", "tokenInvalid"),
        (400, "BadTopic", "rejected"),
        (400, "MissingTopic", "rejected"),
        (400, "TopicDisallowed", "rejected"),
        (400, "InvalidPushType", "rejected"),
        (400, "BadCollapseId", "rejected"),
        (400, "BadExpirationDate", "rejected"),
        (400, "BadMessageId", "rejected"),
        (400, "BadPriority", "rejected"),
        (400, "DuplicateHeaders", "rejected"),
        (400, "PayloadEmpty", "rejected"),
        (400, "MissingDeviceToken", "rejected"),
        (404, "BadPath", "rejected"),
        (405, "MethodNotAllowed", "rejected"),
        (403, "BadCertificate", "unavailable"),
        (403, "Forbidden", "unavailable"),
        (403, "UnrelatedKeyIdInToken", "unavailable"),
        (403, "BadEnvironmentKeyIdInToken", "unavailable"),
        // The provider token is younger than 20 minutes: no new one may be made.
        (403, "ExpiredProviderToken", "unavailable"),
        (403, "InvalidProviderToken", "unavailable"),
        // Retried once, within the deadline: then the script is over.
        (400, "IdleTimeout", "sent"),
        (500, "InternalServerError", "sent"),
        (503, "ServiceUnavailable", "sent"),
        (503, "Shutdown", "sent"),
        (413, "PayloadTooLarge", "sent"),
    ] {
        let bench = Bench::new().await;
        bench.apns.script(scripted(status, reason), 1);
        let result = bench.push(&bench.call(&[voip(1)])).await;
        assert_eq!(result["status"], expected, "{status} {reason}: {result}");
        if expected != "sent" {
            assert_eq!(result["reason"], reason);
            assert_eq!(bench.apns.answered(), 1, "{reason}: not tried again");
        }
        assert_eq!(result.get("invalidSince").is_some(), expected == "tokenInvalid");
    }
}

#[tokio::test]
async fn throttled_pushes_wait_unless_the_call_would_be_over() {
    for reason in ["TooManyRequests", "TooManyProviderTokenUpdates"] {
        let bench = Bench::new().await;
        bench.apns.script(scripted(429, reason), 1);
        let mut call = bench.call(&[voip(1)]);
        // APNs: hold five (two) seconds; the call has less.
        call["expiresAt"] = json!(bench.in_seconds(2));
        let result = bench.push(&call).await;
        assert_eq!((&result["status"], &result["reason"]), (&json!("throttled"), &json!(reason)));
        assert_eq!(bench.apns.answered(), 1);
        assert_eq!(bench.push(&call).await["status"], "sent", "the same request again is no duplicate");
    }
    let bench = Bench::new().await;
    let soon = Script::Answer { status: 429, reason: "TooManyRequests".to_owned(), retry_after: Some(1) };
    bench.apns.script(soon, 1);
    assert_eq!(bench.push(&bench.call(&[voip(1)])).await["status"], "sent", "one second can be waited");
}

#[tokio::test]
async fn fcm_answers_become_statuses() {
    for (script, expected) in [
        (scripted(400, "INVALID_ARGUMENT"), "tokenInvalid"),
        (scripted(403, "SENDER_ID_MISMATCH"), "tokenInvalid"),
        (scripted(404, "UNREGISTERED"), "tokenInvalid"),
        (scripted(401, "THIRD_PARTY_AUTH_ERROR"), "rejected"),
        (scripted(403, "PERMISSION_DENIED"), "unavailable"),
        // Google asks for a minute: a call of 35 s cannot wait that long.
        (scripted(429, "QUOTA_EXCEEDED"), "throttled"),
        (scripted(429, "RESOURCE_EXHAUSTED"), "throttled"),
        (scripted(401, "UNAUTHENTICATED"), "sent"),
        (scripted(500, "INTERNAL"), "sent"),
        (scripted(503, "UNAVAILABLE"), "sent"),
        (scripted(500, "UNSPECIFIED_ERROR"), "sent"),
        (Script::Raw { status: 502, body: "<html>".to_owned(), location: None }, "sent"),
        (Script::Raw { status: 413, body: String::new(), location: None }, "sent"),
        (Script::Raw { status: 404, body: String::new(), location: None }, "unavailable"),
    ] {
        let bench = Bench::new().await;
        bench.fcm.script(script.clone(), 1);
        let result = bench.push(&bench.call(&[android(1)])).await;
        assert_eq!(result["status"], expected, "{script:?}: {result}");
    }
}

#[tokio::test]
async fn a_stopped_application_is_tried_again_when_its_settings_change() {
    let bench = Bench::new().await;
    bench.fcm.script(scripted(403, "PERMISSION_DENIED"), 1);
    assert_eq!(bench.push(&bench.call(&[android(1)])).await["status"], "unavailable");
    let result = bench.push(&bench.call(&[android(1)])).await;
    assert_eq!(result["status"], "unavailable", "the breaker is open");
    assert_eq!(bench.fcm.received().iter().filter(|received| received.fcm().is_some()).count(), 1);
    bench.change(vec![set("FCM", "connectionPoolSize", "3")]);
    assert_eq!(bench.push(&bench.call(&[android(1)])).await["status"], "sent");
}

#[tokio::test]
async fn real_mistakes_of_the_configuration_are_named() {
    let bench = Bench::with(Setup { other_apns_key: true, ..Setup::default() }).await;
    let result = bench.push(&bench.call(&[voip(1)])).await;
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("unavailable"), &json!("InvalidProviderToken"))
    );

    let bench = Bench::new().await;
    bench.change(vec![super::bench::add(
        "APNS/Production/Tokens",
        &[("appId", "lab.unknown.app"), ("authKeyId", super::bench::KEY_ID)],
    )]);
    let mut target = voip(1);
    target["applicationId"] = json!("lab.unknown.app");
    let result = bench.push(&bench.call(&[target])).await;
    assert_eq!((&result["status"], &result["reason"]), (&json!("rejected"), &json!("TopicDisallowed")));
}

#[tokio::test]
async fn a_dead_token_is_reported_with_its_time_and_not_tried_again() {
    let bench = Bench::with(Setup { unknown_tokens: UnknownTokens::Refuse, ..Setup::default() }).await;
    bench.apns.register(&apple_token(1), &format!("{IOS}.voip"));
    bench.apns.unregister(&apple_token(1), 1_799_999_999_000);
    for _ in 0..2 {
        let result = bench.push(&bench.call(&[voip(1)])).await;
        assert_eq!((&result["status"], &result["reason"]), (&json!("tokenInvalid"), &json!("Unregistered")));
        assert_eq!(result["invalidSince"], "2027-01-15T07:59:59Z");
    }
    assert_eq!(bench.apns.answered(), 1, "the second answer is from memory");
    let token = android(7)["token"].as_str().unwrap().to_owned();
    bench.fcm.register(&token, super::bench::PROJECT);
    bench.fcm.unregister(&token);
    let result = bench.push(&bench.call(&[android(7)])).await;
    assert_eq!((&result["status"], &result["reason"]), (&json!("tokenInvalid"), &json!("UNREGISTERED")));

    let (status, feedback) = bench
        .ask(
            http::Request::get("/v1/feedback?since=0")
                .header("x-nps-secret", super::bench::SECRET)
                .body(axum::body::Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(status, 200);
    let entries = feedback["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["registrationId"], "ios-1");
    assert_eq!(feedback["cursor"], 2);
    assert!(!feedback.to_string().contains(&apple_token(1)), "tokens stay here");
}

#[tokio::test]
async fn many_bad_tokens_at_once_are_a_mix_up_and_nobody_is_dropped() {
    let bench = Bench::with(Setup { unknown_tokens: UnknownTokens::Refuse, ..Setup::default() }).await;
    let mut statuses = Vec::new();
    for number in 0..20 {
        let result = bench.push(&bench.call(&[normal(number)])).await;
        assert_eq!(result["reason"], "BadDeviceToken");
        statuses.push(result["status"].as_str().unwrap().to_owned());
    }
    assert!(statuses[..9].iter().all(|status| status == "tokenInvalid"), "too few to say: {statuses:?}");
    assert!(statuses[9..].iter().all(|status| status == "rejected"), "{statuses:?}");
}

#[tokio::test]
async fn a_peer_that_fails_for_long_is_unavailable_within_the_deadline() {
    let bench = Bench::new().await;
    bench.apns.script(scripted(500, "InternalServerError"), 1000);
    let mut call = bench.call(&[voip(1)]);
    call["expiresAt"] = json!(bench.in_seconds(1));
    let result = bench.push(&call).await;
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("unavailable"), &json!("InternalServerError"))
    );
    assert!(result["latencyMs"].as_u64().unwrap() < 1000);
    assert!((1..=5).contains(&bench.apns.answered()));
    bench.apns.clear_scripts();
    assert_eq!(bench.push(&call).await["status"], "sent", "once it is well again");
}
