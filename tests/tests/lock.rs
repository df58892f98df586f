//! `lock` takes a node of several processes out of service while people are connected: the health checks fail first, then new
//! work is refused by each protocol in its own form, while what is open goes on, and then that is told to finish. cli.md 5.7

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{CtiClient, Curl, EventChannel, Lab, PATIENCE, Response, Running, binary};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const OBJECTS: &str = "ADP_CLI/Maintenance/ManagedObjects>";
const LOCK: &str = "ADP_CLI/Maintenance/ManagedObjects/Lock>";

/// A process for each application, all of one data directory, with their ports and those of their health checks.
struct Node {
    _processes: Vec<Running>,
    health: Vec<u16>,
    auth: u16,
    xsi: u16,
    cti: u16,
    dms: u16,
    push: u16,
    lab: Lab,
}

impl Node {
    fn start() -> Result<Self> {
        let lab = Lab::seed()?;
        let base = lab.port_base();
        let (auth, cti, push, xsi, dms) = (base, base + 2, base + 3, base + 17, base + 10);
        let folder = lab.data_dir.join("lab/certificates");
        let folder = folder.display();
        for port in [xsi, dms] {
            lab.administer(&[
                &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost true false"),
                &format!("ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates> sslUpdate 127.0.0.1 {port} keyFile {folder}/server-rsa.key certificateFile {folder}/server-rsa.crt chainFile {folder}/ca.crt"),
            ])?;
        }
        let (mut processes, mut health) = (Vec::new(), Vec::new());
        for (offset, (name, port)) in
            [("authservice", auth), ("xsi", xsi), ("cti", cti), ("dms", dms), ("nps", push)]
                .into_iter()
                .enumerate()
        {
            let metrics = base + 11 + u16::try_from(offset)?;
            let mut command = Command::new(binary(name));
            command.arg("--data-dir").arg(&lab.data_dir).args([
                "--interface",
                &format!("127.0.0.1:{port}"),
                "--metrics",
                &format!("127.0.0.1:{metrics}"),
            ]);
            let running = Running::start(command)?;
            running.wait_for("ready")?;
            processes.push(running);
            health.push(metrics);
        }
        Ok(Self { _processes: processes, health, auth, xsi, cti, dms, push, lab })
    }

    /// Waits until every process's health check answers this.
    fn healthy(&self, status: u16) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let curl = Curl::new(Path::new(""));
        for port in &self.health {
            while curl.get(&format!("http://127.0.0.1:{port}/readyz"))?.status != status {
                ensure!(Instant::now() < deadline, "{port} does not answer {status}");
            }
        }
        Ok(())
    }

    fn url(port: u16, path: &str) -> String {
        format!("https://127.0.0.1:{port}{path}")
    }

    fn profile(&self) -> Result<Response> {
        let alice = self.lab.subscriber(0);
        let path = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id);
        self.lab.curl(&alice).get(&Self::url(self.xsi, &path))
    }
}

/// Asks until the answer is one of this status.
fn becomes(status: u16, ask: impl Fn() -> Result<Response>) -> Result<Response> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask()?;
        if answer.status == status {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "not {status}: {answer:?}");
    }
}

fn open_cti(client: &mut CtiClient) -> Result<String> {
    let payload = "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>lock-cti</channelSetId><expires>3600</expires></Channel>";
    client.request("AddChannelRequest", "POST", "/com.broadsoft.xsi-events/v2.0/channel", "", payload)
}

#[test]
fn each_protocol_refuses_in_its_own_form_and_what_is_open_goes_on() -> Result<()> {
    let node = Node::start()?;
    let lab = &node.lab;
    let alice = lab.subscriber(0);
    lab.administer(&[&format!("{LOCK} set healthCheckSeconds 3600 finishSeconds 3600 retryAfterSeconds 7")])?;
    node.healthy(200)?;
    let events = Node::url(node.xsi, "/com.broadsoft.xsi-events");
    let channel = EventChannel::open(&lab.curl(&alice), &events, "lock")?;
    let subscription = channel.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "lock")?;
    let first = channel.next_document()?;
    let file = |name: &str| Path::new(lab.description["cti"][name].as_str().unwrap_or_default()).to_owned();
    let identity = (file("client_cert"), file("client_key"));
    let connect =
        || CtiClient::connect(&format!("127.0.0.1:{}", node.cti), lab.ca(), Some((&identity.0, &identity.1)));
    let mut cti = connect()?;
    let opened = open_cti(&mut cti)?;
    ensure!(opened.contains("<statusCode>200</statusCode>"), "{opened}");

    // Load balancers learn it first; everything is served on.
    lab.administer(&[&format!("{OBJECTS} lock;y")])?;
    node.healthy(503)?;
    node.profile()?.expect_status(200)?;
    Curl::new(lab.ca()).get(&Node::url(node.auth, "/authService/keys"))?.expect_status(200)?;
    channel.heartbeat()?;

    // Then new work is refused: each in its own form, each with the time to try again.
    lab.administer(&[&format!("{LOCK} set healthCheckSeconds 0")])?;
    let anonymous = Curl::new(lab.ca());
    let xsi = becomes(503, || node.profile())?;
    ensure!(xsi.body.contains("<ErrorInfo") && xsi.body.contains("The node is locked"), "{xsi:?}");
    ensure!(xsi.header("content-type").is_some_and(|kind| kind.contains("xml")), "{xsi:?}");
    let profile = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/profile", alice.user_id);
    let asked = [
        lab.curl(&alice).get(&Node::url(node.xsi, &format!("{profile}?format=json")))?,
        lab.curl(&alice).header("Accept: application/json").get(&Node::url(node.xsi, &profile))?,
    ];
    for json in &asked {
        ensure!(json.status == 503 && json.header("retry-after") == Some("7"), "{json:?}");
        ensure!(
            json.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
            "{json:?}"
        );
        let body: serde_json::Value = serde_json::from_str(&json.body).with_context(|| json.body.clone())?;
        ensure!(body.to_string().contains("The node is locked"), "{body}");
    }
    let auth = becomes(503, || anonymous.get(&Node::url(node.auth, "/authService/keys")))?;
    let body: serde_json::Value = serde_json::from_str(&auth.body).with_context(|| auth.body.clone())?;
    ensure!(body["error"] == "temporarily_unavailable" && body["tracking_id"].is_string(), "{body}");
    let push = becomes(503, || anonymous.get(&Node::url(node.push, "/nps/v1/health")))?;
    let body: serde_json::Value = serde_json::from_str(&push.body).with_context(|| push.body.clone())?;
    ensure!(body["error"] == "locked", "{body}");
    let dms = becomes(503, || anonymous.get(&Node::url(node.dms, "/dms/bc/pc/config-wxt.xml")))?;
    ensure!(dms.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{dms:?}");
    for refused in [&xsi, &auth, &push, &dms] {
        ensure!(refused.header("retry-after") == Some("7"), "{refused:?}");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = open_cti(&mut cti)?;
        if answer.contains("<statusCode>503</statusCode>") {
            ensure!(answer.contains("<xsp:response") && answer.contains("The node is locked"), "{answer}");
            break;
        }
        ensure!(Instant::now() < deadline, "{answer}");
    }
    ensure!(EventChannel::open(&lab.curl(&alice), &events, "late").is_err(), "a new channel");
    // What is open goes on: it is kept alive, events are acknowledged, and who leaves may.
    channel.heartbeat()?;
    channel.respond(first.text_of("xsi:eventID").context("an event")?, 200)?;
    let leave = format!("{events}/v2.0/subscription/{subscription}");
    lab.curl(&alice).delete(&leave)?.expect_status(200)?;

    // Then it is told to finish, streams as streams end.
    lab.administer(&[&format!("{LOCK} set finishSeconds 0")])?;
    channel.until_end()?;
    while cti.next_message().is_ok() {}

    lab.administer(&[&format!("{OBJECTS} unlock")])?;
    node.healthy(200)?;
    becomes(200, || node.profile())?;
    let again = EventChannel::open(&lab.curl(&alice), &events, "again")?;
    again.heartbeat()?;
    let opened = open_cti(&mut connect()?)?;
    ensure!(opened.contains("<statusCode>200</statusCode>"), "{opened}");
    Ok(())
}
