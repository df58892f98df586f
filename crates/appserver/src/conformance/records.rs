//! Accounts, profiles, services, devices, push registrations.

use super::directories::search;
use super::{
    ADMIN, ALICE, BO, CAROL, DEVICE, DMS_URL, Fixture, OTHER_DEVICE, SUBSCRIBERS, change, events_after, good,
    invalid, nobody, not_found, now, told,
};
use crate::{
    ACTIVE, AccountKind, AdminLevel, CallAction, CallId, CallLogKind, CallState, ConferenceAction,
    DeviceCredentials, DeviceToken, DialLocation, DialOptions, DirectoryQuery, DirectoryScope, Event,
    FORWARD_TO, FileChallenge, FileCredentials, FileDecision, FileRequest, NUMBER_OF_RINGS, Patch, PhoneList,
    PickUp, PortError, PortResult, PushRegistration, RING_SPLASH, Service, ServiceKind, UserId,
};
use std::time::Duration;

#[track_caller]
fn refused<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::CredentialsRefused)), "refusal expected: {result:?}");
}

/// Passwords and the voiding of tokens.
pub async fn credentials(fixture: &dyn Fixture) {
    let (one, two) = (fixture.ports().credentials, fixture.second().credentials);
    let account = good(one.verify_password(&ALICE.id(), ALICE.password).await);
    let expected = AccountKind::Subscriber { provider: ALICE.provider.into(), group: ALICE.group.into() };
    assert_eq!((account.kind, account.user_id), (expected, ALICE.id()));
    good(one.verify_password(&UserId::new("ALICE@Acme.Example"), ALICE.password).await);
    let level = AdminLevel::Group { provider: ADMIN.provider.into(), group: ADMIN.group.into() };
    let admin = good(two.verify_password(&ADMIN.id(), ADMIN.password).await);
    assert_eq!(admin.kind, AccountKind::Administrator(level));
    assert_eq!(good(one.account(&ADMIN.id()).await), admin);
    for wrong in ["", "Alice's password", "alice's password ", BO.password, &"x".repeat(100_000)] {
        refused(one.verify_password(&ALICE.id(), wrong).await);
    }
    refused(one.verify_password(&nobody(), ALICE.password).await);
    refused(one.verify_password(&UserId::new(""), "").await);
    not_found(one.account(&nobody()).await);

    // A changed password counts at once in every process, though the old one was just verified there.
    good(one.verify_password(&ALICE.id(), ALICE.password).await);
    good(two.verify_password(&ALICE.id(), ALICE.password).await);
    let position = good(fixture.ports().feed.position().await);
    fixture.set_password(&ALICE.id(), "changed").await;
    for process in [&one, &two] {
        refused(process.verify_password(&ALICE.id(), ALICE.password).await);
        good(process.verify_password(&ALICE.id(), "changed").await);
    }
    assert_eq!(told(&fixture.second(), &ALICE, position).await, ["CredentialsChanged"]);

    assert_eq!(good(one.tokens_revoked_before(&BO.id()).await), None);
    good(one.revoke_tokens(Some(&BO.id())).await);
    let at = good(two.tokens_revoked_before(&BO.id()).await).expect("revoked");
    assert!(at <= now(&fixture.ports()));
    assert_eq!(good(two.tokens_revoked_before(&ALICE.id()).await), None, "only the user's own");
    fixture.advance(Duration::from_secs(5)).await;
    good(two.revoke_tokens(None).await);
    for person in [ALICE, BO] {
        let later = good(one.tokens_revoked_before(&person.id()).await).expect("revoked for everybody");
        assert!(later > at, "the later of both counts");
    }
    // Somebody changes his own password, and an administrator that of somebody.
    refused(one.change_password(&BO.id(), Some("no idea"), "another").await);
    invalid(one.change_password(&BO.id(), Some(BO.password), "").await);
    invalid(one.change_password(&BO.id(), Some(BO.password), BO.password).await);
    good(one.change_password(&BO.id(), Some(BO.password), "another").await);
    refused(two.verify_password(&BO.id(), BO.password).await);
    good(two.verify_password(&BO.id(), "another").await);
    good(two.change_password(&BO.id(), None, BO.password).await);
    good(one.verify_password(&BO.id(), BO.password).await);
    not_found(one.change_password(&nobody(), None, "x").await);
    refused(one.change_password(&nobody(), Some("x"), "y").await);
    not_found(one.revoke_tokens(Some(&nobody())).await);
    not_found(one.tokens_revoked_before(&nobody()).await);
}

/// Services and their events.
pub async fn services(fixture: &dyn Fixture) {
    let (ports, second) = (fixture.ports(), fixture.second());
    let port = &ports.services;
    let mut assigned = good(port.assigned(&ALICE.id()).await);
    assigned.sort();
    assert_eq!(assigned, ServiceKind::ALL);
    not_found(port.assigned(&nobody()).await);

    let (before, service) = good(port.service(&ALICE.id(), ServiceKind::DoNotDisturb).await);
    assert_eq!(service, Service::new(ServiceKind::DoNotDisturb));
    let wish = [(ACTIVE, Some("true")), (RING_SPLASH, Some("true"))];
    change(&ports, &ALICE.id(), ServiceKind::DoNotDisturb, &wish).await;
    let changed = service.with(ACTIVE, true).with(RING_SPLASH, true);
    let (after, service) = good(second.services.service(&ALICE.id(), ServiceKind::DoNotDisturb).await);
    assert_eq!(service, changed);
    let events = events_after(&second, before).await;
    assert_eq!(events.len(), 1, "one change, one event");
    assert_eq!((events[0].event.clone(), events[0].position), (Event::Service(changed), after));
    assert_eq!((events[0].provider.as_str(), events[0].group.as_str()), (ALICE.provider, ALICE.group));
    change(&ports, &ALICE.id(), ServiceKind::DoNotDisturb, &wish[..1]).await;
    assert!(events_after(&ports, after).await.is_empty(), "what changes nothing tells nobody");

    let always = ServiceKind::CallForwardingAlways;
    let on = (ACTIVE, Some("true"));
    for bad in [&[on][..], &[on, (FORWARD_TO, Some(" "))], &[(FORWARD_TO, Some("not a number"))]] {
        invalid(port.change_service(&ALICE.id(), always, good(always.patch(bad))).await);
    }
    for rings in ["1", "21", "-2", "two"] {
        invalid(ServiceKind::CallForwardingNoAnswer.patch(&[(NUMBER_OF_RINGS, Some(rings))]));
    }
    assert!(events_after(&ports, after).await.is_empty(), "what was refused tells nobody");
    change(&ports, &ALICE.id(), always, &[on, (FORWARD_TO, Some(BO.extension))]).await;
    let clear = good(always.patch(&[(FORWARD_TO, None)]));
    invalid(port.change_service(&ALICE.id(), always, clear).await);

    fixture.unassign(&BO.id(), ServiceKind::DoNotDisturb).await;
    let missing = port.service(&BO.id(), ServiceKind::DoNotDisturb).await;
    assert!(matches!(missing, Err(PortError::NotAssigned { .. })), "{missing:?}");
    let missing = second.services.change_service(&BO.id(), ServiceKind::DoNotDisturb, Patch::new()).await;
    assert!(matches!(missing, Err(PortError::NotAssigned { .. })), "{missing:?}");
    not_found(port.service(&nobody(), ServiceKind::DoNotDisturb).await);
    not_found(port.change_service(&nobody(), always, Patch::new()).await);
}

/// Devices and their files.
pub async fn devices(fixture: &dyn Fixture) {
    let port = fixture.ports().devices;
    let devices = good(port.devices(&ALICE.id()).await);
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].device_type, "Business Communicator - PC");
    assert_eq!(devices[0].line_port, DEVICE.line_port);
    assert_eq!(devices[0].type_url, Some(format!("{DMS_URL}bc/pc/")));
    let known = |device: super::Device| DeviceCredentials {
        user_name: device.user_name.to_owned(),
        password: device.password.to_owned(),
    };
    assert_eq!(devices[0].credentials, Some(known(DEVICE)));
    assert!(good(port.devices(&CAROL.id()).await).is_empty());
    not_found(port.devices(&nobody()).await);

    // Calls end where they may.
    assert!(devices[0].allow_termination);
    let calls = &fixture.ports().calls;
    good(port.allow_termination(&ALICE.id(), &DEVICE.line_port.to_uppercase(), false).await);
    assert!(!good(fixture.second().devices.devices(&ALICE.id()).await)[0].allow_termination);
    let start = good(calls.dial(&BO.id(), ALICE.extension, &DialOptions::default()).await);
    assert!(good(calls.overview(&ALICE.id()).await).calls.is_empty(), "nothing rings");
    assert_eq!(good(calls.call(&BO.id(), &start.call_id).await).state, CallState::Released);
    good(port.allow_termination(&ALICE.id(), DEVICE.line_port, true).await);
    good(calls.dial(&BO.id(), ALICE.extension, &DialOptions::default()).await);
    assert_eq!(good(calls.overview(&ALICE.id()).await).calls.len(), 1);
    not_found(port.allow_termination(&ALICE.id(), OTHER_DEVICE.line_port, false).await);
    not_found(port.allow_termination(&nobody(), DEVICE.line_port, false).await);

    let file = async |path: &str, credentials: FileCredentials, secure: bool| {
        good(port.file(&FileRequest { path: path.to_owned(), secure, credentials }).await)
    };
    let challenge = FileDecision::Challenge(FileChallenge::Password);
    let path = "bc/pc/config-wxt.xml";
    let FileDecision::File(alice) = file(path, FileCredentials::Password(known(DEVICE)), true).await else {
        panic!("the device gets its file");
    };
    let text = String::from_utf8(alice.content.clone()).expect("UTF-8");
    assert!(text.starts_with("<?xml") && alice.content_type.contains("xml") && alice.confidential);
    assert!(text.contains("alice_pc") && text.contains(ALICE.number), "{text}");
    assert!(text.contains("sip &amp; &lt;secret&gt;"), "values are escaped");
    assert!(!text.contains('%'), "no tag is left: {text}");
    fixture.advance(Duration::from_mins(1)).await;
    let FileDecision::File(again) = file(path, FileCredentials::Password(known(DEVICE)), true).await else {
        panic!("and gets it again");
    };
    assert_eq!(again, alice, "the same content was built at the same time");
    let FileDecision::File(bo) = file(path, FileCredentials::Subscriber(BO.id()), true).await else {
        panic!("a subscriber gets the file of his device");
    };
    let bo = String::from_utf8(bo.content).expect("UTF-8");
    assert!(bo.contains("bo_pc") && !bo.contains("alice"), "the path is the same, the file is not");
    let FileDecision::File(_) = file(path, FileCredentials::Password(known(OTHER_DEVICE)), true).await else {
        panic!("by password too");
    };

    let address = |text: &str| FileCredentials::HardwareAddress(text.to_owned());
    let FileDecision::File(proven) = file(path, address("0a1b2c3d4e5f"), true).await else {
        panic!("a device whose hardware address is proved gets its file");
    };
    assert_eq!(proven.content, alice.content);
    assert_eq!(file(path, address("0a1b2c3d4eff"), true).await, challenge, "an address that nobody has");
    assert_eq!(file("bc/pc/nothing.xml", address("0a1b2c3d4e5f"), true).await, FileDecision::NotFound);
    assert_eq!(file(path, address("0a1b2c3d4e5f"), false).await, challenge, "not in clear");

    // Without valid credentials an unknown file looks like a known one.
    let paths = [
        path,
        "bc/pc/nothing.xml",
        "nowhere/config-wxt.xml",
        "",
        "bc/pc/",
        "../../etc/passwd",
        "bc/pc/%2e%2e/x",
    ];
    for path in paths {
        let wrong = |user_name: &str, password: &str| {
            FileCredentials::Password(DeviceCredentials {
                user_name: user_name.into(),
                password: password.into(),
            })
        };
        for credentials in [
            FileCredentials::None,
            wrong(DEVICE.user_name, "wrong"),
            wrong(DEVICE.user_name, ""),
            wrong("nobody", ""),
            wrong(DEVICE.user_name, OTHER_DEVICE.password),
        ] {
            assert_eq!(file(path, credentials, true).await, challenge, "{path}");
        }
    }
    for path in &paths[1..] {
        assert_eq!(
            file(path, FileCredentials::Password(known(DEVICE)), true).await,
            FileDecision::NotFound,
            "{path}"
        );
        assert_eq!(
            file(path, FileCredentials::Subscriber(ALICE.id()), true).await,
            FileDecision::NotFound,
            "{path}"
        );
    }
    let other_type = "connect/mobile/config-wxt.xml";
    assert_eq!(
        file(other_type, FileCredentials::Password(known(DEVICE)), true).await,
        FileDecision::NotFound
    );
    assert_eq!(file(path, FileCredentials::Subscriber(CAROL.id()), true).await, FileDecision::NotFound);
    assert_eq!(file(path, FileCredentials::Password(known(DEVICE)), false).await, challenge, "not in clear");
}

/// Push registrations and their events.
pub async fn push_registrations(fixture: &dyn Fixture) {
    let (port, second) = (fixture.ports().push, fixture.second());
    let token = |token: &str| DeviceToken {
        token: token.to_owned(),
        kind: "VoIP".to_owned(),
        events: vec!["NEW_CALL".to_owned()],
    };
    let registration = |id: &str, tokens: Vec<DeviceToken>| PushRegistration {
        registration_id: id.to_owned(),
        application_id: "com.example.app".to_owned(),
        application_version: "1".to_owned(),
        device_os_type: "ios".to_owned(),
        device_os_version: "26".to_owned(),
        tokens,
    };
    let user = ALICE.id();
    let position = good(second.feed.position().await);
    assert!(good(port.registrations(&user).await).is_empty());
    let first = registration("one", vec![token("t1")]);
    good(port.put_registration(&user, &first).await);
    assert_eq!(good(second.push.registrations(&user).await), [first]);
    let replaced = registration("one", vec![token("t2"), token("t3")]);
    good(port.put_registration(&user, &replaced).await);
    assert_eq!(good(second.push.registrations(&user).await), [replaced]);
    assert!(good(port.registrations(&BO.id()).await).is_empty());
    for bad in [
        registration("", vec![token("t")]),
        registration(&"x".repeat(1_025), vec![token("t")]),
        registration("two", Vec::new()),
        registration("two", vec![token("")]),
        registration("two", vec![DeviceToken { kind: "Other".into(), ..token("t") }]),
    ] {
        invalid(port.put_registration(&user, &bad).await);
    }
    good(port.remove_registration(&user, "one").await);
    not_found(port.remove_registration(&user, "one").await);
    not_found(port.put_registration(&nobody(), &registration("one", vec![token("t")])).await);
    not_found(port.registrations(&nobody()).await);
    assert_eq!(told(&second, &ALICE, position).await, ["PushRegistrations"; 3]);
    let mut refused = None;
    for n in 0..101 {
        if let Err(error) =
            port.put_registration(&user, &registration(&n.to_string(), vec![token("t")])).await
        {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(PortError::LimitReached { .. })), "{refused:?}");
}

#[track_caller]
fn no_fault<T>(result: PortResult<T>) {
    if let Err(error @ (PortError::Internal(_) | PortError::Unavailable(_))) = result {
        panic!("a fault: {error:?}");
    }
}

/// Nothing that a client can write makes an adapter fault.
pub async fn garbage(fixture: &dyn Fixture) {
    let ports = fixture.ports();
    let long = "9".repeat(10_000);
    let texts = [
        "",
        " ",
        "\0",
        "'; DROP TABLE users; --",
        "%_*?[]",
        "\u{feff}\u{202e}💣",
        "tel:",
        "sip:@",
        "+",
        &long,
    ];
    for text in texts {
        let (user, call) = (UserId::new(text), CallId(text.to_owned()));
        let options = DialOptions {
            info: Some(text.to_owned()),
            correlation_id: Some(text.to_owned()),
            location: DialLocation::BroadWorksAnywhere,
            location_address: Some(text.to_owned()),
        };
        no_fault(ports.calls.dial(&ALICE.id(), text, &options).await);
        no_fault(ports.calls.dial(&user, BO.extension, &options).await);
        no_fault(ports.calls.pick_up(&ALICE.id(), &PickUp::Directed { address: text.to_owned() }).await);
        no_fault(ports.calls.pick_up(&user, &PickUp::Parked { address: text.to_owned() }).await);
        not_found(ports.calls.confer(&ALICE.id(), &ConferenceAction::Add(call.clone())).await);
        no_fault(ports.calls.overview(&user).await);
        not_found(ports.calls.call(&ALICE.id(), &call).await);
        for action in [
            CallAction::Talk,
            CallAction::BlindTransfer { address: text.to_owned() },
            CallAction::ConsultTransfer { other: call.clone() },
        ] {
            not_found(ports.calls.act(&ALICE.id(), &call, &action).await);
        }
        no_fault(ports.calls.call_log(&ALICE.id(), CallLogKind::Placed, 0, usize::MAX).await);
        no_fault(ports.calls.call_log(&user, CallLogKind::Placed, usize::MAX, 0).await);
        no_fault(ports.directory.profile(&user).await);
        let terms = vec![search(text, &[text], true), search("name", &[text, "*"], true)];
        let far = DirectoryQuery::page(usize::MAX, usize::MAX);
        let query = DirectoryQuery { terms, any_term: true, ..far.clone() };
        no_fault(ports.directory.directory(&ALICE.id(), DirectoryScope::Enterprise, &query).await);
        for list in [PhoneList::Enterprise, PhoneList::Group, PhoneList::Personal] {
            no_fault(ports.directory.phone_list(&ALICE.id(), list, &query).await);
        }
        no_fault(ports.directory.custom_directory(&ALICE.id(), text, &query).await);
        let sort = DirectoryQuery { sort: Some(text.to_owned()), ..far };
        no_fault(ports.directory.directory(&ALICE.id(), DirectoryScope::Group, &sort).await);
        no_fault(ports.directory.organisation_exists(text, Some(text)).await);
        no_fault(ports.devices.devices(&user).await);
        let credentials = FileCredentials::Password(DeviceCredentials {
            user_name: text.to_owned(),
            password: text.to_owned(),
        });
        no_fault(ports.devices.file(&FileRequest { path: text.to_owned(), secure: true, credentials }).await);
        no_fault(ports.push.remove_registration(&ALICE.id(), text).await);
        not_found(ports.messages.message(&ALICE.id(), text).await);
        not_found(ports.messages.mark(&ALICE.id(), Some(text), true).await);
        not_found(ports.messages.remove(&ALICE.id(), text).await);
        not_found(ports.messages.messages(&user).await);
        no_fault(ports.subscriptions.remove_channel(text).await);
        not_found(ports.subscriptions.subscription(text).await);
        no_fault(ports.feed.read(u64::MAX, usize::MAX).await);
    }
    for person in SUBSCRIBERS {
        good(ports.directory.profile(&person.id()).await);
    }
}
