//! A small certificate authority for labs and tests, and the self-signed certificates of interfaces without one.
//!
//! Everything is kept as PEM files; private keys have mode 0600.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SanType,
};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// Common name of the lab's authority.
pub const COMMON_NAME: &str = "OpenADP Lab Authority";
/// Days that issued certificates last: what browsers still take.
const LEAF_DAYS: i64 = 397;
/// Days that the authority and self-signed certificates last.
const LONG_DAYS: i64 = 3650;
/// Certificates begin this long before now, so that clocks need not agree.
const SKEW: Duration = Duration::hours(24);

/// Type of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyType {
    /// RSA; made with 2048 bits.
    Rsa,
    /// ECDSA; made on P-256.
    Ec,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    /// The names of all, as tables show them.
    pub const NAMES: [&'static str; 3] = ["RSA", "EC", "Ed25519"];
    /// Those that an interface without certificates gets: with both, any negotiable suite works.
    pub const GENERATED: [Self; 2] = [Self::Rsa, Self::Ec];

    /// Its name in tables and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ec => "EC",
            Self::Ed25519 => "Ed25519",
        }
    }
    fn generate(self) -> Result<KeyPair, AuthorityError> {
        let algorithm = match self {
            Self::Rsa => &PKCS_RSA_SHA256,
            Self::Ec => &PKCS_ECDSA_P256_SHA256,
            Self::Ed25519 => &PKCS_ED25519,
        };
        KeyPair::generate_for(algorithm).map_err(AuthorityError::Generate)
    }
}

/// Why a certificate cannot be made, kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key or certificate cannot be made.
    #[error("certificate cannot be made")]
    Generate(#[source] rcgen::Error),
    /// A kept key or certificate cannot be used.
    #[error("{path} does not hold what it should")]
    Unusable {
        /// Which file.
        path: PathBuf,
    },
    /// A name cannot stand in a certificate.
    #[error("'{0}' cannot be a name in a certificate")]
    Name(String),
}

/// A certificate with its key, as PEM.
pub struct IssuedCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// The certificates above it (the authority's own), for chain files.
    pub chain_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: Zeroizing<String>,
}

impl std::fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

impl IssuedCertificate {
    /// Writes `STEM.crt` and `STEM.key` into a directory and gives their paths; existing ones are replaced.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<(PathBuf, PathBuf), AuthorityError> {
        let certificate = dir.join(format!("{stem}.crt"));
        let key = dir.join(format!("{stem}.key"));
        write_atomically(&certificate, self.certificate_pem.as_bytes(), 0o644)?;
        write_atomically(&key, self.key_pem.as_bytes(), 0o600)?;
        Ok((certificate, key))
    }
}

/// A certificate authority in a directory: `ca.crt` and `ca.key`.
pub struct LabAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_path: PathBuf,
}

impl std::fmt::Debug for LabAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LabAuthority")
            .field("certificate_path", &self.certificate_path)
            .finish_non_exhaustive()
    }
}

impl LabAuthority {
    /// Opens the authority of a directory, or creates it there. Callers that may race hold a lock of their own.
    ///
    /// # Errors
    /// Files cannot be read or written, or hold something else.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        create_private_dir(dir)?;
        let certificate_path = dir.join("ca.crt");
        let key_path = dir.join("ca.key");
        if !(certificate_path.exists() && key_path.exists()) {
            let key = KeyType::Ec.generate()?;
            let mut params = params(COMMON_NAME, &[], LONG_DAYS)?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let certificate = params.self_signed(&key).map_err(AuthorityError::Generate)?;
            write_atomically(&key_path, Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
            write_atomically(&certificate_path, certificate.pem().as_bytes(), 0o644)?;
        }
        let certificate_pem = read(&certificate_path)?;
        let key_pem = Zeroizing::new(read(&key_path)?);
        let key =
            KeyPair::from_pem(&key_pem).map_err(|_| AuthorityError::Unusable { path: key_path.clone() })?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .map_err(|_| AuthorityError::Unusable { path: certificate_path.clone() })?;
        Ok(Self { issuer, certificate_pem, certificate_path })
    }

    /// The authority's own certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The file with the authority's own certificate.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate_path
    }

    /// Issues a server certificate; names are DNS names or addresses, the first is also the common name.
    ///
    /// # Errors
    /// A name cannot stand in a certificate.
    pub fn issue_server(
        &self,
        names: &[&str],
        key_type: KeyType,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let common_name = names.first().copied().unwrap_or("localhost");
        let mut params = params(common_name, names, LEAF_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, key_type)
    }

    /// Issues a client certificate. It has no alternative names: BroadWorks' client certificates must not use them.
    ///
    /// # Errors
    /// The name cannot stand in a certificate.
    pub fn issue_client(&self, common_name: &str) -> Result<IssuedCertificate, AuthorityError> {
        let mut params = params(common_name, &[], LEAF_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params, KeyType::Ec)
    }

    fn issue(
        &self,
        params: &CertificateParams,
        key_type: KeyType,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let mut params = params.clone();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key_type == KeyType::Rsa {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.use_authority_key_identifier_extension = true;
        let key = key_type.generate()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Generate)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem(),
            chain_pem: self.certificate_pem.clone(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }
}

/// A self-signed server certificate, as an interface without a configured one presents.
///
/// # Errors
/// A name cannot stand in a certificate.
pub fn self_signed(names: &[&str], key_type: KeyType) -> Result<IssuedCertificate, AuthorityError> {
    let key = key_type.generate()?;
    let mut params = params(names.first().copied().unwrap_or("localhost"), names, LONG_DAYS)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).map_err(AuthorityError::Generate)?;
    Ok(IssuedCertificate {
        certificate_pem: certificate.pem(),
        chain_pem: String::new(),
        key_pem: Zeroizing::new(key.serialize_pem()),
    })
}

fn params(common_name: &str, names: &[&str], days: i64) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::from_unix_timestamp(crate::pem::now()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = now - SKEW;
    params.not_after = now + Duration::days(days);
    for name in names {
        let alternative = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => {
                SanType::DnsName((*name).try_into().map_err(|_| AuthorityError::Name((*name).to_owned()))?)
            }
        };
        if !params.subject_alt_names.contains(&alternative) {
            params.subject_alt_names.push(alternative);
        }
    }
    Ok(params)
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|source| AuthorityError::Io { path: path.to_owned(), source })
}

/// Creates a directory that only its owner enters.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), AuthorityError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| AuthorityError::Io { path: dir.to_owned(), source })
}

/// Writes a file under a temporary name, syncs it and renames it.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let error = |source| AuthorityError::Io { path: path.to_owned(), source };
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(dir) = path.parent() {
            fs::File::open(dir)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_second_opening_finds_the_first_authority() {
        let dir = tempfile::tempdir().unwrap();
        let first = LabAuthority::open(dir.path()).unwrap();
        let second = LabAuthority::open(dir.path()).unwrap();
        assert_eq!(first.certificate_pem(), second.certificate_pem());
        let mode = fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn issued_certificates_chain_to_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let authority = LabAuthority::open(dir.path()).unwrap();
        let issued = authority.issue_server(&["127.0.0.1", "lab.invalid"], KeyType::Ec).unwrap();
        crate::pem::server_identity(
            &issued.key_pem,
            &issued.certificate_pem,
            Some(&issued.chain_pem),
            crate::pem::now(),
        )
        .unwrap();
        assert!(!format!("{issued:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = LabAuthority::open(dir.path()).unwrap();
        assert!(matches!(authority.issue_server(&["ü"], KeyType::Ec), Err(AuthorityError::Name(_))));
    }
}
