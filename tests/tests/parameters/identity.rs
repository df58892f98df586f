//! `ADP_CLI/Applications/AuthenticationService/IdentityProviders`: whose access tokens are exchanged, seen with the identity
//! cloud of the lab.

use crate::until;
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Curl, Effects, Lab};
use serde_json::Value;

const PROVIDERS: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders";
const CISCO: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco";
const NAMES: &str = "ADP_CLI/System/CommunicationUtility/DefaultSettings/OutgoingNames";
const OTHER_PROXY: &str = "broadworks-idp-proxy-k.wbx2.com";
const KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB";

/// The lab's identity cloud and AuthenticationService.
struct Cloud<'a>(&'a Lab);

impl Cloud<'_> {
    fn post(&self, what: &str, form: &str) -> Result<Value> {
        let url = self.0.description["identity_cloud"][what].as_str().context("an identity cloud")?;
        let answer = Curl::new(self.0.ca()).body(form).post(url)?.expect_status(200)?;
        Ok(serde_json::from_str(&answer.body)?)
    }
    /// A new access token of a user, with further fields of its form.
    fn token(&self, user: &Account, more: &str) -> Result<String> {
        let given = self.post("tokens", &format!("user={}{more}", user.user_id.replace('@', "%40")))?;
        Ok(given["access_token"].as_str().context("an access token")?.to_owned())
    }
    /// The status of an exchange.
    fn ask(&self, token: &str) -> Result<u16> {
        let url = format!("{}/token?key={KEY}", self.0.text("auth_service"));
        Curl::new(self.0.ca()).bearer(token).get(&url).map(|answer| answer.status)
    }
    /// The status of an exchange of a new access token.
    fn exchange(&self, user: &Account, more: &str) -> Result<u16> {
        self.ask(&self.token(user, more)?)
    }
    fn fault(&self, form: &str) -> Result<()> {
        self.post("faults", form).map(drop)
    }
}

#[test]
fn whose_tokens_are_taken() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/identity.rs::whose_tokens_are_taken");
    let (cloud, alice, admin) = (Cloud(&lab), lab.subscriber(0), lab.administrator("system"));
    let user = || cloud.exchange(&alice, "");
    effects.see(CISCO, "enabled", "false", (200, 401), user)?;
    effects
        .see(CISCO, "allowedOrganizations", "another-organisation", (true, false), || Ok(user()? == 200))?;
    effects.see(&format!("{CISCO}/Scopes"), "scope", "\"broadworks-connector:admin\"", (200, 403), user)?;
    let roles = "&roles=id_full_admin";
    for list in ["RolesAllowed", "ScopesAllowed"] {
        let (name, more) = if list == "RolesAllowed" {
            ("id_full_admin", roles.to_owned())
        } else {
            ("admin-scope", "&scope=broadworks-connector%3Auser%20admin-scope".to_owned())
        };
        effects.see_rows(
            &format!("{CISCO}/Admin/{list}"),
            &["name"],
            (&format!("add {name}"), &format!("delete {name}")),
            (403, 200),
            || cloud.exchange(&admin, &more),
        )?;
    }
    // An answer of a few kilobytes.
    let long = format!("&roles={}", "r".repeat(3_000));
    let large = || cloud.exchange(&alice, &long);
    effects.see(CISCO, "ciResponseBodyMaxSizeInBytes", "1024", (200, 503), large)?;

    // Another provider, whose tokens the same cloud checks.
    let shown = lab.administer(&[&format!("{CISCO}> get")])?;
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix("= "));
        line.map(str::to_owned).with_context(|| format!("no {name} in {shown}"))
    };
    let (others, issuer) = (format!("{PROVIDERS}/Others"), "https://idp.elsewhere.example/idb");
    let add = format!(
        "add elsewhere {issuer} {} {} clientId other clientSecret other-secret refreshToken other-token",
        value("issuerUrl")?,
        value("tokenInfoUrl")?
    );
    let theirs = || cloud.exchange(&alice, "&issuer=https%3A%2F%2Fidp.elsewhere.example%2Fidb");
    effects.see_rows(
        &others,
        &["name", "issuerName", "issuerUrl", "tokenInfoUrl", "clientId", "clientSecret", "refreshToken"],
        (&add, "delete elsewhere"),
        (401, 200),
        theirs,
    )?;
    effects.run(&others, &add)?;
    for (parameter, value, back) in [
        ("enabled", "false", "true"),
        ("scope", "another:scope", "broadworks-connector:user"),
        ("allowedOrganizations", "another-organisation", "\"\""),
    ] {
        effects.see_rows(
            &others,
            &[parameter],
            (&format!("set elsewhere {parameter} {value}"), &format!("set elsewhere {parameter} {back}")),
            (true, false),
            || Ok(theirs()? == 200),
        )?;
    }
    effects.see(
        CISCO,
        "issuerName",
        "https://idp.third.example/idb",
        (true, false),
        || Ok(user()? == 200),
    )?;
    effects.finish()
}

#[test]
fn how_providers_are_asked() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/identity.rs::how_providers_are_asked");
    let (cloud, alice) = (Cloud(&lab), lab.subscriber(0));
    let limits = format!("{PROVIDERS}/Limits");
    // A token that was good, while the cloud has a fault.
    let known = || -> Result<u16> {
        let token = cloud.token(&alice, "")?;
        ensure!(cloud.ask(&token)? == 200, "not taken");
        cloud.fault("endpoint=introspection&fault=status&value=500&times=5")?;
        let status = cloud.ask(&token)?;
        cloud.fault("fault=none")?;
        // One that works closes the breaker.
        until("the cloud is asked again", || Ok(cloud.exchange(&alice, "")? == 200))?;
        Ok(status)
    };
    effects.run(&limits, "set outageGraceInMinutes 0")?;
    effects.see(&limits, "positiveCacheInSeconds", "0", (200, 503), known)?;
    effects.run(&limits, "clear outageGraceInMinutes")?;
    effects.run(&limits, "set positiveCacheInSeconds 0")?;
    effects.see(&limits, "outageGraceInMinutes", "0", (200, 503), known)?;
    let slow = || -> Result<u16> {
        cloud.fault("endpoint=introspection&fault=slow&value=500")?;
        let status = cloud.exchange(&alice, "")?;
        cloud.fault("fault=none")?;
        until("the cloud is asked again", || Ok(cloud.exchange(&alice, "")? == 200))?;
        Ok(status)
    };
    effects.see(&limits, "totalTimeoutInMilliseconds", "200", (200, 503), slow)?;

    // Another name of the cloud that leads nowhere at first.
    let shown = lab.administer(&[&format!("{NAMES}> get")])?;
    let row = shown.lines().find(|line| line.contains(OTHER_PROXY)).context("no such name")?.to_owned();
    let port = row.split_whitespace().last().context("a port")?.to_owned();
    effects.run(NAMES, &format!("delete {OTHER_PROXY}"))?;
    let url = format!("https://{OTHER_PROXY}/broadworks-idp-proxy/api/v1/idp/authenticate");
    effects.with(CISCO, &["tokenInfoUrl"], &format!("set tokenInfoUrl {url}"), || {
        until("asked there, in vain", || Ok(cloud.exchange(&alice, "")? == 503))
    })?;
    let add = format!("add {OTHER_PROXY} 127.0.0.1 port {port}");
    effects.with(NAMES, &["name", "ipAddress", "port"], &add, || {
        until("asked there", || Ok(cloud.exchange(&alice, "")? == 200))
    })?;
    effects.finish()
}
