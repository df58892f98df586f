//! Accounts and passwords: argon2id behind a short-lived cache of verified credentials.
//!
//! Every request of an XSI client carries its password, and hashing is slow on purpose. A verified password is remembered
//! under HMAC-SHA256 with a key that only this process has, over the user, the version of the stored password and the
//! password itself; the version is read from the store at every use, so a change in any process counts at once.

use crate::Shared;
use crate::db::{Db, Stamp, fault, int, unreadable};
use crate::events;
use async_trait::async_trait;
use aws_lc_rs::hmac;
use lru::LruCache;
use openadp_appserver::{
    Account, AccountKind, AdminLevel, Credentials, Event, PortError, PortResult, UserId,
};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest password that is looked at; longer ones are wrong.
const MAX_PASSWORD_BYTES: usize = 256;
/// Verified credentials kept: 64 bytes each with overhead, so a few megabytes for the busiest node.
const MAX_VERIFIED: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
const DAY_MS: i64 = 86_400_000;
/// Name of the system-wide time before which tokens are void.
const SYSTEM_REVOCATION: &str = "tokens_revoked_before";

/// Verified credentials of this process.
pub(crate) struct Verified {
    key: hmac::Key,
    /// When each was verified, milliseconds since 1970.
    seen: Mutex<LruCache<[u8; 32], i64>>,
}

impl Verified {
    pub(crate) fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut key = zeroize::Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(&mut *key)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &*key),
            seen: Mutex::new(LruCache::new(MAX_VERIFIED)),
        })
    }

    fn tag(&self, user: &UserId, version: i64, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        let user = user.as_str().as_bytes();
        // The length keeps user and password apart.
        context.update(&int(user.len()).to_be_bytes());
        context.update(user);
        context.update(&version.to_be_bytes());
        context.update(password.as_bytes());
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn is_fresh(&self, tag: &[u8; 32], now: i64, keep_ms: i64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(tag) {
            Some(at) if (0..keep_ms).contains(&now.saturating_sub(*at)) => true,
            Some(_) => {
                seen.pop(tag);
                false
            }
            None => false,
        }
    }

    fn remember(&self, tag: [u8; 32], now: i64) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).put(tag, now);
    }
}

pub(crate) struct Accounts {
    pub(crate) shared: Arc<Shared>,
}

/// An account with what its verification needs.
#[derive(Clone)]
struct Record {
    phc: String,
    version: i64,
    failures: i64,
    locked_until: Option<i64>,
    expires_at: Option<i64>,
    kind: AccountKind,
}

impl Record {
    fn account(&self, user: &UserId, now: i64) -> Account {
        let password_expires_days = self.expires_at.map(|at| at.saturating_sub(now).div_euclid(DAY_MS));
        Account { user_id: user.clone(), kind: self.kind.clone(), password_expires_days }
    }
}

/// Records as they were at a state of the store: as long as nobody, in any process, has committed anything since, asking again
/// would give the same.
pub(crate) struct Records(Mutex<LruCache<UserId, (Stamp, Arc<Record>)>>);

impl Records {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(MAX_VERIFIED)))
    }
}

type Row = (String, i64, i64, Option<i64>, Option<i64>, Option<String>, Option<String>, Option<String>);

impl Accounts {
    async fn record(&self, user: &UserId) -> PortResult<Option<Arc<Record>>> {
        // Taken before the question: what is read then is at least as new.
        let stamp = self.shared.db.stamp();
        if let Some(stamp) = &stamp {
            let mut records = self.shared.records.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, record)) = records.get(user).filter(|(seen, _)| seen == stamp) {
                return Ok(Some(record.clone()));
            }
        }
        let record = self.read(user).await?.map(Arc::new);
        if let (Some(stamp), Some(record)) = (stamp, &record) {
            let mut records = self.shared.records.0.lock().unwrap_or_else(PoisonError::into_inner);
            records.put(user.clone(), (stamp, record.clone()));
        }
        Ok(record)
    }

    async fn read(&self, user: &UserId) -> PortResult<Option<Record>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT c.phc, c.version, c.failures, c.locked_until, c.expires_at, u.provider, u.group_id, a.level \
             FROM credentials c LEFT JOIN users u USING (user_id) LEFT JOIN admins a USING (user_id) WHERE c.user_id = ?",
        )
        .bind(user.as_str())
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        let Some((phc, version, failures, locked_until, expires_at, provider, group, level)) = row else {
            return Ok(None);
        };
        let kind = match (provider, group, level) {
            (Some(provider), Some(group), _) => AccountKind::Subscriber { provider, group },
            (_, _, Some(level)) => {
                AccountKind::Administrator(serde_json::from_str::<AdminLevel>(&level).map_err(unreadable)?)
            }
            (_, _, None) => return Ok(None),
        };
        Ok(Some(Record { phc, version, failures, locked_until, expires_at, kind }))
    }

    /// The account that somebody means who types this to sign in. A user id comes before an alternate id, so that nobody can
    /// take the place of somebody else.
    async fn by_login(&self, login: &UserId) -> PortResult<(UserId, Option<Arc<Record>>)> {
        if let Some(record) = self.record(login).await? {
            return Ok((login.clone(), Some(record)));
        }
        match self.canonical(login).await? {
            Some(user) => {
                let record = self.record(&user).await?;
                Ok((user, record))
            }
            None => Ok((login.clone(), None)),
        }
    }

    /// The user id of whom somebody means who types this to sign in.
    pub(crate) async fn canonical(&self, login: &UserId) -> PortResult<Option<UserId>> {
        let typed = login.as_str();
        let whole = match &self.shared.sign_in.load().default_domain {
            Some(domain) if !typed.contains('@') => format!("{typed}@{}", domain.to_ascii_lowercase()),
            Some(_) | None => typed.to_owned(),
        };
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT user_id FROM credentials WHERE user_id IN (?1, ?2) \
             OR user_id IN (SELECT user_id FROM alternate_ids WHERE alternate IN (?1, ?2)) \
             ORDER BY user_id = ?1 DESC, user_id = ?2 DESC LIMIT 1",
        )
        .bind(typed)
        .bind(whole)
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        Ok(row.map(|(user,)| UserId::new(&user)))
    }

    /// Counts a failed or successful attempt.
    async fn count(&self, user: &UserId, good: bool) -> PortResult<()> {
        let rules = self.shared.password_rules.load();
        let most = i64::from(rules.maximum_failed_logins);
        let mut tx = self.shared.db.begin().await?;
        let locked_until = tx.now.saturating_add(i64::from(rules.lockout) * 1_000);
        if good {
            sqlx::query("UPDATE credentials SET failures = 0, locked_until = NULL WHERE user_id = ?")
                .bind(user.as_str())
                .execute(tx.conn())
                .await
                .map_err(fault)?;
        } else {
            sqlx::query(
                "UPDATE credentials SET failures = CASE WHEN failures + 1 >= ?1 THEN 0 ELSE failures + 1 END, \
                 locked_until = CASE WHEN failures + 1 >= ?1 THEN ?2 ELSE locked_until END WHERE user_id = ?3",
            )
            .bind(most)
            .bind(locked_until)
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        }
        tx.commit().await
    }
}

/// The account of somebody who knew the password, unless that has expired and must be changed first. authservice.md 10
fn expired(account: Account, rules: &crate::PasswordRules) -> PortResult<Account> {
    match account.password_expires_days {
        Some(days) if days < 0 && rules.enforce_change_on_expiry => {
            Err(PortError::PasswordExpired { days: days.saturating_neg() })
        }
        _ => Ok(account),
    }
}

/// Voids the tokens that were issued until now, of one user or of everybody.
pub(crate) async fn revoke(db: &Db, user: Option<&UserId>) -> PortResult<()> {
    let mut tx = db.begin().await?;
    let now = tx.now;
    if let Some(user) = user {
        let changed = sqlx::query("UPDATE credentials SET tokens_revoked_before = ? WHERE user_id = ?")
            .bind(now)
            .bind(user.as_str())
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        if changed.rows_affected() == 0 {
            return Err(PortError::NotFound { what: "user" });
        }
        events::append(&mut tx, user, &Event::CredentialsChanged).await?;
    } else {
        events::put_fact(&mut tx, SYSTEM_REVOCATION, &now.to_string()).await?;
        // The event of everybody names nobody.
        events::append(&mut tx, &UserId::new(""), &Event::CredentialsChanged).await?;
    }
    tx.commit().await
}

#[async_trait]
impl Credentials for Accounts {
    async fn verify_password(&self, user: &UserId, password: &str) -> PortResult<Account> {
        let (user, record) = self.by_login(user).await?;
        let user = &user;
        let now = self.shared.db.now();
        let rules = self.shared.password_rules.load();
        let usable = record.filter(|record| {
            password.len() <= MAX_PASSWORD_BYTES && record.locked_until.is_none_or(|until| until <= now)
        });
        let Some(record) = usable else {
            // Unknown, locked and absurd cost as much as wrong.
            let password = if password.len() <= MAX_PASSWORD_BYTES { password } else { "" };
            self.shared.hasher.verify(None, password, || false).await?;
            metrics::counter!("appserver_password_verifications_total", "result" => "refused").increment(1);
            return Err(PortError::CredentialsRefused);
        };
        let verified = &self.shared.verified;
        let tag = verified.tag(user, record.version, password);
        let keep_ms = i64::from(rules.verified_cache) * 1_000;
        if verified.is_fresh(&tag, now, keep_ms) {
            metrics::counter!("appserver_password_verifications_total", "result" => "cached").increment(1);
            return expired(record.account(user, now), &rules);
        }
        // Several requests of one client come at once: who waited for his turn may find it done.
        let done = || verified.is_fresh(&tag, now, keep_ms);
        let good = self.shared.hasher.verify(Some(record.phc.clone()), password, done).await?;
        if good {
            if record.failures > 0 {
                self.count(user, true).await?;
            }
            verified.remember(tag, now);
            metrics::counter!("appserver_password_verifications_total", "result" => "verified").increment(1);
            return expired(record.account(user, now), &rules);
        }
        if rules.maximum_failed_logins > 0 {
            self.count(user, false).await?;
        }
        metrics::counter!("appserver_password_verifications_total", "result" => "refused").increment(1);
        Err(PortError::CredentialsRefused)
    }

    async fn account(&self, user: &UserId) -> PortResult<Account> {
        let record = self.record(user).await?.ok_or(PortError::NotFound { what: "user" })?;
        Ok(record.account(user, self.shared.db.now()))
    }

    async fn tokens_revoked_before(&self, user: &UserId) -> PortResult<Option<i64>> {
        let row: Option<(Option<i64>, Option<String>)> = sqlx::query_as(
            "SELECT tokens_revoked_before, (SELECT value FROM facts WHERE name = ?) FROM credentials WHERE user_id = ?",
        )
        .bind(SYSTEM_REVOCATION)
        .bind(user.as_str())
        .fetch_optional(self.shared.db.read())
        .await
        .map_err(fault)?;
        let (own, system) = row.ok_or(PortError::NotFound { what: "user" })?;
        // None orders before every time.
        Ok(own.max(system.and_then(|text| text.parse().ok())))
    }

    async fn revoke_tokens(&self, user: Option<&UserId>) -> PortResult<()> {
        revoke(&self.shared.db, user).await
    }

    async fn change_password(&self, user: &UserId, old: Option<&str>, new: &str) -> PortResult<()> {
        if let Some(old) = old {
            match self.verify_password(user, old).await {
                // Whoever must change an expired one knows it.
                Ok(_) | Err(PortError::PasswordExpired { .. }) => {}
                Err(error) => return Err(error),
            }
            if old == new {
                let reason = "is the old one".to_owned();
                return Err(PortError::Invalid { field: "newPassword", reason });
            }
        }
        let new = openadp_settings::Secret::new(new);
        crate::Provisioning::new(self.shared.clone()).set_password(user, &new).await
    }
}
