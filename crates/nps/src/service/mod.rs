//! The rules of delivery: `protocols/nps.md` 10.
//!
//! Deadline first, then duplicates, order within a call, turns, retries within a budget, dead tokens believed within
//! reason. Knows the port to the providers ([`Gateway`](crate::gateway::Gateway)), no transport.

mod breaker;
mod dedupe;
mod deliver;
mod feedback;
mod guard;
mod order;
mod results;
mod retry;
mod turns;

pub(crate) use deliver::{Deps, Overloaded, Service};
