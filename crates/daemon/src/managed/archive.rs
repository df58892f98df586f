//! Unpacking an archive: everything about it is doubted until it is on the disk.
//!
//! Nothing of an archive decides where anything is written: every path is taken apart and checked, links and devices are
//! refused, and what is counted is what comes out, not what the archive says. It is unpacked beside its place and renamed
//! into it, so that there is all of it or nothing.

use super::{ArchiveLimits, FOLDER, descriptor, folder};
use aws_lc_rs::digest;
use openadp_webcontainer::{Entry, Index};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zip::ZipArchive;

const MEBIBYTE: u64 = 1024 * 1024;
/// A path as long as file systems take, and as deep as anybody nests.
const MAX_PATH: usize = 1024;
const MAX_SEGMENT: usize = 255;
const MAX_DEPTH: usize = 32;
/// Files below this may be packed as tightly as they like: spaces and zeros are.
const RATIO_FROM: u64 = MEBIBYTE;
/// Most bytes of a deployment descriptor.
const MAX_DESCRIPTOR: u64 = MEBIBYTE;
/// The end record of an archive and its longest comment.
const END_RECORD: u64 = 22;
const MAX_COMMENT: u64 = 65_535;
/// How long what no row speaks of is left alone.
const LEFT_OVER: Duration = Duration::from_hours(1);

/// Why an archive is refused, in an operator's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("it is no archive that can be read: {0}")]
    NoArchive(String),
    #[error("{0}")]
    Limit(String),
    #[error("entry '{entry}': {reason}")]
    Entry { entry: String, reason: &'static str },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Refused {
    let what = what.into();
    move |source| Refused::Io { what, source }
}

/// An archive as it was unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) digest: String,
    pub(super) files: usize,
    /// Names of servlets, and how many JSP pages there are: none of them is run.
    pub(super) servlets: Vec<String>,
    pub(super) pages: usize,
}

/// Name and version that an archive's file name tells: `Name_1.7.5_1.war`.
pub(super) fn name_and_version(file: &Path) -> Result<(String, String), String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let wanted = || format!("'{}' is not named NAME_VERSION.war, .bwar or .zip", name.escape_debug());
    let stem = ["war", "bwar", "zip"]
        .iter()
        .find_map(|extension| {
            let (stem, own) = name.rsplit_once('.')?;
            own.eq_ignore_ascii_case(extension).then_some(stem)
        })
        .ok_or_else(wanted)?;
    let version = stem.match_indices('_').find_map(|(at, _)| {
        let version = stem.get(at + 1..)?;
        version.starts_with(|c: char| c.is_ascii_digit()).then_some((at, version))
    });
    let (at, version) = version.ok_or_else(wanted)?;
    let name = stem.get(..at).unwrap_or_default();
    check_words(name, version)?;
    Ok((name.to_owned(), version.to_owned()))
}

/// Names and versions make the name of a folder.
pub(super) fn check_words(name: &str, version: &str) -> Result<(), String> {
    let good = |word: &str| {
        (1..=80).contains(&word.len())
            && !word.starts_with('.')
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if good(name) && good(version) {
        return Ok(());
    }
    Err(format!(
        "'{}' {}: letters, digits, '.', '_' and '-' make a name and a version",
        name.escape_debug(),
        version.escape_debug()
    ))
}

/// SHA-256 of a file, in hexadecimal digits.
fn digest_of(file: &mut File) -> io::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => context.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    file.rewind()?;
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Looks at the end record before anything makes room for what it announces.
fn check_end_record(file: &mut File, limits: &ArchiveLimits) -> Result<(), Refused> {
    let unreadable = || Refused::NoArchive("it has no end record of a zip archive".to_owned());
    let length = file.seek(SeekFrom::End(0)).map_err(io_error("reading it"))?;
    let from = length.saturating_sub(END_RECORD + MAX_COMMENT);
    file.seek(SeekFrom::Start(from)).map_err(io_error("reading it"))?;
    let mut tail = Vec::new();
    file.take(END_RECORD + MAX_COMMENT).read_to_end(&mut tail).map_err(io_error("reading it"))?;
    file.rewind().map_err(io_error("reading it"))?;
    // Every place that could be the record must announce few enough: which one a reader takes does not matter then.
    let mut seen = false;
    for record in tail.windows(22).filter(|window| window.starts_with(b"PK\x05\x06")) {
        seen = true;
        let entries = u16::from_le_bytes([record[10], record[11]]);
        if entries == u16::MAX || u32::from(entries) > limits.max_entries {
            return Err(Refused::Limit(format!("more than {} entries (maxEntries)", limits.max_entries)));
        }
    }
    if seen { Ok(()) } else { Err(unreadable()) }
}

/// An entry's path, taken apart; `None` for folders.
fn path_of(raw: &str) -> Result<Option<String>, &'static str> {
    if raw.len() > MAX_PATH {
        return Err("the path is too long");
    }
    if raw.starts_with('/') || raw.contains('\\') || raw.contains(':') {
        return Err("not a relative path");
    }
    if raw.chars().any(char::is_control) || raw.contains('\u{fffd}') {
        return Err("not a printable path");
    }
    let path = raw.strip_suffix('/').unwrap_or(raw);
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > MAX_DEPTH {
        return Err("nested too deep");
    }
    if segments.iter().any(|segment| {
        segment.is_empty() || *segment == "." || *segment == ".." || segment.len() > MAX_SEGMENT
    }) {
        return Err("the path leads elsewhere");
    }
    Ok((path.len() == raw.len()).then(|| path.to_owned()))
}

/// What becomes of a file.
enum Use {
    Serve,
    Descriptor,
    /// Only a servlet container has a use for it.
    Page,
    Skip,
}

fn use_of(path: &str) -> Use {
    let lower = path.to_ascii_lowercase();
    if lower == "web-inf/web.xml" {
        Use::Descriptor
    } else if lower.starts_with("web-inf/") || lower.starts_with("meta-inf/") {
        Use::Skip
    } else if [".jsp", ".jspx", ".jspf"].iter().any(|end| lower.ends_with(end)) {
        Use::Page
    } else {
        Use::Serve
    }
}

/// Counts what comes out.
struct Budget {
    left: u64,
    file: u64,
    limits: String,
}

/// Copies one file, as long as it may be.
fn copy(from: &mut impl Read, to: &mut impl Write, entry: &str, budget: &mut Budget) -> Result<u64, Refused> {
    let most = budget.file.min(budget.left);
    let mut limited = from.take(most + 1);
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    loop {
        let count = match limited.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Refused::NoArchive(format!("entry '{}': {error}", entry.escape_debug())));
            }
        };
        to.write_all(buffer.get(..count).unwrap_or_default()).map_err(io_error("unpacking it"))?;
        copied += count as u64;
    }
    if copied > most {
        return Err(Refused::Limit(format!("unpacked it is larger than {}", budget.limits)));
    }
    budget.left -= copied;
    Ok(copied)
}

/// The place where something is unpacked; what is left of it goes when this is dropped.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // Renamed into its place, mostly. What cannot be removed is in nobody's way.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

/// Unpacks an archive to its place below the data directory. A place that no row speaks of is replaced.
pub(super) fn unpack(
    data_dir: &Path,
    file: &Path,
    (name, version): (&str, &str),
    limits: &ArchiveLimits,
) -> Result<Unpacked, Refused> {
    let (mut archive, digest) = open(file, limits)?;
    let all = data_dir.join(FOLDER);
    folder_for(&all).map_err(io_error(format!("making {}", all.display())))?;
    let unique = uuid_like(&digest);
    let place = Place(all.join(format!(".unpacking-{}-{unique}", std::process::id())));
    let _stale = std::fs::remove_dir_all(&place.0);
    let root = Index::files(&place.0);
    folder_for(&root).map_err(io_error(format!("making {}", root.display())))?;
    let mut index = Index { archive: digest.clone(), ..Index::default() };
    let mut budget = Budget {
        left: u64::from(limits.max_unpacked_mebibytes) * MEBIBYTE,
        file: u64::from(limits.max_file_mebibytes) * MEBIBYTE,
        limits: format!(
            "{} MiB, or a file of it than {} MiB (maxUnpackedMebibytes, maxFileMebibytes)",
            limits.max_unpacked_mebibytes, limits.max_file_mebibytes
        ),
    };
    let mut pages = 0;
    for number in 0..archive.len() {
        let mut entry = archive
            .by_index(number)
            .map_err(|error| Refused::NoArchive(format!("entry {number}: {error}")))?;
        let raw = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let refused = |reason| Refused::Entry { entry: shown(&raw), reason };
        // A regular file, a folder, or an archive of a system that has neither mode.
        let kind = entry.unix_mode().unwrap_or(0) & 0o170_000;
        if !matches!(kind, 0 | 0o100_000 | 0o040_000) {
            return Err(refused("links and devices are not taken"));
        }
        let Some(path) = path_of(&raw).map_err(refused)? else { continue };
        if entry.size() > RATIO_FROM
            && entry.size() / entry.compressed_size().max(1) > u64::from(limits.max_ratio)
        {
            return Err(refused("packed more tightly than maxRatio allows"));
        }
        match use_of(&path) {
            Use::Skip => {}
            Use::Page => pages += 1,
            Use::Descriptor => {
                let mut text = Vec::new();
                let (mut limited, most) = (Read::take(&mut entry, MAX_DESCRIPTOR), budget.left);
                limited.read_to_end(&mut text).map_err(|error| Refused::NoArchive(error.to_string()))?;
                budget.left = most.saturating_sub(text.len() as u64);
                index.servlets = descriptor::servlets(&String::from_utf8_lossy(&text));
            }
            Use::Serve => {
                let at = root.join(&path);
                if let Some(parent) = at.parent() {
                    folder_for(parent).map_err(|_| refused("a file stands where it needs a folder"))?;
                }
                let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at);
                let mut written = match written {
                    Ok(written) => written,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(refused("it is there twice"));
                    }
                    Err(error) => return Err(io_error("unpacking it")(error)),
                };
                let modified = entry.last_modified().map_or(0, modified);
                let crc = entry.crc32();
                let size = copy(&mut entry, &mut written, &raw, &mut budget)?;
                let made = Entry { size, tag: format!("{crc:08x}-{size:x}"), modified };
                index.entries.insert(path, made);
            }
        }
    }
    index.write(&place.0).map_err(|error| Refused::Limit(error.to_string()))?;
    let done = || -> io::Result<()> {
        give_to_owner(data_dir, &all)?;
        give_all(data_dir, &place.0)?;
        let at = File::open(&place.0)?;
        rustix::fs::syncfs(&at)?;
        let target = folder(data_dir, name, version);
        if target.exists() {
            std::fs::remove_dir_all(&target)?;
        }
        std::fs::rename(&place.0, &target)?;
        File::open(&all)?.sync_all()
    };
    done().map_err(io_error("unpacking it"))?;
    let mut servlets: Vec<String> = index.servlets.iter().map(|(_, name)| name.clone()).collect();
    servlets.sort();
    servlets.dedup();
    Ok(Unpacked { digest, files: index.entries.len(), servlets, pages })
}

/// Opens an archive once it is known to be a file of a size that can be read.
fn open(file: &Path, limits: &ArchiveLimits) -> Result<(ZipArchive<BufReader<File>>, String), Refused> {
    let reading = || format!("cannot read {}", file.display());
    let metadata = std::fs::metadata(file).map_err(io_error(reading()))?;
    if !metadata.is_file() {
        return Err(Refused::NoArchive("not a file".to_owned()));
    }
    if metadata.len() > u64::from(limits.max_archive_mebibytes) * MEBIBYTE {
        return Err(Refused::Limit(format!(
            "larger than {} MiB (maxArchiveMebibytes)",
            limits.max_archive_mebibytes
        )));
    }
    let mut opened = File::open(file).map_err(io_error(reading()))?;
    check_end_record(&mut opened, limits)?;
    let digest = digest_of(&mut opened).map_err(io_error(reading()))?;
    let archive =
        ZipArchive::new(BufReader::new(opened)).map_err(|error| Refused::NoArchive(error.to_string()))?;
    if archive.len() > usize::try_from(limits.max_entries).unwrap_or(usize::MAX) {
        return Err(Refused::Limit(format!("more than {} entries (maxEntries)", limits.max_entries)));
    }
    Ok((archive, digest))
}

/// SHA-256 of an archive that may be the one that is installed.
pub(super) fn digest(file: &Path) -> io::Result<String> {
    digest_of(&mut File::open(file)?)
}

fn uuid_like(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

fn shown(name: &str) -> String {
    name.chars().take(100).collect::<String>().escape_debug().to_string()
}

fn folder_for(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Seconds since 1970 of an archive's time, which knows no time zone.
fn modified(at: zip::DateTime) -> i64 {
    let date = time::Month::try_from(at.month())
        .ok()
        .and_then(|month| time::Date::from_calendar_date(i32::from(at.year()), month, at.day()).ok());
    let time = time::Time::from_hms(at.hour(), at.minute(), at.second()).ok();
    match (date, time) {
        (Some(date), Some(time)) => date.with_time(time).assume_utc().unix_timestamp(),
        _ => 0,
    }
}

/// What root unpacks into the data directory of another user belongs to that user, or the service could not read it.
fn give_to_owner(data_dir: &Path, made: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = std::fs::metadata(data_dir)?;
    std::os::unix::fs::lchown(made, Some(owner.uid()), Some(owner.gid()))
}

fn give_all(data_dir: &Path, folder: &Path) -> io::Result<()> {
    give_to_owner(data_dir, folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_all(data_dir, &entry.path())?;
        } else {
            give_to_owner(data_dir, &entry.path())?;
        }
    }
    Ok(())
}

/// Removes what no row speaks of: folders of archives that were taken out, and those that an installation which was killed
/// left half unpacked. Another process may be unpacking right now, and a rollback may bring a row back, so only what was not
/// touched for a while goes.
pub(super) fn sweep(data_dir: &Path, known: &[PathBuf]) {
    let Ok(entries) = std::fs::read_dir(data_dir.join(FOLDER)) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let touched = entry.metadata().and_then(|facts| facts.modified()).ok();
        let old = touched.is_some_and(|at| at.elapsed().is_ok_and(|age| age >= LEFT_OVER));
        if old && !known.contains(&path) {
            // The next sweep finds what this one could not remove.
            let _removed = std::fs::remove_dir_all(&path);
        }
    }
}
