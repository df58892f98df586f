//! The edge over a fake application server: two devices share one URL.

use crate::http::{Edge, Proofs, router};
use crate::service::{Access, Denied, Shown, Tokens};
use crate::settings::MODULE;
use ::http::{Request, StatusCode, header};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use http_body_util::BodyExt as _;
use openadp_appserver::{
    AccessDevice, DeviceFile, Devices, FileChallenge, FileCredentials, FileDecision, FileRequest, PortError,
    PortResult, UserId,
};
use openadp_listener::TlsInfo;
use openadp_settings::{Author, Change, Edit, Registry, Store};
use openadp_tls::{InterfaceRef, PeerIdentity};
use openadp_webcontainer::ConnectionInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tower::ServiceExt as _;

const FILE: &str = "bc/pc/config-wxt.xml";

#[derive(Default)]
struct Fake {
    down: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl Devices for Fake {
    async fn devices(&self, _user: &UserId) -> PortResult<Vec<AccessDevice>> {
        Ok(Vec::new())
    }
    async fn file(&self, request: &FileRequest) -> PortResult<FileDecision> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(PortError::Unavailable("no connection".into()));
        }
        let owner = match &request.credentials {
            FileCredentials::None => None,
            FileCredentials::Password(given) => {
                (given.password == "right").then(|| given.user_name.trim_end_matches("_pc").to_owned())
            }
            FileCredentials::Subscriber(user) => Some(user.as_str().to_owned()),
            FileCredentials::HardwareAddress(address) => {
                (address == "0a1b2c3d4e5f").then(|| "desk".to_owned())
            }
        };
        let Some(owner) = owner else { return Ok(FileDecision::Challenge(FileChallenge::Password)) };
        if !request.secure || request.path != FILE {
            return Ok(FileDecision::NotFound);
        }
        Ok(FileDecision::File(DeviceFile {
            name: "config-wxt.xml".to_owned(),
            content: format!("<config><user>{owner}</user></config>").into_bytes(),
            content_type: "text/xml; charset=utf-8",
            confidential: owner != "open",
            built_at: 784_111_777_000,
        }))
    }
}

#[async_trait]
impl Tokens for Fake {
    async fn owner(&self, token: &str, _secure: bool) -> Result<FileCredentials, Denied> {
        match token {
            "good" => Ok(FileCredentials::Subscriber(UserId::new("alice"))),
            "activated" => Ok(FileCredentials::HardwareAddress("0a1b2c3d4e5f".to_owned())),
            "slow" => Err(Denied::Unavailable("no connection".into())),
            _ => Err(Denied::Challenge(Shown::Token)),
        }
    }
}

fn app() -> (Router, Arc<Fake>) {
    app_with(&[])
}

/// With rows (context below `Authentication`, values) that are set, or added where there is no row to set.
fn app_with(settings: &[(&str, &[(&str, &str)])]) -> (Router, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let store = Store::in_memory(Registry::new([MODULE]).unwrap());
    for (context, values) in settings {
        let path = format!("ADP_CLI/Applications/BroadworksDms/AccessControl/Authentication/{context}");
        let pairs = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let edit = if context.ends_with("Sources") {
            Edit::Add { context: path, values: pairs.collect() }
        } else {
            let values = pairs.map(|(name, value)| (name, Some(value))).collect();
            Edit::Set { context: path, key: Vec::new(), values }
        };
        let change = Change { author: Author("test".into()), comment: None, edits: vec![edit], force: false };
        store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    }
    let access = Access { devices: fake.clone(), tokens: fake.clone() };
    let proofs = Arc::new(Proofs::new(&store));
    (router(Edge { access, control: store.live(), failures: Arc::default(), proofs }), fake)
}

fn info(secure: bool) -> Arc<ConnectionInfo> {
    let local = "127.0.0.1:8443".parse().unwrap();
    Arc::new(ConnectionInfo {
        connection_id: 1,
        interface: InterfaceRef::http("127.0.0.1".parse().unwrap(), 8443),
        local,
        peer: "192.0.2.7:40000".parse().unwrap(),
        tls: secure.then(|| TlsInfo {
            alpn: None,
            cipher_suite: "TLS_AES_128_GCM_SHA256".to_owned(),
            client: None,
            sni: None,
            version: "TLSv1.3",
        }),
    })
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

async fn ask(app: &Router, method: &str, path: &str, headers: &[(header::HeaderName, &str)]) -> Response {
    ask_over(app, method, path, headers, true).await
}

async fn ask_over(
    app: &Router,
    method: &str,
    path: &str,
    headers: &[(header::HeaderName, &str)],
    secure: bool,
) -> Response {
    let mut request = Request::builder().method(method).uri(path).extension(info(secure));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn header(response: &Response, name: header::HeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

async fn body(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const PATH: &str = "/bc/pc/config-wxt.xml";
const PATTERN: (&str, &str) = ("identityPattern", "macaddress:.*([0-9a-fA-F]{12}).*");

#[tokio::test]
async fn a_header_counts_from_trusted_sources_alone() {
    let on: &[(&str, &str)] = &[("enable", "true"), PATTERN];
    let known = [(header::HeaderName::from_static("macaddress"), "0A:1B:2C:3D:4E:5F 0A1B2C3D4E5F")];
    for (settings, expected) in [
        (vec![("Headers", on)], 401),
        (vec![("Headers", on), ("Headers/TrustedSources", &[("network", "192.0.2.8")][..])], 401),
        (vec![("Headers", &[PATTERN][..]), ("Headers/TrustedSources", &[("network", "192.0.2.7")][..])], 401),
        (vec![("Headers", on), ("Headers/TrustedSources", &[("network", "192.0.2.0/24")][..])], 200),
    ] {
        let (app, _) = app_with(&settings);
        assert_eq!(ask(&app, "GET", PATH, &known).await.status().as_u16(), expected, "{settings:?}");
    }
    let (app, fake) = app_with(&[("Headers", on), ("Headers/TrustedSources", &[("network", "192.0.2.7")])]);
    let line = |value: &'static str| (header::HeaderName::from_static("macaddress"), value);
    let good = basic("alice_pc", "right");
    let password = (header::AUTHORIZATION, good.as_str());
    for (lines, expected) in [
        (vec![line("0a1b2c3d4e60")], 401),
        (vec![line("0a1b2c3d4e60"), password.clone()], 200),
        (vec![line("0a1b2c3d4e5f"), password.clone()], 200),
        (vec![password.clone()], 200),
    ] {
        assert_eq!(ask(&app, "GET", PATH, &lines).await.status().as_u16(), expected, "{lines:?}");
    }
    // What cannot be understood is not looked up, whatever else is shown.
    let asked = fake.asked.load(Ordering::SeqCst);
    for lines in
        [vec![line("nobody"), password.clone()], vec![line("0a1b2c3d4e5f"), line("0a1b2c3d4e60"), password]]
    {
        assert_eq!(ask(&app, "GET", PATH, &lines).await.status(), StatusCode::UNAUTHORIZED, "{lines:?}");
    }
    assert_eq!(fake.asked.load(Ordering::SeqCst), asked);
    assert_eq!(ask(&app, "GET", "/bc/pc/other.xml", &known).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_verified_certificate_tells_the_address_where_it_is_switched_on() {
    let named = |name: &str| {
        let mut info = (*info(true)).clone();
        if let Some(tls) = &mut info.tls {
            tls.client = Some(PeerIdentity {
                common_name: Some(name.to_owned()),
                fingerprint: String::new(),
                extended_key_usages: Vec::new(),
                issuer: "Maker".to_owned(),
                not_after: time::OffsetDateTime::UNIX_EPOCH,
            });
        }
        Arc::new(info)
    };
    let pattern = ("identityPattern", "SEP([0-9A-F]{12})");
    for (settings, name, expected) in [
        (&[("Certificates", &[("enable", "true"), pattern][..])][..], "SEP0A1B2C3D4E5F", 200),
        (&[("Certificates", &[("enable", "true"), pattern][..])][..], "SEP0A1B2C3D4E60", 401),
        (&[("Certificates", &[("enable", "true"), pattern][..])][..], "xSEP0A1B2C3D4E5F", 401),
        (&[("Certificates", &[pattern][..])][..], "SEP0A1B2C3D4E5F", 401),
        (&[][..], "SEP0A1B2C3D4E5F", 401),
    ] {
        let (app, _) = app_with(settings);
        let request = Request::get(PATH).extension(named(name)).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{settings:?} {name}");
    }
}

#[tokio::test]
async fn a_token_of_an_activated_device_gets_its_file() {
    let (app, _) = app();
    let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, "Bearer activated")]).await;
    assert!(body(response).await.contains("desk"));
}

#[tokio::test]
async fn the_same_url_gives_each_its_own_file() {
    let (app, _) = app();
    for user in ["alice", "bob"] {
        let authorization = basic(&format!("{user}_pc"), "right");
        let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &authorization)]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, header::CONTENT_TYPE), "text/xml; charset=utf-8");
        assert_eq!(header(&response, header::CACHE_CONTROL), "private, no-store");
        assert_eq!(header(&response, header::VARY), "Authorization");
        assert_eq!(header(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(header(&response, header::LAST_MODIFIED), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(body(response).await, format!("<config><user>{user}</user></config>"));
    }
    let open = basic("open_pc", "right");
    let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &open)]).await;
    assert_eq!(header(&response, header::CACHE_CONTROL), "private, no-cache");
}

#[tokio::test]
async fn token_first_then_password() {
    let (app, _) = app();
    for scheme in ["Bearer", "BroadWorksSSO"] {
        let good = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &format!("{scheme} good"))]).await;
        assert_eq!(good.status(), StatusCode::OK, "{scheme}");
        let bad = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &format!("{scheme} bad"))]).await;
        assert_eq!(bad.status(), StatusCode::UNAUTHORIZED, "{scheme}");
        assert_eq!(header(&bad, header::WWW_AUTHENTICATE), "Basic realm=\"BroadWorks\"");
    }
    let second = basic("alice_pc", "right");
    assert_eq!(ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &second)]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_credentials_nothing_shows_what_exists() {
    let (app, _) = app();
    let mut seen = Vec::new();
    for path in [PATH, "/bc/pc/other.xml", "/0a1b2c3d4e5f.cfg", "/", "/bc/pc/"] {
        for authorization in [None, Some(basic("alice_pc", "wrong")), Some("Bearer bad".to_owned())] {
            let headers: Vec<_> =
                authorization.iter().map(|text| (header::AUTHORIZATION, text.as_str())).collect();
            let response = ask(&app, "GET", path, &headers).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            let mut headers: Vec<_> = response.headers().iter().map(|(n, v)| format!("{n}: {v:?}")).collect();
            headers.sort();
            seen.push((headers, body(response).await));
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "all refusals are the same to the byte");
    let known = basic("alice_pc", "right");
    let response = ask(&app, "GET", "/bc/pc/other.xml", &[(header::AUTHORIZATION, &known)]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn conditions_count_only_for_those_who_may_have_the_file() {
    let (app, _) = app();
    let known = basic("alice_pc", "right");
    let first = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &known)]).await;
    let tag = header(&first, header::ETAG);
    assert!(tag.starts_with('"') && tag.len() == 34);
    let again =
        ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &known), (header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(header(&again, header::ETAG), tag);
    assert_eq!(body(again).await, "");
    let nobody = ask(&app, "GET", PATH, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    let bob = basic("bob_pc", "right");
    let other = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &bob), (header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(other.status(), StatusCode::OK, "another's file has another tag");
}

#[tokio::test]
async fn methods() {
    let (app, fake) = app();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "MKCOL", "PROPFIND"] {
        let response = ask(&app, method, PATH, &[]).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(header(&response, header::ALLOW), "GET, HEAD", "{method}");
    }
    assert_eq!(fake.asked.load(Ordering::SeqCst), 0);
    let known = basic("alice_pc", "right");
    let head = ask(&app, "HEAD", PATH, &[(header::AUTHORIZATION, &known)]).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(!header(&head, header::ETAG).is_empty());
}

#[tokio::test]
async fn bad_paths_never_reach_the_application_server() {
    let (app, fake) = app();
    let known = basic("alice_pc", "right");
    for path in
        ["/bc/%2e%2e/x", "/bc/..%2fx", "/bc/%252e", "/bc/x%00", "/bc/x;y", "/bc/%5cx", "/bc//x", "/%zz"]
    {
        let response = ask(&app, "GET", path, &[(header::AUTHORIZATION, &known)]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(fake.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn passwords_are_not_taken_without_tls() {
    let (app, _) = app();
    let known = basic("alice_pc", "right");
    let response = ask_over(&app, "GET", PATH, &[(header::AUTHORIZATION, &known)], false).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_application_server_that_is_down_is_503() {
    let (app, fake) = app();
    fake.down.store(true, Ordering::SeqCst);
    let known = basic("alice_pc", "right");
    let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &known)]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, header::RETRY_AFTER), "2");
    let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, "Bearer slow")]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn guessing_is_stopped_and_asking_without_credentials_is_not_guessing() {
    let (app, fake) = app();
    let wrong = basic("alice_pc", "wrong");
    for _ in 0..200 {
        assert_eq!(ask(&app, "GET", PATH, &[]).await.status(), StatusCode::UNAUTHORIZED);
        let expired = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, "Bearer bad")]).await;
        assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
    }
    for _ in 0..100 {
        let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &wrong)]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    let asked = fake.asked.load(Ordering::SeqCst);
    let response = ask(&app, "GET", PATH, &[(header::AUTHORIZATION, &basic("alice_pc", "right"))]).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(
        header(&response, header::RETRY_AFTER)
            .parse::<u64>()
            .is_ok_and(|seconds| (1..=60).contains(&seconds))
    );
    assert_eq!(fake.asked.load(Ordering::SeqCst), asked, "nothing is hashed for it");
}
