//! Interfaces on real sockets: followed live, secured, limited, drained.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use openadp_listener::{
    BoxFuture, ConnectionHandler, ConnectionInfo, CtiServer, Filter, HttpGeneralSettings, HttpServer,
    Listeners, Stream, WebApp,
};
use openadp_settings::{Author, Change, Edit, Problems, Registry, Settings, Store};
use openadp_tls::authority::LabAuthority;
use openadp_tls::{HttpClientTrust, HttpServerCipher, HttpServerProtocol, InterfaceKind, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that should happen does so well within this.
const SOON: Duration = Duration::from_secs(20);

/// Echoes, and says goodbye when told to drain; a byte 0xff makes it ignore the drain.
struct Echo(mpsc::Sender<Arc<ConnectionInfo>>);

impl ConnectionHandler for Echo {
    fn serve(
        self: Arc<Self>,
        mut stream: Stream,
        info: Arc<ConnectionInfo>,
        drain: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _test_over = self.0.send(info).await;
            let mut byte = [0; 1];
            loop {
                tokio::select! {
                    () = drain.cancelled() => {
                        if byte == [0xff] {
                            std::future::pending::<()>().await;
                        }
                        let _gone = stream.write_all(b"bye").await;
                        let _gone = stream.shutdown().await;
                        return;
                    }
                    read = stream.read_exact(&mut byte) => {
                        if read.is_err() || stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                }
            }
        })
    }
}

struct Bed {
    store: Arc<Store>,
    listeners: Arc<Listeners>,
    infos: mpsc::Receiver<Arc<ConnectionInfo>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    directory: tempfile::TempDir,
    authority: LabAuthority,
}

fn store() -> Arc<Store> {
    Store::in_memory(Registry::new([openadp_tls::MODULE, openadp_listener::MODULE]).unwrap())
}

fn commit(store: &Store, edits: Vec<Edit>) -> Result<u64, Problems> {
    let change = Change { author: Author("test".to_owned()), comment: None, edits, force: false };
    store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).map(|done| done.revision)
}

fn add<T: Settings>(values: &[(&str, &str)]) -> Edit {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Edit::Add { context: T::CONTEXT.full_path(), values }
}

fn http(at: SocketAddr, secure: bool, client_auth: bool) -> Edit {
    add::<HttpServer>(&[
        ("interfaceIp", &at.ip().to_string()),
        ("port", &at.port().to_string()),
        ("name", "xsp.lab.invalid"),
        ("secure", if secure { "true" } else { "false" }),
        ("clientAuthReq", if client_auth { "true" } else { "false" }),
    ])
}

fn limit(name: &str, value: u32) -> Edit {
    Edit::Set {
        context: HttpGeneralSettings::CONTEXT.full_path(),
        key: Vec::new(),
        values: BTreeMap::from([(name.to_owned(), Some(value.to_string()))]),
    }
}

/// An address that nobody else uses: a loopback address of this process, and a port that is free there.
fn address() -> SocketAddr {
    let [_, _, a, b] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 77, a, b.max(1));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

impl Bed {
    async fn new(edits: Vec<Edit>) -> Self {
        let store = store();
        let directory = tempfile::tempdir().unwrap();
        let authority = LabAuthority::open(&directory.path().join("ca")).unwrap();
        commit(&store, edits).unwrap();
        let tls = Tls::new(store.clone(), directory.path());
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let (sender, infos) = mpsc::channel(64);
        let listeners = Listeners::start(
            InterfaceKind::Http,
            Filter::All,
            store.clone(),
            tls,
            Arc::new(Echo(sender)),
            &tasks,
            shutdown.clone(),
        )
        .await;
        Self { store, listeners, infos, tasks, shutdown, directory, authority }
    }

    async fn change(&self, edits: Vec<Edit>) {
        let revision = commit(&self.store, edits).unwrap();
        soon(self.listeners.applied(revision)).await;
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }

    /// A client that takes any server certificate of ours, with a certificate of its own or without.
    fn client(&self, common_name: Option<&str>) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(self.authority.certificate_path()).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any::Server(provider)));
        let config = match common_name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let issued = self.authority.issue_client(name).unwrap();
                let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes())
                    .chain(CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()))
                    .collect::<Result<Vec<_>, _>>()
                    .unwrap();
                let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

mod any {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use std::sync::Arc;

    /// The interfaces of these tests have self-signed certificates, which is not what they are about.
    #[derive(Debug)]
    pub(super) struct Server(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for Server {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

async fn soon<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(SOON, work).await.expect("it takes too long")
}

async fn echo<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S, byte: u8) {
    stream.write_all(&[byte]).await.unwrap();
    stream.flush().await.unwrap();
    let mut back = [0];
    soon(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, [byte]);
}

/// What the other side sends until it closes; a reset counts as a close.
async fn rest<S: AsyncReadExt + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut rest = Vec::new();
    let _reset = soon(stream.read_to_end(&mut rest)).await;
    rest
}

fn name() -> ServerName<'static> {
    ServerName::try_from("xsp.lab.invalid").unwrap()
}

#[tokio::test]
async fn interfaces_come_and_go_and_connections_of_others_stay() {
    let (first, second) = (address(), address());
    let bed = Bed::new(vec![http(first, false, false)]).await;
    let mut held = TcpStream::connect(first).await.unwrap();
    echo(&mut held, b'a').await;
    assert!(TcpStream::connect(second).await.is_err());

    bed.change(vec![http(second, false, false)]).await;
    let mut other = TcpStream::connect(second).await.unwrap();
    echo(&mut other, b'b').await;
    assert_eq!(bed.listeners.states().len(), 2);

    let key = vec![second.ip().to_string(), second.port().to_string()];
    bed.change(vec![Edit::Delete { context: HttpServer::CONTEXT.full_path(), key }]).await;
    assert_eq!(rest(&mut other).await, b"bye");
    assert!(TcpStream::connect(second).await.is_err());
    echo(&mut held, b'c').await;

    // At once again on the same address.
    bed.change(vec![http(second, false, false)]).await;
    echo(&mut TcpStream::connect(second).await.unwrap(), b'd').await;
    bed.end().await;
}

#[tokio::test]
async fn an_interface_that_cannot_be_bound_is_kept_and_tried_again() {
    let ip = address().ip();
    let taken = TcpListener::bind((ip, 0)).unwrap();
    let at = taken.local_addr().unwrap();
    let bed = Bed::new(vec![http(at, false, false)]).await;
    let states = bed.listeners.states();
    assert_eq!(states[0].listening.as_ref().unwrap_err(), "the port is in use by another process");
    drop(taken);
    soon(async {
        while bed.listeners.states()[0].listening.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    echo(&mut TcpStream::connect(at).await.unwrap(), b'a').await;
    bed.end().await;
}

#[tokio::test]
async fn only_the_interfaces_of_the_filter_are_served() {
    let (wanted, other) = (address(), address());
    let store = store();
    commit(&store, vec![http(wanted, false, false), http(other, false, false)]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let listeners = Listeners::start(
        InterfaceKind::Http,
        Filter::Only(vec![wanted]),
        store.clone(),
        Tls::new(store, directory.path()),
        Arc::new(Echo(mpsc::channel(8).0)),
        &tasks,
        shutdown.clone(),
    )
    .await;
    assert_eq!(listeners.states().len(), 1);
    assert_eq!(listeners.states()[0].listening, Ok(wanted));
    shutdown.cancel();
    tasks.close();
    soon(tasks.wait()).await;
}

#[tokio::test]
async fn a_handshake_that_stops_in_the_middle_costs_others_nothing() {
    let at = address();
    let bed = Bed::new(vec![http(at, true, false), limit("handshakeTimeoutInSeconds", 1)]).await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // The head of a handshake record, and nothing of its body.
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
        stuck.push(stream);
    }
    let mut good =
        soon(bed.client(None).connect(name(), TcpStream::connect(at).await.unwrap())).await.unwrap();
    echo(&mut good, b'a').await;
    for mut stream in stuck {
        assert_eq!(rest(&mut stream).await, b"");
    }
    // Neither is something that is no TLS at all a reason to stop.
    let mut nonsense = TcpStream::connect(at).await.unwrap();
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    rest(&mut nonsense).await;
    echo(&mut good, b'b').await;
    drop(good);
    bed.end().await;
}

#[tokio::test]
async fn connections_are_limited_and_places_come_back() {
    let at = address();
    let bed = Bed::new(vec![http(at, false, false), limit("maxConnections", 2)]).await;
    let mut first = TcpStream::connect(at).await.unwrap();
    echo(&mut first, b'a').await;
    let mut second = TcpStream::connect(at).await.unwrap();
    echo(&mut second, b'b').await;
    assert_eq!(rest(&mut TcpStream::connect(at).await.unwrap()).await, b"");

    // The limit is live.
    bed.change(vec![limit("maxConnections", 3)]).await;
    echo(&mut TcpStream::connect(at).await.unwrap(), b'c').await;
    drop(first);
    bed.change(vec![limit("maxConnections", 2)]).await;
    soon(async {
        loop {
            let mut next = TcpStream::connect(at).await.unwrap();
            let mut back = [0];
            if next.write_all(b"d").await.is_ok() && next.read_exact(&mut back).await.is_ok() {
                break;
            }
        }
    })
    .await;
    bed.end().await;
}

#[tokio::test]
async fn a_drain_lets_the_polite_finish_and_ends_the_stuck() {
    let at = address();
    let bed = Bed::new(vec![http(at, false, false), limit("drainTimeoutInSeconds", 1)]).await;
    let mut polite = TcpStream::connect(at).await.unwrap();
    echo(&mut polite, b'a').await;
    let mut stuck = TcpStream::connect(at).await.unwrap();
    echo(&mut stuck, 0xff).await;
    bed.shutdown.cancel();
    assert_eq!(rest(&mut polite).await, b"bye");
    assert!(TcpStream::connect(at).await.is_err());
    assert_eq!(rest(&mut stuck).await, b"");
    assert_eq!(bed.listeners.aborted(), 1);
    bed.end().await;
}

#[tokio::test]
async fn a_changed_suite_shows_in_the_next_handshake_and_open_connections_stay() {
    let at = address();
    let mut bed = Bed::new(vec![http(at, true, false)]).await;
    let mut old =
        soon(bed.client(None).connect(name(), TcpStream::connect(at).await.unwrap())).await.unwrap();
    echo(&mut old, b'a').await;
    let info = soon(bed.infos.recv()).await.unwrap();
    let tls = info.tls.clone().unwrap();
    assert_eq!((tls.version, tls.sni.as_deref()), ("TLSv1.3", Some("xsp.lab.invalid")));

    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    bed.change(vec![
        add::<HttpServerProtocol>(&[("interfaceIp", &ip), ("port", &port), ("protocol", "TLSv1.2")]),
        add::<HttpServerCipher>(&[
            ("interfaceIp", &ip),
            ("port", &port),
            ("cipher", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ]),
    ])
    .await;
    let mut new =
        soon(bed.client(None).connect(name(), TcpStream::connect(at).await.unwrap())).await.unwrap();
    echo(&mut new, b'b').await;
    let suite = new.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384);
    let info = soon(bed.infos.recv()).await.unwrap();
    assert_eq!(info.tls.as_ref().unwrap().cipher_suite, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
    echo(&mut old, b'c').await;
    bed.end().await;
}

#[tokio::test]
async fn client_certificates_are_required_or_asked_for() {
    let (required, asked) = (address(), address());
    let (ip, port) = (asked.ip().to_string(), asked.port().to_string());
    let mut bed = Bed::new(vec![
        http(required, true, true),
        http(asked, true, false),
        add::<WebApp>(&[
            ("interfaceIp", &ip),
            ("port", &port),
            ("applicationName", "AuthenticationService"),
            ("clientAuthReq", "true"),
        ]),
    ])
    .await;
    bed.change(vec![add::<HttpClientTrust>(&[
        ("alias", "lab"),
        ("certificate", bed.authority.certificate_pem()),
    ])])
    .await;

    // With TLS 1.3 the client learns of the refusal when it reads.
    let mut refused =
        soon(bed.client(None).connect(name(), TcpStream::connect(required).await.unwrap())).await.unwrap();
    assert!(soon(refused.read(&mut [0])).await.is_err());
    let known = bed.client(Some("app.lab.invalid"));
    let mut accepted =
        soon(known.connect(name(), TcpStream::connect(required).await.unwrap())).await.unwrap();
    echo(&mut accepted, b'a').await;
    let info = soon(bed.infos.recv()).await.unwrap();
    let client = info.tls.clone().unwrap().client.unwrap();
    assert_eq!(client.common_name.as_deref(), Some("app.lab.invalid"));

    let mut without =
        soon(bed.client(None).connect(name(), TcpStream::connect(asked).await.unwrap())).await.unwrap();
    echo(&mut without, b'b').await;
    assert!(soon(bed.infos.recv()).await.unwrap().tls.clone().unwrap().client.is_none());
    let mut with = soon(known.connect(name(), TcpStream::connect(asked).await.unwrap())).await.unwrap();
    echo(&mut with, b'c').await;
    assert!(soon(bed.infos.recv()).await.unwrap().tls.clone().unwrap().client.is_some());
    assert!(bed.directory.path().is_dir());
    bed.end().await;
}

#[test]
fn two_of_our_own_interfaces_cannot_share_a_port() {
    let at: SocketAddr = "127.0.0.9:8443".parse().unwrap();
    let cti = |ip: &str, port: &str| {
        add::<CtiServer>(&[
            ("interfaceIp", ip),
            ("port", port),
            ("secure", "false"),
            ("serverCertificate", "false"),
            ("clientAuthReq", "false"),
        ])
    };
    let store = store();
    commit(&store, vec![http(at, false, false)]).unwrap();
    let refused = commit(&store, vec![cti("127.0.0.9", "8443")]).unwrap_err();
    assert!(refused.to_string().contains("127.0.0.9:8443 is taken"), "{refused}");
    commit(&store, vec![cti("0.0.0.0", "8443")]).unwrap_err();
    commit(&store, vec![cti("127.0.0.9", "8444")]).unwrap();
    commit(&store, vec![cti("127.0.0.10", "8443")]).unwrap();
    // Nothing of the refused changes was kept.
    assert_eq!(store.rows::<CtiServer>().len(), 2);
}

#[test]
fn a_secure_interface_must_be_able_to_shake_hands() {
    let at: SocketAddr = "127.0.0.9:8443".parse().unwrap();
    let store = store();
    commit(&store, vec![http(at, true, false)]).unwrap();
    let useless = vec![
        add::<HttpServerProtocol>(&[("interfaceIp", "127.0.0.9"), ("port", "8443"), ("protocol", "TLSv1.2")]),
        add::<HttpServerCipher>(&[
            ("interfaceIp", "127.0.0.9"),
            ("port", "8443"),
            ("cipher", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
        ]),
    ];
    assert!(commit(&store, useless).is_err());
}
