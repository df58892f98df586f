//! Minting: from a proven user to a wrapped token. authservice.md 3.1, 7 and 10

use super::Farm;
use crate::wire::Refusal;
use openadp_alarms::{NO_KEY, TOKEN_NOT_SIGNED};
use openadp_appserver::{Account, AccountKind, Clock};
use openadp_keystore::{KeyStore, SigningKey};
use openadp_settings::Live;
use openadp_token::{Claims, ClientKey, IssueError, TokenManagement, issue_by, wrap};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the client wants.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The bare token.
    Bare,
    /// Wrapped for this key.
    Wrapped(Arc<ClientKey>),
}

/// How a user has just proved itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'a> {
    /// As `amr` names it.
    pub(crate) method: &'static str,
    /// Organisation of the identity that was shown.
    pub(crate) organization: Option<&'a str>,
}

/// A token on its way out. Never printed.
pub(crate) struct Minted {
    /// The JWE, or the bare JWS.
    pub(crate) bearer: String,
    /// Whether it is wrapped.
    pub(crate) wrapped: bool,
    /// Seconds that it is valid.
    pub(crate) expires_in: i64,
    /// Whose it is.
    pub(crate) user_id: String,
    /// Days until the password expires; negative when it has.
    pub(crate) password_expires_in_days: Option<i64>,
}

/// Mints tokens.
#[derive(Clone)]
pub(crate) struct Minter {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) farm: Farm,
    pub(crate) keystore: Arc<KeyStore>,
    pub(crate) settings: Live<TokenManagement>,
    /// Signatures at once: more threads than cores only make each of them slower. Waiting is bounded by the container's
    /// limit of requests and its answer time.
    pub(crate) signing: Arc<Semaphore>,
}

impl Minter {
    /// How many signatures may be made at once.
    pub(crate) fn slots() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2)))
    }

    /// Mints a token for the user of an account that has just been proved.
    ///
    /// # Errors
    /// There is no key, the ring cannot be had, or the clock is off.
    pub(crate) async fn mint(
        &self,
        account: &Account,
        proof: Proof<'_>,
        wanted: Wanted,
        source: std::net::IpAddr,
        tracking_id: &str,
    ) -> Result<Minted, Refusal> {
        if let Some(fault) = self.farm.clock_fault() {
            tracing::warn!(%fault, tracking_id, "no token is made while the clock is off");
            return Err(Refusal::Unavailable);
        }
        let user = account.user_id.as_str();
        let method = proof.method;
        let claims = self.claims(account, proof);
        let client_key = match &wanted {
            Wanted::Bare => None,
            Wanted::Wrapped(key) => Some(key.thumbprint().to_owned()),
        };
        let (jti, expires_in) = (claims.jti.clone(), claims.lifetime());
        if let Err(error) = self.farm.ensure_key().await {
            tracing::warn!(error = %Chain(&error), tracking_id, "there is no key to sign with");
            NO_KEY.raise(&[], Chain(&error));
            return Err(Refusal::Unavailable);
        }
        NO_KEY.clear(&[]);
        let (bearer, kid) = self.sign(claims, wanted).await?;
        metrics::counter!("authservice_minted_total", "method" => method).increment(1);
        tracing::info!(
            target: "audit",
            event = "tokenMinted",
            user,
            method,
            jti,
            kid,
            client_key = client_key.as_deref().unwrap_or("none"),
            expires_in,
            %source,
            tracking_id,
        );
        Ok(Minted {
            bearer,
            wrapped: client_key.is_some(),
            expires_in,
            user_id: user.to_owned(),
            password_expires_in_days: account.password_expires_days,
        })
    }

    fn claims(&self, account: &Account, proof: Proof<'_>) -> Claims {
        let settings = self.settings.load();
        let expires_days = account.password_expires_days;
        let mut methods = vec![proof.method];
        if expires_days.is_some_and(|days| days < 0) {
            methods.push("pwd-expired");
        }
        let hours = i64::from(settings.token_duration_in_hours);
        let now = self.clock.now().unix_timestamp();
        let mut claims = Claims::new(&settings.token_issuer, account.user_id.as_str(), &methods, now, hours);
        claims.ci_org = proof.organization.map(str::to_owned);
        match account.kind {
            AccountKind::Administrator(_) => "Administrator",
            AccountKind::Subscriber { .. } => "User",
        }
        .clone_into(&mut claims.lt);
        if let (true, Some(days @ 0..)) = (settings.cap_at_password_expiry, expires_days) {
            // Days are whole ones: on the last day an hour is left, so that nobody is sent away early.
            let left = days.saturating_mul(86_400).max(3_600);
            claims.exp = claims.exp.min(now.saturating_add(left));
        }
        claims
    }

    /// Signs and wraps. A key that is quick does so right here: a fifth of a millisecond is less than two changes of threads
    /// cost under load, and `maxTokensInProgress` bounds how much of it others wait for. Longer keys get a thread.
    async fn sign(&self, claims: Claims, wanted: Wanted) -> Result<(String, String), Refusal> {
        // Revoked since it was looked for: the next request gets another.
        let key = self.keystore.active_if_any().ok_or(Refusal::Unavailable)?;
        let kid = key.kid().to_owned();
        let made = if key.is_quick() {
            make(&key, &claims, &wanted)
        } else {
            let slot = self.signing.clone().acquire_owned().await.map_err(|_| Refusal::Unavailable)?;
            let signed = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                make(&key, &claims, &wanted)
            });
            signed.await.map_err(|error| {
                TOKEN_NOT_SIGNED.raise(&[], error);
                Refusal::Internal
            })?
        };
        match made {
            Ok(bearer) => {
                TOKEN_NOT_SIGNED.clear(&[]);
                Ok((bearer, kid))
            }
            Err(error) => {
                TOKEN_NOT_SIGNED.raise(&[], Chain(&error));
                Err(Refusal::Unavailable)
            }
        }
    }
}

fn make(key: &SigningKey, claims: &Claims, wanted: &Wanted) -> Result<String, IssueError> {
    let token = issue_by(key, claims)?;
    match wanted {
        Wanted::Bare => Ok(token),
        Wanted::Wrapped(key) => wrap(key, &token),
    }
}

/// An error with its causes.
pub(super) struct Chain<'a>(pub(super) &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
