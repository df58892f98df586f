//! A pool of connections to one endpoint: `protocols/nps.md` 7 (connections) and 9.
//!
//! A request takes the connection with the least under way. While that one is busy and fewer than the pool's size are
//! open, another is opened. Where the provider wants it, a new connection carries one request until the first success.

use crate::connect::Stream;
use crate::{Answer, Connector, Endpoint, SendError};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Quiet time after which a connection is tested (section 9).
const PING_AFTER: Duration = Duration::from_mins(1);
/// A test without answer for so long means the connection is dead (section 9).
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// A connection that is given up, or a process that ends, waits so long for answers under way.
const DRAIN: Duration = Duration::from_secs(10);
/// How often an idle connection looks whether it has been so for too long: the setting may change.
const IDLE_STEP: Duration = Duration::from_secs(5);
/// How often a connection that waits to end looks whether it may.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// How a pool behaves; may differ from request to request, as settings change.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Most connections.
    pub size: usize,
    /// Longest time that making one connection may take.
    pub connect: Duration,
    /// Longest wait for a connection, and then for an answer.
    pub timeout: Duration,
    /// A connection idle for so long is closed, unless it is the last one.
    pub idle: Duration,
    /// Whether a new connection carries one request until the first success.
    pub first_alone: bool,
    /// Protocols by ALPN, best first.
    pub alpn: &'static [&'static [u8]],
    /// Most bytes of an answer's body, as it comes.
    pub max_answer: usize,
}

/// Runs hyper's tasks (one for each stream of HTTP/2, say) under the process's tracker, within the span of who began them.
#[derive(Debug, Clone)]
pub struct Tracked(pub TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future.in_current_span()));
    }
}

enum Sender {
    Http2(http2::SendRequest<Full<Bytes>>),
    /// One request at a time; taken while in use.
    Http1(Mutex<Option<http1::SendRequest<Full<Bytes>>>>),
}

/// Facts that the connection's own task and the pool both look at.
struct Facts {
    number: u64,
    in_flight: AtomicUsize,
    proven: AtomicBool,
    /// Requests that the peer takes at once, by its SETTINGS.
    streams: AtomicUsize,
    /// Not given to anybody any more.
    retired: CancellationToken,
    last_used: Mutex<Instant>,
}

struct Connection {
    sender: Sender,
    facts: Arc<Facts>,
}

impl Connection {
    /// Requests it can carry at once now.
    fn room(&self, first_alone: bool) -> usize {
        match &self.sender {
            Sender::Http1(_) => 1,
            Sender::Http2(_) if first_alone && !self.facts.proven.load(Ordering::SeqCst) => 1,
            // Four fifths of what the peer announced (section 9).
            Sender::Http2(_) => (self.facts.streams.load(Ordering::SeqCst) / 5).saturating_mul(4).max(1),
        }
    }
    fn usable(&self) -> bool {
        !self.facts.retired.is_cancelled()
            && match &self.sender {
                Sender::Http2(sender) => !sender.is_closed(),
                Sender::Http1(slot) => {
                    let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                    slot.as_ref().is_none_or(|sender| !sender.is_closed())
                }
            }
    }
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    connecting: usize,
}

struct Inner {
    endpoint: Endpoint,
    connector: Arc<Connector>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    state: Mutex<State>,
    changed: Notify,
    opened: AtomicU64,
    /// As the newest request has it, milliseconds.
    idle: AtomicU64,
}

/// Connections to one endpoint; clones share them. Dropping the last clone closes them when their requests are done.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}

/// A request's place on a connection.
struct Place {
    connection: Arc<Connection>,
    pool: Arc<Inner>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let facts = &self.connection.facts;
        if let Sender::Http1(slot) = &self.connection.sender
            && slot.lock().unwrap_or_else(PoisonError::into_inner).is_none()
        {
            // The request was given up half way; nothing can follow it on this connection.
            facts.retired.cancel();
        }
        *facts.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        facts.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.pool.changed.notify_waiters();
    }
}

/// A connection that is being made.
struct Connecting(Arc<Inner>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).connecting -= 1;
        self.0.changed.notify_waiters();
    }
}

enum Step {
    Use(Place),
    Open(Connecting),
    Wait,
}

impl Inner {
    /// What a request does next.
    fn step(self: &Arc<Self>, options: &PoolOptions) -> Step {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connections.retain(|connection| connection.usable());
        let load = |connection: &Arc<Connection>| connection.facts.in_flight.load(Ordering::SeqCst);
        let best = state
            .connections
            .iter()
            .filter(|connection| load(connection) < connection.room(options.first_alone))
            .min_by_key(|connection| load(connection))
            .cloned();
        let may_open = state.connections.len() + state.connecting < options.size;
        match best {
            Some(connection) if load(&connection) == 0 || !may_open => {
                connection.facts.in_flight.fetch_add(1, Ordering::SeqCst);
                Step::Use(Place { connection, pool: self.clone() })
            }
            Some(_) | None if may_open => {
                state.connecting += 1;
                drop(state);
                Step::Open(Connecting(self.clone()))
            }
            Some(_) | None => Step::Wait,
        }
    }

    async fn place(self: &Arc<Self>, options: &PoolOptions) -> Result<Place, SendError> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            match self.step(options) {
                Step::Use(place) => return Ok(place),
                Step::Open(connecting) => {
                    let connecting_now = self.connector.connect(&self.endpoint, options.alpn);
                    let stream = match tokio::time::timeout(options.connect, connecting_now).await {
                        Ok(stream) => stream?,
                        Err(_) => {
                            return Err(SendError::Connect {
                                host: self.endpoint.host.clone(),
                                source: std::io::ErrorKind::TimedOut.into(),
                            });
                        }
                    };
                    return self.begin(stream, options, connecting).await;
                }
                Step::Wait => changed.await,
            }
        }
    }

    /// Speaks HTTP on a new stream, and takes the first place on it.
    async fn begin(
        self: &Arc<Self>,
        stream: Stream,
        options: &PoolOptions,
        connecting: Connecting,
    ) -> Result<Place, SendError> {
        let Stream { io, http2 } = stream;
        let refused = |text: String| SendError::Connect {
            host: self.endpoint.host.clone(),
            source: std::io::Error::other(text),
        };
        if !http2 && !options.alpn.contains(&b"http/1.1".as_slice()) {
            return Err(refused("the server does not speak HTTP/2".to_owned()));
        }
        let facts = Arc::new(Facts {
            number: self.opened.fetch_add(1, Ordering::SeqCst),
            in_flight: AtomicUsize::new(1),
            proven: AtomicBool::new(false),
            streams: AtomicUsize::new(1),
            retired: CancellationToken::new(),
            last_used: Mutex::new(Instant::now()),
        });
        let io = TokioIo::new(io);
        let handshake = |error: hyper::Error| refused(error.to_string());
        let sender = if http2 {
            let (sender, connection) = http2::Builder::new(Tracked(self.tasks.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PONG_WITHIN)
                .keep_alive_while_idle(true)
                .handshake(io)
                .await
                .map_err(handshake)?;
            let streams = facts.clone();
            let mut connection = Box::pin(connection);
            let watched = std::future::poll_fn(move |context| {
                let polled = connection.as_mut().poll(context);
                let most = connection.as_ref().get_ref().current_max_send_streams();
                streams.streams.store(most, Ordering::SeqCst);
                polled
            });
            self.drive(watched, facts.clone());
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::Builder::new().handshake(io).await.map_err(handshake)?;
            self.drive(connection, facts.clone());
            Sender::Http1(Mutex::new(Some(sender)))
        };
        let connection = Arc::new(Connection { sender, facts });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).connections.push(connection.clone());
        drop(connecting);
        Ok(Place { connection, pool: self.clone() })
    }

    /// Runs a connection to its end: broken, idle, retired, or the process ends.
    fn drive<C>(self: &Arc<Self>, connection: C, facts: Arc<Facts>)
    where
        C: Future<Output = Result<(), hyper::Error>> + Send + 'static,
    {
        let pool = Arc::downgrade(self);
        let shutdown = self.shutdown.clone();
        drop(self.tasks.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            loop {
                // A pool that is gone has retired its connections.
                let left = pool.upgrade().map(|pool| pool.idle_for(&facts)).filter(|left| !left.is_zero());
                let wait = left.map_or(IDLE_STEP, |left| left.min(IDLE_STEP));
                tokio::select! {
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            tracing::debug!(connection = facts.number, error = %error, "connection to provider ended");
                        }
                        break;
                    }
                    () = facts.retired.cancelled() => {
                        drain(connection.as_mut(), &facts).await;
                        break;
                    }
                    () = shutdown.cancelled() => {
                        drain(connection.as_mut(), &facts).await;
                        break;
                    }
                    () = tokio::time::sleep(wait) => {
                        if let Some(pool) = pool.upgrade() {
                            pool.retire_if_idle(&facts);
                        }
                    }
                }
            }
            facts.retired.cancel();
            if let Some(pool) = pool.upgrade() {
                pool.forget(&facts);
            }
        }));
    }

    /// How long an idle connection may stay so yet.
    fn idle_for(&self, facts: &Facts) -> Duration {
        let idle = Duration::from_millis(self.idle.load(Ordering::SeqCst));
        let rested = facts.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        idle.saturating_sub(rested)
    }

    /// Retires a connection that is idle and not the last one.
    fn retire_if_idle(&self, facts: &Facts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connections.retain(|connection| connection.usable());
        let rested = self.idle_for(facts).is_zero();
        if rested && state.connections.len() > 1 && facts.in_flight.load(Ordering::SeqCst) == 0 {
            facts.retired.cancel();
        }
    }

    fn forget(&self, facts: &Facts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connections.retain(|connection| connection.facts.number != facts.number);
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Lets requests under way finish, within bounds.
async fn drain<C: Future>(mut connection: std::pin::Pin<&mut C>, facts: &Facts) {
    let until = Instant::now() + DRAIN;
    while facts.in_flight.load(Ordering::SeqCst) > 0 && Instant::now() < until {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(DRAIN_STEP) => {}
        }
    }
}

impl Pool {
    /// A pool without connections; they are made when there is something to send.
    pub fn new(
        endpoint: Endpoint,
        connector: Arc<Connector>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            connector,
            tasks,
            shutdown,
            state: Mutex::default(),
            changed: Notify::new(),
            opened: AtomicU64::new(0),
            idle: AtomicU64::new(u64::MAX),
        }))
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.connections.iter().filter(|connection| connection.usable()).count()
    }

    /// Gives up all connections: what is under way finishes, new requests open others.
    pub fn retire_all(&self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in state.connections.drain(..) {
            connection.facts.retired.cancel();
        }
    }

    /// Sends a request and reads the answer, all before `deadline`.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        &self,
        options: &PoolOptions,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, SendError> {
        let idle = u64::try_from(options.idle.as_millis()).unwrap_or(u64::MAX);
        self.0.idle.store(idle, Ordering::SeqCst);
        let until = deadline.min(Instant::now() + options.timeout);
        let place = match tokio::time::timeout_at(until, self.0.place(options)).await {
            Ok(place) => place?,
            Err(_) => return Err(SendError::NoConnection),
        };
        let until = deadline.min(Instant::now() + options.timeout);
        let sent = tokio::time::timeout_at(until, exchange(&place, request, options.max_answer)).await;
        match sent {
            Ok(Ok(answer)) => {
                if answer.status.is_success() {
                    place.connection.facts.proven.store(true, Ordering::SeqCst);
                }
                Ok(answer)
            }
            Ok(Err(error)) => {
                // Whatever broke it, others had better not follow; a refused stream alone does not speak against it.
                if !matches!(error, SendError::StreamRefused(_)) {
                    place.connection.facts.retired.cancel();
                }
                Err(error)
            }
            Err(_) => {
                place.connection.facts.retired.cancel();
                Err(SendError::Timeout)
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for connection in &state.connections {
            connection.facts.retired.cancel();
        }
    }
}

async fn exchange(place: &Place, request: Request<Full<Bytes>>, limit: usize) -> Result<Answer, SendError> {
    let response = match &place.connection.sender {
        Sender::Http2(sender) => {
            let mut sender = sender.clone();
            sender.send_request(request).await.map_err(classify)?
        }
        Sender::Http1(slot) => {
            let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut sender) = taken else { return Err(SendError::NoConnection) };
            sender.ready().await.map_err(SendError::NotProcessed)?;
            let response = sender.send_request(origin_form(request)).await.map_err(classify)?;
            // The body is read below; the next request waits for that in `ready`.
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
            response
        }
    };
    let (head, body) = response.into_parts();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { SendError::TooLong { limit } } else { SendError::Lost(error) }
    });
    let body = body?.to_bytes();
    let connection = place.connection.facts.retired.clone();
    Ok(Answer { status: head.status, headers: head.headers, body, connection })
}

/// HTTP/1.1 has the authority in a header and the path alone in the first line.
fn origin_form(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let uri = request.uri();
    let host = uri.authority().and_then(|authority| http::HeaderValue::from_str(authority.as_str()).ok());
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse();
    if let (Some(host), Ok(path)) = (host, path) {
        request.headers_mut().insert(http::header::HOST, host);
        *request.uri_mut() = path;
    }
    request
}

/// Whether the peer may have processed the request.
fn classify(error: hyper::Error) -> SendError {
    if error.is_canceled() {
        // hyper never put it on the wire.
        return SendError::NotProcessed(error);
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
    while let Some(inner) = source {
        if let Some(h2) = inner.downcast_ref::<h2::Error>() {
            // RFC 9113 8.7: a refused stream was not processed. A GOAWAY with NO_ERROR ends only streams above its last
            // id, which were not processed either.
            if h2.reason() == Some(h2::Reason::REFUSED_STREAM) {
                return SendError::StreamRefused(error);
            }
            if h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR) {
                return SendError::NotProcessed(error);
            }
        }
        source = inner.source();
    }
    SendError::Lost(Box::new(error))
}
