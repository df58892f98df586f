//! Documents that are none.

use crate::{ACTIONS, EVENTS, Report, error_info, lab, user};
use anyhow::{Result, ensure};
use openadp_suite::Plain;

const NAMESPACE: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";

fn nested(open: &str, count: usize) -> Vec<u8> {
    open.repeat(count).into_bytes()
}

#[test]
fn bad_documents_are_refused_in_the_form_of_xsi() -> Result<()> {
    let (lab, plain) = lab()?;
    let alice = lab.subscriber(0);
    let service = user(&alice, "services/DoNotDisturb");
    let laughs = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"ha\">{}]><DoNotDisturb {NAMESPACE}><active>&j;</active></DoNotDisturb>",
        ('b'..='j')
            .map(|name| {
                let before = char::from_u32(u32::from(name) - 1).unwrap_or('a');
                format!("<!ENTITY {name} \"{}\">", format!("&{before};").repeat(10))
            })
            .collect::<String>()
    );
    let attributes: String = (0..5_000).map(|number| format!(" a{number}=\"1\"")).collect();
    let bodies: Vec<(&str, Vec<u8>, u16)> = vec![
        ("cut", b"<DoNotDisturb".to_vec(), 400),
        ("unclosed", format!("<DoNotDisturb {NAMESPACE}><active>true</active>").into_bytes(), 400),
        ("crossed", format!("<DoNotDisturb {NAMESPACE}><active>true</DoNotDisturb></active>").into_bytes(), 400),
        ("two roots", format!("<DoNotDisturb {NAMESPACE}/><DoNotDisturb {NAMESPACE}/>").into_bytes(), 400),
        ("wrong root", format!("<CallForwardingAlways {NAMESPACE}/>").into_bytes(), 400),
        ("wrong value", format!("<DoNotDisturb {NAMESPACE}><active>perhaps</active></DoNotDisturb>").into_bytes(), 400),
        ("nothing", Vec::new(), 400),
        ("a form", b"active=true".to_vec(), 400),
        ("binary", vec![0, 1, 2, 255, 254], 400),
        ("NUL in it", b"<DoNotDisturb>\0</DoNotDisturb>".to_vec(), 400),
        ("invalid UTF-8", b"<DoNotDisturb><active>\xff\xfe\xc3\x28</active></DoNotDisturb>".to_vec(), 400),
        ("overlong UTF-8", b"<DoNotDisturb><active>\xc0\xaf</active></DoNotDisturb>".to_vec(), 400),
        ("UTF-16", "<DoNotDisturb/>".encode_utf16().flat_map(u16::to_le_bytes).collect(), 400),
        ("unknown encoding", b"<?xml version=\"1.0\" encoding=\"EBCDIC\"?><DoNotDisturb/>".to_vec(), 400),
        ("billion laughs", laughs.into_bytes(), 400),
        ("external entity", b"<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><DoNotDisturb><active>&x;</active></DoNotDisturb>".to_vec(), 400),
        ("parameter entity", b"<!DOCTYPE d [<!ENTITY % x SYSTEM \"http://127.0.0.1:1/x\"> %x;]><DoNotDisturb/>".to_vec(), 400),
        ("external subset", b"<!DOCTYPE d SYSTEM \"http://127.0.0.1:1/x.dtd\"><DoNotDisturb/>".to_vec(), 400),
        ("unknown entity", b"<DoNotDisturb><active>&nbsp;</active></DoNotDisturb>".to_vec(), 400),
        ("character reference", b"<DoNotDisturb><active>&#0;</active></DoNotDisturb>".to_vec(), 400),
        ("nested elements", nested("<a>", 80_000), 413),
        ("nested elements within the bytes", nested("<a>", 1_000), 413),
        ("many attributes", format!("<DoNotDisturb{attributes}/>").into_bytes(), 413),
        ("long text", format!("<DoNotDisturb><active>{}</active></DoNotDisturb>", "t".repeat(100_000)).into_bytes(), 413),
        ("many elements", format!("<DoNotDisturb>{}</DoNotDisturb>", "<a/>".repeat(60_000)).into_bytes(), 413),
        ("large", vec![b'<'; 300_000], 413),
        ("larger than the container takes", vec![b'<'; 1_100_000], 413),
        ("JSON cut", b"{\"DoNotDisturb\":{\"active\"".to_vec(), 400),
        ("JSON of another shape", b"{\"DoNotDisturb\":[1,2,{\"active\":null}]}".to_vec(), 400),
        ("JSON with two of one name", b"{\"DoNotDisturb\":{\"active\":{\"$\":\"true\"},\"active\":{\"$\":\"false\"}}}".to_vec(), 400),
        ("JSON with half a surrogate", b"{\"DoNotDisturb\":{\"active\":{\"$\":\"\\ud800\"}}}".to_vec(), 400),
        ("JSON in invalid UTF-8", b"{\"DoNotDisturb\":{\"active\":{\"$\":\"\xff\"}}}".to_vec(), 400),
        ("JSON nested objects", [b"{\"DoNotDisturb\":".to_vec(), nested("{\"a\":", 50_000)].concat(), 413),
        ("JSON nested arrays", [b"{\"DoNotDisturb\":".to_vec(), nested("[", 100_000)].concat(), 413),
        ("JSON large", [b"{\"DoNotDisturb\":\"".to_vec(), vec![b'x'; 300_000]].concat(), 413),
    ];
    let refused = |what: &str, body: &[u8], status: u16| {
        let answer = error_info(what, plain.request_as(&alice, "PUT", &service, body)?, status)?;
        ensure!(!answer.body.contains("root:"), "a file came back: {answer:?}");
        // The same from a client that has no idea of its type: the first byte decides.
        if body.len() < 1_000 && !body.is_empty() {
            for content_type in
                ["Content-Type: image/png", "Content-Type: application/json", "Content-Type: ;;=/"]
            {
                let headers = [&*Plain::basic(&alice), content_type];
                error_info(content_type, plain.request("PUT", &service, &headers, body)?, status)?;
            }
        }
        plain.others_are_served()
    };
    let mut report = Report::default();
    for (what, body, status) in bodies {
        report.note(what, refused(what, &body, status));
    }
    report.end()?;

    // The same walls on Xsi-Events, where a channel would stay open if one let it through.
    for (what, body, status) in [
        ("no channel", "", 400),
        ("cut channel", "<Channel", 400),
        ("wrong root", "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"/>", 400),
        ("DTD", "<!DOCTYPE Channel><Channel xmlns=\"http://schema.broadsoft.com/xsi\"/>", 400),
    ] {
        for path in [format!("{EVENTS}/channel"), format!("/com.broadsoft.async{EVENTS}/channel")] {
            error_info(what, plain.request_as(&alice, "POST", &path, body)?, status)?;
        }
    }
    for (what, body, status) in [
        (
            "unknown package",
            format!(
                "<Subscription {NAMESPACE}><event>No Such Thing</event><channelSetId>s</channelSetId></Subscription>"
            ),
            400,
        ),
        (
            "no package",
            format!("<Subscription {NAMESPACE}><channelSetId>s</channelSetId></Subscription>"),
            400,
        ),
        (
            "expires is no number",
            format!(
                "<Subscription {NAMESPACE}><event>Advanced Call</event><expires>soon</expires><channelSetId>s</channelSetId></Subscription>"
            ),
            400,
        ),
        (
            "no such channel set",
            format!(
                "<Subscription {NAMESPACE}><event>Advanced Call</event><channelSetId>nobody's</channelSetId></Subscription>"
            ),
            403,
        ),
    ] {
        let path = format!("{EVENTS}/user/{}", alice.user_id);
        error_info(what, plain.request_as(&alice, "POST", &path, body)?, status)?;
    }

    // A right document does what it says, whatever type its client names: nothing of the above left a trace.
    let body = format!("<DoNotDisturb {NAMESPACE}><active>true</active></DoNotDisturb>");
    let headers = [Plain::basic(&alice), "Content-Type: text/plain".to_owned()];
    plain.request("PUT", &service, &[&headers[0], &headers[1]], body)?.expect_status(200)?;
    let now = plain.request_as(&alice, "GET", &service, "")?.expect_status(200)?;
    ensure!(now.text_of("active") == Some("true"), "{now:?}");
    plain.request("GET", &format!("{ACTIONS}/versions"), &[&headers[0]], "")?.expect_status(200)?;
    Ok(())
}
