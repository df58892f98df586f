//! `ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication` and `DeviceActivation`: devices that others prove.

use crate::nps::Bench;
use crate::{from_source, https_port, sql, until};
use anyhow::{Context as _, Result, ensure};
use openadp_standins::Environment;
use openadp_standins::identity::{Client, Cluster, Config, Endpoint, Fault, IdentityCloud};
use openadp_suite::{Curl, Effects, Lab};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const HEADERS: &str = "ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication/Headers";
const SOURCES: &str =
    "ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication/Headers/TrustedSources";
const CERTIFICATES: &str = "ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication/Certificates";
const OAUTH: &str = "ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication/OAuth";
const SCOPES: &str = "ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication/OAuth/Scopes";
const BRIDGE: &str = "ADP_CLI/Applications/BroadworksDms/DeviceActivation/DMBridge";
const PROVIDER: &str = "ADP_CLI/Applications/BroadworksDms/DeviceActivation/IdentityProviders/Cisco";
const WEB_APPS: &str = "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication/WebApps";
const LIMITS: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Limits";
const ADDRESS: &str = "0a1b2c3d4e5f";

/// A lab in which Alice's desktop app has a hardware address.
fn lab() -> Result<Lab> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0).user_id;
    sql(
        &lab,
        &format!(
            "UPDATE devices SET mac = '{ADDRESS}' WHERE user_id = '{alice}' \
             AND device_type = 'Business Communicator - PC'"
        ),
    )?;
    Ok(lab)
}

fn file(lab: &Lab, curl: &Curl) -> Result<u16> {
    let answer = curl.get(&format!("{}/bc/pc/config-wxt.xml", lab.text("dms")))?;
    if answer.status == 200 {
        ensure!(answer.body.contains("alice"), "somebody else's file: {}", answer.body);
    }
    Ok(answer.status)
}

/// A client's certificate of the lab's authority.
fn certificate(lab: &Lab, folder: &Path, name: &str) -> Result<Curl> {
    let authority = lab.data_dir.join("lab/certificates");
    let path = |file: String| folder.join(file).display().to_string();
    let (key, request, certificate) =
        (path(format!("{name}.key")), path(format!("{name}.csr")), path(format!("{name}.crt")));
    let (ca, ca_key) =
        (authority.join("ca.crt").display().to_string(), authority.join("ca.key").display().to_string());
    let subject = format!("/CN={name}");
    for arguments in [
        vec!["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-addext"]
            .into_iter()
            .chain(["extendedKeyUsage=clientAuth", "-keyout", &key, "-out", &request])
            .collect::<Vec<_>>(),
        vec!["x509", "-req", "-days", "9", "-copy_extensions", "copyall", "-in", &request, "-CA", &ca]
            .into_iter()
            .chain(["-CAkey", &ca_key, "-out", &certificate])
            .collect(),
    ] {
        let made = Command::new("openssl").args(&arguments).output()?;
        ensure!(made.status.success(), "{made:?}");
    }
    Ok(Curl::new(lab.ca()).args(["--cert", &certificate, "--key", &key]))
}

#[test]
fn dms_identity_proofs() -> Result<()> {
    let lab = lab()?;
    let mut effects = Effects::of(&lab, "parameters/dms_identity.rs::dms_identity_proofs");
    let telling = |line: &str| Curl::new(lab.ca()).header(line);
    let shown = |line: &str| file(&lab, &telling(line));
    let mine = || shown(&format!("macaddress: {ADDRESS}"));
    effects.run(SOURCES, "add 127.0.0.1")?;
    effects.run(HEADERS, "set identityPattern \"macaddress:.*([0-9a-fA-F]{12}).*\"")?;
    effects.see(HEADERS, "enable", "true", (401, 200), mine)?;
    effects.run(HEADERS, "set enable true")?;
    ensure!(shown(&format!("X-Other: {ADDRESS}"))? == 401, "another header");
    ensure!(shown("macaddress: 0a1b2c3d4e60")? == 401, "an address that nobody has");
    ensure!(shown("macaddress: somebody")? == 401, "none");
    let twice = telling(&format!("macaddress: {ADDRESS}")).header("macaddress: 0a1b2c3d4e60");
    ensure!(file(&lab, &twice)? == 401, "two");
    let elsewhere = from_source(&telling(&format!("macaddress: {ADDRESS}")), 2);
    ensure!(file(&lab, &elsewhere)? == 401, "from a source that is not trusted");
    let given = "\"x-device:.*([0-9a-fA-F]{12})\"";
    effects.with(HEADERS, &["identityPattern"], &format!("set identityPattern {given}"), || {
        until(
            "another header counts",
            || Ok((mine()?, shown(&format!("X-Device: {ADDRESS}"))?) == (401, 200)),
        )
    })?;
    effects.run(HEADERS, "set identityPattern \"macaddress:.*([0-9a-fA-F]{12}).*\"")?;
    effects.see_rows(SOURCES, &["network"], ("delete 127.0.0.1", "add 127.0.0.1"), (200, 401), mine)?;
    effects.run(HEADERS, "set enable false")?;

    let folder = tempfile::tempdir()?;
    let phone = certificate(&lab, folder.path(), "SEP0A1B2C3D4E5F")?;
    let other = certificate(&lab, folder.path(), "SEP0A1B2C3D4E60")?;
    effects.run(WEB_APPS, &format!("add 127.0.0.1 {} BroadworksDms true", https_port(&lab)?))?;
    effects.run(CERTIFICATES, "set identityPattern \".*([0-9a-fA-F]{12}).*\"")?;
    effects.see(CERTIFICATES, "enable", "true", (401, 200), || file(&lab, &phone))?;
    effects.run(CERTIFICATES, "set enable true")?;
    ensure!(file(&lab, &other)? == 401, "a phone that is not known");
    ensure!(file(&lab, &Curl::new(lab.ca()))? == 403, "no certificate");
    effects.with(
        CERTIFICATES,
        &["identityPattern"],
        "set identityPattern \"ATA([0-9a-fA-F]{12})\"",
        || until("other names count", || Ok(file(&lab, &phone)? == 401)),
    )?;
    effects.finish()
}

#[test]
fn dms_identity_oauth() -> Result<()> {
    let lab = lab()?;
    let mut effects = Effects::of(&lab, "parameters/dms_identity.rs::dms_identity_oauth");
    effects.run(LIMITS, "set connectTimeoutInMilliseconds 1500")?;
    effects.run(LIMITS, "set totalTimeoutInMilliseconds 1500")?;
    let token = |form: &str| -> Result<String> {
        let url = lab.description["identity_cloud"]["tokens"].as_str().context("an identity cloud")?;
        let user = lab.subscriber(0).user_id.replace('@', "%40");
        let given = Curl::new(lab.ca()).body(format!("user={user}{form}")).post(url)?.expect_status(200)?;
        let given: Value = serde_json::from_str(&given.body)?;
        Ok(given["access_token"].as_str().context("an access token")?.to_owned())
    };
    let good = token("")?;
    let status = |token: &str| file(&lab, &Curl::new(lab.ca()).bearer(token));
    effects.see(OAUTH, "enable", "true", (401, 200), || status(&good))?;
    effects.run(OAUTH, "set enable true")?;
    until("on", || Ok(status(&good)? == 200))?;
    for (what, token) in [
        ("somebody made it up", "nobody's".to_owned()),
        ("it is too late", token("&expires_in=-100")?),
        ("it is for something else", token("&scope=other")?),
    ] {
        // On a busy machine nobody may say in time, which is another answer.
        until(what, || Ok(status(&token)? == 401))?;
    }
    let other = token("&scope=device%3Afiles")?;
    effects.see_rows(SCOPES, &["scope"], ("add device:files", "delete device:files"), (401, 200), || {
        status(&other)
    })?;
    effects.run(SCOPES, "delete broadworks-connector:user")?;
    until("without a scope nobody is taken", || Ok(status(&good)? == 401))?;
    effects.finish()
}

/// A stand-in of the cloud, and one of the discovery service, which names the first one.
fn clouds(
    runtime: &tokio::runtime::Runtime,
    environment: Environment,
) -> Result<(IdentityCloud, IdentityCloud)> {
    let client =
        Client { id: "dms".to_owned(), secret: "right-secret".to_owned(), refresh_token: "r-1".to_owned() };
    let bridge_scope = "dm-bridge:device_auth".to_owned();
    let config = Config { clients: vec![client], bridge_scope, ..Config::default() };
    let start = openadp_standins::identity::start;
    let cloud = runtime.block_on(start(environment.clone(), config))?;
    let issuer = format!("https://{}/idb", cloud.address());
    let config = Config { clusters: vec![Cluster { name: "own".to_owned(), issuer }], ..Config::default() };
    let discovery = runtime.block_on(start(environment, config))?;
    Ok((cloud, discovery))
}

#[test]
fn dms_identity_activation() -> Result<()> {
    let lab = lab()?;
    let mut effects = Effects::of(&lab, "parameters/dms_identity.rs::dms_identity_activation");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = lab.data_dir.join("lab/certificates");
    let environment = Bench::secured(&folder.join("server-p256.crt"), &folder.join("server-p256.key"))?;
    let (cloud, discovery) = clouds(&runtime, environment)?;
    let (at, named) = (cloud.address(), discovery.address());
    // The stand-ins are on this machine, and the machine may be busy.
    effects.run(LIMITS, "set allowPrivateAddresses true")?;
    effects.run(LIMITS, "set connectTimeoutInMilliseconds 1500")?;
    effects.run(LIMITS, "set totalTimeoutInMilliseconds 1500")?;
    // Each time a device that nobody asked about before: what was known would hide what is set.
    let fetch = || file(&lab, &Curl::new(lab.ca()).bearer(&cloud.activate(ADDRESS, 3600)));
    let works = || until("files are given", || Ok(fetch()? == 200));
    let fails = || until("no files are given", || Ok(fetch()? != 200));
    ensure!(fetch()? == 401, "not configured");

    effects.run(PROVIDER, "set clientId dms")?;
    effects.run(PROVIDER, "set clientSecret right-secret")?;
    effects.run(PROVIDER, "set refreshToken r-1")?;
    effects.run(BRIDGE, "set scope dm-bridge:device_auth")?;
    effects.run(PROVIDER, &format!("set gdsDomain https://{named}"))?;
    effects.with(BRIDGE, &["url"], &format!("set url https://{at}/bridge"), works)?;
    ensure!(cloud.count(Endpoint::DeviceAuth) > 0, "the bridge was asked");
    let status = |token: &str| file(&lab, &Curl::new(lab.ca()).bearer(token));
    for (what, token) in [
        ("somebody made it up", "nobody's".to_owned()),
        ("the device is not known", cloud.activate("0a1b2c3d4e60", 3600)),
        ("it is too late", cloud.activate(ADDRESS, -1)),
    ] {
        // On a busy machine nobody may say in time, which is another answer.
        until(what, || Ok(status(&token)? == 401))?;
    }
    let token = cloud.activate(ADDRESS, 3600);
    until("it is good", || Ok(status(&token)? == 200))?;
    let asked = cloud.count(Endpoint::DeviceAuth);
    ensure!(status(&token)? == 200 && cloud.count(Endpoint::DeviceAuth) == asked, "known for a while");
    cloud.fault(Endpoint::DeviceAuth, Fault::Status(503), 1);
    ensure!(fetch()? == 503, "nobody can say");
    ensure!(status(&token)? == 200, "who is known is served");
    effects.with(BRIDGE, &["scope"], "set scope other", fails)?;
    effects.run(BRIDGE, "set scope dm-bridge:device_auth")?;
    works()?;
    for (parameter, wrong, right) in [
        ("clientId", "somebody", "dms"),
        ("clientSecret", "wrong-secret", "right-secret"),
        ("refreshToken", "r-9", "r-1"),
    ] {
        effects.with(PROVIDER, &[parameter], &format!("set {parameter} {wrong}"), fails)?;
        effects.run(PROVIDER, &format!("set {parameter} {right}"))?;
        works().with_context(|| format!("{parameter} is right again"))?;
    }
    // A discovery service that names another identity provider: the lab's, whose access tokens the bridge does not know.
    effects.with(PROVIDER, &["gdsDomain"], &format!("set gdsDomain https://{at}"), fails)?;
    ensure!(cloud.count(Endpoint::Discovery) > 0, "asked");
    effects.finish()
}
