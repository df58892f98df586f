//! Golden files: bytes in, typed value, bytes out.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
use openadp_xsi_schema::*;
use time::macros::datetime;

fn limits() -> ReadLimits {
    ReadLimits::default()
}

fn read_document<T: Document>(bytes: &[u8]) -> T {
    let element = read(bytes, &limits()).expect("reads");
    T::from_element(&element).expect("is the document")
}

/// Reads a golden file, checks its typed value, and that writing gives the file again, in XML and through JSON.
fn golden<T: Document + PartialEq + std::fmt::Debug>(file: &str, expected: &T) {
    let xml =
        std::fs::read_to_string(format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"))).expect("file");
    let xml = xml.trim_end_matches('\n');
    assert_eq!(&read_document::<T>(xml.as_bytes()), expected, "{file}: typed value");
    assert_eq!(expected.to_element().to_xml(), xml, "{file}: bytes");
    let json = expected.to_element().to_json();
    assert_eq!(&read_document::<T>(json.as_bytes()), expected, "{file}: through {json}");
}

#[test]
fn profile() {
    golden(
        "profile.xml",
        &Profile {
            details: ProfileDetails {
                user_id: "alice@example.test".into(),
                first_name: Patch::Set("Alice".into()),
                last_name: Patch::Set("Ng".into()),
                hiragana_last_name: Patch::Set("Ng".into()),
                hiragana_first_name: Patch::Set("Alice".into()),
                group_id: Some("north".into()),
                service_provider: Some(ServiceProvider { id: "acme".into(), is_enterprise: true }),
                number: Some("+1-5550100123".into()),
                extension: Some("0123".into()),
                ..ProfileDetails::default()
            },
            additional_details: AdditionalDetails {
                mobile: Some("+1-5550100999".into()),
                email_address: Some("alice@example.test".into()),
                ..AdditionalDetails::default()
            },
            password_expires_days: Some(2_147_483_647),
            fac: Some("/v2.0/user/alice%40example.test/profile/Fac".into()),
            registrations: Some("/v2.0/user/alice%40example.test/profile/Registrations".into()),
            schedule_list: Some("/v2.0/user/alice%40example.test/profile/Schedule".into()),
            portal_password_change: Some("/v2.0/user/alice%40example.test/profile/Password/Portal".into()),
            country_code: Some("1".into()),
            ..Profile::default()
        },
    );
}

fn call() -> Call {
    Call {
        call_id: "callhalf-71:0".into(),
        ext_tracking_id: "35:1".into(),
        personality: Personality::Originator,
        state: CallState::Active,
        remote_party: RemoteParty {
            name: Some("Bo Li".into()),
            address: Some(Address::of("0124", None)),
            user_id: Some("bo@example.test".into()),
            user_dn: Some(Address::of("+15550100124", Some("1"))),
            call_type: Some(CallType::Group),
            ..RemoteParty::default()
        },
        endpoint: Some(Endpoint::access("alice-dev@example.test")),
        appearance: Some(1),
        start_time: 1_793_700_000_000,
        answer_time: Some(1_793_700_004_210),
        ..Call::default()
    }
}

#[test]
fn calls() {
    golden("call.xml", &call());
    golden(
        "calls.xml",
        &Calls {
            calls: vec![CallReference {
                in_conference: false,
                call_id: "callhalf-71:0".into(),
                uri: Some("/v2.0/user/alice%40example.test/calls/callhalf-71:0".into()),
            }],
        },
    );
    golden("calls-none.xml", &Calls::default());
    golden(
        "call-start-info.xml",
        &CallStartInfo { call_id: "callhalf-71:0".into(), external_tracking_id: "35:1".into() },
    );
    golden("hook-status.xml", &HookStatus { hook_status: HookState::OffHook });
    let one = read(br#"{"Calls":{"call":{"@inConference":true,"callId":{"$":7},"uri":null}}}"#, &limits())
        .expect("reads");
    let one = Calls::from_element(&one).expect("a document");
    assert_eq!(one.calls, vec![CallReference { in_conference: true, call_id: "7".into(), uri: None }]);
}

#[test]
fn json_is_as_the_mapping_says() {
    let calls = Calls {
        calls: vec![CallReference {
            in_conference: false,
            call_id: "callhalf-71:0".into(),
            uri: Some("/v2.0/x".into()),
        }],
    };
    assert_eq!(
        calls.to_element().to_json(),
        r#"{"Calls":{"@xmlns":"http://schema.broadsoft.com/xsi","call":{"@inConference":"false","callId":{"$":"callhalf-71:0"},"uri":{"$":"/v2.0/x"}}}}"#
    );
    assert_eq!(
        Calls::default().to_element().to_json(),
        r#"{"Calls":{"@xmlns":"http://schema.broadsoft.com/xsi"}}"#
    );
    let services = Services {
        services: vec![
            ServiceEntry {
                name: "Do Not Disturb".into(),
                uri: Some("/v2.0/user/a/services/DoNotDisturb".into()),
            },
            ServiceEntry { name: "Call Waiting".into(), uri: None },
        ],
    };
    assert_eq!(
        services.to_element().to_json(),
        r#"{"Services":{"@xmlns":"http://schema.broadsoft.com/xsi","service":[{"name":{"$":"Do Not Disturb"},"uri":{"$":"/v2.0/user/a/services/DoNotDisturb"}},{"name":{"$":"Call Waiting"}}]}}"#
    );
    assert!(call().to_element().to_json().contains(
        r#""endpoint":{"@xsi1:type":"xsi:AccessEndpoint","addressOfRecord":{"$":"alice-dev@example.test"}}"#
    ));
    let empty = EnterpriseDirectory { start_index: 1, ..EnterpriseDirectory::default() };
    assert!(empty.to_element().to_json().ends_with(r#""enterpriseDirectory":{}}}"#));
}

#[test]
fn error_info_always_has_both_summaries() {
    golden("error-info.xml", &ErrorInfo::new("Subscription not found", Some(110_862)));
    assert_eq!(
        ErrorInfo::new("x", Some(110_842)).to_element().to_json(),
        r#"{"ErrorInfo":{"@xmlns":"http://schema.broadsoft.com/xsi","summary":{"$":"x"},"summaryEnglish":{"$":"x"},"errorCode":{"$":"110842"}}}"#
    );
    let english_only =
        read_document::<ErrorInfo>(b"<ErrorInfo><summaryEnglish>no</summaryEnglish></ErrorInfo>");
    assert_eq!(english_only, ErrorInfo::new("no", None));
}

#[test]
fn channels_and_subscriptions() {
    golden(
        "channel-request.xml",
        &Channel {
            channel_set_id: Some("acme-set-1".into()),
            priority: Some(1),
            weight: Some(50),
            expires: Some(3600),
            application_id: Some("acme-app".into()),
            ..Channel::default()
        },
    );
    golden(
        "subscription-answer.xml",
        &Subscription {
            subscription_id: Some("c1f1d0aa-0f3a-4b43-8f5c-77f5f4f6a0b2".into()),
            expires: Some(3600),
            ..Subscription::default()
        },
    );
    let lenient = read_document::<Subscription>(
        b"<s:Subscription xmlns:s='http://schema.broadsoft.com/xsi'>\n <s:expires>3600</s:expires><s:targetIdType>Nobody</s:targetIdType>\r\n<s:event>Advanced Call</s:event></s:Subscription>",
    );
    assert_eq!(
        (lenient.expires, lenient.event.as_deref(), lenient.target_id_type),
        (Some(3600), Some("Advanced Call"), None)
    );
    let odd = read_document::<Subscription>(
        br#"{"Subscription":{"@xmlns":{"$":"http://schema.broadsoft.com/xsi"},"event":{"$":"Advanced Call"},"httpContact":{"uri":{"$":"https://a.test"}}}}"#,
    );
    assert_eq!(odd.http_contact, Some(HttpContact { uri: "https://a.test".into() }));
    golden(
        "event-response.xml",
        &EventResponse { event_id: "6e1f".into(), status_code: 200, reason: Some("OK".into()) },
    );
    golden(
        "versions.xml",
        &Versions {
            commands: VersionBaseline { baseline: "24.0".into() },
            event_packages: Some(VersionBaseline { baseline: "24.0".into() }),
        },
    );
}

#[test]
fn directories_and_call_logs() {
    let details = |id: &str| DirectoryDetails {
        user_id: id.into(),
        first_name: Patch::Set("Zoë".into()),
        last_name: Patch::Set("O'Neil & <Sons>".into()),
        ..DirectoryDetails::default()
    };
    golden(
        "enterprise.xml",
        &EnterpriseDirectory {
            start_index: 1,
            number_of_records: 2,
            total_available_records: 20,
            directory: EnterpriseList { entries: vec![details("a@x.test"), details("b@x.test")] },
        },
    );
    let entry = CallLogsEntry {
        country_code: Some("1".into()),
        phone_number: "+15550100777".into(),
        name: "Unavailable".into(),
        time: CallLogsEntry::format_time(datetime!(2026-11-02 09:14:03.12 -5)),
        call_log_id: "5512:0".into(),
        redirections: None,
        redirect: None,
    };
    let log = CallLog { entries: vec![entry], ..CallLog::default() };
    let single = log.to_single_element(CallLogKind::Received);
    let file = include_str!("golden/received.xml").trim_end_matches('\n');
    assert_eq!(single.to_xml(), file);
    assert_eq!(read_xml(file.as_bytes(), &limits()).as_ref(), Ok(&single));
    assert!(single.to_json().starts_with(r#"{"received":{"callLogsEntry":{"countryCode""#));
    golden("call-logs.xml", &CallLogs { missed: Some(log.clone()), ..CallLogs::default() });
    let enhanced =
        EnhancedCallLogs { start_index: 1, number_of_records: 1, logs: vec![(CallLogKind::Missed, log)] };
    assert!(
        enhanced
            .to_element()
            .to_xml()
            .contains("<numberOfRecords>1</numberOfRecords><missed><enhancedCallLogsEntry>")
    );
}

#[test]
fn secrets_do_not_print() {
    let device = AccessDevice {
        device_user_name_password: Some(DeviceUserNamePassword {
            user_name: "dev".into(),
            password: "hunter2".into(),
        }),
        ..AccessDevice::default()
    };
    golden("access-devices.xml", &AccessDevices { access_devices: vec![device.clone()] });
    let token = DeviceToken { token: "hunter2".into(), ..DeviceToken::default() };
    let login = LoginToken { token: "hunter2".into() };
    assert!(!format!("{device:?} {token:?} {login:?}").contains("hunter2"));
    golden("login-token.xml", &login);
}

#[test]
fn push_registrations() {
    golden(
        "push-registrations.xml",
        &PushNotificationRegistrations {
            registrations: vec![PushNotificationRegistration {
                application_id: "com.example.app".into(),
                application_version: "1.0".into(),
                registration_id: "r-1".into(),
                device_os_type: "ios".into(),
                device_os_version: "26".into(),
                device_token_list: DeviceTokenList {
                    tokens: vec![DeviceToken {
                        token: "00ff".into(),
                        kind: Some("VoIP".into()),
                        events: PushNotificationEvents {
                            events: vec!["NEW_CALL".into()],
                            details: Vec::new(),
                        },
                    }],
                },
            }],
        },
    );
}

fn envelope() -> SubscriptionEvent<'static> {
    SubscriptionEvent {
        event_id: "6e1f",
        sequence_number: 2,
        owner: EventOwner::User("alice@example.test"),
        application_id: "acme-app",
        subscription_id: "91c0",
        shared_subscription_id: None,
        route: EventRoute::Channel("0b6d"),
        target_id: Some("bo@example.test"),
        target_sub_id: None,
    }
}

fn event_golden(file: &str, bytes: &[u8]) {
    let golden = std::fs::read(format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"))).expect("file");
    assert_eq!(
        String::from_utf8_lossy(bytes),
        String::from_utf8_lossy(&golden).trim_end_matches('\n'),
        "{file}"
    );
}

#[test]
fn events() {
    let document = Element::new("DoNotDisturb")
        .with(Element::text("active", "true"))
        .with(Element::text("ringSplash", "false"));
    let dnd = EventData::service("DoNotDisturbEvent", document);
    event_golden("event-do-not-disturb.xml", &envelope().assemble(&dnd, EventForm::Stream));
    let received = EventData::call(
        CallEventType::Received,
        &Call {
            allow_answer: Flag(true),
            state: CallState::Alerting,
            personality: Personality::Terminator,
            ..call()
        },
    );
    event_golden("event-call-received.xml", &envelope().assemble(&received, EventForm::Stream));
    event_golden("event-call-received-cti.xml", &envelope().assemble(&received, EventForm::Cti));
    let terminated =
        SubscriptionEvent { target_id: None, owner: EventOwner::Client("cti.lab.invalid"), ..envelope() };
    event_golden(
        "event-subscription-terminated.xml",
        &terminated.assemble(&EventData::subscription_terminated(), EventForm::Stream),
    );
    event_golden(
        "event-channel-terminated.xml",
        &channel_terminated_event("0b6d", ChannelTerminationReason::Expired, EventForm::Stream),
    );
    event_golden("event-error.xml", &error_event(400, "not \"well-formed\"", EventForm::Cti));
    event_golden("heartbeat.xml", HEARTBEAT.as_bytes());
    let state = EventData::call_subscription(&[], None, HookState::OnHook, false);
    assert_eq!(
        state.bytes(EventForm::Stream),
        "<xsi:eventData xsi1:type=\"xsi:CallSubscriptionEvent\"><xsi:hookStatus>On-Hook</xsi:hookStatus></xsi:eventData>"
    );
    assert!(
        EventData::call_subscription(&[call()], None, HookState::OffHook, true)
            .bytes(EventForm::Stream)
            .starts_with(
            b"<xsi:eventData xsi1:type=\"xsi:CallSubscriptionResyncEvent\"><xsi:calls><xsi:call><xsi:callId>"
        )
    );
}

#[test]
fn event_data_is_serialised_once_per_form() {
    let data = EventData::hook_status(HookState::OffHook);
    let first = data.bytes(EventForm::Stream).as_ptr();
    let _ = envelope().assemble(&data, EventForm::Stream);
    assert_eq!(data.bytes(EventForm::Stream).as_ptr(), first);
}

#[test]
fn every_stream_document_is_one_line_after_its_declaration() {
    let nasty = EventData::call(
        CallEventType::Updated,
        &Call { client_session_info: Some("a\nb\r\u{0}\u{FFFE}<>&\"'\t".into()), ..call() },
    );
    let bytes = envelope().assemble(&nasty, EventForm::Stream);
    let text = std::str::from_utf8(&bytes).expect("UTF-8");
    let rest = text.strip_prefix(XML_DECLARATION).expect("declaration");
    assert!(!rest.contains(['\n', '\r', '\u{0}', '\u{FFFE}']));
    let read = read_xml(&bytes, &limits()).expect("reads");
    let call = read.child("eventData").and_then(|data| data.child("call")).expect("call");
    assert_eq!(call.child("clientSessionInfo").map(Element::raw_text), Some("a\nb\r<>&\"'\t"));
    assert_eq!(read.type_name(), Some("SubscriptionEvent"));
}

#[test]
fn phone_lists_and_contacts() {
    let entry = |name: &str, number: &str| PhoneEntry { name: name.into(), number: number.into() };
    golden(
        "personal.xml",
        &PersonalDirectory {
            start_index: 1,
            number_of_records: 2,
            total_available_records: 2,
            entries: vec![entry("Mum & Dad", "0900"), entry("Taxi", "+1-5550100900")],
        },
    );
    golden(
        "enterprise-common.xml",
        &EnterpriseCommon {
            start_index: 51,
            number_of_records: 1,
            total_available_records: 51,
            entries: vec![entry("Taxi", "+1-5550100900")],
        },
    );
    golden(
        "custom-contact.xml",
        &CustomContactDirectory {
            start_index: 1,
            number_of_records: 1,
            total_available_records: 1,
            contacts: ContactList {
                entries: vec![Contact {
                    user_id: "alice@example.test".into(),
                    first_name: Patch::Set("Alice".into()),
                    last_name: Patch::Set("Ng".into()),
                    hiragana_last_name: Patch::Set("Ng".into()),
                    hiragana_first_name: Patch::Set("Alice".into()),
                    group_id: Some("north".into()),
                    service_provider: Some(ServiceProvider { id: "acme".into(), is_enterprise: true }),
                    number: Some("+1-5550100123".into()),
                    mobile: Some("+1-5550100999".into()),
                    department: Some("R&D".into()),
                    ..Contact::default()
                }],
            },
        },
    );
}

#[test]
fn voice_messages() {
    let info = MessageInfo {
        duration: Some(4_500),
        calling_party_info: Some(CallingPartyInfo {
            name: Some("Bo Li".into()),
            user_id: Some("bo@example.test".into()),
            address: Some(Address::of("+15550100124", Some("1"))),
            privacy: Flag(false),
        }),
        urgent: Flag(true),
        time: 1_793_700_000_000,
        message_id: Some("/v2.0/user/alice%40example.test/VoiceMessagingMessages/6e1f".into()),
        ..MessageInfo::default()
    };
    golden(
        "voice-message.xml",
        &VoiceMessageDocument {
            info: info.clone(),
            media: MessageMediaContent {
                description: "Voice message".into(),
                media_type: Some(MediaType::Wav),
                content: "UklGRg==".into(),
            },
        },
    );
    let list = MessageInfoList { messages: vec![info] };
    golden("voice-messages.xml", &VoiceMessagingMessages { list });
    let summary =
        MessageSummary { new_messages: Some(2), new_urgent_messages: Some(1), ..MessageSummary::default() };
    golden("message-summary.xml", &VoiceMailMessageSummary { summary });
}

#[test]
fn passwords_are_taken_to_the_letter_and_never_shown() {
    let bytes = b"<Portal><oldPassword> a </oldPassword><newPassword>b&amp;</newPassword></Portal>";
    let portal: PortalPassword = read_document(bytes);
    assert_eq!((portal.old_password.as_deref(), portal.new_password.as_str()), (Some(" a "), "b&"));
    assert!(!format!("{portal:?}").contains("b&"));
}
