//! Requests that are none, or that nobody asked for: paths, methods, heads, lengths.

use crate::{ACTIONS, EVENTS, error_info, lab, user};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::Plain;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

#[test]
fn unknown_things_are_named_as_such() -> Result<()> {
    let (lab, plain) = lab()?;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let mut cases: Vec<(&str, String, &[u16])> = vec![
        ("GET", user(&alice, "calls/callhalf-0:0"), &[404]),
        ("DELETE", user(&alice, "calls/callhalf-0:0"), &[404]),
        ("PUT", user(&alice, "calls/callhalf-0:0/Talk"), &[404]),
        ("PUT", user(&alice, "calls/callhalf-0:0/Juggle"), &[404]),
        ("POST", user(&alice, "calls/new"), &[400]),
        ("POST", user(&alice, "calls/new?address="), &[400]),
        ("POST", user(&alice, "calls/new?addres=1002"), &[400]),
        ("GET", user(&alice, "services/NoSuchService"), &[404]),
        ("GET", user(&alice, "directories/NoSuchDirectory"), &[404]),
        ("GET", user(&alice, "directories/CallLogs/NoSuchKind"), &[404]),
        ("GET", user(&alice, "profile/device/NoSuchDevice"), &[404]),
        ("GET", user(&alice, "no/such/resource"), &[404]),
        ("GET", format!("{ACTIONS}/user/nobody@lab.example/profile"), &[403, 404]),
        ("GET", format!("{ACTIONS}/user//profile"), &[403, 404]),
        ("GET", user(&bo, "profile"), &[403, 404]),
        ("GET", user(&bo, "calls"), &[403, 404]),
        ("PUT", format!("{EVENTS}/channel/00000000-0000-4000-8000-000000000000/heartbeat"), &[404]),
        ("DELETE", format!("{EVENTS}/channel/not-even-an-id"), &[404]),
        ("GET", format!("{EVENTS}/subscription/00000000-0000-4000-8000-000000000000"), &[403, 404]),
        ("DELETE", format!("{EVENTS}/subscription/x"), &[403, 404]),
        ("GET", "/com.broadsoft.xsi-actions/v9.9/versions".to_owned(), &[404]),
        ("GET", "/com.broadsoft.xsi-actions/".to_owned(), &[404]),
        ("GET", "/com.broadsoft.xsi-actions".to_owned(), &[404]),
    ];
    // Ids that are anything but ids.
    for odd in [
        "%00",
        "%0d%0aX-Injected:%201",
        "'%20OR%20'1'='1",
        "%ff%fe",
        "%25252e",
        "..%2f..%2fetc%2fpasswd",
        "%F0%9F%92%A9",
        "a%2Fb",
    ] {
        cases.push(("GET", format!("{ACTIONS}/user/{odd}/profile"), &[400, 403, 404]));
        cases.push(("GET", user(&alice, &format!("calls/{odd}")), &[400, 404]));
        cases.push(("GET", format!("{EVENTS}/subscription/{odd}"), &[400, 403, 404]));
    }
    cases.push(("GET", user(&alice, &format!("calls/{}", "9".repeat(8_000))), &[400, 404]));
    for (method, path, statuses) in cases {
        let answer = plain.request_as(&alice, method, &path, "").with_context(|| path.clone())?;
        ensure!(statuses.contains(&answer.status), "{method} {path}: {answer:?}");
        ensure!(answer.header("X-Injected").is_none(), "{method} {path}: {answer:?}");
        if answer.status != 400 || !path.contains("..") {
            let status = answer.status;
            error_info(&path, answer, status)?;
        }
    }
    // Parameters that mean nothing change nothing; numbers that are none count as absent.
    for query in
        ["start=-1&results=x", "start=99999999999999999999&results=0", "no=such&parameter", "%zz=%", "&&==&"]
    {
        let answer =
            plain.request_as(&alice, "GET", &user(&alice, &format!("directories/Enterprise?{query}")), "")?;
        ensure!(answer.status == 200, "{query}: {answer:?}");
    }
    plain.others_are_served()
}

#[test]
fn wrong_methods_are_told_which_are_right() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    for (method, path, allow) in [
        ("PUT", user(&alice, "profile"), "GET"),
        ("DELETE", user(&alice, "services/DoNotDisturb"), "GET, PUT"),
        ("GET", user(&alice, "calls/new?address=1002"), "POST"),
        ("POST", user(&alice, "calls"), "GET"),
        ("POST", format!("{ACTIONS}/versions"), "GET"),
        ("PUT", user(&alice, "directories/Enterprise"), "GET"),
        ("GET", user(&alice, "calls/callhalf-1:0/Hold"), "PUT"),
        ("GET", format!("{EVENTS}/channel/eventresponse"), "POST"),
        ("PATCH", user(&alice, "profile"), "DELETE, GET, POST, PUT"),
        ("BREW", user(&alice, "profile"), "DELETE, GET, POST, PUT"),
    ] {
        let answer = error_info(&path, plain.request_as(&alice, method, &path, "")?, 405)?;
        ensure!(answer.header("Allow") == Some(allow), "{method} {path}: {answer:?}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = plain.request_as(&alice, method, "/dms/bc/pc/config-wxt.xml", "x")?;
        ensure!(answer.status == 405 && answer.header("Allow") == Some("GET, HEAD"), "{method}: {answer:?}");
    }
    for method in ["TRACE", "CONNECT"] {
        let answer = plain.request_as(&alice, method, "/", "")?;
        ensure!(matches!(answer.status, 400 | 405), "{method}: {answer:?}");
        ensure!(!answer.body.contains("Authorization"), "{method} gives credentials back: {answer:?}");
    }
    plain.others_are_served()
}

#[test]
fn tricks_with_paths_lead_nowhere() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    let secret = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let secret = secret.lines().next().unwrap_or("root:x:0:0");
    for below in [
        "%00",
        "config-wxt.xml%00",
        "config-wxt.xml%00.png",
        "../../../../../../etc/passwd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
        "..\\..\\..\\etc\\passwd",
        "..%5c..%5cetc%5cpasswd",
        "//etc/passwd",
        "//config-wxt.xml",
        "./config-wxt.xml",
        "config-wxt.xml;a=b",
        "config-wxt.xml%20",
        "config-wxt.xml.",
        "config-wxt%2exml/",
        "%c0%ae%c0%ae/etc/passwd",
        "CONFIG-WXT.XML",
        "%",
        "%2",
        "%zz",
        "*",
        "~root/x",
    ] {
        for path in [format!("/dms/bc/pc/{below}"), format!("/DMS/{below}"), format!("/dms//bc/pc/{below}")] {
            for credentials in [None, Some(Plain::basic(&alice))] {
                let headers: Vec<&str> = credentials.iter().map(String::as_str).collect();
                let answer = plain.request("GET", &path, &headers, "").with_context(|| path.clone())?;
                ensure!(matches!(answer.status, 400 | 401 | 404 | 429), "{path}: {answer:?}");
                ensure!(
                    !answer.body.contains(secret) && !answer.body.contains("<config"),
                    "{path}: {answer:?}"
                );
                ensure!(answer.header("Location").is_none(), "{path}: {answer:?}");
            }
        }
        // The same below XSI, where an id follows.
        let path = format!("{ACTIONS}/{below}");
        let answer = plain.request_as(&alice, "GET", &path, "").with_context(|| path.clone())?;
        ensure!(matches!(answer.status, 400 | 403 | 404), "{path}: {answer:?}");
    }
    for path in [
        "/",
        "//",
        "/..",
        "/%2e%2e/dms",
        "/x",
        "/server-status",
        "/.git/config",
        "/metrics",
        "/com.broadsoft.xsi-actionsx",
        "//com.broadsoft.xsi-actions/v2.0/versions",
        "/x/../com.broadsoft.xsi-actions/v2.0/versions",
        "/com.broadsoft.xsi-actions/%2e%2e/com.broadsoft.xsi-events/v2.0/versions",
    ] {
        let answer = plain.request_as(&alice, "GET", path, "").with_context(|| path.to_owned())?;
        ensure!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    plain.others_are_served()
}

/// Requests whose end two programs could see in different places, and heads that are none: refused, and nothing that was
/// smuggled behind them is answered.
#[test]
fn heads_that_are_none_end_the_connection() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    let basic = Plain::basic(&alice);
    let service = user(&alice, "services/DoNotDisturb");
    let hidden = format!("GET {ACTIONS}/versions HTTP/1.1\r\nHost: localhost\r\n{basic}\r\n\r\n");
    let put = |headers: &str, body: &str| {
        format!("PUT {service} HTTP/1.1\r\nHost: localhost\r\n{basic}\r\n{headers}\r\n\r\n{body}")
            .into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "both lengths",
            put("Content-Length: 5\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{hidden}")),
        ),
        (
            "both lengths, other order",
            put("Transfer-Encoding: chunked\r\nContent-Length: 5", &format!("0\r\n\r\n{hidden}")),
        ),
        ("two lengths", put("Content-Length: 0\r\nContent-Length: 5", &hidden)),
        ("a list of lengths", put("Content-Length: 0, 5", &hidden)),
        ("a negative length", put("Content-Length: -1", &hidden)),
        ("a signed length", put("Content-Length: +5", &hidden)),
        ("a hexadecimal length", put("Content-Length: 0x5", &hidden)),
        ("a huge length", put("Content-Length: 99999999999999999999999", &hidden)),
        ("an unknown coding", put("Transfer-Encoding: gzip", &hidden)),
        ("a coding in disguise", put("Transfer-Encoding: xchunked", &hidden)),
        (
            "a coding twice",
            put("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", &format!("0\r\n\r\n{hidden}")),
        ),
        ("a blank before the colon", put("Content-Length : 5", &hidden)),
        ("a folded line", put("X-A: b\r\n c: d", &hidden)),
        ("a NUL in a value", put("X-A: b\0c", &hidden)),
        ("no name", put(": x", &hidden)),
        ("a chunk size that is none", put("Transfer-Encoding: chunked", &format!("zz\r\n\r\n{hidden}"))),
        (
            "a chunk size too large",
            put("Transfer-Encoding: chunked", &format!("fffffffffffffffff\r\n\r\n{hidden}")),
        ),
        ("a negative chunk", put("Transfer-Encoding: chunked", &format!("-1\r\n\r\n{hidden}"))),
        (
            "a chunk without its end",
            put("Transfer-Encoding: chunked", &format!("3\r\nabcd\r\n0\r\n\r\n{hidden}")),
        ),
        ("no version", format!("GET {ACTIONS}/versions\r\n\r\n{hidden}").into_bytes()),
        ("another version", format!("GET / HTTP/3.7\r\nHost: x\r\n\r\n{hidden}").into_bytes()),
        ("blanks in the target", format!("GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n{hidden}").into_bytes()),
        (
            "no head at all",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello hello hello\r\n\r\n".to_vec(),
        ),
        ("a bare line feed in a name", put("X-\nA: b", &hidden)),
    ];
    for (what, bytes) in cases {
        let mut connection = plain.connect()?;
        // It may end the connection before everything is written.
        let sent = connection.send(&bytes).and_then(|()| connection.end_writing());
        let all = connection.until_end().with_context(|| format!("{what}, sent: {sent:?}"))?;
        let text = String::from_utf8_lossy(&all);
        let statuses: Vec<&str> =
            text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)).collect();
        ensure!(!statuses.contains(&"200"), "{what}: something got through: {text}");
        ensure!(statuses.len() <= 1, "{what}: more than one answer: {text}");
        if let Some(status) = statuses.first() {
            ensure!(
                matches!(*status, "400" | "408" | "411" | "413" | "431" | "501" | "505"),
                "{what}: {text}"
            );
        }
        plain.others_are_served()?;
    }
    Ok(())
}

#[test]
fn heads_have_limits() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    let basic = Plain::basic(&alice);
    let path = user(&alice, "profile");
    // Within: fine.
    let fields: Vec<String> = (0..50).map(|number| format!("X-Field-{number}: value")).collect();
    let mut headers: Vec<&str> = fields.iter().map(String::as_str).collect();
    headers.push(&basic);
    plain.request("GET", &path, &headers, "")?.expect_status(200)?;
    // Beyond: 431, or 414 for the target.
    let many: Vec<String> = (0..150).map(|number| format!("X-Field-{number}: value")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let large = format!("X-Large: {}", "v".repeat(60_000));
    for (what, headers, target) in [
        ("many fields", many, path.clone()),
        ("a large field", vec![large.as_str()], path.clone()),
        ("a long target", vec![], format!("{path}?{}", "q".repeat(70_000))),
    ] {
        let answer = plain.request("GET", &target, &headers, "").with_context(|| what.to_owned())?;
        ensure!(matches!(answer.status, 414 | 431), "{what}: {answer:?}");
        plain.others_are_served()?;
    }
    // No Host, and two: which is meant?
    for head in ["", "Host: a\r\nHost: b\r\n"] {
        let mut connection = plain.connect()?;
        connection.send(format!("GET {path} HTTP/1.1\r\n{head}{basic}\r\n\r\n"))?;
        let answer = connection.response()?;
        ensure!(answer.status == 400, "{head:?}: {answer:?}");
    }
    plain.others_are_served()
}

/// The answer must not overtake the body: curl takes the reset that follows for a failure and shows no answer at all.
#[test]
fn a_refusal_waits_for_the_body_that_nobody_wants() -> Result<()> {
    let (lab, plain) = lab()?;
    for version in ["--http2", "--http1.1"] {
        for url in [
            format!("{}/v2.0/user/{}/calls/new", lab.text("xsi_actions"), lab.subscriber(0).user_id),
            format!("{}/notifications", lab.text("nps")),
        ] {
            let mut curl = Command::new("curl")
                .args(["--silent", "--verbose", "--max-time", "60", version, "--request", "POST"])
                .args([
                    "--header",
                    "Expect:",
                    "--upload-file",
                    "-",
                    "--write-out",
                    "\n%{http_code}",
                    "--cacert",
                ])
                .arg(lab.ca())
                .arg(&url)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut said = BufReader::new(curl.stderr.take().context("standard error")?).lines();
            // The head is on its way.
            while !said.next().context("curl ended")??.starts_with("> POST") {}
            curl.stdin.take().context("standard input")?.write_all(b"{\"late\":true}")?;
            for line in said {
                line?;
            }
            let answer = String::from_utf8(curl.wait_with_output()?.stdout)?;
            ensure!(answer.ends_with("401") || answer.ends_with("403"), "{version} {url}: {answer}");
        }
    }
    plain.others_are_served()
}
