//! `AS_CLI`: the call engine, events, passwords and pushes of the embedded application server.

use crate::{Locked, lasts, metric, seconds, sql, until};
use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, Effects, Lab, PATIENCE, Response};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Receiver, sync_channel};

const ENGINE: &str = "AS_CLI/System/CallEngine";
const FEED: &str = "AS_CLI/System/EventFeed";
const SUBSCRIPTIONS: &str = "AS_CLI/System/EventSubscriptions";
const PASSWORDS: &str = "AS_CLI/System/PasswordRules";
const PUSH: &str = "AS_CLI/System/PushNotification";
const ALLOWED: &str = "AS_CLI/System/PushNotification/AllowedApplications";
const REGISTRATION: &str = "AS_CLI/System/Registration";
const SIP: &str = "AS_CLI/Interface/SIP";
const PUSH_SERVER: &str = "AS_CLI/System/NotificationPushServer";
const XSI: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";

fn dial(lab: &Lab, from: &Account, to: &Account) -> Result<Response> {
    lab.curl(from).post(&lab.user_url(from, &format!("calls/new?address={}", to.extension)))
}

/// Ends all calls of a subscriber.
fn hang_up(lab: &Lab, account: &Account) -> Result<()> {
    let calls = lab.curl(account).get(&lab.user_url(account, "calls"))?.expect_status(200)?;
    for part in calls.body.split("<callId>").skip(1) {
        let id = part.split('<').next().unwrap_or_default();
        lab.curl(account).delete(&lab.user_url(account, &format!("calls/{id}")))?;
    }
    Ok(())
}

fn put(lab: &Lab, account: &Account, service: &str, children: &str) -> Result<()> {
    let body = format!("<{service} {XSI}>{children}</{service}>");
    let url = lab.user_url(account, &format!("services/{service}"));
    lab.curl(account).body(body).put(&url)?.expect_status(200).map(|_| ())
}

/// Whether a subscriber's phone rings now.
fn rings(lab: &Lab, account: &Account) -> Result<bool> {
    let calls = lab.curl(account).get(&lab.user_url(account, "calls"))?.expect_status(200)?;
    Ok(calls.body.contains("<callId>"))
}

#[test]
fn calls() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::calls");
    let (alice, bo, carol) = (lab.subscriber(0), lab.subscriber(1), lab.subscriber(2));
    let calls_again = || -> Result<(u16, bool)> {
        dial(&lab, &carol, &bo)?.expect_status(201)?;
        let second = dial(&lab, &carol, &alice)?;
        let found = rings(&lab, &alice)?;
        hang_up(&lab, &carol)?;
        Ok((second.status, found))
    };
    let refused = {
        let (status, found) = calls_again()?;
        ensure!(status == 201 && found, "six at first");
        effects.with(ENGINE, &["maximumCallsPerUser"], "set maximumCallsPerUser 1", calls_again)?
    };
    ensure!(refused.0 >= 400 && !refused.1, "{refused:?}");
    effects.run(ENGINE, "clear maximumCallsPerUser")?;

    put(
        &lab,
        &bo,
        "CallForwardingAlways",
        &format!(
            "<active>true</active><forwardToPhoneNumber>{}</forwardToPhoneNumber><ringSplash>false</ringSplash>",
            carol.extension
        ),
    )?;
    let forwarded = || {
        dial(&lab, &alice, &bo)?;
        let rings = rings(&lab, &carol)?;
        hang_up(&lab, &alice)?;
        Ok(rings)
    };
    effects.see(ENGINE, "maximumRedirections", "0", (true, false), forwarded)?;
    put(&lab, &bo, "CallForwardingAlways", "<active>false</active><ringSplash>false</ringSplash>")?;

    effects.with(ENGINE, &["noAnswerTimeoutInSeconds"], "set noAnswerTimeoutInSeconds 5", || {
        lasts(seconds(5), seconds(60), || {
            dial(&lab, &alice, &bo)?.expect_status(201)?;
            until("it rings no more", || Ok(!rings(&lab, &bo)?))
        })
    })?;
    hang_up(&lab, &alice)?;
    put(
        &lab,
        &bo,
        "CallForwardingNoAnswer",
        &format!(
            "<active>true</active><forwardToPhoneNumber>{}</forwardToPhoneNumber><numberOfRings>2</numberOfRings>",
            carol.extension
        ),
    )?;
    effects.with(ENGINE, &["ringLengthInSeconds"], "set ringLengthInSeconds 1", || {
        lasts(seconds(2), seconds(12), || {
            dial(&lab, &alice, &bo)?.expect_status(201)?;
            until("it rings at the other one", || rings(&lab, &carol))
        })
    })?;
    hang_up(&lab, &alice)?;
    put(&lab, &bo, "CallForwardingNoAnswer", "<active>false</active><numberOfRings>2</numberOfRings>")?;

    effects.with(ENGINE, &["parkRecallTimeoutInSeconds"], "set parkRecallTimeoutInSeconds 5", || {
        dial(&lab, &alice, &bo)?.expect_status(201)?;
        let calls = lab.curl(&bo).get(&lab.user_url(&bo, "calls"))?.expect_status(200)?;
        let call = calls.text_of("callId").context("it rings")?;
        for action in ["Talk", "Park"] {
            let url = lab.user_url(&bo, &format!("calls/{call}/{action}"));
            lab.curl(&bo).put(&url)?.expect_status(200)?;
        }
        lasts(seconds(5), seconds(45), || until("it comes back", || rings(&lab, &bo)))
    })?;
    hang_up(&lab, &alice)?;

    // A call that is over, asked for a while later.
    let remembered = || -> Result<u16> {
        let call = dial(&lab, &alice, &bo)?.expect_status(201)?;
        let url = lab.user_url(&alice, &format!("calls/{}", call.text_of("callId").context("no callId")?));
        hang_up(&lab, &alice)?;
        let began = std::time::Instant::now();
        loop {
            let status = lab.curl(&alice).get(&url)?.status;
            if status != 200 || began.elapsed() > seconds(2) {
                return Ok(status);
            }
        }
    };
    effects.see(ENGINE, "releasedCallRetentionInSeconds", "1", (200, 404), remembered)?;

    let logged = || -> Result<usize> {
        for _ in 0..12 {
            dial(&lab, &carol, &bo)?.expect_status(201)?;
            hang_up(&lab, &carol)?;
        }
        let logs =
            lab.curl(&carol).get(&lab.user_url(&carol, "directories/CallLogs/Placed"))?.expect_status(200)?;
        Ok(logs.body.matches("<callLogId>").count())
    };
    let all = logged()?;
    ensure!(all >= 12, "{all} entries");
    effects.with(ENGINE, &["maximumCallLogEntries"], "set maximumCallLogEntries 10", || {
        let few = logged()?;
        ensure!(few == 10, "{few} entries");
        Ok(())
    })?;
    effects.finish()
}

#[test]
fn signalling() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::signalling");
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    for (context, command) in [
        ("ServiceProvider", "add north isEnterprise false"),
        ("Group", "add north harbour"),
        (
            "User",
            "add north harbour nils@north.example North Nils phoneNumber +12125557777 password nils-password",
        ),
    ] {
        effects.run(&format!("AS_CLI/SubscriberMgmt/{context}"), command)?;
    }
    let nils = Account {
        user_id: "nils@north.example".to_owned(),
        password: "nils-password".to_owned(),
        extension: "%2B12125557777".to_owned(),
        enterprise: "north".to_owned(),
    };
    effects.run("ADP_CLI/Applications/Xsi-Actions/GeneralSettings", "set enableCallCorrelationID true")?;
    let seen = |account: &Account, id: &str| -> Result<Response> {
        lab.curl(account).get(&lab.user_url(account, &format!("calls/{id}")))?.expect_status(200)
    };
    let told = |called: &Account| -> Result<bool> {
        let url = lab.user_url(&alice, &format!("calls/new?address={}", called.extension));
        let call = lab.curl(&alice).header("X-Request-Id: follow-me-4711").post(&url)?.expect_status(201)?;
        let calls = lab.curl(called).get(&lab.user_url(called, "calls"))?.expect_status(200)?;
        let other = seen(called, calls.text_of("callId").context("no call at the other side")?)?;
        let own = seen(&alice, call.text_of("callId").context("no callId")?)?;
        hang_up(&lab, &alice)?;
        ensure!(own.text_of("networkCallId") == Some("follow-me-4711"), "the one who calls: {own:?}");
        Ok(other.text_of("networkCallId") == Some("follow-me-4711"))
    };
    let both = || Ok((told(&bo)?, told(&nils)?));
    let (nobody, near, far) = ((false, false), (true, false), (false, true));
    effects.see(SIP, "sendCallCorrelationIDAccess", "true", (nobody, near), both)?;
    effects.see(SIP, "sendCallCorrelationIDNetwork", "true", (nobody, far), both)?;

    let act = |account: &Account, id: &str, action: &str| -> Result<()> {
        let url = lab.user_url(account, &format!("calls/{id}/{action}"));
        lab.curl(account).put(&url)?.expect_status(200).map(drop)
    };
    let state = |id: &str| -> Result<String> {
        Ok(seen(&alice, id)?.text_of("state").unwrap_or_default().to_owned())
    };
    let talks = || -> Result<String> {
        let call = dial(&lab, &alice, &bo)?.expect_status(201)?;
        let calls = lab.curl(&bo).get(&lab.user_url(&bo, "calls"))?.expect_status(200)?;
        act(&bo, calls.text_of("callId").context("no call at the other side")?, "Talk")?;
        Ok(call.text_of("callId").context("no callId")?.to_owned())
    };
    // Whether a call that was just held is still held right after it was retrieved.
    let waits = || -> Result<bool> {
        let id = talks()?;
        act(&alice, &id, "Hold")?;
        ensure!(state(&id)? == "Held", "the first time is done at once");
        act(&alice, &id, "Talk")?;
        let held = state(&id)? == "Held";
        hang_up(&lab, &alice)?;
        Ok(held)
    };
    effects.run(SIP, "set delayQuickReInviteMilliseconds 10000")?;
    effects.see(SIP, "enableDelayQuickReInvite", "true", (false, true), waits)?;
    let command = "set enableDelayQuickReInvite true delayQuickReInviteMilliseconds 2000";
    effects.with(SIP, &["delayQuickReInviteMilliseconds"], command, || {
        let id = talks()?;
        lasts(seconds(2), seconds(10), || {
            act(&alice, &id, "Hold")?;
            act(&alice, &id, "Talk")?;
            until("retrieved", || Ok(state(&id)? == "Active"))
        })
    })?;
    effects.finish()
}

#[test]
fn overload() -> Result<()> {
    const OVERLOAD: &str = "AS_CLI/System/OverloadControls";
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::overload");
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let count = |result: &str| metric(&lab, "appserver_overload_total", &format!("\"{result}\""));
    // The status of a new call, and what was counted for it.
    let call = |result: &'static str| -> Result<(u16, bool)> {
        let before = count(result)?;
        let status = dial(&lab, &alice, &bo)?.status;
        hang_up(&lab, &alice)?;
        Ok((status, count(result)? > before))
    };
    // Some memory is always in use, and never all of it.
    effects.run(OVERLOAD, "set percentMemoryInUseToEnterYellow 100 percentMemoryInUseToEnterRed 1")?;
    effects.see(OVERLOAD, "enabled", "true", ((201, false), (503, true)), || call("refused"))?;
    effects.run(OVERLOAD, "set enabled true")?;
    effects.see(OVERLOAD, "percentMemoryInUseToEnterRed", "100", ((503, true), (201, false)), || {
        call("refused")
    })?;
    effects.see(OVERLOAD, "sipOverloadAction", "drop", ((503, false), (503, true)), || call("dropped"))?;
    effects.run(OVERLOAD, "set percentMemoryInUseToEnterRed 100")?;
    effects.see(OVERLOAD, "percentMemoryInUseToEnterYellow", "1", ((201, false), (201, true)), || {
        call("delayed")
    })?;
    // The store gives up after a second itself.
    let waits = || -> Result<(u16, bool)> {
        let before = count("tooOld")?;
        let held = Locked::hold(&lab)?;
        let status = dial(&lab, &alice, &bo)?.status;
        drop(held);
        Ok((status, count("tooOld")? > before))
    };
    let in_time = || until("nothing is too old", || Ok(waits()? == (503, false)));
    let too_old = || until("given up early", || Ok(waits()? == (503, true)));
    in_time()?;
    effects.with(OVERLOAD, &["maxPacketAgeInMsecs"], "set maxPacketAgeInMsecs 100", too_old)?;
    effects.run(OVERLOAD, "set percentMemoryInUseToEnterYellow 1")?;
    in_time()?;
    let age = "maxPacketAgeDuringOverloadInMsecs";
    effects.with(OVERLOAD, &[age], &format!("set {age} 100"), too_old)?;
    effects.finish()
}

#[test]
fn events() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::events");
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    // What the host's housekeeping leaves of events that are older than a minute, and of more than a thousand.
    put(&lab, &alice, "DoNotDisturb", "<active>true</active>")?;
    put(&lab, &alice, "DoNotDisturb", "<active>false</active>")?;
    let old = || sql(&lab, "SELECT COUNT(*) FROM feed WHERE time < unixepoch() * 1000 - 60000");
    sql(&lab, "UPDATE feed SET time = time - 100000")?;
    let before = old()?;
    ensure!(before >= 2, "{before} events");
    effects.with(FEED, &["retentionInSeconds"], "set retentionInSeconds 10", || {
        until("old events are gone", || Ok(old()? == 0))
    })?;
    effects.run(FEED, "clear retentionInSeconds")?;
    put(&lab, &alice, "DoNotDisturb", "<active>true</active>")?;
    sql(
        &lab,
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 1500) \
         INSERT INTO feed (sequence, subscriber, provider, group_id, time, event) \
         SELECT sequence, subscriber, provider, group_id, time, event FROM (SELECT * FROM feed ORDER BY position DESC LIMIT 1), many",
    )?;
    let kept = || sql(&lab, "SELECT COUNT(*) FROM feed");
    ensure!(kept()? > 1_500, "not enough");
    effects.with(FEED, &["maximumEvents"], "set maximumEvents 1000", || {
        until("a thousand are left", || Ok(kept()? <= 1_000))
    })?;

    let held = lab.channel(&alice, "held")?;
    let opens = |account: &Account| lab.channel(account, "other").is_ok();
    let both = || Ok((opens(&alice), opens(&bo)));
    // A stream that curl gave up is a channel no more, once the server has seen that.
    effects.see(SUBSCRIPTIONS, "maximumChannelsPerOwner", "1", ((true, true), (false, true)), both)?;
    effects.see(SUBSCRIPTIONS, "maximumChannels", "1", ((true, true), (false, false)), both)?;
    let others = lab.channel(&bo, "others")?;
    let subscribes = |channel: &openadp_suite::EventChannel, account: &Account, set: &str| -> Result<bool> {
        let target = format!("user/{}", account.user_id);
        let Ok(id) = channel.subscribe(&target, "Do Not Disturb", set) else { return Ok(false) };
        let url = format!("{}/v2.0/subscription/{id}", lab.text("xsi_events"));
        lab.curl(account).delete(&url)?.expect_status(200)?;
        Ok(true)
    };
    held.subscribe(&format!("user/{}", alice.user_id), "Advanced Call", "held")?;
    let both = || Ok((subscribes(&held, &alice, "held")?, subscribes(&others, &bo, "others")?));
    effects.see(SUBSCRIPTIONS, "maximumSubscriptionsPerOwner", "1", ((true, true), (false, true)), both)?;
    effects.see(SUBSCRIPTIONS, "maximumSubscriptions", "1", ((true, true), (false, false)), both)?;
    effects.finish()
}

#[test]
fn passwords() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::passwords");
    let (alice, bo) = (lab.subscriber(0), lab.subscriber(1));
    let right = |account: &Account| {
        lab.curl(account).get(&lab.user_url(account, "profile")).map(|answer| answer.status)
    };
    let wrong = |account: &Account| {
        let curl = openadp_suite::Curl::new(lab.ca()).basic(&account.user_id, "wrong");
        curl.get(&lab.user_url(account, "profile")).map(|answer| answer.status)
    };
    let cached = || metric(&lab, "appserver_password_verifications_total", "\"cached\"");
    let remembers = || -> Result<bool> {
        right(&alice)?;
        let before = cached()?;
        ensure!(right(&alice)? == 200, "served");
        Ok(cached()? > before)
    };
    effects.see(PASSWORDS, "verifiedCacheInSeconds", "0", (true, false), remembers)?;

    let guessed = |account: &Account| -> Result<u16> {
        for _ in 0..3 {
            ensure!(wrong(account)? == 401, "a wrong password is served");
        }
        right(account)
    };
    ensure!(guessed(&alice)? == 200, "never locked at first");
    effects.with(PASSWORDS, &["maxFailedLoginAttempts"], "set maxFailedLoginAttempts 3", || {
        let status = guessed(&alice)?;
        ensure!(status == 401, "{status}");
        Ok(())
    })?;
    effects.with(PASSWORDS, &["lockoutInSeconds"], "set lockoutInSeconds 10", || {
        ensure!(guessed(&bo)? == 401, "not locked");
        // Ten seconds pass, for both.
        sql(&lab, "UPDATE credentials SET locked_until = locked_until - 10000")?;
        until("open again", || Ok(right(&bo)? == 200))
    })?;
    ensure!(right(&alice)? == 401, "the other one is locked for five minutes");
    effects.finish()
}

/// Registers an app of a subscriber; gives the status.
fn register(lab: &Lab, account: &Account, id: &str, application: &str) -> Result<u16> {
    let body = format!(
        "<PushNotificationRegistration {XSI}><applicationId>{application}</applicationId><applicationVersion>1.0</applicationVersion><registrationId>{id}</registrationId><deviceOSType>ios</deviceOSType><deviceOSVersion>26</deviceOSVersion><deviceTokenList><deviceToken><token>00ff00ff</token><type>VoIP</type><pushNotificationEvents><event>NEW_CALL</event></pushNotificationEvents></deviceToken></deviceTokenList></PushNotificationRegistration>"
    );
    let url = lab.user_url(account, "profile/PushNotificationRegistrations");
    lab.curl(account).body(body).post(&url).map(|answer| answer.status)
}

/// An HTTP server that takes whatever is posted: a push server as the application server sees it.
fn push_server() -> Result<(String, Receiver<String>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://127.0.0.1:{}/nps", listener.local_addr()?.port());
    let (send, posted) = sync_channel(1_000);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let send = send.clone();
            std::thread::spawn(move || -> Result<()> {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut head = String::new();
                    while reader.read_line(&mut head)? > 2 {}
                    let length = head
                        .lines()
                        .filter_map(|line| line.split_once(':'))
                        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                        .context("the end")?
                        .1
                        .trim()
                        .parse()?;
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body)?;
                    reader.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
                    send.send(head + &String::from_utf8_lossy(&body))?;
                }
            });
        }
    });
    Ok((url, posted))
}

#[test]
fn pushes() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::pushes");
    let (alice, bo, carol) = (lab.subscriber(0), lab.subscriber(1), lab.subscriber(2));
    let (url, posted) = push_server()?;
    let pushed = || -> Result<String> {
        let call = dial(&lab, &alice, &bo)?.expect_status(201)?;
        // The halves of a call differ behind the colon; each of the phones gets a push, and those of former calls may come late.
        let id = call.text_of("callId").and_then(|id| id.split(':').next()).context("no callId")?;
        let begin = format!("\"callId\":\"{id}:");
        let push = loop {
            let push = posted.recv_timeout(PATIENCE).context("no push")?;
            if push.contains(&begin) && push.contains("\"seq\":1") {
                break push;
            }
        };
        hang_up(&lab, &alice)?;
        Ok(push)
    };
    effects.with(PUSH_SERVER, &["url"], &format!("set url {url}"), || {
        let push = pushed()?;
        ensure!(push.starts_with("POST /nps") && push.contains(&bo.user_id), "{push}");
        Ok(())
    })?;
    effects.with(PUSH_SERVER, &["sharedSecret"], "set sharedSecret between-us", || {
        let push = pushed()?;
        ensure!(push.lines().any(|line| line.eq_ignore_ascii_case("x-nps-secret: between-us")), "{push}");
        Ok(())
    })?;
    let lifetime = |push: &str| -> Result<i64> {
        let time = |name: &str| -> Result<i64> {
            let text = push.split(&format!("\"{name}\":\"")).nth(1).context("no such time")?;
            let clock = text.split('T').nth(1).context("no clock")?.get(..8).context("a clock")?;
            clock.split(':').try_fold(0, |sum, part| Ok(sum * 60 + part.parse::<i64>()?))
        };
        Ok((time("expiresAt")? - time("createdAt")?).rem_euclid(86_400))
    };
    let lifetime_of_one = || pushed().and_then(|push| lifetime(&push));
    effects.see(PUSH, "newCallTimeout", "90", (35, 90), lifetime_of_one)?;

    let registers = |id: &str, application: &str| register(&lab, &carol, id, application);
    let again = || registers("r-1", "com.example.phone");
    effects.see(PUSH, "enforceAllowedApplicationList", "true", (201, 400), again)?;
    effects.run(PUSH, "set enforceAllowedApplicationList true")?;
    let listed = || -> Result<(u16, bool)> {
        let shown = lab.administer(&[&format!("{ALLOWED}> get")])?;
        Ok((again()?, shown.contains("The phone app")))
    };
    effects.see_rows(
        ALLOWED,
        &["applicationId", "description"],
        ("add com.example.phone \"The phone app\"", "delete com.example.phone"),
        ((400, false), (201, true)),
        listed,
    )?;
    effects.run(PUSH, "clear enforceAllowedApplicationList")?;
    let count =
        || sql(&lab, &format!("SELECT COUNT(*) FROM push_registrations WHERE user_id = '{}'", carol.user_id));
    let now = count()?;
    ensure!(registers("r-2", "com.example.phone")? == 201 && count()? == now + 1, "ten at first");
    effects.with(PUSH, &["maximumRegistrationsPerUser"], "set maximumRegistrationsPerUser 2", || {
        ensure!(registers("r-3", "com.example.phone")? == 403, "one too many");
        Ok(())
    })?;
    effects.run(PUSH, "clear maximumRegistrationsPerUser")?;

    // Registrations of fifty days ago.
    sql(
        &lab,
        &format!(
            "UPDATE push_registrations SET registered_at = registered_at - 50 * 86400000 WHERE user_id = '{}'",
            carol.user_id
        ),
    )?;
    let left = |account: &Account| -> Result<bool> {
        let url = lab.user_url(account, "profile/PushNotificationRegistrations");
        Ok(lab.curl(account).get(&url)?.expect_status(200)?.body.contains("<registrationId>"))
    };
    ensure!(left(&carol)?, "kept for ninety days");
    effects.with(PUSH, &["maximumRegistrationAgeDays"], "set maximumRegistrationAgeDays 30", || {
        until("dropped", || Ok(!left(&carol)?))
    })?;
    effects.run(PUSH, "clear maximumRegistrationAgeDays")?;
    // Those of ninety days and ten minutes ago are kept for half an hour more; older ones tell when that was looked at.
    ensure!(registers("r-4", "com.example.phone")? == 201 && left(&carol)? && left(&bo)?, "registered");
    for (account, milliseconds) in [(&carol, 90 * 86_400_000_i64 + 600_000), (&bo, 91 * 86_400_000)] {
        let user = &account.user_id;
        let set = format!("registered_at = unixepoch() * 1000 - {milliseconds}");
        sql(&lab, &format!("UPDATE push_registrations SET {set} WHERE user_id = '{user}'"))?;
    }
    until("the older ones are dropped", || Ok(!left(&bo)?))?;
    ensure!(left(&carol)?, "kept for longer");
    effects.with(REGISTRATION, &["extensionTimeInSeconds"], "set extensionTimeInSeconds 0", || {
        until("dropped", || Ok(!left(&carol)?))
    })?;
    effects.finish()
}

#[test]
fn mailboxes_and_phone_lists() -> Result<()> {
    let lab = Lab::start()?;
    let mut effects = Effects::of(&lab, "parameters/application_server.rs::mailboxes_and_phone_lists");
    let alice = lab.subscriber(0);
    let mail = "AS_CLI/SubscriberMgmt/VoiceMessage";
    let messages = |path: &str| lab.curl(&alice).get(&lab.user_url(&alice, path))?.expect_status(200);
    effects.run(
        mail,
        &format!("add {} callerName \"Mum & Dad\" callerNumber +12125550199 urgent true", alice.user_id),
    )?;
    let list = messages("VoiceMessagingMessages")?;
    ensure!(
        list.body.contains("<name>Mum &amp; Dad</name>") && list.body.contains("<urgent/>"),
        "{}",
        list.body
    );
    // Whether another one is taken; how long it is.
    let another = || -> Result<Option<String>> {
        let printed = lab.adpcli(&[&format!("{mail}> add {} lengthInSeconds 5", alice.user_id)])?;
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        let Some(id) = printed.split("Message: ").nth(1).and_then(|rest| rest.split_whitespace().next())
        else {
            ensure!(printed.contains("limit of messages reached"), "{printed}");
            return Ok(None);
        };
        let one = messages(&format!("VoiceMessagingMessages/{id}"))?;
        effects_delete(&lab, mail, &format!("delete {} {id}", alice.user_id))?;
        Ok(one.text_of("duration").map(str::to_owned))
    };
    let whole = Some("5000".to_owned());
    let box_of = "AS_CLI/Service/VoiceMsg/Mailbox";
    effects.see(box_of, "maximumMessages", "1", (whole.clone(), None), another)?;
    effects.see(box_of, "maximumMessageBytes", "1044", (whole, Some("125".to_owned())), another)?;

    let lists = "AS_CLI/SubscriberMgmt/PhoneList";
    effects.run(lists, &format!("add serviceProvider {} Taxi +12125550900", alice.enterprise))?;
    let names = || -> Result<usize> {
        let page = lab
            .curl(&alice)
            .get(&lab.user_url(&alice, "directories/EnterpriseCommon"))?
            .expect_status(200)?;
        Ok(page.body.matches("<commonPhoneEntry>").count())
    };
    ensure!(names()? == 1, "the taxi");
    let more = || -> Result<usize> {
        lab.adpcli(&[&format!("{lists}> add serviceProvider {} Bus 9", alice.enterprise)])?;
        let found = names()?;
        if found == 2 {
            effects_delete(&lab, lists, &format!("delete serviceProvider {} Bus", alice.enterprise))?;
        }
        Ok(found)
    };
    effects.see("AS_CLI/System/Directories", "maximumPhoneListEntries", "1", (2, 1), more)?;
    effects.finish()
}

/// A command of a probe that must succeed.
fn effects_delete(lab: &Lab, context: &str, command: &str) -> Result<()> {
    lab.administer(&[&format!("{context}> {command}")]).map(|_| ())
}
