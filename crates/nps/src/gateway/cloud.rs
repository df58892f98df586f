//! Push credentials of applications that have no key here: a cloud service of their publisher gives short-lived ones.
//! `protocols/nps.md` 5.1
//!
//! They are fetched before pushes need them, renewed on the configured period, and kept sealed on disk, so that neither a push
//! nor a restart waits for the cloud; while it fails, the last ones serve until they end.

use crate::configuration::{CloudConfiguration, Configurations};
use crate::events;
use crate::wire::{PushService, push_token};
use openadp_appserver::{Clock, epoch_millis};
use openadp_identity::{CloudClient, Fault, Upkeep};
use openadp_settings::Store;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(5);
/// How often the age of the refresh token is looked at.
const UPKEEP: Duration = Duration::from_secs(30);
/// A token is not used in its last minute, milliseconds: a push under way must not outlive it.
const MARGIN: i64 = 60_000;
/// A token is renewed at the latest so long before it ends, milliseconds.
const BEFORE_END: i64 = 5 * 60_000;
/// A token dated further ahead of the clock than this was had before the clock was set back, milliseconds.
const AHEAD: i64 = 60_000;
/// First wait after a failure, doubled up to the last one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_mins(1);
/// What the sealed file is for.
const PURPOSE: &[u8] = b"nps/push-tokens";
/// Longest file that is read.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A push token that can be used.
pub(crate) struct PushToken {
    /// `Authorization`, scheme and all.
    pub(crate) authorization: Zeroizing<String>,
    /// FCM's project.
    pub(crate) project: Option<String>,
    /// Milliseconds since 1970.
    issued: i64,
    /// Milliseconds since 1970.
    expires: i64,
    /// Where and as whom it was had.
    of: String,
    /// Part of the period after which it is renewed: nodes differ, so that they do not all ask at once.
    share: f64,
}

impl PushToken {
    fn is_usable(&self, of: &str, now: i64) -> bool {
        self.of == of && now < self.expires - MARGIN && now >= self.issued - AHEAD
    }
    /// When it is renewed, milliseconds since 1970.
    fn renewal(&self, period: Duration) -> i64 {
        let period = i64::try_from(period.mul_f64(self.share).as_millis()).unwrap_or(i64::MAX);
        self.issued.saturating_add(period).min(self.expires - BEFORE_END)
    }
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoToken {
    /// The cloud service says no: an operator must look.
    Refused(String),
    /// It cannot be asked, or fails; later may help.
    Unavailable(String),
}

type Key = (PushService, String);

#[derive(Default)]
struct Held {
    token: Option<Arc<PushToken>>,
    failures: u32,
    not_before: Option<Instant>,
    last: Option<Fault>,
    /// The settings that it failed under: under others it is tried at once.
    revision: u64,
    /// Whoever fetches has it; others wait.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Inner {
    client: CloudClient,
    clock: Arc<dyn Clock>,
    configurations: Arc<Configurations>,
    held: Mutex<HashMap<Key, Held>>,
    store: Arc<Store>,
}

/// State of the cloud service's credentials, for health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CloudHealth {
    /// Whether the service and our account there are configured.
    configured: bool,
    /// Applications that depend on it.
    applications: usize,
    /// Those of them with a token that can be used.
    tokens: usize,
    /// Until the next token is renewed; `null` where there is none.
    renews_in_seconds: Option<i64>,
}

/// The tokens; clones share them.
#[derive(Clone)]
pub(crate) struct CloudTokens(Arc<Inner>);

/// Where and as whom tokens are had: others' count no more when this changes.
fn origin(cloud: &CloudConfiguration) -> String {
    let registration = &cloud.registration;
    format!("{} {} {}", cloud.url, registration.issuer_url, registration.client_id)
}

/// 0.9 to 1.1.
fn share() -> f64 {
    let mut random = [0; 4];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => 0.9 + 0.2 * f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

impl CloudTokens {
    pub(crate) fn new(
        client: CloudClient,
        clock: Arc<dyn Clock>,
        configurations: Arc<Configurations>,
        store: Arc<Store>,
    ) -> Self {
        let held = saved(&store)
            .into_iter()
            .map(|(key, token)| (key, Held { token: Some(Arc::new(token)), ..Held::default() }))
            .collect();
        Self(Arc::new(Inner { client, clock, configurations, held: Mutex::new(held), store }))
    }

    /// The credentials to push an application with. `refused` are some that the provider did not take: they are not given again.
    pub(crate) async fn current(
        &self,
        service: PushService,
        application: &str,
        refused: Option<&Arc<PushToken>>,
    ) -> Result<Arc<PushToken>, NoToken> {
        self.obtain(&(service, application.to_owned()), refused, None).await
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self, key: &Key, of: &str, refused: Option<&Arc<PushToken>>) -> Option<Arc<PushToken>> {
        let now = epoch_millis(self.0.clock.now());
        let held = self.held();
        let token = held.get(key)?.token.clone()?;
        let taken = refused.is_none_or(|refused| !Arc::ptr_eq(refused, &token));
        (taken && token.is_usable(of, now)).then_some(token)
    }

    /// A token other than one that is refused, or due; `otherwise` is given where there is none.
    async fn obtain(
        &self,
        key: &Key,
        refused: Option<&Arc<PushToken>>,
        otherwise: Option<Arc<PushToken>>,
    ) -> Result<Arc<PushToken>, NoToken> {
        let configuration = self.0.configurations.current();
        let cloud = configuration.cloud.as_ref().map_err(|reason| NoToken::Refused((*reason).to_owned()))?;
        let of = origin(cloud);
        if let Some(token) = self.usable(key, &of, refused) {
            return Ok(token);
        }
        let asked = Instant::now();
        let turn = self.held().entry(key.clone()).or_default().turn.clone();
        let _turn = turn.lock().await;
        if let Some(token) = self.usable(key, &of, refused) {
            // Somebody fetched it meanwhile.
            return Ok(token);
        }
        let wait = self.held().get(key).and_then(|held| {
            let waits = held.revision == configuration.revision
                && held.not_before.is_some_and(|not_before| Instant::now() < not_before);
            waits.then(|| held.last.clone()).flatten()
        });
        if let Some(fault) = wait {
            return otherwise.ok_or_else(|| no_token(&fault));
        }
        match self.fetch(cloud, key, of).await {
            Ok(token) => {
                let token = Arc::new(token);
                let held = Held { token: Some(token.clone()), turn: turn.clone(), ..Held::default() };
                self.held().insert(key.clone(), held);
                events::cloud_token(&key.1, asked.elapsed());
                self.save().await;
                Ok(token)
            }
            Err(fault) => {
                let failures = {
                    let mut all = self.held();
                    let held = all.entry(key.clone()).or_default();
                    let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(held.failures)).min(LAST_WAIT);
                    held.failures = held.failures.saturating_add(1).min(16);
                    held.not_before = Some(Instant::now() + wait.mul_f64(share()));
                    held.last = Some(fault.clone());
                    held.revision = configuration.revision;
                    held.failures
                };
                events::no_cloud_token(&key.1, failures, &fault);
                otherwise.ok_or_else(|| no_token(&fault))
            }
        }
    }

    async fn fetch(&self, cloud: &CloudConfiguration, key: &Key, of: String) -> Result<PushToken, Fault> {
        let (service, application) = key;
        let mut url = cloud
            .url
            .join("v1/push-token")
            .map_err(|_| Fault::new("url", "CloudNPSService url cannot be the base of others"))?;
        url.query_pairs_mut().append_pair("applicationId", application);
        if *service == PushService::ApnsDevelopment {
            url.query_pairs_mut().append_pair("environment", "development");
        }
        let reply = self.0.client.ask(&cloud.registration, &url, None).await?;
        let now = epoch_millis(self.0.clock.now());
        match reply.status {
            200 => {
                let given = push_token(&reply.body, *service, application, now / 1000)
                    .map_err(|reason| Fault::new("malformed", reason))?;
                let expires = given.expires.saturating_mul(1000);
                let (authorization, project) = (given.authorization, given.project);
                Ok(PushToken { authorization, project, issued: now, expires, of, share: share() })
            }
            status @ (403 | 404) => {
                Err(Fault::new("refused", format!("the cloud service answers {status} for {application}")))
            }
            status => Err(Fault::new("status", format!("the cloud service answers {status}"))),
        }
    }

    /// Fetches and renews what is due, until shutdown. A fetch that has begun ends: it may bring a new refresh token.
    pub(crate) async fn work(self, shutdown: CancellationToken) {
        let mut changes = self.0.store.watch();
        let (mut upkeep, mut kept_up) = (Upkeep::default(), None::<Instant>);
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            self.look(&shutdown).await;
            if kept_up.is_none_or(|at| at.elapsed() >= UPKEEP) {
                let configuration = self.0.configurations.current();
                let registrations: Vec<_> =
                    configuration.cloud.iter().map(|cloud| cloud.registration.clone()).collect();
                self.0.client.upkeep(&registrations, &mut upkeep).await;
                kept_up = Some(Instant::now());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                changed = changes.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Does what is due.
    pub(crate) async fn look(&self, shutdown: &CancellationToken) {
        let configuration = self.0.configurations.current();
        let wanted = configuration.cloud_applications();
        self.held().retain(|(service, application), _| {
            let stays = wanted.iter().any(|(own, name)| own == service && name == application);
            if !stays {
                events::cloud_application_gone(application);
            }
            stays
        });
        let Ok(cloud) = &configuration.cloud else { return };
        let of = origin(cloud);
        for (service, application) in wanted {
            let key = (service, application.to_owned());
            let now = epoch_millis(self.0.clock.now());
            let held = self.usable(&key, &of, None);
            let due = held.as_ref().is_none_or(|token| token.renewal(cloud.refresh) <= now);
            if due && !shutdown.is_cancelled() {
                // A failure was told where it was met.
                drop(self.obtain(&key, held.as_ref(), held.clone()).await);
            }
        }
    }

    /// Age of the oldest token of these servers, seconds.
    pub(crate) fn oldest_age(&self, of: fn(PushService) -> bool) -> Option<i64> {
        let now = epoch_millis(self.0.clock.now());
        let held = self.held();
        let tokens =
            held.iter().filter(|((service, _), _)| of(*service)).filter_map(|(_, held)| held.token.as_ref());
        tokens.map(|token| (now - token.issued) / 1000).max()
    }

    /// State, without asking the cloud service.
    pub(crate) fn health(&self) -> CloudHealth {
        let configuration = self.0.configurations.current();
        let now = epoch_millis(self.0.clock.now());
        let applications = configuration.cloud_applications().len();
        let Ok(cloud) = &configuration.cloud else {
            return CloudHealth { configured: false, applications, tokens: 0, renews_in_seconds: None };
        };
        let of = origin(cloud);
        let held = self.held();
        let usable: Vec<i64> = held
            .values()
            .filter_map(|held| held.token.as_ref())
            .filter(|token| token.is_usable(&of, now))
            .map(|token| (token.renewal(cloud.refresh) - now) / 1000)
            .collect();
        let renews_in_seconds = usable.iter().min().copied();
        CloudHealth { configured: true, applications, tokens: usable.len(), renews_in_seconds }
    }

    /// Writes what is held, sealed with the machine key.
    async fn save(&self) {
        if self.0.store.data_dir().as_os_str().is_empty() {
            return; // a store in memory has no folder
        }
        let all: Vec<Saved> = self
            .held()
            .iter()
            .filter_map(|((service, application), held)| {
                let token = held.token.as_ref()?;
                Some(Saved {
                    service: *service,
                    application: application.clone(),
                    authorization: token.authorization.to_string(),
                    project: token.project.clone(),
                    issued: token.issued,
                    expires: token.expires,
                    of: token.of.clone(),
                })
            })
            .collect();
        let store = self.0.store.clone();
        let written = tokio::task::spawn_blocking(move || {
            let plain = Zeroizing::new(serde_json::to_vec(&all)?);
            let sealed = store.machine_key().seal(PURPOSE, &plain).map_err(io::Error::other)?;
            write(&store.data_dir().join("nps"), &sealed)
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "push tokens of the cloud service cannot be kept for a restart");
        }
    }
}

fn no_token(fault: &Fault) -> NoToken {
    let reason = format!("no push token of the cloud service: {}", fault.reason);
    match fault.reason {
        "refused" | "refreshRefused" | "noRefreshToken" | "clientRefused" => NoToken::Refused(reason),
        _ => NoToken::Unavailable(reason),
    }
}

/// A token in the sealed file.
#[derive(Serialize, Deserialize)]
struct Saved {
    service: PushService,
    application: String,
    authorization: String,
    #[serde(default)]
    project: Option<String>,
    issued: i64,
    expires: i64,
    of: String,
}

impl Drop for Saved {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.authorization);
    }
}

fn write(folder: &Path, sealed: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = folder.join(format!(".push-tokens.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(sealed)?;
    file.sync_all()?;
    std::fs::rename(&temporary, folder.join("push-tokens"))
}

/// What an earlier process kept; nothing where that is not readable: it will be fetched anew.
fn saved(store: &Store) -> BTreeMap<Key, PushToken> {
    let path = store.data_dir().join("nps/push-tokens");
    if store.data_dir().as_os_str().is_empty() || path.metadata().map_or(true, |found| found.len() > MAX_FILE)
    {
        return BTreeMap::new();
    }
    let Ok(sealed) = std::fs::read(&path) else { return BTreeMap::new() };
    let Ok(plain) = store.machine_key().open(PURPOSE, &sealed) else { return BTreeMap::new() };
    let all: Vec<Saved> = serde_json::from_slice(&plain).unwrap_or_default();
    all.into_iter()
        .map(|mut one| {
            let token = PushToken {
                authorization: Zeroizing::new(std::mem::take(&mut one.authorization)),
                project: one.project.take(),
                issued: one.issued,
                expires: one.expires,
                of: std::mem::take(&mut one.of),
                share: share(),
            };
            ((one.service, std::mem::take(&mut one.application)), token)
        })
        .collect()
}
