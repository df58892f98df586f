//! The application server's side: peers, bodies, limits.

use super::bench::{Bench, SECRET, add, android, post, set, voip};
use crate::wire::Notification;
use axum::body::Body;
use http::{Request, StatusCode};
use openadp_tls::{InterfaceRef, PeerIdentity};
use openadp_webcontainer::ConnectionInfo;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const ROUTES: [(&str, &str); 3] =
    [("POST", "/v1/notifications"), ("GET", "/v1/feedback"), ("GET", "/v1/health")];

#[tokio::test]
async fn nobody_is_served_without_proof() {
    let bench = Bench::new().await;
    for (method, path) in ROUTES {
        let request = || Request::builder().method(method).uri(path);
        let (status, body) = bench.ask(request().body(Body::empty()).unwrap()).await;
        assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")), "{path}");
        for wrong in ["", "wrong", "a secret of the benc", "a secret of the bench "] {
            let (status, _) =
                bench.ask(request().header("x-nps-secret", wrong).body(Body::empty()).unwrap()).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {wrong:?}");
        }
    }
    assert_eq!(bench.apns.answered(), 0);
}

#[tokio::test]
async fn an_empty_secret_opens_nothing() {
    let bench = Bench::new().await;
    let cleared = openadp_settings::Edit::Set {
        context: format!("{}AccessControl", super::bench::ROOT),
        key: Vec::new(),
        values: std::collections::BTreeMap::from([("sharedSecret".to_owned(), None)]),
    };
    bench.change(vec![cleared]);
    for secret in ["", SECRET] {
        let request = Request::get("/v1/health").header("x-nps-secret", secret).body(Body::empty()).unwrap();
        assert_eq!(bench.ask(request).await.0, StatusCode::FORBIDDEN);
    }
    bench.change(vec![set("AccessControl", "sharedSecret", "another")]);
    let request = Request::get("/v1/health").header("x-nps-secret", "another").body(Body::empty()).unwrap();
    assert_eq!(bench.ask(request).await.0, StatusCode::OK, "a new secret counts at once");
}

#[tokio::test]
async fn health_tells_of_both_providers() {
    let bench = Bench::new().await;
    bench.push(&bench.call(&[voip(1)])).await;
    let request = Request::get("/v1/health").header("x-nps-secret", SECRET).body(Body::empty()).unwrap();
    let (status, body) = bench.ask(request).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["providers"]["apns"],
        json!({ "configured": true, "connections": 1, "credentialsAgeSeconds": 0 })
    );
    assert_eq!(body["providers"]["fcm"]["connections"], 0);
}

#[tokio::test]
async fn bad_bodies_are_named_and_send_nothing() {
    let bench = Bench::new().await;
    let good = bench.call(&[voip(1)]);
    let with = |pointer: &str, value: Value| {
        let mut notification = good.clone();
        *notification.pointer_mut(pointer).unwrap() = value;
        notification
    };
    let without = |name: &str| {
        let mut notification = good.clone();
        notification.as_object_mut().unwrap().remove(name);
        notification
    };
    for (notification, field) in [
        (with("/event", json!("NEW_COLD")), "event"),
        (with("/expiresAt", json!("tomorrow")), "expiresAt"),
        (without("expiresAt"), "expiresAt"),
        (without("callId"), "callId"),
        (without("userId"), ""),
        (with("/seq", json!("one")), ""),
        (with("/targets", json!([])), "targets"),
        (with("/targets", json!(vec![voip(1); 101])), "targets"),
        (with("/targets/0/token", json!("")), "targets/0/token"),
        (with("/targets/0/token", json!("x".repeat(2049))), "targets/0/token"),
        (with("/targets/0/deviceOsType", json!("windows")), "targets/0/deviceOsType"),
        (with("/targets/0/tokenType", json!("Loud")), "targets/0/tokenType"),
        (with("/targets/0/registrationId", json!("a\nb")), "targets/0/registrationId"),
        (with("/caller/name", json!("x".repeat(513))), "caller/name"),
        (with("/event", json!("CALL_ENDED")), "reason"),
        (with("/event", json!("MOBILE_CALL_INFO")), "mobileNumber"),
    ] {
        let (status, body) = bench.post(&notification).await;
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("schema")), "{field}: {body}");
        assert_eq!(body["problems"][0]["field"], field, "{body}");
    }
    let raw = |body: String| post(&good).body(Body::from(body)).unwrap();
    for body in ["", "x", "[", "null", "[]", "\u{0}"].map(str::to_owned) {
        assert_eq!(bench.ask(raw(body)).await.0, StatusCode::BAD_REQUEST);
    }
    assert_eq!(bench.ask(raw("[".repeat(100_000))).await.0, StatusCode::BAD_REQUEST, "deeply nested");
    assert_eq!(bench.ask(raw(" ".repeat(256 * 1024 + 1))).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let mut other = good.clone();
    other["notificationId"] = json!("another");
    let request = post(&good).body(Body::from(other.to_string())).unwrap();
    assert_eq!(bench.ask(request).await.1["problems"][0]["field"], "notificationId");
    assert_eq!(bench.apns.answered(), 0);
    let mut lenient = good;
    lenient["somethingNew"] = json!({ "a": [1] });
    lenient["targets"][0]["somethingElse"] = json!(true);
    assert_eq!(bench.push(&lenient).await["status"], "sent", "unknown members are ignored");
}

#[tokio::test]
async fn a_hundred_targets_are_all_pushed() {
    let bench = Bench::new().await;
    let targets: Vec<Value> = (0..50).flat_map(|number| [voip(number), android(number)]).collect();
    let (status, body) = bench.post(&bench.call(&targets)).await;
    assert_eq!(status, StatusCode::OK);
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), 100);
    assert!(results.iter().all(|result| result["status"] == "sent"), "{body}");
    let asked = targets.iter().map(|target| &target["registrationId"]);
    assert!(asked.eq(results.iter().map(|result| &result["registrationId"])), "in the order of the targets");
    assert!(bench.apns.connections() <= 2 && bench.fcm.connections() <= 3);
}

#[tokio::test]
async fn too_many_waiting_pushes_are_refused_with_a_time() {
    let bench = Bench::new().await;
    bench.change(vec![set("GeneralSettings", "maximumWaitingPushes", "1")]);
    let call = bench.call(&[voip(1), voip(2)]);
    let (status, body) = bench.post(&call).await;
    assert_eq!((status, &body["error"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")));
    bench.change(vec![
        set("GeneralSettings", "maximumWaitingPushes", "10"),
        set("GeneralSettings", "maximumConcurrentPushes", "1"),
    ]);
    let (status, body) = bench.post(&call).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body["results"].as_array().unwrap().iter().all(|result| result["status"] == "sent"), "{body}");
}

/// A request over a connection with a verified client certificate of this name.
fn certified(name: &str) -> Request<Body> {
    let address = "127.0.0.1:1".parse().unwrap();
    let client = PeerIdentity {
        common_name: Some(name.to_owned()),
        fingerprint: String::new(),
        extended_key_usages: Vec::new(),
        issuer: "lab".to_owned(),
        not_after: time::OffsetDateTime::UNIX_EPOCH,
    };
    let info = ConnectionInfo {
        connection_id: 1,
        interface: InterfaceRef::http("127.0.0.1".parse().unwrap(), 9443),
        local: address,
        peer: address,
        tls: Some(openadp_listener::TlsInfo {
            alpn: None,
            cipher_suite: "TLS_AES_128_GCM_SHA256".to_owned(),
            client: Some(client),
            sni: None,
            version: "TLSv1.3",
        }),
    };
    Request::get("/v1/health").extension(Arc::new(info)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_listed_client_certificate_is_proof() {
    let bench = Bench::new().await;
    assert_eq!(bench.ask(certified("as1.example")).await.0, StatusCode::FORBIDDEN);
    bench.change(vec![add("AccessControl/Clients", &[("commonName", "AS1.example")])]);
    assert_eq!(bench.ask(certified("as1.example")).await.0, StatusCode::OK);
    assert_eq!(bench.ask(certified("as2.example")).await.0, StatusCode::FORBIDDEN);
}

proptest! {
    #[test]
    fn reading_never_panics(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(Notification::parse(&body));
    }

    #[test]
    fn reading_altered_notifications_never_panics(at in 0_usize..600, byte in any::<u8>()) {
        let mut body = json!({
            "notificationId": "n", "event": "NEW_CALL", "callId": "c", "userId": "u",
            "expiresAt": "2026-11-21T10:16:05.120Z", "caller": { "name": "x", "presentation": "allowed" },
            "targets": [voip(1), android(1)],
        }).to_string().into_bytes();
        let length = body.len();
        body[at % length] = byte;
        if let Err(problems) = Notification::parse(&body) {
            prop_assert!(!problems.is_empty() && problems.len() <= 20);
        }
    }
}
