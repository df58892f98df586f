//! The rustls configurations of interfaces and of outgoing connections, always those of the settings as they are now.

use crate::authority::{AuthorityError, KeyType};
use crate::certificates::{self, Chooser, ConfiguredPair};
use crate::check::{Negotiable, negotiable};
use crate::client::{self, ClientUse};
use crate::levels::{EffectiveTls, InterfaceKind, InterfaceRef, resolve};
use crate::{suites, trusts};
use openadp_settings::{Snapshot, Store};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions of TLS 1.2 by id that one interface remembers; the others shake hands in full.
const REMEMBERED_SESSIONS: usize = 4096;
/// Configurations kept at most; interfaces are few, so this only bounds a mistake.
const MAX_CONFIGURATIONS: usize = 1024;

/// What an interface asks of its clients' certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    None,
    /// To present one if they have one; a bad one still ends the handshake.
    Optional,
    /// To present one.
    Required,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The lists leave nothing that this build can negotiate (a forced change).
    #[error("{interface}: no protocol or cipher suite that can be negotiated")]
    NothingNegotiable {
        /// Which interface.
        interface: InterfaceRef,
    },
    /// The interface has no certificate and none can be made.
    #[error("{interface}: no certificate")]
    Certificate {
        /// Which interface.
        interface: InterfaceRef,
        /// Why.
        #[source]
        source: AuthorityError,
    },
    /// rustls does not take it.
    #[error("TLS configuration")]
    Configuration(#[source] rustls::Error),
}

/// Everything a server configuration is made from; as long as it stays the same, so does the configuration.
#[derive(Clone, PartialEq, Eq)]
struct Inputs {
    effective: EffectiveTls,
    client_auth: ClientAuth,
    anchors: Vec<String>,
    pairs: Vec<ConfiguredPair>,
    names: Vec<String>,
}

struct Held {
    revision: u64,
    inputs: Inputs,
    config: Arc<ServerConfig>,
}

/// Outgoing configurations by use, with the revision and the inputs they were made from.
type ClientConfigs = HashMap<ClientUse, (u64, client::Inputs, Arc<ClientConfig>)>;

/// Gives the TLS configurations that hold now.
///
/// Asking costs a look-up and a comparison of revision numbers; a configuration is built again only when something that it
/// is made from has changed. A new one knows no sessions of the old one: changed suites, protocols, anchors, certificates
/// or client rules hold for resumed sessions too. Connections that are open stay open.
pub struct Tls {
    store: Arc<Store>,
    data_dir: PathBuf,
    servers: Mutex<HashMap<(InterfaceRef, ClientAuth), Held>>,
    clients: Mutex<ClientConfigs>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Tls {
    /// Follows the settings; generated certificates lie below `data_dir/tls`.
    pub fn new(store: Arc<Store>, data_dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            store,
            data_dir: data_dir.to_owned(),
            servers: Mutex::new(HashMap::new()),
            clients: Mutex::new(HashMap::new()),
        })
    }

    /// The configuration of an interface for the next handshake.
    ///
    /// `names` are further names of the interface (its host name), for the certificates that are made when none is
    /// configured. When the settings changed so that nothing can be built, the error is given, not an old configuration:
    /// what was taken away must not go on. Making certificates the first time takes tens of milliseconds.
    ///
    /// # Errors
    /// Nothing can be negotiated, or there is no certificate and none can be made.
    pub fn server_config(
        &self,
        interface: &InterfaceRef,
        client_auth: ClientAuth,
        names: &[String],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let snapshot = self.store.current();
        let key = (*interface, client_auth);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = servers.get(&key)
            && held.revision == snapshot.revision()
            && held.inputs.names == names
        {
            return Ok(held.config.clone());
        }
        let inputs = inputs(&snapshot, interface, client_auth, names);
        if let Some(held) = servers.get_mut(&key)
            && held.inputs == inputs
        {
            held.revision = snapshot.revision();
            return Ok(held.config.clone());
        }
        let config = Arc::new(build(&self.data_dir, interface, &inputs)?);
        metrics::counter!("tls_configurations_built_total", "kind" => interface.kind.name()).increment(1);
        if servers.len() >= MAX_CONFIGURATIONS {
            servers.clear();
        }
        servers.insert(key, Held { revision: snapshot.revision(), inputs, config: config.clone() });
        Ok(config)
    }

    /// The configuration for outgoing connections of this use.
    ///
    /// # Errors
    /// rustls does not take the settings.
    pub fn client_config(&self, usage: ClientUse) -> Result<Arc<ClientConfig>, TlsError> {
        let snapshot = self.store.current();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, _, config)) = clients.get(&usage)
            && *revision == snapshot.revision()
        {
            return Ok(config.clone());
        }
        let inputs = client::inputs(&snapshot, usage);
        if let Some((revision, held, config)) = clients.get_mut(&usage)
            && *held == inputs
        {
            *revision = snapshot.revision();
            return Ok(config.clone());
        }
        let config = Arc::new(client::build(usage, &inputs).map_err(TlsError::Configuration)?);
        clients.insert(usage, (snapshot.revision(), inputs, config.clone()));
        Ok(config)
    }
}

fn inputs(
    snapshot: &Snapshot,
    interface: &InterfaceRef,
    client_auth: ClientAuth,
    names: &[String],
) -> Inputs {
    let anchors = match client_auth {
        ClientAuth::None => Vec::new(),
        ClientAuth::Optional | ClientAuth::Required => trusts::client_anchors(snapshot, interface.kind),
    };
    Inputs {
        effective: resolve(snapshot, interface),
        client_auth,
        anchors,
        pairs: certificates::configured(snapshot, interface),
        names: names.to_vec(),
    }
}

fn build(data_dir: &Path, interface: &InterfaceRef, inputs: &Inputs) -> Result<ServerConfig, TlsError> {
    let Negotiable { suites, versions } = negotiable(&inputs.effective);
    if suites.is_empty() || versions.is_empty() {
        return Err(TlsError::NothingNegotiable { interface: *interface });
    }
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..(*suites::provider()).clone() });
    let verifier = verifier(inputs, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(TlsError::Configuration)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(chooser(data_dir, interface, inputs)?));
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Configuration)?;
    config.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
    config.alpn_protocols = match interface.kind {
        InterfaceKind::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        InterfaceKind::Cti => Vec::new(),
    };
    Ok(config)
}

/// Configured certificates, and generated ones of the key types that are not configured.
fn chooser(data_dir: &Path, interface: &InterfaceRef, inputs: &Inputs) -> Result<Chooser, TlsError> {
    let mut configured = Vec::new();
    for pair in &inputs.pairs {
        match certificates::read_pair(pair) {
            Ok(key) => configured.push(key),
            Err(error) => tracing::error!(%interface, %error, "configured certificate cannot be used"),
        }
    }
    let has = |key_type: KeyType| {
        configured.iter().any(|key| match key.key.algorithm() {
            rustls::SignatureAlgorithm::RSA => key_type == KeyType::Rsa,
            _ => key_type == KeyType::Ec,
        })
    };
    let mut generated = Vec::new();
    for key_type in [KeyType::Rsa, KeyType::Ec] {
        if !has(key_type) {
            let key = certificates::generated(data_dir, interface, &inputs.names, key_type)
                .map_err(|source| TlsError::Certificate { interface: *interface, source })?;
            generated.push(key);
        }
    }
    Ok(Chooser::new(configured, generated))
}

fn verifier(
    inputs: &Inputs,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if inputs.client_auth == ClientAuth::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let mandatory = inputs.client_auth == ClientAuth::Required;
    let roots = trusts::root_store(&inputs.anchors);
    if roots.is_empty() {
        return Ok(Arc::new(TrustsNobody {
            mandatory,
            algorithms: provider.signature_verification_algorithms,
        }));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = if mandatory { builder } else { builder.allow_unauthenticated() };
    builder
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| TlsError::Configuration(rustls::Error::General(format!("client verifier: {error}"))))
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
