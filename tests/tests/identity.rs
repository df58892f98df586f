//! Users of an identity cloud: its access tokens in exchange for long-lived ones, on a running lab whose identity cloud is
//! the stand-in that ships with the suite.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Curl, Lab, Response, python, repository};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// The lab's identity cloud.
struct Cloud<'a>(&'a Lab);

impl Cloud<'_> {
    fn post(&self, what: &str, form: &str) -> Result<Value> {
        let url = self.0.description["identity_cloud"][what].as_str().context("an identity cloud")?;
        let answer = Curl::new(self.0.ca()).body(form).post(url)?.expect_status(200)?;
        Ok(serde_json::from_str(&answer.body)?)
    }
    /// An access token of a user, as the cloud gives it.
    fn token(&self, user: &Account, more: &str) -> Result<String> {
        let form = format!("user={}{more}", user.user_id.replace('@', "%40"));
        let given = self.post("tokens", &form)?;
        Ok(given["access_token"].as_str().context("an access token")?.to_owned())
    }
    fn fault(&self, form: &str) -> Result<()> {
        self.post("faults", form).map(drop)
    }
}

fn exchange(lab: &Lab, token: &str) -> Result<String> {
    let output = Command::new(repository().join("tests/clients/sign_in.sh"))
        .args([lab.text("auth_service"), lab.text("ca"), "Bearer", token])
        .env("PYTHON", python()?)
        .output()?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The exchange up to the answer, with a key that is good.
fn ask(lab: &Lab, token: &str) -> Result<Response> {
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB";
    let url = format!("{}/token?key={key}", lab.text("auth_service"));
    Curl::new(lab.ca()).bearer(token).get(&url)
}

#[test]
fn an_access_token_is_exchanged_for_a_long_lived_one() -> Result<()> {
    let lab = Lab::start()?;
    let (cloud, alice) = (Cloud(&lab), lab.subscriber(0));
    let token = exchange(&lab, &cloud.token(&alice, "")?)?;
    // The long-lived token is good for the user's profile; the access token itself for none.
    let profile = lab.user_url(&alice, "profile");
    let bearer = |token: &str| Curl::new(lab.ca()).bearer(token).get(&profile);
    bearer(&token)?.expect_status(200)?;
    bearer(&cloud.token(&alice, "")?)?.expect_status(401)?;

    // One that lacks the scope, of an issuer that nobody configured, of nobody, of an administrator, and none at all.
    let nobody = Account { user_id: "nobody@lab.example".to_owned(), ..alice.clone() };
    let admin = lab.administrator("system");
    for (token, status, error) in [
        (cloud.token(&alice, "&scope=spark%3Akms")?, 403, "insufficient_scope"),
        (
            cloud.token(&alice, "&issuer=https%3A%2F%2Fidbroker.elsewhere.example%2Fidb")?,
            401,
            "invalid_token",
        ),
        (cloud.token(&alice, "&expires_in=-61")?, 401, "invalid_token"),
        (cloud.token(&nobody, "")?, 403, "access_denied"),
        (cloud.token(&admin, "&roles=id_full_admin")?, 403, "access_denied"),
        (token, 401, "invalid_token"),
    ] {
        let answer = ask(&lab, &token)?.expect_status(status)?;
        let body: Value = serde_json::from_str(&answer.body)?;
        ensure!(body["error"] == error, "{body}");
        ensure!(body["tracking_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
        ensure!(!answer.body.contains(&token));
    }
    // The federation service's issuers are taken besides; operators allow administrators by role, live.
    lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco/Federation/ClusterMap> get",
    ])?;
    lab.administer(&[
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CiscoIdentityProvider/Admin/RolesAllowed> add id_full_admin",
    ])?;
    exchange(&lab, &cloud.token(&admin, "&roles=id_full_admin")?)?;
    let shown = lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco/Federation> get",
    ])?;
    ensure!(shown.contains("refreshToken = ********"), "{shown}");
    Ok(())
}

/// Whatever the cloud does, the answer is there within two seconds, says to try again, and blames no user.
#[test]
fn a_cloud_that_misbehaves_makes_503_in_time() -> Result<()> {
    let lab = Lab::start()?;
    let (cloud, alice) = (Cloud(&lab), lab.subscriber(0));
    ask(&lab, &cloud.token(&alice, "")?)?.expect_status(200)?;
    for fault in [
        "slow&value=4000",
        "status&value=500",
        "oversized",
        "compressed",
        "redirect",
        "hangUp",
        "cut",
        "garbage",
    ] {
        let token = cloud.token(&alice, "")?;
        cloud.fault(&format!("endpoint=introspection&fault={fault}"))?;
        let began = Instant::now();
        let answer = ask(&lab, &token)?.expect_status(503)?;
        ensure!(began.elapsed() < Duration::from_secs(2), "{fault} took {:?}", began.elapsed());
        ensure!(answer.header("retry-after") == Some("2"), "{fault}: {}", answer.headers);
        // A request that works closes the breaker before it opens.
        ask(&lab, &token)?.expect_status(200)?;
    }
    // A user who was known before does not notice.
    let token = cloud.token(&alice, "")?;
    ask(&lab, &token)?.expect_status(200)?;
    lab.administer(&[
        "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits> set positiveCacheInSeconds 0",
    ])?;
    cloud.fault("endpoint=introspection&fault=status&value=500&times=3")?;
    ask(&lab, &token)?.expect_status(200)?;
    let log = lab.process.as_ref().context("a lab")?.log();
    ensure!(!log.contains(&token), "no token reaches the log");
    ensure!(log.contains("Identity cloud stand-in answered"), "{log}");
    Ok(())
}

/// With mutual TLS the certificate says who calls: it must be there, be on the list, and only one that is trusted with it
/// names a user.
#[test]
fn a_caller_with_a_certificate_may_name_a_user_where_it_is_trusted_with_it() -> Result<()> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0);
    let https = lab.text("auth_service").trim_start_matches("https://").split('/').next().unwrap_or_default();
    let (host, port) = https.split_once(':').context("a port")?;
    let trusts = "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication";
    lab.administer(&[&format!("{trusts}/WebApps> add {host} {port} AuthenticationService true")])?;
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB";
    let url = format!("{}/token?key={key}&userId={}", lab.text("auth_service"), alice.user_id);
    let file = |name: &str| lab.description["cti"][name].as_str().unwrap_or_default().to_owned();
    let (certificate, private) = (file("client_cert"), file("client_key"));
    let caller = || Curl::new(lab.ca()).args(["--cert", certificate.as_str(), "--key", private.as_str()]);
    let ask = |curl: Curl, status: u16| curl.get(&url)?.expect_status(status);

    ask(Curl::new(lab.ca()).basic(&alice.user_id, &alice.password), 403)?;
    ask(caller(), 401)?;
    ask(caller().basic(&alice.user_id, &alice.password), 200)?;
    let list = "ADP_CLI/Applications/AuthenticationService/ClientCertificates";
    lab.administer(&[&format!("{list}> add cti.lab.invalid")])?;
    // A certificate of an internal authority must be marked for this use.
    ask(caller().basic(&alice.user_id, &alice.password), 403)?;
    lab.administer(&[&format!("{list}> set cti.lab.invalid requireBroadWorksEku false")])?;
    ask(caller().basic(&alice.user_id, &alice.password), 200)?;
    ask(caller(), 401)?;
    lab.administer(&[&format!("{list}> set cti.lab.invalid trustedAsserter true")])?;
    ask(caller(), 200)?;
    Ok(())
}
