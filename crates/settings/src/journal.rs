//! The journal of revisions: one JSON line per accepted change, appended and synced, each with its own checksum and the
//! checksum of the line before it.
//!
//! A process killed while it writes leaves a torn last line. Readers stop before it; the next writer, which holds the lock,
//! cuts it off. A bad line that good ones follow is damage, and is reported rather than skipped.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Version of the line format.
const FORMAT: u32 = 1;
/// What stands before the checksum at the end of a line, and after it.
const SUM_OPEN: &[u8] = b",\"sum\":\"";
const SUM_CLOSE: &[u8] = b"\"}";
const SUM_DIGITS: usize = 64;
/// Most bytes of one line: room for hundreds of certificates, yet an import gone wrong cannot fill the disk in one step.
pub(crate) const MAX_LINE: usize = 16 * 1024 * 1024;

/// A value as it is stored: secrets are sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawValue {
    /// Canonical text.
    Text(String),
    /// A secret under the machine key, base64.
    Sealed {
        /// The sealed bytes.
        sealed: String,
    },
}

/// A row as it is stored.
pub(crate) type RawRow = BTreeMap<String, RawValue>;

/// What one edit did to one row.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RawEdit {
    /// Full path of the context.
    pub(crate) context: String,
    /// The row's key values; empty for a single-row context.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) key: Vec<String>,
    /// Where in the table it was inserted or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<usize>,
    /// The row before; `None` where there was none.
    pub(crate) before: Option<RawRow>,
    /// The row after; `None` where there is none any more.
    pub(crate) after: Option<RawRow>,
}

/// One accepted change.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Version of the line format.
    pub(crate) format: u32,
    /// Its number; one more than that of the line before.
    pub(crate) revision: u64,
    /// Checksum of the line before; empty for the first.
    pub(crate) previous: String,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) time: OffsetDateTime,
    /// Who asked.
    pub(crate) author: String,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// Whether a check was overruled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forced: bool,
    /// Until when it must be confirmed; it is taken back otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub(crate) confirm_by: Option<OffsetDateTime>,
    /// The revision that had to be confirmed and that this one confirms or takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settles: Option<u64>,
    /// What it did.
    pub(crate) edits: Vec<RawEdit>,
}

impl Record {
    pub(crate) fn new(
        author: &str,
        comment: Option<&str>,
        forced: bool,
        time: OffsetDateTime,
        edits: Vec<RawEdit>,
    ) -> Self {
        Self {
            format: FORMAT,
            revision: 0,
            previous: String::new(),
            time,
            author: author.to_owned(),
            comment: comment.map(str::to_owned),
            forced,
            confirm_by: None,
            settles: None,
            edits,
        }
    }
}

/// Where the bytes are. The trait exists so that tests can have a disk that is full.
pub(crate) trait Medium: Send + Sync {
    /// Bytes there are.
    fn len(&self) -> io::Result<u64>;
    /// All bytes from here to the end.
    fn read_from(&self, offset: u64) -> io::Result<Vec<u8>>;
    /// Writes the bytes here and makes them durable.
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the end off.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A journal on disk.
pub(crate) struct FileMedium {
    file: File,
    /// Where it is, while it could be opened for reading only.
    read_only: Option<PathBuf>,
}

impl FileMedium {
    /// Opens the file, creating it with mode 0600. One on a file system that is mounted for reading can be read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match Self::open_for_writing(path) {
            Ok(file) => Ok(Self { file, read_only: None }),
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && path.exists() => {
                Ok(Self { file: File::open(path)?, read_only: Some(path.to_owned()) })
            }
            Err(error) => Err(error),
        }
    }

    fn open_for_writing(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    /// The file for writing, also where the file system has been mounted for writing since.
    fn writable(&mut self) -> io::Result<&File> {
        if let Some(path) = &self.read_only {
            self.file = Self::open_for_writing(path)?;
            self.read_only = None;
        }
        Ok(&self.file)
    }
}

impl Medium for FileMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn read_from(&self, mut offset: u64) -> io::Result<Vec<u8>> {
        let expected = self.len()?.saturating_sub(offset);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        let mut chunk = vec![0_u8; 64 * 1024];
        loop {
            match self.file.read_at(&mut chunk, offset) {
                Ok(0) => return Ok(bytes),
                Ok(count) => {
                    bytes.extend_from_slice(&chunk[..count]);
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.writable()?;
        file.write_all_at(bytes, offset)?;
        file.sync_data()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let file = self.writable()?;
        file.set_len(len)?;
        file.sync_data()
    }
}

/// A journal in memory, for tests and for the reference page.
#[derive(Default)]
pub(crate) struct MemoryMedium(Vec<u8>);

impl Medium for MemoryMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        Ok(self.0.get(offset..).unwrap_or_default().to_vec())
    }
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.truncate(offset)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(usize::try_from(len).map_err(io::Error::other)?);
        Ok(())
    }
}

/// Damage that appending cannot have caused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of revisions is damaged after revision {after}: {reason}")]
pub struct Damage {
    after: u64,
    reason: String,
}

/// How far the journal was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Bytes of good lines.
    pub(crate) offset: u64,
    /// Checksum of the last good line.
    pub(crate) sum: String,
    /// Number of the last good line.
    pub(crate) revision: u64,
}

/// The good lines of `bytes`, which follow `from`, and the position after them. What is left over is a torn line.
pub(crate) fn parse(bytes: &[u8], from: &Position) -> Result<(Vec<Record>, Position), Damage> {
    let mut records = Vec::new();
    let mut position = from.clone();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        let damage = |reason: &str| Damage { after: position.revision, reason: reason.to_owned() };
        let Some(sum) = checked(line) else {
            let good_follows = after.split(|byte| *byte == b'\n').any(|line| checked(line).is_some());
            if good_follows {
                return Err(damage("a line with a wrong checksum, and good ones after it"));
            }
            break;
        };
        let record: Record = serde_json::from_slice(line).map_err(|error| damage(&error.to_string()))?;
        if record.format != FORMAT {
            return Err(damage(&format!(
                "format {}, while this release reads format {FORMAT}; a newer release wrote it, so use that one here",
                record.format
            )));
        }
        if record.revision != position.revision + 1 || record.previous != position.sum {
            return Err(damage(&format!("revision {} does not follow", record.revision)));
        }
        position = Position { offset: position.offset + end as u64 + 1, sum, revision: record.revision };
        records.push(record);
        rest = after;
    }
    Ok((records, position))
}

/// The checksum of a line, if it is the right one.
fn checked(line: &[u8]) -> Option<String> {
    let line = line.strip_suffix(SUM_CLOSE)?;
    let (line, sum) = line.split_at_checked(line.len().checked_sub(SUM_DIGITS)?)?;
    let body = line.strip_suffix(SUM_OPEN)?;
    (checksum(body).as_bytes() == sum).then(|| String::from_utf8_lossy(sum).into_owned())
}

fn checksum(body: &[u8]) -> String {
    crate::machine_key::hex(digest(&SHA256, body).as_ref()).to_string()
}

/// The line of a record that follows `position`, and the position after it. The record gets its number.
pub(crate) fn encode(record: &mut Record, position: &Position) -> io::Result<(Vec<u8>, Position)> {
    record.revision = position.revision + 1;
    record.previous.clone_from(&position.sum);
    let mut line = serde_json::to_vec(record)?;
    line.pop(); // the closing brace; the checksum is over what stands before it
    let sum = checksum(&line);
    line.extend_from_slice(SUM_OPEN);
    line.extend_from_slice(sum.as_bytes());
    line.extend_from_slice(SUM_CLOSE);
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(io::Error::other(format!(
            "the change takes {} bytes, and {MAX_LINE} are allowed",
            line.len()
        )));
    }
    let next = Position { offset: position.offset + line.len() as u64, sum, revision: record.revision };
    Ok((line, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(text: &str) -> Record {
        let row = BTreeMap::from([("name".to_owned(), RawValue::Text(text.to_owned()))]);
        let edit = RawEdit {
            context: "ADP_CLI/X".to_owned(),
            key: vec![],
            at: None,
            before: None,
            after: Some(row),
        };
        Record::new("tester", None, false, OffsetDateTime::UNIX_EPOCH, vec![edit])
    }

    fn lines(texts: &[&str]) -> (Vec<u8>, Vec<Position>) {
        let (mut bytes, mut positions) = (Vec::new(), vec![Position::default()]);
        for text in texts {
            let (line, next) = encode(&mut record(text), positions.last().unwrap()).unwrap();
            bytes.extend(line);
            positions.push(next);
        }
        (bytes, positions)
    }

    #[test]
    fn every_torn_end_leaves_the_lines_before() {
        let (bytes, positions) = lines(&["a", "b\n\"quoted\"", "ü"]);
        for length in 0..=bytes.len() {
            let (records, position) = parse(&bytes[..length], &Position::default()).unwrap();
            let whole = positions.iter().rfind(|p| p.offset <= length as u64).unwrap();
            assert_eq!(&position, whole);
            assert_eq!(records.len() as u64, whole.revision);
        }
    }

    #[test]
    fn a_garbled_last_line_is_torn_and_a_garbled_middle_is_damage() {
        let (bytes, positions) = lines(&["a", "b", "c"]);
        let last = usize::try_from(positions[2].offset).unwrap();
        // The line end before the last line joins the two: both count as torn.
        for at in (0..bytes.len() - 1).filter(|at| *at + 1 != last) {
            let mut garbled = bytes.clone();
            garbled[at] ^= 1;
            let parsed = parse(&garbled, &Position::default());
            if at >= last {
                assert_eq!(parsed.unwrap().1, positions[2]);
            } else {
                assert!(parsed.is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn lines_of_another_journal_do_not_follow() {
        let (_, positions) = lines(&["a", "b"]);
        let (other, _) = lines(&["x", "y", "z"]);
        assert!(parse(&other, &positions[1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let parsed = parse(&bytes, &Position::default());
            prop_assert!(parsed.is_ok_and(|(records, _)| records.is_empty()));
        }
    }
}
