//! Making one connection: names, addresses, TLS, ALPN.

use crate::{Addresses, Endpoint, SendError};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lru::LruCache;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Gives the TLS configuration for outgoing connections: current trust anchors, asked for at every connection.
pub type TlsSource = Arc<dyn Fn() -> io::Result<Arc<ClientConfig>> + Send + Sync>;

/// The next address is tried beside the first after this (section 9).
const HAPPY_EYEBALLS: Duration = Duration::from_millis(150);
/// A look-up is used for so long before it is made again.
const FRESH: Duration = Duration::from_mins(1);
/// And for so long when making it again fails or is slow (section 9).
const STALE: Duration = Duration::from_hours(1);
/// Longest wait for a look-up while an older answer is at hand (section 9).
const LOOKUP: Duration = Duration::from_millis(300);
/// Names that are remembered: a handful are in use.
const NAMES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// A connection, secured or not.
pub(crate) struct Stream {
    pub(crate) io: Box<dyn Transport>,
    /// Whether HTTP/2 was agreed on.
    pub(crate) http2: bool,
}

/// What HTTP is spoken over.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

struct Known {
    addresses: Vec<SocketAddr>,
    at: Instant,
}

/// Says where connections may go now; asked at every connection.
type Rules = Arc<dyn Fn() -> Addresses + Send + Sync>;

/// Makes connections; shared by all pools.
pub struct Connector {
    tls: TlsSource,
    rules: Rules,
    names: Mutex<LruCache<Endpoint, Known>>,
}

impl Connector {
    /// A connector that verifies servers as `tls` says and goes where `rules` let it.
    pub fn new(tls: TlsSource, rules: impl Fn() -> Addresses + Send + Sync + 'static) -> Self {
        Self { tls, rules: Arc::new(rules), names: Mutex::new(LruCache::new(NAMES)) }
    }

    /// Connects; the caller bounds the time.
    ///
    /// # Errors
    /// [`SendError::Connect`].
    pub(crate) async fn connect(&self, endpoint: &Endpoint, alpn: &[&[u8]]) -> Result<Stream, SendError> {
        self.try_connect(endpoint, alpn)
            .await
            .map_err(|source| SendError::Connect { host: endpoint.host.clone(), source })
    }

    async fn try_connect(&self, endpoint: &Endpoint, alpn: &[&[u8]]) -> io::Result<Stream> {
        if !endpoint.secure {
            if !(self.rules)().plain {
                let refused = "HTTP without TLS is not spoken there";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
            }
            let stream = race(&self.resolve(endpoint).await?).await?;
            stream.set_nodelay(true)?;
            return Ok(Stream { io: Box::new(stream), http2: false });
        }
        let mut config = ClientConfig::clone(&*(self.tls)()?);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
        let addresses = self.resolve(endpoint).await?;
        let stream = race(&addresses).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: Box::new(stream), http2 })
    }

    async fn resolve(&self, endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
        let rules = (self.rules)();
        if let Some(address) = rules.said(&endpoint.host, endpoint.port) {
            return Ok(vec![address]);
        }
        // Whatever a name leads to now is looked at, not what it led to when its URL was set.
        rules.allowed(self.find(endpoint).await?)
    }

    async fn find(&self, endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = endpoint.host.parse() {
            return Ok(vec![SocketAddr::new(address, endpoint.port)]);
        }
        let known = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.get(endpoint).map(|known| (known.addresses.clone(), known.at.elapsed()))
        };
        let lookup = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
        let found = match known {
            Some((addresses, age)) if age < FRESH => return Ok(addresses),
            Some((addresses, age)) if age < STALE => match tokio::time::timeout(LOOKUP, lookup).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(_)) | Err(_) => return Ok(addresses),
            },
            Some(_) | None => lookup.await?.collect::<Vec<_>>(),
        };
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.put(endpoint.clone(), Known { addresses: found.clone(), at: Instant::now() });
        Ok(found)
    }
}

/// The first address that answers, each tried a little after the one before.
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .zip(0_u32..)
        .map(|(address, index)| async move {
            tokio::time::sleep(HAPPY_EYEBALLS * index).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
