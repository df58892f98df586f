//! Client certificates: by interface, by application, by name; anchors and revocation lists that change while it runs.

use crate::{Authority, refused};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, CtiClient, Lab};
use std::path::{Path, PathBuf};
use std::process::Command;

const AUTHENTICATION: &str = "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication";

/// The status of a GET by curl, with a client certificate or without; none where no connection came about.
fn status(url: &str, lab: &Lab, identity: Option<&(PathBuf, PathBuf)>) -> Result<Option<u16>> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30", "--cacert"]).arg(lab.ca());
    if let Some((certificate, key)) = identity {
        curl.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    let output = curl.arg(url).output()?;
    let code: u16 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok((code != 0).then_some(code))
}

/// A lab with a second HTTPS interface that shows the lab's certificate.
struct Bed {
    lab: Lab,
    port: u16,
    alice: Account,
}

impl Bed {
    fn new(client_auth: bool) -> Result<Self> {
        let lab = Lab::start()?;
        let port = lab.port_base() + 20;
        let folder = lab.ca().parent().unwrap_or(Path::new("")).display().to_string();
        let alice = lab.subscriber(0);
        lab.administer(&[
            &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost true {client_auth}"),
            &format!(
                "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates> sslUpdate 127.0.0.1 {port} \
                 keyFile {folder}/server-rsa.key certificateFile {folder}/server-rsa.crt chainFile {folder}/ca.crt"
            ),
        ])?;
        Ok(Self { lab, port, alice })
    }
    fn run(&self, command: &str) -> Result<String> {
        self.lab.administer(&[&format!("{AUTHENTICATION}/{command}")])
    }
    /// The status at AuthenticationService: 401 where the certificate is no matter, since there are no credentials.
    fn auth_service(&self, identity: Option<&(PathBuf, PathBuf)>) -> Result<Option<u16>> {
        status(&format!("https://127.0.0.1:{}/authService/token?key=AAAA", self.port), &self.lab, identity)
    }
    /// The status at Xsi-Actions, likewise.
    fn xsi(&self, identity: Option<&(PathBuf, PathBuf)>) -> Result<Option<u16>> {
        let user = &self.alice.user_id;
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{user}/profile");
        status(&format!("https://127.0.0.1:{}{path}", self.port), &self.lab, identity)
    }
}

#[test]
fn an_application_may_want_certificates_where_its_interface_does_not() -> Result<()> {
    let bed = Bed::new(false)?;
    let authority = Authority::new("Cloud Root")?;
    let cloud = authority.issue("cloud.lab.invalid", "client", "rsa:2048", "9")?;
    let other = authority.issue("other.lab.invalid", "client", "p256", "9")?;
    ensure!(bed.auth_service(None)? == Some(401) && bed.xsi(None)? == Some(401));
    bed.run(&format!("Trusts> updateTrust cloud {}", authority.path("ca.crt").display()))?;
    bed.run(&format!("WebApps> add 127.0.0.1 {} AuthenticationService true", bed.port))?;
    ensure!(bed.auth_service(None)? == Some(403), "its paths are refused without");
    ensure!(bed.xsi(None)? == Some(401), "others do not notice");
    ensure!(bed.auth_service(Some(&cloud))? == Some(401), "with one, credentials are next");
    ensure!(bed.auth_service(Some(&other))? == Some(401));

    // Named clients alone.
    bed.run("AllowedClients> add CLOUD.lab.invalid")?;
    ensure!(bed.auth_service(Some(&cloud))? == Some(401));
    ensure!(bed.auth_service(Some(&other))? == Some(403), "it is not on the list");
    ensure!(bed.xsi(Some(&other))? == Some(401), "where none is wanted, none is judged");
    bed.run("AllowedClients> delete cloud.lab.invalid")?;

    // BroadWorks' key usage, for anchors that are told to demand it. A presented certificate that is not good ends the
    // handshake, wherever it was going.
    bed.run("Trusts> set cloud requireBroadWorksEku true")?;
    ensure!(bed.auth_service(Some(&cloud))?.is_none());
    let proxy = authority.issue("proxy.lab.invalid", "broadworks", "rsa:2048", "9")?;
    ensure!(bed.auth_service(Some(&proxy))? == Some(401));
    bed.run("Trusts> set cloud requireBroadWorksEku false")?;
    ensure!(bed.auth_service(Some(&cloud))? == Some(401));

    bed.run(&format!("WebApps> set 127.0.0.1 {} AuthenticationService clientAuthReq false", bed.port))?;
    ensure!(bed.auth_service(None)? == Some(401));
    Ok(())
}

#[test]
fn an_interface_may_want_certificates_of_all_but_an_application() -> Result<()> {
    let bed = Bed::new(true)?;
    let authority = Authority::new("Cloud Root")?;
    let cloud = authority.issue("cloud.lab.invalid", "client", "rsa:2048", "9")?;
    let stranger = Authority::new("Strange Root")?.issue("cloud.lab.invalid", "client", "rsa:2048", "9")?;
    ensure!(bed.xsi(None)?.is_none(), "no handshake without");
    ensure!(bed.xsi(Some(&cloud))?.is_none(), "nobody is trusted yet");
    bed.run(&format!("Trusts> updateTrust cloud {}", authority.path("ca.crt").display()))?;
    ensure!(bed.xsi(Some(&cloud))? == Some(401) && bed.auth_service(Some(&cloud))? == Some(401));
    ensure!(bed.xsi(Some(&stranger))?.is_none() && bed.xsi(None)?.is_none());

    // The application's own rule beats the interface's.
    bed.run(&format!("WebApps> add 127.0.0.1 {} AuthenticationService false", bed.port))?;
    ensure!(bed.auth_service(None)? == Some(401), "it is open");
    ensure!(bed.xsi(None)? == Some(403), "the others are not");
    ensure!(bed.xsi(Some(&cloud))? == Some(401));
    bed.run(&format!("WebApps> delete 127.0.0.1 {} AuthenticationService", bed.port))?;
    ensure!(bed.auth_service(None)?.is_none());

    // Revoked, from the next handshake on.
    let revoked = authority.issue("revoked.lab.invalid", "client", "rsa:2048", "9")?;
    ensure!(bed.xsi(Some(&revoked))? == Some(401));
    authority.openssl(&["ca", "-config", "ca.cnf", "-revoke", "revoked.lab.invalid-rsa2048.crt"])?;
    authority.openssl(&["ca", "-gencrl", "-config", "ca.cnf", "-out", "list.pem"])?;
    authority.openssl(&["crl", "-in", "list.pem", "-outform", "DER", "-out", "list.crl"])?;
    bed.run(&format!("RevocationLists> updateCrl cloud {}", authority.path("list.crl").display()))?;
    ensure!(bed.xsi(Some(&revoked))?.is_none(), "revoked");
    ensure!(bed.xsi(Some(&cloud))? == Some(401));
    let shown = bed.run("RevocationLists> get")?;
    ensure!(shown.contains("Cloud Root") && shown.contains("1 entry found."), "{shown}");
    bed.run("RevocationLists> deleteCrl cloud")?;
    ensure!(bed.xsi(Some(&revoked))? == Some(401));
    Ok(())
}

/// `get -l` has what tells one anchor from another of the same name, as another program reads it from the file.
fn more_of_an_anchor(bed: &Bed, authority: &Authority) -> Result<()> {
    let read = authority.openssl(&[
        "x509",
        "-in",
        "ca.crt",
        "-noout",
        "-serial",
        "-fingerprint",
        "-sha256",
        "-enddate",
        "-dateopt",
        "iso_8601",
    ])?;
    let of = |name: &str| {
        let line =
            read.lines().find_map(|line| line.to_lowercase().starts_with(name).then(|| line.split_once('=')));
        line.flatten()
            .map(|(_, value)| value.trim().to_owned())
            .with_context(|| format!("no {name} in {read}"))
    };
    let (serial, fingerprint, end) = (of("serial")?, of("sha256 fingerprint")?, of("notafter")?);
    let printed = bed.lab.adpcli_with(&["-o", "json"], &[&format!("{AUTHENTICATION}/Trusts> get -l")])?;
    let rows: serde_json::Value =
        serde_json::from_slice(&printed.stdout).with_context(|| format!("{printed:?}"))?;
    let text = rows.to_string();
    let day = end.split_whitespace().next().unwrap_or_default();
    ensure!(text.contains(&fingerprint), "{fingerprint}: {text}");
    ensure!(text.to_uppercase().contains(&spaced(&serial)), "{serial}: {text}");
    ensure!(
        text.contains("Not After") && text.contains(day.split('-').next().unwrap_or_default()),
        "{day}: {text}"
    );
    // For people: more than a terminal's width, so entry by entry there; the plain table stays as it is known.
    let table = bed.run("Trusts> get -l")?;
    ensure!(
        table.contains(&fingerprint) && table.contains("SHA-256") && table.contains("3 entries found."),
        "{table}"
    );
    ensure!(!bed.run("Trusts> get")?.contains("SHA-256"));
    // Where there is no more to show, that is said.
    let told = bed.lab.adpcli(&["ADP_CLI/Interface/Http/HttpServer> get -l"])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    ensure!(told.status.code() == Some(2) && text.contains("-l is not possible"), "{text}");
    Ok(())
}

/// A serial number with colons between its bytes.
fn spaced(hexadecimal: &str) -> String {
    let bytes: Vec<&str> =
        (0..hexadecimal.len()).step_by(2).filter_map(|at| hexadecimal.get(at..at + 2)).collect();
    bytes.join(":").to_uppercase()
}

#[test]
fn anchors_come_from_files_with_several_and_only_good_ones() -> Result<()> {
    let bed = Bed::new(false)?;
    let authority = Authority::new("Lab Root CA")?;
    let second = Authority::new("Other Root CA")?;
    let both = authority.path("both.pem");
    let read = |authority: &Authority| std::fs::read_to_string(authority.path("ca.crt"));
    std::fs::write(&both, format!("{}{}", read(&authority)?, read(&second)?))?;
    bed.run(&format!("Trusts> updateTrust webexclientroot2023 {}", both.display()))?;
    let shown = bed.run("Trusts> get")?;
    // Runs of blanks count as one.
    let rows: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in [
        "webexclientroot2023 Lab Root CA Lab Root CA[self-signed]",
        "webexclientroot2023-2 Other Root CA Other Root CA[self-signed]",
    ] {
        ensure!(rows.iter().any(|shown| shown == row), "{row}: {shown}");
    }
    more_of_an_anchor(&bed, &authority)?;

    let leaf = authority.issue("leaf.lab.invalid", "client", "rsa:2048", "9")?;
    let told = refused(&bed.lab, &format!("{AUTHENTICATION}/Trusts> updateTrust leaf {}", leaf.0.display()))?;
    ensure!(told.contains("'leaf.lab.invalid' is not the certificate of an authority"), "{told}");
    authority.openssl(&[
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "old.key",
        "-out",
        "old.csr",
        "-subj",
        "/CN=Old Root",
    ])?;
    std::fs::write(authority.path("x.cnf"), "basicConstraints=critical,CA:TRUE\n")?;
    authority.openssl(&[
        "ca",
        "-batch",
        "-config",
        "ca.cnf",
        "-selfsign",
        "-keyfile",
        "old.key",
        "-in",
        "old.csr",
        "-out",
        "old.crt",
        "-notext",
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20210101000000Z",
        "-extfile",
        "x.cnf",
    ])?;
    let old = authority.path("old.crt").display().to_string();
    let told = refused(&bed.lab, &format!("{AUTHENTICATION}/Trusts> updateTrust old {old}"))?;
    ensure!(told.contains("'Old Root' expired on"), "{told}");
    bed.run(&format!("Trusts> updateTrust old {old} force true"))?;
    ensure!(bed.run("Trusts> get")?.contains("Old Root[self-signed]"));
    Ok(())
}

#[test]
fn cti_follows_its_own_lists() -> Result<()> {
    let lab = Lab::start()?;
    let authority = Authority::new("Cloud Root")?;
    let client = authority.issue("cti.lab.invalid", "client", "rsa:2048", "9")?;
    let speaks = || {
        let at = format!("127.0.0.1:{}", lab.description["cti"]["tls_port"]);
        CtiClient::connect(&at, lab.ca(), Some((&client.0, &client.1)))
            .and_then(|mut client| {
                let payload = "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>t</channelSetId></Channel>";
                client.request("AddChannelRequest", "POST", "/com.broadsoft.xsi-events/v2.0/channel", "", payload)
            })
            .is_ok_and(|answer| answer.contains("<statusCode>200</statusCode>"))
    };
    ensure!(!speaks(), "another authority's");
    let cti = "ADP_CLI/Interface/CTI/SSLCommonSettings/ClientAuthentication";
    lab.administer(&[&format!("{cti}/Trusts> updateTrust cloud {}", authority.path("ca.crt").display())])?;
    ensure!(speaks());
    authority.openssl(&["ca", "-config", "ca.cnf", "-revoke", "cti.lab.invalid-rsa2048.crt"])?;
    authority.openssl(&["ca", "-gencrl", "-config", "ca.cnf", "-out", "list.pem"])?;
    lab.administer(&[&format!(
        "{cti}/RevocationLists> updateCrl cloud {}",
        authority.path("list.pem").display()
    )])?;
    ensure!(!speaks(), "revoked");
    lab.administer(&[&format!("{cti}/RevocationLists> deleteCrl cloud")])?;
    ensure!(speaks());
    // What the certificate is worth is for allowClientApp and ClientIdentity to say.
    lab.administer(&["AS_CLI/System/ClientIdentity> delete cti.lab.invalid"])?;
    ensure!(!speaks(), "not listed");
    lab.administer(&["AS_CLI/System/ClientIdentity> add cti.lab.invalid"])?;
    ensure!(speaks());
    lab.administer(&[
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CertificateAuthentication> set allowClientApp false",
    ])?;
    ensure!(!speaks(), "not allowed");
    Ok(())
}
