//! `ADP_CLI/Applications/CTI`, `ADP_CLI/Interface/CTI`, and who a client application is.

use crate::{Locked, is_answered, keepalive, lasts, metric, seconds, until};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, CtiClient, Effects, Lab, Plain, Raw};
use std::path::PathBuf;
use std::process::Command;

const GENERAL: &str = "ADP_CLI/Applications/CTI/GeneralSettings";
const INTERFACES: &str = "ADP_CLI/Interface/CTI/GeneralSettings";
const SERVER: &str = "ADP_CLI/Interface/CTI/CTIServer";
const CERTIFICATES: &str =
    "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CertificateAuthentication";
const IDENTITY: &str = "AS_CLI/System/ClientIdentity";
const ACTIONS: &str = "ADP_CLI/Applications/Xsi-Actions/GeneralSettings";
const PROFILE: &str = "/com.broadsoft.xsi-actions/v2.0/user/%userId%/profile";

fn clear_port(lab: &Lab) -> Result<u16> {
    lab.description["cti"]["port"].as_u64().and_then(|port| port.try_into().ok()).context("the CTI port")
}

fn tls_port(lab: &Lab) -> Result<u16> {
    lab.description["cti"]["tls_port"].as_u64().and_then(|port| port.try_into().ok()).context("the CTI port")
}

/// The `authorization` element of an account.
fn credentials(account: &Account) -> String {
    let line = Plain::basic(account);
    format!("<authorization>{}</authorization>", line.trim_start_matches("Authorization: "))
}

/// A request of a session; `resource` is below the account's user resource.
fn request(id: &str, session: &str, credentials: &str, account: &Account, resource: &str) -> String {
    wrapped(
        id,
        session,
        credentials,
        "GetUserProfileRequest",
        "GET",
        &format!("/com.broadsoft.xsi-actions/v2.0/user/{}/{resource}", account.user_id),
        "",
    )
}

fn wrapped(
    id: &str,
    session: &str,
    credentials: &str,
    wrapper: &str,
    method: &str,
    uri: &str,
    payload: &str,
) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"18.0\"><requestId>{id}</requestId><sessionId>{session}</sessionId>{credentials}<cti:{wrapper} xmlns:cti=\"http://schema.broadsoft.com/CTI\"><uri>{uri}</uri><method>{method}</method><version>22.0</version><params></params><payload>{payload}</payload></cti:{wrapper}></xsp:request>\n"
    )
}

/// The next response: its request's id and its status.
fn response(connection: &mut Raw) -> Result<(String, u16)> {
    let message = connection.until("</xsp:response>")?;
    let text = |name: &str| {
        message.split(&format!("<{name}>")).nth(1).and_then(|rest| rest.split('<').next()).map(str::to_owned)
    };
    let status = text("statusCode").with_context(|| format!("no status: {message}"))?.parse()?;
    Ok((text("requestId").unwrap_or_default(), status))
}

#[test]
fn conversations() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/cti.rs::conversations");
    let (port, alice) = (clear_port(&lab)?, lab.subscriber(0));
    let right = credentials(&alice);
    let wrong = "<authorization>Basic d3Jvbmc6d3Jvbmc=</authorization>";
    let asks = |connection: &mut Raw, session: &str, credentials: &str| {
        connection.send(request("1", session, credentials, &alice, "profile"))?;
        response(connection).map(|(_, status)| status)
    };

    let blanks = " ".repeat(8_000);
    let large = || {
        let mut connection = Raw::connect(port)?;
        asks(&mut connection, "a", &format!("{right}{blanks}")).map_err(|error| error.to_string()).or(Ok(0))
    };
    effects.see(GENERAL, "maxMessageSizeInBytes", "4096", (200, 0), large)?;

    let forgets = || -> Result<[u16; 3]> {
        let mut connection = Raw::connect(port)?;
        let (one, other) = (asks(&mut connection, "a", &right)?, asks(&mut connection, "b", &right)?);
        Ok([one, other, asks(&mut connection, "a", "")?])
    };
    effects.see(GENERAL, "maxSessionsPerConnection", "1", ([200, 200, 200], [200, 200, 401]), forgets)?;

    let channels = || -> Result<[u16; 2]> {
        let mut connection = Raw::connect(port)?;
        let mut opens = |id: &str| -> Result<u16> {
            let payload = format!(
                "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>{id}</channelSetId><expires>3600</expires></Channel>"
            );
            let uri = "/com.broadsoft.xsi-events/v2.0/channel";
            connection.send(wrapped(id, "a", &right, "AddChannelRequest", "POST", uri, &payload))?;
            response(&mut connection).map(|(_, status)| status)
        };
        Ok([opens("one")?, opens("two")?])
    };
    effects.see(GENERAL, "maxChannelsPerConnection", "1", ([200, 200], [200, 403]), channels)?;

    // After one wrong password, the right one is still heard, or no more.
    let forgiving = || {
        let mut connection = Raw::connect(port)?;
        let first = asks(&mut connection, "a", wrong)?;
        Ok((first, asks(&mut connection, "a", &right).unwrap_or(0)))
    };
    effects.see(GENERAL, "maxAuthenticationFailures", "1", ((401, 200), (401, 0)), forgiving)?;

    effects.with(
        GENERAL,
        &["unauthenticatedTimeoutInSeconds"],
        "set unauthenticatedTimeoutInSeconds 1",
        || {
            let mut silent = Raw::connect(port)?;
            lasts(seconds(1), seconds(30), || silent.until_end().map(|_| ()))
        },
    )?;
    effects.run(GENERAL, "clear unauthenticatedTimeoutInSeconds")?;
    effects.with(GENERAL, &["keepalivePeriodInSeconds"], "set keepalivePeriodInSeconds 1", || {
        let mut connection = Raw::connect(port)?;
        lasts(seconds(1), seconds(30), || {
            let message = connection.until("</xsp:keepalive>")?;
            ensure!(message.contains("<xsp:keepalive"), "{message}");
            Ok(())
        })
    })?;
    effects.run(GENERAL, "clear keepalivePeriodInSeconds")?;

    // A request that waits for the store, and one of another session that need not.
    let order = || -> Result<String> {
        let mut connection = Raw::connect(port)?;
        ensure!(
            asks(&mut connection, "a", &right)? == 200 && asks(&mut connection, "b", &right)? == 200,
            "served"
        );
        let held = Locked::hold(&lab)?;
        let uri = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/services/DoNotDisturb", alice.user_id);
        let payload =
            "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>false</active></DoNotDisturb>";
        connection.send(wrapped("slow", "a", &right, "ModifyDoNotDisturbRequest", "PUT", &uri, payload))?;
        // Too large to come with the other one in a single read.
        let blanks = " ".repeat(50_000);
        connection.send(request("quick", "b", &format!("{right}{blanks}"), &alice, "profile"))?;
        let first = response(&mut connection)?.0;
        drop(held);
        response(&mut connection)?;
        Ok(first)
    };
    effects.see(GENERAL, "maxPendingRequests", "1", ("quick".to_owned(), "slow".to_owned()), order)?;
    effects.finish()
}

/// So many answers do not fit into the sockets' buffers.
const MANY: u64 = 500;

#[test]
fn who_does_not_read() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/cti.rs::who_does_not_read");
    let (port, alice) = (clear_port(&lab)?, lab.subscriber(0));
    let right = credentials(&alice);
    // A client that asks for much and reads nothing; whether it is still there when all was answered.
    let unread = || -> Result<(Raw, bool)> {
        let closed = || metric(&lab, "cti_connections_closed_total", "slow");
        let asked = || metric(&lab, "cti_requests_total", "");
        let (closed_before, asked_before) = (closed()?, asked()?);
        let mut connection = Raw::connect(port)?;
        for number in 0..MANY {
            let page = format!("directories/Enterprise?start=1&amp;results=100&amp;n={number}");
            if connection.send(request(&number.to_string(), "a", &right, &alice, &page)).is_err() {
                break;
            }
        }
        until("all are answered, or the connection is closed", || {
            Ok(asked()? >= asked_before + MANY || closed()? > closed_before)
        })?;
        Ok((connection, closed()? == closed_before))
    };
    for (parameter, command) in [
        ("outboundQueueSize", "set outboundQueueSize 16"),
        ("outboundQueueBytes", "set outboundQueueBytes 65536"),
    ] {
        effects.with(GENERAL, &[parameter], command, || {
            ensure!(!unread()?.1, "all fits");
            Ok(())
        })?;
        effects.run(GENERAL, &format!("clear {parameter}"))?;
    }

    // What waits for such a client is written for as long as the limit lets it, and no longer.
    effects.with(INTERFACES, &["drainTimeoutInSeconds"], "set drainTimeoutInSeconds 1", || {
        let (connection, stays) = unread()?;
        ensure!(stays, "closed early");
        let aborted = || metric(&lab, "listener_connections_aborted_total", "");
        let before = aborted()?;
        lasts(seconds(1), seconds(10), || {
            lab.administer(&[&format!("{SERVER}> delete 127.0.0.1 {port}")])?;
            until("aborted", || Ok(aborted()? > before))
        })?;
        drop(connection);
        Ok(())
    })?;
    effects.finish()
}

#[test]
fn interfaces() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/cti.rs::interfaces");
    let (port, alice) = (clear_port(&lab)?, lab.subscriber(0));
    let right = credentials(&alice);
    effects.with(INTERFACES, &["handshakeTimeoutInSeconds"], "set handshakeTimeoutInSeconds 1", || {
        let mut silent = Raw::connect(tls_port(&lab)?)?;
        lasts(seconds(1), seconds(5), || silent.until_end().map(|_| ()))
    })?;
    let held: Vec<Raw> = (0..3)
        .map(|_| {
            let mut connection = Raw::connect(port)?;
            connection.send(request("1", "a", &right, &alice, "profile"))?;
            ensure!(response(&mut connection)?.1 == 200, "not served");
            Ok(connection)
        })
        .collect::<Result<_>>()?;
    let both = || Ok((is_answered(port, 1)?, is_answered(port, 9)?));
    effects.see(INTERFACES, "maxConnectionsPerAddress", "3", ((true, true), (false, true)), both)?;
    effects.see(INTERFACES, "maxConnections", "3", ((true, true), (false, false)), both)?;
    drop(held);
    let asks = || -> Result<u64> {
        let mut connection = Raw::connect(port)?;
        connection.send(request("1", "a", &right, &alice, "profile"))?;
        ensure!(response(&mut connection)?.1 == 200, "not served");
        keepalive(port)
    };
    let usual = asks()?;
    ensure!((1..=60).contains(&usual), "asks after {usual} seconds");
    effects.with(INTERFACES, &["keepaliveInSeconds"], "set keepaliveInSeconds 7200", || {
        let rare = asks()?;
        ensure!((3_600..=7_200).contains(&rare), "asks after {rare} seconds");
        Ok(())
    })?;

    // An interface of its own, in clear, secured, and with client certificates.
    let own = lab.port_base() + 21;
    let (certificate, key) = certificate(&lab);
    let look = || -> Result<(bool, bool, bool)> {
        let shakes =
            |certificate: Option<(&PathBuf, &PathBuf)>| -> Result<bool> {
                let mut command = Command::new("sh");
                let files = certificate.map(|(c, k)| format!("-cert {} -key {}", c.display(), k.display()));
                // A server that wants a certificate says so after the handshake, when something is read.
                command.args(["-c", &format!(
                "printf 'what\\n\\n<' | openssl s_client -quiet -connect 127.0.0.1:{own} {} 2>/dev/null",
                files.unwrap_or_default()
            )]);
                Ok(!command.output()?.stdout.is_empty())
            };
        Ok((is_answered(own, 1)?, shakes(None)?, shakes(Some((&certificate, &key)))?))
    };
    let rows = |answer: &str| (format!("add 127.0.0.1 {own} {answer}"), format!("delete 127.0.0.1 {own}"));
    let (add, delete) = rows("false false false");
    let none = (false, false, false);
    effects.see_rows(
        SERVER,
        &["interfaceIp", "port"],
        (&add, &delete),
        (none, (true, false, false)),
        look,
    )?;
    let (add, delete) = rows("true true false");
    effects.see_rows(SERVER, &["secure"], (&add, &delete), (none, (false, true, true)), look)?;
    let bare = lab.adpcli(&[&format!("{SERVER}> add 127.0.0.1 {own} true false false")])?;
    ensure!(bare.status.code() == Some(1), "secure without a certificate: {bare:?}");
    effects.with(SERVER, &["serverCertificate"], &format!("add 127.0.0.1 {own} true true false"), || {
        ensure!(look()? == (false, true, true), "with one");
        let without = format!("{SERVER}> set 127.0.0.1 {own} serverCertificate false");
        let refused = lab.adpcli(&[&without])?;
        ensure!(refused.status.code() == Some(1), "{refused:?}");
        Ok(())
    })?;
    effects.run(SERVER, &delete)?;
    let (add, delete) = rows("true true true");
    effects.see_rows(SERVER, &["clientAuthReq"], (&add, &delete), (none, (false, false, true)), look)?;
    effects.finish()
}

fn certificate(lab: &Lab) -> (PathBuf, PathBuf) {
    let path = |name: &str| PathBuf::from(lab.description["cti"][name].as_str().unwrap_or_default());
    (path("client_cert"), path("client_key"))
}

#[test]
fn client_applications() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/cti.rs::client_applications");
    let (certificate, key) = certificate(&lab);
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let status = |wrapper: &str, method: &str, uri: &str| -> Result<String> {
        let at = format!("127.0.0.1:{}", tls_port(&lab)?);
        let mut client = CtiClient::connect(&at, lab.ca(), Some((&certificate, &key)))?;
        let user = format!("<userId>{}</userId>", alice.user_id);
        let answer = client.request(wrapper, method, uri, &user, "")?;
        let status = answer.split("<statusCode>").nth(1).and_then(|rest| rest.split('<').next());
        Ok(status.with_context(|| format!("no status: {answer}"))?.to_owned())
    };
    let reads = || status("GetUserProfileRequest", "GET", PROFILE);
    let (yes, no) = ("200".to_owned(), "403".to_owned());
    effects.see(CERTIFICATES, "allowClientApp", "false", (yes.clone(), "401".to_owned()), reads)?;
    effects.see_rows(
        IDENTITY,
        &["commonName"],
        ("delete cti.lab.invalid", "add cti.lab.invalid"),
        (yes, no.clone()),
        reads,
    )?;
    let dials = || {
        let uri = format!("/com.broadsoft.xsi-actions/v2.0/user/%userId%/calls/new?address={}", bo.extension);
        let status = status("DialRequest", "POST", &uri)?;
        let calls = lab.curl(&alice).get(&lab.user_url(&alice, "calls"))?.expect_status(200)?;
        if let Some(call) = calls.text_of("callId") {
            lab.curl(&alice).delete(&lab.user_url(&alice, &format!("calls/{call}")))?.expect_status(200)?;
        }
        Ok(status)
    };
    effects.see(ACTIONS, "clientApplicationControl", "true", (no, "201".to_owned()), dials)?;
    effects.finish()
}
