//! The identity cloud: our own access tokens there, and what it says of the access tokens that others bring. authservice.md 5
//!
//! [`Identities::verify`] is the way of a token: whom to ask (by the issuer that it names), what is known already, one
//! question at a time for one token, and what the answer is good for. Beside it `worker` keeps our own access tokens and the
//! list of identity providers fresh. [`CloudClient`] asks other services of the cloud, which know us as a client. Reading
//! order: `config`, `introspection`, `exchange`, `grants`, here, `client`.

mod ages;
mod breaker;
mod client;
mod cluster_map;
mod config;
mod exchange;
mod federation;
mod grants;
mod introspection;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use cluster_map::CLUSTER_MAP_ACTIONS;

pub use client::{ClientNeeds, CloudClient, Upkeep};
pub use config::{Purpose, Registration, Slot};
pub use exchange::{Fault, Reply, Ticks};
pub use settings::{
    AllowedRole, AllowedScope, CiscoIdentityProvider, ClusterMap, Federation, IdentityLimits,
    IdentityProviderScopes, MODULE, OtherIdentityProvider, Partner,
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use config::{CISCO, Config, Provider};
use exchange::{Exchange, Question, plain};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use grants::Grants;
use introspection::{Insufficient, Vouched};
use lru::LruCache;
use openadp_appserver::{Account, AccountKind, Clock, Credentials, Logins, PortError, UserId};
use openadp_outgoing::TlsSource;
use openadp_settings::{Live, Store};
use state::FederationState;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

/// Tokens that are remembered: some hundred bytes each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
/// Tokens that are asked about at once.
const IN_FLIGHT: usize = 1000;

/// What it takes to ask identity providers.
pub struct Needs {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Accounts of the application server.
    pub credentials: Arc<dyn Credentials>,
    /// Other names of accounts.
    pub logins: Arc<dyn Logins>,
    /// Whose access tokens these are.
    pub purpose: Purpose,
    /// Ends it all.
    pub shutdown: CancellationToken,
    /// The settings, [`MODULE`] among their declarations.
    pub store: Arc<Store>,
    /// All tasks run in here.
    pub tasks: TaskTracker,
    /// The monotonic time of caches.
    pub ticks: Ticks,
    /// TLS towards providers.
    pub tls: TlsSource,
}

/// A user whom an identity provider or a trusted caller vouches for and the application server knows. Only
/// [`Identities::verify`] and [`Identities::asserted`] make one.
#[derive(Debug)]
pub struct Proven {
    account: Account,
    organization: Option<String>,
}

impl Proven {
    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }
    /// Organisation at the identity provider, where it names one.
    pub fn organization(&self) -> Option<&str> {
        self.organization.as_deref()
    }
}

/// Why nobody is proven.
#[derive(Debug)]
pub enum Denied {
    /// The token is not good; the label says why, for the log.
    Token(&'static str),
    /// The token is good and lacks a scope.
    Scope,
    /// The token is good and its user may not have one of ours; the label says why, for the log.
    User(&'static str),
    /// The identity provider or the application server cannot say; the label says which and why.
    Unavailable(&'static str),
    /// A fault of ours.
    Internal,
}

/// What asking about a token came to.
type Outcome = Result<Arc<Vouched>, Why>;

#[derive(Debug, Clone)]
enum Why {
    Insufficient(Insufficient),
    Fault(Fault),
}

enum Known {
    Good(Arc<Vouched>, Instant),
    Bad(Insufficient, Instant),
}

/// Settings as they were read, and which reading it was.
struct Reading {
    revision: u64,
    generation: u64,
    config: Config,
}

/// Asks identity providers; clones share everything.
#[derive(Clone)]
pub struct Identities(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    credentials: Arc<dyn Credentials>,
    exchange: Arc<Exchange>,
    federation: ArcSwap<FederationState>,
    flights: Mutex<HashMap<[u8; 32], Shared<BoxFuture<'static, Outcome>>>>,
    grants: Grants,
    known: Mutex<LruCache<[u8; 32], Known>>,
    limits: Live<IdentityLimits>,
    logins: Arc<dyn Logins>,
    purpose: Purpose,
    reading: ArcSwap<Reading>,
    store: Arc<Store>,
    tasks: TaskTracker,
    ticks: Ticks,
}

impl Identities {
    /// Over these.
    pub fn new(needs: Needs) -> Self {
        let Needs { clock, credentials, logins, purpose, shutdown, store, tasks, ticks, tls } = needs;
        let exchange = Arc::new(Exchange::new(&store, tls, ticks.clone(), tasks.clone(), shutdown));
        let snapshot = store.current();
        let reading =
            Reading { revision: snapshot.revision(), generation: 0, config: Config::of(&snapshot, purpose) };
        Self(Arc::new(Inner {
            federation: ArcSwap::from_pointee(state::federation(store.data_dir())),
            flights: Mutex::default(),
            grants: Grants::new(store.clone(), clock.clone(), exchange.clone(), ticks.clone()),
            known: Mutex::new(LruCache::new(REMEMBERED)),
            limits: store.live(),
            logins,
            purpose,
            reading: ArcSwap::from_pointee(reading),
            clock,
            credentials,
            exchange,
            store,
            tasks,
            ticks,
        }))
    }

    /// Whether access tokens of any provider are taken.
    pub fn is_on(&self) -> bool {
        !self.reading().config.providers.is_empty()
    }

    /// The settings as they are now; what was known under others does not count any more.
    fn reading(&self) -> Arc<Reading> {
        let held = self.0.reading.load_full();
        let snapshot = self.0.store.current();
        if held.revision == snapshot.revision() {
            return held;
        }
        let config = Config::of(&snapshot, self.0.purpose);
        // A rotated refresh token changes the settings and none of this.
        let generation = held.generation + u64::from(config != held.config);
        let fresh = Arc::new(Reading { revision: snapshot.revision(), generation, config });
        self.0.reading.store(fresh.clone());
        fresh
    }

    /// Proves a user by an access token of an identity provider.
    ///
    /// # Errors
    /// Why nobody is proven.
    pub async fn verify(&self, token: &str) -> Result<Proven, Denied> {
        let reading = self.reading();
        let verified = self.check(&reading, token).await;
        let label = match &verified {
            Ok(_) => "accepted",
            Err(Denied::Token(label) | Denied::User(label) | Denied::Unavailable(label)) => label,
            Err(Denied::Scope) => Insufficient::Scope.label(),
            Err(Denied::Internal) => "internal",
        };
        metrics::counter!("authservice_ci_checks_total", "outcome" => label).increment(1);
        verified
    }

    /// A user named by a caller that is trusted to have proved it: a subscriber, never an administrator.
    ///
    /// # Errors
    /// The application server does not know such a subscriber, or cannot say.
    pub async fn asserted(&self, user: &str) -> Result<Proven, Denied> {
        let account = match self.0.credentials.account(&UserId::new(user)).await {
            Ok(account) => account,
            Err(PortError::NotFound { .. }) => return Err(Denied::User("assertedUnknownUser")),
            Err(error) => return Err(denied(&error)),
        };
        match account.kind {
            AccountKind::Subscriber { .. } => Ok(Proven { account, organization: None }),
            AccountKind::Administrator(_) => Err(Denied::User("assertedAdministrator")),
        }
    }

    async fn check(&self, reading: &Reading, token: &str) -> Result<Proven, Denied> {
        if !introspection::is_token(token) {
            return Err(Denied::Token("ciMalformed"));
        }
        let claimed = introspection::claimed(token);
        let (provider, issuer) = self
            .provider(&reading.config, claimed.issuer.as_deref())
            .ok_or(Denied::Token("ciUnknownIssuer"))?;
        let vouched =
            match self.vouched(reading.generation, &provider, issuer, claimed.organization, token).await {
                Ok(vouched) => vouched,
                Err(Why::Insufficient(Insufficient::Organization)) => {
                    return Err(Denied::User(Insufficient::Organization.label()));
                }
                Err(Why::Insufficient(Insufficient::Scope)) => return Err(Denied::Scope),
                Err(Why::Insufficient(why)) => return Err(Denied::Token(why.label())),
                Err(Why::Fault(fault)) => {
                    tracing::warn!(
                        event = "ciNotChecked",
                        provider = provider.name,
                        reason = fault.reason,
                        error = fault.text,
                        "an identity provider cannot say whether an access token is good"
                    );
                    return Err(Denied::Unavailable(fault.reason));
                }
            };
        let account = self.account(&vouched).await?;
        if matches!(account.kind, AccountKind::Administrator(_))
            && !vouched.may_administer(&reading.config.roles, &reading.config.role_scopes)
        {
            return Err(Denied::User("ciAdministrator"));
        }
        let revoked = self
            .0
            .credentials
            .tokens_revoked_before(&account.user_id)
            .await
            .map_err(|error| denied(&error))?;
        if let (Some(issued), Some(before)) = (vouched.issued, revoked)
            && issued.saturating_mul(1000) < before
        {
            return Err(Denied::Token("revoked"));
        }
        Ok(Proven { account, organization: vouched.organization.clone() })
    }

    /// Whom to ask, and which issuer the answer must name.
    fn provider(&self, config: &Config, issuer: Option<&str>) -> Option<(Arc<Provider>, String)> {
        if let Some(provider) = config.provider(issuer) {
            return Some((provider.clone(), issuer.unwrap_or(&provider.issuer_name).to_owned()));
        }
        // An issuer that the federation service knows is asked about where the Cisco provider is.
        // It is taken only where it is asked now: whom another one vouched for before is nobody.
        let (issuer, asked) = (issuer?, config.federation.as_ref()?);
        let known = self.0.federation.load();
        let federated =
            known.url == asked.url.as_str() && known.clusters.iter().any(|cluster| cluster.issuer == issuer);
        let cisco = config.providers.iter().find(|provider| provider.name == CISCO)?;
        federated.then(|| (cisco.clone(), issuer.to_owned()))
    }

    async fn vouched(
        &self,
        generation: u64,
        provider: &Arc<Provider>,
        issuer: String,
        organization: Option<String>,
        token: &str,
    ) -> Outcome {
        let key = key_of(generation, token);
        let limits = self.0.limits.load();
        let (now, time) = ((self.0.ticks)(), self.0.clock.now().unix_timestamp());
        let mut stale = None;
        {
            let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            match known.get(&key) {
                Some(Known::Good(vouched, _)) if vouched.is_expired(time) => {
                    metrics::counter!("authservice_ci_cache_total", "result" => "expired").increment(1);
                    return Err(Why::Insufficient(Insufficient::Expired));
                }
                Some(Known::Good(vouched, at)) => {
                    let age = now.duration_since(*at);
                    if age < Duration::from_secs(u64::from(limits.positive_seconds)) {
                        metrics::counter!("authservice_ci_cache_total", "result" => "good").increment(1);
                        return Ok(vouched.clone());
                    }
                    stale = Some(vouched.clone())
                        .filter(|_| age < Duration::from_mins(u64::from(limits.grace_minutes)));
                }
                Some(Known::Bad(why, at))
                    if now.duration_since(*at) < Duration::from_secs(u64::from(limits.negative_seconds)) =>
                {
                    metrics::counter!("authservice_ci_cache_total", "result" => "bad").increment(1);
                    return Err(Why::Insufficient(*why));
                }
                Some(Known::Bad(..)) | None => {}
            }
        }
        metrics::counter!("authservice_ci_cache_total", "result" => "unknown").increment(1);
        let asked = match self.flight(key, provider, issuer, organization, token) {
            Some(flight) => flight.await,
            None => Err(Why::Fault(Fault::new("busy", "too many access tokens are being checked"))),
        };
        match (asked, stale) {
            (Err(Why::Fault(fault)), Some(vouched)) => {
                metrics::counter!("authservice_ci_cache_total", "result" => "stale").increment(1);
                tracing::warn!(
                    event = "ciCheckedEarlier",
                    provider = provider.name,
                    reason = fault.reason,
                    error = fault.text,
                    "the identity provider does not answer; a token that was good before is taken"
                );
                Ok(vouched)
            }
            (asked, _) => asked,
        }
    }

    /// The question about a token, which all who ask at once share; it goes on when they leave.
    fn flight(
        &self,
        key: [u8; 32],
        provider: &Arc<Provider>,
        issuer: String,
        organization: Option<String>,
        token: &str,
    ) -> Option<Shared<BoxFuture<'static, Outcome>>> {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key) {
            return Some(flight.clone());
        }
        if flights.len() >= IN_FLIGHT {
            return None;
        }
        let (this, provider, token) = (self.clone(), provider.clone(), Zeroizing::new(token.to_owned()));
        let flight = async move {
            let began = Instant::now();
            let outcome = this.introspect(&provider, &issuer, organization.as_deref(), &token).await;
            metrics::histogram!("authservice_ci_seconds", "provider" => provider.name.clone())
                .record(began.elapsed().as_secs_f64());
            let at = (this.0.ticks)();
            let known = match &outcome {
                Ok(vouched) => Some(Known::Good(vouched.clone(), at)),
                Err(Why::Insufficient(why)) => Some(Known::Bad(*why, at)),
                Err(Why::Fault(_)) => None,
            };
            if let Some(known) = known {
                this.0.known.lock().unwrap_or_else(PoisonError::into_inner).put(key, known);
            }
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

    async fn introspect(
        &self,
        provider: &Provider,
        issuer: &str,
        organization: Option<&str>,
        token: &str,
    ) -> Outcome {
        let deadline = self.0.exchange.deadline();
        let registration = provider.registration_for(organization);
        let form = Zeroizing::new(
            url::form_urlencoded::Serializer::new(String::new())
                .append_pair("token", token)
                .append_pair("token_type_hint", "access_token")
                .finish(),
        );
        let mut refused = None;
        for _ in 0..2 {
            let access =
                self.0.grants.current(registration, refused.as_ref(), deadline).await.map_err(Why::Fault)?;
            let question = Question {
                url: &provider.token_info_url,
                authorization: Some(Zeroizing::new(format!("Bearer {}", access.as_str()))),
                form: Some(form.clone()),
                max_body: provider.max_body,
                deadline,
            };
            let reply = self.0.exchange.ask(question).await.map_err(Why::Fault)?;
            let fault = |reason, text: &str| {
                Why::Fault(Fault::new(reason, format!("{} {text}", plain(&provider.token_info_url))))
            };
            match reply.status {
                200 => {
                    let answered = introspection::read(&reply.body)
                        .map_err(|introspection::Unusable| fault("malformed", "answers what is no answer"))?;
                    let now = self.0.clock.now().unix_timestamp();
                    return answered
                        .and_then(|answered| answered.judge(provider, issuer, now))
                        .map(Arc::new)
                        .map_err(Why::Insufficient);
                }
                // Ours is not taken: a new one, once.
                401 | 403 => refused = Some(access),
                400 | 404 | 422 => return Err(Why::Insufficient(Insufficient::Inactive)),
                status => return Err(fault("status", &format!("answers {status}"))),
            }
        }
        Err(Why::Fault(Fault::new(
            "clientRefused",
            format!("{} does not take our access token", plain(&provider.token_info_url)),
        )))
    }

    /// The account of whom a provider vouches for.
    async fn account(&self, vouched: &Vouched) -> Result<Account, Denied> {
        for user in &vouched.users {
            match self.0.logins.find(user).await {
                Ok(account) => return Ok(account),
                Err(PortError::NotFound { .. }) => {}
                Err(error) => return Err(denied(&error)),
            }
        }
        Err(Denied::User("ciUnknownUser"))
    }
}

fn denied(error: &PortError) -> Denied {
    match error {
        PortError::Unavailable(_) | PortError::LimitReached { .. } => {
            Denied::Unavailable("applicationServer")
        }
        PortError::NotFound { .. } | PortError::CredentialsRefused => Denied::User("ciUnknownUser"),
        error => {
            tracing::error!(%error, "an account cannot be read");
            Denied::Internal
        }
    }
}

/// Tokens are remembered by this, never themselves.
fn key_of(generation: u64, token: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&generation.to_be_bytes());
    context.update(token.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}
