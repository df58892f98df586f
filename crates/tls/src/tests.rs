//! The crate as its users see it: settings in, handshakes out, over in-memory streams.

use crate::authority::{KeyType, LabAuthority};
use crate::*;
use openadp_settings::{Author, Change, Edit, Problems, Registry, Store};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use rustls_pki_types::ServerName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const CIPHERS: &str = "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers";
const PROTOCOLS: &str = "ADP_CLI/System/SSLCommonSettings/JSSE/Protocols";
const RSA_SUITE: &str = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
const EC_SUITE: &str = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";

struct Bench {
    dir: TempDir,
    store: Arc<Store>,
    tls: Arc<Tls>,
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(pem::now()).unwrap()
}

fn interface() -> InterfaceRef {
    InterfaceRef::http("127.0.0.9".parse().unwrap(), 443)
}

fn cti() -> InterfaceRef {
    InterfaceRef::cti("127.0.0.9".parse().unwrap(), 8012)
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Registry::new([MODULE]).unwrap()).unwrap();
        let tls = Tls::new(store.clone(), dir.path());
        Self { dir, store, tls }
    }
    fn commit(&self, edits: Vec<Edit>, force: bool) -> Result<(), Problems> {
        let change = Change { author: Author("test".into()), comment: None, edits, force };
        self.store.commit(&change, now()).map(drop)
    }
    fn add(&self, context: &str, values: &[(&str, &str)]) -> Result<(), Problems> {
        self.commit(vec![add(context, values)], false)
    }
    fn action(&self, context: &str, name: &str, arguments: &[Option<&str>]) -> Result<Vec<String>, Problems> {
        let arguments: Vec<Option<String>> = arguments.iter().map(|word| word.map(str::to_owned)).collect();
        let author = Author("test".into());
        self.store
            .run_action(&format!("ADP_CLI/{context}"), name, &arguments, &author, false, now())
            .map(|done| done.lines)
    }
    fn authority(&self) -> LabAuthority {
        LabAuthority::open(&self.dir.path().join("ca")).unwrap()
    }
    /// Gives the interface a certificate of an authority.
    fn certify(&self, authority: &LabAuthority, names: &[&str], key_type: KeyType) {
        let issued = authority.issue_server(names, key_type).unwrap();
        let edit = certificate_edit(
            &self.store.current(),
            &interface(),
            &issued.key_pem,
            &issued.certificate_pem,
            Some(&issued.chain_pem),
            pem::now(),
        )
        .unwrap();
        self.commit(vec![edit], false).unwrap();
    }
    fn server(&self, client_auth: ClientAuth) -> Arc<rustls::ServerConfig> {
        self.tls.server_config(&interface(), client_auth, &[]).unwrap()
    }
}

fn add(context: &str, values: &[(&str, &str)]) -> Edit {
    Edit::Add {
        context: context.to_owned(),
        values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn own_cipher(name: &str) -> Edit {
    add(
        "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Ciphers",
        &[("interfaceIp", "127.0.0.9"), ("port", "443"), ("cipher", name)],
    )
}

fn own_protocol(name: &str) -> Edit {
    add(
        "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Protocols",
        &[("interfaceIp", "127.0.0.9"), ("port", "443"), ("protocol", name)],
    )
}

/// A client of these anchors, with a certificate of its own or without.
fn client(authority: &LabAuthority, identity: Option<&authority::IssuedCertificate>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::certificates(authority.certificate_pem()).unwrap());
    let builder = ClientConfig::builder_with_provider(suites::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(issued) => builder
            .with_client_auth_cert(
                pem::certificates(&issued.certificate_pem).unwrap(),
                pem::private_key(&issued.key_pem).unwrap(),
            )
            .unwrap(),
    })
}

type Ends = (client::TlsStream<tokio::io::DuplexStream>, server::TlsStream<tokio::io::DuplexStream>);

/// Shakes hands in memory; a byte each way then proves that both sides are content (TLS 1.3 clients believe too early).
async fn shake(
    server: Arc<rustls::ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Ends> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connect = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_all(b"?").await?;
        stream.flush().await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(stream)
    };
    let accept = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let mut question = [0];
        stream.read_exact(&mut question).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    };
    tokio::try_join!(connect, accept)
}

fn suite(stream: &client::TlsStream<tokio::io::DuplexStream>) -> String {
    suites::iana_name(stream.get_ref().1.negotiated_cipher_suite().unwrap().suite())
}

#[test]
fn a_fresh_installation_inherits_from_the_system() {
    let bench = Bench::new();
    let snapshot = bench.store.current();
    for interface in [interface(), cti()] {
        let effective = resolve(&snapshot, &interface);
        assert_eq!(effective.ciphers.from, Level::System);
        assert_eq!(effective.ciphers.value.len(), 12);
        assert_eq!(effective.protocols.value, ["TLSv1.2", "TLSv1.3"]);
        assert!(check_interface(&snapshot, &interface, &[]).is_empty());
    }
    let context = bench.store.registry().context("ADP_CLI/Interface/Http/SSLCommonSettings/Ciphers").unwrap();
    assert_eq!(
        context.remark.unwrap()(&snapshot, &[]).unwrap(),
        "inherited from System/SSLCommonSettings/JSSE: 12 entries; get -e shows them"
    );
    let rows = context.effective.unwrap()(&snapshot, &[]);
    // The twelve, and TLS 1.3's three, since the list names none of them.
    assert_eq!(rows.len(), 15);
    assert_eq!(rows[0][0], ("Cipher Name", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()));
    assert_eq!(rows[0][1], ("Negotiable", "true".to_owned()));
    assert_eq!(rows[0][2], ("From", "System/SSLCommonSettings/JSSE".to_owned()));
    assert_eq!(rows[2][1], ("Negotiable", "false".to_owned()));
}

#[test]
fn a_cti_list_holds_for_every_port_of_its_address_and_an_http_list_for_one() {
    let bench = Bench::new();
    bench
        .add(
            "ADP_CLI/Interface/CTI/CTIServer/SSLSettings/Ciphers",
            &[("interfaceIp", "127.0.0.9"), ("cipher", RSA_SUITE)],
        )
        .unwrap();
    bench.commit(vec![own_cipher(EC_SUITE)], false).unwrap();
    let snapshot = bench.store.current();
    for port in [8012, 8013] {
        let interface = InterfaceRef { port, ..cti() };
        assert_eq!(resolve(&snapshot, &interface).ciphers.value, [RSA_SUITE]);
    }
    assert_eq!(resolve(&snapshot, &interface()).ciphers.value, [EC_SUITE]);
    assert_eq!(resolve(&snapshot, &InterfaceRef { port: 444, ..interface() }).ciphers.from, Level::System);
    // Protocols are looked up apart.
    assert_eq!(resolve(&snapshot, &interface()).protocols.from, Level::System);
    let elsewhere: IpAddr = "127.0.0.10".parse().unwrap();
    assert_eq!(resolve(&snapshot, &InterfaceRef { address: elsewhere, ..cti() }).ciphers.from, Level::System);
}

#[test]
fn a_change_that_leaves_nothing_to_negotiate_is_refused_unless_forced() {
    let bench = Bench::new();
    let delete = |name: &str| Edit::Delete { context: PROTOCOLS.to_owned(), key: vec![name.to_owned()] };
    let old = add(PROTOCOLS, &[("protocol", "TLSv1")]);
    let edits = vec![delete("TLSv1.2"), delete("TLSv1.3"), old];
    let refused = bench.commit(edits.clone(), false).unwrap_err();
    assert!(refused.0.iter().all(|problem| problem.forceable && problem.context == PROTOCOLS), "{refused}");
    assert_eq!(bench.store.current().revision(), 0, "nothing was kept");
    bench.commit(edits, true).unwrap();
    assert!(!check_interface(&bench.store.current(), &interface(), &[]).is_empty());
    assert!(matches!(
        bench.tls.server_config(&interface(), ClientAuth::None, &[]),
        Err(TlsError::NothingNegotiable { .. })
    ));
}

#[test]
fn an_interface_with_tls12_alone_and_no_suite_of_it_is_a_problem() {
    let bench = Bench::new();
    bench
        .commit(vec![own_protocol("TLSv1.2"), own_cipher("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256")], false)
        .unwrap();
    let problems = check_interface(&bench.store.current(), &interface(), &[]);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].forceable);
    assert_eq!(problems[0].context, "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Ciphers");
    // TLS 1.3 helps, since the list names none of its suites.
    bench.commit(vec![own_protocol("TLSv1.3")], false).unwrap();
    assert!(check_interface(&bench.store.current(), &interface(), &[]).is_empty());
}

#[test]
fn names_that_are_not_ianas_are_refused_with_the_right_one() {
    let bench = Bench::new();
    let refused = bench.add(CIPHERS, &[("cipher", "ECDHE-ECDSA-CHACHA20-POLY1305")]).unwrap_err();
    assert!(refused.to_string().contains("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"), "{refused}");
    bench.add(CIPHERS, &[("cipher", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305")]).unwrap();
    let snapshot = bench.store.current();
    let last = resolve(&snapshot, &interface()).ciphers.value.pop().unwrap();
    assert_eq!(last, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
}

#[tokio::test]
async fn lists_show_in_the_next_handshake_and_open_connections_stay() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = Bench::new();
    let authority = bench.authority();
    bench.certify(&authority, &["127.0.0.9"], KeyType::Rsa);
    let config = client(&authority, None);
    let (mut near, mut far) =
        shake(bench.server(ClientAuth::None), config.clone(), "127.0.0.9").await.unwrap();
    assert_eq!(near.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));

    bench.commit(vec![own_protocol("TLSv1.2"), own_cipher(RSA_SUITE)], false).unwrap();
    let (changed, _) =
        shake(bench.server(ClientAuth::None), client(&authority, None), "127.0.0.9").await.unwrap();
    assert_eq!(changed.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(suite(&changed), RSA_SUITE);

    near.write_all(b"still here").await.unwrap();
    near.flush().await.unwrap();
    let mut heard = [0; 10];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
}

#[tokio::test]
async fn a_list_that_names_a_tls13_suite_is_followed_for_tls13() {
    let bench = Bench::new();
    let authority = bench.authority();
    bench.certify(&authority, &["127.0.0.9"], KeyType::Ec);
    bench.commit(vec![own_protocol("TLSv1.3"), own_cipher("TLS_CHACHA20_POLY1305_SHA256")], false).unwrap();
    let (near, _) =
        shake(bench.server(ClientAuth::None), client(&authority, None), "127.0.0.9").await.unwrap();
    assert_eq!(suite(&near), "TLS_CHACHA20_POLY1305_SHA256");
}

#[tokio::test]
async fn client_certificates_fail_closed_without_anchors() {
    let bench = Bench::new();
    let authority = bench.authority();
    bench.certify(&authority, &["127.0.0.9"], KeyType::Ec);
    let identity = authority.issue_client("client.lab.invalid").unwrap();
    let with = client(&authority, Some(&identity));
    let without = client(&authority, None);
    assert!(shake(bench.server(ClientAuth::Required), with.clone(), "127.0.0.9").await.is_err());
    assert!(shake(bench.server(ClientAuth::Required), without.clone(), "127.0.0.9").await.is_err());
    assert!(shake(bench.server(ClientAuth::Optional), with.clone(), "127.0.0.9").await.is_err());
    shake(bench.server(ClientAuth::Optional), without.clone(), "127.0.0.9").await.unwrap();

    let trusts = "Interface/Http/SSLCommonSettings/ClientAuthentication/Trusts";
    bench.action(trusts, "updateTrust", &[Some("lab"), Some(authority.certificate_pem()), None]).unwrap();
    let (_, far) = shake(bench.server(ClientAuth::Required), with.clone(), "127.0.0.9").await.unwrap();
    let presented = far.get_ref().1.peer_certificates().unwrap();
    let peer = PeerIdentity::from_certificate(&presented[0]).unwrap();
    assert_eq!(peer.common_name.as_deref(), Some("client.lab.invalid"));
    assert!(shake(bench.server(ClientAuth::Required), without, "127.0.0.9").await.is_err());

    // Of another authority, although the names are the same.
    let other = LabAuthority::open(&bench.dir.path().join("other")).unwrap();
    let foreign = other.issue_client("client.lab.invalid").unwrap();
    assert!(
        shake(bench.server(ClientAuth::Required), client(&authority, Some(&foreign)), "127.0.0.9")
            .await
            .is_err()
    );
    // A server's certificate is none for a client.
    let wrong = authority.issue_server(&["client.lab.invalid"], KeyType::Ec).unwrap();
    assert!(
        shake(bench.server(ClientAuth::Required), client(&authority, Some(&wrong)), "127.0.0.9")
            .await
            .is_err()
    );

    bench.action(trusts, "deleteTrust", &[Some("lab")]).unwrap();
    assert!(shake(bench.server(ClientAuth::Required), with, "127.0.0.9").await.is_err());
}

#[tokio::test]
async fn changes_discard_what_could_be_resumed() {
    for version in ["TLSv1.2", "TLSv1.3"] {
        let bench = Bench::new();
        let authority = bench.authority();
        bench.certify(&authority, &["127.0.0.9"], KeyType::Ec);
        let config = client(&authority, None);
        bench.commit(vec![own_protocol(version)], false).unwrap();
        let kind = |ends: &Ends| ends.0.get_ref().1.handshake_kind().unwrap();
        let first = shake(bench.server(ClientAuth::None), config.clone(), "127.0.0.9").await.unwrap();
        assert_ne!(kind(&first), HandshakeKind::Resumed);
        let second = shake(bench.server(ClientAuth::None), config.clone(), "127.0.0.9").await.unwrap();
        assert_eq!(kind(&second), HandshakeKind::Resumed, "{version}");
        // An unrelated change keeps it.
        bench.add("ADP_CLI/Interface/CTI/SSLCommonSettings/Ciphers", &[("cipher", RSA_SUITE)]).unwrap();
        let third = shake(bench.server(ClientAuth::None), config.clone(), "127.0.0.9").await.unwrap();
        assert_eq!(kind(&third), HandshakeKind::Resumed, "{version}");
        let suites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];
        bench.commit(suites.map(own_cipher).to_vec(), false).unwrap();
        let fourth = shake(bench.server(ClientAuth::None), config, "127.0.0.9").await.unwrap();
        assert_ne!(kind(&fourth), HandshakeKind::Resumed, "{version}");
    }
}

#[test]
fn an_unrelated_change_gives_the_same_configuration() {
    let bench = Bench::new();
    let before = bench.server(ClientAuth::None);
    bench.add("ADP_CLI/Interface/CTI/SSLCommonSettings/Ciphers", &[("cipher", RSA_SUITE)]).unwrap();
    assert!(Arc::ptr_eq(&before, &bench.server(ClientAuth::None)));
    bench.commit(vec![own_protocol("TLSv1.2")], false).unwrap();
    assert!(!Arc::ptr_eq(&before, &bench.server(ClientAuth::None)));
}

#[tokio::test]
async fn generated_certificates_are_a_pair_kept_in_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let names = ["xsp01.lab.invalid".to_owned()];
    bench.commit(vec![own_protocol("TLSv1.2"), own_cipher(RSA_SUITE), own_cipher(EC_SUITE)], false).unwrap();
    let config = bench.tls.server_config(&interface(), ClientAuth::None, &names).unwrap();
    for stem in ["http-127.0.0.9-443-rsa", "http-127.0.0.9-443-ec"] {
        let dir = bench.dir.path().join("tls");
        let key = std::fs::metadata(dir.join(format!("{stem}.key"))).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        // Trusting the certificate itself, the client checks its names too.
        let mut roots = RootCertStore::empty();
        let own = std::fs::read_to_string(dir.join(format!("{stem}.crt"))).unwrap();
        roots.add_parsable_certificates(pem::certificates(&own).unwrap());
        let wanted = if stem.ends_with("rsa") { RSA_SUITE } else { EC_SUITE };
        let mut provider = (*suites::provider()).clone();
        provider.cipher_suites.retain(|suite| suites::iana_name(suite.suite()) == wanted);
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        for name in ["127.0.0.9", "xsp01.lab.invalid"] {
            let (near, _) = shake(config.clone(), Arc::new(client.clone()), name).await.unwrap();
            assert_eq!(suite(&near), wanted);
        }
    }
    // A second process finds the same pair.
    let before = std::fs::read(bench.dir.path().join("tls/http-127.0.0.9-443-rsa.crt")).unwrap();
    let second = Tls::new(bench.store.clone(), bench.dir.path());
    second.server_config(&interface(), ClientAuth::None, &names).unwrap();
    assert_eq!(std::fs::read(bench.dir.path().join("tls/http-127.0.0.9-443-rsa.crt")).unwrap(), before);
}

#[tokio::test]
async fn a_configured_certificate_beats_a_generated_one() {
    let bench = Bench::new();
    let authority = bench.authority();
    // Only RSA is configured; a client that takes both must not get the self-signed P-256 certificate.
    bench.certify(&authority, &["127.0.0.9"], KeyType::Rsa);
    shake(bench.server(ClientAuth::None), client(&authority, None), "127.0.0.9").await.unwrap();
    // The second of another type stands beside it, one of the same type takes its place.
    bench.certify(&authority, &["127.0.0.9"], KeyType::Ec);
    bench.certify(&authority, &["127.0.0.9", "again.lab.invalid"], KeyType::Rsa);
    assert_eq!(bench.store.rows::<HttpServerCertificate>().len(), 2);
    bench.commit(vec![own_protocol("TLSv1.2"), own_cipher(RSA_SUITE)], false).unwrap();
    shake(bench.server(ClientAuth::None), client(&authority, None), "again.lab.invalid").await.unwrap();
}

#[test]
fn ssl_update_takes_only_what_belongs_together() {
    let bench = Bench::new();
    let authority = bench.authority();
    let one = authority.issue_server(&["127.0.0.9"], KeyType::Ec).unwrap();
    let two = authority.issue_server(&["127.0.0.9"], KeyType::Ec).unwrap();
    let other = LabAuthority::open(&bench.dir.path().join("other")).unwrap();
    let context = "Interface/CTI/CTIServer/SSLSettings/Certificates";
    let update = |key: &str, certificate: &str, chain: Option<&str>| {
        bench.action(context, "sslUpdate", &[Some("127.0.0.9"), Some(key), Some(certificate), chain])
    };
    let refused = |result: Result<_, Problems>, part: &str| {
        let text = result.map(|_: Vec<String>| ()).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
        assert!(!text.contains("PRIVATE"), "{text}");
    };
    refused(update(&two.key_pem, &one.certificate_pem, None), "does not belong");
    refused(update(&one.key_pem, &one.certificate_pem, Some(other.certificate_pem())), "not whole");
    refused(update("no key", &one.certificate_pem, None), "no private key");
    refused(update(&one.key_pem, "no certificate", None), "no certificate");
    let client = authority.issue_client("x").unwrap();
    refused(update(&client.key_pem, &client.certificate_pem, None), "not for server");
    assert!(bench.store.rows::<CtiServerCertificate>().is_empty());
    update(&one.key_pem, &one.certificate_pem, Some(&one.chain_pem)).unwrap();
    let row = &bench.store.rows::<CtiServerCertificate>()[0];
    assert_eq!(row.key_type, "EC");
    assert!(!format!("{row:?}").contains("PRIVATE"));
    let shown = bench.action(context, "sslShow", &[Some("127.0.0.9")]).unwrap().join("\n");
    assert!(shown.contains("names = 127.0.0.9"), "{shown}");
    assert!(!shown.contains("PRIVATE"));
    bench.action(context, "sslSelfSigned", &[Some("127.0.0.9")]).unwrap();
    assert!(bench.store.rows::<CtiServerCertificate>().is_empty());
}

#[test]
fn trusts_are_shown_by_alias_owner_and_issuer() {
    let bench = Bench::new();
    let authority = bench.authority();
    let context = "Interface/CTI/SSLCommonSettings/ClientAuthentication/Trusts";
    let update = |alias: &str, file: &str, force: Option<&str>| {
        bench.action(context, "updateTrust", &[Some(alias), Some(file), force])
    };
    update("root", authority.certificate_pem(), None).unwrap();
    let revision = bench.store.current().revision();
    update("root", authority.certificate_pem(), None).unwrap();
    assert_eq!(bench.store.current().revision(), revision, "the same again is no change");
    let declared = bench.store.registry().context(&format!("ADP_CLI/{context}")).unwrap();
    let snapshot = bench.store.current();
    let shown = declared.present.unwrap()(&snapshot, &snapshot.rows_of(declared)[0]);
    assert_eq!(
        shown,
        [
            ("Alias", "root".to_owned()),
            ("Owner", authority::COMMON_NAME.to_owned()),
            ("Issuer", format!("{}[self-signed]", authority::COMMON_NAME)),
        ]
    );
    let leaf = authority.issue_client("not an authority").unwrap();
    assert!(update("leaf", &leaf.certificate_pem, None).is_err());
    update("leaf", &leaf.certificate_pem, Some("true")).unwrap();
    let both = format!("{}{}", authority.certificate_pem(), leaf.certificate_pem);
    update("both", &both, Some("true")).unwrap();
    let aliases: Vec<String> =
        bench.store.rows::<CtiClientTrust>().into_iter().map(|row| row.alias).collect();
    assert_eq!(aliases, ["root", "leaf", "both", "both-2"]);
    assert!(bench.action(context, "deleteTrust", &[Some("nobody")]).is_err());
    bench.action(context, "deleteTrust", &[Some("ROOT")]).unwrap();
}

#[test]
fn public_authorities_are_imported_once() {
    let bench = Bench::new();
    let context = "System/SSLCommonSettings/Trusts/Defaults";
    assert!(bench.store.rows::<DefaultTrust>().is_empty());
    bench.action(context, "importJavaCATrust", &[]).unwrap();
    let count = bench.store.rows::<DefaultTrust>().len();
    assert!(count > 50);
    bench.action(context, "importJavaCATrust", &[]).unwrap();
    assert_eq!(bench.store.rows::<DefaultTrust>().len(), count);
    let declared = bench.store.registry().context(&format!("ADP_CLI/{context}")).unwrap();
    let snapshot = bench.store.current();
    let owners: Vec<String> = snapshot
        .rows_of(declared)
        .iter()
        .map(|row| declared.present.unwrap()(&snapshot, row)[1].1.clone())
        .collect();
    for wanted in ["Go Daddy Root Certificate Authority - G2", "IdenTrust Commercial Root CA 1"] {
        assert!(owners.iter().any(|owner| owner == wanted), "{wanted}");
    }
}

#[tokio::test]
async fn outgoing_connections_trust_the_anchors_of_the_settings() {
    let bench = Bench::new();
    let authority = bench.authority();
    bench.certify(&authority, &["127.0.0.9"], KeyType::Ec);
    let server = || bench.server(ClientAuth::None);
    let client = |usage| bench.tls.client_config(usage).unwrap();
    assert!(shake(server(), client(ClientUse::HTTP2), "127.0.0.9").await.is_err(), "nobody is trusted yet");
    bench
        .action(
            "System/SSLCommonSettings/Trusts/BroadWorks",
            "updateTrust",
            &[Some("lab"), Some(authority.certificate_pem()), None],
        )
        .unwrap();
    let (near, _) = shake(server(), client(ClientUse::HTTP2), "127.0.0.9").await.unwrap();
    assert_eq!(near.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(shake(server(), client(ClientUse::PLAIN), "other.lab.invalid").await.is_err());
    bench
        .commit(
            vec![Edit::Set {
                context: "ADP_CLI/System/SSLCommonSettings/GeneralSettings".to_owned(),
                key: Vec::new(),
                values: BTreeMap::from([("validatePeerIdentity".to_owned(), Some("false".to_owned()))]),
            }],
            false,
        )
        .unwrap();
    shake(server(), client(ClientUse::PLAIN), "other.lab.invalid").await.unwrap();
    assert!(shake(server(), client(ClientUse::PLAIN.strict()), "other.lab.invalid").await.is_err());
    // Without the name's check the chain is still checked.
    bench.action("System/SSLCommonSettings/Trusts/BroadWorks", "deleteTrust", &[Some("lab")]).unwrap();
    assert!(shake(server(), client(ClientUse::PLAIN), "127.0.0.9").await.is_err());
}

#[tokio::test]
async fn a_cti_interface_has_no_application_protocol() {
    let bench = Bench::new();
    let config = bench.tls.server_config(&cti(), ClientAuth::None, &[]).unwrap();
    assert!(config.alpn_protocols.is_empty());
    assert_eq!(bench.server(ClientAuth::None).alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

/// A client that is not ours: OpenSSL's, over a socket.
#[tokio::test]
async fn openssl_negotiates_the_listed_suite() {
    let bench = Bench::new();
    let authority = bench.authority();
    bench.commit(vec![own_protocol("TLSv1.2"), own_cipher(RSA_SUITE)], false).unwrap();
    bench.certify(&authority, &["127.0.0.1"], KeyType::Rsa);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(bench.server(ClientAuth::None));
    let serve = async {
        for wanted in [true, false] {
            let (stream, _) = listener.accept().await.unwrap();
            assert_eq!(acceptor.accept(stream).await.is_ok(), wanted);
        }
    };
    let connect = |openssl: &'static str| {
        let ca = authority.certificate_path().to_owned();
        async move {
            tokio::process::Command::new("openssl")
                .args(["s_client", "-tls1_2", "-brief", "-verify_return_error", "-cipher", openssl])
                .args(["-verify_ip", "127.0.0.1", "-CAfile"])
                .arg(ca)
                .args(["-connect", &format!("127.0.0.1:{port}")])
                .stdin(std::process::Stdio::null())
                .output()
                .await
                .unwrap()
        }
    };
    let clients = async {
        let good = connect("ECDHE-RSA-AES256-GCM-SHA384").await;
        let text = String::from_utf8_lossy(&good.stderr).into_owned();
        assert!(text.contains("Ciphersuite: ECDHE-RSA-AES256-GCM-SHA384"), "{text}");
        assert!(text.contains("Verification: OK"), "{text}");
        let bad = connect("ECDHE-RSA-AES128-GCM-SHA256").await;
        assert!(!bad.status.success());
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), async { tokio::join!(serve, clients) })
        .await
        .unwrap();
}

mod certificates;
mod clients;
mod inheritance;
