//! Suites, protocols, certificates and client certificates of interfaces, at each level that may set them.

use crate::https_port;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Effects, Lab};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HTTP: &str = "ADP_CLI/Interface/Http";
const CTI: &str = "ADP_CLI/Interface/CTI";
const SYSTEM: &str = "ADP_CLI/System/SSLCommonSettings";
const AES128: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
const AES256: &str = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";

fn file(lab: &Lab, name: &str) -> PathBuf {
    PathBuf::from(lab.description["cti"][name].as_str().unwrap_or_default())
}

/// What `openssl s_client` shows of a handshake with these options, with the lab's client certificate where it is asked for.
fn handshake(lab: &Lab, port: u16, options: &[&str]) -> Result<String> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"])
        .arg(lab.ca())
        .arg("-cert")
        .arg(file(lab, "client_cert"))
        .arg("-key")
        .arg(file(lab, "client_key"))
        .args(options)
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether TLS 1.2 with AES-128, TLS 1.2 with AES-256, and TLS 1.3 are offered.
fn offered(lab: &Lab, port: u16) -> Result<[bool; 3]> {
    let with = |options: &[&str]| -> Result<bool> {
        let text = handshake(lab, port, options)?;
        Ok(text.contains("Cipher is ") && !text.contains("Cipher is (NONE)"))
    };
    Ok([
        with(&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"])?,
        with(&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"])?,
        with(&["-tls1_3"])?,
    ])
}

#[test]
fn levels() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/tls.rs::levels");
    let (https, cti) = (https_port(&lab)?, lab.port_base() + 2);
    let both = || Ok([offered(&lab, https)?, offered(&lab, cti)?]);
    // A fresh installation has no suite of RSA with AES-256.
    let all = [true, false, true];
    // The system's level has a list from the beginning.
    let (add, delete) = (format!("add {AES128}"), format!("delete {AES128}"));
    let less = [false, false, true];
    effects.see_rows(
        &format!("{SYSTEM}/JSSE/Ciphers"),
        &["cipher"],
        (&delete, &add),
        ([all; 2], [less; 2]),
        both,
    )?;
    let less = [false, false, true];
    effects.see_rows(
        &format!("{SYSTEM}/JSSE/Protocols"),
        &["protocol"],
        ("delete TLSv1.2", "add TLSv1.2"),
        ([all; 2], [less; 2]),
        both,
    )?;
    // The others have none, and the first suite or version that they are given is all there is.
    for (level, keys, names, http_too, cti_too) in [
        (format!("{SYSTEM}/OpenSSL"), String::new(), &[][..], true, true),
        (format!("{HTTP}/SSLCommonSettings"), String::new(), &[][..], true, false),
        (
            format!("{HTTP}/HttpServer/SSLSettings"),
            format!("127.0.0.1 {https} "),
            &["interfaceIp", "port"][..],
            true,
            false,
        ),
        (format!("{CTI}/SSLCommonSettings"), String::new(), &[][..], false, true),
        (format!("{CTI}/CTIServer/SSLSettings"), "127.0.0.1 ".to_owned(), &["interfaceIp"][..], false, true),
    ] {
        let of = |less: [bool; 3]| [if http_too { less } else { all }, if cti_too { less } else { all }];
        for (list, parameter, word, less) in [
            ("Ciphers", "cipher", AES256, [false, true, true]),
            ("Protocols", "protocol", "TLSv1.3", [false, false, true]),
        ] {
            let parameters = [names, &[parameter]].concat();
            let commands = (&*format!("add {keys}{word}"), &*format!("delete {keys}{word}"));
            effects.see_rows(
                &format!("{level}/{list}"),
                &parameters,
                commands,
                ([all; 2], of(less)),
                both,
            )?;
        }
    }
    effects.finish()
}

/// Makes a self-signed certificate for a name; gives its files.
fn self_signed(folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.crt")));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &format!("/CN={name}"),
        ])
        .args(["-addext", &format!("subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok((key, certificate))
}

#[test]
fn certificates() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/tls.rs::certificates");
    let folder = tempfile::tempdir()?;
    let (key, certificate) = self_signed(folder.path(), "changed.lab.invalid")?;
    let files = format!("keyFile {} certificateFile {}", key.display(), certificate.display());
    let https = https_port(&lab)?;
    let served = |port: u16| -> Result<(bool, bool)> {
        let has = |cipher: &str| -> Result<bool> {
            Ok(handshake(&lab, port, &["-tls1_2", "-cipher", cipher])?.contains("changed.lab.invalid"))
        };
        Ok((has("ECDHE-RSA-AES128-GCM-SHA256")?, has("ECDHE-ECDSA-AES128-GCM-SHA256")?))
    };
    // The key's type says which of the two certificates it takes the place of.
    for (context, keys, names, port) in [
        (
            format!("{HTTP}/HttpServer"),
            format!("127.0.0.1 {https}"),
            &["interfaceIp", "port", "keyType"][..],
            https,
        ),
        (
            format!("{CTI}/CTIServer"),
            "127.0.0.1".to_owned(),
            &["interfaceIp", "keyType"][..],
            lab.port_base() + 2,
        ),
    ] {
        ensure!(served(port)? == (false, false), "not yet");
        let context = format!("{context}/SSLSettings/Certificates");
        effects.with(&context, names, &format!("sslUpdate {keys} {files}"), || {
            let (rsa, elliptic) = served(port)?;
            ensure!(rsa && !elliptic, "RSA {rsa}, EC {elliptic}");
            Ok(())
        })?;
    }
    effects.finish()
}

#[test]
fn clients() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/tls.rs::clients");
    let (https, alice) = (https_port(&lab)?, lab.subscriber(0));
    let (certificate, key) = (file(&lab, "client_cert"), file(&lab, "client_key"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let ping = |with: bool| -> Result<u16> {
        let curl = Curl::new(lab.ca());
        let curl = if with { curl.args(["--cert", &certificate, "--key", &key]) } else { curl };
        Ok(curl.get(&format!("{}/ping", lab.text("auth_service"))).map_or(0, |answer| answer.status))
    };
    let profile = || lab.curl(&alice).get(&lab.user_url(&alice, "profile")).map(|answer| answer.status);
    let row = format!("127.0.0.1 {https} AuthenticationService");
    let web_apps = format!("{HTTP}/SSLCommonSettings/ClientAuthentication/WebApps");
    effects.see_rows(
        &web_apps,
        &["interfaceIp", "port", "applicationName"],
        (&format!("add {row} true"), &format!("delete {row}")),
        ((204, 204, 200), (403, 204, 200)),
        || Ok((ping(false)?, ping(true)?, profile()?)),
    )?;
    effects.run(&web_apps, &format!("add {row} true"))?;
    effects.see_rows(
        &web_apps,
        &["clientAuthReq"],
        (&format!("set {row} clientAuthReq false"), &format!("set {row} clientAuthReq true")),
        ((403, 204), (204, 204)),
        || Ok((ping(false)?, ping(true)?)),
    )?;
    let trusts = |kind: &str| format!("{kind}/SSLCommonSettings/ClientAuthentication/Trusts");
    let anchors =
        ("deleteTrust lab-authority".to_owned(), format!("updateTrust lab-authority {}", lab.ca().display()));
    let commands = (&*anchors.0, &*anchors.1);
    effects.see_rows(&trusts(HTTP), &["alias"], commands, (true, false), || Ok(ping(true)? == 204))?;
    // A server that does not trust the certificate closes before it answers.
    let cti = lab.port_base() + 2;
    let answered = || -> Result<bool> {
        let script = format!(
            "printf 'what\\n\\n<' | openssl s_client -quiet -connect 127.0.0.1:{cti} -cert {certificate} -key {key} 2>/dev/null"
        );
        let output = Command::new("sh").args(["-c", &script]).output().context("running openssl")?;
        Ok(output.stdout.starts_with(b"<"))
    };
    effects.see_rows(&trusts(CTI), &["alias"], commands, (true, false), answered)?;
    // Public authorities, of which none signs anything for a test.
    let public = format!("{SYSTEM}/Trusts/Defaults");
    let listed = || -> Result<Vec<String>> {
        let shown = lab.administer(&[&format!("{public}> get")])?;
        let row = |line: &str| line.split_whitespace().next().map(str::to_owned);
        Ok(shown.lines().filter(|line| line.contains("[self-signed]")).filter_map(row).collect())
    };
    ensure!(listed()?.is_empty(), "they are imported first");
    effects.with(&public, &["alias"], "importJavaCATrust", || {
        let all = listed()?;
        let first = all.first().context("no public authority")?;
        lab.administer(&[&format!("{public}> deleteTrust {first}")])?;
        ensure!(all.len() > 50 && listed()? == all.get(1..).unwrap_or_default(), "{all:?}");
        Ok(())
    })?;
    effects.finish()
}
