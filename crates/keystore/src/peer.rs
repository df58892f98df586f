//! How nodes of a farm prove themselves to each other, and what each was last seen to hold. authservice.md 9
//!
//! A request of a peer carries the time, a nonce and an HMAC over both, method, path and body, under the farm's secret. It
//! protects nothing that a repetition could harm: peers read public keys, the ring encrypted under the same secret, and
//! whether a token is good.

use crate::file;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The header of a peer's proof.
pub const PEER_HEADER: &str = "x-openadp-peer";
/// Seconds that the clocks of two nodes may differ.
const WINDOW: i64 = 60;
/// Bytes of the file of peers at most.
const MAX_VIEW: u64 = 1024 * 1024;
/// Seconds that a look at a peer is believed when a key is to be promoted.
pub const FRESH_SECONDS: i64 = 300;

fn mac_input(method: &str, path: &str, body: &[u8], stamp: &str) -> Vec<u8> {
    let mut input = format!("openadp peer v1\n{method}\n{path}\n{stamp}\n").into_bytes();
    input.extend_from_slice(digest(&SHA256, body).as_ref());
    input
}

/// What a peer sends as [`PEER_HEADER`]; the path is what follows the other node's URL, `/keys` say. `None` where the system
/// gives no randomness.
pub fn prove_peer(secret: &str, method: &str, path: &str, body: &[u8], now_unix: i64) -> Option<String> {
    let mut nonce = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut nonce).ok()?;
    let stamp = format!("v1.{now_unix}.{}", URL_SAFE_NO_PAD.encode(nonce));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &mac_input(method, path, body, &stamp));
    Some(format!("{stamp}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// Whether a request proves a peer. Never without a secret.
pub fn is_peer(secret: &str, proof: &str, method: &str, path: &str, body: &[u8], now_unix: i64) -> bool {
    if secret.is_empty() || proof.len() > 256 {
        return false;
    }
    let Some((stamp, tag)) = proof.rsplit_once('.') else { return false };
    let mut parts = stamp.split('.');
    let (Some("v1"), Some(time), Some(_nonce), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let near = time
        .parse::<i64>()
        .is_ok_and(|time| now_unix.saturating_sub(time).unsigned_abs() <= WINDOW.unsigned_abs());
    let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, &mac_input(method, path, body, stamp), &tag).is_ok() && near
}

/// What a peer was last seen to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Seconds since 1970 of the last answer; 0 for never.
    pub seen: i64,
    /// Ids of the keys that it verifies with.
    pub holds: Vec<String>,
    /// Why the last look failed; empty where it did not.
    pub error: String,
}

impl PeerView {
    /// Whether it is known, from a moment ago, to verify with a key.
    pub fn confirms(&self, kid: &str, now_unix: i64) -> bool {
        now_unix.saturating_sub(self.seen) <= FRESH_SECONDS && self.holds.iter().any(|held| held == kid)
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("keystore").join("peers.json")
}

/// What the AuthenticationService of this node saw last, by URL; empty where it never looked.
pub fn read_peers(data_dir: &Path) -> BTreeMap<String, PeerView> {
    let mut text = Vec::new();
    std::fs::File::open(path(data_dir))
        .and_then(|file| file.take(MAX_VIEW).read_to_end(&mut text))
        .ok()
        .and_then(|_| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Writes it.
///
/// # Errors
/// The file cannot be written.
pub fn write_peers(data_dir: &Path, views: &BTreeMap<String, PeerView>) -> Result<(), crate::KeyStoreError> {
    let text = serde_json::to_vec_pretty(views)
        .map_err(|_| crate::KeyStoreError::Crypto { what: "encode the peers" })?;
    file::replace(&path(data_dir), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_255_200;

    #[test]
    fn a_peer_is_who_has_the_secret_and_asks_just_this_now() {
        let proof = prove_peer("0123456789abcdef", "POST", "/validate", b"token=x", NOW).unwrap();
        let asks = |secret: &str, method: &str, path: &str, body: &[u8], now| {
            is_peer(secret, &proof, method, path, body, now)
        };
        assert!(asks("0123456789abcdef", "POST", "/validate", b"token=x", NOW + 59));
        assert!(!asks("0123456789abcdeF", "POST", "/validate", b"token=x", NOW), "another secret");
        assert!(!asks("0123456789abcdef", "GET", "/validate", b"token=x", NOW), "another method");
        assert!(!asks("0123456789abcdef", "POST", "/ring", b"token=x", NOW), "another path");
        assert!(!asks("0123456789abcdef", "POST", "/validate", b"token=y", NOW), "another body");
        assert!(!asks("0123456789abcdef", "POST", "/validate", b"token=x", NOW + 61), "too late");
        assert!(!asks("0123456789abcdef", "POST", "/validate", b"token=x", NOW - 61), "too early");
        let none = prove_peer("", "GET", "/keys", b"", NOW).unwrap();
        assert!(!is_peer("", &none, "GET", "/keys", b"", NOW), "no secret lets nobody in");
        for bad in ["", "v1", "v1.1.2", "v2.1.2.3", "....", &proof[1..], &"v1.".repeat(100)] {
            assert!(!is_peer("0123456789abcdef", bad, "POST", "/validate", b"token=x", NOW), "{bad}");
        }
    }

    #[test]
    fn what_was_seen_is_kept_and_grows_old() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_peers(folder.path()).is_empty());
        std::fs::create_dir(folder.path().join("keystore")).unwrap();
        let view = PeerView { seen: NOW, holds: vec!["k".to_owned()], error: String::new() };
        let views = BTreeMap::from([("https://b.example/authService".to_owned(), view.clone())]);
        write_peers(folder.path(), &views).unwrap();
        assert_eq!(read_peers(folder.path()), views);
        assert!(view.confirms("k", NOW + FRESH_SECONDS) && !view.confirms("k", NOW + FRESH_SECONDS + 1));
        assert!(!view.confirms("other", NOW));
    }
}
