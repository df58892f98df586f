//! Files as they were written before there was a JWE in them: a data key that encrypts the keys (AES-256-GCM) and is wrapped
//! under PBKDF2-HMAC-SHA512 of the passphrase (AES-256-GCM) and by the machine key. Everything readable is associated data.

use super::{Carried, Content, KEY_LEN, needs_passphrase, rounds, stretch, wrong_passphrase};
use crate::KeyStoreError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_settings::MachineKey;
use serde::{Deserialize, Serialize};

pub(super) const VERSION: u32 = 1;
const KDF: &str = "PBKDF2-HMAC-SHA512";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    set_id: String,
    created: i64,
    kdf: String,
    iterations: u32,
    salt: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    header: Header,
    /// The data key under the passphrase.
    passphrase: String,
    /// The data key under the machine key.
    machine: String,
    /// The keys under the data key.
    keys: String,
}

/// The keys of a file, decrypted.
pub(super) fn open(
    text: &str,
    machine_key: &MachineKey,
    passphrase: Option<&str>,
) -> Result<Content, KeyStoreError> {
    let refuse = KeyStoreError::import;
    let altered = || refuse("the file is altered");
    let document: Document = serde_json::from_str(text)
        .map_err(|_| refuse("the file is truncated, or no export of this suite"))?;
    let header = &document.header;
    if header.kdf != KDF {
        return Err(refuse("the file was written by another version or product"));
    }
    let iterations = rounds(header.iterations)?;
    let aad = serde_json::to_vec(header).map_err(|_| altered())?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| altered());
    let data_key = if let Ok(key) = machine_key.open(&aad, &decode(&document.machine)?) {
        key
    } else {
        let passphrase = passphrase.ok_or_else(needs_passphrase)?;
        let key = stretch(passphrase, &decode(&header.salt)?, iterations);
        super::open(&key, &aad, &decode(&document.passphrase)?).ok_or_else(wrong_passphrase)?
    };
    let data_key: &[u8; KEY_LEN] = data_key.as_slice().try_into().map_err(|_| altered())?;
    let plain = super::open(data_key, &aad, &decode(&document.keys)?).ok_or_else(altered)?;
    let keys: Vec<Carried> = serde_json::from_slice(&plain).map_err(|_| refuse("the keys are malformed"))?;
    Ok(Content { set_id: header.set_id.clone(), created: header.created, keys })
}
