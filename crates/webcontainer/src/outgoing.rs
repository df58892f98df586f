//! Calls to other nodes: one request, one bounded answer, within a bounded time. No redirect is followed.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use openadp_tls::{ClientUse, Tls};
use rustls_pki_types::ServerName;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::{Position, Url};

/// Connections kept for the next call.
const MAX_IDLE: usize = 16;

/// Why a call failed. Never holds what was sent.
pub type CallError = Box<dyn std::error::Error + Send + Sync>;

struct Idle {
    origin: String,
    sender: SendRequest<Full<Bytes>>,
}

/// Calls other nodes over HTTP/1.1. Clones share everything.
#[derive(Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    idle: Mutex<Vec<Idle>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    tls: Arc<Tls>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: Method,
    /// The whole URL, http or https.
    pub url: &'a str,
    /// Further header fields; they are not shown by `Debug` where they are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Media type of the body, where there is one.
    pub content_type: &'static str,
    /// The body; empty for none.
    pub body: Bytes,
    /// Most bytes of the answer.
    pub max_answer: usize,
    /// Time for everything.
    pub timeout: Duration,
    /// Time for the connection, of that.
    pub connect_timeout: Duration,
}

impl Outgoing {
    /// Calls whose connections run in `tasks`, with TLS by the settings of outgoing connections. From the shutdown on no
    /// connection is kept, so that nobody waits for the end of an idle one.
    pub fn new(tls: Arc<Tls>, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        let inner = Arc::new(Inner { idle: Mutex::default(), shutdown, tasks, tls });
        let (idle, over) = (Arc::downgrade(&inner), inner.shutdown.clone());
        inner.tasks.spawn(async move {
            over.cancelled().await;
            if let Some(inner) = idle.upgrade() {
                inner.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        });
        Self(inner)
    }

    /// Calls; gives status and body. A call may arrive twice, if a kept connection breaks.
    ///
    /// # Errors
    /// The other side cannot be reached, does not answer in time, or answers too much.
    pub async fn call(&self, call: &Call<'_>) -> Result<(u16, Bytes), CallError> {
        tokio::time::timeout(call.timeout, self.once(call)).await.map_err(|_| "no answer in time")?
    }

    async fn once(&self, call: &Call<'_>) -> Result<(u16, Bytes), CallError> {
        let url = Url::parse(call.url)?;
        let origin = url.origin().ascii_serialization();
        let kept = self.take(&origin);
        if let Some(mut sender) = kept
            && let Ok(response) = sender.send_request(build(call, &url)?).await
        {
            return self.finish(call, origin, sender, response).await;
        }
        let connecting = tokio::time::timeout(call.connect_timeout, self.connect(&url));
        let mut sender = connecting.await.map_err(|_| "no connection in time")??;
        let response = sender.send_request(build(call, &url)?).await?;
        self.finish(call, origin, sender, response).await
    }

    async fn finish(
        &self,
        call: &Call<'_>,
        origin: String,
        sender: SendRequest<Full<Bytes>>,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<(u16, Bytes), CallError> {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), call.max_answer).collect().await?.to_bytes();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !sender.is_closed() && !self.0.shutdown.is_cancelled() {
            idle.push(Idle { origin, sender });
        }
        Ok((status, body))
    }

    fn take(&self, origin: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !kept.sender.is_closed());
        let at = idle.iter().position(|kept| kept.origin == origin && kept.sender.is_ready())?;
        Some(idle.swap_remove(at).sender)
    }

    async fn connect(&self, url: &Url) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let host = url.host_str().ok_or("the URL has no host")?.trim_matches(['[', ']']);
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        if url.scheme() == "https" {
            // Tokens and keys travel here: the name is always checked.
            let connector = TlsConnector::from(self.0.tls.client_config(ClientUse::HTTP1.strict())?);
            let name = ServerName::try_from(host.to_owned())?;
            self.begin(connector.connect(name, stream).await?).await
        } else {
            self.begin(stream).await
        }
    }

    async fn begin<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, CallError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        self.0.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to another node ended");
            }
        });
        Ok(sender)
    }
}

fn build(call: &Call<'_>, url: &Url) -> Result<Request<Full<Bytes>>, CallError> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = url[Position::BeforePath..Position::AfterQuery].parse()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])?);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !call.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    }
    for (name, value) in &call.headers {
        headers.insert(name, value.clone());
    }
    Ok(request)
}
