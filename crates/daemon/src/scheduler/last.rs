//! What ran last, and what an operator wants to be run now: files below `DATA_DIR/scheduler`.

use super::{TASKS, folder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::macros::format_description;

const LAST: &str = "last.json";
const REQUESTS: &str = "requests";
/// Most bytes of the file; one run of each task is a fraction of it.
const MAX_FILE: u64 = 256 * 1024;
/// Most characters of what a run is said to have done.
const MAX_TEXT: usize = 500;

/// The last run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
    /// The minute that it was due in, counted from 1970; none where an operator asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) minute: Option<i64>,
    /// Whether it failed.
    pub(super) failed: bool,
    /// What it did, or why it failed.
    pub(super) text: String,
}

impl Run {
    /// When it began, as tables show it.
    pub(super) fn time(&self) -> String {
        let form = format_description!("[year]-[month]-[day] [hour padding:none]:[minute]:[second] GMT");
        self.at.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()
    }
}

/// The last runs of all tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last(BTreeMap<String, Run>);

impl Last {
    /// What the file says; nothing where there is none yet.
    pub(super) fn read(data_dir: &Path) -> io::Result<Self> {
        let mut text = String::new();
        match File::open(folder(data_dir).join(LAST)) {
            Ok(file) => file.take(MAX_FILE).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        serde_json::from_str(&text).map_err(io::Error::from)
    }

    pub(super) fn of(&self, task: &str) -> Option<&Run> {
        self.0.get(task)
    }

    /// Keeps a run, whole or not at all.
    pub(super) fn keep(&mut self, data_dir: &Path, task: &str, mut run: Run) -> io::Result<()> {
        run.text = run.text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
        // Of a run on request the minute of the last one that was due stays.
        run.minute = run.minute.or_else(|| self.of(task).and_then(|before| before.minute));
        self.0.insert(task.to_owned(), run);
        let path = folder(data_dir).join(LAST);
        let temporary = path.with_extension("tmp");
        let mut file = private(&temporary, true)?;
        file.write_all(&serde_json::to_vec_pretty(&self.0)?)?;
        drop(file);
        std::fs::rename(temporary, path)
    }
}

/// Makes a folder, and those it lies in, for this user alone.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| named(folder, &error))
}

/// A file for this user alone; an existing one is emptied or left as it is.
pub(super) fn private(path: &Path, empty: bool) -> io::Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(empty).mode(0o600).open(path);
    opened.map_err(|error| named(path, &error))
}

/// An error with the name of the file that it is about.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn requests(data_dir: &Path) -> PathBuf {
    folder(data_dir).join(REQUESTS)
}

/// Has whichever process runs the tasks run one.
pub(super) fn request(data_dir: &Path, task: &str) -> io::Result<()> {
    let folder = requests(data_dir);
    make_folder(&folder)?;
    private(&folder.join(task), false).map(drop)
}

/// Takes what was requested.
pub(super) fn take_requests(data_dir: &Path) -> Vec<&'static str> {
    let folder = requests(data_dir);
    // Whoever removes it is the one who does it.
    TASKS
        .iter()
        .map(|task| task.name)
        .filter(|name| std::fs::remove_file(folder.join(name)).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn runs_are_kept_and_requests_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Last::read(dir.path()).unwrap(), Last::default());
        assert!(take_requests(dir.path()).is_empty());
        request(dir.path(), "backup").unwrap();
        request(dir.path(), "backup").unwrap();
        assert_eq!(take_requests(dir.path()), ["backup"]);
        assert!(take_requests(dir.path()).is_empty());

        let run = |minute: Option<i64>, text: &str| Run {
            at: datetime!(2026-03-04 8:05:09 UTC),
            minute,
            failed: false,
            text: text.to_owned(),
        };
        let mut last = Last::default();
        last.keep(dir.path(), "backup", run(Some(7), &"x\n".repeat(1000))).unwrap();
        last.keep(dir.path(), "backup", run(None, "on request")).unwrap();
        last.keep(dir.path(), "dbMaint", run(None, &"y\n".repeat(1000))).unwrap();
        let read = Last::read(dir.path()).unwrap();
        assert_eq!(read, last);
        let backup = read.of("backup").unwrap();
        assert_eq!((backup.minute, backup.text.as_str()), (Some(7), "on request"));
        assert_eq!(backup.time(), "2026-03-04 8:05:09 GMT");
        let text = &read.of("dbMaint").unwrap().text;
        assert!(text.len() == MAX_TEXT && !text.contains('\n'), "{text}");
    }
}
