//! Who of the clients is believed: chain, time, revocation, and BroadWorks' extended key usage where an anchor demands it.

use crate::peer::PeerIdentity;
use crate::revocation::Revocation;
use crate::server::ClientAuth;
use crate::trusts::{self, ClientAnchor};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use std::sync::Arc;

/// The extended key usage of certificates that may vouch for a client application (cti.md 4.3, authservice.md 6).
pub const BROADWORKS_EKU: &str = "1.3.6.1.4.1.6431.1.1.8.2.1.3";

/// The verifier of an interface. Whatever keeps it from being built makes one that trusts nobody.
pub(crate) fn build(
    client_auth: ClientAuth,
    anchors: &[ClientAnchor],
    revocation: &Revocation,
    provider: &Arc<CryptoProvider>,
) -> Arc<dyn ClientCertVerifier> {
    if client_auth == ClientAuth::None {
        return Arc::new(NoClientAuth);
    }
    let mandatory = client_auth == ClientAuth::Required;
    let nobody = || -> Arc<dyn ClientCertVerifier> {
        Arc::new(TrustsNobody { mandatory, algorithms: provider.signature_verification_algorithms })
    };
    let lists = match revocation.lists() {
        Ok(lists) => lists,
        Err(error) => {
            tracing::error!(%error, "a revocation list cannot be read: no client certificate is taken");
            return nobody();
        }
    };
    let below = |chosen: &dyn Fn(&ClientAnchor) -> bool| {
        let texts = anchors.iter().filter(|anchor| chosen(anchor)).map(|anchor| anchor.text.as_str());
        chains(texts, mandatory, &lists, revocation, provider)
    };
    let Some(all) = below(&|_| true) else { return nobody() };
    if !anchors.iter().any(|anchor| anchor.requires_eku) {
        return all;
    }
    Arc::new(DemandsUsage { all, without: below(&|anchor| !anchor.requires_eku) })
}

/// Chain, time and revocation below these anchors; none where there is no usable anchor.
fn chains<'a>(
    anchors: impl Iterator<Item = &'a str>,
    mandatory: bool,
    lists: &[CertificateRevocationListDer<'static>],
    revocation: &Revocation,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let roots = trusts::root_store(anchors);
    if roots.is_empty() {
        return None;
    }
    // Without any list the verifier would look nothing up, and take everybody.
    if lists.is_empty() && revocation.require_list {
        return None;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if !mandatory {
        builder = builder.allow_unauthenticated();
    }
    if !lists.is_empty() {
        builder = builder.with_crls(lists.iter().cloned());
        if !revocation.require_list {
            builder = builder.allow_unknown_revocation_status();
        }
        if !revocation.accept_outdated {
            builder = builder.enforce_revocation_expiration();
        }
    }
    builder.build().inspect_err(|error| tracing::error!(%error, "no client certificate is taken")).ok()
}

/// Demands BroadWorks' extended key usage of certificates whose chain ends at an anchor that wants it.
#[derive(Debug)]
struct DemandsUsage {
    /// All anchors: for certificates that have the usage.
    all: Arc<dyn ClientCertVerifier>,
    /// The anchors that do not want it: for the others.
    without: Option<Arc<dyn ClientCertVerifier>>,
}

impl ClientCertVerifier for DemandsUsage {
    fn offer_client_auth(&self) -> bool {
        self.all.offer_client_auth()
    }
    fn client_auth_mandatory(&self) -> bool {
        self.all.client_auth_mandatory()
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.all.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let has_usage = PeerIdentity::from_certificate(end_entity)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?
            .has_usage(BROADWORKS_EKU);
        match &self.without {
            _ if has_usage => self.all.verify_client_cert(end_entity, intermediates, now),
            Some(without) => without.verify_client_cert(end_entity, intermediates, now),
            None => Err(rustls::Error::InvalidCertificate(CertificateError::InvalidPurpose)),
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.all.verify_tls12_signature(message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.all.verify_tls13_signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.all.supported_verify_schemes()
    }
}

/// Client authentication without trust anchors: asks, and trusts no certificate.
#[derive(Debug)]
struct TrustsNobody {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for TrustsNobody {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
