//! Bytes on a CTI connection that are no messages, and messages that make no sense.

use crate::{Report, lab};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{CtiClient, Lab, Plain, Raw};
use std::path::Path;

fn clear_port(lab: &Lab) -> Result<u16> {
    lab.description["cti"]["port"].as_u64().and_then(|port| port.try_into().ok()).context("the CTI port")
}

/// A client application with its certificate, whom nothing of this may disturb.
fn witness(lab: &Lab) -> Result<CtiClient> {
    let text = |name: &str| lab.description["cti"][name].as_str().unwrap_or_default().to_owned();
    let (certificate, key) = (text("client_cert"), text("client_key"));
    CtiClient::connect(
        &format!("127.0.0.1:{}", lab.description["cti"]["tls_port"]),
        lab.ca(),
        Some((Path::new(&certificate), Path::new(&key))),
    )
}

fn is_served(client: &mut CtiClient) -> Result<()> {
    let profile = "/com.broadsoft.xsi-actions/v2.0/user/%userId%/profile";
    let user = "<userId>bo.lindqvist@lab.example</userId>";
    let answer = client.request("GetUserProfileRequest", "GET", profile, user, "")?;
    ensure!(answer.contains("<statusCode>200</statusCode>"), "{answer}");
    Ok(())
}

fn request(id: u32, credentials: &str, wrapper: &str, method: &str, uri: &str, payload: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"18.0\"><requestId>{id}</requestId><sessionId>s</sessionId>{credentials}<cti:{wrapper} xmlns:cti=\"http://schema.broadsoft.com/CTI\"><uri>{uri}</uri><method>{method}</method><version>22.0</version><params></params><payload>{payload}</payload></cti:{wrapper}></xsp:request>\n"
    )
}

/// The status that a request for the first subscriber's profile gets with these credentials, on a connection of its own.
pub(crate) fn profile(lab: &Lab, credentials: &str) -> Result<u16> {
    let uri = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", lab.subscriber(0).user_id);
    let mut connection = Raw::connect(clear_port(lab)?)?;
    connection.send(request(1, credentials, "GetUserProfileRequest", "GET", &uri, ""))?;
    let answer = connection.until("</statusCode>")?;
    let status =
        answer.rsplit_once("<statusCode>").and_then(|(_, rest)| rest.split('<').next()?.parse().ok());
    status.with_context(|| format!("no status in {answer}"))
}

#[test]
fn what_is_no_message_is_named_and_ends_its_connection_only() -> Result<()> {
    let (lab, _plain) = lab()?;
    lab.administer(&["ADP_CLI/Applications/CTI/GeneralSettings> set unauthenticatedTimeoutInSeconds 1"])?;
    let port = clear_port(&lab)?;
    let mut other = witness(&lab)?;
    is_served(&mut other)?;
    let open = "<xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\">";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        (
            "random bytes",
            (0..4_000_u32)
                .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) % 251).unwrap_or(1) | 1)
                .collect(),
        ),
        ("JSON", b"{\"request\":{}}".to_vec()),
        ("only text", b"hello".to_vec()),
        ("a DTD", b"<!DOCTYPE r [<!ENTITY a \"b\">]><r/>".to_vec()),
        (
            "a DTD behind the declaration",
            b"<?xml version=\"1.0\"?>\n<!DOCTYPE r SYSTEM \"http://127.0.0.1:1/\"><r/>".to_vec(),
        ),
        ("an unknown entity", format!("{open}<requestId>&a;</requestId></xsp:request>").into_bytes()),
        ("nested", "<a>".repeat(100_000).into_bytes()),
        ("a large document", [open.as_bytes(), "x".repeat(1_200_000).as_bytes()].concat()),
        ("a large attribute", format!("<xsp:request a=\"{}\"", "x".repeat(1_200_000)).into_bytes()),
        ("a large comment", format!("<!--{}", "x".repeat(1_200_000)).into_bytes()),
        (
            "many attributes",
            format!("<r{}/>", (0..5_000).map(|n| format!(" a{n}=\"\"")).collect::<String>()).into_bytes(),
        ),
        ("many elements", format!("{open}{}</xsp:request>", "<a/>".repeat(100_000)).into_bytes()),
        ("crossed", format!("{open}<a><b></a></b></xsp:request>").into_bytes()),
        ("invalid UTF-8", [open.as_bytes(), b"<requestId>\xff\xfe</requestId></xsp:request>"].concat()),
        ("half a byte order mark", b"\xef\xbb<r/>".to_vec()),
        ("end before start", b"</xsp:request>".to_vec()),
    ];
    let mut report = Report::default();
    for (what, bytes) in cases {
        report.note(
            what,
            (|| {
                let mut connection = Raw::connect(port)?;
                // It may be closed before all of this is written.
                let sent = connection.send(&bytes);
                let last =
                    String::from_utf8_lossy(&connection.until_end().with_context(|| format!("{sent:?}"))?)
                        .into_owned();
                ensure!(
                    last.contains("<xsp:event ") && last.contains("400"),
                    "closed without a reason: {last:?}"
                );
                ensure!(!last.contains("panic") && !last.contains(".rs:"), "{last}");
                is_served(&mut other)
            })(),
        );
    }
    // Silence, and silence in the middle of a message: ended when the time for proving who one is is over.
    for bytes in ["", "<xsp:request", open, "<!--", "<?xml version=\"1.0\""] {
        report.note(
            &format!("silence after {bytes:?}"),
            (|| {
                let mut connection = Raw::connect(port)?;
                connection.send(bytes)?;
                is_served(&mut other)?;
                connection.until_end().map(|_| ())
            })(),
        );
    }
    report.end()
}

#[test]
fn requests_that_make_no_sense_are_answered_one_by_one() -> Result<()> {
    let (lab, _plain) = lab()?;
    let port = clear_port(&lab)?;
    let (alice, mut other) = (lab.subscriber(0), witness(&lab)?);
    is_served(&mut other)?;
    let authorization = Plain::basic(&alice);
    let authorization = authorization.trim_start_matches("Authorization: ");
    let right = format!("<authorization>{authorization}</authorization>");
    let wrong = right.replace(authorization, "Basic d3Jvbmc6d3Jvbmc=");
    let channel =
        "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>c</channelSetId></Channel>";
    let channels = "/com.broadsoft.xsi-events/v2.0/channel";
    let profile = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id);
    let cases: Vec<(&str, String, &[u16])> = vec![
        ("no credentials", request(1, "", "AddChannelRequest", "POST", channels, channel), &[401]),
        ("wrong credentials", request(2, &wrong, "AddChannelRequest", "POST", channels, channel), &[401]),
        (
            "a token that is none",
            request(
                3,
                "<authorization>Bearer abc</authorization>",
                "AddChannelRequest",
                "POST",
                channels,
                channel,
            ),
            &[401],
        ),
        ("right", request(4, &right, "AddChannelRequest", "POST", channels, channel), &[200]),
        ("unknown wrapper", request(5, &right, "NoSuchRequest", "POST", channels, channel), &[200, 400, 404]),
        (
            "unknown resource",
            request(
                6,
                &right,
                "AddChannelRequest",
                "POST",
                "/com.broadsoft.xsi-events/v2.0/no/such",
                channel,
            ),
            &[404],
        ),
        (
            "unknown application",
            request(7, &right, "AddChannelRequest", "POST", "/somewhere/v2.0/channel", channel),
            &[400, 404],
        ),
        ("no uri", request(8, &right, "AddChannelRequest", "POST", "", channel), &[400, 404]),
        ("unknown method", request(9, &right, "AddChannelRequest", "BREW", channels, channel), &[400, 405]),
        ("wrong method", request(10, &right, "GetProfileRequest", "DELETE", &profile, ""), &[400, 405]),
        ("wrong document", request(11, &right, "AddChannelRequest", "POST", channels, "<Nonsense/>"), &[400]),
        ("no document", request(12, &right, "AddChannelRequest", "POST", channels, ""), &[400]),
        (
            "a parameter that is not there",
            request(
                13,
                &right,
                "AddUserSubscriptionRequest",
                "POST",
                "/com.broadsoft.xsi-events/v2.0/user/%userId%",
                "",
            ),
            &[400, 404],
        ),
        (
            "dots",
            request(
                14,
                &right,
                "AddChannelRequest",
                "GET",
                "/com.broadsoft.xsi-actions/v2.0/../../etc/passwd",
                "",
            ),
            &[400, 404],
        ),
        ("right again", request(15, &right, "GetUserProfileRequest", "GET", &profile, ""), &[200]),
    ];
    let mut report = Report::default();
    let mut connection = Raw::connect(port)?;
    for (index, (what, message, statuses)) in cases.into_iter().enumerate() {
        report.note(
            what,
            (|| {
                connection.send(&message)?;
                let answer = connection.until("</xsp:response>")?;
                ensure!(answer.contains(&format!("<requestId>{}</requestId>", index + 1)), "{answer}");
                let right = statuses
                    .iter()
                    .any(|status| answer.contains(&format!("<statusCode>{status}</statusCode>")));
                ensure!(right, "expected one of {statuses:?}: {answer}");
                if !answer.contains("<statusCode>200<") {
                    ensure!(
                        answer.contains("<ErrorInfo") || answer.contains("<xsp:emptyPayload"),
                        "{answer}"
                    );
                }
                is_served(&mut other)
            })(),
        );
    }
    report.end()?;

    // Well-formed documents that clients do not send are passed over.
    connection
        .send("<hello/><xsp:response xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\"/>\0\0\n")?;
    connection.send(request(99, &right, "GetUserProfileRequest", "GET", &profile, ""))?;
    ensure!(
        connection.until("</xsp:response>")?.contains("<requestId>99</requestId>"),
        "the connection goes on"
    );

    // Wrong credentials again and again: answered, then closed.
    let mut guesser = Raw::connect(port)?;
    let guess = right.replace(authorization, "Basic Z3Vlc3NlcjpndWVzcw==");
    for id in 1..=5 {
        guesser.send(request(id, &guess, "AddChannelRequest", "POST", channels, channel))?;
        let answer = guesser.until("</xsp:response>")?;
        ensure!(answer.contains("<statusCode>401</statusCode>"), "{answer}");
    }
    let rest = guesser.until_end()?;
    ensure!(!String::from_utf8_lossy(&rest).contains("200"), "closed after five guesses");
    is_served(&mut other)
}
