//! The age of refresh tokens: one that is not used for 60 days is void.

use crate::config::{Registration, Slot};
use crate::state::{self, RefreshState};
use openadp_alarms::REFRESH_TOKEN_AGE;
use openadp_settings::{RowChange, Secret, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DAY: i64 = 86_400;
/// A refresh token whose end the provider told raises an alarm so many days before it.
const LAST_DAYS: i64 = 15;

/// Slots whose refresh token is old, as they were last found.
#[derive(Default)]
pub(crate) struct Ages {
    alarmed: BTreeSet<String>,
}

impl Ages {
    /// Looks at the refresh tokens of these registrations: metrics, and an alarm where one was not used for so many days.
    pub(crate) async fn watch(
        &mut self,
        store: &Arc<Store>,
        registrations: &[Registration],
        alarm_days: u32,
        now: i64,
    ) {
        let snapshot = store.current();
        let tokens: Vec<(Slot, Secret)> = registrations
            .iter()
            .map(|one| (one.slot.clone(), one.slot.token(&snapshot)))
            .filter(|(_, token)| !token.is_empty())
            .collect();
        let store = store.clone();
        let noted = tokio::task::spawn_blocking(move || note_all(&store, &tokens, now)).await;
        let Ok(noted) = noted else { return };
        for gone in self.alarmed.iter().filter(|slot| !noted.contains_key(*slot)) {
            REFRESH_TOKEN_AGE.clear(&[("slot", gone)]);
        }
        self.alarmed.retain(|slot| noted.contains_key(slot));
        for (slot, state) in noted {
            let unused = now.saturating_sub(state.used).max(0) / DAY;
            let left = state.expires.map(|expires| expires.saturating_sub(now).div_euclid(DAY));
            let days = u32::try_from(unused).unwrap_or(u32::MAX);
            metrics::gauge!("authservice_refresh_token_age_days", "slot" => slot.clone())
                .set(f64::from(days));
            let old = unused >= i64::from(alarm_days) || left.is_some_and(|left| left <= LAST_DAYS);
            if old {
                let left = left.map(|left| format!("; it ends in {left} days")).unwrap_or_default();
                let text = format!("it was not used for {unused} days, and is void after 60{left}");
                REFRESH_TOKEN_AGE.raise(&[("slot", &slot)], text);
                self.alarmed.insert(slot);
            } else {
                REFRESH_TOKEN_AGE.clear(&[("slot", &slot)]);
                self.alarmed.remove(&slot);
            }
        }
    }

    /// Slots with an alarm.
    #[cfg(test)]
    pub(crate) fn alarmed(&self) -> impl Iterator<Item = &str> {
        self.alarmed.iter().map(String::as_str)
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
