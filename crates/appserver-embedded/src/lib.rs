//! The embedded application server: a real store and a real call engine behind the ports of `appserver`.
//!
//! State lives in one SQLite file below the data directory, shared by all processes of a node. Every change of state is
//! one transaction that also writes the events, call logs and push notifications which follow from it; a timer is a row
//! that whichever process lives acts on. Events carry a number per subscriber that is assigned in that transaction, so
//! their order holds whichever process acted.
//!
//! The crate must not know any wire format of the access tier nor any socket: pushes leave through [`PushSender`].
//! Reading order: [`EmbeddedApplicationServer`], [`Provisioning`], then the modules `engine` (calls as pure functions),
//! `calls` (their transactions), `feed`, `outbox`.

mod call_centers;
mod calls;
mod credentials;
mod db;
mod devices;
mod directory;
mod engine;
mod events;
mod feed;
mod late;
mod logins;
mod management;
mod messages;
mod outbox;
mod overload;
mod password;
mod processes;
mod provisioning;
mod proxy_policy;
mod push;
mod push_sender;
mod revocation;
mod seal;
mod services;
mod settings;
mod subscriptions;
mod template;
mod tree;
pub mod upkeep;
mod workers;

pub use call_centers::NewCallCenter;
pub use db::OpenError;
pub use directory::PhoneListOwner;
pub use management::{
    Administrators, CallCenters, Calls, ChannelSets, Channels, Contacts, CustomDirectories, Diag, Events,
    Groups, IpDeviceMgmt, PhoneLists, ServiceProviders, Subscriptions, Users, VoiceMail,
};
pub use provisioning::{NewAdministrator, NewDevice, NewSubscriber, Provisioning, TagScope};
pub use proxy_policy::{HeaderPolicy, OptionTagPolicy, ProxyRule};
pub use push_sender::{PushSendError, PushSender};
pub use revocation::LongLivedTokens;
pub use settings::{
    AllowedApplication, CallEngine, DeviceAccess, DirectoryLimits, EventLimits, EventRetention, MODULE,
    MailboxLimits, NotificationPushServer, PasswordRules, PushNotification, SignIn,
};
pub use tree::{
    ActivatableFeature, Das, DeviceType, Dns, DnsExecution, DnsProvisioning, Ims, IntegratedImp,
    IntegratedImpDefaults, Messaging, OciAccess, OverloadControls, Registration, Sip, StirShaken,
    VoiceMessaging,
};

use db::Db;
use openadp_appserver::{Clock, PortResult, Ports};
use openadp_settings::{Live, Store};
use openadp_wake::Wake;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the embedded application server needs.
pub struct Options {
    /// Data directory of the node; the store lies in its folder `appserver`.
    pub data_dir: PathBuf,
    /// Wake-ups among the processes of the node.
    pub wake: Wake,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Settings, opened with [`MODULE`]; its machine key seals the passwords of devices.
    pub settings: Arc<Store>,
    /// Where tasks are counted, so that shutdown can wait for them.
    pub tasks: TaskTracker,
    /// Ends the workers.
    pub shutdown: CancellationToken,
    /// Delivers notifications to the push server; without one, another process of the node has to.
    pub push_sender: Option<Arc<dyn PushSender>>,
}

/// The embedded application server of one data directory; clones share everything.
#[derive(Clone)]
pub struct EmbeddedApplicationServer {
    shared: Arc<Shared>,
}

/// What all parts of the server share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) settings: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hasher: password::Hasher,
    pub(crate) processes: Arc<processes::Processes>,
    pub(crate) records: credentials::Records,
    pub(crate) verified: credentials::Verified,
    pub(crate) call_engine: Live<CallEngine>,
    pub(crate) device_access: Live<DeviceAccess>,
    pub(crate) directory_limits: Live<DirectoryLimits>,
    pub(crate) event_limits: Live<EventLimits>,
    pub(crate) mailbox_limits: Live<MailboxLimits>,
    pub(crate) messaging: Live<IntegratedImp>,
    pub(crate) messaging_active: Live<IntegratedImpDefaults>,
    pub(crate) overload: overload::Overload,
    pub(crate) password_rules: Live<PasswordRules>,
    pub(crate) sign_in: Live<SignIn>,
    pub(crate) signalling: Live<Sip>,
    pub(crate) push_rules: Live<PushNotification>,
    pub(crate) push_server: Live<NotificationPushServer>,
}

impl Shared {
    /// Opens the store, making or migrating it where needed; nothing runs on it by itself.
    pub(crate) async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let Options { data_dir, wake, clock, settings, tasks, .. } = options;
        let db = Db::open(&data_dir, wake, tasks, clock.clone()).await?;
        let verified = credentials::Verified::new().map_err(|source| OpenError::Keys(Box::new(source)))?;
        Ok(Arc::new(Self {
            db,
            clock,
            hasher: password::Hasher::new(),
            processes: Arc::new(processes::Processes::new(&data_dir)),
            records: credentials::Records::new(),
            verified,
            call_engine: settings.live(),
            device_access: settings.live(),
            directory_limits: settings.live(),
            event_limits: settings.live(),
            mailbox_limits: settings.live(),
            messaging: settings.live(),
            messaging_active: settings.live(),
            overload: overload::Overload::new(settings.live()),
            password_rules: settings.live(),
            sign_in: settings.live(),
            signalling: settings.live(),
            push_rules: settings.live(),
            push_server: settings.live(),
            settings,
        }))
    }
}

impl EmbeddedApplicationServer {
    /// Opens the store, making or migrating it where needed, and starts the workers.
    ///
    /// # Errors
    /// When the store cannot be made, opened or migrated.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (data_dir, tasks, shutdown) =
            (options.data_dir.clone(), options.tasks.clone(), options.shutdown.clone());
        let push_sender = options.push_sender.clone();
        let shared = Shared::open(options).await?;
        let ship = async {
            directory::fill(&shared).await?;
            let mut tx = shared.db.begin().await?;
            devices::ship(&mut tx).await?;
            tx.commit().await
        };
        ship.await.map_err(|source| OpenError::Database { path: data_dir, source: Box::new(source) })?;
        tasks.spawn(workers::timers(shared.clone(), shutdown.clone()));
        tasks.spawn(workers::housekeeping(shared.clone(), shutdown.clone()));
        if let Some(sender) = push_sender {
            tasks.spawn(outbox::run(shared.clone(), sender, shutdown));
        }
        Ok(Self { shared })
    }

    /// The ports.
    pub fn ports(&self) -> Ports {
        let shared = || self.shared.clone();
        Ports {
            credentials: Arc::new(credentials::Accounts { shared: shared() }),
            logins: Arc::new(logins::SignIns {
                accounts: credentials::Accounts { shared: shared() },
                shared: shared(),
            }),
            directory: Arc::new(directory::Profiles { shared: shared() }),
            services: Arc::new(services::UserServices { shared: shared() }),
            calls: Arc::new(calls::Calls { shared: shared() }),
            call_centers: Arc::new(call_centers::Centers { shared: shared() }),
            feed: Arc::new(feed::Feed { shared: shared() }),
            subscriptions: Arc::new(subscriptions::Subscriptions { shared: shared() }),
            devices: Arc::new(devices::DeviceFiles { shared: shared() }),
            messages: Arc::new(messages::Mailboxes { shared: shared() }),
            push: Arc::new(push::Registrations { shared: shared() }),
            clock: self.shared.clock.clone(),
        }
    }

    /// Acts on timers that are due and removes what is too old, without waiting for the workers: for tests that move
    /// their own clock.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn run_due(&self) -> PortResult<()> {
        workers::run_due_timers(&self.shared).await?;
        workers::housekeep(&self.shared).await?;
        self.shared.db.wake().notify(db::FEED);
        Ok(())
    }

    /// Creating and changing what is administered: enterprises, groups, subscribers, devices, administrators, tags.
    pub fn provisioning(&self) -> Provisioning {
        Provisioning::new(self.shared.clone())
    }

    /// Closes the store after the workers ended. Not needed for safety: a process may end at any moment.
    pub async fn close(&self) {
        self.shared.db.close().await;
    }
}
