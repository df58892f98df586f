//! The certificates that interfaces present: configured ones, generated ones, and which of them a client gets.

use crate::authority::{AuthorityError, KeyType, create_private_dir, self_signed, write_atomically};
use crate::levels::{InterfaceKind, InterfaceRef, belongs, interface_ip, port};
use crate::{peer, pem};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Apply, Context, Edit, Kind, Parameter, Presented, Problem, Problems,
    Row, Secret, Settings, Snapshot, Tree, context,
};
use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

/// Largest private key text, in characters: RSA of 8192 bits needs about 6,500.
const MAX_KEY: u32 = 16 * 1024;

const fn key_type() -> Parameter {
    Parameter::new("keyType", Kind::Choice(&["RSA", "EC"])).key().header("Key Type")
}
const fn private_key() -> Parameter {
    Parameter::new("key", Kind::secret(MAX_KEY)).mandatory().hidden().apply(Apply::NextConnection)
}
const fn chain() -> Parameter {
    Parameter::new("chain", Kind::File).mandatory().hidden().apply(Apply::NextConnection)
}
const IP_ARGUMENT: Parameter =
    Parameter::new("interfaceIp", Kind::IpAddress).mandatory().help("Address of the interface.");
const PORT_ARGUMENT: Parameter =
    Parameter::new("port", Kind::integer(1, 65535)).mandatory().help("Port of the interface.");
const KEY_ARGUMENT: Parameter =
    Parameter::new("keyFile", Kind::File).help("File with the private key, PEM, not encrypted.");
const CERTIFICATE_ARGUMENT: Parameter = Parameter::new("certificateFile", Kind::File)
    .help("File with the certificate, PEM; its chain may follow in it.");
const CHAIN_ARGUMENT: Parameter =
    Parameter::new("chainFile", Kind::File).help("File with the certificates above it, PEM.");

const UPDATE_HELP: &str = "Checks that key, certificate and chain belong together and presents them from the next \
     handshake on, in place of the certificate of the same key type.";
const SHOW_HELP: &str = "Shows the certificates of the interface.";
const SELF_SIGNED_HELP: &str = "Drops the configured certificates and makes new self-signed ones.";

context! {
    /// Certificates of one HTTP interface; without any, it presents self-signed ones that were made for it.
    pub struct HttpServerCertificate =
        Context::table(Tree::Adp, "Interface/Http/HttpServer/SSLSettings/Certificates")
            .aliases(&["Interface/Http/HttpServerSSLSettings/Certificates"])
            .without(&["add", "set"])
            .actions(&[
                Action {
                    name: "sslUpdate",
                    help: UPDATE_HELP,
                    arguments: &[
                        IP_ARGUMENT, PORT_ARGUMENT, KEY_ARGUMENT, CERTIFICATE_ARGUMENT, CHAIN_ARGUMENT,
                    ],
                    run: |context, arguments| ssl_update(context, InterfaceKind::Http, arguments),
                },
                Action {
                    name: "sslShow",
                    help: SHOW_HELP,
                    arguments: &[IP_ARGUMENT, PORT_ARGUMENT],
                    run: |context, arguments| ssl_show(context, InterfaceKind::Http, arguments),
                },
                Action {
                    name: "sslSelfSigned",
                    help: SELF_SIGNED_HELP,
                    arguments: &[IP_ARGUMENT, PORT_ARGUMENT],
                    run: |context, arguments| ssl_self_signed(context, InterfaceKind::Http, arguments),
                },
            ])
            .present(|_, row| present(HttpServerCertificate::CONTEXT, row)) =>
    {
        /// Address of the interface.
        pub interface_ip: IpAddr = interface_ip();
        /// Port of the interface.
        pub port: u16 = port();
        /// Type of the key.
        pub key_type: String = key_type();
        /// The private key, PEM.
        pub key: Secret = private_key();
        /// The certificate and those above it, PEM.
        pub chain: String = chain();
    }
}
context! {
    /// Certificates of the CTI interfaces of one address; without any, they present self-signed ones.
    pub struct CtiServerCertificate =
        Context::table(Tree::Adp, "Interface/CTI/CTIServer/SSLSettings/Certificates")
            .aliases(&["Interface/CTI/CTIServerSSLSettings/Certificates"])
            .without(&["add", "set"])
            .actions(&[
                Action {
                    name: "sslUpdate",
                    help: UPDATE_HELP,
                    arguments: &[IP_ARGUMENT, KEY_ARGUMENT, CERTIFICATE_ARGUMENT, CHAIN_ARGUMENT],
                    run: |context, arguments| ssl_update(context, InterfaceKind::Cti, arguments),
                },
                Action {
                    name: "sslShow",
                    help: SHOW_HELP,
                    arguments: &[IP_ARGUMENT],
                    run: |context, arguments| ssl_show(context, InterfaceKind::Cti, arguments),
                },
                Action {
                    name: "sslSelfSigned",
                    help: SELF_SIGNED_HELP,
                    arguments: &[IP_ARGUMENT],
                    run: |context, arguments| ssl_self_signed(context, InterfaceKind::Cti, arguments),
                },
            ])
            .present(|_, row| present(CtiServerCertificate::CONTEXT, row)) =>
    {
        /// Address of the interfaces.
        pub interface_ip: IpAddr = interface_ip();
        /// Type of the key.
        pub key_type: String = key_type();
        /// The private key, PEM.
        pub key: Secret = private_key();
        /// The certificate and those above it, PEM.
        pub chain: String = chain();
    }
}

fn context_for(kind: InterfaceKind) -> &'static Context {
    match kind {
        InterfaceKind::Http => HttpServerCertificate::CONTEXT,
        InterfaceKind::Cti => CtiServerCertificate::CONTEXT,
    }
}

/// One configured pair, as the settings hold it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredPair {
    pub(crate) key: Secret,
    pub(crate) chain: String,
}

/// The configured pairs of an interface.
pub(crate) fn configured(snapshot: &Snapshot, interface: &InterfaceRef) -> Vec<ConfiguredPair> {
    let context = context_for(interface.kind);
    snapshot
        .rows_of(context)
        .iter()
        .filter(|row| belongs(row, context, interface))
        .map(|row| ConfiguredPair {
            key: Secret::new(row.text(context, "key").unwrap_or_default()),
            chain: row.text(context, "chain").unwrap_or_default().to_owned(),
        })
        .collect()
}

/// Reads a pair that was checked when it was stored; time does not matter here, a late certificate beats none.
pub(crate) fn read_pair(pair: &ConfiguredPair) -> Result<CertifiedKey, pem::PemError> {
    pem::certified_key(pem::private_key(pair.key.expose())?, pem::certificates(&pair.chain)?)
}

/// Rows whose key and certificate do not belong together (an import may bring them).
pub(crate) fn check(snapshot: &Snapshot, interface: &InterfaceRef) -> Vec<Problem> {
    configured(snapshot, interface)
        .iter()
        .filter_map(|pair| read_pair(pair).err())
        .map(|error| Problem::new(context_for(interface.kind).full_path(), format!("{interface}: {error}")))
        .collect()
}

/// The edit that gives an interface a certificate: what `sslUpdate` commits.
///
/// # Errors
/// Key, certificate and chain do not belong together, or the certificate is out of its time at `now` (seconds since 1970).
pub fn certificate_edit(
    snapshot: &Snapshot,
    interface: &InterfaceRef,
    key: &str,
    certificate: &str,
    chain: Option<&str>,
    now: i64,
) -> Result<Edit, pem::PemError> {
    let certified = pem::server_identity(key, certificate, chain, now)?;
    let key_type = match certified.key.algorithm() {
        SignatureAlgorithm::RSA => KeyType::Rsa,
        SignatureAlgorithm::ECDSA => KeyType::Ec,
        _ => return Err(pem::PemError::UnusableKey),
    };
    let text: String = certified.cert.iter().map(|der| crate::trusts::encode(der)).collect();
    let context = context_for(interface.kind);
    let address = interface.address.to_string();
    let port = interface.port.to_string();
    let row_key: Vec<&str> = match interface.kind {
        InterfaceKind::Http => vec![&address, &port, key_type.name()],
        InterfaceKind::Cti => vec![&address, key_type.name()],
    };
    if snapshot.row(context, &row_key).is_some() {
        return Ok(Edit::Set {
            context: context.full_path(),
            key: row_key.into_iter().map(str::to_owned).collect(),
            values: BTreeMap::from([
                ("key".to_owned(), Some(key.to_owned())),
                ("chain".to_owned(), Some(text)),
            ]),
        });
    }
    let mut values: BTreeMap<String, String> =
        context.keys().map(|key| key.name.to_owned()).zip(row_key.into_iter().map(str::to_owned)).collect();
    values.insert("key".to_owned(), key.to_owned());
    values.insert("chain".to_owned(), text);
    Ok(Edit::Add { context: context.full_path(), values })
}

/// The interface that an action's first arguments name, and how many of them did.
fn interface_argument(
    context: &ActionContext<'_>,
    kind: InterfaceKind,
    arguments: &[Option<String>],
) -> Result<(InterfaceRef, usize), Problems> {
    let path = || context.context.full_path();
    let word = |index: usize| arguments.get(index).and_then(Option::as_deref).unwrap_or_default();
    let address =
        word(0).parse().map_err(|_| Problem::new(path(), "an address is needed").parameter("interfaceIp"))?;
    match kind {
        InterfaceKind::Cti => Ok((InterfaceRef { kind, address, port: 0 }, 1)),
        InterfaceKind::Http => {
            let port =
                word(1).parse().map_err(|_| Problem::new(path(), "a port is needed").parameter("port"))?;
            Ok((InterfaceRef { kind, address, port }, 2))
        }
    }
}

fn ssl_update(
    context: &ActionContext<'_>,
    kind: InterfaceKind,
    arguments: &[Option<String>],
) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let (interface, used) = interface_argument(context, kind, arguments)?;
    let file =
        |index: usize| arguments.get(used + index).and_then(Option::as_deref).filter(|text| !text.is_empty());
    let missing = |name: &str| Problems::from(Problem::new(path.clone(), "is needed").parameter(name));
    let key = file(0).ok_or_else(|| missing("keyFile"))?;
    let certificate = file(1).ok_or_else(|| missing("certificateFile"))?;
    let edit = certificate_edit(
        context.snapshot,
        &interface,
        key,
        certificate,
        file(2),
        context.now.unix_timestamp(),
    )
    .map_err(|error| Problems::from(Problem::new(path.clone(), error.to_string())))?;
    Ok(ActionOutput { edits: vec![edit], ..ActionOutput::default() })
}

fn ssl_show(
    context: &ActionContext<'_>,
    kind: InterfaceKind,
    arguments: &[Option<String>],
) -> Result<ActionOutput, Problems> {
    let (interface, _) = interface_argument(context, kind, arguments)?;
    let mut lines = Vec::new();
    for pair in configured(context.snapshot, &interface) {
        lines.push("configured:".to_owned());
        if let Ok(list) = pem::certificates(&pair.chain) {
            describe(&list, &mut lines);
        }
    }
    for key_type in [KeyType::Rsa, KeyType::Ec] {
        let (certificate, _) = generated_paths(context.data_dir, &interface, key_type);
        if let Ok(list) = fs::read_to_string(certificate)
            .map_err(drop)
            .and_then(|text| pem::certificates(&text).map_err(drop))
        {
            lines.push(format!("generated ({}):", key_type.name()));
            describe(&list, &mut lines);
        }
    }
    if lines.is_empty() {
        lines.push("no certificate yet; self-signed ones are made at the first handshake".to_owned());
    }
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn ssl_self_signed(
    context: &ActionContext<'_>,
    kind: InterfaceKind,
    arguments: &[Option<String>],
) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let (interface, _) = interface_argument(context, kind, arguments)?;
    for key_type in [KeyType::Rsa, KeyType::Ec] {
        let (certificate, key) = generated_paths(context.data_dir, &interface, key_type);
        for file in [certificate, key] {
            if let Err(error) = fs::remove_file(&file)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(Problem::new(path, format!("{}: {error}", file.display())).into());
            }
        }
    }
    let edits = context
        .snapshot
        .rows_of(context.context)
        .iter()
        .filter(|row| belongs(row, context.context, &interface))
        .map(|row| Edit::Delete {
            context: path.clone(),
            key: row.key(context.context).into_iter().map(str::to_owned).collect(),
        })
        .collect();
    Ok(ActionOutput { edits, ..ActionOutput::default() })
}

/// Lines about a chain.
fn describe(list: &[CertificateDer<'_>], lines: &mut Vec<String>) {
    for (index, der) in list.iter().enumerate() {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { continue };
        let indent = "  ".repeat(index + 1);
        lines.push(format!("{indent}subject = {}", peer::display_name(certificate.subject())));
        lines.push(format!("{indent}issuer = {}", peer::display_name(certificate.issuer())));
        if index == 0 {
            lines.push(format!("{indent}names = {}", names(&certificate).join(", ")));
        }
        lines.push(format!("{indent}notBefore = {}", certificate.validity().not_before));
        lines.push(format!("{indent}notAfter = {}", certificate.validity().not_after));
        lines.push(format!("{indent}sha256 = {}", peer::fingerprint(der)));
    }
}

/// DNS names and addresses of a certificate.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    alternative
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// What `get` shows: never the key.
fn present(context: &'static Context, row: &Row) -> Presented {
    let text = |name: &str| row.text(context, name).unwrap_or_default().to_owned();
    let mut shown = vec![("Interface IP", text("interfaceIp"))];
    if context.parameter("port").is_some() {
        shown.push(("Port", text("port")));
    }
    shown.push(("Key Type", text("keyType")));
    let list = pem::certificates(&text("chain")).unwrap_or_default();
    let leaf = list.first().and_then(|der| X509Certificate::from_der(der).ok()).map(|(_, leaf)| leaf);
    let field = |read: &dyn Fn(&X509Certificate<'_>) -> String| leaf.as_ref().map(read).unwrap_or_default();
    shown.push(("Subject", field(&|leaf| peer::display_name(leaf.subject()))));
    shown.push(("Issuer", field(&|leaf| peer::display_name(leaf.issuer()))));
    shown.push(("Not After", field(&|leaf| leaf.validity().not_after.to_string())));
    shown
}

/// Files of the generated pair.
fn generated_paths(data_dir: &Path, interface: &InterfaceRef, key_type: KeyType) -> (PathBuf, PathBuf) {
    let address = interface.address.to_string().replace(':', "_");
    let stem = match interface.kind {
        InterfaceKind::Http => {
            format!("http-{address}-{}-{}", interface.port, key_type.name().to_ascii_lowercase())
        }
        InterfaceKind::Cti => format!("cti-{address}-{}", key_type.name().to_ascii_lowercase()),
    };
    let dir = data_dir.join("tls");
    (dir.join(format!("{stem}.crt")), dir.join(format!("{stem}.key")))
}

/// The generated certificate of an interface, from its files or made now.
///
/// Several processes may come first at once: the one that gets the lock file makes it, the others read it.
pub(crate) fn generated(
    data_dir: &Path,
    interface: &InterfaceRef,
    names: &[String],
    key_type: KeyType,
) -> Result<CertifiedKey, AuthorityError> {
    let dir = data_dir.join("tls");
    create_private_dir(&dir)?;
    let lock_path = dir.join("lock");
    let io = |source| AuthorityError::Io { path: lock_path.clone(), source };
    let lock =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(io)?;
    lock.lock().map_err(io)?;
    let (certificate_path, key_path) = generated_paths(data_dir, interface, key_type);
    if let Some(kept) = kept_pair(&certificate_path, &key_path) {
        return Ok(kept);
    }
    let address = interface.address.to_string();
    let mut all: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    if interface.address.is_unspecified() {
        all.extend(["localhost", "127.0.0.1", "::1"]);
    } else {
        all.push(&address);
    }
    // A name that cannot stand in a certificate must not keep the interface from having one.
    let issued = match self_signed(&all, key_type) {
        Err(AuthorityError::Name(name)) => {
            tracing::warn!(%interface, name, "the name cannot stand in a certificate; made one for the address alone");
            self_signed(&[&address], key_type)?
        }
        other => other?,
    };
    write_atomically(&key_path, issued.key_pem.as_bytes(), 0o600)?;
    write_atomically(&certificate_path, issued.certificate_pem.as_bytes(), 0o644)?;
    tracing::info!(%interface, key_type = key_type.name(), "self-signed certificate made");
    kept_pair(&certificate_path, &key_path).ok_or(AuthorityError::Unusable { path: certificate_path })
}

/// The pair in these files, when it is there and belongs together.
fn kept_pair(certificate: &Path, key: &Path) -> Option<CertifiedKey> {
    let key = Zeroizing::new(fs::read_to_string(key).ok()?);
    let chain = pem::certificates(&fs::read_to_string(certificate).ok()?).ok()?;
    pem::certified_key(pem::private_key(&key).ok()?, chain).ok()
}

/// One certificate that may be presented.
struct Candidate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    configured: bool,
}

impl Candidate {
    fn new(key: CertifiedKey, configured: bool) -> Self {
        let names = key
            .cert
            .first()
            .and_then(|der| X509Certificate::from_der(der).ok())
            .map(|(_, certificate)| names(&certificate))
            .unwrap_or_default();
        Self { key: Arc::new(key), names, configured }
    }
    fn is_for(&self, wanted: &str) -> bool {
        self.names.iter().any(|name| {
            name == wanted
                || name
                    .strip_prefix("*.")
                    .is_some_and(|zone| wanted.split_once('.').is_some_and(|(_, rest)| rest == zone))
        })
    }
    fn is_ecdsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::ECDSA
    }
}

/// Chooses the certificate for a client.
///
/// What the client can verify comes first; of those a configured certificate beats a generated one, one that carries the
/// name that the client asked for beats others, and ECDSA beats RSA because it costs less.
pub(crate) struct Chooser {
    candidates: Vec<Candidate>,
}

impl Chooser {
    pub(crate) fn new(configured: Vec<CertifiedKey>, generated: Vec<CertifiedKey>) -> Self {
        let candidates = configured
            .into_iter()
            .map(|key| Candidate::new(key, true))
            .chain(generated.into_iter().map(|key| Candidate::new(key, false)))
            .collect();
        Self { candidates }
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
            .max_by_key(|candidate| {
                let named = wanted.as_deref().is_some_and(|name| candidate.is_for(name));
                (candidate.configured, named, candidate.is_ecdsa())
            })
            // With none that fits, rustls finds nothing in common by itself and says `handshake_failure`; given no
            // certificate it would say `access_denied`, which reads like a rule of ours.
            .or(self.candidates.first())
            .map(|candidate| candidate.key.clone())
    }
}
