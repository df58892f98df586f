//! The applications on real sockets, read byte by byte: what clients count on is the exact form.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a helper that cannot go on fails the test")]

use base64::Engine;
use openadp_appserver::{SystemClock, UserId};
use openadp_appserver_embedded::{EmbeddedApplicationServer, NewSubscriber, Options};
use openadp_keystore::KeyStore;
use openadp_listener::{ConnectionHandler, ConnectionInfo, Stream};
use openadp_settings::{Author, Change, Edit, Registry, Secret, Store};
use openadp_tls::{InterfaceKind, InterfaceRef, Tls};
use openadp_wake::Wake;
use openadp_webcontainer::{Authenticator, Host, WebContainer};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Nothing here takes longer unless it is broken.
const SOON: Duration = Duration::from_secs(20);
const ALICE: &str = "alice@lab.example";
const BO: &str = "bo@lab.example";
const PASSWORD: &str = "correct horse 1";

async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(SOON, work).await.expect("it takes too long")
}

struct Bed {
    at: SocketAddr,
    store: Arc<Store>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    _dir: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let modules = [
            openadp_tls::MODULE,
            openadp_keystore::MODULE,
            openadp_listener::MODULE,
            openadp_webcontainer::MODULE,
            openadp_appserver_embedded::MODULE,
            openadp_xsi_api::MODULE,
            openadp_xsi::MODULE,
        ];
        let store = Store::in_memory(Registry::new(modules).unwrap());
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let clock = Arc::new(SystemClock);
        let server = EmbeddedApplicationServer::open(Options {
            data_dir: dir.path().to_owned(),
            wake: Wake::in_process(),
            clock: clock.clone(),
            settings: store.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            push_sender: None,
        })
        .await
        .unwrap();
        let provisioning = server.provisioning();
        provisioning.put_provider("acme", true).await.unwrap();
        provisioning.put_group("acme", "north").await.unwrap();
        for (n, user) in [ALICE, BO].into_iter().enumerate() {
            let subscriber = NewSubscriber {
                user_id: UserId::new(user),
                provider: "acme".to_owned(),
                group: "north".to_owned(),
                first_name: "Zoë".to_owned(),
                last_name: format!("Ng{n}"),
                number: Some(format!("+1555010012{n}")),
                extension: Some(format!("100{n}")),
                country_code: "1".to_owned(),
                mobile: None,
                email_address: None,
                title: None,
                department: None,
                time_zone: None,
                password: Secret::new(PASSWORD),
            };
            provisioning.put_subscriber(&subscriber).await.unwrap();
        }
        let ports = server.ports();
        let keystore = KeyStore::open(dir.path(), store.machine_key().clone()).unwrap();
        let authenticator =
            Authenticator::new(&store, keystore.clone(), Some(ports.credentials.clone()), clock.clone());
        authenticator.use_logins(ports.logins.clone());
        let host = Host {
            authenticator,
            clock,
            data_dir: dir.path().to_owned(),
            keystore,
            lab: true,
            lock: openadp_webcontainer::ServiceLock::default(),
            ports: Some(ports),
            shutdown: shutdown.clone(),
            store: store.clone(),
            tasks: tasks.clone(),
            tls: Tls::new(store.clone(), dir.path()),
        };
        let application = (openadp_xsi::APPLICATION.build)(&host).unwrap();
        let container = WebContainer::new(&store, &tasks, vec![application]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (serving, drain) = (tasks.clone(), shutdown.clone());
        tasks.spawn(async move {
            loop {
                let (stream, peer) = tokio::select! {
                    () = drain.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap(),
                };
                let interface = InterfaceRef { kind: InterfaceKind::Http, address: at.ip(), port: at.port() };
                let info =
                    Arc::new(ConnectionInfo { connection_id: 1, interface, local: at, peer, tls: None });
                serving.spawn(container.clone().serve(Stream::Plain(stream), info, drain.clone()));
            }
        });
        Self { at, store, shutdown, tasks, _dir: dir }
    }

    fn set(&self, context: &str, name: &str, value: &str) {
        let edit = Edit::Set {
            context: format!("ADP_CLI/Applications/{context}"),
            key: Vec::new(),
            values: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]),
        };
        let change =
            Change { author: Author("test".to_owned()), comment: None, edits: vec![edit], force: false };
        self.store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    }

    async fn connect(&self) -> Connection {
        Connection(BufReader::new(soon(TcpStream::connect(self.at)).await.unwrap()))
    }
    async fn send(&self, user: &str, line: &str, headers: &[&str], body: &str) -> Answer {
        let mut connection = self.connect().await;
        connection.request(user, line, headers, Some(body)).await;
        connection.answer().await
    }
    async fn channel(&self, user: &str) -> (Connection, Answer, String) {
        let mut connection = self.connect().await;
        connection.request(user, &format!("POST {STREAM}"), &[], Some(CHANNEL)).await;
        let head = connection.head().await;
        let first = connection.chunk().await;
        (connection, head, first)
    }
}

const ACTIONS: &str = "/com.broadsoft.xsi-actions/v2.0";
const EVENTS: &str = "/com.broadsoft.xsi-events/v2.0";
const STREAM: &str = "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel";
const CHANNEL: &str = "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>set</channelSetId>\
                       <priority>1</priority><weight>50</weight><expires>3600</expires>\
                       <applicationId>app</applicationId></Channel>";

fn subscription(event: &str) -> String {
    format!(
        "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>{event}</event><expires>3600</expires>\
         <channelSetId>set</channelSetId><applicationId>app</applicationId></Subscription>"
    )
}

struct Connection(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Connection {
    async fn request(&mut self, user: &str, line: &str, headers: &[&str], body: Option<&str>) {
        let mut text = format!("{line} HTTP/1.1\r\nHost: xsp.lab.example\r\n");
        if !user.is_empty() {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
            write!(text, "Authorization: Basic {pair}\r\n").unwrap();
        }
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if let Some(body) = body {
            write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        } else {
            text.push_str("\r\n");
        }
        soon(self.0.get_mut().write_all(text.as_bytes())).await.unwrap();
    }
    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
    async fn head(&mut self) -> Answer {
        let status = self.line().await.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Answer { status, headers, body: String::new() }
    }
    async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length: usize = answer.header("content-length").parse().expect("a length");
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }
    /// One chunk; empty for the last.
    async fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line().await, 16).expect("a chunk");
        let mut chunk = vec![0; length + 2];
        soon(self.0.read_exact(&mut chunk)).await.unwrap();
        assert!(chunk.ends_with(b"\r\n"));
        String::from_utf8(chunk[..length].to_vec()).unwrap()
    }
}

fn text<'a>(xml: &'a str, name: &str) -> &'a str {
    xml.split_once(&format!("{name}>")).and_then(|(_, rest)| rest.split('<').next()).unwrap_or_default()
}

#[tokio::test]
async fn forms_and_headers_are_what_clients_expect() {
    let bed = Bed::new().await;
    let path = format!("GET {ACTIONS}/User/alice%40lab.example/profile");
    let xml = bed.send(ALICE, &path, &[], "").await;
    assert_eq!((xml.status, xml.header("content-type")), (200, "application/xml;charset=UTF-8"));
    assert!(
        xml.body.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Profile xmlns="),
        "{}",
        xml.body
    );
    assert!(xml.body.contains("<firstName>Zoë</firstName>"));
    let cookie = xml.header("set-cookie");
    assert!(cookie.starts_with("JSESSIONID="), "{cookie}");
    assert!(cookie.ends_with("; Path=/com.broadsoft.xsi-actions; Secure; HttpOnly"), "{cookie}");
    let again = bed.send(ALICE, &path, &["Cookie: JSESSIONID=1"], "").await;
    assert_eq!(again.header("set-cookie"), "");
    for (line, headers) in [
        (path.clone(), vec!["Accept: application/json, text/plain, */*"]),
        (format!("{path}?format=json"), vec!["Accept: text/xml"]),
    ] {
        let json = bed.send(ALICE, &line, &headers, "").await;
        assert_eq!(json.header("content-type"), "application/json;charset=UTF-8");
        assert!(
            json.body.starts_with("{\"Profile\":{\"@xmlns\":\"http://schema.broadsoft.com/xsi\""),
            "{}",
            json.body
        );
    }
    let tracked = bed.send(ALICE, &path, &["TrackingID: T-1"], "").await;
    assert_eq!(tracked.header("trackingid"), "T-1");
    let json = "{\"DoNotDisturb\":{\"@xmlns\":{\"$\":\"http://schema.broadsoft.com/xsi\"},\"active\":{\"$\":\"true\"}}}";
    let put = format!("PUT {ACTIONS}/user/{ALICE}/services/DoNotDisturb");
    for kind in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
        let answer = bed.send(ALICE, &put, &[&format!("Content-Type: {kind}")], json).await;
        assert_eq!((answer.status, answer.header("content-length")), (200, "0"), "{}", answer.body);
    }
}

#[tokio::test]
async fn refusals_have_their_form() {
    let bed = Bed::new().await;
    let profile = format!("GET {ACTIONS}/user/{ALICE}/profile");
    let nobody = bed.send("", &profile, &[], "").await;
    assert_eq!(
        (nobody.status, nobody.header("www-authenticate")),
        (401, "Basic realm=\"XtendedServicesInterface\"")
    );
    let quiet = bed.send("", &profile, &["X-BroadWorks-No-AuthChallenge: true"], "").await;
    assert_eq!((quiet.status, quiet.header("www-authenticate")), (401, ""));
    let unknown = bed.send("eve@lab.example", &profile, &[], "").await;
    assert_eq!(unknown.status, 401);
    let foreign = bed.send(BO, &profile, &[], "").await;
    assert_eq!(foreign.status, 403);
    assert!(
        foreign.body.contains("<ErrorInfo xmlns=") && foreign.body.contains("<errorCode>210403</errorCode>")
    );
    for (line, status) in [
        (format!("GET {ACTIONS}/nothing"), 404),
        ("GET /com.broadsoft.xsi-actions/v1.0/versions".to_owned(), 404),
        (format!("POST {ACTIONS}/user/{ALICE}/profile"), 405),
        (format!("PATCH {ACTIONS}/user/{ALICE}/profile"), 405),
    ] {
        let answer = bed.send(ALICE, &line, &[], "").await;
        assert_eq!(answer.status, status, "{line}");
        assert!(answer.body.contains("<ErrorInfo"), "{line}");
        assert_eq!(status == 405, !answer.header("allow").is_empty());
    }
    let put = format!("PUT {ACTIONS}/user/{ALICE}/services/DoNotDisturb");
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let long = format!("<a>{}</a>", "x".repeat(300_000));
    let lol = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
    for (body, status) in
        [("<DoNotDisturb>", 400), (lol, 400), ("{\"a\":", 400), (deep.as_str(), 413), (long.as_str(), 413)]
    {
        let answer = bed.send(ALICE, &put, &[], body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

#[tokio::test]
async fn a_channel_is_chunks_of_one_document_each() {
    let bed = Bed::new().await;
    let (mut channel, head, first) = bed.channel(ALICE).await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/xml;charset=UTF-8"));
    assert_eq!((head.header("transfer-encoding"), head.header("content-encoding")), ("chunked", ""));
    assert!(head.header("set-cookie").contains("Path=/com.broadsoft.xsi-events;"), "{head:?}");
    assert!(first.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelId>"
    ));
    assert!(first.ends_with("<expires>3600</expires></Channel>"), "{first}");
    let id = text(&first, "<channelId").to_owned();
    let beat = format!("PUT {EVENTS}/channel/{id}/heartbeat");
    assert_eq!(bed.send(ALICE, &beat, &[], "").await.header("content-length"), "0");
    // One client declares a body and never sends it.
    let mut silent = bed.connect().await;
    silent.request(ALICE, &beat, &["Content-Length: 20"], None).await;
    assert_eq!(silent.head().await.status, 200);

    let made =
        bed.send(ALICE, &format!("POST {EVENTS}/user/{ALICE}"), &[], &subscription("Advanced Call")).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let event = channel.chunk().await;
    assert!(
        event.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xsi:Event xmlns:xsi="),
        "{event}"
    );
    assert!(event.ends_with("</xsi:Event>") && event.matches('\n').count() == 1);
    let started =
        bed.send(ALICE, &format!("POST {ACTIONS}/user/{ALICE}/calls/new?address=1001"), &[], "").await;
    assert_eq!(started.status, 201, "{}", started.body);
    let mut sequence = 1;
    loop {
        let event = channel.chunk().await;
        sequence += 1;
        assert_eq!(text(&event, "xsi:sequenceNumber"), sequence.to_string());
        let response = format!(
            "<EventResponse xmlns=\"http://schema.broadsoft.com/xsi\"><eventID>{}</eventID><statusCode>200</statusCode>\
             <reason>OK</reason></EventResponse>",
            text(&event, "xsi:eventID")
        );
        let answer = bed.send(ALICE, &format!("POST {EVENTS}/channel/eventresponse"), &[], &response).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        if event.contains("xsi:CallOriginatedEvent") {
            break;
        }
    }
    let deleted = bed.send(ALICE, &format!("DELETE {STREAM}/{id}"), &[], "").await;
    assert_eq!(deleted.status, 200);
    let mut last = channel.chunk().await;
    while !last.contains("ChannelTerminatedEvent") {
        last = channel.chunk().await;
    }
    assert!(last.contains("<xsi:reason>ExplicitDelete</xsi:reason>"));
    assert_eq!(channel.chunk().await, "", "the zero chunk");
}

#[tokio::test]
async fn heartbeats_are_exact_and_a_silent_client_loses_its_channel() {
    let bed = Bed::new().await;
    bed.set("Xsi-Events/GeneralSettings", "heartbeatPeriodInSeconds", "1");
    let (mut channel, _, _) = bed.channel(ALICE).await;
    assert_eq!(
        channel.chunk().await,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>"
    );
    bed.set("Xsi-Events/GeneralSettings", "notificationTimeoutInSeconds", "1");
    bed.send(ALICE, &format!("POST {EVENTS}/user/{ALICE}"), &[], &subscription("Do Not Disturb")).await;
    let mut last = channel.chunk().await;
    while !last.contains("ChannelTerminatedEvent") {
        last = channel.chunk().await;
    }
    assert!(last.contains("NonResponsiveChannel"));
    assert_eq!(channel.chunk().await, "");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let bed = Bed::new().await;
    let (channel, _, _) = bed.channel(ALICE).await;
    let set = format!("GET {EVENTS}/channelset/set");
    assert_eq!(bed.send(ALICE, &set, &[], "").await.status, 200);
    drop(channel);
    soon(async {
        while bed.send(ALICE, &set, &[], "").await.status != 403 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Shutdown ends the channels that are open, and nothing goes on after it.
    let (mut channel, _, _) = bed.channel(ALICE).await;
    bed.shutdown.cancel();
    assert_eq!(channel.chunk().await, "");
    bed.tasks.close();
    soon(bed.tasks.wait()).await;
}

#[tokio::test]
async fn channels_that_cannot_open_say_why() {
    let bed = Bed::new().await;
    for (body, status, code) in [("", 400, "210400"), ("<Other/>", 400, "210400")] {
        let answer = bed.send(ALICE, &format!("POST {STREAM}"), &[], body).await;
        assert_eq!((answer.status, text(&answer.body, "errorCode")), (status, code));
    }
    bed.set("Xsi-Events/GeneralSettings", "maxChannelsPerSet", "1");
    let (_channel, _, _) = bed.channel(ALICE).await;
    let answer = bed.send(ALICE, &format!("POST {STREAM}"), &[], CHANNEL).await;
    assert_eq!((answer.status, text(&answer.body, "errorCode")), (403, "210411"));
    let json = bed.send(ALICE, &format!("POST {STREAM}?format=json"), &[], CHANNEL).await;
    assert!(json.body.starts_with("{\"ErrorInfo\""), "{}", json.body);
}

#[tokio::test]
async fn a_login_token_proves_its_user_once() {
    let bed = Bed::new().await;
    let token = async |user: &str, of: &str| {
        bed.send(user, &format!("POST {ACTIONS}/user/{of}/profile/LoginToken"), &[], "").await
    };
    let given = token(ALICE, ALICE).await;
    assert_eq!(given.status, 200, "{given:?}");
    let text = given.body.split("<token>").nth(1).and_then(|rest| rest.split("</token>").next()).unwrap();
    assert!(given.body.contains("<LoginToken xmlns=\"http://schema.broadsoft.com/xsi\">"), "{}", given.body);
    let header = format!("Authorization: BroadWorksSSO {text}");
    let profile = format!("GET {ACTIONS}/user/{ALICE}/profile");
    assert_eq!(bed.send("", &profile, &[&header], "").await.status, 200);
    assert_eq!(bed.send("", &profile, &[&header], "").await.status, 401, "used");
    assert_eq!(bed.send("", &profile, &["Authorization: BroadWorksSSO nonsense"], "").await.status, 401);
    assert_eq!(token(BO, ALICE).await.status, 403, "nobody gets one of somebody else");
    let read = bed.send(ALICE, &format!("GET {ACTIONS}/user/{ALICE}/profile/logintoken"), &[], "").await;
    assert_eq!((read.status, read.header("allow")), (405, "POST"));
}
