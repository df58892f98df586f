//! Call centres: queues of callers, and the agents who take them.

use crate::{Address, CallId, PortResult, Redirect, RemoteParty, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What an agent is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcdState {
    /// There, not for calls yet.
    SignIn,
    /// For calls.
    Available,
    /// For no call now.
    Unavailable,
    /// For no call until the last one is worked up.
    WrapUp,
    /// Not there.
    #[default]
    SignOut,
}

/// The state of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// State.
    pub state: AcdState,
    /// Since when, milliseconds since 1970.
    pub since: i64,
    /// Why it is unavailable, a code of the enterprise.
    pub unavailable_code: Option<String>,
    /// The call that it works up.
    pub wrap_up_call: Option<CallId>,
    /// When it signed in.
    pub sign_in_at: Option<i64>,
}

/// A call centre that somebody is an agent of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentQueue {
    /// The call centre.
    pub call_center: UserId,
    /// Whether the agent takes its calls.
    pub joined: bool,
    /// Number.
    pub number: Option<String>,
    /// Extension.
    pub extension: Option<String>,
}

/// An agent with its call centres.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    /// State.
    pub status: AgentStatus,
    /// Call centres.
    pub queues: Vec<AgentQueue>,
}

/// What is asked of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentChange {
    /// Another state.
    pub state: Option<AcdState>,
    /// Why it is unavailable; `None` within takes the reason away.
    pub unavailable_code: Option<Option<String>>,
    /// Call centres that it joins or leaves.
    pub joins: Vec<(UserId, bool)>,
}

/// A caller who waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The caller's half.
    pub call_id: CallId,
    /// Shared by all halves of the call.
    pub external_tracking_id: String,
    /// Who waits.
    pub remote: RemoteParty,
    /// Since when, milliseconds since 1970.
    pub added_at: i64,
    /// When it left the queue.
    pub removed_at: Option<i64>,
    /// An agent did not take it.
    pub bounced: bool,
    /// Name of the call centre.
    pub name: String,
    /// Its number.
    pub number: Address,
    /// Who took it, and in which call.
    pub answered_by: Option<(UserId, CallId)>,
    /// Where an agent sent it on to, in place of taking it.
    pub redirect: Option<Redirect>,
}

/// What happened to a caller who waits; the names are those of the XSI event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QueueEventKind {
    /// The caller gave up.
    Abandoned,
    /// It came.
    Added,
    /// An agent took it.
    AnsweredByAgent,
    /// An agent did not take it.
    Bounced,
    /// It rings at an agent.
    OfferedToAgent,
    /// It waited too long.
    Overflowed,
    /// An agent sent it on.
    Transferred,
}

/// The queue's part of a call that rings or rang at an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcdInfo {
    /// The call centre.
    pub user_id: UserId,
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: Address,
    /// How many wait beside this one.
    pub waiting: u32,
    /// How long this one waited, milliseconds.
    pub waited: i64,
}

/// What a call centre is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCenterProfile {
    /// Its user id.
    pub user_id: UserId,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Number.
    pub number: Option<String>,
    /// Extension.
    pub extension: Option<String>,
    /// Its agents.
    pub agents: Vec<UserId>,
}

/// A reason for being unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnavailableCode {
    /// The code.
    pub code: String,
    /// What it means.
    pub description: String,
}

/// Call centres.
#[async_trait]
pub trait CallCenters: Send + Sync {
    /// An agent, with the feed position at which its state holds.
    ///
    /// # Errors
    /// `NotFound` for an unknown user, `NotAssigned` for who is no agent.
    async fn agent(&self, user: &UserId) -> PortResult<(u64, Agent)>;

    /// Changes the state of an agent and the queues that it takes calls of, with its events.
    ///
    /// # Errors
    /// As of [`agent`](Self::agent); `Invalid` for a code or a call centre that is none of the agent's.
    async fn change_agent(&self, user: &UserId, change: &AgentChange) -> PortResult<()>;

    /// Who waits, the first first, with the feed position at which that holds.
    ///
    /// # Errors
    /// `NotFound` for what is no call centre.
    async fn queue(&self, call_center: &UserId) -> PortResult<(u64, Vec<QueueEntry>)>;

    /// A call centre.
    ///
    /// # Errors
    /// `NotFound` for what is none.
    async fn call_center(&self, call_center: &UserId) -> PortResult<CallCenterProfile>;

    /// The reasons for being unavailable of an enterprise.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn unavailable_codes(&self, provider: &str) -> PortResult<Vec<UnavailableCode>>;
}
