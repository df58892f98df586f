//! Tokens that were checked a moment ago. authservice.md 8 rule 2
//!
//! No token is kept, only a tag of it: GMAC under a key that this process alone has and never lets out, so that nobody can
//! look for two tokens with one tag (the chance for any two is below 2^-120). With carry-less multiplication, which every
//! server has, that costs a fifth of a SHA-256 where the processor has no instruction for that.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use lru::LruCache;
use openadp_appserver::Principal;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Tokens that are kept in each part: with the parts, as many as are used within a minute on a busy node, in some 30 MiB.
const HELD: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// Parts, so that cores do not wait for one another.
const PARTS: usize = 16;

/// A token that was accepted.
pub(crate) struct Accepted {
    pub(crate) principal: Principal,
    pub(crate) issuer: String,
    /// The key that signed it; `None` where another host checked it.
    pub(crate) kid: Option<String>,
    pub(crate) issued_ms: i64,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) expires: i64,
    /// When the token itself was checked.
    pub(crate) checked: Instant,
    /// When its account was read.
    pub(crate) account_read: Instant,
}

type Part = Mutex<LruCache<Tag, Arc<Accepted>, Spread>>;
/// What stands for a token.
pub(crate) type Tag = [u8; 16];

/// Tags are spread evenly already, by a key that nobody knows.
#[derive(Clone, Copy, Default)]
struct Spread;

struct Taken(u64);

impl BuildHasher for Spread {
    type Hasher = Taken;
    fn build_hasher(&self) -> Taken {
        Taken(0)
    }
}

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }
}

/// The tokens of this process.
pub(crate) struct TokenCache {
    key: Option<LessSafeKey>,
    parts: [Part; PARTS],
}

impl TokenCache {
    pub(crate) fn new() -> Self {
        let mut secret = zeroize::Zeroizing::new([0_u8; 32]);
        // Without randomness nothing is kept, and every token is checked in full.
        let key = aws_lc_rs::rand::fill(&mut *secret)
            .and_then(|()| UnboundKey::new(&AES_256_GCM, &*secret))
            .map(LessSafeKey::new)
            .ok();
        Self { key, parts: std::array::from_fn(|_| Mutex::new(LruCache::with_hasher(HELD, Spread))) }
    }

    /// What stands for a token in this process.
    pub(crate) fn tag(&self, token: &str) -> Option<Tag> {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        // One nonce for all is right here: nothing is encrypted, and no tag ever leaves this process.
        let key = self.key.as_ref()?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(token.as_bytes()), &mut []).ok()?;
        tag.as_ref().try_into().ok()
    }

    fn part(&self, tag: &Tag) -> &Part {
        &self.parts[usize::from(tag[15]) % PARTS]
    }

    pub(crate) fn get(&self, tag: &Tag) -> Option<Arc<Accepted>> {
        self.part(tag).lock().unwrap_or_else(PoisonError::into_inner).get(tag).cloned()
    }

    pub(crate) fn put(&self, tag: Tag, accepted: Accepted) {
        self.part(&tag).lock().unwrap_or_else(PoisonError::into_inner).put(tag, Arc::new(accepted));
    }

    pub(crate) fn forget(&self, tag: &Tag) {
        self.part(tag).lock().unwrap_or_else(PoisonError::into_inner).pop(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_for_one_token_in_one_process() {
        let (one, two) = (TokenCache::new(), TokenCache::new());
        assert_eq!(one.tag("a.b.c"), one.tag("a.b.c"));
        assert_ne!(one.tag("a.b.c"), one.tag("a.b.d"));
        assert_ne!(one.tag("a.b.c"), one.tag("a.b.c\0"));
        assert_ne!(one.tag("a.b.c"), two.tag("a.b.c"));
    }
}
