//! Connections that the suite makes itself: whom it trusts, and whether the name must fit.

use crate::Authority;
use anyhow::{Result, ensure};
use openadp_suite::{Lab, Running, python, repository};
use std::process::Command;

const NAMESPACE: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";

/// A call to a subscriber with a registered phone, which is a notification to the push server.
fn call(lab: &Lab, caller: usize, callee: usize) -> Result<()> {
    let (caller, callee) = (lab.subscriber(caller), lab.subscriber(callee));
    let registration = format!(
        "<PushNotificationRegistration {NAMESPACE}><registrationId>r-{callee}</registrationId><applicationId>lab.test\
         </applicationId><deviceOsType>Android</deviceOsType><deviceTokenList><deviceToken><token>t-{callee}</token>\
         </deviceToken></deviceTokenList></PushNotificationRegistration>",
        callee = callee.extension
    );
    lab.curl(&callee)
        .body(registration)
        .post(&lab.user_url(&callee, "profile/pushnotificationregistrations"))?;
    lab.curl(&caller)
        .post(&lab.user_url(&caller, &format!("calls/new?address={}", callee.extension)))?
        .expect_status(201)
        .map(drop)
}

#[test]
fn servers_are_called_only_with_a_trusted_certificate_and_the_right_name() -> Result<()> {
    let lab = Lab::start()?;
    let port = lab.port_base() + 20;
    let authority = Authority::new("Push Root")?;
    let (certificate, key) = authority.issue("push.lab.invalid", "server", "rsa:2048", "9")?;
    let mut command = Command::new(python()?);
    command.arg(repository().join("tests/clients/push_server.py")).arg(port.to_string());
    let server = Running::start({
        command.arg(&certificate).arg(&key);
        command
    })?;
    server.wait_for("listening")?;
    lab.administer(&[&format!(
        "AS_CLI/System/NotificationPushServer> set url https://127.0.0.1:{port}/nps"
    )])?;

    call(&lab, 0, 1)?;
    let line = server.wait_for("refused")?;
    ensure!(line.to_lowercase().contains("unknown ca") || line.contains("UNKNOWN_CA"), "{line}");
    // Trusted, but it is not the one that was called. What is under way is tried again, so more lines of before may come.
    let system = "ADP_CLI/System/SSLCommonSettings";
    lab.administer(&[&format!(
        "{system}/Trusts/BroadWorks> updateTrust push {}",
        authority.path("ca.crt").display()
    )])?;
    call(&lab, 2, 3)?;
    server.wait_for("refused [SSL: SSLV3_ALERT_BAD_CERTIFICATE]")?;
    // And now the name does not matter; the chain still does.
    lab.administer(&[&format!("{system}/GeneralSettings> set validatePeerIdentity false")])?;
    call(&lab, 4, 5)?;
    let line = server.wait_for("asked")?;
    ensure!(line.starts_with("asked POST /nps/"), "{line}");
    lab.administer(&[&format!("{system}/Trusts/BroadWorks> deleteTrust push")])?;
    call(&lab, 6, 7)?;
    server.wait_for("refused [SSL: TLSV1_ALERT_UNKNOWN_CA]")?;
    Ok(())
}
