//! Handing notifications over to the push server: nps.md section 4.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use openadp_appserver_embedded::{PushSendError, PushSender};
use openadp_settings::Secret;
use openadp_tls::{ClientUse, Tls};
use rustls::pki_types::ServerName;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;
use url::{Position, Url};

/// Everything together; the caller's limit is ten seconds.
const TIMEOUT: Duration = Duration::from_secs(9);
const CONNECT: Duration = Duration::from_secs(3);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 256 * 1024;
/// Connections kept for the next notification.
const MAX_IDLE: usize = 8;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SECRET: HeaderName = HeaderName::from_static("x-nps-secret");

type Failure = Box<dyn Error + Send + Sync>;

struct Idle {
    origin: String,
    sender: SendRequest<Full<Bytes>>,
}

/// Posts notifications over HTTP/1.1, with TLS by the settings of outgoing connections.
pub struct HttpPushSender {
    idle: Mutex<Vec<Idle>>,
    tasks: TaskTracker,
    tls: Arc<Tls>,
}

impl HttpPushSender {
    /// A sender whose connections run in `tasks`.
    pub fn new(tls: Arc<Tls>, tasks: TaskTracker) -> Self {
        Self { idle: Mutex::default(), tasks, tls }
    }

    /// A kept connection to this origin that is still good.
    fn take(&self, origin: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !kept.sender.is_closed());
        let at = idle.iter().position(|kept| kept.origin == origin && kept.sender.is_ready())?;
        Some(idle.swap_remove(at).sender)
    }

    fn keep(&self, origin: String, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(Idle { origin, sender });
        }
    }

    async fn connect(&self, url: &Url) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let host = url.host_str().ok_or("the URL has no host")?.trim_matches(['[', ']']);
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        if url.scheme() == "https" {
            let connector = TlsConnector::from(self.tls.client_config(ClientUse::HTTP1)?);
            let name = ServerName::try_from(host.to_owned())?;
            self.begin(connector.connect(name, stream).await?).await
        } else {
            self.begin(stream).await
        }
    }

    async fn begin<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the push server ended");
            }
        });
        Ok(sender)
    }

    async fn post(&self, url: &Url, request: &Post<'_>) -> Result<(u16, Vec<u8>), Failure> {
        let origin = url.origin().ascii_serialization();
        if let Some(mut sender) = self.take(&origin) {
            match sender.send_request(request.build(url)?).await {
                Ok(response) => return self.finish(origin, sender, response).await,
                // The server closed the kept connection meanwhile. The idempotency key makes another try safe.
                Err(error) => tracing::debug!(%error, "kept connection was of no use"),
            }
        }
        let mut sender = tokio::time::timeout(CONNECT, self.connect(url)).await??;
        let response = sender.send_request(request.build(url)?).await?;
        self.finish(origin, sender, response).await
    }

    async fn finish(
        &self,
        origin: String,
        sender: SendRequest<Full<Bytes>>,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        self.keep(origin, sender);
        Ok((status, body.to_vec()))
    }
}

/// What is posted; may be built twice.
struct Post<'a> {
    secret: &'a Secret,
    idempotency_key: &'a str,
    body: Bytes,
}

impl Post<'_> {
    fn build(&self, url: &Url) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url[Position::BeforePath..Position::AfterQuery].parse()?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(authority)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(self.idempotency_key)?);
        if !self.secret.is_empty() {
            let mut value = HeaderValue::from_str(self.secret.expose())?;
            value.set_sensitive(true);
            headers.insert(SECRET, value);
        }
        Ok(request)
    }
}

#[async_trait]
impl PushSender for HttpPushSender {
    async fn send(
        &self,
        url: &str,
        secret: &Secret,
        idempotency_key: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), PushSendError> {
        let url = Url::parse(url).map_err(|error| PushSendError(error.into()))?;
        let request = Post { secret, idempotency_key, body: body.into() };
        match tokio::time::timeout(TIMEOUT, self.post(&url, &request)).await {
            Ok(answer) => answer.map_err(PushSendError),
            Err(elapsed) => Err(PushSendError(elapsed.into())),
        }
    }
}
