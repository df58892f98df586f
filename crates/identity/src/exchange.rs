//! One request to a host of a provider and its answer: over real connections, within bounds of time and size.

use crate::breaker::Breakers;
use crate::settings::IdentityLimits;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use http_body_util::Full;
use openadp_outgoing::{Addresses, Connector, Endpoint, Pool, PoolOptions, SendError, TlsSource, decoded};
use openadp_settings::{Live, Snapshot, Store};
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use zeroize::Zeroizing;

/// The monotonic time of caches and breakers; waits for sockets have the runtime's own.
pub type Ticks = Arc<dyn Fn() -> Instant + Send + Sync>;

const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];
/// An idle connection is kept for so long.
const IDLE: Duration = Duration::from_mins(1);
/// Hosts with connections; configurations name a handful.
const HOSTS: usize = 64;

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) url: &'a Url,
    /// `Authorization`, scheme and all.
    pub(crate) authorization: Option<Zeroizing<String>>,
    /// Form to post; `None` gets.
    pub(crate) form: Option<Zeroizing<String>>,
    pub(crate) max_body: usize,
    pub(crate) deadline: Instant,
}

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    /// Its status: below 500, neither 429 nor a redirect.
    pub status: u16,
    /// Its body, decompressed.
    pub body: Bytes,
}

/// Why there is no usable answer. The text names hosts and causes, never a credential.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// A word of a bounded set, for metrics and logs.
    pub reason: &'static str,
    /// What happened, for operators.
    pub text: String,
}

impl Fault {
    /// Of a reason, and what happened.
    pub fn new(reason: &'static str, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

/// Connections, and what the settings said of where they may go when they were made.
#[derive(Default)]
struct Pools {
    all: HashMap<Endpoint, Pool>,
    revision: u64,
    rules: Addresses,
}

/// Asks providers.
pub(crate) struct Exchange {
    breakers: Breakers,
    connector: Arc<Connector>,
    limits: Live<IdentityLimits>,
    pools: Mutex<Pools>,
    shutdown: CancellationToken,
    store: Arc<Store>,
    tasks: TaskTracker,
    ticks: Ticks,
}

fn rules(snapshot: &Snapshot, limits: &IdentityLimits) -> Addresses {
    Addresses::of(snapshot, !limits.private_addresses)
}

impl Exchange {
    pub(crate) fn new(
        store: &Arc<Store>,
        tls: TlsSource,
        ticks: Ticks,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let limits: Live<IdentityLimits> = store.live();
        let (followed, private) = (store.clone(), limits.clone());
        let now = move || rules(&followed.current(), &private.load());
        Self {
            breakers: Breakers::default(),
            connector: Arc::new(Connector::new(tls, now)),
            limits,
            pools: Mutex::default(),
            shutdown,
            store: store.clone(),
            tasks,
            ticks,
        }
    }

    /// Hosts that are not asked now.
    pub(crate) fn open_breakers(&self) -> usize {
        self.breakers.open((self.ticks)())
    }

    /// By when an answer must be there that is asked for now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(u64::from(self.limits.load().total_millis))
    }

    /// Asks; a status below 500 is an answer, whatever it says, but for redirects.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Reply, Fault> {
        let host = question.url.host_str().unwrap_or_default().to_owned();
        if !self.breakers.ask(&host, (self.ticks)()) {
            return Err(Fault::new("breakerOpen", format!("{host} failed too often a moment ago")));
        }
        let answered = self.try_ask(&question).await;
        match &answered {
            Ok(_) => self.breakers.succeeded(&host),
            Err(_) => self.breakers.failed(&host, (self.ticks)()),
        }
        answered
    }

    async fn try_ask(&self, question: &Question<'_>) -> Result<Reply, Fault> {
        let limits = self.limits.load();
        let options = PoolOptions {
            size: usize::try_from(limits.connections).unwrap_or(1),
            connect: Duration::from_millis(u64::from(limits.connect_millis)),
            timeout: Duration::from_millis(u64::from(limits.total_millis)),
            idle: IDLE,
            first_alone: false,
            alpn: ALPN,
            max_answer: question.max_body,
        };
        let pool = self.pool(question.url)?;
        let mut answer = pool.send(&options, request(question)?, question.deadline).await;
        // Nothing was sent: once more, if there is time.
        if let Err(SendError::Connect { .. } | SendError::NotProcessed(_) | SendError::StreamRefused(_)) =
            answer
            && Instant::now() < question.deadline
        {
            answer = pool.send(&options, request(question)?, question.deadline).await;
        }
        let answer = answer.map_err(|error| fault(question.url, &error))?;
        let body = decoded(&answer, question.max_body).map_err(|error| {
            answer.give_up_connection();
            fault(question.url, &error)
        })?;
        let status = answer.status.as_u16();
        match status {
            300..=399 => Err(Fault::new(
                "redirect",
                format!("{} redirects, which is not followed", plain(question.url)),
            )),
            429 | 500.. => Err(Fault::new("status", format!("{} answers {status}", plain(question.url)))),
            _ => Ok(Reply { status, body }),
        }
    }

    fn pool(&self, url: &Url) -> Result<Pool, Fault> {
        let endpoint = Endpoint::of(url).ok_or_else(|| Fault::new("url", "the URL has no host"))?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.store.current();
        if pools.revision != snapshot.revision() {
            let rules = rules(&snapshot, &self.limits.load());
            // What is connected may be where nothing may go any more.
            if pools.rules != rules {
                pools.all.clear();
            }
            (pools.revision, pools.rules) = (snapshot.revision(), rules);
        }
        if pools.all.len() >= HOSTS && !pools.all.contains_key(&endpoint) {
            pools.all.clear();
        }
        let made =
            || Pool::new(endpoint.clone(), self.connector.clone(), self.tasks.clone(), self.shutdown.clone());
        Ok(pools.all.entry(endpoint.clone()).or_insert_with(made).clone())
    }
}

/// A URL as errors name it: without its query.
pub(crate) fn plain(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

fn fault(url: &Url, error: &SendError) -> Fault {
    let reason = match error {
        SendError::Connect { .. } => "connect",
        SendError::NoConnection => "noConnection",
        SendError::NotProcessed(_) | SendError::StreamRefused(_) | SendError::Lost(_) => "lost",
        SendError::TooLong { .. } => "tooLong",
        SendError::Timeout => "timeout",
    };
    let mut text = format!("{}: {error}", plain(url));
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Fault::new(reason, text)
}

fn request(question: &Question<'_>) -> Result<Request<Full<Bytes>>, Fault> {
    let unusable = || Fault::new("url", format!("{} cannot be asked", plain(question.url)));
    let mut builder = match question.form {
        Some(_) => Request::post(question.url.as_str())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
        None => Request::get(question.url.as_str()),
    };
    let body = question.form.as_ref().map(|form| Bytes::copy_from_slice(form.as_bytes())).unwrap_or_default();
    if let Some(authorization) = &question.authorization {
        let mut authorization = HeaderValue::from_str(authorization).map_err(|_| unusable())?;
        authorization.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, authorization);
    }
    builder
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .body(Full::new(body))
        .map_err(|_| unusable())
}
