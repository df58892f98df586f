//! Bearer tokens: none that was not signed by the ring is valid.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_keystore::KeyStore;
use openadp_settings::{Registry, Store};
use openadp_token::{Expected, validate};
use std::sync::{Arc, OnceLock};

fn ring() -> &'static KeyStore {
    static RING: OnceLock<(tempfile::TempDir, Arc<KeyStore>)> = OnceLock::new();
    let (_folder, ring) = RING.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_memory(Registry::new([]).expect("no declarations"));
        let ring = KeyStore::open(folder.path(), store.machine_key().clone()).expect("a ring");
        ring.active().expect("a key");
        (folder, ring)
    });
    ring
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(validate(ring(), text, 1_795_255_200, &Expected { issuer: "BroadWorks" }).is_err());
    }
});
