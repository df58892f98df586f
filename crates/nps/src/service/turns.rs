//! Whose turn it is: a bounded number of pushes under way, the others waiting, calls first, then the earliest deadline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Where a push stands among those that wait; smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Calls (false) go before messages (true).
    pub(super) may_wait: bool,
    pub(super) deadline: Instant,
}

/// No more may wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

struct Waiting {
    rank: Rank,
    arrival: u64,
    word: oneshot::Sender<Turn>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.rank, self.arrival) == (other.rank, other.arrival)
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.rank, self.arrival).cmp(&(other.rank, other.arrival))
    }
}

#[derive(Default)]
struct State {
    under_way: usize,
    most: usize,
    arrivals: u64,
    waiting: BinaryHeap<Reverse<Waiting>>,
}

/// The turns.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<State>>);

/// A push's turn; the next one's begins when this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<Turns>);

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turns")
    }
}

impl Turns {
    /// Waits for a turn; `most` may be under way and `most_waiting` wait.
    pub(super) async fn take(&self, rank: Rank, most: usize, most_waiting: usize) -> Result<Turn, Full> {
        let (receiver, waiting) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.most = most;
            if state.under_way < most && state.waiting.is_empty() {
                state.under_way += 1;
                return Ok(Turn(Some(self.clone())));
            }
            if state.waiting.len() >= most_waiting {
                return Err(Full);
            }
            state.arrivals += 1;
            let arrival = state.arrivals;
            let (word, receiver) = oneshot::channel();
            state.waiting.push(Reverse(Waiting { rank, arrival, word }));
            (receiver, state.waiting.len())
        };
        crate::events::waiting(waiting);
        // More may be allowed at once than before.
        self.serve();
        receiver.await.map_err(|_| Full)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Gives free turns to those that wait.
    fn serve(&self) {
        loop {
            let next = {
                let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if state.under_way >= state.most {
                    return;
                }
                let Some(Reverse(next)) = state.waiting.pop() else { return };
                state.under_way += 1;
                next
            };
            // One that gave up waiting hands its turn back: without the drop's own call of this function.
            if let Err(mut turn) = next.word.send(Turn(Some(self.clone()))) {
                turn.0 = None;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.0.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
            turns.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    #[tokio::test]
    async fn calls_go_first_then_the_earliest_deadline() {
        let turns = Turns::default();
        let now = Instant::now();
        let rank = |may_wait, seconds| Rank { may_wait, deadline: now + Duration::from_secs(seconds) };
        let first = turns.take(rank(false, 1), 1, 3).await.unwrap();
        let mut message = pin!(turns.take(rank(true, 1), 1, 3));
        let mut late = pin!(turns.take(rank(false, 9), 1, 3));
        let mut soon = pin!(turns.take(rank(false, 5), 1, 3));
        for waiting in [&mut message, &mut late, &mut soon] {
            assert!(poll!(waiting.as_mut()).is_pending());
        }
        assert_eq!(turns.take(rank(false, 1), 1, 3).await.err(), Some(Full));
        drop(first);
        assert!(poll!(message.as_mut()).is_pending());
        assert!(poll!(late.as_mut()).is_pending());
        let Poll::Ready(Ok(turn)) = poll!(soon.as_mut()) else { panic!("soon is next") };
        drop(turn);
        let Poll::Ready(Ok(turn)) = poll!(late.as_mut()) else { panic!("late is next") };
        drop(turn);
        assert!(matches!(poll!(message.as_mut()), Poll::Ready(Ok(_))));
    }

    #[tokio::test]
    async fn one_that_gives_up_passes_its_turn_on() {
        let turns = Turns::default();
        let rank = Rank { may_wait: false, deadline: Instant::now() };
        let first = turns.take(rank, 1, 9).await.unwrap();
        {
            let mut gives_up = pin!(turns.take(rank, 1, 9));
            assert!(poll!(gives_up.as_mut()).is_pending());
        }
        let mut told_but_gone = Box::pin(turns.take(rank, 1, 9));
        assert!(poll!(told_but_gone.as_mut()).is_pending());
        let mut last = pin!(turns.take(rank, 1, 9));
        assert!(poll!(last.as_mut()).is_pending());
        drop(first);
        drop(told_but_gone);
        let Poll::Ready(Ok(turn)) = poll!(last.as_mut()) else { panic!("last is next") };
        assert_eq!(turns.0.lock().unwrap().under_way, 1);
        drop(turn);
        assert_eq!(turns.0.lock().unwrap().under_way, 0);
    }
}
