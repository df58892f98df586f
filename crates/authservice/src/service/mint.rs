//! Minting: from a proven user to a wrapped token. authservice.md 3.1, 7 and 10

use crate::wire::Refusal;
use openadp_alarms::TOKEN_NOT_SIGNED;
use openadp_appserver::{AccountKind, Clock, Credentials, Principal, UserId};
use openadp_keystore::KeyStore;
use openadp_settings::Live;
use openadp_token::{Claims, ClientKey, TokenManagement, issue, wrap};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the client wants.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The bare token.
    Bare,
    /// Wrapped for this key.
    Wrapped(Box<ClientKey>),
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
    pub(crate) credentials: Arc<dyn Credentials>,
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

    /// Mints a token for a user who has just proved itself by `method`.
    ///
    /// # Errors
    /// A client application instead of a user, or the ring or the application server cannot be had.
    pub(crate) async fn mint(
        &self,
        principal: &Principal,
        method: &'static str,
        wanted: Wanted,
        source: std::net::IpAddr,
        tracking_id: &str,
    ) -> Result<Minted, Refusal> {
        let user = match principal {
            Principal::Subscriber { user_id, .. } | Principal::Administrator { user_id, .. } => {
                user_id.clone()
            }
            Principal::ClientApplication { .. } => return Err(Refusal::AccessDenied),
        };
        let (level, expires_days) = self.account(&user).await?;
        let claims = {
            let settings = self.settings.load();
            let mut methods = vec![method];
            if expires_days.is_some_and(|days| days < 0) {
                methods.push("pwd-expired");
            }
            let hours = i64::from(settings.token_duration_in_hours);
            let now = self.clock.now().unix_timestamp();
            let mut claims = Claims::new(&settings.token_issuer, user.as_str(), &methods, now, hours);
            level.clone_into(&mut claims.lt);
            claims
        };
        let client_key = match &wanted {
            Wanted::Bare => None,
            Wanted::Wrapped(key) => Some(key.thumbprint().to_owned()),
        };
        let (jti, expires_in) = (claims.jti.clone(), claims.lifetime());
        let bearer = self.sign(claims, wanted).await?;
        metrics::counter!("authservice_minted_total", "method" => method).increment(1);
        tracing::info!(
            target: "audit",
            event = "tokenMinted",
            user = user.as_str(),
            method,
            jti,
            client_key = client_key.as_deref().unwrap_or("none"),
            expires_in,
            %source,
            tracking_id,
        );
        Ok(Minted {
            bearer,
            wrapped: client_key.is_some(),
            expires_in,
            user_id: user.as_str().to_owned(),
            password_expires_in_days: expires_days,
        })
    }

    async fn account(&self, user: &UserId) -> Result<(&'static str, Option<i64>), Refusal> {
        match self.credentials.account(user).await {
            Ok(account) => {
                let level = match account.kind {
                    AccountKind::Administrator(_) => "Administrator",
                    AccountKind::Subscriber { .. } => "User",
                };
                Ok((level, account.password_expires_days))
            }
            // It is gone since the password was checked.
            Err(openadp_appserver::PortError::NotFound { .. }) => Err(Refusal::InvalidClient),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "account of a proven user cannot be read");
                Err(Refusal::Unavailable)
            }
        }
    }

    /// Signs and wraps on a thread that may compute; the first token of an installation also makes the first key.
    async fn sign(&self, claims: Claims, wanted: Wanted) -> Result<String, Refusal> {
        let slot = self.signing.clone().acquire_owned().await.map_err(|_| Refusal::Unavailable)?;
        let keystore = self.keystore.clone();
        let signed = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let token = issue(&keystore, &claims)?;
            match wanted {
                Wanted::Bare => Ok(token),
                Wanted::Wrapped(key) => wrap(&key, &token),
            }
        });
        match signed.await {
            Ok(Ok(bearer)) => {
                TOKEN_NOT_SIGNED.clear(&[]);
                Ok(bearer)
            }
            Ok(Err(error)) => {
                TOKEN_NOT_SIGNED.raise(&[], Chain(&error));
                Err(Refusal::Unavailable)
            }
            Err(error) => {
                TOKEN_NOT_SIGNED.raise(&[], error);
                Err(Refusal::Internal)
            }
        }
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
