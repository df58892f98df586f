//! Certificate requests: a new key that waits in the settings for the certificate that an authority signs.

use super::Place;
use crate::authority::{KeyType, write_atomically};
use openadp_settings::{
    ActionContext, ActionOutput, Context, Edit, Kind, Parameter, Problem, Problems, Secret, Settings,
    Snapshot, Tree, context,
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Kinds of key that a request may have.
pub(super) const KEY_KINDS: [&str; 6] = ["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "Ed25519"];
/// Most further names of a request.
const MAX_NAMES: usize = 100;

context! {
    /// Keys whose certificates are not there yet: what sslRequest made and sslUpdate has not used up.
    pub struct CertificateRequest = Context::table(Tree::Adp, "System/SSLCommonSettings/CertificateRequests")
        .without(&["add", "set"]) =>
    {
        /// The interface, as the words that sslRequest was given.
        pub interface: String = Parameter::new("interface", Kind::text(1, 400)).key().header("Interface");
        /// Type of the key.
        pub key_type: String =
            Parameter::new("keyType", Kind::Choice(&KeyType::NAMES)).key().header("Key Type");
        /// Common name that was asked for.
        pub common_name: String =
            Parameter::new("commonName", Kind::text(1, 64)).mandatory().header("Common Name");
        /// The private key, PEM.
        pub key: Secret = Parameter::new("key", Kind::secret(super::MAX_KEY)).mandatory().hidden();
    }
}

/// The keys that wait for certificates of this place.
pub(super) fn waiting(snapshot: &Snapshot, place: &Place) -> Vec<CertificateRequest> {
    let name = place.to_string();
    let mut all: Vec<CertificateRequest> = snapshot.rows();
    all.retain(|request| request.interface.eq_ignore_ascii_case(&name));
    all
}

/// The edit that ends a wait.
pub(super) fn used_up(request: &CertificateRequest) -> Edit {
    Edit::Delete {
        context: CertificateRequest::CONTEXT.full_path(),
        key: vec![request.interface.clone(), request.key_type.clone()],
    }
}

/// Subject of a request; only the common name must be there.
pub(super) struct Subject<'a> {
    pub(super) common_name: &'a str,
    pub(super) names: Option<&'a str>,
    pub(super) organization: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
    pub(super) locality: Option<&'a str>,
    pub(super) state: Option<&'a str>,
    pub(super) country: Option<&'a str>,
}

/// Makes a key and a request, keeps the key, prints and saves the request.
pub(super) fn make(
    context: &ActionContext<'_>,
    place: &Place,
    kind: &str,
    subject: &Subject<'_>,
) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let refused = |reason: String| Problems::from(Problem::new(path.clone(), reason));
    let (key, key_type) = generate(kind).map_err(|error| refused(format!("no key: {error}")))?;
    let params = params(subject)
        .map_err(|reason| Problems::from(Problem::new(path.clone(), reason).parameter("names")))?;
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(|error| refused(format!("no request: {error}")))?;
    let file = context.data_dir.join("tmp").join(format!("{}.csr", place.stem(key_type)));
    if let Some(folder) = file.parent() {
        crate::authority::create_private_dir(folder).map_err(|error| refused(error.to_string()))?;
    }
    write_atomically(&file, request.as_bytes(), 0o644).map_err(|error| refused(error.to_string()))?;

    let mut edits: Vec<Edit> = waiting(context.snapshot, place)
        .iter()
        .filter(|waiting| waiting.key_type == key_type.name())
        .map(used_up)
        .collect();
    edits.push(Edit::Add {
        context: CertificateRequest::CONTEXT.full_path(),
        values: BTreeMap::from([
            ("interface".to_owned(), place.to_string()),
            ("keyType".to_owned(), key_type.name().to_owned()),
            ("commonName".to_owned(), subject.common_name.to_owned()),
            ("key".to_owned(), key.serialize_pem()),
        ]),
    });
    let mut lines: Vec<String> = request.lines().map(str::to_owned).collect();
    lines.push(format!("written to {}", file.display()));
    lines.push("once it is signed: sslUpdate with certificateFile, and chainFile, alone".to_owned());
    Ok(ActionOutput { lines, edits, ..ActionOutput::default() })
}

fn generate(kind: &str) -> Result<(KeyPair, KeyType), rcgen::Error> {
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).map(|key| (key, KeyType::Rsa));
    match kind {
        "RSA-3072" => rsa(RsaKeySize::_3072),
        "RSA-4096" => rsa(RsaKeySize::_4096),
        "P-256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(|key| (key, KeyType::Ec)),
        "P-384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map(|key| (key, KeyType::Ec)),
        "Ed25519" => KeyPair::generate_for(&PKCS_ED25519).map(|key| (key, KeyType::Ed25519)),
        _ => rsa(RsaKeySize::_2048),
    }
}

fn params(subject: &Subject<'_>) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let fields = [
        (DnType::CountryName, subject.country),
        (DnType::StateOrProvinceName, subject.state),
        (DnType::LocalityName, subject.locality),
        (DnType::OrganizationName, subject.organization),
        (DnType::OrganizationalUnitName, subject.unit),
        (DnType::CommonName, Some(subject.common_name)),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            params.distinguished_name.push(field, value);
        }
    }
    let further = subject.names.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    for name in std::iter::once(subject.common_name).chain(further) {
        let alternative = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if is_host(name) => {
                SanType::DnsName(name.try_into().map_err(|_| format!("'{name}' is no host name"))?)
            }
            // The common name need not be a host's.
            Err(_) if name == subject.common_name => continue,
            Err(_) => return Err(format!("'{name}' is neither a host name nor an address")),
        };
        if !params.subject_alt_names.contains(&alternative) {
            params.subject_alt_names.push(alternative);
        }
        if params.subject_alt_names.len() > MAX_NAMES {
            return Err(format!("more than {MAX_NAMES} names"));
        }
    }
    Ok(params)
}

/// Whether a name looks like a host's, perhaps with a wildcard in front.
fn is_host(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    host.len() <= 253
        && host.contains('.')
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}
