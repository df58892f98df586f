//! The file that carries keys between installations: encrypted and authenticated under a passphrase, and wrapped to the
//! machine key of the installation that made it, so that importing it there needs no passphrase. There is no plain form.
//!
//! The keys are in a JWE (RFC 7516, compact) of `PBES2-HS512+A256KW` and `A256GCM` (RFC 7518 4.8 and 5.3), which any JOSE
//! library opens with the passphrase; its content key is also sealed by the machine key. What is readable beside it is
//! repeated inside and must agree. Files of the first form, which no other software reads, are still read.

mod first;

use crate::file::MAX_FILE;
use crate::key::{SigningKey, VerifyKey};
use crate::ring::{KeyState, Record, Ring};
use crate::{Algorithm, KeyStoreError, PublicJwk};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA512, derive};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_settings::MachineKey;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use zeroize::{Zeroize, Zeroizing};

/// Fewest characters of a passphrase.
pub const MIN_PASSPHRASE: usize = 8;
/// Most characters of a passphrase.
pub const MAX_PASSPHRASE: usize = 256;
/// Rounds of PBKDF2 in files that we write, and the fewest in files that we read.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(210_000).unwrap();
/// Most rounds in a file that we read: about two seconds of work that a file may ask of us.
const MAX_ITERATIONS: u32 = 2_000_000;
const FORMAT: &str = "xsp-authservice-keys";
const VERSION: u32 = 2;
/// Longer headers are none that anybody writes.
const MAX_HEADER: usize = 1024;
const ALG: &str = "PBES2-HS512+A256KW";
const ENC: &str = "A256GCM";
const TAG_LEN: usize = 16;
/// A content key as it is wrapped (RFC 3394): eight bytes more.
const WRAPPED_LEN: usize = KEY_LEN + 8;
const SALT_LEN: usize = 16;
const KEY_LEN: usize = 32;
/// 120 bits in letters and digits that cannot be taken for one another.
const GENERATED_CHARACTERS: usize = 24;
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    set_id: String,
    /// Seconds since 1970.
    created: i64,
    /// The content key under the machine key, bound to the JWE's header.
    machine: String,
    /// The keys.
    jwe: String,
}

/// What is in the JWE.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    set_id: String,
    created: i64,
    keys: Vec<Carried>,
}

/// The JWE's protected header.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    enc: String,
    cty: String,
    p2s: String,
    p2c: u32,
}

/// One key in the encrypted part.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    kid: String,
    alg: Algorithm,
    state: KeyState,
    created: i64,
    until: Option<i64>,
    spki: String,
    pkcs8: Option<String>,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.pkcs8.zeroize();
    }
}

/// The associated data under which a private key is sealed in the ring's file.
pub(crate) fn private_aad(kid: &str) -> Vec<u8> {
    format!("keystore private {kid}").into_bytes()
}

/// A passphrase with 120 bits from the system.
pub(crate) fn generate_passphrase() -> Result<Zeroizing<String>, KeyStoreError> {
    let mut random = Zeroizing::new([0_u8; GENERATED_CHARACTERS]);
    aws_lc_rs::rand::fill(random.as_mut_slice())
        .map_err(|_| KeyStoreError::Crypto { what: "random bytes" })?;
    let mut text = Zeroizing::new(String::with_capacity(GENERATED_CHARACTERS + 5));
    for (index, byte) in random.iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    Ok(text)
}

/// Writes the ring's keys for another installation.
pub(crate) fn write(
    ring: &Ring,
    machine_key: &MachineKey,
    passphrase: &str,
    now: i64,
) -> Result<String, KeyStoreError> {
    check_passphrase(passphrase)?;
    let mut carried = Vec::new();
    for key in ring.keys.iter().filter(|key| key.state != KeyState::Retired) {
        let pkcs8 = match &key.sealed {
            Some(sealed) => {
                Some(URL_SAFE_NO_PAD.encode(open_private(&key.kid, sealed, machine_key)?.as_slice()))
            }
            None => None,
        };
        carried.push(Carried {
            kid: key.kid.clone(),
            alg: key.alg,
            state: key.state,
            created: key.created,
            until: key.until,
            spki: key.spki.clone(),
            pkcs8,
        });
    }
    let salt: [u8; SALT_LEN] = random()?;
    let header = Header {
        alg: ALG.to_owned(),
        enc: ENC.to_owned(),
        cty: "application/json".to_owned(),
        p2s: URL_SAFE_NO_PAD.encode(salt),
        p2c: ITERATIONS.get(),
    };
    let protected = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(|_| encode())?);
    let content_key = Zeroizing::new(random::<KEY_LEN>()?);
    let mut wrapped = [0; WRAPPED_LEN];
    let wrapped = wrapping(passphrase, &salt, ITERATIONS)?
        .wrap(content_key.as_slice(), &mut wrapped)
        .map_err(|_| KeyStoreError::Crypto { what: "wrap a key" })?;
    let content = Content { set_id: ring.set_id.clone(), created: now, keys: carried };
    let plain = Zeroizing::new(serde_json::to_vec(&content).map_err(|_| encode())?);
    let sealed = seal(&content_key, protected.as_bytes(), &plain)?;
    let (nonce, sealed) = sealed.split_at(NONCE_LEN);
    let (text, tag) = sealed.split_at(sealed.len() - TAG_LEN);
    let encoded = [wrapped, nonce, text, tag].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        set_id: content.set_id.clone(),
        created: now,
        machine: URL_SAFE_NO_PAD.encode(machine_key.seal(protected.as_bytes(), content_key.as_slice())?),
        jwe: format!("{protected}.{encoded}"),
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(|_| encode())?;
    text.push('\n');
    Ok(text)
}

/// Reads an exported file: whole and checked, or not at all. Private keys come back sealed by our machine key.
pub(crate) fn read(
    text: &str,
    machine_key: &MachineKey,
    passphrase: Option<&str>,
) -> Result<Ring, KeyStoreError> {
    let refuse = KeyStoreError::import;
    if text.len() > MAX_FILE {
        return Err(refuse("the file is too long"));
    }
    let truncated = || refuse("the file is truncated, or no export of this suite");
    let said: Said = serde_json::from_str(text).map_err(|_| truncated())?;
    let content = match said.of() {
        Some((FORMAT, VERSION)) => {
            let document: Document = serde_json::from_str(text).map_err(|_| truncated())?;
            open_jwe(&document, machine_key, passphrase)?
        }
        Some((FORMAT, first::VERSION)) => first::open(text, machine_key, passphrase)?,
        _ => return Err(refuse("the file was written by another version or product")),
    };
    let mut ring = Ring { set_id: content.set_id.clone(), keys: Vec::new() };
    for key in &content.keys {
        let record = check(key, machine_key)?;
        if ring.find(&record.kid).is_some() {
            return Err(refuse("a key is in it twice"));
        }
        if record.state == KeyState::Active && ring.active().is_some() {
            return Err(refuse("it holds two active keys"));
        }
        ring.keys.push(record);
    }
    if ring.active().is_none() {
        return Err(refuse("it holds no active key"));
    }
    Ok(ring)
}

/// What every form of the file says of itself.
#[derive(Deserialize)]
struct Said {
    format: Option<String>,
    version: Option<u32>,
    header: Option<Box<Said>>,
}

impl Said {
    fn of(&self) -> Option<(&str, u32)> {
        let said = self.header.as_deref().unwrap_or(self);
        Some((said.format.as_deref()?, said.version?))
    }
}

/// The keys of a file, decrypted.
fn open_jwe(
    document: &Document,
    machine_key: &MachineKey,
    passphrase: Option<&str>,
) -> Result<Content, KeyStoreError> {
    let refuse = KeyStoreError::import;
    let altered = || refuse("the file is altered");
    let mut parts = document.jwe.split('.');
    let mut part = || parts.next().ok_or_else(altered);
    let (protected, rest) = (part()?, [part()?, part()?, part()?, part()?]);
    if parts.next().is_some() || protected.len() > MAX_HEADER {
        return Err(altered());
    }
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| altered());
    let header: Header = serde_json::from_slice(&decode(protected)?).map_err(|_| altered())?;
    if header.alg != ALG || header.enc != ENC {
        return Err(refuse("the file is encrypted in another way than this suite does"));
    }
    let iterations = rounds(header.p2c)?;
    let [wrapped, nonce, text, tag] = rest;
    let content_key = if let Ok(key) = machine_key.open(protected.as_bytes(), &decode(&document.machine)?) {
        key
    } else {
        let passphrase = passphrase.ok_or_else(needs_passphrase)?;
        let mut key = Zeroizing::new([0_u8; WRAPPED_LEN]);
        let unwrapped = wrapping(passphrase, &decode(&header.p2s)?, iterations)?
            .unwrap(&decode(wrapped)?, key.as_mut_slice())
            .map_err(|_| wrong_passphrase())?;
        Zeroizing::new(unwrapped.to_vec())
    };
    let content_key: &[u8; KEY_LEN] = content_key.as_slice().try_into().map_err(|_| altered())?;
    let (nonce, tag) = (decode(nonce)?, decode(tag)?);
    if nonce.len() != NONCE_LEN || tag.len() != TAG_LEN {
        return Err(altered());
    }
    let sealed = [nonce, decode(text)?, tag].concat();
    let plain = open(content_key, protected.as_bytes(), &sealed).ok_or_else(altered)?;
    let content: Content = serde_json::from_slice(&plain).map_err(|_| refuse("the keys are malformed"))?;
    if (&content.set_id, content.created) != (&document.set_id, document.created) {
        return Err(altered());
    }
    Ok(content)
}

fn needs_passphrase() -> KeyStoreError {
    KeyStoreError::import("a passphrase is needed, since another installation made the file")
}

fn wrong_passphrase() -> KeyStoreError {
    KeyStoreError::import("the passphrase is wrong, or the file is altered")
}

fn rounds(asked: u32) -> Result<NonZeroU32, KeyStoreError> {
    NonZeroU32::new(asked)
        .filter(|rounds| *rounds >= ITERATIONS && rounds.get() <= MAX_ITERATIONS)
        .ok_or_else(|| KeyStoreError::import("the file's key derivation is too weak or too costly"))
}

/// The key that wraps the content key. RFC 7518 4.8.1.1: the salt is the algorithm's name, a zero, and `p2s`.
fn wrapping(passphrase: &str, salt: &[u8], iterations: NonZeroU32) -> Result<AesKek, KeyStoreError> {
    let salt = [ALG.as_bytes(), &[0], salt].concat();
    let key = stretch(passphrase, &salt, iterations);
    AesKek::new(&AES_256, key.as_slice()).map_err(|_| KeyStoreError::Crypto { what: "wrap a key" })
}

/// Checks one key: id, size, state, and that what its private half signs verifies with its public half.
fn check(key: &Carried, machine_key: &MachineKey) -> Result<Record, KeyStoreError> {
    let refuse = || KeyStoreError::import("a key is malformed");
    let spki = URL_SAFE_NO_PAD.decode(&key.spki).map_err(|_| refuse())?;
    let verify = VerifyKey::new(key.alg, &spki, None).map_err(|_| refuse())?;
    if verify.kid() != key.kid || !allowed_size(verify.jwk()) {
        return Err(refuse());
    }
    let sealed = match (&key.pkcs8, key.state) {
        (Some(pkcs8), KeyState::Active | KeyState::Pending) => {
            let pkcs8 = Zeroizing::new(URL_SAFE_NO_PAD.decode(pkcs8).map_err(|_| refuse())?);
            let signing = SigningKey::from_pkcs8(key.alg, &pkcs8).map_err(|_| refuse())?;
            let signature = signing.sign(b"self test")?;
            if signing.kid() != key.kid || !verify.verify(b"self test", &signature) {
                return Err(refuse());
            }
            Some(seal_private(&key.kid, &pkcs8, machine_key)?)
        }
        (None, KeyState::Retiring) if key.until.is_some() => None,
        _ => return Err(refuse()),
    };
    Ok(Record {
        kid: key.kid.clone(),
        alg: key.alg,
        state: key.state,
        bits: u32::try_from(verify.jwk().bits()).unwrap_or_default(),
        created: key.created,
        until: if key.state == KeyState::Retiring { key.until } else { None },
        spki: key.spki.clone(),
        sealed,
        revoked: false,
    })
}

fn allowed_size(jwk: &PublicJwk) -> bool {
    match jwk {
        PublicJwk::Ec { .. } => true,
        PublicJwk::Rsa { .. } => (2048..=4096).contains(&jwk.bits()),
    }
}

pub(crate) fn seal_private(
    kid: &str,
    pkcs8: &[u8],
    machine_key: &MachineKey,
) -> Result<String, KeyStoreError> {
    Ok(URL_SAFE_NO_PAD.encode(machine_key.seal(&private_aad(kid), pkcs8)?))
}

pub(crate) fn open_private(
    kid: &str,
    sealed: &str,
    machine_key: &MachineKey,
) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    let sealed =
        URL_SAFE_NO_PAD.decode(sealed).map_err(|_| KeyStoreError::Crypto { what: "open a private key" })?;
    Ok(machine_key.open(&private_aad(kid), &sealed)?)
}

/// Checks the length of a passphrase that protects a new file.
pub(crate) fn check_passphrase(passphrase: &str) -> Result<(), KeyStoreError> {
    if (MIN_PASSPHRASE..=MAX_PASSPHRASE).contains(&passphrase.chars().count()) {
        Ok(())
    } else {
        Err(KeyStoreError::Passphrase { min: MIN_PASSPHRASE, max: MAX_PASSPHRASE })
    }
}

fn encode() -> KeyStoreError {
    KeyStoreError::Crypto { what: "encode the keys" }
}

fn random<const N: usize>() -> Result<[u8; N], KeyStoreError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyStoreError::Crypto { what: "random bytes" })?;
    Ok(bytes)
}

fn stretch(passphrase: &str, salt: &[u8], iterations: NonZeroU32) -> Zeroizing<[u8; KEY_LEN]> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    derive(PBKDF2_HMAC_SHA512, iterations, salt, passphrase.as_bytes(), key.as_mut_slice());
    key
}

fn aead(key: &[u8; KEY_LEN]) -> Result<LessSafeKey, KeyStoreError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| KeyStoreError::Crypto { what: "encrypt" })?;
    Ok(LessSafeKey::new(key))
}

fn seal(key: &[u8; KEY_LEN], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut text = plain.to_vec();
    aead(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text)
        .map_err(|_| KeyStoreError::Crypto { what: "encrypt" })?;
    Ok([nonce.as_slice(), &text].concat())
}

fn open(key: &[u8; KEY_LEN], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = aead(key)
        .ok()?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut text)
        .ok()?
        .len();
    text.truncate(length);
    Some(text)
}
