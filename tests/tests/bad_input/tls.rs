//! Handshakes that are not wanted: old versions, and client certificates that prove nothing.

use crate::{Report, lab};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{CtiClient, Lab};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn shakes_hands(lab: &Lab, port: u16, version: &str) -> Result<bool> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), version, "-cipher", "ALL:@SECLEVEL=0"])
        .args(["-verify_return_error", "-CAfile"])
        .arg(lab.ca())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.contains("Cipher is ") && !text.contains("Cipher is (NONE)"))
}

#[test]
fn only_tls_1_2_and_1_3_are_spoken() -> Result<()> {
    let (lab, plain) = lab()?;
    let base = lab.port_base();
    let mut report = Report::default();
    for (name, port) in [("HTTPS", base), ("CTI", base + 2), ("NPS", base + 3)] {
        for (version, spoken) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)]
        {
            report.note(
                &format!("{name} {version}"),
                (|| {
                    ensure!(shakes_hands(&lab, port, version)? == spoken, "should be {spoken}");
                    Ok(())
                })(),
            );
        }
    }
    report.end()?;
    plain.others_are_served()
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A client certificate by the lab's authority for these days, made by openssl.
fn issue(
    lab: &Lab,
    folder: &Path,
    stem: &str,
    name: &str,
    from: &str,
    to: &str,
) -> Result<(PathBuf, PathBuf)> {
    let authority = lab.ca().parent().context("folder of the authority")?;
    std::fs::write(folder.join("index.txt"), "")?;
    std::fs::write(folder.join("serial"), "1001\n")?;
    std::fs::write(
        folder.join("ca.cnf"),
        format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\nx509_extensions=x\ncertificate={0}/ca.crt\nprivate_key={0}/ca.key\n[p]\ncommonName=supplied\n[x]\nextendedKeyUsage=clientAuth\n",
            authority.display()
        ),
    )?;
    let (certificate, key, request) = (format!("{stem}.crt"), format!("{stem}.key"), format!("{stem}.csr"));
    let subject = format!("/CN={name}");
    openssl(
        folder,
        &["req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", &subject],
    )?;
    openssl(
        folder,
        &[
            "ca",
            "-batch",
            "-config",
            "ca.cnf",
            "-in",
            &request,
            "-out",
            &certificate,
            "-notext",
            "-startdate",
            from,
            "-enddate",
            to,
        ],
    )?;
    Ok((folder.join(certificate), folder.join(key)))
}

fn try_cti(lab: &Lab, identity: Option<(&Path, &Path)>) -> Result<String> {
    let mut client =
        CtiClient::connect(&format!("127.0.0.1:{}", lab.description["cti"]["tls_port"]), lab.ca(), identity)?;
    let payload =
        "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>t</channelSetId></Channel>";
    client.request("AddChannelRequest", "POST", "/com.broadsoft.xsi-events/v2.0/channel", "", payload)
}

#[test]
fn client_certificates_that_prove_nothing_get_nothing() -> Result<()> {
    let (lab, plain) = lab()?;
    let other = Lab::seed()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let listed = "cti.lab.invalid";
    let valid = issue(&lab, folder, "valid", listed, "20260101000000Z", "20360101000000Z")?;
    let expired = issue(&lab, folder, "expired", listed, "20200101000000Z", "20200201000000Z")?;
    let early = issue(&lab, folder, "early", listed, "20560101000000Z", "20570101000000Z")?;
    let unlisted =
        issue(&lab, folder, "unlisted", "somebody.else.invalid", "20260101000000Z", "20360101000000Z")?;
    let foreign = issue(&other, folder, "foreign", listed, "20260101000000Z", "20360101000000Z")?;
    let subject = format!("/CN={listed}");
    openssl(
        folder,
        &[
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "own.key", "-out", "own.crt",
            "-days", "30", "-subj", &subject,
        ],
    )?;
    let certificates = lab.ca().parent().context("folder of the authority")?;
    let server = (certificates.join("server-rsa.crt"), certificates.join("server-rsa.key"));

    let answer = try_cti(&lab, Some((&valid.0, &valid.1)))?;
    ensure!(answer.contains("<statusCode>200</statusCode>"), "a valid one is served: {answer}");
    let mut report = Report::default();
    for (what, identity) in [
        ("expired", &expired),
        ("not valid yet", &early),
        ("of another authority", &foreign),
        ("signed by itself", &(folder.join("own.crt"), folder.join("own.key"))),
        ("of a server", &server),
    ] {
        let got = try_cti(&lab, Some((&identity.0, &identity.1)));
        report.note(what, got.map_or(Ok(()), |answer| Err(anyhow::anyhow!("was served: {answer}"))));
    }
    report.note(
        "none",
        try_cti(&lab, None).map_or(Ok(()), |answer| Err(anyhow::anyhow!("was served: {answer}"))),
    );
    // One that is valid and not on the list may speak, and is told so.
    let got = try_cti(&lab, Some((&unlisted.0, &unlisted.1)));
    let refused = match &got {
        Ok(answer) => {
            answer.contains("<statusCode>401</statusCode>") || answer.contains("<statusCode>403</statusCode>")
        }
        Err(_) => true,
    };
    report.note("unlisted", if refused { Ok(()) } else { Err(anyhow::anyhow!("was served: {got:?}")) });
    report.end()?;
    plain.others_are_served()
}
