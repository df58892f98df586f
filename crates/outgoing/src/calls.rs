//! One request, one bounded answer, wherever a URL leads: for who calls few hosts now and then.

use crate::{Answer, Connector, Endpoint, Pool, PoolOptions, SendError};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// Hosts whose connections are kept; configurations name a handful.
const HOSTS: usize = 64;
/// Connections to one of them: over HTTP/1.1 as many calls go there at once.
const CONNECTIONS: usize = 64;
/// An idle connection is kept for so long.
const IDLE: Duration = Duration::from_mins(1);
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Why a call failed. Never holds what was sent.
pub type CallError = Box<dyn std::error::Error + Send + Sync>;

/// Calls hosts. Clones share everything.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    connector: Arc<Connector>,
    pools: Mutex<HashMap<Endpoint, Pool>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// `GET` or `POST`; whatever it does must bear being done twice.
    pub method: Method,
    /// The whole URL.
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

impl Calls {
    /// Calls whose connections are made by the connector and run in `tasks`. From the shutdown on no connection is kept.
    pub fn new(connector: Connector, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Inner { connector: Arc::new(connector), pools: Mutex::default(), shutdown, tasks }))
    }

    /// Calls; gives the answer, whatever its status. A call may arrive twice, if its connection breaks.
    ///
    /// # Errors
    /// The other side cannot be reached, does not answer in time, or answers too much.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, CallError> {
        let deadline = Instant::now() + call.timeout;
        let options = PoolOptions {
            size: CONNECTIONS,
            connect: call.connect_timeout,
            timeout: call.timeout,
            idle: IDLE,
            first_alone: false,
            alpn: ALPN,
            max_answer: call.max_answer,
        };
        let url = Url::parse(call.url)?;
        let pool = self.pool(&url).ok_or("the URL leads nowhere")?;
        let mut answer = pool.send(&options, request(call, &url)?, deadline).await;
        // The other side ended the connection meanwhile, and maybe all that were kept: once more over a new one.
        if let Err(SendError::NotProcessed(_) | SendError::StreamRefused(_) | SendError::Lost(_)) = answer {
            pool.retire_all();
            answer = pool.send(&options, request(call, &url)?, deadline).await;
        }
        Ok(answer?)
    }

    fn pool(&self, url: &Url) -> Option<Pool> {
        let endpoint = Endpoint::of(url)?;
        let inner = &self.0;
        let mut pools = inner.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= HOSTS && !pools.contains_key(&endpoint) {
            pools.clear();
        }
        let made = || {
            Pool::new(endpoint.clone(), inner.connector.clone(), inner.tasks.clone(), inner.shutdown.clone())
        };
        Some(pools.entry(endpoint.clone()).or_insert_with(made).clone())
    }
}

fn request(call: &Call<'_>, url: &Url) -> Result<Request<Full<Bytes>>, CallError> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = url.as_str().parse()?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if !call.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    }
    for (name, value) in &call.headers {
        headers.insert(name, value.clone());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Addresses;
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    /// Longer than any of this takes, also on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn calls(plain: bool, tasks: &TaskTracker, shutdown: &CancellationToken) -> Calls {
        let rules = move || if plain { Addresses::default().with_plain() } else { Addresses::default() };
        let no_tls = || Err(std::io::Error::other("no TLS in this test"));
        Calls::new(Connector::new(Arc::new(no_tls), rules), tasks.clone(), shutdown.clone())
    }

    fn post(url: &str) -> Call<'_> {
        Call {
            method: Method::POST,
            url,
            headers: Vec::new(),
            content_type: "application/json",
            body: Bytes::from_static(b"{}"),
            max_answer: 8,
            timeout: PATIENCE,
            connect_timeout: PATIENCE,
        }
    }

    /// Answers one request on a connection; gives its first line.
    async fn answer(stream: &mut BufReader<TcpStream>, body: &str) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        stream.read_exact(&mut [0; 2]).await.unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        head.lines().next().unwrap().to_owned()
    }

    async fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
        BufReader::new(listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_another_made_where_it_ended() {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/claim?x=1", listener.local_addr().unwrap());
        let calls = calls(true, &tasks, &shutdown);
        let request = post(&url);
        let three = async {
            for expected in ["one", "two", "three"] {
                let answered = calls.call(&request).await.unwrap();
                assert_eq!((answered.status.as_u16(), &*answered.body), (200, expected.as_bytes()));
            }
        };
        let server = async {
            let mut first = accept(&listener).await;
            assert_eq!(answer(&mut first, "one").await, "POST /claim?x=1 HTTP/1.1");
            answer(&mut first, "two").await;
            // The third request comes, and the connection breaks.
            let mut line = String::new();
            first.read_line(&mut line).await.unwrap();
            drop(first);
            answer(&mut accept(&listener).await, "three").await;
        };
        tokio::time::timeout(PATIENCE, async { tokio::join!(three, server) }).await.unwrap();
        // Nobody waits for the connection that is idle now.
        shutdown.cancel();
        tasks.close();
        tokio::time::timeout(PATIENCE / 10, tasks.wait()).await.unwrap();
    }

    #[tokio::test]
    async fn answers_are_bounded_and_plain_http_must_be_allowed() {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let allowed = calls(true, &tasks, &shutdown);
        let request = post(&url);
        let server = async { answer(&mut accept(&listener).await, "more than eight").await };
        let (refused, _) = tokio::join!(allowed.call(&request), server);
        assert_eq!(refused.unwrap_err().to_string(), "the answer is longer than 8 bytes");
        let forbidden = calls(false, &tasks, &shutdown).call(&request).await.unwrap_err();
        assert!(forbidden.to_string().starts_with("cannot connect"), "{forbidden}");
        assert!(allowed.call(&post("ftp://127.0.0.1/")).await.is_err());
    }
}
