//! The nodes of a farm and their one key ring: who holds which keys, who makes the first one, what is rotated when.
//! authservice.md 9
//!
//! A node that has peers makes the first key only when all of them grant it: each grants to one at a time, and none that
//! holds keys or is making one. Of those that ask at once, the one with the lowest id gets the others' grants: they yield.

use super::clock::{ClockFault, PeerClocks};
use super::mint::Chain;
use http::header::DATE;
use http::{HeaderName, HeaderValue, Method};
use openadp_alarms::{CLOCK_OFF, KEY_NOT_ROTATED, KEY_NOT_SHARED};
use openadp_appserver::Clock;
use openadp_keystore::{
    ImportMode, KeyState, KeyStore, KeyType, PEER_HEADER, Peer, PeerAccess, PeerView, Rotation, Scheduled,
    is_peer, prove_peer, write_peers,
};
use openadp_outgoing::{Call, CallError, Calls};
use openadp_settings::{Live, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Time for one call to a peer. No request waits for its end, and a busy peer is asked with patience, or the farm would fall
/// apart under load.
const CALL: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// Time that a request waits for the first key.
const FIRST_KEY: Duration = Duration::from_millis(1500);
/// How long a grant holds; longer than whoever got it may take.
const GRANT: Duration = Duration::from_secs(15);
/// Within which a key must be made after the grants were asked for.
const USE_GRANT: Duration = Duration::from_secs(10);
/// How often two that ask at once try again within one request.
const TRIES: u32 = 5;
/// Bytes of a peer's ring.
const MAX_RING: usize = 1024 * 1024;
/// Time between two looks at the schedule.
const SCHEDULE: Duration = Duration::from_secs(30);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoKey {
    #[error("a peer cannot be asked whether it has keys: {0}")]
    Peer(#[source] CallError),
    #[error("another node is making the first key")]
    Busy,
    #[error(transparent)]
    KeyStore(#[from] openadp_keystore::KeyStoreError),
    #[error("making the key panicked")]
    Panicked,
}

/// A claim for the first key, as it goes over the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The process that asks.
    pub(crate) claimant: String,
    /// Whether it does not want the grant any more, since another refused.
    #[serde(default)]
    pub(crate) release: bool,
}

/// What a peer says to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claimed {
    /// It has keys: take them over.
    pub(crate) keys: bool,
    /// It has none, and makes none for a while.
    pub(crate) granted: bool,
}

/// The ring as peers get it, and what it was made from.
struct Exported {
    keys: Vec<(String, KeyState)>,
    secret: String,
    text: String,
}

#[derive(Default)]
struct Claims {
    own: Option<Own>,
    granted: Option<(String, Instant)>,
}

/// How far this process is with its own claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Asking,
    /// Another one that asked came first: nothing is made.
    Yielded,
    /// All granted it: nobody else gets a grant.
    Making,
}

/// What a peer says of its ring.
#[derive(Deserialize)]
struct PeerRing {
    keys: Vec<PeerKey>,
    #[serde(default)]
    revoked: Vec<String>,
}

#[derive(Deserialize)]
struct PeerKey {
    kid: String,
    #[serde(default)]
    state: String,
}

/// The nodes of a farm, seen from one of them. Clones share everything.
#[derive(Clone)]
pub(crate) struct Farm(Arc<Inner>);

struct Inner {
    access: Live<PeerAccess>,
    claims: Mutex<Claims>,
    clock: Arc<dyn Clock>,
    clocks: PeerClocks,
    data_dir: PathBuf,
    /// Encrypting the ring costs a tenth of a second.
    exported: tokio::sync::Mutex<Option<Exported>>,
    first: Arc<tokio::sync::Mutex<()>>,
    id: String,
    keystore: Arc<KeyStore>,
    calls: Option<Calls>,
    rotation: Live<Rotation>,
    store: Arc<Store>,
    tasks: TaskTracker,
    views: Mutex<BTreeMap<String, PeerView>>,
}

impl Farm {
    pub(crate) fn new(
        store: &Arc<Store>,
        keystore: Arc<KeyStore>,
        clock: Arc<dyn Clock>,
        data_dir: PathBuf,
        tasks: TaskTracker,
        calls: Option<Calls>,
    ) -> Self {
        Self(Arc::new(Inner {
            access: store.live(),
            claims: Mutex::default(),
            clock,
            clocks: PeerClocks::default(),
            exported: tokio::sync::Mutex::default(),
            first: Arc::default(),
            id: uuid::Uuid::new_v4().to_string(),
            keystore,
            calls,
            rotation: store.live(),
            store: store.clone(),
            tasks,
            views: Mutex::new(openadp_keystore::read_peers(&data_dir)),
            data_dir,
        }))
    }

    fn now(&self) -> i64 {
        self.0.clock.now().unix_timestamp()
    }

    fn peers(&self) -> Vec<String> {
        self.0.store.rows::<Peer>().into_iter().map(|peer| peer.url).collect()
    }

    /// Why the clock of this node may not date tokens, if it may not.
    pub(crate) fn clock_fault(&self) -> Option<ClockFault> {
        let keys = self.0.keystore.keys();
        let made = keys.iter().filter(|key| key.state == KeyState::Active);
        let fault = self.0.clocks.fault(&*self.0.clock, made.map(|key| key.created.unix_timestamp()).max());
        match &fault {
            Some(fault) => CLOCK_OFF.raise(&[], fault),
            None => CLOCK_OFF.clear(&[]),
        }
        fault
    }

    /// Whether a request proves that a node of the farm sent it; the path is the one below the application's.
    pub(crate) fn proves(&self, proof: &str, method: &str, path: &str, body: &[u8]) -> bool {
        is_peer(self.0.access.load().secret.expose(), proof, method, path, body, self.now())
    }

    /// Answers a peer that wants to make the first key.
    pub(crate) fn claimed(&self, claim: &Claim) -> Claimed {
        if self.0.keystore.active_if_any().is_some() {
            return Claimed { keys: true, granted: false };
        }
        let mut claims = self.0.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.release {
            claims.granted = claims.granted.take().filter(|(to, _)| *to != claim.claimant);
            return Claimed { keys: false, granted: false };
        }
        let now = Instant::now();
        let first = match claims.own {
            None => true,
            Some(Own::Asking | Own::Yielded) => claim.claimant < self.0.id,
            Some(Own::Making) => false,
        };
        let other = claims
            .granted
            .as_ref()
            .is_some_and(|(to, since)| *to != claim.claimant && now.duration_since(*since) < GRANT);
        if !first || other {
            return Claimed { keys: false, granted: false };
        }
        if claims.own.is_some() {
            claims.own = Some(Own::Yielded);
        }
        claims.granted = Some((claim.claimant.clone(), now));
        Claimed { keys: false, granted: true }
    }

    /// The ring for a peer, encrypted under the farm's secret; `None` where there is none.
    pub(crate) async fn ring(&self) -> Result<Option<String>, NoKey> {
        let secret = self.0.access.load().secret.expose().to_owned();
        let keys: Vec<_> = self.0.keystore.keys().into_iter().map(|key| (key.kid, key.state)).collect();
        let mut exported = self.0.exported.lock().await;
        if let Some(held) = exported.as_ref().filter(|held| held.keys == keys && held.secret == secret) {
            return Ok(Some(held.text.clone()));
        }
        let (keystore, under) = (self.0.keystore.clone(), secret.clone());
        let text = blocking(move || Ok(keystore.export_existing(&under)?)).await?;
        *exported = text.clone().map(|text| Exported { keys, secret, text });
        Ok(text)
    }

    /// Sees to it that there is a key to sign with.
    ///
    /// # Errors
    /// There is none, and none may be made now.
    pub(crate) async fn ensure_key(&self) -> Result<(), NoKey> {
        if self.0.keystore.active_if_any().is_some() {
            return Ok(());
        }
        let peers = self.peers();
        let pending = self.0.keystore.keys().iter().any(|key| key.state == KeyState::Pending && key.can_sign);
        if peers.is_empty() || pending {
            return self.make(None).await;
        }
        let Ok(only) = self.0.first.clone().try_lock_owned() else {
            // Another request is at it.
            let begun = Instant::now();
            while begun.elapsed() < FIRST_KEY {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if self.0.keystore.active_if_any().is_some() {
                    return Ok(());
                }
            }
            return Err(NoKey::Busy);
        };
        // On its own: what was begun with the others is brought to its end, however long this request waits.
        let farm = self.clone();
        let agreeing = self.0.tasks.spawn(async move {
            let agreed = farm.agree(&peers).await;
            drop(only);
            agreed
        });
        match tokio::time::timeout(FIRST_KEY, agreeing).await {
            Ok(Ok(agreed)) => agreed,
            Ok(Err(_)) => Err(NoKey::Panicked),
            Err(_) => Err(NoKey::Busy),
        }
    }

    /// Makes the first key; with a claim, only while its grants hold, and ends the claim.
    async fn make(&self, claim: Option<Claiming>) -> Result<(), NoKey> {
        let kind = KeyType::from_word(&self.0.rotation.load().key_type).unwrap_or_default();
        let keystore = self.0.keystore.clone();
        blocking(move || {
            if claim.as_ref().is_some_and(|claim| claim.began.elapsed() > USE_GRANT) {
                return Err(NoKey::Busy);
            }
            let made = keystore.active_or(kind)?;
            tracing::info!(target: "audit", event = "firstKey", kid = made.kid(), notice = true);
            drop(claim);
            Ok(())
        })
        .await
    }

    async fn agree(&self, peers: &[String]) -> Result<(), NoKey> {
        for attempt in 0..TRIES {
            if self.0.keystore.active_if_any().is_some() {
                return Ok(());
            }
            if attempt > 0 {
                let wait = u64::from(uuid::Uuid::new_v4().as_bytes()[0]) % 120 + 20;
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            let Some(claim) = Claiming::begin(&self.0) else {
                // Another node makes it, or has made it already.
                self.look().await;
                continue;
            };
            let (mut granted, mut holder, mut silent) = (Vec::new(), None, None);
            for peer in peers {
                match self.claim(peer, false).await {
                    Ok(Claimed { granted: true, .. }) => granted.push(peer),
                    Ok(Claimed { keys: true, .. }) => {
                        holder = Some(peer);
                        break;
                    }
                    Ok(_) => break,
                    Err(error) => {
                        // It may have granted all the same.
                        granted.push(peer);
                        silent = Some(error);
                        break;
                    }
                }
            }
            if granted.len() == peers.len() && silent.is_none() && claim.all_granted() {
                return self.make(Some(claim)).await;
            }
            drop(claim);
            for peer in granted {
                // Who does not hear it forgets the grant by itself.
                drop(self.claim(peer, true).await);
            }
            if let Some(peer) = holder {
                self.fetch(peer).await?;
                let got = self.0.keystore.active_if_any().is_some();
                return if got { Ok(()) } else { Err(NoKey::Busy) };
            }
            if let Some(error) = silent {
                return Err(NoKey::Peer(error));
            }
        }
        Err(NoKey::Busy)
    }

    async fn claim(&self, peer: &str, release: bool) -> Result<Claimed, CallError> {
        let body = serde_json::to_vec(&Claim { claimant: self.0.id.clone(), release })?;
        let answer = self.call(peer, "POST", "/claim", &body, 4096).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Takes over what keys of a peer are not here.
    async fn fetch(&self, peer: &str) -> Result<(), NoKey> {
        let text = self.call(peer, "POST", "/ring", b"{}", MAX_RING).await.map_err(NoKey::Peer)?;
        let text = String::from_utf8(text.to_vec()).map_err(|error| NoKey::Peer(error.into()))?;
        let (keystore, secret) = (self.0.keystore.clone(), self.0.access.load().secret.clone());
        let imported =
            blocking(move || Ok(keystore.import(&text, ImportMode::Merge, Some(secret.expose()))?)).await?;
        if imported.changed {
            tracing::info!(target: "audit", event = "keysFetched", peer, keys = imported.added.join(" "), notice = true);
        }
        Ok(())
    }

    async fn call(
        &self,
        peer: &str,
        method: &str,
        path: &'static str,
        body: &[u8],
        max_answer: usize,
    ) -> Result<bytes::Bytes, CallError> {
        let calls = self.0.calls.as_ref().ok_or("this process calls nobody")?;
        let secret = self.0.access.load().secret.clone();
        let proof = prove_peer(secret.expose(), method, path, body, self.now()).ok_or("no randomness")?;
        let mut proof = HeaderValue::from_str(&proof)?;
        proof.set_sensitive(true);
        let call = Call {
            method: if method == "GET" { Method::GET } else { Method::POST },
            url: &format!("{}{path}", peer.trim_end_matches('/')),
            headers: vec![(HeaderName::from_static(PEER_HEADER), proof)],
            content_type: "application/json",
            body: bytes::Bytes::copy_from_slice(body),
            max_answer,
            timeout: CALL,
            connect_timeout: CONNECT,
        };
        let answer = calls.call(&call).await?;
        self.0.clocks.saw(peer, answer.headers.get(DATE).and_then(|date| date.to_str().ok()));
        match answer.status.as_u16() {
            200 => Ok(answer.body),
            404 => Err("it does not know us: another secret, or a clock that is off".into()),
            status => Err(format!("it answered {status}").into()),
        }
    }

    /// Looks at every peer once: takes over its keys, follows its revocations and promotions, and keeps what was seen.
    pub(crate) async fn look(&self) {
        let peers = self.peers();
        let mut rings = Vec::new();
        for peer in &peers {
            let seen = match self.call(peer, "GET", "/keys", b"", MAX_RING).await {
                Ok(answer) => serde_json::from_slice::<PeerRing>(&answer).map_err(Into::into),
                Err(error) => Err(error),
            };
            let mut views = self.0.views.lock().unwrap_or_else(PoisonError::into_inner);
            let view = views.entry(peer.clone()).or_default();
            match seen {
                Ok(ring) => {
                    let holds = ring.keys.iter().map(|key| key.kid.clone()).collect();
                    *view =
                        PeerView { seen: self.0.clock.now().unix_timestamp(), holds, error: String::new() };
                    drop(views);
                    rings.push((peer, ring));
                }
                Err(error) => {
                    view.error = Chain(&*error).to_string();
                    tracing::warn!(peer, error = view.error, "a peer's keys cannot be read");
                }
            }
        }
        for (peer, ring) in rings {
            if let Err(error) = self.follow(peer, &ring).await {
                tracing::warn!(peer, error = %Chain(&error), "a peer's keys cannot be taken over");
            }
        }
        let views = {
            let mut views = self.0.views.lock().unwrap_or_else(PoisonError::into_inner);
            views.retain(|url, _| peers.contains(url));
            views.clone()
        };
        self.0.clocks.keep(&peers);
        let worst =
            self.0.clocks.offsets(self.now()).into_iter().max_by_key(|offset| offset.saturating_abs());
        metrics::gauge!("authservice_clock_offset_seconds")
            .set(f64::from(i32::try_from(worst.unwrap_or(0)).unwrap_or(i32::MAX)));
        let missing = self.0.keystore.active_if_any().map_or(0, |key| {
            peers
                .iter()
                .filter(|peer| {
                    !views.get(*peer).is_some_and(|view| view.holds.iter().any(|kid| kid == key.kid()))
                })
                .count()
        });
        metrics::gauge!("authservice_peers_without_active_key")
            .set(f64::from(u32::try_from(missing).unwrap_or(u32::MAX)));
        let data_dir = self.0.data_dir.clone();
        if let Err(error) = blocking(move || Ok(write_peers(&data_dir, &views)?)).await {
            tracing::warn!(error = %Chain(&error), "what the peers hold cannot be kept");
        }
    }

    async fn follow(&self, peer: &str, ring: &PeerRing) -> Result<(), NoKey> {
        let ours = self.0.keystore.keys();
        if ring.keys.iter().any(|key| ours.iter().all(|own| own.kid != key.kid)) {
            self.fetch(peer).await?;
        }
        for kid in &ring.revoked {
            if ours.iter().any(|own| own.kid == *kid && own.state != KeyState::Retired) {
                let (keystore, kid) = (self.0.keystore.clone(), kid.clone());
                tracing::warn!(target: "audit", event = "keyRevoked", kid, peer);
                blocking(move || Ok(keystore.revoke(&kid)?)).await?;
            }
        }
        let Some(theirs) = ring.keys.iter().find(|key| key.state == KeyState::Active.name()) else {
            return Ok(());
        };
        let ours = self.0.keystore.keys();
        let active = ours.iter().find(|own| own.state == KeyState::Active);
        let newer = ours.iter().find(|own| {
            own.kid == theirs.kid
                && own.state == KeyState::Pending
                && own.can_sign
                && active.is_some_and(|active| (own.created, &own.kid) > (active.created, &active.kid))
        });
        if let Some(key) = newer.filter(|key| self.held_by_all(&key.kid)) {
            let (keystore, kid) = (self.0.keystore.clone(), key.kid.clone());
            tracing::info!(target: "audit", event = "keyPromoted", kid, peer, notice = true);
            blocking(move || Ok(keystore.promote(&kid)?)).await?;
        }
        Ok(())
    }

    /// Whether every peer was seen to hold a key, a moment ago.
    fn held_by_all(&self, kid: &str) -> bool {
        let now = self.now();
        let views = self.0.views.lock().unwrap_or_else(PoisonError::into_inner);
        self.peers().iter().all(|peer| views.get(peer).is_some_and(|view| view.confirms(kid, now)))
    }

    /// Does what the schedule of rotations asks for now.
    pub(crate) async fn rotate(&self) {
        let farm = self.clone();
        let done = blocking(move || {
            let rotation = farm.0.rotation.load();
            Ok(farm.0.keystore.follow_schedule(&rotation, |kid| farm.held_by_all(kid))?)
        });
        match done.await {
            Ok(Scheduled::Nothing) => {
                KEY_NOT_SHARED.clear(&[]);
                KEY_NOT_ROTATED.clear(&[]);
            }
            Ok(Scheduled::Generated(kid)) => {
                tracing::info!(target: "audit", event = "keyGenerated", kid, by = "schedule", notice = true);
            }
            Ok(Scheduled::Promoted(kid)) => {
                tracing::info!(target: "audit", event = "keyPromoted", kid, by = "schedule", notice = true);
            }
            Ok(Scheduled::Waiting(kid)) => {
                KEY_NOT_SHARED
                    .raise(&[], format_args!("the key {kid} is due to sign, and not every peer holds it"));
            }
            Err(error) => {
                KEY_NOT_ROTATED.raise(&[], Chain(&error));
            }
        }
        self.measure();
    }

    fn measure(&self) {
        let keys = self.0.keystore.keys();
        for state in [KeyState::Active, KeyState::Pending, KeyState::Retiring, KeyState::Retired] {
            let count = keys.iter().filter(|key| key.state == state).count();
            metrics::gauge!("authservice_keys", "state" => state.name())
                .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
        if let Some(active) = keys.iter().find(|key| key.state == KeyState::Active) {
            let age = self.now().saturating_sub(active.created.unix_timestamp()).max(0);
            metrics::gauge!("authservice_active_key_age_seconds")
                .set(f64::from(u32::try_from(age).unwrap_or(u32::MAX)));
        }
    }

    /// Looks at peers and schedule until the process ends.
    pub(crate) async fn run(self, shutdown: tokio_util::sync::CancellationToken) {
        let (mut looked, mut planned, mut plan) = (None, None, None);
        let mut known = Vec::new();
        let due = |last: Option<Instant>, period: Duration| last.is_none_or(|last| last.elapsed() >= period);
        loop {
            // What the settings say now holds, not what they said when the last look ended.
            let rotation = self.0.rotation.load();
            let wanted = Some((rotation.period_in_days, rotation.publication_in_hours));
            if due(planned, SCHEDULE) || wanted != plan {
                self.rotate().await;
                (planned, plan) = (Some(Instant::now()), wanted);
            }
            let now_known = self.peers();
            let poll = Duration::from_secs(self.0.access.load().poll_in_seconds.into());
            if due(looked, poll) || now_known != known {
                if !now_known.is_empty() {
                    self.look().await;
                }
                known = now_known;
                looked = Some(Instant::now());
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }
}

/// This process asks for the first key; ends when dropped.
struct Claiming {
    began: Instant,
    inner: Arc<Inner>,
}

impl Claiming {
    fn begin(inner: &Arc<Inner>) -> Option<Self> {
        let mut claims = inner.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if claims.granted.as_ref().is_some_and(|(_, since)| now.duration_since(*since) < GRANT) {
            return None;
        }
        claims.own = Some(Own::Asking);
        Some(Self { began: now, inner: inner.clone() })
    }

    /// All peers granted it: whether nobody came first meanwhile, and so the key may be made.
    fn all_granted(&self) -> bool {
        let mut claims = self.inner.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let first = claims.own == Some(Own::Asking);
        if first {
            claims.own = Some(Own::Making);
        }
        first
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        self.inner.claims.lock().unwrap_or_else(PoisonError::into_inner).own = None;
    }
}

/// Runs what blocks on files and computes.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NoKey> + Send + 'static,
) -> Result<T, NoKey> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NoKey::Panicked)?
}
