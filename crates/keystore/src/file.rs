//! The ring as a file: JSON, private keys sealed with the machine key, the whole authenticated with it.

use crate::key::{Algorithm, Key, State};
use crate::ring::{Entry, Ring};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openadp_settings::MachineKey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use time::OffsetDateTime;

const FORMAT: &str = "openadp-authservice-keys";
const VERSION: u32 = 1;
/// Largest file that is read: far more than a full ring needs.
pub(crate) const MAX_FILE: u64 = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    body: Body,
    /// SHA-256 of the body as written, sealed with the machine key: nobody else can have written it.
    check: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    format: String,
    version: u32,
    set_id: String,
    keys: Vec<StoredKey>,
    retired: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    kid: String,
    alg: Algorithm,
    state: State,
    created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retires: Option<i64>,
    /// The public half, base64.
    public: String,
    /// The private half in PKCS#8, sealed, base64; absent for keys that only verify.
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<String>,
}

/// The file is not one of ours, or not of this installation, or altered. Never repeats its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(pub(crate) &'static str);

const ALTERED: FileError = FileError("it was altered, or belongs to another installation's machine key");
const UNREADABLE: FileError = FileError("it is not a key file");

fn place(kid: &str) -> String {
    format!("keystore/authservice.keys#{kid}")
}

fn check_of(body: &Body) -> Result<Vec<u8>, FileError> {
    let text = serde_json::to_vec(body).map_err(|_| UNREADABLE)?;
    Ok(digest::digest(&digest::SHA256, &text).as_ref().to_vec())
}

/// The file's content.
pub(crate) fn encode(ring: &Ring, machine: &MachineKey) -> Result<Vec<u8>, FileError> {
    const CANNOT: FileError = FileError("the key ring cannot be sealed");
    let mut keys = Vec::with_capacity(ring.entries.len());
    for entry in &ring.entries {
        let kid = entry.key.kid().to_owned();
        let private = match entry.key.pkcs8() {
            None => None,
            Some(pkcs8) => {
                let sealed = machine.seal(place(&kid).as_bytes(), &pkcs8).map_err(|_| CANNOT)?;
                Some(STANDARD.encode(sealed))
            }
        };
        keys.push(StoredKey {
            kid,
            alg: entry.key.algorithm(),
            state: entry.state,
            created: entry.created.unix_timestamp(),
            retires: entry.retires.map(OffsetDateTime::unix_timestamp),
            public: STANDARD.encode(entry.key.public()),
            private,
        });
    }
    let body = Body {
        format: FORMAT.to_owned(),
        version: VERSION,
        set_id: ring.set_id.clone(),
        keys,
        retired: ring.retired.clone(),
    };
    let sealed = machine.seal(place("").as_bytes(), &check_of(&body)?).map_err(|_| CANNOT)?;
    let mut text =
        serde_json::to_vec_pretty(&Document { body, check: STANDARD.encode(sealed) }).map_err(|_| CANNOT)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a file's content. Keys that `known` has already are not parsed again.
pub(crate) fn decode(text: &[u8], machine: &MachineKey, known: &Ring) -> Result<Ring, FileError> {
    let document: Document = serde_json::from_slice(text).map_err(|_| UNREADABLE)?;
    let body = document.body;
    if body.format != FORMAT {
        return Err(UNREADABLE);
    }
    if body.version != VERSION {
        return Err(FileError("it was written by another release"));
    }
    let sealed = STANDARD.decode(&document.check).map_err(|_| UNREADABLE)?;
    let check = machine.open(place("").as_bytes(), &sealed).map_err(|_| ALTERED)?;
    if *check != check_of(&body)? {
        return Err(ALTERED);
    }
    let mut entries = Vec::with_capacity(body.keys.len());
    for stored in &body.keys {
        if stored.state == State::Retired {
            return Err(UNREADABLE);
        }
        let key = match known.find(&stored.kid) {
            Some(entry) if entry.key.can_sign() == stored.private.is_some() => entry.key.clone(),
            Some(_) | None => Arc::new(read_key(stored, machine)?),
        };
        entries.push(Entry {
            key,
            state: stored.state,
            created: time(stored.created)?,
            retires: stored.retires.map(time).transpose()?,
        });
    }
    Ok(Ring { set_id: body.set_id, entries, retired: body.retired })
}

fn read_key(stored: &StoredKey, machine: &MachineKey) -> Result<Key, FileError> {
    let key = match &stored.private {
        Some(private) => {
            let sealed = STANDARD.decode(private).map_err(|_| UNREADABLE)?;
            let pkcs8 = machine.open(place(&stored.kid).as_bytes(), &sealed).map_err(|_| ALTERED)?;
            Key::from_pkcs8(stored.alg, &pkcs8)
        }
        None => Key::from_public(stored.alg, &STANDARD.decode(&stored.public).map_err(|_| UNREADABLE)?),
    }
    .map_err(|_| UNREADABLE)?;
    if key.kid() == stored.kid { Ok(key) } else { Err(ALTERED) }
}

fn time(seconds: i64) -> Result<OffsetDateTime, FileError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| UNREADABLE)
}
