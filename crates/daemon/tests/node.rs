//! Nodes in this process: what may be together, what is shared between them, and the way to the push server.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use openadp_appserver_embedded::PushSender;
use openadp_daemon::{
    ApplicationSpec, Exit, Filter, HttpPushSender, LogSettings, Node, NodeOptions, StartError,
};
use openadp_settings::{Author, Change, Edit, Registry, Secret, Settings, Store};
use openadp_tls::{ServerTrust, Tls, authority};
use openadp_webcontainer::{Application, BuildError, Mount, calls_to_nodes};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const fn plain(name: &'static str) -> ApplicationSpec {
    ApplicationSpec {
        name,
        modules: &[],
        needs_application_server: false,
        exclusive: false,
        build: |_| Ok(Application { name: "Plain", mounts: vec![Mount::new("/plain", axum::Router::new())] }),
    }
}

fn options(directory: &tempfile::TempDir, applications: &[ApplicationSpec]) -> NodeOptions {
    let mut options = NodeOptions::new("test", directory.path().join("data"));
    options.applications = applications.to_vec();
    options.filter = Filter::Only(Vec::new());
    options
}

async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap()
}

#[tokio::test]
async fn an_exclusive_application_is_alone_outside_a_lab() {
    let directory = tempfile::tempdir().unwrap();
    let exclusive = ApplicationSpec { exclusive: true, ..plain("Exclusive") };
    let mut both = options(&directory, &[exclusive, plain("Other")]);
    let Err(error) = Node::prepare(both.clone()).await else { panic!("it must be refused") };
    assert_eq!(error.to_string(), "Exclusive must not share a process with other applications");
    assert_eq!(error.exit(), Exit::Configuration);
    // Refused before anything was made.
    assert!(!directory.path().join("data").exists());

    both.lab = true;
    // Mounted at one path, which the container refuses; so the rule let them pass.
    assert!(matches!(Node::prepare(both).await, Err(StartError::Build { .. })));
    let alone = Node::prepare(options(&directory, &[exclusive])).await;
    alone.unwrap_or_else(|error| panic!("{error}")).discard().await;
}

#[tokio::test]
async fn an_application_that_cannot_be_built_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let broken = ApplicationSpec {
        build: |host| {
            host.require_ports()?;
            Err(BuildError::new("not reached"))
        },
        ..plain("Broken")
    };
    let Err(error) = Node::prepare(options(&directory, &[broken])).await else {
        panic!("it must be refused")
    };
    assert_eq!(error.exit(), Exit::Configuration);
    assert_eq!(
        openadp_daemon::ErrorChain(&error).to_string(),
        "cannot build Broken: it needs the application server, and there is none"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_one_directory_see_each_others_settings() {
    let directory = tempfile::tempdir().unwrap();
    let first = Node::start(options(&directory, &[plain("First")])).await.unwrap();
    // A second process has its own name on the admin socket; here both are in one.
    let mut other = options(&directory, &[plain("Second")]);
    other.name = "second".to_owned();
    let second = Node::start(other).await.unwrap();
    let mut changes = second.store().watch();
    let values = BTreeMap::from([("level".to_owned(), Some("debug".to_owned()))]);
    let edits = vec![Edit::Set { context: LogSettings::CONTEXT.full_path(), key: Vec::new(), values }];
    let change = Change { author: Author("test".to_owned()), comment: None, edits, force: false };
    first.store().commit(&change, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    first.wake().notify("settings");
    soon(changes.changed()).await.unwrap();
    assert_eq!(second.store().get::<LogSettings>().level, "debug");
    for node in [first, second] {
        assert_eq!(soon(node.shutdown(CancellationToken::new())).await, Exit::Clean);
    }
}

/// Answers requests on one connection, and gives their heads and bodies.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, answers: &[&str]) -> Vec<(String, String)> {
    let mut stream = BufReader::new(stream);
    let mut requests = Vec::new();
    for answer in answers {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(soon(stream.read_line(&mut head)).await.unwrap(), 0, "closed within {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        soon(stream.read_exact(&mut body)).await.unwrap();
        requests.push((head, String::from_utf8(body).unwrap()));
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        stream.get_mut().flush().await.unwrap();
    }
    requests
}

fn sender(store: &Arc<Store>, directory: &tempfile::TempDir) -> HttpPushSender {
    let tls = Tls::new(store.clone(), directory.path());
    HttpPushSender::new(calls_to_nodes(store, tls, false, TaskTracker::new(), CancellationToken::new()))
}

#[tokio::test]
async fn notifications_share_a_connection_and_follow_no_redirect() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::in_memory(Registry::new([openadp_tls::MODULE]).unwrap());
    let sender = sender(&store, &directory);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/nps/v1/notifications?x=1", listener.local_addr().unwrap());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let answers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        ];
        serve(stream, &answers).await
    };
    let client = async {
        let secret = Secret::new("planted-secret");
        let first = sender.send(&url, &secret, "key-1", b"{\"a\":1}".to_vec()).await.unwrap();
        assert_eq!(first, (200, b"{}".to_vec()));
        let second = sender.send(&url, &Secret::default(), "key-2", b"{}".to_vec()).await.unwrap();
        assert_eq!(second.0, 302);
    };
    let (requests, ()) = soon(async { tokio::join!(server, client) }).await;
    let (head, body) = &requests[0];
    assert!(head.starts_with("POST /nps/v1/notifications?x=1 HTTP/1.1\r\n"), "{head}");
    for line in [
        "idempotency-key: key-1\r\n",
        "x-nps-secret: planted-secret\r\n",
        "content-type: application/json\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(body, "{\"a\":1}");
    assert!(!requests[1].0.contains("x-nps-secret"), "{}", requests[1].0);

    // Nobody there: an error that tells nothing of the secret.
    drop(listener);
    let error = sender.send(&url, &Secret::new("planted-secret"), "key-3", Vec::new()).await.unwrap_err();
    assert!(!format!("{error:?}").contains("planted"));
}

#[tokio::test]
async fn the_push_servers_certificate_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::in_memory(Registry::new([openadp_tls::MODULE]).unwrap());
    let sender = sender(&store, &directory);
    let authority = authority::LabAuthority::open(&directory.path().join("ca")).unwrap();
    let issued = authority.issue_server(&["127.0.0.1"], authority::KeyType::Ec).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/nps", listener.local_addr().unwrap());
    let secret = Secret::new("s");

    let refused = async { acceptor.accept(listener.accept().await.unwrap().0).await.is_err() };
    let (refused, sent) =
        soon(async { tokio::join!(refused, sender.send(&url, &secret, "k", Vec::new())) }).await;
    assert!(refused && sent.is_err(), "an unknown authority must not get the secret");

    let values = [("alias", "lab"), ("certificate", authority.certificate_pem())];
    let values = values.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let edits = vec![Edit::Add { context: ServerTrust::CONTEXT.full_path(), values }];
    let change = Change { author: Author("test".to_owned()), comment: None, edits, force: false };
    store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    let server = async {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        serve(stream, &["HTTP/1.1 204 No Content\r\n\r\n"]).await
    };
    let (requests, sent) =
        soon(async { tokio::join!(server, sender.send(&url, &secret, "k", b"{}".to_vec())) }).await;
    assert_eq!((requests.len(), sent.unwrap().0), (1, 204));
}
