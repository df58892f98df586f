//! The state of a conversation, without I/O: which request runs when, who was authenticated, timers (cti.md 2, 4, 8, 9).

use crate::settings::GeneralSettings;
use crate::wire::{self, Call, EnvelopeError, Inbound, Presented};
use bytes::Bytes;
use lru::LruCache;
use openadp_appserver::Principal;
use openadp_xsi_api::AfterReply;
use openadp_xsi_schema::{Element, EventForm, ReadLimits, error_event};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Silence that a client may keep at least, whatever period it promised (cti.md 8, rule 2).
const MIN_SILENCE: Duration = Duration::from_secs(30);
/// Longest promised period that is believed, seconds.
const MAX_PERIOD: u64 = 86_400;
/// Event messages whose answer is waited for; more than `eventQueueSize` of any one channel allows to be under way.
const MAX_OUTSTANDING: usize = 20_000;
/// Depth of elements in a message: an XSI document inside an envelope.
pub(crate) const MAX_DEPTH: usize = 40;

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_message: usize,
    pub(crate) max_pending: usize,
    pub(crate) max_sessions: usize,
    pub(crate) max_failures: u32,
    pub(crate) unauthenticated: Duration,
    pub(crate) keepalive: Option<Duration>,
}

impl From<&GeneralSettings> for Limits {
    fn from(settings: &GeneralSettings) -> Self {
        let keepalive = Duration::from_secs(settings.keepalive_period.into());
        Self {
            max_message: settings.max_message_size,
            max_pending: settings.max_pending_requests,
            max_sessions: settings.max_sessions,
            max_failures: settings.max_authentication_failures,
            unauthenticated: Duration::from_secs(settings.unauthenticated_timeout.into()),
            keepalive: (!keepalive.is_zero()).then_some(keepalive),
        }
    }
}

/// Why a connection is closed by this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// Too many refused credentials.
    AuthenticationFailures,
    /// What came cannot be read on.
    Malformed,
    /// The client promised to speak and did not.
    Silent,
    /// Nobody proved who they are in time.
    Unauthenticated,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Write a message.
    Write(Bytes, AfterReply),
    /// Run a request; its outcome comes back through [`Machine::done`].
    Run(Box<Job>),
    /// Hand on the answer to an event; then [`Machine::acknowledged`].
    Acknowledge(Arc<Principal>, Box<Element>),
    /// Write what is queued, then close.
    Close(CloseReason),
}

/// A request to run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) session_id: String,
    pub(crate) credentials: Credentials,
    pub(crate) call: Result<Call, EnvelopeError>,
}

/// Whose credentials a request carries.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// None, and none were proven before in its session.
    None,
    /// Its own.
    Given(Arc<Presented>),
    /// Those that were proven before in its session; they are checked again.
    Remembered(Arc<Presented>),
}

/// What a request proved.
#[derive(Debug)]
pub(crate) enum Proof {
    /// These credentials, or the client's certificate where there are none.
    Accepted(Option<Arc<Presented>>),
    /// Credentials are missing or wrong.
    Refused,
    /// It could not be told, or was not looked at.
    Unknown,
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) request_id: String,
    pub(crate) session_id: String,
    pub(crate) proof: Proof,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) document: Option<Element>,
    pub(crate) after: AfterReply,
}

/// The state of one connection.
pub(crate) struct Machine {
    limits: Limits,
    read: ReadLimits,
    /// Credentials that were proven, by session.
    sessions: LruCache<String, Arc<Presented>>,
    /// Requests that wait for the running one of their session; a session is in here while one runs.
    queues: HashMap<String, VecDeque<Job>>,
    pending: usize,
    failures: u32,
    proven: bool,
    opened: Instant,
    last_input: Instant,
    silence: Option<Duration>,
    next_keepalive: Option<Instant>,
    keepalives: u64,
    events: u64,
    outstanding: LruCache<String, Arc<Principal>>,
}

impl Machine {
    /// A fresh connection; `proven` when its certificate already tells who it is.
    pub(crate) fn new(limits: Limits, proven: bool, now: Instant) -> Self {
        Self {
            read: ReadLimits { depth: MAX_DEPTH, ..ReadLimits::with_bytes(limits.max_message) },
            sessions: LruCache::unbounded(),
            queues: HashMap::new(),
            pending: 0,
            failures: 0,
            proven,
            opened: now,
            last_input: now,
            silence: None,
            next_keepalive: limits.keepalive.map(|period| now + period),
            keepalives: 0,
            events: 0,
            outstanding: LruCache::unbounded(),
            limits,
        }
    }

    /// Whether more may be read: bounds what a client can make wait.
    pub(crate) fn takes_input(&self) -> bool {
        self.pending < self.limits.max_pending
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending == 0
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_input = now;
    }

    /// A document came. `sole` is the one owner of the connection's channels, where there is one: answers that do not
    /// echo the requestId of their event are taken as its own.
    pub(crate) fn document(&mut self, document: &[u8], sole: Option<&Arc<Principal>>) -> Vec<Action> {
        match wire::parse(document, &self.read) {
            Ok(Inbound::Request(request)) => self.request(*request),
            Ok(Inbound::EventResponse { request_id, document }) => {
                let owner = self.outstanding.pop(&request_id).or_else(|| sole.cloned());
                if let (Some(owner), Some(document)) = (owner, document) {
                    self.pending += 1;
                    vec![Action::Acknowledge(owner, Box::new(document))]
                } else {
                    unexpected("event_response");
                    Vec::new()
                }
            }
            Ok(Inbound::Keepalive { request_id, period }) => {
                self.silence =
                    (period > 0).then(|| Duration::from_secs(period.min(MAX_PERIOD) * 3).max(MIN_SILENCE));
                vec![write(wire::keepalive_response(&request_id))]
            }
            Ok(Inbound::KeepaliveResponse) => Vec::new(),
            Ok(Inbound::Unexpected) => {
                unexpected("root");
                Vec::new()
            }
            Err(error) => self.unreadable(&error.to_string()),
        }
    }

    /// The stream cannot be read on: says so, then closes.
    pub(crate) fn unreadable(&mut self, reason: &str) -> Vec<Action> {
        let event = error_event(400, reason, EventForm::Cti);
        let id = self.next_event_id();
        vec![write(wire::event(&id, &event)), Action::Close(CloseReason::Malformed)]
    }

    fn request(&mut self, request: wire::Request) -> Vec<Action> {
        let credentials = match request.presented {
            Presented::None => self
                .sessions
                .get(&request.session_id)
                .map_or(Credentials::None, |known| Credentials::Remembered(known.clone())),
            presented => Credentials::Given(Arc::new(presented)),
        };
        let job = Job {
            request_id: request.request_id,
            session_id: request.session_id,
            credentials,
            call: request.call,
        };
        self.pending += 1;
        // Requests of one session run one after the other, so that their responses come in the same order.
        if let Some(waiting) = self.queues.get_mut(&job.session_id) {
            waiting.push_back(job);
            return Vec::new();
        }
        self.queues.insert(job.session_id.clone(), VecDeque::new());
        vec![Action::Run(Box::new(job))]
    }

    /// A request was run.
    pub(crate) fn done(&mut self, done: Done) -> Vec<Action> {
        self.pending = self.pending.saturating_sub(1);
        match done.proof {
            Proof::Accepted(credentials) => {
                self.proven = true;
                self.failures = 0;
                if let Some(credentials) = credentials {
                    put(&mut self.sessions, self.limits.max_sessions, done.session_id.clone(), credentials);
                }
            }
            Proof::Refused => {
                self.failures += 1;
                self.sessions.pop(&done.session_id);
            }
            Proof::Unknown => {}
        }
        let response = wire::response(
            &done.request_id,
            &done.session_id,
            done.status,
            done.reason,
            done.document.as_ref(),
        );
        let mut actions = vec![Action::Write(response, done.after)];
        if self.failures >= self.limits.max_failures {
            actions.push(Action::Close(CloseReason::AuthenticationFailures));
            return actions;
        }
        match self.queues.get_mut(&done.session_id).and_then(VecDeque::pop_front) {
            Some(mut next) => {
                // What was proven or refused meanwhile holds for it too.
                if !matches!(next.credentials, Credentials::Given(_)) {
                    next.credentials = self
                        .sessions
                        .get(&next.session_id)
                        .map_or(Credentials::None, |known| Credentials::Remembered(known.clone()));
                }
                actions.push(Action::Run(Box::new(next)));
            }
            None => {
                self.queues.remove(&done.session_id);
            }
        }
        actions
    }

    /// An answer to an event was handed on.
    pub(crate) fn acknowledged(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// The message for an event; `owner` takes the answer, where there will be one.
    pub(crate) fn event(&mut self, payload: &[u8], owner: Option<&Arc<Principal>>) -> Bytes {
        let id = self.next_event_id();
        let message = wire::event(&id, payload);
        if let Some(owner) = owner {
            put(&mut self.outstanding, MAX_OUTSTANDING, id, owner.clone());
        }
        message
    }

    fn next_event_id(&mut self) -> String {
        self.events += 1;
        format!("e-{}", self.events)
    }

    /// When [`Machine::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [
            (!self.proven).then(|| self.opened + self.limits.unauthenticated),
            self.silence.map(|silence| self.last_input + silence),
            self.next_keepalive,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Action> {
        if !self.proven && now >= self.opened + self.limits.unauthenticated {
            return vec![Action::Close(CloseReason::Unauthenticated)];
        }
        if self.silence.is_some_and(|silence| now >= self.last_input + silence) {
            return vec![Action::Close(CloseReason::Silent)];
        }
        match (self.limits.keepalive, self.next_keepalive) {
            (Some(period), Some(next)) if now >= next => {
                self.next_keepalive = Some(now + period);
                self.keepalives += 1;
                vec![write(wire::keepalive(&format!("k-{}", self.keepalives), period.as_secs()))]
            }
            _ => Vec::new(),
        }
    }
}

/// Puts an entry in, and the oldest out where there are more than `most`. The caches are made unbounded and held small
/// here: a bounded one takes the memory of all its entries at once, which an idle connection must not.
fn put<V>(cache: &mut LruCache<String, V>, most: usize, key: String, value: V) {
    cache.put(key, value);
    if cache.len() > most {
        cache.pop_lru();
    }
}

fn write(bytes: Bytes) -> Action {
    Action::Write(bytes, AfterReply::default())
}

fn unexpected(kind: &'static str) {
    metrics::counter!("cti_unexpected_messages_total", "kind" => kind).increment(1);
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
