//! XSI over the embedded application server, without a socket.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openadp_appserver::{Account, AccountKind, AdminLevel, Ports, Principal, SystemClock, UserId};
use openadp_appserver_embedded::{
    EmbeddedApplicationServer, NewAdministrator, NewCallCenter, NewSubscriber, Options,
};
use openadp_settings::{Author, Change, Edit, Registry, Secret, Store};
use openadp_wake::Wake;
use openadp_xsi_api::{
    Application, ChannelTransport, ContactSender, Delivery, DeliveryKind, Deps, Method, OpenChannel, Reply,
    Request, XsiApi,
};
use openadp_xsi_schema::{ReadLimits, read_xml};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Nothing here takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Lab {
    pub(crate) api: XsiApi,
    pub(crate) ports: Ports,
    /// Takes what is posted to addresses.
    pub(crate) hook: Arc<Hook>,
    pub(crate) server: EmbeddedApplicationServer,
    pub(crate) store: Arc<Store>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    _dir: tempfile::TempDir,
}

pub(crate) const ALICE: &str = "alice@lab.example";
pub(crate) const BO: &str = "bo@lab.example";
pub(crate) const CAROL: &str = "carol@lab.example";
/// Of another service provider.
pub(crate) const EVE: &str = "eve@strangers.example";

/// Takes what is posted, as it is told to.
#[derive(Default)]
pub(crate) struct Hook {
    posted: Mutex<Vec<(String, String)>>,
    changed: Notify,
    /// Refuses so many before it takes one.
    pub(crate) refusals: AtomicUsize,
}

impl ContactSender for Hook {
    fn post(&self, uri: String, document: Bytes, _: Duration) -> BoxFuture<'static, bool> {
        let taken = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_err();
        let document = String::from_utf8(document.to_vec()).expect("UTF-8");
        self.posted.lock().expect("not poisoned").push((uri, document));
        self.changed.notify_one();
        Box::pin(async move { taken })
    }
}

impl Hook {
    /// The n-th that was posted, once it was.
    pub(crate) async fn posted(&self, n: usize) -> (String, String) {
        let wait = async {
            loop {
                if let Some(found) = self.posted.lock().expect("not poisoned").get(n) {
                    return found.clone();
                }
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("posted in time")
    }
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let registry = Registry::new([openadp_appserver_embedded::MODULE, openadp_xsi_api::MODULE])
            .expect("declared well");
        let store = Store::in_memory(registry);
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let server = EmbeddedApplicationServer::open(Options {
            data_dir: dir.path().to_owned(),
            wake: Wake::in_process(),
            clock: Arc::new(SystemClock),
            settings: store.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            push_sender: None,
        })
        .await
        .expect("opened");
        let provisioning = server.provisioning();
        provisioning.put_provider("acme", true).await.expect("provider");
        for group in ["north", "south"] {
            provisioning.put_group("acme", group).await.expect("group");
        }
        provisioning.put_provider("strangers", false).await.expect("provider");
        provisioning.put_group("strangers", "far").await.expect("group");
        for (n, (user, first, last, group)) in [
            (ALICE, "Alice", "Ng", "north"),
            (BO, "Bo", "Li", "north"),
            (CAROL, "Carol", "Øst", "south"),
            (EVE, "Eve", "Far", "far"),
        ]
        .into_iter()
        .enumerate()
        {
            provisioning
                .put_subscriber(&NewSubscriber {
                    user_id: UserId::new(user),
                    provider: if user == EVE { "strangers" } else { "acme" }.to_owned(),
                    group: group.to_owned(),
                    first_name: first.to_owned(),
                    last_name: last.to_owned(),
                    number: Some(format!("+1555010012{n}")),
                    extension: Some(format!("100{n}")),
                    country_code: "1".to_owned(),
                    mobile: None,
                    email_address: Some(user.to_owned()),
                    title: None,
                    department: None,
                    time_zone: None,
                    password: Secret::new("correct horse 1"),
                })
                .await
                .expect("subscriber");
        }
        provisioning
            .put_administrator(&NewAdministrator {
                user_id: UserId::new("north-admin@lab.example"),
                level: AdminLevel::Group { provider: "acme".to_owned(), group: "north".to_owned() },
                password: Secret::new("correct horse 1"),
            })
            .await
            .expect("administrator");
        let ports = server.ports();
        let hook = Arc::new(Hook::default());
        let api = XsiApi::new(Deps {
            ports: ports.clone(),
            store: store.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            contacts: Some(hook.clone()),
        });
        Self { api, ports, hook, server, store, tasks, shutdown, _dir: dir }
    }

    /// Another process over the same application server.
    pub(crate) fn second(&self) -> XsiApi {
        XsiApi::new(Deps {
            ports: self.ports.clone(),
            store: self.store.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
            contacts: Some(self.hook.clone()),
        })
    }

    /// Makes a subscriber a call centre with agents, and gives the enterprise an unavailable code.
    pub(crate) async fn call_center(&self, center: &str, agents: &[&str]) {
        let provisioning = self.server.provisioning();
        let center = NewCallCenter {
            user_id: UserId::new(center),
            queue_length: 5,
            longest_wait: 600,
            overflow_to: None,
            number_of_rings: 20,
            wrap_up: 0,
        };
        provisioning.put_call_center(&center).await.expect("made");
        for agent in agents {
            provisioning.put_agent(&center.user_id, &UserId::new(agent)).await.expect("added");
        }
        provisioning.put_unavailable_code("acme", "10", Some("Lunch")).await.expect("added");
    }

    pub(crate) fn set(&self, context: &str, name: &str, value: &str) {
        let edit = Edit::Set {
            context: format!("ADP_CLI/Applications/{context}"),
            key: Vec::new(),
            values: BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]),
        };
        let change =
            Change { author: Author("test".to_owned()), comment: None, edits: vec![edit], force: false };
        self.store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).expect("accepted");
    }

    pub(crate) fn add(&self, context: &str, values: &[(&str, &str)]) {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let edit = Edit::Add { context: format!("ADP_CLI/Applications/{context}"), values };
        let change =
            Change { author: Author("test".to_owned()), comment: None, edits: vec![edit], force: false };
        self.store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).expect("accepted");
    }

    pub(crate) async fn actions(
        &self,
        who: &Principal,
        method: Method,
        path: &str,
        document: &str,
    ) -> Answer {
        send(&self.api, Application::Actions, who, method, path, document).await
    }
    pub(crate) async fn events(&self, who: &Principal, method: Method, path: &str, document: &str) -> Answer {
        send(&self.api, Application::Events, who, method, path, document).await
    }
    pub(crate) async fn open(&self, who: &Principal, document: &str) -> Channel {
        open(&self.api, who, document).await
    }
}

#[expect(clippy::disallowed_methods, reason = "a test says who asks")]
fn account(user: &str, kind: AccountKind) -> Principal {
    Principal::of(Account { user_id: UserId::new(user), kind, password_expires_days: None })
}

pub(crate) fn subscriber(user: &str) -> Principal {
    let group = if user == CAROL { "south" } else { "north" };
    account(user, AccountKind::Subscriber { provider: "acme".to_owned(), group: group.to_owned() })
}

pub(crate) fn administrator() -> Principal {
    let level = AdminLevel::Group { provider: "acme".to_owned(), group: "north".to_owned() };
    account("north-admin@lab.example", AccountKind::Administrator(level))
}

pub(crate) fn provider_administrator() -> Principal {
    let level = AdminLevel::ServiceProvider { provider: "acme".to_owned() };
    account("acme-admin@lab.example", AccountKind::Administrator(level))
}

pub(crate) fn system_administrator() -> Principal {
    account("root@lab.example", AccountKind::Administrator(AdminLevel::System))
}

#[expect(clippy::disallowed_methods, reason = "a test says who asks")]
pub(crate) fn client() -> Principal {
    Principal::client_application("cti.lab.invalid".to_owned())
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) xml: String,
}

impl Answer {
    /// Text of the first element of a name.
    pub(crate) fn text(&self, name: &str) -> &str {
        text(&self.xml, name)
    }
}

pub(crate) fn text<'a>(xml: &'a str, name: &str) -> &'a str {
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once(name) {
        if let Some(end) = after.find(['<', '>'])
            && after[end..].starts_with('>')
            && after[..end].is_empty()
        {
            return after[end + 1..].split('<').next().unwrap_or_default();
        }
        rest = after;
    }
    ""
}

pub(crate) async fn send(
    api: &XsiApi,
    application: Application,
    principal: &Principal,
    method: Method,
    path: &str,
    document: &str,
) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let document = (!document.is_empty())
        .then(|| read_xml(document.as_bytes(), &ReadLimits::default()).expect("well formed"));
    let request = Request {
        application,
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        document,
        principal: principal.clone(),
    };
    let reply: Reply = api.dispatch(request).await;
    Answer {
        status: reply.status,
        xml: reply.document.as_ref().map(openadp_xsi_schema::Element::to_xml).unwrap_or_default(),
        headers: reply.headers.clone(),
    }
}

pub(crate) struct Channel {
    pub(crate) id: String,
    channel: OpenChannel,
}

pub(crate) async fn open(api: &XsiApi, who: &Principal, document: &str) -> Channel {
    let document = read_xml(document.as_bytes(), &ReadLimits::default()).expect("well formed");
    let channel = api.open_channel(who, Some(&document), ChannelTransport::Stream).await.expect("opened");
    Channel { id: channel.id().to_owned(), channel }
}

impl Channel {
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        loop {
            let delivery =
                tokio::time::timeout(PATIENCE, self.channel.next()).await.expect("a document in time");
            if !delivery.as_ref().is_some_and(|delivery| delivery.kind == DeliveryKind::Heartbeat) {
                return delivery;
            }
        }
    }
    /// The next document as text.
    pub(crate) async fn document(&mut self) -> String {
        let delivery = self.next().await.expect("not the end");
        String::from_utf8(delivery.bytes.to_vec()).expect("UTF-8")
    }
    /// Type of the next event's data, and the whole document; acknowledged.
    pub(crate) async fn event(&mut self, api: &XsiApi, who: &Principal) -> (String, String) {
        let xml = self.document().await;
        acknowledge(api, who, &xml, 200).await;
        let kind = xml
            .split_once("eventData xsi1:type=\"xsi:")
            .and_then(|(_, rest)| rest.split('"').next())
            .unwrap_or_default()
            .to_owned();
        (kind, xml)
    }
    /// The next events up to one of a type.
    pub(crate) async fn until(&mut self, api: &XsiApi, who: &Principal, last: &str) -> Vec<String> {
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != last) {
            kinds.push(self.event(api, who).await.0);
        }
        kinds
    }
}

pub(crate) async fn acknowledge(api: &XsiApi, who: &Principal, xml: &str, status: u16) {
    let event = text(xml, "eventID");
    let document =
        format!("<EventResponse><eventID>{event}</eventID><statusCode>{status}</statusCode></EventResponse>");
    let answer = send(api, Application::Events, who, Method::Post, "channel/eventresponse", &document).await;
    assert_eq!(answer.status, 200);
}

pub(crate) const CHANNEL: &str =
    "<Channel><channelSetId>set</channelSetId><applicationId>app</applicationId></Channel>";

pub(crate) fn subscription(event: &str) -> String {
    format!(
        "<Subscription><event>{event}</event><expires>3600</expires><channelSetId>set</channelSetId>\
         <applicationId>app</applicationId></Subscription>"
    )
}
