//! Which client certificates count: revocation lists, key usages and names; further names of interfaces, and certificates
//! that were asked for.

use crate::https_port;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Effects, Lab};
use std::path::{Path, PathBuf};
use std::process::Command;

const HTTP: &str = "ADP_CLI/Interface/Http";
const CTI: &str = "ADP_CLI/Interface/CTI";
const CERTIFICATES: &str = "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates";

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output()?;
    ensure!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Lists of the lab's authority: one in which its CTI client is revoked, and one in which nobody is, overdue for years.
fn revocation_lists(lab: &Lab, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    std::fs::write(folder.join("index.txt"), "")?;
    std::fs::write(folder.join("crlnumber"), "01\n")?;
    std::fs::write(
        folder.join("ca.cnf"),
        "[ca]\ndefault_ca = x\n[x]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n\
         default_crl_days = 30\ncrl_extensions = extensions\n[extensions]\nauthorityKeyIdentifier = keyid:always\n",
    )?;
    let authority = lab.data_dir.join("lab/certificates");
    let (certificate, key) = (authority.join("ca.crt"), authority.join("ca.key"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let signer = ["-config", "ca.cnf", "-keyfile", &key, "-cert", &certificate];
    let overdue = ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"];
    openssl(folder, &[&["ca", "-gencrl", "-out", "overdue.pem"], &signer[..], &overdue[..]].concat())?;
    let client = lab.description["cti"]["client_cert"].as_str().context("the client's certificate")?;
    openssl(folder, &[&["ca", "-revoke", client], &signer[..]].concat())?;
    openssl(folder, &[&["ca", "-gencrl", "-out", "revoked.pem"], &signer[..]].concat())?;
    Ok((folder.join("revoked.pem"), folder.join("overdue.pem")))
}

/// The rules of one kind of interface, seen by what becomes of the lab's CTI client there.
fn rules(
    effects: &mut Effects<'_>,
    kind: &str,
    (revoked, overdue): &(PathBuf, PathBuf),
    serves: impl Fn() -> Result<bool>,
) -> Result<()> {
    let below = |name: &str| format!("{kind}/SSLCommonSettings/ClientAuthentication/{name}");
    let (lists, settings) = (below("RevocationLists"), below("RevocationSettings"));
    effects.see(&settings, "requireList", "true", (true, false), &serves)?;
    effects.see_rows(
        &lists,
        &["alias"],
        (&format!("updateCrl lab {}", revoked.display()), "deleteCrl lab"),
        (true, false),
        &serves,
    )?;
    effects.run(&lists, &format!("updateCrl lab {} force true", overdue.display()))?;
    effects.see(&settings, "acceptOutdatedLists", "true", (false, true), &serves)?;
    effects.run(&lists, "deleteCrl lab")?;
    effects.see_rows(
        &below("Trusts"),
        &["requireBroadWorksEku"],
        ("set lab-authority requireBroadWorksEku true", "set lab-authority requireBroadWorksEku false"),
        (true, false),
        &serves,
    )
}

#[test]
fn rules_of_client_certificates() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/clients.rs::rules_of_client_certificates");
    let folder = tempfile::tempdir()?;
    let lists = revocation_lists(&lab, folder.path())?;
    let file = |name: &str| lab.description["cti"][name].as_str().unwrap_or_default().to_owned();
    let (certificate, key) = (file("client_cert"), file("client_key"));
    let web_apps = format!("{HTTP}/SSLCommonSettings/ClientAuthentication/WebApps");
    effects.run(&web_apps, &format!("add 127.0.0.1 {} AuthenticationService true", https_port(&lab)?))?;
    let ping = || -> Result<u16> {
        let curl = Curl::new(lab.ca()).args(["--cert", &certificate, "--key", &key]);
        Ok(curl.get(&format!("{}/ping", lab.text("auth_service"))).map_or(0, |answer| answer.status))
    };
    rules(&mut effects, HTTP, &lists, || Ok(ping()? == 204))?;
    effects.see_rows(
        &format!("{HTTP}/SSLCommonSettings/ClientAuthentication/AllowedClients"),
        &["commonName"],
        ("add somebody.else.invalid", "delete somebody.else.invalid"),
        (204, 403),
        ping,
    )?;
    let cti = lab.port_base() + 2;
    let answered = || -> Result<bool> {
        let script = format!(
            "printf 'what\\n\\n<' | openssl s_client -quiet -connect 127.0.0.1:{cti} -cert {certificate} -key {key} 2>/dev/null"
        );
        Ok(Command::new("sh").args(["-c", &script]).output()?.stdout.starts_with(b"<"))
    };
    rules(&mut effects, CTI, &lists, answered)?;
    effects.finish()
}

/// The alternative names of the certificate that a server shows to who asks for this name.
fn names(endpoint: &str, server: &str) -> Result<String> {
    let script = format!(
        "openssl s_client -connect {endpoint} -servername {server} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName 2>/dev/null"
    );
    let output = Command::new("sh").args(["-c", &script]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn further_names() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/clients.rs::further_names");
    let (aliases, port) = (format!("{HTTP}/HttpAlias"), lab.port_base() + 22);
    // A certificate that is made for an interface has the further names of its address.
    effects.with(&aliases, &["interfaceIp", "alias"], "add 127.0.0.5 further.lab.invalid", || {
        for last in [5, 6] {
            lab.administer(&[&format!(
                "{HTTP}/HttpServer> add 127.0.0.{last} {port} own.lab.invalid true false"
            )])?;
        }
        let shown = |last: u8| names(&format!("127.0.0.{last}:{port}"), "own.lab.invalid");
        ensure!(shown(5)?.contains("DNS:further.lab.invalid"), "{}", shown(5)?);
        ensure!(shown(6)?.contains("DNS:own.lab.invalid") && !shown(6)?.contains("further"), "{}", shown(6)?);
        Ok(())
    })?;
    let folder = tempfile::tempdir()?;
    openssl(
        folder.path(),
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=further.lab.invalid",
            "-addext",
            "subjectAltName=DNS:further.lab.invalid,DNS:only.lab.invalid",
            "-keyout",
            "own.key",
            "-out",
            "own.crt",
        ],
    )?;
    let (key, certificate) = (folder.path().join("own.key"), folder.path().join("own.crt"));
    let update = format!(
        "sslUpdate 127.0.0.5 further.lab.invalid keyFile {} certificateFile {}",
        key.display(),
        certificate.display()
    );
    effects.with(&format!("{aliases}/Certificates"), &["interfaceIp", "alias", "keyType"], &update, || {
        let shown = |name: &str| names(&format!("127.0.0.5:{port}"), name);
        // RSA is what clients of TLS 1.2 with a suite of RSA get; the other key type stays as it was.
        let script = format!(
            "openssl s_client -connect 127.0.0.5:{port} -servername further.lab.invalid -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName 2>/dev/null"
        );
        let by_rsa = Command::new("sh").args(["-c", &script]).output()?;
        let by_rsa = String::from_utf8(by_rsa.stdout)?;
        ensure!(by_rsa.contains("DNS:only.lab.invalid"), "{by_rsa}");
        ensure!(!shown("own.lab.invalid")?.contains("only.lab.invalid"), "{}", shown("own.lab.invalid")?);
        Ok(())
    })?;

    // A key that waits for its certificate.
    let requests = "ADP_CLI/System/SSLCommonSettings/CertificateRequests";
    let request = format!("sslRequest 127.0.0.6 {port} asked.lab.invalid keyType P-256");
    effects.by((CERTIFICATES, &request), requests, &["interface", "keyType", "commonName"], || {
        let listed = lab.administer(&[&format!("{requests}> get")])?;
        let row =
            listed.lines().find(|line| line.contains("asked.lab.invalid")).unwrap_or_default().to_owned();
        ensure!(row.contains("127.0.0.6") && row.contains("EC"), "{listed}");
        Ok(())
    })?;
    effects.finish()
}
