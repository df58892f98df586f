//! Our own access tokens at the providers, and the refresh tokens that get them. authservice.md 5.2 step 3
//!
//! A refresh token that a provider gives in place of the one that was used is in the settings, on disk, before the access
//! token that came with it is used: whatever happens then, the next process has it. Processes of one data directory take
//! turns, so that none uses a refresh token that another has just replaced.

use crate::config::{Registration, Slot};
use crate::exchange::{Exchange, Fault, Question, Ticks, plain};
use crate::state::{self, RefreshState};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openadp_alarms::{IDENTITY_PROVIDER_UNREACHABLE, REFRESH_TOKEN_NOT_STORED, REFRESH_TOKEN_REFUSED};
use openadp_appserver::Clock;
use openadp_settings::{Author, Change, Edit, Secret, Store};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Who changes a refresh token in the settings.
const AUTHOR: &str = "system";
/// First wait after a refusal, doubled each time up to the last one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_mins(1);
/// Life of an access token whose answer does not tell it, seconds.
const LIFE: u64 = 3600;
/// An access token that is not taken is not replaced more often than this: the fault is another then.
const REPLACE: Duration = Duration::from_secs(10);
/// How often the turn is looked for while another process has it.
const TURN_STEP: Duration = Duration::from_millis(20);

/// An access token of ours.
pub(crate) type AccessToken = Arc<Zeroizing<String>>;

#[derive(Default)]
struct Held {
    /// Whose it is: client and refresh token.
    of: [u8; 32],
    token: Option<AccessToken>,
    renew: Option<Instant>,
    expires: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
    last: Option<Fault>,
    replaced: Option<Instant>,
    /// A refresh token that was given and is not stored yet, with what it replaces.
    unstored: Option<(Secret, Secret)>,
}

/// All access tokens of ours.
pub(crate) struct Grants {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) data_dir: PathBuf,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) store: Arc<Store>,
    pub(crate) ticks: Ticks,
    held: Mutex<HashMap<Slot, Arc<tokio::sync::Mutex<Held>>>>,
}

#[derive(Deserialize, Default)]
struct GrantBody {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    refresh_token_expires_in: Option<i64>,
    #[serde(default)]
    error: String,
}

impl Drop for GrantBody {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.access_token);
        zeroize::Zeroize::zeroize(&mut self.refresh_token);
    }
}

/// What a try came to.
enum Granted {
    Token(AccessToken, Duration),
    /// The refresh token is not taken.
    Refused(Fault),
}

fn fingerprint(registration: &Registration, refresh: &Secret) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [
        registration.client_id.as_str(),
        registration.client_secret.expose(),
        registration.issuer_url.as_str(),
        registration.scope.as_deref().unwrap_or_default(),
        refresh.expose(),
    ] {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

impl Grants {
    pub(crate) fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        exchange: Arc<Exchange>,
        ticks: Ticks,
    ) -> Self {
        let data_dir = store.data_dir().to_owned();
        Self { clock, data_dir, exchange, store, ticks, held: Mutex::default() }
    }

    fn entry(&self, slot: &Slot) -> Arc<tokio::sync::Mutex<Held>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(slot.clone()).or_default().clone()
    }

    /// Forgets what belongs to registrations that are gone.
    pub(crate) fn keep_only(&self, registrations: &[Registration]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|slot, _| registrations.iter().any(|one| one.slot == *slot));
    }

    /// An access token that is valid. `refused` is one that the provider did not take: it is not given again.
    pub(crate) async fn current(
        &self,
        registration: &Registration,
        refused: Option<&AccessToken>,
        deadline: Instant,
    ) -> Result<AccessToken, Fault> {
        self.obtain(registration, refused, false, deadline).await
    }

    /// Renews the access token although it is valid yet.
    pub(crate) async fn renew(&self, registration: &Registration, deadline: Instant) -> Result<(), Fault> {
        self.obtain(registration, None, true, deadline).await.map(drop)
    }

    async fn obtain(
        &self,
        registration: &Registration,
        refused: Option<&AccessToken>,
        renew: bool,
        deadline: Instant,
    ) -> Result<AccessToken, Fault> {
        let entry = self.entry(&registration.slot);
        // One at a time for each; the others wait for its result, within their own deadline.
        let mut held = tokio::time::timeout_at(deadline, entry.lock())
            .await
            .map_err(|_| Fault::new("timeout", "no access token of our own in time"))?;
        let refresh = registration.slot.token(&self.store.current());
        let of = fingerprint(registration, &refresh);
        if held.of != of && held.unstored.is_none() {
            *held = Held { of, ..Held::default() };
        }
        let now = (self.ticks)();
        if let (Some(token), Some(refused)) = (&held.token, refused)
            && Arc::ptr_eq(token, refused)
        {
            if held.replaced.is_some_and(|at| now.duration_since(at) < REPLACE) {
                return Err(Fault::new("clientRefused", "the provider does not take our access tokens"));
            }
            held.replaced = Some(now);
            held.token = None;
        }
        let valid = held.token.clone().filter(|_| held.expires.is_some_and(|expires| now < expires));
        let due = renew || held.renew.is_none_or(|renew| renew <= now);
        if let (Some(token), false) = (&valid, due) {
            return Ok(token.clone());
        }
        if held.not_before.is_some_and(|not_before| now < not_before) {
            let last = held.last.clone().unwrap_or_else(|| Fault::new("status", "refused a moment ago"));
            return valid.ok_or(last);
        }
        let label = registration.slot.label();
        let about = [("provider", registration.provider.as_str()), ("slot", label.as_str())];
        match self.refresh(registration, &mut held, deadline).await {
            Ok((token, life)) => {
                REFRESH_TOKEN_REFUSED.clear(&about);
                IDENTITY_PROVIDER_UNREACHABLE.clear(&about);
                let renew = now + life.mul_f64(0.8);
                held.token = Some(token.clone());
                (held.renew, held.expires) = (Some(renew), Some(now + life));
                (held.failures, held.not_before, held.last) = (0, None, None);
                metrics::counter!("authservice_ci_grants_total", "outcome" => "granted").increment(1);
                tracing::info!(
                    event = "ciAccessTokenRenewed",
                    provider = registration.provider,
                    slot = label
                );
                Ok(token)
            }
            Err(fault) => {
                if !matches!(fault.reason, "refreshRefused" | "noRefreshToken" | "notStored") {
                    IDENTITY_PROVIDER_UNREACHABLE.raise(&about, &fault.text);
                }
                let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(held.failures)).min(LAST_WAIT);
                held.failures = held.failures.saturating_add(1).min(16);
                held.not_before = Some(now + wait);
                held.last = Some(fault.clone());
                metrics::counter!("authservice_ci_grants_total", "outcome" => fault.reason).increment(1);
                tracing::warn!(
                    event = "ciAccessTokenNotRenewed",
                    provider = registration.provider,
                    slot = label,
                    reason = fault.reason,
                    error = fault.text,
                );
                // The last one may still be good although it is due.
                valid.ok_or(fault)
            }
        }
    }

    /// Gets an access token with the refresh token of the settings, or with a newer one that another process stored.
    async fn refresh(
        &self,
        registration: &Registration,
        held: &mut Held,
        deadline: Instant,
    ) -> Result<(AccessToken, Duration), Fault> {
        let _turn = self.turn(deadline).await?;
        self.follow().await;
        if let Some((old, new)) = held.unstored.take() {
            // It was given and could not be kept: the one in the settings is void.
            if let Err(fault) = self.keep(registration, &old, &new).await {
                held.unstored = Some((old, new));
                return Err(fault);
            }
        }
        let mut refresh = registration.slot.token(&self.store.current());
        if refresh.is_empty() {
            return Err(Fault::new(
                "noRefreshToken",
                format!("{} has no refresh token", registration.slot.label()),
            ));
        }
        // Twice, when another process (or an operator) was faster.
        for last in [false, true] {
            match self.ask(registration, held, &refresh, deadline).await? {
                Granted::Token(token, life) => return Ok((token, life)),
                Granted::Refused(fault) => {
                    self.follow().await;
                    let newer = registration.slot.token(&self.store.current());
                    if last || newer == refresh {
                        let slot = registration.slot.label();
                        REFRESH_TOKEN_REFUSED
                            .raise(&[("provider", &registration.provider), ("slot", &slot)], &fault.text);
                        return Err(fault);
                    }
                    refresh = newer;
                }
            }
        }
        Err(Fault::new("refreshRefused", "the refresh token is not taken"))
    }

    async fn ask(
        &self,
        registration: &Registration,
        held: &mut Held,
        refresh: &Secret,
        deadline: Instant,
    ) -> Result<Granted, Fault> {
        let url = token_url(&registration.issuer_url)
            .ok_or_else(|| Fault::new("url", "issuerUrl cannot be the base of others"))?;
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        // RFC 6749 2.3.1: both are form-encoded first.
        let pair = Zeroizing::new(format!(
            "{}:{}",
            encode(&registration.client_id),
            encode(registration.client_secret.expose())
        ));
        let form = {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", refresh.expose());
            if let Some(scope) = &registration.scope {
                form.append_pair("scope", scope);
            }
            Zeroizing::new(form.finish())
        };
        let question = Question {
            url: &url,
            authorization: Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))),
            form: Some(form),
            max_body: registration.max_body,
            deadline,
        };
        let reply = self.exchange.ask(question).await?;
        let mut body: GrantBody = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status != 200 {
            let error: String = body.error.chars().filter(|c| !c.is_control()).take(80).collect();
            return Ok(Granted::Refused(Fault::new(
                "refreshRefused",
                format!("{} answers {} {error}", plain(&url), reply.status),
            )));
        }
        if body.access_token.is_empty() {
            return Err(Fault::new("malformed", format!("{} gives no access token", plain(&url))));
        }
        let rotated = body.refresh_token.take().filter(|new| !new.is_empty() && new != refresh.expose());
        let token = Arc::new(Zeroizing::new(std::mem::take(&mut body.access_token)));
        if let Some(rotated) = rotated {
            let rotated = Secret::new(rotated);
            if let Err(fault) = self.keep(registration, refresh, &rotated).await {
                held.unstored = Some((refresh.clone(), rotated));
                return Err(fault);
            }
        }
        let now = self.clock.now().unix_timestamp();
        let used = registration.slot.token(&self.store.current());
        self.note(registration, &used, now, body.refresh_token_expires_in).await;
        held.of = fingerprint(registration, &used);
        // A token that is over at once would be asked for with every request.
        let life = Duration::from_secs(body.expires_in.unwrap_or(LIFE).clamp(10, 30 * 86_400));
        Ok(Granted::Token(token, life))
    }

    /// Puts a refresh token in place of the one that it replaces, unless somebody has put in another.
    async fn keep(&self, registration: &Registration, old: &Secret, new: &Secret) -> Result<(), Fault> {
        let (store, slot) = (self.store.clone(), registration.slot.clone());
        let (old, new, now) = (old.clone(), new.clone(), self.clock.now());
        let kept = tokio::task::spawn_blocking(move || {
            store.refresh().map_err(|error| error.to_string())?;
            if slot.token(&store.current()) != old {
                return Ok(false);
            }
            let (context, key) = slot.row();
            let values = BTreeMap::from([("refreshToken".to_owned(), Some(new.expose().to_owned()))]);
            let change = Change {
                author: Author(AUTHOR.to_owned()),
                comment: Some("the identity provider gave a new refresh token".to_owned()),
                edits: vec![Edit::Set { context, key, values }],
                force: true,
            };
            store.commit(&change, now).map(|_| true).map_err(|problems| problems.to_string())
        });
        let outcome = match kept.await {
            Ok(outcome) => outcome,
            Err(error) => Err(error.to_string()),
        };
        let slot = registration.slot.label();
        match outcome {
            Ok(true) => {
                REFRESH_TOKEN_NOT_STORED.clear(&[("slot", &slot)]);
                tracing::info!(target: "audit", event = "refreshTokenRotated", provider = registration.provider, slot, notice = true);
                Ok(())
            }
            Ok(false) => {
                tracing::warn!(slot, "a new refresh token is not kept: another one was set meanwhile");
                Ok(())
            }
            Err(error) => {
                REFRESH_TOKEN_NOT_STORED.raise(&[("slot", &slot)], &error);
                Err(Fault::new("notStored", "a new refresh token cannot be stored"))
            }
        }
    }

    /// Takes note of when a refresh token was used.
    async fn note(&self, registration: &Registration, refresh: &Secret, now: i64, expires_in: Option<i64>) {
        let noted = RefreshState {
            fingerprint: state::fingerprint(refresh),
            used: now,
            expires: expires_in.filter(|seconds| *seconds > 0).map(|seconds| now.saturating_add(seconds)),
        };
        let (data_dir, slot) = (self.data_dir.clone(), registration.slot.label());
        let written = tokio::task::spawn_blocking(move || state::note_refresh(&data_dir, &slot, noted)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the use of a refresh token cannot be noted");
        }
    }

    /// Reads what other processes put in the settings.
    async fn follow(&self) {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || store.refresh().map(drop)).await;
        if let Ok(Err(error)) = read {
            tracing::warn!(%error, "settings cannot be read");
        }
    }

    /// The turn among the processes of the data directory.
    async fn turn(&self, deadline: Instant) -> Result<Option<File>, Fault> {
        if self.data_dir.as_os_str().is_empty() {
            return Ok(None);
        }
        let refused = |error: std::io::Error| Fault::new("turn", format!("taking the turn: {error}"));
        let file = state::lock_file(&self.data_dir).map_err(refused)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::Error(error)) => return Err(refused(error)),
                Err(std::fs::TryLockError::WouldBlock) => {}
            }
            let next = Instant::now() + TURN_STEP;
            if next >= deadline {
                return Err(Fault::new("timeout", "another process renews the access token"));
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

/// Where a provider gives access tokens.
fn token_url(issuer: &url::Url) -> Option<url::Url> {
    let mut url = issuer.clone();
    url.set_query(None);
    url.path_segments_mut().ok()?.pop_if_empty().extend(["oauth2", "v1", "access_token"]);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_endpoint_lies_below_the_issuer() {
        for issuer in [
            "https://idbroker.webex.com/idb",
            "https://idbroker.webex.com/idb/",
            "https://idbroker.webex.com/idb?x=1",
        ] {
            let url = token_url(&issuer.parse().unwrap()).unwrap();
            assert_eq!(url.as_str(), "https://idbroker.webex.com/idb/oauth2/v1/access_token");
        }
    }
}
