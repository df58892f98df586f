//! The server below all stand-ins: TLS, ALPN, HTTP/2 and HTTP/1.1, and misbehaviour on request.

use crate::handle::{Environment, StartError};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openadp_outgoing::Tracked;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A client that has not finished its handshake by then is dropped.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections at once; more wait in the backlog.
const CONNECTIONS: usize = 1024;
/// Scripts that may wait.
const SCRIPTS: usize = 1024;
/// A request body that has not come whole by then is dropped.
const BODY: Duration = Duration::from_secs(10);

/// How the next accepted push goes instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// Answered with this status and reason code, in the provider's own body.
    Answer {
        /// HTTP status.
        status: u16,
        /// Reason code: `TooManyRequests` at APNs, `QUOTA_EXCEEDED` at FCM.
        reason: String,
        /// `Retry-After`, seconds.
        retry_after: Option<u32>,
    },
    /// Answered with this status, body and `Location`, whatever they are.
    Raw {
        /// HTTP status.
        status: u16,
        /// Body, sent as it is.
        body: String,
        /// `Location` header.
        location: Option<String>,
    },
    /// Accepted, and the connection is told to go away: GOAWAY, then it ends when its streams have.
    Goaway,
    /// The connection is cut without an answer.
    Cut,
    /// The stream is refused (`REFUSED_STREAM`): not processed. HTTP/2 only.
    RefuseStream,
    /// Never answered.
    Silence,
    /// Held until [`Handle::release`](crate::Handle::release), then accepted.
    Hold,
}

/// Scripts and counters that all connections of a stand-in share.
pub(crate) struct Scripts {
    queue: Mutex<VecDeque<(Script, usize)>>,
    connections: AtomicU64,
    open: watch::Sender<usize>,
    held: watch::Sender<usize>,
    release: watch::Sender<u64>,
    cut: watch::Sender<u64>,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            connections: AtomicU64::new(0),
            open: watch::Sender::new(0),
            held: watch::Sender::new(0),
            release: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        }
    }
    pub(crate) fn push(&self, script: Script, times: usize) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < SCRIPTS && times > 0 {
            queue.push_back((script, times));
        }
    }
    pub(crate) fn clear(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
    pub(crate) fn next(&self) -> Option<Script> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (script, times) = queue.front_mut()?;
        let script = script.clone();
        *times -= 1;
        if *times == 0 {
            queue.pop_front();
        }
        Some(script)
    }
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }
    pub(crate) async fn wait_open(&self, most: usize) {
        let mut open = self.open.subscribe();
        // The sender lives in self, so the wait cannot fail.
        drop(open.wait_for(|open| *open <= most).await);
    }
    pub(crate) fn held(&self) -> usize {
        *self.held.borrow()
    }
    pub(crate) async fn wait_held(&self, count: usize) {
        let mut held = self.held.subscribe();
        // The sender lives in self, so the wait cannot fail.
        drop(held.wait_for(|held| *held >= count).await);
    }
    pub(crate) fn release(&self) {
        self.release.send_modify(|count| *count += 1);
    }
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
    /// Waits for the next release.
    pub(crate) async fn hold(&self) {
        let mut release = self.release.subscribe();
        let _counted = self.count_held();
        drop(release.changed().await);
    }
    /// Waits for ever; the connection's end drops it.
    pub(crate) async fn silence(&self) {
        let _counted = self.count_held();
        std::future::pending::<()>().await;
    }
    fn count_held(&self) -> Held<'_> {
        self.held.send_modify(|held| *held += 1);
        Held(self)
    }
}

struct Open(Arc<Scripts>);

impl Open {
    fn new(scripts: Arc<Scripts>) -> Self {
        scripts.open.send_modify(|open| *open += 1);
        Self(scripts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

struct Held<'a>(&'a Scripts);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}

/// One connection, as the provider's rules see it.
pub(crate) struct Connection {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Whether a request on it was accepted: until then APNs allows one stream at a time.
    pub(crate) proven: AtomicBool,
    /// Requests under way.
    pub(crate) in_flight: AtomicUsize,
    /// What the provider remembers of it.
    pub(crate) memory: Mutex<Memory>,
    goaway: CancellationToken,
    cut: CancellationToken,
}

/// What APNs remembers of a connection.
#[derive(Default)]
pub(crate) struct Memory {
    /// Team that used it first.
    pub(crate) team: Option<String>,
    /// The `iat` of the newest provider token seen on it, and when it came (milliseconds).
    pub(crate) newest_token: Option<(i64, i64)>,
}

/// What a request comes to.
pub(crate) enum Reply {
    Response(Response<Full<Bytes>>),
    /// Accepted, then the connection goes away.
    Goaway(Response<Full<Bytes>>),
    Cut,
    Refuse,
    /// Half of the body, and then the connection is cut.
    Half(Response<Full<Bytes>>),
}

/// A body on its way: whole, or broken off in the middle.
pub(crate) struct Outgoing {
    rest: Option<Bytes>,
    breaks: bool,
}

impl Outgoing {
    fn whole(body: Full<Bytes>) -> Self {
        Self { rest: bytes_of(body), breaks: false }
    }
    fn half(body: Full<Bytes>) -> Self {
        let rest = bytes_of(body).map(|bytes| bytes.slice(..bytes.len() / 2));
        Self { rest, breaks: true }
    }
}

/// What a body holds that is there already.
fn bytes_of(mut body: Full<Bytes>) -> Option<Bytes> {
    use futures_util::FutureExt as _;
    body.frame().now_or_never()??.ok()?.into_data().ok()
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = EndStream;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, EndStream>>> {
        std::task::Poll::Ready(match self.rest.take() {
            Some(bytes) => Some(Ok(http_body::Frame::data(bytes))),
            None if self.breaks => Some(Err(EndStream(h2::Error::from(h2::Reason::INTERNAL_ERROR)))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && !self.breaks
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match (&self.rest, self.breaks) {
            (_, true) => http_body::SizeHint::default(),
            (rest, false) => {
                let length = rest.as_ref().map_or(0, Bytes::len);
                http_body::SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}

/// The provider's rules.
pub(crate) trait Provider: Send + Sync + 'static {
    /// Protocols by ALPN; a client without any of them is refused.
    const ALPN: &'static [&'static [u8]];
    /// Whether the second stream of a connection waits for the first success.
    const ONE_STREAM_FIRST: bool;
    fn max_concurrent_streams(&self) -> u32;
    fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Reply> + Send;
}

/// A refused or cut stream; the source tells hyper with which code.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in ends the stream")]
pub(crate) struct EndStream(#[source] h2::Error);

/// The whole body, or `None` if it is longer than `limit` or does not come.
pub(crate) async fn body(incoming: Incoming, limit: usize) -> Result<Bytes, BodyFault> {
    match tokio::time::timeout(BODY, Limited::new(incoming, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(BodyFault::TooLong),
        Ok(Err(_)) | Err(_) => Err(BodyFault::Broken),
    }
}

/// Why a body was not read.
pub(crate) enum BodyFault {
    TooLong,
    Broken,
}

/// A response with a JSON body.
pub(crate) fn json(status: u16, body: &serde_json::Value) -> Response<Full<Bytes>> {
    raw(status, body.to_string(), "application/json")
}

/// A response with any body.
pub(crate) fn raw(status: u16, body: String, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn server_config(environment: &Environment, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, StartError> {
    let tls = |error: &dyn std::fmt::Display| StartError::Tls(error.to_string());
    let certificates = CertificateDer::pem_slice_iter(environment.tls.certificates.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| tls(&error))?;
    let key = PrivateKeyDer::from_pem_slice(environment.tls.key.as_bytes()).map_err(|error| tls(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| tls(&error))?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Binds and serves until shutdown.
pub(crate) async fn start<P: Provider>(
    environment: &Environment,
    provider: Arc<P>,
    scripts: Arc<Scripts>,
) -> Result<SocketAddr, StartError> {
    let config = server_config(environment, P::ALPN)?;
    let bind = |source| StartError::Bind { address: environment.bind, source };
    let listener = TcpListener::bind(environment.bind).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let tasks = environment.tasks.clone();
    let shutdown = environment.shutdown.clone();
    drop(environment.tasks.spawn(accept(listener, config, provider, scripts, tasks, shutdown)));
    Ok(address)
}

async fn accept<P: Provider>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    provider: Arc<P>,
    scripts: Arc<Scripts>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "stand-in: accept failed");
                // Out of descriptors, mostly: let others end first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (config, provider, scripts) = (config.clone(), provider.clone(), scripts.clone());
        let (tracker, shutdown) = (tasks.clone(), shutdown.clone());
        drop(tasks.spawn(async move {
            let _permit = permit;
            connection(stream, config, provider, scripts, tracker, shutdown).await;
        }));
    }
}

async fn connection<P: Provider>(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    provider: Arc<P>,
    scripts: Arc<Scripts>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let handshake = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let http2 = match protocol.as_deref() {
        Some(b"h2") => true,
        Some(b"http/1.1") => false,
        // Without ALPN, HTTP/1.1 is assumed where the provider speaks it; else the connection is refused.
        _ if P::ALPN.contains(&b"http/1.1".as_slice()) => false,
        _ => return,
    };
    let mut cut_all = scripts.cut.subscribe();
    let _open = Open::new(scripts.clone());
    let state = Arc::new(Connection {
        number: scripts.connections.fetch_add(1, Ordering::SeqCst) + 1,
        proven: AtomicBool::new(false),
        in_flight: AtomicUsize::new(0),
        memory: Mutex::default(),
        goaway: CancellationToken::new(),
        cut: CancellationToken::new(),
    });
    let service = {
        let (state, provider) = (state.clone(), provider.clone());
        service_fn(move |request| serve(provider.clone(), state.clone(), request))
    };
    let io = TokioIo::new(stream);
    let serving = async {
        if http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(Tracked(tasks));
            builder.timer(TokioTimer::new()).max_concurrent_streams(provider.max_concurrent_streams());
            let mut serving = pin!(builder.serve_connection(io, service));
            tokio::select! {
                result = serving.as_mut() => return drop(result),
                () = state.goaway.cancelled() => serving.as_mut().graceful_shutdown(),
            }
            drop(serving.await);
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(BODY);
            let mut serving = pin!(builder.serve_connection(io, service));
            tokio::select! {
                result = serving.as_mut() => return drop(result),
                () = state.goaway.cancelled() => serving.as_mut().graceful_shutdown(),
            }
            drop(serving.await);
        }
    };
    tokio::select! {
        () = serving => {}
        () = state.cut.cancelled() => {}
        _ = cut_all.changed() => {}
        () = shutdown.cancelled() => {}
    }
}

struct InFlight(Arc<Connection>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve<P: Provider>(
    provider: Arc<P>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, EndStream> {
    let before = connection.in_flight.fetch_add(1, Ordering::SeqCst);
    let _in_flight = InFlight(connection.clone());
    let refused = || EndStream(h2::Error::from(h2::Reason::REFUSED_STREAM));
    if P::ONE_STREAM_FIRST && before > 0 && !connection.proven.load(Ordering::SeqCst) {
        return Err(refused());
    }
    let reply = provider.answer(connection.clone(), request);
    let reply = tokio::select! {
        reply = reply => reply,
        // hyper runs streams as tasks of their own, which outlive a connection that is dropped.
        () = connection.cut.cancelled() => Reply::Cut,
    };
    match reply {
        Reply::Response(response) => {
            if response.status().is_success() {
                connection.proven.store(true, Ordering::SeqCst);
            }
            Ok(response.map(Outgoing::whole))
        }
        Reply::Goaway(response) => {
            connection.goaway.cancel();
            Ok(response.map(Outgoing::whole))
        }
        Reply::Half(response) => Ok(response.map(Outgoing::half)),
        Reply::Cut => {
            connection.cut.cancel();
            Err(EndStream(h2::Error::from(h2::Reason::CANCEL)))
        }
        Reply::Refuse => Err(refused()),
    }
}

/// Applies a script to a request that would be accepted; `None` means accept it.
pub(crate) async fn play(
    scripts: &Scripts,
    script: Option<Script>,
    answer: impl FnOnce(u16, &str) -> Response<Full<Bytes>>,
    accept: impl FnOnce() -> Response<Full<Bytes>>,
) -> (Reply, u16, Option<String>) {
    match script {
        None => (Reply::Response(accept()), 200, None),
        Some(Script::Answer { status, reason, retry_after }) => {
            let mut response = answer(status, &reason);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
            }
            (Reply::Response(response), status, Some(reason))
        }
        Some(Script::Raw { status, body, location }) => {
            let mut response = raw(status, body, "text/plain");
            if let Some(location) = location.and_then(|location| location.parse().ok()) {
                response.headers_mut().insert(http::header::LOCATION, location);
            }
            (Reply::Response(response), status, Some("scripted".to_owned()))
        }
        Some(Script::Goaway) => (Reply::Goaway(accept()), 200, None),
        Some(Script::Cut) => (Reply::Cut, 0, Some("cut".to_owned())),
        Some(Script::RefuseStream) => (Reply::Refuse, 0, Some("REFUSED_STREAM".to_owned())),
        Some(Script::Silence) => {
            scripts.silence().await;
            (Reply::Cut, 0, Some("silence".to_owned()))
        }
        Some(Script::Hold) => {
            scripts.hold().await;
            (Reply::Response(accept()), 200, None)
        }
    }
}
