//! The client of the identity cloud against its stand-in: over sockets and TLS, with the settings, the files and the trust
//! anchors of a real installation. Only the clocks are the test's.

use super::*;
use crate::settings::{CiscoIdentityProvider, Federation, OtherIdentityProvider, Partner};
use async_trait::async_trait;
use openadp_appserver::{AdminLevel, PortResult};
use openadp_outgoing::OutgoingName;
use openadp_settings::{Author, Change, Edit, Registry, Settings as _};
use openadp_standins::identity::{
    Client, Cluster, Config as CloudConfig, Endpoint, Fault as CloudFault, IdentityCloud, TokenRequest, start,
};
use openadp_standins::{Environment, TlsPair};
use openadp_tls::authority::{KeyType, LabAuthority};
use openadp_tls::{ClientUse, ServerTrust, Tls};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use time::OffsetDateTime;

const NOW: i64 = 1_795_255_200;
const ISSUER: &str = "https://idbroker.webex.com/idb";
const EUROPE: &str = "https://idbroker-eu.webex.com/idb";

/// The application server: users by id, one of whom has another name; whoever begins with `admin` administers.
#[derive(Default)]
struct Accounts {
    down: AtomicBool,
    revoked_before: AtomicI64,
}

#[async_trait]
impl Credentials for Accounts {
    async fn verify_password(&self, _: &UserId, _: &str) -> PortResult<Account> {
        Err(PortError::CredentialsRefused)
    }
    async fn account(&self, user: &UserId) -> PortResult<Account> {
        if self.down.load(Ordering::SeqCst) {
            return Err(PortError::Unavailable("no connection".into()));
        }
        let kind = match user.as_str() {
            "alice@bw.example" | "alice@mail.example" => {
                AccountKind::Subscriber { provider: "acme".into(), group: "north".into() }
            }
            "admin@bw.example" => AccountKind::Administrator(AdminLevel::System),
            _ => return Err(PortError::NotFound { what: "user" }),
        };
        let user_id = if user.as_str() == "alice@mail.example" {
            UserId::new("alice@bw.example")
        } else {
            user.clone()
        };
        Ok(Account { user_id, kind, password_expires_days: None })
    }
    async fn tokens_revoked_before(&self, _: &UserId) -> PortResult<Option<i64>> {
        Ok(Some(self.revoked_before.load(Ordering::SeqCst)))
    }
    async fn revoke_tokens(&self, _: Option<&UserId>) -> PortResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Logins for Accounts {
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

/// Both kinds of time, moved by the test.
struct Time {
    began: Instant,
    moved: AtomicU64,
}

impl Time {
    fn pass(&self, time: Duration) {
        self.moved.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
    fn millis(&self) -> u64 {
        self.moved.load(Ordering::SeqCst)
    }
}

impl Clock for Time {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(NOW).unwrap() + Duration::from_millis(self.millis())
    }
}

struct Bed {
    accounts: Arc<Accounts>,
    cloud: IdentityCloud,
    dir: tempfile::TempDir,
    store: Arc<Store>,
    tasks: TaskTracker,
    time: Arc<Time>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.tasks.close();
    }
}

fn open(dir: &std::path::Path) -> Arc<Store> {
    let modules = [MODULE, openadp_outgoing::MODULE, openadp_tls::MODULE];
    Store::open(dir, Registry::new(modules).unwrap()).unwrap()
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = LabAuthority::open(&dir.path().join("authority")).unwrap();
        let names =
            ["idbroker.webex.com", "cifls.webex.com", "idp-proxy.wbx2.com", "second.example", "127.0.0.1"];
        let issued = authority.issue_server(&names, KeyType::Ec).unwrap();
        let (tasks, time) =
            (TaskTracker::new(), Arc::new(Time { began: Instant::now(), moved: AtomicU64::new(0) }));
        let clock = time.clone();
        let client = |id: &str, refresh: &str| Client {
            id: id.to_owned(),
            secret: format!("{id} secret:+%"),
            refresh_token: refresh.to_owned(),
        };
        let cloud = start(
            Environment {
                bind: "127.0.0.1:0".parse().unwrap(),
                tls: TlsPair {
                    certificates: issued.certificate_pem.clone(),
                    key: issued.key_pem.to_string(),
                },
                clock: Arc::new(move || openadp_appserver::epoch_millis(clock.now())),
                tasks: tasks.clone(),
                shutdown: CancellationToken::new(),
                sink: None,
            },
            CloudConfig {
                bridge_scope: String::new(),
                clients: vec![client("first", "r-1"), client("first", "r-acme"), client("second", "r-2")],
                any_client: false,
                clusters: [("US-A", ISSUER), ("EU", EUROPE)]
                    .map(|(name, issuer)| Cluster { name: name.into(), issuer: issuer.into() })
                    .to_vec(),
            },
        )
        .await
        .unwrap();
        let store = open(dir.path());
        let bed = Self { accounts: Arc::default(), cloud, dir, store, tasks, time };
        bed.act(&ServerTrust::CONTEXT.full_path(), "updateTrust", &["lab", authority.certificate_pem()]);
        for name in ["idbroker.webex.com", "cifls.webex.com", "idp-proxy.wbx2.com", "second.example"] {
            bed.name(name);
        }
        bed.cisco(&[
            ("enabled", "true"),
            ("clientId", "first"),
            ("clientSecret", "first secret:+%"),
            ("issuerName", ISSUER),
            ("issuerUrl", ISSUER),
            ("tokenInfoUrl", "https://idp-proxy.wbx2.com/broadworks-idp-proxy/api/v1/idp/authenticate"),
        ]);
        bed.set::<Federation>(&[], &[("refreshToken", "r-1")]);
        // The most that can be set: the machine may be busy.
        bed.set::<IdentityLimits>(
            &[],
            &[("connectTimeoutInMilliseconds", "1500"), ("totalTimeoutInMilliseconds", "1500")],
        );
        bed
    }

    fn name(&self, name: &str) {
        let port = self.cloud.address().port().to_string();
        self.add::<OutgoingName>(&[("name", name), ("ipAddress", "127.0.0.1"), ("port", &port)]);
    }

    fn commit(&self, edit: Edit) {
        let change = Change { author: Author("test".into()), comment: None, edits: vec![edit], force: false };
        self.store.commit(&change, self.time.now()).unwrap();
    }
    fn set<T: openadp_settings::Settings>(&self, key: &[&str], values: &[(&str, &str)]) {
        self.commit(Edit::Set {
            context: T::CONTEXT.full_path(),
            key: key.iter().map(|text| (*text).to_owned()).collect(),
            values: values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect(),
        });
    }
    fn cisco(&self, values: &[(&str, &str)]) {
        self.set::<CiscoIdentityProvider>(&[], values);
    }
    fn add<T: openadp_settings::Settings>(&self, values: &[(&str, &str)]) {
        let values: BTreeMap<String, String> =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.commit(Edit::Add { context: T::CONTEXT.full_path(), values });
    }
    fn act(&self, context: &str, action: &str, arguments: &[&str]) {
        let arguments: Vec<Option<String>> = arguments.iter().map(|text| Some((*text).to_owned())).collect();
        self.store
            .run_action(context, action, &arguments, &Author("test".into()), false, self.time.now())
            .unwrap();
    }

    /// As a process of the installation would have it.
    fn process(&self, store: &Arc<Store>) -> Identities {
        let tls = Tls::new(store.clone(), self.dir.path());
        let time = self.time.clone();
        Identities::new(Needs {
            clock: self.time.clone(),
            credentials: self.accounts.clone(),
            logins: self.accounts.clone(),
            purpose: Purpose::Users,
            shutdown: CancellationToken::new(),
            store: store.clone(),
            tasks: self.tasks.clone(),
            ticks: Arc::new(move || time.began + Duration::from_millis(time.millis())),
            tls: Arc::new(move || tls.client_config(ClientUse::HTTP.strict()).map_err(std::io::Error::other)),
        })
    }
    fn identities(&self) -> Identities {
        self.process(&self.store)
    }
    fn token(&self) -> String {
        self.issue(|_| {})
    }
    fn issue(&self, change: impl FnOnce(&mut TokenRequest)) -> String {
        let mut request = TokenRequest { user: "alice@bw.example".into(), ..TokenRequest::default() };
        change(&mut request);
        self.cloud.issue(&request)
    }
    fn asked(&self) -> u64 {
        self.cloud.count(Endpoint::Introspection)
    }
}

/// What a token came to, in a word: the user, or why not.
async fn word(identities: &Identities, token: &str) -> String {
    match identities.verify(token).await {
        Ok(proven) => proven.account.user_id.to_string(),
        Err(Denied::Token(why)) => format!("token {why}"),
        Err(Denied::User(why)) => format!("user {why}"),
        Err(Denied::Unavailable(why)) => format!("unavailable {why}"),
        Err(Denied::Scope) => "scope".to_owned(),
        Err(Denied::Internal) => "internal".to_owned(),
    }
}

const ALICE: &str = "alice@bw.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_about_once_however_many_bring_it() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let token = bed.token();
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (identities, token) = (identities.clone(), token.clone());
            bed.tasks.spawn(async move { word(&identities, &token).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), ALICE);
    }
    assert_eq!((bed.asked(), bed.cloud.count(Endpoint::Token)), (1, 1), "one question at a time for a token");
    let proven = identities.verify(&token).await.unwrap();
    assert_eq!(proven.organization(), Some(TokenRequest::default().organization.as_str()));
    assert!(matches!(proven.account().kind, AccountKind::Subscriber { .. }));
    assert_eq!(bed.asked(), 1, "it is known");
    bed.time.pass(Duration::from_mins(5));
    assert_eq!(word(&identities, &token).await, ALICE);
    assert_eq!(bed.asked(), 2, "for five minutes");
    bed.cloud.revoke(&token);
    bed.time.pass(Duration::from_mins(5));
    assert_eq!(word(&identities, &token).await, "token ciInactive");
    assert_eq!(word(&identities, &token).await, "token ciInactive");
    assert_eq!(bed.asked(), 3, "a refused one is known for ten seconds");
    bed.time.pass(Duration::from_secs(10));
    assert_eq!(word(&identities, &token).await, "token ciInactive");
    assert_eq!(bed.asked(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_must_be_good_for() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let check = async |change: fn(&mut TokenRequest)| word(&identities, &bed.issue(change)).await;
    assert_eq!(check(|token| token.opaque = true).await, ALICE, "the only provider is asked");
    assert_eq!(
        check(|token| (token.user, token.by_email) = ("alice@mail.example".into(), true)).await,
        ALICE,
        "by another name"
    );
    assert_eq!(check(|token| token.scope = "spark:kms".into()).await, "scope");
    assert_eq!(check(|token| token.user = "nobody@bw.example".into()).await, "user ciUnknownUser");
    assert_eq!(check(|token| token.issuer = EUROPE.into()).await, "token ciUnknownIssuer");
    assert_eq!(check(|token| token.user = "admin@bw.example".into()).await, "user ciAdministrator");
    assert_eq!(word(&identities, "no such token").await, "token ciMalformed");
    assert_eq!(word(&identities, "x.y.z").await, "token ciInactive");

    let (token, asked) = (bed.token(), bed.asked());
    assert_eq!(word(&identities, &token).await, ALICE);
    bed.accounts.revoked_before.store((NOW + 1) * 1000, Ordering::SeqCst);
    assert_eq!(word(&identities, &token).await, "token revoked", "although it is known");
    bed.accounts.revoked_before.store(0, Ordering::SeqCst);
    bed.accounts.down.store(true, Ordering::SeqCst);
    assert_eq!(word(&identities, &token).await, "unavailable applicationServer");
    bed.accounts.down.store(false, Ordering::SeqCst);
    assert_eq!(bed.asked(), asked + 1);

    // Changed settings hold at once, also for what was known.
    bed.cisco(&[("allowedOrganizations", "another-org")]);
    assert_eq!(word(&identities, &token).await, "user ciOrganization");
    bed.cisco(&[("allowedOrganizations", "another-org 5f6b1c0e-0000-4000-8000-000000000001")]);
    assert_eq!(word(&identities, &token).await, ALICE);
    bed.cisco(&[("enabled", "false")]);
    assert!(!identities.is_on());
    assert_eq!(word(&identities, &token).await, "token ciUnknownIssuer");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_come_by_role_or_scope() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let admin = |token: &mut TokenRequest| {
        (token.user, token.roles) = ("admin@bw.example".into(), "id_full_admin".into());
    };
    assert_eq!(word(&identities, &bed.issue(admin)).await, "user ciAdministrator");
    bed.add::<AllowedRole>(&[("name", "id_full_admin")]);
    assert_eq!(word(&identities, &bed.issue(admin)).await, "admin@bw.example");
    bed.add::<AllowedScope>(&[("name", "spark-admin:people_write")]);
    assert_eq!(word(&identities, &bed.issue(admin)).await, "user ciAdministrator");
}

/// Each fault is met in time, is no fault of the user's, and is over when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_cloud_is_survived() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let slow = CloudFault::Slow(Duration::from_secs(4));
    for (fault, expected) in [
        (slow, "unavailable timeout"),
        (CloudFault::Silence, "unavailable timeout"),
        (CloudFault::Status(500), "unavailable status"),
        (CloudFault::Status(429), "unavailable status"),
        (CloudFault::Oversized, "unavailable tooLong"),
        (CloudFault::Compressed, "unavailable tooLong"),
        (CloudFault::WrongIssuer, "token ciIssuer"),
        (CloudFault::Redirect, "unavailable redirect"),
        (CloudFault::HangUp, "unavailable lost"),
        (CloudFault::Cut, "unavailable lost"),
        (CloudFault::Garbage, "unavailable malformed"),
    ] {
        let token = bed.token();
        bed.cloud.fault(Endpoint::Introspection, fault, 1);
        let began = Instant::now();
        assert_eq!(word(&identities, &token).await, expected, "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{fault:?} took {:?}", began.elapsed());
        bed.time.pass(Duration::from_secs(20)); // past breaker and negative cache
        assert_eq!(word(&identities, &token).await, ALICE, "after {fault:?}");
    }
    // The same at the token endpoint, where a process without an access token begins.
    for (fault, expected) in [
        (slow, "unavailable timeout"),
        (CloudFault::Status(500), "unavailable status"),
        (CloudFault::Oversized, "unavailable tooLong"),
        (CloudFault::Compressed, "unavailable tooLong"),
        (CloudFault::Redirect, "unavailable redirect"),
        (CloudFault::HangUp, "unavailable lost"),
        (CloudFault::Garbage, "unavailable malformed"),
    ] {
        let identities = bed.identities();
        bed.cloud.fault(Endpoint::Token, fault, 1);
        let token = bed.token();
        assert_eq!(word(&identities, &token).await, expected, "{fault:?}");
        bed.time.pass(Duration::from_secs(20));
        assert_eq!(word(&identities, &token).await, ALICE, "after {fault:?}");
    }
    // Our own access token is void all of a sudden: a new one is got, unseen.
    bed.cloud.forget_clients();
    assert_eq!(word(&identities, &bed.token()).await, ALICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_errors_costs_few_requests_and_no_known_user() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let (known, asked) = (bed.token(), bed.asked());
    assert_eq!(word(&identities, &known).await, ALICE);
    bed.cloud.fault(Endpoint::Introspection, CloudFault::Status(500), usize::MAX);
    // Every second somebody comes; now and then somebody new.
    for second in 0..3_599_u32 {
        bed.time.pass(Duration::from_secs(1));
        assert_eq!(word(&identities, &known).await, ALICE, "second {second}");
        if second % 100 == 0 {
            let word = word(&identities, &bed.token()).await;
            assert!(word == "unavailable status" || word == "unavailable breakerOpen", "{word}");
        }
    }
    let requests = bed.asked() - asked;
    assert!(
        requests < 3600 / 5 + 10,
        "{requests} requests in an hour: five to open, then one in five seconds"
    );
    bed.time.pass(Duration::from_secs(2));
    let late = word(&identities, &known).await;
    assert!(late.starts_with("unavailable"), "an hour is the setting, and no more: {late}");
    bed.cloud.clear_faults();
    bed.time.pass(Duration::from_secs(6));
    assert_eq!(word(&identities, &known).await, ALICE, "and it is over when it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_refresh_token_is_on_disk_before_its_access_token_is_used() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    bed.cloud.fault(Endpoint::Token, CloudFault::Rotate, 1);
    // Whoever looks when the first question comes must find the new one: the question itself never ends.
    bed.cloud.fault(Endpoint::Introspection, CloudFault::Silence, 1);
    let (asking, token) = (identities.clone(), bed.token());
    let asked = bed.tasks.spawn(async move { word(&asking, &token).await });
    bed.cloud.held_at_least(1).await;
    let after_a_crash = open(bed.dir.path());
    let stored = after_a_crash.get::<Federation>().refresh_token;
    assert!(stored.expose() != "r-1" && bed.cloud.refresh_tokens().contains(&stored.expose().to_owned()));
    let revisions = after_a_crash.revisions(0..=u64::MAX).unwrap();
    assert_eq!(revisions.last().unwrap().author.0, "system");
    let journal = std::fs::read_to_string(bed.dir.path().join("settings/revisions.jsonl")).unwrap();
    assert!(!journal.contains(stored.expose()), "encrypted at rest");
    assert_eq!(asked.await.unwrap(), "unavailable timeout");
    assert_eq!(word(&bed.process(&after_a_crash), &bed.token()).await, ALICE);
}

/// Every grant voids the refresh token that it was got with; processes that renew at once still all get theirs.
#[tokio::test(flavor = "multi_thread")]
async fn processes_take_turns_with_a_refresh_token() {
    let bed = Bed::new().await;
    bed.cloud.fault(Endpoint::Token, CloudFault::Rotate, usize::MAX);
    let processes: Vec<Identities> = (0..4).map(|_| bed.process(&open(bed.dir.path()))).collect();
    for _ in 0..3 {
        let renewed: Vec<_> = processes
            .iter()
            .map(|process| {
                let process = process.clone();
                bed.tasks.spawn(async move {
                    let reading = process.reading();
                    let registration = reading.config.registrations().remove(0);
                    process.0.grants.renew(&registration, Instant::now() + Duration::from_secs(20)).await
                })
            })
            .collect();
        for one in renewed {
            one.await.unwrap().unwrap();
        }
    }
    assert_eq!(bed.cloud.count(Endpoint::Token), 12, "none was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_and_providers_have_their_own_credentials() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    bed.set::<Federation>(&[], &[("refreshToken", "void")]);
    bed.add::<Partner>(&[
        ("partnerName", "acme"),
        ("refreshToken", "r-acme"),
        ("organizations", "org-acme org-a2"),
    ]);
    let of = |organization: &'static str| bed.issue(|token| token.organization = organization.into());
    assert_eq!(word(&identities, &of("org-a2")).await, ALICE, "with the partner's refresh token");
    assert_eq!(word(&identities, &of("org-b")).await, "unavailable refreshRefused", "with the void one");
    bed.set::<Federation>(&[], &[("refreshToken", "r-1")]);
    assert_eq!(
        word(&identities, &of("org-b")).await,
        "user ciOrganization",
        "partners' organisations are a list"
    );

    bed.add::<OtherIdentityProvider>(&[
        ("name", "second"),
        ("issuerName", "https://second.example/id"),
        ("issuerUrl", "https://second.example/id"),
        ("tokenInfoUrl", "https://second.example/idp/authenticate"),
        ("clientId", "second"),
        ("clientSecret", "second secret:+%"),
        ("refreshToken", "r-2"),
        ("scope", "voice"),
    ]);
    let second = || {
        bed.issue(|token| {
            (token.issuer, token.scope) = ("https://second.example/id".into(), "voice".into());
        })
    };
    assert_eq!(word(&identities, &second()).await, ALICE);
    assert_eq!(word(&identities, &of("org-acme")).await, ALICE, "both at once");
    assert_eq!(
        word(&identities, &bed.issue(|token| token.opaque = true)).await,
        "token ciUnknownIssuer",
        "which?"
    );
    let clients: Vec<_> = bed.cloud.received();
    let asked_by = |client: &str| {
        clients.iter().any(|one| one.to_string().contains(&format!("introspection for client {client} ")))
    };
    assert!(asked_by("first") && asked_by("second"));
    // A rotated one goes back to its own row.
    bed.cloud.fault(Endpoint::Token, CloudFault::Rotate, 1);
    let registration =
        identities.reading().config.registrations().into_iter().find(|one| one.provider == "second");
    identities
        .0
        .grants
        .renew(&registration.unwrap(), Instant::now() + Duration::from_secs(20))
        .await
        .unwrap();
    let row = bed.store.rows::<OtherIdentityProvider>().remove(0);
    assert!(bed.cloud.refresh_tokens().contains(&row.refresh_token.expose().to_owned()));
    assert_ne!(row.refresh_token.expose(), "r-2");
    assert_eq!(bed.store.get::<Federation>().refresh_token.expose(), "r-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_allowed() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let port = bed.cloud.address().port();
    bed.cisco(&[("tokenInfoUrl", &format!("https://127.0.0.1:{port}/idp/authenticate"))]);
    assert_eq!(word(&identities, &bed.token()).await, "unavailable connect");
    assert_eq!(bed.asked(), 0, "not even a connection");
    bed.set::<IdentityLimits>(&[], &[("allowPrivateAddresses", "true")]);
    bed.time.pass(Duration::from_secs(10));
    assert_eq!(word(&identities, &bed.token()).await, ALICE);
    // A server that cannot prove its name is none.
    bed.add::<OutgoingName>(&[
        ("name", "proxy.elsewhere.example"),
        ("ipAddress", "127.0.0.1"),
        ("port", &port.to_string()),
    ]);
    bed.cisco(&[("tokenInfoUrl", "https://proxy.elsewhere.example/idp/authenticate")]);
    assert_eq!(word(&identities, &bed.token()).await, "unavailable connect");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_federation_map_is_refreshed_and_its_last_good_form_stays() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let european = || bed.issue(|token| token.issuer = EUROPE.into());
    bed.set::<Federation>(&[], &[("flsUrl", "https://cifls.webex.com/federation")]);
    let mut memory = worker::Memory::default();
    identities.look(&mut memory).await;
    assert_eq!(word(&identities, &european()).await, ALICE, "an issuer of the map is asked about");
    let unlisted = bed.issue(|token| token.issuer = "https://idbroker.evil.example/idb".into());
    assert_eq!(word(&identities, &unlisted).await, "token ciUnknownIssuer");
    assert_eq!(bed.cloud.count(Endpoint::Federation), 1);
    bed.time.pass(Duration::from_mins(59));
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Federation), 1, "the period is an hour");
    bed.time.pass(Duration::from_mins(1));
    bed.cloud.fault(Endpoint::Federation, CloudFault::Status(503), 1);
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Federation), 2);
    assert_eq!(word(&identities, &european()).await, ALICE, "the last good one stays");
    let kept = state::federation(bed.dir.path());
    assert_eq!((kept.clusters.len(), kept.fetched, kept.failed), (2, Some(NOW), Some(NOW + 3600)));
    assert!(kept.error.unwrap().contains("https://cifls.webex.com/federation answers 503"));
    assert_eq!(word(&bed.identities(), &european()).await, ALICE, "also in a process that starts meanwhile");
    bed.time.pass(Duration::from_secs(30));
    identities.look(&mut memory).await;
    assert_eq!(state::federation(bed.dir.path()).fetched, Some(NOW + 3630), "and is got anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_access_tokens_are_renewed_before_they_end() {
    let bed = Bed::new().await;
    let identities = bed.identities();
    let mut memory = worker::Memory::default();
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Token), 1);
    bed.time.pass(Duration::from_mins(59));
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Token), 1);
    bed.time.pass(Duration::from_mins(1));
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Token), 2, "at least each refreshPeriodInMinutes");
    bed.set::<Federation>(&[], &[("refreshPeriodInMinutes", "1440")]);
    bed.time.pass(Duration::from_hours(9));
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Token), 2);
    bed.time.pass(Duration::from_mins(40));
    identities.look(&mut memory).await;
    assert_eq!(bed.cloud.count(Endpoint::Token), 3, "at four fifths of twelve hours");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_refresh_token_raises_an_alarm_in_time() {
    let bed = Bed::new().await;
    let mut memory = worker::Memory::default();
    // The identity provider refuses us all the time: the token is not used.
    bed.cloud.fault(Endpoint::Token, CloudFault::Status(503), usize::MAX);
    bed.time.pass(Duration::from_hours(24 * 44));
    let identities = bed.identities();
    identities.look(&mut memory).await;
    assert_eq!(memory.alarms(), [""; 0], "set 44 days ago, as the journal says");
    bed.time.pass(Duration::from_hours(24));
    identities.look(&mut memory).await;
    assert_eq!(memory.alarms(), ["Federation"]);
    let mut memory = worker::Memory::default();
    bed.identities().look(&mut memory).await;
    assert_eq!(memory.alarms(), ["Federation"], "another process knows it too");
    bed.set::<Federation>(&[], &[("refreshToken", "r-1-new")]);
    identities.look(&mut memory).await;
    assert_eq!(memory.alarms(), [""; 0], "a new one is new");
    bed.cloud.clear_faults();
    bed.set::<Federation>(&[], &[("refreshToken", "r-1")]);
    identities.look(&mut memory).await;
    bed.time.pass(Duration::from_hours(24 * 30));
    identities.look(&mut memory).await;
    assert_eq!(memory.alarms(), [""; 0], "used again and again");
}
