//! Access tokens for FCM: a signed assertion (RFC 7523) for a token, kept until shortly before it expires.

use crate::configuration::FcmConfiguration;
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openadp_appserver::{Clock, epoch_millis};
use openadp_outgoing::{Connector, Endpoint, Pool, PoolOptions, SendError};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

/// A token is not used in its last minutes, milliseconds: a push under way must not outlive it.
const MARGIN: i64 = 120 * 1000;
/// First wait after a failed request for a token; doubled up to the last (section 5.1).
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_mins(1);
/// The grant type of RFC 7523.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Why a key file cannot be used. Never holds anything of the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("not a key file of a service account: it is not JSON, or client_email or private_key is missing")]
    NotAKeyFile,
    #[error("private_key is not a PKCS#8 RSA key in PEM")]
    NotAKey,
}

/// The key file of a service account.
#[derive(Clone)]
pub(crate) struct ServiceAccount {
    pub(crate) project_id: Option<String>,
    client_email: String,
    key_id: Option<String>,
    key: EncodingKey,
    fingerprint: [u8; 32],
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    #[serde(deserialize_with = "erased")]
    private_key: Zeroizing<String>,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
}

/// A text that is erased when it is dropped.
fn erased<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccount {
    /// Reads a key file, and signs with it once to see that it works.
    ///
    /// # Errors
    /// It is none, or its key is not usable.
    pub(crate) fn parse(json: &str) -> Result<Self, AccountError> {
        let file: KeyFile = serde_json::from_str(json).map_err(|_| AccountError::NotAKeyFile)?;
        let key =
            EncodingKey::from_rsa_pem(file.private_key.as_bytes()).map_err(|_| AccountError::NotAKey)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, json.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.as_ref());
        let account = Self {
            project_id: file.project_id,
            client_email: file.client_email,
            key_id: file.private_key_id,
            key,
            fingerprint,
        };
        account.assertion("", "", 0, 0).ok_or(AccountError::NotAKey)?;
        Ok(account)
    }
    fn assertion(&self, scope: &str, audience: &str, issued: i64, seconds: i64) -> Option<String> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.key_id);
        let claims =
            Claims { iss: &self.client_email, scope, aud: audience, iat: issued, exp: issued + seconds };
        jsonwebtoken::encode(&header, &claims, &self.key).ok()
    }
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrantError {
    /// The token endpoint does not take the key: an operator must look.
    #[error("access token refused: {0}")]
    Refused(String),
    /// It cannot be asked, or fails; later may help.
    #[error("access token unavailable: {0}")]
    Unavailable(String),
}

/// What tokens are kept apart by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    account: [u8; 32],
    auth_url: String,
    scope: String,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Zeroizing<String>>>,
    /// Milliseconds since 1970.
    issued: i64,
    /// Milliseconds since 1970.
    expires: i64,
    failures: u32,
    not_before: Option<Instant>,
    last_error: Option<String>,
}

/// The access tokens in use.
pub(super) struct AccessTokens {
    held: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Held>>>>,
    pools: Mutex<HashMap<Endpoint, Pool>>,
    connector: Arc<Connector>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// When the oldest token in use was issued, milliseconds since 1970.
    oldest: Mutex<HashMap<Key, i64>>,
}

#[derive(Deserialize, Default)]
struct GrantBody {
    #[serde(default, deserialize_with = "erased")]
    access_token: Zeroizing<String>,
    #[serde(default)]
    expires_in: Option<i64>,
    #[serde(default)]
    error: String,
}

impl AccessTokens {
    pub(super) fn new(
        connector: Arc<Connector>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            held: Mutex::default(),
            pools: Mutex::default(),
            connector,
            clock,
            tasks,
            shutdown,
            oldest: Mutex::default(),
        }
    }

    fn key(account: &ServiceAccount, fcm: &FcmConfiguration) -> Key {
        let auth_url = fcm.auth_url.as_ref().map(ToString::to_string).unwrap_or_default();
        Key { account: account.fingerprint, auth_url, scope: fcm.scope.clone() }
    }

    fn entry(&self, key: &Key, now: i64) -> Arc<tokio::sync::Mutex<Held>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = held.get(key) {
            return entry.clone();
        }
        // A new key: forget those whose tokens have expired and that nobody is using.
        held.retain(|_, entry| {
            Arc::strong_count(entry) > 1 || entry.try_lock().is_ok_and(|entry| entry.expires > now)
        });
        held.entry(key.clone()).or_default().clone()
    }

    /// The access token to send with. `refused` is one that FCM did not take: it is not given again.
    pub(super) async fn current(
        &self,
        account: &ServiceAccount,
        fcm: &FcmConfiguration,
        refused: Option<&Arc<Zeroizing<String>>>,
        deadline: Instant,
    ) -> Result<Arc<Zeroizing<String>>, GrantError> {
        let key = Self::key(account, fcm);
        let now = epoch_millis(self.clock.now());
        let entry = self.entry(&key, now);
        // One request at a time for each key; the others wait for its result, within their own deadline.
        let mut held = tokio::time::timeout_at(deadline, entry.lock())
            .await
            .map_err(|_| GrantError::Unavailable("no access token in time".to_owned()))?;
        if let (Some(token), Some(refused)) = (&held.token, refused)
            && Arc::ptr_eq(token, refused)
        {
            held.token = None;
        }
        if let Some(token) = &held.token
            && now >= held.issued - 60_000
            && now < held.expires - MARGIN
        {
            return Ok(token.clone());
        }
        if let Some(not_before) = held.not_before
            && Instant::now() < not_before
        {
            let reason = held.last_error.clone().unwrap_or_default();
            return Err(GrantError::Unavailable(reason));
        }
        match self.request(account, fcm, now, deadline).await {
            Ok((token, seconds)) => {
                let token = Arc::new(token);
                let seconds = seconds.min(i64::from(fcm.token_seconds));
                *held = Held {
                    token: Some(token.clone()),
                    issued: now,
                    expires: now + seconds * 1000,
                    ..Held::default()
                };
                let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
                oldest.retain(|_, issued| now - *issued < 3_600_000);
                oldest.insert(key, now);
                crate::events::granted();
                Ok(token)
            }
            Err(error) => {
                let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(held.failures)).min(LAST_WAIT);
                held.failures = held.failures.saturating_add(1).min(16);
                held.not_before = Some(Instant::now() + wait);
                held.last_error = Some(error.to_string());
                crate::events::grant_failed(held.failures, &error);
                // The last token may still be good although it is due.
                match &held.token {
                    Some(token) if now < held.expires => Ok(token.clone()),
                    Some(_) | None => Err(error),
                }
            }
        }
    }

    async fn request(
        &self,
        account: &ServiceAccount,
        fcm: &FcmConfiguration,
        now: i64,
        deadline: Instant,
    ) -> Result<(Zeroizing<String>, i64), GrantError> {
        let unavailable = |reason: &str| GrantError::Unavailable(reason.to_owned());
        let url =
            fcm.auth_url.as_ref().ok_or_else(|| GrantError::Refused("authURL is not usable".to_owned()))?;
        let endpoint =
            Endpoint::of(url).ok_or_else(|| GrantError::Refused("authURL has no host".to_owned()))?;
        let assertion = account
            .assertion(&fcm.scope, url.as_str(), now / 1000, i64::from(fcm.token_seconds))
            .ok_or_else(|| GrantError::Refused("the assertion cannot be signed".to_owned()))?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        let pool = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|known, _| *known == endpoint);
            pools
                .entry(endpoint.clone())
                .or_insert_with(|| {
                    Pool::new(endpoint, self.connector.clone(), self.tasks.clone(), self.shutdown.clone())
                })
                .clone()
        };
        let request = Request::post(url.as_str())
            .header(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(Full::new(Bytes::from(form)))
            .map_err(|_| GrantError::Refused("authURL is not usable".to_owned()))?;
        let options = PoolOptions { size: 1, ..super::options(fcm) };
        let answer = pool
            .send(&options, request, deadline)
            .await
            .map_err(|error: SendError| GrantError::Unavailable(error.to_string()))?;
        let status = answer.status.as_u16();
        let body: GrantBody = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (status, body.access_token.is_empty()) {
            (200, false) => Ok((body.access_token, body.expires_in.unwrap_or(3600))),
            (429 | 500..=599, _) => Err(unavailable(&format!("status {status}"))),
            (_, _) if body.error.is_empty() => Err(GrantError::Refused(format!("status {status}"))),
            (_, _) => Err(GrantError::Refused(super::super::apns::cut(&body.error))),
        }
    }

    /// Age of the oldest token, seconds.
    pub(super) fn oldest_age(&self) -> Option<i64> {
        let now = epoch_millis(self.clock.now());
        let oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        oldest.values().map(|issued| (now - issued) / 1000).max()
    }
}
