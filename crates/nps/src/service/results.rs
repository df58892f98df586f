//! Notifications under way and done: the same notification again gets the same result.

use crate::wire::{Answer, TargetResult};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a result is told again: as long as duplicates are known.
const REMEMBERED: Duration = Duration::from_mins(11);
/// Results remembered. Each has up to 100 targets of up to some 1.5 KB; most have one or two of 200 bytes.
const MOST: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How far a notification is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// In the order of the targets; `None` is under way.
    pub(crate) results: Vec<Option<TargetResult>>,
    pub(crate) done: bool,
}

/// A notification under way or done; clones look at the same.
#[derive(Clone)]
pub(crate) struct Submitted {
    notification_id: Arc<str>,
    progress: watch::Receiver<Progress>,
}

impl Submitted {
    /// Waits for all results, at most this long; the flag says whether they are all. They are in the order of the
    /// targets: one registration may have several tokens.
    pub(crate) async fn answer(mut self, wait: Duration) -> (Answer, bool) {
        // Too late, or the process ends: what is there by now is the answer.
        drop(tokio::time::timeout(wait, self.progress.wait_for(|progress| progress.done)).await);
        let progress = self.progress.borrow().clone();
        let results = progress.results.into_iter().flatten().collect();
        (Answer { notification_id: self.notification_id.to_string(), results }, progress.done)
    }
}

/// Results by notification id.
pub(super) struct Results(Mutex<LruCache<Arc<str>, (Submitted, Instant)>>);

impl Default for Results {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Results {
    /// The notification of this id, or a new one together with the end its results are put in.
    pub(super) fn begin(&self, id: &str, now: Instant) -> (Submitted, Option<watch::Sender<Progress>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((submitted, at)) = known.get(id)
            && now.duration_since(*at) < REMEMBERED
        {
            return (submitted.clone(), None);
        }
        let (sender, progress) = watch::channel(Progress::default());
        let notification_id: Arc<str> = id.into();
        let submitted = Submitted { notification_id: notification_id.clone(), progress };
        known.put(notification_id, (submitted.clone(), now));
        (submitted, Some(sender))
    }
    /// Another try of this id may fare better.
    pub(super) fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(id);
    }
}
