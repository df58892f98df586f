//! A bench: both stand-ins, the application, a clock to turn, and what an application server would send.

use crate::gateway::apns::Apns;
use crate::gateway::cloud::CloudTokens;
use crate::gateway::fcm::Fcm;
use crate::settings::MODULE;
use crate::{Needs, configuration::Configurations};
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use openadp_appserver::Clock;
use openadp_identity::{ClientNeeds, CloudClient};
use openadp_outgoing::Connector;
use openadp_settings::{Author, Change, Edit, Registry, Store};
use openadp_standins::apns::ApnsHandle;
use openadp_standins::fcm::FcmHandle;
use openadp_standins::{Environment, Script, TlsPair, UnknownTokens};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

pub(crate) const IOS: &str = "lab.phone.ios";
pub(crate) const ANDROID: &str = "lab.phone.android";
pub(crate) const SECRET: &str = "a secret of the bench";
pub(crate) const KEY_ID: &str = "ABC123DEFG";
pub(crate) const TEAM: &str = "TEAM456789";
pub(crate) const PROJECT: &str = "lab-project";
pub(crate) const ROOT: &str = "ADP_CLI/Applications/NotificationPushServer/";

/// Making an RSA key takes a while; one will do for all tests of a process.
static ACCOUNT: LazyLock<(String, String)> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    (pair.serialize_pem(), pair.public_key_pem())
});

/// A clock that stands until it is turned.
pub(crate) struct Turned(pub(crate) AtomicI64);

impl Clock for Turned {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0.load(Ordering::SeqCst)) * 1_000_000)
            .unwrap()
    }
}

/// Certificates of one authority.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }
    pub(crate) fn server(&self, name: &str) -> TlsPair {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        TlsPair { certificates: certificate.pem(), key: key.serialize_pem() }
    }
    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}

/// How a bench differs from the usual one.
pub(crate) struct Setup {
    /// Name in the stand-ins' certificates.
    pub(crate) name: &'static str,
    /// Another authority signs them than the one trusted.
    pub(crate) distrusted: bool,
    /// The stand-in of APNs knows another key.
    pub(crate) other_apns_key: bool,
    pub(crate) pool_size: usize,
    pub(crate) timeout_millis: u64,
    pub(crate) unknown_tokens: UnknownTokens,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            name: "127.0.0.1",
            distrusted: false,
            other_apns_key: false,
            pool_size: 2,
            timeout_millis: 3000,
            unknown_tokens: UnknownTokens::Accept,
        }
    }
}

pub(crate) struct Bench {
    pub(crate) apns: ApnsHandle,
    pub(crate) fcm: FcmHandle,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<Turned>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    /// For further stand-ins.
    pub(crate) environment: Environment,
    /// The key that provider tokens are signed with, in PEM.
    pub(crate) signing: String,
    router: Router,
    tls: Arc<ClientConfig>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn add(context: &str, values: &[(&str, &str)]) -> Edit {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Edit::Add { context: format!("{ROOT}{context}"), values }
}

pub(crate) fn set(context: &str, name: &str, value: &str) -> Edit {
    let values = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
    Edit::Set { context: format!("{ROOT}{context}"), key: Vec::new(), values }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let tasks = TaskTracker::new();
        let shutdown = CancellationToken::new();
        // Far enough from zero and from the real time.
        let clock = Arc::new(Turned(AtomicI64::new(1_800_000_000_000)));
        let authority = Authority::new();
        let signs = if setup.distrusted { &Authority::new() } else { &authority };
        let read = clock.clone();
        let environment = Environment {
            bind: "127.0.0.1:0".parse().unwrap(),
            tls: signs.server(setup.name),
            clock: Arc::new(move || read.0.load(Ordering::SeqCst)),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            sink: None,
        };
        let signing = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let known = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let known = if setup.other_apns_key { &known } else { &signing };
        let apns = openadp_standins::apns::start(
            environment.clone(),
            openadp_standins::apns::Config {
                apps: vec![IOS.to_owned(), "cloud.phone.ios".to_owned()],
                keys: vec![openadp_standins::apns::AuthKey {
                    key_id: KEY_ID.to_owned(),
                    team_id: TEAM.to_owned(),
                    public_key: known.public_key_pem(),
                }],
                tokens: Vec::new(),
                unknown_tokens: setup.unknown_tokens,
            },
        );
        let fcm = openadp_standins::fcm::start(
            environment.clone(),
            openadp_standins::fcm::Config {
                projects: vec![openadp_standins::fcm::Project {
                    project_id: PROJECT.to_owned(),
                    client_email: "push@lab-project.example".to_owned(),
                    key_id: "key-1".to_owned(),
                    public_key: ACCOUNT.1.clone(),
                }],
                tokens: Vec::new(),
                unknown_tokens: setup.unknown_tokens,
            },
        );
        let (apns, fcm) = (apns.await.unwrap(), fcm.await.unwrap());
        let store = Store::in_memory(
            Registry::new([MODULE, openadp_identity::MODULE, openadp_outgoing::MODULE]).unwrap(),
        );
        let (pool, timeout) = (setup.pool_size.to_string(), setup.timeout_millis.to_string());
        let (apns_at, fcm_at) = (apns.address(), fcm.address());
        let key_file = key_file();
        let tls = authority.client();
        let bench = Self {
            // Without what keeps push tokens fresh: tests ask for it, and count.
            router: crate::compose(Needs {
                store: store.clone(),
                clock: clock.clone(),
                tls: Arc::new({
                    let tls = tls.clone();
                    move || Ok(tls.clone())
                }),
                tasks: tasks.clone(),
                shutdown: shutdown.clone(),
            })
            .0,
            tls,
            environment,
            signing: signing.serialize_pem(),
            apns,
            fcm,
            store,
            clock,
            tasks,
            shutdown,
        };
        bench.change(vec![
            set("AccessControl", "sharedSecret", SECRET),
            set("APNS/Production", "url", &format!("https://{apns_at}/3/device")),
            set("APNS/Production", "connectionPoolSize", &pool),
            set("APNS/Production", "connectionTimeout", &timeout),
            add(
                "APNS/AuthKey",
                &[("authKeyId", KEY_ID), ("teamId", TEAM), ("authKey", &signing.serialize_pem())],
            ),
            add("APNS/Production/Tokens", &[("appId", IOS), ("authKeyId", KEY_ID)]),
            set("FCM", "authURL", &format!("https://{fcm_at}/oauth2/v4/token")),
            set("FCM", "pushURL", &format!("https://{fcm_at}/v1/projects/PROJECT-ID/messages:send")),
            set("FCM", "connectionPoolSize", &pool),
            set("FCM", "connectionTimeoutInMilliseconds", &timeout),
            add("FCM/Projects", &[("projectId", PROJECT), ("accountKey", &key_file)]),
            add("FCM/Applications", &[("applicationId", ANDROID), ("projectId", PROJECT)]),
        ]);
        bench
    }

    /// Changes settings, as an operator would while everything runs.
    pub(crate) fn change(&self, edits: Vec<Edit>) {
        let change = Change { author: Author("bench".to_owned()), comment: None, edits, force: false };
        self.store.commit(&change, self.clock.now()).unwrap();
    }

    pub(crate) fn turn_clock(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// What the cloud service gives.
    pub(crate) fn cloud_tokens(&self, configurations: &Arc<Configurations>) -> CloudTokens {
        let tls = self.tls.clone();
        let client = CloudClient::new(ClientNeeds {
            clock: self.clock.clone(),
            shutdown: self.shutdown.clone(),
            store: self.store.clone(),
            tasks: self.tasks.clone(),
            ticks: Arc::new(tokio::time::Instant::now),
            tls: Arc::new(move || Ok(tls.clone())),
        });
        CloudTokens::new(client, self.clock.clone(), configurations.clone(), self.store.clone())
    }

    /// The adapters alone.
    pub(crate) fn gateways(&self) -> (Apns, Fcm) {
        let configurations = Arc::new(Configurations::new(self.store.clone()));
        let tls = self.tls.clone();
        let connector =
            Arc::new(Connector::new(Arc::new(move || Ok(tls.clone())), openadp_outgoing::Addresses::default));
        let (tasks, shutdown) = (&self.tasks, &self.shutdown);
        let cloud = self.cloud_tokens(&configurations);
        (
            Apns::new(
                configurations.clone(),
                connector.clone(),
                self.clock.clone(),
                cloud.clone(),
                tasks.clone(),
                shutdown.clone(),
            ),
            Fcm::new(configurations, connector, self.clock.clone(), cloud, tasks.clone(), shutdown.clone()),
        )
    }

    /// A request to the application, as it is.
    pub(crate) async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A notification posted as the application server does it.
    pub(crate) async fn post(&self, notification: &Value) -> (StatusCode, Value) {
        self.ask(post(notification).body(Body::from(notification.to_string())).unwrap()).await
    }

    /// Posts a notification for one target and gives its result.
    pub(crate) async fn push(&self, notification: &Value) -> Value {
        let (status, body) = self.post(notification).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["notificationId"], notification["notificationId"]);
        assert_eq!(body["results"].as_array().unwrap().len(), 1);
        body["results"][0].clone()
    }

    pub(crate) fn in_seconds(&self, seconds: i64) -> String {
        (self.clock.now() + time::Duration::seconds(seconds)).format(&Rfc3339).unwrap()
    }

    /// A new call for these targets, half a minute long.
    pub(crate) fn call(&self, targets: &[Value]) -> Value {
        let call = uuid::Uuid::new_v4().to_string();
        self.event("NEW_CALL", &call, 1, targets)
    }

    pub(crate) fn event(&self, event: &str, call: &str, seq: u64, targets: &[Value]) -> Value {
        json!({
            "notificationId": uuid::Uuid::new_v4().to_string(),
            "event": event, "seq": seq, "callId": call, "userId": "alice@lab.example",
            "createdAt": self.in_seconds(0), "expiresAt": self.in_seconds(35),
            "caller": { "name": "Bob Example", "number": "+15550100", "presentation": "allowed" },
            "called": { "number": "+15550199", "linePort": "alice_m@lab.example" },
            "media": ["audio"],
            "targets": targets,
        })
    }
}

pub(crate) fn post(notification: &Value) -> http::request::Builder {
    Request::post("/v1/notifications")
        .header("content-type", "application/json")
        .header("x-nps-secret", SECRET)
        .header("idempotency-key", notification["notificationId"].as_str().unwrap_or_default())
}

/// The key file of the service account.
pub(crate) fn key_file() -> String {
    json!({
        "type": "service_account", "project_id": PROJECT, "private_key_id": "key-1",
        "private_key": ACCOUNT.0, "client_email": "push@lab-project.example",
        "token_uri": "https://oauth2.googleapis.com/token"
    })
    .to_string()
}

/// A device token of Apple's form, the same for the same number.
pub(crate) fn apple_token(number: u32) -> String {
    format!("{number:064x}")
}

pub(crate) fn voip(number: u32) -> Value {
    json!({
        "registrationId": format!("ios-{number}"), "applicationId": IOS, "clientVersion": "2.0",
        "deviceOsType": "ios", "token": apple_token(number), "tokenType": "VoIP",
        "silent": false, "mutableContent": false,
        "params": { "ios": {}, "android": {}, "appData": {} }, "encryption": null
    })
}

pub(crate) fn normal(number: u32) -> Value {
    let mut target = voip(number);
    target["tokenType"] = json!("Normal");
    target
}

pub(crate) fn android(number: u32) -> Value {
    let mut target = voip(number);
    target["registrationId"] = json!(format!("android-{number}"));
    target["applicationId"] = json!(ANDROID);
    target["deviceOsType"] = json!("android");
    target["token"] = json!(format!("registration-token-of-android:{number}"));
    target["tokenType"] = json!("Normal");
    target
}

pub(crate) fn scripted(status: u16, reason: &str) -> Script {
    Script::Answer { status, reason: reason.to_owned(), retry_after: None }
}
