//! Long-lived tokens: over the local key ring, or, on a host that has none, by the configured AuthenticationService.
//! authservice.md 8.

use crate::auth_service::AuthServiceAddress;
use crate::settings::ContainerOptions;
use http::{HeaderName, HeaderValue, Method};
use openadp_keystore::{KeyStore, PEER_HEADER, PeerAccess, prove_peer};
use openadp_outgoing::{Call, Calls};
use openadp_settings::{Live, Store};
use openadp_token::{Expected, TokenError, TokenManagement, ValidToken, validate};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A token may come before the news of its key: the ring is read again then, but not for everybody who makes up a key.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// Questions to the other host at once; whoever comes then is told to try again.
const MAX_QUESTIONS: usize = 256;
/// Time for one question; everything is answered within two seconds.
const QUESTION: Duration = Duration::from_millis(1200);
const CONNECT: Duration = Duration::from_millis(500);
/// Bytes of its answer.
const MAX_ANSWER: usize = 16 * 1024;

/// A token that was checked but for its user.
pub(crate) struct Proven {
    pub(crate) user: String,
    pub(crate) issuer: String,
    /// The key that signed it; `None` where another host checked it.
    pub(crate) kid: Option<String>,
    pub(crate) issued: i64,
    pub(crate) not_before: i64,
    pub(crate) expires: i64,
}

/// Why a token is not taken.
pub(crate) enum Unproven {
    /// It is not good; the word is for metrics and logs.
    Refused(&'static str),
    /// Whether it is good cannot be known now.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}

impl From<TokenError> for Unproven {
    fn from(error: TokenError) -> Self {
        Self::Refused(error.label())
    }
}

/// Where a host without a ring asks.
pub(crate) struct Remote {
    calls: Calls,
    store: Arc<Store>,
    address: Live<AuthServiceAddress>,
    access: Live<PeerAccess>,
    questions: Semaphore,
}

/// What it says. authservice.md 3.2
#[derive(Deserialize)]
struct Introspection {
    active: bool,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    iat: i64,
    #[serde(default)]
    exp: i64,
    #[serde(default)]
    kind: String,
}

/// The one validation of tokens for all applications of the container.
pub(crate) struct Tokens {
    keystore: Arc<KeyStore>,
    management: Live<TokenManagement>,
    refreshed: Mutex<Option<Instant>>,
    remote: Option<Remote>,
}

impl Tokens {
    pub(crate) fn new(store: &Arc<Store>, keystore: Arc<KeyStore>, calls: Option<Calls>) -> Self {
        let remote = calls.map(|calls| Remote {
            calls,
            store: store.clone(),
            address: store.live(),
            access: store.live(),
            questions: Semaphore::new(MAX_QUESTIONS),
        });
        Self { keystore, management: store.live(), refreshed: Mutex::new(None), remote }
    }

    pub(crate) fn management(&self) -> Arc<TokenManagement> {
        self.management.load()
    }

    /// Whether a key still verifies.
    pub(crate) fn holds(&self, kid: &str) -> bool {
        self.keystore.verify_key(kid).is_some()
    }

    /// Checks a token but for its user, by the ring alone.
    pub(crate) async fn validate_here(&self, token: &str, now_unix: i64) -> Result<ValidToken, TokenError> {
        match self.check(token, now_unix) {
            Err(TokenError::UnknownKey) if self.may_refresh() => {
                let keystore = self.keystore.clone();
                let read = tokio::task::spawn_blocking(move || keystore.refresh()).await;
                if !matches!(read, Ok(Ok(_))) {
                    tracing::warn!("the key ring could not be read again");
                }
                self.check(token, now_unix)
            }
            other => other,
        }
    }

    /// Checks a token but for its user.
    pub(crate) async fn validate(&self, token: &str, now_unix: i64) -> Result<Proven, Unproven> {
        if let Some(remote) = &self.remote
            && self.keystore.is_empty()
            && let Some(url) = remote.url()
        {
            let issuer = self.management.load().token_issuer.clone();
            return remote.ask(&url, token, &issuer, now_unix).await;
        }
        let valid = self.validate_here(token, now_unix).await?;
        let claims = valid.claims();
        Ok(Proven {
            user: claims.sub.clone(),
            issuer: claims.iss.clone(),
            kid: Some(valid.kid().to_owned()),
            issued: claims.iat,
            not_before: claims.nbf,
            expires: claims.exp,
        })
    }

    fn check(&self, token: &str, now_unix: i64) -> Result<ValidToken, TokenError> {
        let management = self.management.load();
        validate(&self.keystore, token, now_unix, &Expected { issuer: &management.token_issuer })
    }

    fn may_refresh(&self) -> bool {
        let mut refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = refreshed.is_none_or(|last| last.elapsed() >= REFRESH_AT_MOST_EVERY);
        if due {
            *refreshed = Some(Instant::now());
        }
        due
    }
}

impl Remote {
    /// The AuthenticationService to ask, where there is one.
    fn url(&self) -> Option<String> {
        let own = self.address.load().url.clone();
        own.or_else(|| ContainerOptions::auth_service(&self.store.current()))
    }

    async fn ask(&self, url: &str, token: &str, issuer: &str, now_unix: i64) -> Result<Proven, Unproven> {
        // What no token can be is not sent around.
        let plausible = token.len() <= openadp_token::MAX_TOKEN
            && token.split('.').count() == 3
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !plausible {
            return Err(Unproven::Refused(TokenError::Malformed.label()));
        }
        let unavailable = |why: &'static str| Unproven::Unavailable(why.into());
        let Ok(_question) = self.questions.try_acquire() else {
            return Err(unavailable("too many tokens are being asked about"));
        };
        let body = format!("token={token}");
        let mut headers = Vec::new();
        let secret = &self.access.load().secret;
        if !secret.is_empty()
            && let Some(proof) = prove_peer(secret.expose(), "POST", "/validate", body.as_bytes(), now_unix)
            && let Ok(mut value) = HeaderValue::from_str(&proof)
        {
            value.set_sensitive(true);
            headers.push((HeaderName::from_static(PEER_HEADER), value));
        }
        let call = Call {
            method: Method::POST,
            url: &format!("{}/validate", url.trim_end_matches('/')),
            headers,
            content_type: "application/x-www-form-urlencoded",
            body: body.into(),
            max_answer: MAX_ANSWER,
            timeout: QUESTION,
            connect_timeout: CONNECT,
        };
        let answer = self.calls.call(&call).await.map_err(Unproven::Unavailable)?;
        match answer.status.as_u16() {
            200 => {}
            400 => return Err(Unproven::Refused(TokenError::Malformed.label())),
            404 => return Err(unavailable("the AuthenticationService does not know this host as a peer")),
            _ => return Err(unavailable("the AuthenticationService cannot say")),
        }
        let told: Introspection =
            serde_json::from_slice(&answer.body).map_err(|error| Unproven::Unavailable(error.into()))?;
        let leeway = openadp_token::LEEWAY;
        if !told.active {
            return Err(Unproven::Refused("inactive"));
        }
        // What it says must hold here too: the same issuer, and our own clock.
        let good = told.iss == issuer
            && told.kind == "llt"
            && !told.sub.is_empty()
            && told.iat <= now_unix.saturating_add(leeway)
            && now_unix < told.exp.saturating_add(leeway);
        if !good {
            return Err(Unproven::Refused("inactive"));
        }
        Ok(Proven {
            user: told.sub,
            issuer: told.iss,
            kid: None,
            issued: told.iat,
            not_before: told.iat,
            expires: told.exp,
        })
    }
}
