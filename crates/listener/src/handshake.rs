//! The TLS handshake of one connection, with its time limit.

use crate::settings::Configured;
use crate::{ConnectionInfo, Stream, TlsInfo};
use openadp_tls::{PeerIdentity, Tls};
use rustls::{AlertDescription, CipherSuite, Error as TlsError, ProtocolVersion, ServerConfig};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// Why a handshake did not succeed; also the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The certificate of the client is not acceptable.
    #[error("client certificate refused")]
    ClientCertificate,
    /// The peer went away.
    #[error("closed by the peer")]
    Closed,
    /// The interface has no usable configuration.
    #[error("no TLS configuration")]
    Configuration,
    /// No client certificate, though one is required.
    #[error("no client certificate")]
    NoClientCertificate,
    /// No common protocol version, cipher suite or application protocol.
    #[error("nothing in common with the peer")]
    NothingInCommon,
    /// The peer does not like our certificate.
    #[error("the peer refused our certificate")]
    PeerRefused,
    /// What came is not TLS, or broken TLS.
    #[error("malformed handshake")]
    Protocol,
    /// Not finished in time.
    #[error("timed out")]
    Timeout,
}

impl Failure {
    /// Label of the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ClientCertificate => "client_certificate",
            Self::Closed => "closed",
            Self::Configuration => "configuration",
            Self::NoClientCertificate => "no_client_certificate",
            Self::NothingInCommon => "nothing_in_common",
            Self::PeerRefused => "peer_refused",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
        }
    }

    fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            return Self::Closed;
        };
        match tls {
            TlsError::NoCertificatesPresented => Self::NoClientCertificate,
            TlsError::InvalidCertificate(_) => Self::ClientCertificate,
            TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol => Self::NothingInCommon,
            TlsError::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA,
            ) => Self::PeerRefused,
            _ => Self::Protocol,
        }
    }
}

/// The configuration that holds now; where it must be built, that does not keep this thread from its connections.
async fn config(
    configured: &Arc<Configured>,
    tls: &Arc<Tls>,
    tasks: &TaskTracker,
) -> Result<Arc<ServerConfig>, Failure> {
    let ready = tls.ready_server_config(&configured.interface, configured.client_auth, &configured.names);
    if let Some(config) = ready {
        return Ok(config);
    }
    let (configured, tls) = (configured.clone(), tls.clone());
    tasks
        .spawn_blocking(move || {
            tls.server_config(&configured.interface, configured.client_auth, &configured.names)
        })
        .await
        .map_err(|_ended| Failure::Configuration)?
        .map_err(|_logged_when_configured| Failure::Configuration)
}

/// Shakes hands with the configuration that holds now.
pub(crate) async fn secure(
    stream: TcpStream,
    configured: &Arc<Configured>,
    tls: &Arc<Tls>,
    tasks: &TaskTracker,
    timeout: Duration,
) -> Result<(Stream, TlsInfo), Failure> {
    let accepting = async {
        let config = config(configured, tls, tasks).await?;
        TlsAcceptor::from(config).accept(stream).await.map_err(|error| {
            tracing::debug!(interface = %configured.interface, %error, "handshake failed");
            Failure::of(&error)
        })
    };
    let secured = tokio::time::timeout(timeout, accepting).await.map_err(|_elapsed| Failure::Timeout)??;
    let (_, connection) = secured.get_ref();
    let info = TlsInfo {
        alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        cipher_suite: connection
            .negotiated_cipher_suite()
            .map(|suite| iana_name(suite.suite()))
            .unwrap_or_default(),
        client: connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| PeerIdentity::from_certificate(certificate).ok()),
        sni: connection.server_name().map(ToOwned::to_owned),
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        },
    };
    Ok((Stream::Tls(Box::new(secured)), info))
}

/// rustls writes the suites of TLS 1.3 with the version in the name; IANA does not.
fn iana_name(suite: CipherSuite) -> String {
    suite.as_str().map(|name| name.replacen("TLS13_", "TLS_", 1)).unwrap_or_default()
}

/// The span of a connection, under which everything about it is logged.
pub(crate) fn span(info: &ConnectionInfo) -> tracing::Span {
    tracing::info_span!(
        "conn",
        id = info.connection_id,
        peer = %info.peer,
        tls = info.tls.as_ref().map(|tls| tls.version),
    )
}
