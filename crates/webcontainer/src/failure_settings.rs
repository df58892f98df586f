//! How often logins may fail. authservice.md 11; read by the one authenticator of all applications.

use openadp_settings::{Context, Kind, Parameter, Problem, Settings as _, Snapshot, Tree, context};
use std::net::IpAddr;

context! {
    /// How many failed logins with passwords and single-use tokens are taken before further ones are refused: at
    /// AuthenticationService, Xsi-Actions, Xsi-Events and CTI together, in each process. Successful ones are never counted.
    pub struct FailureLimits = Context::single(Tree::Adp, "Applications/AuthenticationService/FailureLimits")
        .aliases(&["Applications/AuthService/FailureLimits"]) => {
        /// Failures a minute that one source may go on with; IPv6 sources are counted by networks of 64 bits.
        pub per_minute_and_source: u32 =
            Parameter::new("failuresPerMinutePerSource", Kind::integer(1, 10_000)).default("20").unit("failures");
        /// Failures that one source may have at once.
        pub burst_per_source: u32 =
            Parameter::new("failureBurstPerSource", Kind::integer(1, 10_000)).default("40").unit("failures");
        /// Failures of one user from one source within the window; others may go on for that user from elsewhere.
        pub per_user_and_source: u32 =
            Parameter::new("failuresPerUserAndSource", Kind::integer(1, 1000)).default("5").unit("failures");
        /// The window for them.
        pub window_minutes: u32 =
            Parameter::new("failureWindowInMinutes", Kind::integer(1, 1440)).default("15").unit("minutes");
    }
}

context! {
    /// Sources that stand for many people, clouds and proxies: their failures are counted by user alone.
    pub struct ExemptSource = Context::table(Tree::Adp, "Applications/AuthenticationService/FailureLimits/ExemptSources")
        .aliases(&["Applications/AuthService/FailureLimits/ExemptSources"]) => {
        /// An address, or a network as address/bits.
        pub network: String = Parameter::new("network", Kind::text(2, 49)).header("Network").key().left();
        /// Who it is.
        pub description: String = Parameter::new("description", Kind::text(0, 80)).header("Description").default("").left();
    }
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse().ok()?, Some(bits.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let most = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether the address lies in it.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Networks that can be read.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let networks =
        snapshot.rows::<ExemptSource>().into_iter().filter(|row| Network::parse(&row.network).is_none());
    let networks = networks.map(|row| {
        Problem::new(ExemptSource::CONTEXT.full_path(), format!("{} is no network", row.network))
            .parameter("network")
            .hint("192.0.2.0/24, or 2001:db8::/32")
    });
    networks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let holds =
            |network: &str, address: &str| Network::parse(network).unwrap().holds(address.parse().unwrap());
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7") && !holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::1"));
        for bad in ["", "x", "192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2.0/-1", "192.0.2/24"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
