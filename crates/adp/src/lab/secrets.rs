//! Passwords, tokens and keys that a seed makes up.

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Random lower-case hexadecimal text.
pub(crate) fn hex(bytes: usize) -> Result<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut random = vec![0_u8; bytes];
    fill(&mut random).context("no randomness")?;
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    Ok(random.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// A password that can be typed: twelve letters and digits without look-alikes, in three groups.
pub(crate) fn password() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";
    let mut random = [0_u8; 15];
    fill(&mut random).context("no randomness")?;
    let text: Vec<char> = random
        .iter()
        .map(|byte| char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'x')))
        .collect();
    Ok(text.chunks(5).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// A private key and its public half, both PEM.
pub(crate) struct KeyPem {
    /// PKCS#8.
    pub(crate) private: String,
    /// SubjectPublicKeyInfo.
    pub(crate) public: String,
}

/// A P-256 key, as Apple hands out for APNs (`.p8`).
pub(crate) fn p256() -> Result<KeyPem> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .context("making a P-256 key")?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
        .map_err(|error| anyhow::anyhow!("reading a P-256 key: {error}"))?;
    let public = pair.public_key().as_der().context("encoding a P-256 public key")?;
    Ok(KeyPem { private: pem("PRIVATE KEY", pkcs8.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) })
}

/// An RSA-2048 key, as Google hands out in service-account files.
pub(crate) fn rsa() -> Result<KeyPem> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).context("making an RSA key")?;
    let private = pair.as_der().context("encoding an RSA key")?;
    let public = pair.public_key().as_der().context("encoding an RSA public key")?;
    Ok(KeyPem { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_can_be_typed() -> Result<()> {
        let (one, two) = (password()?, password()?);
        assert_ne!(one, two);
        assert_eq!(one.len(), 17);
        assert!(one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        Ok(())
    }

    #[test]
    fn keys_are_pem() -> Result<()> {
        for key in [p256()?, rsa()?] {
            assert!(key.private.starts_with("-----BEGIN PRIVATE KEY-----\n"));
            assert!(key.public.ends_with("-----END PUBLIC KEY-----\n"));
            assert!(key.private.lines().all(|line| line.len() <= 64));
        }
        Ok(())
    }
}
