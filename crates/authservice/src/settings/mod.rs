//! Settings of the AuthenticationService beside those of tokens and keys. authservice.md 11

mod callers;

pub use callers::CertificateCaller;
pub(crate) use callers::{BROADWORKS_USAGE, CLIENT_AUTH};

use openadp_settings::{Context, Kind, Module, Parameter, Problem, Settings, Snapshot, Tree, context};
use std::net::IpAddr;

context! {
    /// How many failed attempts are taken before further ones are refused. Successful requests are never counted.
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
    /// How many tokens are made at once, and how often; a request beyond a limit is refused before anything is done for it.
    pub struct TokenLimits = Context::single(Tree::Adp, "Applications/AuthenticationService/TokenLimits")
        .aliases(&["Applications/AuthService/TokenLimits"]) => {
        /// Requests for tokens that are worked on at once in each process; further ones get 503.
        pub in_progress: u32 =
            Parameter::new("maxTokensInProgress", Kind::integer(1, 10_000)).default("48").unit("requests");
        /// Tokens that one user gets in a minute; 0 for no limit. Only requests that proved the user are counted, so that nobody
        /// can use it up for somebody else.
        pub per_minute_and_user: u32 =
            Parameter::new("tokensPerMinutePerUser", Kind::integer(0, 100_000)).default("60").unit("tokens");
        /// Requests a second with one client certificate; 0 for no limit.
        pub per_second_and_certificate: u32 =
            Parameter::new("requestsPerSecondPerCertificate", Kind::integer(0, 100_000)).default("200").unit("requests");
    }
}

context! {
    /// Web pages that may ask for tokens from a browser: their origins, compared to the letter. Empty, no page may.
    pub struct AllowedOrigin = Context::table(Tree::Adp, "Applications/AuthenticationService/AllowedOrigins")
        .aliases(&["Applications/AuthService/AllowedOrigins"]) => {
        /// Scheme, host and, where it is not the scheme's own, port: https://portal.example.net say.
        pub origin: String = Parameter::new("origin", Kind::text(8, 261)).header("Origin").key().left();
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

/// Whether a text is what browsers send as `Origin`: nothing that could stand for all, or for none.
fn is_origin(text: &str) -> bool {
    !text.contains('*')
        && url::Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http") && url.origin().ascii_serialization() == text
        })
}

fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let origins = snapshot.rows::<AllowedOrigin>().into_iter().filter(|row| !is_origin(&row.origin)).map(|row| {
        Problem::new(AllowedOrigin::CONTEXT.full_path(), format!("{} is no origin", row.origin))
            .parameter("origin")
            .hint("https://portal.example.net, in lower case, without a path, and without the scheme's own port")
    });
    let networks =
        snapshot.rows::<ExemptSource>().into_iter().filter(|row| Network::parse(&row.network).is_none());
    let networks = networks.map(|row| {
        Problem::new(ExemptSource::CONTEXT.full_path(), format!("{} is no network", row.network))
            .parameter("network")
            .hint("192.0.2.0/24, or 2001:db8::/32")
    });
    origins.chain(networks).collect()
}

/// All contexts that only this application has; those of tokens, keys and identity providers are in their crates' modules.
pub const MODULE: Module = Module::new("authservice")
    .contexts(&[
        FailureLimits::CONTEXT,
        ExemptSource::CONTEXT,
        TokenLimits::CONTEXT,
        AllowedOrigin::CONTEXT,
        CertificateCaller::CONTEXT,
    ])
    .checks(&[check]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in ["https://portal.example.net", "http://127.0.0.1:8080", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "https://*",
            "https://portal.example.net/",
            "https://Portal.example.net",
            "https://portal.example.net:443",
            "portal.example.net",
            "file:///x",
            "https://a@b.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

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
