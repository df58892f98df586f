//! The certificates that interfaces present: configured ones, generated ones, and which of them a client gets.

mod actions;
mod chooser;
mod expiry;
mod generated;
mod requests;

pub(crate) use chooser::{Chooser, Origin, covers};
pub use expiry::{Expiry, ExpiryChange, ExpiryWatch, THRESHOLDS, expiries, warnings};
pub(crate) use generated::{generated, generated_files};
pub use requests::CertificateRequest;

use crate::authority::KeyType;
use crate::levels::{InterfaceKind, InterfaceRef, interface_ip, port};
use crate::pem::Identity;
use crate::{material, peer, pem};
use openadp_settings::{
    Apply, Context, Edit, Kind, Parameter, Presented, Problem, Rights, Row, Secret, Settings, Snapshot, Tree,
    context,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Largest private key text, in characters: RSA of 8192 bits needs about 6,500.
const MAX_KEY: u32 = 16 * 1024;

const fn key_type() -> Parameter {
    Parameter::new("keyType", Kind::Choice(&KeyType::NAMES)).key().header("Key Type")
}
const fn private_key() -> Parameter {
    Parameter::new("key", Kind::secret(MAX_KEY)).mandatory().hidden().apply(Apply::NextConnection)
}
const fn chain() -> Parameter {
    Parameter::new("chain", Kind::File).mandatory().hidden().apply(Apply::NextConnection)
}

/// Whoever may see everything sees certificates; private keys are taken out by who administers.
const ACTION_RIGHTS: &[(&str, Rights)] = &[("sslShow", Rights::View), ("sslExport", Rights::Administer)];

context! {
    /// Certificates of one HTTP interface; without any, it presents self-signed ones that were made for it.
    pub struct HttpServerCertificate =
        Context::table(Tree::Adp, "Interface/Http/HttpServer/SSLSettings/Certificates")
            .aliases(&["Interface/Http/HttpServerSSLSettings/Certificates"])
            .without(&["add", "set"])
            .action_needs(ACTION_RIGHTS)
            .actions(actions::HTTP)
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
    /// Certificates of one further name of the HTTP interfaces of an address. Clients that ask for the name get them in
    /// place of the interface's own.
    pub struct HttpAliasCertificate =
        Context::table(Tree::Adp, "Interface/Http/HttpAlias/Certificates")
            .without(&["add", "set"])
            .action_needs(ACTION_RIGHTS)
            .actions(actions::HTTP_ALIAS)
            .present(|_, row| present(HttpAliasCertificate::CONTEXT, row)) =>
    {
        /// Address of the interfaces.
        pub interface_ip: IpAddr = interface_ip();
        /// The further name.
        pub alias: String = Parameter::new("alias", Kind::Host).key().header("Alias");
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
            .action_needs(ACTION_RIGHTS)
            .actions(actions::CTI)
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

/// Where a certificate stands: an HTTP interface, a further name of one, or the CTI interfaces of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    kind: InterfaceKind,
    address: IpAddr,
    port: Option<u16>,
    alias: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.alias, self.port) {
            (Some(alias), _) => write!(f, "HttpAlias {} {alias}", self.address),
            (None, Some(port)) => write!(f, "Http {} {port}", self.address),
            (None, None) => write!(f, "CTI {}", self.address),
        }
    }
}

impl Place {
    /// The place of an interface.
    fn of(interface: &InterfaceRef) -> Self {
        let port = (interface.kind == InterfaceKind::Http).then_some(interface.port);
        Self { kind: interface.kind, address: interface.address, port, alias: None }
    }

    /// The place that the first words name, by the context that they were given to; an error names the parameter.
    fn from_words(
        context: &'static Context,
        words: &[Option<String>],
    ) -> Result<Self, (&'static str, &'static str)> {
        let word = |index: usize| words.get(index).and_then(Option::as_deref).unwrap_or_default();
        let address = word(0).parse().map_err(|_| ("interfaceIp", "an address is needed"))?;
        if context.path == CtiServerCertificate::CONTEXT.path {
            return Ok(Self { kind: InterfaceKind::Cti, address, port: None, alias: None });
        }
        let kind = InterfaceKind::Http;
        if context.path == HttpAliasCertificate::CONTEXT.path {
            let alias = word(1).to_ascii_lowercase();
            if alias.is_empty() {
                return Err(("alias", "a name is needed"));
            }
            return Ok(Self { kind, address, port: None, alias: Some(alias) });
        }
        let port = word(1).parse().map_err(|_| ("port", "a port is needed"))?;
        Ok(Self { kind, address, port: Some(port), alias: None })
    }

    fn context(&self) -> &'static Context {
        match (self.kind, &self.alias) {
            (InterfaceKind::Http, Some(_)) => HttpAliasCertificate::CONTEXT,
            (InterfaceKind::Http, None) => HttpServerCertificate::CONTEXT,
            (InterfaceKind::Cti, _) => CtiServerCertificate::CONTEXT,
        }
    }

    /// The key of its row for a key type.
    fn row_key(&self, key_type: &str) -> Vec<String> {
        let second = self.alias.clone().or(self.port.map(|port| port.to_string()));
        [Some(self.address.to_string()), second, Some(key_type.to_owned())].into_iter().flatten().collect()
    }

    /// What an operator is told who gives a certificate to an interface, or a further name of one, that is not there: a slip,
    /// or a step ahead of the others. The interfaces are declared by the listener.
    fn nobody(&self, snapshot: &Snapshot) -> Option<String> {
        let (table, missing) = match (self.kind, &self.alias) {
            (InterfaceKind::Http, Some(alias)) => {
                ("ADP_CLI/Interface/Http/HttpAlias", format!("{} has no further name {alias}", self.address))
            }
            (InterfaceKind::Http, None) => {
                ("ADP_CLI/Interface/Http/HttpServer", format!("there is no HTTP interface {}", self.words()))
            }
            (InterfaceKind::Cti, _) => {
                ("ADP_CLI/Interface/CTI/CTIServer", format!("there is no CTI interface {}", self.words()))
            }
        };
        let known = snapshot.rows_at(table).iter().any(|row| {
            let is = |name: &str, wanted: &str| {
                row.explicit(name).is_some_and(|value| value.text().eq_ignore_ascii_case(wanted))
            };
            is("interfaceIp", &self.address.to_string())
                && self.port.is_none_or(|port| is("port", &port.to_string()))
                && self.alias.as_deref().is_none_or(|alias| is("alias", alias))
        });
        (!known).then(|| format!("{missing} yet; the certificate waits for it"))
    }

    /// Address and port as an operator types them.
    fn words(&self) -> String {
        self.port.map_or_else(|| self.address.to_string(), |port| format!("{} {port}", self.address))
    }

    /// Stem of files about it.
    fn stem(&self, key_type: KeyType) -> String {
        let text: String = self
            .to_string()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
            .collect();
        format!("{text}-{}", key_type.name().to_ascii_lowercase())
    }

    /// Whether a row is about it.
    fn has(&self, row: &Row) -> bool {
        let context = self.context();
        let is = |name: &str, wanted: &str| {
            row.text(context, name).is_some_and(|text| text.eq_ignore_ascii_case(wanted))
        };
        is("interfaceIp", &self.address.to_string())
            && self.port.is_none_or(|port| is("port", &port.to_string()))
            && self.alias.as_deref().is_none_or(|alias| is("alias", alias))
    }
}

/// One configured pair, as the settings hold it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredPair {
    /// Whether it is a further name's, and so only for clients that ask for the name.
    pub(crate) of_alias: bool,
    pub(crate) key: Secret,
    pub(crate) chain: String,
}

impl ConfiguredPair {
    fn of(context: &'static Context, row: &Row) -> Self {
        Self {
            of_alias: context.path == HttpAliasCertificate::CONTEXT.path,
            key: Secret::new(row.text(context, "key").unwrap_or_default()),
            chain: row.text(context, "chain").unwrap_or_default().to_owned(),
        }
    }
}

/// The configured pairs of a place, by key type.
fn configured_at(snapshot: &Snapshot, place: &Place) -> Vec<(String, ConfiguredPair)> {
    let context = place.context();
    snapshot
        .rows_of(context)
        .iter()
        .filter(|row| place.has(row))
        .map(|row| {
            (row.text(context, "keyType").unwrap_or_default().to_owned(), ConfiguredPair::of(context, row))
        })
        .collect()
}

/// The configured pairs of an interface, those of its further names included.
pub(crate) fn configured(snapshot: &Snapshot, interface: &InterfaceRef) -> Vec<ConfiguredPair> {
    let mut pairs: Vec<ConfiguredPair> =
        configured_at(snapshot, &Place::of(interface)).into_iter().map(|(_, pair)| pair).collect();
    if interface.kind == InterfaceKind::Http {
        let context = HttpAliasCertificate::CONTEXT;
        let address = interface.address.to_string();
        pairs.extend(
            snapshot
                .rows_of(context)
                .iter()
                .filter(|row| row.text(context, "interfaceIp") == Some(&address))
                .map(|row| ConfiguredPair::of(context, row)),
        );
    }
    pairs
}

/// Reads a pair that was checked when it was stored; time does not matter here, a late certificate beats none.
pub(crate) fn read_pair(pair: &ConfiguredPair) -> Result<CertifiedKey, pem::PemError> {
    pem::certified_key(pem::private_key(pair.key.expose())?, pem::certificates(&pair.chain)?)
}

/// What is wrong with the configured certificates of an interface: rows whose key and certificate do not belong together
/// (an import may bring them), and certificates of which none has a name of the interface.
pub(crate) fn check(snapshot: &Snapshot, interface: &InterfaceRef, known_as: &[String]) -> Vec<Problem> {
    let place = Place::of(interface);
    let path = place.context().full_path();
    let own = configured_at(snapshot, &place);
    let mut problems: Vec<Problem> = own
        .iter()
        .filter_map(|(_, pair)| read_pair(pair).err())
        .map(|error| Problem::new(path.clone(), format!("{interface}: {error}")))
        .collect();
    if !known_as.is_empty() && !own.is_empty() {
        let wanted: Vec<String> = known_as
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .chain(std::iter::once(interface.address.to_string()))
            .collect();
        for (key_type, pair) in &own {
            let names = leaf_names(&pair.chain);
            if !wanted.iter().any(|wanted| names.iter().any(|name| covers(name, wanted))) {
                problems.push(
                    Problem::new(
                        path.clone(),
                        format!(
                            "the {key_type} certificate is for {}, but the interface {interface} is known as {}",
                            if names.is_empty() { "no name".to_owned() } else { names.join(", ") },
                            wanted.join(", "),
                        ),
                    )
                    .forceable(),
                );
            }
        }
    }
    problems
}

/// Certificates of further names that are for other names.
pub(crate) fn check_aliases(snapshot: &Snapshot) -> Vec<Problem> {
    let context = HttpAliasCertificate::CONTEXT;
    let mut problems = Vec::new();
    for row in snapshot.rows_of(context) {
        let text = |name: &str| row.text(context, name).unwrap_or_default();
        let alias = text("alias").to_ascii_lowercase();
        if let Err(error) = read_pair(&ConfiguredPair::of(context, row)) {
            problems.push(Problem::new(context.full_path(), format!("{alias}: {error}")));
            continue;
        }
        let names = leaf_names(text("chain"));
        if !names.iter().any(|name| covers(name, &alias)) {
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            problems.push(
                Problem::new(context.full_path(), format!("the certificate is for {names}, not for {alias}"))
                    .parameter("alias")
                    .forceable(),
            );
        }
    }
    problems
}

fn leaf_names(chain: &str) -> Vec<String> {
    let list = pem::certificates(chain).unwrap_or_default();
    let leaf = list.first().and_then(|der| X509Certificate::from_der(der).ok());
    leaf.map(|(_, leaf)| names(&leaf)).unwrap_or_default()
}

/// The edit that gives an interface a certificate.
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
    let identity = pem::server_identity(key, certificate, chain, now)?;
    identity_edit(snapshot, &Place::of(interface), &identity)
}

/// The edit that puts a checked identity in its place.
fn identity_edit(snapshot: &Snapshot, place: &Place, identity: &Identity) -> Result<Edit, pem::PemError> {
    let text: String = identity.chain().iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
    let key = material::key_pem(identity.key())?;
    let context = place.context();
    let row_key = place.row_key(identity.key_type().name());
    let words: Vec<&str> = row_key.iter().map(String::as_str).collect();
    let mut values: BTreeMap<String, String> =
        BTreeMap::from([("key".to_owned(), key.to_string()), ("chain".to_owned(), text)]);
    if snapshot.row(context, &words).is_some() {
        let values = values.into_iter().map(|(name, value)| (name, Some(value))).collect();
        return Ok(Edit::Set { context: context.full_path(), key: row_key, values });
    }
    values.extend(context.keys().map(|key| key.name.to_owned()).zip(row_key));
    Ok(Edit::Add { context: context.full_path(), values })
}

/// Lines about a chain.
fn certificate_lines(list: &[CertificateDer<'_>], lines: &mut Vec<String>) {
    for (index, der) in list.iter().enumerate() {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { continue };
        let indent = "  ".repeat(index + 1);
        lines.push(format!("{indent}subject = {}", peer::display_name(certificate.subject())));
        lines.push(format!("{indent}issuer = {}", peer::display_name(certificate.issuer())));
        if index == 0 {
            lines.push(format!("{indent}names = {}", names(&certificate).join(", ")));
            lines.push(format!("{indent}key = {}", pem::key_description(&certificate)));
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
    if context.parameter("alias").is_some() {
        shown.push(("Alias", text("alias")));
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
