//! A node: a set of applications over one data directory, in one process.

use crate::admin::{Admin, AdminSocket, InterfaceStatus, Interfaces};
use crate::exit::Exit;
use crate::health::{self, Health};
use crate::lock::Locking;
use crate::monitoring::{self, Keeper};
use crate::options::NodeOptions;
use crate::push::HttpPushSender;
use crate::relay::Relay;
use crate::scheduler::Scheduler;
use crate::{ErrorChain, expiry, managed, telemetry};
use openadp_alarms::{KEYS_UNREADABLE, PROCESS_STARTED, PROCESS_STOPPED, SETTINGS_UNREADABLE};
use openadp_appserver::{Clock as _, SystemClock};
use openadp_appserver_embedded::{EmbeddedApplicationServer, Options as ServerOptions};
use openadp_keystore::KeyStore;
use openadp_listener::{ConnectionHandler, InterfaceState, Listeners};
use openadp_settings::{Registry, Store};
use openadp_tls::{InterfaceKind, Tls};
use openadp_wake::Wake;
use openadp_webcontainer::{
    Authenticator, BuildError, Deployments, Host, ServiceLock, WebContainer, calls_to_nodes,
};
use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Topics of wake-ups among the processes of a data directory.
const SETTINGS: &str = "settings";
const KEYS: &str = "keys";

/// Shared files are read again after this time even if no wake-up came: a change must hold everywhere within a second,
/// also one by a process that died before it could tell.
const REFRESH: Duration = Duration::from_millis(500);
/// What the inner parts get to end after all connections have.
const INNER_DRAIN: Duration = Duration::from_secs(5);
/// On top of the connections' own drain limit, for what their end sets off.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin socket or the wake-ups among processes cannot be set up.
    #[error("cannot set up {what} below {}", data_dir.display())]
    Setup {
        /// What it is.
        what: &'static str,
        /// The data directory.
        data_dir: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The embedded application server cannot be opened.
    #[error("cannot open the application server's store below {}", data_dir.display())]
    ApplicationServer {
        /// The data directory.
        data_dir: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An application cannot be built.
    #[error("cannot build {application}")]
    Build {
        /// Which one.
        application: &'static str,
        /// Why.
        #[source]
        source: BuildError,
    },
    /// Applications that must not be together.
    #[error("{application} must not share a process with other applications")]
    Exclusive {
        /// Which one wants to be alone.
        application: &'static str,
    },
    /// Nothing to host, or two servers of one kind.
    #[error("{0}")]
    Composition(&'static str),
    /// The metrics address cannot be used.
    #[error("cannot serve metrics at {address}")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Two declarations contradict each other: a fault of the build.
    #[error("declarations of settings are wrong")]
    Declarations(#[source] openadp_settings::RegistryError),
    /// Files of the installation cannot be used.
    #[error("cannot open {what} below {}", data_dir.display())]
    Files {
        /// Which files.
        what: &'static str,
        /// The data directory.
        data_dir: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StartError {
    /// The exit code of a process that cannot start for this reason.
    pub fn exit(&self) -> Exit {
        match self {
            Self::ApplicationServer { .. } | Self::Metrics { .. } | Self::Setup { .. } => Exit::Unavailable,
            Self::Build { .. } | Self::Composition(_) | Self::Exclusive { .. } | Self::Files { .. } => {
                Exit::Configuration
            }
            Self::Declarations(_) => Exit::Internal,
        }
    }
}

/// What a node does with its parts when it starts and ends: the edge (interfaces, applications) drains first, what it
/// stands on after it.
#[derive(Clone, Default)]
struct Layer {
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// A node that is complete but for its interfaces.
pub struct Prepared {
    node: Node,
    options: NodeOptions,
    web: Option<Arc<WebContainer>>,
    cti: Option<Arc<dyn ConnectionHandler>>,
}

/// A running node.
pub struct Node {
    host: Host,
    wake: Wake,
    server: Option<EmbeddedApplicationServer>,
    listeners: Vec<Arc<Listeners>>,
    metrics: Option<SocketAddr>,
    health: Arc<Health>,
    edge: Layer,
    inner: Layer,
    admin: Option<AdminSocket>,
}

impl Node {
    /// Opens everything, builds the applications, binds the interfaces.
    ///
    /// # Errors
    /// See [`StartError`]. An interface that cannot be bound is none: it is tried again, see [`Node::interfaces`].
    pub async fn start(options: NodeOptions) -> Result<Self, StartError> {
        Self::prepare(options).await?.start().await
    }

    /// Does everything that a start does up to binding.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn prepare(options: NodeOptions) -> Result<Prepared, StartError> {
        check_composition(&options)?;
        let data_dir = options.data_dir.clone();
        let files = |what| {
            let data_dir = data_dir.clone();
            move |source: Box<dyn Error + Send + Sync>| StartError::Files { what, data_dir, source }
        };
        if !data_dir.is_dir() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&data_dir)
                .map_err(|error| files("the data directory")(error.into()))?;
        }
        let registry = Registry::new(options.modules()).map_err(StartError::Declarations)?;
        let store = Store::open(&data_dir, registry).map_err(|error| files("the settings")(error.into()))?;
        // A change whose confirmation nobody gave while no process ran must not be served for a moment. Where it cannot
        // be taken back the admin socket tries again, and says so.
        if let Err(error) = store.settle(SystemClock.now()) {
            tracing::error!(%error, "an unconfirmed change cannot be taken back");
        }
        let keystore = KeyStore::open(&data_dir, store.machine_key().clone())
            .map_err(|error| files("the key ring")(error.into()))?;
        let tls = Tls::new(store.clone(), &data_dir);

        // Before anything counts: what is counted without a recorder is lost.
        let metrics = telemetry::metrics().map_err(|error| StartError::Setup {
            what: "the metrics recorder",
            data_dir: data_dir.clone(),
            source: error.into(),
        })?;
        let (edge, inner) = (Layer::default(), Layer::default());
        let wake = Wake::join(&data_dir, &inner.tasks, inner.shutdown.clone()).map_err(|error| {
            StartError::Setup { what: "wake-ups", data_dir: data_dir.clone(), source: error.into() }
        })?;
        follow(&store, &keystore, &tls, &wake, &inner);
        expiry::follow(store.clone(), options.clock.clone(), &inner.tasks, inner.shutdown.clone());

        let server = if options.needs_application_server() {
            let (tasks, shutdown) = (inner.tasks.clone(), inner.shutdown.clone());
            let push_sender =
                HttpPushSender::new(calls_to_nodes(&store, tls.clone(), false, tasks, shutdown));
            let opened = EmbeddedApplicationServer::open(ServerOptions {
                data_dir: data_dir.clone(),
                wake: wake.clone(),
                clock: options.clock.clone(),
                settings: store.clone(),
                tasks: inner.tasks.clone(),
                shutdown: inner.shutdown.clone(),
                push_sender: Some(Arc::new(push_sender)),
            });
            Some(opened.await.map_err(|error| StartError::ApplicationServer {
                data_dir: data_dir.clone(),
                source: error.into(),
            })?)
        } else {
            None
        };
        let ports = server.as_ref().map(EmbeddedApplicationServer::ports);
        let authenticator = Authenticator::with_remote(
            &store,
            keystore.clone(),
            ports.as_ref().map(|ports| ports.credentials.clone()),
            options.clock.clone(),
            Some(calls_to_nodes(&store, tls.clone(), true, edge.tasks.clone(), edge.shutdown.clone())),
        );
        if let Some(ports) = &ports {
            authenticator.use_logins(ports.logins.clone());
        }
        let host = Host {
            authenticator,
            clock: options.clock.clone(),
            data_dir: data_dir.clone(),
            keystore,
            lab: options.lab,
            lock: ServiceLock::default(),
            ports,
            shutdown: edge.shutdown.clone(),
            store,
            tasks: edge.tasks.clone(),
            tls,
        };
        let (web, cti) = build(&options, &host)?;
        let health =
            Arc::new(Health { metrics, ready: AtomicBool::new(false), locked: AtomicBool::new(false) });
        let node = Self {
            host,
            wake,
            server,
            listeners: Vec::new(),
            metrics: None,
            health,
            edge,
            inner,
            admin: None,
        };
        Ok(Prepared { node, options, web, cti })
    }

    /// What the applications got.
    pub fn host(&self) -> &Host {
        &self.host
    }
    /// The embedded application server, where the node has one.
    pub fn application_server(&self) -> Option<&EmbeddedApplicationServer> {
        self.server.as_ref()
    }
    /// The settings.
    pub fn store(&self) -> &Arc<Store> {
        &self.host.store
    }
    /// Wake-ups among the processes of the data directory.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }
    /// Every interface that this node serves, and whether it is listening.
    pub fn interfaces(&self) -> Vec<InterfaceState> {
        self.listeners.iter().flat_map(|listeners| listeners.states()).collect()
    }
    /// Waits until the interfaces have followed a revision of the settings.
    pub async fn applied(&self, revision: u64) {
        for listeners in &self.listeners {
            listeners.applied(revision).await;
        }
    }
    /// Where metrics and health answer.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Runs until `soft` is cancelled, then drains. `hard` ends the drain at once.
    pub async fn run_until_shutdown(self, soft: CancellationToken, hard: CancellationToken) -> Exit {
        soft.cancelled().await;
        self.shutdown(hard).await
    }

    /// Drains and ends: no new connections, those that are open finish, then the parts they stand on. `hard` ends it at
    /// once.
    pub async fn shutdown(self, hard: CancellationToken) -> Exit {
        self.health.ready.store(false, Ordering::Release);
        tracing::info!(notice = true, "draining");
        PROCESS_STOPPED.report(&[], "it was told to end");
        let limit = self.drain_limit();
        let aborted = |listeners: &[Arc<Listeners>]| listeners.iter().map(|one| one.aborted()).sum::<u64>();
        let aborted_before = aborted(&self.listeners);
        self.edge.shutdown.cancel();
        self.edge.tasks.close();
        let drained = tokio::select! {
            () = self.edge.tasks.wait() => true,
            () = tokio::time::sleep(limit) => false,
            () = hard.cancelled() => false,
        };
        let aborted = aborted(&self.listeners) - aborted_before;
        if !drained || aborted > 0 {
            tracing::warn!(
                aborted,
                open = self.edge.tasks.len(),
                "not everything finished within the drain limit"
            );
        }
        self.inner.shutdown.cancel();
        self.inner.tasks.close();
        let ended = tokio::select! {
            () = self.inner.tasks.wait() => true,
            () = tokio::time::sleep(INNER_DRAIN) => false,
            () = hard.cancelled() => false,
        };
        if !ended {
            tracing::warn!(open = self.inner.tasks.len(), "inner tasks did not end");
        }
        if let Some(server) = &self.server {
            // Bounded: the store commits nothing any more, and is safe without this.
            if tokio::time::timeout(INNER_DRAIN, server.close()).await.is_err() {
                tracing::warn!("the application server's store did not close");
            }
        }
        drop(self.admin);
        if drained && ended && aborted == 0 { Exit::Clean } else { Exit::DrainTimedOut }
    }

    /// The listeners abort what is open after their own limits, so this is only for what hangs beyond that.
    fn drain_limit(&self) -> Duration {
        let http = self.host.store.get::<openadp_listener::HttpGeneralSettings>().drain_timeout_secs;
        let cti = self.host.store.get::<openadp_listener::CtiGeneralSettings>().drain_timeout_secs;
        Duration::from_secs(http.max(cti).into()) + DRAIN_MARGIN
    }
}

impl Prepared {
    /// What the applications got: to fill a fresh installation before anybody connects.
    pub fn host(&self) -> &Host {
        self.node.host()
    }
    /// The embedded application server, where the node has one.
    pub fn application_server(&self) -> Option<&EmbeddedApplicationServer> {
        self.node.application_server()
    }

    /// Binds the interfaces, the admin socket and the metrics address.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(self) -> Result<Node, StartError> {
        let Self { mut node, options, web, cti } = self;
        let locking = Locking::new(node.host.store.clone(), node.health.clone(), node.host.lock.clone());
        let handlers = [
            (InterfaceKind::Http, web.map(|web| web as Arc<dyn ConnectionHandler>)),
            (InterfaceKind::Cti, cti),
        ];
        for (kind, handler) in handlers {
            let Some(handler) = handler else { continue };
            let listeners = Listeners::start(
                kind,
                options.filter.clone(),
                node.host.store.clone(),
                node.host.tls.clone(),
                handler,
                &node.edge.tasks,
                node.edge.shutdown.clone(),
            );
            node.listeners.push(listeners.await);
        }
        node.inner.tasks.spawn(locking.run(node.listeners.clone(), node.inner.shutdown.clone()));
        let admin = Admin {
            name: options.name.clone(),
            store: node.host.store.clone(),
            clock: options.clock.clone(),
            changed: Arc::new({
                let (wake, tell) = (node.wake.clone(), monitoring::changed(node.host.store.clone()));
                let tls = node.host.tls.clone();
                move || {
                    tell();
                    tls.look_at_files();
                    wake.notify(SETTINGS);
                    // Actions change keys too, and reading the ring again costs nothing.
                    wake.notify(KEYS);
                }
            }),
            interfaces: interface_status(&node.listeners),
        };
        let socket =
            AdminSocket::start(&options.data_dir, admin, &node.inner.tasks, node.inner.shutdown.clone());
        node.admin = Some(socket.map_err(|error| StartError::Setup {
            what: "the admin socket",
            data_dir: options.data_dir.clone(),
            source: error.into(),
        })?);
        if let Some(address) = options.metrics {
            let bound =
                health::start(address, node.health.clone(), &node.inner.tasks, node.inner.shutdown.clone());
            let source = |error: std::io::Error| StartError::Metrics { address, source: error.into() };
            node.metrics = Some(bound.await.map_err(source)?);
        }
        let keeper = Keeper::new(&options.data_dir, &options.name, node.host.store.clone());
        let keeper = keeper.map_err(|error| StartError::Setup {
            what: "the alarms",
            data_dir: options.data_dir.clone(),
            source: error.into(),
        })?;
        node.inner.tasks.spawn(keeper.run(node.inner.tasks.clone(), node.inner.shutdown.clone()));
        upkeep(&node.health, &node.inner);
        let relay = Relay::new(
            &options.data_dir,
            node.host.store.clone(),
            node.host.lock.clone(),
            &node.edge.tasks,
            node.edge.shutdown.clone(),
        );
        node.edge.tasks.spawn(relay.run());
        let scheduler = Scheduler::new(&options.data_dir, node.host.store.clone(), options.clock.clone());
        node.inner.tasks.spawn(scheduler.run(node.inner.shutdown.clone()));
        sweep(&options.data_dir, &node.host.store, &node.inner);
        PROCESS_STARTED.report(&[("name", &options.name)], concat!("version ", env!("CARGO_PKG_VERSION")));
        node.health.ready.store(true, Ordering::Release);
        tracing::info!(name = options.name, data_dir = %options.data_dir.display(), notice = true, "ready");
        Ok(node)
    }

    /// Ends a node that was only prepared.
    pub async fn discard(self) {
        let _exit = self.node.shutdown(CancellationToken::new()).await;
    }
}

fn check_composition(options: &NodeOptions) -> Result<(), StartError> {
    let hosted = options.applications.len() + options.servers.len();
    if options.servers.len() > 1 {
        return Err(StartError::Composition("a process can host one CTI server only"));
    }
    if hosted > 1
        && !options.lab
        && let Some(alone) = options.applications.iter().find(|application| application.exclusive)
    {
        return Err(StartError::Exclusive { application: alone.name });
    }
    Ok(())
}

type Built = (Option<Arc<WebContainer>>, Option<Arc<dyn ConnectionHandler>>);

fn build(options: &NodeOptions, host: &Host) -> Result<Built, StartError> {
    let mut applications = Vec::new();
    for spec in &options.applications {
        let built =
            (spec.build)(host).map_err(|source| StartError::Build { application: spec.name, source })?;
        applications.push(built);
    }
    let web = if applications.is_empty() {
        None
    } else {
        let data_dir = host.data_dir.clone();
        let deployed: Deployments = Arc::new(move |snapshot| managed::deployments(&data_dir, snapshot));
        let container = WebContainer::with_deployments(
            &host.store,
            &host.tasks,
            applications,
            deployed,
            host.lock.clone(),
        );
        Some(container.map_err(|source| StartError::Build { application: "the web container", source })?)
    };
    let cti = match options.servers.first() {
        None => None,
        Some(spec) => {
            Some((spec.build)(host).map_err(|source| StartError::Build { application: spec.name, source })?)
        }
    };
    Ok((web, cti))
}

/// Reads what other processes changed, when they tell and from time to time.
fn follow(store: &Arc<Store>, keystore: &Arc<KeyStore>, tls: &Arc<Tls>, wake: &Wake, inner: &Layer) {
    let (mut settings, mut keys) = (wake.subscribe(SETTINGS), wake.subscribe(KEYS));
    let (store, keystore, tls) = (store.clone(), keystore.clone(), tls.clone());
    let shutdown = inner.shutdown.clone();
    inner.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Ok(()) = settings.changed() => {}
                Ok(()) = keys.changed() => {}
                () = tokio::time::sleep(REFRESH) => {}
            }
            let (store, keystore, tls) = (store.clone(), keystore.clone(), tls.clone());
            let reading = tokio::task::spawn_blocking(move || {
                SETTINGS_UNREADABLE
                    .set(&[], store.refresh().err().map(|error| ErrorChain(&error).to_string()));
                tls.look_at_files();
                KEYS_UNREADABLE
                    .set(&[], keystore.refresh().err().map(|error| ErrorChain(&error).to_string()));
            });
            if reading.await.is_err() {
                tracing::error!("reading the settings panicked");
            }
        }
    });
}

/// The recorder drops old histogram samples only when told.
fn upkeep(health: &Arc<Health>, inner: &Layer) {
    const EVERY: Duration = Duration::from_secs(5);
    let (metrics, shutdown) = (health.metrics.clone(), inner.shutdown.clone());
    inner.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => metrics.run_upkeep(),
            }
        }
    });
}

/// Takes away what archives that are no longer installed left, now and every day.
fn sweep(data_dir: &Path, store: &Arc<Store>, inner: &Layer) {
    const EVERY: Duration = Duration::from_hours(24);
    let (data_dir, store, shutdown) = (data_dir.to_owned(), store.clone(), inner.shutdown.clone());
    inner.tasks.spawn(async move {
        loop {
            let (data_dir, store) = (data_dir.clone(), store.clone());
            let sweeping =
                tokio::task::spawn_blocking(move || managed::sweep(&data_dir, &store.current())).await;
            if sweeping.is_err() {
                tracing::error!("looking for left-over archives panicked");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

fn interface_status(listeners: &[Arc<Listeners>]) -> Interfaces {
    let listeners: Arc<[Arc<Listeners>]> = listeners.into();
    Arc::new(move |revision| {
        let listeners = listeners.clone();
        Box::pin(async move {
            let mut status = Vec::new();
            for one in listeners.iter() {
                one.applied(revision).await;
                status.extend(one.states().into_iter().map(|state| InterfaceStatus {
                    kind: state.interface.kind.name().to_ascii_lowercase(),
                    address: state.interface.address,
                    port: state.interface.port,
                    not_listening: state.listening.err(),
                }));
            }
            status
        })
    })
}
