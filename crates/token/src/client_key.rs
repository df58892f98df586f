//! The key that a client sends with its request, and the wrapping of a token for it. authservice.md 3.1

use crate::{ClientKeyError, IssueError, strict};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey, PublicKey, PublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use openadp_keystore::PublicJwk;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use zeroize::Zeroizing;

/// Characters of the key parameter at most.
pub const MAX_KEY_CHARACTERS: usize = 2048;

/// base64url, padded or not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An RSA public key of a client, 2048 to 4096 bits.
#[derive(Debug)]
pub struct ClientKey {
    encrypting: OaepPublicEncryptingKey,
    thumbprint: String,
}

impl ClientKey {
    /// Reads the parameter: base64url (padding optional) of a DER SubjectPublicKeyInfo, of its PEM text or of a JWK; the
    /// latter two also as they are.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ClientKeyError> {
        if text.chars().count() > MAX_KEY_CHARACTERS {
            return Err(ClientKeyError::TooLong);
        }
        let text = text.trim();
        let bytes = if text.starts_with('{') || text.starts_with("-----") {
            text.as_bytes().to_vec()
        } else {
            BASE64URL.decode(text).map_err(|_| ClientKeyError::Encoding)?
        };
        let (modulus, exponent) = if bytes.starts_with(b"{") {
            from_jwk(&bytes)?
        } else if bytes.starts_with(b"-----") {
            if bytes.windows(11).any(|window| window == b"PRIVATE KEY") {
                return Err(ClientKeyError::Private);
            }
            let spki = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).map_err(|_| ClientKeyError::Form)?;
            from_spki(spki.as_ref())?
        } else {
            from_spki(&bytes)?
        };
        Self::new(&modulus, &exponent)
    }

    fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, ClientKeyError> {
        let jwk = PublicJwk::rsa(modulus, exponent);
        if !(2048..=4096).contains(&jwk.bits()) {
            return Err(ClientKeyError::Size);
        }
        if modulus.last().is_none_or(|byte| byte & 1 == 0) {
            return Err(ClientKeyError::Form);
        }
        check_exponent(exponent)?;
        let components = PublicKeyComponents { n: modulus, e: exponent };
        let spki: PublicKeyX509Der<'static> = components.as_der().map_err(|_| ClientKeyError::Form)?;
        let encrypting = PublicEncryptingKey::from_der(spki.as_ref())
            .map_err(|_| ClientKeyError::Form)
            .and_then(|key| OaepPublicEncryptingKey::new(key).map_err(|_| ClientKeyError::Form))?;
        Ok(Self { encrypting, thumbprint: jwk.thumbprint() })
    }

    /// Its RFC 7638 thumbprint: for logs, and the `kid` of what is wrapped for it.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}

/// Odd, and at least 65537.
fn check_exponent(exponent: &[u8]) -> Result<(), ClientKeyError> {
    let value =
        exponent.iter().try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? + u64::from(*byte)));
    match value {
        Some(value) if value % 2 == 1 && value >= 65537 => Ok(()),
        _ => Err(ClientKeyError::Exponent),
    }
}

type Numbers = (Vec<u8>, Vec<u8>);

fn from_spki(der: &[u8]) -> Result<Numbers, ClientKeyError> {
    let key = PublicKey::from_der(der).map_err(|_| ClientKeyError::Form)?;
    let numbers = (
        key.modulus().big_endian_without_leading_zero().to_vec(),
        key.exponent().big_endian_without_leading_zero().to_vec(),
    );
    // Only the one encoding of it: no PKCS#1, nothing behind the end, no odd lengths.
    let again = PublicKeyComponents { n: numbers.0.as_slice(), e: numbers.1.as_slice() };
    let again: PublicKeyX509Der<'static> = again.as_der().map_err(|_| ClientKeyError::Form)?;
    if again.as_ref() == der { Ok(numbers) } else { Err(ClientKeyError::Form) }
}

fn from_jwk(json: &[u8]) -> Result<Numbers, ClientKeyError> {
    let members = strict::object(json).ok_or(ClientKeyError::Form)?;
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
        return Err(ClientKeyError::Private);
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let only =
        |name: &str, allowed: &str| members.get(name).is_none_or(|value| value.as_str() == Some(allowed));
    if text("kty") != Some("RSA") || !only("use", "enc") || !only("alg", "RSA-OAEP-256") {
        return Err(ClientKeyError::Form);
    }
    let number = |name: &str| {
        let bytes = BASE64URL.decode(text(name)?).ok()?;
        let first = bytes.iter().position(|byte| *byte != 0)?;
        bytes.get(first..).map(<[u8]>::to_vec)
    };
    Ok((number("n").ok_or(ClientKeyError::Form)?, number("e").ok_or(ClientKeyError::Form)?))
}

/// Wraps a token for a client: compact JWE, RSA-OAEP-256 and A256GCM with a fresh key.
///
/// # Errors
/// aws-lc refuses; practically out of randomness or memory.
pub fn wrap(key: &ClientKey, jws: &str) -> Result<String, IssueError> {
    let failed = |_| IssueError::Encrypt;
    let header =
        format!(r#"{{"alg":"RSA-OAEP-256","cty":"JWT","enc":"A256GCM","kid":"{}"}}"#, key.thumbprint);
    let mut jwe = URL_SAFE_NO_PAD.encode(header);
    let mut content_key = Zeroizing::new([0_u8; 32]);
    let mut nonce = [0_u8; NONCE_LEN];
    aws_lc_rs::rand::fill(content_key.as_mut_slice()).map_err(failed)?;
    aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
    let mut wrapped = vec![0; key.encrypting.ciphertext_size()];
    let wrapped = key
        .encrypting
        .encrypt(&OAEP_SHA256_MGF1SHA256, content_key.as_slice(), &mut wrapped, None)
        .map_err(failed)?;
    let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key.as_slice()).map_err(failed)?);
    let mut text = jws.as_bytes().to_vec();
    let tag = aead
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(jwe.as_bytes()), &mut text)
        .map_err(failed)?;
    for part in [&*wrapped, &nonce, &text, tag.as_ref()] {
        jwe.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut jwe);
    }
    Ok(jwe)
}
