//! The ring's file: JSON, mode 0600, written under a temporary name, synced and renamed; changed under a lock.

use crate::KeyStoreError;
use crate::ring::Ring;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_settings::MachineKey;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of a key file at most: 16 keys of 4096 bits and 64 retired ids take about 80 KiB.
pub(crate) const MAX_FILE: usize = 1024 * 1024;
/// How long a change waits for another process's change; making an RSA key takes a second or two at worst.
const LOCK_WAIT: Duration = Duration::from_secs(20);
/// Pause between two tries for the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

const FORMAT: &str = "openadp-key-ring";
const VERSION: u32 = 1;

/// The file. `seal` authenticates `ring` under the machine key, so that states and public keys cannot be exchanged.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    ring: Ring,
    seal: String,
}

/// What tells one state of the file from another; a rename always gives another inode or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    nanoseconds: i64,
    seconds: i64,
}

/// The stamp of a file; `None` where there is none.
pub(crate) fn stamp(path: &Path) -> Result<Option<Stamp>, KeyStoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(stamp_of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyStoreError::io(path)(error)),
    }
}

fn stamp_of(metadata: &fs::Metadata) -> Stamp {
    Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        nanoseconds: metadata.mtime_nsec(),
        seconds: metadata.mtime(),
    }
}

/// Reads the ring; `None` where there is no file.
pub(crate) fn read(path: &Path, machine_key: &MachineKey) -> Result<Option<(Ring, Stamp)>, KeyStoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyStoreError::io(path)(error)),
    };
    let metadata = file.metadata().map_err(KeyStoreError::io(path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyStoreError::damaged(
            path,
            format!("mode {mode:03o} lets others read it; it must be 600"),
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(KeyStoreError::io(path))?;
    if bytes.len() > MAX_FILE {
        return Err(KeyStoreError::damaged(path, "too long"));
    }
    let document: Document = serde_json::from_slice(&bytes)
        .map_err(|error| KeyStoreError::damaged(path, format!("not a key ring (line {})", error.line())))?;
    if document.format != FORMAT || document.version != VERSION {
        return Err(KeyStoreError::damaged(path, "written by another version"));
    }
    let altered = || KeyStoreError::damaged(path, "altered, or sealed by another machine key");
    let seal = URL_SAFE_NO_PAD.decode(&document.seal).map_err(|_| altered())?;
    machine_key.open(&authenticated(&document.ring)?, &seal).map_err(|_| altered())?;
    Ok(Some((document.ring, stamp_of(&metadata))))
}

/// Writes the ring.
pub(crate) fn write(path: &Path, ring: &Ring, machine_key: &MachineKey) -> Result<Stamp, KeyStoreError> {
    let seal = URL_SAFE_NO_PAD.encode(machine_key.seal(&authenticated(ring)?, b"")?);
    let document = Document { format: FORMAT.to_owned(), version: VERSION, ring: ring.clone(), seal };
    let mut bytes = serde_json::to_vec_pretty(&document)
        .map_err(|_| KeyStoreError::Crypto { what: "encode the ring" })?;
    bytes.push(b'\n');
    replace(path, &bytes)?;
    stamp(path)?.ok_or_else(|| KeyStoreError::damaged(path, "removed while it was written"))
}

fn authenticated(ring: &Ring) -> Result<Vec<u8>, KeyStoreError> {
    let bytes = serde_json::to_vec(ring).map_err(|_| KeyStoreError::Crypto { what: "encode the ring" })?;
    let mut aad = b"keystore ring ".to_vec();
    aad.extend_from_slice(digest(&SHA256, &bytes).as_ref());
    Ok(aad)
}

/// Puts a file of mode 0600 in place at once: temporary name, sync, rename, sync of the folder. A link at `path` is
/// replaced, not followed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyStoreError> {
    let mut tag = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut tag).map_err(|_| KeyStoreError::Crypto { what: "random bytes" })?;
    let temporary = path.with_extension(format!("{:016x}.tmp", u64::from_be_bytes(tag)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()));
    written.map_err(|error| {
        // What is left of the temporary file is of no use; that it cannot be removed changes nothing.
        drop(fs::remove_file(&temporary));
        KeyStoreError::io(path)(error)
    })
}

/// Makes a folder that only the owner may enter.
pub(crate) fn make_folder(path: &Path) -> Result<(), KeyStoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(KeyStoreError::io(path))
}

/// Holds the lock until dropped. Threads exclude each other too, since each opens the file itself.
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

/// Takes the lock of the ring, for changes.
pub(crate) fn lock(path: &Path) -> Result<Lock, KeyStoreError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(KeyStoreError::io(path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(KeyStoreError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(KeyStoreError::io(path)(error)),
        }
    }
}

/// Files of the ring.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) backup: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) ring: PathBuf,
}

impl Paths {
    pub(crate) fn below(data_dir: &Path) -> Self {
        let folder = data_dir.join("keystore");
        Self {
            backup: folder.join("authservice.keys.bak"),
            lock: folder.join("lock"),
            ring: folder.join("authservice.keys"),
        }
    }
}
