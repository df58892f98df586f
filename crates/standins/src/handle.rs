//! What a stand-in is given, and what its owner holds while it runs.

use crate::record::Log;
use crate::server::Scripts;
use crate::{Received, Script};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A clock: milliseconds since 1970.
pub type Millis = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Where each push goes besides the record. Called on the connection's task: it must return at once.
pub type Sink = Arc<dyn Fn(&Received) + Send + Sync>;

/// Certificate chain and private key in PEM.
#[derive(Clone)]
pub struct TlsPair {
    /// The chain, the server's own certificate first.
    pub certificates: String,
    /// Its private key (PKCS#8, PKCS#1 or SEC1).
    pub key: String,
}

/// What every stand-in needs from its owner.
#[derive(Clone)]
pub struct Environment {
    /// Address to bind; port 0 takes a free one.
    pub bind: SocketAddr,
    /// What it shows to clients.
    pub tls: TlsPair,
    /// The time that tokens are judged by.
    pub clock: Millis,
    /// Where its tasks live.
    pub tasks: TaskTracker,
    /// Ends it.
    pub shutdown: CancellationToken,
    /// Gets each push.
    pub sink: Option<Sink>,
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("certificate or key cannot be used: {0}")]
    Tls(String),
    /// A public key of the configuration cannot be used.
    #[error("public key {0} cannot be read")]
    PublicKey(String),
}

/// A running stand-in; clones share it. It runs until its environment's shutdown, not until the handle is dropped.
#[derive(Clone)]
pub struct Handle {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Log>,
    pub(crate) scripts: Arc<Scripts>,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// What it received, oldest first; at most the newest 1000.
    pub fn received(&self) -> Vec<Received> {
        self.log.all()
    }
    /// How many pushes and grants it ever answered.
    pub fn answered(&self) -> u64 {
        self.log.answered()
    }
    /// Waits until it has answered this many in all.
    pub async fn answered_at_least(&self, count: u64) {
        self.log.wait(count).await;
    }
    /// How many connections were accepted and finished their handshake.
    pub fn connections(&self) -> u64 {
        self.scripts.connections()
    }
    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.scripts.open()
    }
    /// Waits until at most this many connections are open.
    pub async fn open_at_most(&self, count: usize) {
        self.scripts.wait_open(count).await;
    }
    /// How many pushes are being held back by [`Script::Hold`] or [`Script::Silence`] now.
    pub fn held(&self) -> usize {
        self.scripts.held()
    }
    /// Waits until this many pushes are held back.
    pub async fn held_at_least(&self, count: usize) {
        self.scripts.wait_held(count).await;
    }
    /// Lets held pushes go on.
    pub fn release(&self) {
        self.scripts.release();
    }
    /// Makes the next `times` pushes that would be accepted go this way instead. Scripts run in the order given; at most
    /// 1024 wait.
    pub fn script(&self, script: Script, times: usize) {
        self.scripts.push(script, times);
    }
    /// Forgets all scripts.
    pub fn clear_scripts(&self) {
        self.scripts.clear();
    }
    /// Cuts all connections, without a word.
    pub fn cut_connections(&self) {
        self.scripts.cut();
    }
}
