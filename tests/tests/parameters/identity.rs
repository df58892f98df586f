//! `ADP_CLI/Applications/AuthenticationService/IdentityProviders`: whose access tokens are exchanged, and how it is asked about
//! them. The identity cloud is a stand-in of the test's own, which knows its clients and can be asked.

use crate::{metric, until};
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_standins::identity::{Client, Cluster, Config, Endpoint, Fault, IdentityCloud, TokenRequest};
use openadp_standins::{Environment, TlsPair};
use openadp_suite::{Account, Curl, Effects, Lab};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const PROVIDERS: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders";
const CISCO: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco";
const FEDERATION: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco/Federation";
const LIMITS: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits";
const NAMES: &str = "ADP_CLI/System/CommunicationUtility/DefaultSettings/OutgoingNames";
const ISSUER: &str = "https://idbroker.webex.com/idb";
const OTHER_ISSUER: &str = "https://idp.elsewhere.example/idb";
const EUROPE: &str = "https://idbroker-eu.webex.com/idb";
const PROXY: &str = "broadworks-idp-proxy-a.wbx2.com";
const PATH: &str = "broadworks-idp-proxy/api/v1/idp/authenticate";
const FEDERATION_URL: &str = "https://cifls.webex.com/federation";
const HOME: &str = "5f6b1c0e-0000-4000-8000-000000000001";
pub(crate) const KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB";

fn now() -> i64 {
    UNIX_EPOCH.elapsed().ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}

/// A lab whose names of the identity cloud lead to a stand-in of the test.
struct Bench {
    lab: Lab,
    cloud: IdentityCloud,
    runtime: tokio::runtime::Runtime,
    alice: Account,
}

impl Bench {
    fn start() -> Result<Self> {
        let mut lab = Lab::seed()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let folder = lab.data_dir.join("lab/certificates");
        let environment = Environment {
            bind: "127.0.0.1:0".parse()?,
            tls: TlsPair {
                certificates: std::fs::read_to_string(folder.join("identity.crt"))?,
                key: std::fs::read_to_string(folder.join("identity.key"))?,
            },
            clock: Arc::new(|| now() * 1_000),
            tasks: tokio_util::task::TaskTracker::new(),
            shutdown: tokio_util::sync::CancellationToken::new(),
            sink: None,
        };
        let client = |id: &str, secret: &str, refresh: &str| Client {
            id: id.to_owned(),
            secret: secret.to_owned(),
            refresh_token: refresh.to_owned(),
        };
        let config = Config {
            clients: vec![
                client("own", "own-secret", "own-token"),
                client("own", "own-secret", "partner-token"),
                client("other", "other-secret", "other-token"),
            ],
            any_client: false,
            clusters: vec![Cluster { name: "EU".to_owned(), issuer: EUROPE.to_owned() }],
            bridge_scope: String::new(),
        };
        let cloud = runtime.block_on(openadp_standins::identity::start(environment, config))?;
        let port = cloud.address().port();
        let led = [PROXY, "idbroker.webex.com", "cifls.webex.com"]
            .map(|name| format!("{NAMES}> set {name} port {port}"));
        let mut commands = vec![
            format!("{CISCO}> set clientId own clientSecret own-secret"),
            format!("{FEDERATION}> set refreshToken own-token"),
            "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 0".to_owned(),
        ];
        commands.extend(led);
        lab.administer(&commands.iter().map(String::as_str).collect::<Vec<_>>())?;
        // Half an hour ago the federation service knew nobody.
        std::fs::DirBuilder::new().mode(0o700).create(lab.data_dir.join("authservice"))?;
        let earlier = now() - 1_800;
        std::fs::write(
            lab.data_dir.join("authservice/federation.json"),
            format!(
                r#"{{"url":"{FEDERATION_URL}","clusters":[],"fetched":{earlier},"error":null,"failed":null}}"#
            ),
        )?;
        lab.run()?;
        let alice = lab.subscriber(0);
        Ok(Self { lab, cloud, runtime, alice })
    }

    /// The status of an exchange.
    fn ask(&self, token: &str) -> Result<u16> {
        let url = format!("{}/token?key={KEY}", self.lab.text("auth_service"));
        Curl::new(self.lab.ca()).bearer(token).get(&url).map(|answer| answer.status)
    }

    /// A new access token of a user.
    fn token(&self, user: &Account, change: impl FnOnce(&mut TokenRequest)) -> String {
        let mut request = TokenRequest { user: user.user_id.clone(), ..TokenRequest::default() };
        change(&mut request);
        self.cloud.issue(&request)
    }

    /// The status of an exchange of a new access token of the first user.
    fn exchange(&self, change: impl FnOnce(&mut TokenRequest)) -> Result<u16> {
        self.ask(&self.token(&self.alice, change))
    }

    /// The same with the cloud misbehaving; afterwards it is asked as ever.
    fn amiss(&self, fault: Fault, ask: impl FnOnce() -> Result<u16>) -> Result<u16> {
        self.cloud.fault(Endpoint::Introspection, fault, 5);
        let status = ask()?;
        self.cloud.clear_faults();
        until("the cloud is asked again", || Ok(self.exchange(|_| {})? == 200))?;
        Ok(status)
    }

    /// Ends the connections to the cloud, and sees to it that this is known.
    fn cut(&self) -> Result<()> {
        self.cloud.cut_connections();
        self.runtime.block_on(async {
            tokio::time::timeout(openadp_suite::PATIENCE, self.cloud.open_at_most(0)).await
        })?;
        self.exchange(|_| {}).map(drop)
    }
}

#[test]
fn whose_tokens_are_taken() -> Result<()> {
    let bench = Bench::start()?;
    let mut effects = Effects::of(&bench.lab, "parameters/identity.rs::whose_tokens_are_taken");
    let admin = bench.lab.administrator("system");
    let user = || bench.exchange(|_| {});
    effects.see(CISCO, "enabled", "false", (200, 401), user)?;
    effects.see(CISCO, "allowedOrganizations", "another-organisation", (200, 403), user)?;
    effects.see(&format!("{CISCO}/Scopes"), "scope", "broadworks-connector:admin", (200, 403), user)?;
    effects.see_rows(
        &format!("{CISCO}/Admin/RolesAllowed"),
        &["name"],
        ("add id_full_admin", "delete id_full_admin"),
        (403, 200),
        || bench.ask(&bench.token(&admin, |token| token.roles = "id_full_admin".to_owned())),
    )?;
    effects.see_rows(
        &format!("{CISCO}/Admin/ScopesAllowed"),
        &["name"],
        ("add admin-scope", "delete admin-scope"),
        (403, 200),
        || bench.ask(&bench.token(&admin, |token| token.scope.push_str(" admin-scope"))),
    )?;
    // An answer of some kilobytes.
    let long = (0..100).map(|number| format!("role-of-some-length-{number} ")).collect::<String>();
    let large = || bench.exchange(|token| token.roles.clone_from(&long));
    effects.see(CISCO, "ciResponseBodyMaxSizeInBytes", "1024", (200, 503), large)?;

    // Another provider, whose tokens the same cloud checks.
    let others = format!("{PROVIDERS}/Others");
    let add = format!(
        "add elsewhere {OTHER_ISSUER} {ISSUER} https://{PROXY}/{PATH} clientId other clientSecret other-secret refreshToken other-token"
    );
    let theirs = || bench.exchange(|token| OTHER_ISSUER.clone_into(&mut token.issuer));
    effects.see_rows(&others, &["name", "issuerName"], (&add, "delete elsewhere"), (401, 200), theirs)?;
    effects.run(&others, &add)?;
    for (parameter, value, back, after) in [
        ("enabled", "false", "true", 401),
        ("scope", "another:scope", "broadworks-connector:user", 403),
        ("allowedOrganizations", "another-organisation", "\"\"", 403),
        ("issuerUrl", EUROPE, ISSUER, 503),
        ("tokenInfoUrl", &format!("https://{PROXY}/elsewhere"), &format!("https://{PROXY}/{PATH}"), 401),
        ("clientId", "own", "other", 503),
        ("clientSecret", "another-secret", "other-secret", 503),
        ("refreshToken", "own-token", "other-token", 503),
    ] {
        let (set, back) =
            (format!("set elsewhere {parameter} {value}"), format!("set elsewhere {parameter} {back}"));
        effects.see_rows(&others, &[parameter], (&set, &back), (200, after), theirs)?;
    }
    effects.run(&others, "delete elsewhere")?;
    effects.see(CISCO, "issuerName", OTHER_ISSUER, ((200, 401), (401, 200)), || Ok((user()?, theirs()?)))?;
    effects.finish()
}

#[test]
fn how_we_are_known() -> Result<()> {
    let bench = Bench::start()?;
    let mut effects = Effects::of(&bench.lab, "parameters/identity.rs::how_we_are_known");
    let user = || bench.exchange(|_| {});
    let set = |effects: &mut Effects<'_>, context: &str, parameter: &str, values: [&str; 2]| -> Result<()> {
        let commands = values.map(|value| format!("set {parameter} {value}"));
        effects.see_rows(context, &[parameter], (&commands[0], &commands[1]), (200, 503), user)
    };
    set(&mut effects, CISCO, "clientId", ["other", "own"])?;
    set(&mut effects, CISCO, "clientSecret", ["another-secret", "own-secret"])?;
    // Another cloud, whose access tokens are none here.
    set(&mut effects, CISCO, "issuerUrl", ["https://idbroker-b-us.webex.com/idb", ISSUER])?;
    set(&mut effects, FEDERATION, "refreshToken", ["another-token", "own-token"])?;

    // Users of a partner, who are asked about with its own refresh token.
    let partners = format!("{CISCO}/Partners");
    effects.run(CISCO, &format!("set allowedOrganizations {HOME}"))?;
    let theirs = || bench.exchange(|token| "partner-org".clone_into(&mut token.organization));
    ensure!(theirs()? == 403, "not yet");
    let add = "add acme refreshToken another-token organizations partner-org";
    effects.with(&partners, &["partnerName", "organizations"], add, || {
        until("they are taken, and cannot be asked about", || Ok(theirs()? == 503))
    })?;
    effects.with(&partners, &["refreshToken"], "set acme refreshToken partner-token", || {
        until("they can be asked about", || Ok(theirs()? == 200))
    })?;
    effects.see_rows(
        &partners,
        &["organizations"],
        ("set acme organizations another", "set acme organizations partner-org"),
        (200, 403),
        theirs,
    )?;
    effects.run(FEDERATION, "set refreshToken another-token")?;
    effects.see(FEDERATION, "partnerName", "acme", (503, 200), user)?;
    effects.run(FEDERATION, "set refreshToken own-token")?;

    // Those of the federation's other providers, once it was asked about them.
    let europe = || bench.exchange(|token| EUROPE.clone_into(&mut token.issuer));
    until("home users are asked about", || Ok(user()? == 200))?;
    ensure!(
        europe()? == 401 && bench.cloud.count(Endpoint::Federation) == 0,
        "half an hour ago it was asked"
    );
    effects.with(FEDERATION, &["refreshPeriodInMinutes"], "set refreshPeriodInMinutes 10", || {
        until("it is asked again", || Ok(europe()? == 200))
    })?;
    effects.run(FEDERATION, "clear flsUrl")?;
    until("nobody is asked", || Ok(europe()? == 401))?;
    effects.with(FEDERATION, &["flsUrl"], &format!("set flsUrl {FEDERATION_URL}"), || {
        until("the federation counts", || Ok(europe()? == 200))
    })?;

    // A refresh token that was used three weeks ago.
    let path = bench.lab.data_dir.join("authservice/refresh-tokens.json");
    let mut noted: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    noted["Federation"]["used"] = (now() - 21 * 86_400).into();
    std::fs::write(&path, noted.to_string())?;
    effects.see(LIMITS, "refreshTokenAlarmInDays", "20", (false, true), || {
        let list = bench.lab.administer(&["ADP_CLI/Monitoring/Alarm/AlarmsTable> list"])?;
        Ok(list.contains("refreshTokenAge"))
    })?;
    effects.finish()
}

#[test]
fn how_it_is_asked() -> Result<()> {
    let bench = Bench::start()?;
    let mut effects = Effects::of(&bench.lab, "parameters/identity.rs::how_it_is_asked");
    let user = || bench.exchange(|_| {});
    until("the cloud is asked", || Ok(user()? == 200))?;
    // A token that was good, while the cloud has a fault.
    let known = || {
        let token = bench.token(&bench.alice, |_| {});
        until("a good token", || Ok(bench.ask(&token)? == 200))?;
        bench.amiss(Fault::Status(500), || bench.ask(&token))
    };
    effects.run(LIMITS, "set outageGraceInMinutes 0")?;
    effects.see(LIMITS, "positiveCacheInSeconds", "0", (200, 503), known)?;
    effects.run(LIMITS, "set positiveCacheInSeconds 0 outageGraceInMinutes 60")?;
    effects.see(LIMITS, "outageGraceInMinutes", "0", (200, 503), known)?;
    // How often the cloud is asked about a token that is none.
    let asked = || {
        let token = bench.token(&bench.alice, |token| token.expires_in = -600);
        let before = bench.cloud.count(Endpoint::Introspection);
        for _ in 0..2 {
            ensure!(bench.ask(&token)? == 401, "taken");
        }
        Ok(bench.cloud.count(Endpoint::Introspection) - before)
    };
    effects.see(LIMITS, "negativeCacheInSeconds", "0", (1, 2), asked)?;
    effects.run(LIMITS, "set totalTimeoutInMilliseconds 1500")?;
    let slow = || bench.amiss(Fault::Slow(Duration::from_millis(300)), user);
    effects.see(LIMITS, "totalTimeoutInMilliseconds", "100", (200, 503), slow)?;
    // Whether questions that are asked at once go over more than one connection.
    let several = || {
        bench.cut()?;
        until("connected again", || Ok(user()? == 200))?;
        let before = bench.cloud.connections();
        bench.cloud.fault(Endpoint::Introspection, Fault::Slow(Duration::from_millis(400)), 4);
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(user)).collect();
            asking.into_iter().try_for_each(|one| one.join().map(drop))
        })
        .map_err(|_| anyhow::anyhow!("a request panicked"))?;
        bench.cloud.clear_faults();
        Ok(bench.cloud.connections() > before)
    };
    effects.see(LIMITS, "connectionsPerHost", "1", (true, false), several)?;

    let port = bench.cloud.address().port();
    effects.see(CISCO, "tokenInfoUrl", &format!("https://{PROXY}/elsewhere"), (200, 401), user)?;
    effects.run(CISCO, &format!("set tokenInfoUrl https://localhost:{port}/{PATH}"))?;
    effects.see(LIMITS, "allowPrivateAddresses", "true", (503, 200), user)?;
    // A private address that the operator names is one that is meant.
    effects.run(CISCO, &format!("set tokenInfoUrl https://localhost/{PATH}"))?;
    let add = format!("add localhost 127.0.0.1 port {port}");
    effects.see_rows(NAMES, &["name"], (&add, "delete localhost"), (503, 200), user)?;
    effects.run(NAMES, &add)?;
    for (parameter, value, back) in
        [("ipAddress", "127.0.0.2", "127.0.0.1"), ("port", "1", &port.to_string())]
    {
        let commands = [value, back].map(|value| format!("set localhost {parameter} {value}"));
        effects.see_rows(NAMES, &[parameter], (&commands[0], &commands[1]), (200, 503), user)?;
    }

    // A host that takes connections and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    silent.set_nonblocking(true)?;
    effects.run(NAMES, &format!("set localhost port {}", silent.local_addr()?.port()))?;
    let why = || {
        let count =
            |why: &str| metric(&bench.lab, "authservice_ci_checks_total", &format!("outcome=\"{why}\""));
        let before = [count("connect")?, count("noConnection")?];
        user()?;
        match silent.accept() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
        Ok([count("connect")? > before[0], count("noConnection")? > before[1]])
    };
    // One limit or the other ends it.
    effects.run(LIMITS, "set connectTimeoutInMilliseconds 50 totalTimeoutInMilliseconds 1000")?;
    effects.see(LIMITS, "connectTimeoutInMilliseconds", "1500", ([true, false], [false, true]), why)?;
    effects.finish()
}

/// An access token as a client may make it up: nobody vouches for it.
pub(crate) fn made_up(number: u32) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{number}", part(r#"{"alg":"RS256"}"#), part(&format!(r#"{{"iss":"{ISSUER}"}}"#)))
}
