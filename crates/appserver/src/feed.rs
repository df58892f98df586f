//! The ordered event feed: every change of state, in the order in which it was committed.

use crate::{
    AgentQueue, AgentStatus, Call, Conference, HookStatus, MessageSummary, PortResult, QueueEntry,
    QueueEventKind, RemoteParty, Service, UserId,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::watch;

/// What happened to a call; the names are those of the XSI event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallEventKind {
    /// The other side answered, or this one.
    Answered,
    /// Forwarded away before it was answered.
    Redirected,
    /// Forwarded; the forwarding half begins.
    Forwarded,
    /// Held by this party.
    Held,
    /// Click-to-dial accepted.
    Originating,
    /// An outgoing call began.
    Originated,
    /// An incoming call rings.
    Received,
    /// Over.
    Released,
    /// Retrieved by this party.
    Retrieved,
    /// Transferred to somebody else.
    Transferred,
    /// Somebody else took it while it rang here.
    PickedUp,
    /// It was parked, and this party took it.
    ParkRetrieved,
    /// Its recording waits.
    RecordingPaused,
    /// Its recording goes on.
    RecordingResumed,
    /// Its recording runs.
    RecordingStarted,
    /// Its recording begins.
    RecordingStarting,
    /// Its recording ended, as the user asked or with the call.
    RecordingStopped,
    /// Something else about it changed (held by the other party, say).
    Updated,
}

/// What happened to a conference; the names are those of the XSI event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConferenceEventKind {
    /// A participant hears nothing.
    CallMadeDeaf,
    /// A participant hears again.
    CallMadeUnDeaf,
    /// A participant is not heard.
    CallMuted,
    /// A participant is heard again.
    CallUnMuted,
    /// The user holds it.
    Held,
    /// The user is not heard.
    Muted,
    /// Over; its last call may go on.
    Released,
    /// The user is back.
    Retrieved,
    /// It began.
    Started,
    /// The user is heard again.
    Unmuted,
    /// A participant came or went.
    Updated,
}

/// One event of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A call of the subscriber changed.
    Call {
        /// What happened.
        kind: CallEventKind,
        /// The subscriber's half after it.
        call: Call,
    },
    /// The conference of the subscriber changed.
    Conference {
        /// What happened.
        kind: ConferenceEventKind,
        /// The conference after it.
        conference: Conference,
    },
    /// A call was parked against the subscriber, or none is any more.
    Parked {
        /// Who waits, as the subscriber sees it.
        party: Option<RemoteParty>,
    },
    /// The agent's state changed.
    Agent(AgentStatus),
    /// The agent takes the calls of a call centre, or no more.
    AgentJoin(AgentQueue),
    /// Something happened to a caller who waits in the call centre's queue.
    Queue {
        /// What.
        kind: QueueEventKind,
        /// The caller after it.
        entry: QueueEntry,
        /// Its place in the queue, from 1, when it comes.
        position: Option<u32>,
    },
    /// The hook status changed.
    Hook(HookStatus),
    /// A service's settings changed.
    Service(Service),
    /// The number of voice messages changed.
    Messages(MessageSummary),
    /// The push registrations changed.
    PushRegistrations,
    /// Password changed or tokens revoked: whatever was verified before must be verified again. When everybody's tokens
    /// are revoked, one event with an empty subscriber tells of it.
    CredentialsChanged,
    /// The subscriber was deleted.
    SubscriberDeleted,
}

/// An event with its place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Position in the feed of the whole application server; grows, with gaps allowed.
    pub position: u64,
    /// Number among the subscriber's own events, without gaps, assigned with the state change itself.
    pub sequence: u64,
    /// The subscriber it is about.
    pub subscriber: UserId,
    /// Its service provider or enterprise.
    pub provider: String,
    /// Its group.
    pub group: String,
    /// When, milliseconds since 1970.
    pub time: i64,
    /// Request id of the request that caused it, where one did.
    pub request_id: Option<String>,
    /// What happened.
    pub event: Event,
}

/// The ordered event feed. A reader keeps its own position and reads on when told that there is more.
#[async_trait]
pub trait EventFeed: Send + Sync {
    /// The last position now.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn position(&self) -> PortResult<u64>;

    /// The events after a position, at most `limit`, in order.
    ///
    /// # Errors
    /// `NotFound` when events after `after` were already discarded: the reader was too slow and must resynchronise.
    async fn read(&self, after: u64, limit: usize) -> PortResult<Vec<Arc<FeedEvent>>>;

    /// Changes whenever there may be something new, whichever process wrote it; within 50 ms.
    fn changes(&self) -> watch::Receiver<u64>;
}
