//! Who says that they are somebody else: credentials, tokens, and requests for tokens.

use crate::{Report, cti, error_info, lab, user};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openadp_keystore::KeyStore;
use openadp_settings::MachineKey;
use openadp_suite::{Curl, Lab, Plain, Response, python, repository};
use openadp_token::{Claims, issue};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

/// Step 1 with tools that are not ours.
fn sign_in(lab: &Lab) -> Result<String> {
    let alice = lab.subscriber(0);
    let output = Command::new(repository().join("tests/clients/sign_in.sh"))
        .args([lab.text("auth_service"), lab.text("ca"), &alice.user_id, &alice.password])
        .env("PYTHON", python()?)
        .output()?;
    ensure!(output.status.success(), "sign_in.sh: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn header_of(token: &str) -> Result<serde_json::Value> {
    let part = token.split('.').next().unwrap_or_default();
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

#[test]
fn wrong_credentials_are_refused_alike() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    let path = user(&alice, "profile");
    let basic = |text: &[u8]| format!("Authorization: Basic {}", STANDARD.encode(text));
    let right = format!("{}:{}", alice.user_id, alice.password);
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("none", vec![]),
        ("wrong password", vec![basic(format!("{}:wrong", alice.user_id).as_bytes())]),
        ("unknown user", vec![basic(b"nobody@lab.example:wrong")]),
        ("no password", vec![basic(format!("{}:", alice.user_id).as_bytes())]),
        ("no colon", vec![basic(alice.user_id.as_bytes())]),
        ("no user", vec![basic(b":password")]),
        ("empty", vec!["Authorization: Basic ".to_owned()]),
        ("no scheme", vec![format!("Authorization: {}", STANDARD.encode(&right))]),
        ("unknown scheme", vec![format!("Authorization: Negotiate {}", STANDARD.encode(&right))]),
        ("no base64", vec!["Authorization: Basic !!!!".to_owned()]),
        ("a NUL inside", vec![basic(format!("{}\0:{}", alice.user_id, alice.password).as_bytes())]),
        ("a line feed behind", vec![basic(format!("{right}\n").as_bytes())]),
        ("invalid UTF-8", vec![basic(b"\xff\xfe:\xc3\x28")]),
        (
            "another case of the password",
            vec![basic(format!("{}:{}", alice.user_id, alice.password.to_uppercase()).as_bytes())],
        ),
        ("SQL", vec![basic(b"' OR 1=1 --:x")]),
        ("long", vec![basic(&[b'a'; 9_000])]),
        ("two of them", vec![basic(right.as_bytes()), basic(right.as_bytes())]),
        (
            "an administrator's name",
            vec![basic(format!("{}:{}", lab.administrator("system").user_id, alice.password).as_bytes())],
        ),
    ];
    let refused = |headers: &[String]| {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = error_info("credentials", plain.request("GET", &path, &headers, "")?, 401)?;
        let challenge = answer.header("WWW-Authenticate").map(str::to_owned);
        ensure!(challenge.as_deref() == Some("Basic realm=\"XtendedServicesInterface\""), "{answer:?}");
        ensure!(
            !answer.body.contains(&alice.user_id) && !answer.body.contains(&alice.password),
            "{answer:?}"
        );
        Ok(answer.body)
    };
    let (mut report, mut bodies) = (Report::default(), Vec::new());
    for (what, headers) in &cases {
        report.note(what, refused(headers).map(|body| bodies.push(body)));
    }
    // One text for all: nobody learns which of their guesses was near.
    bodies.dedup();
    report.note("all alike", if bodies.len() == 1 { Ok(()) } else { Err(anyhow::anyhow!("{bodies:?}")) });
    report.end()?;
    plain.request("GET", &path, &[&basic(right.as_bytes())], "")?.expect_status(200)?;
    plain.others_are_served()
}

#[test]
fn only_a_token_of_this_installation_proves_anything() -> Result<()> {
    let (lab, plain) = lab()?;
    let other = Lab::start()?;
    let alice = lab.subscriber(0);
    let (token, foreign) = (sign_in(&lab)?, sign_in(&other)?);
    let path = user(&alice, "profile");
    let try_token =
        |token: &str| plain.request("GET", &path, &[&format!("Authorization: Bearer {token}")], "");
    try_token(&token)?.expect_status(200)?;
    let good = elsewhere(&lab, &plain, &token)?;
    ensure!(
        good == [("Xsi-Events", 404), ("DMS", 200), ("CTI", 200), ("CTI, single sign-on", 200)],
        "{good:?}"
    );

    let mut forged: BTreeMap<String, String> = forge(&lab, &token)?;
    forged.insert("another installation's".to_owned(), foreign);
    forged.insert("empty".to_owned(), String::new());
    for (name, token) in signed_with_the_real_key(&lab, &token)? {
        if name == "as it should be" {
            // Made the same way as those below, so it is what is said in them that gets them refused.
            try_token(&token)?.expect_status(200)?;
        } else {
            forged.insert(name.to_owned(), token);
        }
    }
    let key = public_key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])?;
    let mint = format!("/authService/token?key={key}");
    let refused = |token: &str| {
        let answer = error_info("token", try_token(token)?, 401)?;
        ensure!(token.len() < 20 || !answer.body.contains(token), "the token comes back: {answer:?}");
        for (application, status) in elsewhere(&lab, &plain, token)? {
            ensure!(status == 401, "{application} answers {status}");
        }
        // Nobody gets a token for one.
        let bearer = format!("Authorization: Bearer {token}");
        let minted = plain.request("GET", &mint, &[&bearer], "")?;
        ensure!(minted.status == 401, "{minted:?}");
        // Introspection gives no more away than that.
        let body = format!("token={token}");
        let form = "Content-Type: application/x-www-form-urlencoded";
        let answer = plain.request("POST", "/authService/validate", &[form], body)?;
        ensure!(
            (answer.status == 200 && answer.body.replace(' ', "").contains("\"active\":false"))
                || answer.status == 400,
            "introspection: {answer:?}"
        );
        Ok(())
    };
    let mut report = Report::default();
    for (name, token) in &forged {
        report.note(name, refused(token));
    }
    report.end()?;
    try_token(&token)?.expect_status(200)?;
    plain.others_are_served()
}

/// The status that each of the other applications that accept tokens gives to one.
fn elsewhere(lab: &Lab, plain: &Plain, token: &str) -> Result<Vec<(&'static str, u16)>> {
    let alice = lab.subscriber(0);
    let bearer = format!("Authorization: Bearer {token}");
    let nowhere = format!("{}/channel/00000000-0000-4000-8000-000000000000/heartbeat", crate::EVENTS);
    let events = plain.request("PUT", &nowhere, &[&bearer], "")?.status;
    let file = format!("{}/bc/pc/config-wxt.xml", lab.text("dms"));
    let device = Curl::new(lab.ca()).header(&bearer).get(&file)?.status;
    let sso = STANDARD.encode(format!("{}:{token}", alice.user_id));
    let shown = token.replace('<', "&lt;").replace('&', "&amp;");
    Ok(vec![
        ("Xsi-Events", events),
        ("DMS", device),
        ("CTI", cti::profile(lab, &format!("<authorization>Bearer {shown}</authorization>"))?),
        ("CTI, single sign-on", cti::profile(lab, &format!("<ssoCredentials>{sso}</ssoCredentials>"))?),
    ])
}

/// Forgeries by tools that are not ours.
fn forge(lab: &Lab, token: &str) -> Result<BTreeMap<String, String>> {
    let keys = Curl::new(lab.ca()).get(&format!("{}/keys", lab.text("auth_service")))?.expect_status(200)?;
    let file = lab.data_dir.join("public-keys.json");
    std::fs::write(&file, keys.body)?;
    let mut child = Command::new(python()?)
        .arg(repository().join("tests/clients/forge_tokens.py"))
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("standard input")?.write_all(token.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "forge_tokens.py failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Tokens that only the installation itself could sign, with claims that do not hold.
fn signed_with_the_real_key(lab: &Lab, token: &str) -> Result<Vec<(&'static str, String)>> {
    let payload = token.split('.').nth(1).context("payload")?;
    let real: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    let machine_key =
        MachineKey::load(&lab.data_dir.join("settings/machine.key"))?.context("the machine key")?;
    let keystore = KeyStore::open(&lab.data_dir, machine_key)?;
    let now = i64::try_from(UNIX_EPOCH.elapsed()?.as_secs())?;
    let made = |change: &dyn Fn(&mut Claims)| {
        let mut claims = Claims::new(&real.iss, &real.sub, &["pwd"], now, 24);
        change(&mut claims);
        issue(&keystore, &claims).context("signing")
    };
    let day = 24 * 3600;
    let all = vec![
        ("as it should be", made(&|_| ())?),
        ("expired", made(&|c| (c.iat, c.nbf, c.exp) = (now - 2 * day, now - 2 * day, now - day))?),
        ("expired a while ago", made(&|c| (c.iat, c.nbf, c.exp) = (now - day, now - day, now - 600))?),
        ("not valid yet", made(&|c| (c.iat, c.nbf, c.exp) = (now + day, now + day, now + 2 * day))?),
        ("of another issuer", made(&|c| c.iss = "https://elsewhere.invalid".into())?),
        ("for another audience", made(&|c| c.aud = vec!["elsewhere".to_owned()])?),
        ("of another kind", made(&|c| c.kind = "slt".into())?),
        ("of another version", made(&|c| c.ver = 99)?),
        ("of an unknown user", made(&|c| c.sub = "nobody@lab.example".into())?),
        ("of nobody", made(&|c| c.sub = String::new())?),
        ("living too long", made(&|c| c.exp = now + 10_000 * day)?),
    ];
    ensure!(header_of(token)? == header_of(&all[0].1)?, "signed by the same key in the same way");
    Ok(all)
}

/// authservice.md 3.1: every error is JSON with `error`, `error_description` and `tracking_id`.
fn service_error(answer: &Response, status: u16, code: &str) -> Result<()> {
    ensure!(answer.status == status, "expected {status} {code}: {answer:?}");
    let body: serde_json::Value =
        serde_json::from_str(&answer.body).with_context(|| format!("{answer:?}"))?;
    ensure!(body["error"] == code, "expected {code}: {answer:?}");
    for member in ["error_description", "tracking_id"] {
        ensure!(body[member].as_str().is_some_and(|text| !text.is_empty()), "no {member}: {answer:?}");
    }
    ensure!(answer.header("Cache-Control") == Some("no-store"), "{answer:?}");
    Ok(())
}

fn public_key(algorithm: &[&str]) -> Result<String> {
    let private = Command::new("openssl").arg("genpkey").args(algorithm).stderr(Stdio::null()).output()?;
    let mut child = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("standard input")?.write_all(&private.stdout)?;
    Ok(URL_SAFE_NO_PAD.encode(child.wait_with_output()?.stdout))
}

/// Its name, the method, path, headers and body of a request, and the status and error code of its answer.
type Case<'a> = (&'a str, &'a str, String, Vec<&'a str>, Vec<u8>, u16, &'a str);

#[test]
fn the_authentication_service_names_each_mistake() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    let good = public_key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])?;
    let small = public_key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"])?;
    let elliptic = public_key(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])?;
    let basic = Plain::basic(&alice);
    let json = "Content-Type: application/json";
    let wrong = format!("Authorization: Basic {}", STANDARD.encode(format!("{}:wrong", alice.user_id)));
    let unknown = format!("Authorization: Basic {}", STANDARD.encode("nobody@lab.example:wrong"));
    let token = format!("/authService/token?key={good}");
    let query = |key: &str| format!("/authService/token?key={key}");
    let cases: Vec<Case<'_>> = vec![
        ("no credentials", "GET", token.clone(), vec![], vec![], 401, "invalid_client"),
        ("wrong password", "GET", token.clone(), vec![&wrong], vec![], 401, "invalid_client"),
        ("unknown user", "GET", token.clone(), vec![&unknown], vec![], 401, "invalid_client"),
        ("bearer", "GET", token.clone(), vec!["Authorization: Bearer abc"], vec![], 401, "invalid_token"),
        ("no key", "GET", "/authService/token".to_owned(), vec![&basic], vec![], 400, "invalid_request"),
        ("empty key", "GET", query(""), vec![&basic], vec![], 400, "invalid_request"),
        ("no base64", "GET", query("*not*base64*"), vec![&basic], vec![], 400, "invalid_request"),
        ("no key inside", "GET", query("AAAA"), vec![&basic], vec![], 400, "invalid_request"),
        ("key cut", "GET", query(&good[..200]), vec![&basic], vec![], 400, "invalid_request"),
        ("small key", "GET", query(&small), vec![&basic], vec![], 400, "invalid_request"),
        ("elliptic key", "GET", query(&elliptic), vec![&basic], vec![], 400, "invalid_request"),
        ("long key", "GET", query(&"A".repeat(3_000)), vec![&basic], vec![], 400, "invalid_request"),
        ("two keys", "GET", format!("{token}&key={good}"), vec![&basic], vec![], 400, "invalid_request"),
        (
            "key in both places",
            "POST",
            token.clone(),
            vec![&basic, json],
            format!("{{\"key\":\"{good}\"}}").into_bytes(),
            400,
            "invalid_request",
        ),
        (
            "another type",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, "Content-Type: text/plain"],
            b"x".to_vec(),
            400,
            "invalid_request",
        ),
        (
            "broken JSON",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, json],
            b"{\"key\":".to_vec(),
            400,
            "invalid_request",
        ),
        (
            "nested JSON",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, json],
            vec![b'['; 10_000],
            400,
            "invalid_request",
        ),
        (
            "JSON of another shape",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, json],
            b"{\"key\":{\"a\":1}}".to_vec(),
            400,
            "invalid_request",
        ),
        (
            "invalid UTF-8",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, json],
            b"{\"key\":\"\xff\xfe\"}".to_vec(),
            400,
            "invalid_request",
        ),
        (
            "large body",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, json],
            vec![b' '; 100_000],
            400,
            "invalid_request",
        ),
        (
            "larger than the container takes",
            "POST",
            "/authService/token".to_owned(),
            vec![&basic, json],
            vec![b' '; 1_200_000],
            400,
            "invalid_request",
        ),
        (
            "no such resource",
            "GET",
            "/authService/no/such".to_owned(),
            vec![&basic],
            vec![],
            404,
            "not_found",
        ),
        (
            "nothing to validate",
            "POST",
            "/authService/validate".to_owned(),
            vec![],
            b"x=y".to_vec(),
            400,
            "invalid_request",
        ),
        (
            "validation for a stranger",
            "POST",
            "/authService/validate".to_owned(),
            vec!["X-Forwarded-For: 192.0.2.7"],
            b"token=x".to_vec(),
            404,
            "not_found",
        ),
    ];
    let mut report = Report::default();
    for (what, method, path, headers, body, status, code) in &cases {
        let outcome = plain
            .request(method, path, headers, body)
            .and_then(|answer| service_error(&answer, *status, code))
            .and_then(|()| plain.others_are_served());
        report.note(what, outcome);
    }
    for (method, path, allow) in [
        ("PUT", "/authService/token", "GET, POST"),
        ("DELETE", "/authService/token", "GET, POST"),
        ("POST", "/authService/keys", "GET"),
        ("GET", "/authService/validate", "POST"),
    ] {
        report.note(
            path,
            (|| {
                let answer = plain.request(method, path, &[&basic], "")?;
                service_error(&answer, 405, "method_not_allowed")?;
                ensure!(answer.header("Allow") == Some(allow), "{answer:?}");
                Ok(())
            })(),
        );
    }
    report.end()?;

    // Somebody who goes on guessing is told to slow down; nobody else is.
    let mut told = false;
    for _ in 0..200 {
        let answer = plain.request("GET", &token, &[&wrong], "")?;
        if answer.status == 429 {
            service_error(&answer, 429, "slow_down")?;
            ensure!(
                answer.header("Retry-After").and_then(|s| s.parse::<u64>().ok()).is_some_and(|s| s > 0),
                "{answer:?}"
            );
            told = true;
            break;
        }
        service_error(&answer, 401, "invalid_client")?;
    }
    ensure!(told, "two hundred guesses were answered one like the other");
    plain.others_are_served()?;
    let bo = Plain::basic(&lab.subscriber(1));
    plain.request("GET", &token, &[&bo], "")?.expect_status(200)?;
    Ok(())
}
