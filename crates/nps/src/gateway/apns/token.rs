//! Provider tokens: signed once, used for 45 minutes. `protocols/nps.md` 7.
//!
//! Apple wants a token between 20 and 60 minutes old: never one per push, never renewed more often than every 20 minutes.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openadp_appserver::epoch_millis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// A token is used for so long, milliseconds.
const USED_FOR: i64 = 45 * 60 * 1000;
/// No token is made sooner after the one before, milliseconds.
const NOT_BEFORE: i64 = 20 * 60 * 1000;
/// A token dated further ahead of the clock than this was made before the clock was set back, milliseconds.
const AHEAD: i64 = 60 * 1000;

/// Why a key cannot be used. Never holds anything of the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("not a PKCS#8 key of curve P-256 in PEM")]
    NotAKey,
    #[error("the provider token cannot be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// A key that provider tokens are signed with.
#[derive(Clone)]
pub(crate) struct SigningKey {
    key_id: String,
    team_id: String,
    key: EncodingKey,
    fingerprint: [u8; 32],
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

impl SigningKey {
    /// Reads a `.p8` file, and signs with it once to see that it works.
    ///
    /// # Errors
    /// It is no P-256 key in PEM.
    pub(crate) fn parse(key_id: &str, team_id: &str, pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| KeyError::NotAKey)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pem.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.as_ref());
        let key = Self { key_id: key_id.to_owned(), team_id: team_id.to_owned(), key, fingerprint };
        key.sign(0).map_err(|_| KeyError::NotAKey)?;
        Ok(key)
    }
    pub(crate) fn team_id(&self) -> &str {
        &self.team_id
    }
    /// Tells keys apart without showing them.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
    fn sign(&self, issued_at: i64) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        header.typ = None;
        jsonwebtoken::encode(&header, &Claims { iss: &self.team_id, iat: issued_at }, &self.key)
            .map_err(KeyError::Signing)
    }
}

/// What became of a wish to renew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The next push signs a new one.
    Renewed,
    /// The last one is not 20 minutes old.
    TooEarly,
}

struct Held {
    token: Arc<str>,
    /// Milliseconds since 1970.
    issued: i64,
    /// Must not be used any more.
    stale: bool,
    /// No renewal before this time, milliseconds since 1970.
    paused_until: i64,
}

impl Held {
    /// Whether a new one is due.
    fn due(&self, now: i64) -> bool {
        let age = now - self.issued;
        let set_back = age < -AHEAD;
        set_back || ((self.stale || age >= USED_FOR) && now >= self.paused_until)
    }
}

/// The tokens in use, one for each key.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 32], Held>>);

impl Tokens {
    /// The token to send with; a new one if the last is 45 minutes old.
    ///
    /// # Errors
    /// The key cannot sign.
    pub(crate) fn current(&self, key: &SigningKey, now: OffsetDateTime) -> Result<Arc<str>, KeyError> {
        let now = epoch_millis(now);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get(&key.fingerprint)
            && !held.due(now)
        {
            return Ok(held.token.clone());
        }
        let token: Arc<str> = key.sign(now / 1000)?.into();
        // Keys that were deleted: their tokens are of no use to anybody.
        held.retain(|_, held| now - held.issued < 2 * USED_FOR);
        held.insert(
            key.fingerprint,
            Held { token: token.clone(), issued: now, stale: false, paused_until: 0 },
        );
        Ok(token)
    }
    /// Apple does not like the token: makes the next push sign a new one, if that is allowed yet.
    pub(crate) fn renew(&self, key: &SigningKey, now: i64) -> Renewal {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&key.fingerprint) {
            Some(held) if now - held.issued < NOT_BEFORE && now - held.issued >= -AHEAD => Renewal::TooEarly,
            Some(held) if now < held.paused_until => Renewal::TooEarly,
            Some(held) => {
                held.stale = true;
                Renewal::Renewed
            }
            None => Renewal::Renewed,
        }
    }
    /// Apple had too many new ones: keeps the newest for 20 minutes.
    pub(crate) fn pause(&self, key: &SigningKey, now: i64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&key.fingerprint) {
            held.stale = false;
            held.paused_until = now + NOT_BEFORE;
        }
    }
    /// Age of the oldest, seconds.
    pub(crate) fn oldest_age(&self, now: OffsetDateTime) -> Option<i64> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.values().map(|held| (epoch_millis(now) - held.issued) / 1000).max()
    }
}
