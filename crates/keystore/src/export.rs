//! Carrying the ring to another installation: one JSON file, encrypted and authenticated under a passphrase, and wrapped to
//! this installation's machine key, so that importing it here needs none. There is no plain form.
//!
//! The keys are the plaintext of a compact JWE (RFC 7516, RFC 7518 4.8): `PBES2-HS512+A256KW`, `A256GCM`. authservice.md 9.

use crate::file::FileError;
use crate::key::{Algorithm, Key, State};
use crate::ring::{Entry, Ring};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openadp_settings::MachineKey;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;
use time::OffsetDateTime;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const FORMAT: &str = "openadp-authservice-keys-export";
const VERSION: u32 = 1;
/// Rounds of PBKDF2; OWASP's figure for HMAC-SHA512.
const ITERATIONS: u32 = 210_000;
/// Fewer rounds in a file are refused: whoever wrote it did not mean to protect it.
const MIN_ITERATIONS: u32 = 100_000;
/// More would only keep us busy.
const MAX_ITERATIONS: u32 = 2_000_000;
/// Largest export that is read, in characters.
pub const MAX_EXPORT: usize = 1024 * 1024;
/// Shortest passphrase that an export takes, in characters.
pub const MIN_PASSPHRASE: usize = 8;
const ALGORITHM: &str = "PBES2-HS512+A256KW";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    set_id: String,
    created: i64,
    /// The keys, a compact JWE.
    keys_encrypted: String,
    /// The JWE's content key, sealed with the machine key of the installation that exported.
    wrapped_here: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    enc: String,
    p2s: String,
    p2c: u32,
    /// Authenticated copies of what stands outside.
    set_id: String,
    created: i64,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct PlainKey {
    kid: String,
    #[zeroize(skip)]
    alg: Algorithm,
    #[zeroize(skip)]
    state: State,
    created: i64,
    retires: Option<i64>,
    /// PKCS#8, base64, or nothing for a key that only verifies.
    private: Option<String>,
    public: String,
}

/// What an export held.
pub(crate) struct Imported {
    pub(crate) set_id: String,
    pub(crate) entries: Vec<Entry>,
}

const UNREADABLE: FileError = FileError("it is not an export of keys");
/// One text for a wrong passphrase and an altered file: they cannot be told apart.
const REFUSED: FileError = FileError("the passphrase is wrong, or the file was altered");
const CANNOT: FileError = FileError("the keys cannot be encrypted");

pub(crate) fn export(
    ring: &Ring,
    passphrase: &str,
    machine: &MachineKey,
    now: OffsetDateTime,
) -> Result<String, FileError> {
    if passphrase.chars().count() < MIN_PASSPHRASE {
        return Err(FileError("a passphrase has at least 8 characters"));
    }
    let plain: Vec<PlainKey> = ring
        .entries
        .iter()
        .map(|entry| PlainKey {
            kid: entry.key.kid().to_owned(),
            alg: entry.key.algorithm(),
            state: entry.state,
            created: entry.created.unix_timestamp(),
            retires: entry.retires.map(OffsetDateTime::unix_timestamp),
            private: entry.key.pkcs8().map(|pkcs8| STANDARD.encode(&*pkcs8)),
            public: STANDARD.encode(entry.key.public()),
        })
        .collect();
    let mut salt = [0_u8; 16];
    let mut content_key = Zeroizing::new([0_u8; 32]);
    let mut iv = [0_u8; 12];
    for bytes in [&mut salt[..], &mut content_key[..], &mut iv[..]] {
        aws_lc_rs::rand::fill(bytes).map_err(|_| CANNOT)?;
    }
    let header = Header {
        alg: ALGORITHM.to_owned(),
        enc: "A256GCM".to_owned(),
        p2s: URL_SAFE_NO_PAD.encode(salt),
        p2c: ITERATIONS,
        set_id: ring.set_id.clone(),
        created: now.unix_timestamp(),
    };
    let protected = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(|_| CANNOT)?);
    let wrapping = derive(passphrase, &salt, ITERATIONS)?;
    let mut wrapped = [0_u8; 40];
    let kek = AesKek::new(&AES_256, &*wrapping).map_err(|_| CANNOT)?;
    let wrapped = kek.wrap(&*content_key, &mut wrapped).map_err(|_| CANNOT)?;
    let mut text = Zeroizing::new(serde_json::to_vec(&plain).map_err(|_| CANNOT)?);
    let tag = gcm(&content_key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(protected.as_bytes()),
            &mut text,
        )
        .map_err(|_| CANNOT)?;
    let keys_encrypted = [
        protected.clone(),
        URL_SAFE_NO_PAD.encode(wrapped),
        URL_SAFE_NO_PAD.encode(iv),
        URL_SAFE_NO_PAD.encode(&*text),
        URL_SAFE_NO_PAD.encode(tag.as_ref()),
    ]
    .join(".");
    let wrapped_here = machine.seal(place(&protected).as_bytes(), &*content_key).map_err(|_| CANNOT)?;
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        set_id: ring.set_id.clone(),
        created: now.unix_timestamp(),
        keys_encrypted,
        wrapped_here: STANDARD.encode(wrapped_here),
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(|_| CANNOT)?;
    text.push('\n');
    Ok(text)
}

pub(crate) fn import(
    text: &str,
    passphrase: Option<&str>,
    machine: &MachineKey,
) -> Result<Imported, FileError> {
    if text.len() > MAX_EXPORT {
        return Err(FileError("it is larger than an export of keys can be"));
    }
    let document: Document = serde_json::from_str(text).map_err(|_| UNREADABLE)?;
    if document.format != FORMAT || document.version != VERSION {
        return Err(UNREADABLE);
    }
    let parts: Vec<&str> = document.keys_encrypted.split('.').collect();
    let [protected, wrapped, iv, ciphertext, tag] = parts.as_slice() else { return Err(UNREADABLE) };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| UNREADABLE);
    let header: Header = serde_json::from_slice(&part(protected)?).map_err(|_| UNREADABLE)?;
    if header.alg != ALGORITHM || header.enc != "A256GCM" {
        return Err(UNREADABLE);
    }
    let content_key = match passphrase {
        None => {
            let sealed = STANDARD.decode(&document.wrapped_here).map_err(|_| UNREADABLE)?;
            machine
                .open(place(protected).as_bytes(), &sealed)
                .map_err(|_| FileError("it was exported by another installation: its passphrase is needed"))?
        }
        Some(passphrase) => {
            if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&header.p2c) {
                return Err(FileError("its number of rounds is out of bounds"));
            }
            let wrapping = derive(passphrase, &part(&header.p2s)?, header.p2c)?;
            let kek = AesKek::new(&AES_256, &*wrapping).map_err(|_| REFUSED)?;
            let wrapped = part(wrapped)?;
            if wrapped.len() != 40 {
                return Err(UNREADABLE);
            }
            let mut opened = Zeroizing::new(vec![0_u8; 32]);
            kek.unwrap(&wrapped, &mut opened).map_err(|_| REFUSED)?;
            opened
        }
    };
    let content_key = Zeroizing::new(<[u8; 32]>::try_from(content_key.as_slice()).map_err(|_| REFUSED)?);
    let mut sealed = Zeroizing::new(part(ciphertext)?);
    sealed.extend_from_slice(&part(tag)?);
    let iv = <[u8; 12]>::try_from(part(iv)?.as_slice()).map_err(|_| UNREADABLE)?;
    let plain = gcm(&content_key)?
        .open_in_place(Nonce::assume_unique_for_key(iv), Aad::from(protected.as_bytes()), &mut sealed)
        .map_err(|_| REFUSED)?;
    if header.set_id != document.set_id || header.created != document.created {
        return Err(REFUSED);
    }
    let keys: Vec<PlainKey> = serde_json::from_slice(plain).map_err(|_| UNREADABLE)?;
    let entries = keys.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Imported { set_id: header.set_id, entries })
}

fn read(plain: &PlainKey) -> Result<Entry, FileError> {
    const BAD: FileError = FileError("one of its keys is damaged");
    let key = match &plain.private {
        Some(private) => {
            let pkcs8 = Zeroizing::new(STANDARD.decode(private).map_err(|_| BAD)?);
            let key = Key::from_pkcs8(plain.alg, &pkcs8).map_err(|_| BAD)?;
            if !key.self_test() {
                return Err(BAD);
            }
            key
        }
        None => {
            let public = STANDARD.decode(&plain.public).map_err(|_| BAD)?;
            Key::from_public(plain.alg, &public).map_err(|_| BAD)?
        }
    };
    if key.kid() != plain.kid || plain.state == State::Retired {
        return Err(BAD);
    }
    let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| BAD);
    Ok(Entry {
        key: Arc::new(key),
        state: plain.state,
        created: time(plain.created)?,
        retires: plain.retires.map(time).transpose()?,
    })
}

fn place(protected: &str) -> String {
    format!("keystore/export#{protected}")
}

fn gcm(key: &[u8; 32]) -> Result<LessSafeKey, FileError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| CANNOT)
}

/// RFC 7518 4.8.1.1: the salt is the algorithm's name, a zero byte, and `p2s`.
fn derive(passphrase: &str, salt_input: &[u8], rounds: u32) -> Result<Zeroizing<[u8; 32]>, FileError> {
    let mut salt = ALGORITHM.as_bytes().to_vec();
    salt.push(0);
    salt.extend_from_slice(salt_input);
    let mut key = Zeroizing::new([0_u8; 32]);
    let rounds = NonZeroU32::new(rounds).ok_or(UNREADABLE)?;
    pbkdf2::derive(PBKDF2_HMAC_SHA512, rounds, &salt, passphrase.as_bytes(), &mut *key);
    Ok(key)
}
