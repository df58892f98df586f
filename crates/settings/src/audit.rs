//! Who changed what, and what was refused: one line an event, each bound to the one before and sealed with the machine key,
//! so that a line that was altered, taken out or put in shows.
//!
//! The files are bounded: a full one is put aside, and of those put aside the oldest goes. Lines name contexts and reasons,
//! never values. What the seal cannot show is lines cut off at the end by somebody who may write the file; [`verify`]
//! compares the end with the journal of revisions for that.

use crate::{MachineKey, files};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Most bytes of one file.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Files that are kept beside the present one.
const KEPT: u32 = 7;
/// Most bytes of one line, and of what is read to find the last.
const MAX_LINE: usize = 16 * 1024;
/// Most characters of a reason, and contexts of a change, that are kept.
const MAX_REASON: usize = 1000;
const MAX_CONTEXTS: usize = 50;

/// One event of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number; one more than that of the entry before.
    pub number: u64,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Who asked.
    pub author: String,
    /// What came of it.
    pub event: AuditEvent,
    /// The revision that a change made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The contexts it touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<String>,
    /// Why it was refused, or what the author said to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Digest of the line before; empty for the first.
    previous: String,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditEvent {
    /// It was done.
    Changed,
    /// It was wrong, or a check spoke against it.
    Refused,
    /// Who asked had no right to it.
    Denied,
}

impl AuditEvent {
    /// Its name, as lists show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Denied => "denied",
        }
    }
}

/// What an audit log was found to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Entries that were looked at.
    pub entries: u64,
    /// What is wrong; empty for a log as it was written.
    pub problems: Vec<String>,
    /// Whether the last change was missing and has been told now, from the journal of revisions.
    #[serde(default)]
    pub late: bool,
}

/// What happened, before it has a number.
pub(crate) struct Happened<'a> {
    pub(crate) author: &'a str,
    pub(crate) event: AuditEvent,
    pub(crate) revision: Option<u64>,
    pub(crate) contexts: Vec<String>,
    pub(crate) reason: Option<String>,
}

/// The audit log of a data directory. Whoever writes holds the lock of the settings.
pub(crate) struct AuditLog {
    path: PathBuf,
    data_dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    entry: AuditEntry,
    seal: String,
}

impl AuditLog {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("settings").join("audit.jsonl"), data_dir: data_dir.to_owned() }
    }

    fn aside(&self, number: u32) -> PathBuf {
        self.path.with_extension(format!("{number}.jsonl"))
    }

    /// Puts an event at the end.
    pub(crate) fn write(
        &self,
        machine_key: &MachineKey,
        happened: Happened<'_>,
        now: OffsetDateTime,
    ) -> io::Result<()> {
        let file = self.open()?;
        let (mut end, last) = last_line(&file)?;
        let last = match last {
            Some(last) => Some(last),
            // A file that was just put aside holds the line before.
            None => match File::open(self.aside(1)) {
                Ok(aside) => last_line(&aside)?.1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            },
        };
        let number = match &last {
            None => 1,
            Some(line) => serde_json::from_slice::<Line>(line).map_or(0, |line| line.entry.number) + 1,
        };
        let mut contexts = happened.contexts;
        contexts.dedup();
        contexts.truncate(MAX_CONTEXTS);
        let entry = AuditEntry {
            number,
            time: now,
            author: happened.author.to_owned(),
            event: happened.event,
            revision: happened.revision,
            contexts,
            reason: happened.reason.map(|reason| reason.chars().take(MAX_REASON).collect()),
            previous: last.as_deref().map(sum).unwrap_or_default(),
        };
        let body = serde_json::to_vec(&entry)?;
        let seal = STANDARD.encode(machine_key.seal(&body, &[]).map_err(io::Error::other)?);
        let mut line = serde_json::to_vec(&Line { entry, seal })?;
        line.push(b'\n');
        let file = if end > 0 && end + line.len() as u64 > MAX_FILE {
            for number in (1..KEPT).rev() {
                match std::fs::rename(self.aside(number), self.aside(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            std::fs::rename(&self.path, self.aside(1))?;
            end = 0;
            self.open()?
        } else {
            file
        };
        // Somebody was killed while writing: the torn line tells nothing.
        file.set_len(end)?;
        file.write_all_at(&line, end)?;
        file.sync_data()
    }

    /// The revision that the log told last; `None` where it is too far back, or there is none.
    pub(crate) fn last_revision(&self) -> io::Result<Option<u64>> {
        for path in [&self.path, &self.aside(1)] {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let (_, bytes) = tail(&file)?;
            let told = bytes.rsplit(|byte| *byte == b'\n').find_map(|line| {
                serde_json::from_slice::<Line>(line).ok().and_then(|line| line.entry.revision)
            });
            if told.is_some() {
                return Ok(told);
            }
        }
        Ok(None)
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        files::give_to_owner(&self.data_dir, &self.path)?;
        Ok(file)
    }

    /// All lines, oldest first.
    fn lines(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        for path in (1..=KEPT).rev().map(|number| self.aside(number)).chain([self.path.clone()]) {
            match std::fs::read(&path) {
                Ok(bytes) => lines.extend(
                    bytes
                        .split_inclusive(|byte| *byte == b'\n')
                        .map(<[u8]>::to_vec)
                        .filter(|line| line.ends_with(b"\n")),
                ),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lines)
    }

    /// The last entries, oldest first.
    pub(crate) fn last(&self, most: usize) -> io::Result<Vec<AuditEntry>> {
        let lines = self.lines()?;
        let read = |line: &Vec<u8>| serde_json::from_slice::<Line>(line).ok().map(|line| line.entry);
        Ok(lines.iter().skip(lines.len().saturating_sub(most)).filter_map(read).collect())
    }

    /// Checks every line, the chain of them, and that the changes up to `revision` are there.
    pub(crate) fn verify(&self, machine_key: &MachineKey, revision: u64) -> io::Result<AuditReport> {
        let mut report = AuditReport::default();
        let mut before: Option<(u64, String)> = None;
        let mut changed: Option<u64> = None;
        for (index, bytes) in self.lines()?.iter().enumerate() {
            report.entries += 1;
            let place = index + 1;
            let Ok(Line { entry, seal }) = serde_json::from_slice::<Line>(bytes) else {
                report.problems.push(format!("line {place} cannot be read"));
                before = None;
                continue;
            };
            let sealed = || {
                let body = serde_json::to_vec(&entry).ok()?;
                machine_key.open(&body, &STANDARD.decode(&seal).ok()?).ok()
            };
            if sealed().is_none() {
                report
                    .problems
                    .push(format!("entry {} was altered, or is of another installation", entry.number));
            }
            let follows = match &before {
                Some((number, sum)) => entry.number == number + 1 && entry.previous == *sum,
                None => index == 0 || report.problems.last().is_some_and(|p| p.contains("cannot be read")),
            };
            if !follows {
                report.problems.push(format!("entry {} does not follow the one before it", entry.number));
            }
            if let Some(revision) = entry.revision {
                if changed.is_some_and(|last| revision != last + 1) {
                    report
                        .problems
                        .push(format!("entry {}: revisions before {revision} are missing", entry.number));
                }
                changed = Some(revision);
            }
            before = Some((entry.number, sum(bytes)));
        }
        if let Some(last) = changed.filter(|last| *last < revision) {
            report
                .problems
                .push(format!("the end is missing: revision {last} is its last, and there are {revision}"));
        }
        Ok(report)
    }
}

/// The end of the last whole line of a file, and the line.
fn last_line(file: &File) -> io::Result<(u64, Option<Vec<u8>>)> {
    let (start, mut bytes) = tail(file)?;
    let length = start + bytes.len() as u64;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        // One torn line is all there is, or no log of ours: that is left for verify to find.
        return Ok((if start == 0 { 0 } else { length }, None));
    };
    bytes.truncate(end + 1);
    let begin = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    Ok((start + end as u64 + 1, Some(bytes.split_off(begin))))
}

/// The end of a file, as much as holds its last lines, and where that begins.
fn tail(file: &File) -> io::Result<(u64, Vec<u8>)> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(8 * MAX_LINE as u64);
    let mut bytes = vec![0; usize::try_from(length - start).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, start)?;
    Ok((start, bytes))
}

fn sum(line: &[u8]) -> String {
    crate::machine_key::hex(digest(&SHA256, line).as_ref()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path) -> AuditLog {
        std::fs::create_dir_all(dir.join("settings")).unwrap();
        AuditLog::new(dir)
    }

    fn happened(revision: u64) -> Happened<'static> {
        let contexts = vec!["ADP_CLI/System/Door".to_owned()];
        Happened {
            author: "ann",
            event: AuditEvent::Changed,
            revision: Some(revision),
            contexts,
            reason: None,
        }
    }

    #[test]
    fn whatever_is_altered_taken_out_or_put_in_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (log, key) = (log(dir.path()), MachineKey::ephemeral().unwrap());
        for revision in 1..=4 {
            log.write(&key, happened(revision), OffsetDateTime::UNIX_EPOCH).unwrap();
        }
        let path = dir.path().join("settings/audit.jsonl");
        let good = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.split_inclusive('\n').collect();
        let problems = |text: &str| {
            std::fs::write(&path, text).unwrap();
            log.verify(&key, 4).unwrap().problems
        };
        assert!(problems(&good).is_empty());
        for line in 0..4 {
            let without: String =
                lines.iter().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| *l).collect();
            // Without the first the log looks like one whose oldest file went.
            assert_eq!(problems(&without).is_empty(), line == 0, "{line}");
            let altered = good.replacen(lines[line], &lines[line].replace("ann", "bob"), 1);
            assert!(!problems(&altered).is_empty(), "{line}");
        }
        let swapped = [lines[1], lines[0], lines[2], lines[3]].concat();
        assert!(!problems(&swapped).is_empty());
        let doubled = [lines[0], lines[0], lines[1], lines[2], lines[3]].concat();
        assert!(!problems(&doubled).is_empty());
        assert!(!problems("rubbish\n").is_empty());
        std::fs::write(&path, &good).unwrap();
        assert!(!log.verify(&MachineKey::ephemeral().unwrap(), 4).unwrap().problems.is_empty());
    }

    #[test]
    fn a_torn_line_is_written_over_and_the_chain_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (log, key) = (log(dir.path()), MachineKey::ephemeral().unwrap());
        log.write(&key, happened(1), OffsetDateTime::UNIX_EPOCH).unwrap();
        let path = dir.path().join("settings/audit.jsonl");
        let whole = std::fs::read(&path).unwrap();
        log.write(&key, happened(2), OffsetDateTime::UNIX_EPOCH).unwrap();
        let both = std::fs::read(&path).unwrap();
        for length in whole.len()..both.len() {
            std::fs::write(&path, &both[..length]).unwrap();
            log.write(&key, happened(2), OffsetDateTime::UNIX_EPOCH).unwrap();
            let report = log.verify(&key, 2).unwrap();
            assert_eq!((report.entries, report.problems.len()), (2, 0), "{length}");
        }
    }

    #[test]
    fn files_are_bounded_and_the_chain_spans_them() {
        let dir = tempfile::tempdir().unwrap();
        let (log, key) = (log(dir.path()), MachineKey::ephemeral().unwrap());
        let path = dir.path().join("settings/audit.jsonl");
        for revision in 1..=20 {
            log.write(&key, happened(revision), OffsetDateTime::UNIX_EPOCH).unwrap();
            // As if the file had become full.
            if revision % 2 == 0 {
                for number in (1..KEPT).rev() {
                    let _none = std::fs::rename(log.aside(number), log.aside(number + 1));
                }
                std::fs::rename(&path, log.aside(1)).unwrap();
            }
        }
        let report = log.verify(&key, 20).unwrap();
        assert_eq!((report.entries, report.problems), (14, Vec::new()));
        assert_eq!(log.last(3).unwrap().iter().map(|entry| entry.number).collect::<Vec<_>>(), [18, 19, 20]);
        // A file that is full is put aside by the next event.
        std::fs::write(&path, std::fs::read(log.aside(1)).unwrap()).unwrap();
        let filled = std::fs::read(&path).unwrap();
        let many = usize::try_from(MAX_FILE).unwrap() / filled.len();
        std::fs::write(&path, filled.repeat(many + 1)).unwrap();
        log.write(&key, happened(21), OffsetDateTime::UNIX_EPOCH).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 4096);
    }
}
