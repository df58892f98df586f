//! The container: applications on connections.

use crate::activity::{Activity, Allowed, Watched};
use crate::binding::Bindings;
use crate::cors::Cors;
use crate::deployment::Deployments;
use crate::mount::{Hosted, Mounts, Table};
use crate::settings::{ClientName, LimitSettings};
use crate::{Application, BuildError, ConnectionInfo, ServiceLock};
use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use openadp_listener::{BoxFuture, ConnectionHandler, HttpServer, Stream, TlsInfo, WebApp};
use openadp_outgoing::Tracked;
use openadp_settings::{Live, Snapshot, Store};
use openadp_tls::InterfaceRef;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time between HTTP/2 pings that find out whether a silent client is still there, and how long each may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What an idle connection gets to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves applications on the connections that a listener hands over.
pub struct WebContainer {
    bindings: Bindings,
    cors: Cors,
    limits: Live<LimitSettings>,
    mounts: Table,
    rules: ClientCertificateRules,
    running: Arc<AtomicU32>,
    lock: ServiceLock,
    tasks: TaskTracker,
}

impl WebContainer {
    /// A container with these applications, all of them deployed, whose work runs in `tasks`.
    ///
    /// # Errors
    /// When two mounts are the same, or one has no segment.
    pub fn new(
        store: &Arc<Store>,
        tasks: &TaskTracker,
        applications: Vec<Application>,
    ) -> Result<Arc<Self>, BuildError> {
        Self::build(store, tasks, applications, None, ServiceLock::default())
    }

    /// A container that serves what the settings say is deployed: of these applications, and of installed files, while
    /// the lock does not refuse it.
    ///
    /// # Errors
    /// When two mounts are the same, or one has no segment.
    pub fn with_deployments(
        store: &Arc<Store>,
        tasks: &TaskTracker,
        applications: Vec<Application>,
        deployments: Deployments,
        lock: ServiceLock,
    ) -> Result<Arc<Self>, BuildError> {
        Self::build(store, tasks, applications, Some(deployments), lock)
    }

    fn build(
        store: &Arc<Store>,
        tasks: &TaskTracker,
        applications: Vec<Application>,
        deployments: Option<Deployments>,
        lock: ServiceLock,
    ) -> Result<Arc<Self>, BuildError> {
        Ok(Arc::new(Self {
            bindings: Bindings::new(store.clone()),
            cors: Cors::new(store.clone()),
            limits: store.live(),
            mounts: Table::new(store.clone(), Mounts::new(applications)?, deployments),
            rules: ClientCertificateRules::new(store.clone()),
            running: Arc::new(AtomicU32::new(0)),
            lock,
            tasks: tasks.clone(),
        }))
    }
    pub(crate) fn limits(&self) -> Arc<LimitSettings> {
        self.limits.load()
    }
    pub(crate) fn mounts(&self) -> Arc<(u64, Mounts)> {
        self.mounts.load()
    }
    /// Whether new work is refused.
    pub(crate) fn lock(&self) -> &ServiceLock {
        &self.lock
    }
    pub(crate) fn cors(&self) -> &Cors {
        &self.cors
    }
    pub(crate) fn bindings(&self) -> &Bindings {
        &self.bindings
    }
    pub(crate) fn rules(&self) -> &ClientCertificateRules {
        &self.rules
    }
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn allowed(&self) -> Allowed {
        let limits = self.limits();
        Allowed {
            head: Duration::from_secs(limits.head_timeout_secs.into()),
            idle: Duration::from_secs(limits.idle_timeout_secs.into()),
            write: Duration::from_secs(limits.write_timeout_secs.into()),
        }
    }

    /// What serves a connection. Over TLS the version is agreed on before (RFC 9113, 3.2); looking for it in what is read would
    /// double the buffer of each connection.
    fn builder(&self, tls: Option<&TlsInfo>) -> Builder<Tracked> {
        let limits = self.limits();
        let head_bytes = usize::try_from(limits.max_head_bytes).unwrap_or(usize::MAX);
        let mut builder = Builder::new(Tracked(self.tasks.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            // The time limits are ours (see `activity`): hyper's would close connections that are merely kept alive.
            .header_read_timeout(None)
            .max_buf_size(head_bytes)
            .max_headers(usize::try_from(limits.max_headers).unwrap_or(usize::MAX))
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(limits.max_head_bytes);
        match tls.map(|tls| tls.alpn.as_deref()) {
            Some(Some("h2")) => builder.http2_only(),
            Some(_) => builder.http1_only(),
            None => builder,
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: Stream,
        info: Arc<ConnectionInfo>,
        drain: CancellationToken,
    ) {
        let activity = Activity::new();
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let builder = self.builder(info.tls.as_ref());
        let service = {
            let (container, activity) = (self.clone(), activity.clone());
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let in_flight = activity.request();
                let answering = container.clone().handle(info.clone(), request, in_flight);
                // Boxed, since the connection keeps room for it: an event channel, idle for days, would hold its 10 KiB.
                Box::pin(async move { Ok::<Response<Body>, Infallible>(answering.await) })
            })
        };
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        let mut draining = false;
        let mut look = tokio::time::Instant::now();
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %error, "connection ended");
                    }
                    return;
                }
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(look) => match activity.check(self.allowed()) {
                    Ok(next) => look = next,
                    Err(expired) => {
                        metrics::counter!("http_connections_expired_total", "reason" => expired.label()).increment(1);
                        connection.as_mut().graceful_shutdown();
                        // The outcome does not matter any more.
                        let _ended = tokio::time::timeout(GOODBYE, connection).await;
                        return;
                    }
                },
            }
        }
    }
}

impl ConnectionHandler for WebContainer {
    fn serve(
        self: Arc<Self>,
        stream: Stream,
        info: Arc<ConnectionInfo>,
        drain: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(self.connection(stream, info, drain))
    }
}

/// One request that is being worked on; dropped with the answer's head.
pub(crate) struct Running {
    all: Arc<AtomicU32>,
    own: Arc<AtomicU32>,
}

impl Running {
    /// Counts a request, unless a limit is reached.
    pub(crate) fn begin(
        container: &WebContainer,
        application: &Hosted,
        limits: &LimitSettings,
    ) -> Option<Self> {
        let take = |counter: &Arc<AtomicU32>, limit: u32| {
            counter
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < limit).then_some(now + 1))
                .is_ok()
        };
        if !take(&container.running, limits.max_requests) {
            return None;
        }
        if !take(&application.running, limits.max_requests_per_application) {
            container.running.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Self { all: container.running.clone(), own: application.running.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
        self.own.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Which applications want a client certificate where, and of whom; read once per revision.
pub(crate) struct ClientCertificateRules {
    store: Arc<Store>,
    rules: ArcSwap<(u64, Rules)>,
}

/// The rules of one revision.
struct Rules {
    applications: Vec<WebApp>,
    /// Interfaces that demand a certificate of everybody.
    interfaces: Vec<(IpAddr, u16)>,
    /// Common names that are served; all of them, when there are none.
    names: Vec<String>,
}

impl Rules {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            applications: snapshot.rows(),
            interfaces: snapshot
                .rows::<HttpServer>()
                .into_iter()
                .filter(|interface| interface.client_auth_req)
                .map(|interface| (interface.interface_ip, interface.port))
                .collect(),
            names: snapshot.rows::<ClientName>().into_iter().map(|name| name.common_name).collect(),
        }
    }

    /// Whether the application wants a certificate on the interface; its own rule beats the interface's.
    fn wants(&self, interface: &InterfaceRef, application: &str) -> bool {
        let own = self.applications.iter().find(|rule| {
            rule.interface_ip == interface.address
                && rule.port == interface.port
                && rule.application.eq_ignore_ascii_case(application)
        });
        own.map_or_else(
            || self.interfaces.contains(&(interface.address, interface.port)),
            |rule| rule.client_auth_req,
        )
    }
}

impl ClientCertificateRules {
    fn new(store: Arc<Store>) -> Self {
        let current = store.current();
        Self { rules: ArcSwap::from_pointee((current.revision(), Rules::of(&current))), store }
    }

    /// Why the application is not for this connection: it has no valid client certificate, or one of somebody else.
    pub(crate) fn refuses(&self, info: &ConnectionInfo, application: &str) -> Option<&'static str> {
        let current = self.store.current();
        let mut held = self.rules.load_full();
        if held.0 != current.revision() {
            held = Arc::new((current.revision(), Rules::of(&current)));
            self.rules.store(held.clone());
        }
        let rules = &held.1;
        if !rules.wants(&info.interface, application) {
            return None;
        }
        let Some(client) = info.tls.as_ref().and_then(|tls| tls.client.as_ref()) else {
            return Some("client_certificate_required\n");
        };
        let listed = rules.names.is_empty()
            || client
                .common_name
                .as_ref()
                .is_some_and(|own| rules.names.iter().any(|name| name.eq_ignore_ascii_case(own)));
        (!listed).then_some("client_certificate_not_allowed\n")
    }
}
