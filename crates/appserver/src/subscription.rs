//! Channels and subscriptions as the application server keeps them: shared by all processes, surviving each of them.

use crate::{PortResult, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Who owns a channel or subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// A client application known by its certificate.
    Client(String),
    /// A subscriber or administrator.
    User(UserId),
}

impl Owner {
    /// The user id or client name.
    pub fn id(&self) -> &str {
        match self {
            Self::Client(name) => name,
            Self::User(user) => user.as_str(),
        }
    }
}

/// What a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubscriptionTarget {
    /// A group.
    Group {
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
    },
    /// A service provider or enterprise.
    ServiceProvider {
        /// Its id.
        provider: String,
    },
    /// Everybody.
    System,
    /// One subscriber.
    User(UserId),
}

/// Why a channel ended; the names are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminationReason {
    /// A second channel set of the same application.
    DuplicateChannelSet,
    /// Deleted by its owner.
    ExplicitDelete,
    /// Its time was over.
    Expired,
    /// Events were not acknowledged, or heartbeats stopped.
    NonResponsiveChannel,
    /// The client does not know it.
    UnknownChannel,
    /// Its owner was deleted.
    UserDeleted,
}

/// A channel, wherever its connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRecord {
    /// Id, a UUID.
    pub channel_id: String,
    /// Set that it belongs to; unique per owner.
    pub channel_set_id: String,
    /// Owner.
    pub owner: Owner,
    /// Application of the owner, where given.
    pub application_id: Option<String>,
    /// Lower is preferred.
    pub priority: u32,
    /// Share among channels of one priority.
    pub weight: u32,
    /// When it expires, milliseconds since 1970; `None` for never.
    pub expires_at: Option<i64>,
    /// The process that holds its connection (a UUID made at start).
    pub process: String,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Id, a UUID.
    pub subscription_id: String,
    /// Owner.
    pub owner: Owner,
    /// What it is about.
    pub target: SubscriptionTarget,
    /// Event package, exactly as on the wire.
    pub package: String,
    /// Channel set that its events go to. Where they are posted to an address, the name of a set that only processes open
    /// channels in: each channel stands for one that posts.
    pub channel_set_id: String,
    /// Address that its events are posted to, in place of channels that the owner opens.
    pub http_contact: Option<String>,
    /// Application of the owner, where given.
    pub application_id: Option<String>,
    /// Call control application that it was made through: events go to nodes of that name only (cti.md 10).
    pub call_control: String,
    /// When it expires, milliseconds since 1970; `None` for never.
    pub expires_at: Option<i64>,
    /// Last sequence number that may have been used. A process that delivers reserves numbers ahead and so never gives
    /// one twice, even after a crash.
    pub sequence_reserved: u64,
}

/// Channels and subscriptions.
#[async_trait]
pub trait EventSubscriptions: Send + Sync {
    /// Registers a channel, or replaces its record. Gives the records of channels that this ends (another channel set of
    /// the same owner and application).
    ///
    /// # Errors
    /// `LimitReached`.
    async fn put_channel(&self, channel: &ChannelRecord) -> PortResult<Vec<ChannelRecord>>;

    /// Forgets a channel; `false` when it was not there.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn remove_channel(&self, channel_id: &str) -> PortResult<bool>;

    /// All channels; small in number compared with subscriptions.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn channels(&self) -> PortResult<Vec<ChannelRecord>>;

    /// Says that a process lives: channels of processes that were silent for `lease` are forgotten.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn process_alive(&self, process: &str, lease: std::time::Duration) -> PortResult<()>;

    /// Adds a subscription; gives the one it replaces (same owner, target, package and application).
    ///
    /// # Errors
    /// `LimitReached`.
    async fn add_subscription(
        &self,
        subscription: &SubscriptionRecord,
    ) -> PortResult<Option<SubscriptionRecord>>;

    /// Changes the time at which a subscription expires.
    ///
    /// # Errors
    /// `NotFound`.
    async fn refresh_subscription(&self, subscription_id: &str, expires_at: Option<i64>) -> PortResult<()>;

    /// Deletes a subscription and gives it.
    ///
    /// # Errors
    /// `NotFound`.
    async fn remove_subscription(&self, subscription_id: &str) -> PortResult<SubscriptionRecord>;

    /// One subscription.
    ///
    /// # Errors
    /// `NotFound`.
    async fn subscription(&self, subscription_id: &str) -> PortResult<SubscriptionRecord>;

    /// All subscriptions: a process reads them when it starts and when told of changes.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn subscriptions(&self) -> PortResult<Vec<SubscriptionRecord>>;

    /// Reserves the next `count` sequence numbers of a subscription; gives the last number reserved before.
    ///
    /// # Errors
    /// `NotFound`.
    async fn reserve_sequence(&self, subscription_id: &str, count: u64) -> PortResult<u64>;

    /// Changes whenever channels or subscriptions changed, in any process; within 50 ms.
    fn changes(&self) -> watch::Receiver<u64>;
}
