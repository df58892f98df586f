//! Logins with passwords at all applications of one process: what is too much is too much everywhere, and for nobody else;
//! telephones; and what the log says of each refusal.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, CtiClient, Curl, Lab, PATIENCE, Response, Running, python, repository};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const FAILURES: &str = "ADP_CLI/Applications/AuthenticationService/FailureLimits";

/// curl from another address of this machine.
fn from(curl: Curl, last: u8) -> Curl {
    curl.args(["--interface", &format!("127.0.0.{last}")])
}

/// A request over CTI with Basic credentials; the status of the answer.
fn over_cti(lab: &Lab, user: &str, password: &str) -> Result<String> {
    use base64::Engine as _;
    let file = |name: &str| lab.description["cti"][name].as_str().unwrap_or_default().to_owned();
    let address = format!("127.0.0.1:{}", lab.description["cti"]["tls_port"]);
    let (certificate, key) = (file("client_cert"), file("client_key"));
    let mut connection =
        CtiClient::connect(&address, lab.ca(), Some((Path::new(&certificate), Path::new(&key))))?;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let id = 1;
    connection.send(&format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"18.0\"><requestId>{id}</requestId><sessionId>s1</sessionId><authorization>Basic {credentials}</authorization><cti:GetUserProfileRequest xmlns:cti=\"http://schema.broadsoft.com/CTI\"><uri>/com.broadsoft.xsi-actions/v2.0/user/{user}/profile</uri><method>GET</method><version>22.0</version><params></params><payload></payload></cti:GetUserProfileRequest></xsp:request>\n"
    ))?;
    loop {
        let answer = connection.next_message()?;
        if answer.contains("<xsp:response") {
            return Ok(answer);
        }
    }
}

/// Guesses at one application count at all of them; whoever is guessed goes on elsewhere, and who works beside the guesser
/// goes on there.
#[test]
fn guessing_at_one_application_is_refused_by_all_and_locks_nobody_out() -> Result<()> {
    let lab = Lab::start()?;
    let (alice, bo, works) = (lab.subscriber(0), lab.subscriber(1), lab.subscriber(2));
    let (profile, channels) = (lab.user_url(&alice, "profile"), lab.text("xsi_events").to_owned());
    let token = format!("{}/token?key=AAAA", lab.text("auth_service"));
    // Only accounts count over CTI: the lab's client certificate would do without.
    lab.administer(&[
        &format!("{FAILURES}> set failuresPerUserAndSource 4"),
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CertificateAuthentication> set allowClientApp false",
    ])?;
    let wrong = || Curl::new(lab.ca()).basic(&alice.user_id, "wrong");
    let here = |curl: Curl| from(curl, 1);
    here(lab.curl(&works)).get(&lab.user_url(&works, "profile"))?.expect_status(200)?;
    here(wrong()).get(&profile)?.expect_status(401)?;
    here(wrong()).get(&format!("{channels}/v2.0/user/{}/subscription", alice.user_id))?.expect_status(401)?;
    let cti = over_cti(&lab, &alice.user_id, "wrong")?;
    ensure!(cti.contains("401"), "{cti}");
    // The key is refused after the password is: this one is wrong in both, and counts for neither before the key is read.
    here(wrong()).get(&token)?.expect_status(400)?;
    here(wrong()).get(&profile)?.expect_status(401)?;

    let refused = |answer: Response| -> Result<()> {
        let answer = answer.expect_status(429)?;
        let seconds: u64 = answer.header("Retry-After").context("Retry-After")?.parse()?;
        ensure!((60..=901).contains(&seconds), "{answer:?}");
        Ok(())
    };
    let at_xsi = here(lab.curl(&alice)).get(&profile)?;
    ensure!(at_xsi.body.contains("210429"), "{at_xsi:?}");
    refused(at_xsi)?;
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB";
    let token = format!("{}/token?key={key}", lab.text("auth_service"));
    refused(here(lab.curl(&alice)).get(&token)?)?;
    let cti = over_cti(&lab, &alice.user_id, &alice.password)?;
    ensure!(cti.contains("210429"), "{cti}");

    // Elsewhere she goes on, at all of them, and so do others here.
    from(lab.curl(&alice), 2).get(&profile)?.expect_status(200)?;
    from(lab.curl(&alice), 2).get(&token)?.expect_status(200)?;
    here(lab.curl(&bo)).get(&lab.user_url(&bo, "profile"))?.expect_status(200)?;
    // Somebody tries one password with many names: who was at work here goes on, and who was not comes back later.
    lab.administer(&[&format!("{FAILURES}> set failureBurstPerSource 6 failuresPerMinutePerSource 1")])?;
    let mut spraying = Vec::new();
    for name in 0..4 {
        let guess = Curl::new(lab.ca()).basic(&format!("somebody{name}@lab.example"), "Summer2026");
        spraying.push(here(guess).get(&profile)?.status);
    }
    ensure!(spraying.ends_with(&[429]), "{spraying:?}");
    here(lab.curl(&works)).get(&lab.user_url(&works, "profile"))?.expect_status(200)?;
    let stranger = lab.subscriber(3);
    here(lab.curl(&stranger)).get(&lab.user_url(&stranger, "profile"))?.expect_status(429)?;
    from(lab.curl(&stranger), 2).get(&lab.user_url(&stranger, "profile"))?.expect_status(200)?;
    Ok(())
}

/// The account of a subscriber's desktop app for signalling, from the file that the app fetches.
fn signalling(lab: &Lab, account: &Account) -> Result<(String, String)> {
    let devices = lab.curl(account).get(&lab.user_url(account, "profile/device"))?.expect_status(200)?;
    let device = devices
        .body
        .split("<accessDevice>")
        .find(|part| part.contains("Business Communicator - PC"))
        .context("no such device")?;
    let device = Response { status: 200, headers: String::new(), body: device.to_owned() };
    let (user, password) = (device.text_of("userName"), device.text_of("password"));
    let file = Curl::new(lab.ca())
        .basic(user.context("userName")?, password.context("password")?)
        .get(&format!("{}/bc/pc/config-wxt.xml", lab.text("dms")))?
        .expect_status(200)?;
    let text = |name: &str| Ok(file.text_of(name).with_context(|| format!("no {name}"))?.to_owned());
    let text = |name: &str| -> Result<String> { text(name) };
    Ok((text("auth-user")?, text("auth-password")?))
}

/// The HTTPie plugin for this kind of credentials is let in, and refused with wrong ones as often as the limits say.
#[test]
fn telephones_log_in_with_their_accounts_for_signalling() -> Result<()> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0);
    let (sip_user, password) = signalling(&lab, &alice)?;
    let ask = |user: &str, sip_user: &str, password: &str| -> Result<u16> {
        let mut child = Command::new(python()?)
            .arg(repository().join("tests/clients/sip_login.py"))
            .args([&lab.user_url(&alice, "profile"), lab.text("ca")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let typed = format!("{user}\n{sip_user}\n{password}\n");
        child.stdin.take().context("standard input")?.write_all(typed.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    ensure!(ask(&alice.user_id, &sip_user, &password)? == 200, "right credentials are refused");
    ensure!(ask(&alice.user_id, "another", &password)? == 401, "another account's name is taken");
    lab.administer(&[&format!("{FAILURES}> set failuresPerUserAndSource 3")])?;
    ensure!(ask(&alice.user_id, &sip_user, "wrong")? == 401, "a wrong password is taken");
    ensure!(ask(&alice.user_id, &sip_user, &alice.password)? == 401, "the web password is taken");
    ensure!(ask(&alice.user_id, &sip_user, &password)? == 429, "there is no end to guessing");
    Ok(())
}

/// Every refusal has one line with its reason and the id that the client was told, and nothing that it sent.
#[test]
fn every_refusal_is_in_the_log_with_its_reason() -> Result<()> {
    let mut lab = Lab::seed()?;
    let running = Running::start(lab.command(&["lab", "--log-level", "info", "--log-format", "json"]))?;
    running.wait_for("The lab is ready")?;
    lab.process = Some(running);
    let lab = lab;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB";
    let (auth, profile) = (lab.text("auth_service"), lab.user_url(&alice, "profile"));
    let token = format!("{auth}/token?key={key}");
    let ci = |user: &Account, more: &str| -> Result<String> {
        let url = lab.description["identity_cloud"]["tokens"].as_str().context("an identity cloud")?;
        let form = format!("user={}{more}", user.user_id.replace('@', "%40"));
        let answer = Curl::new(lab.ca()).body(form).post(url)?.expect_status(200)?;
        let given: serde_json::Value = serde_json::from_str(&answer.body)?;
        Ok(given["access_token"].as_str().context("an access token")?.to_owned())
    };
    let fault = |form: &str| -> Result<()> {
        let url = lab.description["identity_cloud"]["faults"].as_str().context("an identity cloud")?;
        Curl::new(lab.ca()).body(form).post(url)?.expect_status(200).map(drop)
    };
    let login = lab.curl(&bo).post(&format!("{}/LoginToken", lab.user_url(&bo, "profile")))?;
    let login = login.expect_status(200)?.text_of("token").context("a token")?.to_owned();
    Curl::new(lab.ca())
        .header(&format!("Authorization: BroadWorksSSO {login}"))
        .get(&token)?
        .expect_status(200)?;

    let curl = || Curl::new(lab.ca());
    let nobody = Account { user_id: "nobody@lab.example".to_owned(), ..alice.clone() };
    let guessed = "PlantedWrongPassword4711";
    let shows = |kind: &str, text: &str| curl().header(&format!("Authorization: {kind} {text}"));
    let (no_scope, other_issuer) =
        (ci(&alice, "&scope=spark%3Akms")?, ci(&alice, "&issuer=https%3A%2F%2Felsewhere.example%2Fidb")?);
    let (expired, unknown, cut_off) = (ci(&alice, "&expires_in=-61")?, ci(&nobody, "")?, ci(&alice, "")?);
    let missing = format!("{auth}/token");
    let cases = [
        ("no-credentials", curl(), &token, 401, "noCredentials"),
        ("wrong-password", curl().basic(&alice.user_id, guessed), &token, 401, "credentials"),
        ("unknown-user", curl().basic(&nobody.user_id, guessed), &token, 401, "credentials"),
        ("a-token-for-a-token", curl().bearer("a.b.c"), &token, 401, "ci"),
        ("used-twice", shows("BroadWorksSSO", &login), &token, 401, "credentials"),
        (
            "no-telephone",
            shows("BroadWorksSIP", "basic=\"YTpi\", sipUser=\"YQ==\""),
            &token,
            401,
            "credentials",
        ),
        ("no-key", lab.curl(&alice), &missing, 400, "invalid_request"),
        ("no-scope", curl().bearer(&no_scope), &token, 403, "ciScope"),
        ("another-issuer", curl().bearer(&other_issuer), &token, 401, "ci"),
        ("expired", curl().bearer(&expired), &token, 401, "ci"),
        ("no-subscriber", curl().bearer(&unknown), &token, 403, "ci"),
        ("xsi-wrong-password", curl().basic(&alice.user_id, guessed), &profile, 401, "refused"),
        ("xsi-wrong-token", curl().bearer("a.b.c"), &profile, 401, "malformed"),
    ];
    let ids = |name: &str| format!("refusal-{name}");
    let ask = |name: &str, curl: &Curl, url: &str, status: u16| -> Result<()> {
        let answer = curl.clone().header(&format!("X-Request-Id: {}", ids(name))).get(url);
        let answer = answer?.expect_status(status).with_context(|| name.to_owned())?;
        ensure!(answer.header("X-Request-Id") == Some(ids(name).as_str()), "{name}: {answer:?}");
        Ok(())
    };
    for (name, curl, url, status, _) in &cases {
        ask(name, curl, url, *status)?;
    }
    fault("endpoint=introspection&fault=status&value=500")?;
    ask("cloud-down", &curl().bearer(&cut_off), &token, 503)?;
    lab.administer(&[
        &format!("{FAILURES}> set failuresPerUserAndSource 1"),
        "ADP_CLI/Applications/AuthenticationService/TokenLimits> set tokensPerMinutePerUser 1",
    ])?;
    ask("too-many-failures", &curl().basic(&nobody.user_id, guessed), &token, 429)?;
    ask("xsi-too-many-failures", &curl().basic(&nobody.user_id, guessed), &profile, 429)?;
    lab.curl(&lab.subscriber(4)).get(&token)?.expect_status(200)?;
    ask("too-many-tokens", &lab.curl(&lab.subscriber(4)), &token, 429)?;

    let lab_process = lab.process.as_ref().context("a lab")?;
    let reasons = cases.iter().map(|(name, .., reason)| (*name, *reason));
    let later = [
        ("cloud-down", "status"),
        ("too-many-failures", "failures"),
        ("xsi-too-many-failures", "failures"),
        ("too-many-tokens", "tokensOfUser"),
    ];
    for (name, reason) in reasons.chain(later) {
        let began = Instant::now();
        let (id, event) = (ids(name), ["tokenRefused", "loginRefused"]);
        loop {
            let log = lab_process.log();
            let of_it = |line: &&str| line.contains(&id) && event.iter().any(|event| line.contains(event));
            let lines: Vec<&str> = log.lines().filter(of_it).collect();
            match lines.as_slice() {
                [line] => {
                    let told = format!("\"reason\":\"{reason}");
                    ensure!(line.contains(&told), "{name}: no {reason} in {line}");
                    break;
                }
                [] if began.elapsed() < PATIENCE => std::thread::yield_now(),
                _ => anyhow::bail!("{name}: {lines:?}"),
            }
        }
    }
    let log = lab_process.log();
    for secret in [guessed, &login, &no_scope, &other_issuer, &expired, &unknown, &cut_off] {
        ensure!(!log.contains(secret), "a secret is in the log");
    }
    Ok(())
}
