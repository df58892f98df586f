//! The four levels of protocols and ciphers, for HTTP and CTI: after every change, what OpenSSL and sslyze find is compared
//! with what `get -e` says.

use crate::{refused, s_client};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Lab, python, repository};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every suite that this build knows how to negotiate, and two that it does not: IANA's name, OpenSSL's, the version.
const SUITES: [(&str, &str, &str); 11] = [
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "TLSv1.3"),
    ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", "TLSv1.3"),
    ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3"),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2"),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256", "TLSv1.2"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2"),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "TLSv1.2"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "TLSv1.2"),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256", "TLSv1.2"),
];

const SYSTEM: &str = "System/SSLCommonSettings/JSSE";
const TRANSPORT: &str = "System/SSLCommonSettings/OpenSSL";

/// What happens, the commands, and where ciphers and protocols of HTTP and of CTI then come from.
type Step<'a> = (&'a str, Vec<String>, [&'a str; 2], [&'a str; 2]);

/// Suites by version.
type Offered = BTreeMap<String, BTreeSet<String>>;

/// One interface under test.
struct Interface {
    /// `Interface/Http/SSLCommonSettings`, as the column From names it.
    common: &'static str,
    /// `Interface/Http/HttpServer/SSLSettings`.
    own: &'static str,
    /// The words that name it in its own tables.
    keys: String,
    port: u16,
}

impl Interface {
    /// Name, Negotiable and From of every line of an effective list.
    fn effective(&self, lab: &Lab, list: &str) -> Result<Vec<(String, bool, String)>> {
        let printed = lab.administer(&[&format!("ADP_CLI/{}/{list}> get -e {}", self.own, self.keys)])?;
        let rows = printed
            .lines()
            .skip_while(|line| !line.starts_with("==="))
            .skip(1)
            .take_while(|line| !line.trim().is_empty())
            .map(|line| {
                let mut cells = line.trim().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
                let mut next = || cells.next().map(str::to_owned).context("a cell is missing");
                Ok((next()?, next()? == "true", next()?))
            })
            .collect::<Result<Vec<_>>>()?;
        ensure!(printed.contains(&format!("{} entries found.", rows.len())) || rows.len() == 1, "{printed}");
        Ok(rows)
    }

    /// What the CLI says is offered, and where ciphers and protocols come from.
    fn said(&self, lab: &Lab) -> Result<(Offered, String, String)> {
        let ciphers = self.effective(lab, "Ciphers")?;
        let protocols = self.effective(lab, "Protocols")?;
        let mut offered = Offered::new();
        for (suite, negotiable, _) in &ciphers {
            if *negotiable {
                let version = if suite.contains("_WITH_") { "TLSv1.2" } else { "TLSv1.3" };
                offered.entry(version.to_owned()).or_default().insert(suite.clone());
            }
        }
        for (version, negotiable, _) in &protocols {
            ensure!(*negotiable || !offered.contains_key(version), "{version} is not negotiable");
        }
        let from = |rows: &[(String, bool, String)]| {
            rows.first().map(|(_, _, from)| from.clone()).context("nothing is in force")
        };
        Ok((offered, from(&ciphers)?, from(&protocols)?))
    }

    /// What OpenSSL negotiates, one suite at a time.
    fn shaken(&self, lab: &Lab) -> Result<Offered> {
        let mut offered = Offered::new();
        for (name, openssl, version) in SUITES {
            let options = match version {
                "TLSv1.3" => ["-tls1_3", "-ciphersuites", openssl],
                _ => ["-tls1_2", "-cipher", openssl],
            };
            let output = s_client(lab, self.port, &options)?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains(&format!("{version}, Cipher is {openssl}")) {
                ensure!(text.contains("Verify return code: 0"), "{text}");
                offered.entry(version.to_owned()).or_default().insert(name.to_owned());
            }
        }
        Ok(offered)
    }
}

/// What sslyze finds at each port; versions without a suite are left out.
fn scanned(ports: &[u16]) -> Result<BTreeMap<u16, Offered>> {
    let output = Command::new(python()?)
        .arg(repository().join("tests/clients/scan_tls.py"))
        .args(ports.iter().map(|port| format!("127.0.0.1:{port}")))
        .output()?;
    ensure!(output.status.success(), "scan_tls.py: {}", String::from_utf8_lossy(&output.stderr));
    let found: BTreeMap<String, Offered> = serde_json::from_slice(&output.stdout)?;
    found
        .into_iter()
        .map(|(at, mut offered)| {
            offered.retain(|_, suites| !suites.is_empty());
            Ok((at.rsplit(':').next().unwrap_or_default().parse()?, offered))
        })
        .collect()
}

/// A lab with a CTI interface that asks for no client certificate, and its HTTP and CTI interfaces.
fn lab() -> Result<(Lab, Interface, Interface)> {
    let lab = Lab::start()?;
    let (https, cti) = (lab.port_base(), lab.port_base() + 20);
    lab.administer(&[&format!("ADP_CLI/Interface/CTI/CTIServer> add 127.0.0.1 {cti} true true false")])?;
    let http = Interface {
        common: "Interface/Http/SSLCommonSettings",
        own: "Interface/Http/HttpServer/SSLSettings",
        keys: format!("127.0.0.1 {https}"),
        port: https,
    };
    let cti = Interface {
        common: "Interface/CTI/SSLCommonSettings",
        own: "Interface/CTI/CTIServer/SSLSettings",
        keys: "127.0.0.1".to_owned(),
        port: cti,
    };
    Ok((lab, http, cti))
}

#[test]
fn what_is_offered_is_what_the_cli_says_at_every_level() -> Result<()> {
    let (lab, http, cti) = lab()?;
    let (hc, ho, cc, co) = (http.common, http.own, cti.common, cti.own);
    let (hk, ck) = (http.keys.as_str(), cti.keys.as_str());
    let steps: Vec<Step<'_>> = vec![
        ("a fresh installation", vec![], [SYSTEM, SYSTEM], [SYSTEM, SYSTEM]),
        (
            "one more suite of the system",
            vec![format!("{SYSTEM}/Ciphers> add TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")],
            [SYSTEM, SYSTEM],
            [SYSTEM, SYSTEM],
        ),
        (
            "one protocol of the system less",
            vec![format!("{SYSTEM}/Protocols> delete TLSv1.3")],
            [SYSTEM, SYSTEM],
            [SYSTEM, SYSTEM],
        ),
        (
            "suites of the transport; protocols stay the system's",
            vec![
                format!("{TRANSPORT}/Ciphers> add TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
                format!("{TRANSPORT}/Ciphers> add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
                format!("{TRANSPORT}/Ciphers> add TLS_RSA_WITH_AES_128_GCM_SHA256"),
            ],
            [TRANSPORT, SYSTEM],
            [TRANSPORT, SYSTEM],
        ),
        (
            "protocols of the transport, two of them too old for this build",
            vec![
                format!("{TRANSPORT}/Protocols> add TLSv1.3"),
                format!("{TRANSPORT}/Protocols> add TLSv1.1"),
                format!("{TRANSPORT}/Protocols> add TLSv1"),
            ],
            [TRANSPORT, TRANSPORT],
            [TRANSPORT, TRANSPORT],
        ),
        (
            "all HTTP interfaces: suites; all CTI interfaces: protocols",
            vec![
                format!("{hc}/Ciphers> add TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"),
                format!("{hc}/Ciphers> add TLS_CHACHA20_POLY1305_SHA256"),
                format!("{cc}/Protocols> add TLSv1.2"),
            ],
            [hc, TRANSPORT],
            [TRANSPORT, cc],
        ),
        (
            "the other way round",
            vec![
                format!("{hc}/Protocols> add TLSv1.2"),
                format!("{cc}/Ciphers> add TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"),
            ],
            [hc, hc],
            [cc, cc],
        ),
        (
            "one interface: its own suites; protocols are inherited",
            vec![
                format!("{ho}/Ciphers> add {hk} TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
                format!("{ho}/Ciphers> add {hk} TLS_AES_256_GCM_SHA384"),
                format!("{co}/Ciphers> add {ck} TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            ],
            [ho, hc],
            [co, cc],
        ),
        (
            "one interface: its own protocols too",
            vec![format!("{ho}/Protocols> add {hk} TLSv1.3"), format!("{co}/Protocols> add {ck} TLSv1.3")],
            [ho, ho],
            [co, co],
        ),
        (
            "the narrowest suites are gone, its protocols stay",
            vec![
                format!("{ho}/Ciphers> delete {hk} TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
                format!("{ho}/Ciphers> delete {hk} TLS_AES_256_GCM_SHA384"),
                format!("{co}/Ciphers> delete {ck} TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            ],
            [hc, ho],
            [cc, co],
        ),
    ];
    let mut offers = BTreeSet::new();
    for (what, commands, from_http, from_cti) in steps {
        let commands: Vec<String> = commands.iter().map(|command| format!("ADP_CLI/{command}")).collect();
        if !commands.is_empty() {
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            lab.administer(&commands).context(what)?;
        }
        let found = scanned(&[http.port, cti.port]).context(what)?;
        for (interface, from) in [(&http, from_http), (&cti, from_cti)] {
            let (offered, ciphers, protocols) = interface.said(&lab).context(what)?;
            let who = format!("{what}: {}", interface.own);
            ensure!([ciphers.as_str(), &protocols] == from, "{who}: from {ciphers} and {protocols}");
            ensure!(!offered.is_empty(), "{who}: nothing is offered");
            ensure!(
                found.get(&interface.port) == Some(&offered),
                "{who}: the CLI says {offered:?}, sslyze {found:?}"
            );
            let shaken = interface.shaken(&lab)?;
            ensure!(shaken == offered, "{who}: the CLI says {offered:?}, OpenSSL {shaken:?}");
            offers.insert(format!("{offered:?}"));
        }
    }
    ensure!(offers.len() >= 9, "the steps should differ: {offers:#?}");

    // The plain tables show a level's own rows, and say where the rest comes from.
    let printed = lab.administer(&[
        &format!("ADP_CLI/{ho}/Ciphers> get {hk}"),
        &format!("ADP_CLI/{ho}/Protocols> get {hk}"),
    ])?;
    ensure!(printed.contains("0 entry found."), "{printed}");
    ensure!(printed.contains(&format!("inherited from {hc}: 2 entries; get -e shows them")), "{printed}");
    ensure!(printed.contains("1 entry found.") && printed.matches("inherited").count() == 1, "{printed}");
    Ok(())
}

#[test]
fn a_change_that_ends_all_handshakes_is_refused_unless_forced() -> Result<()> {
    let (lab, http, cti) = lab()?;
    for (interface, kind) in [(&http, "Http"), (&cti, "CTI")] {
        let (own, keys) = (interface.own, interface.keys.as_str());
        let protocols = format!("ADP_CLI/{own}/Protocols>");
        let ciphers = format!("ADP_CLI/{own}/Ciphers>");
        let shakes = || Ok::<_, anyhow::Error>(!interface.shaken(&lab)?.is_empty());

        let old = format!("{protocols} add {keys} TLSv1.1");
        let told = refused(&lab, &old)?;
        ensure!(told.contains("without a protocol that can be negotiated"), "{told}");
        ensure!(told.contains("add TLSv1.2 or TLSv1.3") && told.contains("--force"), "{told}");
        ensure!(told.contains(&format!("interface {kind} 127.0.0.1")), "{told}");
        ensure!(shakes()?, "a refused change does nothing");

        let forced = lab.administer(&[&format!("{old} --force")])?;
        ensure!(forced.contains("...Done"), "{forced}");
        ensure!(!shakes()?, "TLSv1.1 is not spoken");
        ensure!(scan_fails(interface.port)?, "sslyze finds a server that speaks");
        let rows = interface.effective(&lab, "Protocols")?;
        ensure!(rows.iter().all(|(_, negotiable, _)| !negotiable), "{rows:?}");
        let rows = interface.effective(&lab, "Ciphers")?;
        ensure!(rows.iter().all(|(_, negotiable, _)| !negotiable), "{rows:?}");
        // What helps is taken without force, and helps at once.
        lab.administer(&[&format!("{protocols} add {keys} TLSv1.2")])?;
        ensure!(shakes()?, "TLSv1.2 is spoken again");

        let useless = format!("{ciphers} add {keys} TLS_DHE_RSA_WITH_AES_128_GCM_SHA256");
        let told = refused(&lab, &useless)?;
        ensure!(told.contains("without a cipher suite that can be negotiated"), "{told}");
        lab.administer(&[&format!("{useless} --force")])?;
        ensure!(!shakes()?, "no suite is left");
        lab.administer(&[&format!("{ciphers} delete {keys} TLS_DHE_RSA_WITH_AES_128_GCM_SHA256")])?;
        ensure!(shakes()?, "the list is inherited again");

        let told = refused(&lab, &format!("{ciphers} add {keys} ECDHE-RSA-AES128-GCM-SHA256"))?;
        ensure!(told.contains("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "{told}");
        ensure!(told.contains("OpenSSL"), "{told}");
        lab.administer(&[
            &format!("{ciphers} add {keys} TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"),
            &format!("{ciphers} get {keys}"),
        ])
        .and_then(|printed| {
            ensure!(printed.contains("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"), "{printed}");
            Ok(())
        })?;
    }
    // The common levels: nobody would be left with anything.
    let told = refused(&lab, &format!("ADP_CLI/{TRANSPORT}/Protocols> add TLSv1"))?;
    ensure!(told.contains("without lists of its own"), "{told}");
    Ok(())
}

/// Whether sslyze cannot even connect.
fn scan_fails(port: u16) -> Result<bool> {
    let output = Command::new(python()?)
        .arg(repository().join("tests/clients/scan_tls.py"))
        .arg(format!("127.0.0.1:{port}"))
        .output()?;
    Ok(!output.status.success())
}
