//! The rustls configurations of interfaces and of outgoing connections, always those of the settings as they are now.

use crate::authority::{AuthorityError, KeyType};
use crate::certificates::{self, Chooser, ConfiguredPair, Origin};
use crate::check::{Negotiable, negotiable};
use crate::client::{self, ClientUse};
use crate::levels::{EffectiveTls, InterfaceKind, InterfaceRef, resolve};
use crate::revocation::Revocation;
use crate::trusts::{self, ClientAnchor};
use crate::{client_verifier, suites};
use arc_swap::ArcSwapOption;
use openadp_settings::{Snapshot, Store};
use rustls::crypto::CryptoProvider;
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, ServerConfig};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

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
    anchors: Vec<ClientAnchor>,
    revocation: Revocation,
    pairs: Vec<ConfiguredPair>,
    names: Vec<String>,
}

struct Held {
    revision: u64,
    inputs: Arc<Inputs>,
    config: Arc<ServerConfig>,
    /// Generated certificates that it was made with, as they were then.
    files: Arc<[Stamp]>,
}

/// A file, and when it was written; `None` when it is not there.
type Stamp = (PathBuf, Option<SystemTime>);

fn stamp(path: PathBuf) -> Stamp {
    let written = std::fs::metadata(&path).and_then(|facts| facts.modified()).ok();
    (path, written)
}

/// The configuration of one interface; whoever builds it holds `building`, so that it is built once.
#[derive(Default)]
struct Slot {
    held: ArcSwapOption<Held>,
    building: Mutex<()>,
}

impl Slot {
    /// What is held, if it was made at this revision and for these names.
    fn at(&self, revision: u64, names: &[String]) -> Option<Arc<ServerConfig>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        (held.revision == revision && held.inputs.names == names).then(|| held.config.clone())
    }
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
    servers: Mutex<HashMap<(InterfaceRef, ClientAuth), Arc<Slot>>>,
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

    /// The configuration of an interface for the next handshake, if it need not be built: costs next to nothing.
    pub fn ready_server_config(
        &self,
        interface: &InterfaceRef,
        client_auth: ClientAuth,
        names: &[String],
    ) -> Option<Arc<ServerConfig>> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.get(&(*interface, client_auth))?.at(self.store.current().revision(), names)
    }

    /// The configuration of an interface for the next handshake. May take a while: the first time it makes keys, and
    /// whoever asks meanwhile for the same interface waits. [`Tls::ready_server_config`] never does.
    ///
    /// `names` are further names of the interface (its host name), for the certificates that are made when none is
    /// configured. When the settings changed so that nothing can be built, the error is given, not an old configuration:
    /// what was taken away must not go on.
    ///
    /// # Errors
    /// Nothing can be negotiated, or there is no certificate and none can be made.
    pub fn server_config(
        &self,
        interface: &InterfaceRef,
        client_auth: ClientAuth,
        names: &[String],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let slot = {
            let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (*interface, client_auth);
            if servers.len() >= MAX_CONFIGURATIONS && !servers.contains_key(&key) {
                servers.clear();
            }
            servers.entry(key).or_default().clone()
        };
        let _building = slot.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken while building, so that an older state never replaces a newer one.
        let snapshot = self.store.current();
        let revision = snapshot.revision();
        if let Some(config) = slot.at(revision, names) {
            return Ok(config);
        }
        let inputs = inputs(&snapshot, interface, client_auth, names);
        let held = match slot.held.load_full() {
            Some(held) if *held.inputs == inputs => Held {
                revision,
                inputs: held.inputs.clone(),
                config: held.config.clone(),
                files: held.files.clone(),
            },
            _ => {
                let config = Arc::new(build(&self.data_dir, interface, &inputs)?);
                metrics::counter!("tls_configurations_built_total", "kind" => interface.kind.name())
                    .increment(1);
                let files = certificates::generated_files(&self.data_dir, interface).map(stamp).into();
                Held { revision, inputs: Arc::new(inputs), config, files }
            }
        };
        let config = held.config.clone();
        slot.held.store(Some(Arc::new(held)));
        Ok(config)
    }

    /// Drops configurations whose generated certificates were taken away or made anew since, by an operator or another
    /// process: the next handshake has those that are there then. Reads from the disk.
    pub fn look_at_files(&self) {
        let slots: Vec<Arc<Slot>> = {
            let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.values().cloned().collect()
        };
        for slot in slots {
            let _building = slot.building.lock().unwrap_or_else(PoisonError::into_inner);
            let held = slot.held.load_full();
            if held.is_some_and(|held| held.files.iter().any(|known| stamp(known.0.clone()) != *known)) {
                slot.held.store(None);
            }
        }
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
    let (anchors, revocation) = match client_auth {
        ClientAuth::None => (Vec::new(), Revocation::default()),
        ClientAuth::Optional | ClientAuth::Required => {
            (trusts::client_anchors(snapshot, interface.kind), Revocation::of(snapshot, interface.kind))
        }
    };
    Inputs {
        effective: resolve(snapshot, interface),
        client_auth,
        anchors,
        revocation,
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
    let verifier = client_verifier::build(inputs.client_auth, &inputs.anchors, &inputs.revocation, &provider);
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
    let mut keys = Vec::new();
    for pair in &inputs.pairs {
        let origin = if pair.of_alias { Origin::Alias } else { Origin::Interface };
        match certificates::read_pair(pair) {
            Ok(key) => keys.push((key, origin)),
            Err(error) => tracing::error!(%interface, %error, "configured certificate cannot be used"),
        }
    }
    let has = |keys: &[(_, Origin)], key_type: KeyType| {
        keys.iter().any(|(key, origin): &(rustls::sign::CertifiedKey, Origin)| {
            *origin == Origin::Interface
                && match key.key.algorithm() {
                    rustls::SignatureAlgorithm::RSA => key_type == KeyType::Rsa,
                    rustls::SignatureAlgorithm::ECDSA => key_type == KeyType::Ec,
                    _ => false,
                }
        })
    };
    for key_type in KeyType::GENERATED {
        if !has(&keys, key_type) {
            let key = certificates::generated(data_dir, interface, &inputs.names, key_type)
                .map_err(|source| TlsError::Certificate { interface: *interface, source })?;
            keys.push((key, Origin::Generated));
        }
    }
    Ok(Chooser::new(keys))
}
