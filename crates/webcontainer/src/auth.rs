//! The one place where credentials become a principal. authservice.md 8 and 13, xsi.md 2.

use crate::bearer::{Tokens, Unproven};
use crate::failure_settings::{ExemptSource, FailureLimits};
use crate::failures::{Failures, Limits};
use crate::logins::SipLogin;
use crate::settings::GeneralSettings;
use crate::token_cache::{Accepted, TokenCache};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use lru::LruCache;
use openadp_appserver::{Account, AccountKind, Clock, Credentials, Logins, PortError, Principal, UserId};
use openadp_keystore::KeyStore;
use openadp_outgoing::Calls;
use openadp_settings::{Live, Store};
use openadp_token::{LEEWAY, MAX_TOKEN, ValidToken};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
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
    /// The password is right and has expired, and the application server wants another: 401 towards the public, 403 towards
    /// callers that are trusted with it. authservice.md 10
    #[error("password expired")]
    PasswordExpired {
        /// Days since.
        days: i64,
    },
    /// Wrong, expired, revoked or malformed credentials, never told apart: 401 with a challenge.
    #[error("credentials refused")]
    Refused,
    /// Too many logins failed, of this user from there or from there altogether; nothing was checked: 429 with Retry-After.
    /// authservice.md 11
    #[error("too many failed logins")]
    TooManyFailures {
        /// Until the next one is looked at.
        left: Duration,
    },
    /// The application server cannot say: 503 with Retry-After, since a 401 would end the client's session.
    #[error("credentials cannot be checked now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<PortError> for AuthError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::CredentialsRefused | PortError::NotFound { .. } => Self::Refused,
            PortError::PasswordExpired { days } => Self::PasswordExpired { days },
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
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    credentials: Option<Arc<dyn Credentials>>,
    failures: Failures,
    failure_limits: Live<FailureLimits>,
    general: Live<GeneralSettings>,
    logins: OnceLock<Arc<dyn Logins>>,
    store: Arc<Store>,
    tokens: Tokens,
}

/// An account as it was a moment ago.
#[derive(Clone)]
struct Known {
    account: Account,
    revoked_before_ms: Option<i64>,
    /// When the application server said so.
    read: Instant,
    /// When it was asked last, whether it could say or not.
    asked: Instant,
}

/// What an `Authorization` header holds.
enum Presented<'a> {
    Basic(&'a str),
    Bearer(&'a str),
    /// Credentials of SIP, as phones send them.
    Sip(&'a str),
    /// A single-use login token.
    SingleSignOn(&'a str),
}

/// What is checked, decoded.
enum Login<'a> {
    Password(UserId, openadp_settings::Secret),
    Token(&'a str),
    Sip(SipLogin),
}

impl Login<'_> {
    /// What failures are counted by, beside the source.
    fn name(&self) -> &[u8] {
        match self {
            Self::Password(user, _) => user.as_str().as_bytes(),
            Self::Token(token) => token.as_bytes(),
            Self::Sip(login) => login.user.as_str().as_bytes(),
        }
    }
}

/// The one place where an account that was proved becomes a principal.
#[expect(clippy::disallowed_methods, reason = "this is where credentials are proved")]
fn principal_of(account: Account) -> Principal {
    Principal::of(account)
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
        Self::with_remote(store, keystore, credentials, clock, None)
    }

    /// As [`new`](Self::new), with a way to the AuthenticationService that checks tokens while the ring is empty.
    pub fn with_remote(
        store: &Arc<Store>,
        keystore: Arc<KeyStore>,
        credentials: Option<Arc<dyn Credentials>>,
        clock: Arc<dyn Clock>,
        calls: Option<Calls>,
    ) -> Self {
        Self(Arc::new(Inner {
            accounts: Mutex::new(LruCache::new(ACCOUNTS)),
            cache: TokenCache::new(),
            clock,
            credentials,
            failures: Failures::default(),
            failure_limits: store.live(),
            general: store.live(),
            logins: OnceLock::new(),
            store: store.clone(),
            tokens: Tokens::new(store, keystore, calls),
        }))
    }

    pub(crate) fn logins_slot(&self) -> &OnceLock<Arc<dyn Logins>> {
        &self.0.logins
    }

    /// Authenticates a request from this address by its `Authorization` header: `Basic`, `Bearer` with a long-lived token,
    /// `BroadWorksSSO` with a single-use token, which is used then, or `BroadWorksSIP`.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, headers: &HeaderMap, address: IpAddr) -> Result<Principal, AuthError> {
        let outcome = match presented(headers) {
            Ok(Presented::Bearer(token)) => self.authenticate_token(token).await,
            Ok(shown) => {
                let outcome = self.log_in(shown, address, false).await.map(principal_of);
                if let Err(error) = &outcome {
                    tracing::info!(
                        target: "audit",
                        event = "loginRefused",
                        reason = label(Some(error)),
                        source = %address,
                        tracking_id = openadp_appserver::request_id::current(),
                        notice = true,
                    );
                }
                outcome
            }
            Err(error) => Err(error),
        };
        count(outcome.as_ref().err());
        outcome
    }

    /// Authenticates a request by anything but a long-lived token, with what the application server says of the account: for
    /// the AuthenticationService, whose tokens must not beget others. `trusted` callers learn that a password has expired, so
    /// it is no failed guess of theirs.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate_anew(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        trusted: bool,
    ) -> Result<Account, AuthError> {
        let outcome = match presented(headers) {
            Ok(Presented::Bearer(_)) => Err(AuthError::Missing),
            Ok(shown) => self.log_in(shown, address, trusted).await,
            Err(error) => Err(error),
        };
        count(outcome.as_ref().err());
        outcome
    }

    /// Checks what is no long-lived token; one attempt at the application server, unless too many failed before.
    async fn log_in(
        &self,
        shown: Presented<'_>,
        address: IpAddr,
        trusted: bool,
    ) -> Result<Account, AuthError> {
        let login = match shown {
            Presented::Bearer(_) => return Err(AuthError::Missing),
            Presented::Basic(encoded) => {
                let (user, password) = self.decode_basic(encoded).ok_or(AuthError::Refused)?;
                Login::Password(UserId::new(&user), password)
            }
            Presented::SingleSignOn(token) => Login::Token(token),
            Presented::Sip(text) => Login::Sip(self.decode_sip(text).ok_or(AuthError::Refused)?),
        };
        let limits = Limits::from(&*self.0.failure_limits.load());
        let exempt = self.is_exempt(address);
        let begun = self.0.failures.begin(login.name(), address, exempt, limits).await;
        let attempt = begun.map_err(|left| AuthError::TooManyFailures { left })?;
        let outcome = match &login {
            Login::Password(user, password) => {
                self.credentials()?.verify_password(user, password.expose()).await.map_err(AuthError::from)
            }
            Login::Token(token) => self.take_login_token(token).await,
            Login::Sip(login) => self.verify_sip(login).await,
        };
        match &outcome {
            Ok(_) => attempt.succeeded(),
            Err(AuthError::PasswordExpired { .. }) if trusted => {}
            // Whoever may not know that it has expired must not see that it is counted otherwise either.
            Err(AuthError::Refused | AuthError::PasswordExpired { .. }) => attempt.failed(),
            Err(_) => {}
        }
        outcome
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.0.store.current().rows::<ExemptSource>().iter().any(|row| row.network.holds(address))
    }

    /// Authenticates by long-lived token: signature and times over the local key ring (or, while that is empty, by the
    /// configured AuthenticationService), then account and revocation.
    ///
    /// # Errors
    /// See [`AuthError`]; never `Missing`.
    pub async fn authenticate_token(&self, token: &str) -> Result<Principal, AuthError> {
        let now = self.0.clock.now().unix_timestamp();
        if token.len() > MAX_TOKEN {
            return Err(refused("malformed"));
        }
        let tag = self.0.cache.tag(token);
        if let Some(tag) = &tag
            && let Some(accepted) = self.0.cache.get(tag)
        {
            if self.still_good(&accepted, now) {
                if accepted.account_read.elapsed() < ACCOUNT_FOR {
                    metrics::counter!("token_cache_total", "result" => "hit").increment(1);
                    return Ok(accepted.principal.clone());
                }
                let known = self.known(&UserId::new(accepted.principal.id())).await?;
                return self.accept(Some(*tag), known, |known| Accepted {
                    principal: principal_of(known.account),
                    issuer: accepted.issuer.clone(),
                    kid: accepted.kid.clone(),
                    account_read: known.asked,
                    ..*accepted
                });
            }
            self.0.cache.forget(tag);
        }
        metrics::counter!("token_cache_total", "result" => "miss").increment(1);
        let proven = self.0.tokens.validate(token, now).await.map_err(|error| match error {
            Unproven::Refused(reason) => refused(reason),
            Unproven::Unavailable(source) => AuthError::Unavailable(source),
        })?;
        let known = self.known(&UserId::new(&proven.user)).await?;
        self.accept(tag, known, |known| Accepted {
            principal: principal_of(known.account),
            issuer: proven.issuer,
            kid: proven.kid,
            issued_ms: proven.issued.saturating_mul(1000),
            not_before: proven.not_before,
            expires: proven.expires,
            checked: Instant::now(),
            account_read: known.asked,
        })
    }

    /// As [`authenticate_token`](Self::authenticate_token), by the local ring alone, with what the token says: for the
    /// AuthenticationService, which others ask.
    ///
    /// # Errors
    /// See [`AuthError`]; never `Missing`.
    pub async fn introspect_token(&self, token: &str) -> Result<ValidToken, AuthError> {
        let now = self.0.clock.now().unix_timestamp();
        let valid = self.0.tokens.validate_here(token, now).await.map_err(|error| refused(error.label()))?;
        let known = self.known(&UserId::new(valid.user())).await?;
        if known.revoked_before_ms.is_some_and(|before| valid.issued_at_millis() < before) {
            return Err(refused("revoked"));
        }
        Ok(valid)
    }

    /// Whether a token that was accepted a moment ago would be again, but for its account.
    fn still_good(&self, accepted: &Accepted, now: i64) -> bool {
        let management = self.0.tokens.management();
        accepted.checked.elapsed() < Duration::from_secs(management.cache_in_seconds.into())
            && now < accepted.expires.saturating_add(LEEWAY)
            && accepted.not_before <= now.saturating_add(LEEWAY)
            && accepted.issuer == management.token_issuer
            && accepted.kid.as_deref().is_none_or(|kid| self.0.tokens.holds(kid))
    }

    fn accept(
        &self,
        tag: Option<crate::token_cache::Tag>,
        known: Known,
        accepted: impl FnOnce(Known) -> Accepted,
    ) -> Result<Principal, AuthError> {
        let revoked_before_ms = known.revoked_before_ms;
        let accepted = accepted(known);
        if revoked_before_ms.is_some_and(|before| accepted.issued_ms < before) {
            if let Some(tag) = &tag {
                self.0.cache.forget(tag);
            }
            return Err(refused("revoked"));
        }
        let principal = accepted.principal.clone();
        if let Some(tag) = tag {
            self.0.cache.put(tag, accepted);
        }
        Ok(principal)
    }

    fn credentials(&self) -> Result<&Arc<dyn Credentials>, AuthError> {
        self.0
            .credentials
            .as_ref()
            .ok_or_else(|| AuthError::Internal("there is no application server".into()))
    }

    async fn known(&self, user: &UserId) -> Result<Known, AuthError> {
        let held = self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        if let Some(known) = held.as_ref().filter(|known| known.asked.elapsed() < ACCOUNT_FOR) {
            return Ok(known.clone());
        }
        // Taken before the questions: what they answer is at least this fresh.
        let asked = Instant::now();
        let credentials = self.credentials()?;
        let answer = async {
            let account = credentials.account(user).await?;
            Ok((account, credentials.tokens_revoked_before(user).await?))
        };
        let known = match (answer.await, held) {
            (Ok((account, revoked_before_ms)), _) => Known { account, revoked_before_ms, read: asked, asked },
            (Err(PortError::Unavailable(source)), Some(known)) if self.may_be_stale(&known) => {
                metrics::counter!("stale_accounts_total").increment(1);
                tracing::warn!(error = %source, "what was known of an account is used, since the application server cannot say");
                Known { asked, ..known }
            }
            (Err(error), _) => {
                self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner).pop(user);
                return Err(error.into());
            }
        };
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner).put(user.clone(), known.clone());
        Ok(known)
    }

    /// Whether what was known of an account may be used while the application server cannot be asked. authservice.md 8 rule 4
    fn may_be_stale(&self, known: &Known) -> bool {
        let management = self.0.tokens.management();
        let minutes = Duration::from_mins(management.stale_revocation_in_minutes.into());
        let plain = matches!(known.account.kind, AccountKind::Subscriber { .. });
        known.read.elapsed() < minutes || (plain && management.allow_stale_revocation)
    }

    /// User id and password of Basic credentials, decoded as `authenticationEncoding` says.
    fn decode_basic(&self, encoded: &str) -> Option<(String, openadp_settings::Secret)> {
        let bytes = zeroize::Zeroizing::new(BASE64.decode(encoded).ok()?);
        let text = self.decode_text(&bytes)?;
        let (user, password) = text.split_once(':')?;
        if user.is_empty() || text.contains(|c: char| c.is_ascii_control()) {
            return None;
        }
        Some((user.to_owned(), openadp_settings::Secret::new(password)))
    }

    /// Text as `authenticationEncoding` says.
    pub(crate) fn decode_text(&self, bytes: &[u8]) -> Option<zeroize::Zeroizing<String>> {
        Some(zeroize::Zeroizing::new(if self.0.general.load().authentication_encoding == "UTF-8" {
            std::str::from_utf8(bytes).ok()?.to_owned()
        } else {
            bytes.iter().map(|byte| char::from(*byte)).collect()
        }))
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

fn count(error: Option<&AuthError>) {
    metrics::counter!("authentications_total", "outcome" => label(error)).increment(1);
}

/// An outcome for metrics and logs.
fn label(error: Option<&AuthError>) -> &'static str {
    match error {
        None => "accepted",
        Some(AuthError::Internal(_)) => "internal",
        Some(AuthError::Missing) => "missing",
        Some(AuthError::PasswordExpired { .. }) => "password_expired",
        Some(AuthError::Refused) => "refused",
        Some(AuthError::TooManyFailures { .. }) => "failures",
        Some(AuthError::Unavailable(_)) => "unavailable",
    }
}

fn refused(reason: &'static str) -> AuthError {
    metrics::counter!("tokens_refused_total", "reason" => reason).increment(1);
    let tracking_id = openadp_appserver::request_id::current();
    tracing::info!(target: "audit", event = "tokenRefused", reason, tracking_id, notice = true);
    AuthError::Refused
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
    } else if scheme.eq_ignore_ascii_case("BroadWorksSSO") {
        Ok(Presented::SingleSignOn(rest.trim()))
    } else if scheme.eq_ignore_ascii_case("BroadWorksSIP") {
        Ok(Presented::Sip(rest.trim()))
    } else {
        Err(AuthError::Missing)
    }
}
