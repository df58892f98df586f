//! Files of devices: well-formed whatever the names, tags by level.

mod support;

use openadp_appserver::conformance::{ALICE, CAROL, DEVICE, Fixture as _};
use openadp_appserver::{FileCredentials, FileDecision, FileRequest};
use openadp_appserver_embedded::TagScope;
use support::Node;

const SIP_TYPES: &str = "AS_CLI/System/DeviceType/SIP";

/// Whether every element that is opened is closed, in order, and no stray markup is left.
fn is_well_formed(text: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        if before.contains('>') {
            return false;
        }
        let Some((tag, behind)) = after.split_once('>') else { return false };
        rest = behind;
        if tag.contains('<') || tag.matches('"').count() % 2 == 1 {
            return false;
        }
        if tag.starts_with('?') || tag.starts_with("!--") || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => {}
            Some(_) => return false,
            None => open.push(tag.split_whitespace().next().unwrap_or_default()),
        }
    }
    open.is_empty() && !rest.contains('>')
}

#[tokio::test]
async fn every_shipped_file_is_well_formed_whatever_the_names() {
    let node = Node::new().await;
    let provisioning = node.one.server.provisioning();
    let types = [
        ("Business Communicator - PC", "bc/pc/config-wxt.xml"),
        ("Connect - Mobile", "connect/mobile/config-wxt.xml"),
        ("Connect - Tablet", "connect/tablet/config-wxt.xml"),
    ];
    for (index, (device_type, path)) in types.into_iter().enumerate() {
        let mut device = support::device(&CAROL, &DEVICE);
        device.name = format!("<!-- {index} --> & \"quoted\" -- 'x'");
        device.user_name = format!("carol{index}");
        device.sip_user_name = "a&b<c>%BWHOST-1%".to_owned();
        device.device_type = device_type.to_owned();
        provisioning.put_device(&device).await.expect("made");
        let request = FileRequest {
            path: path.to_owned(),
            secure: true,
            credentials: FileCredentials::Subscriber(CAROL.id()),
        };
        let decision = node.ports().devices.file(&request).await.expect("decided");
        let FileDecision::File(file) = decision else { panic!("{device_type}: {decision:?}") };
        let text = String::from_utf8(file.content).expect("UTF-8");
        assert!(is_well_formed(&text), "{text}");
        assert!(text.contains("Muñoz &amp; Söhne"), "{text}");
        assert!(text.contains("a&amp;b&lt;c&gt;%BWHOST-1%"), "values are not looked through for tags");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_nearest_level_of_a_tag_wins() {
    let node = Node::new().await;
    let provisioning = node.one.server.provisioning();
    let (provider, group) = (ALICE.provider.to_owned(), ALICE.group.to_owned());
    let (pc, other) = (Some("Business Communicator - PC"), Some("Connect - Mobile"));
    let device = TagScope::Device {
        provider: provider.clone(),
        group: group.clone(),
        name: format!("{}-desktop", DEVICE.user_name),
    };
    let steps = [
        (TagScope::System, None, "https://system.example/"),
        (TagScope::System, pc, "https://type.example/"),
        (TagScope::ServiceProvider { provider: provider.clone() }, None, "https://provider.example/"),
        (
            TagScope::Group { provider: provider.clone(), group: group.clone() },
            None,
            "https://group.example/",
        ),
        (TagScope::Group { provider, group }, pc, "https://grouptype.example/"),
        (device, None, "https://device.example/"),
    ];
    let root = async || {
        let request = FileRequest {
            path: "bc/pc/config-wxt.xml".to_owned(),
            secure: true,
            credentials: FileCredentials::Subscriber(ALICE.id()),
        };
        let FileDecision::File(file) = node.ports().devices.file(&request).await.expect("decided") else {
            panic!("a file")
        };
        let text = String::from_utf8(file.content).expect("UTF-8");
        text.split("<root>").nth(1).and_then(|rest| rest.split('<').next()).expect("root").to_owned()
    };
    for (scope, device_type, value) in steps {
        provisioning.put_tag(&scope, device_type, "XSI_ROOT_WXT", value).await.expect("set");
        provisioning.put_tag(&scope, other, "XSI_ROOT_WXT", "https://wrong.example/").await.expect("set");
        assert_eq!(root().await, value);
    }
    for bad in ["", "BWHOST-1", "lower", "A B", "%", &"X".repeat(65)] {
        provisioning.put_tag(&TagScope::System, None, bad, "x").await.expect_err("refused");
    }
    node.stop().await;
}

#[tokio::test]
async fn device_types_are_found_where_operators_put_them() {
    let node = Node::new().await;
    let pc = "Business Communicator - PC";
    let set = |values: &[(&str, &str)]| support::try_set_row(&node.settings, SIP_TYPES, pc, values);
    let file = async |path: &str| {
        let request = FileRequest {
            path: path.to_owned(),
            secure: true,
            credentials: FileCredentials::Subscriber(ALICE.id()),
        };
        node.ports().devices.file(&request).await.expect("decided")
    };
    let url = async || {
        let devices = node.ports().devices.devices(&ALICE.id()).await.expect("listed");
        devices.into_iter().find(|device| device.device_type == pc).and_then(|device| device.type_url)
    };
    assert_eq!(url().await.as_deref(), Some("https://dms.acme.example:8443/dms/bc/pc/"));

    set(&[("deviceAccessURI", "desk/app"), ("deviceAccessContextName", "files")]).expect("accepted");
    assert_eq!(url().await.as_deref(), Some("https://dms.acme.example:8443/files/desk/app/"));
    assert!(matches!(file("desk/app/config-wxt.xml").await, FileDecision::File(_)));
    assert!(!matches!(file("bc/pc/config-wxt.xml").await, FileDecision::File(_)));

    for bad in ["/", "../etc", "a b", "connect/mobile/", "connect/tablet"] {
        let refused = set(&[("deviceAccessURI", bad)]).expect_err(bad);
        assert!(refused.to_string().contains("deviceAccessURI"), "{refused}");
    }
    set(&[("deviceAccessContextName", "a//b")]).expect_err("empty part");
    node.stop().await;
}
