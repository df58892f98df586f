//! `ADP_CLI/Applications/NotificationPushServer/CiscoCI` and `CloudNPSService`: an application without a key is pushed with what a
//! stand-in of the cloud service gives. Its credentials last a moment only, so that what is set shows with the next pushes.

use crate::nps::{Bench, Pair, SECRET, now};
use crate::until;
use anyhow::{Context as _, Result, ensure};
use openadp_standins::Received;
use openadp_standins::identity::{Client, Config, Endpoint, IdentityCloud};
use openadp_suite::{Curl, Effects};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const CI: &str = "ADP_CLI/Applications/NotificationPushServer/CiscoCI";
const CLIENT: &str = "ADP_CLI/Applications/NotificationPushServer/CiscoCI/Client";
const SERVICE: &str = "ADP_CLI/Applications/NotificationPushServer/CloudNPSService";
const APNS: &str = "ADP_CLI/Applications/NotificationPushServer/APNS/Production";
const LIMITS: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits";
/// The last minute of credentials is not used.
const A_MOMENT: i64 = 61;

fn cloud(bench: &Bench, key: &str, life: &Arc<AtomicI64>) -> Result<IdentityCloud> {
    let client = |id: &str, refresh: &str| Client {
        id: id.to_owned(),
        secret: "right-secret".to_owned(),
        refresh_token: refresh.to_owned(),
    };
    let config = Config { clients: vec![client("push-client", "r-1")], ..Config::default() };
    let cloud = bench.runtime.block_on(openadp_standins::identity::start(bench.environment()?, config))?;
    // One token for all: Apple takes no new ones on a connection within twenty minutes.
    let authorization = openadp_standins::apns::authorization("TESTKEY001", "TESTTEAM01", key, now() / 1000)
        .context("a key")?;
    let life = life.clone();
    cloud.give_push_tokens(Arc::new(move |application, environment| {
        (application == "lab.other").then(|| {
            json!({
                "platform": "apns", "environment": environment, "topic": application,
                "expiresAt": now() / 1000 + life.load(Ordering::SeqCst), "authorization": authorization,
            })
        })
    }));
    Ok(cloud)
}

#[test]
fn cloud_service() -> Result<()> {
    let bench = Bench::new()?;
    let mut effects = Effects::of(&bench.lab, "parameters/push_cloud.rs::cloud_service");
    let pair = Pair::elliptic(bench.folder.path(), "others.p8")?;
    let provider = bench.apns(&[("TESTKEY001", "TESTTEAM01", &pair.public)])?;
    let life = Arc::new(AtomicI64::new(A_MOMENT));
    let cloud = cloud(&bench, &std::fs::read_to_string(&pair.private)?, &life)?;
    let at = cloud.address();
    effects.run(APNS, &format!("set url https://{}/3/device", provider.address()))?;
    // The stand-in is on this machine, and the machine may be busy.
    effects.run(LIMITS, "set allowPrivateAddresses true")?;
    effects.run(LIMITS, "set connectTimeoutInMilliseconds 1500")?;
    effects.run(LIMITS, "set totalTimeoutInMilliseconds 1500")?;
    effects.run(&format!("{APNS}/Tokens"), "add lab.other")?;
    let pushed = || bench.push("lab.other", "ios");
    let works = || until("pushes are sent", || Ok(pushed()? == "sent"));
    let fails = || until("pushes are not sent", || Ok(pushed()? != "sent"));
    ensure!(pushed()? == "notConfigured", "{}", pushed()?);

    effects.run(CI, &format!("set issuerUrl https://{at}/idb"))?;
    effects.run(CLIENT, "set clientId push-client")?;
    effects.run(CLIENT, "set clientSecret right-secret")?;
    effects.run(CLIENT, "set refreshToken r-1")?;
    effects.with(SERVICE, &["url"], &format!("set url https://{at}/nps/"), || {
        works()?;
        ensure!(cloud.count(Endpoint::PushToken) > 0, "not asked");
        let topics =
            provider.received().iter().filter_map(Received::apns).any(|push| push.topic == "lab.other.voip");
        ensure!(topics, "not pushed");
        Ok(())
    })?;
    effects.with(CI, &["issuerUrl"], "set issuerUrl https://127.0.0.1:1/idb", fails)?;
    effects.run(CI, &format!("set issuerUrl https://{at}/idb"))?;
    works()?;
    for (parameter, wrong, right) in [
        ("clientId", "somebody", "push-client"),
        ("clientSecret", "wrong-secret", "right-secret"),
        ("refreshToken", "r-9", "r-1"),
    ] {
        effects.with(CLIENT, &[parameter], &format!("set {parameter} {wrong}"), fails)?;
        effects.run(CLIENT, &format!("set {parameter} {right}"))?;
        works().with_context(|| format!("{parameter} is right again"))?;
    }

    // Credentials that last are renewed on the period: one node a little sooner than another.
    life.store(3600, Ordering::SeqCst);
    let renews = |least: i64, most: i64| {
        until(&format!("renewed in {least} to {most} seconds"), || {
            let answer = Curl::new(bench.lab.ca())
                .header(&format!("X-NPS-Secret: {SECRET}"))
                .get(&format!("{}/v1/health", bench.lab.text("nps")))?
                .expect_status(200)?;
            let health: Value = serde_json::from_str(&answer.body)?;
            let seconds = health["cloud"]["renewsInSeconds"].as_i64();
            Ok(seconds.is_some_and(|seconds| (least..=most).contains(&seconds)))
        })
    };
    works()?;
    renews(1500, 1980)?;
    effects.with(SERVICE, &["VOIPTokenRefreshInterval"], "set VOIPTokenRefreshInterval 1200", || {
        renews(900, 1320)
    })?;
    effects.finish()
}
