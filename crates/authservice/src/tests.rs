//! The application over fake accounts: what goes in over HTTP, and what comes out, to the byte.

use crate::MODULES;
use ::http::{Request, StatusCode};
use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use openadp_appserver::{
    Account, AccountKind, AdminLevel, Clock, Credentials, Logins, PortError, PortResult, UserId,
};
use openadp_keystore::{KeyStore, KeyType};
use openadp_settings::{Author, Change, Edit, MachineKey, Registry, Store};
use openadp_tls::{InterfaceKind, InterfaceRef, PeerIdentity};
use openadp_token::{Claims, Expected, issue, validate};
use openadp_webcontainer::{Authenticator, ConnectionInfo, RequestId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

const NOW: i64 = 1_795_255_200;
const FAR: &str = "192.0.2.7:40000";
const NEAR: &str = "127.0.0.1:40000";

/// Accounts: anybody whose password is `right`, by name; counts how often passwords are checked.
#[derive(Default)]
struct Fake {
    checked: AtomicUsize,
    down: AtomicBool,
    revoked_before: AtomicI64,
}

impl Fake {
    fn account_of(user: &UserId) -> Account {
        let days = match user.as_str() {
            "expired@bw.example" => Some(-3),
            "soon@bw.example" => Some(4),
            _ => None,
        };
        let kind = if user.as_str().starts_with("admin") {
            AccountKind::Administrator(AdminLevel::System)
        } else {
            AccountKind::Subscriber { provider: "acme".to_owned(), group: "north".to_owned() }
        };
        Account { user_id: user.clone(), kind, password_expires_days: days }
    }
    fn up(&self) -> PortResult<()> {
        if self.down.load(Ordering::SeqCst) {
            return Err(PortError::Unavailable("no connection".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Credentials for Fake {
    async fn verify_password(&self, user: &UserId, password: &str) -> PortResult<Account> {
        self.checked.fetch_add(1, Ordering::SeqCst);
        self.up()?;
        match (password, user.as_str()) {
            ("right", "must-change@bw.example") => Err(PortError::PasswordExpired { days: 3 }),
            ("right", _) => Ok(Self::account_of(user)),
            _ => Err(PortError::CredentialsRefused),
        }
    }
    async fn account(&self, user: &UserId) -> PortResult<Account> {
        self.up().map(|()| Self::account_of(user))
    }
    async fn tokens_revoked_before(&self, _: &UserId) -> PortResult<Option<i64>> {
        self.up().map(|()| Some(self.revoked_before.load(Ordering::SeqCst)))
    }
    async fn revoke_tokens(&self, _: Option<&UserId>) -> PortResult<()> {
        self.revoked_before.store(i64::MAX, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Logins for Fake {
    async fn find(&self, login: &str) -> PortResult<Account> {
        self.account(&UserId::new(login)).await
    }
    async fn create_login_token(&self, _: &UserId) -> PortResult<String> {
        Err(PortError::LimitReached { what: "login tokens" })
    }
    async fn take_login_token(&self, token: &str) -> PortResult<Account> {
        if token == "taken-once" {
            self.account(&UserId::new("alice@bw.example")).await
        } else {
            Err(PortError::CredentialsRefused)
        }
    }
    async fn verify_sip(&self, login: &str, sip_user: &str, password: &str) -> PortResult<Account> {
        if (sip_user, password) == ("alice_desk", "sip-right") {
            return self.account(&UserId::new(login)).await;
        }
        Err(PortError::CredentialsRefused)
    }
}

struct Still(AtomicI64);

impl Clock for Still {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

struct Bed {
    clock: Arc<Still>,
    fake: Arc<Fake>,
    keystore: Arc<KeyStore>,
    router: Router,
    store: Arc<Store>,
    _dir: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: ::http::HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
    /// Status and code of a refusal, whose body must have its three members.
    fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
        assert_eq!(body["tracking_id"], "t-1");
        assert!(!body["error_description"].as_str().unwrap().is_empty());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        (self.status.as_u16(), body["error"].as_str().unwrap().to_owned())
    }
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut modules = MODULES.to_vec();
        modules.push(openadp_webcontainer::MODULE);
        let store = Store::in_memory(Registry::new(modules).unwrap());
        let clock = Arc::new(Still(AtomicI64::new(NOW)));
        let ring_clock = clock.clone();
        let keystore = KeyStore::open_with_clock(
            dir.path(),
            MachineKey::ephemeral().unwrap(),
            Arc::new(move || ring_clock.now()),
        )
        .unwrap();
        // P-256 keys are made in no time.
        keystore.rotate(KeyType::P256).unwrap();
        let fake = Arc::new(Fake::default());
        let authenticator = Authenticator::new(&store, keystore.clone(), Some(fake.clone()), clock.clone());
        let farm = crate::service::Farm::new(
            &store,
            keystore.clone(),
            clock.clone(),
            dir.path().to_owned(),
            TaskTracker::new(),
            None,
        );
        let identities = openadp_identity::Identities::new(openadp_identity::Needs {
            clock: clock.clone(),
            credentials: fake.clone(),
            logins: fake.clone(),
            purpose: openadp_identity::Purpose::Users,
            shutdown: tokio_util::sync::CancellationToken::new(),
            store: store.clone(),
            tasks: TaskTracker::new(),
            ticks: Arc::new(tokio::time::Instant::now),
            tls: Arc::new(|| Err(std::io::Error::other("nothing goes out from here"))),
        });
        authenticator.use_logins(fake.clone());
        let edge = crate::compose(authenticator, clock.clone(), farm, identities, keystore.clone(), &store);
        Self { clock, fake, keystore, router: crate::http::router(edge), store, _dir: dir }
    }

    fn set(&self, context: &str, name: &str, value: &str) {
        let edit = Edit::Set {
            context: format!("ADP_CLI/Applications/AuthenticationService/{context}"),
            key: Vec::new(),
            values: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]),
        };
        let author = Author("test".to_owned());
        let change = Change { author, comment: None, edits: vec![edit], force: false };
        self.store.commit(&change, OffsetDateTime::UNIX_EPOCH).unwrap();
    }

    fn add(&self, context: &str, values: &[(&str, &str)]) {
        let edit = Edit::Add {
            context: format!("ADP_CLI/Applications/AuthenticationService/{context}"),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let author = Author("test".to_owned());
        let change = Change { author, comment: None, edits: vec![edit], force: false };
        self.store.commit(&change, OffsetDateTime::UNIX_EPOCH).unwrap();
    }

    async fn send(&self, peer: &str, request: ::http::request::Builder, body: &str) -> Got {
        self.send_as(None, peer, request, body).await
    }

    /// As `send`, by a client whose certificate was verified.
    async fn send_as(
        &self,
        client: Option<PeerIdentity>,
        peer: &str,
        request: ::http::request::Builder,
        body: &str,
    ) -> Got {
        let tls = client.map(|client| openadp_listener::TlsInfo {
            alpn: None,
            cipher_suite: "TLS_AES_128_GCM_SHA256".to_owned(),
            client: Some(client),
            sni: None,
            version: "TLSv1.3",
        });
        let local = "127.0.0.1:8443".parse().unwrap();
        let info = ConnectionInfo {
            connection_id: 1,
            interface: InterfaceRef {
                kind: InterfaceKind::Http,
                address: "127.0.0.1".parse().unwrap(),
                port: 8443,
            },
            local,
            peer: peer.parse().unwrap(),
            tls,
        };
        let request = request
            .extension(Arc::new(info))
            .extension(RequestId("t-1".to_owned()))
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Got { status: head.status, headers: head.headers, body }
    }

    async fn token(&self, user: &str, password: &str, peer: &str) -> Got {
        self.send(peer, basic(user, password).uri(format!("/token?key={}", CLIENT.key())), "").await
    }
}

fn basic(user: &str, password: &str) -> ::http::request::Builder {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    Request::get("/").header("authorization", format!("Basic {credentials}"))
}

struct Client {
    private: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
}

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let spki: PublicKeyX509Der<'static> = private.public_key().as_der().unwrap();
    Client { spki: spki.as_ref().to_vec(), private: OaepPrivateDecryptingKey::new(private).unwrap() }
});

impl Client {
    fn key(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.spki)
    }
    fn unwrap(&self, jwe: &str) -> String {
        let parts: Vec<Vec<u8>> = jwe.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let mut plain = vec![0; self.private.min_output_size()];
        let key = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, &parts[1], &mut plain, None).unwrap();
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&parts[2]).unwrap();
        let mut sealed = [parts[3].clone(), parts[4].clone()].concat();
        let header = jwe.split('.').next().unwrap();
        let plain = aead.open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed).unwrap();
        String::from_utf8(plain.to_vec()).unwrap()
    }
}

impl Bed {
    fn claims(&self, token: &str) -> Claims {
        let valid = validate(&self.keystore, token, NOW, &Expected { issuer: "BroadWorks" }).unwrap();
        valid.claims().clone()
    }
}

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
