//! `ADP_CLI/Applications/Xsi-Actions` and `Xsi-Events`, and the limits of `System/CommunicationUtility`.

use crate::hook::{Hook, SILENT};
use crate::{Locked, device, lasts, metric, seconds, until};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Effects, EventChannel, Lab, PATIENCE, Response};
use std::process::Command;
use std::time::{Duration, Instant};

const ACTIONS: &str = "ADP_CLI/Applications/Xsi-Actions/GeneralSettings";
const PAGING: &str = "ADP_CLI/Applications/Xsi-Actions/Paging";
const OVERLOAD: &str = "ADP_CLI/Applications/Xsi-Actions/OverloadControl";
const EVENTS: &str = "ADP_CLI/Applications/Xsi-Events/GeneralSettings";
const INTEGRATION: &str = "ADP_CLI/Applications/Xsi-Events/BWIntegration";
const DOMAIN: &str = "AS_CLI/Service/IntegratedIMP";
const ACTIVE: &str = "AS_CLI/Service/IntegratedIMP/DefaultAttribute";
const DEFAULTS: &str = "ADP_CLI/System/CommunicationUtility/DefaultSettings";

#[test]
fn actions() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/xsi.rs::actions");
    let alice = lab.subscriber(0);
    let entries = |query: &str| {
        let url = lab.user_url(&alice, &format!("directories/Enterprise{query}"));
        let page = lab.curl(&alice).get(&url)?.expect_status(200)?;
        Ok(page.body.matches("<directoryDetails>").count())
    };
    let all = entries("?results=100")?;
    ensure!(all > 3, "{all} people");
    effects.see(PAGING, "defaultPageSize", "2", (all, 2), || entries(""))?;
    effects.see(PAGING, "availableUserMaxLimit", "3", (all, 3), || entries("?results=100"))?;
    let address = || -> Result<Option<String>> {
        let profile = lab.curl(&alice).get(&lab.user_url(&alice, "profile"))?.expect_status(200)?;
        Ok(profile.text_of("impId").map(str::to_owned))
    };
    let local = alice.user_id.split('@').next().unwrap_or_default();
    let messaging = Some(format!("{local}@im.lab.example"));
    effects.run(ACTIVE, "set userAttrIsActive true")?;
    effects.see(DOMAIN, "serviceDomain", "im.lab.example", (None, messaging.clone()), address)?;
    effects.run(DOMAIN, "set serviceDomain im.lab.example")?;
    effects.see(ACTIVE, "userAttrIsActive", "false", (messaging, None), address)?;
    let bo = lab.subscriber(1);
    let correlated = || -> Result<bool> {
        let start = lab.curl(&alice).header("X-Request-Id: follow-me-4711");
        let call = start
            .post(&lab.user_url(&alice, &format!("calls/new?address={}", bo.extension)))?
            .expect_status(201)?;
        let calls = lab.curl(&bo).get(&lab.user_url(&bo, "calls"))?.expect_status(200)?;
        let other = calls.text_of("callId").context("no call at the other side")?;
        let seen = lab.curl(&bo).get(&lab.user_url(&bo, &format!("calls/{other}")))?.expect_status(200)?;
        let own = call.text_of("callId").context("no callId")?;
        lab.curl(&alice).delete(&lab.user_url(&alice, &format!("calls/{own}")))?.expect_status(200)?;
        Ok(seen.text_of("networkCallId") == Some("follow-me-4711"))
    };
    effects.run("AS_CLI/Interface/SIP", "set sendCallCorrelationIDAccess true")?;
    effects.see(ACTIONS, "enableCallCorrelationID", "true", (false, true), correlated)?;
    let credentials =
        || Ok(device(&lab, &alice, "Business Communicator - PC")?.text_of("userName").is_some());
    effects.see(ACTIONS, "returnDeviceCredentials", "false", (true, false), credentials)?;
    effects.finish()
}

/// The statuses of so many requests for directories, on one connection.
fn directories(lab: &Lab, account: &Account, times: usize) -> Result<Vec<u16>> {
    let url = format!("{}?start=[1-{times}]", lab.user_url(account, "directories/Enterprise"));
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code} ", "--cacert"])
        .arg(lab.ca())
        .args(["--user", &format!("{}:{}", account.user_id, account.password), &url])
        .output()?;
    let statuses = String::from_utf8(output.stdout)?;
    statuses.split_whitespace().map(|status| status.parse().context("a status")).collect()
}

#[test]
fn limits() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/xsi.rs::limits");
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let get = |account: &Account| lab.curl(account).get(&lab.user_url(account, "profile"));
    effects.with(
        DEFAULTS,
        &["userTransactionLimit"],
        "set userTransactionLimit 3 transactionLimitPeriodSecs 3600",
        || {
            for _ in 0..3 {
                get(&alice)?.expect_status(200)?;
            }
            let refused = get(&alice)?.expect_status(503)?;
            ensure!(refused.text_of("errorCode") == Some("210504"), "{refused:?}");
            get(&bo)?.expect_status(200)?;
            // An hour is not over soon.
            let began = Instant::now();
            while began.elapsed() < seconds(2) {
                get(&alice)?.expect_status(503)?;
            }
            Ok(())
        },
    )?;
    effects.with(DEFAULTS, &["transactionLimitPeriodSecs"], "set transactionLimitPeriodSecs 1", || {
        until("a second is over", || Ok(get(&alice)?.status == 200))
    })?;
    effects.run(DEFAULTS, "clear userTransactionLimit")?;
    effects.run(DEFAULTS, "set transactionLimitPeriodSecs 10")?;

    let refused = |statuses: &[u16]| statuses.iter().filter(|status| **status == 503).count();
    ensure!(refused(&directories(&lab, &alice, 102)?) == 0, "no limit at first");
    // 102 requests touch two periods of ten seconds at most, so one of them sees more than 50.
    effects.with(
        OVERLOAD,
        &["userDirectoryTransactionLimit"],
        "set userDirectoryTransactionLimit 50",
        || {
            ensure!(refused(&directories(&lab, &alice, 102)?) > 0, "of one user");
            ensure!(refused(&directories(&lab, &bo, 10)?) == 0, "others go on");
            get(&alice)?.expect_status(200)?;
            Ok(())
        },
    )?;
    effects.run(OVERLOAD, "clear userDirectoryTransactionLimit")?;
    effects.with(
        OVERLOAD,
        &["globalDirectoryTransactionLimit"],
        "set globalDirectoryTransactionLimit 50",
        || {
            let (own, others) = (directories(&lab, &alice, 51)?, directories(&lab, &bo, 51)?);
            ensure!(refused(&own) + refused(&others) > 0, "of all together");
            get(&alice)?.expect_status(200)?;
            Ok(())
        },
    )?;
    effects.finish()
}

#[test]
fn channels() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/xsi.rs::channels");
    let alice = lab.subscriber(0);
    let user = format!("user/{}", alice.user_id);
    let first = lab.channel(&alice, "one")?;
    let opens = |set: &str| Ok(lab.channel(&alice, set).is_ok());
    effects.see(EVENTS, "maxChannelsPerSet", "1", (true, false), || opens("one"))?;
    effects.see(EVENTS, "maxChannelsPerUser", "1", (true, false), || opens("two"))?;
    effects.run(EVENTS, "set maxChannelsPerUser 100")?;
    first.subscribe(&user, "Advanced Call", "one")?;
    effects.with(EVENTS, &["maxSubscriptionsPerUser"], "set maxSubscriptionsPerUser 1", || {
        ensure!(first.subscribe(&user, "Do Not Disturb", "one").is_err(), "a second subscription");
        Ok(())
    })?;
    effects.run(EVENTS, "clear maxSubscriptionsPerUser")?;
    first.subscribe(&user, "Do Not Disturb", "one")?;

    let curl = lab.curl(&alice);
    let lifetime = || -> Result<Option<String>> {
        let body = "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><expires>7200</expires></Channel>";
        let url = format!("{}/v2.0/channel/{}", lab.text("xsi_events"), first.channel_id);
        let answer = curl.clone().body(body).put(&url)?.expect_status(200)?;
        Ok(answer.text_of("expires").map(str::to_owned))
    };
    let (before, after) = (Some("7200".to_owned()), Some("3600".to_owned()));
    effects.see(EVENTS, "maximumExpiresInSeconds", "3600", (before, after), lifetime)?;

    // A subscription without any channel.
    let lonely = |set: &str| -> Result<u16> {
        let channel = lab.channel(&alice, set)?;
        let id = channel.subscribe(&user, "Advanced Call", set)?;
        curl.delete(&format!("{}/v2.0/channel/{}", lab.text("xsi_events"), channel.channel_id))?
            .expect_status(200)?;
        channel.until_end()?;
        let began = Instant::now();
        loop {
            let answer = curl.get(&format!("{}/v2.0/subscription/{id}", lab.text("xsi_events")))?;
            if answer.status != 200 || began.elapsed() > seconds(3) {
                return Ok(answer.status);
            }
        }
    };
    effects.see(EVENTS, "channelSetGracePeriodInSeconds", "1", (200, 403), || lonely("lonely"))?;
    effects.finish()
}

/// How a channel ends by itself.
fn end_of(channel: &EventChannel) -> Result<Option<String>> {
    let rest = channel.until_end()?;
    Ok(rest.last().and_then(|last| last.text_of("xsi:reason")).map(str::to_owned))
}

#[test]
fn silence() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/xsi.rs::silence");
    let alice = lab.subscriber(0);
    let user = format!("user/{}", alice.user_id);
    let responsive = Some("NonResponsiveChannel".to_owned());
    effects.with(EVENTS, &["heartbeatPeriodInSeconds"], "set heartbeatPeriodInSeconds 2", || {
        let channel = lab.channel(&alice, "heartbeats")?;
        while !channel.next_document()?.is_heartbeat() {}
        lasts(seconds(2), seconds(15), || {
            ensure!(channel.next_document()?.is_heartbeat(), "something else");
            Ok(())
        })
    })?;
    effects.with(
        EVENTS,
        &["clientHeartbeatTimeoutInSeconds"],
        "set clientHeartbeatTimeoutInSeconds 5",
        || {
            lasts(seconds(5), seconds(60), || {
                let ended = end_of(&lab.channel(&alice, "silent")?)?;
                ensure!(ended == responsive, "{ended:?}");
                Ok(())
            })
        },
    )?;
    effects.run(EVENTS, "clear clientHeartbeatTimeoutInSeconds")?;
    effects.with(EVENTS, &["notificationTimeoutInSeconds"], "set notificationTimeoutInSeconds 2", || {
        let mut channel = lab.channel(&alice, "mute")?;
        channel.stay_silent();
        lasts(seconds(2), seconds(10), || {
            channel.subscribe(&user, "Advanced Call", "mute")?;
            let ended = end_of(&channel)?;
            ensure!(ended == responsive, "{ended:?}");
            Ok(())
        })
    })?;
    effects.run(EVENTS, "set notificationTimeoutInSeconds 300")?;

    // Eight events that nobody answers.
    let curl = lab.curl(&alice);
    let unanswered = |set: &str| -> Result<EventChannel> {
        let mut channel = lab.channel(&alice, set)?;
        channel.stay_silent();
        channel.subscribe(&user, "Do Not Disturb", set)?;
        for turn in 0..8 {
            let body = format!(
                "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>{}</active></DoNotDisturb>",
                turn % 2 == 0
            );
            curl.clone()
                .body(body)
                .put(&lab.user_url(&alice, "services/DoNotDisturb"))?
                .expect_status(200)?;
        }
        Ok(channel)
    };
    unanswered("patient")?.heartbeat().context("two thousand may wait")?;
    effects.with(INTEGRATION, &["eventQueueSize"], "set eventQueueSize 4", || {
        let ended = end_of(&unanswered("full")?)?;
        ensure!(ended == responsive, "{ended:?}");
        Ok(())
    })?;
    effects.finish()
}

#[test]
fn application_server() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/xsi.rs::application_server");
    let alice = lab.subscriber(0);
    let profile = || lab.curl(&alice).get(&lab.user_url(&alice, "profile")).map(|answer| answer.status);
    let failures = |kind: &str| metric(&lab, "xsi_application_server_failures_total", &format!("\"{kind}\""));
    // What changes something, while nothing can be written: whether the store gave up first, after a second and more, or
    // the time that was set.
    let change = || -> Result<(bool, bool)> {
        let before = (failures("unavailable")?, failures("timedOut")?);
        let held = Locked::hold(&lab)?;
        let body =
            "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>true</active></DoNotDisturb>";
        let answer = lab.curl(&alice).body(body).put(&lab.user_url(&alice, "services/DoNotDisturb"))?;
        drop(held);
        let refused = answer.expect_status(503)?;
        ensure!(refused.header("Retry-After").is_some(), "{refused:?}");
        Ok((failures("unavailable")? > before.0, failures("timedOut")? > before.1))
    };
    effects.run(DEFAULTS, "set responseTimeoutInMilliseconds 1800")?;
    until("the store gives up by itself", || Ok(change()?.0))?;
    effects.with(
        DEFAULTS,
        &["responseTimeoutInMilliseconds"],
        "set responseTimeoutInMilliseconds 100",
        || {
            for _ in 0..3 {
                ensure!(change()? == (false, true), "no answer is waited for that long");
            }
            Ok(())
        },
    )?;

    // What only reads, while nothing can be read. Who asks is known from before, unless something was written meanwhile.
    let again = || -> Result<bool> {
        let began = Instant::now();
        loop {
            let count = || metric(&lab, "xsi_application_server_retries_total", "");
            until("served", || Ok(profile()? == 200))?;
            let before = (failures("timedOut")?, count()?);
            let silent = Locked::silence(&lab)?;
            ensure!(profile()? == 503, "served by whom?");
            drop(silent);
            if failures("timedOut")? > before.0 {
                return Ok(count()? > before.1);
            }
            ensure!(began.elapsed() < PATIENCE, "nobody was known");
        }
    };
    effects.see(DEFAULTS, "retries", "0", (true, false), again)?;
    effects.run(DEFAULTS, "clear responseTimeoutInMilliseconds")?;
    until("served", || Ok(profile()? == 200))?;

    let user = format!("user/{}", alice.user_id);
    let channel = lab.channel(&alice, "named")?;
    let id = channel.subscribe(&user, "Advanced Call", "named")?;
    let stored = || {
        let url = format!("{}/v2.0/subscription/{id}", lab.text("xsi_events"));
        lab.curl(&alice).get(&url).map(|answer| answer.status)
    };
    ensure!(stored()? == 200, "there");
    effects.with(
        EVENTS,
        &["callControlApplicationName"],
        "set callControlApplicationName com.example.events",
        || {
            channel.wait_for("SubscriptionTerminatedEvent")?;
            let status = stored()?;
            ensure!(status == 403, "made under another name: {status}");
            channel.subscribe(&user, "Advanced Call", "named")?;
            channel.wait_for("CallSubscriptionEvent")
        },
    )?;
    drop(channel);

    // Channels whose connections end while nothing can be written: each has to be forgotten by the store. A lease that is
    // renewed at this moment counts too.
    let gauge = |name: &str| metric(&lab, name, "");
    let busy = || -> Result<u64> {
        until("no channel is left", || Ok(gauge("xsi_channels_open")? == 0))?;
        let channels =
            (0..8).map(|n| lab.channel(&alice, &format!("set-{n}"))).collect::<Result<Vec<_>>>()?;
        until("nothing is under way", || Ok(gauge("xsi_event_handlers_busy")? == 0))?;
        let held = Locked::hold(&lab)?;
        drop(channels);
        let mut most = 0;
        until("all connections are gone", || {
            most = gauge("xsi_event_handlers_busy")?.max(most);
            Ok(gauge("xsi_channels_open")? == 0)
        })?;
        most = gauge("xsi_event_handlers_busy")?.max(most);
        drop(held);
        Ok(most)
    };
    let many = busy()?;
    ensure!(many > 2, "{many} at once");
    effects.with(INTEGRATION, &["eventHandlerThreadCount"], "set eventHandlerThreadCount 1", || {
        let few = busy()?;
        ensure!((1..=2).contains(&few), "{few} at once");
        Ok(())
    })?;
    effects.finish()
}

const CONTACT: &str = "ADP_CLI/Applications/Xsi-Events/HttpContact";
const TARGETS: &str = "ADP_CLI/Applications/Xsi-Events/HttpContact/AllowedTargets";

#[test]
fn http_contacts() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/xsi.rs::http_contacts");
    let alice = lab.subscriber(0);
    let (hook, other) = (Hook::new()?, Hook::new()?);
    let subscribe = |uri: &str| -> Result<Response> {
        let body = format!(
            "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Do Not Disturb</event>\
             <httpContact><uri>{uri}</uri></httpContact></Subscription>"
        );
        let url = format!("{}/v2.0/user/{}", lab.text("xsi_events"), alice.user_id);
        lab.curl(&alice).body(body).post(&url)
    };
    let (here, elsewhere) = (format!("127.0.0.1:{}/events", hook.port), format!("127.0.0.1:{}/", other.port));
    let allowed = || -> Result<[u16; 3]> {
        Ok([
            subscribe(&format!("https://{here}"))?.status,
            subscribe(&format!("https://{elsewhere}"))?.status,
            subscribe(&format!("http://{here}"))?.status,
        ])
    };
    let any = ("add 127.0.0.1", "delete 127.0.0.1");
    effects.see_rows(TARGETS, &["host"], any, ([400, 400, 400], [200, 200, 400]), allowed)?;
    effects.run(TARGETS, "add 127.0.0.1")?;
    let port = (format!("set 127.0.0.1 port {}", hook.port), "clear 127.0.0.1 port");
    effects.see_rows(TARGETS, &["port"], (&port.0, port.1), ([200, 200, 400], [200, 400, 400]), allowed)?;
    let plain = ("set 127.0.0.1 allowPlainHttp true", "set 127.0.0.1 allowPlainHttp false");
    effects.see_rows(TARGETS, &["allowPlainHttp"], plain, ([200, 200, 400], [200, 200, 200]), allowed)?;

    effects.run(TARGETS, plain.0)?;
    let made = subscribe(&format!("http://{here}"))?.expect_status(200)?;
    let subscription = made.text_of("subscriptionId").context("an id")?.to_owned();
    // What was probed before may still be on its way.
    let mut count = 0;
    let first = loop {
        let posted = hook.posted(count)?;
        if let Some((_, body)) = posted.iter().find(|(_, body)| text(body, "subscriptionId") == subscription)
        {
            break body.clone();
        }
        count = posted.len() + 1;
    };
    ensure!(first.contains("<xsi:httpContact><xsi:uri>http://127.0.0.1:"), "{first}");
    let toggle = |active: bool| -> Result<()> {
        let body = format!(
            "<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>{active}</active></DoNotDisturb>"
        );
        let url = lab.user_url(&alice, "services/DoNotDisturb");
        lab.curl(&alice).body(body).put(&url)?.expect_status(200).map(|_| ())
    };
    // Two events: how often the first of them came before the second, and how long it took from its first to its second time.
    let mut sequence = 1;
    let mut attempts = |status: u16| -> Result<(usize, Duration)> {
        let (one, other) = ((sequence + 1).to_string(), (sequence + 2).to_string());
        sequence += 2;
        hook.answers(status);
        toggle(true)?;
        toggle(false)?;
        let mut count = 0;
        loop {
            let posted = hook.posted(count)?;
            let of = |number: &str| -> Vec<Instant> {
                let own = |body: &str| {
                    text(body, "subscriptionId") == subscription && text(body, "sequenceNumber") == number
                };
                posted.iter().filter(|(_, body)| own(body)).map(|(at, _)| *at).collect()
            };
            if !of(&other).is_empty() {
                hook.answers(200);
                let times = of(&one);
                let gap = match times.as_slice() {
                    [first, second, ..] => second.duration_since(*first),
                    _ => Duration::ZERO,
                };
                return Ok((times.len(), gap));
            }
            count = posted.len() + 1;
        }
    };
    ensure!(attempts(500)?.0 == 3, "three attempts");
    let one = effects.with(CONTACT, &["maximumAttempts"], "set maximumAttempts 1", || attempts(500))?;
    ensure!(one.0 == 1, "{one:?}");
    effects.run(CONTACT, "set maximumAttempts 2")?;
    let (count, long) = attempts(SILENT)?;
    ensure!(count == 2 && long >= seconds(2), "{count} {long:?}");
    let short = effects
        .with(CONTACT, &["timeoutInMilliseconds"], "set timeoutInMilliseconds 200", || attempts(SILENT))?;
    ensure!(short.0 == 2 && short.1 < long, "{short:?}");
    effects.finish()
}

/// Text of an element of an event's envelope.
fn text<'a>(event: &'a str, name: &str) -> &'a str {
    let after = event.split_once(&format!("<xsi:{name}>")).map_or("", |(_, rest)| rest);
    after.split('<').next().unwrap_or_default()
}
