//! Public keys as JSON Web Keys, and their thumbprints (RFC 7517, RFC 7638).

use crate::{Algorithm, KeyStoreError};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// Characters of a key id: base64url of a SHA-256.
pub const KID_LEN: usize = 43;

/// DER of a P-256 SubjectPublicKeyInfo up to the uncompressed point (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key in the members that its type has, in the order of the thumbprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublicJwk {
    /// `kty` `EC`.
    Ec {
        /// Curve.
        crv: &'static str,
        /// `EC`.
        kty: &'static str,
        /// First coordinate, base64url.
        x: String,
        /// Second coordinate, base64url.
        y: String,
    },
    /// `kty` `RSA`.
    Rsa {
        /// Exponent, base64url.
        e: String,
        /// `RSA`.
        kty: &'static str,
        /// Modulus, base64url.
        n: String,
    },
}

impl PublicJwk {
    /// An RSA key by its modulus and exponent, big-endian.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let number = |bytes: &[u8]| {
            let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
            URL_SAFE_NO_PAD.encode(bytes.get(first..).unwrap_or_default())
        };
        Self::Rsa { e: number(exponent), kty: "RSA", n: number(modulus) }
    }

    /// The key of a DER SubjectPublicKeyInfo.
    pub(crate) fn from_spki(algorithm: Algorithm, spki: &[u8]) -> Result<Self, KeyStoreError> {
        let bad = KeyStoreError::Crypto { what: "read a public key" };
        match algorithm {
            Algorithm::Ps256 | Algorithm::Rs256 => {
                let Ok(key) = RsaPublicKey::from_der(spki) else { return Err(bad) };
                Ok(Self::rsa(
                    key.modulus().big_endian_without_leading_zero(),
                    key.exponent().big_endian_without_leading_zero(),
                ))
            }
            Algorithm::Es256 => {
                let point = spki.strip_prefix(&P256_PREFIX).filter(|rest| rest.len() == 65 && rest[0] == 4);
                let Some((x, y)) = point.map(|point| point[1..].split_at(32)) else { return Err(bad) };
                Ok(Self::Ec {
                    crv: "P-256",
                    kty: "EC",
                    x: URL_SAFE_NO_PAD.encode(x),
                    y: URL_SAFE_NO_PAD.encode(y),
                })
            }
        }
    }

    /// The thumbprint of RFC 7638, 43 characters of base64url: the key's id.
    pub fn thumbprint(&self) -> String {
        // The members are base64url or fixed words, so that nothing needs escaping.
        let canonical = match self {
            Self::Ec { crv, kty, x, y } => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            Self::Rsa { e, kty, n } => format!(r#"{{"e":"{e}","kty":"{kty}","n":"{n}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    /// Bits of the modulus or of the curve.
    pub fn bits(&self) -> usize {
        match self {
            Self::Ec { .. } => 256,
            Self::Rsa { n, .. } => {
                let bytes = URL_SAFE_NO_PAD.decode(n).unwrap_or_default();
                let zeros = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
                bytes.len() * 8 - zeros
            }
        }
    }
}

/// One entry of a JSON Web Key set.
#[derive(Debug, Clone, Serialize)]
pub struct SetEntry {
    /// The key.
    #[serde(flatten)]
    pub key: PublicJwk,
    /// Its id.
    pub kid: String,
    /// The one algorithm it is used with.
    pub alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// Its state, for peers.
    pub state: &'static str,
    /// When it was made, seconds since 1970; for peers.
    pub created: i64,
}

/// A JSON Web Key set (RFC 7517 section 5).
#[derive(Debug, Clone, Serialize)]
pub struct PublicJwks {
    /// Every key that verifies.
    pub keys: Vec<SetEntry>,
    /// Ids of keys that an operator voided, for peers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
}

/// Whether a text has the form of a key id. authservice.md 14
pub fn is_kid(text: &str) -> bool {
    text.len() == KID_LEN
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o\
                 knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM\
                 QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKn\
                 qDKgw";
        let key = PublicJwk::rsa(&URL_SAFE_NO_PAD.decode(n).unwrap(), &[0, 1, 0, 1]);
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(is_kid(&key.thumbprint()));
        assert_eq!(key.bits(), 2048);
    }

    #[test]
    fn ids_have_one_form() {
        for bad in ["", "../../etc/passwd", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X ", "x' OR '1'='1"] {
            assert!(!is_kid(bad), "{bad}");
        }
    }
}
