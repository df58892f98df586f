//! Keys and certificates in every form that operators bring, made by OpenSSL.

use super::*;
use openadp_settings::Tree;
use std::path::Path;
use std::process::{Command, Stdio};

const CERTIFICATES: &str = "Interface/Http/HttpServer/SSLSettings/Certificates";

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A file as the CLI hands it over.
fn file(dir: &Path, name: &str) -> String {
    text_of(std::fs::read(dir.join(name)).unwrap())
}

/// A root, an issuing authority below it and a server's certificate for `xsp.lab.invalid` and 127.0.0.9.
fn chain(dir: &Path, key: &str) {
    std::fs::write(
        dir.join("leaf.cnf"),
        "subjectAltName=DNS:xsp.lab.invalid,IP:127.0.0.9\nextendedKeyUsage=serverAuth\n",
    )
    .unwrap();
    std::fs::write(dir.join("ca.cnf"), "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n")
        .unwrap();
    let p256 = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(dir, &format!("req -x509 {p256} -keyout root.key -out root.crt -days 30 -subj /CN=Root"));
    openssl(dir, &format!("req {p256} -keyout sub.key -out sub.csr -subj /CN=Sub"));
    openssl(
        dir,
        "x509 -req -in sub.csr -CA root.crt -CAkey root.key -CAcreateserial -out sub.crt -days 30 -extfile ca.cnf",
    );
    openssl(
        dir,
        &format!("req -newkey {key} -nodes -keyout leaf.key -out leaf.csr -subj /CN=xsp.lab.invalid"),
    );
    openssl(
        dir,
        "x509 -req -in leaf.csr -CA sub.crt -CAkey sub.key -CAcreateserial -out leaf.crt -days 20 -extfile leaf.cnf",
    );
}

fn update(
    bench: &Bench,
    key: Option<&str>,
    certificate: Option<&str>,
    chain: Option<&str>,
    password: Option<&str>,
) -> Result<Vec<String>, Problems> {
    bench.action(
        CERTIFICATES,
        "sslUpdate",
        &[Some("127.0.0.9"), Some("443"), key, certificate, chain, password],
    )
}

/// A client that trusts the root alone, so that the chain must be presented.
fn root_client(dir: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::certificates(&file(dir, "root.crt")).unwrap());
    let builder = ClientConfig::builder_with_provider(suites::provider());
    Arc::new(
        builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn said(result: Result<Vec<String>, Problems>, part: &str) {
    let problems = result.unwrap_err();
    let text = format!("{problems} {:?}", problems.0.iter().map(|problem| &problem.hint).collect::<Vec<_>>());
    assert!(text.contains(part), "{text}");
    assert!(!text.contains("PRIVATE"), "{text}");
}

#[tokio::test]
async fn every_form_of_key_and_chain_is_taken_and_presented() {
    for (kind, key_type) in [
        ("rsa:2048", "RSA"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "EC"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "EC"),
        ("ed25519", "Ed25519"),
    ] {
        let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
        let dir = dir.path();
        chain(dir, kind);
        openssl(dir, "pkcs8 -topk8 -in leaf.key -out encrypted.key -passout pass:secret-1");
        openssl(dir, "pkcs8 -topk8 -in leaf.key -outform DER -out encrypted.der -passout pass:secret-1");
        openssl(dir, "pkey -in leaf.key -outform DER -out leaf.der");
        openssl(dir, "x509 -in leaf.crt -outform DER -out leaf.cer");
        let mut keys = vec![("leaf.key", None), ("leaf.der", None)];
        keys.extend([("encrypted.key", Some("secret-1")), ("encrypted.der", Some("secret-1"))]);
        if key_type != "Ed25519" {
            // PKCS#1 and SEC 1.
            openssl(dir, "pkey -traditional -in leaf.key -out traditional.key");
            keys.push(("traditional.key", None));
        }
        for (key, password) in keys {
            let key = file(dir, key);
            update(&bench, Some(&key), Some(&file(dir, "leaf.cer")), Some(&file(dir, "sub.crt")), password)
                .unwrap();
            bench.action(CERTIFICATES, "sslSelfSigned", &[Some("127.0.0.9"), Some("443")]).unwrap();
        }
        // Everything in one file, the chain in a wrong order.
        let all = ["sub.crt", "leaf.key", "leaf.crt"].map(|name| file(dir, name)).concat();
        update(&bench, Some(&all), None, None, None).unwrap();
        let rows = bench.store.rows::<HttpServerCertificate>();
        assert_eq!(rows.iter().map(|row| row.key_type.as_str()).collect::<Vec<_>>(), [key_type]);
        assert!(rows[0].key.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
        shake(bench.server(ClientAuth::None), root_client(dir), "xsp.lab.invalid").await.unwrap();
    }
}

#[tokio::test]
async fn pkcs12_of_today_and_of_old_is_taken() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    chain(dir, "rsa:2048");
    let export = "pkcs12 -export -inkey leaf.key -in leaf.crt -certfile sub.crt -passout pass:secret-1";
    openssl(dir, &format!("{export} -out new.p12"));
    openssl(dir, &format!("{export} -out old.p12 -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1"));
    for name in ["new.p12", "old.p12"] {
        let archive = file(dir, name);
        assert!(archive.starts_with("-----BEGIN FILE-----"), "it is no text");
        said(update(&bench, Some(&archive), None, None, None), "password PASSWORD");
        said(update(&bench, Some(&archive), None, None, Some("wrong")), "does not open");
        update(&bench, Some(&archive), None, None, Some("secret-1")).unwrap();
        shake(bench.server(ClientAuth::None), root_client(dir), "xsp.lab.invalid").await.unwrap();
        bench.action(CERTIFICATES, "sslSelfSigned", &[Some("127.0.0.9"), Some("443")]).unwrap();
    }
}

#[test]
fn what_does_not_belong_together_or_is_weak_is_refused_with_the_reason() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    chain(dir, "rsa:2048");
    let (key, leaf, sub, root) =
        (file(dir, "leaf.key"), file(dir, "leaf.crt"), file(dir, "sub.crt"), file(dir, "root.crt"));
    openssl(dir, "pkcs8 -topk8 -in leaf.key -out encrypted.key -passout pass:secret-1");
    let encrypted = file(dir, "encrypted.key");
    said(update(&bench, Some(&encrypted), Some(&leaf), None, None), "password PASSWORD");
    said(update(&bench, Some(&encrypted), Some(&leaf), None, Some("secret-2")), "does not open");
    openssl(dir, "rsa -traditional -aes256 -in leaf.key -out legacy.key -passout pass:secret-1");
    said(
        update(&bench, Some(&file(dir, "legacy.key")), Some(&leaf), None, Some("secret-1")),
        "openssl pkcs8 -topk8",
    );
    said(update(&bench, Some(&file(dir, "sub.key")), Some(&leaf), None, None), "does not belong");
    // A link is missing: the root did not issue the leaf.
    said(update(&bench, Some(&key), Some(&leaf), Some(&root), None), "not whole");
    update(&bench, Some(&key), Some(&leaf), Some(&format!("{root}{sub}")), None).unwrap();
    let told = update(&bench, Some(&key), Some(&leaf), None, None).unwrap();
    assert_eq!(told, ["no chain was given: clients must know 'Sub' themselves"]);
    said(update(&bench, Some(&key), None, None, None), "is needed");
    said(update(&bench, None, Some(&leaf), None, None), "no key that waits");
    said(update(&bench, Some("\u{0}junk"), Some(&leaf), None, None), "no private key");
    let junk = text_of(vec![0xff; 300]);
    said(update(&bench, Some(&junk), Some(&leaf), None, None), "no certificate and no private key");

    for weak in ["rsa:1024", "ec -pkeyopt ec_paramgen_curve:secp521r1"] {
        openssl(
            dir,
            &format!("req -x509 -newkey {weak} -nodes -keyout w.key -out w.crt -days 9 -subj /CN=weak"),
        );
        said(
            update(&bench, Some(&file(dir, "w.key")), Some(&file(dir, "w.crt")), None, None),
            "cannot be used",
        );
    }
    let shown = bench.action(CERTIFICATES, "sslShow", &[Some("127.0.0.9"), Some("443")]).unwrap().join("\n");
    assert!(shown.contains("key = RSA, 2048 bits") && shown.contains("names = xsp.lab.invalid"), "{shown}");
}

#[test]
fn the_names_must_fit_unless_forced() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    chain(dir, "rsa:2048");
    update(&bench, Some(&file(dir, "leaf.key")), Some(&file(dir, "leaf.crt")), None, None).unwrap();
    let snapshot = bench.store.current();
    let problems = |interface: InterfaceRef, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        check_interface(&snapshot, &interface, &names)
    };
    assert!(problems(interface(), &["XSP.lab.invalid"]).is_empty());
    assert!(problems(interface(), &["other.lab.invalid"]).is_empty(), "it has the address");
    assert!(problems(interface(), &[]).is_empty(), "nothing to compare with");

    // An alias is a name and nothing else.
    let aliases = "Interface/Http/HttpAlias/Certificates";
    let give = |alias: &str, force: bool| {
        let words: Vec<Option<String>> = [
            Some("127.0.0.9"),
            Some(alias),
            Some(&file(dir, "leaf.key")),
            Some(&file(dir, "leaf.crt")),
            None,
            None,
        ]
        .map(|word| word.map(str::to_owned))
        .to_vec();
        let author = Author("test".into());
        bench.store.run_action(
            &format!("{}/{aliases}", Tree::Adp.root()),
            "sslUpdate",
            &words,
            &author,
            force,
            now(),
        )
    };
    let refused = give("other.lab.invalid", false).unwrap_err();
    assert!(refused.to_string().contains("not for other.lab.invalid"), "{refused}");
    assert!(refused.0.iter().all(|problem| problem.forceable));
    give("other.lab.invalid", true).unwrap();
    give("xsp.lab.invalid", false).unwrap();
}

#[tokio::test]
async fn a_request_waits_for_its_certificate() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    chain(dir, "rsa:2048");
    for kind in ["RSA-2048", "P-256", "P-384", "Ed25519"] {
        let words = [
            Some("127.0.0.9"),
            Some("443"),
            Some("new.lab.invalid"),
            Some(kind),
            Some("more.lab.invalid, 127.0.0.9"),
            Some("Lab"),
            None,
            None,
            None,
            Some("DE"),
        ];
        let lines = bench.action(CERTIFICATES, "sslRequest", &words).unwrap();
        let end = lines.iter().position(|line| line.contains("END CERTIFICATE REQUEST")).unwrap();
        std::fs::write(dir.join("new.csr"), format!("{}\n", lines[..=end].join("\n"))).unwrap();
        let saved = lines.iter().find_map(|line| line.strip_prefix("written to ")).unwrap();
        assert_eq!(std::fs::read(saved).unwrap(), std::fs::read(dir.join("new.csr")).unwrap());
        openssl(dir, "req -in new.csr -verify -noout");
        openssl(
            dir,
            "x509 -req -in new.csr -CA sub.crt -CAkey sub.key -CAcreateserial -out new.crt -days 9 -copy_extensions copy",
        );
        assert_eq!(bench.store.rows::<CertificateRequest>().len(), 1);
        let other = update(&bench, None, Some(&file(dir, "leaf.crt")), None, None);
        said(other, "no key that waits");
        update(&bench, None, Some(&file(dir, "new.crt")), Some(&file(dir, "sub.crt")), None).unwrap();
        assert!(bench.store.rows::<CertificateRequest>().is_empty(), "used up");
        for name in ["new.lab.invalid", "more.lab.invalid", "127.0.0.9"] {
            shake(bench.server(ClientAuth::None), root_client(dir), name).await.unwrap();
        }
    }
    let bad = [Some("127.0.0.9"), Some("443"), Some("x"), None, Some("not a name")];
    said(bench.action(CERTIFICATES, "sslRequest", &bad), "neither a host name nor an address");
}

#[test]
fn an_export_holds_the_key_only_under_a_passphrase() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    chain(dir, "ec -pkeyopt ec_paramgen_curve:P-256");
    update(
        &bench,
        Some(&file(dir, "leaf.key")),
        Some(&file(dir, "leaf.crt")),
        Some(&file(dir, "sub.crt")),
        None,
    )
    .unwrap();
    let export = |words: &[Option<&str>]| {
        let words: Vec<Option<&str>> =
            [Some("127.0.0.9"), Some("443")].iter().chain(words).copied().collect();
        bench.action(CERTIFICATES, "sslExport", &words)
    };
    let plain = export(&[Some("/var/broadworks/tmp/plain.pem")]).unwrap();
    assert_eq!(plain, [bench.dir.path().join("tmp/plain.pem").display().to_string()]);
    let text = std::fs::read_to_string(&plain[0]).unwrap();
    assert_eq!(pem::certificates(&text).unwrap().len(), 2);
    assert!(!text.contains("PRIVATE"));
    said(export(&[Some("all.pem"), None, Some("true")]), "8 characters");
    let all = export(&[Some("all.pem"), None, Some("true"), Some("passphrase")]).unwrap();
    openssl(dir, &format!("pkey -in {} -passin pass:passphrase -out back.key", all[0]));
    let key = |name: &str| material::key_pem(&pem::private_key(&file(dir, name)).unwrap()).unwrap();
    assert_eq!(*key("back.key"), *key("leaf.key"));
    // What was exported can be taken back.
    update(&bench, Some(&text_of(std::fs::read(&all[0]).unwrap())), None, None, Some("passphrase")).unwrap();
    for bad in ["../x", "/etc/x", "", ".hidden", "a/b"] {
        assert!(export(&[Some(bad)]).is_err(), "{bad}");
    }
    said(export(&[Some("x.pem"), Some("RSA")]), "no such configured");
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let bench = Bench::new();
    let authority = bench.authority();
    bench.certify(&authority, &["xsp.lab.invalid"], KeyType::Rsa);
    bench.certify(&authority, &["xsp.lab.invalid"], KeyType::Ec);
    for (alias, key_type) in [("one.lab.invalid", KeyType::Ec), ("two.lab.invalid", KeyType::Rsa)] {
        let issued = authority.issue_server(&[alias], key_type).unwrap();
        let words =
            [Some("127.0.0.9"), Some(alias), Some(issued.key_pem.as_str()), Some(&issued.certificate_pem)];
        bench.action("Interface/Http/HttpAlias/Certificates", "sslUpdate", &words).unwrap();
    }
    let server = bench.server(ClientAuth::None);
    for name in ["one.lab.invalid", "two.lab.invalid", "xsp.lab.invalid"] {
        // The client checks the name.
        let (near, _) = shake(server.clone(), client(&authority, None), name).await.unwrap();
        let own = near.get_ref().1.peer_certificates().unwrap();
        assert_eq!(PeerIdentity::from_certificate(&own[0]).unwrap().common_name.as_deref(), Some(name));
    }
    assert!(shake(server, client(&authority, None), "three.lab.invalid").await.is_err());
    // Not on another address, and not on CTI.
    let elsewhere = InterfaceRef::http("127.0.0.10".parse().unwrap(), 443);
    let config = bench.tls.server_config(&elsewhere, ClientAuth::None, &[]).unwrap();
    assert!(shake(config, client(&authority, None), "one.lab.invalid").await.is_err());
}

#[test]
fn generated_certificates_follow_the_names_of_the_interface() {
    let bench = Bench::new();
    let path = bench.dir.path().join("tls/http-127.0.0.9-443-ec.crt");
    let made = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        bench.tls.server_config(&interface(), ClientAuth::None, &names).unwrap();
        std::fs::read_to_string(&path).unwrap()
    };
    let first = made(&["xsp.lab.invalid"]);
    assert_eq!(made(&["XSP.lab.invalid"]), first);
    let second = made(&["xsp.lab.invalid", "alias.lab.invalid"]);
    assert_ne!(second, first);
    assert_eq!(made(&["xsp.lab.invalid"]), second, "one name less is no reason");
}

#[test]
fn ends_are_told_by_their_thresholds_and_cleared() {
    let (bench, dir) = (Bench::new(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    chain(dir, "rsa:2048");
    update(&bench, Some(&file(dir, "leaf.key")), Some(&file(dir, "leaf.crt")), None, None).unwrap();
    let end = expiries(&bench.store.current())[0].not_after;
    let mut watch = ExpiryWatch::default();
    let mut look = |days_before: f64| {
        let now = end - time::Duration::seconds_f64(days_before * 86400.0);
        let changes = watch.look(&bench.store.current(), now);
        changes
            .iter()
            .map(|change| match change {
                ExpiryChange::Reached { days, .. } => *days,
                ExpiryChange::Cleared { .. } => -1,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(look(30.5), Vec::<i64>::new());
    assert_eq!(look(29.9), [30]);
    assert_eq!(look(20.0), [30], "for as long as it holds");
    assert_eq!(look(14.0), [14]);
    assert_eq!(look(6.0), [7]);
    assert_eq!(look(0.9), [1]);
    assert_eq!(look(-0.1), [0]);
    let told = expiry_warnings(&bench.store.current(), end - time::Duration::days(3));
    assert_eq!(
        told,
        [format!(
            "the certificate 'xsp.lab.invalid' of ADP_CLI/{CERTIFICATES} 127.0.0.9 443 RSA expires in 3 days"
        )]
    );
    assert!(expiry_warnings(&bench.store.current(), end - time::Duration::days(31)).is_empty());
    bench.action(CERTIFICATES, "sslSelfSigned", &[Some("127.0.0.9"), Some("443")]).unwrap();
    assert_eq!(look(0.0), [-1]);
    assert_eq!(look(0.0), Vec::<i64>::new());
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
        let _either = material::read(&text_of(bytes), Some("x"));
    }

    #[test]
    fn no_damage_to_pkcs12_makes_it_panic(position in 0usize..2000, value in proptest::prelude::any::<u8>()) {
        static ARCHIVE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let dir = tempfile::tempdir().unwrap();
            chain(dir.path(), "ec -pkeyopt ec_paramgen_curve:P-256");
            openssl(dir.path(), "pkcs12 -export -inkey leaf.key -in leaf.crt -passout pass:x -out a.p12");
            std::fs::read(dir.path().join("a.p12")).unwrap()
        });
        let mut archive = ARCHIVE.clone();
        let position = position % archive.len();
        archive[position] = value;
        let _either = material::read(&text_of(archive), Some("x"));
    }
}
