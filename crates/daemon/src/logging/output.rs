//! The thread that writes log lines, and the queue to it.

use super::file::{FileConfig, RotatingFile};
use super::network::{Journald, Syslog, SyslogConfig};
use super::{FileOutput, JournaldOutput, Line, SyslogOutput};
use openadp_alarms::{LOG_LINES_LOST, LOG_OUTPUT_FAILING};
use openadp_settings::Snapshot;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that wait to be written; a second of a busy host.
const QUEUE: usize = 16_384;
/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(2);
/// An output that failed is tried again after this time, and its lines until then are lost.
const AGAIN: Duration = Duration::from_secs(1);

/// What the outputs are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    file: Option<FileConfig>,
    syslog: Option<SyslogConfig>,
    journald: Option<String>,
}

impl Config {
    /// What the settings say.
    pub(crate) fn of(snapshot: &Snapshot, data_dir: &Path) -> Self {
        let (file, syslog, journald): (FileOutput, SyslogOutput, JournaldOutput) =
            (snapshot.get(), snapshot.get(), snapshot.get());
        Self {
            file: file.enabled.then(|| FileConfig {
                directory: file.directory.map_or_else(|| data_dir.join("logs"), PathBuf::from),
                max_bytes: u64::from(file.max_size_kibibytes) * 1024,
                max_files: file.max_files,
                json: file.format == "json",
            }),
            syslog: syslog.enabled.then(|| SyslogConfig {
                udp: syslog.transport == "udp",
                address: syslog.address,
                facility: syslog.facility,
            }),
            journald: journald.enabled.then_some(journald.socket),
        }
    }
}

enum Work {
    Line(Box<Line>),
    Configure(Config),
    Finish(SyncSender<()>),
}

/// The way to the thread.
pub(crate) struct Outputs {
    process: String,
    active: AtomicBool,
    lost: Arc<AtomicU64>,
    config: Mutex<Config>,
    sender: std::sync::OnceLock<SyncSender<Work>>,
}

impl Outputs {
    /// No outputs yet; `process` is the program's name.
    pub(crate) fn new(process: &str) -> Self {
        Self {
            process: process.to_owned(),
            active: AtomicBool::new(false),
            lost: Arc::default(),
            config: Mutex::default(),
            sender: std::sync::OnceLock::new(),
        }
    }

    /// Whether any output wants lines.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Hands a line over, or counts it as lost.
    pub(crate) fn line(&self, line: Line) {
        let Some(sender) = self.sender.get() else { return };
        if sender.try_send(Work::Line(Box::new(line))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("log_lines_lost_total").increment(1);
        }
    }

    /// Takes other settings. Blocks for a moment while the queue is full.
    pub(crate) fn configure(&self, config: Config) {
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == config {
            return;
        }
        let wanted = config != Config::default();
        if wanted && self.sender.get().is_none() {
            let (sender, receiver) = sync_channel(QUEUE);
            let (process, lost) = (self.process.clone(), self.lost.clone());
            let started = std::thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || Writer::new(process, lost).run(&receiver));
            if let Err(error) = started {
                tracing::error!(%error, "no thread for log lines");
                return;
            }
            let _first = self.sender.set(sender);
        }
        if let Some(sender) = self.sender.get() {
            // The thread lives as long as the process.
            let _told = sender.send(Work::Configure(config.clone()));
        }
        *known = config;
        self.active.store(wanted, Ordering::Relaxed);
    }

    /// Waits until what was handed over is written.
    pub(crate) fn finish(&self) {
        let Some(sender) = self.sender.get() else { return };
        let (done, finished) = sync_channel(1);
        let begin = Instant::now();
        let mut work = Work::Finish(done);
        while begin.elapsed() < LAST {
            match sender.try_send(work) {
                Ok(()) => {
                    let _written = finished.recv_timeout(LAST);
                    return;
                }
                Err(std::sync::mpsc::TrySendError::Full(back)) => work = back,
                Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// One output, and how it went last.
struct Output<T> {
    name: &'static str,
    open: Option<T>,
    failed: Option<Instant>,
}

impl<T> Output<T> {
    fn new(name: &'static str) -> Self {
        Self { name, open: None, failed: None }
    }

    fn close(&mut self) {
        self.open = None;
        if self.failed.take().is_some() {
            LOG_OUTPUT_FAILING.clear(&[("output", self.name)]);
        }
    }

    fn write(
        &mut self,
        open: impl FnOnce() -> io::Result<T>,
        write: impl FnOnce(&mut T) -> io::Result<()>,
    ) -> bool {
        if self.failed.is_some_and(|failed| failed.elapsed() < AGAIN) {
            return false;
        }
        let written = match self.open.take() {
            Some(opened) => Ok(opened),
            None => open(),
        }
        .and_then(|mut opened| write(&mut opened).map(|()| opened));
        match written {
            Ok(opened) => {
                self.open = Some(opened);
                if self.failed.take().is_some() {
                    LOG_OUTPUT_FAILING.clear(&[("output", self.name)]);
                }
                true
            }
            Err(error) => {
                self.failed = Some(Instant::now());
                LOG_OUTPUT_FAILING.raise(&[("output", self.name)], error);
                false
            }
        }
    }
}

struct Writer {
    process: String,
    lost: Arc<AtomicU64>,
    config: Config,
    file: Output<RotatingFile>,
    syslog: Output<Syslog>,
    journald: Output<Journald>,
}

impl Writer {
    fn new(process: String, lost: Arc<AtomicU64>) -> Self {
        Self {
            process,
            lost,
            config: Config::default(),
            file: Output::new("file"),
            syslog: Output::new("syslog"),
            journald: Output::new("journald"),
        }
    }

    fn run(mut self, work: &Receiver<Work>) {
        while let Ok(next) = work.recv() {
            match next {
                Work::Line(line) => self.line(&line),
                Work::Configure(config) => {
                    // What stays as it was stays open.
                    if config.file != self.config.file {
                        self.file.close();
                    }
                    if config.syslog != self.config.syslog {
                        self.syslog.close();
                    }
                    if config.journald != self.config.journald {
                        self.journald.close();
                    }
                    self.config = config;
                }
                Work::Finish(done) => {
                    // Who waited may have gone.
                    let _told = done.try_send(());
                }
            }
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                LOG_LINES_LOST.report(&[], format_args!("{lost} lines"));
            }
        }
    }

    fn line(&mut self, line: &Line) {
        let process = self.process.as_str();
        let mut written = true;
        if let Some(config) = &self.config.file {
            written &=
                self.file.write(|| RotatingFile::open(config.clone(), process), |file| file.write(line));
        }
        if let Some(config) = &self.config.syslog {
            written &=
                self.syslog.write(|| Ok(Syslog::new(config.clone(), process)), |syslog| syslog.write(line));
        }
        if let Some(path) = &self.config.journald {
            written &= self.journald.write(|| Journald::new(path, process), |journal| journal.write(line));
        }
        if !written {
            metrics::counter!("log_lines_lost_total").increment(1);
        }
    }
}
