//! Clients' keys that were read a moment ago: clouds send one and the same key with every request, and reading one costs as
//! much as wrapping a token for it.

use lru::LruCache;
use openadp_token::{ClientKey, ClientKeyError, MAX_KEY_CHARACTERS};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys that are kept, some 4 KiB each.
const KEPT: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// The keys of this process. Clones share everything.
#[derive(Clone)]
pub(crate) struct ClientKeys(Arc<Mutex<LruCache<String, Arc<ClientKey>>>>);

impl Default for ClientKeys {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(KEPT))))
    }
}

impl ClientKeys {
    /// As [`ClientKey::parse`]; what is refused is not kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(&self, text: String) -> Result<Arc<ClientKey>, ClientKeyError> {
        if text.len() > MAX_KEY_CHARACTERS {
            return ClientKey::parse(&text).map(Arc::new);
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&text).cloned();
        if let Some(key) = kept {
            return Ok(key);
        }
        let key = Arc::new(ClientKey::parse(&text)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(text, key.clone());
        Ok(key)
    }
}
