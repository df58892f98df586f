//! Outgoing connections: whom this suite trusts when it calls others.

use crate::{suites, trusts};
use openadp_settings::Snapshot;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// What an outgoing connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientUse {
    /// Protocols offered by ALPN.
    pub alpn: Alpn,
    /// Check the server's name whatever the settings say (AuthenticationService always does).
    pub always_check_name: bool,
}

/// Protocols that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// None.
    None,
    /// HTTP/2 alone.
    Http2,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2, else HTTP/1.1.
    Http,
}

impl ClientUse {
    /// HTTP/2 alone, as push services need.
    pub const HTTP2: Self = Self { alpn: Alpn::Http2, always_check_name: false };
    /// HTTP/2, else HTTP/1.1.
    pub const HTTP: Self = Self { alpn: Alpn::Http, always_check_name: false };
    /// HTTP/1.1 alone.
    pub const HTTP1: Self = Self { alpn: Alpn::Http1, always_check_name: false };
    /// No application protocol.
    pub const PLAIN: Self = Self { alpn: Alpn::None, always_check_name: false };

    /// The same, checking the server's name whatever the settings say.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.always_check_name = true;
        self
    }
}

/// What a client configuration is made from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Inputs {
    anchors: Vec<String>,
    check_name: bool,
}

pub(crate) fn inputs(snapshot: &Snapshot, usage: ClientUse) -> Inputs {
    Inputs {
        anchors: trusts::server_anchors(snapshot),
        check_name: usage.always_check_name
            || snapshot.get::<trusts::GeneralSettings>().validate_peer_identity,
    }
}

pub(crate) fn build(usage: ClientUse, inputs: &Inputs) -> Result<ClientConfig, rustls::Error> {
    let roots = Arc::new(trusts::root_store(inputs.anchors.iter().map(String::as_str)));
    let builder =
        ClientConfig::builder_with_provider(suites::provider()).with_safe_default_protocol_versions()?;
    // Without anchors no chain can be verified, whatever the name: fails closed.
    let mut config = if inputs.check_name || roots.is_empty() {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, suites::provider())
            .build()
            .map_err(|error| rustls::Error::General(format!("server verifier: {error}")))?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName { inner }))
            .with_no_client_auth()
    };
    config.alpn_protocols = match usage.alpn {
        Alpn::None => Vec::new(),
        Alpn::Http2 => vec![b"h2".to_vec()],
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// Checks chain and time, but not the name (`validatePeerIdentity false`).
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is checked last, so a wrong name means that chain and time are good.
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
