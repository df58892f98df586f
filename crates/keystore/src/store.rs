//! The ring of an installation: read without a lock, changed under one, followed across processes.

use crate::export;
use crate::file::{self, Paths, Stamp};
use crate::jwk::{PublicJwks, SetEntry};
use crate::key::{self, Fresh, SigningKey, VerifyKey};
use crate::ring::{ImportMode, KeyState, Record, Ring, Schedule, Step};
use crate::{Algorithm, KeyStoreError, KeyType, Rotation};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_settings::MachineKey;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Milliseconds between two looks at the file while keys are used: a revocation must hold within a second everywhere.
const LOOK_EVERY_MS: u64 = 400;

/// Where the ring takes the time from.
pub type Now = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// What an operator sees of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its state.
    pub state: KeyState,
    /// Bits of its modulus or curve.
    pub bits: u32,
    /// When it was made.
    pub created: OffsetDateTime,
    /// Until when a retiring key verifies.
    pub until: Option<OffsetDateTime>,
    /// Whether its private half is here: it signs, or could be promoted.
    pub can_sign: bool,
}

/// What the schedule did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheduled {
    /// Made a pending key of this id.
    Generated(String),
    /// Nothing was due.
    Nothing,
    /// Let the key of this id sign.
    Promoted(String),
    /// A key of this id is due to sign, and not every peer holds it.
    Waiting(String),
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Whether the ring is another one than before.
    pub changed: bool,
    /// Ids of keys that came.
    pub added: Vec<String>,
    /// Ids of keys that are gone.
    pub removed: Vec<String>,
}

/// The ring as processes use it: keys parsed and ready.
struct Loaded {
    ring: Ring,
    stamp: Option<Stamp>,
    active: Option<Arc<SigningKey>>,
    verify: HashMap<String, Arc<VerifyKey>>,
}

/// The key ring of an installation. Using keys takes no lock; changing them blocks on files and on key generation, so do
/// that on a thread that may block.
pub struct KeyStore {
    paths: Paths,
    machine_key: MachineKey,
    now: Now,
    current: ArcSwap<Loaded>,
    /// Orders replacements of `current`.
    replacing: Mutex<()>,
    born: Instant,
    /// Milliseconds after `born` of the last look at the file.
    looked: AtomicU64,
    complained: AtomicBool,
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore").field("ring", &self.paths.ring).finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Opens the ring of a data directory. It may be empty: the first use of [`active`](Self::active) makes a key.
    ///
    /// # Errors
    /// Files that cannot be read or created, are damaged, or were sealed by another machine key.
    #[expect(clippy::disallowed_methods, reason = "states change over months; tests use open_with_clock")]
    pub fn open(data_dir: &Path, machine_key: MachineKey) -> Result<Arc<Self>, KeyStoreError> {
        Self::open_with_clock(data_dir, machine_key, Arc::new(OffsetDateTime::now_utc))
    }

    /// As [`open`](Self::open), with another source of the time.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clock(
        data_dir: &Path,
        machine_key: MachineKey,
        now: Now,
    ) -> Result<Arc<Self>, KeyStoreError> {
        let paths = Paths::below(data_dir);
        if let Some(folder) = paths.ring.parent() {
            file::make_folder(folder)?;
        }
        let empty = Loaded { ring: Ring::default(), stamp: None, active: None, verify: HashMap::new() };
        let store = Self {
            paths,
            machine_key,
            now,
            current: ArcSwap::from_pointee(empty),
            replacing: Mutex::new(()),
            born: Instant::now(),
            looked: AtomicU64::new(0),
            complained: AtomicBool::new(false),
        };
        store.refresh()?;
        Ok(Arc::new(store))
    }

    /// The key that signs. Makes the first one if there is none; when several processes do so at once, they end with one.
    ///
    /// # Errors
    /// The first key cannot be made or stored.
    pub fn active(&self) -> Result<Arc<SigningKey>, KeyStoreError> {
        self.active_or(KeyType::default())
    }

    /// As [`active`](Self::active), with the kind of the key that is made if there is none.
    ///
    /// # Errors
    /// As [`active`](Self::active).
    pub fn active_or(&self, kind: KeyType) -> Result<Arc<SigningKey>, KeyStoreError> {
        self.look();
        if let Some(key) = &self.current.load().active {
            return Ok(key.clone());
        }
        self.change(|ring, now| {
            if ring.active().is_some() {
                return Ok(());
            }
            // A pending key is on other nodes already, perhaps; a new one is certainly not.
            let pending =
                ring.keys.iter().find(|key| key.state == KeyState::Pending).map(|key| key.kid.clone());
            let kid = match pending {
                Some(kid) => kid,
                None => self.add(ring, key::generate(kind)?, now)?,
            };
            ring.promote(&kid, now)
        })?;
        let key = self.current.load().active.clone();
        key.ok_or_else(|| KeyStoreError::damaged(&self.paths.ring, "no active key"))
    }

    /// The active key if there is one; makes none.
    pub fn active_if_any(&self) -> Option<Arc<SigningKey>> {
        self.look();
        self.current.load().active.clone()
    }

    /// A key that verifies: active, pending or retiring within its time.
    pub fn verify_key(&self, kid: &str) -> Option<Arc<VerifyKey>> {
        self.look();
        let key = self.current.load().verify.get(kid).cloned()?;
        key.until().is_none_or(|until| (self.now)().unix_timestamp() <= until).then_some(key)
    }

    /// Every key that verifies, as a JSON Web Key set.
    pub fn public_jwks(&self) -> PublicJwks {
        self.look();
        let now = (self.now)().unix_timestamp();
        let loaded = self.current.load();
        let keys = loaded.ring.keys.iter().filter_map(|record| loaded.verify.get(&record.kid));
        let state = |kid: &str| loaded.ring.find(kid);
        let keys = keys.filter(|key| key.until().is_none_or(|until| now <= until)).map(|key| SetEntry {
            key: key.jwk().clone(),
            kid: key.kid().to_owned(),
            alg: key.algorithm().name(),
            usage: "sig",
            state: state(key.kid()).map_or("", |record| record.state.name()),
            created: state(key.kid()).map_or(0, |record| record.created),
        });
        let revoked = loaded.ring.keys.iter().filter(|record| record.revoked);
        PublicJwks { keys: keys.collect(), revoked: revoked.map(|record| record.kid.clone()).collect() }
    }

    /// All keys, retired ones too.
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.look();
        let time =
            |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let loaded = self.current.load();
        let info = |record: &Record| KeyInfo {
            kid: record.kid.clone(),
            algorithm: record.alg,
            state: record.state,
            bits: record.bits,
            created: time(record.created),
            until: record.until.map(time),
            can_sign: record.sealed.is_some(),
        };
        loaded.ring.keys.iter().map(info).collect()
    }

    /// Makes a pending key and returns its id.
    ///
    /// # Errors
    /// The ring is full, or the key cannot be made or stored.
    pub fn generate(&self, kind: KeyType) -> Result<String, KeyStoreError> {
        let fresh = key::generate(kind)?;
        self.change(|ring, now| self.add(ring, fresh, now))
    }

    /// Lets a pending key sign; the one that signed until now verifies until its last token has expired.
    ///
    /// # Errors
    /// No such key, a key that cannot sign any more, or the ring cannot be stored.
    pub fn promote(&self, kid: &str) -> Result<(), KeyStoreError> {
        self.change(|ring, now| ring.promote(kid, now))
    }

    /// Makes a key and lets it sign at once; returns its id. On several nodes make, export and import it first, and promote
    /// it then.
    ///
    /// # Errors
    /// As [`generate`](Self::generate) and [`promote`](Self::promote).
    pub fn rotate(&self, kind: KeyType) -> Result<String, KeyStoreError> {
        let fresh = key::generate(kind)?;
        self.change(|ring, now| {
            let kid = self.add(ring, fresh, now)?;
            ring.promote(&kid, now)?;
            Ok(kid)
        })
    }

    /// Erases a key at once: every token it signed is void, in every process within a second.
    ///
    /// # Errors
    /// No such key, or the ring cannot be stored.
    pub fn revoke(&self, kid: &str) -> Result<(), KeyStoreError> {
        self.change(|ring, _| ring.revoke(kid))
    }

    /// Erases retiring keys whose time is over; every other change does so too.
    ///
    /// # Errors
    /// The ring cannot be stored.
    pub fn retire(&self) -> Result<(), KeyStoreError> {
        self.change(|_, _| Ok(()))
    }

    /// Whether it holds no key that verifies: this host has no ring of its own.
    pub fn is_empty(&self) -> bool {
        self.look();
        self.current.load().verify.is_empty()
    }

    /// Does what the schedule asks for now: makes a key, or lets one sign that all peers are known to hold.
    ///
    /// # Errors
    /// The ring is full, or cannot be stored.
    pub fn follow_schedule(
        &self,
        rotation: &Rotation,
        held_by_peers: impl Fn(&str) -> bool,
    ) -> Result<Scheduled, KeyStoreError> {
        self.look();
        let schedule = Schedule {
            period: i64::from(rotation.period_in_days) * 86_400,
            publication: i64::from(rotation.publication_in_hours) * 3_600,
        };
        let kind = KeyType::from_word(&rotation.key_type).unwrap_or_default();
        let asked = self.current.load().ring.step(schedule, (self.now)().unix_timestamp());
        // Looked at again under the lock: another process may have been faster.
        match asked {
            Step::Nothing => Ok(Scheduled::Nothing),
            Step::Generate => {
                let fresh = key::generate(kind)?;
                self.change(|ring, now| match ring.step(schedule, now) {
                    Step::Generate => self.add(ring, fresh, now).map(Scheduled::Generated),
                    Step::Nothing | Step::Promote(_) => Ok(Scheduled::Nothing),
                })
            }
            Step::Promote(kid) if !held_by_peers(&kid) => Ok(Scheduled::Waiting(kid)),
            Step::Promote(kid) => self.change(|ring, now| match ring.step(schedule, now) {
                Step::Promote(due) if due == kid => {
                    ring.promote(&kid, now).map(|()| Scheduled::Promoted(kid.clone()))
                }
                Step::Generate | Step::Nothing | Step::Promote(_) => Ok(Scheduled::Nothing),
            }),
        }
    }

    /// The keys for a peer, encrypted under the farm's secret; `None` where there are none.
    ///
    /// # Errors
    /// The secret is too short or too long, or a key cannot be opened.
    pub fn export_existing(&self, secret: &str) -> Result<Option<String>, KeyStoreError> {
        self.look();
        let loaded = self.current.load();
        if loaded.active.is_none() {
            return Ok(None);
        }
        export::write(&loaded.ring, &self.machine_key, secret, (self.now)().unix_timestamp()).map(Some)
    }

    /// The keys for another installation, encrypted under a passphrase; makes the first key if there is none.
    ///
    /// # Errors
    /// The passphrase is too short or too long, or a key cannot be made or opened.
    pub fn export(&self, passphrase: &str) -> Result<String, KeyStoreError> {
        export::check_passphrase(passphrase)?;
        self.active()?;
        export::write(&self.current.load().ring, &self.machine_key, passphrase, (self.now)().unix_timestamp())
    }

    /// A new passphrase for [`export`](Self::export), 120 bits.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate_passphrase() -> Result<Zeroizing<String>, KeyStoreError> {
        export::generate_passphrase()
    }

    /// Takes over exported keys; the same file again changes nothing. A file of this installation needs no passphrase.
    ///
    /// # Errors
    /// The file is truncated, altered or not an export, or the passphrase is wrong: the ring stays as it was.
    pub fn import(
        &self,
        text: &str,
        mode: ImportMode,
        passphrase: Option<&str>,
    ) -> Result<Imported, KeyStoreError> {
        let foreign = export::read(text, &self.machine_key, passphrase)?;
        self.apply(mode == ImportMode::Replace, |ring, _| {
            let next = ring.import(&foreign, mode)?;
            let ids = |of: &Ring, without: &Ring| -> Vec<String> {
                of.keys
                    .iter()
                    .filter(|key| without.find(&key.kid).is_none())
                    .map(|key| key.kid.clone())
                    .collect()
            };
            let imported =
                Imported { changed: next != *ring, added: ids(&next, ring), removed: ids(ring, &next) };
            *ring = next;
            Ok(imported)
        })
    }

    /// Reads what another process changed; whether there was anything. Using keys does this by itself, so that a change
    /// holds within half a second.
    ///
    /// # Errors
    /// The file cannot be read or is damaged. The ring stays as it was.
    pub fn refresh(&self) -> Result<bool, KeyStoreError> {
        let guard = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.looked.store(self.elapsed(), Ordering::Release);
        let stamp = file::stamp(&self.paths.ring)?;
        if stamp == self.current.load().stamp {
            return Ok(false);
        }
        // A file that is gone leaves the last good ring, until another process makes a new one.
        let Some((ring, stamp)) = file::read(&self.paths.ring, &self.machine_key)? else { return Ok(false) };
        self.current.store(Arc::new(self.load(ring, stamp)?));
        drop(guard);
        Ok(true)
    }

    /// [`refresh`](Self::refresh), if the last look was a while ago and nobody else is at it.
    fn look(&self) {
        let (now, last) = (self.elapsed(), self.looked.load(Ordering::Acquire));
        if now.saturating_sub(last) < LOOK_EVERY_MS
            || self.looked.compare_exchange(last, now, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return;
        }
        match self.refresh() {
            Ok(_) => self.complained.store(false, Ordering::Relaxed),
            Err(error) if !self.complained.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "key ring cannot be read; the last good one stays in use");
            }
            Err(_) => {}
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds a fresh key to the ring, sealed.
    fn add(&self, ring: &mut Ring, fresh: Fresh, now: i64) -> Result<String, KeyStoreError> {
        let Fresh { algorithm, pkcs8 } = fresh;
        let signing = SigningKey::from_pkcs8(algorithm, &pkcs8)?;
        let kid = signing.kid().to_owned();
        let verify = VerifyKey::new(algorithm, signing.spki(), None)?;
        ring.add(Record {
            kid: kid.clone(),
            alg: algorithm,
            state: KeyState::Pending,
            bits: u32::try_from(verify.jwk().bits()).unwrap_or_default(),
            created: ring.after_all(now),
            until: None,
            spki: URL_SAFE_NO_PAD.encode(signing.spki()),
            sealed: Some(export::seal_private(&kid, &pkcs8, &self.machine_key)?),
            revoked: false,
        })?;
        Ok(kid)
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Ring, i64) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        self.apply(false, change)
    }

    /// Changes the ring as it is in the file now, under the lock; what fails leaves nothing behind.
    fn apply<T>(
        &self,
        back_up: bool,
        change: impl FnOnce(&mut Ring, i64) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let _lock = file::lock(&self.paths.lock)?;
        let (before, mut stamp) = match file::read(&self.paths.ring, &self.machine_key)? {
            Some((ring, stamp)) => (ring, Some(stamp)),
            None => (Ring::default(), None),
        };
        let mut ring = before.clone();
        let now = (self.now)().unix_timestamp();
        ring.retire_due(now);
        let done = change(&mut ring, now)?;
        // From here on a refresh waits, or it could put the ring of before in place of this one. Making keys is over.
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if ring != before {
            if ring.set_id.is_empty() {
                ring.set_id = set_id()?;
            }
            if back_up && !before.keys.is_empty() {
                file::write(&self.paths.backup, &before, &self.machine_key)?;
            }
            let written = file::write(&self.paths.ring, &ring, &self.machine_key)?;
            if !back_up {
                // It may hold a key that has just been erased.
                match std::fs::remove_file(&self.paths.backup) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(KeyStoreError::io(&self.paths.backup)(error));
                    }
                    _ => {}
                }
            }
            stamp = Some(written);
        }
        if let Some(stamp) = stamp {
            self.current.store(Arc::new(self.load(ring, stamp)?));
        }
        Ok(done)
    }

    /// Parses keys, except those that are parsed already.
    fn load(&self, ring: Ring, stamp: Stamp) -> Result<Loaded, KeyStoreError> {
        let old = self.current.load();
        let damaged = |reason: &str| KeyStoreError::damaged(&self.paths.ring, reason);
        let mut verify = HashMap::with_capacity(ring.keys.len());
        for record in ring.keys.iter().filter(|key| key.state != KeyState::Retired) {
            let parsed = old.verify.get(&record.kid).filter(|key| key.until() == record.until);
            let key = if let Some(key) = parsed {
                key.clone()
            } else {
                let spki = URL_SAFE_NO_PAD.decode(&record.spki).map_err(|_| damaged("a key is malformed"))?;
                Arc::new(VerifyKey::new(record.alg, &spki, record.until)?)
            };
            if key.kid() != record.kid {
                return Err(damaged("a key has the wrong id"));
            }
            verify.insert(record.kid.clone(), key);
        }
        let active = match (ring.active(), &old.active) {
            (None, _) => None,
            (Some(record), Some(key)) if key.kid() == record.kid => Some(key.clone()),
            (Some(record), _) => {
                let sealed = record.sealed.as_deref().ok_or_else(|| damaged("the active key cannot sign"))?;
                let pkcs8 = export::open_private(&record.kid, sealed, &self.machine_key)?;
                Some(Arc::new(SigningKey::from_pkcs8(record.alg, &pkcs8)?))
            }
        };
        Ok(Loaded { ring, stamp: Some(stamp), active, verify })
    }
}

fn set_id() -> Result<String, KeyStoreError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyStoreError::Crypto { what: "random bytes" })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
