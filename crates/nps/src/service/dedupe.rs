//! What was pushed already: by registration, call, event and sequence number.

use crate::wire::{Event, Notification, Target};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The application server tries a call for at most 600 s (`newCallTimeout`), and a minute more.
const REMEMBERED: Duration = Duration::from_mins(11);
/// Pushes remembered: at 2000 pushes a second the last minute, with slow ones long enough for every retry.
const MOST: NonZeroUsize = NonZeroUsize::new(131_072).unwrap();

/// What makes two pushes the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    registration_id: String,
    /// One registration may hold several tokens.
    token: [u8; 16],
    call_id: String,
    event: Event,
    seq: u64,
    /// Of what belongs to no call.
    notification_id: String,
}

impl Key {
    pub(super) fn new(notification: &Notification, target: &Target) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, target.token.as_bytes());
        let mut token = [0; 16];
        token.copy_from_slice(digest.as_ref().get(..16).unwrap_or(&[0; 16]));
        let of_no_call = notification.call_id.is_empty();
        Self {
            registration_id: target.registration_id.clone(),
            token,
            call_id: notification.call_id.clone(),
            event: notification.event,
            seq: notification.seq,
            notification_id: if of_no_call { notification.id.clone() } else { String::new() },
        }
    }
}

/// The memory.
pub(super) struct Dedupe(Mutex<LruCache<Key, Instant>>);

impl Default for Dedupe {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Dedupe {
    /// Takes note of a push that begins; false if it was begun or sent before.
    pub(super) fn begin(&self, key: &Key, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(key) {
            Some(at) if now.duration_since(*at) < REMEMBERED => false,
            Some(_) | None => {
                known.put(key.clone(), now);
                true
            }
        }
    }
    /// The push was not sent: another try is no duplicate.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(key);
    }
}
