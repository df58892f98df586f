//! Bearer tokens: none that was not signed by the ring is valid, and what the ring signed says what a token must.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use openadp_keystore::{KeyStore, KeyType};
use openadp_settings::{Registry, Store};
use openadp_token::{Expected, MAX_HOURS, validate};
use std::sync::{Arc, OnceLock};

const NOW: i64 = 1_795_255_200;

fn ring() -> &'static KeyStore {
    static RING: OnceLock<(tempfile::TempDir, Arc<KeyStore>)> = OnceLock::new();
    let (_folder, ring) = RING.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_memory(Registry::new([]).expect("no declarations"));
        let ring = KeyStore::open(folder.path(), store.machine_key().clone()).expect("a ring");
        ring.rotate(KeyType::P256).expect("a key");
        (folder, ring)
    });
    ring
}

fuzz_target!(|bytes: &[u8]| {
    let expected = Expected { issuer: "BroadWorks" };
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(validate(ring(), text, NOW, &expected).is_err());
    }
    // Header and payload as they come, signed as only the ring can: what a thief of the signature could make.
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (header, payload) = bytes.split_at(at);
    let key = ring().active().expect("a key");
    let good = format!(r#"{{"alg":"ES256","kid":"{}","typ":"bwllt+jwt"}}"#, key.kid());
    for header in [header, good.as_bytes()] {
        let payload = payload.get(1..).unwrap_or(header);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).expect("signed"));
        if let Ok(valid) = validate(ring(), &format!("{signed}.{signature}"), NOW, &expected) {
            let claims = valid.claims();
            assert!(claims.kind == "llt" && claims.iss == "BroadWorks" && !claims.sub.is_empty());
            assert!(claims.exp > NOW - 60 && claims.lifetime() <= MAX_HOURS * 3600);
        }
    }
});
