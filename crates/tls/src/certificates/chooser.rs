//! Which certificate a client gets.

use super::names;
use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Configured for the interface.
    Interface,
    /// Configured for a further name of it.
    Alias,
    /// Made for the interface, for want of a configured one.
    Generated,
}

/// One certificate that may be presented.
struct Candidate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    origin: Origin,
}

impl Candidate {
    fn new(key: CertifiedKey, origin: Origin) -> Self {
        let names = key
            .cert
            .first()
            .and_then(|der| X509Certificate::from_der(der).ok())
            .map(|(_, certificate)| names(&certificate))
            .unwrap_or_default();
        Self { key: Arc::new(key), names, origin }
    }
    fn is_for(&self, wanted: &str) -> bool {
        self.names.iter().any(|name| covers(name, wanted))
    }
    /// How fit it is for a client that asked for this name, or for none.
    fn fitness(&self, wanted: Option<&str>) -> u8 {
        match (self.origin, wanted.is_some_and(|name| self.is_for(name))) {
            (Origin::Alias, true) => 5,
            (Origin::Interface, true) => 4,
            (Origin::Interface, false) => 3,
            (Origin::Generated, true) => 2,
            (Origin::Generated, false) => 1,
            (Origin::Alias, false) => 0,
        }
    }
    /// What costs the server least comes first; RSA's private operation costs many times the others'.
    fn cheapness(&self) -> u8 {
        match self.key.key.algorithm() {
            SignatureAlgorithm::ECDSA => 2,
            SignatureAlgorithm::ED25519 => 1,
            _ => 0,
        }
    }
}

/// Whether a name of a certificate (lower case, perhaps `*.` and a zone) is good for a wanted name.
pub(crate) fn covers(name: &str, wanted: &str) -> bool {
    name == wanted
        || name
            .strip_prefix("*.")
            .is_some_and(|zone| wanted.split_once('.').is_some_and(|(_, rest)| rest == zone))
}

/// Chooses the certificate for a client.
///
/// What the client can verify comes first; of those a further name's beats the interface's own where the client asked for
/// that name, and is the last resort where it did not; a configured certificate beats a generated one, one that carries the
/// wanted name beats others, and the one that costs less to use beats the rest.
pub(crate) struct Chooser {
    candidates: Vec<Candidate>,
}

impl Chooser {
    pub(crate) fn new(keys: Vec<(CertifiedKey, Origin)>) -> Self {
        Self { candidates: keys.into_iter().map(|(key, origin)| Candidate::new(key, origin)).collect() }
    }
}

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chooser({} certificates)", self.candidates.len())
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has already reduced the schemes to those that go with the suites both sides have.
        let wanted = hello.server_name().map(str::to_ascii_lowercase);
        self.candidates
            .iter()
            .filter(|candidate| candidate.key.key.choose_scheme(hello.signature_schemes()).is_some())
            .max_by_key(|candidate| (candidate.fitness(wanted.as_deref()), candidate.cheapness()))
            // With none that fits, rustls finds nothing in common by itself and says `handshake_failure`; given no
            // certificate it would say `access_denied`, which reads like a rule of ours.
            .or(self.candidates.first())
            .map(|candidate| candidate.key.clone())
    }
}
