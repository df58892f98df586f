//! What an operator's file may hold: certificates and a private key, PEM or DER, encrypted or not, or all of it in PKCS#12.

use crate::pem::{self, MAX_PEM, PemError};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Label of a file that is no text, as the CLI hands it over.
const BINARY: &str = "FILE";
/// Most rounds of a password's derivation; more would keep the process busy for minutes.
const MAX_ITERATIONS: u32 = 1_000_000;
/// Largest cost of scrypt, which is memory: 2 to the power of this, times 1 KiB.
const MAX_SCRYPT: u64 = 1 << 17;
/// Rounds with which exported keys are protected.
const ITERATIONS: u32 = 600_000;

/// What was found in a file. Its `Debug` names nothing.
#[derive(Default)]
pub(crate) struct Material {
    /// The private key, decrypted.
    pub(crate) key: Option<PrivateKeyDer<'static>>,
    /// The certificates in the file's order.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

/// The text of any file: a text as it is, anything else in base 64 under a label that is known here.
pub fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| pem::encode(BINARY, error.as_bytes()))
}

/// The bytes behind a text that [`text_of`] made of a file that is none.
pub(crate) fn binary_file(text: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PemError> {
    section(text, BINARY)
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong with it; a wrong password is told apart from a damaged file where the format allows.
pub(crate) fn read(text: &str, password: Option<&str>) -> Result<Material, PemError> {
    if text.len() > MAX_PEM {
        return Err(PemError::TooLarge);
    }
    if let Some(der) = binary_file(text)? {
        return binary(&der, password);
    }
    let mut found = Material::default();
    if text.contains("-----BEGIN CERTIFICATE-----") {
        found.certificates = pem::certificates(text)?;
    }
    if let Some(der) = section(text, "ENCRYPTED PRIVATE KEY")? {
        found.key = Some(decrypt(&der, password)?);
    } else if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::LegacyEncryption);
    } else if text.contains("PRIVATE KEY-----") {
        found.key = Some(PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| PemError::NoKey)?);
    }
    Ok(found)
}

/// The bytes of the first section with this label.
fn section(text: &str, label: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PemError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let Some((_, rest)) = text.split_once(&begin) else { return Ok(None) };
    let (body, _) = rest.split_once(&end).ok_or(PemError::NoKey)?;
    let body: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|character| !character.is_whitespace()).collect());
    STANDARD.decode(body.as_bytes()).map(|der| Some(Zeroizing::new(der))).map_err(|_| PemError::NoKey)
}

/// Whether DER begins as PKCS#12 does: a sequence whose first element is the number 3.
fn is_archive(der: &[u8]) -> bool {
    let header = match der {
        [0x30, length, ..] if *length <= 0x80 => 2,
        [0x30, length, ..] => 2 + usize::from(length & 0x7f),
        _ => return false,
    };
    der.get(header..).is_some_and(|rest| rest.starts_with(&[0x02, 0x01, 0x03]))
}

/// A DER file: a certificate, a key, an encrypted key or PKCS#12.
fn binary(der: &[u8], password: Option<&str>) -> Result<Material, PemError> {
    if is_archive(der) {
        return archive(der, password);
    }
    if let Ok(([], _)) = X509Certificate::from_der(der) {
        return Ok(Material { key: None, certificates: vec![CertificateDer::from(der.to_vec())] });
    }
    if let Ok(key) = PrivateKeyDer::try_from(der.to_vec()) {
        return Ok(Material { key: Some(key), certificates: Vec::new() });
    }
    if EncryptedPrivateKeyInfoRef::try_from(der).is_ok() {
        return Ok(Material { key: Some(decrypt(der, password)?), certificates: Vec::new() });
    }
    Err(PemError::Unknown)
}

fn archive(der: &[u8], password: Option<&str>) -> Result<Material, PemError> {
    use p12_keystore::error::Error;
    let opened =
        Pkcs12Archive::from_pkcs12(der, password.unwrap_or_default()).map_err(|error| match error {
            Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) if password.is_none() => {
                PemError::EncryptedKey
            }
            Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => PemError::WrongPassword,
            Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
                PemError::UnsupportedEncryption
            }
            _ => PemError::Unknown,
        })?;
    let mut keys = opened.keys.iter();
    let key =
        keys.next().map(|bag| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec())));
    if keys.next().is_some() {
        return Err(PemError::SeveralKeys);
    }
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    for bag in &opened.certs {
        let der = CertificateDer::from(bag.cert.as_der().to_vec());
        if !certificates.contains(&der) {
            certificates.push(der);
        }
    }
    if key.is_none() && certificates.is_empty() {
        return Err(PemError::Unknown);
    }
    Ok(Material { key, certificates })
}

fn decrypt(der: &[u8], password: Option<&str>) -> Result<PrivateKeyDer<'static>, PemError> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| PemError::NoKey)?;
    let EncryptionScheme::Pbes2(scheme) = &encrypted.encryption_algorithm else {
        return Err(PemError::UnsupportedEncryption);
    };
    let bearable = match &scheme.kdf {
        Kdf::Pbkdf2(derivation) => derivation.iteration_count <= MAX_ITERATIONS,
        Kdf::Scrypt(derivation) => {
            derivation.cost_parameter <= MAX_SCRYPT
                && derivation.block_size <= 8
                && derivation.parallelization <= 16
        }
        _ => false,
    };
    if !bearable {
        return Err(PemError::UnsupportedEncryption);
    }
    let password = password.ok_or(PemError::EncryptedKey)?;
    let plain = encrypted.decrypt(password).map_err(|_| PemError::WrongPassword)?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec())))
}

/// The key as PKCS#8, which is how keys are kept: PEM.
///
/// # Errors
/// It is of a kind that cannot be used.
pub(crate) fn key_pem(key: &PrivateKeyDer<'_>) -> Result<Zeroizing<String>, PemError> {
    let unusable = |_| PemError::UnusableKey;
    let der: Zeroizing<Vec<u8>> = match key {
        PrivateKeyDer::Pkcs8(der) => Zeroizing::new(der.secret_pkcs8_der().to_vec()),
        PrivateKeyDer::Pkcs1(der) => {
            let pair = rsa::KeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| PemError::UnusableKey)?;
            Zeroizing::new(pair.as_der().map_err(unusable)?.as_ref().to_vec())
        }
        PrivateKeyDer::Sec1(der) => {
            let der = der.secret_sec1_der();
            let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, der))
                .map_err(|_| PemError::UnusableKey)?;
            Zeroizing::new(pair.to_pkcs8v1().map_err(unusable)?.as_ref().to_vec())
        }
        _ => return Err(PemError::UnusableKey),
    };
    Ok(Zeroizing::new(pem::encode("PRIVATE KEY", &der)))
}

/// A kept key under a passphrase: PKCS#8, PBES2 with AES-256 and PBKDF2, as other tools read it.
///
/// # Errors
/// The key cannot be read, or the system has no randomness.
pub(crate) fn encrypted_key_pem(key: &str, passphrase: &str) -> Result<String, PemError> {
    let key = read(key, None)?.key.ok_or(PemError::NoKey)?;
    let plain = key_pem(&key)?;
    let der = section(&plain, "PRIVATE KEY")?.ok_or(PemError::NoKey)?;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PemError::UnusableKey)?;
    aws_lc_rs::rand::fill(&mut iv).map_err(|_| PemError::UnusableKey)?;
    let scheme = Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)
        .map_err(|_| PemError::UnusableKey)?;
    let encrypted = PrivateKeyInfoRef::try_from(der.as_slice())
        .and_then(|info| info.encrypt_with_params(scheme, passphrase))
        .map_err(|_| PemError::UnusableKey)?;
    Ok(pem::encode("ENCRYPTED PRIVATE KEY", encrypted.as_bytes()))
}
