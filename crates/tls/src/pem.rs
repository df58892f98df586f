//! PEM texts that operators bring: certificates, chains and private keys, with errors that say what is wrong.

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most characters of a PEM text; a chain of a dozen large certificates stays below it.
pub const MAX_PEM: usize = 256 * 1024;
/// Most certificates in one text.
pub const MAX_CERTIFICATES: usize = 64;

/// What is wrong with a PEM text or with what belongs together in one. Never repeats any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Too large to be what it should be.
    #[error("more than {MAX_PEM} characters or {MAX_CERTIFICATES} certificates")]
    TooLarge,
    /// No certificate in it.
    #[error("no certificate (BEGIN CERTIFICATE) in the file")]
    NoCertificate,
    /// A certificate in it cannot be read.
    #[error("certificate {0} of the file cannot be read")]
    BadCertificate(usize),
    /// No private key in it.
    #[error("no private key (PKCS#8, PKCS#1 or SEC 1, not encrypted) in the file")]
    NoKey,
    /// The key is encrypted.
    #[error("the private key is encrypted; decrypt it first (openssl pkey -in FILE)")]
    EncryptedKey,
    /// The key cannot be used.
    #[error("the private key cannot be used (RSA of 2048 bits or more, P-256 and P-384 can)")]
    UnusableKey,
    /// Key and certificate do not belong together.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// A certificate of the chain did not issue the one before it.
    #[error("the chain is not whole: '{issuer}' did not issue '{subject}'")]
    BrokenChain {
        /// Common name of the certificate whose issuer is missing.
        subject: String,
        /// Common name of the certificate that follows in the chain.
        issuer: String,
    },
    /// Outside its time.
    #[error("'{0}' has expired or is not valid yet")]
    Expired(String),
    /// Not for servers.
    #[error("'{0}' is not for server authentication")]
    NotForServers(String),
}

/// All certificates of a text, in its order.
///
/// # Errors
/// There is none, or one cannot be read.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    if text.len() > MAX_PEM {
        return Err(PemError::TooLarge);
    }
    let mut found = Vec::new();
    for (index, item) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        if index >= MAX_CERTIFICATES {
            return Err(PemError::TooLarge);
        }
        let der = item.map_err(|_| PemError::BadCertificate(index + 1))?;
        match X509Certificate::from_der(&der) {
            Ok(([], _)) => found.push(der),
            Ok(_) | Err(_) => return Err(PemError::BadCertificate(index + 1)),
        }
    }
    if found.is_empty() { Err(PemError::NoCertificate) } else { Ok(found) }
}

/// The private key of a text.
///
/// # Errors
/// There is none, or it is encrypted.
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    if text.len() > MAX_PEM {
        return Err(PemError::TooLarge);
    }
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| PemError::NoKey)
}

/// The time now, as certificates are judged by.
pub(crate) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// Key and chain that a server may present: the key belongs to the first certificate, each further one issued the one
/// before it, the first is for servers and within its time at `now` (seconds since 1970).
///
/// # Errors
/// The first thing that is wrong.
pub fn server_identity(
    key: &str,
    certificate: &str,
    chain: Option<&str>,
    now: i64,
) -> Result<Arc<CertifiedKey>, PemError> {
    let mut list = certificates(certificate)?;
    if let Some(chain) = chain.filter(|text| !text.trim().is_empty()) {
        for further in certificates(chain)? {
            if !list.contains(&further) {
                list.push(further);
            }
        }
    }
    let list = order(list)?;
    let first = list.first().ok_or(PemError::NoCertificate)?;
    let (_, leaf) = X509Certificate::from_der(first).map_err(|_| PemError::BadCertificate(1))?;
    let name = crate::peer::display_name(leaf.subject());
    let validity = leaf.validity();
    if validity.not_before.timestamp() > now || validity.not_after.timestamp() < now {
        return Err(PemError::Expired(name));
    }
    let usages = crate::peer::extended_key_usages(&leaf);
    if !usages.is_empty() && !usages.iter().any(|oid| oid == "1.3.6.1.5.5.7.3.1" || oid == "2.5.29.37.0") {
        return Err(PemError::NotForServers(name));
    }
    certified_key(private_key(key)?, list).map(Arc::new)
}

/// Puts key and certificates together.
///
/// # Errors
/// The key cannot be used, or belongs to another certificate.
pub(crate) fn certified_key(
    key: PrivateKeyDer<'static>,
    chain: Vec<CertificateDer<'static>>,
) -> Result<CertifiedKey, PemError> {
    let signer =
        crate::suites::provider().key_provider.load_private_key(key).map_err(|_| PemError::UnusableKey)?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|_| PemError::Mismatch)?;
    Ok(certified)
}

/// Brings issuers behind what they issued, whatever the file's order was; signatures are checked.
fn order(mut rest: Vec<CertificateDer<'static>>) -> Result<Vec<CertificateDer<'static>>, PemError> {
    if rest.is_empty() {
        return Err(PemError::NoCertificate);
    }
    let mut ordered = vec![rest.remove(0)];
    while !rest.is_empty() {
        let Some(last) = ordered.last() else { break };
        let (_, current) =
            X509Certificate::from_der(last).map_err(|_| PemError::BadCertificate(ordered.len()))?;
        let issuer = rest.iter().position(|candidate| {
            X509Certificate::from_der(candidate).is_ok_and(|(_, candidate)| {
                candidate.subject() == current.issuer()
                    && current.verify_signature(Some(candidate.public_key())).is_ok()
            })
        });
        let Some(position) = issuer else {
            let stray = rest
                .first()
                .and_then(|der| X509Certificate::from_der(der).ok())
                .map_or_else(String::new, |(_, stray)| crate::peer::display_name(stray.subject()));
            return Err(PemError::BrokenChain {
                subject: crate::peer::display_name(current.subject()),
                issuer: stray,
            });
        };
        let next = rest.remove(position);
        ordered.push(next);
    }
    Ok(ordered)
}
