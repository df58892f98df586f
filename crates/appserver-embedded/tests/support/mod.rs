//! An installation with the people of the conformance suite, seen by two processes, under a clock that tests move.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::expect_used,
    reason = "helpers of tests; each test binary uses a part of them"
)]

use async_trait::async_trait;
use openadp_appserver::conformance::{
    ADMIN, ALICE, BO, DEVICE, Device, ENTERPRISE, Fixture, OTHER_DEVICE, Person, STRANGERS, SUBSCRIBERS,
};
use openadp_appserver::{
    AdminLevel, CallId, Clock, DeviceLevel, DeviceToken, DialOptions, PhoneList, PhoneListEntry, Ports,
    PushRegistration, ServiceKind, UserId,
};
use openadp_appserver_embedded::{
    EmbeddedApplicationServer, MODULE, NewAdministrator, NewCallCenter, NewDevice, NewSubscriber, Options,
    PhoneListOwner, PushSender, TagScope,
};
use openadp_settings::{Author, Change, Edit, Registry, Secret, Store};
use openadp_wake::Wake;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A clock that stands until it is moved.
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_795_000_000_000)))
    }
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("short"), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        let nanos = i128::from(self.0.load(Ordering::SeqCst)) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("in range")
    }
}

/// One process of the node.
pub(crate) struct Process {
    pub(crate) server: EmbeddedApplicationServer,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Process {
    pub(crate) async fn start(
        data_dir: &Path,
        settings: &Arc<Store>,
        clock: &Arc<ManualClock>,
        push_sender: Option<Arc<dyn PushSender>>,
    ) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let wake = Wake::join(data_dir, &tasks, shutdown.clone()).expect("joins");
        let server = EmbeddedApplicationServer::open(Options {
            data_dir: data_dir.to_owned(),
            wake,
            clock: clock.clone(),
            settings: settings.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            push_sender,
        });
        Self { server: server.await.expect("opens"), tasks, shutdown }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.server.close().await;
    }
}

pub(crate) fn settings() -> Arc<Store> {
    let settings = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
    set(
        &settings,
        "AS_CLI/System/DeviceAccess",
        &[
            ("deviceAccessFQDN", "dms.acme.example"),
            ("deviceAccessPort", "8443"),
            ("allowCredentialReadOut", "true"),
        ],
    );
    settings
}

pub(crate) fn set(settings: &Store, context: &str, values: &[(&str, &str)]) {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    let edit = Edit::Set { context: context.to_owned(), key: Vec::new(), values };
    let change = Change { author: Author("test".to_owned()), comment: None, edits: vec![edit], force: false };
    settings.commit(&change, OffsetDateTime::UNIX_EPOCH).expect("accepted");
}

/// Changes one row of a table.
pub(crate) fn try_set_row(
    settings: &Store,
    context: &str,
    key: &str,
    values: &[(&str, &str)],
) -> Result<(), openadp_settings::Problems> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    let edit = Edit::Set { context: context.to_owned(), key: vec![key.to_owned()], values };
    let change = Change { author: Author("test".to_owned()), comment: None, edits: vec![edit], force: false };
    settings.commit(&change, OffsetDateTime::UNIX_EPOCH).map(drop)
}

/// A node of two processes.
pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: Arc<Store>,
    pub(crate) one: Process,
    pub(crate) two: Process,
}

impl Node {
    pub(crate) async fn new() -> Self {
        Self::with_sender(None).await
    }

    pub(crate) async fn with_sender(push_sender: Option<Arc<dyn PushSender>>) -> Self {
        let (dir, clock, settings) = (tempfile::tempdir().expect("dir"), ManualClock::new(), settings());
        // Both at once: one makes the store, the other waits for it.
        let (one, two) = tokio::join!(
            Process::start(dir.path(), &settings, &clock, push_sender),
            Process::start(dir.path(), &settings, &clock, None)
        );
        seed(&one.server).await;
        Self { dir, clock, settings, one, two }
    }

    pub(crate) async fn stop(self) {
        tokio::join!(self.one.stop(), self.two.stop());
    }
}

pub(crate) fn subscriber(person: &Person) -> NewSubscriber {
    NewSubscriber {
        user_id: person.id(),
        provider: person.provider.to_owned(),
        group: person.group.to_owned(),
        first_name: person.first_name.to_owned(),
        last_name: person.last_name.to_owned(),
        number: Some(person.number.to_owned()),
        extension: Some(person.extension.to_owned()),
        country_code: if person.provider == STRANGERS { "44" } else { "1" }.to_owned(),
        mobile: None,
        email_address: None,
        title: None,
        department: None,
        time_zone: None,
        password: Secret::new(person.password),
    }
}

pub(crate) fn device(person: &Person, device: &Device) -> NewDevice {
    NewDevice {
        user_id: person.id(),
        name: format!("{}-desktop", device.user_name),
        level: DeviceLevel::Group,
        device_type: "Business Communicator - PC".to_owned(),
        line_port: device.line_port.to_owned(),
        mac: Some(device.mac.to_owned()),
        user_name: device.user_name.to_owned(),
        password: Secret::new(device.password),
        sip_user_name: device.user_name.to_owned(),
        sip_password: Secret::new(device.sip_password),
    }
}

/// Makes the people of the suite; can be repeated.
pub(crate) async fn seed(server: &EmbeddedApplicationServer) {
    let provisioning = server.provisioning();
    provisioning.put_provider(ENTERPRISE, true).await.expect("made");
    provisioning.put_provider(STRANGERS, false).await.expect("made");
    for (provider, group) in [(ENTERPRISE, "north"), (ENTERPRISE, "south"), (STRANGERS, "far")] {
        provisioning.put_group(provider, group).await.expect("made");
    }
    for person in SUBSCRIBERS {
        provisioning.put_subscriber(&subscriber(&person)).await.expect("made");
    }
    let level = AdminLevel::Group { provider: ADMIN.provider.to_owned(), group: ADMIN.group.to_owned() };
    let admin = NewAdministrator { user_id: ADMIN.id(), level, password: Secret::new(ADMIN.password) };
    provisioning.put_administrator(&admin).await.expect("made");
    provisioning.put_device(&device(&ALICE, &DEVICE)).await.expect("made");
    provisioning.put_device(&device(&BO, &OTHER_DEVICE)).await.expect("made");
    provisioning
        .put_tag(&TagScope::System, None, "XSI_ROOT_WXT", "https://xsp.acme.example/")
        .await
        .expect("made");
}

#[async_trait]
impl Fixture for Node {
    fn ports(&self) -> Ports {
        self.one.server.ports()
    }
    fn second(&self) -> Ports {
        self.two.server.ports()
    }
    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.two.server.run_due().await.expect("runs");
    }
    async fn set_password(&self, user: &UserId, password: &str) {
        self.one.server.provisioning().set_password(user, &Secret::new(password)).await.expect("set");
    }
    async fn call_center(&self, center: &UserId, agents: &[UserId]) {
        let provisioning = self.one.server.provisioning();
        let center = NewCallCenter {
            user_id: center.clone(),
            queue_length: 2,
            longest_wait: 60,
            overflow_to: None,
            number_of_rings: 2,
            wrap_up: 10,
        };
        provisioning.put_call_center(&center).await.expect("made");
        for agent in agents {
            provisioning.put_agent(&center.user_id, agent).await.expect("added");
        }
        provisioning.put_unavailable_code(ENTERPRISE, "10", Some("Lunch")).await.expect("added");
    }
    async fn unassign(&self, user: &UserId, kind: ServiceKind) {
        self.one.server.provisioning().assign_service(user, kind, false).await.expect("taken");
    }
    async fn put_phone_entries(&self, list: PhoneList, of: &Person, entries: &[PhoneListEntry]) {
        let provider = of.provider.to_owned();
        let owner = match list {
            PhoneList::Enterprise => PhoneListOwner::Enterprise { provider },
            PhoneList::Group => PhoneListOwner::Group { provider, group: of.group.to_owned() },
            PhoneList::Personal => PhoneListOwner::Personal { user: of.id() },
        };
        self.one.server.provisioning().put_phone_entries(&owner, entries).await.expect("put");
    }
    async fn put_custom_directory(&self, of: &Person, name: &str, members: &[Person]) {
        let provisioning = self.one.server.provisioning();
        provisioning.put_custom_directory(of.provider, of.group, name, None).await.expect("made");
        for member in members {
            let id = member.id();
            provisioning.put_custom_directory(of.provider, of.group, name, Some(&id)).await.expect("put");
        }
    }
    fn no_answer_timeout(&self) -> Duration {
        Duration::from_mins(1)
    }
    fn messages_per_mailbox(&self) -> usize {
        100
    }
    fn bytes_per_message(&self) -> usize {
        2_000_000
    }
    fn calls_per_user(&self) -> usize {
        6
    }
}

/// A registration with a token that wants calls and one that does not.
pub(crate) fn registration(id: &str, kind: &str) -> PushRegistration {
    let token = |token: &str, events: &[&str]| DeviceToken {
        token: token.to_owned(),
        kind: kind.to_owned(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
    };
    PushRegistration {
        registration_id: id.to_owned(),
        application_id: "lab.app".to_owned(),
        application_version: "2.0".to_owned(),
        device_os_type: "ios".to_owned(),
        device_os_version: "26".to_owned(),
        tokens: vec![token(&format!("token-{id}"), &["NEW_CALL"]), token("quiet", &["MWI"])],
    }
}

pub(crate) async fn dial(ports: &Ports, from: &Person, to: &str) -> CallId {
    ports.calls.dial(&from.id(), to, &DialOptions::default()).await.expect("dials").call_id
}

pub(crate) async fn ringing_at(ports: &Ports, person: &Person) -> CallId {
    let calls = ports.calls.overview(&person.id()).await.expect("known").calls;
    calls.into_iter().find(|call| call.allow_answer).expect("rings").id
}
