//! Lines in files that are set aside by size.

use super::Line;
use serde_json::{Map, Value, json};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year].[month].[day] [hour]:[minute]:[second]:[subsecond digits:3] UTC");
/// Processes of one name that write to one folder.
const MAX_ALIKE: u32 = 64;

/// What a file is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileConfig {
    pub(super) directory: PathBuf,
    pub(super) max_bytes: u64,
    pub(super) max_files: u32,
    pub(super) json: bool,
}

/// The file of this process.
#[derive(Debug)]
pub(super) struct RotatingFile {
    config: FileConfig,
    path: PathBuf,
    file: File,
    length: u64,
    /// Held while this process writes there, so that another of the same name takes another file.
    _lock: File,
}

impl RotatingFile {
    pub(super) fn open(config: FileConfig, process: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(&config.directory).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", config.directory.display()))
        })?;
        for number in 1..=MAX_ALIKE {
            let name = if number == 1 { process.to_owned() } else { format!("{process}-{number}") };
            let lock = private()
                .create(true)
                .truncate(false)
                .open(config.directory.join(format!(".{name}.lock")))?;
            if lock.try_lock().is_err() {
                continue;
            }
            let path = config.directory.join(format!("{name}.log"));
            let file = append(&path)?;
            let length = file.metadata()?.len();
            return Ok(Self { config, path, file, length, _lock: lock });
        }
        Err(io::Error::other(format!("more than {MAX_ALIKE} processes named {process} write there")))
    }

    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = if self.config.json { json_line(line) } else { text_line(line) };
        text.push('\n');
        let length = text.len() as u64;
        if self.length > 0 && self.length + length > self.config.max_bytes {
            self.set_aside()?;
        }
        self.file.write_all(text.as_bytes())?;
        self.length += length;
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let older = self.config.max_files.saturating_sub(1);
        if older == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            for number in (1..older).rev() {
                rename(&numbered(number), &numbered(number + 1))?;
            }
            rename(&self.path, &numbered(1))?;
        }
        // There may be more of an earlier setting.
        for number in older + 1.. {
            match std::fs::remove_file(numbered(number)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        self.file = append(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// As operators know it: time, severity, channel and thread, and then the text.
pub(super) fn text_line(line: &Line) -> String {
    let at = line.at.format(TIME).unwrap_or_default();
    format!("{at} | {} | {} | {} | {}", line.severity(), line.channel, line.thread, line.text())
}

fn json_line(line: &Line) -> String {
    let fields: Map<String, Value> =
        line.fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
    json!({
        "timestamp": line.at.format(&Rfc3339).unwrap_or_default(),
        "severity": line.severity(),
        "channel": line.channel,
        "target": line.target,
        "thread": line.thread,
        "message": line.message,
        "fields": fields,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn line(message: &str) -> Line {
        Line {
            at: datetime!(2025-03-04 10:11:12.131 UTC),
            level: tracing::Level::INFO,
            notice: false,
            channel: "AccessLog",
            target: "access",
            thread: "main".to_owned(),
            message: message.to_owned(),
            fields: vec![("path", "/a b\n".to_owned()), ("status", "200".to_owned())],
        }
    }

    #[test]
    fn lines_have_the_known_form_and_cannot_be_forged() {
        assert_eq!(
            text_line(&line("request\n2025.03.04 forged")),
            "2025.03.04 10:11:12:131 UTC | Info | AccessLog | main | request 2025.03.04 forged path=\"/a b\\n\" status=200"
        );
        let read: Value = serde_json::from_str(&json_line(&line("x"))).unwrap();
        assert_eq!((&read["fields"]["path"], &read["severity"]), (&json!("/a b\n"), &json!("Info")));
    }

    #[test]
    fn files_are_set_aside_by_size_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            FileConfig { directory: dir.path().join("logs"), max_bytes: 250, max_files: 3, json: false };
        let mut file = RotatingFile::open(config.clone(), "adp").unwrap();
        let mut other = RotatingFile::open(config.clone(), "adp").unwrap();
        other.write(&line("of the other")).unwrap();
        for number in 0..12 {
            file.write(&line(&format!("number {number}"))).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join("logs").join(name)).unwrap();
        assert!(read("adp.log").contains("number 11"));
        assert!(read("adp.log.2").contains("number 6") && read("adp.log.2").contains("number 7"));
        assert!(!dir.path().join("logs/adp.log.3").exists());
        assert!(read("adp-2.log").contains("of the other"));
        drop(file);
        let mut fewer = RotatingFile::open(FileConfig { max_files: 1, ..config }, "adp").unwrap();
        for number in 12..16 {
            fewer.write(&line(&format!("number {number}"))).unwrap();
        }
        assert!(!dir.path().join("logs/adp.log.1").exists() && !dir.path().join("logs/adp.log.2").exists());
    }
}
