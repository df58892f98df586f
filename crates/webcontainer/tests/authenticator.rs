//! Who is let in, and who is not: passwords, tokens, revocation, encodings.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use openadp_appserver::{
    Account, AccountKind, AdminLevel, Clock, Credentials, PortError, PortResult, Principal, UserId,
};
use openadp_keystore::KeyStore;
use openadp_settings::{Author, Change, Edit, Registry, Settings, Store};
use openadp_token::{Claims, TokenManagement, issue};
use openadp_webcontainer::{AuthError, Authenticator, GeneralSettings};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::OffsetDateTime;

const NOW: i64 = 1_800_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(NOW).unwrap()
    }
}

/// An application server with two accounts.
#[derive(Default)]
struct Accounts {
    attempts: AtomicU32,
    lookups: AtomicU32,
    revoked_before: AtomicI64,
    down: Mutex<bool>,
}

fn account(user: &UserId) -> PortResult<Account> {
    let kind = match user.as_str() {
        "alice@lab.example" => {
            AccountKind::Subscriber { provider: "lab".to_owned(), group: "one".to_owned() }
        }
        "admin@lab.example" => AccountKind::Administrator(AdminLevel::System),
        _ => return Err(PortError::NotFound { what: "user" }),
    };
    Ok(Account { user_id: user.clone(), kind, password_expires_days: None })
}

impl Accounts {
    fn up(&self) -> PortResult<()> {
        if *self.down.lock().unwrap() { Err(PortError::Unavailable("down".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Credentials for Accounts {
    async fn verify_password(&self, user: &UserId, password: &str) -> PortResult<Account> {
        self.up()?;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if password == "grün:1" { account(user) } else { Err(PortError::CredentialsRefused) }
    }
    async fn account(&self, user: &UserId) -> PortResult<Account> {
        self.up()?;
        self.lookups.fetch_add(1, Ordering::Relaxed);
        account(user)
    }
    async fn tokens_revoked_before(&self, _: &UserId) -> PortResult<Option<i64>> {
        self.up()?;
        Ok(Some(self.revoked_before.load(Ordering::Relaxed)))
    }
    async fn revoke_tokens(&self, _: Option<&UserId>) -> PortResult<()> {
        Ok(())
    }
}

struct Bed {
    accounts: Arc<Accounts>,
    authenticator: Authenticator,
    keystore: Arc<KeyStore>,
    store: Arc<Store>,
    directory: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let modules = [openadp_token::MODULE, openadp_webcontainer::MODULE];
        let store = Store::in_memory(Registry::new(modules).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let keystore = KeyStore::open(directory.path(), store.machine_key().clone()).unwrap();
        let accounts = Arc::new(Accounts::default());
        let authenticator =
            Authenticator::new(&store, keystore.clone(), Some(accounts.clone()), Arc::new(FixedClock));
        Self { accounts, authenticator, keystore, store, directory }
    }
    fn set<T: Settings>(&self, name: &str, value: &str) {
        let values = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
        let edits = vec![Edit::Set { context: T::CONTEXT.full_path(), key: Vec::new(), values }];
        let change = Change { author: Author("test".to_owned()), comment: None, edits, force: false };
        self.store.commit(&change, OffsetDateTime::UNIX_EPOCH).unwrap();
    }
    async fn ask(&self, authorization: &str) -> Result<Principal, AuthError> {
        let value = HeaderValue::from_str(authorization).unwrap();
        self.authenticator.authenticate(&HeaderMap::from_iter([(AUTHORIZATION, value)]), HERE).await
    }
    async fn basic(&self, credentials: &[u8]) -> Result<Principal, AuthError> {
        self.ask(&format!("Basic {}", STANDARD.encode(credentials))).await
    }
    fn token(&self, user: &str) -> String {
        issue(&self.keystore, &Claims::new("BroadWorks", user, &["pwd"], NOW, 1)).unwrap()
    }
}

#[tokio::test]
async fn passwords_are_read_as_the_setting_says() {
    let bed = Bed::new();
    let (latin, utf8) = (b"Alice@LAB.example:gr\xfcn:1".as_slice(), "alice@lab.example:grün:1".as_bytes());
    assert_eq!(bed.basic(latin).await.unwrap().id(), "alice@lab.example");
    assert!(matches!(bed.basic(utf8).await, Err(AuthError::Refused)));
    bed.set::<GeneralSettings>("authenticationEncoding", "UTF-8");
    assert!(matches!(bed.basic(utf8).await.unwrap(), Principal::Subscriber { group, .. } if group == "one"));
    assert!(matches!(bed.basic(latin).await, Err(AuthError::Refused)));
    // Scheme in any case, padding or not.
    let unpadded = STANDARD.encode(utf8).trim_end_matches('=').to_owned();
    assert!(bed.ask(&format!("bASIC  {unpadded}")).await.is_ok());
}

#[tokio::test]
async fn one_request_is_one_attempt_and_nonsense_is_none() {
    let bed = Bed::new();
    assert!(matches!(bed.basic(b"alice@lab.example:wrong").await, Err(AuthError::Refused)));
    assert_eq!(bed.accounts.attempts.load(Ordering::Relaxed), 1);
    for nonsense in ["Basic", "Basic !!!", "Basic YQ==", "Basic OnB3", "Basic YQo6Yg=="] {
        assert!(bed.ask(nonsense).await.is_err(), "{nonsense}");
    }
    for missing in ["Digest x", "BroadWorksSSO x", "x"] {
        assert!(matches!(bed.ask(missing).await, Err(AuthError::Missing)), "{missing}");
    }
    assert!(matches!(bed.authenticator.authenticate(&HeaderMap::new(), HERE).await, Err(AuthError::Missing)));
    let mut twice = HeaderMap::new();
    twice.append(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    twice.append(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    assert!(matches!(bed.authenticator.authenticate(&twice, HERE).await, Err(AuthError::Refused)));
    assert!(matches!(bed.ask(&format!("Bearer {}", "x".repeat(20_000))).await, Err(AuthError::Refused)));
    assert_eq!(bed.accounts.attempts.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_holds_until_it_is_revoked_and_not_a_second_longer() {
    let bed = Bed::new();
    let token = bed.token("admin@lab.example");
    let bearer = format!("Bearer {token}");
    for _ in 0..3 {
        assert!(matches!(bed.ask(&bearer).await.unwrap(), Principal::Administrator { .. }));
    }
    assert_eq!(bed.accounts.lookups.load(Ordering::Relaxed), 1, "a burst asks once");
    bed.accounts.revoked_before.store(NOW * 1000 + 1, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(bed.ask(&bearer).await, Err(AuthError::Refused)));
}

#[tokio::test]
async fn altered_foreign_and_orphaned_tokens_are_refused() {
    let bed = Bed::new();
    let token = bed.token("alice@lab.example");
    let mut altered = token.clone();
    altered.replace_range(
        token.len() - 6..token.len() - 5,
        if token.as_bytes()[token.len() - 6] == b'A' { "B" } else { "A" },
    );
    let foreign = Bed::new().token("alice@lab.example");
    let none = {
        let payload = token.split('.').nth(1).unwrap();
        let header =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"bwllt+jwt"}"#);
        format!("{header}.{payload}.")
    };
    for bad in [altered, foreign, none, bed.token("nobody@lab.example"), "a.b.c".to_owned()] {
        assert!(matches!(bed.ask(&format!("Bearer {bad}")).await, Err(AuthError::Refused)), "{bad}");
    }
    assert!(bed.ask(&format!("Bearer {token}")).await.is_ok());
    bed.set::<TokenManagement>("tokenIssuer", "Another");
    assert!(matches!(bed.ask(&format!("Bearer {token}")).await, Err(AuthError::Refused)));
}

#[tokio::test]
async fn a_token_of_another_process_is_taken_at_once() {
    let bed = Bed::new();
    // The other process makes the ring's first key after ours has looked.
    let other = KeyStore::open(bed.directory.path(), bed.store.machine_key().clone()).unwrap();
    let token = issue(&other, &Claims::new("BroadWorks", "alice@lab.example", &["pwd"], NOW, 1)).unwrap();
    assert_eq!(bed.ask(&format!("Bearer {token}")).await.unwrap().id(), "alice@lab.example");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_checked_once_and_its_key_and_issuer_always() {
    let bed = Bed::new();
    let token = bed.token("alice@lab.example");
    let bearer = format!("Bearer {token}");
    bed.ask(&bearer).await.unwrap();
    bed.ask(&bearer).await.unwrap();
    let mut altered = bearer.clone();
    altered.pop();
    assert!(matches!(bed.ask(&altered).await, Err(AuthError::Refused)));
    bed.set::<TokenManagement>("tokenIssuer", "Another");
    assert!(matches!(bed.ask(&bearer).await, Err(AuthError::Refused)));
    bed.set::<TokenManagement>("tokenIssuer", "BroadWorks");
    bed.ask(&bearer).await.unwrap();
    let kid = bed.keystore.active().unwrap().kid().to_owned();
    bed.keystore.revoke(&kid).unwrap();
    assert!(matches!(bed.ask(&bearer).await, Err(AuthError::Refused)), "cached or not");
}

#[tokio::test(start_paused = true)]
async fn what_was_known_serves_through_an_outage_for_as_long_as_it_is_set() {
    let bed = Bed::new();
    let (alice, admin) = (bed.token("alice@lab.example"), bed.token("admin@lab.example"));
    let (alice, admin) = (format!("Bearer {alice}"), format!("Bearer {admin}"));
    bed.ask(&alice).await.unwrap();
    bed.ask(&admin).await.unwrap();
    *bed.accounts.down.lock().unwrap() = true;
    tokio::time::advance(Duration::from_mins(14)).await;
    bed.ask(&alice).await.unwrap();
    bed.ask(&admin).await.unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(matches!(bed.ask(&alice).await, Err(AuthError::Unavailable(_))));
    assert!(matches!(bed.ask(&admin).await, Err(AuthError::Unavailable(_))));
    *bed.accounts.down.lock().unwrap() = false;
    bed.set::<TokenManagement>("allowStaleRevocation", "true");
    bed.ask(&alice).await.unwrap();
    bed.ask(&admin).await.unwrap();
    *bed.accounts.down.lock().unwrap() = true;
    tokio::time::advance(Duration::from_hours(1)).await;
    bed.ask(&alice).await.unwrap();
    assert!(matches!(bed.ask(&admin).await, Err(AuthError::Unavailable(_))), "never for administrators");
    // Back again, and revoked meanwhile.
    *bed.accounts.down.lock().unwrap() = false;
    bed.accounts.revoked_before.store(NOW * 1000 + 1, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(bed.ask(&alice).await, Err(AuthError::Refused)));
}

#[tokio::test]
async fn an_outage_is_not_a_refusal() {
    let bed = Bed::new();
    let token = bed.token("alice@lab.example");
    *bed.accounts.down.lock().unwrap() = true;
    assert!(matches!(bed.basic(b"alice@lab.example:x").await, Err(AuthError::Unavailable(_))));
    assert!(matches!(bed.ask(&format!("Bearer {token}")).await, Err(AuthError::Unavailable(_))));
}
