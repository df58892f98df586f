//! The container on real sockets: what it does for every application alike.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use axum::extract::{OriginalUri, Request};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use http::StatusCode;
use openadp_listener::{Filter, HttpGeneralSettings, HttpServer, Listeners, WebApp};
use openadp_settings::{Author, Change, Edit, Registry, Settings, Store};
use openadp_tls::{InterfaceKind, Tls};
use openadp_webcontainer::{
    Application, BodyError, ConnectionInfo, LimitSettings, Mount, RequestId, WebContainer, read_body,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that should happen does so well within this.
const SOON: Duration = Duration::from_secs(20);

async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(SOON, work).await.expect("it takes too long")
}

struct Bed {
    at: SocketAddr,
    store: Arc<Store>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Told by `/app/finish` when it is done.
    finished: mpsc::Receiver<()>,
    /// Lets `/app/finish` and `/app/hold` go on.
    go_on: Arc<Notify>,
    /// Told by `/app/finish` and `/app/hold` when they begin.
    begun: mpsc::Receiver<()>,
    _directory: tempfile::TempDir,
}

fn commit(store: &Store, edits: Vec<Edit>) -> u64 {
    let change = Change { author: Author("test".to_owned()), comment: None, edits, force: false };
    store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).unwrap().revision
}

fn set<T: Settings>(values: &[(&str, &str)]) -> Edit {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    Edit::Set { context: T::CONTEXT.full_path(), key: Vec::new(), values }
}

fn add<T: Settings>(values: &[(&str, &str)]) -> Edit {
    let values: BTreeMap<_, _> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Edit::Add { context: T::CONTEXT.full_path(), values }
}

fn address() -> SocketAddr {
    let [_, _, a, b] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 78, a, b.max(1));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

async fn facts(
    Extension(id): Extension<RequestId>,
    Extension(info): Extension<Arc<ConnectionInfo>>,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> String {
    let seen = openadp_appserver::request_id::current();
    assert_eq!(seen.as_deref(), Some(id.0.as_str()));
    format!("{} {} {}", request.uri().path(), original.path(), info.local)
}

async fn length(request: Request) -> Response {
    match read_body(request.into_body(), 2048).await {
        Ok(body) => body.len().to_string().into_response(),
        Err(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(BodyError::Timeout) => StatusCode::REQUEST_TIMEOUT.into_response(),
        Err(BodyError::Broken(_)) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn faulty() -> String {
    panic!("planted-secret-of-a-panic");
}

fn endless(shutdown: CancellationToken) -> Response {
    let ticks = futures_util::stream::unfold((0, shutdown), |(count, shutdown)| async move {
        let tick = bytes::Bytes::from(format!("tick {count}\n"));
        if count == 0 {
            return Some((Ok::<_, std::io::Error>(tick), (1, shutdown)));
        }
        shutdown.cancelled().await;
        (count == 1).then(|| (Ok(bytes::Bytes::from_static(b"over\n")), (2, shutdown)))
    });
    axum::body::Body::from_stream(ticks).into_response()
}

impl Bed {
    async fn new(limits: &[(&str, &str)]) -> Self {
        let at = address();
        let modules = [openadp_tls::MODULE, openadp_listener::MODULE, openadp_webcontainer::MODULE];
        let store = Store::in_memory(Registry::new(modules).unwrap());
        let (ip, port) = (at.ip().to_string(), at.port().to_string());
        let mut edits = vec![
            add::<HttpServer>(&[
                ("interfaceIp", &ip),
                ("port", &port),
                ("name", "xsp.lab.invalid"),
                ("secure", "false"),
                ("clientAuthReq", "false"),
            ]),
            set::<HttpGeneralSettings>(&[("drainTimeoutInSeconds", "1")]),
        ];
        if !limits.is_empty() {
            edits.push(set::<LimitSettings>(limits));
        }
        commit(&store, edits);
        let directory = tempfile::tempdir().unwrap();
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let (finish, finished) = mpsc::channel(8);
        let (begin, begun) = mpsc::channel(8);
        let go_on = Arc::new(Notify::new());
        let held = |answer: &'static str| {
            let (begin, go_on, finish) = (begin.clone(), go_on.clone(), finish.clone());
            move || async move {
                begin.send(()).await.unwrap();
                go_on.notified().await;
                finish.send(()).await.unwrap();
                answer
            }
        };
        let streaming = shutdown.clone();
        let router = Router::new()
            .route("/facts", get(facts))
            .route("/length", post(length))
            .route("/panic", get(faulty).post(faulty))
            .route("/finish", post(held("finished")))
            .route("/hold", get(held("held")))
            .route("/never", get(std::future::pending::<()>))
            .route("/elsewhere", get(|| async { Redirect::temporary("https://elsewhere.invalid/") }))
            .route("/stream", get(move || std::future::ready(endless(streaming.clone()))));
        let other = Router::new().fallback(any(|| async { "other" }));
        let applications = vec![
            Application { name: "App", mounts: vec![Mount::new("/app", router)] },
            Application { name: "Other", mounts: vec![Mount::new("/Other/Deep", other)] },
        ];
        let container = WebContainer::new(&store, &tasks, applications).unwrap();
        Listeners::start(
            InterfaceKind::Http,
            Filter::All,
            store.clone(),
            Tls::new(store.clone(), directory.path()),
            container,
            &tasks,
            shutdown.clone(),
        )
        .await;
        Self { at, store, tasks, shutdown, finished, go_on, begun, _directory: directory }
    }

    async fn connect(&self) -> Http {
        Http(BufReader::new(TcpStream::connect(self.at).await.unwrap()))
    }

    async fn get(&self, path: &str) -> Answer {
        let mut http = self.connect().await;
        http.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        http.answer().await
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

/// A client that can misbehave.
struct Http(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Http {
    async fn send(&mut self, text: &str) {
        // A server that closes early is what some tests are about.
        let _closed = self.0.get_mut().write_all(text.as_bytes()).await;
    }
    async fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            soon(self.0.read_line(&mut line)).await.unwrap();
            assert!(!line.is_empty(), "closed within a head: {head:?}");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
    }
    /// An answer with a length.
    async fn answer(&mut self) -> Answer {
        let (status, head) = self.head().await;
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }
    /// Waits for the end of the connection.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _reset = soon(self.0.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[tokio::test]
async fn an_application_sees_the_path_below_its_mount() {
    let bed = Bed::new(&[]).await;
    let answer = bed.get("/APP/facts?token=x").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, format!("/facts /APP/facts {}", bed.at).as_str())
    );
    assert_eq!(bed.get("/other/deep/x").await.body, "other");
    assert_eq!(bed.get("/other/deepest").await.status, 404);
    assert_eq!(bed.get("/other").await.status, 404);
    assert_eq!(bed.get("/").await.status, 404);
    assert_eq!(bed.get("/app/unknown").await.status, 404);
    assert_eq!(bed.get("/app/length").await.status, 405);
    assert_eq!(bed.get("/app/%2e%2e/other/deep").await.status, 400);
    bed.end().await;
}

#[tokio::test]
async fn every_answer_is_hardened_and_carries_the_request_id() {
    let bed = Bed::new(&[]).await;
    let mut http = bed.connect().await;
    http.send("GET /app/facts HTTP/1.1\r\nHost: h\r\nX-Request-Id: abc-1\r\n\r\n").await;
    let answer = http.answer().await;
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("server"), None);
    // The same connection serves the next one.
    http.send("GET /nowhere HTTP/1.1\r\nHost: h\r\nTrackingID: WEBEX_1\r\n\r\n").await;
    let answer = http.answer().await;
    assert_eq!((answer.status, answer.header("trackingid")), (404, Some("WEBEX_1")));
    http.send("HEAD /other/deep HTTP/1.1\r\nHost: h\r\n\r\nGET /other/deep HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    let (status, head) = http.head().await;
    assert!(status == 200 && head.to_lowercase().contains("content-length: 5"), "{head}");
    assert_eq!(http.answer().await.body, "other");
    http.send("GET /app/facts HTTP/1.1\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 400);
    bed.end().await;
}

#[tokio::test]
async fn no_application_can_redirect_or_take_others_down() {
    let bed = Bed::new(&[]).await;
    let answer = bed.get("/app/elsewhere").await;
    assert_eq!((answer.status, answer.header("location")), (500, None));
    let mut http = bed.connect().await;
    for method in ["GET", "POST"] {
        http.send(&format!("{method} /app/panic HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")).await;
        let answer = http.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (500, "internal error\n"));
    }
    http.send("GET /other/deep HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 200);
    bed.end().await;
}

#[tokio::test]
async fn heads_and_bodies_have_limits() {
    let bed = Bed::new(&[("maxHeadBytes", "8192"), ("maxHeaders", "20"), ("maxBodyBytes", "4096")]).await;
    let long = "x".repeat(10_000);
    let mut http = bed.connect().await;
    http.send(&format!("GET /app/facts HTTP/1.1\r\nHost: h\r\nX-Long: {long}\r\n\r\n")).await;
    assert_eq!(http.head().await.0, 431);
    let many = "X-Another: y\r\n".repeat(30);
    let mut http = bed.connect().await;
    http.send(&format!("GET /app/facts HTTP/1.1\r\nHost: h\r\n{many}\r\n")).await;
    assert_eq!(http.head().await.0, 431);
    let mut http = bed.connect().await;
    http.send("complete nonsense\r\n\r\n").await;
    assert_eq!(http.head().await.0, 400);

    // Announced beyond the container's limit: refused before the application sees it.
    let mut http = bed.connect().await;
    http.send("POST /app/length HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 413);
    // Beyond the application's own limit, and unannounced beyond the container's.
    let mut http = bed.connect().await;
    http.send(&format!(
        "POST /app/length HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n{}",
        &long[..3000]
    ))
    .await;
    assert_eq!(http.answer().await.status, 413);
    let mut http = bed.connect().await;
    http.send(&format!(
        "POST /app/length HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{}\r\n0\r\n\r\n",
        &long[..5000]
    ))
    .await;
    assert_eq!(http.answer().await.status, 413);
    let mut http = bed.connect().await;
    http.send("POST /app/length HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nfour").await;
    assert_eq!(http.answer().await.body, "4");
    bed.end().await;
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_cost_others_nothing() {
    let bed = Bed::new(&[
        ("headTimeoutInSeconds", "1"),
        ("idleTimeoutInSeconds", "2"),
        ("bodyTimeoutInSeconds", "1"),
    ])
    .await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut http = bed.connect().await;
        http.send("GET /app/facts HTTP/1.1\r\nHost: h\r\nX-Slow: ").await;
        slow.push(http);
    }
    let mut silent = bed.connect().await;
    let mut half_body = bed.connect().await;
    half_body.send("POST /app/length HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfive!").await;
    assert_eq!(bed.get("/other/deep").await.status, 200);
    for mut http in slow {
        assert_eq!(http.rest().await, "");
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(half_body.answer().await.status, 408);
    assert_eq!(silent.rest().await, "");
    assert!(began.elapsed() >= Duration::from_secs(2));
    bed.end().await;
}

#[tokio::test]
async fn every_request_is_answered_in_time() {
    let bed = Bed::new(&[("answerTimeoutInMilliseconds", "100")]).await;
    let answer = bed.get("/app/never").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    // An answer that has begun may take longer than that.
    let mut http = bed.connect().await;
    http.send("GET /app/stream HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(http.head().await.0, 200);
    assert_eq!(bed.get("/app/never").await.status, 503);
    bed.shutdown.cancel();
    let rest = http.rest().await;
    assert!(rest.contains("tick 0\n") && rest.contains("over\n") && rest.ends_with("0\r\n\r\n"), "{rest}");
    bed.end().await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused() {
    let mut bed = Bed::new(&[("maxConcurrentRequestsPerApplication", "1")]).await;
    let mut held = bed.connect().await;
    held.send("GET /app/hold HTTP/1.1\r\nHost: h\r\n\r\n").await;
    soon(bed.begun.recv()).await.unwrap();
    let refused = bed.get("/app/facts").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(bed.get("/other/deep").await.status, 200, "another application is not concerned");
    bed.go_on.notify_one();
    assert_eq!(held.answer().await.body, "held");
    assert_eq!(bed.get("/app/facts").await.status, 200);
    bed.end().await;
}

#[tokio::test]
async fn a_change_is_finished_though_its_client_went_away() {
    let mut bed = Bed::new(&[]).await;
    let mut http = bed.connect().await;
    http.send("POST /app/finish HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    soon(bed.begun.recv()).await.unwrap();
    drop(http);
    // Another request, so that the container had time to notice.
    assert_eq!(bed.get("/app/facts").await.status, 200);
    bed.go_on.notify_one();
    soon(bed.finished.recv()).await.unwrap();
    bed.end().await;
}

#[tokio::test]
async fn a_drain_finishes_requests_in_flight() {
    let mut bed = Bed::new(&[]).await;
    let mut idle = bed.connect().await;
    idle.send("GET /other/deep HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let mut busy = bed.connect().await;
    busy.send("GET /app/hold HTTP/1.1\r\nHost: h\r\n\r\n").await;
    soon(bed.begun.recv()).await.unwrap();
    let mut stuck = bed.connect().await;
    stuck.send("GET /app/hold HTTP/1.1\r\nHost: h\r\n\r\n").await;
    soon(bed.begun.recv()).await.unwrap();
    bed.shutdown.cancel();
    assert_eq!(idle.rest().await, "");
    bed.go_on.notify_one();
    assert_eq!(busy.answer().await.body, "held");
    // Nobody lets the stuck one go on: it ends with the drain limit of one second.
    assert_eq!(stuck.rest().await, "");
    bed.end().await;
}

#[tokio::test]
async fn an_application_may_want_a_client_certificate() {
    let bed = Bed::new(&[]).await;
    let (ip, port) = (bed.at.ip().to_string(), bed.at.port().to_string());
    let rule = |wanted| {
        add::<WebApp>(&[
            ("interfaceIp", &ip),
            ("port", &port),
            ("applicationName", "app"),
            ("clientAuthReq", wanted),
        ])
    };
    commit(&bed.store, vec![rule("true")]);
    let answer = bed.get("/app/facts").await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "client_certificate_required\n"));
    assert_eq!(bed.get("/other/deep").await.status, 200);
    bed.end().await;
}

#[tokio::test]
async fn curl_speaks_both_versions() {
    let bed = Bed::new(&[]).await;
    let url = format!("http://{}/app/length", bed.at);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let child = tokio::process::Command::new("curl")
            .args(["-s", "-w", " %{http_version} %{http_code}", version, "--data-binary", "12345", &url])
            .output();
        let output = soon(child).await.unwrap();
        let expected = if version == "--http1.1" { "5 1.1 200" } else { "5 2 200" };
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
    bed.end().await;
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn planted_secrets_never_reach_the_log() {
    use tracing_subscriber::prelude::*;
    let lines = Lines::default();
    let writer = lines.clone();
    // Everything that our crates say at any level; the runtime of this test has one thread.
    let ours = tracing_subscriber::filter::filter_fn(|metadata| {
        ["openadp", "access"].iter().any(|ours| metadata.target().starts_with(ours))
    });
    let layer = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone()).with_filter(ours);
    let _guard = tracing_subscriber::registry().with(layer).set_default();

    let bed = Bed::new(&[("answerTimeoutInMilliseconds", "100")]).await;
    for path in ["/app/facts", "/app/panic", "/app/never", "/nowhere", "/app/elsewhere", "/app/length"] {
        let mut http = bed.connect().await;
        http.send(&format!(
            "GET {path}?key=planted-query HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer planted-token\r\n\
             Cookie: JSESSIONID=planted-cookie\r\nX-Request-Id: planted \"id\"\r\nContent-Length: 12\r\n\r\nplanted-body"
        ))
        .await;
        http.head().await;
    }
    bed.end().await;
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("\"path\":\"/app/facts\"") && log.contains("applicationPanicked"), "{log}");
    assert!(!log.contains("planted"), "{log}");
}
