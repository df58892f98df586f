//! The task backup: the settings as text, the store of the embedded application server and the key ring, in a folder of its own
//! that is there whole or not at all.

use super::last::{make_folder, named, private};
use super::tasks::{Outcome, Work};
use aws_lc_rs::digest;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::macros::format_description;

/// Folder of the backups below the data directory.
pub(super) const FOLDER: &str = "backups";
const SETTINGS: &str = "settings.txt";
const STORE: &str = "appserver.db";
const KEYS: &str = "authservice.keys";
const README: &str = "A backup of this installation.\n\n\
    settings.txt      the settings: adpcli -c 'import settings.txt' takes them; secrets are sealed for this installation\n\
    appserver.db      the store of the embedded application server: with no process running, copy it to appserver/appserver.db\n\
    \u{20}                 and delete appserver.db-wal and appserver.db-shm there\n\
    authservice.keys  the key ring: with no process running, copy it to keystore/authservice.keys\n\
    manifest.json     release, revision of the settings, time, and size and SHA-256 of each file\n\n\
    What is sealed opens only with settings/machine.key of the data directory, which is not in here: keep a copy of it elsewhere.\n";

/// Name of what is made at a time: `backup-20260304T020000Z`.
pub(super) fn name(kind: &str, now: OffsetDateTime) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = now.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default();
    format!("{kind}-{at}")
}

/// Size and SHA-256 of a file.
fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut context, mut length) = (digest::Context::new(&digest::SHA256), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        context.update(buffer.get(..count).unwrap_or_default());
        length += count as u64;
    }
    let sum = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((length, sum))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private(path, true)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| named(path, &error))
}

/// What this kind made below a folder, the oldest first, and what was left half made.
pub(super) fn made(folder: &Path, kind: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let begins = |path: &Path, start: &str| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(start))
    };
    let (mut whole, mut half) = (Vec::new(), Vec::new());
    for path in paths {
        if begins(&path, &format!("{kind}-")) {
            whole.push(path);
        } else if begins(&path, &format!(".{kind}-")) {
            half.push(path);
        }
    }
    // The names tell the time.
    whole.sort();
    (whole, half)
}

/// Removes a file or a folder.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(|error| named(path, &error))
}

/// Removes what is half made, and of the rest all but the newest.
pub(super) fn keep(folder: &Path, kind: &str, most: u32) -> io::Result<()> {
    let (whole, half) = made(folder, kind);
    let surplus = whole.len().saturating_sub(most as usize);
    half.iter().chain(whole.iter().take(surplus)).try_for_each(|path| remove(path))
}

pub(super) fn run(work: &Work<'_>) -> Outcome {
    let folder = work.data_dir.join(FOLDER);
    make_folder(&folder)?;
    keep(&folder, "backup", u32::MAX)?;
    let name = name("backup", work.now);
    let partial = folder.join(format!(".{name}"));
    make_folder(&partial)?;

    let lines = work.store.export(None, true)?;
    let mut text = lines.join("\n");
    text.push('\n');
    write(&partial.join(SETTINGS), text.as_bytes())?;
    let mut files = vec![SETTINGS];
    if openadp_appserver_embedded::upkeep::exists(work.data_dir) {
        openadp_appserver_embedded::upkeep::copy(work.data_dir, &partial.join(STORE))?;
        files.push(STORE);
    }
    let keys = work.data_dir.join("keystore").join(KEYS);
    match std::fs::read(&keys) {
        Ok(bytes) => {
            write(&partial.join(KEYS), &bytes)?;
            files.push(KEYS);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(named(&keys, &error).into()),
    }
    write(&partial.join("README.txt"), README.as_bytes())?;
    let mut all = 0;
    let mut listed = serde_json::Map::new();
    for file in files {
        let path = partial.join(file);
        let (length, sum) = sum(&path).map_err(|error| named(&path, &error))?;
        all += length;
        listed.insert(file.to_owned(), json!({ "bytes": length, "sha256": sum }));
    }
    let manifest = json!({
        "release": env!("CARGO_PKG_VERSION"),
        "revision": work.store.current().revision(),
        "time": work.now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
        "files": listed,
    });
    write(&partial.join("manifest.json"), &serde_json::to_vec_pretty(&manifest)?)?;
    File::open(&partial)?.sync_all()?;
    let whole = folder.join(&name);
    std::fs::rename(&partial, &whole).map_err(|error| named(&whole, &error))?;
    File::open(&folder)?.sync_all()?;
    keep(&folder, "backup", work.settings.max_backups)?;
    Ok(format!("{FOLDER}/{name}, {} KiB", all.div_ceil(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_newest_are_kept_and_nothing_half_made() {
        let dir = tempfile::tempdir().unwrap();
        for hour in 1..6 {
            let name = name("backup", datetime!(2026-03-04 0:00 UTC) + time::Duration::hours(hour));
            std::fs::create_dir(dir.path().join(&name)).unwrap();
            std::fs::write(dir.path().join(&name).join("settings.txt"), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join(".backup-20260304T060000Z")).unwrap();
        std::fs::write(dir.path().join("unrelated"), "x").unwrap();
        keep(dir.path(), "backup", 2).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["backup-20260304T040000Z", "backup-20260304T050000Z", "unrelated"]);
    }
}
