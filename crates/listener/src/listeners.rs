//! All interfaces of a kind, following the settings.

use crate::accept::{Figures, Interface, Shared};
use crate::access::Access;
use crate::connection::ConnectionHandler;
use crate::limits::Counter;
use crate::settings::{Configured, configured, limits};
use arc_swap::ArcSwap;
use openadp_settings::{Snapshot, Store};
use openadp_tls::{InterfaceKind, InterfaceRef, Tls};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Which of the configured interfaces a process serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    #[default]
    All,
    /// All but those at these addresses and ports, which another process serves.
    Except(Vec<SocketAddr>),
    /// Those at these addresses and ports, once they are configured.
    Only(Vec<SocketAddr>),
}

impl Filter {
    /// Whether an interface is served.
    pub fn allows(&self, interface: &InterfaceRef) -> bool {
        match self {
            Self::All => true,
            Self::Except(addresses) => {
                !addresses.contains(&SocketAddr::new(interface.address, interface.port))
            }
            Self::Only(addresses) => addresses.contains(&SocketAddr::new(interface.address, interface.port)),
        }
    }
}

/// Whether an interface is listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceState {
    /// Which interface.
    pub interface: InterfaceRef,
    /// Where it listens, or why it does not (in an operator's words).
    pub listening: Result<SocketAddr, String>,
}

struct Running {
    interface: Arc<Interface>,
    accepting: JoinHandle<()>,
}

/// The interfaces of a kind: bound, followed, drained.
pub struct Listeners {
    shared: Arc<Shared>,
    filter: Filter,
    shutdown: CancellationToken,
    running: Mutex<BTreeMap<SocketAddr, Running>>,
    applied: watch::Sender<u64>,
}

impl Listeners {
    /// Binds what is configured and follows the settings from then on, until `shutdown` drains all connections.
    ///
    /// An interface that cannot be bound is tried again and again; see [`Listeners::states`].
    pub async fn start(
        kind: InterfaceKind,
        filter: Filter,
        store: Arc<Store>,
        tls: Arc<Tls>,
        handler: Arc<dyn ConnectionHandler>,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let mut changes = store.watch();
        changes.mark_unchanged();
        let snapshot = store.current();
        let shared = Arc::new(Shared {
            aborted: AtomicU64::new(0),
            counter: Arc::new(Counter::default()),
            handler,
            kind,
            access: ArcSwap::from_pointee(Access::of(&snapshot, kind)),
            limits: ArcSwap::from_pointee(limits(&snapshot, kind)),
            tasks: tasks.clone(),
            tls,
            figures: Figures::of(kind),
        });
        let this = Arc::new(Self {
            shared,
            filter,
            shutdown: shutdown.clone(),
            running: Mutex::default(),
            applied: watch::Sender::new(0),
        });
        this.apply(&snapshot).await;
        let following = this.clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
                following.apply(&store.current()).await;
            }
        });
        this
    }

    /// Every served interface and whether it is listening, by address.
    pub fn states(&self) -> Vec<InterfaceState> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .values()
            .map(|running| InterfaceState {
                interface: running.interface.configured.load().interface,
                listening: running.interface.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            })
            .collect()
    }

    /// Tells all open connections to finish, and aborts what has not within the drain limit; the interfaces go on.
    pub fn drain_connections(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(|running| running.interface.drain_connections());
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.counter.total()
    }

    /// Connections so far that had to be aborted, because they did not finish within the drain limit.
    pub fn aborted(&self) -> u64 {
        self.shared.aborted.load(Ordering::Relaxed)
    }

    /// Waits until the interfaces of a revision (or a later one) were bound, or failed to be.
    pub async fn applied(&self, revision: u64) {
        let mut applied = self.applied.subscribe();
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            // The sender lives as long as we do.
            _ = applied.wait_for(|done| *done >= revision) => {}
        }
    }

    /// Makes the interfaces those of the snapshot.
    async fn apply(&self, snapshot: &Snapshot) {
        self.shared.limits.store(Arc::new(limits(snapshot, self.shared.kind)));
        self.shared.access.store(Arc::new(Access::of(snapshot, self.shared.kind)));
        let wanted: BTreeMap<SocketAddr, Configured> = configured(snapshot, self.shared.kind)
            .into_iter()
            .filter(|configured| self.filter.allows(&configured.interface))
            .map(|configured| (configured.address(), configured))
            .collect();
        let removed: Vec<Running> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let gone: Vec<SocketAddr> =
                running.keys().filter(|at| !wanted.contains_key(at)).copied().collect();
            gone.iter().filter_map(|at| running.remove(at)).collect()
        };
        for gone in removed {
            tracing::info!(kind = self.shared.label(), address = %gone.interface.address(), notice = true, "interface removed, draining");
            gone.interface.drain.cancel();
            // The socket must be closed before the same address can be bound again; a task that failed has closed it.
            let _ended = gone.accepting.await;
        }
        if !self.shutdown.is_cancelled() {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, configured) in wanted {
                match running.get(&at) {
                    Some(known) if **known.interface.configured.load() == configured => {}
                    Some(known) => known.interface.configure(configured),
                    None => {
                        running.insert(at, self.begin(configured));
                    }
                }
            }
        }
        self.applied.send_replace(snapshot.revision());
    }

    fn begin(&self, configured: Configured) -> Running {
        let drain = self.shutdown.child_token();
        let interface = Arc::new(Interface {
            shared: self.shared.clone(),
            configured: ArcSwap::from_pointee(configured),
            connections: ArcSwap::from_pointee(drain.child_token()),
            drain,
            state: Mutex::new(Err("not tried yet".to_owned())),
        });
        let listener = interface.bind();
        let accepting = self.shared.tasks.spawn(interface.clone().run(listener));
        Running { interface, accepting }
    }
}
