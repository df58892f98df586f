//! Client certificates: anchors, policies, revocation, resumption.

use super::*;
use std::path::Path;
use std::process::{Command, Stdio};

const AUTHENTICATION: &str = "Interface/Http/SSLCommonSettings/ClientAuthentication";

/// An authority of OpenSSL's, which can also revoke.
struct OpenSsl(TempDir);

impl OpenSsl {
    fn new() -> Self {
        Self::named("Clients")
    }
    fn named(name: &str) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.write("index.txt", "");
        this.write("serial", "1001\n");
        this.write("number", "01\n");
        this.write(
            "ca.cnf",
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\ncrlnumber=number\nnew_certs_dir=.\n\
             default_md=sha256\npolicy=p\nunique_subject=no\ncertificate=ca.crt\nprivate_key=ca.key\ndefault_days=30\n\
             [p]\ncommonName=supplied\n[client]\nextendedKeyUsage=clientAuth\n\
             [broadworks]\nextendedKeyUsage=clientAuth,1.3.6.1.4.1.6431.1.1.8.2.1.3\n",
        );
        this.run(&format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 60 -subj /CN={name}"));
        this
    }
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn run(&self, arguments: &str) {
        let output = Command::new("openssl")
            .current_dir(self.path())
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fn read(&self, name: &str) -> String {
        text_of(std::fs::read(self.path().join(name)).unwrap())
    }
    fn issue(&self, name: &str, extensions: &str) -> authority::IssuedCertificate {
        self.run(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        self.run(&format!(
            "ca -batch -config ca.cnf -in {name}.csr -out {name}.crt -notext -extensions {extensions}"
        ));
        authority::IssuedCertificate {
            certificate_pem: self.read(&format!("{name}.crt")),
            chain_pem: String::new(),
            key_pem: self.read(&format!("{name}.key")).into(),
        }
    }
    /// A list that is good for so many seconds.
    fn list(&self, seconds: u32) -> String {
        self.run(&format!("ca -gencrl -config ca.cnf -crlsec {seconds} -out list.pem"));
        self.read("list.pem")
    }
}

fn act(bench: &Bench, context: &str, name: &str, words: &[&str]) -> Result<Vec<String>, Problems> {
    let words: Vec<Option<&str>> = words.iter().map(|word| Some(*word)).collect();
    bench.action(&format!("{AUTHENTICATION}/{context}"), name, &words)
}

fn set(bench: &Bench, context: &str, name: &str, value: &str) {
    let edit = Edit::Set {
        context: format!("ADP_CLI/{AUTHENTICATION}/{context}"),
        key: Vec::new(),
        values: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]),
    };
    bench.commit(vec![edit], false).unwrap();
}

/// A bench whose HTTP interface has a certificate of its authority.
fn bench() -> (Bench, LabAuthority) {
    let bench = Bench::new();
    let authority = bench.authority();
    bench.certify(&authority, &["127.0.0.9"], KeyType::Ec);
    (bench, authority)
}

async fn taken(bench: &Bench, config: &Arc<ClientConfig>) -> bool {
    shake(bench.server(ClientAuth::Required), config.clone(), "127.0.0.9").await.is_ok()
}

#[tokio::test]
async fn an_anchor_may_demand_broadworks_key_usage() {
    let (bench, servers) = bench();
    let (internal, webex) = (OpenSsl::new(), OpenSsl::new());
    act(&bench, "Trusts", "updateTrust", &["internal", &internal.read("ca.crt")]).unwrap();
    let ours =
        |authority: &OpenSsl, name, extensions| client(&servers, Some(&authority.issue(name, extensions)));
    let (plain, marked) = (ours(&internal, "plain", "client"), ours(&internal, "marked", "broadworks"));
    assert!(taken(&bench, &plain).await && taken(&bench, &marked).await);

    act(&bench, "Trusts", "set", &["internal", "true"]).unwrap();
    assert!(!taken(&bench, &plain).await);
    assert!(taken(&bench, &marked).await);
    // The other anchor does not ask for it.
    act(&bench, "Trusts", "updateTrust", &["webex", &webex.read("ca.crt")]).unwrap();
    assert!(taken(&bench, &ours(&webex, "cloud", "client")).await);
    assert!(!taken(&bench, &plain).await);
    assert!(taken(&bench, &marked).await);
    act(&bench, "Trusts", "set", &["internal", "false"]).unwrap();
    assert!(taken(&bench, &plain).await);
    assert!(act(&bench, "Trusts", "set", &["nobody", "true"]).is_err());
}

#[tokio::test]
async fn revocation_lists_count_from_the_next_handshake() {
    let (bench, servers) = bench();
    let (authority, other) = (OpenSsl::new(), OpenSsl::named("Others"));
    act(&bench, "Trusts", "updateTrust", &["one", &authority.read("ca.crt")]).unwrap();
    act(&bench, "Trusts", "updateTrust", &["two", &other.read("ca.crt")]).unwrap();
    let good = client(&servers, Some(&authority.issue("good", "client")));
    let bad = client(&servers, Some(&authority.issue("bad", "client")));
    let foreign = client(&servers, Some(&other.issue("foreign", "client")));
    assert!(taken(&bench, &bad).await);
    assert!(taken(&bench, &bad).await, "and could be resumed");

    authority.run("ca -config ca.cnf -revoke bad.crt");
    act(&bench, "RevocationLists", "updateCrl", &["one", &authority.list(86_400)]).unwrap();
    assert!(!taken(&bench, &bad).await, "not even by resumption");
    assert!(taken(&bench, &good).await);
    assert!(taken(&bench, &foreign).await, "its authority has no list");
    // Somebody else's list has nothing to say about it.
    act(&bench, "RevocationLists", "updateCrl", &["two", &other.list(86_400)]).unwrap();
    assert!(taken(&bench, &foreign).await);
    act(&bench, "RevocationLists", "deleteCrl", &["two"]).unwrap();
    set(&bench, "RevocationSettings", "requireList", "true");
    assert!(!taken(&bench, &foreign).await, "a list is required");
    assert!(taken(&bench, &good).await);
    set(&bench, "RevocationSettings", "requireList", "false");

    // DER is taken too, and the table tells what is in it.
    authority.run("crl -in list.pem -outform DER -out list.der");
    act(&bench, "RevocationLists", "updateCrl", &["one", &authority.read("list.der")]).unwrap();
    let declared =
        bench.store.registry().context(&format!("ADP_CLI/{AUTHENTICATION}/RevocationLists")).unwrap();
    let snapshot = bench.store.current();
    let shown = declared.present.unwrap()(&snapshot, &snapshot.rows_of(declared)[0]);
    assert_eq!(shown[1].1, "Clients");
    assert_eq!(shown[4], ("Revoked", "1".to_owned()));

    act(&bench, "RevocationLists", "deleteCrl", &["one"]).unwrap();
    assert!(taken(&bench, &bad).await);
    // No list at all is no list of its authority either.
    set(&bench, "RevocationSettings", "requireList", "true");
    for (who, config) in [("bad", &bad), ("good", &good), ("foreign", &foreign)] {
        assert!(!taken(&bench, config).await, "{who}: a list is required and there is none");
    }
    set(&bench, "RevocationSettings", "requireList", "false");
    assert!(taken(&bench, &good).await);
    assert!(act(&bench, "RevocationLists", "deleteCrl", &["one"]).is_err());
    assert!(act(&bench, "RevocationLists", "updateCrl", &["x", &authority.read("ca.crt")]).is_err());
}

#[tokio::test]
async fn an_overdue_list_fails_closed_unless_told_otherwise() {
    let (bench, servers) = bench();
    let authority = OpenSsl::new();
    act(&bench, "Trusts", "updateTrust", &["one", &authority.read("ca.crt")]).unwrap();
    let good = client(&servers, Some(&authority.issue("good", "client")));
    authority.run("ca -gencrl -config ca.cnf -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out list.pem");
    let overdue = authority.read("list.pem");
    let refused = act(&bench, "RevocationLists", "updateCrl", &["one", &overdue]).unwrap_err();
    assert!(refused.to_string().contains("next update was due"), "{refused}");
    act(&bench, "RevocationLists", "updateCrl", &["one", &overdue, "true"]).unwrap();
    assert!(!taken(&bench, &good).await);
    // And the operator hears of it, for as long as it lasts.
    let mut watch = ExpiryWatch::default();
    let due = OffsetDateTime::from_unix_timestamp(1_580_515_200).unwrap();
    let told = |changes: Vec<ExpiryChange>| {
        changes
            .into_iter()
            .map(|change| match change {
                ExpiryChange::Overdue(list) => (list.issuer, list.due, list.fails_closed),
                ExpiryChange::Updated { key, .. } => (key, due, false),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(watch.look(&bench.store.current(), due)), [], "not yet");
    assert_eq!(told(watch.look(&bench.store.current(), now())), [("Clients".to_owned(), due, true)]);
    let lines = expiry_warnings(&bench.store.current(), now());
    assert!(lines[0].contains("'Clients'") && lines[0].ends_with("are refused"), "{lines:?}");
    set(&bench, "RevocationSettings", "acceptOutdatedLists", "true");
    assert!(taken(&bench, &good).await);
    let lines = expiry_warnings(&bench.store.current(), now());
    assert!(lines[0].ends_with("it is used on"), "{lines:?}");
    assert_eq!(told(watch.look(&bench.store.current(), now())), [("Clients".to_owned(), due, false)]);
    act(&bench, "RevocationLists", "updateCrl", &["one", &authority.list(86_400)]).unwrap();
    assert_eq!(told(watch.look(&bench.store.current(), now())), [("one".to_owned(), due, false)]);
    assert_eq!(expiry_warnings(&bench.store.current(), now()), Vec::<String>::new());
}

/// A session from before a change of suites, anchors or client rules is not resumed; certificates are no such change, but
/// end sessions too.
#[tokio::test]
async fn no_session_is_resumed_over_a_change_of_who_is_trusted() {
    type Change<'a> = (&'a str, &'a dyn Fn(&Bench));
    let authority = OpenSsl::new();
    let more = OpenSsl::new();
    let anchor = more.read("ca.crt");
    let list = authority.list(86_400);
    let changes: [Change<'_>; 5] = [
        ("anchors", &|bench| drop(act(bench, "Trusts", "updateTrust", &["more", &anchor]).unwrap())),
        ("policy", &|bench| drop(act(bench, "Trusts", "set", &["one", "true"]).unwrap())),
        ("revocation", &|bench| drop(act(bench, "RevocationLists", "updateCrl", &["one", &list]).unwrap())),
        ("rules", &|bench| set(bench, "RevocationSettings", "acceptOutdatedLists", "true")),
        ("suites", &|bench| bench.commit(vec![own_cipher(EC_SUITE), own_cipher(RSA_SUITE)], false).unwrap()),
    ];
    for version in ["TLSv1.2", "TLSv1.3"] {
        for (what, change) in changes {
            let (bench, servers) = bench();
            bench.commit(vec![own_protocol(version)], false).unwrap();
            act(&bench, "Trusts", "updateTrust", &["one", &authority.read("ca.crt")]).unwrap();
            let config = client(&servers, Some(&authority.issue("someone", "broadworks")));
            let mut kinds = Vec::new();
            for step in 0..4 {
                if step == 2 {
                    change(&bench);
                }
                let ends =
                    shake(bench.server(ClientAuth::Required), config.clone(), "127.0.0.9").await.unwrap();
                kinds.push(ends.0.get_ref().1.handshake_kind().unwrap() == HandshakeKind::Resumed);
            }
            assert_eq!(kinds, [false, true, false, true], "{version} {what}");
        }
        // From optional to required, and back: another configuration with sessions of its own.
        let (bench, servers) = bench();
        bench.commit(vec![own_protocol(version)], false).unwrap();
        act(&bench, "Trusts", "updateTrust", &["one", &authority.read("ca.crt")]).unwrap();
        let without = client(&servers, None);
        for _ in 0..2 {
            shake(bench.server(ClientAuth::Optional), without.clone(), "127.0.0.9").await.unwrap();
        }
        assert!(!taken(&bench, &without).await, "{version}: an old session opens nothing");
    }
}
