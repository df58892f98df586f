//! The APNs stand-in, asked by curl.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Bench, Got, NOW, Pair, bench, curl, p256, sign};
use jsonwebtoken::Algorithm;
use openadp_standins::apns::{self, ApnsHandle, AuthKey, Config};
use openadp_standins::{Script, UnknownTokens};
use serde_json::json;
use std::sync::atomic::Ordering;

const KEY: &str = "ABC123DEFG";
const TEAM: &str = "TEAM456789";
const BUNDLE: &str = "lab.phone.ios";
const TOKEN: &str = "00aa11bb22cc33dd44ee55ff66778899aabbccddeeff00112233445566778899";
const VOIP: &str = "11aa11bb22cc33dd44ee55ff66778899aabbccddeeff00112233445566778899";

async fn start(bench: &Bench) -> (ApnsHandle, Pair) {
    let pair = p256();
    let config = Config {
        apps: vec![BUNDLE.to_owned()],
        keys: vec![AuthKey {
            key_id: KEY.to_owned(),
            team_id: TEAM.to_owned(),
            public_key: pair.public.clone(),
        }],
        tokens: vec![(TOKEN.to_owned(), BUNDLE.to_owned()), (VOIP.to_owned(), format!("{BUNDLE}.voip"))],
        unknown_tokens: UnknownTokens::Refuse,
    };
    (apns::start(bench.environment.clone(), config).await.unwrap(), pair)
}

fn bearer(pair: &Pair) -> String {
    format!(
        "authorization: bearer {}",
        sign(pair, Algorithm::ES256, KEY, &json!({ "iss": TEAM, "iat": NOW - 60 }))
    )
}

/// A good alert, with some headers replaced (`name: value`, or `name:` to leave it out).
async fn push(bench: &Bench, apns: &ApnsHandle, authorization: &str, changed: &[&str]) -> Got {
    push_to(bench, apns, &format!("/3/device/{TOKEN}"), authorization, changed, br#"{"aps":{"alert":"x"}}"#)
        .await
}

async fn push_to(
    bench: &Bench,
    apns: &ApnsHandle,
    path: &str,
    authorization: &str,
    changed: &[&str],
    body: &[u8],
) -> Got {
    let mut headers = vec![
        authorization.to_owned(),
        format!("apns-topic: {BUNDLE}"),
        "apns-push-type: alert".to_owned(),
        "apns-priority: 10".to_owned(),
        "apns-expiration: 0".to_owned(),
    ];
    let name = |header: &str| header.split(':').next().unwrap_or_default().to_owned();
    for change in changed {
        headers.retain(|header| name(header) != name(change));
    }
    headers.extend(changed.iter().map(|change| (*change).to_owned()));
    let mut arguments = vec!["--http2".to_owned()];
    for header in headers {
        arguments.extend(["--header".to_owned(), header]);
    }
    arguments.push(format!("https://{}{path}", apns.address()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    curl(bench, &arguments, Some(body)).await
}

#[tokio::test]
async fn good_pushes_are_taken_and_remembered() {
    let bench = bench();
    let (apns, pair) = start(&bench).await;
    let bearer = bearer(&pair);
    let got = push(&bench, &apns, &bearer, &[]).await;
    assert_eq!((got.status, got.version.as_str()), (200, "2"), "{got:?}");
    assert!(got.headers.contains("apns-id: "));
    let id = "apns-id: 7f3b1c9e-0d3a-4f4e-8f8b-6d1f0c2b4a55";
    let voip = [&format!("apns-topic: {BUNDLE}.voip"), "apns-push-type: voip", id];
    let got = push_to(&bench, &apns, &format!("/3/device/{VOIP}"), &bearer, &voip, br#"{"aps":{}}"#).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert!(got.headers.contains(id));
    let got = push(&bench, &apns, &bearer, &["apns-push-type: background", "apns-priority: 5"]).await;
    assert_eq!(got.status, 200, "{got:?}");
    let received = apns.received();
    assert_eq!(received.len(), 3);
    let second = received[1].apns().unwrap();
    assert_eq!((second.push_type.as_str(), second.priority.as_str()), ("voip", "10"));
    assert_eq!(second.issued_at, Some(NOW - 60));
    assert!(!received[1].to_string().contains(VOIP), "tokens are not printed whole");
}

#[tokio::test]
async fn every_mistake_has_its_reason() {
    let bench = bench();
    let (apns, pair) = start(&bench).await;
    let good = bearer(&pair);
    let jwt = |key: &Pair, algorithm, kid: &str, claims| {
        format!("authorization: bearer {}", sign(key, algorithm, kid, &claims))
    };
    let claims = || json!({ "iss": TEAM, "iat": NOW - 60 });
    let stranger = p256();
    let cases: Vec<(String, Vec<String>, u16, &str)> = vec![
        ("authorization:".to_owned(), vec![], 403, "MissingProviderToken"),
        ("authorization: bearer x".to_owned(), vec![], 403, "InvalidProviderToken"),
        ("authorization: Basic eDp5".to_owned(), vec![], 403, "InvalidProviderToken"),
        (jwt(&stranger, Algorithm::ES256, KEY, claims()), vec![], 403, "InvalidProviderToken"),
        (jwt(&pair, Algorithm::ES256, "OTHERKEY99", claims()), vec![], 403, "InvalidProviderToken"),
        (jwt(&pair, Algorithm::ES256, "SHORT", claims()), vec![], 403, "InvalidProviderToken"),
        (
            jwt(&pair, Algorithm::ES256, KEY, json!({ "iss": "OTHERTEAM0", "iat": NOW })),
            vec![],
            403,
            "InvalidProviderToken",
        ),
        (jwt(&pair, Algorithm::ES256, KEY, json!({ "iss": TEAM })), vec![], 403, "InvalidProviderToken"),
        (
            jwt(&pair, Algorithm::ES256, KEY, json!({ "iss": TEAM, "iat": NOW + 120 })),
            vec![],
            403,
            "InvalidProviderToken",
        ),
        (
            jwt(&pair, Algorithm::ES256, KEY, json!({ "iss": TEAM, "iat": NOW - 3601 })),
            vec![],
            403,
            "ExpiredProviderToken",
        ),
        (good.clone(), vec!["apns-topic:".to_owned()], 400, "MissingTopic"),
        (good.clone(), vec!["apns-topic: a b".to_owned()], 400, "BadTopic"),
        (good.clone(), vec!["apns-topic: com.other".to_owned()], 400, "TopicDisallowed"),
        (good.clone(), vec!["apns-push-type:".to_owned()], 400, "InvalidPushType"),
        (good.clone(), vec!["apns-push-type: loud".to_owned()], 400, "InvalidPushType"),
        (good.clone(), vec!["apns-push-type: voip".to_owned()], 400, "InvalidPushType"),
        (good.clone(), vec!["apns-priority: 7".to_owned()], 400, "BadPriority"),
        (good.clone(), vec!["apns-push-type: background".to_owned()], 400, "BadPriority"),
        (good.clone(), vec!["apns-expiration: soon".to_owned()], 400, "BadExpirationDate"),
        (good.clone(), vec!["apns-expiration: -1".to_owned()], 400, "BadExpirationDate"),
        (good.clone(), vec!["apns-id: 1".to_owned()], 400, "BadMessageId"),
        (good.clone(), vec![format!("apns-collapse-id: {}", "c".repeat(65))], 400, "BadCollapseId"),
        (
            good.clone(),
            vec!["apns-priority: 10".to_owned(), "apns-priority: 5".to_owned()],
            400,
            "DuplicateHeaders",
        ),
        (
            good.clone(),
            vec![format!("apns-topic: {BUNDLE}.voip"), "apns-push-type: voip".to_owned()],
            400,
            "DeviceTokenNotForTopic",
        ),
    ];
    for (authorization, changed, status, reason) in cases {
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        let got = push(&bench, &apns, &authorization, &changed).await;
        assert_eq!((got.status, got.reason()), (status, reason), "{changed:?}");
        assert_eq!(got.version, "2");
    }
    let unknown = format!("/3/device/{}", "ab".repeat(32));
    for (path, status, reason) in [
        ("/3/device/", 400, "MissingDeviceToken"),
        ("/3/device", 400, "MissingDeviceToken"),
        ("/2/device/00", 404, "BadPath"),
        ("/3/device/aa/bb", 404, "BadPath"),
        ("/3/device/zz", 400, "BadDeviceToken"),
        ("/3/device/abc", 400, "BadDeviceToken"),
        (unknown.as_str(), 400, "BadDeviceToken"),
    ] {
        let got = push_to(&bench, &apns, path, &good, &[], br#"{"aps":{}}"#).await;
        assert_eq!((got.status, got.reason()), (status, reason), "{path}");
    }
    let url = format!("https://{}/3/device/{TOKEN}", apns.address());
    let got = curl(&bench, &["--http2", "--header", &good, &url], None).await;
    assert_eq!((got.status, got.reason()), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn payloads() {
    let bench = bench();
    let (apns, pair) = start(&bench).await;
    let bearer = bearer(&pair);
    let sized = |size: usize| {
        let frame = r#"{"aps":{},"x":""}"#.len();
        format!(r#"{{"aps":{{}},"x":"{}"}}"#, "x".repeat(size - frame)).into_bytes()
    };
    let voip = [&format!("apns-topic: {BUNDLE}.voip"), "apns-push-type: voip"];
    for (token, changed, body, status, reason) in [
        (TOKEN, [].as_slice(), sized(4096), 200, ""),
        (TOKEN, &[], sized(4097), 413, "PayloadTooLarge"),
        (VOIP, &voip, sized(5120), 200, ""),
        (VOIP, &voip, sized(5121), 413, "PayloadTooLarge"),
        (VOIP, &voip, sized(500_000), 413, "PayloadTooLarge"),
        (TOKEN, &[], Vec::new(), 400, "PayloadEmpty"),
        (TOKEN, &[], b"{}".to_vec(), 400, "PayloadEmpty"),
        (TOKEN, &[], b"not json".to_vec(), 400, "PayloadEmpty"),
        (TOKEN, &[], br#"{"aps":1}"#.to_vec(), 400, "PayloadEmpty"),
    ] {
        let got = push_to(&bench, &apns, &format!("/3/device/{token}"), &bearer, changed, &body).await;
        assert_eq!((got.status, got.reason()), (status, reason), "{} bytes", body.len());
    }
}

#[tokio::test]
async fn dead_tokens_say_since_when() {
    let bench = bench();
    let (apns, pair) = start(&bench).await;
    apns.unregister(TOKEN, 1_799_999_999_123);
    let got = push(&bench, &apns, &bearer(&pair), &[]).await;
    assert_eq!((got.status, got.reason()), (410, "Unregistered"));
    assert_eq!(got.body["timestamp"], 1_799_999_999_123_i64);
}

#[tokio::test]
async fn scripts_come_in_turn_and_then_it_is_good_again() {
    let bench = bench();
    let (apns, pair) = start(&bench).await;
    let bearer = bearer(&pair);
    let answer =
        |status, reason: &str, retry_after| Script::Answer { status, reason: reason.to_owned(), retry_after };
    apns.script(answer(429, "TooManyRequests", Some(7)), 1);
    apns.script(answer(429, "TooManyProviderTokenUpdates", None), 1);
    apns.script(answer(503, "ServiceUnavailable", None), 2);
    apns.script(Script::Cut, 1);
    for (status, reason) in [
        (429, "TooManyRequests"),
        (429, "TooManyProviderTokenUpdates"),
        (503, "ServiceUnavailable"),
        (503, "ServiceUnavailable"),
        (0, ""),
        (200, ""),
    ] {
        let got = push(&bench, &apns, &bearer, &[]).await;
        assert_eq!((got.status, got.reason()), (status, reason));
        assert_eq!(got.headers.contains("retry-after: 7"), reason == "TooManyRequests");
    }
}

#[tokio::test]
async fn provider_tokens_age_with_the_clock() {
    let bench = bench();
    let (apns, pair) = start(&bench).await;
    let bearer = bearer(&pair);
    bench.clock.store(NOW + 3540, Ordering::SeqCst);
    assert_eq!(push(&bench, &apns, &bearer, &[]).await.status, 200);
    bench.clock.store(NOW + 3541, Ordering::SeqCst);
    assert_eq!(push(&bench, &apns, &bearer, &[]).await.reason(), "ExpiredProviderToken");
}

#[tokio::test]
async fn only_http2_by_alpn() {
    let bench = bench();
    let (apns, _) = start(&bench).await;
    let url = format!("https://{}/3/device/{TOKEN}", apns.address());
    for version in ["--http1.1", "--no-alpn"] {
        let got = curl(&bench, &[version, &url], Some(b"{}")).await;
        assert_eq!(got.status, 0, "{version}: {got:?}");
        assert_ne!(got.exit, 0);
    }
    assert!(apns.received().is_empty());
}
