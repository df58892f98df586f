//! Clients that stop in the middle: of a handshake, of a head, of a body. They hold a socket, for a limited time, and
//! nothing else.

use crate::{ACTIONS, error_info, lab, user};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Lab, Plain, Raw};
use std::time::Instant;

/// Stuck clients at once.
const CROWD: usize = 40;

/// A TLS 1.2 ClientHello that says it is 512 bytes long and stops after the first few.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x01\x02\x03\x04\x05\x06\x07\x08";

fn port_of(lab: &Lab, url: &str) -> Result<u16> {
    let port = lab.text(url).split('/').nth(2).and_then(|host| host.rsplit(':').next()?.parse().ok());
    port.with_context(|| format!("port of {url}"))
}

fn crowd(port: u16, bytes: &[u8]) -> Result<Vec<Raw>> {
    (0..CROWD)
        .map(|_| {
            let mut connection = Raw::connect(port)?;
            connection.send(bytes)?;
            Ok(connection)
        })
        .collect()
}

#[test]
fn a_client_that_stops_in_the_handshake_is_closed_in_time() -> Result<()> {
    let (lab, plain) = lab()?;
    lab.administer(&[
        "ADP_CLI/Interface/Http/GeneralSettings> set handshakeTimeoutInSeconds 1",
        "ADP_CLI/Interface/CTI/GeneralSettings> set handshakeTimeoutInSeconds 1",
    ])?;
    let alice = lab.subscriber(0);
    let ports = [port_of(&lab, "xsi_actions")?, lab.port_base() + 2, port_of(&lab, "nps")?];
    for port in ports {
        for bytes in [b"".as_slice(), b"\x16", HALF_A_HELLO] {
            let mut stuck = crowd(port, bytes)?;
            // Meanwhile others shake hands, and talk.
            lab.curl(&alice).get(&lab.user_url(&alice, "profile"))?.expect_status(200)?;
            plain.others_are_served()?;
            for connection in &mut stuck {
                connection.until_end().with_context(|| format!("port {port} after {bytes:?}"))?;
            }
        }
        // What is no handshake at all ends at once.
        for bytes in
            [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), b"\x80\x2e\x01\x00\x02\x00\x15", &[0xff; 600]]
        {
            let mut connection = Raw::connect(port)?;
            connection.send(bytes)?;
            let answer = connection.until_end()?;
            ensure!(!String::from_utf8_lossy(&answer).contains("200"), "{answer:?}");
        }
    }
    plain.others_are_served()
}

#[test]
fn a_client_that_stops_in_a_request_is_closed_in_time() -> Result<()> {
    let (lab, plain) = lab()?;
    let limits = "ADP_CLI/Applications/WebContainer/Tomcat/Limits";
    lab.administer(&[&format!(
        "{limits}> set headTimeoutInSeconds 1 bodyTimeoutInSeconds 1 idleTimeoutInSeconds 1"
    )])?;
    let alice = lab.subscriber(0);
    let basic = Plain::basic(&alice);
    let put =
        format!("PUT {} HTTP/1.1\r\nHost: localhost\r\n{basic}\r\n", user(&alice, "services/DoNotDisturb"));
    // In the head, or before it.
    for head in ["", "G", "GET / HTTP/1.1\r\nHost: localh", &put, &format!("{put}Content-Length: 100\r\n")] {
        let mut stuck = crowd(plain.port, head.as_bytes())?;
        plain.others_are_served()?;
        for connection in &mut stuck {
            let said = connection.until_end().with_context(|| format!("after {head:?}"))?;
            ensure!(!String::from_utf8_lossy(&said).contains("HTTP/1.1 2"), "{said:?}");
        }
    }
    // In the body, announced or in chunks: told why, then closed.
    for start in [
        format!("{put}Content-Length: 100\r\n\r\n<DoNotDisturb xml"),
        format!("{put}Content-Length: 100\r\n\r\n"),
        format!("{put}Transfer-Encoding: chunked\r\n\r\n5\r\n<DoNo\r\n"),
        format!("{put}Transfer-Encoding: chunked\r\n\r\n5\r\n<Do"),
        format!("{put}Transfer-Encoding: chunked\r\n\r\n"),
    ] {
        let mut stuck = crowd(plain.port, start.as_bytes())?;
        plain.others_are_served()?;
        for connection in &mut stuck {
            error_info(&start, connection.response().with_context(|| start.clone())?, 408)?;
            connection.until_end().with_context(|| format!("after 408 for {start:?}"))?;
        }
    }
    // After a complete request.
    let mut idle = plain.connect()?;
    idle.send(Plain::bytes("GET", &format!("{ACTIONS}/versions"), &[&basic], ""))?;
    idle.response()?.expect_status(200)?;
    idle.until_end().context("an idle connection")?;

    // One that always sends one more byte does not get more time.
    let (mut drip, began) = (plain.connect()?, Instant::now());
    let mut bytes = put.bytes().chain(std::iter::repeat(b'x'));
    while drip.send([bytes.next().unwrap_or(b'x')]).is_ok() {
        plain.others_are_served()?;
        ensure!(began.elapsed() < openadp_suite::PATIENCE, "a dripping head stays open");
    }

    // Those that hang up in the middle leave nothing behind.
    for start in [put.clone(), format!("{put}Content-Length: 100\r\n\r\n<DoNotDisturb xml")] {
        drop(crowd(plain.port, start.as_bytes())?);
        plain.others_are_served()?;
    }
    let now =
        plain.request_as(&alice, "GET", &user(&alice, "services/DoNotDisturb"), "")?.expect_status(200)?;
    ensure!(now.text_of("active") == Some("false"), "half a document changed something: {now:?}");
    Ok(())
}
