//! Logs and metrics of the process.

use crate::args::{LogFormat, LogLevel};
use crate::logging::{Capture, Config, Filter, Outputs, Severities};
use crate::settings::LogSettings;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use openadp_settings::Snapshot;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Upper bounds of durations in seconds: from a cached answer to the two seconds that every request has.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];

/// The log of the process.
pub(crate) struct Telemetry {
    filter: reload::Handle<Filter, Registry>,
    /// The level of `--log-level`, which stands for the setting's.
    fixed: Option<LogLevel>,
    severities: Mutex<Severities>,
    outputs: Arc<Outputs>,
    standard_error: Arc<AtomicBool>,
}

/// The standard error stream while it is switched on.
struct StandardError(Arc<AtomicBool>);

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Self::Writer {
        if self.0.load(Ordering::Relaxed) { Box::new(std::io::stderr()) } else { Box::new(std::io::sink()) }
    }
}

/// The name of the program's file, for outputs that many programs write to.
fn program() -> String {
    let own = std::env::current_exe().ok();
    let name = own.as_deref().and_then(Path::file_stem).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "openadp".to_owned())
}

impl Telemetry {
    /// Starts logging to the standard error stream. A second start in one process keeps the first.
    pub(crate) fn start(format: LogFormat, level: Option<LogLevel>) -> Self {
        let first = Severities::of(level.map_or("info", LogLevel::name), None);
        let (filter_layer, handle) = reload::Layer::new(Filter::new(&first));
        let outputs = Arc::new(Outputs::new(&program()));
        let standard_error = Arc::new(AtomicBool::new(true));
        let registry = tracing_subscriber::registry().with(filter_layer).with(Capture(outputs.clone()));
        let writer = StandardError(standard_error.clone());
        let started = match format {
            LogFormat::Json => {
                registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
            }
            LogFormat::Text => registry.with(fmt::layer().with_ansi(false).with_writer(writer)).try_init(),
        };
        if started.is_ok() {
            log_panics();
        }
        Self { filter: handle, fixed: level, severities: Mutex::new(first), outputs, standard_error }
    }

    /// Takes what the settings say; a level that a flag fixed stays, for channels without one of their own.
    pub(crate) fn apply(&self, snapshot: &Snapshot, data_dir: &Path) {
        let settings: LogSettings = snapshot.get();
        let level = self.fixed.map_or(settings.level.clone(), |level| level.name().to_owned());
        let severities = Severities::of(&level, Some(snapshot));
        let mut known = self.severities.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != severities && self.filter.reload(Filter::new(&severities)).is_ok() {
            *known = severities;
            tracing::debug!(level, "log level");
        }
        drop(known);
        self.outputs.configure(Config::of(snapshot, data_dir));
        self.standard_error.store(settings.standard_error, Ordering::Relaxed);
    }

    /// Writes what is left, at the end of the process.
    pub(crate) fn finish(&self) {
        self.outputs.finish();
    }
}

/// Panics become log lines. Their text is kept only where it is a literal: a formatted one may hold anything.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
        let place = panic.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        openadp_alarms::PANIC.report(&[("place", &place)], text);
    }));
}

/// The recorder of the process's metrics, installed at the first call.
pub(crate) fn metrics() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let recorder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?;
    let handle = match recorder.install_recorder() {
        Ok(handle) => handle,
        // Another thread was faster.
        Err(error) => return RECORDER.get().cloned().ok_or(error),
    };
    crate::monitoring::describe();
    Ok(RECORDER.get_or_init(|| handle).clone())
}
