//! The key that wraps secrets of one installation: AES-256-GCM, in a file of mode 0600 that is created once.

use crate::store::advice;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// First byte of everything sealed, so that the format can change.
const FORMAT: u8 = 1;
/// Bytes of the key.
const KEY_LEN: usize = 32;
/// Letters and digits of the key in its file.
const HEX_LEN: usize = KEY_LEN * 2;

/// Why something could not be sealed or opened, or the key not be had. Never says what was in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineKeyError {
    /// The key's file cannot be read or written.
    #[error("machine key {path}: {source}{}", advice(.source.kind()))]
    Io {
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read the key.
    #[error("machine key {path}: mode {mode:03o} lets others read it; it must be 600")]
    Mode {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a key.
    #[error("machine key {path}: not 64 hexadecimal digits")]
    Malformed {
        /// The key's file.
        path: PathBuf,
    },
    /// Not sealed by this key for this place, or altered.
    #[error("not sealed by this installation's machine key for this place, or altered")]
    Open,
    /// The cipher refused; practically out of randomness or memory.
    #[error("cannot seal")]
    Seal,
}

/// The key that wraps secrets of this installation. Clones share it.
#[derive(Clone)]
pub struct MachineKey(Arc<LessSafeKey>);

impl std::fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MachineKey(********)")
    }
}

impl MachineKey {
    /// A fresh key that is stored nowhere, for stores in memory.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn ephemeral() -> Result<Self, MachineKeyError> {
        Self::from_bytes(fresh()?.as_slice())
    }

    /// Reads the key of this file, or creates it. When several processes come first at once, they end with one key.
    ///
    /// # Errors
    /// The file cannot be read or created, is readable by others, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, MachineKeyError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        create(path)?;
        Self::load(path)?.ok_or_else(|| MachineKeyError::Io {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "removed while it was created"),
        })
    }

    /// Reads the key of this file; `None` where there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, is readable by others, or holds something else.
    pub fn load(path: &Path) -> Result<Option<Self>, MachineKeyError> {
        let io = |source| MachineKeyError::Io { path: path.to_owned(), source };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MachineKeyError::Mode { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(HEX_LEN + 2));
        let malformed = || MachineKeyError::Malformed { path: path.to_owned() };
        file.take(HEX_LEN as u64 + 2).read_to_string(&mut text).map_err(|_| malformed())?;
        let bytes = unhex(text.trim_end()).ok_or_else(malformed)?;
        Self::from_bytes(&bytes).map(Some)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, MachineKeyError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| MachineKeyError::Seal)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Encrypts `plain`; it opens again only with the same `aad`, which names the place it belongs to.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, MachineKeyError> {
        let mut nonce = [0_u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| MachineKeyError::Seal)?;
        let mut text = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text)
            .map_err(|_| MachineKeyError::Seal)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Decrypts what [`seal`](Self::seal) made with the same `aad`.
    ///
    /// # Errors
    /// Another key, another place, or altered bytes.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MachineKeyError> {
        let (format, rest) = sealed.split_first().ok_or(MachineKeyError::Open)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(MachineKeyError::Open)?;
        if *format != FORMAT {
            return Err(MachineKeyError::Open);
        }
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut text)
            .map_err(|_| MachineKeyError::Open)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

/// Writes a fresh key under a name of its own, syncs it and links it to `path`; who comes second keeps the first's key.
fn create(path: &Path) -> Result<(), MachineKeyError> {
    let io = |source| MachineKeyError::Io { path: path.to_owned(), source };
    let mut tag = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut tag).map_err(|_| MachineKeyError::Seal)?;
    let temporary = path.with_extension(format!("{}.tmp", hex(&tag).as_str()));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(io)?;
    let key = fresh()?;
    let mut text = hex(key.as_slice());
    text.push('\n');
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&temporary);
    linked.and(removed).map_err(io)?;
    path.parent().map_or(Ok(()), sync_directory).map_err(io)
}

/// Makes names created in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn fresh() -> Result<Zeroizing<[u8; KEY_LEN]>, MachineKeyError> {
    let mut key = Zeroizing::new([0_u8; KEY_LEN]);
    aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| MachineKeyError::Seal)?;
    Ok(key)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.as_bytes();
    if digits.len() != HEX_LEN {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_LEN));
    for pair in digits.chunks_exact(2) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let byte = nibble(pair[0])? * 16 + nibble(pair[1])?;
        bytes.push(u8::try_from(byte).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn created_once_by_many_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        let keys: Vec<MachineKey> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| MachineKey::load_or_create(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let sealed = keys[0].seal(b"place", b"secret").unwrap();
        for key in &keys {
            assert_eq!(key.open(b"place", &sealed).unwrap().as_slice(), b"secret");
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        MachineKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MachineKey::load_or_create(&path), Err(MachineKeyError::Mode { mode: 0o640, .. })));
    }

    #[test]
    fn another_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        fs::write(&path, "not a key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(MachineKey::load_or_create(&path), Err(MachineKeyError::Malformed { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }

    proptest! {
        #[test]
        fn opens_only_what_was_sealed_for_the_place(
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            flip in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let key = MachineKey::ephemeral().unwrap();
            let sealed = key.seal(b"a", &plain).unwrap();
            let opened = key.open(b"a", &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            prop_assert!(key.open(b"b", &sealed).is_err());
            prop_assert!(MachineKey::ephemeral().unwrap().open(b"a", &sealed).is_err());
            let mut altered = sealed.clone();
            altered[flip.index(sealed.len())] ^= 1 << bit;
            prop_assert!(key.open(b"a", &altered).is_err());
            prop_assert!(key.open(b"a", &sealed[..flip.index(sealed.len())]).is_err());
        }
    }
}
