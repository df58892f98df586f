//! Xsi-Actions over the embedded application server.

use crate::lab::{ALICE, BO, CAROL, Lab, administrator, client, subscriber};
use crate::lab::{CHANNEL, subscription};
use openadp_appserver::{Address, Caller, DeviceLevel, NewMessage, PhoneListEntry, Principal, UserId};
use openadp_appserver_embedded::{NewDevice, PhoneListOwner};
use openadp_settings::Secret;
use openadp_xsi_api::Method::{Delete, Get, Post, Put};

#[tokio::test]
async fn profiles_have_what_clients_need() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let answer = lab.actions(&alice, Get, "USER/alice%40lab.example/Profile", "").await;
    assert_eq!(answer.status, 200, "{}", answer.xml);
    assert!(answer.xml.contains("<details><userId>alice@lab.example</userId><firstName>Alice</firstName>"));
    for name in ["registrations", "scheduleList", "fac", "countryCode", "groupId", "hiranganaLastName"] {
        assert!(!answer.text(name).is_empty(), "{name}: {}", answer.xml);
    }
    assert_eq!(answer.text("number"), "+1-5550100120");
    assert_eq!(answer.text("passwordExpiresDays"), "2147483647");
    assert!(answer.xml.contains("<serviceProvider isEnterprise=\"true\">acme</serviceProvider>"));
    for path in ["Fac", "Registrations", "Schedule", "device"] {
        let answer = lab.actions(&alice, Get, &format!("user/{ALICE}/profile/{path}"), "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn everybody_stays_within_their_scope() {
    let lab = Lab::new().await;
    let path = |user: &str| format!("user/{user}/profile");
    for (who, user, status) in [
        (subscriber(ALICE), BO, 403),
        (subscriber(ALICE), "nobody@lab.example", 404),
        (administrator(), BO, 200),
        (administrator(), CAROL, 403),
        (administrator(), "nobody@lab.example", 404),
        (administrator(), "north-admin@lab.example", 404),
        (client(), CAROL, 200),
    ] {
        assert_eq!(lab.actions(&who, Get, &path(user), "").await.status, status, "{who:?} {user}");
    }
    // A client application reads, and acts only when that is switched on.
    let dnd = "<DoNotDisturb><active>true</active></DoNotDisturb>";
    let service = format!("user/{ALICE}/services/DoNotDisturb");
    assert_eq!(lab.actions(&client(), Get, &service, "").await.status, 200);
    assert_eq!(lab.actions(&client(), Put, &service, dnd).await.status, 403);
    let dial = format!("user/{ALICE}/calls/new?address=1001");
    assert_eq!(lab.actions(&client(), Post, &dial, "").await.status, 403);
    lab.set("Xsi-Actions/GeneralSettings", "clientApplicationControl", "true");
    assert_eq!(lab.actions(&client(), Put, &service, dnd).await.status, 200);
}

#[tokio::test]
async fn services_change_in_part() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let path = |name: &str| format!("user/{ALICE}/services/{name}");
    let list = lab.actions(&alice, Get, &format!("user/{ALICE}/services"), "").await;
    assert!(list.xml.contains(
        "<name>Do Not Disturb</name><uri>/v2.0/user/alice%40lab.example/services/DoNotDisturb</uri>"
    ));

    let put = "<x:DoNotDisturb xmlns:x=\"http://schema.broadsoft.com/xsi\"><x:active>true</x:active></x:DoNotDisturb>";
    assert_eq!(lab.actions(&alice, Put, &path("donotdisturb"), put).await.status, 200);
    let get = lab.actions(&alice, Get, &path("DoNotDisturb"), "").await;
    assert!(
        get.xml.ends_with("<active>true</active><ringSplash>false</ringSplash></DoNotDisturb>"),
        "{}",
        get.xml
    );

    let activate = "<CallForwardingAlways><active>true</active></CallForwardingAlways>";
    let refused = lab.actions(&alice, Put, &path("CallForwardingAlways"), activate).await;
    assert_eq!(refused.status, 400, "without a number it cannot be active");
    assert!(!refused.text("summary").is_empty() && !refused.text("summaryEnglish").is_empty());
    let number = "<CallForwardingAlways><active>true</active><forwardToPhoneNumber>tel:1001</forwardToPhoneNumber></CallForwardingAlways>";
    assert_eq!(lab.actions(&alice, Put, &path("CallForwardingAlways"), number).await.status, 200);
    let get = lab.actions(&alice, Get, &path("CallForwardingAlways"), "").await;
    assert_eq!(get.text("forwardToPhoneNumber"), "tel:1001");
    let clear = "<CallForwardingAlways xmlns:xs=\"http://www.w3.org/2001/XMLSchema-instance\"><active>false</active><forwardToPhoneNumber xs:nil=\"true\"/></CallForwardingAlways>";
    assert_eq!(lab.actions(&alice, Put, &path("CallForwardingAlways"), clear).await.status, 200);
    let get = lab.actions(&alice, Get, &path("CallForwardingAlways"), "").await;
    assert_eq!(get.text("forwardToPhoneNumber"), "");

    let rings = "<CallForwardingNoAnswer><numberOfRings>21</numberOfRings></CallForwardingNoAnswer>";
    assert_eq!(lab.actions(&alice, Put, &path("CallForwardingNoAnswer"), rings).await.status, 400);
    let wrong = lab.actions(&alice, Put, &path("DoNotDisturb"), "<Other/>").await;
    assert_eq!((wrong.status, wrong.text("errorCode")), (400, "210400"));
    assert_eq!(lab.actions(&alice, Put, &path("DoNotDisturb"), "").await.status, 400);
}

#[tokio::test]
async fn directories_have_pages_and_searches() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let path = |rest: &str| format!("user/{ALICE}/directories/{rest}");
    let all = lab.actions(&alice, Get, &path("Enterprise"), "").await;
    assert_eq!(
        (all.text("startIndex"), all.text("numberOfRecords"), all.text("totalAvailableRecords")),
        ("1", "3", "3")
    );
    let page = lab.actions(&alice, Get, &path("Enterprise?start=3&results=1"), "").await;
    assert_eq!(
        (page.text("startIndex"), page.text("numberOfRecords"), page.text("totalAvailableRecords")),
        ("3", "1", "3")
    );
    let group = lab.actions(&alice, Get, &path("group"), "").await;
    assert!(group.xml.contains("<Group xmlns="));
    assert_eq!(group.text("totalAvailableRecords"), "2");
    let found = lab.actions(&alice, Get, &path("Enterprise?lastName=*S*/i"), "").await;
    assert_eq!(found.text("userId"), CAROL);
    let none = lab.actions(&alice, Get, &path("Enterprise?lastName=zzz"), "").await;
    assert_eq!((none.status, none.text("totalAvailableRecords")), (200, "0"));
    let sorted = lab.actions(&alice, Get, &path("Enterprise?sortColumn=firstName/i&results=1"), "").await;
    assert_eq!(sorted.text("userId"), ALICE);
    let unsorted = lab.actions(&alice, Get, &path("Enterprise?sortColumn=shoeSize"), "").await;
    assert_eq!((unsorted.status, unsorted.text("errorCode")), (400, "210401"));
    let either = "Enterprise?firstName=Alice&lastName=Li,%C3%98st&searchCriteriaModeOr=TRUE";
    assert_eq!(lab.actions(&alice, Get, &path(either), "").await.text("totalAvailableRecords"), "3");
}

#[tokio::test]
async fn phone_lists_and_custom_directories_are_shown_to_whom_they_are_for() {
    let lab = Lab::new().await;
    let (alice, carol) = (subscriber(ALICE), subscriber(CAROL));
    let provisioning = lab.server.provisioning();
    let entry =
        |name: &str, number: &str| PhoneListEntry { name: name.to_owned(), number: number.to_owned() };
    let enterprise = PhoneListOwner::Enterprise { provider: "acme".to_owned() };
    let group = PhoneListOwner::Group { provider: "acme".to_owned(), group: "north".to_owned() };
    let own = PhoneListOwner::Personal { user: UserId::new(ALICE) };
    let taxis = [entry("Taxi", "+1-555-010-0900"), entry("Bus", "9")];
    provisioning.put_phone_entries(&enterprise, &taxis).await.expect("put");
    provisioning.put_phone_entries(&group, &[entry("Porter", "1")]).await.expect("put");
    provisioning.put_phone_entries(&own, &[entry("Mum & Dad", "0900")]).await.expect("put");
    let get = async |who: &Principal, user: &str, rest: &str| {
        lab.actions(who, Get, &format!("user/{user}/directories/{rest}"), "").await
    };
    let page = get(&carol, CAROL, "EnterpriseCommon?start=2&results=1").await;
    assert!(
        page.xml.ends_with(
            "<EnterpriseCommon xmlns=\"http://schema.broadsoft.com/xsi\"><startIndex>2</startIndex><numberOfRecords>1\
             </numberOfRecords><totalAvailableRecords>2</totalAvailableRecords><commonPhoneEntry><name>Taxi</name>\
             <number>+1-555-010-0900</number></commonPhoneEntry></EnterpriseCommon>"
        ),
        "{}",
        page.xml
    );
    assert_eq!(get(&carol, CAROL, "enterprisecommon?number=*0900").await.text("name"), "Taxi");
    assert_eq!(get(&carol, CAROL, "EnterpriseCommon?name=bu*/i").await.text("number"), "9");
    assert_eq!(get(&alice, ALICE, "GroupCommon").await.text("name"), "Porter");
    assert_eq!(get(&carol, CAROL, "GroupCommon").await.text("totalAvailableRecords"), "0");
    let personal = get(&alice, ALICE, "Personal").await;
    assert!(
        personal.xml.contains("<entry><name>Mum &amp; Dad</name><number>0900</number></entry></Personal>")
    );

    assert!(
        get(&alice, ALICE, "CustomContact")
            .await
            .xml
            .ends_with("<CustomContact xmlns=\"http://schema.broadsoft.com/xsi\"/>")
    );
    let carol_id = UserId::new(CAROL);
    provisioning.put_custom_directory("acme", "north", "Front desk", Some(&carol_id)).await.expect("put");
    let list = get(&alice, ALICE, "CustomContact").await;
    assert!(list.xml.contains("<directory><name>Front desk</name></directory>"), "{}", list.xml);
    let desk = get(&alice, ALICE, "CustomContact/Front%20desk").await;
    assert!(desk.xml.contains("<Directory xmlns=") && desk.xml.contains("<contacts><contact><userId>carol@"));
    assert_eq!((desk.text("number"), desk.text("hiranganaLastName")), ("+1-5550100122", "Øst"));
    assert_eq!(
        get(&alice, ALICE, "CustomContact/Front%20desk?name=zz*").await.text("totalAvailableRecords"),
        "0"
    );
    assert_eq!(get(&alice, ALICE, "CustomContact/Back%20door").await.status, 404);
    assert_eq!(get(&carol, CAROL, "CustomContact/Front%20desk").await.status, 404, "another group's");
}

#[tokio::test]
async fn enhanced_logs_say_where_a_call_went() {
    let lab = Lab::new().await;
    let (alice, bo) = (subscriber(ALICE), subscriber(BO));
    let forward = "<CallForwardingAlways><active>true</active><forwardToPhoneNumber>1002</forwardToPhoneNumber></CallForwardingAlways>";
    let path = format!("user/{BO}/services/CallForwardingAlways");
    assert_eq!(lab.actions(&bo, Put, &path, forward).await.status, 200);
    lab.actions(&alice, Post, &format!("user/{ALICE}/calls/new?address=1001"), "").await;
    let logs = lab.actions(&bo, Get, &format!("user/{BO}/directories/EnhancedCallLogs"), "").await;
    assert!(
        logs.xml.contains("<missed><enhancedCallLogsExtendedEntry>")
            && logs.xml.contains("<redirect><address>tel:1002</address><reason>unconditional</reason>"),
        "{}",
        logs.xml
    );
    let plain = lab.actions(&bo, Get, &format!("user/{BO}/directories/CallLogs"), "").await;
    assert!(plain.xml.contains("<callLogsEntry>") && !plain.xml.contains("redirect"), "{}", plain.xml);
}

#[tokio::test]
async fn calls_are_made_answered_and_logged() {
    let lab = Lab::new().await;
    let (alice, bo) = (subscriber(ALICE), subscriber(BO));
    let empty = lab.actions(&alice, Get, &format!("user/{ALICE}/calls"), "").await;
    assert!(empty.xml.ends_with("<Calls xmlns=\"http://schema.broadsoft.com/xsi\"/>"), "{}", empty.xml);
    assert_eq!(lab.actions(&alice, Post, &format!("user/{ALICE}/calls/new"), "").await.status, 400);

    let started =
        lab.actions(&alice, Post, &format!("user/{ALICE}/calls/new?address=tel:1001&foo=bar"), "").await;
    assert_eq!(started.status, 201, "{}", started.xml);
    let id = started.text("callId").to_owned();
    assert!(!started.text("externalTrackingId").is_empty());
    let ringing = lab.actions(&bo, Get, &format!("user/{BO}/calls"), "").await;
    let other = ringing.text("callId").to_owned();
    let call = lab.actions(&bo, Get, &format!("user/{BO}/calls/{other}"), "").await;
    assert_eq!((call.text("personality"), call.text("state")), ("Terminator", "Alerting"));
    assert!(
        call.xml.contains("<endpoint xsi1:type=\"xsi:AccessEndpoint\"><addressOfRecord>"),
        "{}",
        call.xml
    );

    let act = |action: &str| format!("user/{BO}/calls/{other}/{action}");
    let wrong = lab.actions(&bo, Put, &act("Hold"), "").await;
    assert_eq!((wrong.status, wrong.text("errorCode")), (409, "210410"), "an alerting call cannot be held");
    for action in ["Talk", "hold", "Talk"] {
        let answer = lab.actions(&bo, Put, &act(action), "").await;
        assert_eq!((answer.status, answer.xml.as_str()), (200, ""), "{action}");
    }
    let hook = lab.actions(&bo, Get, &format!("user/{BO}/calls/HookStatus"), "").await;
    assert_eq!(hook.text("hookStatus"), "Off-Hook");
    assert_eq!(
        lab.actions(&alice, Delete, &format!("user/{ALICE}/calls/{id}?decline=False"), "").await.status,
        200
    );

    let gone = lab.actions(&alice, Put, &format!("user/{ALICE}/calls/callhalf-999:9/Talk"), "").await;
    assert_eq!((gone.status, gone.text("errorCode")), (404, "210406"));
    let log = lab.actions(&alice, Get, &format!("user/{ALICE}/directories/CallLogs/Placed"), "").await;
    assert!(log.xml.contains("\n<placed><"), "without a namespace: {}", log.xml);
    assert!(log.text("time").contains('T') && log.text("time").contains('.'), "{}", log.text("time"));
    let logs = lab.actions(&bo, Get, &format!("user/{BO}/directories/CallLogs"), "").await;
    assert!(logs.xml.contains("<CallLogs xmlns="), "{}", logs.xml);
    assert_eq!(logs.xml.matches("<callLogsEntry>").count(), 1);
    let enhanced =
        lab.actions(&bo, Get, &format!("user/{BO}/directories/EnhancedCallLogs/Received"), "").await;
    assert_eq!(enhanced.xml.matches("<enhancedCallLogsEntry>").count(), 1, "{}", enhanced.xml);
    assert_eq!(lab.actions(&bo, Delete, &format!("user/{BO}/directories/CallLogs"), "").await.status, 200);
    let logs = lab.actions(&bo, Get, &format!("user/{BO}/directories/CallLogs"), "").await;
    assert_eq!(logs.xml.matches("<callLogsEntry>").count(), 0);
}

#[tokio::test]
async fn push_registrations_come_and_go() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let path = format!("user/{ALICE}/profile/PushNotificationRegistrations");
    let document = |token: &str| {
        format!(
            "<PushNotificationRegistration><applicationId>com.cisco.squared</applicationId><applicationVersion>1</applicationVersion>\
             <registrationId>r-1</registrationId><deviceOSType>iOS</deviceOSType><deviceOSVersion>18</deviceOSVersion>\
             <deviceTokenList><deviceToken><token>{token}</token><type>VoIP</type><pushNotificationEvents><event>NEW_CALL</event>\
             </pushNotificationEvents></deviceToken></deviceTokenList></PushNotificationRegistration>"
        )
    };
    let made = lab.actions(&alice, Post, &path, &document("aa")).await;
    assert_eq!(made.status, 201, "{}", made.xml);
    assert_eq!(
        made.headers,
        [("Location", "/v2.0/user/alice%40lab.example/profile/PushNotificationRegistrations/r-1".to_owned())]
    );
    assert_eq!(lab.actions(&alice, Put, &format!("{path}/r-1"), &document("bb")).await.status, 200);
    let list = lab.actions(&alice, Get, &path, "").await;
    assert_eq!((list.text("registrationId"), list.text("token")), ("r-1", "bb"));
    assert_eq!(lab.actions(&alice, Put, &format!("{path}/r-2"), &document("bb")).await.status, 400);
    assert_eq!(lab.actions(&alice, Delete, &format!("{path}?registrationId=r-1"), "").await.status, 200);
    assert_eq!(lab.actions(&alice, Delete, &format!("{path}/r-1"), "").await.status, 404);
}

#[tokio::test]
async fn every_resource_says_what_it_takes() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    for (method, path, status) in [
        (Get, "versions", 200),
        (Post, "versions", 405),
        (Get, "nothing", 404),
        (Get, "", 404),
        (Get, "user/alice@lab.example/services/FlyingCarpet", 404),
        (Post, "user/alice@lab.example/services/RemoteOffice", 405),
        (Get, "user/alice@lab.example/services/RemoteOffice/location", 404),
        (Get, "user/alice@lab.example/services/BroadWorksAnywhere/location", 405),
        (Get, "user/alice@lab.example/services/BroadWorksAnywhere/location/1001", 404),
        (Put, "user/alice@lab.example/calls/Conference", 405),
        (Get, "user/alice@lab.example/calls/Conference", 404),
        (Put, "user/alice@lab.example/calls/callhalf-1:0/TransmitDTMF", 400),
        (Get, "user/alice@lab.example/calls/new", 405),
        (Put, "user/alice@lab.example/calls", 405),
        (Put, "user/alice@lab.example/calls/callhalf-1:0/Fly", 404),
        (Get, "user/alice@lab.example/profile/device/none@lab.example", 404),
        (Delete, "user/alice@lab.example/profile", 405),
        (Get, "user/alice@lab.example/directories/CallLogs/Lost", 404),
    ] {
        let answer = lab.actions(&alice, method, path, "").await;
        assert_eq!(answer.status, status, "{method:?} {path}: {}", answer.xml);
        if status == 405 {
            assert!(answer.headers.iter().any(|(name, value)| *name == "Allow" && !value.is_empty()));
        }
        if status >= 400 {
            assert!(answer.text("summary").len() > 3 && answer.text("errorCode").len() == 6);
        }
    }
    let long = format!("user/{ALICE}/{}", "x/".repeat(1000));
    assert_eq!(lab.actions(&alice, Get, &long, "").await.status, 404);
}

#[tokio::test]
async fn no_resource_of_another_user_answers() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    for (method, rest) in [
        (Get, "profile"),
        (Get, "profile/Fac"),
        (Get, "profile/Registrations"),
        (Get, "profile/Schedule"),
        (Get, "profile/device"),
        (Get, "profile/device/x"),
        (Get, "profile/PushNotificationRegistrations"),
        (Post, "profile/PushNotificationRegistrations"),
        (Delete, "profile/PushNotificationRegistrations/x"),
        (Get, "services"),
        (Get, "services/DoNotDisturb"),
        (Put, "services/CallForwardingAlways"),
        (Post, "services/BroadWorksAnywhere/location"),
        (Delete, "services/BroadWorksAnywhere/location/1001"),
        (Put, "services/VoiceMessaging/greetings"),
        (Get, "directories/Enterprise"),
        (Get, "directories/Group"),
        (Get, "directories/CallLogs"),
        (Delete, "directories/CallLogs"),
        (Get, "directories/CallLogs/Missed"),
        (Get, "directories/EnhancedCallLogs"),
        (Get, "calls"),
        (Post, "calls/new?address=1000"),
        (Get, "calls/HookStatus"),
        (Get, "calls/callhalf-1:0"),
        (Delete, "calls/callhalf-1:0"),
        (Put, "calls/callhalf-1:0/Talk"),
        (Put, "calls/callhalf-1:0/ConsultTransfer/callhalf-2:0"),
        (Put, "calls/callhalf-1:0/Park?address=1000"),
        (Get, "calls/Conference"),
        (Post, "calls/Conference"),
        (Put, "calls/Conference/Hold"),
        (Put, "calls/Conference/callhalf-1:0/Mute"),
        (Post, "calls/CallPickup"),
        (Post, "calls/DirectedCallPickup?address=1000"),
        (Post, "calls/CallParkRetrieve?address=1000"),
        (Get, "nothing"),
    ] {
        let answer = lab.actions(&alice, method, &format!("user/{BO}/{rest}"), "").await;
        assert_eq!((answer.status, answer.text("errorCode")), (403, "210403"), "{method:?} {rest}");
    }
    for path in [format!("user/{BO}"), format!("user/{BO}/subscription")] {
        let answer = lab.events(&alice, Post, &path, &subscription("Advanced Call")).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    for target in [
        "serviceprovider/acme",
        "serviceprovider/acme/group/north",
        "group/north",
        "enterprise/acme",
        "system",
    ] {
        let answer = lab.events(&alice, Post, target, &subscription("Advanced Call")).await;
        assert_eq!(answer.status, 403, "{target}");
    }
}

#[tokio::test]
async fn voice_messages_are_heard_marked_and_deleted() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let path = |rest: &str| format!("user/{ALICE}/VoiceMessagingMessages{rest}");
    let none = lab.actions(&alice, Get, &path(""), "").await;
    assert!(none.xml.ends_with("<messageInfoList/></VoiceMessagingMessages>"), "{}", none.xml);
    let empty = lab.actions(&alice, Get, &format!("user/{ALICE}/calls/MessageSummary"), "").await;
    assert!(empty.xml.ends_with("<summary/></VoiceMailMessageSummary>"), "{}", empty.xml);
    let mut channel = lab.open(&alice, CHANNEL).await;
    let package = subscription("Voice Mail Message Summary");
    assert_eq!(lab.events(&alice, Post, &format!("user/{ALICE}"), &package).await.status, 200);
    let (kind, xml) = channel.event(&lab.api, &alice).await;
    assert_eq!(kind, "VoiceMailMessageSummaryEvent");
    assert!(xml.contains("<xsi:messageSummary/>"), "{xml}");

    let leave = async |urgent: bool, private: bool| {
        let caller = Caller {
            name: Some("Bo & Co".to_owned()),
            user_id: Some(UserId::new(BO)),
            address: Some(Address::of("+15550100121")),
            private,
        };
        let content = b"ID3 sound".to_vec();
        let message = NewMessage { caller, duration: 1_500, urgent, confidential: false, content };
        lab.ports.messages.deposit(&UserId::new(ALICE), &message).await.expect("left")
    };
    let first = leave(false, false).await;
    let (_, xml) = channel.event(&lab.api, &alice).await;
    assert!(
        xml.contains("<xsi:messageSummary><xsi:newMessages>1</xsi:newMessages></xsi:messageSummary>"),
        "{xml}"
    );
    let second = leave(true, true).await;
    channel.event(&lab.api, &alice).await;
    let list = lab.actions(&alice, Get, &path(""), "").await;
    assert_eq!(list.xml.matches("<messageInfo>").count(), 2);
    assert!(list.xml.contains("<callingPartyInfo><privacy/></callingPartyInfo><urgent/>"), "{}", list.xml);
    let id = format!("/v2.0/user/alice%40lab.example/VoiceMessagingMessages/{first}");
    assert!(list.xml.contains(&format!("<messageId>{id}</messageId>")), "{}", list.xml);

    let one = lab.actions(&alice, Get, id.trim_start_matches("/v2.0/"), "").await;
    assert!(
        one.xml.ends_with(
            "<messageMediaContent><description>Voice message</description><mediaType>MP3</mediaType>\
             <content>SUQzIHNvdW5k</content></messageMediaContent></VoiceMessage>"
        ),
        "{}",
        one.xml
    );
    assert!(
        one.xml.contains("<duration>1500</duration><callingPartyInfo><name>Bo &amp; Co</name><userId>bo@")
    );
    for (path, read) in [
        (path(&format!("/{first}/MarkAsRead")), 1),
        (path(&format!("/{first}/markasunread")), 0),
        (path("/MarkAllAsRead"), 2),
    ] {
        let done = lab.actions(&alice, Put, &path, "").await;
        assert_eq!((done.status, done.xml.as_str()), (200, ""), "{path}");
        let list = lab.actions(&alice, Get, &format!("user/{ALICE}/VoiceMessagingMessages"), "").await;
        assert_eq!(list.xml.matches("<read/>").count(), read, "{path}");
    }
    let summary = lab.actions(&alice, Get, &format!("user/{ALICE}/calls/messagesummary"), "").await;
    assert!(
        summary.xml.contains(
            "<summary><oldMessages>2</oldMessages><oldUrgentMessages>1</oldUrgentMessages></summary>"
        ),
        "{}",
        summary.xml
    );
    assert_eq!(lab.actions(&alice, Put, &path("/MarkAllAsUnread"), "").await.status, 200);
    let transcript = lab.actions(&alice, Get, &path(&format!("/{first}/transcript")), "").await;
    assert_eq!((transcript.status, transcript.text("errorCode")), (404, "210408"));
    for (status, id) in [(200, &first), (404, &first), (200, &second)] {
        assert_eq!(lab.actions(&alice, Delete, &path(&format!("/{id}")), "").await.status, status);
    }
    for rest in ["/nope", "/nope/transcript"] {
        assert_eq!(lab.actions(&alice, Get, &path(rest), "").await.text("errorCode"), "210406", "{rest}");
    }
    let mut last = String::new();
    while !last.contains("<xsi:messageSummary/>") {
        last = channel.event(&lab.api, &alice).await.1;
    }
}

#[tokio::test]
async fn passwords_are_changed_by_who_knows_them_or_administers_them() {
    let lab = Lab::new().await;
    let (alice, admin) = (subscriber(ALICE), administrator());
    let path = format!("user/{ALICE}/profile/Password/Portal");
    let profile = lab.actions(&alice, Get, &format!("user/{ALICE}/profile"), "").await;
    assert_eq!(
        profile.text("portalPasswordChange"),
        "/v2.0/user/alice%40lab.example/profile/Password/Portal"
    );
    let portal = |old: &str, new: &str| format!("<Portal>{old}<newPassword>{new}</newPassword></Portal>");
    let old = |old: &str| format!("<oldPassword>{old}</oldPassword>");
    for (who, document, status) in [
        (&alice, portal("", "correct horse 2"), 400),
        (&alice, portal(&old("wrong"), "correct horse 2"), 403),
        (&alice, portal(&old("correct horse 1"), "correct horse 1"), 400),
        (&alice, "<Portal><oldPassword>correct horse 1</oldPassword></Portal>".to_owned(), 400),
        (&alice, portal(&old("correct horse 1"), " correct &amp; horse "), 200),
        (&client(), portal("", "x"), 403),
        (&administrator(), portal("", "correct horse 3"), 200),
    ] {
        let answer = lab.actions(who, Put, &path, &document).await;
        assert_eq!(answer.status, status, "{document}: {}", answer.xml);
        if status == 200 && who == &alice {
            let password = " correct & horse ";
            lab.ports.credentials.verify_password(&UserId::new(ALICE), password).await.expect("changed");
        }
    }
    lab.ports.credentials.verify_password(&UserId::new(ALICE), "correct horse 3").await.expect("changed");
    let elsewhere = format!("user/{CAROL}/profile/Password/Portal");
    assert_eq!(lab.actions(&admin, Put, &elsewhere, &portal("", "x")).await.status, 403);
    assert_eq!(lab.actions(&alice, Get, &path, "").await.status, 405);
}

#[tokio::test]
async fn a_device_takes_calls_or_does_not() {
    let lab = Lab::new().await;
    let (alice, bo) = (subscriber(ALICE), subscriber(BO));
    let device = NewDevice {
        user_id: UserId::new(BO),
        name: "bo-pc".to_owned(),
        level: DeviceLevel::Group,
        device_type: "Business Communicator - PC".to_owned(),
        line_port: "bo_pc@lab.example".to_owned(),
        mac: None,
        user_name: "bo_pc".to_owned(),
        password: Secret::new("device password"),
        sip_user_name: "bo_pc".to_owned(),
        sip_password: Secret::new("sip password"),
    };
    lab.server.provisioning().put_device(&device).await.expect("made");
    let path = format!("user/{BO}/profile/device/bo_pc@lab.example");
    let set =
        |allow: &str| format!("<AccessDevice><allowTermination>{allow}</allowTermination></AccessDevice>");
    assert_eq!(lab.actions(&bo, Get, &path, "").await.text("allowTermination"), "true");
    assert_eq!(lab.actions(&bo, Put, &path, "<AccessDevice/>").await.status, 400);
    assert_eq!(lab.actions(&bo, Put, &path, &set("perhaps")).await.status, 400);
    assert_eq!(lab.actions(&bo, Put, &path, &set("false")).await.status, 200);
    assert_eq!(lab.actions(&bo, Get, &path, "").await.text("allowTermination"), "false");
    let dial = format!("user/{ALICE}/calls/new?address=1001");
    lab.actions(&alice, Post, &dial, "").await;
    assert_eq!(lab.actions(&bo, Get, &format!("user/{BO}/calls"), "").await.text("callId"), "");
    assert_eq!(lab.actions(&bo, Put, &path, &set("true")).await.status, 200);
    lab.actions(&alice, Post, &dial, "").await;
    assert_ne!(lab.actions(&bo, Get, &format!("user/{BO}/calls"), "").await.text("callId"), "");
    let unknown = format!("user/{BO}/profile/device/none@lab.example");
    assert_eq!(lab.actions(&bo, Put, &unknown, &set("true")).await.status, 404);
    assert_eq!(
        lab.actions(&bo, Get, &format!("user/{BO}/profile/IMP"), "").await.text("errorCode"),
        "210408"
    );
}
