//! The task tech-support: what somebody needs who helps from afar, in one archive, without secrets.

use super::backup::{keep, name};
use super::last::{make_folder, named, private};
use super::page;
use super::tasks::{Outcome, Work, integrity};
use crate::FileOutput;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Folder of the bundles below the data directory.
pub(super) const FOLDER: &str = "tech-support";
/// Of each log file its end, and of so many files.
const LOG_END: u64 = 1024 * 1024;
const LOG_FILES: usize = 32;
/// Events of the alarms and of the audit log.
const EVENTS: usize = 1000;
/// Files of the data directory that are listed with their sizes.
const LISTED: usize = 5000;

/// Where log files are.
pub(super) fn logs(work: &Work<'_>) -> PathBuf {
    let output: FileOutput = work.snapshot.get();
    output.directory.map_or_else(|| work.data_dir.join("logs"), PathBuf::from)
}

/// An archive that is being written.
struct Bundle(ZipWriter<File>);

impl Bundle {
    fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let options = SimpleFileOptions::default().unix_permissions(0o600).large_file(false);
        self.0.start_file(name, options).map_err(io::Error::other)?;
        self.0.write_all(content)
    }

    fn lines(&mut self, name: &str, lines: &[String]) -> io::Result<()> {
        self.add(name, (lines.join("\n") + "\n").as_bytes())
    }
}

/// Name, size and mode of what lies below the data directory; never what is in it.
fn listing(data_dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let (mut lines, mut folders) = (Vec::new(), vec![data_dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let path = entry.path();
            let shown = path.strip_prefix(data_dir).unwrap_or(&path);
            lines.push(format!("{:o} {:>12} {}", metadata.mode() & 0o7777, metadata.len(), shown.display()));
            if metadata.is_dir() {
                folders.push(path);
            }
            if lines.len() >= LISTED {
                return lines;
            }
        }
    }
    lines.sort_by(|one, other| one.get(5..).cmp(&other.get(5..)));
    lines
}

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_END)))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn run(work: &Work<'_>) -> Outcome {
    let folder = work.data_dir.join(FOLDER);
    make_folder(&folder)?;
    keep(&folder, "tech-support", u32::MAX)?;
    let name = name("tech-support", work.now) + ".zip";
    let partial = folder.join(format!(".{name}"));
    let mut bundle = Bundle(ZipWriter::new(private(&partial, true)?));

    bundle.lines("health.txt", &page(work.data_dir, work.snapshot, work.now).1)?;
    // Secrets are stars.
    bundle.lines("settings.txt", &work.store.export(None, false)?)?;
    let json = |values: &mut dyn Iterator<Item = serde_json::Result<String>>| -> Vec<String> {
        values.flatten().collect()
    };
    let audit = work.store.audit(EVENTS)?;
    bundle.lines("audit.jsonl", &json(&mut audit.iter().map(serde_json::to_string)))?;
    let active = openadp_alarms::active(work.data_dir)?;
    bundle.lines("alarms.jsonl", &json(&mut active.iter().map(serde_json::to_string)))?;
    let history = openadp_alarms::history(work.data_dir, EVENTS)?;
    bundle.lines("alarm-history.jsonl", &json(&mut history.iter().map(serde_json::to_string)))?;
    let stores = integrity(work.data_dir, work.store, work.now);
    let stores: Vec<String> = stores
        .into_iter()
        .map(|(name, wrong)| format!("{name}: {}", wrong.as_deref().unwrap_or("whole")))
        .collect();
    bundle.lines("stores.txt", &stores)?;
    for mut process in crate::admin::discover(work.data_dir) {
        // One that ends at this moment counts no more.
        let name = format!("metrics/{}-{}.txt", process.hello().process, process.hello().pid);
        bundle.lines(&name, &process.counters().unwrap_or_default())?;
    }
    bundle.lines("files.txt", &listing(work.data_dir))?;
    let system = rustix::system::uname();
    let machine = [system.sysname(), system.release(), system.version(), system.machine()]
        .map(|text| text.to_string_lossy().into_owned());
    let mut text = vec![format!("release {}", env!("CARGO_PKG_VERSION")), machine.join(" ")];
    for path in ["/proc/loadavg", "/proc/meminfo", "/proc/self/status", "/proc/self/limits"] {
        text.push(format!("\n{path}"));
        text.push(std::fs::read_to_string(path).unwrap_or_default());
    }
    bundle.lines("machine.txt", &text)?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(logs(work)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_log));
    files.sort();
    for path in files.iter().take(LOG_FILES) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        bundle.add(&format!("logs/{name}"), &end_of(path).map_err(|error| named(path, &error))?)?;
    }

    let file = bundle.0.finish().map_err(io::Error::other)?;
    file.sync_all()?;
    let bytes = file.metadata()?.len();
    std::fs::rename(&partial, folder.join(&name))?;
    File::open(&folder)?.sync_all()?;
    keep(&folder, "tech-support", work.settings.max_bundles)?;
    Ok(format!("{FOLDER}/{name}, {} KiB", bytes.div_ceil(1024)))
}

/// Whether a file of the folder of logs is one of ours: `adp.log`, `adp.log.1`.
fn is_log(name: &str) -> bool {
    name.strip_suffix(".log").is_some() || name.contains(".log.")
}
