//! What outlives a process beside the settings: when refresh tokens were used, and the last good answer of the federation
//! service. Files below `DATA_DIR/authservice`, replaced whole, readable by their owner only. No secret is in them.

use aws_lc_rs::digest;
use openadp_settings::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const FOLDER: &str = "authservice";
const REFRESH: &str = "refresh-tokens.json";
const FEDERATION: &str = "federation.json";
/// Longest file that is read.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// When a refresh token was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshState {
    /// Which token this is about.
    pub(crate) fingerprint: String,
    /// When it was last used, or set; seconds since 1970.
    pub(crate) used: i64,
    /// When it ends, where the provider said so; seconds since 1970.
    #[serde(default)]
    pub(crate) expires: Option<i64>,
}

/// An identity provider as the federation service names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) url: String,
}

/// What is known from the federation service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FederationState {
    /// Where it was asked.
    pub(crate) url: String,
    /// The last good answer.
    pub(crate) clusters: Vec<Cluster>,
    /// When that was; seconds since 1970.
    pub(crate) fetched: Option<i64>,
    /// Why the last attempt failed, if it did.
    pub(crate) error: Option<String>,
    /// When that was; seconds since 1970.
    pub(crate) failed: Option<i64>,
}

/// Names a refresh token without telling it. 64 bits are enough to tell an operator's tokens apart.
pub(crate) fn fingerprint(refresh: &Secret) -> String {
    let digest = digest::digest(&digest::SHA256, refresh.expose().as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn folder(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join(FOLDER);
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    }
    Ok(folder)
}

/// The file whose lock says whose turn it is to use a refresh token.
pub(crate) fn lock_file(data_dir: &Path) -> io::Result<File> {
    let path = folder(data_dir)?.join("lock");
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What a file says; nothing where there is none or where it is not readable: it will be written anew.
fn read<T: DeserializeOwned + Default>(data_dir: &Path, name: &str) -> T {
    let path = data_dir.join(FOLDER).join(name);
    match path.metadata() {
        Ok(found) if found.len() <= MAX_FILE => {}
        Ok(_) | Err(_) => return T::default(),
    }
    let text = std::fs::read(&path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "file is not readable and is written anew");
        T::default()
    })
}

fn write<T: Serialize>(data_dir: &Path, name: &str, content: &T) -> io::Result<()> {
    if data_dir.as_os_str().is_empty() {
        return Ok(()); // a store in memory has no folder
    }
    let folder = folder(data_dir)?;
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join(name))
}

/// All notes on refresh tokens, by slot.
pub(crate) fn refresh_states(data_dir: &Path) -> BTreeMap<String, RefreshState> {
    read(data_dir, REFRESH)
}

/// Takes a note on a refresh token.
pub(crate) fn note_refresh(data_dir: &Path, slot: &str, noted: RefreshState) -> io::Result<()> {
    let mut states = refresh_states(data_dir);
    states.insert(slot.to_owned(), noted);
    write(data_dir, REFRESH, &states)
}

/// What is known from the federation service.
pub(crate) fn federation(data_dir: &Path) -> FederationState {
    read(data_dir, FEDERATION)
}

/// Keeps what is known from the federation service.
pub(crate) fn put_federation(data_dir: &Path, state: &FederationState) -> io::Result<()> {
    write(data_dir, FEDERATION, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_outlive_a_process_and_hold_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let token = Secret::new("refresh-secret");
        let noted = RefreshState { fingerprint: fingerprint(&token), used: 7, expires: None };
        note_refresh(dir.path(), "Federation", noted.clone()).unwrap();
        note_refresh(dir.path(), "Partners/acme", RefreshState { used: 8, ..noted.clone() }).unwrap();
        assert_eq!(refresh_states(dir.path())["Federation"], noted);
        assert_eq!(refresh_states(dir.path()).len(), 2);
        let path = dir.path().join("authservice/refresh-tokens.json");
        assert!(!std::fs::read_to_string(&path).unwrap().contains("secret"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "{torn").unwrap();
        assert!(refresh_states(dir.path()).is_empty());
    }
}
