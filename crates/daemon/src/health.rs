//! `/metrics`, `/healthz` and `/readyz`.

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once: a scraper or two and a load balancer.
const MAX_CONNECTIONS: usize = 32;
/// Time for the head of a request, which also ends idle connections.
const HEAD: Duration = Duration::from_secs(10);
/// Longest life of a connection, so that one that is stuck gives its place back.
const LIFE: Duration = Duration::from_mins(5);

/// What the pages say.
pub(crate) struct Health {
    pub(crate) metrics: PrometheusHandle,
    pub(crate) ready: AtomicBool,
    /// The node is locked, or on the way there.
    pub(crate) locked: AtomicBool,
}

impl Health {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let text = |status: StatusCode, text: String| {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            *response.status_mut() = status;
            response.headers_mut().insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            );
            response
        };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".to_owned());
        }
        match request.uri().path() {
            "/metrics" => text(StatusCode::OK, self.metrics.render()),
            "/healthz" => text(StatusCode::OK, "alive\n".to_owned()),
            "/readyz" if self.locked.load(Ordering::Acquire) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "locked\n".to_owned())
            }
            "/readyz" if self.ready.load(Ordering::Acquire) => text(StatusCode::OK, "ready\n".to_owned()),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
            _ => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
        }
    }
}

/// Serves the pages until `shutdown`.
pub(crate) async fn start(
    address: SocketAddr,
    health: Arc<Health>,
    tasks: &TaskTracker,
    shutdown: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    if !local.ip().is_loopback() {
        tracing::warn!(%local, "metrics and health answer beyond this machine, to everybody and without TLS");
    }
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "metrics: cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
            let (health, shutdown) = (health.clone(), shutdown.clone());
            connections.spawn(async move {
                let service = hyper::service::service_fn(|request| {
                    let response = health.answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    ended = tokio::time::timeout(LIFE, connection) => if let Ok(Err(error)) = ended {
                        tracing::debug!(%error, "metrics connection ended");
                    },
                }
                drop(permit);
            });
        }
    });
    Ok(local)
}
