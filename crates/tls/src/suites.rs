//! Cipher suites and protocol versions by the names operators type.
//!
//! Names are IANA's. Every name that a deployment guide lists is accepted and kept, whether this build can negotiate it or
//! not; [`negotiable`] is computed from the provider and pinned by a test, so that an upgrade cannot change it unseen.
//! Nobody else in the suite names a suite.

use openadp_settings::NamedKind;
use rustls::crypto::CryptoProvider;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::{Arc, LazyLock};

/// One cipher suite of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// IANA's name.
    pub name: &'static str,
    /// OpenSSL's name, for the hint when somebody types that one.
    pub openssl: &'static str,
}

const fn suite(name: &'static str, openssl: &'static str) -> Suite {
    Suite { name, openssl }
}

/// Every suite whose name is accepted: TLS 1.3's, then the two lists of the deployment guides in their order.
#[rustfmt::skip]
pub const SUITES: &[Suite] = &[
    suite("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    suite("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    suite("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"),
    suite("TLS_DHE_DSS_WITH_AES_128_GCM_SHA256", "DHE-DSS-AES128-GCM-SHA256"),
    suite("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"),
    suite("TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE-RSA-AES128-SHA256"),
    suite("TLS_DHE_DSS_WITH_AES_128_CBC_SHA256", "DHE-DSS-AES128-SHA256"),
    suite("TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256", "ECDH-RSA-AES128-GCM-SHA256"),
    suite("TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256", "ECDH-ECDSA-AES128-GCM-SHA256"),
    suite("TLS_ECDH_RSA_WITH_AES_128_CBC_SHA256", "ECDH-RSA-AES128-SHA256"),
    suite("TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA256", "ECDH-ECDSA-AES128-SHA256"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    suite("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    suite("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
    suite("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
    suite("TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", "DHE-RSA-AES256-SHA256"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"),
    suite("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"),
    suite("TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "DHE-RSA-AES256-SHA"),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"),
    suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
    suite("TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "DHE-RSA-AES128-SHA"),
    suite("TLS_RSA_PSK_WITH_AES_256_GCM_SHA384", "RSA-PSK-AES256-GCM-SHA384"),
    suite("TLS_DHE_PSK_WITH_AES_256_GCM_SHA384", "DHE-PSK-AES256-GCM-SHA384"),
    suite("TLS_RSA_PSK_WITH_CHACHA20_POLY1305_SHA256", "RSA-PSK-CHACHA20-POLY1305"),
    suite("TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "DHE-PSK-CHACHA20-POLY1305"),
    suite("TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-PSK-CHACHA20-POLY1305"),
    suite("TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
    suite("TLS_PSK_WITH_AES_256_GCM_SHA384", "PSK-AES256-GCM-SHA384"),
    suite("TLS_PSK_WITH_CHACHA20_POLY1305_SHA256", "PSK-CHACHA20-POLY1305"),
    suite("TLS_RSA_PSK_WITH_AES_128_GCM_SHA256", "RSA-PSK-AES128-GCM-SHA256"),
    suite("TLS_DHE_PSK_WITH_AES_128_GCM_SHA256", "DHE-PSK-AES128-GCM-SHA256"),
    suite("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
    suite("TLS_PSK_WITH_AES_128_GCM_SHA256", "PSK-AES128-GCM-SHA256"),
    suite("TLS_RSA_WITH_AES_256_CBC_SHA256", "AES256-SHA256"),
    suite("TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"),
    suite("TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384", "ECDHE-PSK-AES256-CBC-SHA384"),
    suite("TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA", "ECDHE-PSK-AES256-CBC-SHA"),
    suite("TLS_RSA_PSK_WITH_AES_256_CBC_SHA384", "RSA-PSK-AES256-CBC-SHA384"),
    suite("TLS_DHE_PSK_WITH_AES_256_CBC_SHA384", "DHE-PSK-AES256-CBC-SHA384"),
    suite("TLS_RSA_PSK_WITH_AES_256_CBC_SHA", "RSA-PSK-AES256-CBC-SHA"),
    suite("TLS_DHE_PSK_WITH_AES_256_CBC_SHA", "DHE-PSK-AES256-CBC-SHA"),
    suite("TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
    suite("TLS_PSK_WITH_AES_256_CBC_SHA384", "PSK-AES256-CBC-SHA384"),
    suite("TLS_PSK_WITH_AES_256_CBC_SHA", "PSK-AES256-CBC-SHA"),
    suite("TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256", "ECDHE-PSK-AES128-CBC-SHA256"),
    suite("TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA", "ECDHE-PSK-AES128-CBC-SHA"),
    suite("TLS_RSA_PSK_WITH_AES_128_CBC_SHA256", "RSA-PSK-AES128-CBC-SHA256"),
    suite("TLS_DHE_PSK_WITH_AES_128_CBC_SHA256", "DHE-PSK-AES128-CBC-SHA256"),
    suite("TLS_RSA_PSK_WITH_AES_128_CBC_SHA", "RSA-PSK-AES128-CBC-SHA"),
    suite("TLS_DHE_PSK_WITH_AES_128_CBC_SHA", "DHE-PSK-AES128-CBC-SHA"),
    suite("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
    suite("TLS_PSK_WITH_AES_128_CBC_SHA256", "PSK-AES128-CBC-SHA256"),
    suite("TLS_PSK_WITH_AES_128_CBC_SHA", "PSK-AES128-CBC-SHA"),
];

/// Spellings of the guides that mean a suite of the table.
const ALIASES: &[(&str, &str)] = &[
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// Names of the protocol versions that may be listed, oldest first.
pub const PROTOCOLS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Values of a cipher parameter: IANA's names of the table.
pub static CIPHER_NAME: NamedKind = NamedKind {
    label: "IANA name of a cipher suite",
    parse: parse_cipher,
    words: || SUITES.iter().map(|suite| suite.name).collect(),
};

/// Values of a protocol parameter.
pub static PROTOCOL_NAME: NamedKind = NamedKind {
    label: "Choice = {TLSv1, TLSv1.1, TLSv1.2, TLSv1.3}",
    parse: parse_protocol,
    words: || PROTOCOLS.to_vec(),
};

/// The one provider of the suite.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// The canonical name of a suite.
fn parse_cipher(word: &str) -> Result<String, String> {
    if let Some(found) = SUITES.iter().find(|suite| suite.name.eq_ignore_ascii_case(word)) {
        return Ok(found.name.to_owned());
    }
    if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(word)) {
        return Ok((*name).to_owned());
    }
    if let Some(found) = SUITES.iter().find(|suite| suite.openssl.eq_ignore_ascii_case(word)) {
        return Err(format!("'{word}' is OpenSSL's name; IANA's name of this suite is {}", found.name));
    }
    Err(match nearest(word) {
        Some(name) => format!("'{word}' is no known cipher suite; the nearest name is {name}"),
        None => format!("'{word}' is no known cipher suite"),
    })
}

/// The canonical name of a protocol version.
fn parse_protocol(word: &str) -> Result<String, String> {
    let word = if word.eq_ignore_ascii_case("TLSv1.0") { "TLSv1" } else { word };
    PROTOCOLS
        .iter()
        .find(|name| name.eq_ignore_ascii_case(word))
        .map(|name| (*name).to_owned())
        .ok_or_else(|| format!("'{word}' is none of {}", PROTOCOLS.join(", ")))
}

/// The suite whose name shares the longest beginning with the word, if that is long enough to be meant.
fn nearest(word: &str) -> Option<&'static str> {
    /// Shorter than this the beginning says nothing (`TLS_ECDHE_`).
    const ENOUGH: usize = 12;
    SUITES
        .iter()
        .map(|suite| {
            let shared =
                suite.name.bytes().zip(word.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
            (shared, suite.name)
        })
        .filter(|(shared, _)| *shared >= ENOUGH)
        .max_by_key(|(shared, _)| *shared)
        .map(|(_, name)| name)
}

/// IANA's name of a suite of the provider.
pub fn iana_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or("unknown");
    name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}"))
}

/// What this build negotiates under the name.
pub fn supported(name: &str) -> Option<SupportedCipherSuite> {
    provider().cipher_suites.iter().copied().find(|candidate| iana_name(candidate.suite()) == name)
}

/// Whether this build can negotiate the suite.
pub fn negotiable(name: &str) -> bool {
    supported(name).is_some()
}

/// Whether the name is one of TLS 1.3's suites.
pub fn is_tls13(name: &str) -> bool {
    !name.contains("_WITH_")
}

/// The protocol version under the name, where this build speaks it.
pub fn version(name: &str) -> Option<&'static SupportedProtocolVersion> {
    match name {
        "TLSv1.2" => Some(&rustls::version::TLS12),
        "TLSv1.3" => Some(&rustls::version::TLS13),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_to_themselves() {
        let mut seen = std::collections::BTreeSet::new();
        for suite in SUITES {
            assert!(seen.insert(suite.name), "{} twice", suite.name);
            assert_eq!(parse_cipher(suite.name), Ok(suite.name.to_owned()));
            assert_eq!(parse_cipher(&suite.name.to_lowercase()), Ok(suite.name.to_owned()));
        }
    }

    /// The lists of the guides and TLS 1.3's three, without the repetitions.
    #[test]
    fn the_table_is_complete() {
        assert_eq!(SUITES.len(), 62);
        assert_eq!(SUITES.iter().filter(|suite| is_tls13(suite.name)).count(), 3);
        for default in crate::levels::INITIAL_CIPHERS {
            assert!(SUITES.iter().any(|suite| suite.name == default[0]), "{default:?}");
        }
    }

    /// An upgrade of the provider that changes this list must be seen, not slip in.
    #[test]
    fn what_this_build_negotiates_is_pinned() {
        let now: Vec<&str> = SUITES.iter().map(|suite| suite.name).filter(|name| negotiable(name)).collect();
        assert_eq!(
            now,
            [
                "TLS_AES_128_GCM_SHA256",
                "TLS_AES_256_GCM_SHA384",
                "TLS_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            ]
        );
        // Everything the provider offers has a name here.
        assert_eq!(provider().cipher_suites.len(), now.len());
    }

    #[test]
    fn aliases_and_hints() {
        assert_eq!(
            parse_cipher("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"),
            Ok("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256".to_owned())
        );
        let refused = parse_cipher("ECDHE-ECDSA-CHACHA20-POLY1305").unwrap_err();
        assert!(refused.contains("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"), "{refused}");
        let typo = parse_cipher("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA").unwrap_err();
        assert!(typo.contains("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "{typo}");
        assert!(parse_cipher("").is_err());
        assert_eq!(parse_protocol("tlsv1.0"), Ok("TLSv1".to_owned()));
        assert!(parse_protocol("SSLv3").is_err());
    }
}
