//! Secrets stay secret: with everything logged, the steps are gone through with secrets that are easy to recognise, right
//! ones and wrong ones; afterwards no log, metric, file, answer or command line holds one of them.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use openadp_suite::{
    Account, CtiClient, Curl, EventChannel, Lab, Plain, Running, binary, python, repository,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAMESPACE: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";
const NPS: &str = "ADP_CLI/Applications/NotificationPushServer";

/// Something that must not be found, and what it is.
struct Needle {
    what: String,
    bytes: Vec<u8>,
}

/// What is looked for: each secret as it is and as protocols carry it.
#[derive(Default)]
struct Needles(Vec<Needle>);

impl Needles {
    fn plant(&mut self, what: &str, secret: &str) {
        for (form, text) in [
            ("as it is", secret.to_owned()),
            ("in base64", STANDARD_NO_PAD.encode(secret)),
            ("in hexadecimal", secret.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ] {
            self.0.push(Needle { what: format!("{what}, {form}"), bytes: text.into_bytes() });
        }
    }
    /// User id and password, as a header carries them.
    fn plant_basic(&mut self, what: &str, user: &str, password: &str) {
        self.plant(what, password);
        let pair = STANDARD_NO_PAD.encode(format!("{user}:{password}"));
        self.0.push(Needle { what: format!("{what}, as Basic credentials"), bytes: pair.into_bytes() });
    }
    /// Every line of a PEM file's body, and the key's own bytes.
    fn plant_pem(&mut self, what: &str, pem: &str) -> Result<()> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(&body)?;
        // The beginning is the same for all keys of a kind.
        let middle = der.get(der.len() / 2..der.len() / 2 + 24).context("a short key")?;
        self.0.push(Needle { what: format!("{what}, DER"), bytes: middle.to_vec() });
        for line in pem.lines().filter(|line| line.len() == 64).skip(1) {
            self.0.push(Needle { what: format!("{what}, a line"), bytes: line.as_bytes().to_vec() });
        }
        Ok(())
    }
    /// The secrets that are found in these bytes.
    fn found_in(&self, place: &str, haystack: &[u8], found: &mut Vec<String>) {
        for needle in &self.0 {
            if contains(haystack, &needle.bytes) {
                found.push(format!("{place}: {}", needle.what));
            }
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else { return false };
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let Some(from) = rest.get(at..) else { return false };
        if from.starts_with(needle) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}

fn openssl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("openssl").args(arguments).stderr(Stdio::null()).output()?;
    ensure!(output.status.success(), "openssl {arguments:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Every application in one process, the push server in another, everything logged.
struct Hosts {
    all: Vec<Running>,
    metrics: [u16; 2],
}

fn start(lab: &Lab) -> Result<Hosts> {
    let base = lab.port_base();
    let metrics = [base + 16, base + 17];
    let host = |applications: &str, ports: &[u16], metrics: u16| {
        let mut command = Command::new(binary("adp"));
        command.args(["run", "--application", applications, "--log-level", "trace", "--log-format", "json"]);
        for port in ports {
            command.args(["--interface", &format!("127.0.0.1:{port}")]);
        }
        command.args(["--metrics", &format!("127.0.0.1:{metrics}")]).arg("--data-dir").arg(&lab.data_dir);
        let running = Running::start(command)?;
        running.wait_for("ready")?;
        anyhow::Ok(running)
    };
    let mut stand_ins = Command::new(binary("adp"));
    stand_ins.arg("stand-ins").arg("--data-dir").arg(&lab.data_dir);
    let stand_ins = Running::start(stand_ins)?;
    stand_ins.wait_for("stand-ins are ready")?;
    let all = vec![
        host("authservice,xsi,cti,dms", &[base, base + 1, base + 2, base + 23], metrics[0])?,
        host("nps", &[base + 3], metrics[1])?,
        stand_ins,
    ];
    Ok(Hosts { all, metrics })
}

/// Keys of push providers and other secrets, given to the CLI as an administrator would.
fn configure(lab: &Lab, folder: &Path, needles: &mut Needles) -> Result<()> {
    let p8 = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])?;
    let rsa = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])?;
    needles.plant_pem("the APNs key", &p8)?;
    needles.plant_pem("the service account's key", &rsa)?;
    let account = serde_json::json!({
        "type": "service_account", "project_id": "planted-project", "private_key_id": "0123456789abcdef",
        "private_key": rsa, "client_email": "planted@planted-project.iam.gserviceaccount.com", "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
    });
    let (p8_file, json_file) = (folder.join("planted.p8"), folder.join("planted.json"));
    std::fs::write(&p8_file, &p8)?;
    std::fs::write(&json_file, account.to_string())?;
    needles.plant("the shared secret", "PlantedSharedSecret4711");
    needles.plant("a refused secret", "PlantedRefusedSecret0815");
    lab.administer(&[
        &format!("{NPS}/APNS/AuthKey> add PLANTEDKEY PLANTEDTEA {}", p8_file.display()),
        &format!("{NPS}/FCM/Projects> add planted-project {}", json_file.display()),
        &format!("{NPS}/AccessControl> set sharedSecret PlantedSharedSecret4711"),
        "AS_CLI/System/NotificationPushServer> set sharedSecret PlantedSharedSecret4711",
    ])?;
    // A change with a secret that is refused for another reason says nothing of it either.
    let refused =
        lab.adpcli(&[&format!("{NPS}/AccessControl> set sharedSecret PlantedRefusedSecret0815 noSuch 1")])?;
    ensure!(!refused.status.success(), "{refused:?}");
    let printed = [refused.stdout, refused.stderr].concat();
    let shown = lab.administer(&[
        &format!("{NPS}/AccessControl> get"),
        &format!("{NPS}/APNS/AuthKey> get"),
        &format!("{NPS}/FCM/Projects> get"),
        "revisions",
    ])?;
    let mut found = Vec::new();
    needles.found_in("what adpcli printed", &printed, &mut found);
    needles.found_in("what adpcli showed", shown.as_bytes(), &mut found);
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

fn sign_in(lab: &Lab, account: &Account) -> Result<String> {
    let output = Command::new(repository().join("tests/clients/sign_in.sh"))
        .args([lab.text("auth_service"), lab.text("ca"), &account.user_id, &account.password])
        .env("PYTHON", python()?)
        .output()?;
    ensure!(output.status.success(), "sign_in.sh: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The steps, with right secrets and wrong ones.
fn go_through(lab: &Lab, hosts: &Hosts, needles: &mut Needles) -> Result<()> {
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let actions = lab.text("xsi_actions").to_owned();
    let port: u16 = lab.port_base() + 23;
    for account in [&alice, &bo, &lab.administrator("system")] {
        needles.plant_basic(
            &format!("the password of {}", account.user_id),
            &account.user_id,
            &account.password,
        );
    }
    let wrong = "PlantedWrongPassword123";
    needles.plant_basic("a wrong password", &alice.user_id, wrong);
    needles.plant("a token that is none", "PlantedBearerTokenXYZ");
    needles.plant("a secret in a document", "PlantedInADocument99");
    needles.plant("a token in a query", "PlantedInAQuery77");

    let token = sign_in(lab, &alice)?;
    needles.plant("the long-lived token", &token);
    let signature = token.rsplit('.').next().context("signature")?.to_owned();
    needles.plant("the token's signature", &signature);
    ensure!(URL_SAFE_NO_PAD.decode(&signature).is_ok(), "a signature");

    let profile = lab.user_url(&alice, "profile");
    let curl = || Curl::new(lab.ca());
    curl().bearer(&token).get(&profile)?.expect_status(200)?;
    curl().bearer("PlantedBearerTokenXYZ").get(&profile)?.expect_status(401)?;
    curl().bearer(&format!("{token}PlantedBearerTokenXYZ")).get(&profile)?.expect_status(401)?;
    curl().basic(&alice.user_id, wrong).get(&profile)?.expect_status(401)?;
    curl().basic(&alice.user_id, wrong).get(&format!("{}/token?key=AAAA", lab.text("auth_service")))?;
    lab.curl(&alice).get(&format!("{profile}?token=PlantedInAQuery77&format=json"))?.expect_status(200)?;
    curl().get(&format!("{}/token?key=PlantedInAQuery77", lab.text("auth_service")))?;
    curl().body(format!("token={token}")).post(&format!("{}/validate", lab.text("auth_service")))?;
    curl().body("token=PlantedBearerTokenXYZ").post(&format!("{}/validate", lab.text("auth_service")))?;
    for body in [
        format!("<Nonsense {NAMESPACE}><password>PlantedInADocument99</password></Nonsense>"),
        "<DoNotDisturb><PlantedInADocument99".to_owned(),
        "{\"DoNotDisturb\":{\"active\":{\"$\":\"PlantedInADocument99\"}}".to_owned(),
    ] {
        lab.curl(&alice)
            .body(body)
            .put(&lab.user_url(&alice, "services/DoNotDisturb"))?
            .expect_status(400)?;
    }
    // Broken heads, with credentials in them.
    let mut broken = openadp_suite::Raw::connect(port)?;
    broken.send(format!("GET / HTTP/1.1\r\n{}\r\nX-Broken : x\r\n\r\n", Plain::basic(&alice)))?;
    broken.until_end()?;

    // A device: its credentials, right and wrong.
    let devices = lab.curl(&alice).get(&lab.user_url(&alice, "profile/device"))?.expect_status(200)?;
    for part in devices.body.split("<accessDevice>").skip(1) {
        let text = |name: &str| {
            let rest = part.split(&format!("<{name}>")).nth(1)?;
            Some(rest.split('<').next()?.to_owned())
        };
        if let (Some(user), Some(password)) = (text("userName"), text("password")) {
            needles.plant_basic("a device's password", &user, &password);
            let url = format!("{}/bc/pc/config-wxt.xml", lab.text("dms"));
            curl().basic(&user, &password).get(&url)?;
            curl().basic(&user, wrong).get(&url)?.expect_status(401)?;
        }
    }

    // A phone, and a call that wakes it.
    needles.plant("a phone's push token", "PlantedPushTokenOfAPhone0123456789");
    let registration = format!(
        "<PushNotificationRegistration {NAMESPACE}><registrationId>planted-1</registrationId><applicationId>lab.planted</applicationId><deviceOsType>Android</deviceOsType><deviceTokenList><deviceToken><token>PlantedPushTokenOfAPhone0123456789</token></deviceToken></deviceTokenList></PushNotificationRegistration>"
    );
    lab.curl(&bo).body(registration).post(&lab.user_url(&bo, "profile/pushnotificationregistrations"))?;
    let channel = EventChannel::open(&lab.curl(&bo), lab.text("xsi_events"), "s")?;
    channel.subscribe(&format!("user/{}", bo.user_id), "Advanced Call", "s")?;
    channel.wait_for("CallSubscriptionEvent")?;
    lab.curl(&alice)
        .post(&lab.user_url(&alice, &format!("calls/new?address={}", bo.extension)))?
        .expect_status(201)?;
    channel.wait_for("CallReceivedEvent")?;
    let stand_ins = hosts.all.last().context("stand-ins")?;
    stand_ins.wait_for("APNs stand-in")?;

    // CTI: credentials within messages.
    let text = |name: &str| PathBuf::from(lab.description["cti"][name].as_str().unwrap_or_default());
    let (certificate, key) = (text("client_cert"), text("client_key"));
    let address = format!("127.0.0.1:{}", lab.description["cti"]["tls_port"]);
    let mut cti = CtiClient::connect(&address, lab.ca(), Some((&certificate, &key)))?;
    let basic = Plain::basic(&alice).replace("Authorization: ", "");
    let wrong_basic = format!("Basic {}", STANDARD.encode(format!("{}:{wrong}", alice.user_id)));
    for (id, authorization) in
        [basic, wrong_basic, format!("Bearer {token}"), "Bearer PlantedBearerTokenXYZ".to_owned()]
            .iter()
            .enumerate()
    {
        cti.send(&format!("<xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\"><requestId>{id}</requestId><sessionId>s{id}</sessionId><authorization>{authorization}</authorization><cti:GetUserProfileRequest xmlns:cti=\"http://schema.broadsoft.com/CTI\"><uri>/com.broadsoft.xsi-actions/v2.0/user/%userId%/profile</uri><method>GET</method><version>22.0</version><params><userId>{}</userId></params><payload></payload></cti:GetUserProfileRequest></xsp:request>\n", alice.user_id))?;
        while !cti.next_message()?.contains(&format!("<requestId>{id}</requestId>")) {}
    }
    cti.send("<xsp:request><credentials>PlantedInADocument99</oops></xsp:request>")?;
    while cti.next_message().is_ok() {}

    // The push server's door, with the right secret and a wrong one.
    for secret in ["PlantedSharedSecret4711", "PlantedRefusedSecret0815"] {
        curl()
            .header(&format!("X-NPS-Secret: {secret}"))
            .body("{\"PlantedInADocument99\":")
            .post(&format!("{}/notifications", lab.text("nps")))?;
    }
    ensure!(actions.starts_with("https://"), "over TLS");
    Ok(())
}

fn files_below(folder: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files_below(&entry.path(), all)?;
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    Ok(())
}

/// Command lines of all processes that have to do with this lab.
fn command_lines(lab: &Lab) -> Result<Vec<Vec<u8>>> {
    let ours = lab.data_dir.display().to_string();
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // Processes come and go.
        if let Ok(line) = std::fs::read(entry?.path().join("cmdline"))
            && contains(&line, ours.as_bytes())
        {
            all.push(line);
        }
    }
    Ok(all)
}

#[test]
fn planted_secrets_are_found_nowhere() -> Result<()> {
    let lab = Lab::seed()?;
    let mut needles = Needles::default();
    let folder = tempfile::tempdir()?;
    // One before anything runs, in the store itself; the others through the running processes.
    let plain_port = lab.port_base() + 23;
    lab.administer(&[&format!(
        "ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {plain_port} localhost false false"
    )])?;
    let hosts = start(&lab)?;
    configure(&lab, folder.path(), &mut needles)?;
    go_through(&lab, &hosts, &mut needles)?;

    let mut found = Vec::new();
    for port in hosts.metrics {
        let metrics =
            Curl::new(lab.ca()).get(&format!("http://127.0.0.1:{port}/metrics"))?.expect_status(200)?;
        ensure!(
            metrics.body.contains("http_requests_total") || port == hosts.metrics[1],
            "no metrics: {metrics:?}"
        );
        needles.found_in("metrics", metrics.body.as_bytes(), &mut found);
    }
    let lines = command_lines(&lab)?;
    ensure!(lines.len() >= 3, "the processes are there");
    for line in &lines {
        needles.found_in("a command line", line, &mut found);
    }
    let Hosts { mut all, .. } = hosts;
    // The stand-ins last, so that nothing waits for them.
    for process in &mut all {
        process.signal("TERM")?;
        let status = process.wait()?;
        ensure!(status.code() == Some(0), "{status}");
    }
    for (name, process) in ["applications", "push server", "stand-ins"].iter().zip(&all) {
        let log = process.log();
        if *name != "stand-ins" {
            let least = if *name == "applications" { "DEBUG" } else { "INFO" };
            ensure!(log.contains(least), "{name}: not everything is logged");
        }
        needles.found_in(&format!("log of the {name}"), log.as_bytes(), &mut found);
    }
    let mut files = Vec::new();
    files_below(&lab.data_dir, &mut files)?;
    let (seed, certificates) = (lab.data_dir.join("lab/seed.json"), lab.data_dir.join("lab/certificates"));
    ensure!(files.contains(&seed) && files.iter().any(|file| file.ends_with("revisions.jsonl")), "{files:?}");
    // The lab's own list of accounts is for the people who try it; nothing else may know the passwords.
    for file in files.iter().filter(|file| **file != seed && !file.starts_with(&certificates)) {
        needles.found_in(&file.display().to_string(), &std::fs::read(file)?, &mut found);
    }
    // The search itself works: the list that is exempt holds the passwords.
    let mut there = Vec::new();
    needles.found_in("seed", &std::fs::read(&seed)?, &mut there);
    ensure!(there.len() >= 3, "the needles are no needles: {there:?}");
    found.sort();
    found.dedup();
    ensure!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// The same for the lab as people start it, whose accounts are printed for them to use, and for its child process.
#[test]
fn the_labs_command_lines_and_children_hold_no_secret() -> Result<()> {
    let lab = Lab::start()?;
    let mut needles = Needles::default();
    for index in 0..20 {
        let account = lab.subscriber(index);
        needles.plant_basic(&account.user_id.clone(), &account.user_id, &account.password);
    }
    let (mut found, lines) = (Vec::new(), command_lines(&lab)?);
    ensure!(lines.len() >= 2, "the lab and its push server");
    for line in &lines {
        needles.found_in("a command line", line, &mut found);
    }
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}
