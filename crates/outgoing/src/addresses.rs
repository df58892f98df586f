//! Where outgoing connections may go: what operators say of names, and private addresses.

use openadp_settings::{Context, Kind, Module, Parameter, Settings as _, Snapshot, Tree, context};
use std::net::{IpAddr, SocketAddr};

context! {
    /// Names of outside services that are not asked of DNS: where such a service is reached through an own gateway or, in a
    /// laboratory, a stand-in. Certificates are checked for the name as ever.
    pub struct OutgoingName =
        Context::table(Tree::Adp, "System/CommunicationUtility/DefaultSettings/OutgoingNames") => {
        /// Name, idbroker.webex.com say.
        pub name: String = Parameter::new("name", Kind::Host).header("Name").key().left();
        /// Address that connections to the name go to. It may be a private one.
        pub address: IpAddr = Parameter::new("ipAddress", Kind::IpAddress).header("IP Address").mandatory().left();
        /// Port in place of the URL's.
        pub port: Option<u16> = Parameter::new("port", Kind::integer(1, 65_535)).header("Port");
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("outgoing").contexts(&[OutgoingName::CONTEXT]);

/// Where connections may go.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Whether only addresses of the public Internet may be connected to; names of [`OutgoingName`] are excepted.
    pub public_only: bool,
    /// Whether HTTP without TLS may be spoken to who has such a URL.
    pub plain: bool,
    names: Vec<OutgoingName>,
}

impl PartialEq for Addresses {
    fn eq(&self, other: &Self) -> bool {
        let row = |row: &OutgoingName| (row.name.to_ascii_lowercase(), row.address, row.port);
        self.public_only == other.public_only && self.names.iter().map(row).eq(other.names.iter().map(row))
    }
}

impl Addresses {
    /// What the settings say.
    pub fn of(snapshot: &Snapshot, public_only: bool) -> Self {
        Self { public_only, plain: false, names: snapshot.rows() }
    }

    /// The same, and HTTP without TLS where the URL says so: for nodes of ours, whose settings refuse such a URL beyond this
    /// machine unless it is asked for by name.
    #[must_use]
    pub fn with_plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// What the operator says of a name.
    pub(crate) fn said(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let row = self.names.iter().find(|row| row.name.eq_ignore_ascii_case(host))?;
        Some(SocketAddr::new(row.address, row.port.unwrap_or(port)))
    }

    /// Those of the addresses that may be connected to.
    pub(crate) fn allowed(&self, found: Vec<SocketAddr>) -> std::io::Result<Vec<SocketAddr>> {
        if !self.public_only {
            return Ok(found);
        }
        let some = !found.is_empty();
        let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
        if some && public.is_empty() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::PermissionDenied,
                "it has a private address, and those are refused",
            ));
        }
        Ok(public)
    }
}

/// Whether an address is one of the public Internet: none of this host, of private or shared networks, of documentation,
/// of groups, and none that is translated to such a one.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(v6) => {
            let [first, second, .., high, low] = v6.segments();
            let embedded = |high: u16, low: u16| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                is_public(IpAddr::from([a, b, c, d]))
            };
            match first {
                // NAT64 and 6to4 carry an address of version 4.
                0x64 if second == 0xff9b => embedded(high, low),
                0x2002 => embedded(second, v6.segments()[2]),
                // Teredo, benchmarks, ORCHID and documentation lie inside what is else global.
                0x2001 => second >= 0x200 && second != 0xdb8,
                _ => (0x2000..0x4000).contains(&first) && first != 0x3fff,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "170.72.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn what_the_operator_says_comes_first() {
        let row = OutgoingName {
            name: "cifls.webex.com".to_owned(),
            address: "127.0.0.1".parse().unwrap(),
            port: Some(9448),
        };
        let rules = Addresses { public_only: true, plain: false, names: vec![row] };
        assert_eq!(rules.said("CIFLS.webex.com", 443), Some("127.0.0.1:9448".parse().unwrap()));
        assert_eq!(rules.said("idbroker.webex.com", 443), None);
        assert!(rules.allowed(vec!["127.0.0.1:443".parse().unwrap()]).is_err());
        let mixed = vec!["10.0.0.1:443".parse().unwrap(), "8.8.8.8:443".parse().unwrap()];
        assert_eq!(rules.allowed(mixed).unwrap(), ["8.8.8.8:443".parse().unwrap()]);
        assert!(Addresses::default().allowed(vec!["127.0.0.1:443".parse().unwrap()]).is_ok());
    }
}
