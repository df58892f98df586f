//! What hot paths read.

use super::Store;
use crate::Settings;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// A typed context that follows changes; clones share the value.
pub struct Live<T> {
    pub(super) store: Arc<Store>,
    pub(super) value: Arc<ArcSwap<(u64, Arc<T>)>>,
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), value: self.value.clone() }
    }
}

impl<T: Settings> Live<T> {
    /// The value as it is now.
    pub fn load(&self) -> Arc<T> {
        let snapshot = self.store.current.load();
        let held = self.value.load();
        if held.0 == snapshot.revision() {
            return held.1.clone();
        }
        let fresh = Arc::new(snapshot.get::<T>());
        self.value.store(Arc::new((snapshot.revision(), fresh.clone())));
        fresh
    }
}
