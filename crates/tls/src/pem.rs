//! PEM texts that operators bring: certificates, chains and private keys, with errors that say what is wrong.

use crate::authority::KeyType;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

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
    #[error("no private key (PKCS#8, PKCS#1, SEC 1 or PKCS#12) in the file")]
    NoKey,
    /// The key is encrypted and no password was given.
    #[error("the private key is encrypted")]
    EncryptedKey,
    /// The password does not open it.
    #[error("the password does not open the file")]
    WrongPassword,
    /// Encrypted in the old way of OpenSSL, whose protection is weak.
    #[error("the private key is encrypted in the old form of OpenSSL")]
    LegacyEncryption,
    /// Encrypted in another way than PBES2, or with parameters beyond reason.
    #[error("the file is encrypted in a way that is not supported")]
    UnsupportedEncryption,
    /// Neither a certificate nor a key nor PKCS#12.
    #[error("the file holds no certificate and no private key that can be read")]
    Unknown,
    /// Not a revocation list, or of a kind that cannot be used.
    #[error("no revocation list (version 2, whole, not indirect) in the file")]
    BadList,
    /// More than one key in PKCS#12.
    #[error("the file holds several private keys")]
    SeveralKeys,
    /// The key cannot be used.
    #[error("the private key cannot be used (RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 can)")]
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
    /// A certificate of the chain is no authority's.
    #[error("the chain is not whole: '{0}' is not the certificate of an authority")]
    NotAnAuthority(String),
}

impl PemError {
    /// What helps.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::EncryptedKey => Some("give its password: password PASSWORD"),
            Self::LegacyEncryption => Some("openssl pkcs8 -topk8 -in FILE writes it in the form of today"),
            Self::UnsupportedEncryption => {
                Some("openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE writes it in a form that is")
            }
            _ => None,
        }
    }
}

/// PEM of some bytes.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = zeroize::Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = further;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
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

/// The private key of a text that is not encrypted.
///
/// # Errors
/// There is none, or it is encrypted.
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PemError> {
    crate::material::read(text, None)?.key.ok_or(PemError::NoKey)
}

/// The time now, as certificates are judged by.
pub(crate) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// Key and chain that a server may present, checked.
pub struct Identity {
    key: PrivateKeyDer<'static>,
    key_type: KeyType,
    chain: Vec<CertificateDer<'static>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("key_type", &self.key_type).finish_non_exhaustive()
    }
}

impl Identity {
    /// The private key.
    pub(crate) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
    /// Type of the key.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }
    /// The certificate, and each one's issuer behind it.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
    /// A remark where the chain ends below a root: who must be known to clients.
    pub(crate) fn ends_at(&self) -> Option<String> {
        let (_, last) = X509Certificate::from_der(self.chain.last()?).ok()?;
        let issuer = crate::peer::display_name(last.issuer());
        (self.chain.len() == 1 && last.subject() != last.issuer())
            .then(|| format!("no chain was given: clients must know '{issuer}' themselves"))
    }
}

/// Checks what a server shall present, all texts PEM: key and certificate belong together, the chain is whole, all are within
/// their time at `now` (seconds since 1970), the first is for servers, and its key is of a kind and size that is good today.
///
/// # Errors
/// The first thing that is wrong.
pub fn server_identity(
    key: &str,
    certificate: &str,
    chain: Option<&str>,
    now: i64,
) -> Result<Identity, PemError> {
    let mut list = certificates(certificate)?;
    if let Some(chain) = chain.filter(|text| !text.trim().is_empty()) {
        list.extend(certificates(chain)?);
    }
    identity(private_key(key)?, list, now)
}

/// Checks what a server shall present: the key belongs to one of the certificates, each further one issued another up from
/// it and is an authority's, all are within their time at `now` (seconds since 1970), the first is for servers, and its
/// key is of a kind and size that is good today.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn identity(
    key: PrivateKeyDer<'static>,
    certificates: Vec<CertificateDer<'static>>,
    now: i64,
) -> Result<Identity, PemError> {
    let mut list: Vec<CertificateDer<'static>> = Vec::with_capacity(certificates.len());
    for der in certificates {
        if !list.contains(&der) {
            list.push(der);
        }
    }
    if list.len() > MAX_CERTIFICATES {
        return Err(PemError::TooLarge);
    }
    let signer = crate::suites::provider()
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|_| PemError::UnusableKey)?;
    let public = signer.public_key().ok_or(PemError::UnusableKey)?;
    // The order in files differs; the certificate is the one that the key belongs to.
    let own = list
        .iter()
        .position(|der| {
            X509Certificate::from_der(der)
                .is_ok_and(|(_, certificate)| certificate.public_key().raw == public.as_ref())
        })
        .ok_or(PemError::Mismatch)?;
    list.swap(0, own);
    let list = order(list)?;
    let mut key_type = None;
    for (index, der) in list.iter().enumerate() {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| PemError::BadCertificate(index + 1))?;
        let name = crate::peer::display_name(certificate.subject());
        let validity = certificate.validity();
        if validity.not_before.timestamp() > now || validity.not_after.timestamp() < now {
            return Err(PemError::Expired(name));
        }
        if index == 0 {
            let usages = crate::peer::extended_key_usages(&certificate);
            if !usages.is_empty()
                && !usages.iter().any(|oid| oid == "1.3.6.1.5.5.7.3.1" || oid == "2.5.29.37.0")
            {
                return Err(PemError::NotForServers(name));
            }
            key_type = usable_key(&certificate);
        } else if !certificate.is_ca() {
            return Err(PemError::NotAnAuthority(name));
        }
    }
    let key_type = key_type.ok_or(PemError::UnusableKey)?;
    Ok(Identity { key, key_type, chain: list })
}

/// Object identifiers of the curves that are taken, with their names.
const CURVES: [(&str, &str); 2] = [("1.2.840.10045.3.1.7", "P-256"), ("1.3.132.0.34", "P-384")];
const ED25519: &str = "1.3.101.112";

/// Bits of an RSA modulus.
fn modulus_bits(modulus: &[u8]) -> usize {
    let significant: &[u8] = match modulus.iter().position(|byte| *byte != 0) {
        Some(first) => modulus.get(first..).unwrap_or_default(),
        None => return 0,
    };
    let unused = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    significant.len() * 8 - unused
}

/// The curve of an EC key, by the names of [`CURVES`].
fn curve(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let oid = certificate.public_key().algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
    CURVES.into_iter().find(|(known, _)| *known == oid).map(|(_, name)| name)
}

/// The type of a certificate's key, if keys like it are taken.
fn usable_key(certificate: &X509Certificate<'_>) -> Option<KeyType> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) => (2048..=4096).contains(&modulus_bits(rsa.modulus)).then_some(KeyType::Rsa),
        Ok(PublicKey::EC(_)) => curve(certificate).map(|_| KeyType::Ec),
        _ if certificate.public_key().algorithm.algorithm.to_id_string() == ED25519 => Some(KeyType::Ed25519),
        _ => None,
    }
}

/// What an operator reads about a certificate's key.
pub(crate) fn key_description(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA, {} bits", modulus_bits(rsa.modulus)),
        Ok(PublicKey::EC(_)) => format!("EC, {}", curve(certificate).unwrap_or("another curve")),
        _ if certificate.public_key().algorithm.algorithm.to_id_string() == ED25519 => "Ed25519".to_owned(),
        _ => "of another kind".to_owned(),
    }
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
