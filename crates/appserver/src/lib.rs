//! What the access tier needs from a telephony application server, as a few small ports.
//!
//! Applications know these traits and nothing else of the application server; an adapter (the embedded one, later OCI-P
//! or SIP) implements them all and runs the suite of its module `conformance` (feature of the same name). The crate knows no wire
//! format and no database.
//!
//! Reading order: [`Principal`], [`Credentials`], [`Directory`], [`Services`], [`CallControl`], [`EventFeed`],
//! [`EventSubscriptions`], [`Devices`], [`PushRegistrations`], [`VoiceMessages`]; [`Ports`] bundles them.

mod account;
mod call;
mod call_center;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod device;
mod directory;
mod error;
mod feed;
mod logins;
mod messages;
mod push;
pub mod request_id;
mod service;
mod subscription;

pub use account::{Account, AccountKind, AdminLevel, Credentials, Principal, UserId};
pub use call::{
    Address, Call, CallAction, CallControl, CallId, CallLogEntry, CallLogKind, CallOverview, CallPersonality,
    CallStart, CallState, CallType, Conference, ConferenceAction, DialLocation, DialOptions, HookStatus,
    InternalReleaseCause, LogPage, Participant, PickUp, Place, PlaceKind, RecallType, Recording,
    RecordingControls, RecordingState, Redirect, Redirection, ReleasingParty, RemoteParty,
};
pub use call_center::{
    AcdInfo, AcdState, Agent, AgentChange, AgentQueue, AgentStatus, CallCenterProfile, CallCenters,
    QueueEntry, QueueEventKind, UnavailableCode,
};
pub use clock::{Clock, SystemClock, epoch_millis};
pub use device::{
    AccessDevice, DeviceCredentials, DeviceFile, DeviceLevel, Devices, FileChallenge, FileCredentials,
    FileDecision, FileRequest,
};
pub use directory::{
    Directory, DirectoryEntry, DirectoryPage, DirectoryQuery, DirectoryScope, PhoneList, PhoneListEntry,
    PhoneListPage, Profile, SearchTerm,
};
pub use error::{PortError, PortResult};
pub use feed::{CallEventKind, ConferenceEventKind, Event, EventFeed, FeedEvent};
pub use logins::Logins;
pub use messages::{Caller, MediaKind, MessageSummary, NewMessage, VoiceMessage, VoiceMessages};
pub use push::{DeviceToken, PushRegistration, PushRegistrations};
pub use service::{
    ACTIVE, ANSWER_CONFIRMATION, CRITERIA, CRITERIA_LIST, CRITERIA_NAME, FORWARD_TO, LOCATIONS, Member,
    MemberKind, NUMBER_OF_RINGS, Nest, PHONE_NUMBER, PREFIX, Part, Patch, RECORDING_MODE,
    REMOTE_OFFICE_NUMBER, RING_SPLASH, RecordChange, Records, SEQUENTIAL_LOCATIONS, SIM_RING_LOCATIONS,
    SPEED_CODE, SPEED_DIAL_8, SPEED_DIAL_100, Service, ServiceKind, ServiceSpec, Services, Setting, Settings,
    Uri, Wish,
};
pub use subscription::{
    ChannelRecord, EventSubscriptions, Owner, SubscriptionRecord, SubscriptionTarget, TerminationReason,
};

use std::sync::Arc;

/// All ports of one application server.
#[derive(Clone)]
pub struct Ports {
    /// Accounts and passwords.
    pub credentials: Arc<dyn Credentials>,
    /// Login ids, single-use login tokens, SIP credentials.
    pub logins: Arc<dyn Logins>,
    /// Profiles and directories.
    pub directory: Arc<dyn Directory>,
    /// Services of a subscriber.
    pub services: Arc<dyn Services>,
    /// Calls and call logs.
    pub calls: Arc<dyn CallControl>,
    /// Call centres.
    pub call_centers: Arc<dyn CallCenters>,
    /// The ordered event feed.
    pub feed: Arc<dyn EventFeed>,
    /// Channels and subscriptions, as the application server keeps them.
    pub subscriptions: Arc<dyn EventSubscriptions>,
    /// Devices and their files.
    pub devices: Arc<dyn Devices>,
    /// Voice messages.
    pub messages: Arc<dyn VoiceMessages>,
    /// Push registrations.
    pub push: Arc<dyn PushRegistrations>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
