//! `ADP_CLI/Interface/Http` and `ADP_CLI/Applications/WebContainer`.

use crate::{Locked, from_source, https_port, keepalive, lasts, metric, seconds};
use anyhow::{Result, ensure};
use openadp_suite::{Curl, Effects, Lab, Plain, Raw};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

const LIMITS: &str = "ADP_CLI/Applications/WebContainer/Tomcat/Limits";
const GENERAL: &str = "ADP_CLI/Interface/Http/GeneralSettings";
const SERVER: &str = "ADP_CLI/Interface/Http/HttpServer";
const BINDING: &str = "ADP_CLI/Interface/Http/HttpBinding";
const VERSIONS: &str = "/com.broadsoft.xsi-actions/v2.0/versions";

#[test]
fn sizes() -> Result<()> {
    let lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let mut effects = Effects::of(&lab, "parameters/http.rs::sizes");
    let alice = lab.subscriber(0);
    let basic = Plain::basic(&alice);
    let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/services/DoNotDisturb", alice.user_id);
    let blanks = " ".repeat(2_000);
    let document = format!(
        "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>false</active>{blanks}</DoNotDisturb>"
    );
    let body = || plain.request("PUT", &path, &[&basic], &document).map(|answer| answer.status);
    effects.see(LIMITS, "maxBodyBytes", "1024", (200, 413), body)?;

    let long = format!("X-Long: {}", "x".repeat(10_000));
    let head = || plain.request("GET", VERSIONS, &[&basic, &long], "").map(|answer| answer.status);
    effects.see(LIMITS, "maxHeadBytes", "8192", (200, 431), head)?;
    let many: Vec<String> = (0..20).map(|number| format!("X-Field-{number}: x")).collect();
    let fields = || {
        let headers: Vec<&str> = many.iter().map(String::as_str).chain([basic.as_str()]).collect();
        plain.request("GET", VERSIONS, &headers, "").map(|answer| answer.status)
    };
    effects.see(LIMITS, "maxHeaders", "16", (200, 431), fields)?;
    effects.see(LIMITS, "maxStreamsPerConnection", "7", (Some(250), Some(7)), || streams(plain.port))?;
    effects.finish()
}

/// SETTINGS_MAX_CONCURRENT_STREAMS of the server, as it begins an HTTP/2 connection.
fn streams(port: u16) -> Result<Option<u32>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(openadp_suite::PATIENCE))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    ensure!(head[3] == 4, "the first frame is no SETTINGS: {head:?}");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut settings)?;
    let found = settings.chunks_exact(6).find(|setting| setting[..2] == [0, 3]);
    Ok(found.map(|setting| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]])))
}

#[test]
fn times() -> Result<()> {
    let lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let mut effects = Effects::of(&lab, "parameters/http.rs::times");
    let alice = lab.subscriber(0);
    let basic = Plain::basic(&alice);
    effects.with(LIMITS, &["headTimeoutInSeconds"], "set headTimeoutInSeconds 1", || {
        lasts(seconds(1), seconds(10), || {
            let mut connection = plain.connect()?;
            connection.send("GET / HTTP/1.1\r\nHost: localh")?;
            connection.until_end().map(|_| ())
        })
    })?;
    effects.with(LIMITS, &["bodyTimeoutInSeconds"], "set bodyTimeoutInSeconds 1", || {
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/services/DoNotDisturb", alice.user_id);
        lasts(seconds(1), seconds(30), || {
            let mut connection = plain.connect()?;
            connection.send(format!(
                "PUT {path} HTTP/1.1\r\nHost: localhost\r\n{basic}\r\nContent-Length: 100\r\n\r\n<Do"
            ))?;
            connection.response()?.expect_status(408).map(|_| ())
        })
    })?;
    effects.with(LIMITS, &["idleTimeoutInSeconds"], "set idleTimeoutInSeconds 1", || {
        let mut connection = plain.connect()?;
        connection.send(Plain::bytes("GET", VERSIONS, &[&basic], ""))?;
        connection.response()?.expect_status(200)?;
        lasts(seconds(1), seconds(75), || connection.until_end().map(|_| ()))
    })?;
    // A client that asks on and on and reads nothing: its connection ends once all buffers are full.
    effects.with(LIMITS, &["writeTimeoutInSeconds"], "set writeTimeoutInSeconds 1", || {
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/directories/Enterprise", alice.user_id);
        let request = Plain::bytes("GET", &path, &[&basic], "");
        let mut connection = plain.connect()?;
        lasts(seconds(1), seconds(29), || {
            while connection.send(&request).is_ok() {}
            Ok(())
        })
    })?;
    effects.finish()
}

#[test]
fn concurrency() -> Result<()> {
    let lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let mut effects = Effects::of(&lab, "parameters/http.rs::concurrency");
    let alice = lab.subscriber(0);
    let basic = Plain::basic(&alice);
    let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/services/DoNotDisturb", alice.user_id);
    let document =
        "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>true</active></DoNotDisturb>";

    // A request that cannot be answered, since the store is held by somebody else: the store gives up after a second.
    let runs_out = || -> Result<bool> {
        let before = metric(&lab, "http_timeouts_total", "")?;
        let held = Locked::hold(&lab)?;
        plain.request("PUT", &path, &[&basic], document)?.expect_status(503)?;
        drop(held);
        Ok(metric(&lab, "http_timeouts_total", "")? > before)
    };
    effects.see(LIMITS, "answerTimeoutInMilliseconds", "200", (false, true), runs_out)?;

    // One request is worked on for as long as its body does not come.
    let mut under_way = plain.connect()?;
    under_way.send(format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\n{basic}\r\nContent-Length: 100\r\n\r\n<Do"
    ))?;
    let status = |path: &str| plain.request("GET", path, &[], "").map(|answer| answer.status);
    let (actions, service) = (|| status(VERSIONS), || status("/authService/ping"));
    effects.see(LIMITS, "maxConcurrentRequestsPerApplication", "1", ((401, 204), (503, 204)), || {
        Ok((actions()?, service()?))
    })?;
    effects.see(LIMITS, "maxConcurrentRequests", "1", ((401, 204), (503, 503)), || {
        Ok((actions()?, service()?))
    })?;
    effects.finish()
}

#[test]
fn connections() -> Result<()> {
    let lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let mut effects = Effects::of(&lab, "parameters/http.rs::connections");
    let https = https_port(&lab)?;
    effects.with(GENERAL, &["handshakeTimeoutInSeconds"], "set handshakeTimeoutInSeconds 1", || {
        let mut silent = Raw::connect(https)?;
        lasts(seconds(1), seconds(5), || silent.until_end().map(|_| ()))
    })?;
    let basic = Plain::basic(&lab.subscriber(0));
    let held: Vec<Raw> = (0..3)
        .map(|_| {
            let mut connection = plain.connect()?;
            connection.send(Plain::bytes("GET", VERSIONS, &[&basic], ""))?;
            connection.response()?.expect_status(200)?;
            Ok(connection)
        })
        .collect::<Result<_>>()?;
    let url = format!("http://127.0.0.1:{}/authService/ping", plain.port);
    let served = |last: u8| from_source(&Curl::new(lab.ca()), last).get(&url).is_ok();
    let both = || Ok((served(1), served(9)));
    effects.see(GENERAL, "maxConnectionsPerAddress", "3", ((true, true), (false, true)), both)?;
    effects.see(GENERAL, "maxConnections", "3", ((true, true), (false, false)), both)?;
    drop(held);
    // The kernel's own table: a connection of the server's side, and the seconds until it asks.
    let asks = |connection: &mut Raw| -> Result<u64> {
        connection.send(Plain::bytes("GET", VERSIONS, &[&basic], ""))?;
        connection.response()?.expect_status(200)?;
        keepalive(plain.port)
    };
    let usual = asks(&mut plain.connect()?)?;
    ensure!((1..=60).contains(&usual), "asks after {usual} seconds");
    effects.with(GENERAL, &["keepaliveInSeconds"], "set keepaliveInSeconds 7200", || {
        let rare = asks(&mut plain.connect()?)?;
        ensure!((3_600..=7_200).contains(&rare), "asks after {rare} seconds");
        Ok(())
    })?;
    // An event channel is under way for ever; the interface goes all the same.
    effects.with(GENERAL, &["drainTimeoutInSeconds"], "set drainTimeoutInSeconds 1", || {
        let alice = lab.subscriber(0);
        let body =
            "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>x</channelSetId></Channel>";
        let mut stream = plain.connect()?;
        let path = "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel";
        stream.send(Plain::bytes("POST", path, &[&Plain::basic(&alice)], body))?;
        stream.until("</Channel>")?;
        lasts(seconds(1), seconds(10), || {
            lab.administer(&[&format!("{SERVER}> delete 127.0.0.1 {}", plain.port)])?;
            stream.until_end().map(|_| ())
        })
    })?;
    effects.finish()
}

#[test]
fn interfaces() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/http.rs::interfaces");
    let port = lab.port_base() + 22;
    // Whether it answers on this address, without TLS and with it, and the names of its certificate.
    let look = |address: &str| -> Result<(bool, bool, String)> {
        let ping = |scheme: &str| {
            Curl::new(lab.ca())
                .args(["--insecure"])
                .get(&format!("{scheme}://{address}:{port}/authService/ping"))
                .is_ok()
        };
        Ok((ping("http"), ping("https"), names(&format!("{address}:{port}"))?))
    };
    let none = (false, false, String::new());
    let secured = |name: &str| (false, true, name.to_owned());
    let (add, delete) =
        (format!("add 127.0.0.5 {port} five.lab.invalid true false"), format!("delete 127.0.0.5 {port}"));
    let parameters = ["interfaceIp", "port", "name", "secure"];
    effects.see_rows(
        SERVER,
        &parameters,
        (&add, &delete),
        (none.clone(), secured("DNS:five.lab.invalid")),
        || look("127.0.0.5"),
    )?;
    effects.see_rows(
        SERVER,
        &["clusterFqdn"],
        (
            &format!("add 127.0.0.7 {port} seven.lab.invalid true false clusterFqdn cluster.lab.invalid"),
            &format!("delete 127.0.0.7 {port}"),
        ),
        (none.clone(), secured("DNS:seven.lab.invalid, DNS:cluster.lab.invalid")),
        || look("127.0.0.7"),
    )?;
    effects.run(SERVER, &format!("add 127.0.0.6 {port} six.lab.invalid true false"))?;
    let row = format!("127.0.0.6 {port}");
    effects.see_rows(
        SERVER,
        &["clientAuthReq"],
        (&format!("set {row} clientAuthReq true"), &format!("set {row} clientAuthReq false")),
        (true, false),
        || Ok(look("127.0.0.6")?.1),
    )?;
    effects.see_rows(
        SERVER,
        &["secure"],
        (&format!("set {row} secure false"), &format!("set {row} secure true")),
        ((false, true), (true, false)),
        || look("127.0.0.6").map(|(plain, secure, _)| (plain, secure)),
    )?;
    let https = https_port(&lab)?;
    let both = || -> Result<(u16, u16)> {
        let ping = Curl::new(lab.ca()).get(&format!("{}/ping", lab.text("auth_service")))?;
        let alice = lab.subscriber(0);
        let profile = lab.curl(&alice).get(&lab.user_url(&alice, "profile"))?;
        Ok((ping.status, profile.status))
    };
    effects.see_rows(
        BINDING,
        &["interfaceIp", "port", "applicationName"],
        (
            &format!("add 127.0.0.1 {https} AuthenticationService"),
            &format!("delete 127.0.0.1 {https} AuthenticationService"),
        ),
        ((204, 200), (204, 404)),
        both,
    )?;
    effects.finish()
}

/// The names of a server's certificate; empty where it has none.
fn names(endpoint: &str) -> Result<String> {
    let script = format!(
        "openssl s_client -connect {endpoint} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName 2>/dev/null"
    );
    let output = Command::new("sh").args(["-c", &script]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().find(|line| line.contains("DNS:")).unwrap_or_default();
    Ok(names.trim().split(", ").filter(|name| name.starts_with("DNS:")).collect::<Vec<_>>().join(", "))
}
