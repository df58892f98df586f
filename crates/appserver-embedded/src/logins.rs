//! Login ids, single-use login tokens and SIP credentials.
//!
//! A login token is 256 random bits, known to the store by its SHA-256 alone. It is taken by one `UPDATE`, which the
//! database lets succeed once, whichever processes try. A used one is remembered until long after its end, so that a second
//! use is told from a guess.

use crate::credentials::Accounts;
use crate::db::fault;
use crate::{Shared, seal};
use async_trait::async_trait;
use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_appserver::{Account, Credentials as _, Logins, PortError, PortResult, UserId};
use std::sync::Arc;
use zeroize::Zeroizing;

/// How long after its end a token is remembered, milliseconds.
const REMEMBERED: i64 = 600_000;
/// Longest login id, token or password that is looked at.
const MAX_TEXT: usize = 256;

pub(crate) struct SignIns {
    pub(crate) accounts: Accounts,
    pub(crate) shared: Arc<Shared>,
}

fn digest_of(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

impl SignIns {
    async fn canonical(&self, login: &str) -> PortResult<Option<UserId>> {
        if login.is_empty() || login.len() > MAX_TEXT {
            return Ok(None);
        }
        self.accounts.canonical(&UserId::new(login)).await
    }

    async fn sip(&self, login: &str, sip_user: &str, password: &str) -> PortResult<Option<Account>> {
        let Some(user) = self.canonical(login).await? else { return Ok(None) };
        if sip_user.len() > MAX_TEXT || password.is_empty() || password.len() > MAX_TEXT {
            return Ok(None);
        }
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT user_name, sip_password FROM devices WHERE user_id = ? AND sip_user = ? LIMIT 50",
        )
        .bind(user.as_str())
        .bind(sip_user)
        .fetch_all(self.shared.db.read())
        .await
        .map_err(fault)?;
        for (user_name, sealed) in rows {
            let known =
                seal::open(self.shared.settings.machine_key(), seal::SIP_PASSWORD, &user_name, &sealed)?;
            if !known.is_empty()
                && constant_time::verify_slices_are_equal(known.as_bytes(), password.as_bytes()).is_ok()
            {
                return self.accounts.account(&user).await.map(Some);
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Logins for SignIns {
    async fn find(&self, login: &str) -> PortResult<Account> {
        match self.canonical(login).await? {
            Some(user) => self.accounts.account(&user).await,
            None => Err(PortError::NotFound { what: "user" }),
        }
    }

    async fn create_login_token(&self, user: &UserId) -> PortResult<String> {
        let account = self.accounts.account(user).await?;
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut *bytes).map_err(|error| PortError::Internal(Box::new(error)))?;
        let token = URL_SAFE_NO_PAD.encode(bytes.as_slice());
        let rules = self.shared.sign_in.load();
        let seconds = i64::from(rules.token_seconds);
        let mut tx = self.shared.db.begin().await?;
        let now = tx.now;
        sqlx::query("DELETE FROM login_tokens WHERE expires_at < ?")
            .bind(now.saturating_sub(REMEMBERED))
            .execute(tx.conn())
            .await
            .map_err(fault)?;
        let (open,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM login_tokens WHERE user_id = ? AND used = 0 AND expires_at > ?",
        )
        .bind(account.user_id.as_str())
        .bind(now)
        .fetch_one(tx.conn())
        .await
        .map_err(fault)?;
        if open >= i64::from(rules.maximum_tokens) {
            return Err(PortError::LimitReached { what: "login tokens" });
        }
        sqlx::query(
            "INSERT INTO login_tokens (digest, user_id, created_at, expires_at, used) VALUES (?, ?, ?, ?, 0)",
        )
        .bind(digest_of(&token))
        .bind(account.user_id.as_str())
        .bind(now)
        .bind(now.saturating_add(seconds * 1_000))
        .execute(tx.conn())
        .await
        .map_err(fault)?;
        tx.commit().await?;
        metrics::counter!("appserver_login_tokens_total", "event" => "made").increment(1);
        Ok(token)
    }

    async fn take_login_token(&self, token: &str) -> PortResult<Account> {
        let refused = |why: &'static str| {
            metrics::counter!("appserver_login_tokens_total", "event" => why).increment(1);
            Err(PortError::CredentialsRefused)
        };
        if token.is_empty() || token.len() > MAX_TEXT {
            return refused("malformed");
        }
        let digest = digest_of(token);
        let mut tx = self.shared.db.begin().await?;
        let now = tx.now;
        let taken: Option<(String, i64)> = sqlx::query_as(
            "UPDATE login_tokens SET used = used + 1 WHERE digest = ? AND used = 0 AND expires_at > ? \
             RETURNING user_id, created_at",
        )
        .bind(&digest)
        .bind(now)
        .fetch_optional(tx.conn())
        .await
        .map_err(fault)?;
        let Some((user, created)) = taken else {
            let known: Option<(String, i64)> =
                sqlx::query_as("SELECT user_id, used FROM login_tokens WHERE digest = ?")
                    .bind(&digest)
                    .fetch_optional(tx.conn())
                    .await
                    .map_err(fault)?;
            return match known {
                Some((user, used)) if used > 0 => {
                    tracing::warn!(target: "audit", event = "loginTokenUsedTwice", user);
                    refused("usedTwice")
                }
                Some(_) => refused("expired"),
                None => refused("unknown"),
            };
        };
        tx.commit().await?;
        let user = UserId::new(&user);
        let revoked = match self.accounts.tokens_revoked_before(&user).await {
            Err(PortError::NotFound { .. }) => return refused("userGone"),
            revoked => revoked?,
        };
        if revoked.is_some_and(|before| created < before) {
            return refused("revoked");
        }
        match self.accounts.account(&user).await {
            Err(PortError::NotFound { .. }) => refused("userGone"),
            account => {
                metrics::counter!("appserver_login_tokens_total", "event" => "taken").increment(1);
                account
            }
        }
    }

    async fn verify_sip(&self, login: &str, sip_user: &str, password: &str) -> PortResult<Account> {
        let found = self.sip(login, sip_user, password).await?;
        let result = if found.is_some() { "verified" } else { "refused" };
        metrics::counter!("appserver_sip_verifications_total", "result" => result).increment(1);
        if let Some(account) = found {
            return Ok(account);
        }
        // Guessing costs as much as with web passwords, and as much for those who do not exist.
        self.shared.hasher.verify(None, "", || false).await?;
        Err(PortError::CredentialsRefused)
    }
}
