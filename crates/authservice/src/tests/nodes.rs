//! What nodes of a farm and applications on this machine ask for.

use super::*;

#[tokio::test]
async fn peers_prove_themselves_and_others_find_nothing() {
    const SECRET: &str = "a secret of the whole farm";
    let bed = Bed::new();
    let ask = async |method: &str, path: &str, body: &str, secret: &str, forwarded: bool| {
        let proof = openadp_keystore::prove_peer(secret, method, path, body.as_bytes(), NOW).unwrap();
        let mut request = Request::builder().method(method).uri(path).header("x-openadp-peer", proof);
        if forwarded {
            request = request.header("x-forwarded-for", "192.0.2.1");
        }
        bed.send(FAR, request, body).await
    };
    let claim = r#"{"claimant":"another"}"#;
    let calls = [
        ("GET", "/keys", ""),
        ("POST", "/validate", "token=x.y.z"),
        ("POST", "/ring", "{}"),
        ("POST", "/claim", claim),
    ];
    for (method, path, body) in calls {
        assert_eq!(
            ask(method, path, body, SECRET, false).await.status,
            StatusCode::NOT_FOUND,
            "no secret is set"
        );
    }
    bed.set("KeyManagement/PeerAccess", "peerSecret", SECRET);
    for (method, path, body) in calls {
        assert_eq!(ask(method, path, body, SECRET, false).await.status, StatusCode::OK, "{path}");
        assert_eq!(ask(method, path, body, SECRET, true).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            ask(method, path, body, "another secret, as long", false).await.status,
            StatusCode::NOT_FOUND
        );
        let nobody = bed.send(NEAR, Request::builder().method(method).uri(path), body).await;
        let local = matches!(path, "/keys" | "/validate");
        assert_eq!(nobody.status == StatusCode::OK, local, "{path}: this machine reads no private keys");
    }
    let ring = ask("POST", "/ring", "{}", SECRET, false).await.body;
    let dir = tempfile::tempdir().unwrap();
    let other = KeyStore::open(dir.path(), MachineKey::ephemeral().unwrap()).unwrap();
    assert!(other.import(&ring, openadp_keystore::ImportMode::Merge, Some("another secret")).is_err());
    other.import(&ring, openadp_keystore::ImportMode::Merge, Some(SECRET)).unwrap();
    assert_eq!(other.active().unwrap().kid(), bed.keystore.active().unwrap().kid());
    let answer = ask("POST", "/claim", claim, SECRET, false).await.body;
    assert_eq!(answer, r#"{"keys":true,"granted":false}"#, "there are keys already");
}

#[tokio::test(start_paused = true)]
async fn the_first_key_is_granted_to_one_at_a_time() {
    use crate::service::{Claim, Farm};
    let dir = tempfile::tempdir().unwrap();
    let mut modules = MODULES.to_vec();
    modules.push(openadp_webcontainer::MODULE);
    let store = Store::in_memory(Registry::new(modules).unwrap());
    let keystore = KeyStore::open(dir.path(), MachineKey::ephemeral().unwrap()).unwrap();
    let clock = Arc::new(Still(AtomicI64::new(NOW)));
    let farm = Farm::new(&store, keystore.clone(), clock, dir.path().to_owned(), TaskTracker::new(), None);
    let ask = |claimant: &str, release| {
        let told = farm.claimed(&Claim { claimant: claimant.to_owned(), release });
        (told.keys, told.granted)
    };
    assert_eq!(ask("a", false), (false, true));
    assert_eq!(ask("b", false), (false, false), "another has it");
    assert_eq!(ask("a", false), (false, true), "it may ask again");
    assert_eq!(ask("b", true), (false, false), "only who has it can give it back");
    assert_eq!(ask("b", false), (false, false));
    assert_eq!(ask("a", true), (false, false));
    assert_eq!(ask("b", false), (false, true));
    tokio::time::advance(std::time::Duration::from_secs(16)).await;
    assert_eq!(ask("c", false), (false, true), "who got it and is gone does not keep it");
    keystore.rotate(KeyType::P256).unwrap();
    assert_eq!(ask("a", false), (true, false), "there are keys: take them");
}

#[tokio::test]
async fn keys_and_validation_are_for_this_machine() {
    let bed = Bed::new();
    let token =
        issue(&bed.keystore, &Claims::new("BroadWorks", "alice@bw.example", &["pwd"], NOW, 1)).unwrap();
    let ask = |token: &str| {
        let request = Request::post("/validate").header("content-type", "application/x-www-form-urlencoded");
        (request, format!("token={token}"))
    };
    for header in ["forwarded", "x-forwarded-for"] {
        let (request, body) = ask(&token);
        assert_eq!(bed.send(NEAR, request.header(header, "for=192.0.2.1"), &body).await.refusal().0, 404);
        assert_eq!(
            bed.send(NEAR, Request::get("/keys").header(header, "192.0.2.1"), "").await.refusal().0,
            404
        );
    }
    let (request, body) = ask(&token);
    assert_eq!(bed.send(FAR, request, &body).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(bed.send(FAR, Request::get("/validate"), "").await.refusal().0, 404);
    assert_eq!(bed.send(FAR, Request::get("/keys"), "").await.refusal().0, 404);

    let got = bed.send(NEAR, Request::get("/keys"), "").await.json();
    assert_eq!(got["keys"][0]["kid"], bed.keystore.active().unwrap().kid());
    assert!(got["keys"][0].get("d").is_none());

    let (request, body) = ask("");
    assert_eq!(bed.send(NEAR, request, &body).await.refusal().0, 400);
    for bad in ["x.y.z", &format!("{token}x"), "%00"] {
        let (request, body) = ask(bad);
        assert_eq!(bed.send("[::1]:9", request, &body).await.body, r#"{"active":false}"#);
    }
}

#[tokio::test]
async fn a_host_without_a_ring_learns_whether_a_token_is_good() {
    let bed = Bed::new();
    let token =
        issue(&bed.keystore, &Claims::new("BroadWorks", "alice@bw.example", &["pwd"], NOW, 1)).unwrap();
    let ask = async || bed.send(NEAR, Request::post("/validate"), &format!("token={token}")).await;
    let mut told = ask().await.json();
    told["jti"].take();
    assert_eq!(
        told,
        json!({"active": true, "iss": "BroadWorks", "sub": "alice@bw.example", "iat": NOW, "exp": NOW + 3600, "jti": null, "kind": "llt", "amr": ["pwd"]})
    );
    bed.clock.0.store(NOW + 3600 + 60, Ordering::SeqCst);
    assert_eq!(ask().await.body, r#"{"active":false}"#, "expired");
    bed.clock.0.store(NOW, Ordering::SeqCst);
    bed.set("TokenManagement", "tokenIssuer", "Elsewhere");
    assert_eq!(ask().await.body, r#"{"active":false}"#, "other issuer");
    bed.set("TokenManagement", "tokenIssuer", "BroadWorks");
    assert!(ask().await.body.contains("true"));
    let kid = bed.keystore.active().unwrap().kid().to_owned();
    bed.keystore.revoke(&kid).unwrap();
    assert_eq!(ask().await.body, r#"{"active":false}"#, "its key is revoked");
}

#[tokio::test]
async fn a_revoked_user_and_a_server_that_is_down_are_told_apart() {
    let bed = Bed::new();
    let token =
        issue(&bed.keystore, &Claims::new("BroadWorks", "alice@bw.example", &["pwd"], NOW, 1)).unwrap();
    let ask = async || bed.send(NEAR, Request::post("/validate"), &format!("token={token}")).await;
    bed.fake.down.store(true, Ordering::SeqCst);
    assert_eq!(ask().await.refusal(), (503, "temporarily_unavailable".to_owned()));
    bed.fake.down.store(false, Ordering::SeqCst);
    bed.fake.revoked_before.store(NOW * 1000 + 1, Ordering::SeqCst);
    assert_eq!(ask().await.body, r#"{"active":false}"#);
}

#[tokio::test]
async fn ping_says_whether_tokens_can_be_made() {
    let bed = Bed::new();
    let got = bed.send(FAR, Request::get("/ping"), "").await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::NO_CONTENT, ""));
    bed.clock.0.store(NOW - 301, Ordering::SeqCst);
    assert_eq!(
        bed.send(FAR, Request::get("/ping"), "").await.refusal().0,
        503,
        "the clock is behind the key"
    );
}
