//! What goes into the delivery machine and what comes out of it.

use super::package::Packages;
use crate::Delivery;
use bytes::Bytes;
use openadp_appserver::{Owner, UserId};
use openadp_xsi_schema::EventData;
use std::sync::Arc;

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

/// Id of a channel or subscription.
pub(crate) type Id = Arc<str>;

/// A channel set: the owner's name for some channels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SetKey {
    pub(crate) owner: Owner,
    pub(crate) name: Id,
}

/// Times and bounds; set before each step, so changed settings apply at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Between two heartbeats of the server.
    pub(crate) heartbeat: Millis,
    /// Without a sign of life of the client.
    pub(crate) client_silence: Millis,
    /// Until an event counts as not answered.
    pub(crate) acknowledgement: Millis,
    /// Of subscriptions without a channel.
    pub(crate) grace: Millis,
    /// Events that wait, per channel and per subscription.
    pub(crate) queue: usize,
    /// Whether this process can post events to addresses.
    pub(crate) contacts: bool,
    /// How long it leaves that to the process that took the request.
    pub(crate) contact_wait: Millis,
}

/// What was known about a subscription before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Another process took the request; its answer is probably written by then.
    Until(Millis),
    /// This process took the request; the transport tells when the answer is written.
    UntilReleased,
    /// It is old.
    None,
}

/// Which full state is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateKind {
    /// The first event of a subscription, and what follows its refresh.
    Initial,
    /// After events were lost or another process delivered.
    Resync,
}

/// Something that the driver does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Ends a channel's connection, with a last document where there is one.
    Close { channel: Id, last: Option<Bytes> },
    /// Reads the full state of a subscription's target.
    FetchState { subscription: Id, kind: StateKind, user: UserId, packages: Packages },
    /// Removes a channel from the store.
    ForgetChannel { channel: Id },
    /// Removes a subscription from the store.
    ForgetSubscription { subscription: Id },
    /// Opens a channel that stands for an address in a set, and posts what goes down it.
    OpenContact { set: SetKey, uri: Id },
    /// Reserves sequence numbers.
    Reserve { subscription: Id, count: u64 },
    /// Puts a document on a channel.
    Send { channel: Id, delivery: Delivery },
}

/// An event for one subscription, on its way.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Event id and sequence number, once it was sent.
    pub(super) identity: Option<(uuid::Uuid, u64)>,
    /// Position in the feed.
    pub(super) position: u64,
    /// The user it is about.
    pub(super) target: Id,
    pub(super) data: Arc<EventData>,
    /// Channels that did not take it.
    pub(super) tried: Vec<Id>,
}

/// Things that happen at a time; each is due once at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    Acknowledgement(uuid::Uuid),
    ChannelExpiry(Id),
    Contact(SetKey),
    Grace(SetKey),
    Heartbeat(Id),
    Liveness(Id),
    Release(Id),
    SubscriptionExpiry(Id),
}
