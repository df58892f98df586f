//! Outgoing HTTP: connections to providers and to nodes of ours (HTTP/2, and HTTP/1.1 where that is spoken), pooled.
//!
//! Certificates are always verified, HTTP without TLS is spoken only where both URL and rules say so, redirects never followed, every wait and every answer bounded. Where names lead may
//! be said by the operator ([`OutgoingName`]); private addresses can be refused ([`Addresses`]). Knows nothing of what is
//! sent. Reading order: [`Connector`], [`Pool`], [`Answer`], [`SendError`]; [`Calls`] for who only wants one answer.

mod addresses;
mod calls;
mod connect;
mod content;
mod pool;

pub use addresses::{Addresses, MODULE, OutgoingName};
pub use calls::{Call, CallError, Calls};
pub use connect::{Connector, TlsSource};
pub use content::decoded;
pub use pool::{Pool, PoolOptions, Tracked};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

/// Where a pool connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub secure: bool,
}

impl Endpoint {
    /// Where an `https` or `http` URL leads.
    pub fn of(url: &url::Url) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { host, port: url.port_or_known_default()?, secure })
    }
}

/// What a provider answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status; a redirect is an answer like any other.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, at most [`PoolOptions::max_answer`] bytes, as it came: see [`decoded`].
    pub body: Bytes,
    /// Retires the connection it came over.
    connection: CancellationToken,
}

impl Answer {
    /// Sends nothing more over the connection that this came over; what is under way on it finishes.
    pub fn give_up_connection(&self) {
        self.connection.cancel();
    }
    /// Seconds of `Retry-After`; dates are not used by the providers and count as absent.
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        let value = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
        value.trim().parse().ok().map(std::time::Duration::from_secs)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection could be made.
    #[error("cannot connect to {host}")]
    Connect {
        /// Where to.
        host: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No connection was free or made in time; nothing was sent.
    #[error("no connection in time")]
    NoConnection,
    /// The provider went away before it processed the request.
    #[error("not processed")]
    NotProcessed(#[source] hyper::Error),
    /// The provider refused this one stream, and did not process it.
    #[error("stream refused")]
    StreamRefused(#[source] hyper::Error),
    /// The connection broke after the request was sent; whether it was processed is unknown.
    #[error("connection lost")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is longer than is read.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// Most bytes that are read.
        limit: usize,
    },
    /// No answer in time; whether it was processed is unknown.
    #[error("no answer in time")]
    Timeout,
}
