//! Signed tokens as the providers read them: compact form, one algorithm, verified with aws-lc-rs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Map, Value};

/// Longer ones are no tokens of the providers (theirs have a few hundred bytes).
const MAX_TOKEN: usize = 8192;

/// A token that has the form of one; nothing of it is verified yet.
pub(crate) struct Jws<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart; `None` if it has not the form of one.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let object = |part: &str| -> Option<Map<String, Value>> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
    /// A text member of the header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }
    /// A text claim.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }
    /// A whole-number claim.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.claims.get(name)?.as_i64()
    }
    /// Whether the signature is the key's.
    pub(crate) fn verified_by(&self, key: &PublicKey) -> bool {
        self.header("alg") == Some(key.algorithm)
            && key.key.verify_sig(self.signed.as_bytes(), &self.signature).is_ok()
    }
}

/// Signs claims with a P-256 key (PKCS#8 in PEM), ES256: the token of a provider whose key it is.
pub(crate) fn es256(header: &Value, claims: &Value, pem: &str) -> Option<String> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der()).ok()?;
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
}

/// A public key together with the one algorithm it is used with.
pub(crate) struct PublicKey {
    algorithm: &'static str,
    key: ParsedPublicKey,
}

impl PublicKey {
    /// A P-256 key for ES256 from its PEM (`BEGIN PUBLIC KEY`).
    pub(crate) fn es256(pem: &str) -> Option<Self> {
        Self::new(pem, "ES256", &ECDSA_P256_SHA256_FIXED)
    }
    /// An RSA key for RS256 from its PEM (`BEGIN PUBLIC KEY`).
    pub(crate) fn rs256(pem: &str) -> Option<Self> {
        Self::new(pem, "RS256", &RSA_PKCS1_2048_8192_SHA256)
    }
    fn new(pem: &str, name: &'static str, algorithm: &'static dyn VerificationAlgorithm) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
        Some(Self { algorithm: name, key: ParsedPublicKey::new(algorithm, der.as_ref()).ok()? })
    }
}
