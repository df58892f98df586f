//! What a kill, a full disk and a damaged file leave.

use super::*;

#[test]
fn killed_at_any_moment_of_writing_the_last_revision_the_one_before_is_intact() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings/revisions.jsonl");
    let store = Store::open(dir.path(), house()).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("code", "old"), ("openSeconds", "11")])]).unwrap();
    let (intact, before) = (std::fs::read(&path).unwrap(), store.current());
    commit(&store, vec![set(DOOR, &[], &[("code", "new"), ("openSeconds", "12")])]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in intact.len()..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let reopened = Store::open(dir.path(), house()).unwrap();
        assert_eq!(reopened.current(), before, "cut at {length}");
        assert_eq!(reopened.revisions(0..=9).unwrap().len(), 1);
        // The next change takes the torn line's place.
        commit(&reopened, vec![set(DOOR, &[], &[("openSeconds", "13")])]).unwrap();
        let again = Store::open(dir.path(), house()).unwrap();
        assert_eq!((again.get::<Door>().open_seconds, again.current().revision()), (13, 2));
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(Store::open(dir.path(), house()).unwrap().get::<Door>().open_seconds, 12);
}

#[test]
fn a_damaged_journal_is_reported_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings/revisions.jsonl");
    let store = Store::open(dir.path(), house()).unwrap();
    for seconds in ["1", "2", "3"] {
        commit(&store, vec![set(DOOR, &[], &[("openSeconds", seconds)])]).unwrap();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Store::open(dir.path(), house()), Err(OpenError::Damaged { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn another_machine_key_is_an_error_and_not_an_empty_secret() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), house()).unwrap();
    commit(&store, vec![set(DOOR, &[], &[("code", "old")])]).unwrap();
    std::fs::remove_file(dir.path().join("settings/machine.key")).unwrap();
    assert!(matches!(Store::open(dir.path(), house()), Err(OpenError::Secret(_))));
}

/// A disk that takes so many bytes more.
struct FullDisk {
    room: usize,
    truncates: bool,
    bytes: MemoryMedium,
}

impl Medium for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }
    fn read_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        self.bytes.read_from(offset)
    }
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fits = bytes.len().min(self.room);
        self.room -= fits;
        self.bytes.append_at(offset, &bytes[..fits])?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if self.truncates { self.bytes.truncate(len) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

#[test]
fn a_full_disk_refuses_the_change_and_keeps_the_revisions_before() {
    for truncates in [true, false] {
        for room in (1..1200).step_by(50) {
            let disk = FullDisk { room, truncates, bytes: MemoryMedium::default() };
            let key = MachineKey::ephemeral().unwrap();
            let store = Store::over(house(), PathBuf::new(), key, None, Box::new(disk));
            let mut accepted = 0;
            for seconds in 11..20_u32 {
                match commit(&store, vec![set(DOOR, &[], &[("openSeconds", &seconds.to_string())])]) {
                    Ok(_) => accepted = seconds,
                    Err(problems) => {
                        assert!(problems.is_unavailable(), "{problems}");
                        break;
                    }
                }
            }
            let expected = if accepted == 0 { 10 } else { accepted };
            assert_eq!(store.get::<Door>().open_seconds, expected);
            let revisions = store.revisions(0..=99).unwrap();
            assert_eq!(revisions.len() as u64, store.current().revision());
            assert_eq!(revisions.len() as u64, u64::from(accepted.saturating_sub(10)));
        }
    }
}
