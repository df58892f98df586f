//! Applications without a key of their own: what the cloud service gives, renewed, kept and survived without.

use super::bench::{Bench, KEY_ID, PROJECT, TEAM, add, android, set, voip};
use crate::configuration::Configurations;
use crate::gateway::cloud::{CloudTokens, NoToken};
use crate::wire::PushService;
use openadp_settings::Edit;
use openadp_standins::identity::{Client, Config, Endpoint, Fault, IdentityCloud};
use openadp_standins::{Received, Script};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const CLOUD_IOS: &str = "cloud.phone.ios";
const CLOUD_ANDROID: &str = "cloud.phone.android";

struct Cloud {
    bench: Bench,
    standin: IdentityCloud,
}

impl Cloud {
    /// A bench whose two cloud applications have no keys, and the cloud service that has.
    async fn new() -> Self {
        let bench = Bench::new().await;
        let client = Client { id: "push".into(), secret: "s".into(), refresh_token: "r-1".into() };
        let config = Config { clients: vec![client], ..Config::default() };
        let standin = openadp_standins::identity::start(bench.environment.clone(), config).await.unwrap();
        let (fcm, key, clock) = (bench.fcm.clone(), bench.signing.clone(), bench.clock.clone());
        standin.give_push_tokens(Arc::new(move |application, environment| {
            let now = clock.0.load(Ordering::SeqCst) / 1000;
            match application {
                CLOUD_IOS => Some(json!({
                    "platform": "apns", "environment": environment, "topic": CLOUD_IOS, "expiresAt": now + 3600,
                    "authorization": openadp_standins::apns::authorization(KEY_ID, TEAM, &key, now)?,
                })),
                CLOUD_ANDROID => Some(json!({
                    "platform": "fcm", "projectId": PROJECT, "expiresAt": now + 3600,
                    "authorization": format!("Bearer {}", fcm.access_token(PROJECT, 3600)),
                })),
                _ => None,
            }
        }));
        let at = standin.address();
        let limits = |name: &str, value: &str| Edit::Set {
            context: "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits".to_owned(),
            key: Vec::new(),
            values: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]),
        };
        bench.change(vec![
            limits("allowPrivateAddresses", "true"),
            // The most that can be set: the machine may be busy.
            limits("connectTimeoutInMilliseconds", "1500"),
            limits("totalTimeoutInMilliseconds", "1500"),
            set("CiscoCI", "issuerUrl", &format!("https://{at}/idb")),
            set("CiscoCI/Client", "clientId", "push"),
            set("CiscoCI/Client", "clientSecret", "s"),
            set("CiscoCI/Client", "refreshToken", "r-1"),
            set("CloudNPSService", "url", &format!("https://{at}/nps/")),
            add("APNS/Production/Tokens", &[("appId", CLOUD_IOS)]),
            add("FCM/Applications", &[("applicationId", CLOUD_ANDROID)]),
        ]);
        Self { bench, standin }
    }
    fn tokens(&self) -> CloudTokens {
        self.bench.cloud_tokens(&Arc::new(Configurations::new(self.bench.store.clone())))
    }
    fn asked(&self) -> u64 {
        self.standin.count(Endpoint::PushToken)
    }
    async fn push(&self, mut target: Value, application: &str) -> String {
        target["applicationId"] = json!(application);
        let result = self.bench.push(&self.bench.call(&[target])).await;
        result["status"].as_str().unwrap_or_default().to_owned()
    }
}

async fn had(tokens: &CloudTokens) -> Result<String, String> {
    match tokens.current(PushService::ApnsProduction, CLOUD_IOS, None).await {
        Ok(token) => Ok(token.authorization.to_string()),
        Err(NoToken::Refused(reason)) => Err(format!("refused: {reason}")),
        Err(NoToken::Unavailable(reason)) => Err(format!("unavailable: {reason}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_without_a_key_are_pushed_with_what_the_cloud_gives() {
    let cloud = Cloud::new().await;
    assert_eq!(cloud.push(voip(1), CLOUD_IOS).await, "sent");
    assert_eq!(cloud.push(android(2), CLOUD_ANDROID).await, "sent");
    let topics: Vec<String> = cloud
        .bench
        .apns
        .received()
        .iter()
        .filter_map(Received::apns)
        .map(|push| push.topic.clone())
        .collect();
    assert_eq!(topics, ["cloud.phone.ios.voip"]);
    let asked = cloud.asked();
    for number in 3..10 {
        assert_eq!(cloud.push(voip(number), CLOUD_IOS).await, "sent");
    }
    assert_eq!(cloud.asked(), asked, "once for all pushes");
    // Ones that Apple or Google does not take are replaced, once.
    let refused =
        Script::Answer { status: 403, reason: "InvalidProviderToken".to_owned(), retry_after: None };
    cloud.bench.apns.script(refused, 1);
    assert_eq!(cloud.push(voip(20), CLOUD_IOS).await, "sent");
    assert_eq!(cloud.asked(), asked + 1);
    cloud.bench.fcm.void_access_tokens();
    assert_eq!(cloud.push(android(21), CLOUD_ANDROID).await, "sent");
    assert_eq!(cloud.asked(), asked + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_on_the_period_and_outlive_an_outage() {
    let cloud = Cloud::new().await;
    let (tokens, never) = (cloud.tokens(), CancellationToken::new());
    tokens.look(&never).await;
    let first = had(&tokens).await.unwrap();
    let asked = cloud.asked();
    cloud.bench.turn_clock(Duration::from_mins(24));
    tokens.look(&never).await;
    assert_eq!((had(&tokens).await.unwrap(), cloud.asked()), (first.clone(), asked), "not yet");
    cloud.bench.turn_clock(Duration::from_mins(9));
    cloud.standin.fault(Endpoint::PushToken, Fault::Status(503), usize::MAX);
    tokens.look(&never).await;
    assert_eq!(had(&tokens).await.unwrap(), first, "the cloud fails; the last one serves");
    assert!(cloud.asked() > asked);
    cloud.bench.turn_clock(Duration::from_mins(30));
    assert!(had(&tokens).await.unwrap_err().starts_with("unavailable"), "until it ends");
    cloud.standin.clear_faults();
    let second = cloud.tokens();
    assert_ne!(had(&second).await.unwrap(), first);
    // A shorter period holds at once.
    cloud.bench.turn_clock(Duration::from_secs(1400));
    let asked = cloud.asked();
    second.look(&never).await;
    let unchanged = cloud.asked() - asked;
    cloud.bench.change(vec![set("CloudNPSService", "VOIPTokenRefreshInterval", "1200")]);
    second.look(&never).await;
    assert_eq!(
        (unchanged, cloud.asked() - asked),
        (1, 2),
        "the other application's first one, and then this one's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_says_so_and_nothing_is_asked_without_a_need() {
    let cloud = Cloud::new().await;
    let never = CancellationToken::new();
    let tokens = cloud.tokens();
    cloud.standin.fault(Endpoint::PushToken, Fault::Status(403), usize::MAX);
    assert_eq!(had(&tokens).await.unwrap_err(), "refused: no push token of the cloud service: refused");
    let asked = cloud.asked();
    assert!(had(&tokens).await.is_err());
    assert_eq!(cloud.asked(), asked, "not at once again");
    cloud.standin.clear_faults();
    cloud.bench.change(vec![set("CiscoCI/Client", "refreshToken", "r-wrong")]);
    let reason = had(&cloud.tokens()).await.unwrap_err();
    assert_eq!(reason, "refused: no push token of the cloud service: refreshRefused");
    cloud.bench.change(vec![set("CiscoCI/Client", "clientId", "somebody")]);
    assert!(had(&tokens).await.is_err(), "what was had as another client does not count");
    let clear = |context: &str, name: &str| Edit::Set {
        context: format!("{}{context}", super::bench::ROOT),
        key: Vec::new(),
        values: BTreeMap::from([(name.to_owned(), None)]),
    };
    cloud.bench.change(vec![clear("CloudNPSService", "url")]);
    assert_eq!(cloud.push(voip(1), CLOUD_IOS).await, "notConfigured");
    let before = cloud.standin.count(Endpoint::Token);
    tokens.look(&never).await;
    assert_eq!(cloud.standin.count(Endpoint::Token), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_refresh_token_is_kept_and_what_is_no_answer_is_not_used() {
    let cloud = Cloud::new().await;
    cloud.standin.fault(Endpoint::Token, Fault::Rotate, 1);
    let tokens = cloud.tokens();
    for fault in [Fault::Garbage, Fault::Redirect, Fault::Oversized, Fault::Cut] {
        let fresh = cloud.tokens();
        cloud.standin.fault(Endpoint::PushToken, fault, usize::MAX);
        assert!(had(&fresh).await.is_err(), "{fault:?}");
        cloud.standin.clear_faults();
    }
    assert!(had(&tokens).await.is_ok());
    let kept = cloud.bench.store.get::<crate::CiscoCiClient>().refresh_token;
    assert_eq!(cloud.standin.refresh_tokens(), [kept.expose()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_cloud_is_away_goes_on_with_what_was_kept() {
    let mut cloud = Cloud::new().await;
    let dir = tempfile::tempdir().unwrap();
    let modules = [crate::MODULE, openadp_identity::MODULE, openadp_outgoing::MODULE];
    let registry = openadp_settings::Registry::new(modules).unwrap();
    let store = openadp_settings::Store::open(dir.path(), registry).unwrap();
    let limits = |name: &str, value: &str| Edit::Set {
        context: "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits".to_owned(),
        key: Vec::new(),
        values: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]),
    };
    let at = cloud.standin.address();
    cloud.bench.store = store;
    cloud.bench.change(vec![
        limits("allowPrivateAddresses", "true"),
        limits("connectTimeoutInMilliseconds", "1500"),
        limits("totalTimeoutInMilliseconds", "1500"),
        set("CiscoCI", "issuerUrl", &format!("https://{at}/idb")),
        set("CiscoCI/Client", "clientId", "push"),
        set("CiscoCI/Client", "clientSecret", "s"),
        set("CiscoCI/Client", "refreshToken", "r-1"),
        set("CloudNPSService", "url", &format!("https://{at}/nps/")),
        add("APNS/Production/Tokens", &[("appId", CLOUD_IOS)]),
    ]);
    let first = had(&cloud.tokens()).await.unwrap();
    let file = std::fs::read(dir.path().join("nps/push-tokens")).unwrap();
    let secret = first.split('.').next_back().unwrap();
    assert!(!String::from_utf8_lossy(&file).contains(secret), "sealed");
    cloud.standin.fault(Endpoint::Token, Fault::Status(503), usize::MAX);
    cloud.standin.fault(Endpoint::PushToken, Fault::Status(503), usize::MAX);
    assert_eq!(had(&cloud.tokens()).await.unwrap(), first);
    // A file that is none is as good as no file.
    std::fs::write(dir.path().join("nps/push-tokens"), b"torn").unwrap();
    assert!(had(&cloud.tokens()).await.is_err());
}
