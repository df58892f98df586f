//! The four levels of protocol and cipher lists, and which of them supplies an interface's list.
//!
//! Most general first: system, transport, all interfaces of a kind, one interface. The most specific level that sets a
//! list supplies it whole; nothing is merged; protocols and ciphers are looked up apart. [`resolve`] is a pure function of
//! the tree.

use crate::suites::{self, CIPHER_NAME, PROTOCOL_NAME};
use openadp_settings::{Context, Kind, Parameter, Presented, Row, Settings, Snapshot, Tree, context};
use std::fmt;
use std::net::IpAddr;

/// Kind of interface, which is also a branch of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InterfaceKind {
    /// `Interface/Http`.
    Http,
    /// `Interface/CTI`.
    Cti,
}

impl InterfaceKind {
    /// The branch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "Http",
            Self::Cti => "CTI",
        }
    }
}

/// One interface: what it speaks, and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceRef {
    /// What it speaks.
    pub kind: InterfaceKind,
    /// Its address.
    pub address: IpAddr,
    /// Its port. CTI interfaces on one address share their TLS settings whatever the port.
    pub port: u16,
}

impl InterfaceRef {
    /// An HTTP interface.
    pub fn http(address: IpAddr, port: u16) -> Self {
        Self { kind: InterfaceKind::Http, address, port }
    }
    /// A CTI interface.
    pub fn cti(address: IpAddr, port: u16) -> Self {
        Self { kind: InterfaceKind::Cti, address, port }
    }
}

impl fmt::Display for InterfaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), std::net::SocketAddr::new(self.address, self.port))
    }
}

/// A level of the inheritance, most specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// One interface's own `SSLSettings`.
    Interface(InterfaceRef),
    /// `SSLCommonSettings` of a kind of interface.
    Kind(InterfaceKind),
    /// `System/SSLCommonSettings/OpenSSL`: the transport.
    Transport,
    /// `System/SSLCommonSettings/JSSE`: the system.
    System,
    /// Nothing is set anywhere: the provider's own default.
    Provider,
}

impl Level {
    /// The next more general level that is asked for an interface of this kind.
    fn wider(self, kind: InterfaceKind) -> Option<Self> {
        match self {
            Self::Interface(_) => Some(Self::Kind(kind)),
            Self::Kind(_) => Some(Self::Transport),
            Self::Transport => Some(Self::System),
            Self::System => Some(Self::Provider),
            Self::Provider => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(InterfaceRef { kind: InterfaceKind::Http, .. }) => {
                f.write_str("Interface/Http/HttpServer/SSLSettings")
            }
            Self::Interface(InterfaceRef { kind: InterfaceKind::Cti, .. }) => {
                f.write_str("Interface/CTI/CTIServer/SSLSettings")
            }
            Self::Kind(kind) => write!(f, "Interface/{}/SSLCommonSettings", kind.name()),
            Self::Transport => f.write_str("System/SSLCommonSettings/OpenSSL"),
            Self::System => f.write_str("System/SSLCommonSettings/JSSE"),
            Self::Provider => f.write_str("the provider's default"),
        }
    }
}

/// What one level says about a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer<T> {
    /// Nothing: ask the next more general level.
    Inherit,
    /// This, whole.
    Set(T),
}

impl<T> Layer<Vec<T>> {
    /// An empty list means that nothing is set.
    pub fn of(list: Vec<T>) -> Self {
        if list.is_empty() { Self::Inherit } else { Self::Set(list) }
    }
}

/// A resolved value and the level that supplied it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub from: Level,
}

/// The value of the first level (most specific first) that sets one, else the default.
pub fn nearest<T>(
    levels: impl IntoIterator<Item = (Level, Layer<T>)>,
    default: impl FnOnce() -> T,
) -> Effective<T> {
    for (from, layer) in levels {
        if let Layer::Set(value) = layer {
            return Effective { value, from };
        }
    }
    Effective { value: default(), from: Level::Provider }
}

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Cipher suites.
    Ciphers,
    /// Protocol versions.
    Protocols,
}

/// The lists of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveTls {
    /// Protocol versions by name.
    pub protocols: Effective<Vec<String>>,
    /// Cipher suites by IANA's name.
    pub ciphers: Effective<Vec<String>>,
}

/// The lists of an interface and where each comes from. Pure.
pub fn resolve(snapshot: &Snapshot, interface: &InterfaceRef) -> EffectiveTls {
    let level = Level::Interface(*interface);
    EffectiveTls {
        protocols: resolve_at(snapshot, List::Protocols, level, interface.kind),
        ciphers: resolve_at(snapshot, List::Ciphers, level, interface.kind),
    }
}

/// The list that holds at a level: its own, or the nearest more general one.
pub fn resolve_at(
    snapshot: &Snapshot,
    list: List,
    level: Level,
    kind: InterfaceKind,
) -> Effective<Vec<String>> {
    let mut next = Some(level);
    let levels = std::iter::from_fn(move || {
        let current = next?;
        next = current.wider(kind);
        Some((current, Layer::of(own(snapshot, list, current))))
    });
    nearest(levels, || provider_default(list))
}

/// The rows that a level itself sets.
pub fn own(snapshot: &Snapshot, list: List, level: Level) -> Vec<String> {
    let Some(context) = context_of(list, level) else { return Vec::new() };
    let name = name_parameter(list);
    snapshot
        .rows_of(context)
        .iter()
        .filter(|row| match level {
            Level::Interface(interface) => belongs(row, context, &interface),
            Level::Kind(_) | Level::Transport | Level::System | Level::Provider => true,
        })
        .filter_map(|row| row.text(context, name).map(str::to_owned))
        .collect()
}

/// Whether a row of a per-interface table is about this interface.
pub(crate) fn belongs(row: &Row, context: &'static Context, interface: &InterfaceRef) -> bool {
    let address = row.text(context, "interfaceIp").and_then(|text| text.parse::<IpAddr>().ok());
    let port = row.text(context, "port").map(|text| text.parse::<u16>().ok());
    address == Some(interface.address) && port.is_none_or(|port| port == Some(interface.port))
}

/// What the provider offers when no level sets a list.
fn provider_default(list: List) -> Vec<String> {
    match list {
        List::Protocols => vec!["TLSv1.2".to_owned(), "TLSv1.3".to_owned()],
        List::Ciphers => {
            suites::provider().cipher_suites.iter().map(|suite| suites::iana_name(suite.suite())).collect()
        }
    }
}

fn name_parameter(list: List) -> &'static str {
    match list {
        List::Ciphers => "cipher",
        List::Protocols => "protocol",
    }
}

/// The context that holds a list at a level.
pub(crate) fn context_of(list: List, level: Level) -> Option<&'static Context> {
    Some(match (list, level) {
        (List::Ciphers, Level::System) => JsseCipher::CONTEXT,
        (List::Protocols, Level::System) => JsseProtocol::CONTEXT,
        (List::Ciphers, Level::Transport) => OpenSslCipher::CONTEXT,
        (List::Protocols, Level::Transport) => OpenSslProtocol::CONTEXT,
        (List::Ciphers, Level::Kind(InterfaceKind::Http)) => HttpCommonCipher::CONTEXT,
        (List::Protocols, Level::Kind(InterfaceKind::Http)) => HttpCommonProtocol::CONTEXT,
        (List::Ciphers, Level::Kind(InterfaceKind::Cti)) => CtiCommonCipher::CONTEXT,
        (List::Protocols, Level::Kind(InterfaceKind::Cti)) => CtiCommonProtocol::CONTEXT,
        (List::Ciphers, Level::Interface(InterfaceRef { kind: InterfaceKind::Http, .. })) => {
            HttpServerCipher::CONTEXT
        }
        (List::Protocols, Level::Interface(InterfaceRef { kind: InterfaceKind::Http, .. })) => {
            HttpServerProtocol::CONTEXT
        }
        (List::Ciphers, Level::Interface(InterfaceRef { kind: InterfaceKind::Cti, .. })) => {
            CtiServerCipher::CONTEXT
        }
        (List::Protocols, Level::Interface(InterfaceRef { kind: InterfaceKind::Cti, .. })) => {
            CtiServerProtocol::CONTEXT
        }
        (_, Level::Provider) => return None,
    })
}

/// The remark after an empty list: which level supplies it.
fn remark(snapshot: &Snapshot, list: List, level: Level, kind: InterfaceKind) -> Option<String> {
    if !own(snapshot, list, level).is_empty() {
        return None;
    }
    let effective = resolve_at(snapshot, list, level, kind);
    let count = effective.value.len();
    let entries = if count == 1 { "entry" } else { "entries" };
    Some(format!("inherited from {}: {count} {entries}; get -e shows them", effective.from))
}

/// The effective list as `get -e` prints it: name, Negotiable, From.
fn effective(snapshot: &Snapshot, list: List, level: Level, kind: InterfaceKind) -> Vec<Presented> {
    let protocols = resolve_at(snapshot, List::Protocols, level, kind);
    let effective = resolve_at(snapshot, list, level, kind);
    let from = effective.from.to_string();
    let mut rows: Vec<Presented> = Vec::new();
    match list {
        List::Protocols => {
            for name in &effective.value {
                let negotiable = suites::version(name).is_some();
                rows.push(vec![
                    ("Protocol Name", name.clone()),
                    ("Negotiable", negotiable.to_string()),
                    ("From", from.clone()),
                ]);
            }
        }
        List::Ciphers => {
            let enabled = |version: &str| protocols.value.iter().any(|name| name == version);
            let mut push = |name: &str, from: &str| {
                let version = if suites::is_tls13(name) { "TLSv1.3" } else { "TLSv1.2" };
                let negotiable = suites::negotiable(name) && enabled(version);
                rows.push(vec![
                    ("Cipher Name", name.to_owned()),
                    ("Negotiable", negotiable.to_string()),
                    ("From", from.to_owned()),
                ]);
            };
            for name in &effective.value {
                push(name, &from);
            }
            if enabled("TLSv1.3") && !effective.value.iter().any(|name| suites::is_tls13(name)) {
                for suite in suites::SUITES.iter().filter(|suite| suites::is_tls13(suite.name)) {
                    push(suite.name, "TLSv1.3 (the list names none of its suites)");
                }
            }
        }
    }
    rows
}

/// The interface that the keys of a `get` name: address, and port where the kind has one.
fn interface_of(kind: InterfaceKind, keys: &[&str]) -> Option<InterfaceRef> {
    let address = keys.first()?.parse().ok()?;
    let port = match kind {
        InterfaceKind::Http => keys.get(1)?.parse().ok()?,
        InterfaceKind::Cti => 0,
    };
    Some(InterfaceRef { kind, address, port })
}

/// The remark of a per-interface table; without keys there is one only while the whole table is empty.
fn interface_remark(snapshot: &Snapshot, list: List, kind: InterfaceKind, keys: &[&str]) -> Option<String> {
    if let Some(interface) = interface_of(kind, keys) {
        return remark(snapshot, list, Level::Interface(interface), kind);
    }
    let any = InterfaceRef { kind, address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port: 0 };
    let context = context_of(list, Level::Interface(any))?;
    if snapshot.rows_of(context).is_empty() {
        remark(snapshot, list, Level::Interface(any), kind)
    } else {
        None
    }
}

/// The effective list of the interface that the keys name, or of one that has nothing of its own.
fn interface_effective(
    snapshot: &Snapshot,
    list: List,
    kind: InterfaceKind,
    keys: &[&str],
) -> Vec<Presented> {
    let any = InterfaceRef { kind, address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port: 0 };
    let interface = interface_of(kind, keys).unwrap_or(any);
    effective(snapshot, list, Level::Interface(interface), kind)
}

/// The cipher list of a fresh installation: `ciphers-default`, in its order.
pub(crate) const INITIAL_CIPHERS: &[&[&str]] = &[
    &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
    &["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
    &["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"],
    &["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"],
    &["TLS_DHE_DSS_WITH_AES_128_GCM_SHA256"],
    &["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"],
    &["TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"],
    &["TLS_DHE_DSS_WITH_AES_128_CBC_SHA256"],
    &["TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256"],
    &["TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256"],
    &["TLS_ECDH_RSA_WITH_AES_128_CBC_SHA256"],
    &["TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA256"],
];

const fn cipher() -> Parameter {
    Parameter::new("cipher", Kind::Named(&CIPHER_NAME))
        .key()
        .header("Cipher Name")
        .aliases(&["cipherName"])
        .apply(openadp_settings::Apply::NextConnection)
}
const fn protocol() -> Parameter {
    Parameter::new("protocol", Kind::Named(&PROTOCOL_NAME))
        .key()
        .header("Protocol Name")
        .aliases(&["protocolName"])
        .apply(openadp_settings::Apply::NextConnection)
}
pub(crate) const fn interface_ip() -> Parameter {
    Parameter::new("interfaceIp", Kind::IpAddress).key().header("Interface IP")
}
pub(crate) const fn port() -> Parameter {
    Parameter::new("port", Kind::integer(1, 65535)).key().header("Port")
}

context! {
    /// Cipher suites of everything that uses TLS, unless a more specific level has a list.
    pub struct JsseCipher = Context::table(Tree::Adp, "System/SSLCommonSettings/JSSE/Ciphers")
        .without(&["set"])
        .initial(INITIAL_CIPHERS)
        .remark(|snapshot, _| remark(snapshot, List::Ciphers, Level::System, InterfaceKind::Http))
        .effective(|snapshot, _| effective(snapshot, List::Ciphers, Level::System, InterfaceKind::Http)) =>
    {
        /// IANA's name of the suite.
        pub cipher: String = cipher();
    }
}
context! {
    /// Protocol versions of everything that uses TLS, unless a more specific level has a list.
    pub struct JsseProtocol = Context::table(Tree::Adp, "System/SSLCommonSettings/JSSE/Protocols")
        .without(&["set"])
        .initial(&[&["TLSv1.2"], &["TLSv1.3"]])
        .remark(|snapshot, _| remark(snapshot, List::Protocols, Level::System, InterfaceKind::Http))
        .effective(|snapshot, _| effective(snapshot, List::Protocols, Level::System, InterfaceKind::Http)) =>
    {
        /// Name of the version. TLSv1 and TLSv1.1 are kept but cannot be negotiated.
        pub protocol: String = protocol();
    }
}
context! {
    /// Cipher suites of the transport, in place of the system's.
    pub struct OpenSslCipher = Context::table(Tree::Adp, "System/SSLCommonSettings/OpenSSL/Ciphers")
        .without(&["set"])
        .remark(|snapshot, _| remark(snapshot, List::Ciphers, Level::Transport, InterfaceKind::Http))
        .effective(|snapshot, _| effective(snapshot, List::Ciphers, Level::Transport, InterfaceKind::Http)) =>
    {
        /// IANA's name of the suite.
        pub cipher: String = cipher();
    }
}
context! {
    /// Protocol versions of the transport, in place of the system's.
    pub struct OpenSslProtocol = Context::table(Tree::Adp, "System/SSLCommonSettings/OpenSSL/Protocols")
        .without(&["set"])
        .remark(|snapshot, _| remark(snapshot, List::Protocols, Level::Transport, InterfaceKind::Http))
        .effective(|snapshot, _| effective(snapshot, List::Protocols, Level::Transport, InterfaceKind::Http)) =>
    {
        /// Name of the version. TLSv1 and TLSv1.1 are kept but cannot be negotiated.
        pub protocol: String = protocol();
    }
}
context! {
    /// Cipher suites of all HTTP interfaces that have no list of their own.
    pub struct HttpCommonCipher = Context::table(Tree::Adp, "Interface/Http/SSLCommonSettings/Ciphers")
        .without(&["set"])
        .remark(|snapshot, _| remark(snapshot, List::Ciphers, Level::Kind(InterfaceKind::Http), InterfaceKind::Http))
        .effective(|snapshot, _| effective(snapshot, List::Ciphers, Level::Kind(InterfaceKind::Http), InterfaceKind::Http)) =>
    {
        /// IANA's name of the suite.
        pub cipher: String = cipher();
    }
}
context! {
    /// Protocol versions of all HTTP interfaces that have no list of their own.
    pub struct HttpCommonProtocol = Context::table(Tree::Adp, "Interface/Http/SSLCommonSettings/Protocols")
        .without(&["set"])
        .remark(|snapshot, _| remark(snapshot, List::Protocols, Level::Kind(InterfaceKind::Http), InterfaceKind::Http))
        .effective(|snapshot, _| effective(snapshot, List::Protocols, Level::Kind(InterfaceKind::Http), InterfaceKind::Http)) =>
    {
        /// Name of the version. TLSv1 and TLSv1.1 are kept but cannot be negotiated.
        pub protocol: String = protocol();
    }
}
context! {
    /// Cipher suites of all CTI interfaces that have no list of their own.
    pub struct CtiCommonCipher = Context::table(Tree::Adp, "Interface/CTI/SSLCommonSettings/Ciphers")
        .without(&["set"])
        .remark(|snapshot, _| remark(snapshot, List::Ciphers, Level::Kind(InterfaceKind::Cti), InterfaceKind::Cti))
        .effective(|snapshot, _| effective(snapshot, List::Ciphers, Level::Kind(InterfaceKind::Cti), InterfaceKind::Cti)) =>
    {
        /// IANA's name of the suite.
        pub cipher: String = cipher();
    }
}
context! {
    /// Protocol versions of all CTI interfaces that have no list of their own.
    pub struct CtiCommonProtocol = Context::table(Tree::Adp, "Interface/CTI/SSLCommonSettings/Protocols")
        .without(&["set"])
        .remark(|snapshot, _| remark(snapshot, List::Protocols, Level::Kind(InterfaceKind::Cti), InterfaceKind::Cti))
        .effective(|snapshot, _| effective(snapshot, List::Protocols, Level::Kind(InterfaceKind::Cti), InterfaceKind::Cti)) =>
    {
        /// Name of the version. TLSv1 and TLSv1.1 are kept but cannot be negotiated.
        pub protocol: String = protocol();
    }
}
context! {
    /// Cipher suites of one HTTP interface.
    pub struct HttpServerCipher = Context::table(Tree::Adp, "Interface/Http/HttpServer/SSLSettings/Ciphers")
        .aliases(&["Interface/Http/HttpServerSSLSettings/Ciphers"])
        .without(&["set"])
        .remark(|snapshot, keys| interface_remark(snapshot, List::Ciphers, InterfaceKind::Http, keys))
        .effective(|snapshot, keys| interface_effective(snapshot, List::Ciphers, InterfaceKind::Http, keys)) =>
    {
        /// Address of the interface.
        pub interface_ip: IpAddr = interface_ip();
        /// Port of the interface.
        pub port: u16 = port();
        /// IANA's name of the suite.
        pub cipher: String = cipher();
    }
}
context! {
    /// Protocol versions of one HTTP interface.
    pub struct HttpServerProtocol = Context::table(Tree::Adp, "Interface/Http/HttpServer/SSLSettings/Protocols")
        .aliases(&["Interface/Http/HttpServerSSLSettings/Protocols"])
        .without(&["set"])
        .remark(|snapshot, keys| interface_remark(snapshot, List::Protocols, InterfaceKind::Http, keys))
        .effective(|snapshot, keys| interface_effective(snapshot, List::Protocols, InterfaceKind::Http, keys)) =>
    {
        /// Address of the interface.
        pub interface_ip: IpAddr = interface_ip();
        /// Port of the interface.
        pub port: u16 = port();
        /// Name of the version. TLSv1 and TLSv1.1 are kept but cannot be negotiated.
        pub protocol: String = protocol();
    }
}
context! {
    /// Cipher suites of the CTI interfaces of one address.
    pub struct CtiServerCipher = Context::table(Tree::Adp, "Interface/CTI/CTIServer/SSLSettings/Ciphers")
        .aliases(&["Interface/CTI/CTIServerSSLSettings/Ciphers"])
        .without(&["set"])
        .remark(|snapshot, keys| interface_remark(snapshot, List::Ciphers, InterfaceKind::Cti, keys))
        .effective(|snapshot, keys| interface_effective(snapshot, List::Ciphers, InterfaceKind::Cti, keys)) =>
    {
        /// Address of the interfaces.
        pub interface_ip: IpAddr = interface_ip();
        /// IANA's name of the suite.
        pub cipher: String = cipher();
    }
}
context! {
    /// Protocol versions of the CTI interfaces of one address.
    pub struct CtiServerProtocol = Context::table(Tree::Adp, "Interface/CTI/CTIServer/SSLSettings/Protocols")
        .aliases(&["Interface/CTI/CTIServerSSLSettings/Protocols"])
        .without(&["set"])
        .remark(|snapshot, keys| interface_remark(snapshot, List::Protocols, InterfaceKind::Cti, keys))
        .effective(|snapshot, keys| interface_effective(snapshot, List::Protocols, InterfaceKind::Cti, keys)) =>
    {
        /// Address of the interfaces.
        pub interface_ip: IpAddr = interface_ip();
        /// Name of the version. TLSv1 and TLSv1.1 are kept but cannot be negotiated.
        pub protocol: String = protocol();
    }
}
