//! What this application tells operators: log lines and metrics, together.
//!
//! No device token, caller, key or access token appears here, at any level; labels come from bounded sets.

use crate::gateway::Provider;
use crate::wire::Status;
use openadp_alarms::{PUSH_CONFIGURATION, PUSH_CREDENTIALS, PUSH_ENVIRONMENT, PUSH_GATEWAY_UNREACHABLE};
use openadp_identity::Fault;
use openadp_outgoing::SendError;
use std::time::Duration;

/// The sources of an error, for the end of a log line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// A target is done with.
pub(crate) fn target_done(
    provider: Provider,
    event: &'static str,
    status: Status,
    reason: &str,
    latency: Duration,
) {
    metrics::counter!("nps_pushes_total", "provider" => provider.name(), "status" => status.name())
        .increment(1);
    metrics::histogram!("nps_push_seconds", "provider" => provider.name()).record(latency.as_secs_f64());
    let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    let (provider, status) = (provider.name(), status.name());
    tracing::info!(provider, event, status, reason, latency_ms = millis, "push");
}

/// A provider answered.
pub(crate) fn answered(provider: Provider, status: u16, reason: &'static str) {
    let class = match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    };
    let provider = provider.name();
    PUSH_GATEWAY_UNREACHABLE.clear(&[("provider", provider)]);
    metrics::counter!("nps_provider_answers_total", "provider" => provider, "status" => class, "reason" => reason)
        .increment(1);
}

/// A provider could not be asked, or did not answer.
pub(crate) fn exchange_failed(provider: Provider, error: &SendError) {
    let kind = match error {
        SendError::Connect { .. } => "connect",
        SendError::NoConnection => "noConnection",
        SendError::NotProcessed(_) => "notProcessed",
        SendError::StreamRefused(_) => "streamRefused",
        SendError::Lost(_) => "lost",
        SendError::TooLong { .. } => "tooLong",
        SendError::Timeout => "timeout",
    };
    let provider = provider.name();
    metrics::counter!("nps_provider_failures_total", "provider" => provider, "kind" => kind).increment(1);
    tracing::warn!(provider, kind, error = chain(error), "no answer from provider");
    if matches!(error, SendError::Connect { .. } | SendError::Timeout) {
        PUSH_GATEWAY_UNREACHABLE.raise(&[("provider", provider)], chain(error));
    }
}

/// An operator must look: credentials, topics, roles.
pub(crate) fn configuration_fault(provider: Provider, reason: &str) {
    let provider = provider.name();
    metrics::counter!("nps_configuration_faults_total", "provider" => provider).increment(1);
    PUSH_CONFIGURATION
        .report(&[("provider", provider), ("reason", reason)], "the provider refuses our configuration");
}

/// A bug of ours.
pub(crate) fn our_fault(provider: Provider, reason: &str) {
    let provider = provider.name();
    metrics::counter!("nps_malformed_pushes_total", "provider" => provider).increment(1);
    tracing::error!(provider, reason, "provider refuses our request as malformed");
}

/// No access token; an alarm from the second failure on (section 5.1).
pub(crate) fn grant_failed(failures: u32, error: &dyn std::error::Error) {
    metrics::counter!("nps_token_failures_total").increment(1);
    if failures >= 2 {
        PUSH_CREDENTIALS.raise(&[("provider", "fcm")], format_args!("{failures} failures: {}", chain(error)));
    } else {
        tracing::warn!(failures, error = chain(error), "no access token");
    }
}

/// An access token was had.
pub(crate) fn granted() {
    PUSH_CREDENTIALS.clear(&[("provider", "fcm")]);
}

/// The cloud service gave credentials for an application.
pub(crate) fn cloud_token(application: &str, took: Duration) {
    PUSH_CREDENTIALS.clear(&[("provider", "cloud"), ("application", application)]);
    metrics::counter!("nps_cloud_tokens_total", "outcome" => "given").increment(1);
    metrics::histogram!("nps_cloud_token_seconds").record(took.as_secs_f64());
    tracing::info!(application, "push token of the cloud service renewed");
}

/// The cloud service gave none; an alarm from the second failure on, and at once where it says no (section 5.1).
pub(crate) fn no_cloud_token(application: &str, failures: u32, fault: &Fault) {
    metrics::counter!("nps_cloud_tokens_total", "outcome" => fault.reason).increment(1);
    let refused = matches!(fault.reason, "refused" | "refreshRefused" | "noRefreshToken" | "clientRefused");
    if failures >= 2 || refused {
        let about = [("provider", "cloud"), ("application", application)];
        PUSH_CREDENTIALS.raise(&about, format_args!("{failures} failures: {}", fault.text));
    } else {
        tracing::warn!(application, failures, reason = fault.reason, error = fault.text, "no push token");
    }
}

/// An application does not depend on the cloud service any more.
pub(crate) fn cloud_application_gone(application: &str) {
    PUSH_CREDENTIALS.clear(&[("provider", "cloud"), ("application", application)]);
}

/// So many dead tokens that they are rather a mix-up of environments.
pub(crate) fn mass_death(provider: Provider, application: &str) {
    let provider = provider.name();
    metrics::counter!("nps_dead_token_alarms_total", "provider" => provider).increment(1);
    PUSH_ENVIRONMENT.report(
        &[("provider", provider), ("application", application)],
        "more than a fifth of the pushes fail for their token: wrong server or project? no token is reported dead",
    );
}

/// A caller without the right to push.
pub(crate) fn peer_refused(reason: &'static str) {
    metrics::counter!("nps_peers_refused_total", "reason" => reason).increment(1);
    tracing::warn!(reason, "peer refused");
}

/// How many pushes wait for their turn.
pub(crate) fn waiting(count: usize) {
    // A gauge takes a float; counts stay far below its exact range.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    metrics::gauge!("nps_pushes_waiting").set(f64::from(count));
}

/// Age of a provider's credentials.
pub(crate) fn credentials_age(provider: Provider, seconds: i64) {
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    metrics::gauge!("nps_credentials_age_seconds", "provider" => provider.name()).set(f64::from(seconds));
}
