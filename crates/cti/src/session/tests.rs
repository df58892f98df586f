//! Whole conversations over a stream in memory: the real XSI, the real authenticator, the embedded application server.

use super::Peer;
use super::connection::End;
use super::harness::{ALICE, ALICE_PARAM, BO_PARAM, CLIENT, Call, Client, Lab, OPS, PATIENCE, basic, calls};
use super::machine::CloseReason;
use crate::GeneralSettings;
use openadp_appserver::{CallAction, DialOptions, UserId};
use openadp_xsi_schema::Element;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn the_whole_session_of_the_page() {
    let lab = Lab::new().await;
    let mut client = lab.connect();
    client.send(include_str!("../../tests/golden/add-channel.xml")).await;
    let (status, message) = client.response().await;
    assert_eq!((status, message.child_text("sessionId")), (200, Some("s-77")));
    let channel =
        message.child("payload").and_then(|payload| payload.child("Channel")).expect("a channel").clone();
    let channel_id = channel.child_text("channelId").expect("an id").to_owned();
    assert_eq!((channel_id.len(), channel.child_text("expires")), (36, Some("7200")));

    client.send(include_str!("../../tests/golden/add-subscription.xml")).await;
    let (status, message) = client.response().await;
    assert_eq!(status, 200);
    let subscription =
        message.child("payload").and_then(|payload| payload.child("Subscription")).expect("it").clone();
    let subscription_id = subscription.child_text("subscriptionId").expect("an id").to_owned();

    let first = client.answer_event(200).await;
    assert_eq!((first.kind.as_str(), first.sequence.as_str()), ("CallSubscriptionEvent", "1"));
    assert_eq!(first.document.child_text("userId"), Some(OPS));
    assert_eq!(first.document.child_text("targetId"), Some(ALICE));
    assert_eq!(first.document.child_text("channelId"), Some(channel_id.as_str()));
    assert_eq!(first.document.child_text("externalApplicationId"), Some("example-presence"));

    // A call of Alice, dialled over CTI by its template.
    let dial = Call {
        wrapper: "DialRequest",
        method: "POST",
        uri: "/com.broadsoft.xsi-actions/v2.0/user/%subscriberid%/calls/new?%address%&amp;%clid%&amp;%location%",
        params: "<subscriberId>alice@example.net</subscriberId><address>tel:1002</address>",
        ..Call::default()
    };
    let id = client.send_request(&basic(OPS), &dial).await;
    let (mut kinds, mut started) = (Vec::new(), None);
    while started.is_none() || !kinds.iter().any(|kind| kind == "CallOriginatedEvent") {
        let message = client.message().await.expect("a message");
        if message.name == "response" {
            assert_eq!(message.child_text("requestId"), Some(id.as_str()));
            assert_eq!(message.child_text("statusCode"), Some("201"));
            started = message.child("payload").and_then(|payload| payload.child("CallStartInfo")).cloned();
        } else {
            client.messages.push_front(message);
            let event = client.answer_event(200).await;
            assert_eq!(event.sequence, (kinds.len() + 2).to_string(), "no gap");
            kinds.push(event.kind);
        }
    }
    let call_id = started.and_then(|info| info.child_text("callId").map(str::to_owned)).expect("a call");
    let release = Call {
        wrapper: "ReleaseRequest",
        method: "DELETE",
        uri: "/com.broadsoft.xsi-actions/v2.0/user/%subscriberid%/calls/%callid%?%decline%",
        params: &format!("{ALICE_PARAM}<callid>{call_id}</callid>"),
        ..Call::default()
    };
    client.send_request(&basic(OPS), &release).await;
    loop {
        let message = client.message().await.expect("a message");
        if message.name == "response" {
            assert_eq!(message.child_text("statusCode"), Some("200"), "{message:?}");
            continue;
        }
        client.messages.push_front(message);
        if client.answer_event(200).await.kind == "CallReleasedEvent" {
            break;
        }
    }

    // The channel is deleted: its last word, and the subscription stays.
    let delete = Call {
        wrapper: "DeleteChannelRequest",
        method: "DELETE",
        uri: "/com.broadsoft.xsi-events/v2.0/channel/%channelId%",
        params: &format!("<channelId>{channel_id}</channelId>"),
        ..Call::default()
    };
    client.send_request(&basic(OPS), &delete).await;
    let mut terminated = false;
    loop {
        let message = client.message().await.expect("a message");
        if message.name == "response" {
            assert_eq!(message.child_text("statusCode"), Some("200"), "{message:?}");
        } else {
            client.messages.push_front(message);
            let event = client.event().await;
            terminated |= event.kind == "ChannelTerminatedEvent";
            assert!(!terminated || event.document.child_text("reason") == Some("ExplicitDelete"));
        }
        if terminated {
            break;
        }
    }
    assert!(lab.ports.subscriptions.subscription(&subscription_id).await.is_ok());
    client.drain.cancel();
    assert_eq!(client.closed().await, End::Drained);
    lab.end().await;
}

#[tokio::test]
async fn the_channel_dies_with_the_connection_and_the_subscription_stays() {
    let lab = Lab::new().await;
    lab.allow_client();
    let mut client = lab.connect_with_certificate(CLIENT);
    assert_eq!(client.open_channel("").await, 200);
    let (status, message) = client.subscribe("", ALICE).await;
    assert_eq!(status, 200);
    let subscription =
        message.child("payload").and_then(|payload| payload.child("Subscription")).expect("it");
    let subscription_id = subscription.child_text("subscriptionId").expect("an id").to_owned();
    let event = client.answer_event(200).await;
    assert_eq!(event.document.child_text("clientId"), Some(CLIENT));
    // The client stops in the middle of a message.
    client.send("<xsp:request xmlns:xsp=\"u\"><requestId>").await;
    let Client { stream, serving, .. } = client;
    drop(stream);
    let end = serving.await.expect("no panic");
    assert!(matches!(end, End::Client | End::Broken), "{end:?}");

    let mut again = lab.connect_with_certificate(CLIENT);
    assert_eq!(again.open_channel("").await, 200);
    lab.ports.calls.dial(&UserId::new(ALICE), "1002", &DialOptions::default()).await.expect("dialled");
    let event = loop {
        let event = again.answer_event(200).await;
        if event.kind != "HookStatusEvent" {
            break event;
        }
    };
    assert_eq!(event.document.child_text("subscriptionId"), Some(subscription_id.as_str()));
    drop(again);
    lab.end().await;
}

#[tokio::test]
async fn certificates_of_listed_clients_only() {
    let lab = Lab::new().await;
    // Not allowed at all: the certificate counts for nothing.
    let mut early = lab.connect_with_certificate(CLIENT);
    assert_eq!(early.open_channel("").await, 401);
    lab.allow_client();
    // A change holds for connections that are open.
    assert_eq!(early.open_channel("").await, 200);
    let mut unlisted = lab.connect_with_certificate("other.invalid");
    let (status, message) = unlisted.subscribe("", ALICE).await;
    assert_eq!((status, message.child_text("reason")), (403, Some("Forbidden")));
    assert_eq!(
        unlisted.request(&basic(ALICE), &calls(ALICE_PARAM)).await.0,
        200,
        "with user credentials it may"
    );
    assert_eq!(unlisted.request("", &calls(ALICE_PARAM)).await.0, 200, "the session is remembered");
    // Valid user credentials win over the certificate, anything else is ignored.
    let mut listed = lab.connect_with_certificate(CLIENT);
    assert_eq!(listed.request("<credentials>bm9uc2Vuc2U=</credentials>", &calls(BO_PARAM)).await.0, 200);
    assert_eq!(listed.request(&basic(ALICE), &calls(BO_PARAM)).await.0, 403, "now as Alice");
    drop((early, unlisted, listed));
    lab.end().await;
}

#[tokio::test]
async fn credentials() {
    let lab = Lab::new().await;
    let mut client = lab.connect();
    assert_eq!(client.request("", &calls(ALICE_PARAM)).await.0, 401);
    let (status, message) = client.request("<credentials>YTpi</credentials>", &calls(ALICE_PARAM)).await;
    assert_eq!((status, message.child_text("reason")), (401, Some("Unauthorized")));
    assert!(message.child("emptyPayload").is_some());
    let header = basic(ALICE).replace("credentials", "authorization").replacen('>', ">Basic ", 1);
    assert_eq!(client.request(&header, &calls(ALICE_PARAM)).await.0, 200);
    assert_eq!(client.request("", &calls(ALICE_PARAM)).await.0, 200, "remembered");
    assert_eq!(client.request("", &calls(BO_PARAM)).await.0, 403, "of Bo");
    assert_eq!(
        client.request("<authorization>Bearer x.y.z</authorization>", &calls(ALICE_PARAM)).await.0,
        401
    );
    assert_eq!(client.request("", &calls(ALICE_PARAM)).await.0, 401, "forgotten");
    for _ in 0..3 {
        client.send_request("<ssoCredentials>YTpi</ssoCredentials>", &calls(ALICE_PARAM)).await;
    }
    assert_eq!(client.closed().await, End::Closed(CloseReason::AuthenticationFailures));
    lab.end().await;
}

#[tokio::test]
async fn bad_requests_are_answered_and_the_connection_lives() {
    let lab = Lab::new().await;
    let mut client = lab.connect();
    let credentials = basic(ALICE);
    let reason = |message: &Element| {
        let info = message
            .child("payload")
            .and_then(|payload| payload.child("ErrorInfo"))
            .expect("ErrorInfo")
            .clone();
        assert_eq!(info.child_text("summary"), info.child_text("summaryEnglish"));
        info.child_text("summary").unwrap_or_default().to_owned()
    };
    let wrong = Call { method: "POST", ..calls(ALICE_PARAM) };
    let (status, message) = client.request(&credentials, &wrong).await;
    assert_eq!((status, reason(&message).as_str()), (400, "the method of this request is GET"));
    let unknown = Call { wrapper: "NobodyKnows", method: "PATCH", ..calls(ALICE_PARAM) };
    assert_eq!(client.request(&credentials, &unknown).await.0, 400);
    let (status, message) = client.request(&credentials, &calls("")).await;
    assert_eq!((status, reason(&message).as_str()), (400, "parameter subscriberid is missing"));
    let outside = Call { uri: "/etc/passwd", ..calls(ALICE_PARAM) };
    assert_eq!(client.request(&credentials, &outside).await.0, 400);
    let (status, _) =
        client.request(&credentials, &Call { wrapper: "NobodyKnows", ..calls(ALICE_PARAM) }).await;
    assert_eq!(status, 200, "an unknown wrapper goes by method and URI");
    let generic = Call {
        wrapper: "emptyRequestPayload",
        uri: "/com.broadsoft.xsi-actions/v2.0/user/alice%40example.net/profile",
        ..calls("")
    };
    let (status, message) = client.request(&credentials, &generic).await;
    assert_eq!(status, 200);
    assert!(message.child("payload").and_then(|payload| payload.child("Profile")).is_some());
    let contact = Call {
        wrapper: "AddUserSubscriptionRequest",
        method: "POST",
        uri: "/com.broadsoft.xsi-events/v2.0/user/%userId%",
        params: "<userId>alice@example.net</userId>",
        payload: "<Subscription><event>Advanced Call</event><httpContact><uri>https://x.test</uri></httpContact></Subscription>",
    };
    assert_eq!(client.request(&credentials, &contact).await.0, 400, "httpContact makes no sense here");
    client.send("<xsp:unknownRoot xmlns:xsp='u'/>\n<response/>").await;
    client.send("<xsp:keepalive xmlns:xsp='u' version='17.0'><requestId>k</requestId><period>0</period></xsp:keepalive>").await;
    assert_eq!(client.message().await.expect("an answer").name, "keepaliveResponse");
    drop(client);
    lab.end().await;
}

#[tokio::test]
async fn garbage_is_told_and_closes() {
    let lab = Lab::new().await;
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let large = format!("<a>{}", "x".repeat(2 * 1024 * 1024));
    let garbage: [&str; 6] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &deep,
        &large,
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<a></b>",
        "<request><requestId>&nope;</requestId></request>",
    ];
    for garbage in garbage {
        let mut client = lab.connect_as(Peer::default(), 4 * 1024 * 1024);
        client.send(garbage).await;
        let event = client.event().await;
        assert_eq!(
            (event.kind.as_str(), event.document.child_text("errorCode")),
            ("ErrorEvent", Some("400"))
        );
        assert_eq!(client.closed().await, End::Closed(CloseReason::Malformed));
    }
    // What was asked before is still answered.
    let mut client = lab.connect();
    client.send_request(&basic(ALICE), &calls(ALICE_PARAM)).await;
    client.send("garbage").await;
    let mut names = Vec::new();
    while let Some(message) = client.message().await {
        names.push(message.name);
    }
    names.sort_unstable();
    assert_eq!(names, ["event", "response"]);
    lab.end().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::new().await;
    let mut client = lab.connect();
    let mut expected = Vec::new();
    for _ in 0..50 {
        expected.push(client.send_request(&basic(ALICE), &calls(ALICE_PARAM)).await);
    }
    for id in expected {
        let (status, message) = client.response().await;
        assert_eq!((status, message.child_text("requestId")), (200, Some(id.as_str())));
    }
    // What was asked before the client stopped writing is still answered.
    client.send_request(&basic(ALICE), &calls(ALICE_PARAM)).await;
    client.stream.shutdown().await.expect("half closed");
    assert_eq!(client.response().await.0, 200);
    assert_eq!(client.closed().await, End::Client);
    lab.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_only_itself() {
    let lab = Lab::new().await;
    lab.set::<GeneralSettings>("outboundQueueSize", "16");
    lab.allow_client();
    let certified = || Peer { certified: true, common_name: Some(CLIENT.into()), ..Peer::default() };
    let mut slow = lab.connect_as(certified(), 2048);
    let mut quick = lab.connect_as(certified(), 1024 * 1024);
    assert_eq!(quick.open_channel("").await, 200);
    assert_eq!(quick.subscribe("", ALICE).await.0, 200);
    quick.answer_event(200).await;
    // Asks and never reads; it cannot even write when it is cut off.
    loop {
        slow.next += 1;
        let text = format!(
            "<request><requestId>{}</requestId><sessionId>{}</sessionId><RetrieveCallIdInfoListRequest>\
             <uri>/com.broadsoft.xsi-actions/v2.0/user/alice%40example.net/calls</uri><method>GET</method>\
             </RetrieveCallIdInfoListRequest></request>",
            slow.next, slow.next
        );
        let sent =
            tokio::time::timeout(PATIENCE, slow.stream.write_all(text.as_bytes())).await.expect("in time");
        if sent.is_err() {
            break;
        }
    }
    assert_eq!(slow.serving.await.expect("no panic"), End::SlowReader);
    let start =
        lab.ports.calls.dial(&UserId::new(ALICE), "1002", &DialOptions::default()).await.expect("dialled");
    while quick.answer_event(200).await.kind != "CallOriginatedEvent" {}
    lab.ports.calls.act(&UserId::new(ALICE), &start.call_id, &CallAction::Release).await.expect("released");
    while quick.answer_event(200).await.kind != "CallReleasedEvent" {}
    drop(quick);
    lab.end().await;
}

#[tokio::test]
async fn channels_of_one_connection_are_bounded() {
    let lab = Lab::new().await;
    lab.set::<GeneralSettings>("maxChannelsPerConnection", "1");
    let mut client = lab.connect();
    assert_eq!(client.open_channel(&basic(OPS)).await, 200);
    assert_eq!(client.open_channel(&basic(OPS)).await, 403);
    drop(client);
    lab.end().await;
}

#[tokio::test]
async fn a_stranger_is_shown_the_door_in_time() {
    let lab = Lab::new().await;
    lab.set::<GeneralSettings>("unauthenticatedTimeoutInSeconds", "10");
    let client = lab.connect();
    // Time runs by itself now while everybody waits; nothing is asked of the store meanwhile.
    tokio::time::pause();
    assert_eq!(client.closed().await, End::Closed(CloseReason::Unauthenticated));
    tokio::time::resume();
    lab.end().await;
}
