//! Devices that were activated with a code: they bring a token, and the bridge through which they were activated says whose it
//! is. The identity provider that knows us as a client of the bridge is found through a discovery service. The real formats are
//! not public; ours are in docs/devices.md.

use crate::service::{Denied, Shown};
use crate::settings::{ActivationIdentityProvider, DmBridge};
use crate::wire::HardwareAddress;
use aws_lc_rs::digest;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use lru::LruCache;
use openadp_alarms::DEVICE_ACTIVATION;
use openadp_appserver::Clock;
use openadp_identity::{CloudClient, Fault, Registration, Slot, Upkeep};
use openadp_settings::{Settings as _, Snapshot, Store};
use serde::Deserialize;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use zeroize::Zeroizing;

/// Most bytes of an answer of the bridge and of the discovery service.
const MAX_ANSWER: usize = 65_536;
/// Longest token that is asked about.
const MAX_TOKEN: usize = 8192;
/// Tokens that are remembered, and asked about at once.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
const IN_FLIGHT: usize = 1000;
/// A good token counts as such for so long, and never longer than it is valid; a bad one as bad.
const GOOD_FOR: Duration = Duration::from_mins(5);
const BAD_FOR: Duration = Duration::from_secs(10);
/// The discovery service is asked again after this time; meanwhile, and while it fails, its last answer holds.
const DISCOVERED_FOR: Duration = Duration::from_hours(1);
/// A discovery service that fails is left alone for so long.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(5);
/// Who fails.
const BRIDGE: &[(&str, &str)] = &[("service", "bridge")];
const DISCOVERY: &[(&str, &str)] = &[("service", "discovery")];
/// How often it is looked whether everything is well.
const LOOK: Duration = Duration::from_secs(30);

/// What the settings make of it.
#[derive(Clone, PartialEq, Eq)]
struct Config {
    bridge: Url,
    discovery: Url,
    client_id: String,
    client_secret: openadp_settings::Secret,
    scope: Option<String>,
}

impl Config {
    /// `None` while something is missing: activation is off then.
    fn of(snapshot: &Snapshot) -> Option<Self> {
        let (bridge, own) = (snapshot.get::<DmBridge>(), snapshot.get::<ActivationIdentityProvider>());
        let text = bridge.url?;
        // Guides give the host alone.
        let mut base = if text.contains("://") { text } else { format!("https://{text}/dm-bridge/") };
        if !base.ends_with('/') {
            base.push('/');
        }
        let mut discovery = own.gds_domain?;
        if !discovery.ends_with('/') {
            discovery.push('/');
        }
        if own.client_id.is_empty() || own.refresh_token.is_empty() {
            return None;
        }
        Some(Self {
            bridge: Url::parse(&base).ok()?.join("v1/device-auth").ok()?,
            // RFC 8414 3
            discovery: Url::parse(&discovery).ok()?.join(".well-known/oauth-authorization-server").ok()?,
            client_id: own.client_id,
            client_secret: own.client_secret,
            scope: Some(bridge.scope).filter(|scope| !scope.is_empty()),
        })
    }

    fn registration(&self, issuer_url: Url) -> Registration {
        Registration {
            provider: "DeviceActivation".to_owned(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            issuer_url,
            slot: Slot::new("DeviceActivation", ActivationIdentityProvider::CONTEXT),
            scope: self.scope.clone(),
            max_body: MAX_ANSWER,
        }
    }
}

type Outcome = Result<Option<HardwareAddress>, Fault>;
type Flight = Shared<BoxFuture<'static, Outcome>>;
/// Whose a token is, and until when that holds.
type Known = (Option<HardwareAddress>, Instant);

struct Discovered {
    at: Url,
    issuer: Option<Url>,
    when: Instant,
    failed: Option<(Instant, Fault)>,
}

struct Inner {
    client: CloudClient,
    clock: Arc<dyn Clock>,
    discovered: tokio::sync::Mutex<Option<Discovered>>,
    flights: Mutex<HashMap<[u8; 32], Flight>>,
    /// What is known of tokens, until when.
    known: Mutex<LruCache<[u8; 32], Known>>,
    store: Arc<Store>,
    tasks: TaskTracker,
}

/// Asks the bridge; clones share everything.
#[derive(Clone)]
pub(crate) struct Activation(Arc<Inner>);

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    active: bool,
    #[serde(default)]
    mac_address: Option<String>,
    #[serde(default)]
    exp: Option<i64>,
}

impl Activation {
    pub(crate) fn new(
        client: CloudClient,
        clock: Arc<dyn Clock>,
        store: Arc<Store>,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Inner {
            client,
            clock,
            discovered: tokio::sync::Mutex::default(),
            flights: Mutex::default(),
            known: Mutex::new(LruCache::new(REMEMBERED)),
            store,
            tasks,
        }))
    }

    /// The device whose token it is; `None` while activation is not configured.
    ///
    /// # Errors
    /// The token is nobody's, or the bridge cannot say.
    pub(crate) async fn device(&self, token: &str) -> Option<Result<HardwareAddress, Denied>> {
        let snapshot = self.0.store.current();
        let config = Config::of(&snapshot)?;
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > MAX_TOKEN || !plain {
            return Some(Err(Denied::Challenge(Shown::Elsewhere)));
        }
        let outcome = self.asked(&snapshot, config, token).await;
        let (label, result) = match outcome {
            Ok(Some(address)) => ("accepted", Ok(address)),
            Ok(None) => ("inactive", Err(Denied::Challenge(Shown::Elsewhere))),
            Err(fault) => (fault.reason, Err(Denied::Unavailable(Box::new(fault)))),
        };
        metrics::counter!("dms_activation_checks_total", "outcome" => label).increment(1);
        Some(result)
    }

    async fn asked(&self, snapshot: &Snapshot, config: Config, token: &str) -> Outcome {
        let key = key_of(snapshot, token);
        if let Some((address, until)) = self.0.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && Instant::now() < *until
        {
            return Ok(address.clone());
        }
        match self.flight(key, config, token) {
            Some(flight) => flight.await,
            None => Err(Fault::new("busy", "too many tokens of devices are being checked")),
        }
    }

    /// The question about a token, which all who ask at once share; it goes on when they leave.
    fn flight(&self, key: [u8; 32], config: Config, token: &str) -> Option<Flight> {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key) {
            return Some(flight.clone());
        }
        if flights.len() >= IN_FLIGHT {
            return None;
        }
        let (this, token) = (self.clone(), Zeroizing::new(token.to_owned()));
        let flight = async move {
            let outcome = this.ask(&config, &token).await;
            DEVICE_ACTIVATION.set(BRIDGE, outcome.as_ref().err().map(|fault| &fault.text));
            let outcome = outcome.map(|(address, life)| {
                let mut known = this.0.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.put(key, (address.clone(), Instant::now() + life));
                address
            });
            this.0.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            outcome
        }
        .boxed()
        .shared();
        flights.insert(key, flight.clone());
        drop(flights);
        drop(self.0.tasks.spawn(flight.clone()));
        Some(flight)
    }

    /// Gives also for how long the answer is good.
    async fn ask(&self, config: &Config, token: &str) -> Result<(Option<HardwareAddress>, Duration), Fault> {
        let registration = config.registration(self.issuer(config).await?);
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        let form = Zeroizing::new(form);
        let reply = self.0.client.ask(&registration, &config.bridge, Some(&form)).await?;
        match reply.status {
            200 => {}
            // It says no to the token, not to us.
            400 | 404 | 422 => return Ok((None, BAD_FOR)),
            status => return Err(Fault::new("status", format!("the bridge answers {status}"))),
        }
        let malformed = || Fault::new("malformed", "the bridge answers what is no answer");
        let body: Body = serde_json::from_slice(&reply.body).map_err(|_| malformed())?;
        let left = body.exp.map(|exp| exp.saturating_sub(self.0.clock.now().unix_timestamp()));
        if !body.active || left.is_some_and(|left| left <= 0) {
            return Ok((None, BAD_FOR));
        }
        let address = body.mac_address.as_deref().and_then(HardwareAddress::parse).ok_or_else(malformed)?;
        let left = left.and_then(|left| u64::try_from(left).ok()).map_or(GOOD_FOR, Duration::from_secs);
        Ok((Some(address), left.min(GOOD_FOR)))
    }

    /// The identity provider, by the discovery service: one asks at a time.
    async fn issuer(&self, config: &Config) -> Result<Url, Fault> {
        let mut held = self.0.discovered.lock().await;
        let now = Instant::now();
        let known = held.as_ref().filter(|held| held.at == config.discovery);
        let last = known.and_then(|held| held.issuer.clone());
        if let Some(held) = known {
            let fresh = now.duration_since(held.when) < DISCOVERED_FOR;
            if let (Some(issuer), true) = (&held.issuer, fresh) {
                return Ok(issuer.clone());
            }
            if let Some((at, fault)) = &held.failed
                && now.duration_since(*at) < DISCOVERY_PAUSE
            {
                return last.ok_or_else(|| fault.clone());
            }
        }
        match self.discover(config).await {
            Ok(issuer) => {
                let at = config.discovery.clone();
                *held = Some(Discovered { at, issuer: Some(issuer.clone()), when: now, failed: None });
                Ok(issuer)
            }
            Err(fault) => {
                let when = known.map_or(now, |held| held.when);
                let (at, failed) = (config.discovery.clone(), Some((now, fault.clone())));
                *held = Some(Discovered { at, issuer: last.clone(), when, failed });
                last.ok_or(fault)
            }
        }
    }

    async fn discover(&self, config: &Config) -> Result<Url, Fault> {
        let reply = self.0.client.get(&config.discovery, MAX_ANSWER).await?;
        if reply.status != 200 {
            return Err(Fault::new("discovery", format!("the discovery service answers {}", reply.status)));
        }
        let issuer = serde_json::from_slice::<Metadata>(&reply.body).ok().and_then(|found| {
            let url = Url::parse(&found.issuer).ok()?;
            let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            (url.scheme() == "https" && url.has_host() && plain).then_some(url)
        });
        issuer.ok_or_else(|| Fault::new("discovery", "the discovery service names no identity provider"))
    }

    /// Watches the refresh token, and keeps an access token ready, until shutdown.
    pub(crate) async fn work(self, shutdown: CancellationToken) {
        let mut changes = self.0.store.watch();
        let mut upkeep = Upkeep::default();
        while !shutdown.is_cancelled() {
            changes.mark_unchanged();
            let config = Config::of(&self.0.store.current());
            let mut registrations = Vec::new();
            if let Some(config) = &config {
                let issuer = self.issuer(config).await;
                DEVICE_ACTIVATION.set(DISCOVERY, issuer.as_ref().err().map(|fault| &fault.text));
                registrations.extend(issuer.ok().map(|issuer| config.registration(issuer)));
            } else {
                DEVICE_ACTIVATION.clear(BRIDGE);
                DEVICE_ACTIVATION.clear(DISCOVERY);
            }
            self.0.client.upkeep(&registrations, &mut upkeep).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                changed = changes.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Tokens are remembered by this, never themselves; what was known under other settings does not count any more.
fn key_of(snapshot: &Snapshot, token: &str) -> [u8; 32] {
    let (bridge, own) = (snapshot.get::<DmBridge>(), snapshot.get::<ActivationIdentityProvider>());
    let mut context = digest::Context::new(&digest::SHA256);
    let parts = [
        bridge.url.as_deref().unwrap_or_default(),
        &bridge.scope,
        own.gds_domain.as_deref().unwrap_or_default(),
        &own.client_id,
        own.client_secret.expose(),
        token,
    ];
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}
