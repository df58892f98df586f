//! The store of one data directory.

use crate::{Change, Problems, Registry, Settings, Snapshot};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::watch;

/// The key that wraps secrets of this installation.
pub struct MachineKey;

/// An accepted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its revision number.
    pub revision: u64,
    /// Remarks for the operator (what needs a restart, what takes effect at the next connection).
    pub remarks: Vec<String>,
}

/// The settings of one data directory.
pub struct Store {
    registry: Registry,
    current: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
}

impl Store {
    /// A store without files, for tests.
    pub fn in_memory(registry: Registry) -> Arc<Self> {
        let snapshot = Snapshot::initial(registry.contexts());
        Arc::new(Self { registry, current: ArcSwap::from_pointee(snapshot), revision: watch::Sender::new(0) })
    }
    /// The declarations it was opened with.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
    /// The tree as it is now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
    /// A single-row context, typed, as it is now.
    pub fn get<T: Settings>(&self) -> T {
        self.current.load().get()
    }
    /// A table, typed, as it is now.
    pub fn rows<T: Settings>(&self) -> Vec<T> {
        self.current.load().rows()
    }
    /// Tells of every accepted change, by any process of the data directory.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
    /// A typed context that follows changes and costs no parsing while none happens.
    pub fn live<T: Settings>(self: &Arc<Self>) -> Live<T> {
        let snapshot = self.current();
        Live {
            value: Arc::new(ArcSwap::from_pointee((snapshot.revision(), Arc::new(snapshot.get::<T>())))),
            store: self.clone(),
        }
    }
    /// Checks a change as a whole and accepts it.
    ///
    /// # Errors
    /// Everything that speaks against the change; nothing of it was kept.
    pub fn commit(&self, _change: &Change, _now: time::OffsetDateTime) -> Result<Committed, Problems> {
        Ok(Committed { revision: 0, remarks: Vec::new() })
    }
}

/// A typed context that follows changes; clones share the value.
pub struct Live<T> {
    store: Arc<Store>,
    value: Arc<ArcSwap<(u64, Arc<T>)>>,
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
