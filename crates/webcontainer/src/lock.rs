//! Whether this node takes new work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether new work is refused because the node is locked. Everything that a process hosts looks at the same one.
#[derive(Debug, Clone, Default)]
pub struct ServiceLock(Arc<AtomicU32>);

impl ServiceLock {
    /// Refuses new work from now on, telling clients to try again after so many seconds (at least one); or takes it again.
    pub fn refuse(&self, retry_after: Option<u32>) {
        self.0.store(retry_after.map_or(0, |seconds| seconds.max(1)), Ordering::Release);
    }
    /// Seconds after which a client may try again, while new work is refused.
    pub fn refuses(&self) -> Option<u32> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            seconds => Some(seconds),
        }
    }
}
