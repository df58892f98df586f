//! Tokens: who gets one, in which form, and who gets none.

use super::*;

#[tokio::test]
async fn a_user_gets_a_token_that_only_the_client_can_read() {
    let bed = Bed::new();
    let got = bed.token("Alice@bw.example", "right", FAR).await;
    assert_eq!(got.status, StatusCode::OK, "{got:?}");
    for (name, value) in [
        ("content-type", "application/jose"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(got.header(name), Some(value));
    }
    let claims = bed.claims(&CLIENT.unwrap(&got.body));
    assert_eq!((claims.sub.as_str(), claims.lt.as_str()), ("alice@bw.example", "User"));
    assert_eq!((claims.iat, claims.exp, claims.amr), (NOW, NOW + 720 * 3600, vec!["pwd".to_owned()]));
    assert!(!got.body.contains("alice"));
}

#[tokio::test]
async fn the_json_form_tells_more() {
    let bed = Bed::new();
    let url = format!("/token?key={}", CLIENT.key());
    let got = bed
        .send(FAR, basic("soon@bw.example", "right").uri(&url).header("accept", "application/json"), "")
        .await;
    assert_eq!(got.header("content-type"), Some("application/json"));
    let mut body = got.json();
    let bearer = body["token"]["bearer"].take();
    assert_eq!(bed.claims(&CLIENT.unwrap(bearer.as_str().unwrap())).sub, "soon@bw.example");
    assert_eq!(
        body,
        json!({"token": {"bearer": null}, "token_type": "Bearer", "expires_in": 2_592_000, "user_id": "soon@bw.example", "password_expires_in_days": 4})
    );
    // By POST, which keeps the key out of logs; an expired password shows in the token.
    let post = |body: Value| {
        let request = basic("expired@bw.example", "right").method("POST").uri("/token");
        (request.header("content-type", "application/json; charset=utf-8"), body.to_string())
    };
    let (request, body) = post(json!({"key": CLIENT.key()}));
    let got = bed.send(FAR, request, &body).await;
    assert_eq!(bed.claims(&CLIENT.unwrap(&got.body)).amr, ["pwd", "pwd-expired"]);
    let (request, body) = post(json!({"key": 1}));
    assert_eq!(bed.send(FAR, request, &body).await.refusal(), (400, "invalid_request".to_owned()));
    let (request, body) = post(json!({"key": "x".repeat(20_000)}));
    let long = bed.send(FAR, request, &body).await;
    assert_eq!(long.refusal(), (400, "invalid_request".to_owned()));
    assert!(long.json()["error_description"].as_str().unwrap().contains("longer"));
    let admin = bed.token("admin", "right", FAR).await;
    assert_eq!(bed.claims(&CLIENT.unwrap(&admin.body)).lt, "Administrator");
}

#[tokio::test]
async fn settings_apply_at_once() {
    let bed = Bed::new();
    bed.set("TokenManagement", "tokenDurationInHours", "1");
    bed.set("TokenManagement", "tokenIssuer", "Elsewhere");
    let token = CLIENT.unwrap(&bed.token("alice@bw.example", "right", FAR).await.body);
    let valid = validate(&bed.keystore, &token, NOW, &Expected { issuer: "Elsewhere" }).unwrap();
    assert_eq!(valid.claims().lifetime(), 3600);
    let bare = || basic("alice@bw.example", "right").uri("/token");
    assert_eq!(bed.send(NEAR, bare(), "").await.refusal().0, 400);
    bed.set("TokenManagement", "allowUnwrappedToken", "true");
    let got = bed.send(NEAR, bare(), "").await;
    assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, Some("application/jwt")));
    assert!(validate(&bed.keystore, &got.body, NOW, &Expected { issuer: "Elsewhere" }).is_ok());
    assert_eq!(bed.send(FAR, bare(), "").await.refusal().0, 400, "neither TLS nor this machine");
    let forwarded = bare().header("x-forwarded-for", "192.0.2.9");
    assert_eq!(bed.send(NEAR, forwarded, "").await.refusal().0, 400);
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let bed = Bed::new();
    let url = format!("/token?key={}", CLIENT.key());
    let missing = bed.send(FAR, Request::get(&url), "").await;
    assert_eq!(missing.refusal(), (401, "invalid_client".to_owned()));
    assert_eq!(missing.header("www-authenticate"), Some("Basic realm=\"AuthService\""));
    let quiet = bed.send(FAR, Request::get(&url).header("x-broadworks-no-authchallenge", "True"), "").await;
    assert_eq!(quiet.refusal().0, 401);
    assert_eq!(quiet.header("www-authenticate"), None);
    let wrong = bed.token("alice@bw.example", "wrong", FAR).await;
    let unknown = bed.token("nobody@bw.example", "wrong", FAR).await;
    assert_eq!(wrong.refusal(), (401, "invalid_client".to_owned()));
    assert_eq!(wrong.body, unknown.body, "nobody learns who exists");

    let checked = bed.fake.checked.load(Ordering::SeqCst);
    let right = || basic("alice@bw.example", "right");
    for uri in ["/token", "/token?key=", "/token?key=%21", "/token?key=AAAA", &format!("{url}&key=x")] {
        assert_eq!(
            bed.send(FAR, right().uri(uri), "").await.refusal(),
            (400, "invalid_request".to_owned()),
            "{uri}"
        );
    }
    let token = issue(&bed.keystore, &Claims::new("BroadWorks", "alice@bw.example", &[], NOW, 1)).unwrap();
    let bearer =
        bed.send(FAR, Request::get(&url).header("authorization", format!("Bearer {token}")), "").await;
    assert_eq!(bearer.refusal(), (401, "invalid_token".to_owned()), "tokens do not beget tokens");
    assert_eq!(bed.fake.checked.load(Ordering::SeqCst), checked, "no password was checked for any of these");

    bed.fake.down.store(true, Ordering::SeqCst);
    let down = bed.token("alice@bw.example", "right", FAR).await;
    assert_eq!(down.refusal(), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(down.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn methods_and_paths_that_are_not_there() {
    let bed = Bed::new();
    let url = format!("/token?key={}", CLIENT.key());
    for (method, uri, allow) in [
        ("HEAD", url.as_str(), "GET, POST"),
        ("PUT", url.as_str(), "GET, POST"),
        ("DELETE", "/token", "GET, POST"),
        ("POST", "/ping", "GET"),
        ("POST", "/keys", "GET"),
        ("GET", "/validate", "POST"),
    ] {
        let got = bed.send(NEAR, basic("alice@bw.example", "right").method(method).uri(uri), "").await;
        assert_eq!((got.status.as_u16(), got.header("allow")), (405, Some(allow)), "{method} {uri}");
    }
    assert_eq!(bed.fake.checked.load(Ordering::SeqCst), 0);
    for uri in ["/", "/version", "/token/x", "/Token/"] {
        assert_eq!(
            bed.send(NEAR, Request::get(uri), "").await.refusal(),
            (404, "not_found".to_owned()),
            "{uri}"
        );
    }
}

#[tokio::test]
async fn the_kind_of_the_key_decides_how_tokens_are_signed() {
    let bed = Bed::new();
    for (word, algorithm) in [("RSA-PSS-2048", "PS256"), ("P-256", "ES256"), ("RSA-2048", "RS256")] {
        bed.set("KeyManagement/Rotation", "keyType", word);
        for key in bed.keystore.keys() {
            bed.keystore.revoke(&key.kid).unwrap();
        }
        let token = CLIENT.unwrap(&bed.token("alice@bw.example", "right", FAR).await.body);
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["alg"], algorithm);
        assert_eq!(bed.claims(&token).sub, "alice@bw.example");
    }
}

/// Who calls with a certificate must be on the list once there is one; only who is trusted with it may name a user.
#[tokio::test]
async fn certificates_say_who_calls_and_seldom_for_whom() {
    let bed = Bed::new();
    let certificate = |name: &str| {
        Some(PeerIdentity {
            common_name: Some(name.to_owned()),
            fingerprint: "00".repeat(32),
            extended_key_usages: vec![
                "1.3.6.1.5.5.7.3.2".to_owned(),
                "1.3.6.1.4.1.6431.1.1.8.2.1.3".to_owned(),
            ],
            issuer: "Internal CA".to_owned(),
            not_after: OffsetDateTime::UNIX_EPOCH,
        })
    };
    let url = format!("/token?key={}", CLIENT.key());
    let relayed = || basic("alice@bw.example", "right").uri(&url);
    let named = |user: &str| Request::get(format!("{url}&userId={user}"));
    let asked = async |name: &str, request| bed.send_as(certificate(name), FAR, request, "").await;

    assert_eq!(asked("proxy.example", relayed()).await.status, StatusCode::OK, "nobody is listed");
    assert_eq!(asked("proxy.example", named("alice%40bw.example")).await.refusal().0, 401);
    bed.add("ClientCertificates", &[("commonName", "proxy.example")]);
    bed.add("ClientCertificates", &[("commonName", "portal.example"), ("trustedAsserter", "true")]);
    assert_eq!(asked("stranger.example", relayed()).await.refusal(), (403, "access_denied".to_owned()));
    assert_eq!(asked("proxy.example", relayed()).await.status, StatusCode::OK);
    assert_eq!(asked("proxy.example", named("alice%40bw.example")).await.refusal().0, 401, "off by default");
    assert_eq!(
        bed.send(FAR, named("alice%40bw.example"), "").await.refusal().0,
        401,
        "without a certificate"
    );

    let got = asked("portal.example", named("alice%40bw.example")).await;
    let claims = bed.claims(&CLIENT.unwrap(&got.body));
    assert_eq!((claims.sub.as_str(), claims.amr), ("alice@bw.example", vec!["mtls".to_owned()]));
    assert_eq!(
        asked("portal.example", named("admin%40bw.example")).await.refusal().0,
        403,
        "never administrators"
    );
    let both = named("bo%40bw.example").header("authorization", "Basic YWxpY2VAYncuZXhhbXBsZTp3cm9uZw==");
    assert_eq!(asked("portal.example", both).await.refusal().0, 401, "a wrong password is one");
    let token = named("alice%40bw.example").header("authorization", "Bearer x.y.z");
    assert_eq!(asked("portal.example", token).await.refusal().0, 401);
    let odd = named("alice%40bw.example").header("authorization", "Negotiate x");
    assert_eq!(asked("portal.example", odd).await.refusal().0, 401, "what is not understood is not nothing");
    let twice = Request::get(format!("{url}&userId=a&userId=b"));
    assert_eq!(asked("portal.example", twice).await.refusal().0, 400);
}

#[tokio::test]
async fn login_tokens_and_phones_get_tokens_too() {
    let bed = Bed::new();
    let url = format!("/token?key={}", CLIENT.key());
    let with = |credentials: &str| Request::get(&url).header("authorization", credentials);
    let sso = bed.send(NEAR, with("BroadWorksSSO taken-once"), "").await;
    assert_eq!(bed.claims(&CLIENT.unwrap(&sso.body)).amr, ["sso"]);
    assert_eq!(
        bed.send(NEAR, with("BroadWorksSSO another"), "").await.refusal(),
        (401, "invalid_client".to_owned())
    );
    assert_eq!(bed.send(FAR, with("BroadWorksSSO taken-once"), "").await.refusal().0, 401, "in clear");
    let sip = |pair: &str, user: &str| {
        format!("BroadWorksSIP basic=\"{}\", sipUser=\"{}\"", STANDARD.encode(pair), STANDARD.encode(user))
    };
    let right = bed.send(FAR, with(&sip("alice@bw.example:sip-right", "alice_desk")), "").await;
    assert_eq!(bed.claims(&CLIENT.unwrap(&right.body)).amr, ["sip"]);
    let wrong = sip("alice@bw.example:right", "alice_desk");
    assert_eq!(bed.send(FAR, with(&wrong), "").await.refusal().0, 401);
    assert_eq!(bed.send(FAR, with("BroadWorksSIP nonsense"), "").await.refusal().0, 401);
}
