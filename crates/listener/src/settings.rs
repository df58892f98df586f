//! The interfaces as settings, and the checks of them. cli.md 5.1 and 5.2.

use crate::{Limits, access};
use openadp_settings::{Apply, Context, Kind, Module, Parameter, Problem, Settings, Snapshot, Tree, context};
use openadp_tls::{ClientAuth, InterfaceKind, InterfaceRef};
use std::net::{IpAddr, SocketAddr};

context! {
    /// HTTP interfaces: the addresses and ports where the HTTP applications answer.
    /// A secure interface without a certificate of its own gets self-signed ones at once.
    pub struct HttpServer = Context::table(Tree::Adp, "Interface/Http/HttpServer") => {
        /// Address to listen on.
        pub interface_ip: IpAddr = Parameter::new("interfaceIp", Kind::IpAddress).header("Interface").key();
        /// Port to listen on.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65535)).header("Port").key();
        /// Host name under which clients know the interface.
        pub name: String = Parameter::new("name", Kind::Host).header("Name").mandatory();
        /// Whether connections are secured with TLS.
        pub secure: bool = Parameter::new("secure", Kind::Boolean).header("Secure").mandatory();
        /// Whether every client needs a certificate that a trust anchor of the HTTP interfaces vouches for.
        pub client_auth_req: bool =
            Parameter::new("clientAuthReq", Kind::Boolean).header("Client Auth Req").mandatory();
        /// Host name of the cluster that the interface belongs to.
        pub cluster_fqdn: String = Parameter::new("clusterFqdn", Kind::Host).header("Cluster Fqdn");
    }
}

context! {
    /// Further host names of the HTTP interfaces of an address. Self-signed certificates have them too, and each may have
    /// certificates of its own, which clients that ask for the name get.
    pub struct HttpAlias = Context::table(Tree::Adp, "Interface/Http/HttpAlias").without(&["set"]) => {
        /// Address of the interfaces.
        pub interface_ip: IpAddr = Parameter::new("interfaceIp", Kind::IpAddress).header("Interface").key()
            .apply(Apply::NextConnection);
        /// The further name.
        pub alias: String = Parameter::new("alias", Kind::Host).header("Alias").key().apply(Apply::NextConnection);
    }
}

context! {
    /// CTI interfaces: the addresses and ports where CTI clients connect.
    pub struct CtiServer = Context::table(Tree::Adp, "Interface/CTI/CTIServer") => {
        /// Address to listen on.
        pub interface_ip: IpAddr = Parameter::new("interfaceIp", Kind::IpAddress).header("Interface IP").key();
        /// Port to listen on.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65535)).header("Port").key();
        /// Whether connections are secured with TLS.
        pub secure: bool = Parameter::new("secure", Kind::Boolean).header("Secure").mandatory();
        /// Whether the interface has a server certificate; a secure interface always has one, self-signed at first.
        pub server_certificate: bool =
            Parameter::new("serverCertificate", Kind::Boolean).header("Server Certificate").mandatory();
        /// Whether every client needs a certificate that a trust anchor of the CTI interfaces vouches for.
        pub client_auth_req: bool =
            Parameter::new("clientAuthReq", Kind::Boolean).header("Client Auth Req").mandatory();
    }
}

context! {
    /// Applications whose rule on an interface differs from the interface's own: with true the handshake asks for a client
    /// certificate, and the application's paths are refused without it; with false they are open without it on an
    /// interface that demands one for all others.
    pub struct WebApp = Context::table(Tree::Adp, "Interface/Http/SSLCommonSettings/ClientAuthentication/WebApps") => {
        /// Address of the interface.
        pub interface_ip: IpAddr = Parameter::new("interfaceIp", Kind::IpAddress).header("Interface Ip").key();
        /// Port of the interface.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65535)).header("Port").key();
        /// Name of the application, AuthenticationService say; not its path.
        pub application: String =
            Parameter::new("applicationName", Kind::text(1, 80)).header("Application Name").key();
        /// Whether the application needs a client certificate there.
        pub client_auth_req: bool =
            Parameter::new("clientAuthReq", Kind::Boolean).header("Client Auth Req").mandatory();
    }
}

context! {
    /// Limits of all HTTP interfaces.
    pub struct HttpGeneralSettings = Context::single(Tree::Adp, "Interface/Http/GeneralSettings") => {
        /// Time that a client has for the TLS handshake.
        pub handshake_timeout_secs: u32 =
            Parameter::new("handshakeTimeoutInSeconds", Kind::integer(1, 60)).default("5").unit("seconds");
        /// Connections that may be open at once; further ones are closed when they come.
        pub max_connections: u32 =
            Parameter::new("maxConnections", Kind::integer(1, 1_000_000)).default("20000");
        /// Connections that may be open at once from one address (one /64 network for IPv6). Clouds come from few
        /// addresses, so this is not small.
        pub max_connections_per_address: u32 =
            Parameter::new("maxConnectionsPerAddress", Kind::integer(1, 1_000_000)).default("10000");
        /// Silence after which the operating system asks whether the peer is still there.
        pub keepalive_secs: u32 =
            Parameter::new("keepaliveInSeconds", Kind::integer(5, 7200)).default("60").unit("seconds");
        /// Time that connections have to finish when the interface goes or the process ends.
        pub drain_timeout_secs: u32 =
            Parameter::new("drainTimeoutInSeconds", Kind::integer(1, 600)).default("10").unit("seconds");
    }
}

context! {
    /// Limits of all CTI interfaces.
    pub struct CtiGeneralSettings = Context::single(Tree::Adp, "Interface/CTI/GeneralSettings") => {
        /// Time that a client has for the TLS handshake.
        pub handshake_timeout_secs: u32 =
            Parameter::new("handshakeTimeoutInSeconds", Kind::integer(1, 60)).default("5").unit("seconds");
        /// Connections that may be open at once; further ones are closed when they come.
        pub max_connections: u32 =
            Parameter::new("maxConnections", Kind::integer(1, 1_000_000)).default("10000");
        /// Connections that may be open at once from one address (one /64 network for IPv6).
        pub max_connections_per_address: u32 =
            Parameter::new("maxConnectionsPerAddress", Kind::integer(1, 1_000_000)).default("5000");
        /// Silence after which the operating system asks whether the peer is still there.
        pub keepalive_secs: u32 =
            Parameter::new("keepaliveInSeconds", Kind::integer(5, 7200)).default("60").unit("seconds");
        /// Time that connections have to finish when the interface goes or the process ends.
        pub drain_timeout_secs: u32 =
            Parameter::new("drainTimeoutInSeconds", Kind::integer(1, 600)).default("10").unit("seconds");
    }
}

/// All contexts and checks of this crate.
pub const MODULE: Module = Module::new("listener")
    .contexts(&[
        HttpServer::CONTEXT,
        HttpAlias::CONTEXT,
        CtiServer::CONTEXT,
        WebApp::CONTEXT,
        HttpGeneralSettings::CONTEXT,
        CtiGeneralSettings::CONTEXT,
        access::BlackList::CONTEXT,
        access::HttpAccess::CONTEXT,
        access::CtiAccess::CONTEXT,
    ])
    .checks(&[check_clashes, check_handshakes, check_certificates, access::check]);

/// One configured interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configured {
    pub(crate) interface: InterfaceRef,
    pub(crate) secure: bool,
    pub(crate) client_auth: ClientAuth,
    /// Host names for generated certificates.
    pub(crate) names: Vec<String>,
}

impl Configured {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.interface.address, self.interface.port)
    }
}

/// The configured interfaces of a kind, in their order.
pub(crate) fn configured(snapshot: &Snapshot, kind: InterfaceKind) -> Vec<Configured> {
    match kind {
        InterfaceKind::Http => {
            let applications = snapshot.rows::<WebApp>();
            let client_auth = |row: &HttpServer| {
                let rules = || {
                    applications
                        .iter()
                        .filter(|rule| rule.interface_ip == row.interface_ip && rule.port == row.port)
                };
                match row.client_auth_req {
                    // An application that is exempt must be reachable without; the container refuses the others' paths.
                    true if rules().any(|rule| !rule.client_auth_req) => ClientAuth::Optional,
                    true => ClientAuth::Required,
                    false if rules().any(|rule| rule.client_auth_req) => ClientAuth::Optional,
                    false => ClientAuth::None,
                }
            };
            let aliases = snapshot.rows::<HttpAlias>();
            let aliases = |row: &HttpServer| {
                let of_address = aliases.iter().filter(|alias| alias.interface_ip == row.interface_ip);
                of_address.map(|alias| alias.alias.clone()).collect::<Vec<_>>()
            };
            snapshot
                .rows::<HttpServer>()
                .into_iter()
                .map(|row| Configured {
                    interface: InterfaceRef::http(row.interface_ip, row.port),
                    secure: row.secure,
                    client_auth: client_auth(&row),
                    names: [row.name.clone(), row.cluster_fqdn.clone()]
                        .into_iter()
                        .chain(aliases(&row))
                        .filter(|name| !name.is_empty())
                        .collect(),
                })
                .collect()
        }
        InterfaceKind::Cti => snapshot
            .rows::<CtiServer>()
            .into_iter()
            .map(|row| Configured {
                interface: InterfaceRef::cti(row.interface_ip, row.port),
                secure: row.secure,
                client_auth: if row.client_auth_req { ClientAuth::Required } else { ClientAuth::None },
                names: Vec::new(),
            })
            .collect(),
    }
}

/// The configured interfaces of a kind, in their order.
pub fn interfaces(snapshot: &Snapshot, kind: InterfaceKind) -> Vec<InterfaceRef> {
    configured(snapshot, kind).into_iter().map(|configured| configured.interface).collect()
}

/// The limits of a kind as they are in a snapshot.
pub(crate) fn limits(snapshot: &Snapshot, kind: InterfaceKind) -> Limits {
    match kind {
        InterfaceKind::Http => Limits::from(&snapshot.get::<HttpGeneralSettings>()),
        InterfaceKind::Cti => Limits::from(&snapshot.get::<CtiGeneralSettings>()),
    }
}

fn context_of(kind: InterfaceKind) -> String {
    match kind {
        InterfaceKind::Http => HttpServer::CONTEXT.full_path(),
        InterfaceKind::Cti => CtiServer::CONTEXT.full_path(),
    }
}

/// Two of our own interfaces at one address and port can never both be bound, so the second is refused.
fn check_clashes(snapshot: &Snapshot) -> Vec<Problem> {
    let all: Vec<Configured> = [InterfaceKind::Http, InterfaceKind::Cti]
        .into_iter()
        .flat_map(|kind| configured(snapshot, kind))
        .collect();
    let mut problems = Vec::new();
    for (index, one) in all.iter().enumerate() {
        for other in &all[..index] {
            if one.interface.port == other.interface.port
                && overlap(one.interface.address, other.interface.address)
            {
                problems.push(
                    Problem::new(
                        context_of(one.interface.kind),
                        format!(
                            "{} is taken by the interface {} of {}",
                            one.address(),
                            other.address(),
                            context_of(other.interface.kind),
                        ),
                    )
                    .parameter("port")
                    .hint("take another port, or delete the other interface first"),
                );
            }
        }
    }
    problems
}

/// Nobody can shake hands with a secure interface that is to have no certificate.
fn check_certificates(snapshot: &Snapshot) -> Vec<Problem> {
    snapshot
        .rows::<CtiServer>()
        .iter()
        .filter(|row| row.secure && !row.server_certificate)
        .map(|row| {
            let at = SocketAddr::new(row.interface_ip, row.port);
            Problem::new(
                CtiServer::CONTEXT.full_path(),
                format!("{at} is secure and needs a server certificate"),
            )
            .parameter("serverCertificate")
            .hint("serverCertificate true; a self-signed one is made at once")
        })
        .collect()
}

/// Whether sockets at both addresses exclude each other on one port.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || (one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified()))
}

/// Every secure interface must be able to shake hands with somebody.
fn check_handshakes(snapshot: &Snapshot) -> Vec<Problem> {
    [InterfaceKind::Http, InterfaceKind::Cti]
        .into_iter()
        .flat_map(|kind| configured(snapshot, kind))
        .filter(|configured| configured.secure)
        .flat_map(|configured| {
            openadp_tls::check_interface(snapshot, &configured.interface, &configured.names)
        })
        .collect()
}
