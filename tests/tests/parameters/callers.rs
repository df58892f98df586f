//! Who may call the AuthenticationService with a certificate, and how much at once; and how users may say who they are
//! (`AS_CLI/System/SignIn`).

use crate::identity::{KEY, made_up};
use crate::{https_port, sql, until};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Curl, Effects, Lab};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

const CALLERS: &str = "ADP_CLI/Applications/AuthenticationService/ClientCertificates";
const LIMITS: &str = "ADP_CLI/Applications/AuthenticationService/TokenLimits";
const SIGN_IN: &str = "AS_CLI/System/SignIn";

/// The common name of who made a certificate.
fn issuer(certificate: &str) -> Result<String> {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-issuer", "-nameopt", "multiline", "-in", certificate])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text
        .lines()
        .find(|line| line.contains("commonName"))
        .with_context(|| format!("no issuer: {text}"))?;
    Ok(line.split('=').next_back().unwrap_or_default().trim().to_owned())
}

#[test]
fn certificates() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/callers.rs::certificates");
    let alice = lab.subscriber(0);
    effects.run(
        "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication/WebApps",
        &format!("add 127.0.0.1 {} AuthenticationService true", https_port(&lab)?),
    )?;
    let file = |name: &str| lab.description["cti"][name].as_str().unwrap_or_default().to_owned();
    let (certificate, key) = (file("client_cert"), file("client_key"));
    let caller = || Curl::new(lab.ca()).args(["--cert", certificate.as_str(), "--key", key.as_str()]);
    let url = format!("{}/token?key={KEY}&userId={}", lab.text("auth_service"), alice.user_id);
    let by_password =
        || caller().basic(&alice.user_id, &alice.password).get(&url).map(|answer| answer.status);
    let by_name = || caller().get(&url).map(|answer| answer.status);
    effects.see_rows(
        CALLERS,
        &["commonName"],
        ("add other.lab.invalid", "delete other.lab.invalid"),
        (200, 403),
        by_password,
    )?;
    let set = |what: &str| format!("set cti.lab.invalid {what}");
    effects.run(CALLERS, "add cti.lab.invalid")?;
    effects.see_rows(
        CALLERS,
        &["requireBroadWorksEku"],
        (&set("requireBroadWorksEku false"), &set("requireBroadWorksEku true")),
        (403, 401),
        by_name,
    )?;
    effects.run(CALLERS, &set("requireBroadWorksEku false"))?;
    let own = issuer(&certificate)?;
    effects.see_rows(
        CALLERS,
        &["issuer"],
        (&set("issuer \"Another Authority\""), &set(&format!("issuer \"{own}\""))),
        (401, 403),
        by_name,
    )?;
    effects.see_rows(
        CALLERS,
        &["trustedAsserter"],
        (&set("trustedAsserter true"), &set("trustedAsserter false")),
        (401, 200),
        by_name,
    )?;
    let refused = || -> Result<bool> {
        let mut told = false;
        for _ in 0..4 {
            told |= by_name()? == 429;
        }
        Ok(told)
    };
    effects.see(LIMITS, "requestsPerSecondPerCertificate", "1", (false, true), refused)?;
    effects.finish()
}

#[test]
fn at_once() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/callers.rs::at_once");
    // An identity provider that takes connections and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    silent.set_nonblocking(true)?;
    effects.run(
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/OutgoingNames",
        &format!("set broadworks-idp-proxy-a.wbx2.com port {}", silent.local_addr()?.port()),
    )?;
    effects.run(
        "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits",
        "set connectTimeoutInMilliseconds 1500 totalTimeoutInMilliseconds 1500",
    )?;
    let url = format!("{}/token?key={KEY}", lab.text("auth_service"));
    let mut number = 0;
    let meanwhile = || {
        number += 1;
        std::thread::scope(|scope| {
            let held = scope.spawn(|| Curl::new(lab.ca()).bearer(&made_up(number)).get(&url));
            // Who failed often is left alone for a while, and its request is answered at once.
            until("one request is worked on", || match silent.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(held.is_finished()),
                other => Ok(other.map(|_| true)?),
            })?;
            let status = Curl::new(lab.ca()).get(&url)?.status;
            held.join().map_err(|_| anyhow::anyhow!("a request panicked"))??.expect_status(503)?;
            Ok(status)
        })
    };
    effects.see(LIMITS, "maxTokensInProgress", "1", (401, 503), meanwhile)?;
    effects.finish()
}

#[test]
fn sign_in() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/callers.rs::sign_in");
    let alice = lab.subscriber(0);
    let (name, _) = alice.user_id.split_once('@').context("a domain")?;
    let profile = lab.user_url(&alice, "profile");
    let short = || Curl::new(lab.ca()).basic(name, &alice.password).get(&profile).map(|answer| answer.status);
    effects.see(SIGN_IN, "defaultDomain", "other.example", (200, 401), short)?;

    let made = || -> Result<(u16, String)> {
        let answer = lab.curl(&alice).post(&lab.user_url(&alice, "profile/LoginToken"))?;
        Ok((answer.status, answer.text_of("token").unwrap_or_default().to_owned()))
    };
    // A token that was made half a minute ago.
    let aged = || {
        let (status, token) = made()?;
        ensure!(status == 200 || status == 201, "{status}");
        sql(
            &lab,
            "UPDATE login_tokens SET created_at = created_at - 30000, expires_at = expires_at - 30000",
        )?;
        let by_token = Curl::new(lab.ca()).header(&format!("Authorization: BroadWorksSSO {token}"));
        by_token.get(&profile).map(|answer| answer.status)
    };
    effects.see(SIGN_IN, "loginTokenValidityInSeconds", "10", (200, 401), aged)?;
    let second = || {
        sql(&lab, "DELETE FROM login_tokens")?;
        let statuses = [made()?.0, made()?.0];
        Ok(statuses.map(|status| status < 300))
    };
    effects.see(SIGN_IN, "maximumLoginTokensPerUser", "1", ([true, true], [true, false]), second)?;
    effects.finish()
}
