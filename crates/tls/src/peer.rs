//! Who a peer is, read from its certificate.

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use std::fmt::Write as _;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// Longest name that is taken from a certificate, in characters; a longer one is cut, since names reach logs.
const MAX_NAME: usize = 256;

/// The certificate is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read")]
pub struct UnreadableCertificate;

/// What the suite needs to know of a peer's certificate. Trust was decided in the handshake; this only reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// First common name of the subject.
    pub common_name: Option<String>,
    /// SHA-256 of the whole certificate, in lower-case hexadecimal.
    pub fingerprint: String,
    /// Object identifiers of the extended key usages, dotted (`1.3.6.1.5.5.7.3.2` is client authentication).
    pub extended_key_usages: Vec<String>,
    /// The issuer: its first common name, else its whole name.
    pub issuer: String,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

impl PeerIdentity {
    /// Reads the certificate that a peer presented.
    ///
    /// # Errors
    /// It is not a certificate. Any bytes may be given.
    pub fn from_certificate(der: &CertificateDer<'_>) -> Result<Self, UnreadableCertificate> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| UnreadableCertificate)?;
        if !rest.is_empty() {
            return Err(UnreadableCertificate);
        }
        Ok(Self {
            common_name: common_name(certificate.subject()),
            fingerprint: fingerprint(der),
            extended_key_usages: extended_key_usages(&certificate),
            issuer: display_name(certificate.issuer()),
            not_after: certificate.validity().not_after.to_datetime(),
        })
    }

    /// Whether the certificate lists this extended key usage.
    pub fn has_usage(&self, oid: &str) -> bool {
        self.extended_key_usages.iter().any(|own| own == oid)
    }
}

/// SHA-256 of a certificate in lower-case hexadecimal.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, der).as_ref() {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// Text without control characters and of bounded length.
fn clean(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect()
}

/// First common name of a name.
pub(crate) fn common_name(name: &X509Name<'_>) -> Option<String> {
    let first = name.iter_common_name().next()?;
    first.as_str().ok().map(clean).filter(|text| !text.is_empty())
}

/// First common name, else the whole name.
pub(crate) fn display_name(name: &X509Name<'_>) -> String {
    common_name(name).unwrap_or_else(|| clean(&name.to_string()))
}

/// Extended key usages by dotted identifier.
pub(crate) fn extended_key_usages(certificate: &X509Certificate<'_>) -> Vec<String> {
    /// More than any honest certificate has.
    const MAX_USAGES: usize = 32;
    let Ok(Some(usages)) = certificate.extended_key_usage() else { return Vec::new() };
    let usages = usages.value;
    [
        (usages.any, "2.5.29.37.0"),
        (usages.server_auth, "1.3.6.1.5.5.7.3.1"),
        (usages.client_auth, "1.3.6.1.5.5.7.3.2"),
        (usages.code_signing, "1.3.6.1.5.5.7.3.3"),
        (usages.email_protection, "1.3.6.1.5.5.7.3.4"),
        (usages.time_stamping, "1.3.6.1.5.5.7.3.8"),
        (usages.ocsp_signing, "1.3.6.1.5.5.7.3.9"),
    ]
    .into_iter()
    .filter(|(present, _)| *present)
    .map(|(_, oid)| oid.to_owned())
    .chain(usages.other.iter().map(x509_parser::oid_registry::Oid::to_id_string))
    .take(MAX_USAGES)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::LabAuthority;
    use proptest::prelude::*;

    #[test]
    fn reads_a_client_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let authority = LabAuthority::open(dir.path()).unwrap();
        let issued = authority.issue_client("bwcticlient.lab.invalid").unwrap();
        let der = crate::pem::certificates(&issued.certificate_pem).unwrap();
        let identity = PeerIdentity::from_certificate(&der[0]).unwrap();
        assert_eq!(identity.common_name.as_deref(), Some("bwcticlient.lab.invalid"));
        assert!(identity.has_usage("1.3.6.1.5.5.7.3.2"));
        assert_eq!(identity.fingerprint.len(), 64);
        assert_eq!(identity.issuer, crate::authority::COMMON_NAME);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _refused = PeerIdentity::from_certificate(&CertificateDer::from(bytes));
        }

        #[test]
        fn a_damaged_certificate_never_panics(position in 0usize..400, value in any::<u8>()) {
            let mut der = sample().to_vec();
            let position = position % der.len();
            der[position] = value;
            let _either = PeerIdentity::from_certificate(&CertificateDer::from(der));
        }
    }

    fn sample() -> &'static [u8] {
        static SAMPLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let dir = tempfile::tempdir().unwrap();
            let issued = LabAuthority::open(dir.path()).unwrap().issue_client("client").unwrap();
            crate::pem::certificates(&issued.certificate_pem).unwrap()[0].to_vec()
        });
        &SAMPLE
    }
}
