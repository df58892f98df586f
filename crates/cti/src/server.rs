//! The server: what a process hosts.

use crate::session::{Peer, Shared, serve};
use openadp_appserver::Ports;
use openadp_listener::{BoxFuture, ConnectionHandler, ConnectionInfo, Stream};
use openadp_settings::Store;
use openadp_webcontainer::{Authenticator, BuildError, Host, ServiceLock};
use openadp_xsi_api::XsiApi;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the server is made of.
#[derive(Clone)]
pub struct Deps {
    /// Checks credentials.
    pub authenticator: Authenticator,
    /// Whether new work is refused.
    pub lock: ServiceLock,
    /// The application server.
    pub ports: Ports,
    /// Event delivery ends with it.
    pub shutdown: CancellationToken,
    /// The settings; [`crate::MODULES`] must be registered.
    pub store: Arc<Store>,
    /// The tasks of event delivery run in here.
    pub tasks: TaskTracker,
}

/// Makes the server. Needs a tokio runtime.
pub fn server(deps: Deps) -> Arc<dyn ConnectionHandler> {
    let api = XsiApi::new(openadp_xsi_api::Deps {
        ports: deps.ports,
        store: deps.store.clone(),
        tasks: deps.tasks,
        shutdown: deps.shutdown,
        // CTI speaks no HTTP; a process with Xsi-Events posts.
        contacts: None,
    });
    let settings = deps.store.live();
    Arc::new(Server(Arc::new(Shared {
        api,
        authenticator: deps.authenticator,
        lock: deps.lock,
        store: deps.store,
        settings,
    })))
}

/// Makes the server over what a process gives to everything it hosts.
///
/// # Errors
/// The process has no application server.
pub fn build(host: &Host) -> Result<Arc<dyn ConnectionHandler>, BuildError> {
    Ok(server(Deps {
        authenticator: host.authenticator.clone(),
        lock: host.lock.clone(),
        ports: host.require_ports()?,
        shutdown: host.shutdown.clone(),
        store: host.store.clone(),
        tasks: host.tasks.clone(),
    }))
}

struct Server(Arc<Shared>);

impl ConnectionHandler for Server {
    fn serve(
        self: Arc<Self>,
        stream: Stream,
        info: Arc<ConnectionInfo>,
        drain: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let shared = self.0.clone();
        Box::pin(async move {
            let client = info.tls.as_ref().and_then(|tls| tls.client.as_ref());
            let peer = Peer {
                connection: info.connection_id,
                certified: client.is_some(),
                common_name: client.and_then(|client| client.common_name.clone()),
                address: Some(info.peer.ip()),
                ..Peer::default()
            };
            tracing::info!(
                connection = info.connection_id,
                peer = %info.peer,
                tls = info.tls.as_ref().map_or("none", |tls| tls.version),
                certificate = peer.common_name.as_deref().unwrap_or_default(),
                "connection opened"
            );
            let _counted = Counted::new();
            let end = serve(shared, stream, peer, drain).await;
            metrics::counter!("cti_connections_closed_total", "reason" => end.as_str()).increment(1);
            tracing::info!(connection = info.connection_id, reason = end.as_str(), "connection closed");
        })
    }
}

/// Counts an open connection, even when it is dropped in the middle.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("cti_connections").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("cti_connections").decrement(1.0);
    }
}
