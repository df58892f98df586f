//! Xsi-Events over the embedded application server.

use crate::lab::{
    self, ALICE, BO, CAROL, CHANNEL, Lab, acknowledge, administrator, client, open, send, subscriber,
    subscription, text,
};
use openadp_xsi_api::Application::Events;
use openadp_xsi_api::DeliveryKind;
use openadp_xsi_api::Method::{Delete, Get, Post, Put};

#[tokio::test]
async fn both_sides_of_a_call_see_it_in_order() {
    let lab = Lab::new().await;
    let (alice, bo) = (subscriber(ALICE), subscriber(BO));
    let mut hers = lab.open(&alice, CHANNEL).await;
    let mut his = lab.open(&bo, CHANNEL).await;
    for (who, user, channel) in [(&alice, ALICE, &mut hers), (&bo, BO, &mut his)] {
        let made = lab.events(who, Post, &format!("user/{user}"), &subscription("Advanced Call")).await;
        assert_eq!(made.status, 200, "{}", made.xml);
        assert_eq!(made.text("expires"), "3600");
        let (kind, xml) = channel.event(&lab.api, who).await;
        assert_eq!(kind, "CallSubscriptionEvent");
        assert_eq!(text(&xml, "sequenceNumber"), "1");
        assert_eq!(text(&xml, "targetId"), user);
        assert_eq!(text(&xml, "hookStatus"), "On-Hook");
    }
    let started = lab.actions(&alice, Post, &format!("user/{ALICE}/calls/new?address=1001"), "").await;
    let mine = started.text("callId").to_owned();
    let (kind, xml) = his.event(&lab.api, &bo).await;
    assert_eq!(kind, "CallReceivedEvent");
    let theirs = text(&xml, "callId").to_owned();
    for action in ["Talk", "Hold", "Talk"] {
        lab.actions(&bo, Put, &format!("user/{BO}/calls/{theirs}/{action}"), "").await;
    }
    lab.actions(&alice, Delete, &format!("user/{ALICE}/calls/{mine}"), "").await;
    let his_events = his.until(&lab.api, &bo, "CallReleasedEvent").await;
    let order: Vec<&str> =
        his_events.iter().map(String::as_str).filter(|kind| kind.starts_with("Call")).collect();
    assert_eq!(order, ["CallAnsweredEvent", "CallHeldEvent", "CallRetrievedEvent", "CallReleasedEvent"]);
    let her_events = hers.until(&lab.api, &alice, "CallReleasedEvent").await;
    assert!(her_events.iter().any(|kind| kind == "CallAnsweredEvent"), "{her_events:?}");
    assert!(
        her_events.first().is_some_and(|kind| kind == "CallOriginatingEvent"
            || kind == "HookStatusEvent"
            || kind == "CallOriginatedEvent"),
        "{her_events:?}"
    );
}

#[tokio::test]
async fn services_report_their_state_and_changes() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let mut channel = lab.open(&alice, CHANNEL).await;
    lab.events(&alice, Post, &format!("user/{ALICE}/subscription"), &subscription("Do Not Disturb")).await;
    let (kind, xml) = channel.event(&lab.api, &alice).await;
    assert_eq!((kind.as_str(), text(&xml, "active")), ("DoNotDisturbEvent", "false"));
    let put = "<DoNotDisturb><active>true</active></DoNotDisturb>";
    lab.actions(&alice, Put, &format!("user/{ALICE}/services/DoNotDisturb"), put).await;
    let (kind, xml) = channel.event(&lab.api, &alice).await;
    assert_eq!(
        (kind.as_str(), text(&xml, "active"), text(&xml, "sequenceNumber")),
        ("DoNotDisturbEvent", "true", "2")
    );
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xsi:Event "));
    assert_eq!(xml.matches('\n').count(), 1);
}

#[tokio::test]
async fn an_administrator_watches_a_group_and_a_client_application_a_user() {
    let lab = Lab::new().await;
    let admin = administrator();
    let mut channel = lab.open(&admin, CHANNEL).await;
    let path = "serviceprovider/acme/group/north";
    let made = lab.events(&admin, Post, path, &subscription("Advanced Call")).await;
    assert_eq!(made.status, 200, "{}", made.xml);
    assert_eq!(
        lab.events(&admin, Post, "serviceprovider/acme", &subscription("Advanced Call")).await.status,
        403
    );
    assert_eq!(lab.events(&admin, Post, "system", &subscription("Advanced Call")).await.status, 403);
    let webex = client();
    let mut stream = lab.open(&webex, CHANNEL).await;
    let forever = subscription("Advanced Call").replace("3600", "2147483647");
    let made = lab.events(&webex, Post, &format!("user/{BO}"), &forever).await;
    assert_eq!(made.text("expires"), "2147483647");
    let (_, first) = stream.event(&lab.api, &webex).await;
    assert_eq!(text(&first, "clientId"), "cti.lab.invalid");
    lab.actions(&subscriber(ALICE), Post, &format!("user/{ALICE}/calls/new?address=1001"), "").await;
    let mut targets = Vec::new();
    while !targets.contains(&BO.to_owned()) {
        let (_, xml) = channel.event(&lab.api, &admin).await;
        targets.push(text(&xml, "targetId").to_owned());
    }
    assert_eq!(targets.first().map(String::as_str), Some(ALICE), "{targets:?}");
    assert_eq!(stream.event(&lab.api, &webex).await.0, "CallReceivedEvent");
}

#[tokio::test]
async fn channels_are_listed_refreshed_and_deleted() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let unknown = lab.events(&alice, Get, "channelset/set", "").await;
    assert_eq!((unknown.status, unknown.text("errorCode")), (403, "110842"));
    let refused = lab.events(&alice, Post, &format!("user/{ALICE}"), &subscription("Advanced Call")).await;
    assert_eq!((refused.status, refused.text("errorCode")), (403, "110842"));

    let mut channel = lab.open(&alice, CHANNEL).await;
    let id = channel.id.clone();
    assert_eq!(id.len(), 36);
    let set = lab.events(&alice, Get, "channelset/set", "").await;
    assert_eq!(set.text("channelId"), id);
    assert_eq!(lab.events(&alice, Put, &format!("channel/{id}/heartbeat"), "").await.status, 200);
    for (who, path) in
        [(&alice, "channel/nope/heartbeat".to_owned()), (&subscriber(BO), format!("channel/{id}/heartbeat"))]
    {
        let answer = lab.events(who, Put, &path, "").await;
        assert_eq!((answer.status, answer.text("errorCode")), (404, "210407"));
    }
    let refreshed =
        lab.events(&alice, Put, &format!("channel/{id}"), "<Channel><expires>7200</expires></Channel>").await;
    assert_eq!(refreshed.text("expires"), "7200");
    assert_eq!(lab.events(&subscriber(BO), Delete, &format!("channel/{id}"), "").await.status, 404);
    assert_eq!(lab.events(&alice, Delete, &format!("channel/{id}"), "").await.status, 200);
    let last = channel.next().await.expect("the last word");
    assert_eq!(last.kind, DeliveryKind::Terminated);
    assert!(
        std::str::from_utf8(&last.bytes).expect("UTF-8").contains("<xsi:reason>ExplicitDelete</xsi:reason>")
    );
    assert!(channel.next().await.is_none());
    assert_eq!(lab.events(&alice, Put, &format!("channel/{id}/heartbeat"), "").await.status, 404);
}

#[tokio::test]
async fn a_second_set_of_the_application_ends_the_first() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let mut first = lab.open(&alice, CHANNEL).await;
    let _same_set = lab.open(&alice, CHANNEL).await;
    let _other_set = lab.open(&alice, &CHANNEL.replace(">set<", ">other<")).await;
    let xml = first.document().await;
    assert!(xml.contains("DuplicateChannelSet"), "{xml}");
}

#[tokio::test]
async fn subscriptions_are_read_refreshed_replaced_and_deleted() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let mut channel = lab.open(&alice, CHANNEL).await;
    let path = format!("user/{ALICE}");
    let made = lab.events(&alice, Post, &path, &subscription("Advanced Call")).await;
    let id = made.text("subscriptionId").to_owned();
    channel.event(&lab.api, &alice).await;
    let one = lab.events(&alice, Get, &format!("subscription/{id}"), "").await;
    assert_eq!(
        (one.text("event"), one.text("targetIdType"), one.text("targetId")),
        ("Advanced Call", "User", ALICE)
    );
    let list = lab.events(&alice, Get, "subscription?event=Advanced%20Call", "").await;
    assert_eq!(list.xml.matches("<subscription>").count(), 1, "{}", list.xml);
    assert_eq!(lab.events(&subscriber(BO), Get, &format!("subscription/{id}"), "").await.status, 403);
    let refreshed = lab
        .events(
            &alice,
            Put,
            &format!("subscription/{id}"),
            "<Subscription><expires>7200</expires></Subscription>",
        )
        .await;
    assert_eq!((refreshed.status, refreshed.text("expires")), (200, "7200"));
    let (kind, xml) = channel.event(&lab.api, &alice).await;
    assert_eq!((kind.as_str(), text(&xml, "sequenceNumber")), ("CallSubscriptionEvent", "2"));

    let again = lab.events(&alice, Post, &path, &subscription("Advanced Call")).await;
    let second = again.text("subscriptionId").to_owned();
    assert_ne!(second, id);
    let (kind, xml) = channel.event(&lab.api, &alice).await;
    assert_eq!((kind.as_str(), text(&xml, "subscriptionId")), ("SubscriptionTerminatedEvent", id.as_str()));
    assert_eq!(text(&xml, "targetId"), "", "as clients that count children need it");
    let (kind, xml) = channel.event(&lab.api, &alice).await;
    assert_eq!((kind.as_str(), text(&xml, "sequenceNumber")), ("CallSubscriptionEvent", "1"));
    assert_eq!(lab.events(&alice, Delete, &format!("subscription/{second}"), "").await.status, 200);
    assert_eq!(channel.event(&lab.api, &alice).await.0, "SubscriptionTerminatedEvent");
    let gone = lab.events(&alice, Get, &format!("subscription/{second}"), "").await;
    assert_eq!((gone.status, gone.text("errorCode")), (403, "110862"));
    for (event, status, code) in
        [("Call Center Monitoring", 403, "210412"), ("Nonsense", 400, "210402"), ("", 400, "210402")]
    {
        let refused = lab.events(&alice, Post, &path, &subscription(event)).await;
        assert_eq!((refused.status, refused.text("errorCode")), (status, code), "{event}");
    }
}

#[tokio::test]
async fn a_channel_that_acknowledges_nothing_ends() {
    let lab = Lab::new().await;
    lab.set("Xsi-Events/GeneralSettings", "notificationTimeoutInSeconds", "1");
    let alice = subscriber(ALICE);
    let mut channel = lab.open(&alice, CHANNEL).await;
    lab.events(&alice, Post, &format!("user/{ALICE}"), &subscription("Advanced Call")).await;
    let first = channel.document().await;
    assert!(first.contains("CallSubscriptionEvent"));
    let last = channel.document().await;
    assert!(last.contains("NonResponsiveChannel"), "{last}");
    // The subscription waits for the next channel of the set, and so does the event.
    let mut next = lab.open(&alice, CHANNEL).await;
    let again = next.document().await;
    assert_eq!(text(&again, "eventID"), text(&first, "eventID"));
    acknowledge(&lab.api, &alice, &again, 481).await;
    let gone = lab.events(&alice, Get, &format!("subscription/{}", text(&again, "subscriptionId")), "").await;
    assert_eq!(gone.status, 403, "481 ends the subscription");
}

#[tokio::test]
async fn a_subscription_posted_in_one_process_is_delivered_by_another() {
    let lab = Lab::new().await;
    let other = lab.second();
    let alice = subscriber(ALICE);
    let mut channel = open(&other, &alice, CHANNEL).await;
    let made = lab.events(&alice, Post, &format!("user/{ALICE}"), &subscription("Advanced Call")).await;
    assert_eq!(made.status, 200, "{}", made.xml);
    assert_eq!(channel.event(&other, &alice).await.0, "CallSubscriptionEvent");
    lab.actions(&alice, Post, &format!("user/{ALICE}/calls/new?address=1001"), "").await;
    channel.until(&other, &alice, "CallOriginatedEvent").await;
    // Heartbeats may reach either; deleting it in the first process ends it in the second.
    assert_eq!(lab.events(&alice, Put, &format!("channel/{}/heartbeat", channel.id), "").await.status, 200);
    let deleted = send(&lab.api, Events, &alice, Delete, &format!("channel/{}", channel.id), "").await;
    assert_eq!(deleted.status, 200);
    loop {
        let delivery = channel.next().await.expect("a last word");
        if delivery.kind == DeliveryKind::Terminated {
            assert!(std::str::from_utf8(&delivery.bytes).expect("UTF-8").contains("ExplicitDelete"));
            break;
        }
    }
}

#[tokio::test]
async fn whoever_takes_over_begins_with_the_state() {
    let lab = Lab::new().await;
    let other = lab.second();
    let alice = subscriber(ALICE);
    let mut first = lab.open(&alice, CHANNEL).await;
    lab.events(&alice, Post, &format!("user/{ALICE}"), &subscription("Advanced Call")).await;
    first.event(&lab.api, &alice).await;
    drop(first);
    let mut second = open(&other, &alice, CHANNEL).await;
    let (kind, xml) = second.event(&other, &alice).await;
    assert_eq!(kind, "CallSubscriptionResyncEvent", "{xml}");
    let sequence: u64 = text(&xml, "sequenceNumber").parse().expect("a number");
    assert!(sequence > 1, "numbers go on, and the gap shows that something may be lost");
}

#[tokio::test]
async fn shutdown_ends_the_channels() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let mut channel = lab.open(&alice, CHANNEL).await;
    lab.shutdown.cancel();
    assert!(channel.next().await.is_none());
    lab.tasks.close();
    lab.tasks.wait().await;
    assert!(lab.ports.subscriptions.channels().await.expect("read").is_empty());
}

#[tokio::test]
async fn events_are_posted_to_addresses_that_an_operator_allows() {
    let lab = Lab::new().await;
    let (alice, bo) = (subscriber(ALICE), subscriber(BO));
    let posted = |uri: &str, packages: &str| {
        format!(
            "<Subscription>{packages}<httpContact><uri>{uri}</uri></httpContact><applicationId>app</applicationId></Subscription>"
        )
    };
    let dnd = "<event>Do Not Disturb</event>";
    let path = format!("user/{ALICE}");
    let refused = lab.events(&alice, Post, &path, &posted("https://hook.example/a", dnd)).await;
    assert_eq!((refused.status, refused.text("errorCode")), (400, "210413"), "nothing is allowed at first");
    lab.add("Xsi-Events/HttpContact/AllowedTargets", &[("host", "hook.example")]);
    for uri in [
        "http://hook.example/a",
        "hook.example/a",
        "https://other.example/",
        "ftp://hook.example/",
        "",
        "https://u:p@hook.example/",
    ] {
        assert_eq!(lab.events(&alice, Post, &path, &posted(uri, dnd)).await.status, 400, "{uri}");
    }
    let made = lab.events(&alice, Post, &path, &posted("https://hook.example/a?b=1&amp;c=2", dnd)).await;
    assert_eq!(made.status, 200, "{}", made.xml);
    let (uri, first) = lab.hook.posted(0).await;
    assert_eq!(uri, "https://hook.example/a?b=1&c=2");
    assert!(
        first.contains("</xsi:subscriptionId><xsi:httpContact><xsi:uri>https://hook.example/a?b=1&amp;c=2</xsi:uri></xsi:httpContact><xsi:targetId>alice@"),
        "{first}"
    );
    assert!(!first.contains("channelId") && first.contains("xsi:DoNotDisturbEvent"));
    // What is refused is tried again, and then counts as delivered.
    lab.hook.refusals.store(2, std::sync::atomic::Ordering::SeqCst);
    let active = "<DoNotDisturb><active>true</active></DoNotDisturb>";
    lab.actions(&alice, Put, &format!("user/{ALICE}/services/DoNotDisturb"), active).await;
    let (_, second) = lab.hook.posted(1).await;
    for n in [2, 3] {
        assert_eq!(lab.hook.posted(n).await.1, second, "the same again");
    }
    assert_eq!(text(&second, "sequenceNumber"), "2");
    let id = made.text("subscriptionId").to_owned();
    let read = lab.events(&alice, Get, &format!("subscription/{id}"), "").await;
    assert!(
        read.xml.contains("<httpContact><uri>https://hook.example/a?b=1&amp;c=2</uri></httpContact>"),
        "{}",
        read.xml
    );
    assert!(!read.xml.contains("channelSetId"));
    assert_eq!(lab.events(&bo, Get, &format!("subscription/{id}"), "").await.status, 403);
    assert_eq!(lab.events(&alice, Delete, &format!("subscription/{id}"), "").await.status, 200);
    let (_, last) = lab.hook.posted(4).await;
    assert!(last.contains("xsi:SubscriptionTerminatedEvent") && !last.contains("targetId"), "{last}");
    // Nobody posts any more.
    let off = "<DoNotDisturb><active>false</active></DoNotDisturb>";
    lab.actions(&alice, Put, &format!("user/{ALICE}/services/DoNotDisturb"), off).await;
    let both = "<eventPackageList><event>Do Not Disturb</event><event>Voice Mail Message Summary</event></eventPackageList>";
    lab.events(&alice, Post, &path, &posted("https://hook.example/z", both)).await;
    let mut kinds: Vec<String> = Vec::new();
    for n in [5, 6] {
        let (uri, xml) = lab.hook.posted(n).await;
        assert_eq!(uri, "https://hook.example/z");
        kinds.extend(
            xml.split("eventData xsi1:type=\"xsi:")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .map(str::to_owned),
        );
    }
    kinds.sort();
    assert_eq!(kinds, ["DoNotDisturbEvent", "VoiceMailMessageSummaryEvent"]);
    // A channel set cannot be named like an address's.

    let channel = openadp_xsi_schema::Element::new("Channel")
        .with(openadp_xsi_schema::Element::text("channelSetId", "\u{1}https://hook.example/z"));
    let opened =
        lab.api.open_channel(&alice, Some(&channel), openadp_xsi_api::ChannelTransport::Stream).await;
    assert_eq!(opened.err().map(|reply| reply.status), Some(400));
}

#[tokio::test]
async fn targets_below_an_account_are_watched_without_a_first_state() {
    let lab = Lab::new().await;
    let admins = [
        (lab::provider_administrator(), "serviceprovider/acme"),
        (lab::provider_administrator(), "enterprise/acme/group/south"),
        (lab::system_administrator(), "system"),
    ];
    for (n, (admin, path)) in admins.iter().enumerate() {
        let channel = CHANNEL
            .replace("<channelSetId>set", &format!("<channelSetId>set{n}"))
            .replace(">app<", &format!(">app{n}<"));
        let mut stream = lab.open(admin, &channel).await;
        let wanted = subscription("Do Not Disturb")
            .replace(">set<", &format!(">set{n}<"))
            .replace(">app<", &format!(">app{n}<"));
        let made = lab.events(admin, Post, path, &wanted).await;
        assert_eq!(made.status, 200, "{path}: {}", made.xml);
        let active = format!("<DoNotDisturb><active>{}</active></DoNotDisturb>", n % 2 == 0);
        lab.actions(&subscriber(CAROL), Put, &format!("user/{CAROL}/services/DoNotDisturb"), &active).await;
        let (kind, xml) = stream.event(&lab.api, admin).await;
        assert_eq!(
            (kind.as_str(), text(&xml, "sequenceNumber")),
            ("DoNotDisturbEvent", "1"),
            "no state first"
        );
        assert_eq!((text(&xml, "targetId"), text(&xml, "userId")), (CAROL, admin.id()));
        assert_eq!(text(&xml, "active"), if n % 2 == 0 { "true" } else { "false" });
    }
    let unknown = lab
        .events(&lab::system_administrator(), Post, "serviceprovider/nobody", &subscription("Do Not Disturb"))
        .await;
    assert_eq!((unknown.status, unknown.text("errorCode")), (404, "210406"));
    let elsewhere = lab
        .events(
            &lab::provider_administrator(),
            Post,
            "serviceprovider/other",
            &subscription("Do Not Disturb"),
        )
        .await;
    assert_eq!(
        (elsewhere.status, elsewhere.text("errorCode")),
        (404, "210406"),
        "as one that there is none of"
    );
    let above =
        lab.events(&lab::provider_administrator(), Post, "system", &subscription("Do Not Disturb")).await;
    assert_eq!(above.status, 403);
}
