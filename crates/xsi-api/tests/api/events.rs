//! Xsi-Events over the embedded application server.

use crate::lab::{
    ALICE, BO, CHANNEL, Lab, acknowledge, administrator, client, open, send, subscriber, subscription, text,
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
