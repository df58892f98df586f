//! Connections to the providers: HTTP/2 (and HTTP/1.1 where a provider speaks it) over TLS, pooled.
//!
//! Certificates are always verified, redirects never followed, every wait bounded. Knows nothing of pushes.

mod connect;
mod pool;

pub(crate) use connect::Connector;
pub(crate) use pool::{Pool, PoolOptions};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

/// Where a pool connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    /// Host and port of an `https` URL.
    pub(crate) fn of(url: &url::Url) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: url.port_or_known_default()? })
    }
}

/// What a provider answered.
#[derive(Debug)]
pub(crate) struct ProviderAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Retires the connection it came over.
    connection: CancellationToken,
}

impl ProviderAnswer {
    /// Sends nothing more over the connection that this came over; what is under way on it finishes.
    pub(crate) fn give_up_connection(&self) {
        self.connection.cancel();
    }
    /// Seconds of `Retry-After`; dates are not used by the providers and count as absent.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        let value = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
        value.trim().parse().ok().map(std::time::Duration::from_secs)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection could be made.
    #[error("cannot connect to {host}")]
    Connect {
        host: String,
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
    /// No answer in time; whether it was processed is unknown.
    #[error("no answer in time")]
    Timeout,
}
