//! Limits, pages, passwords that expire.

use super::*;

#[tokio::test]
async fn guessing_is_slowed_down_without_locking_the_user_out() {
    let bed = Bed::new();
    bed.set("FailureLimits", "failuresPerUserAndSource", "3");
    for _ in 0..3 {
        assert_eq!(bed.token("alice@bw.example", "wrong", FAR).await.refusal().0, 401);
    }
    let checked = bed.fake.checked.load(Ordering::SeqCst);
    let slowed = bed.token("ALICE@bw.example", "right", FAR).await;
    assert_eq!(slowed.refusal(), (429, "slow_down".to_owned()));
    assert!(slowed.header("retry-after").unwrap().parse::<u64>().unwrap() > 800);
    assert_eq!(bed.fake.checked.load(Ordering::SeqCst), checked, "refused unseen");
    assert_eq!(bed.token("alice@bw.example", "right", "198.51.100.1:5").await.status, StatusCode::OK);
    assert_eq!(bed.token("bob@bw.example", "right", FAR).await.status, StatusCode::OK);
    bed.set("FailureLimits", "failureBurstPerSource", "4");
    assert_eq!(bed.token("carol@bw.example", "wrong", FAR).await.refusal().0, 401);
    assert_eq!(bed.token("dave@bw.example", "right", FAR).await.refusal().0, 429, "the source as a whole");
}

#[tokio::test]
async fn pages_on_the_list_may_ask_and_others_learn_nothing() {
    let bed = Bed::new();
    let (good, url) = ("https://portal.example.net", format!("/token?key={}", CLIENT.key()));
    let add = |origin: &str| {
        let values = BTreeMap::from([("origin".to_owned(), Some(origin.to_owned()))]);
        let values = values.into_iter().map(|(name, value)| (name, value.unwrap())).collect();
        let context = "ADP_CLI/Applications/AuthenticationService/AllowedOrigins".to_owned();
        let change = Change {
            author: Author("test".to_owned()),
            comment: None,
            edits: vec![Edit::Add { context, values }],
            force: false,
        };
        bed.store.commit(&change, OffsetDateTime::UNIX_EPOCH).map(drop)
    };
    let preflight = |origin: &str| {
        Request::options("/token").header("origin", origin).header("access-control-request-method", "GET")
    };
    let refused = bed.send(FAR, preflight(good), "").await;
    assert_eq!(refused.refusal(), (403, "access_denied".to_owned()), "the list is empty by default");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    for bad in ["*", "null", "https://portal.example.net/", "https://*.example.net"] {
        assert!(add(bad).is_err(), "{bad}");
    }
    add(good).unwrap();
    let allowed = bed.send(FAR, preflight(good), "").await;
    assert_eq!((allowed.status.as_u16(), allowed.body.as_str()), (204, ""));
    for (name, value) in [
        ("access-control-allow-origin", good),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ("access-control-allow-headers", "authorization, content-type, x-broadworks-no-authchallenge"),
        ("access-control-max-age", "600"),
        ("vary", "origin"),
    ] {
        assert_eq!(allowed.header(name), Some(value), "{name}");
    }
    assert_eq!(bed.fake.checked.load(Ordering::SeqCst), 0, "no login, failed or not");
    for other in
        ["https://portal.example.net:8443", "http://portal.example.net", "https://PORTAL.example.net", "null"]
    {
        let got = bed.send(FAR, preflight(other), "").await;
        assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin")), (403, None), "{other}");
        let got =
            bed.send(FAR, basic("alice@bw.example", "right").uri(&url).header("origin", other), "").await;
        assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin")), (200, None), "{other}");
        assert_eq!(got.header("vary"), Some("origin"));
    }
    for (password, status) in [("right", 200), ("wrong", 401)] {
        let got =
            bed.send(FAR, basic("alice@bw.example", password).uri(&url).header("origin", good), "").await;
        assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin")), (status, Some(good)));
        assert_eq!(got.header("access-control-allow-credentials"), None);
    }
    assert_eq!(bed.send(FAR, Request::options("/token"), "").await.status.as_u16(), 405, "no page asks");
}

#[tokio::test]
async fn an_expired_password_shows_to_those_who_are_trusted_with_it() {
    let bed = Bed::new();
    let public = bed.token("must-change@bw.example", "right", FAR).await;
    assert_eq!(public.refusal(), (401, "invalid_client".to_owned()));
    assert_eq!(public.body, bed.token("must-change@bw.example", "wrong", FAR).await.body, "as a wrong one");
    let trusted = bed.token("must-change@bw.example", "right", NEAR).await;
    assert_eq!(trusted.refusal(), (403, "password_expired".to_owned()));
    assert!(trusted.body.contains("3 days ago"), "{trusted:?}");
    let wrong = bed.token("must-change@bw.example", "wrong", NEAR).await;
    assert_eq!(wrong.refusal(), (401, "invalid_client".to_owned()));
}

#[tokio::test]
async fn a_token_may_end_with_the_password() {
    let bed = Bed::new();
    let lifetime = async |user: &str| {
        let token = CLIENT.unwrap(&bed.token(user, "right", FAR).await.body);
        bed.claims(&token).lifetime()
    };
    assert_eq!(lifetime("soon@bw.example").await, 720 * 3600);
    bed.set("TokenManagement", "capTokenAtPasswordExpiry", "true");
    assert_eq!(lifetime("soon@bw.example").await, 4 * 86_400);
    assert_eq!(lifetime("alice@bw.example").await, 720 * 3600, "whose password never expires");
    assert_eq!(lifetime("expired@bw.example").await, 720 * 3600, "it is not enforced");
}

#[tokio::test]
async fn a_user_has_its_own_share_and_nobody_else_can_use_it_up() {
    let bed = Bed::new();
    bed.set("TokenLimits", "tokensPerMinutePerUser", "2");
    for _ in 0..4 {
        assert_eq!(bed.token("alice@bw.example", "wrong", FAR).await.refusal().0, 401);
    }
    for _ in 0..2 {
        assert_eq!(bed.token("alice@bw.example", "right", "198.51.100.1:1").await.status, StatusCode::OK);
    }
    let third = bed.token("Alice@bw.example", "right", "198.51.100.2:1").await;
    assert_eq!(third.refusal(), (429, "slow_down".to_owned()));
    assert_eq!(third.header("retry-after"), Some("30"));
    assert_eq!(bed.token("bob@bw.example", "right", FAR).await.status, StatusCode::OK);
}
