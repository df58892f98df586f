//! The application over fake accounts: what goes in over HTTP, and what comes out, to the byte.

mod limits;
mod nodes;
mod tokens;

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
