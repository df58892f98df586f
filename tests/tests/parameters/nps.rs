//! `ADP_CLI/Applications/NotificationPushServer`. The providers are stand-ins of the test's own, which can be held, cut and
//! asked; NotificationPushServer is a process of the lab, so every probe waits until it knows of the change.

use crate::{metric, until};
use anyhow::{Context as _, Result, ensure};
use openadp_standins::apns::ApnsHandle;
use openadp_standins::fcm::FcmHandle;
use openadp_standins::{Environment, Handle, Received, Script, TlsPair, UnknownTokens};
use openadp_suite::{Curl, Effects, Lab, PATIENCE, Response};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, UNIX_EPOCH};

const APNS: &str = "ADP_CLI/Applications/NotificationPushServer/APNS";
const FCM: &str = "ADP_CLI/Applications/NotificationPushServer/FCM";
const ACCESS: &str = "ADP_CLI/Applications/NotificationPushServer/AccessControl";
const CLIENTS: &str = "ADP_CLI/Applications/NotificationPushServer/AccessControl/Clients";
const GENERAL: &str = "ADP_CLI/Applications/NotificationPushServer/GeneralSettings";
pub(crate) const SECRET: &str = "between-us-both";
const PROJECT: &str = "test-project";
const ACCOUNT: &str = "push@test-project.lab.invalid";

pub(crate) fn now() -> i64 {
    UNIX_EPOCH.elapsed().ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

/// A key pair of openssl: its private half in PKCS#8 as a file, and its public half in PEM.
pub(crate) struct Pair {
    pub(crate) private: PathBuf,
    pub(crate) public: String,
}

impl Pair {
    fn make(folder: &Path, name: &str, algorithm: &[&str]) -> Result<Self> {
        let private = folder.join(name);
        let made =
            Command::new("openssl").arg("genpkey").args(algorithm).arg("-out").arg(&private).output()?;
        ensure!(made.status.success(), "{made:?}");
        let public = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).output()?;
        Ok(Self { private, public: String::from_utf8(public.stdout)? })
    }
    pub(crate) fn elliptic(folder: &Path, name: &str) -> Result<Self> {
        Self::make(folder, name, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }
}

/// A lab whose push server is led to stand-ins of the test.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) runtime: tokio::runtime::Runtime,
    number: AtomicU32,
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let lab = Lab::start()?;
        lab.administer(&[&format!("{ACCESS}> set sharedSecret {SECRET}")])?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let bench = Self { lab, runtime, number: AtomicU32::new(0), folder: tempfile::tempdir()? };
        until("the secret is known", || Ok(bench.post(&bench.call(&[]), SECRET)?.status != 403))?;
        Ok(bench)
    }

    pub(crate) fn environment(&self) -> Result<Environment> {
        let folder = self.lab.data_dir.join("lab/certificates");
        Self::secured(&folder.join("server-p256.crt"), &folder.join("server-p256.key"))
    }

    pub(crate) fn secured(certificate: &Path, key: &Path) -> Result<Environment> {
        Ok(Environment {
            bind: "127.0.0.1:0".parse()?,
            tls: TlsPair {
                certificates: std::fs::read_to_string(certificate)?,
                key: std::fs::read_to_string(key)?,
            },
            clock: Arc::new(now),
            tasks: tokio_util::task::TaskTracker::new(),
            shutdown: tokio_util::sync::CancellationToken::new(),
            sink: None,
        })
    }

    /// A stand-in of APNs that knows the lab's key and others (id, team, public half).
    pub(crate) fn apns(&self, others: &[(&str, &str, &str)]) -> Result<ApnsHandle> {
        let seed: Value = serde_json::from_slice(&std::fs::read(self.lab.data_dir.join("lab/seed.json"))?)?;
        let own = &seed["apns"];
        let text = |name: &str| own[name].as_str().unwrap_or_default();
        let known = std::iter::once((text("key_id"), text("team_id"), text("public_key")))
            .chain(others.iter().copied());
        let config = openadp_standins::apns::Config {
            apps: ["lab.ios", "lab.other", "lab.development"].map(str::to_owned).to_vec(),
            keys: known
                .map(|(key_id, team_id, public_key)| openadp_standins::apns::AuthKey {
                    key_id: key_id.to_owned(),
                    team_id: team_id.to_owned(),
                    public_key: public_key.to_owned(),
                })
                .collect(),
            tokens: Vec::new(),
            unknown_tokens: UnknownTokens::Accept,
        };
        Ok(self.runtime.block_on(openadp_standins::apns::start(self.environment()?, config))?)
    }

    /// A stand-in of FCM that knows the lab's project and one of the test, whose key is given.
    fn fcm(&self, public_key: &str) -> Result<FcmHandle> {
        let seed: Value = serde_json::from_slice(&std::fs::read(self.lab.data_dir.join("lab/seed.json"))?)?;
        let text = |name: &str| seed["fcm"][name].as_str().unwrap_or_default().to_owned();
        let config = openadp_standins::fcm::Config {
            projects: vec![
                openadp_standins::fcm::Project {
                    project_id: text("project_id"),
                    client_email: text("client_email"),
                    key_id: text("key_id"),
                    public_key: text("public_key"),
                },
                openadp_standins::fcm::Project {
                    project_id: PROJECT.to_owned(),
                    client_email: ACCOUNT.to_owned(),
                    key_id: "test-key".to_owned(),
                    public_key: public_key.to_owned(),
                },
            ],
            tokens: Vec::new(),
            unknown_tokens: UnknownTokens::Accept,
        };
        Ok(self.runtime.block_on(openadp_standins::fcm::start(self.environment()?, config))?)
    }

    /// Waits for something of a stand-in.
    fn wait(&self, what: &str, event: impl Future<Output = ()>) -> Result<()> {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, event).await })
            .with_context(|| format!("{what}: not within {PATIENCE:?}"))
    }

    /// A new call for these targets.
    fn call(&self, targets: &[Value]) -> Value {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let time = |seconds: i64| rfc3339(now() / 1_000 + seconds);
        json!({
            "notificationId": format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), number),
            "event": "NEW_CALL", "seq": 1, "callId": format!("call-{number}"), "userId": "alice@lab.example",
            "createdAt": time(0), "expiresAt": time(35),
            "caller": { "name": "Bob Example", "number": "+15550100", "presentation": "allowed" },
            "called": { "number": "+15550199", "linePort": "alice_m@lab.example" },
            "media": ["audio"],
            "targets": targets,
        })
    }

    fn target(&self, application: &str, os: &str) -> Value {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let token = if os == "ios" {
            format!("{number:064x}")
        } else {
            format!("registration-token-of-android:{number}")
        };
        json!({
            "registrationId": format!("{os}-{number}"), "applicationId": application, "clientVersion": "2.0",
            "deviceOsType": os, "token": token, "tokenType": if os == "ios" { "VoIP" } else { "Normal" },
            "silent": false, "mutableContent": false,
            "params": { "ios": {}, "android": {}, "appData": {} }, "encryption": null
        })
    }

    fn post(&self, notification: &Value, secret: &str) -> Result<Response> {
        let url = format!("{}/v1/notifications", self.lab.text("nps"));
        Curl::new(self.lab.ca())
            .header("Content-Type: application/json")
            .header(&format!("X-NPS-Secret: {secret}"))
            .body(notification.to_string())
            .post(&url)
    }

    /// Pushes to one app; gives the result's status, or the answer's where there is none yet.
    pub(crate) fn push(&self, application: &str, os: &str) -> Result<String> {
        let answer = self.post(&self.call(&[self.target(application, os)]), SECRET)?;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        Ok(body["results"][0]["status"].as_str().map_or_else(|| answer.status.to_string(), str::to_owned))
    }

    /// Pushes so many at once to an app, all held by its provider, and lets them go; gives how many connections they took.
    fn hold(&self, at: &Handle, application: &str, os: &str, count: usize) -> Result<u64> {
        at.script(Script::Hold, count);
        let before = at.held();
        std::thread::scope(|scope| {
            let pushes: Vec<_> = (0..count).map(|_| scope.spawn(|| self.push(application, os))).collect();
            let held = self.wait("all are held", at.held_at_least(before + count));
            at.release();
            for push in pushes {
                let status = push.join().map_err(|_| anyhow::anyhow!("a push panicked"))??;
                // Who was held for long was answered that it is under way.
                ensure!(["sent", "202", "pending"].contains(&status.as_str()), "{status}");
            }
            held
        })?;
        Ok(at.connections())
    }
}

/// A time, seconds since 1970, as the push server reads it.
fn rfc3339(at: i64) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("@{at}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[test]
fn apns() -> Result<()> {
    let bench = Bench::new()?;
    let mut effects = Effects::of(&bench.lab, "parameters/nps.rs::apns");
    let own = Pair::elliptic(bench.folder.path(), "own.p8")?;
    let provider = bench.apns(&[("TESTKEY001", "TESTTEAM01", &own.public)])?;
    let (production, tokens) = (format!("{APNS}/Production"), format!("{APNS}/Production/Tokens"));
    effects.with(
        &production,
        &["url"],
        &format!("set url https://{}/3/device", provider.address()),
        || {
            until("a push arrives", || {
                ensure!(bench.push("lab.ios", "ios")? == "sent", "not sent");
                Ok(provider.answered() > 0)
            })
        },
    )?;
    // Keys: an app that nobody knows; with a key that the provider does not know; with the right one of the right team.
    let other = || bench.push("lab.other", "ios");
    ensure!(other()? == "notConfigured", "{}", other()?);
    let file = own.private.display();
    let topics = || -> Vec<String> {
        provider.received().iter().filter_map(Received::apns).map(|push| push.topic.clone()).collect()
    };
    effects.with(
        &format!("{APNS}/AuthKey"),
        &["authKeyId", "teamId", "authKey"],
        &format!("add TESTKEY001 TESTTEAM01 {file}"),
        || effects_of_app(&bench, &tokens, "lab.other"),
    )?;
    effects.run(&tokens, "delete lab.other")?;
    effects.with(&tokens, &["appId", "authKeyId"], "add lab.other authKeyId TESTKEY001", || {
        until("the app is pushed to", || Ok(other()? == "sent"))?;
        ensure!(topics().iter().any(|topic| topic == "lab.other.voip"), "{:?}", topics());
        Ok(())
    })?;
    // The two keys have connections of their own.
    timing(&bench, &mut effects, &production, "lab.ios", (&provider, 2))?;

    // An app in development goes to the other environment.
    let (development, tokens) = (format!("{APNS}/Development"), format!("{APNS}/Development/Tokens"));
    let provider = bench.apns(&[("TESTKEY001", "TESTTEAM01", &own.public)])?;
    effects.run(&tokens, "add lab.development authKeyId TESTKEY001")?;
    effects.with(
        &development,
        &["url"],
        &format!("set url https://{}/3/device", provider.address()),
        || {
            until("a push arrives", || {
                Ok(bench.push("lab.development", "ios")? == "sent" && provider.answered() > 0)
            })
        },
    )?;
    let sent = || Ok(bench.push("lab.development", "ios")? == "sent");
    effects.see_rows(
        &tokens,
        &["appId", "authKeyId"],
        ("delete lab.development", "add lab.development authKeyId TESTKEY001"),
        (true, false),
        sent,
    )?;
    timing(&bench, &mut effects, &development, "lab.development", (&provider, 1))?;
    effects.finish()
}

/// Whom outgoing connections trust: a provider with a certificate of the lab's authority for another name.
#[test]
fn trust() -> Result<()> {
    let bench = Bench::new()?;
    let mut effects = Effects::of(&bench.lab, "parameters/nps.rs::trust");
    let folder = bench.folder.path();
    let own = Pair::elliptic(folder, "own.key")?;
    let authority = bench.lab.data_dir.join("lab/certificates");
    let certificate = folder.join("own.crt");
    let request = folder.join("own.csr");
    let made = Command::new("openssl")
        .args([
            "req",
            "-new",
            "-subj",
            "/CN=other.lab.invalid",
            "-addext",
            "subjectAltName=DNS:other.lab.invalid",
            "-key",
        ])
        .arg(&own.private)
        .arg("-out")
        .arg(&request)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let made = Command::new("openssl")
        .args(["x509", "-req", "-days", "30", "-copy_extensions", "copyall", "-in"])
        .arg(&request)
        .arg("-CA")
        .arg(authority.join("ca.crt"))
        .arg("-CAkey")
        .arg(authority.join("ca.key"))
        .arg("-out")
        .arg(&certificate)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    // NotificationPushServer checks the names of providers in any case; the application server goes by the setting when it
    // hands a push over.
    let environment = Bench::secured(&certificate, &own.private)?;
    let provider = bench
        .runtime
        .block_on(openadp_standins::fcm::start(environment, openadp_standins::fcm::Config::default()))?;
    effects.run(
        "AS_CLI/System/NotificationPushServer",
        &format!("set url https://{}/nps", provider.address()),
    )?;
    let (alice, bo) = (bench.lab.subscriber(0), bench.lab.subscriber(1));
    let tried = || metric(&bench.lab, "appserver_push_notifications_total", "\"again\"");
    let reached = || {
        // New connections go by it; there may be one from before.
        provider.cut_connections();
        let (connections, before) = (provider.connections(), tried()?);
        let began = Instant::now();
        while provider.connections() == connections && tried()? < before + 3 {
            let url = bench.lab.user_url(&alice, &format!("calls/new?address={}", bo.extension));
            let call = bench.lab.curl(&alice).post(&url)?.expect_status(201)?;
            let call = call.text_of("callId").context("no callId")?.to_owned();
            bench.lab.curl(&alice).delete(&bench.lab.user_url(&alice, &format!("calls/{call}")))?;
            ensure!(began.elapsed() < PATIENCE, "no push is tried");
        }
        Ok(provider.connections() > connections)
    };
    effects.see(
        "ADP_CLI/System/SSLCommonSettings/GeneralSettings",
        "validatePeerIdentity",
        "false",
        (false, true),
        reached,
    )?;
    effects.run("ADP_CLI/System/SSLCommonSettings/GeneralSettings", "set validatePeerIdentity false")?;
    effects.see_rows(
        "ADP_CLI/System/SSLCommonSettings/Trusts/BroadWorks",
        &["alias"],
        (
            "deleteTrust lab-authority",
            &format!("updateTrust lab-authority {}", authority.join("ca.crt").display()),
        ),
        (true, false),
        reached,
    )?;
    effects.finish()
}

/// An app that uses the new key is pushed to.
fn effects_of_app(bench: &Bench, tokens: &str, application: &str) -> Result<()> {
    bench.lab.administer(&[&format!("{tokens}> add {application} authKeyId TESTKEY001")])?;
    until("the key is used", || Ok(bench.push(application, "ios")? == "sent"))
}

/// Pool, time-outs and idle time of a provider's connections.
fn timing(
    bench: &Bench,
    effects: &mut Effects<'_>,
    context: &str,
    application: &str,
    (provider, pools): (&Handle, usize),
) -> Result<()> {
    // The first connection is proven; so many more as the pool may have open for what is held.
    ensure!(bench.push(application, "ios")? == "sent", "not sent");
    let usual = bench.hold(provider, application, "ios", 8)?;
    effects.with(context, &["connectionPoolSize"], "set connectionPoolSize 5", || {
        let began = Instant::now();
        while bench.hold(provider, application, "ios", 8)? < usual + 3 {
            ensure!(began.elapsed() < PATIENCE, "{} connections", provider.connections());
        }
        Ok(())
    })?;
    effects.with(
        context,
        &["connectionIdleTimeoutInSeconds"],
        "set connectionIdleTimeoutInSeconds 1",
        || {
            until("a push", || Ok(bench.push(application, "ios")? == "sent"))?;
            ensure!(provider.open_connections() > pools, "{} are open", provider.open_connections());
            bench.wait("one is left of each", provider.open_at_most(pools))
        },
    )?;
    // A provider that says nothing: given up soon, or still waited for when the answer is due.
    let silent = || {
        provider.script(Script::Silence, 2);
        let status = bench.push(application, "ios")?;
        provider.clear_scripts();
        Ok(status == "unavailable")
    };
    ensure!(!silent()?, "not given up");
    effects.with(context, &["connectionTimeout"], "set connectionTimeout 100", || until("given up", silent))
}

#[test]
fn fcm() -> Result<()> {
    let bench = Bench::new()?;
    let mut effects = Effects::of(&bench.lab, "parameters/nps.rs::fcm");
    let own = Pair::make(
        bench.folder.path(),
        "own.pem",
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    )?;
    let provider = bench.fcm(&own.public)?;
    let at = provider.address();
    let grants = || {
        let received = provider.received();
        received
            .iter()
            .filter_map(|found| match found {
                Received::Grant(grant) => Some((grant.verdict.status, grant.lifetime)),
                Received::Apns(_) | Received::Fcm(_) | Received::Identity(_) => None,
            })
            .collect::<Vec<_>>()
    };
    let pushes = || provider.received().iter().filter_map(Received::fcm).count();
    ensure!(bench.push("lab.android", "android")? == "sent", "not sent");
    effects.with(FCM, &["authURL"], &format!("set authURL https://{at}/oauth2/v4/token"), || {
        until("a token is asked for", || {
            bench.push("lab.android", "android")?;
            Ok(!grants().is_empty())
        })
    })?;
    effects.with(
        FCM,
        &["pushURL"],
        &format!("set pushURL https://{at}/v1/projects/PROJECT-ID/messages:send"),
        || until("a push arrives", || Ok(bench.push("lab.android", "android")? == "sent" && pushes() > 0)),
    )?;
    let sent = |application: &str| Ok(bench.push(application, "android")? == "sent");
    effects.see(FCM, "V1Enabled", "false", (true, false), || sent("lab.android"))?;
    let scope = "https://www.googleapis.com/auth/cloud-platform.read-only";
    effects.see(FCM, "scope", scope, (true, false), || sent("lab.android"))?;

    let account = bench.folder.path().join("account.json");
    let key_file = json!({
        "type": "service_account", "project_id": PROJECT, "private_key_id": "test-key",
        "private_key": std::fs::read_to_string(&own.private)?, "client_email": ACCOUNT,
        "token_uri": format!("https://{at}/oauth2/v4/token"),
    });
    std::fs::write(&account, key_file.to_string())?;
    let before = grants().len();
    effects.with(
        &format!("{FCM}/Projects"),
        &["projectId", "accountKey"],
        &format!("add {PROJECT} {}", account.display()),
        || {
            bench.lab.administer(&[&format!("{FCM}/Applications> add lab.other projectId {PROJECT}")])?;
            until("its project is pushed for", || sent("lab.other"))?;
            let received = provider.received();
            ensure!(
                received.iter().filter_map(Received::fcm).any(|push| push.project == PROJECT),
                "{received:?}"
            );
            ensure!(grants().len() > before, "no token for its account");
            Ok(())
        },
    )?;
    effects.see_rows(
        &format!("{FCM}/Applications"),
        &["applicationId", "projectId"],
        ("delete lab.other", &format!("add lab.other projectId {PROJECT}")),
        (true, false),
        || sent("lab.other"),
    )?;
    // The next assertion is good for as long as it says; a new account needs one.
    ensure!(grants().iter().all(|(_, lifetime)| *lifetime == 3600), "{:?}", grants());
    effects.with(FCM, &["tokenTimeToLiveInSeconds"], "set tokenTimeToLiveInSeconds 300", || {
        until("an assertion for five minutes", || {
            provider.void_access_tokens();
            sent("lab.other")?;
            Ok(grants().iter().any(|(status, lifetime)| *status == 200 && *lifetime == 300))
        })
    })?;

    effects.run(FCM, "set connectionPoolSize 1")?;
    until("a push", || sent("lab.android"))?;
    let usual = bench.hold(&provider, "lab.android", "android", 6)?;
    effects.with(FCM, &["connectionPoolSize"], "set connectionPoolSize 4", || {
        until("more connections", || Ok(bench.hold(&provider, "lab.android", "android", 6)? > usual + 1))
    })?;
    let silent = || {
        provider.script(Script::Silence, 2);
        let status = bench.push("lab.android", "android")?;
        provider.clear_scripts();
        Ok(status == "unavailable")
    };
    ensure!(!silent()?, "not given up");
    let set = "set connectionTimeoutInMilliseconds 100";
    effects.with(FCM, &["connectionTimeoutInMilliseconds"], set, || until("given up", silent))?;
    effects.run(FCM, "clear connectionTimeoutInMilliseconds")?;
    effects.with(
        FCM,
        &["connectionIdleTimeoutInSeconds"],
        "set connectionIdleTimeoutInSeconds 10",
        || {
            until("a push", || sent("lab.android"))?;
            let open = provider.open_connections();
            ensure!(open > 2, "{open} are open");
            // One for messages, one for tokens.
            bench.wait("one of each is left", provider.open_at_most(2))
        },
    )?;
    effects.finish()
}

#[test]
fn access() -> Result<()> {
    let bench = Bench::new()?;
    let lab = &bench.lab;
    let mut effects = Effects::of(lab, "parameters/nps.rs::access");
    let status = |secret: &str| bench.post(&bench.call(&[]), secret).map(|answer| answer.status != 403);
    effects.see_rows(
        ACCESS,
        &["sharedSecret"],
        ("set sharedSecret another-secret", &format!("set sharedSecret {SECRET}")),
        ((true, false), (false, true)),
        || Ok((status(SECRET)?, status("another-secret")?)),
    )?;

    let port = lab.port_base() + 3;
    lab.administer(&[&format!(
        "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication/WebApps> add 127.0.0.1 {port} NotificationPushServer true"
    )])?;
    let file = |name: &str| lab.description["cti"][name].as_str().unwrap_or_default().to_owned();
    let (certificate, key) = (file("client_cert"), file("client_key"));
    let by_certificate = || {
        let url = format!("{}/v1/health", lab.text("nps"));
        let curl = Curl::new(lab.ca()).args(["--cert", &certificate, "--key", &key]);
        Ok(curl.get(&url).map_or(0, |answer| answer.status))
    };
    effects.see_rows(
        CLIENTS,
        &["commonName"],
        ("add cti.lab.invalid", "delete cti.lab.invalid"),
        (403, 200),
        by_certificate,
    )?;
    effects.finish()
}

#[test]
fn turns() -> Result<()> {
    let bench = Bench::new()?;
    let mut effects = Effects::of(&bench.lab, "parameters/nps.rs::turns");
    let provider = bench.apns(&[])?;
    effects.run(
        &format!("{APNS}/Production"),
        &format!("set url https://{}/3/device connectionTimeout 30000", provider.address()),
    )?;
    until("a push arrives", || Ok(bench.push("lab.ios", "ios")? == "sent" && provider.answered() > 0))?;
    let later = || {
        let notification = bench.call(&[bench.target("lab.ios", "ios")]);
        let url = format!("{}/v1/notifications", bench.lab.text("nps"));
        let curl = Curl::new(bench.lab.ca())
            .header("Content-Type: application/json")
            .header(&format!("X-NPS-Secret: {SECRET}"))
            .header("Prefer: respond-async")
            .body(notification.to_string());
        curl.post(&url).map(|answer| answer.status)
    };
    let waiting = || -> Result<u64> {
        let url = format!("{}/v1/health", bench.lab.text("nps"));
        let answer = Curl::new(bench.lab.ca()).header(&format!("X-NPS-Secret: {SECRET}")).get(&url)?;
        let health: Value = serde_json::from_str(&answer.expect_status(200)?.body)?;
        health["waiting"].as_u64().context("waiting")
    };
    // Five at a provider that answers none: all under way, or one after the other.
    effects.with(GENERAL, &["maximumConcurrentPushes"], "set maximumConcurrentPushes 1", || {
        until("all but one wait", || {
            provider.script(Script::Hold, 5);
            for _ in 0..5 {
                ensure!(later()? == 202, "refused");
            }
            let wait = waiting()?;
            if wait < 4 {
                provider.release();
                provider.clear_scripts();
                until("none waits", || Ok(waiting()? == 0))?;
            }
            Ok(wait >= 4)
        })
    })?;
    effects.with(GENERAL, &["maximumWaitingPushes"], "set maximumWaitingPushes 3", || {
        until("refused", || Ok(later()? == 503))
    })?;
    provider.release();
    effects.finish()
}
