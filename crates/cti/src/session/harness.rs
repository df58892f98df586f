//! A server over the embedded application server, and a client on a stream in memory.

use super::connection::End;
use super::{Peer, Shared, serve};
use crate::wire::Framer;
use crate::{CertificateAuthentication, ClientIdentity, MODULES};
use openadp_appserver::{AdminLevel, Ports, SystemClock, UserId};
use openadp_appserver_embedded::{EmbeddedApplicationServer, NewAdministrator, NewSubscriber, Options};
use openadp_keystore::KeyStore;
use openadp_settings::{Author, Change, Edit, Registry, Secret, Settings, Store};
use openadp_wake::Wake;
use openadp_webcontainer::Authenticator;
use openadp_xsi_api::XsiApi;
use openadp_xsi_schema::{Element, ReadLimits, read_xml};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Nothing here takes longer unless it is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const ALICE: &str = "alice@example.net";
pub(super) const BO: &str = "bo@example.net";
pub(super) const OPS: &str = "ops@example.net";
pub(super) const PASSWORD: &str = "secret";
pub(super) const CLIENT: &str = "cti.lab.invalid";

pub(super) struct Lab {
    pub(super) shared: Arc<Shared>,
    pub(super) ports: Ports,
    pub(super) store: Arc<Store>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    pub(super) _dir: tempfile::TempDir,
}

impl Lab {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let modules = MODULES.iter().copied().chain([
            openadp_appserver_embedded::MODULE,
            openadp_keystore::MODULE,
            openadp_listener::MODULE,
            openadp_webcontainer::MODULE,
            openadp_tls::MODULE,
        ]);
        let store = Store::in_memory(Registry::new(modules).expect("declared well"));
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let clock = Arc::new(SystemClock);
        let server = EmbeddedApplicationServer::open(Options {
            data_dir: dir.path().to_owned(),
            wake: Wake::in_process(),
            clock: clock.clone(),
            settings: store.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            push_sender: None,
        })
        .await
        .expect("opened");
        let provisioning = server.provisioning();
        provisioning.put_provider("acme", true).await.expect("provider");
        provisioning.put_group("acme", "north").await.expect("group");
        for (user, extension) in [(ALICE, "1001"), (BO, "1002")] {
            let subscriber = NewSubscriber {
                user_id: UserId::new(user),
                provider: "acme".into(),
                group: "north".into(),
                first_name: "A".into(),
                last_name: "B".into(),
                number: None,
                extension: Some(extension.into()),
                country_code: "1".into(),
                mobile: None,
                email_address: None,
                title: None,
                department: None,
                time_zone: None,
                password: Secret::new(PASSWORD),
            };
            provisioning.put_subscriber(&subscriber).await.expect("subscriber");
        }
        let administrator = NewAdministrator {
            user_id: UserId::new(OPS),
            level: AdminLevel::System,
            password: Secret::new(PASSWORD),
        };
        provisioning.put_administrator(&administrator).await.expect("administrator");
        let ports = server.ports();
        let keystore = KeyStore::open(dir.path(), store.machine_key().clone()).expect("a key ring");
        let api = XsiApi::new(openadp_xsi_api::Deps {
            ports: ports.clone(),
            store: store.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            contacts: None,
        });
        let authenticator = Authenticator::new(&store, keystore, Some(ports.credentials.clone()), clock);
        let shared = Arc::new(Shared {
            api,
            authenticator,
            lock: openadp_webcontainer::ServiceLock::default(),
            store: store.clone(),
            settings: store.live(),
        });
        Self { shared, ports, store, tasks, shutdown, _dir: dir }
    }

    pub(super) fn change(&self, edits: Vec<Edit>) {
        let change = Change { author: Author("test".into()), comment: None, edits, force: false };
        self.store.commit(&change, time::OffsetDateTime::UNIX_EPOCH).expect("accepted");
    }

    pub(super) fn set<T: Settings>(&self, name: &str, value: &str) {
        self.change(vec![Edit::Set {
            context: T::CONTEXT.full_path(),
            key: Vec::new(),
            values: [(name.to_owned(), Some(value.to_owned()))].into(),
        }]);
    }

    pub(super) fn allow_client(&self) {
        self.set::<CertificateAuthentication>("allowClientApp", "true");
        self.change(vec![Edit::Add {
            context: ClientIdentity::CONTEXT.full_path(),
            values: [("commonName".to_owned(), CLIENT.to_owned())].into(),
        }]);
    }

    pub(super) fn connect(&self) -> Client {
        self.connect_as(Peer::default(), 1024 * 1024)
    }

    pub(super) fn connect_with_certificate(&self, name: &str) -> Client {
        self.connect_as(
            Peer { certified: true, common_name: Some(name.into()), ..Peer::default() },
            1024 * 1024,
        )
    }

    pub(super) fn connect_as(&self, peer: Peer, buffer: usize) -> Client {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let drain = CancellationToken::new();
        let serving = self.tasks.spawn(serve(self.shared.clone(), ours, peer, drain.clone()));
        Client {
            stream: theirs,
            serving,
            drain,
            framer: Framer::new(16 * 1024 * 1024, 100),
            messages: VecDeque::new(),
            next: 0,
        }
    }

    pub(super) async fn end(self) {
        self.shutdown.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("everything ends");
    }
}

pub(super) struct Client {
    pub(super) stream: DuplexStream,
    pub(super) serving: JoinHandle<End>,
    pub(super) drain: CancellationToken,
    pub(super) framer: Framer,
    pub(super) messages: VecDeque<Element>,
    pub(super) next: u32,
}

impl Client {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("written");
    }

    /// The next message; `None` when the connection is closed.
    pub(super) async fn message(&mut self) -> Option<Element> {
        let mut buffer = [0; 4096];
        while self.messages.is_empty() {
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("in time");
            let count = read.expect("read");
            if count == 0 {
                return None;
            }
            let mut documents = Vec::new();
            self.framer.feed(&buffer[..count], &mut documents).expect("documents");
            for document in documents {
                assert!(
                    document.starts_with(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><xsp:"),
                    "{document:?}"
                );
                assert!(
                    !document.windows(2).any(|pair| pair == b"/>"),
                    "empty elements are pairs: {document:?}"
                );
                self.messages.push_back(read_xml(&document, &ReadLimits::default()).expect("well-formed"));
            }
        }
        self.messages.pop_front()
    }

    pub(super) async fn response(&mut self) -> (u16, Element) {
        let message = self.message().await.expect("a response");
        assert_eq!(message.name, "response", "{message:?}");
        (message.child_text("statusCode").and_then(|text| text.parse().ok()).expect("a status"), message)
    }

    pub(super) async fn event(&mut self) -> Event {
        let message = self.message().await.expect("an event");
        assert_eq!(message.name, "event", "{message:?}");
        let event =
            message.child("payload").and_then(|payload| payload.child("Event")).expect("an event").clone();
        let text = |name: &str| event.child_text(name).unwrap_or_default().to_owned();
        Event {
            message: message.child_text("requestId").expect("an id").to_owned(),
            id: text("eventID"),
            sequence: text("sequenceNumber"),
            kind: event
                .child("eventData")
                .and_then(Element::type_name)
                .or_else(|| event.type_name())
                .unwrap_or_default()
                .to_owned(),
            document: event,
        }
    }

    /// The next event, answered with a status.
    pub(super) async fn answer_event(&mut self, status: u16) -> Event {
        let event = self.event().await;
        let answer = format!(
            "<xsp:eventResponse xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"17.0\"><requestId>{}</requestId>\
             <xsp:payload><EventResponse xmlns=\"http://schema.broadsoft.com/xsi\"><eventID>{}</eventID><statusCode>{status}</statusCode>\
             <reason>OK</reason></EventResponse></xsp:payload></xsp:eventResponse>\0\r\n",
            event.message, event.id
        );
        self.send(&answer).await;
        event
    }

    pub(super) async fn request(&mut self, credentials: &str, call: &Call<'_>) -> (u16, Element) {
        let id = self.send_request(credentials, call).await;
        let (status, message) = self.response().await;
        assert_eq!(message.child_text("requestId"), Some(id.as_str()));
        (status, message)
    }

    pub(super) async fn send_request(&mut self, credentials: &str, call: &Call<'_>) -> String {
        self.next += 1;
        let Call { wrapper, method, uri, params, payload } = call;
        let text = format!(
            "<xsp:request xmlns:xsp=\"http://schema.broadsoft.com/XspXMLInterface\" version=\"18.0\"><requestId>{}</requestId>\
             <sessionId>s</sessionId>{credentials}<cti:{wrapper} xmlns:cti=\"http://schema.broadsoft.com/CTI\"><uri>{uri}</uri>\
             <method>{method}</method><version></version><params>{params}</params><payload>{payload}</payload></cti:{wrapper}></xsp:request>",
            self.next
        );
        self.send(&text).await;
        self.next.to_string()
    }

    /// Waits until the server has closed.
    pub(super) async fn closed(mut self) -> End {
        while self.message().await.is_some() {}
        tokio::time::timeout(PATIENCE, self.serving).await.expect("in time").expect("no panic")
    }

    pub(super) async fn open_channel(&mut self, credentials: &str) -> u16 {
        let payload = "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>set</channelSetId><expires>7200</expires></Channel>";
        let (status, _) = self
            .request(
                credentials,
                &Call {
                    wrapper: "AddChannelRequest",
                    method: "POST",
                    uri: "/com.broadsoft.xsi-events/v2.0/channel",
                    payload,
                    ..Call::default()
                },
            )
            .await;
        status
    }

    pub(super) async fn subscribe(&mut self, credentials: &str, user: &str) -> (u16, Element) {
        let payload = "<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Advanced Call</event><expires>86400</expires><channelSetId>set</channelSetId></Subscription>";
        self.request(
            credentials,
            &Call {
                wrapper: "AddUserSubscriptionRequest",
                method: "POST",
                uri: "/com.broadsoft.xsi-events/v2.0/user/%userId%",
                params: &format!("<userId>{user}</userId>"),
                payload,
            },
        )
        .await
    }
}

#[derive(Default)]
pub(super) struct Call<'a> {
    pub(super) wrapper: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) params: &'a str,
    pub(super) payload: &'a str,
}

pub(super) struct Event {
    pub(super) message: String,
    pub(super) id: String,
    pub(super) sequence: String,
    pub(super) kind: String,
    pub(super) document: Element,
}

/// `ops@example.net:secret` and the like.
pub(super) fn basic(user: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
    format!("<credentials>{encoded}</credentials>")
}

pub(super) fn calls(user: &str) -> Call<'_> {
    Call {
        wrapper: "RetrieveCallIdInfoListRequest",
        method: "GET",
        uri: "/com.broadsoft.xsi-actions/v2.0/user/%subscriberid%/calls",
        params: user,
        ..Call::default()
    }
}

pub(super) const ALICE_PARAM: &str = "<subscriberId>alice@example.net</subscriberId>";
pub(super) const BO_PARAM: &str = "<subscriberId>bo@example.net</subscriberId>";
