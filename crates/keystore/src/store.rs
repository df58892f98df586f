//! The ring of a data directory, shared by all its processes.

use crate::export;
use crate::file::{self, FileError, MAX_FILE};
use crate::key::{Key, KeySpec, State};
use crate::ring::{Entry, MAX_KEYS, RETIRING_FOR, Ring, RingError};
use arc_swap::ArcSwap;
use base64::Engine as _;
use openadp_settings::MachineKey;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// How often a look-up checks whether another process changed the file: what is revoked must be void within a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why the key ring cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{path}: mode {mode:03o} lets others read it; it must be 600")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be taken.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// An export or import is refused.
    #[error("keys: {0}")]
    Exchange(FileError),
    /// The ring does not allow it.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// What an import does with the keys that are here already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportMode {
    /// The imported ring takes their place.
    #[default]
    Replace,
    /// The imported keys are added and only verify.
    Merge,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether anything changed.
    pub changed: bool,
    /// The ring's name before.
    pub old_set: String,
    /// The ring's name after.
    pub new_set: String,
    /// Keys that were added.
    pub added: usize,
    /// Keys that were left out because they had been erased or revoked here.
    pub refused: Vec<String>,
}

/// A key as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// RFC 7638's thumbprint.
    pub kid: String,
    /// Name of the algorithm.
    pub algorithm: &'static str,
    /// Bits.
    pub bits: u32,
    /// Where it is in its life.
    pub state: State,
    /// When it was made.
    pub created: OffsetDateTime,
    /// When it is erased.
    pub retires: Option<OffsetDateTime>,
    /// Whether its private half is here.
    pub can_sign: bool,
}

/// Which file was read: an atomic rename gives a new inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

struct Held {
    ring: Ring,
    stamp: Option<Stamp>,
}

/// The key ring of one data directory. Everything may block on files for a moment; key generation for tens of milliseconds.
pub struct KeyStore {
    dir: PathBuf,
    machine_key: MachineKey,
    held: ArcSwap<Held>,
    looked: Mutex<Instant>,
    /// Held while the file is read or written, so that an older ring never takes a newer one's place.
    turn: Mutex<()>,
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Opens the ring below `data_dir/keystore`; without a file it is empty and gets its first key from [`KeyStore::active`].
    ///
    /// # Errors
    /// The file cannot be read, is readable by others, was altered, or is another installation's.
    pub fn open(data_dir: &Path, machine_key: MachineKey) -> Result<Arc<Self>, KeyStoreError> {
        let dir = data_dir.join("keystore");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|source| KeyStoreError::Io { path: dir.clone(), source })?;
        let held = ArcSwap::from_pointee(Held { ring: Ring::default(), stamp: None });
        let store = Self { dir, machine_key, held, looked: Mutex::new(Instant::now()), turn: Mutex::new(()) };
        store.refresh()?;
        Ok(Arc::new(store))
    }

    /// The file with the ring.
    pub fn path(&self) -> PathBuf {
        self.dir.join("authservice.keys")
    }

    /// Reads what other processes wrote; tells whether something changed.
    ///
    /// # Errors
    /// The file cannot be taken; the ring stays as it was.
    pub fn refresh(&self) -> Result<bool, KeyStoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh_in_turn()
    }

    fn refresh_in_turn(&self) -> Result<bool, KeyStoreError> {
        let held = self.held.load();
        let path = self.path();
        let stamp = stamp(&path)?;
        if stamp == held.stamp {
            return Ok(false);
        }
        let fresh = self.read(&held.ring)?;
        self.held.store(Arc::new(fresh));
        Ok(true)
    }

    /// The key that signs. The first caller of an installation makes it; when several processes come first at once, they
    /// end with one.
    ///
    /// # Errors
    /// The key cannot be made or kept.
    pub fn active(&self, now: OffsetDateTime) -> Result<Arc<Key>, KeyStoreError> {
        self.active_or(KeySpec::default(), now)
    }

    /// The key that signs; a first one is made to this specification.
    ///
    /// # Errors
    /// The key cannot be made or kept.
    pub fn active_or(&self, spec: KeySpec, now: OffsetDateTime) -> Result<Arc<Key>, KeyStoreError> {
        self.look();
        {
            let held = self.held.load();
            let over = held.ring.entries.iter().any(|entry| entry.retires.is_some_and(|at| at <= now));
            if let Some(key) = held.ring.active()
                && !over
            {
                return Ok(key.clone());
            }
        }
        self.change(|ring| {
            ring.retire(now);
            if let Some(key) = ring.active() {
                return Ok(key.clone());
            }
            let key = Arc::new(Key::generate(spec).map_err(RingError::from)?);
            ring.add(key.clone(), now)?;
            ring.promote(key.kid(), now)?;
            tracing::info!(kid = key.kid(), algorithm = key.algorithm().name(), "signing key made");
            Ok(key)
        })
    }

    /// The key of this name, if it may still verify. Notices within a fifth of a second what other processes changed.
    pub fn verify_key(&self, kid: &str) -> Option<Arc<Key>> {
        self.look();
        self.held.load().ring.find(kid).map(|entry| entry.key.clone())
    }

    /// Whether there is a key that signs.
    pub fn has_active(&self) -> bool {
        self.look();
        self.held.load().ring.active().is_some()
    }

    /// All keys, erased ones left out.
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.look();
        self.held.load().ring.entries.iter().map(info).collect()
    }

    /// The name of the ring; empty while there is none.
    pub fn set_id(&self) -> String {
        self.held.load().ring.set_id.clone()
    }

    /// The public keys as a JWK set.
    pub fn jwks(&self) -> serde_json::Value {
        self.look();
        let keys: Vec<_> = self.held.load().ring.entries.iter().map(|entry| entry.key.jwk()).collect();
        serde_json::json!({ "keys": keys })
    }

    /// Makes a pending key.
    ///
    /// # Errors
    /// The ring is full, or the key cannot be made or kept.
    pub fn generate(&self, spec: KeySpec, now: OffsetDateTime) -> Result<KeyInfo, KeyStoreError> {
        // Made outside the lock: RSA-4096 may take a second.
        let key = Arc::new(Key::generate(spec).map_err(RingError::from)?);
        self.change(|ring| {
            ring.add(key.clone(), now)?;
            ring.find(key.kid()).map(info).ok_or_else(|| RingError::Unknown.into())
        })
    }

    /// Lets a pending key sign.
    ///
    /// # Errors
    /// There is no such key, or it cannot sign.
    pub fn promote(&self, kid: &str, now: OffsetDateTime) -> Result<(), KeyStoreError> {
        self.change(|ring| Ok(ring.promote(kid, now)?))
    }

    /// Makes a key and lets it sign at once; the old one goes on verifying.
    ///
    /// # Errors
    /// The ring is full, or the key cannot be made or kept.
    pub fn rotate(&self, spec: KeySpec, now: OffsetDateTime) -> Result<KeyInfo, KeyStoreError> {
        let key = Arc::new(Key::generate(spec).map_err(RingError::from)?);
        self.change(|ring| {
            ring.retire(now);
            ring.add(key.clone(), now)?;
            ring.promote(key.kid(), now)?;
            ring.find(key.kid()).map(info).ok_or_else(|| RingError::Unknown.into())
        })
    }

    /// Erases a key at once: every token that it signed is void, in every process.
    ///
    /// # Errors
    /// There is no such key.
    pub fn revoke(&self, kid: &str) -> Result<(), KeyStoreError> {
        self.change(|ring| Ok(ring.revoke(kid)?))
    }

    /// Erases keys whose time is over; tells whether there were any.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn retire(&self, now: OffsetDateTime) -> Result<bool, KeyStoreError> {
        self.change(|ring| Ok(ring.retire(now)))
    }

    /// The ring, encrypted under a passphrase; a first key is made when there is none.
    ///
    /// # Errors
    /// The passphrase is too short, or the keys cannot be made or encrypted.
    pub fn export(&self, passphrase: &str, now: OffsetDateTime) -> Result<String, KeyStoreError> {
        self.active(now)?;
        export::export(&self.held.load().ring, passphrase, &self.machine_key, now)
            .map_err(KeyStoreError::Exchange)
    }

    /// Takes an export in. Without a passphrase only what this installation exported itself. The ring that was here is
    /// kept as `authservice.keys.bak`. Importing the same again changes nothing.
    ///
    /// # Errors
    /// The export cannot be read or has been altered, the passphrase is wrong, or the ring would be too full; the ring
    /// stays as it was.
    pub fn import(
        &self,
        text: &str,
        passphrase: Option<&str>,
        mode: ImportMode,
        now: OffsetDateTime,
    ) -> Result<ImportReport, KeyStoreError> {
        let imported =
            export::import(text, passphrase, &self.machine_key).map_err(KeyStoreError::Exchange)?;
        self.change(|ring| {
            let old_set = ring.set_id.clone();
            let before = outline(ring);
            let mut refused = Vec::new();
            let mut entries: Vec<Entry> = Vec::new();
            for entry in &imported.entries {
                if ring.is_retired(entry.key.kid()) || entry.retires.is_some_and(|at| at <= now) {
                    refused.push(entry.key.kid().to_owned());
                } else {
                    entries.push(entry.clone());
                }
            }
            let added = entries.iter().filter(|entry| ring.find(entry.key.kid()).is_none()).count();
            match mode {
                ImportMode::Replace => {
                    if !entries.iter().any(|entry| entry.state == State::Active) {
                        return Err(KeyStoreError::Exchange(FileError(
                            "none of its keys may sign here; use 'mode merge' to verify with them",
                        )));
                    }
                    ring.entries = entries;
                    ring.set_id.clone_from(&imported.set_id);
                }
                ImportMode::Merge => {
                    for entry in entries
                        .into_iter()
                        .filter(|entry| ring.find(entry.key.kid()).is_none())
                        .collect::<Vec<_>>()
                    {
                        let key = Key::from_public(entry.key.algorithm(), entry.key.public())
                            .map_err(RingError::from)?;
                        ring.entries.push(Entry {
                            key: Arc::new(key),
                            state: State::Retiring,
                            created: entry.created,
                            retires: Some(entry.retires.unwrap_or(now + RETIRING_FOR)),
                        });
                    }
                }
            }
            if ring.entries.len() > MAX_KEYS {
                return Err(RingError::Full.into());
            }
            Ok(ImportReport {
                changed: outline(ring) != before,
                old_set,
                new_set: ring.set_id.clone(),
                added,
                refused,
            })
        })
    }

    /// Looks for changes of other processes, unless that was done a moment ago. What cannot be read is left alone: the
    /// last good ring stays.
    fn look(&self) {
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.elapsed() < LOOK_EVERY {
                return;
            }
            *looked = Instant::now();
        }
        // Somebody who is reading or writing now will leave the newest ring behind.
        let Ok(_turn) = self.turn.try_lock() else { return };
        if let Err(error) = self.refresh_in_turn() {
            tracing::error!(%error, "the key ring cannot be read again; the last good one stays");
        }
    }

    /// Reads the file, applies a change and writes it, alone among all processes. Nothing is written when nothing changed.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Ring) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lock_path = self.dir.join("lock");
        let io = |source| KeyStoreError::Io { path: lock_path.clone(), source };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io)?;
        lock.lock().map_err(io)?;
        let current = self.read(&self.held.load().ring)?;
        let before = outline(&current.ring);
        let mut ring = current.ring.clone();
        if ring.set_id.is_empty() {
            ring.set_id = random_name()?;
        }
        let result = change(&mut ring)?;
        if outline(&ring) == before {
            self.held.store(Arc::new(current));
            return Ok(result);
        }
        let path = self.path();
        let text = file::encode(&ring, &self.machine_key)
            .map_err(|source| KeyStoreError::File { path: path.clone(), source })?;
        if ring.set_id != current.ring.set_id && path.exists() {
            let backup = self.dir.join("authservice.keys.bak");
            let old = fs::read(&path).map_err(|source| KeyStoreError::Io { path: path.clone(), source })?;
            write_atomically(&backup, &old)?;
        }
        write_atomically(&path, &text)?;
        let stamp = stamp(&path)?;
        self.held.store(Arc::new(Held { ring, stamp }));
        Ok(result)
    }

    fn read(&self, known: &Ring) -> Result<Held, KeyStoreError> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Held { ring: Ring::default(), stamp: None });
            }
            Err(source) => return Err(KeyStoreError::Io { path, source }),
        };
        let metadata = file.metadata().map_err(|source| KeyStoreError::Io { path: path.clone(), source })?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyStoreError::Mode { path, mode });
        }
        let mut text = Vec::new();
        file.take(MAX_FILE)
            .read_to_end(&mut text)
            .map_err(|source| KeyStoreError::Io { path: path.clone(), source })?;
        let ring = file::decode(&text, &self.machine_key, known)
            .map_err(|source| KeyStoreError::File { path, source })?;
        Ok(Held { ring, stamp: Some(stamp_of(&metadata)) })
    }
}

fn info(entry: &Entry) -> KeyInfo {
    KeyInfo {
        kid: entry.key.kid().to_owned(),
        algorithm: entry.key.algorithm().name(),
        bits: entry.key.bits(),
        state: entry.state,
        created: entry.created,
        retires: entry.retires,
        can_sign: entry.key.can_sign(),
    }
}

/// Everything of a ring that a listing would show: what tells whether it changed.
fn outline(ring: &Ring) -> (Vec<KeyInfo>, Vec<String>, String) {
    // A ring without keys and one that only got its name are the same: there is nothing to keep yet.
    let name =
        if ring.entries.is_empty() && ring.retired.is_empty() { String::new() } else { ring.set_id.clone() };
    (ring.entries.iter().map(info).collect(), ring.retired.clone(), name)
}

fn stamp(path: &Path) -> Result<Option<Stamp>, KeyStoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(stamp_of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyStoreError::Io { path: path.to_owned(), source }),
    }
}

fn stamp_of(metadata: &fs::Metadata) -> Stamp {
    Stamp { inode: metadata.ino(), size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
}

/// Random text of 128 bits.
pub(crate) fn random_name() -> Result<String, KeyStoreError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| KeyStoreError::Exchange(FileError("the system gives no randomness")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes a file under a temporary name, syncs it and renames it; mode 0600.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), KeyStoreError> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|source| KeyStoreError::Io { path: path.to_owned(), source })
}
