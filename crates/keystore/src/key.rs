//! One key: how it signs, how it verifies.

use crate::{KeyStoreError, PublicJwk};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The algorithm of a key; a key has exactly one, whatever a token's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// Its name in JOSE headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

/// What kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// P-256, for ES256.
    P256,
    /// RSA of 2048 bits, for RS256.
    #[default]
    Rsa2048,
    /// RSA of 3072 bits, for RS256.
    Rsa3072,
    /// RSA of 4096 bits, for RS256.
    Rsa4096,
    /// RSA of 2048 bits, for PS256.
    RsaPss2048,
    /// RSA of 3072 bits, for PS256.
    RsaPss3072,
    /// RSA of 4096 bits, for PS256.
    RsaPss4096,
}

impl KeyType {
    /// The words that operators type.
    pub const WORDS: [&'static str; 7] =
        ["RSA-2048", "RSA-3072", "RSA-4096", "RSA-PSS-2048", "RSA-PSS-3072", "RSA-PSS-4096", "P-256"];

    /// The kind of key that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "P-256" => Some(Self::P256),
            "RSA-2048" => Some(Self::Rsa2048),
            "RSA-3072" => Some(Self::Rsa3072),
            "RSA-4096" => Some(Self::Rsa4096),
            "RSA-PSS-2048" => Some(Self::RsaPss2048),
            "RSA-PSS-3072" => Some(Self::RsaPss3072),
            "RSA-PSS-4096" => Some(Self::RsaPss4096),
            _ => None,
        }
    }
}

/// A fresh key, before it is sealed.
pub(crate) struct Fresh {
    pub(crate) algorithm: Algorithm,
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
}

/// Makes a key. RSA takes a tenth of a second to seconds, by size and luck.
pub(crate) fn generate(kind: KeyType) -> Result<Fresh, KeyStoreError> {
    let failed = |_| KeyStoreError::Crypto { what: "generate a key" };
    let rsa = |size, algorithm| -> Result<Fresh, KeyStoreError> {
        let pair = RsaKeyPair::generate(size).map_err(failed)?;
        let der: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
        Ok(Fresh { algorithm, pkcs8: Zeroizing::new(der.as_ref().to_vec()) })
    };
    match kind {
        KeyType::P256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            let der = pair.to_pkcs8v1().map_err(failed)?;
            Ok(Fresh { algorithm: Algorithm::Es256, pkcs8: Zeroizing::new(der.as_ref().to_vec()) })
        }
        KeyType::Rsa2048 => rsa(KeySize::Rsa2048, Algorithm::Rs256),
        KeyType::Rsa3072 => rsa(KeySize::Rsa3072, Algorithm::Rs256),
        KeyType::Rsa4096 => rsa(KeySize::Rsa4096, Algorithm::Rs256),
        KeyType::RsaPss2048 => rsa(KeySize::Rsa2048, Algorithm::Ps256),
        KeyType::RsaPss3072 => rsa(KeySize::Rsa3072, Algorithm::Ps256),
        KeyType::RsaPss4096 => rsa(KeySize::Rsa4096, Algorithm::Ps256),
    }
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The key that signs, parsed once and kept ready.
pub struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    pair: Pair,
    spki: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    pub(crate) fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyStoreError> {
        let failed = || KeyStoreError::Crypto { what: "read a private key" };
        let (pair, spki): (Pair, PublicKeyX509Der<'static>) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(|_| failed())?;
                let spki = pair.public_key().as_der().map_err(|_| failed())?;
                (Pair::Ec(pair), spki)
            }
            Algorithm::Ps256 | Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| failed())?;
                let spki = pair.public_key().as_der().map_err(|_| failed())?;
                (Pair::Rsa(pair), spki)
            }
        };
        let spki = spki.as_ref().to_vec();
        let kid = PublicJwk::from_spki(algorithm, &spki)?.thumbprint();
        Ok(Self { algorithm, kid, pair, spki })
    }

    /// Its id: the RFC 7638 thumbprint, 43 characters.
    pub fn kid(&self) -> &str {
        &self.kid
    }
    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// Whether signing takes well below a millisecond, so that it costs less than moving it to another thread and back.
    pub fn is_quick(&self) -> bool {
        match &self.pair {
            Pair::Ec(_) => true,
            Pair::Rsa(pair) => pair.public_modulus_len() <= 256,
        }
    }
    /// DER SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Signs a message: the signature as JWS wants it. Costs about as much as `openssl speed rsa2048` says; keep it off
    /// threads that serve connections.
    ///
    /// # Errors
    /// aws-lc refuses; practically out of memory.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let failed = |_| KeyStoreError::Crypto { what: "sign" };
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed),
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if self.algorithm == Algorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

/// A key that verifies, parsed once and kept ready.
#[derive(Debug)]
pub struct VerifyKey {
    algorithm: Algorithm,
    jwk: PublicJwk,
    kid: String,
    public: ParsedPublicKey,
    until: Option<i64>,
}

impl VerifyKey {
    pub(crate) fn new(algorithm: Algorithm, spki: &[u8], until: Option<i64>) -> Result<Self, KeyStoreError> {
        let failed = |_| KeyStoreError::Crypto { what: "read a public key" };
        let public = match algorithm {
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki).map_err(failed)?,
            Algorithm::Ps256 => ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki).map_err(failed)?,
            Algorithm::Rs256 => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki).map_err(failed)?,
        };
        let jwk = PublicJwk::from_spki(algorithm, spki)?;
        Ok(Self { algorithm, kid: jwk.thumbprint(), jwk, public, until })
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        &self.kid
    }
    /// The one algorithm its signatures have.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// The public key.
    pub fn jwk(&self) -> &PublicJwk {
        &self.jwk
    }
    /// Seconds since 1970 after which it verifies no more; `None` while it is pending or active.
    pub fn until(&self) -> Option<i64> {
        self.until
    }
    /// Whether the signature is this key's over the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_verifies_in_all_algorithms() {
        for (kind, algorithm, length) in [
            (KeyType::Rsa2048, Algorithm::Rs256, 256),
            (KeyType::RsaPss2048, Algorithm::Ps256, 256),
            (KeyType::P256, Algorithm::Es256, 64),
        ] {
            let fresh = generate(kind).unwrap();
            assert_eq!(fresh.algorithm, algorithm);
            let key = SigningKey::from_pkcs8(algorithm, &fresh.pkcs8).unwrap();
            let verify = VerifyKey::new(algorithm, key.spki(), None).unwrap();
            assert_eq!(verify.kid(), key.kid());
            let mut signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), length);
            assert!(verify.verify(b"message", &signature));
            assert!(!verify.verify(b"massage", &signature));
            signature[7] ^= 1;
            assert!(!verify.verify(b"message", &signature));
            assert!(!format!("{key:?}").contains("pair"));
        }
    }

    #[test]
    fn a_key_of_one_algorithm_is_not_read_as_the_other() {
        let fresh = generate(KeyType::P256).unwrap();
        assert!(SigningKey::from_pkcs8(Algorithm::Rs256, &fresh.pkcs8).is_err());
        assert!(SigningKey::from_pkcs8(Algorithm::Es256, b"garbage").is_err());
        let key = SigningKey::from_pkcs8(Algorithm::Es256, &fresh.pkcs8).unwrap();
        assert!(VerifyKey::new(Algorithm::Rs256, key.spki(), None).is_err());
        // One and the same RSA key: what it signed in one way does not verify in the other.
        let fresh = generate(KeyType::Rsa2048).unwrap();
        let pkcs1 = SigningKey::from_pkcs8(Algorithm::Rs256, &fresh.pkcs8).unwrap();
        let pss = SigningKey::from_pkcs8(Algorithm::Ps256, &fresh.pkcs8).unwrap();
        let as_pss = VerifyKey::new(Algorithm::Ps256, pss.spki(), None).unwrap();
        assert!(as_pss.verify(b"message", &pss.sign(b"message").unwrap()));
        assert!(!as_pss.verify(b"message", &pkcs1.sign(b"message").unwrap()));
    }

    #[test]
    fn every_word_names_a_kind_of_key() {
        assert!(KeyType::WORDS.iter().all(|word| KeyType::from_word(word).is_some()));
        assert_eq!(KeyType::from_word("RSA-1024"), None);
    }
}
