//! What is done between requests: our own access tokens renewed in time, the federation service asked on its period, and
//! the age of refresh tokens watched. authservice.md 5.2 step 3, 15 and 16

use crate::ages::Ages;
use crate::config::{Purpose, Registration};
use crate::state;
use crate::{Identities, federation};
use openadp_alarms::IDENTITY_PROVIDER_UNREACHABLE;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due. A refused attempt at the federation service is repeated after this too.
const LOOK: Duration = Duration::from_secs(30);

/// What it remembers from look to look.
#[derive(Default)]
pub(crate) struct Memory {
    /// When our own access tokens were last renewed for the period's sake, by slot.
    renewed: BTreeMap<String, Instant>,
    ages: Ages,
    faults: Vec<String>,
}

impl Identities {
    /// Runs until shutdown.
    pub async fn work(self, shutdown: CancellationToken) {
        let mut changes = self.0.store.watch();
        let mut memory = Memory::default();
        loop {
            changes.mark_unchanged();
            tokio::select! {
                () = self.look(&mut memory) => {}
                () = shutdown.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                changed = changes.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Does what is due.
    pub(crate) async fn look(&self, memory: &mut Memory) {
        let reading = self.reading();
        let config = &reading.config;
        if config.faults != memory.faults {
            for fault in &config.faults {
                tracing::warn!(
                    event = "identityProviderNotUsed",
                    fault,
                    "an identity provider is enabled and not usable"
                );
            }
            memory.faults.clone_from(&config.faults);
        }
        let registrations = config.registrations();
        self.0.grants.keep_only(&registrations);
        memory.renewed.retain(|slot, _| registrations.iter().any(|one| one.slot.label() == *slot));
        let minutes = config.refresh_minutes;
        let period = Duration::from_mins(u64::from(minutes));
        for registration in &registrations {
            self.keep_fresh(registration, period, memory).await;
        }
        if let Some(federation) = &config.federation {
            self.follow_federation(federation, i64::from(minutes) * 60).await;
        }
        let days = self.0.limits.load().alarm_days;
        let now = self.0.clock.now().unix_timestamp();
        memory.ages.watch(&self.0.store, &registrations, days, now).await;
        if matches!(self.0.purpose, Purpose::Devices { .. }) {
            return; // a gauge has one source
        }
        let open = u32::try_from(self.0.exchange.open_breakers()).unwrap_or(u32::MAX);
        metrics::gauge!("authservice_ci_hosts_avoided").set(f64::from(open));
    }

    async fn keep_fresh(&self, registration: &Registration, period: Duration, memory: &mut Memory) {
        if registration.slot.token(&self.0.store.current()).is_empty() {
            return;
        }
        let (deadline, now) = (self.0.exchange.deadline(), (self.0.ticks)());
        let slot = registration.slot.label();
        let due = memory.renewed.get(&slot).is_some_and(|at| now.duration_since(*at) >= period);
        let done = if due {
            self.0.grants.renew(registration, deadline).await
        } else {
            self.0.grants.current(registration, None, deadline).await.map(drop)
        };
        // A failure was told where it was met.
        if done.is_ok() && (due || !memory.renewed.contains_key(&slot)) {
            memory.renewed.insert(slot, now);
        }
    }

    async fn follow_federation(&self, config: &super::config::FederationConfig, period: i64) {
        let data_dir = self.0.store.data_dir().to_owned();
        let now = self.0.clock.now().unix_timestamp();
        let folder = data_dir.clone();
        // Another process, or `ClusterMap> get`, may have asked.
        let read = tokio::task::spawn_blocking(move || state::federation(&folder)).await;
        let mut known = (*self.0.federation.load_full()).clone();
        if let Ok(read) = read
            && read.fetched.max(read.failed) > known.fetched.max(known.failed)
        {
            known = read;
            self.0.federation.store(Arc::new(known.clone()));
        }
        let recent = |at: Option<i64>, within: i64| at.is_some_and(|at| (0..within).contains(&(now - at)));
        let asked = known.url == config.url.as_str() && recent(known.fetched, period);
        if !asked && !recent(known.failed, i64::try_from(LOOK.as_secs()).unwrap_or(i64::MAX)) {
            let outcome = federation::fetch(&self.0.exchange, &self.0.grants, config).await;
            let about = [("federation", config.url.as_str())];
            IDENTITY_PROVIDER_UNREACHABLE.set(&about, outcome.as_ref().err().map(|fault| &fault.text));
            if let Err(fault) = &outcome {
                tracing::warn!(
                    event = "federationNotAsked",
                    reason = fault.reason,
                    error = fault.text,
                    kept = known.clusters.len(),
                    "the federation service does not answer; what it said before stays"
                );
            }
            let label = outcome.as_ref().err().map_or("answered", |fault| fault.reason);
            metrics::counter!("authservice_federation_queries_total", "outcome" => label).increment(1);
            known = federation::after(known, config.url.as_str(), now, &outcome);
            self.0.federation.store(Arc::new(known.clone()));
            let kept = known.clone();
            let written = tokio::task::spawn_blocking(move || state::put_federation(&data_dir, &kept)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "the federation service's answer cannot be kept");
            }
        }
        if let Some(fetched) = known.fetched {
            let age = u32::try_from(now.saturating_sub(fetched)).unwrap_or_default();
            metrics::gauge!("authservice_federation_age_seconds").set(f64::from(age));
        }
    }
}

#[cfg(test)]
impl Memory {
    /// Slots with an alarm.
    pub(super) fn alarms(&self) -> Vec<&str> {
        self.ages.alarmed().collect()
    }
}
