//! Readers of streams that do not read, or do not answer what they read.

use crate::{EVENTS, lab, user};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Lab, PATIENCE, Plain, Raw};
use std::time::Instant;

const NAMESPACE: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";
const INTEGRATION: &str = "ADP_CLI/Applications/Xsi-Events/BWIntegration";
const GENERAL: &str = "ADP_CLI/Applications/Xsi-Events/GeneralSettings";

/// Opens a channel whose stream is left alone; gives its connection and its id.
fn open(plain: &Plain, account: &Account, set: &str) -> Result<(Raw, String)> {
    let body =
        format!("<Channel {NAMESPACE}><channelSetId>{set}</channelSetId><expires>3600</expires></Channel>");
    let mut connection = plain.connect()?;
    let path = format!("/com.broadsoft.async{EVENTS}/channel");
    connection.send(Plain::bytes("POST", &path, &[&Plain::basic(account)], body))?;
    let begin = connection.until("</Channel>")?;
    let id = begin
        .split("<channelId>")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .with_context(|| format!("no channel: {begin}"))?
        .to_owned();
    Ok((connection, id))
}

/// Subscriptions of different client applications are different ones.
fn subscribe(plain: &Plain, account: &Account, set: &str, application: u32) -> Result<()> {
    let body = format!(
        "<Subscription {NAMESPACE}><event>Do Not Disturb</event><expires>3600</expires><channelSetId>{set}</channelSetId><applicationId>{application}</applicationId></Subscription>"
    );
    plain
        .request_as(account, "POST", &format!("{EVENTS}/user/{}", account.user_id), body)?
        .expect_status(200)?;
    Ok(())
}

fn toggle(plain: &Plain, account: &Account, active: bool) -> Result<()> {
    let body = format!("<DoNotDisturb {NAMESPACE}><active>{active}</active></DoNotDisturb>");
    plain.request_as(account, "PUT", &user(account, "services/DoNotDisturb"), body)?.expect_status(200)?;
    Ok(())
}

/// Whether the channel is still there.
fn exists(plain: &Plain, account: &Account, id: &str) -> Result<bool> {
    let answer = plain.request_as(account, "PUT", &format!("{EVENTS}/channel/{id}/heartbeat"), "")?;
    ensure!(matches!(answer.status, 200 | 404), "{answer:?}");
    Ok(answer.status == 200)
}

fn change(lab: &Lab, commands: &[String]) -> Result<()> {
    lab.administer(&commands.iter().map(String::as_str).collect::<Vec<_>>()).map(|_| ())
}

/// The rule for a channel that answers nothing: with `eventQueueSize` events unanswered, it ends as NonResponsiveChannel.
#[test]
fn a_channel_that_answers_nothing_ends_alone() -> Result<()> {
    let (lab, plain) = lab()?;
    change(
        &lab,
        &[
            format!("{INTEGRATION}> set eventQueueSize 20"),
            format!("{GENERAL}> set notificationTimeoutInSeconds 300"),
        ],
    )?;
    let alice = lab.subscriber(0);
    let (mut slow, id) = open(&plain, &alice, "slow")?;
    subscribe(&plain, &alice, "slow", 0)?;
    let prompt = lab.channel(&alice, "prompt")?;
    prompt.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "prompt")?;
    prompt.wait_for("DoNotDisturbEvent")?;
    ensure!(exists(&plain, &alice, &id)?, "open at first");
    for turn in 0..60 {
        let active = turn % 2 == 0;
        toggle(&plain, &alice, active)?;
        // The prompt one has each event before the next happens.
        let event = prompt.wait_for("DoNotDisturbEvent")?;
        ensure!(
            event.text_of("xsi:active") == Some(if active { "true" } else { "false" }),
            "{turn}: {event:?}"
        );
        ensure!(event.text_of("xsi:sequenceNumber") == Some(&(turn + 2).to_string()), "{turn}: {event:?}");
    }
    ensure!(!exists(&plain, &alice, &id)?, "the silent channel is over");
    prompt.heartbeat()?;
    // The stream's last chunk; the connection itself may serve another request.
    let all = slow.until("\r\n0\r\n\r\n")?;
    ensure!(all.matches("<xsi:eventID>").count() <= 25, "no more than the queue holds");
    let last = all.rfind("<xsi:Event").and_then(|at| all.get(at..)).unwrap_or_default();
    ensure!(last.contains("ChannelTerminatedEvent") && last.contains("NonResponsiveChannel"), "{last}");
    Ok(())
}

/// The rule for a connection that is not read: it is closed `writeTimeoutInSeconds` after its buffers are full.
#[test]
fn a_connection_that_is_not_read_is_closed_alone() -> Result<()> {
    let (lab, plain) = lab()?;
    change(
        &lab,
        &[
            format!("{INTEGRATION}> set eventQueueSize 100000"),
            format!(
                "{GENERAL}> set notificationTimeoutInSeconds 300 clientHeartbeatTimeoutInSeconds 3600 heartbeatPeriodInSeconds 1"
            ),
            "ADP_CLI/Applications/WebContainer/Tomcat/Limits> set writeTimeoutInSeconds 1".to_owned(),
        ],
    )?;
    let alice = lab.subscriber(0);
    let (slow, id) = open(&plain, &alice, "slow")?;
    // Each change is this many events for it: the sockets' buffers fill soon.
    for application in 0..250 {
        subscribe(&plain, &alice, "slow", application)?;
    }
    let prompt = lab.channel(&alice, "prompt")?;
    prompt.subscribe(&format!("user/{}", alice.user_id), "Do Not Disturb", "prompt")?;
    prompt.wait_for("DoNotDisturbEvent")?;
    let change_arrives = |turn: u32| {
        let active = turn % 2 == 1;
        toggle(&plain, &alice, active)?;
        let event = prompt.wait_for("DoNotDisturbEvent")?;
        ensure!(
            event.text_of("xsi:active") == Some(if active { "true" } else { "false" }),
            "{turn}: {event:?}"
        );
        Ok(())
    };
    let mut turn = 0;
    for _ in 0..50 {
        turn += 1;
        change_arrives(turn)?;
    }
    let began = Instant::now();
    while exists(&plain, &alice, &id)? {
        turn += 1;
        change_arrives(turn)?;
        // The prompt one's next heartbeat is a second away at most.
        while !prompt.next_document()?.is_heartbeat() {}
        ensure!(began.elapsed() < PATIENCE, "still open after {turn} changes");
    }
    prompt.heartbeat()?;
    drop(slow);
    plain.others_are_served()
}
