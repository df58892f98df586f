//! The identity cloud of the lab: its names lead to the stand-in, and AuthenticationService is a client of it.

use super::plan::{LOOPBACK, Plan, Ports};
use super::secrets;
use anyhow::{Context as _, Result};
use openadp_appserver::{Clock as _, SystemClock, epoch_millis};
use openadp_settings::Edit;
use openadp_standins::apns;
use openadp_standins::fcm::FcmHandle;
use openadp_standins::identity::{Cluster, Config, PushTokens};
use openadp_tls::authority::{KeyType, LabAuthority};
use serde_json::json;
use std::sync::Arc;

/// Issuer of the lab's access tokens.
pub(crate) const ISSUER: &str = "https://idbroker.webex.com/idb";
const PROXY: &str = "https://broadworks-idp-proxy-a.wbx2.com/broadworks-idp-proxy/api/v1/idp/authenticate";
const FEDERATION: &str = "https://cifls.webex.com/federation";
/// Names that the deployment guide has operators configure.
const NAMES: [&str; 10] = [
    "idbroker.webex.com",
    "idbroker-eu.webex.com",
    "idbroker-b-us.webex.com",
    "cifls.webex.com",
    "broadworks-idp-proxy-a.wbx2.com",
    "broadworks-idp-proxy-k.wbx2.com",
    "broadworks-idp-proxy-r.wbx2.com",
    "dm-bridge-a.wbx2.com",
    "gds.webex.com",
    "nps.uc-one.broadsoft.com",
];
const OUTGOING_NAMES: &str = "ADP_CLI/System/CommunicationUtility/DefaultSettings/OutgoingNames";
const CISCO: &str = "ADP_CLI/Applications/AuthenticationService/IdentityProviders/Cisco";
/// Applications of others that the guide adds without a key.
pub(crate) const CLOUD_IOS_APP: &str = "com.cisco.squared";
const CLOUD_ANDROID_APP: &str = "com.cisco.wx2.android";
/// Its certificate and key below the lab's folder of certificates.
pub(crate) const STEM: &str = "identity";

/// Where the names lead.
pub(crate) fn names(ports: &Ports) -> Vec<Edit> {
    let (ip, port) = (LOOPBACK.to_string(), ports.identity.to_string());
    NAMES
        .iter()
        .map(|name| {
            super::prepare::add(OUTGOING_NAMES, &[("name", name), ("ipAddress", &ip), ("port", &port)])
        })
        .collect()
}

/// Takes back where they lead; of those only that are there.
pub(crate) fn forget_names(present: &[String]) -> Vec<Edit> {
    NAMES
        .iter()
        .filter(|name| present.iter().any(|one| one == *name))
        .map(|name| super::prepare::delete(OUTGOING_NAMES, &[(*name).to_owned()]))
        .collect()
}

/// AuthenticationService as a client of the cloud, as the guide sets it up.
pub(crate) fn client() -> Result<Vec<Edit>> {
    Ok(vec![
        super::prepare::set(
            CISCO,
            &[
                ("enabled", "true"),
                ("clientId", "lab-client"),
                ("clientSecret", &secrets::hex(16)?),
                ("issuerName", ISSUER),
                ("issuerUrl", ISSUER),
                ("tokenInfoUrl", PROXY),
            ],
        ),
        super::prepare::set(
            &format!("{CISCO}/Federation"),
            &[("flsUrl", FEDERATION), ("refreshToken", &secrets::hex(32)?)],
        ),
    ])
}

/// The stand-in's certificate.
pub(crate) fn certificate(authority: &LabAuthority, plan: &Plan) -> Result<()> {
    let ip = LOOPBACK.to_string();
    let names: Vec<&str> = [ip.as_str(), "localhost"].into_iter().chain(NAMES).collect();
    let issued = authority.issue_server(&names, KeyType::Ec).context("issuing a certificate")?;
    issued.write(&plan.certificates(), STEM).context("writing a certificate").map(drop)
}

/// Key of the application of others that only the cloud has: made anew each time.
pub(crate) const CLOUD_KEY: (&str, &str) = ("CLOUDKEY01", "CLOUDTEAM1");

/// What the cloud gives to push an application with that has no key here: the guide's two.
pub(crate) fn push_tokens(apns_key: String, fcm: FcmHandle, project: String) -> PushTokens {
    Arc::new(move |application, environment| {
        let now = epoch_millis(SystemClock.now()) / 1000;
        match application {
            CLOUD_IOS_APP => Some(json!({
                "platform": "apns", "environment": environment, "topic": application, "expiresAt": now + 3600,
                "authorization": apns::authorization(CLOUD_KEY.0, CLOUD_KEY.1, &apns_key, now)?,
            })),
            CLOUD_ANDROID_APP => Some(json!({
                "platform": "fcm", "projectId": project, "expiresAt": now + 3600,
                "authorization": format!("Bearer {}", fcm.access_token(&project, 3600)),
            })),
            _ => None,
        }
    })
}

/// What the stand-in knows: every client is taken, since the guide's commands may set any.
pub(crate) fn config() -> Config {
    let cluster = |name: &str, issuer: &str| Cluster { name: name.to_owned(), issuer: issuer.to_owned() };
    Config {
        clients: Vec::new(),
        any_client: true,
        bridge_scope: "dm-bridge:device_auth".to_owned(),
        clusters: vec![
            cluster("US-A", ISSUER),
            cluster("EU", "https://idbroker-eu.webex.com/idb"),
            cluster("US-B", "https://idbroker-b-us.webex.com/idb"),
        ],
    }
}
