//! What is done between requests: our own access tokens renewed in time, the federation service asked on its period, and
//! the age of refresh tokens watched. authservice.md 5.2 step 3, 15 and 16

use super::config::{Registration, Slot};
use super::state::{self, RefreshState};
use super::{Identities, federation};
use openadp_alarms::{IDENTITY_PROVIDER_UNREACHABLE, REFRESH_TOKEN_AGE};
use openadp_settings::{RowChange, Secret, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due. A refused attempt at the federation service is repeated after this too.
const LOOK: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;
/// A refresh token whose end the provider told raises an alarm so many days before it.
const LAST_DAYS: i64 = 15;

/// What it remembers from look to look.
#[derive(Default)]
pub(crate) struct Memory {
    /// When our own access tokens were last renewed for the period's sake, by slot.
    renewed: BTreeMap<String, Instant>,
    /// Slots whose refresh token is old.
    alarmed: BTreeSet<String>,
    faults: Vec<String>,
}

impl Identities {
    /// Runs until shutdown.
    pub(crate) async fn work(self, shutdown: CancellationToken) {
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
        self.watch_ages(&registrations, memory).await;
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

    /// Metrics and alarms on the age of refresh tokens.
    async fn watch_ages(&self, registrations: &[Registration], memory: &mut Memory) {
        let now = self.0.clock.now().unix_timestamp();
        let alarm_days = i64::from(self.0.limits.load().alarm_days);
        let tokens: Vec<(Slot, Secret)> = registrations
            .iter()
            .map(|one| (one.slot.clone(), one.slot.token(&self.0.store.current())))
            .filter(|(_, token)| !token.is_empty())
            .collect();
        let store = self.0.store.clone();
        let noted = tokio::task::spawn_blocking(move || note_all(&store, &tokens, now)).await;
        let Ok(noted) = noted else { return };
        for gone in memory.alarmed.iter().filter(|slot| !noted.contains_key(*slot)) {
            REFRESH_TOKEN_AGE.clear(&[("slot", gone)]);
        }
        memory.alarmed.retain(|slot| noted.contains_key(slot));
        for (slot, state) in noted {
            let unused = now.saturating_sub(state.used).max(0) / DAY;
            let left = state.expires.map(|expires| expires.saturating_sub(now).div_euclid(DAY));
            let days = u32::try_from(unused).unwrap_or(u32::MAX);
            metrics::gauge!("authservice_refresh_token_age_days", "slot" => slot.clone())
                .set(f64::from(days));
            let old = unused >= alarm_days || left.is_some_and(|left| left <= LAST_DAYS);
            if old {
                let left = left.map(|left| format!("; it ends in {left} days")).unwrap_or_default();
                let text = format!("it was not used for {unused} days, and is void after 60{left}");
                REFRESH_TOKEN_AGE.raise(&[("slot", &slot)], text);
                memory.alarmed.insert(slot);
            } else {
                REFRESH_TOKEN_AGE.clear(&[("slot", &slot)]);
                memory.alarmed.remove(&slot);
            }
        }
    }
}

/// What is known of the refresh tokens; of a new one, since when it is set.
fn note_all(store: &Arc<Store>, tokens: &[(Slot, Secret)], now: i64) -> BTreeMap<String, RefreshState> {
    let mut states = state::refresh_states(store.data_dir());
    states.retain(|slot, _| tokens.iter().any(|(known, _)| known.label() == *slot));
    for (slot, token) in tokens {
        let (label, fingerprint) = (slot.label(), state::fingerprint(token));
        if states.get(&label).is_none_or(|state| state.fingerprint != fingerprint) {
            let used = set_at(store, slot).unwrap_or(now).min(now);
            let state = RefreshState { fingerprint, used, expires: None };
            if let Err(error) = state::note_refresh(store.data_dir(), &label, state.clone()) {
                tracing::warn!(%error, "the age of a refresh token cannot be noted");
            }
            states.insert(label, state);
        }
    }
    states
}

/// When the row of a slot last changed, seconds since 1970: its refresh token is not younger than that.
fn set_at(store: &Arc<Store>, slot: &Slot) -> Option<i64> {
    let (context, key) = slot.row();
    let revisions = store.revisions(0..=u64::MAX).ok()?;
    let changed = |edit: &RowChange| edit.context == context && edit.key == key;
    let last = revisions.iter().rev().find(|revision| revision.edits.iter().any(changed))?;
    Some(last.time.unix_timestamp())
}

#[cfg(test)]
impl Memory {
    /// Slots with an alarm.
    pub(super) fn alarms(&self) -> Vec<&str> {
        self.alarmed.iter().map(String::as_str).collect()
    }
}
