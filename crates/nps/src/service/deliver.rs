//! The way of a notification: from the application server's request to each target's result.

use super::breaker::{Breakers, Passage};
use super::dedupe::{self, Dedupe};
use super::feedback::Deaths;
use super::guard::Guard;
use super::order::{Order, Standing};
use super::results::{Progress, Results};
use super::retry::{self, Budget, LEAST_TIME};
use super::turns::{Rank, Turns};
use crate::configuration::Configurations;
use crate::events;
use crate::gateway::{Fault, Gateway, Outcome, Processed, Provider, ProviderHealth, Push};
use crate::wire::{Event, Feedback, Notification, Status, Target, TargetResult};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lru::LruCache;
use openadp_appserver::Clock;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub(crate) use super::results::Submitted;

/// Longest that a push is tried (section 10).
const LONGEST: Duration = Duration::from_mins(10);
/// How long what belongs to no call is tried when nothing is said: no phone needs it sooner, and the next one follows.
const UNHURRIED: Duration = Duration::from_mins(2);
/// A dead token is not tried again for so long (section 10).
const DEAD_FOR: Duration = Duration::from_hours(24);
/// Dead tokens remembered.
const DEAD: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// What the rules work with.
pub(crate) struct Deps {
    pub(crate) configurations: Arc<Configurations>,
    pub(crate) apns: Arc<dyn Gateway>,
    pub(crate) fcm: Arc<dyn Gateway>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskTracker,
}

/// A token's death, as it was reported.
#[derive(Clone)]
struct Death {
    revision: u64,
    at: Instant,
    invalid_since: String,
    reason: String,
}

struct Inner {
    deps: Deps,
    breakers: Breakers,
    budget: Budget,
    dead: Mutex<LruCache<(Provider, [u8; 32]), Death>>,
    deaths: Deaths,
    dedupe: Dedupe,
    guard: Guard,
    order: Order,
    results: Results,
    /// Apart, so that one provider's troubles do not hold up the other's phones.
    apns_turns: Turns,
    fcm_turns: Turns,
}

/// The rules; clones share everything.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

/// No room for more: try another server, or later.
#[derive(Debug)]
pub(crate) struct Overloaded;

/// What became of a target, before it is put into words.
struct Done {
    status: Status,
    provider_id: Option<String>,
    reason: Option<String>,
    invalid_since: Option<String>,
}

impl Done {
    fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, provider_id: None, reason: Some(reason.into()), invalid_since: None }
    }
}

/// Whether a target is done with, or when it is tried again.
enum Verdict {
    Done(Done),
    /// Tried again, with what it comes to if there is no more time.
    Again {
        after: Option<Duration>,
        otherwise: Done,
    },
}

impl Service {
    pub(crate) fn new(deps: Deps) -> Self {
        Self(Arc::new(Inner {
            deps,
            breakers: Breakers::default(),
            budget: Budget::new(Instant::now()),
            dead: Mutex::new(LruCache::new(DEAD)),
            deaths: Deaths::default(),
            dedupe: Dedupe::default(),
            guard: Guard::default(),
            order: Order::default(),
            results: Results::default(),
            apns_turns: Turns::default(),
            fcm_turns: Turns::default(),
        }))
    }

    /// Takes a notification; the work goes on whether anybody waits for it or not.
    pub(crate) fn submit(&self, notification: Notification) -> Result<Submitted, Overloaded> {
        let general = &self.0.deps.configurations.current().general;
        if self.0.waiting() + notification.targets.len() > general.maximum_waiting_pushes {
            metrics::counter!("nps_overload_total").increment(1);
            return Err(Overloaded);
        }
        let (submitted, sender) = self.0.results.begin(&notification.id, Instant::now());
        if let Some(sender) = sender {
            let inner = self.0.clone();
            let work = async move { inner.work(notification, sender).await };
            drop(self.0.deps.tasks.spawn(work.instrument(tracing::Span::current())));
        }
        Ok(submitted)
    }

    /// Dead tokens after a cursor.
    pub(crate) fn feedback(&self, since: u64) -> Feedback {
        self.0.deaths.since(since)
    }

    /// State of both providers, and how many pushes wait.
    pub(crate) fn health(&self) -> (ProviderHealth, ProviderHealth, usize) {
        let (apns, fcm) = self.0.health();
        (apns, fcm, self.0.waiting())
    }
}

impl Inner {
    fn waiting(&self) -> usize {
        self.apns_turns.waiting() + self.fcm_turns.waiting()
    }

    fn health(&self) -> (ProviderHealth, ProviderHealth) {
        let (apns, fcm) = (self.deps.apns.health(), self.deps.fcm.health());
        for (provider, health) in [(Provider::Apns, &apns), (Provider::Fcm, &fcm)] {
            if let Some(age) = health.credentials_age_seconds {
                events::credentials_age(provider, age);
            }
        }
        (apns, fcm)
    }

    async fn work(&self, notification: Notification, sender: watch::Sender<Progress>) {
        let notification = &notification;
        let count = notification.targets.len();
        sender.send_modify(|progress| progress.results = vec![None; count]);
        let mut targets: FuturesUnordered<_> = notification
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| async move { (index, self.target(notification, target).await) })
            .collect();
        let mut may_improve = false;
        while let Some((index, result)) = targets.next().await {
            may_improve |= result.status.may_improve();
            sender.send_modify(|progress| {
                if let Some(place) = progress.results.get_mut(index) {
                    *place = Some(result);
                }
            });
        }
        if may_improve {
            self.results.forget(&notification.id);
        }
        sender.send_modify(|progress| progress.done = true);
        self.health();
    }

    async fn target(&self, notification: &Notification, target: &Target) -> TargetResult {
        let began = Instant::now();
        let done = Box::pin(self.deliver(notification, target, began)).await;
        let latency = began.elapsed();
        let provider = Provider::of(target.os);
        let reason = done.reason.as_deref().unwrap_or_default();
        events::target_done(provider, notification.event.name(), done.status, reason, latency);
        TargetResult {
            registration_id: target.registration_id.clone(),
            status: done.status,
            provider_id: done.provider_id,
            reason: done.reason,
            invalid_since: done.invalid_since,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// How long a push is worth trying.
    fn time_left(&self, notification: &Notification) -> Duration {
        match notification.expires_at {
            None => UNHURRIED,
            Some(expires) => {
                Duration::try_from(expires - self.deps.clock.now()).unwrap_or_default().min(LONGEST)
            }
        }
    }

    async fn deliver(&self, notification: &Notification, target: &Target, began: Instant) -> Done {
        let left = self.time_left(notification);
        if left < LEAST_TIME {
            return Done::new(Status::Expired, "expired before it was sent");
        }
        let deadline = began + left;
        let provider = Provider::of(target.os);
        if let Some(death) = self.known_death(provider, target, began) {
            return Done {
                status: Status::TokenInvalid,
                provider_id: None,
                reason: Some(death.reason),
                invalid_since: Some(death.invalid_since),
            };
        }
        let key = dedupe::Key::new(notification, target);
        if !self.dedupe.begin(&key, began) {
            return Done::new(Status::Duplicate, "sent before");
        }
        let done = match self.in_line(notification, target, deadline).await {
            Some(done) => done,
            None => Done::new(Status::Expired, "its time was over, or its call, before it was sent"),
        };
        if done.status.may_improve() {
            self.dedupe.forget(&key);
        }
        done
    }

    /// Waits for the push's place in its call, then tries. `None`: too late.
    async fn in_line(&self, notification: &Notification, target: &Target, deadline: Instant) -> Option<Done> {
        let standing = match notification.event {
            Event::CallEnded => Standing::Ends,
            Event::CallUpdate | Event::MobileCallInfo | Event::NewCall | Event::RingSplash => {
                Standing::Yields
            }
            Event::MissedCall | Event::Mwi => Standing::Apart,
        };
        let line = (target.registration_id.clone(), notification.call_id.clone());
        let wait = deadline - LEAST_TIME;
        let place = tokio::time::timeout_at(wait, self.order.enter(line, notification.seq, standing))
            .await
            .ok()??;
        let rank = Rank { may_wait: !notification.event.of_call(), deadline };
        let provider = Provider::of(target.os);
        let (gateway, turns) = match provider {
            Provider::Apns => (&self.deps.apns, &self.apns_turns),
            Provider::Fcm => (&self.deps.fcm, &self.fcm_turns),
        };
        let (mut retries, mut unknown) = (0, 0);
        loop {
            if place.superseded() {
                return None;
            }
            let configuration = self.deps.configurations.current();
            let general = &configuration.general;
            let turn = turns.take(rank, general.maximum_concurrent_pushes, general.maximum_waiting_pushes);
            let turn = match tokio::time::timeout_at(wait, turn).await.ok()? {
                Ok(turn) => turn,
                Err(_full) => {
                    return Some(Done::new(Status::Throttled, "this server has too many pushes waiting"));
                }
            };
            let passage =
                self.breakers.ask(provider, &target.application_id, configuration.revision, Instant::now());
            if passage == Passage::Closed {
                let reason = "the provider refused others of this application just now";
                return Some(Done::new(Status::Unavailable, reason));
            }
            if retries == 0 {
                self.budget.earn();
            }
            let outcome =
                gateway.push(Push { notification, target, now: self.deps.clock.now(), deadline }).await;
            drop(turn);
            self.tell_breaker(provider, target, passage, &outcome);
            // Whether the phone rang is not known: a call rings twice at most.
            let lost = matches!(outcome, Outcome::Failed { processed: Processed::Unknown, .. });
            unknown += usize::from(lost);
            let once_more = !(lost && notification.event == Event::NewCall && unknown > 1);
            match self.judge(provider, target, outcome, configuration.revision) {
                Verdict::Done(done) => return Some(done),
                Verdict::Again { after, otherwise } => {
                    let now = Instant::now();
                    let at = retry::next(retries, after, now, deadline).filter(|_| once_more);
                    let Some(at) = at.filter(|_| self.budget.spend(now)) else { return Some(otherwise) };
                    retries += 1;
                    metrics::counter!("nps_retries_total", "provider" => provider.name()).increment(1);
                    tokio::time::sleep_until(at).await;
                }
            }
        }
    }

    fn tell_breaker(&self, provider: Provider, target: &Target, passage: Passage, outcome: &Outcome) {
        let application = &target.application_id;
        let now = Instant::now();
        match outcome {
            Outcome::Refused { fault: Fault::Configuration { stops: true }, .. } => {
                self.breakers.refused(provider, application, None, now);
            }
            Outcome::Throttled { whole_application: true, after, .. } => {
                self.breakers.refused(provider, application, *after, now);
            }
            Outcome::Sent { .. } | Outcome::TokenDead { .. } | Outcome::Refused { .. } => {
                self.breakers.passed(provider, application);
            }
            Outcome::Failed { .. }
            | Outcome::Throttled { .. }
            | Outcome::NotConfigured { .. }
            | Outcome::NotForToken { .. } => {
                if passage == Passage::Probe {
                    self.breakers.undecided(provider, application);
                }
            }
        }
    }

    fn judge(&self, provider: Provider, target: &Target, outcome: Outcome, revision: u64) -> Verdict {
        let application = &target.application_id;
        let note = |bad| self.guard.note(provider, application, bad, Instant::now());
        match outcome {
            Outcome::Sent { provider_id } => {
                note(false);
                Verdict::Done(Done {
                    status: Status::Sent,
                    provider_id: Some(provider_id).filter(|id| !id.is_empty()),
                    reason: None,
                    invalid_since: None,
                })
            }
            Outcome::TokenDead { since, reason, guarded } => {
                if !note(guarded) && guarded {
                    events::mass_death(provider, application);
                    return Verdict::Done(Done::new(Status::Rejected, reason));
                }
                let invalid_since = self.death(provider, target, since, &reason, guarded, revision);
                Verdict::Done(Done {
                    status: Status::TokenInvalid,
                    provider_id: None,
                    reason: Some(reason),
                    invalid_since: Some(invalid_since),
                })
            }
            Outcome::Failed { reason, after, processed: _ } => {
                Verdict::Again { after, otherwise: Done::new(Status::Unavailable, reason) }
            }
            Outcome::Throttled { reason, after, .. } => {
                Verdict::Again { after, otherwise: Done::new(Status::Throttled, reason) }
            }
            Outcome::Refused { reason, fault } => {
                note(false);
                let status = match fault {
                    Fault::Configuration { stops: true } => Status::Unavailable,
                    Fault::Configuration { stops: false } | Fault::Ours => Status::Rejected,
                };
                Verdict::Done(Done::new(status, reason))
            }
            Outcome::NotConfigured { reason } => Verdict::Done(Done::new(Status::NotConfigured, reason)),
            Outcome::NotForToken { reason } => Verdict::Done(Done::new(Status::Rejected, reason)),
        }
    }

    fn token_key(provider: Provider, target: &Target) -> (Provider, [u8; 32]) {
        let text = format!("{}\n{}", target.application_id, target.token);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(digest.as_ref());
        (provider, key)
    }

    /// A death that was reported within a day, under the same settings.
    fn known_death(&self, provider: Provider, target: &Target, now: Instant) -> Option<Death> {
        let key = Self::token_key(provider, target);
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let death = dead.get(&key)?.clone();
        let revision = self.deps.configurations.current().revision;
        if death.revision == revision && now.duration_since(death.at) < DEAD_FOR {
            return Some(death);
        }
        dead.pop(&key);
        None
    }

    /// Takes note of a death; gives since when, for the application server.
    fn death(
        &self,
        provider: Provider,
        target: &Target,
        since: Option<i64>,
        reason: &str,
        guarded: bool,
        revision: u64,
    ) -> String {
        let since = since
            .and_then(|millis| OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok())
            .unwrap_or_else(|| self.deps.clock.now());
        let invalid_since = since.format(&Rfc3339).unwrap_or_default();
        let now = Instant::now();
        self.deaths.add(&target.registration_id, &target.application_id, &invalid_since, reason, now);
        // A guarded reason may turn out to be a mix-up: such tokens are tried again.
        if !guarded {
            let death =
                Death { revision, at: now, invalid_since: invalid_since.clone(), reason: reason.to_owned() };
            let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
            dead.put(Self::token_key(provider, target), death);
        }
        invalid_since
    }
}
