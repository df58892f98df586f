//! The eight steps, each against whatever hosts serve them: one lab, or a process for each application.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, CtiClient, Curl, EventChannel, Lab, Response, python, repository};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the applications are.
pub(crate) struct Hosts<'a> {
    /// The lab whose data directory, accounts and authority are used.
    pub(crate) lab: &'a Lab,
    /// AuthenticationService.
    pub(crate) auth_service: String,
    /// Xsi-Actions.
    pub(crate) xsi_actions: String,
    /// A second Xsi-Actions, where there is one: the other side of a call is driven through it.
    pub(crate) second_xsi_actions: String,
    /// Xsi-Events.
    pub(crate) xsi_events: String,
    /// DMS.
    pub(crate) dms: String,
    /// CTI with client certificates, `127.0.0.1:8012`.
    pub(crate) cti: String,
    /// The HTTPS interface whose cipher list step 8 changes.
    pub(crate) https: (String, u16),
}

impl<'a> Hosts<'a> {
    /// Everything in the lab itself.
    pub(crate) fn of(lab: &'a Lab) -> Self {
        let port = lab.text("xsi_actions").split('/').nth(2).and_then(|h| h.rsplit(':').next()?.parse().ok());
        Self {
            lab,
            auth_service: lab.text("auth_service").to_owned(),
            xsi_actions: lab.text("xsi_actions").to_owned(),
            second_xsi_actions: lab.text("xsi_actions").to_owned(),
            xsi_events: lab.text("xsi_events").to_owned(),
            dms: lab.text("dms").to_owned(),
            cti: format!("127.0.0.1:{}", lab.description["cti"]["tls_port"]),
            https: ("127.0.0.1".to_owned(), port.unwrap_or_default()),
        }
    }

    fn user(&self, account: &Account, resource: &str) -> String {
        format!("{}/v2.0/user/{}/{resource}", self.xsi_actions, account.user_id)
    }
    fn user_on_second(&self, account: &Account, resource: &str) -> String {
        format!("{}/v2.0/user/{}/{resource}", self.second_xsi_actions, account.user_id)
    }
    fn channel(&self, account: &Account, set: &str) -> Result<EventChannel> {
        EventChannel::open(&self.lab.curl(account), &self.xsi_events, set)
    }
}

/// Step 1, with openssl and jwcrypto; gives the token.
pub(crate) fn sign_in(hosts: &Hosts<'_>) -> Result<String> {
    let alice = hosts.lab.subscriber(0);
    let output = Command::new(repository().join("tests/clients/sign_in.sh"))
        .args([&hosts.auth_service, hosts.lab.text("ca"), &alice.user_id, &alice.password])
        .env("PYTHON", python()?)
        .output()?;
    ensure!(output.status.success(), "sign_in.sh: {output:?}");
    let token = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(token.split('.').count() == 3, "not a signed token");

    // Wrong credentials: 401 in the service's own form; without a challenge where the client asks for none.
    let wrong = Curl::new(hosts.lab.ca()).basic(&alice.user_id, "wrong");
    let url = format!("{}/token?key={}", hosts.auth_service, client_key()?);
    let refused = wrong.get(&url)?.expect_status(401)?;
    ensure!(
        refused.body.contains("\"error\"") && refused.header("WWW-Authenticate").is_some(),
        "{refused:?}"
    );
    let silent = wrong.header("X-BroadWorks-No-AuthChallenge: true").get(&url)?.expect_status(401)?;
    ensure!(silent.header("WWW-Authenticate").is_none(), "{silent:?}");
    // No key: the caller's mistake, not ours.
    let missing = hosts.lab.curl(&alice).get(&format!("{}/token", hosts.auth_service))?.expect_status(400)?;
    ensure!(missing.body.contains("invalid_request"), "{missing:?}");
    Ok(token)
}

/// The public half of a fresh key pair, as `key=` takes it; made by openssl.
fn client_key() -> Result<String> {
    let script = "openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -outform DER | openssl base64 -A | tr '+/' '-_' | tr -d =";
    let output = Command::new("sh").args(["-c", script]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Step 2: the token as Bearer; XML by default, JSON when asked.
pub(crate) fn use_token(hosts: &Hosts<'_>, token: &str) -> Result<()> {
    let (alice, bo) = (hosts.lab.subscriber(0), hosts.lab.subscriber(1));
    let curl = Curl::new(hosts.lab.ca()).bearer(token);
    let xml = curl.get(&hosts.user(&alice, "profile"))?.expect_status(200)?;
    ensure!(xml.body.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{}", xml.body);
    ensure!(xml.body.contains("<Profile xmlns=\"http://schema.broadsoft.com/xsi\">"), "{}", xml.body);
    ensure!(xml.text_of("userId") == Some(alice.user_id.as_str()), "{}", xml.body);
    ensure!(
        xml.header("Content-Type").is_some_and(|t| t.contains("xml") && t.contains("charset=")),
        "{xml:?}"
    );
    for json in [
        curl.get(&hosts.user(&alice, "profile?format=json"))?,
        curl.clone().header("Accept: application/json").get(&hosts.user(&alice, "profile"))?,
    ] {
        let json = json.expect_status(200)?;
        let document: serde_json::Value = serde_json::from_str(&json.body)?;
        ensure!(document["Profile"]["details"]["userId"]["$"] == alice.user_id, "{document}");
    }
    // Somebody else's resources stay closed; an altered token is nobody's.
    let foreign = curl.get(&hosts.user(&bo, "profile"))?;
    ensure!(matches!(foreign.status, 403 | 404) && foreign.body.contains("<ErrorInfo"), "{foreign:?}");
    let altered = format!("{}x", token.get(..token.len() - 1).unwrap_or_default());
    Curl::new(hosts.lab.ca()).bearer(&altered).get(&hosts.user(&alice, "profile"))?.expect_status(401)?;
    let none = Curl::new(hosts.lab.ca()).get(&hosts.user(&alice, "profile"))?.expect_status(401)?;
    ensure!(none.header("WWW-Authenticate") == Some("Basic realm=\"XtendedServicesInterface\""), "{none:?}");
    Ok(())
}

/// Step 3: channel, two subscriptions, initial events, heartbeats both ways, event responses.
pub(crate) fn listen(hosts: &Hosts<'_>) -> Result<()> {
    let alice = hosts.lab.subscriber(0);
    // Shorter periods than anybody would set, so that the test does not have to wait; they apply live.
    hosts.lab.administer(&[
        "ADP_CLI/Applications/Xsi-Events/GeneralSettings> set heartbeatPeriodInSeconds 1 notificationTimeoutInSeconds 2",
    ])?;
    let channel = hosts.channel(&alice, "listen-1")?;
    channel.subscribe(&format!("user/{}", alice.user_id), "Advanced Call", "listen-1")?;
    let initial = channel.next_event()?;
    ensure!(initial.event_type() == Some("CallSubscriptionEvent"), "{initial:?}");
    ensure!(initial.text_of("xsi:sequenceNumber") == Some("1"), "{initial:?}");
    ensure!(initial.text_of("xsi:hookStatus") == Some("On-Hook"), "{initial:?}");
    let dnd = channel.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "listen-1")?;
    let initial = channel.next_event()?;
    ensure!(initial.event_type() == Some("DoNotDisturbEvent"), "{initial:?}");
    ensure!(initial.text_of("xsi:subscriptionId") == Some(dnd.as_str()), "{initial:?}");

    // A change of the service arrives; the next number follows.
    let service = hosts.user(&alice, "services/DoNotDisturb");
    let curl = hosts.lab.curl(&alice);
    for active in ["true", "false"] {
        curl.clone()
            .body(format!(
                "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>{active}</active></DoNotDisturb>"
            ))
            .put(&service)?
            .expect_status(200)?;
        let event = channel.wait_for("DoNotDisturbEvent")?;
        ensure!(event.text_of("xsi:active") == Some(active), "{event:?}");
    }

    // Heartbeats both ways.
    channel.heartbeat()?;
    while !channel.next_document()?.is_heartbeat() {}
    let unknown = format!("{}/v2.0/channel/00000000-0000-4000-8000-000000000000/heartbeat", hosts.xsi_events);
    let answer = curl.put(&unknown)?.expect_status(404)?;
    ensure!(answer.body.contains("<ErrorInfo"), "{answer:?}");

    // A response of 481 loses that subscription, and only that.
    let mut channel = channel;
    channel.stay_silent();
    curl.clone()
        .body("<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>true</active></DoNotDisturb>")
        .put(&service)?
        .expect_status(200)?;
    let event = channel.wait_for("DoNotDisturbEvent")?;
    channel.respond(event.text_of("xsi:eventID").context("no eventID")?, 481)?;
    let gone = curl.get(&format!("{}/v2.0/subscription/{dnd}", hosts.xsi_events))?;
    ensure!(matches!(gone.status, 403 | 404), "{gone:?}");
    curl.put(&format!("{}/v2.0/channel/{}/heartbeat", hosts.xsi_events, channel.channel_id))?
        .expect_status(200)?;

    // Deleting the channel ends its stream with the reason.
    curl.delete(&format!("{}/v2.0/channel/{}", hosts.xsi_events, channel.channel_id))?.expect_status(200)?;
    let rest = channel.until_end()?;
    let last = rest.last().context("nothing at the end")?;
    ensure!(last.text_of("xsi:reason") == Some("ExplicitDelete"), "{rest:?}");

    // A channel that acknowledges nothing is ended as not responsive.
    let mut mute = hosts.channel(&alice, "listen-2")?;
    mute.stay_silent();
    mute.subscribe(&format!("user/{}", alice.user_id), "Advanced Call", "listen-2")?;
    let rest = mute.until_end()?;
    let last = rest.last().context("nothing at the end")?;
    ensure!(last.event_type() == Some("ChannelTerminatedEvent"), "{rest:?}");
    ensure!(last.text_of("xsi:reason") == Some("NonResponsiveChannel"), "{rest:?}");
    curl.clone()
        .body("<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>false</active></DoNotDisturb>")
        .put(&service)?
        .expect_status(200)?;
    Ok(())
}

/// Dials from one subscriber to another by extension; gives the caller's call id.
pub(crate) fn dial(hosts: &Hosts<'_>, from: usize, to: usize) -> Result<String> {
    let (caller, callee) = (hosts.lab.subscriber(from), hosts.lab.subscriber(to));
    let url = hosts.user(&caller, &format!("calls/new?address={}", callee.extension));
    let answer = hosts.lab.curl(&caller).post(&url)?.expect_status(201)?;
    Ok(answer.text_of("callId").context("no callId")?.to_owned())
}

/// The id of a subscriber's only call.
pub(crate) fn only_call(hosts: &Hosts<'_>, account: &Account) -> Result<String> {
    let calls = hosts.lab.curl(account).get(&hosts.user_on_second(account, "calls"))?.expect_status(200)?;
    Ok(calls.text_of("callId").with_context(|| format!("no call in {}", calls.body))?.to_owned())
}

/// Step 4: dial, answer on the other side, hold, talk, release; events of both sides in order; call logs.
pub(crate) fn call(hosts: &Hosts<'_>) -> Result<()> {
    let (alice, bo) = (hosts.lab.subscriber(0), hosts.lab.subscriber(1));
    let (alice_curl, bo_curl) = (hosts.lab.curl(&alice), hosts.lab.curl(&bo));
    let (a, b) = (hosts.channel(&alice, "call-a")?, hosts.channel(&bo, "call-b")?);
    a.subscribe(&format!("user/{}", alice.user_id), "Advanced Call", "call-a")?;
    b.subscribe(&format!("user/{}", bo.user_id), "Advanced Call", "call-b")?;
    a.wait_for("CallSubscriptionEvent")?;
    b.wait_for("CallSubscriptionEvent")?;

    let outgoing = dial(hosts, 0, 1)?;
    let ringing = b.wait_for("CallReceivedEvent")?;
    ensure!(ringing.text_of("xsi:personality") == Some("Terminator"), "{ringing:?}");
    ensure!(ringing.text_of("xsi:state") == Some("Alerting"), "{ringing:?}");
    let incoming = only_call(hosts, &bo)?;
    ensure!(ringing.text_of("xsi:callId") == Some(incoming.as_str()), "{ringing:?}");

    bo_curl.put(&hosts.user_on_second(&bo, &format!("calls/{incoming}/Talk")))?.expect_status(200)?;
    b.wait_for("CallAnsweredEvent")?;
    let answered = a.wait_for("CallAnsweredEvent")?;
    ensure!(answered.text_of("xsi:callId") == Some(outgoing.as_str()), "{answered:?}");
    alice_curl.put(&hosts.user(&alice, &format!("calls/{outgoing}/Hold")))?.expect_status(200)?;
    a.wait_for("CallHeldEvent")?;
    alice_curl.put(&hosts.user(&alice, &format!("calls/{outgoing}/Talk")))?.expect_status(200)?;
    a.wait_for("CallRetrievedEvent")?;
    alice_curl.delete(&hosts.user(&alice, &format!("calls/{outgoing}")))?.expect_status(200)?;
    let (released_a, released_b) = (a.wait_for("CallReleasedEvent")?, b.wait_for("CallReleasedEvent")?);
    ensure!(released_a.text_of("xsi:releasingParty") == Some("localRelease"), "{released_a:?}");
    ensure!(released_b.text_of("xsi:releasingParty") == Some("remoteRelease"), "{released_b:?}");

    // The call is gone, the logs hold it.
    alice_curl.get(&hosts.user(&alice, &format!("calls/{outgoing}0")))?.expect_status(404)?;
    let placed = alice_curl.get(&hosts.user(&alice, "directories/CallLogs/Placed"))?.expect_status(200)?;
    ensure!(placed.body.contains("<placed>") && placed.text_of("callLogId").is_some(), "{}", placed.body);
    let received = bo_curl.get(&hosts.user(&bo, "directories/CallLogs/Received"))?.expect_status(200)?;
    ensure!(received.text_of("name").is_some_and(|name| name.contains("Carter")), "{}", received.body);
    Ok(())
}

/// The order of both sides' events, with their sequence numbers, over one whole call.
pub(crate) fn order(hosts: &Hosts<'_>) -> Result<()> {
    let (alice, bo) = (hosts.lab.subscriber(2), hosts.lab.subscriber(3));
    let (a, b) = (hosts.channel(&alice, "order-a")?, hosts.channel(&bo, "order-b")?);
    a.subscribe(&format!("user/{}", alice.user_id), "Advanced Call", "order-a")?;
    b.subscribe(&format!("user/{}", bo.user_id), "Advanced Call", "order-b")?;
    let outgoing = dial(hosts, 2, 3)?;
    let incoming = only_call(hosts, &bo)?;
    hosts
        .lab
        .curl(&bo)
        .put(&hosts.user_on_second(&bo, &format!("calls/{incoming}/Talk")))?
        .expect_status(200)?;
    hosts.lab.curl(&alice).delete(&hosts.user(&alice, &format!("calls/{outgoing}")))?.expect_status(200)?;
    for (channel, first, must) in [
        (&a, "CallSubscriptionEvent", ["CallOriginatedEvent", "CallAnsweredEvent", "CallReleasedEvent"]),
        (&b, "CallSubscriptionEvent", ["CallReceivedEvent", "CallAnsweredEvent", "CallReleasedEvent"]),
    ] {
        let mut seen = Vec::new();
        let mut released = false;
        let mut on_hook = false;
        while !(released && on_hook) {
            let event = channel.next_event()?;
            let number: usize = event.text_of("xsi:sequenceNumber").context("no number")?.parse()?;
            ensure!(number == seen.len() + 1, "number {number} after {seen:?}");
            let name = event.event_type().unwrap_or_default().to_owned();
            released |= name == "CallReleasedEvent";
            on_hook = event.text_of("xsi:hookStatus") == Some("On-Hook") && released;
            seen.push(name);
        }
        ensure!(seen.first().map(String::as_str) == Some(first), "{seen:?}");
        let places: Vec<_> = must.iter().map(|name| seen.iter().position(|s| s == name)).collect();
        ensure!(places.iter().all(Option::is_some) && places.is_sorted(), "{must:?} in {seen:?}");
    }
    Ok(())
}

fn path(lab: &Lab, name: &str) -> PathBuf {
    PathBuf::from(lab.description["cti"][name].as_str().unwrap_or_default())
}

/// Step 5: a listed client certificate sees everything, an unlisted one and none at all see nothing.
pub(crate) fn watch_over_cti(hosts: &Hosts<'_>) -> Result<()> {
    let bo = hosts.lab.subscriber(1);
    let (certificate, key) = (path(hosts.lab, "client_cert"), path(hosts.lab, "client_key"));
    let mut client = CtiClient::connect(&hosts.cti, hosts.lab.ca(), Some((&certificate, &key)))?;
    open_cti(&mut client, &bo.user_id)?;
    client.wait_for("CallSubscriptionEvent")?;
    let outgoing = dial(hosts, 0, 1)?;
    let ringing = client.wait_for("CallReceivedEvent")?;
    ensure!(ringing.text_of("xsi:targetId") == Some(bo.user_id.as_str()), "{ringing:?}");
    let alice = hosts.lab.subscriber(0);
    hosts.lab.curl(&alice).delete(&hosts.user(&alice, &format!("calls/{outgoing}")))?.expect_status(200)?;
    client.wait_for("CallReleasedEvent")?;

    // Without a certificate the handshake fails, so nothing comes.
    let mut stranger = CtiClient::connect(&hosts.cti, hosts.lab.ca(), None)?;
    ensure!(open_cti(&mut stranger, &bo.user_id).is_err(), "a client without certificate was served");

    // The listed name taken off the list: the same certificate is nobody any more.
    hosts.lab.administer(&["AS_CLI/System/ClientIdentity> delete cti.lab.invalid"])?;
    let mut unlisted = CtiClient::connect(&hosts.cti, hosts.lab.ca(), Some((&certificate, &key)))?;
    let refused = open_cti(&mut unlisted, &bo.user_id);
    ensure!(refused.as_ref().is_err_and(|e| e.to_string().contains("403")), "{refused:?}");
    hosts.lab.administer(&["AS_CLI/System/ClientIdentity> add cti.lab.invalid"])?;
    Ok(())
}

fn open_cti(client: &mut CtiClient, target: &str) -> Result<()> {
    let payload = "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>cti-set</channelSetId><expires>3600</expires></Channel>";
    let answer =
        client.request("AddChannelRequest", "POST", "/com.broadsoft.xsi-events/v2.0/channel", "", payload)?;
    ensure!(answer.contains("<statusCode>200</statusCode>"), "{answer}");
    let payload = "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Advanced Call</event><expires>3600</expires><channelSetId>cti-set</channelSetId></Subscription>";
    let answer = client.request(
        "AddUserSubscriptionRequest",
        "POST",
        "/com.broadsoft.xsi-events/v2.0/user/%userId%",
        &format!("<userId>{target}</userId>"),
        payload,
    )?;
    ensure!(answer.contains("<statusCode>200</statusCode>"), "{answer}");
    Ok(())
}

/// Step 6: where the device's files are, and the file itself.
pub(crate) fn configure(hosts: &Hosts<'_>) -> Result<()> {
    for index in [0, 9, 17] {
        let account = hosts.lab.subscriber(index);
        let devices =
            hosts.lab.curl(&account).get(&hosts.user(&account, "profile/device"))?.expect_status(200)?;
        let device = devices
            .body
            .split("<accessDevice>")
            .find(|part| part.contains("Business Communicator - PC"))
            .context("no such device")?;
        let device = Response { status: 200, headers: String::new(), body: device.to_owned() };
        let user = device.text_of("userName").context("no device user name")?;
        let password = device.text_of("password").context("no device password")?;
        let base = device.text_of("deviceTypeUrl").context("no URL")?;
        ensure!(base.ends_with("/dms/bc/pc/"), "{base}");
        let url = format!("{}/bc/pc/config-wxt.xml", hosts.dms);
        let curl = Curl::new(hosts.lab.ca()).basic(user, password);
        let file = curl.get(&url)?.expect_status(200)?;
        ensure!(file.body.contains("<config"), "{}", file.body);
        ensure!(!file.body.contains("%BW"), "tags were left: {}", file.body);
        ensure!(file.body.contains(account.user_id.split('@').next().unwrap_or_default()), "{}", file.body);
        ensure!(file.header("Cache-Control").is_some_and(|c| c.contains("no-store")), "{file:?}");
        well_formed(&file.body)?;
        Curl::new(hosts.lab.ca()).basic(user, "wrong").get(&url)?.expect_status(401)?;
        Curl::new(hosts.lab.ca()).get(&url)?.expect_status(401)?;
        Curl::new(hosts.lab.ca())
            .get(&format!("{}/bc/pc/no-such-file.xml", hosts.dms))?
            .expect_status(401)?;
    }
    Ok(())
}

/// Asks a parser that is not ours.
fn well_formed(xml: &str) -> Result<()> {
    let folder = tempfile_path()?;
    std::fs::write(folder.path().join("file.xml"), xml)?;
    let status = Command::new(python()?)
        .args(["-c", "import sys, xml.dom.minidom as d; d.parse(sys.argv[1])"])
        .arg(folder.path().join("file.xml"))
        .status()?;
    ensure!(status.success(), "not well-formed: {xml}");
    Ok(())
}

fn tempfile_path() -> Result<tempfile::TempDir> {
    tempfile::tempdir().context("making a folder")
}

/// Step 8: the CLI on the running suite; changes show at once.
pub(crate) fn administer(hosts: &Hosts<'_>) -> Result<()> {
    let lab = hosts.lab;
    let tokens = "ADP_CLI/Applications/AuthenticationService/TokenManagement";
    ensure!(lab.administer(&[&format!("{tokens}> get")])?.contains("tokenDurationInHours = 720"), "default");
    lab.administer(&[&format!("{tokens}> set tokenDurationInHours 24")])?;
    ensure!(lifetime(&sign_in(hosts)?)? == 24 * 3600, "the next token has the new lifetime");
    let revisions = lab.administer(&["revisions"])?;
    ensure!(revisions.contains("TokenManagement"), "{revisions}");
    lab.administer(&[&format!("{tokens}> set tokenDurationInHours 48")])?;
    // Back to the revision before the last change.
    let output = lab.administer(&["revisions"])?;
    let newest: u64 = output
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .max()
        .with_context(|| format!("no revision number in {output}"))?;
    lab.administer(&[&format!("rollback {}", newest - 1)])?;
    ensure!(
        lab.administer(&[&format!("{tokens}> get")])?.contains("tokenDurationInHours = 24"),
        "rolled back"
    );
    ensure!(lifetime(&sign_in(hosts)?)? == 24 * 3600, "rolled back");
    let refused = lab.adpcli(&[&format!("{tokens}> set tokenDurationInHours 4321")])?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(!String::from_utf8_lossy(&refused.stdout).contains("...Done"), "{refused:?}");
    let help = lab.administer(&[&format!("{tokens}> help")])?;
    ensure!(help.contains("get") && help.contains("set"), "{help}");

    // A cipher list of the interface shows in the next handshake.
    let (address, port) = &hosts.https;
    let ciphers = "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Ciphers";
    let endpoint = format!("{address}:{port}");
    ensure!(handshake(lab.ca(), &endpoint, "ECDHE-RSA-AES128-GCM-SHA256")?, "offered at first");
    lab.administer(&[&format!("{ciphers}> add {address} {port} TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")])?;
    ensure!(handshake(lab.ca(), &endpoint, "ECDHE-RSA-AES256-GCM-SHA384")?, "the one that was set");
    ensure!(!handshake(lab.ca(), &endpoint, "ECDHE-RSA-AES128-GCM-SHA256")?, "no longer offered");
    lab.administer(&[&format!("{ciphers}> delete {address} {port} TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")])?;
    ensure!(handshake(lab.ca(), &endpoint, "ECDHE-RSA-AES128-GCM-SHA256")?, "inherited again");
    Ok(())
}

/// `exp - iat` of a token, in seconds.
fn lifetime(token: &str) -> Result<i64> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).context("no payload")?;
    let claims: serde_json::Value =
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?)?;
    Ok(claims["exp"].as_i64().context("exp")? - claims["iat"].as_i64().context("iat")?)
}

/// Whether a TLS 1.2 handshake with exactly this suite (OpenSSL's name) works.
pub(crate) fn handshake(ca: &Path, endpoint: &str, suite: &str) -> Result<bool> {
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            endpoint,
            "-tls1_2",
            "-cipher",
            suite,
            "-verify_return_error",
            "-CAfile",
        ])
        .arg(ca)
        .stdin(std::process::Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let agreed = text.lines().any(|line| line.contains("Cipher is") && line.contains(suite));
    // A handshake that fails says so in the client's exit code; one that succeeds and is broken off later is neither.
    ensure!(
        agreed == output.status.success(),
        "openssl s_client, {}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(agreed)
}
