//! Long-lived tokens over the local key ring. authservice.md 8.

use openadp_keystore::KeyStore;
use openadp_settings::{Live, Store};
use openadp_token::{Expected, TokenError, TokenManagement, ValidToken, validate};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A token may come before the news of its key: the ring is read again then, but not for everybody who makes up a key.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// The one validation of tokens for all applications of the container.
pub(crate) struct Tokens {
    keystore: Arc<KeyStore>,
    management: Live<TokenManagement>,
    refreshed: Mutex<Option<Instant>>,
}

impl Tokens {
    pub(crate) fn new(store: &Arc<Store>, keystore: Arc<KeyStore>) -> Self {
        Self { keystore, management: store.live(), refreshed: Mutex::new(None) }
    }

    /// Checks a token but for its user.
    pub(crate) async fn validate(&self, token: &str, now_unix: i64) -> Result<ValidToken, TokenError> {
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
