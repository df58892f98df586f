//! The one place where credentials become a principal. authservice.md 8 and 13, xsi.md 2.

use crate::bearer::Tokens;
use crate::settings::GeneralSettings;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use lru::LruCache;
use openadp_appserver::{Account, Clock, Credentials, PortError, Principal, UserId};
use openadp_keystore::KeyStore;
use openadp_settings::{Live, Store};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an account and its revocation time are believed. Below a second, because a revocation must hold everywhere
/// within one; above nothing, because a client sends many requests in a burst.
const ACCOUNT_FOR: Duration = Duration::from_millis(800);
/// Accounts that are kept: more than are active within that time on any node.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// Longest `Authorization` that is looked at: a token of 8 KiB and its scheme. authservice.md 8 rule 1.
const MAX_AUTHORIZATION: usize = 8 * 1024 + 16;

/// Clients pad or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a request is not authenticated. Every application maps this to its own wire errors.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A fault of ours: 500.
    #[error("authentication failed inside")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No credentials, or none of a kind that is known: 401 with a challenge.
    #[error("no credentials")]
    Missing,
    /// Wrong, expired, revoked or malformed credentials, never told apart: 401 with a challenge.
    #[error("credentials refused")]
    Refused,
    /// The application server cannot say: 503 with Retry-After, since a 401 would end the client's session.
    #[error("credentials cannot be checked now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<PortError> for AuthError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::CredentialsRefused | PortError::NotFound { .. } => Self::Refused,
            PortError::Unavailable(_) | PortError::LimitReached { .. } => Self::Unavailable(Box::new(error)),
            PortError::NotAssigned { .. }
            | PortError::WrongState { .. }
            | PortError::Invalid { .. }
            | PortError::Conflict { .. }
            | PortError::Internal(_) => Self::Internal(Box::new(error)),
        }
    }
}

/// Proves who somebody is. Clones share everything.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    accounts: Mutex<LruCache<UserId, Known>>,
    clock: Arc<dyn Clock>,
    credentials: Option<Arc<dyn Credentials>>,
    general: Live<GeneralSettings>,
    tokens: Tokens,
}

/// An account as it was a moment ago.
#[derive(Clone)]
struct Known {
    account: Account,
    revoked_before_ms: Option<i64>,
    read: Instant,
}

/// What an `Authorization` header holds.
enum Presented<'a> {
    Basic(&'a str),
    Bearer(&'a str),
}

impl Authenticator {
    /// An authenticator over the application server's accounts and the key ring. Without an application server nobody is
    /// ever authenticated.
    pub fn new(
        store: &Arc<Store>,
        keystore: Arc<KeyStore>,
        credentials: Option<Arc<dyn Credentials>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            accounts: Mutex::new(LruCache::new(ACCOUNTS)),
            clock,
            credentials,
            general: store.live(),
            tokens: Tokens::new(store, keystore),
        }))
    }

    /// Authenticates a request by its `Authorization` header: `Basic`, or `Bearer` with a long-lived token.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        let outcome = match presented(headers) {
            Ok(Presented::Basic(encoded)) => match self.decode_basic(encoded) {
                Some((user, password)) => self.authenticate_password(&user, password.expose()).await,
                None => Err(AuthError::Refused),
            },
            Ok(Presented::Bearer(token)) => self.authenticate_token(token).await,
            Err(error) => Err(error),
        };
        let label = match &outcome {
            Ok(_) => "accepted",
            Err(AuthError::Internal(_)) => "internal",
            Err(AuthError::Missing) => "missing",
            Err(AuthError::Refused) => "refused",
            Err(AuthError::Unavailable(_)) => "unavailable",
        };
        metrics::counter!("authentications_total", "outcome" => label).increment(1);
        outcome
    }

    /// Authenticates by user id and web password; one attempt at the application server.
    ///
    /// # Errors
    /// See [`AuthError`]; never `Missing`.
    pub async fn authenticate_password(&self, user: &str, password: &str) -> Result<Principal, AuthError> {
        Ok(Principal::of(self.credentials()?.verify_password(&UserId::new(user), password).await?))
    }

    /// Authenticates by long-lived token: signature and times over the local key ring, then account and revocation.
    ///
    /// # Errors
    /// See [`AuthError`]; never `Missing`.
    pub async fn authenticate_token(&self, token: &str) -> Result<Principal, AuthError> {
        let now = self.0.clock.now().unix_timestamp();
        let valid = self.0.tokens.validate(token, now).await.map_err(|error| {
            metrics::counter!("tokens_refused_total", "reason" => error.label()).increment(1);
            AuthError::Refused
        })?;
        let known = self.known(&UserId::new(valid.user())).await?;
        if known.revoked_before_ms.is_some_and(|before| valid.issued_at_millis() < before) {
            metrics::counter!("tokens_refused_total", "reason" => "revoked").increment(1);
            return Err(AuthError::Refused);
        }
        Ok(Principal::of(known.account))
    }

    fn credentials(&self) -> Result<&Arc<dyn Credentials>, AuthError> {
        self.0
            .credentials
            .as_ref()
            .ok_or_else(|| AuthError::Internal("there is no application server".into()))
    }

    async fn known(&self, user: &UserId) -> Result<Known, AuthError> {
        let held = self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        if let Some(known) = held.filter(|known| known.read.elapsed() < ACCOUNT_FOR) {
            return Ok(known);
        }
        // Taken before the questions: what they answer is at least this fresh.
        let read = Instant::now();
        let credentials = self.credentials()?;
        let account = credentials.account(user).await?;
        let revoked_before_ms = credentials.tokens_revoked_before(user).await?;
        let known = Known { account, revoked_before_ms, read };
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner).put(user.clone(), known.clone());
        Ok(known)
    }

    /// User id and password of Basic credentials, decoded as `authenticationEncoding` says.
    fn decode_basic(&self, encoded: &str) -> Option<(String, openadp_settings::Secret)> {
        let bytes = zeroize::Zeroizing::new(BASE64.decode(encoded).ok()?);
        let text = zeroize::Zeroizing::new(if self.0.general.load().authentication_encoding == "UTF-8" {
            String::from_utf8(bytes.to_vec()).ok()?
        } else {
            bytes.iter().map(|byte| char::from(*byte)).collect()
        });
        let (user, password) = text.split_once(':')?;
        if user.is_empty() || text.contains(|c: char| c.is_ascii_control()) {
            return None;
        }
        Some((user.to_owned(), openadp_settings::Secret::new(password)))
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

fn presented(headers: &HeaderMap) -> Result<Presented<'_>, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    // With two, one proxy may have looked at the other.
    if values.next().is_some() || value.len() > MAX_AUTHORIZATION {
        return Err(AuthError::Refused);
    }
    let text = value.to_str().map_err(|_| AuthError::Refused)?.trim();
    let (scheme, rest) = text.split_once(' ').ok_or(AuthError::Missing)?;
    if scheme.eq_ignore_ascii_case("Basic") {
        Ok(Presented::Basic(rest.trim()))
    } else if scheme.eq_ignore_ascii_case("Bearer") {
        Ok(Presented::Bearer(rest.trim()))
    } else {
        Err(AuthError::Missing)
    }
}
