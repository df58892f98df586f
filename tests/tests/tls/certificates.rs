//! Certificates: brought, requested, chosen by name and by client, changed under open connections, told before they end.

use crate::{Authority, refused};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Lab, Running, Screen, binary, python, repository};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CERTIFICATES: &str = "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates>";

/// What `openssl s_client` tells of a handshake with these options, trusting only the authority.
fn handshake(authority: &Authority, port: u16, options: &[&str]) -> Result<String> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"])
        .arg(authority.path("ca.crt"))
        .args(options)
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Adds an HTTPS interface for the test.
fn interface(lab: &Lab) -> Result<u16> {
    let port = lab.port_base() + 20;
    lab.administer(&[&format!(
        "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} xsp.lab.invalid true false"
    )])?;
    Ok(port)
}

#[test]
fn what_an_operator_brings_is_presented_at_once() -> Result<()> {
    let lab = Lab::start()?;
    let port = interface(&lab)?;
    let authority = Authority::new("Test Root")?;
    let (certificate, key) = authority.issue("xsp.lab.invalid", "server", "rsa:2048", "90")?;
    let name = ["-verify_hostname", "xsp.lab.invalid", "-servername", "xsp.lab.invalid"];
    let good = |options: &[&str]| {
        let options: Vec<&str> = name.iter().chain(options).copied().collect();
        let text = handshake(&authority, port, &options)?;
        Ok::<_, anyhow::Error>((text.contains("Verify return code: 0"), text))
    };
    // At first it signs for itself, with its names.
    let (ok, text) = good(&[])?;
    ensure!(!ok && text.contains("self-signed"), "{text}");

    // An encrypted key with its password, PKCS#12, and a password in a file, which no process list shows.
    authority.openssl(&[
        "pkcs8",
        "-topk8",
        "-in",
        &key.display().to_string(),
        "-out",
        "encrypted.key",
        "-passout",
        "pass:secret-1",
    ])?;
    authority.openssl(&[
        "pkcs12",
        "-export",
        "-inkey",
        &key.display().to_string(),
        "-in",
        &certificate.display().to_string(),
        "-out",
        "all.p12",
        "-passout",
        "pass:secret-1",
    ])?;
    let at = |name: &str| authority.path(name).display().to_string();
    let (encrypted, archive) = (at("encrypted.key"), at("all.p12"));
    let certificate = certificate.display().to_string();
    let told = refused(
        &lab,
        &format!(
            "{CERTIFICATES} sslUpdate 127.0.0.1 {port} keyFile {encrypted} certificateFile {certificate}"
        ),
    )?;
    ensure!(told.contains("the private key is encrypted") && told.contains("password"), "{told}");
    for command in [
        format!(
            "sslUpdate 127.0.0.1 {port} keyFile {encrypted} certificateFile {certificate} password secret-1"
        ),
        format!("sslUpdate 127.0.0.1 {port} keyFile {archive} password secret-1"),
    ] {
        lab.administer(&[&format!("{CERTIFICATES} sslSelfSigned 127.0.0.1 {port}")])?;
        ensure!(!good(&[])?.0, "the former certificate is gone");
        let printed = lab.administer(&[&format!("{CERTIFICATES} {command}")])?;
        ensure!(printed.contains("...Done") && !printed.contains("secret-1"), "{printed}");
        let (ok, text) = good(&[])?;
        ensure!(ok, "{text}");
    }
    // The names must fit the interface.
    let (other, other_key) = authority.issue("other.lab.invalid", "server", "rsa:2048", "90")?;
    let command = format!(
        "{CERTIFICATES} sslUpdate 127.0.0.1 {port} keyFile {} certificateFile {}",
        other_key.display(),
        other.display()
    );
    let told = refused(&lab, &command)?;
    ensure!(told.contains("other.lab.invalid") && told.contains("is known as xsp.lab.invalid"), "{told}");
    ensure!(told.contains("--force"), "{told}");
    ensure!(good(&[])?.0, "a refused change does nothing");

    // Beside it one for ECDSA; the client decides.
    let request = lab.administer(&[&format!(
        "{CERTIFICATES} sslRequest 127.0.0.1 {port} xsp.lab.invalid keyType P-256"
    )])?;
    let saved =
        request.lines().find_map(|line| line.trim().strip_prefix("written to ")).context("no file")?;
    let signed = authority.sign(Path::new(saved), "requested", "server", "90")?;
    lab.administer(&[&format!(
        "{CERTIFICATES} sslUpdate 127.0.0.1 {port} certificateFile {}",
        signed.display()
    )])?;
    for (cipher, type_name) in
        [("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA")]
    {
        let (ok, text) = good(&["-tls1_2", "-cipher", cipher])?;
        ensure!(ok && text.contains(&format!("Peer signature type: {type_name}")), "{type_name}: {text}");
    }
    for (algorithm, type_name) in [("rsa_pss_rsae_sha256", "RSA-PSS"), ("ecdsa_secp256r1_sha256", "ECDSA")] {
        let (ok, text) = good(&["-tls1_3", "-sigalgs", algorithm])?;
        ensure!(ok && text.contains(&format!("Peer signature type: {type_name}")), "{type_name}: {text}");
    }
    let shown = lab.administer(&[
        &format!("{CERTIFICATES} sslShow 127.0.0.1 {port}"),
        &format!("{CERTIFICATES} get 127.0.0.1 {port}"),
    ])?;
    ensure!(shown.contains("key = EC, P-256") && shown.contains("key = RSA, 2048 bits"), "{shown}");
    ensure!(shown.contains("2 entries found."), "{shown}");
    Ok(())
}

#[test]
fn further_names_have_their_own_certificates() -> Result<()> {
    let lab = Lab::start()?;
    let port = interface(&lab)?;
    let authority = Authority::new("Test Root")?;
    let mut commands = Vec::new();
    for name in ["xsp.lab.invalid", "one.lab.invalid", "two.lab.invalid"] {
        let (certificate, key) = authority.issue(name, "server", "p256", "90")?;
        let files = format!("keyFile {} certificateFile {}", key.display(), certificate.display());
        if name.starts_with("xsp") {
            commands.push(format!("{CERTIFICATES} sslUpdate 127.0.0.1 {port} {files}"));
        } else {
            commands.push(format!("ADP_CLI/Interface/Http/HttpAlias> add 127.0.0.1 {name}"));
            commands.push(format!(
                "ADP_CLI/Interface/Http/HttpAlias/Certificates> sslUpdate 127.0.0.1 {name} {files}"
            ));
        }
    }
    lab.administer(&commands.iter().map(String::as_str).collect::<Vec<_>>())?;
    for name in ["xsp.lab.invalid", "one.lab.invalid", "two.lab.invalid"] {
        let text = handshake(&authority, port, &["-servername", name, "-verify_hostname", name])?;
        ensure!(text.contains("Verify return code: 0") && text.contains(&format!("CN = {name}")), "{text}");
    }
    // Whoever asks for no name, or another, gets the interface's own.
    for options in [&["-noservername"][..], &["-servername", "three.lab.invalid"]] {
        let text = handshake(&authority, port, options)?;
        ensure!(text.contains("subject=CN = xsp.lab.invalid"), "{text}");
    }
    // Without a certificate of its own, a further name stands in the one that the interface makes for itself.
    lab.administer(&[
        "ADP_CLI/Interface/Http/HttpAlias> add 127.0.0.1 three.lab.invalid",
        &format!("{CERTIFICATES} sslSelfSigned 127.0.0.1 {port}"),
    ])?;
    let text =
        handshake(&authority, port, &["-servername", "xsp.lab.invalid", "-sigalgs", "rsa_pss_rsae_sha256"])?;
    ensure!(text.contains("self-signed"), "{text}");
    let shown = lab.administer(&[&format!("{CERTIFICATES} sslShow 127.0.0.1 {port}")])?;
    ensure!(shown.contains("three.lab.invalid"), "{shown}");
    Ok(())
}

/// Whatever an operator changes of what a self-signed certificate is made from is in the next handshake.
#[test]
fn self_signed_certificates_follow_the_interface_and_are_made_anew_when_told() -> Result<()> {
    let lab = Lab::start()?;
    let port = interface(&lab)?;
    let presented = || -> Result<(String, String)> {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .output()?;
        let mut x509 = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-ext", "subjectAltName"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        x509.stdin.take().context("openssl's input")?.write_all(&output.stdout)?;
        let told = String::from_utf8(x509.wait_with_output()?.stdout)?;
        let (fingerprint, names) =
            told.split_once('\n').with_context(|| format!("no certificate: {told}"))?;
        Ok((fingerprint.to_owned(), names.to_owned()))
    };
    let (first, names) = presented()?;
    ensure!(names.contains("DNS:xsp.lab.invalid"), "{names}");
    let server = "ADP_CLI/Interface/Http/HttpServer>";
    lab.administer(&[&format!(
        "{server} set 127.0.0.1 {port} name other.lab.invalid clusterFqdn farm.lab.invalid"
    )])?;
    let (second, names) = presented()?;
    ensure!(second != first && !names.contains("xsp.lab.invalid"), "{names}");
    ensure!(names.contains("DNS:other.lab.invalid") && names.contains("DNS:farm.lab.invalid"), "{names}");
    lab.administer(&[&format!("{CERTIFICATES} sslSelfSigned 127.0.0.1 {port}")])?;
    let (third, same) = presented()?;
    ensure!(third != second && same == names, "it was not made anew: {third} {same}");
    ensure!(presented()?.0 == third, "once");
    Ok(())
}

/// A certificate for what is not there is kept, and the operator is told: mostly it is a slip.
#[test]
fn a_certificate_without_an_interface_is_remarked() -> Result<()> {
    let lab = Lab::seed()?;
    let authority = Authority::new("Test Root")?;
    let (certificate, key) = authority.issue("xsp.lab.invalid", "server", "p256", "90")?;
    let files = format!("keyFile {} certificateFile {}", key.display(), certificate.display());
    let port = lab.port_base() + 20;
    for (line, told) in [
        (
            format!("{CERTIFICATES} sslUpdate 127.0.0.1 {port} {files}"),
            format!("there is no HTTP interface 127.0.0.1 {port} yet"),
        ),
        (
            format!("ADP_CLI/Interface/CTI/CTIServer/SSLSettings/Certificates> sslUpdate 127.0.0.77 {files}"),
            "there is no CTI interface 127.0.0.77 yet".to_owned(),
        ),
        (
            format!(
                "ADP_CLI/Interface/Http/HttpAlias/Certificates> sslUpdate 127.0.0.1 xsp.lab.invalid {files}"
            ),
            "127.0.0.1 has no further name xsp.lab.invalid yet".to_owned(),
        ),
    ] {
        let printed = lab.administer(&[&line])?;
        ensure!(printed.contains("...Done [") && printed.contains(&told), "{line}: {printed}");
    }
    // With the interface there is nothing to remark.
    interface(&lab)?;
    let printed = lab.administer(&[&format!("{CERTIFICATES} sslUpdate 127.0.0.1 {port} {files}")])?;
    ensure!(!printed.contains("yet"), "{printed}");
    Ok(())
}

/// One request by `openssl s_client`, since the tickets of TLS 1.3 come after the handshake; what it tells of it.
fn talk(lab: &Lab, port: u16, options: &[&str]) -> Result<String> {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-ign_eof", "-CAfile"])
        .arg(lab.ca())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // Where no handshake comes about, nobody reads it.
    let mut input = child.stdin.take().context("no input")?;
    drop(input.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    drop(input);
    Ok(String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned())
}

#[test]
fn sessions_resume_until_something_changes() -> Result<()> {
    let lab = Lab::start()?;
    let port = lab.port_base();
    let folder = tempfile::tempdir()?;
    let session = folder.path().join("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let talk = |options: [&str; 2]| talk(&lab, port, &[version, options[0], options[1]]);
        let first = talk(["-sess_out", &session])?;
        ensure!(first.contains("New, TLSv1"), "{first}");
        let second = talk(["-sess_in", &session])?;
        ensure!(second.contains("Reused, TLSv1"), "{version}: {second}");
        lab.administer(&[
            "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers> add TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ])?;
        let third = talk(["-sess_in", &session])?;
        ensure!(third.contains("New, TLSv1"), "{version}: {third}");
        lab.administer(&[
            "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers> delete TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ])?;
    }
    Ok(())
}

/// A session is as good as the certificate that it began with: whoever would not be let in anew is not let in by it.
#[test]
fn a_session_opens_nothing_that_its_certificate_no_longer_does() -> Result<()> {
    let lab = Lab::start()?;
    let port = lab.port_base() + 20;
    let own = lab.ca().parent().context("no folder")?.display().to_string();
    let authentication = "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication";
    let authority = Authority::new("Cloud Root")?;
    let (certificate, key) = authority.issue("cloud.lab.invalid", "client", "rsa:2048", "9")?;
    let anchor = authority.path("ca.crt").display().to_string();
    let trust = format!("{authentication}/Trusts> updateTrust cloud {anchor}");
    lab.administer(&[
        &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost true true"),
        &format!(
            "{CERTIFICATES} sslUpdate 127.0.0.1 {port} keyFile {own}/server-rsa.key certificateFile \
             {own}/server-rsa.crt chainFile {own}/ca.crt"
        ),
        &trust,
    ])?;
    authority.openssl(&["ca", "-config", "ca.cnf", "-revoke", "cloud.lab.invalid-rsa2048.crt"])?;
    authority.openssl(&["ca", "-gencrl", "-config", "ca.cnf", "-out", "list.pem"])?;
    let list = authority.path("list.pem").display().to_string();
    // Anchors, revocation, rules: each change, and the way back.
    let changes = [
        (format!("{authentication}/Trusts> deleteTrust cloud"), trust.clone()),
        (
            format!("{authentication}/RevocationLists> updateCrl cloud {list}"),
            format!("{authentication}/RevocationLists> deleteCrl cloud"),
        ),
        (
            format!("{authentication}/Trusts> set cloud requireBroadWorksEku true"),
            format!("{authentication}/Trusts> set cloud requireBroadWorksEku false"),
        ),
    ];
    let session = authority.path("session").display().to_string();
    let identity =
        ["-cert", &certificate.display().to_string(), "-key", &key.display().to_string()].map(str::to_owned);
    for version in ["-tls1_2", "-tls1_3"] {
        let talk = |options: [&str; 2], with: bool| {
            let mut all = vec![version, options[0], options[1]];
            all.extend(identity.iter().filter(|_| with).map(String::as_str));
            talk(&lab, port, &all)
        };
        for (change, back) in &changes {
            let first = talk(["-sess_out", &session], true)?;
            ensure!(first.contains("New, TLSv1") && first.contains("HTTP/1.1 404"), "{first}");
            let second = talk(["-sess_in", &session], true)?;
            ensure!(second.contains("Reused, TLSv1") && second.contains("HTTP/1.1 404"), "{second}");
            lab.administer(&[change])?;
            for with in [true, false] {
                let third = talk(["-sess_in", &session], with)?;
                ensure!(!third.contains("HTTP/1.1") && !third.contains("Reused"), "{change}: {third}");
            }
            lab.administer(&[back])?;
        }
    }
    Ok(())
}

#[test]
fn five_hundred_open_connections_outlive_a_hundred_swaps() -> Result<()> {
    const CONNECTIONS: usize = 500;
    const SWAPS: usize = 100;
    let lab = Lab::start()?;
    let port = lab.port_base();
    let mut client = Command::new(python()?)
        .arg(repository().join("tests/clients/hold_connections.py"))
        .args(["127.0.0.1", &port.to_string(), &CONNECTIONS.to_string()])
        .arg(lab.ca())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut tell = client.stdin.take().context("no input")?;
    let mut hear = BufReader::new(client.stdout.take().context("no output")?).lines();
    let mut next = || hear.next().context("the client ended")?.context("reading from the client");
    ensure!(next()? == format!("open {CONNECTIONS}"), "not all were opened");

    let authority = Authority::new("Test Root")?;
    let pairs: Vec<(PathBuf, PathBuf)> = ["rsa:2048", "rsa:3072"]
        .iter()
        .map(|key| authority.issue("localhost", "server", key, "90"))
        .collect::<Result<_>>()?;
    let swaps: Vec<String> = (0..SWAPS)
        .map(|swap| {
            let (certificate, key) = &pairs[swap % 2];
            format!(
                "{CERTIFICATES} sslUpdate 127.0.0.1 {port} keyFile {} certificateFile {}",
                key.display(),
                certificate.display()
            )
        })
        .collect();
    for part in swaps.chunks(SWAPS / 4) {
        let printed = lab.administer(&part.iter().map(String::as_str).collect::<Vec<_>>())?;
        ensure!(printed.matches("...Done").count() == part.len(), "{printed}");
        writeln!(tell, "use")?;
        let answered = next()?;
        ensure!(answered == format!("answered {CONNECTIONS}"), "{answered}");
    }
    // Newcomers get the last one.
    let text = handshake(&authority, port, &["-tls1_2", "-cipher", "aRSA"])?;
    ensure!(
        text.contains("Verify return code: 0") && text.contains("Server public key is 3072 bit"),
        "{text}"
    );
    drop(tell);
    ensure!(client.wait()?.success());
    Ok(())
}

#[test]
fn an_end_that_comes_near_raises_an_alarm() -> Result<()> {
    let lab = Lab::start()?;
    let port = interface(&lab)?;
    let authority = Authority::new("Test Root")?;
    let running = lab.process.as_ref().context("the lab runs")?;
    let steps = [("25", "Warning"), ("10", "Minor"), ("5", "Major"), ("1", "Critical")];
    for (days, severity) in steps {
        let (certificate, key) = authority.issue("xsp.lab.invalid", "server", "p256", days)?;
        lab.administer(&[&format!(
            "{CERTIFICATES} sslUpdate 127.0.0.1 {port} keyFile {} certificateFile {}",
            key.display(),
            certificate.display()
        )])?;
        // Both processes of the lab tell it.
        let line = running.wait_for(&format!("alarm=\"certificateExpires\" severity=\"{severity}\""))?;
        ensure!(line.contains("'xsp.lab.invalid' ends on 20"), "{line}");
    }
    let listed = lab.administer(&["ADP_CLI/Monitoring/Alarm/AlarmsTable> list"])?;
    ensure!(listed.contains("certificateExpires"), "{listed}");
    // Whoever signs in is told first of all.
    let mut command = Command::new(binary("adpcli"));
    command.arg("--data-dir").arg(&lab.data_dir).env("TERM", "dumb");
    let mut screen = Screen::start(command)?;
    let shown = screen.prompt()?;
    let shown = shown.replace("\r\n", "\n");
    let told = format!(
        "Warning: the certificate 'xsp.lab.invalid' of ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates 127.0.0.1 {port} EC expires "
    );
    // In the very second of its issue a whole day is left.
    ensure!(
        ["within a day\n", "in 1 day\n"].iter().any(|end| shown.contains(&format!("{told}{end}"))),
        "{shown}"
    );
    // A process of its own counts it down.
    let metrics = lab.port_base() + 21;
    let mut command = Command::new(binary("adp"));
    command.args(["run", "--application", "authservice", "--interface"]);
    command.arg(format!("127.0.0.1:{}", lab.port_base() + 22));
    command.args(["--metrics", &format!("127.0.0.1:{metrics}"), "--data-dir"]).arg(&lab.data_dir);
    let node = Running::start(command)?;
    node.wait_for_all(&["certificateExpires", "ready"])?;
    let value = || -> Result<f64> {
        let answer =
            Curl::new(lab.ca()).get(&format!("http://127.0.0.1:{metrics}/metrics"))?.expect_status(200)?;
        answer
            .body
            .lines()
            .find(|line| {
                line.starts_with("tls_certificate_not_after_timestamp_seconds{")
                    && line.contains(&format!("key=\"127.0.0.1 {port} EC\""))
            })
            .and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .with_context(|| format!("no metric: {}", answer.body))
    };
    let now = std::time::UNIX_EPOCH.elapsed()?.as_secs_f64();
    let left = value()? - now;
    ensure!((80_000.0..87_000.0).contains(&left), "{left}");

    lab.administer(&[&format!("{CERTIFICATES} sslSelfSigned 127.0.0.1 {port}")])?;
    node.wait_for("alarm cleared")?;
    ensure!(value()?.is_nan(), "what is gone has no end");
    Ok(())
}
