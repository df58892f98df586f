//! Logs and metrics of the process.

use crate::args::{LogFormat, LogLevel};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Upper bounds of durations in seconds: from a cached answer to the two seconds that every request has.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];

/// The log of the process.
pub(crate) struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    fixed: bool,
}

/// Libraries below a warning say too much for a log of ours, some of it secret.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("warn,openadp={level},access={level},adp={level}"))
}

impl Telemetry {
    /// Starts logging to the standard error stream. A second start in one process keeps the first.
    pub(crate) fn start(format: LogFormat, level: Option<LogLevel>) -> Self {
        let (filter_layer, handle) = reload::Layer::new(filter(level.map_or("info", LogLevel::name)));
        let registry = tracing_subscriber::registry().with(filter_layer);
        let started = match format {
            LogFormat::Json => {
                registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
            }
            LogFormat::Text => {
                registry.with(fmt::layer().with_ansi(false).with_writer(std::io::stderr)).try_init()
            }
        };
        if started.is_ok() {
            log_panics();
        }
        Self { filter: handle, fixed: level.is_some() }
    }

    /// Takes the level of the settings, unless a flag fixed it.
    pub(crate) fn set_level(&self, level: &str) {
        if !self.fixed && self.filter.reload(filter(level)).is_ok() {
            tracing::debug!(level, "log level");
        }
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
    Ok(RECORDER.get_or_init(|| handle).clone())
}
