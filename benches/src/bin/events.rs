//! Delay from a call's state change to the event's last byte on the channel, with idle channels beside.

use anyhow::{Context as _, Result};
use openadp_benches::{CLIENT_CORE, Client, basic, percentile, pin, pinned_lab, report, runs};
use openadp_suite::Lab;
use std::time::Instant;

const IDLE_CHANNELS: usize = 1_000;
const CHANGES: usize = 200;

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    pin(CLIENT_CORE)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(measure(&lab))
}

async fn measure(lab: &Lab) -> Result<()> {
    let url = lab.text("xsi_events");
    let client = |index: usize| {
        let account = lab.subscriber(index);
        Client::new(url, lab.ca(), basic(&account.user_id, &account.password))
    };
    let mut idle = Vec::new();
    for index in 0..IDLE_CHANNELS {
        idle.push(client(2 + index % 18)?.channel(&format!("idle-{index}")).await?);
    }
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let mut channel = client(0)?.channel("measured").await?;
    let mut control = client(0)?.connect().await?;
    control
        .request(
            "POST",
            &format!("/com.broadsoft.xsi-events/v2.0/user/{}", alice.user_id),
            "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Advanced Call</event><channelSetId>measured</channelSetId></Subscription>",
        )
        .await?;
    let actions = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/calls", alice.user_id);
    let started = control.request("POST", &format!("{actions}/new?address={}", bo.extension), "").await?;
    let call = text(&started, "callId").context("no callId")?.to_owned();
    let mut other = client(1)?.connect().await?;
    let others = format!("/com.broadsoft.xsi-actions/v2.0/user/{}/calls", bo.user_id);
    let ringing = other.request("GET", &others, "").await?;
    let incoming = text(&ringing, "callId").context("no call")?.to_owned();
    other.request("PUT", &format!("{others}/{incoming}/Talk"), "").await?;
    let mut acknowledge = client(0)?.connect().await?;
    loop {
        let (event, _) = channel.wait_for("</xsi:Event>").await?;
        respond(&mut acknowledge, &event).await?;
        if event.contains("CallAnsweredEvent") {
            break;
        }
    }
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let mut delays = Vec::new();
        for change in 0..CHANGES {
            let action = if change % 2 == 0 { "Hold" } else { "Talk" };
            let start = Instant::now();
            control.send("PUT", &format!("{actions}/{call}/{action}"), "").await?;
            let (event, last_byte) = channel.wait_for("</xsi:Event>").await?;
            delays.push(last_byte.duration_since(start).as_secs_f64() * 1000.0);
            control.wait_for("\r\n\r\n").await?;
            respond(&mut acknowledge, &event).await?;
        }
        p50.push(percentile(&delays, 0.5));
        p99.push(percentile(&delays, 0.99));
    }
    report(&format!(
        "events: from sending the request to the event's last byte p50 {:.2} ms, p99 {:.2} ms ({IDLE_CHANNELS} idle channels, {CHANGES} changes a run)",
        percentile(&p50, 0.5),
        percentile(&p99, 0.5)
    ));
    drop(idle);
    Ok(())
}

async fn respond(connection: &mut openadp_benches::Stream, event: &str) -> Result<()> {
    let id = text(event, "xsi:eventID").context("no eventID")?;
    let body = format!(
        "<EventResponse xmlns=\"http://schema.broadsoft.com/xsi\"><eventID>{id}</eventID><statusCode>200</statusCode><reason>OK</reason></EventResponse>"
    );
    connection
        .request("POST", "/com.broadsoft.xsi-events/v2.0/channel/eventresponse", &body)
        .await
        .map(|_| ())
}

fn text<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    document.split_once(&format!("<{name}>"))?.1.split('<').next()
}
