//! One interface at work: bind, accept, hand over.

use crate::access::Access;
use crate::bind;
use crate::connection::{ConnectionHandler, ConnectionInfo, Stream};
use crate::handshake;
use crate::limits::{Counter, Limits, Permit};
use crate::settings::Configured;
use arc_swap::ArcSwap;
use metrics::{Counter as Counted, Gauge};
use openadp_alarms::{INTERFACE_NOT_LISTENING, INTERFACE_NOT_SECURED};
use openadp_tls::{InterfaceKind, Tls};
use socket2::SockRef;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// First and longest wait before an interface that could not be bound is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// Wait after a failed accept, which mostly means that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ids of connections are unique in the process, across kinds and interfaces.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// What all interfaces of a kind share.
pub(crate) struct Shared {
    /// Connections that did not finish within the drain limit.
    pub(crate) aborted: AtomicU64,
    pub(crate) counter: Arc<Counter>,
    pub(crate) handler: Arc<dyn ConnectionHandler>,
    pub(crate) kind: InterfaceKind,
    pub(crate) access: ArcSwap<Access>,
    pub(crate) limits: ArcSwap<Limits>,
    pub(crate) tasks: TaskTracker,
    pub(crate) tls: Arc<Tls>,
    pub(crate) figures: Figures,
}

/// What is counted for every connection, looked up once.
pub(crate) struct Figures {
    accepted: Counted,
    active: Gauge,
}

impl Figures {
    pub(crate) fn of(kind: InterfaceKind) -> Self {
        let kind = label(kind);
        Self {
            accepted: metrics::counter!("listener_connections_accepted_total", "kind" => kind),
            active: metrics::gauge!("listener_connections_active", "kind" => kind),
        }
    }
}

fn label(kind: InterfaceKind) -> &'static str {
    match kind {
        InterfaceKind::Cti => "cti",
        InterfaceKind::Http => "http",
    }
}

impl Shared {
    pub(crate) fn label(&self) -> &'static str {
        label(self.kind)
    }
}

/// One interface.
pub(crate) struct Interface {
    pub(crate) shared: Arc<Shared>,
    pub(crate) configured: ArcSwap<Configured>,
    pub(crate) drain: CancellationToken,
    /// Of the connections of now; another one once they are told to finish while the interface goes on.
    pub(crate) connections: ArcSwap<CancellationToken>,
    pub(crate) state: Mutex<Result<SocketAddr, String>>,
}

impl Interface {
    pub(crate) fn address(&self) -> SocketAddr {
        self.configured.load().address()
    }

    /// Takes new settings of the same address: they hold for connections from now on.
    pub(crate) fn configure(&self, configured: Configured) {
        self.configured.store(Arc::new(configured));
        self.prepare_tls();
    }

    /// Builds the TLS configuration ahead of the first handshake: making keys takes a while.
    fn prepare_tls(&self) {
        let configured = self.configured.load_full();
        let (tls, kind) = (self.shared.tls.clone(), self.shared.label());
        if configured.secure {
            self.shared.tasks.spawn_blocking(move || {
                let made =
                    tls.server_config(&configured.interface, configured.client_auth, &configured.names);
                let at = configured.address().to_string();
                INTERFACE_NOT_SECURED.set(
                    &[("kind", kind), ("interface", &at)],
                    made.err().map(|error| match error.source() {
                        Some(source) => format!("no handshake will succeed: {error}: {source}"),
                        None => format!("no handshake will succeed: {error}"),
                    }),
                );
            });
        }
    }

    /// What alarms about it name.
    fn about<'a>(&self, address: &'a str) -> [(&'static str, &'a str); 2] {
        [("kind", self.shared.label()), ("interface", address)]
    }

    /// Tells the connections that are open to finish; further ones are taken.
    pub(crate) fn drain_connections(&self) {
        self.connections.swap(Arc::new(self.drain.child_token())).cancel();
    }

    /// An interface that is no more has no alarms.
    fn clear_alarms(&self) {
        let address = self.address().to_string();
        INTERFACE_NOT_LISTENING.clear(&self.about(&address));
        INTERFACE_NOT_SECURED.clear(&self.about(&address));
    }

    /// Tries to bind once and notes how it went.
    pub(crate) fn bind(&self) -> Option<TcpListener> {
        self.prepare_tls();
        let bound = bind::bind(self.address(), &self.shared.limits.load())
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match bound {
            Ok((local, listener)) => {
                tracing::info!(kind = self.shared.label(), %local, secure = self.configured.load().secure, notice = true, "listening");
                *state = Ok(local);
                INTERFACE_NOT_LISTENING.clear(&self.about(&self.address().to_string()));
                Some(listener)
            }
            Err(error) => {
                let reason = bind::reason(&error);
                INTERFACE_NOT_LISTENING.raise(&self.about(&self.address().to_string()), &reason);
                *state = Err(reason);
                None
            }
        }
    }

    /// Accepts until told to drain. Returning closes the socket.
    pub(crate) async fn run(self: Arc<Self>, listener: Option<TcpListener>) {
        self.keep_listening(listener).await;
        self.clear_alarms();
    }

    async fn keep_listening(self: &Arc<Self>, mut listener: Option<TcpListener>) {
        let mut retry = RETRY_FIRST;
        loop {
            if let Some(listener) = listener.take() {
                tokio::select! {
                    () = self.drain.cancelled() => {}
                    () = self.accept(&listener) => {}
                }
                return;
            }
            tokio::select! {
                () = self.drain.cancelled() => return,
                () = tokio::time::sleep(retry) => {}
            }
            retry = (retry * 2).min(RETRY_MOST);
            listener = self.bind();
        }
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let kind = self.shared.label();
        // Without an address of its own, every connection may have another one of this machine's.
        let local = listener.local_addr().ok().filter(|local| !local.ip().is_unspecified());
        let mut prepared = None;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let limits = **self.shared.limits.load();
                    if prepared != Some(limits.keepalive) {
                        // This one was accepted with the options of before; those to come have the new ones.
                        let all = [SockRef::from(listener), SockRef::from(&stream)];
                        if all.iter().try_for_each(|socket| bind::prepare(socket, &limits)).is_err() {
                            continue; // closed already
                        }
                        prepared = Some(limits.keepalive);
                    }
                    // The peer may be gone already; then there is nobody to serve.
                    let Some(local) = local.or_else(|| stream.local_addr().ok()) else { continue };
                    self.admit(stream, peer, local, limits);
                }
                // The peer was gone before we looked: nothing of ours is wrong.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    metrics::counter!("listener_accept_failures_total", "kind" => kind).increment(1);
                    tracing::warn!(kind, address = %self.address(), %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Counts a connection and starts its task, or closes it.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, local: SocketAddr, limits: Limits) {
        let kind = self.shared.label();
        self.shared.figures.accepted.increment(1);
        if let Some(reason) = self.shared.access.load().refuses(peer.ip(), local) {
            metrics::counter!("listener_connections_refused_total", "kind" => kind, "reason" => reason)
                .increment(1);
            tracing::debug!(kind, %peer, reason, "connection refused");
            return;
        }
        match self.shared.counter.open(peer.ip(), &limits) {
            Ok(permit) => {
                let this = self.clone();
                self.shared.tasks.spawn(this.connection(
                    stream,
                    peer,
                    local,
                    limits.handshake_timeout,
                    permit,
                ));
            }
            Err(refusal) => {
                metrics::counter!("listener_connections_refused_total", "kind" => kind, "reason" => refusal.label())
                    .increment(1);
                tracing::debug!(kind, %peer, reason = refusal.label(), "connection refused");
            }
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        handshake_timeout: Duration,
        permit: Permit,
    ) {
        let _active = Active::new(&self.shared.figures, permit);
        let drain = CancellationToken::clone(&self.connections.load());
        let configured = self.configured.load_full();
        let (stream, tls) = if configured.secure {
            let Shared { tls, tasks, .. } = &*self.shared;
            let shaking = handshake::secure(stream, &configured, tls, tasks, handshake_timeout);
            let shaken = tokio::select! {
                // Nothing is under way on a connection that is not even secured.
                () = drain.cancelled() => return,
                shaken = shaking => shaken,
            };
            match shaken {
                Ok((stream, info)) => (stream, Some(info)),
                Err(failure) => {
                    let (kind, reason) = (self.shared.label(), failure.label());
                    metrics::counter!("listener_handshake_failures_total", "kind" => kind, "reason" => reason)
                        .increment(1);
                    tracing::debug!(target: "openadp_listener::handshake", kind, %peer, reason, "handshake failed");
                    return;
                }
            }
        } else {
            (Stream::Plain(stream), None)
        };
        let connection_id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        let info =
            Arc::new(ConnectionInfo { connection_id, interface: configured.interface, local, peer, tls });
        let span = handshake::span(&info);
        let serving = self.shared.handler.clone().serve(stream, info, drain.clone()).instrument(span);
        tokio::select! {
            () = serving => {}
            () = self.drained_too_long(&drain) => {
                let kind = self.shared.label();
                self.shared.aborted.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("listener_connections_aborted_total", "kind" => kind).increment(1);
                tracing::info!(kind, %peer, "connection aborted: not finished within the drain limit");
            }
        }
    }

    async fn drained_too_long(&self, drain: &CancellationToken) {
        drain.cancelled().await;
        let limit = self.shared.limits.load().drain_timeout;
        tokio::time::sleep(limit).await;
    }
}

/// One open connection in the gauge.
struct Active {
    gauge: Gauge,
    _permit: Permit,
}

impl Active {
    fn new(figures: &Figures, permit: Permit) -> Self {
        figures.active.increment(1.0);
        Self { gauge: figures.active.clone(), _permit: permit }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}
