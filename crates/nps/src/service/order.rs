//! Order within a call: pushes of one registration and call go one after the other, by sequence number, and the end of
//! the call takes the place of a beginning that was not sent yet.

use lru::LruCache;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Ends of calls remembered, for a beginning that comes late.
const ENDS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// What is kept in order: registration and call.
pub(super) type Key = (String, String);

/// How a push stands to its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ends the call.
    Ends,
    /// Worthless once the call has ended.
    Yields,
    /// Of value whatever became of the call.
    Apart,
}

#[derive(Default)]
struct Line {
    busy: bool,
    /// Sequence number and arrival.
    waiting: BTreeSet<(u64, u64)>,
    changed: Arc<Notify>,
}

struct State {
    /// Bounded by the pushes under way: each holds one place.
    lines: HashMap<Key, Line>,
    /// Highest sequence number of an end, by call.
    ended: LruCache<Key, u64>,
    arrivals: u64,
}

/// The lines in front of the gateways.
#[derive(Clone)]
pub(super) struct Order(Arc<Mutex<State>>);

impl Default for Order {
    fn default() -> Self {
        let state = State { lines: HashMap::new(), ended: LruCache::new(ENDS), arrivals: 0 };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl State {
    fn superseded(&mut self, key: &Key, seq: u64, standing: Standing) -> bool {
        standing == Standing::Yields && self.ended.get(key).is_some_and(|ended| *ended > seq)
    }
    fn tidy(&mut self, key: &Key) {
        if let Some(line) = self.lines.get(key) {
            line.changed.notify_waiters();
            if !line.busy && line.waiting.is_empty() {
                self.lines.remove(key);
            }
        }
    }
}

/// A push in its line; leaves it when dropped, at the head or not.
pub(super) struct Place {
    order: Order,
    key: Key,
    seq: u64,
    ticket: u64,
    standing: Standing,
    at_head: bool,
}

impl Order {
    /// Waits until the push is first in its line; `None` if the call's end made it worthless.
    pub(super) async fn enter(&self, key: Key, seq: u64, standing: Standing) -> Option<Place> {
        let (mut place, changed) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if standing == Standing::Ends {
                let latest = state.ended.get(&key).copied().unwrap_or_default().max(seq);
                state.ended.put(key.clone(), latest);
            }
            state.arrivals += 1;
            let ticket = state.arrivals;
            let line = state.lines.entry(key.clone()).or_default();
            line.waiting.insert((seq, ticket));
            line.changed.notify_waiters();
            let changed = line.changed.clone();
            (Place { order: self.clone(), key, seq, ticket, standing, at_head: false }, changed)
        };
        loop {
            let notified = changed.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            {
                let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if state.superseded(&place.key, seq, standing) {
                    drop(state);
                    return None;
                }
                if let Some(line) = state.lines.get_mut(&place.key)
                    && !line.busy
                    && line.waiting.first() == Some(&(seq, place.ticket))
                {
                    line.busy = true;
                    line.waiting.remove(&(seq, place.ticket));
                    place.at_head = true;
                    drop(state);
                    return Some(place);
                }
            }
            notified.await;
        }
    }
}

impl Place {
    /// Whether the call ended meanwhile, so that there is no point in trying again.
    pub(super) fn superseded(&self) -> bool {
        let mut state = self.order.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.superseded(&self.key, self.seq, self.standing)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.order.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = state.lines.get_mut(&self.key) {
            if self.at_head {
                line.busy = false;
            } else {
                line.waiting.remove(&(self.seq, self.ticket));
            }
        }
        state.tidy(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use std::pin::pin;
    use std::task::Poll;

    fn key() -> Key {
        ("registration".to_owned(), "call".to_owned())
    }

    #[tokio::test]
    async fn lower_numbers_go_first_whatever_came_first() {
        let order = Order::default();
        let head = order.enter(key(), 1, Standing::Yields).await.unwrap();
        let mut third = pin!(order.enter(key(), 3, Standing::Yields));
        let mut second = pin!(order.enter(key(), 2, Standing::Yields));
        assert!(poll!(third.as_mut()).is_pending());
        assert!(poll!(second.as_mut()).is_pending());
        drop(head);
        assert!(poll!(third.as_mut()).is_pending());
        let Poll::Ready(Some(head)) = poll!(second.as_mut()) else { panic!("second is next") };
        drop(head);
        assert!(matches!(poll!(third.as_mut()), Poll::Ready(Some(_))));
    }

    #[tokio::test]
    async fn an_end_takes_the_place_of_what_waits() {
        let order = Order::default();
        let head = order.enter(key(), 1, Standing::Yields).await.unwrap();
        let mut update = pin!(order.enter(key(), 2, Standing::Yields));
        let mut apart = pin!(order.enter(key(), 2, Standing::Apart));
        assert!(poll!(update.as_mut()).is_pending());
        assert!(poll!(apart.as_mut()).is_pending());
        let mut end = pin!(order.enter(key(), 3, Standing::Ends));
        assert!(poll!(end.as_mut()).is_pending());
        assert!(matches!(poll!(update.as_mut()), Poll::Ready(None)));
        assert!(head.superseded(), "between two tries it notices");
        drop(head);
        let Poll::Ready(Some(apart)) = poll!(apart.as_mut()) else { panic!("not of the call") };
        drop(apart);
        assert!(matches!(poll!(end.as_mut()), Poll::Ready(Some(_))));
        assert!(order.enter(key(), 1, Standing::Yields).await.is_none(), "a late beginning");
    }

    #[tokio::test]
    async fn one_that_gives_up_blocks_nobody_and_nothing_stays() {
        let order = Order::default();
        let head = order.enter(key(), 1, Standing::Yields).await.unwrap();
        {
            let mut gives_up = pin!(order.enter(key(), 2, Standing::Yields));
            assert!(poll!(gives_up.as_mut()).is_pending());
        }
        let mut third = pin!(order.enter(key(), 3, Standing::Yields));
        assert!(poll!(third.as_mut()).is_pending());
        drop(head);
        let Poll::Ready(Some(head)) = poll!(third.as_mut()) else { panic!("third is next") };
        drop(head);
        assert!(order.0.lock().unwrap().lines.is_empty());
    }
}
