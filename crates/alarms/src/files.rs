//! What the processes of a data directory write of their alarms, and how it is read.
//!
//! `alarms/active/NAME-PID.json` is what is raised in a process, written whole at each change; a lock on
//! `NAME-PID.lock` tells that the process lives, so what a killed one left counts no more. `alarms/history.jsonl` has a line
//! for each event of all processes, and is set aside once as `history.1.jsonl` when it is full.

use crate::Record;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const HISTORY: &str = "history.jsonl";
const EARLIER: &str = "history.1.jsonl";
/// Processes whose files are looked at; more than any node runs.
const MAX_PROCESSES: usize = 256;
/// Bytes read of one file at most: the largest that the history may become, and what goes with it.
const MAX_READ: u64 = 130 * 1024 * 1024;

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("alarms")
}

/// The files of one process.
#[derive(Debug)]
pub struct AlarmFiles {
    folder: PathBuf,
    process: String,
    /// Locked as long as the process lives.
    _lock: File,
}

impl AlarmFiles {
    /// Makes the folders, and the mark that this process lives. `name` is its name, of letters, digits and hyphens.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn open(data_dir: &Path, name: &str) -> io::Result<Self> {
        let folder = folder(data_dir);
        DirBuilder::new().recursive(true).mode(0o700).create(folder.join("active"))?;
        let process = format!("{name}-{}", std::process::id());
        let lock = private()
            .create(true)
            .truncate(false)
            .open(folder.join("active").join(format!("{process}.lock")))?;
        // Another part of this process may have it already: then it lives as well.
        let _held = lock.try_lock_shared();
        Ok(Self { folder, process, _lock: lock })
    }

    /// The process as records name it.
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Writes what is raised now.
    ///
    /// # Errors
    /// The disk is full, most likely; what was written before stays.
    pub fn write_active(&self, raised: &[Record]) -> io::Result<()> {
        let file = self.folder.join("active").join(format!("{}.json", self.process));
        let temporary = file.with_extension("tmp");
        let named: Vec<Record> = raised.iter().map(|record| self.named(record)).collect();
        let mut writing = private().create(true).truncate(true).open(&temporary)?;
        writing.write_all(&serde_json::to_vec(&named)?)?;
        drop(writing);
        std::fs::rename(&temporary, &file)
    }

    /// Adds to the history, which is set aside once it is longer than `most` bytes.
    ///
    /// # Errors
    /// The disk is full, most likely.
    pub fn append(&self, events: &[Record], most: u64) -> io::Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, &self.named(event))?;
            lines.push(b'\n');
        }
        let guard = private().create(true).truncate(false).open(self.folder.join("history.lock"))?;
        guard.lock()?;
        let path = self.folder.join(HISTORY);
        let mut history = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        if history.metadata()?.len() + lines.len() as u64 > most && history.metadata()?.len() > 0 {
            std::fs::rename(&path, self.folder.join(EARLIER))?;
            history = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        }
        history.write_all(&lines)
    }

    /// Takes this process out of the list; for its end.
    pub fn remove(&self) {
        for extension in ["json", "lock"] {
            // Who reads finds that nobody holds the lock, if it stays.
            let _removed = std::fs::remove_file(
                self.folder.join("active").join(format!("{}.{extension}", self.process)),
            );
        }
    }

    fn named(&self, record: &Record) -> Record {
        Record { process: self.process.clone(), ..record.clone() }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// What is raised in all processes that live, the oldest first.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn active(data_dir: &Path) -> io::Result<Vec<Record>> {
    let entries = match std::fs::read_dir(folder(data_dir).join("active")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut records = Vec::new();
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "json")).take(MAX_PROCESSES) {
        if !lives(&file.with_extension("lock")) {
            let _removed = std::fs::remove_file(&file);
            let _removed = std::fs::remove_file(file.with_extension("lock"));
            continue;
        }
        // One that goes away at this moment has nothing raised.
        let Ok(opened) = File::open(&file) else { continue };
        let mut text = String::new();
        opened.take(MAX_READ).read_to_string(&mut text)?;
        let read: Vec<Record> = serde_json::from_str(&text).unwrap_or_default();
        records.extend(read);
    }
    records.sort_by_key(|record| (record.raised, record.number));
    Ok(records)
}

fn lives(lock: &Path) -> bool {
    let Ok(file) = File::open(lock) else { return false };
    // Whoever gets it alone sees that nobody has it.
    file.try_lock().is_err()
}

/// The last events of all processes, the oldest first.
///
/// # Errors
/// A file is there and cannot be read.
pub fn history(data_dir: &Path, most: usize) -> io::Result<Vec<Record>> {
    let folder = folder(data_dir);
    let mut records = std::collections::VecDeque::new();
    for name in [EARLIER, HISTORY] {
        let file = match File::open(folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file.take(MAX_READ)).split(b'\n') {
            // A line that was cut off by a full disk is one line less.
            let Ok(record) = serde_json::from_slice::<Record>(&line?) else { continue };
            if records.len() >= most {
                records.pop_front();
            }
            records.push_back(record);
        }
    }
    Ok(records.into())
}

/// Reads events as they come.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    unfinished: Vec<u8>,
}

impl Follower {
    /// Follows the history of a data directory from here on.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn new(data_dir: &Path) -> io::Result<Self> {
        let path = folder(data_dir).join(HISTORY);
        let file = match File::open(&path) {
            Ok(mut file) => {
                file.seek(SeekFrom::End(0))?;
                Some(file)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, file, unfinished: Vec::new() })
    }

    /// What came since the last call.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn poll(&mut self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        if let Some(file) = &mut self.file {
            read(file, &mut self.unfinished, &mut records)?;
        }
        let current = match File::open(&self.path) {
            Ok(current) => current,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(records),
            Err(error) => return Err(error),
        };
        let same = match &self.file {
            Some(file) => file.metadata()?.ino() == current.metadata()?.ino(),
            None => false,
        };
        if !same {
            // It was set aside: what is left of it was read above or comes now, before what the new one has.
            if let Some(file) = &mut self.file {
                read(file, &mut self.unfinished, &mut records)?;
            }
            self.unfinished.clear();
            let mut current = current;
            read(&mut current, &mut self.unfinished, &mut records)?;
            self.file = Some(current);
        }
        Ok(records)
    }
}

fn read(file: &mut File, unfinished: &mut Vec<u8>, records: &mut Vec<Record>) -> io::Result<()> {
    file.take(MAX_READ).read_to_end(unfinished)?;
    while let Some(end) = unfinished.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = unfinished.drain(..=end).collect();
        records.extend(serde_json::from_slice::<Record>(&line));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Severity};
    use time::OffsetDateTime;

    fn record(number: u64) -> Record {
        Record {
            at: OffsetDateTime::UNIX_EPOCH,
            event: Event::Raised,
            number,
            process: String::new(),
            name: "certificateExpires".to_owned(),
            severity: Severity::Major,
            about: "interface=192.0.2.7:443".to_owned(),
            text: "it does".to_owned(),
            raised: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn numbers(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.number).collect()
    }

    #[test]
    fn what_is_raised_is_read_while_its_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        assert!(active(dir.path()).unwrap().is_empty());
        let files = AlarmFiles::open(dir.path(), "adp").unwrap();
        files.write_active(&[record(1), record(2)]).unwrap();
        let read = active(dir.path()).unwrap();
        assert_eq!(numbers(&read), [1, 2]);
        assert_eq!(read[0].identifier(), format!("adp-{}.1", std::process::id()));
        drop(files);
        assert!(active(dir.path()).unwrap().is_empty(), "nobody holds the lock");
        assert_eq!(std::fs::read_dir(dir.path().join("alarms/active")).unwrap().count(), 0);
    }

    #[test]
    fn the_history_is_bounded_and_followed_across_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut before = Follower::new(dir.path()).unwrap();
        let files = AlarmFiles::open(dir.path(), "adp").unwrap();
        let line = serde_json::to_vec(&files.named(&record(1))).unwrap().len() as u64 + 1;
        let mut seen = Vec::new();
        for number in 1..=9 {
            files.append(&[record(number)], line * 4 + 2).unwrap();
            if number % 3 == 0 {
                seen.extend(numbers(&before.poll().unwrap()));
            }
        }
        assert_eq!(seen, (1..=9).collect::<Vec<_>>(), "nothing is missed and nothing seen twice");
        assert_eq!(numbers(&history(dir.path(), 100).unwrap()), [5, 6, 7, 8, 9]);
        assert_eq!(numbers(&history(dir.path(), 2).unwrap()), [8, 9]);
        assert!(before.poll().unwrap().is_empty());

        let mut history_file =
            OpenOptions::new().append(true).open(dir.path().join("alarms").join(HISTORY)).unwrap();
        history_file.write_all(b"{\"at\": cut\n").unwrap();
        files.append(&[record(10)], 1 << 20).unwrap();
        assert_eq!(numbers(&before.poll().unwrap()), [10], "a damaged line is one line less");
    }
}
