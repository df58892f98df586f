use crate::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_settings::{Author, MachineKey, Registry, Store};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use time::OffsetDateTime;

const PASSPHRASE: &str = "correct horse";
const NOW: i64 = 1_795_255_200;

fn machine() -> MachineKey {
    MachineKey::ephemeral().unwrap()
}

fn store(dir: &Path, key: &MachineKey) -> Arc<KeyStore> {
    KeyStore::open(dir, key.clone()).unwrap()
}

fn states(store: &KeyStore) -> Vec<KeyState> {
    store.keys().iter().map(|key| key.state).collect()
}

/// A store whose time is the test's.
fn timed(dir: &Path, key: &MachineKey) -> (Arc<KeyStore>, Arc<AtomicI64>) {
    let seconds = Arc::new(AtomicI64::new(NOW));
    let shared = seconds.clone();
    let now: Now =
        Arc::new(move || OffsetDateTime::from_unix_timestamp(shared.load(Ordering::Relaxed)).unwrap());
    (KeyStore::open_with_clock(dir, key.clone(), now).unwrap(), seconds)
}

#[test]
fn many_that_need_the_first_key_end_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let key = machine();
    let stores = [store(dir.path(), &key), store(dir.path(), &key)];
    let kids: Vec<String> = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..8)
            .map(|n| {
                let store = &stores[n % 2];
                scope.spawn(move || store.active().unwrap().kid().to_owned())
            })
            .collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(kids.iter().all(|kid| kid == &kids[0]), "{kids:?}");
    assert!(is_kid(&kids[0]));
    assert_eq!(store(dir.path(), &key).active().unwrap().kid(), kids[0]);
    let folder = dir.path().join("keystore");
    let file = folder.join("authservice.keys");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the ring and its lock, no temporary file: {names:?}");
}

#[test]
fn keys_go_through_their_states_and_another_process_follows() {
    let dir = tempfile::tempdir().unwrap();
    let key = machine();
    let (here, clock) = timed(dir.path(), &key);
    let there = store(dir.path(), &key);
    let first = here.active().unwrap();
    let signature = first.sign(b"x").unwrap();
    assert!(there.refresh().unwrap());
    assert!(!there.refresh().unwrap(), "nothing new");
    let second = here.generate(KeyType::P256).unwrap();
    assert_eq!(here.active().unwrap().kid(), first.kid());
    here.promote(&second).unwrap();
    here.promote(&second).unwrap();
    there.refresh().unwrap();
    assert_eq!(there.active().unwrap().kid(), second);
    assert_eq!(there.active().unwrap().algorithm(), Algorithm::Es256);
    assert_eq!(states(&there), [KeyState::Retiring, KeyState::Active]);
    assert!(there.verify_key(first.kid()).unwrap().verify(b"x", &signature));
    let rotated = here.rotate(KeyType::P256).unwrap();
    here.revoke(&second).unwrap();
    there.refresh().unwrap();
    assert_eq!(there.active().unwrap().kid(), rotated);
    assert!(there.verify_key(&second).is_none(), "revoked at once");
    assert_eq!(there.public_jwks().keys.len(), 2);
    clock.fetch_add(RETIRING_SECONDS, Ordering::Relaxed);
    assert!(here.verify_key(first.kid()).is_some());
    clock.fetch_add(1, Ordering::Relaxed);
    assert!(here.verify_key(first.kid()).is_none(), "its time is over, before it is erased too");
    here.retire().unwrap();
    assert_eq!(states(&here), [KeyState::Retired, KeyState::Retired, KeyState::Active]);
    let text = fs::read_to_string(dir.path().join("keystore/authservice.keys")).unwrap();
    assert_eq!(text.matches("\"sealed\"").count(), 1, "erased keys are not in the file");
}

#[test]
fn revoking_the_active_key_lets_the_pending_one_sign_else_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &machine());
    let first = store.active().unwrap().kid().to_owned();
    let pending = store.generate(KeyType::P256).unwrap();
    store.revoke(&first).unwrap();
    assert_eq!(store.active().unwrap().kid(), pending);
    store.revoke(&pending).unwrap();
    assert!(store.active_if_any().is_none());
    let third = store.active().unwrap().kid().to_owned();
    assert!(third != first && third != pending);
    assert!(matches!(store.promote(&first), Err(KeyStoreError::WrongState { state: "retired", .. })));
    assert!(store.revoke("my secret").unwrap_err().to_string().contains("43 characters"));
}

#[test]
fn the_ring_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &machine());
    for _ in 0..MAX_KEYS {
        store.generate(KeyType::P256).unwrap();
    }
    assert!(matches!(store.generate(KeyType::P256), Err(KeyStoreError::TooMany { limit: MAX_KEYS })));
    assert!(matches!(store.rotate(KeyType::P256), Err(KeyStoreError::TooMany { .. })));
    assert_eq!(store.keys().len(), MAX_KEYS);
}

#[test]
fn a_damaged_or_altered_file_leaves_the_last_good_ring() {
    let dir = tempfile::tempdir().unwrap();
    let key = machine();
    let used = store(dir.path(), &key);
    let kid = used.rotate(KeyType::P256).unwrap();
    let pending = used.generate(KeyType::P256).unwrap();
    let path = dir.path().join("keystore/authservice.keys");
    let good = fs::read_to_string(&path).unwrap();
    let swapped = good.replace("\"pending\"", "\"retired\"");
    assert_ne!(swapped, good);
    for bad in ["", "{}", &good[..good.len() / 2], swapped.as_str()] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(used.refresh(), Err(KeyStoreError::Damaged { .. })), "{bad}");
        assert!(
            matches!(used.promote(&pending), Err(KeyStoreError::Damaged { .. })),
            "nothing is written over it"
        );
        assert_eq!(used.active().unwrap().kid(), kid);
        assert!(KeyStore::open(dir.path(), key.clone()).is_err());
    }
    fs::write(&path, &good).unwrap();
    assert!(KeyStore::open(dir.path(), machine()).is_err(), "another machine key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(KeyStore::open(dir.path(), key.clone()).unwrap_err().to_string().contains("644"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(store(dir.path(), &key).active().unwrap().kid(), kid);
    fs::remove_file(&path).unwrap();
    assert!(!used.refresh().unwrap());
    assert_eq!(used.active().unwrap().kid(), kid);
}

#[test]
fn an_export_travels_to_another_node_and_back() {
    let (a_dir, b_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a_key = machine();
    let (a, b) = (store(a_dir.path(), &a_key), store(b_dir.path(), &machine()));
    a.rotate(KeyType::P256).unwrap();
    let active = a.rotate(KeyType::P256).unwrap();
    let pending = a.generate(KeyType::P256).unwrap();
    let own = b.rotate(KeyType::P256).unwrap();
    let text = a.export(PASSPHRASE).unwrap();

    let unchanged = a.import(&text, ImportMode::Replace, None).unwrap();
    assert_eq!((unchanged.changed, unchanged.added.len(), unchanged.removed.len()), (false, 0, 0));

    assert!(
        b.import(&text, ImportMode::Merge, None).unwrap_err().to_string().contains("passphrase is needed")
    );
    assert!(b.import(&text, ImportMode::Merge, Some("wrong one")).unwrap_err().to_string().contains("wrong"));
    let merged = b.import(&text, ImportMode::Merge, Some(PASSPHRASE)).unwrap();
    assert_eq!((merged.added.len(), merged.removed.len()), (3, 0));
    assert_eq!(b.active().unwrap().kid(), own, "foreign keys verify only");
    let signature = a.active().unwrap().sign(b"x").unwrap();
    assert!(b.verify_key(&active).unwrap().verify(b"x", &signature));
    assert!(!b.import(&text, ImportMode::Merge, Some(PASSPHRASE)).unwrap().changed);

    let replaced = b.import(&text, ImportMode::Replace, Some(PASSPHRASE)).unwrap();
    assert_eq!(replaced.removed, std::slice::from_ref(&own));
    assert_eq!(b.active().unwrap().kid(), active);
    assert!(b.verify_key(&own).is_none());
    assert!(!b.import(&text, ImportMode::Replace, Some(PASSPHRASE)).unwrap().changed);
    let backup = b_dir.path().join("keystore/authservice.keys.bak");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    b.promote(&pending).unwrap();
    assert!(!backup.exists(), "it may hold what was erased");
    let signature = b.active().unwrap().sign(b"y").unwrap();
    assert!(a.verify_key(&pending).unwrap().verify(b"y", &signature));

    b.revoke(&active).unwrap();
    b.import(&text, ImportMode::Merge, Some(PASSPHRASE)).unwrap();
    assert!(b.verify_key(&active).is_none(), "a revoked key does not come back");
    assert!(matches!(
        b.import(&text, ImportMode::Replace, Some(PASSPHRASE)),
        Err(KeyStoreError::Import { .. })
    ));
    assert_eq!(b.active().unwrap().kid(), pending);
}

/// An export and the machine key it is wrapped to; made once, because stretching a passphrase costs time.
static EXPORTED: LazyLock<(MachineKey, String)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let key = machine();
    let store = store(dir.path(), &key);
    store.rotate(KeyType::P256).unwrap();
    let text = store.export(PASSPHRASE).unwrap();
    (key, text)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_import_is_whole_or_nothing(cut in any::<prop::sample::Index>(), bit in 0_u8..7, garbage in ".{0,200}") {
        let (key, text) = &*EXPORTED;
        let dir = tempfile::tempdir().unwrap();
        let ring = store(dir.path(), key);
        let kid = ring.rotate(KeyType::P256).unwrap();
        let at = cut.index(text.trim_end().len());
        let mut altered = text.clone().into_bytes();
        altered[at] ^= 1 << bit;
        let altered = String::from_utf8_lossy(&altered).into_owned();
        for bad in [&text[..at], altered.as_str(), garbage.as_str()] {
            // White space between members is not part of what the file says; the passphrase's half is not looked at where
            // the machine key opens.
            let before = ring.keys();
            if let Ok(done) = ring.import(bad, ImportMode::Merge, None) {
                prop_assert!(done.added.len() == 1 && bad.len() == text.len());
            } else {
                prop_assert_eq!(ring.keys(), before);
            }
        }
        let active = ring.active().unwrap();
        prop_assert_eq!(active.kid(), kid.as_str());
    }
}

#[test]
fn an_export_says_nothing_and_refuses_weak_stretching() {
    let (key, text) = &*EXPORTED;
    assert!(!text.contains("pkcs8") && !text.contains("\"kid\""), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), key);
    let mut document: serde_json::Value = serde_json::from_str(text).unwrap();
    let jwe = document["jwe"].as_str().unwrap().to_owned();
    let (header, rest) = jwe.split_once('.').unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let weak = header.replace("210000", "1000");
    assert_ne!(weak, header);
    document["jwe"] = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(weak)).into();
    let weak = document.to_string();
    assert!(store.import(&weak, ImportMode::Replace, None).unwrap_err().to_string().contains("too weak"));
    assert!(matches!(store.export("short"), Err(KeyStoreError::Passphrase { .. })));
    assert!(store.keys().is_empty(), "a refused export makes no key");
    let made = KeyStore::generate_passphrase().unwrap();
    assert_eq!(made.len(), 29);
    assert_ne!(*made, *KeyStore::generate_passphrase().unwrap());
}

#[test]
fn files_of_the_first_form_are_read() {
    let text = include_str!("../tests/golden/first-form.keys");
    let dir = tempfile::tempdir().unwrap();
    let ring = store(dir.path(), &machine());
    let import = |passphrase| ring.import(text, ImportMode::Replace, passphrase);
    assert!(import(None).unwrap_err().to_string().contains("passphrase is needed"));
    assert!(import(Some("CorrectHorseBatteryStapler")).unwrap_err().to_string().contains("wrong"));
    import(Some("CorrectHorseBatteryStaple")).unwrap();
    assert_eq!(ring.active().unwrap().kid(), "vrUnRm4c0okYZIXYJplL8Fc8YLjQyloAZUGIrenL-uo");
    // What was read goes on in the form of today.
    let again = ring.export(PASSPHRASE).unwrap();
    assert!(again.contains("\"version\": 2"), "{again}");
    assert!(!ring.import(&again, ImportMode::Replace, Some(PASSPHRASE)).unwrap().changed);
}

#[test]
fn what_stands_beside_the_keys_cannot_be_exchanged() {
    let (key, text) = &*EXPORTED;
    let dir = tempfile::tempdir().unwrap();
    let ring = store(dir.path(), key);
    for (name, value) in [
        ("set_id", "another".into()),
        ("created", 1.into()),
        ("version", 3.into()),
        ("format", "x".into()),
        ("more", "x".into()),
    ] {
        let mut document: serde_json::Value = serde_json::from_str(text).unwrap();
        document[name] = value;
        assert!(ring.import(&document.to_string(), ImportMode::Replace, None).is_err(), "{name}");
    }
}

// ---- the commands ----

struct Commands {
    dir: tempfile::TempDir,
    store: Arc<Store>,
}

impl Commands {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Registry::new([MODULE]).unwrap()).unwrap();
        Self { dir, store }
    }
    fn run(&self, action: &str, arguments: &[Option<&str>]) -> Result<Vec<String>, String> {
        let arguments: Vec<_> = arguments.iter().map(|text| text.map(str::to_owned)).collect();
        let path = "ADP_CLI/Applications/authenticationService/KeyManagement";
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let author = Author("test".to_owned());
        self.store
            .run_action(path, action, &arguments, &author, false, now)
            .map(|done| done.lines)
            .map_err(|problems| problems.to_string())
    }
}

#[test]
fn the_commands_of_the_guide() {
    let here = Commands::new();
    let told = here.run("exportKeys", &[]).unwrap();
    let path = here.dir.path().join("tmp/authService.keys");
    assert_eq!(told[0], path.display().to_string());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let passphrase = told[1].rsplit(' ').next().unwrap().to_owned();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&passphrase));
    assert!(here.run("importKeys", &[Some(&text)]).unwrap()[0].contains("nothing changed"));

    let there = Commands::new();
    assert!(there.run("importKeys", &[Some(&text)]).unwrap_err().contains("passphrase is needed"));
    there.run("importKeys", &[Some(&text), None, Some(&passphrase)]).unwrap();
    let listed = there.run("get", &[]).unwrap();
    assert!(listed[2].contains("active") && listed[2].contains("2048"), "{listed:?}");
    assert_eq!(listed.last().unwrap(), "1 entry found.");

    let kid = there.run("generateKey", &[Some("p-256")]).unwrap().remove(0);
    there.run("promoteKey", &[Some(&kid)]).unwrap();
    there.run("revokeKey", &[Some(&kid)]).unwrap();
    assert!(there.run("revokeKey", &[Some("nobody")]).is_err());
    let rotated = there.run("rotate", &[Some("P-256")]).unwrap().remove(0);
    let listed = there.run("get", &[]).unwrap();
    for (kid, state) in [(&kid, "retired"), (&rotated, "active")] {
        assert!(listed.iter().any(|line| line.contains(kid.as_str()) && line.contains(state)), "{listed:?}");
    }
    assert_eq!(listed.last().unwrap(), "3 entries found.");
}

#[test]
fn exports_stay_in_their_folder() {
    let here = Commands::new();
    for name in ["/var/broadworks/tmp/other.keys", "other.keys"] {
        let told = here.run("exportKeys", &[Some(name), Some(PASSPHRASE)]).unwrap();
        assert_eq!(
            told,
            [here.dir.path().join("tmp/other.keys").display().to_string()],
            "a given passphrase is not printed"
        );
    }
    for name in [
        "/etc/passwd",
        "/var/broadworks/tmp/../x",
        "../x",
        "/var/broadworks/tmp/a/b",
        ".hidden",
        "/var/broadworks/tmp/",
    ] {
        assert!(
            here.run("exportKeys", &[Some(name), Some(PASSPHRASE)]).unwrap_err().contains("only"),
            "{name}"
        );
    }
    let link = here.dir.path().join("tmp/link.keys");
    let target = here.dir.path().join("target");
    fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    here.run("exportKeys", &[Some("link.keys"), Some(PASSPHRASE)]).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
}
