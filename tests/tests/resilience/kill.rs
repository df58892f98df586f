//! `kill -9` in the middle of work, and orderly ends.

use crate::{sign_in, value};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Curl, EventChannel, Lab, Plain, Raw};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

/// Times that the lab is killed in one test.
const ROUNDS: u64 = 4;
const TOKENS: &str = "ADP_CLI/Applications/AuthenticationService/TokenManagement";
const NAMESPACE: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";

/// What was tried and what was acknowledged of a row of changes that are numbered from one.
#[derive(Default)]
struct Progress {
    tried: AtomicU64,
    acknowledged: AtomicU64,
}

impl Progress {
    fn attempt(&self, change: impl FnOnce(u64) -> Result<()>) -> Result<()> {
        let number = self.tried.fetch_add(1, Ordering::SeqCst) + 1;
        change(number)?;
        self.acknowledged.store(number, Ordering::SeqCst);
        Ok(())
    }
    /// What is there must be the last acknowledged, or the one that was under way.
    fn allows(&self, number: u64) -> bool {
        (self.acknowledged.load(Ordering::SeqCst)..=self.tried.load(Ordering::SeqCst)).contains(&number)
    }
}

fn user(account: &Account, resource: &str) -> String {
    format!("/com.broadsoft.xsi-actions/v2.0/user/{}/{resource}", account.user_id)
}

fn forward_to(plain: &Plain, connection: &mut Raw, account: &Account, number: u64) -> Result<()> {
    let body = format!(
        "<CallForwardingAlways {NAMESPACE}><active>false</active><forwardToPhoneNumber>tel:+1212555{number:04}</forwardToPhoneNumber></CallForwardingAlways>"
    );
    let path = user(account, "services/CallForwardingAlways");
    connection.send(Plain::bytes("PUT", &path, &[&Plain::basic(account)], body))?;
    connection.response()?.expect_status(200).with_context(|| format!("on port {}", plain.port))?;
    Ok(())
}

fn toggle(lab: &Lab, account: &Account, active: bool) -> Result<()> {
    lab.curl(account)
        .body(format!("<DoNotDisturb {NAMESPACE}><active>{active}</active></DoNotDisturb>"))
        .put(&lab.user_url(account, "services/DoNotDisturb"))?
        .expect_status(200)?;
    Ok(())
}

fn device_file(lab: &Lab, account: &Account) -> Result<String> {
    let devices = lab.curl(account).get(&lab.user_url(account, "profile/device"))?.expect_status(200)?;
    let user = devices.text_of("userName").context("no device user name")?;
    let password = devices.text_of("password").context("no device password")?;
    let url = devices.text_of("deviceTypeUrl").context("no URL")?;
    let file =
        Curl::new(lab.ca()).basic(user, password).get(&format!("{url}config-wxt.xml"))?.expect_status(200)?;
    Ok(format!("{user} {password} {}", file.body))
}

#[test]
fn a_lab_that_is_killed_loses_nothing_that_it_accepted() -> Result<()> {
    let mut lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let (alice, bo, chidi) = (lab.subscriber(0), lab.subscriber(1), lab.subscriber(2));
    let keys_url = format!("{}/keys", lab.text("auth_service"));
    let token = sign_in(&lab, &alice)?;
    let keys = Curl::new(lab.ca()).get(&keys_url)?.expect_status(200)?.body;
    let file = device_file(&lab, &alice)?;
    let channel = lab.channel(&alice, "survivor")?;
    let subscription = channel.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "survivor")?;
    let mut sequence: u64 = 0;
    let mut channel = Some(channel);
    let (settings, forwarding) = (Progress::default(), Progress::default());

    for round in 1..=ROUNDS {
        // Somebody talks, and somebody listens.
        let url = lab.user_url(&alice, &format!("calls/new?address={}", bo.extension));
        let call = lab.curl(&alice).post(&url)?.expect_status(201)?;
        let call = call.text_of("callId").context("no callId")?.to_owned();
        let listening = channel.take().context("a channel")?;
        let initial = next_of(&listening, &subscription, &mut sequence)?;
        toggle(&lab, &alice, round % 2 == 1)?;
        let heard = next_of(&listening, &subscription, &mut sequence)?;
        ensure!(heard == (round % 2 == 1), "round {round}: {initial} then {heard}");

        // Two writers; the blow falls in the middle of their work.
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| -> Result<()> {
            let (done, acknowledgements) = sync_channel(10_000);
            let (lab_ref, stop_ref, settings_ref) = (&lab, &stop, &settings);
            let told = done.clone();
            let administrator = scope.spawn(move || -> Result<()> {
                while !stop_ref.load(Ordering::SeqCst) {
                    settings_ref.attempt(|number| {
                        lab_ref
                            .administer(&[&format!("{TOKENS}> set tokenDurationInHours {number}")])
                            .map(|_| ())
                    })?;
                    // Nobody may listen any more: the count is what matters.
                    if told.try_send("settings").is_err() {}
                }
                Ok(())
            });
            let (plain_ref, forwarding_ref, chidi_ref) = (&plain, &forwarding, &chidi);
            let caller = scope.spawn(move || -> Result<()> {
                let mut connection = plain_ref.connect()?;
                // Ends when the lab does.
                loop {
                    forwarding_ref
                        .attempt(|number| forward_to(plain_ref, &mut connection, chidi_ref, number))?;
                    if done.try_send("forwarding").is_err() {}
                }
            });
            let (mut of_settings, mut of_forwarding) = (0, 0);
            while of_settings < 2 || of_forwarding < 5 * round {
                match acknowledgements.recv_timeout(openadp_suite::PATIENCE) {
                    Ok("settings") => of_settings += 1,
                    Ok(_) => of_forwarding += 1,
                    Err(error) => {
                        stop.store(true, Ordering::SeqCst);
                        return Err(error).context("the writers do not get on");
                    }
                }
            }
            // Running::kill needs the lab alone; a signal does not.
            stop.store(true, Ordering::SeqCst);
            lab.process.as_ref().context("a running lab")?.signal("KILL")?;
            ensure!(caller.join().is_ok_and(|ended| ended.is_err()), "the caller noticed nothing");
            // The one change that was under way may be refused; `adpcli` may also have made it in the store itself.
            if let Ok(Err(error)) = administrator.join() {
                ensure!(!error.to_string().contains("panicked"), "{error:#}");
            }
            Ok(())
        })?;
        lab.process.as_mut().context("a running lab")?.wait()?;

        lab.run()?;
        let hours: u64 = value(&lab, TOKENS, "tokenDurationInHours")?.parse()?;
        ensure!(
            settings.allows(hours),
            "round {round}: {hours} hours, {} acknowledged",
            settings.acknowledged.load(Ordering::SeqCst)
        );
        settings.tried.store(hours, Ordering::SeqCst);
        settings.acknowledged.store(hours, Ordering::SeqCst);
        let revisions = lab.administer(&["revisions"])?;
        ensure!(revisions.contains("entries found"), "{revisions}");

        let answer = plain
            .request_as(&chidi, "GET", &user(&chidi, "services/CallForwardingAlways"), "")?
            .expect_status(200)?;
        let number = answer
            .text_of("forwardToPhoneNumber")
            .and_then(|text| text.rsplit("555").next()?.parse().ok())
            .with_context(|| format!("no number: {answer:?}"))?;
        ensure!(forwarding.allows(number), "round {round}: forwarded to {number}");
        forwarding.tried.store(number, Ordering::SeqCst);
        forwarding.acknowledged.store(number, Ordering::SeqCst);

        // The call goes on, and so does the subscription.
        for account in [&alice, &bo] {
            let calls = lab.curl(account).get(&lab.user_url(account, "calls"))?.expect_status(200)?;
            ensure!(calls.text_of("callId").is_some(), "round {round}: the call is gone: {calls:?}");
        }
        lab.curl(&alice).delete(&lab.user_url(&alice, &format!("calls/{call}")))?.expect_status(200)?;
        let url = format!("{}/v2.0/subscription/{subscription}", lab.text("xsi_events"));
        lab.curl(&alice).get(&url)?.expect_status(200)?;
        channel = Some(lab.channel(&alice, "survivor")?);

        // Keys, tokens and files are what they were.
        ensure!(
            Curl::new(lab.ca()).get(&keys_url)?.expect_status(200)?.body == keys,
            "round {round}: other keys"
        );
        Curl::new(lab.ca()).bearer(&token).get(&lab.user_url(&alice, "profile"))?.expect_status(200)?;
        ensure!(device_file(&lab, &alice)? == file, "round {round}: another file");
    }
    Ok(())
}

/// The next event of the subscription; its number is larger than any before. Gives what it says.
fn next_of(channel: &EventChannel, subscription: &str, sequence: &mut u64) -> Result<bool> {
    loop {
        let event = channel.next_event()?;
        if event.text_of("xsi:subscriptionId") != Some(subscription) {
            continue;
        }
        let number: u64 = event.text_of("xsi:sequenceNumber").context("no number")?.parse()?;
        ensure!(number > *sequence, "number {number} after {sequence}: {event:?}");
        *sequence = number;
        return Ok(event.text_of("xsi:active") == Some("true"));
    }
}

#[test]
fn the_push_server_does_not_outlive_a_killed_lab() -> Result<()> {
    let mut lab = Lab::start()?;
    let mut own = Raw::connect(lab.port_base() + 4)?;
    let mut child = Raw::connect(lab.port_base() + 5)?;
    lab.process.as_mut().context("a running lab")?.kill()?;
    own.until_end()?;
    child.until_end()?;
    ensure!(Raw::connect(lab.port_base() + 5).is_err(), "its port is still open");
    lab.run()
}

#[test]
fn a_lab_that_is_told_to_end_finishes_what_was_begun() -> Result<()> {
    let mut lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    // Streams over TLS and plain, and a request that is not complete.
    let channel = lab.channel(&alice, "drain")?;
    channel.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "drain")?;
    channel.wait_for("DoNotDisturbEvent")?;
    let mut stream = plain.connect()?;
    let body = format!("<Channel {NAMESPACE}><channelSetId>other</channelSetId></Channel>");
    stream.send(Plain::bytes(
        "POST",
        "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel",
        &[&Plain::basic(&bo)],
        body,
    ))?;
    stream.until("</Channel>")?;
    let mut begun = plain.connect()?;
    let whole = Plain::bytes(
        "PUT",
        &user(&bo, "services/DoNotDisturb"),
        &[&Plain::basic(&bo)],
        format!("<DoNotDisturb {NAMESPACE}><active>true</active></DoNotDisturb>"),
    );
    let (first, rest) = whole.split_at(whole.len() - 20);
    begun.send(first)?;
    plain.others_are_served()?;

    let process = lab.process.as_mut().context("a running lab")?;
    process.signal("TERM")?;
    // Streams end as streams do, not as cut ones.
    let last = stream.until("\r\n0\r\n\r\n")?;
    ensure!(last.is_empty() || !last.contains("HTTP/1.1 5"), "{last}");
    channel.until_end()?;
    begun.send(rest)?;
    begun.response()?.expect_status(200)?;
    begun.until_end()?;
    let status = process.wait()?;
    ensure!(status.code() == Some(0), "{status}: {}", process.log());

    lab.run()?;
    let now = plain.request_as(&bo, "GET", &user(&bo, "services/DoNotDisturb"), "")?.expect_status(200)?;
    ensure!(now.text_of("active") == Some("true"), "what was begun was done: {now:?}");
    Ok(())
}
