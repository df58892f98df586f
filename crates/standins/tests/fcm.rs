//! The FCM stand-in, asked by curl.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Bench, Got, NOW, Pair, bench, curl, rsa, sign};
use jsonwebtoken::Algorithm;
use openadp_standins::fcm::{self, Config, FcmHandle, Project};
use openadp_standins::{Script, UnknownTokens};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

const TOKEN: &str = "fcm-token-of-alice:APA91b";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const EMAIL: &str = "push@lab-project.example";

static PAIR: LazyLock<Pair> = LazyLock::new(rsa);

async fn start(bench: &Bench) -> FcmHandle {
    let project = |id: &str, email: &str| Project {
        project_id: id.to_owned(),
        client_email: email.to_owned(),
        key_id: "key-1".to_owned(),
        public_key: PAIR.public.clone(),
    };
    let config = Config {
        projects: vec![project("lab-project", EMAIL), project("other-project", "push@other.example")],
        tokens: vec![(TOKEN.to_owned(), "lab-project".to_owned())],
        unknown_tokens: UnknownTokens::Refuse,
    };
    fcm::start(bench.environment.clone(), config).await.unwrap()
}

fn claims(fcm: &FcmHandle) -> Value {
    json!({
        "iss": EMAIL, "scope": SCOPE, "aud": format!("https://{}/oauth2/v4/token", fcm.address()),
        "iat": NOW, "exp": NOW + 3600
    })
}

async fn grant(bench: &Bench, fcm: &FcmHandle, kind: &str, assertion: &str) -> Got {
    let url = format!("https://{}/oauth2/v4/token", fcm.address());
    let (kind, assertion) = (format!("grant_type={kind}"), format!("assertion={assertion}"));
    curl(bench, &["--http2", "--data-urlencode", &kind, "--data-urlencode", &assertion, &url], None).await
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

async fn access(bench: &Bench, fcm: &FcmHandle) -> String {
    let got = grant(bench, fcm, JWT_BEARER, &sign(&PAIR, Algorithm::RS256, "key-1", &claims(fcm))).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.body["token_type"], "Bearer");
    got.body["access_token"].as_str().unwrap().to_owned()
}

async fn send(bench: &Bench, fcm: &FcmHandle, project: &str, access: &str, body: &Value) -> Got {
    let url = format!("https://{}/v1/projects/{project}/messages:send", fcm.address());
    let authorization = format!("authorization: Bearer {access}");
    let body = body.to_string();
    curl(bench, &["--http2", "--header", &authorization, &url], Some(body.as_bytes())).await
}

fn message() -> Value {
    json!({ "message": { "token": TOKEN, "android": { "priority": "HIGH", "ttl": "35s",
        "restricted_package_name": "lab.phone.android", "data": { "event": "NEW_CALL" } } } })
}

fn detail<'a>(got: &'a Got, kind: &str) -> Option<&'a Value> {
    got.body["error"]["details"]
        .as_array()?
        .iter()
        .find(|detail| detail["@type"].as_str().unwrap().ends_with(kind))
}

#[tokio::test]
async fn a_good_message_over_both_protocols() {
    let bench = bench();
    let fcm = start(&bench).await;
    let access = access(&bench, &fcm).await;
    let got = send(&bench, &fcm, "lab-project", &access, &message()).await;
    assert_eq!((got.status, got.version.as_str()), (200, "2"), "{got:?}");
    assert!(got.body["name"].as_str().unwrap().starts_with("projects/lab-project/messages/"));
    let url = format!("https://{}/v1/projects/lab-project/messages:send", fcm.address());
    let authorization = format!("authorization: Bearer {access}");
    let got = curl(
        &bench,
        &["--http1.1", "--header", &authorization, &url],
        Some(message().to_string().as_bytes()),
    )
    .await;
    assert_eq!((got.status, got.version.as_str()), (200, "1.1"), "{got:?}");
    assert_eq!(fcm.received().len(), 3, "the grant too");
}

#[tokio::test]
async fn assertions_are_checked() {
    let bench = bench();
    let fcm = start(&bench).await;
    let stranger = rsa();
    let with = |name: &str, value: Value| {
        let mut claims = claims(&fcm);
        claims[name] = value;
        sign(&PAIR, Algorithm::RS256, "key-1", &claims)
    };
    let good = sign(&PAIR, Algorithm::RS256, "key-1", &claims(&fcm));
    let mut altered = good.clone();
    altered
        .replace_range(altered.len() - 6..altered.len() - 5, if altered.ends_with('A') { "B" } else { "A" });
    for (kind, assertion, error) in [
        ("password", good.clone(), "unsupported_grant_type"),
        (JWT_BEARER, "x.y.z".to_owned(), "invalid_grant"),
        (JWT_BEARER, sign(&stranger, Algorithm::RS256, "key-1", &claims(&fcm)), "invalid_grant"),
        (JWT_BEARER, sign(&PAIR, Algorithm::RS256, "key-2", &claims(&fcm)), "invalid_grant"),
        (JWT_BEARER, sign(&PAIR, Algorithm::RS512, "key-1", &claims(&fcm)), "invalid_grant"),
        (JWT_BEARER, with("iss", json!("nobody@example")), "invalid_grant"),
        (JWT_BEARER, with("aud", json!("https://elsewhere.example/token")), "invalid_grant"),
        (JWT_BEARER, with("exp", json!(NOW + 3601)), "invalid_grant"),
        (JWT_BEARER, with("exp", json!(NOW)), "invalid_grant"),
        (JWT_BEARER, with("iat", json!(NOW + 61)), "invalid_grant"),
        (JWT_BEARER, with("iat", json!("now")), "invalid_grant"),
        (JWT_BEARER, with("scope", json!("https://www.googleapis.com/auth/drive")), "invalid_scope"),
    ] {
        let got = grant(&bench, &fcm, kind, &assertion).await;
        assert_eq!((got.status, got.body["error"].as_str()), (400, Some(error)), "{got:?}");
        assert!(got.body.get("access_token").is_none());
    }
    let url = format!("https://{}/oauth2/v4/token", fcm.address());
    let got = curl(&bench, &["--http2", "--data", "x=y", &url], None).await;
    assert_eq!((got.status, got.body["error"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn only_its_own_access_tokens_count() {
    let bench = bench();
    let fcm = start(&bench).await;
    let url = format!("https://{}/v1/projects/lab-project/messages:send", fcm.address());
    let body = message().to_string();
    let got = curl(&bench, &["--http2", &url], Some(body.as_bytes())).await;
    assert_eq!((got.status, got.body["error"]["status"].as_str()), (401, Some("UNAUTHENTICATED")));
    let got = send(&bench, &fcm, "lab-project", "ya29.invented", &message()).await;
    assert_eq!((got.status, got.body["error"]["status"].as_str()), (401, Some("UNAUTHENTICATED")));
    let access = access(&bench, &fcm).await;
    let got = send(&bench, &fcm, "other-project", &access, &message()).await;
    assert_eq!((got.status, got.body["error"]["status"].as_str()), (403, Some("PERMISSION_DENIED")));
    assert!(detail(&got, "FcmError").is_none());
    let got = send(&bench, &fcm, "no-project", &access, &message()).await;
    assert_eq!((got.status, got.body["error"]["status"].as_str()), (404, Some("NOT_FOUND")));
    assert!(detail(&got, "FcmError").is_none());
    bench.clock.store(NOW + 3600, Ordering::SeqCst);
    let got = send(&bench, &fcm, "lab-project", &access, &message()).await;
    assert_eq!(got.status, 401, "an hour later");
    bench.clock.store(NOW, Ordering::SeqCst);
    fcm.void_access_tokens();
    assert_eq!(send(&bench, &fcm, "lab-project", &access, &message()).await.status, 401);
}

#[tokio::test]
async fn nothing_unknown_or_malformed_is_taken() {
    let bench = bench();
    let fcm = start(&bench).await;
    let access = access(&bench, &fcm).await;
    let with = |pointer: &str, name: &str, value: Value| {
        let mut message = message();
        message.pointer_mut(pointer).unwrap()[name] = value;
        message
    };
    let data = |name: &str, value: Value| with("/message/android/data", name, value);
    let android = |name: &str, value: Value| with("/message/android", name, value);
    let mut no_target = message();
    no_target["message"].as_object_mut().unwrap().remove("token");
    let cases = [
        (with("", "extra", json!(1)), "Unknown name \"extra\""),
        (with("/message", "to", json!("x")), "Unknown name \"to\" at 'message'"),
        (android("sound", json!("x")), "Unknown name \"sound\" at 'message.android'"),
        (android("priority", json!("URGENT")), "AndroidMessagePriority"),
        (android("ttl", json!("35")), "duration must end with 's'"),
        (android("ttl", json!("2419201s")), "Duration"),
        (android("ttl", json!(35)), "Duration"),
        (android("collapse_key", json!(1)), "TYPE_STRING"),
        (data("n", json!(1)), "TYPE_STRING"),
        (data("from", json!("x")), "Invalid data payload key: from"),
        (data("message_type", json!("x")), "Invalid data payload key"),
        (data("google.x", json!("x")), "Invalid data payload key"),
        (data("gcm.notification.x", json!("x")), "Invalid data payload key"),
        (no_target, "Recipient of the message is not set"),
        (with("/message", "topic", json!("t")), "already set"),
        (json!([]), "Invalid value"),
        (json!({}), "Invalid value at 'message'"),
    ];
    for (body, says) in cases {
        let got = send(&bench, &fcm, "lab-project", &access, &body).await;
        assert_eq!(
            (got.status, got.body["error"]["status"].as_str()),
            (400, Some("INVALID_ARGUMENT")),
            "{body}"
        );
        let said = got.body["error"]["message"].as_str().unwrap();
        assert!(said.contains(says), "{said}");
        assert!(detail(&got, "BadRequest").is_some(), "{got:?}");
    }
    for (size, status) in [(4096, 200), (4097, 400)] {
        let mut body = message();
        let rest = "event".len() + "NEW_CALL".len() + "x".len();
        body["message"]["android"]["data"]["x"] = json!("x".repeat(size - rest));
        let got = send(&bench, &fcm, "lab-project", &access, &body).await;
        assert_eq!(got.status, status, "{got:?}");
        assert!(status == 200 || got.body["error"]["message"].as_str().unwrap().contains("too big"));
    }
}

#[tokio::test]
async fn tokens() {
    let bench = bench();
    let fcm = start(&bench).await;
    let access = access(&bench, &fcm).await;
    fcm.register("token-of-another-project", "other-project");
    fcm.register("token-that-is-dead", "lab-project");
    fcm.unregister("token-that-is-dead");
    for (token, status, code) in [
        ("never-seen-before-by-anybody", 400, "INVALID_ARGUMENT"),
        ("token-of-another-project", 403, "SENDER_ID_MISMATCH"),
        ("token-that-is-dead", 404, "UNREGISTERED"),
    ] {
        let mut body = message();
        body["message"]["token"] = json!(token);
        let got = send(&bench, &fcm, "lab-project", &access, &body).await;
        assert_eq!(got.status, status, "{token}");
        assert_eq!(detail(&got, "google.firebase.fcm.v1.FcmError").unwrap()["errorCode"], code);
        assert!(detail(&got, "BadRequest").is_none());
    }
}

#[tokio::test]
async fn scripts() {
    let bench = bench();
    let fcm = start(&bench).await;
    let access = access(&bench, &fcm).await;
    let quota = Script::Answer { status: 429, reason: "QUOTA_EXCEEDED".to_owned(), retry_after: Some(3) };
    fcm.script(quota, 1);
    let elsewhere = Some("https://elsewhere.example/".to_owned());
    fcm.script(Script::Raw { status: 302, body: String::new(), location: elsewhere }, 1);
    let got = send(&bench, &fcm, "lab-project", &access, &message()).await;
    assert_eq!((got.status, got.body["error"]["status"].as_str()), (429, Some("RESOURCE_EXHAUSTED")));
    assert!(got.headers.contains("retry-after: 3"));
    assert_eq!(send(&bench, &fcm, "lab-project", &access, &message()).await.status, 302);
    assert_eq!(send(&bench, &fcm, "lab-project", &access, &message()).await.status, 200);
}
