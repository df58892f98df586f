//! Who may connect at all, by address: `System/Security/BlackList` and `System/NetworkAccessLists`. cli.md 5.4 and 5.9.

use openadp_settings::{
    Context, Kind, NamedKind, Parameter, Problem, Settings as _, Snapshot, Tree, context,
};
use openadp_tls::InterfaceKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A netmask in either form that operators type.
static MASK: NamedKind = NamedKind {
    label: "Netmask",
    parse: |word| match prefix(word) {
        Some(_) => Ok(word.to_owned()),
        None => Err("neither a netmask (255.255.255.0) nor a number of bits (24)".to_owned()),
    },
    words: Vec::new,
};

/// Leading bits of a mask; of an IPv4 mask those of IPv4.
fn prefix(word: &str) -> Option<u32> {
    if let Ok(bits) = word.parse::<u32>() {
        return (bits <= 128).then_some(bits);
    }
    let (value, width) = match word.parse().ok()? {
        IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        IpAddr::V6(mask) => (mask.to_bits(), 128),
    };
    let bits = value.leading_ones();
    // Ones, then zeros, and nothing else.
    (bits <= width && value.checked_shl(bits).unwrap_or(0) == 0).then_some(bits)
}

context! {
    /// Connections that are closed as soon as they come, by where they come from and what they ask for. A request for
    /// nothing of this suite is for the machine's own firewall to refuse.
    pub struct BlackList = Context::table(Tree::Adp, "System/Security/BlackList").without(&["set"]) => {
        /// Address that connects, or its network.
        pub source: IpAddr = Parameter::new("source", Kind::IpAddress).header("Source").key().left();
        /// How much of it counts: 255.255.255.255 or 32 for one address.
        pub mask: String = Parameter::new("mask", Kind::Named(&MASK)).header("Mask").key().left();
        /// Address of ours that is connected to; 0.0.0.0 or :: for every one.
        pub destination: IpAddr = Parameter::new("destination", Kind::IpAddress).header("Destination").key().left();
        /// First port of ours.
        pub port_from: u16 = Parameter::new("portFrom", Kind::integer(0, 65_535)).header("Port From").key();
        /// Last port of ours.
        pub port_to: u16 = Parameter::new("portTo", Kind::integer(0, 65_535)).header("Port To").key();
        /// What is spoken. Everything of this suite listens with TCP.
        pub protocol: String =
            Parameter::new("protocol", Kind::Choice(&["TCP", "UDP"])).header("Protocol").key();
    }
}

context! {
    /// Addresses that may connect to HTTP interfaces; while there is none, all may.
    pub struct HttpAccess = Context::table(Tree::Adp, "System/NetworkAccessLists/Http") => {
        /// Address that may connect.
        pub address: IpAddr = Parameter::new("address", Kind::IpAddress).header("Address").key().left();
        /// What it is.
        pub description: String =
            Parameter::new("description", Kind::text(0, 80)).header("Description").mandatory().left();
    }
}

context! {
    /// Addresses that may connect to CTI interfaces; while there is none, all may.
    pub struct CtiAccess = Context::table(Tree::Adp, "System/NetworkAccessLists/CTI") => {
        /// Address that may connect.
        pub address: IpAddr = Parameter::new("address", Kind::IpAddress).header("Address").key().left();
        /// What it is.
        pub description: String =
            Parameter::new("description", Kind::text(0, 80)).header("Description").mandatory().left();
    }
}

/// A rule of the black list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    network: u128,
    mask: u128,
    destination: Option<IpAddr>,
    ports: std::ops::RangeInclusive<u16>,
}

/// Addresses of both kinds in one space, as IPv6 writes IPv4.
fn bits(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Rule {
    fn of(row: &BlackList) -> Option<Self> {
        if row.protocol != "TCP" {
            return None;
        }
        let own = if row.source.is_ipv4() { 96 } else { 0 };
        let leading = (prefix(&row.mask)? + own).min(128);
        let mask = if leading == 0 { 0 } else { u128::MAX << (128 - leading) };
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        Some(Self {
            network: bits(row.source) & mask,
            mask,
            destination: Some(row.destination).filter(|destination| !any.contains(destination)),
            ports: row.port_from..=row.port_to,
        })
    }
}

/// Who may connect to the interfaces of a kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    refused: Vec<Rule>,
    /// Nobody else may, unless this is empty.
    allowed: Vec<u128>,
}

impl Access {
    /// The lists as they are in a snapshot.
    pub(crate) fn of(snapshot: &Snapshot, kind: InterfaceKind) -> Self {
        let allowed = match kind {
            InterfaceKind::Http => {
                snapshot.rows::<HttpAccess>().iter().map(|row| bits(row.address)).collect()
            }
            InterfaceKind::Cti => snapshot.rows::<CtiAccess>().iter().map(|row| bits(row.address)).collect(),
        };
        Self { refused: snapshot.rows::<BlackList>().iter().filter_map(Rule::of).collect(), allowed }
    }

    /// Why a connection is refused, if it is.
    pub(crate) fn refuses(&self, peer: IpAddr, local: SocketAddr) -> Option<&'static str> {
        let from = bits(peer);
        let listed = self.refused.iter().any(|rule| {
            from & rule.mask == rule.network
                && rule.ports.contains(&local.port())
                && rule.destination.is_none_or(|destination| bits(destination) == bits(local.ip()))
        });
        if listed {
            return Some("blackList");
        }
        (!self.allowed.is_empty() && !self.allowed.contains(&from)).then_some("networkAccessList")
    }
}

/// Why a connection is refused by these lists, for what listens elsewhere than on an interface of a kind: `blackList` or
/// `networkAccessList`.
pub fn refuses(
    snapshot: &Snapshot,
    kind: InterfaceKind,
    peer: IpAddr,
    local: SocketAddr,
) -> Option<&'static str> {
    Access::of(snapshot, kind).refuses(peer, local)
}

/// A range of ports that holds none would refuse nothing, and so would an IPv6 mask of an IPv4 address.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    for row in snapshot.rows::<BlackList>() {
        let problem = |parameter: &'static str, reason: &str| {
            Problem::new(BlackList::CONTEXT.full_path(), reason.to_owned()).parameter(parameter)
        };
        if row.port_from > row.port_to {
            problems.push(problem("portTo", "is below portFrom, so there is no port between them"));
        }
        if row.source.is_ipv4() && prefix(&row.mask).is_none_or(|bits| bits > 32) {
            problems.push(problem("mask", "has more bits than the address"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(source: &str, mask: &str, destination: &str, ports: (u16, u16), protocol: &str) -> BlackList {
        BlackList {
            source: source.parse().unwrap(),
            mask: mask.to_owned(),
            destination: destination.parse().unwrap(),
            port_from: ports.0,
            port_to: ports.1,
            protocol: protocol.to_owned(),
        }
    }

    fn refuses(row: &BlackList, peer: &str, local: &str) -> bool {
        let access = Access { refused: Rule::of(row).into_iter().collect(), allowed: Vec::new() };
        access.refuses(peer.parse().unwrap(), local.parse().unwrap()).is_some()
    }

    #[test]
    fn a_rule_refuses_its_network_its_destination_and_its_ports() {
        let row = rule("192.0.2.0", "255.255.255.0", "0.0.0.0", (8000, 9000), "TCP");
        assert!(refuses(&row, "192.0.2.77", "198.51.100.1:8443"));
        assert!(refuses(&row, "::ffff:192.0.2.77", "198.51.100.1:9000"));
        assert!(!refuses(&row, "192.0.3.77", "198.51.100.1:8443"));
        assert!(!refuses(&row, "192.0.2.77", "198.51.100.1:9001"));
        assert!(!refuses(&rule("192.0.2.0", "24", "0.0.0.0", (0, 65535), "UDP"), "192.0.2.1", "127.0.0.1:1"));
        let row = rule("2001:db8::", "32", "2001:db8::1", (0, 65535), "TCP");
        assert!(refuses(&row, "2001:db8:1::5", "[2001:db8::1]:443"));
        assert!(!refuses(&row, "2001:db8:1::5", "[2001:db8::2]:443"));
        assert!(!refuses(&row, "2001:db9::5", "[2001:db8::1]:443"));
        assert!(refuses(&rule("10.0.0.1", "0", "0.0.0.0", (0, 65535), "TCP"), "203.0.113.9", "127.0.0.1:1"));
        assert!(!refuses(&rule("10.0.0.1", "0", "0.0.0.0", (0, 65535), "TCP"), "2001:db8::1", "[::1]:1"));
    }

    #[test]
    fn masks_are_ones_and_then_zeros() {
        for (word, bits) in
            [("0", 0), ("24", 24), ("128", 128), ("255.255.255.255", 32), ("255.255.0.0", 16), ("ffff::", 16)]
        {
            assert_eq!(prefix(word), Some(bits), "{word}");
        }
        for word in ["129", "255.0.255.0", "0.0.0.255", "ffff::ffff", "-1", "", "x"] {
            assert_eq!(prefix(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn one_address_is_refused_and_no_other(source: u32, peer: u32) {
            let row = rule(&Ipv4Addr::from_bits(source).to_string(), "32", "0.0.0.0", (0, 65535), "TCP");
            let found = refuses(&row, &Ipv4Addr::from_bits(peer).to_string(), "127.0.0.1:1");
            prop_assert_eq!(found, source == peer);
        }

        #[test]
        fn no_word_upsets_a_mask(word in "\\PC{0,40}") {
            if let Some(bits) = prefix(&word) {
                prop_assert!(bits <= 128);
            }
        }
    }
}
