//! `ADP_CLI/Applications/OpenClientServer`: clients of the application server's own protocols (OCI-P, CAP) are led to a server of
//! `System/NetworkServers`, byte for byte. cli.md 5.6
//!
//! Both protocols are in clear, so nobody is let in who is not on a list of addresses. One process of the data directory does it:
//! whichever holds the lock; another takes over when that one ends.

use openadp_alarms::{INTERFACE_NOT_LISTENING, OPEN_CLIENT_SERVER_FAILED};
use openadp_appserver_embedded::OciAccess;
use openadp_listener::{CtiAccess, refuses};
use openadp_settings::{Context, Kind, Parameter, Rights, Snapshot, Store, Tree, context};
use openadp_tls::InterfaceKind;
use openadp_webcontainer::ServiceLock;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time between two looks at the lock, and at a port that could not be bound.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for a server of the network.
const CONNECT: Duration = Duration::from_secs(5);
/// A side that sends nothing for so long is gone; a server that takes nothing for so long as well.
const IDLE: Duration = Duration::from_hours(1);
const WRITE: Duration = Duration::from_secs(30);
/// Clients of OCI-P at once, and most servers that are tried for one.
const MOST_CLIENTS: usize = 200;
const MOST_SERVERS: usize = 16;

context! {
    /// Servers of the network that OpenClientServer leads clients to; the first that answers is taken.
    pub struct NetworkServer = Context::table(Tree::Adp, "System/NetworkServers").needs(Rights::Administer) => {
        /// Its address or name.
        pub address: String = Parameter::new("address", Kind::Host).header("Address").key().left();
        /// Its port for OCI-P.
        pub oci_port: u16 = Parameter::new("ociPort", Kind::integer(1, 65_535)).default("2208").header("OCI Port");
        /// Its port for CAP.
        pub cap_port: u16 = Parameter::new("capPort", Kind::integer(1, 65_535)).default("2206").header("CAP Port");
        /// What it is.
        pub description: String =
            Parameter::new("description", Kind::text(0, 80)).default("").header("Description").left();
    }
}

context! {
    /// Leads clients of the provisioning interface OCI-P to a server of System/NetworkServers. The embedded application server has
    /// no such interface. It is in clear: only addresses of AS_CLI/System/NetworkAccessLists/OCI/Provisioning may connect, and
    /// nobody while that list is empty.
    pub struct OciProxy = Context::single(Tree::Adp, "Applications/OpenClientServer/OCIProxy")
        .needs(Rights::Administer) => {
        /// Whether clients are taken.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// Port where they connect, on all addresses of the machine.
        pub server_port: u16 = Parameter::new("serverPort", Kind::integer(1, 65_535)).default("2208");
    }
}

context! {
    /// Leads clients of the older call control protocol CAP to a server of System/NetworkServers; Applications/CTI took its place
    /// with release 22. It is in clear: only addresses of System/NetworkAccessLists/CTI may connect, and nobody while that list
    /// is empty.
    pub struct CapProxy = Context::single(Tree::Adp, "Applications/OpenClientServer/CAPProxy")
        .needs(Rights::Administer) => {
        /// Whether clients are taken.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// Port where they connect, on all addresses of the machine.
        pub server_port: u16 = Parameter::new("serverPort", Kind::integer(1, 65_535)).default("2206");
        /// Connections to the server at once; each client has one, and further clients are refused.
        pub num_connections: u32 = Parameter::new("numConnections", Kind::integer(1, 1000)).default("1");
    }
}

/// A protocol that is led on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proxy {
    Oci,
    Cap,
}

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Oci => "OCIProxy",
            Self::Cap => "CAPProxy",
        }
    }

    /// Port and most clients, where it is enabled.
    fn wanted(self, snapshot: &Snapshot) -> Option<(u16, usize)> {
        match self {
            Self::Oci => {
                let settings: OciProxy = snapshot.get();
                settings.enabled.then_some((settings.server_port, MOST_CLIENTS))
            }
            Self::Cap => {
                let settings: CapProxy = snapshot.get();
                settings.enabled.then_some((settings.server_port, settings.num_connections as usize))
            }
        }
    }

    fn may_connect(self, snapshot: &Snapshot, peer: IpAddr) -> bool {
        match self {
            Self::Oci => snapshot.rows::<OciAccess>().iter().any(|row| row.address.to_canonical() == peer),
            Self::Cap => snapshot.rows::<CtiAccess>().iter().any(|row| row.address.to_canonical() == peer),
        }
    }

    fn servers(self, snapshot: &Snapshot) -> Vec<(String, u16)> {
        let port = |row: &NetworkServer| match self {
            Self::Oci => row.oci_port,
            Self::Cap => row.cap_port,
        };
        let rows: Vec<NetworkServer> = snapshot.rows();
        rows.iter().take(MOST_SERVERS).map(|row| (row.address.clone(), port(row))).collect()
    }
}

/// What leads clients on while this process holds the lock.
pub(crate) struct Relay {
    data_dir: PathBuf,
    shared: Arc<Shared>,
}

/// What its parts share.
struct Shared {
    store: Arc<Store>,
    /// Whether the node takes new work.
    lock: ServiceLock,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Relay {
    pub(crate) fn new(
        data_dir: &Path,
        store: Arc<Store>,
        lock: ServiceLock,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Shared { store, lock, tasks: tasks.clone(), shutdown });
        Self { data_dir: data_dir.to_owned(), shared }
    }

    /// Runs until the shutdown.
    pub(crate) async fn run(self) {
        let shared = self.shared;
        let _lock = loop {
            let snapshot = shared.store.current();
            let wanted = [Proxy::Oci, Proxy::Cap].into_iter().any(|proxy| proxy.wanted(&snapshot).is_some());
            if wanted && let Some(lock) = hold(&self.data_dir) {
                break lock;
            }
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        };
        let one = shared.tasks.spawn(serve(Proxy::Oci, shared.clone()));
        let other = shared.tasks.spawn(serve(Proxy::Cap, shared.clone()));
        for ended in [one.await, other.await] {
            if ended.is_err() {
                tracing::error!("a proxy of OpenClientServer failed");
            }
        }
    }
}

fn hold(data_dir: &Path) -> Option<File> {
    let path = data_dir.join("run/open-client-server.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Follows the settings of one proxy: listens where and while it is wanted.
async fn serve(proxy: Proxy, shared: Arc<Shared>) {
    let mut revisions = shared.store.watch();
    loop {
        let wanted = proxy.wanted(&shared.store.current());
        let serving = shared.shutdown.child_token();
        if let Some((port, most)) = wanted {
            shared.tasks.spawn(listen(proxy, port, most, shared.clone(), serving.clone()));
        }
        while proxy.wanted(&shared.store.current()) == wanted {
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                changed = revisions.changed() => if changed.is_err() { return },
            }
        }
        // Who is connected goes with the port.
        serving.cancel();
    }
}

async fn listen(proxy: Proxy, port: u16, most: usize, shared: Arc<Shared>, serving: CancellationToken) {
    let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let shown = address.to_string();
    let about = [("kind", proxy.name()), ("interface", shown.as_str())];
    let listener = loop {
        // A machine without IPv6 has the other.
        let bound = match TcpListener::bind(address).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(("0.0.0.0", port)).await
            }
            bound => bound,
        };
        match bound {
            Ok(listener) => break listener,
            Err(error) => INTERFACE_NOT_LISTENING.raise(&about, error),
        }
        tokio::select! {
            () = serving.cancelled() => return INTERFACE_NOT_LISTENING.clear(&about),
            () = tokio::time::sleep(LOOK) => {}
        }
    };
    INTERFACE_NOT_LISTENING.clear(&about);
    tracing::info!(proxy = proxy.name(), port, notice = true, "listening");
    let clients = Arc::new(Semaphore::new(most));
    loop {
        let accepted = tokio::select! {
            () = serving.cancelled() => return OPEN_CLIENT_SERVER_FAILED.clear(&[("proxy", proxy.name())]),
            accepted = listener.accept() => accepted,
        };
        let (client, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, proxy = proxy.name(), "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let snapshot = shared.store.current();
        let (from, local) = (peer.ip().to_canonical(), client.local_addr().unwrap_or(address));
        let refused =
            refuses(&snapshot, InterfaceKind::Cti, from, local).filter(|reason| *reason == "blackList");
        let refused = refused.or(shared.lock.refuses().map(|_| "locked"));
        let refused = refused.or((!proxy.may_connect(&snapshot, from)).then_some("networkAccessList"));
        let permit = clients.clone().try_acquire_owned();
        let (reason, Ok(permit)) = (refused, permit) else {
            refuse(proxy, peer, "limit");
            continue;
        };
        if let Some(reason) = reason {
            refuse(proxy, peer, reason);
            continue;
        }
        let serving = serving.clone();
        shared.tasks.spawn(async move {
            tokio::select! {
                () = serving.cancelled() => {}
                () = lead(proxy, client, &snapshot) => {}
            }
            drop(permit);
        });
    }
}

fn refuse(proxy: Proxy, peer: SocketAddr, reason: &'static str) {
    metrics::counter!("open_client_connections_total", "proxy" => proxy.name(), "result" => reason)
        .increment(1);
    tracing::info!(%peer, reason, proxy = proxy.name(), notice = true, "client refused");
}

/// Leads one client to the first server that answers.
async fn lead(proxy: Proxy, client: TcpStream, snapshot: &Snapshot) {
    let about = [("proxy", proxy.name())];
    let mut why = "System/NetworkServers has none".to_owned();
    for (name, port) in proxy.servers(snapshot) {
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect((name.as_str(), port))).await;
        match connected {
            Ok(Ok(server)) => {
                OPEN_CLIENT_SERVER_FAILED.clear(&about);
                metrics::counter!("open_client_connections_total", "proxy" => proxy.name(), "result" => "led")
                    .increment(1);
                return both_ways(client, server).await;
            }
            Ok(Err(error)) => why = format!("{name}:{port}: {error}"),
            Err(_late) => why = format!("{name}:{port}: no answer within {} s", CONNECT.as_secs()),
        }
    }
    metrics::counter!("open_client_connections_total", "proxy" => proxy.name(), "result" => "noServer")
        .increment(1);
    OPEN_CLIENT_SERVER_FAILED.raise(&about, why);
}

/// Copies until both sides have ended, or one is silent for too long or fails.
async fn both_ways(mut client: TcpStream, mut server: TcpStream) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = copy(&mut from_client, &mut to_server);
    let back = copy(&mut from_server, &mut to_client);
    // Either failure ends both.
    let _ended = tokio::try_join!(there, back);
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = tokio::time::timeout(IDLE, from.read(&mut buffer))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        if count == 0 {
            return to.shutdown().await;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        tokio::time::timeout(WRITE, to.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}
