//! Self-signed certificates of interfaces that have none of a key type.

use super::{Place, names};
use crate::authority::{AuthorityError, KeyType, create_private_dir, self_signed, write_atomically};
use crate::levels::InterfaceRef;
use crate::pem;
use rustls::sign::CertifiedKey;
use std::fs;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Time before its end at which a certificate is made anew, in seconds.
const RENEW_BEFORE: i64 = 30 * 24 * 3600;

/// Files of the generated pair.
pub(crate) fn paths(data_dir: &Path, place: &Place, key_type: KeyType) -> (PathBuf, PathBuf) {
    let key_type = key_type.name().to_ascii_lowercase();
    let address = place.address.to_string().replace(':', "_");
    let stem = match (&place.alias, place.port) {
        (Some(alias), _) => format!("alias-{address}-{alias}-{key_type}"),
        (None, Some(port)) => format!("http-{address}-{port}-{key_type}"),
        (None, None) => format!("cti-{address}-{key_type}"),
    };
    let dir = data_dir.join("tls");
    (dir.join(format!("{stem}.crt")), dir.join(format!("{stem}.key")))
}

/// The files with the generated certificates of an interface, whether or not they are there.
pub(crate) fn generated_files(data_dir: &Path, interface: &InterfaceRef) -> [PathBuf; 2] {
    KeyType::GENERATED.map(|key_type| paths(data_dir, &Place::of(interface), key_type).0)
}

/// The generated certificate of an interface, from its files or made now: when there is none, when it soon ends, and when
/// it lacks a name of the interface.
///
/// Several processes may come first at once: the one that gets the lock file makes it, the others read it.
pub(crate) fn generated(
    data_dir: &Path,
    interface: &InterfaceRef,
    names: &[String],
    key_type: KeyType,
) -> Result<CertifiedKey, AuthorityError> {
    let dir = data_dir.join("tls");
    create_private_dir(&dir)?;
    let lock_path = dir.join("lock");
    let io = |source| AuthorityError::Io { path: lock_path.clone(), source };
    let lock =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(io)?;
    lock.lock().map_err(io)?;
    let (certificate_path, key_path) = paths(data_dir, &Place::of(interface), key_type);
    let address = interface.address.to_string();
    let mut all: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    if interface.address.is_unspecified() {
        all.extend(["localhost", "127.0.0.1", "::1"]);
    } else {
        all.push(&address);
    }
    // A name that cannot stand in a certificate must not keep the interface from having one.
    all.retain(|name| {
        let possible = name.is_ascii();
        if !possible {
            tracing::warn!(%interface, name, "the name cannot stand in a certificate; made one without it");
        }
        possible
    });
    if let Some(kept) = kept_pair(&certificate_path, &key_path).filter(|kept| is_good(kept, &all)) {
        return Ok(kept);
    }
    let issued = self_signed(&all, key_type)?;
    write_atomically(&key_path, issued.key_pem.as_bytes(), 0o600)?;
    write_atomically(&certificate_path, issued.certificate_pem.as_bytes(), 0o644)?;
    tracing::info!(%interface, key_type = key_type.name(), notice = true, "self-signed certificate made");
    kept_pair(&certificate_path, &key_path).ok_or(AuthorityError::Unusable { path: certificate_path })
}

/// Whether a kept certificate lasts for a while and has all these names.
fn is_good(kept: &CertifiedKey, wanted: &[&str]) -> bool {
    let Some(Ok((_, leaf))) = kept.cert.first().map(|der| X509Certificate::from_der(der)) else {
        return false;
    };
    let own = names(&leaf);
    leaf.validity().not_after.timestamp() > pem::now() + RENEW_BEFORE
        && wanted.iter().all(|name| own.contains(&name.to_ascii_lowercase()))
}

/// The pair in these files, when it is there and belongs together.
fn kept_pair(certificate: &Path, key: &Path) -> Option<CertifiedKey> {
    let key = Zeroizing::new(fs::read_to_string(key).ok()?);
    let chain = pem::certificates(&fs::read_to_string(certificate).ok()?).ok()?;
    pem::certified_key(pem::private_key(&key).ok()?, chain).ok()
}
