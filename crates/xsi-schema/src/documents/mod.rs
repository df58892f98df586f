//! Typed documents, members in wire order.

mod address;
mod call;
mod call_logs;
mod channel;
mod directory;
mod error_info;
mod profile;
mod push;
mod service;
mod subscription;
mod versions;

pub use address::Address;
pub use call::{
    AllowedRecordingControls, Call, CallReference, CallStartInfo, CallState, CallType, Calls, Conference,
    ConferenceParticipant, ConferenceParticipants, ConferenceState, Endpoint, EndpointKind, HookState,
    HookStatus, InternalReleaseCause, Personality, RecallType, RecordingState, Redirect, Redirection,
    RedirectionReason, Redirections, ReleaseCause, ReleasingParty, RemoteParty,
};
pub use call_logs::{CallLog, CallLogKind, CallLogs, CallLogsEntry, EnhancedCallLogs};
pub use channel::{Channel, ChannelSet, EventResponse};
pub use directory::{DirectoryDetails, EnterpriseDirectory, EnterpriseList, GroupDirectory, GroupList};
pub use error_info::ErrorInfo;
pub use profile::{
    AccessDevice, AccessDevices, AdditionalDetails, DeviceUserNamePassword, LoginToken, NameDialingName,
    Profile, ProfileDetails, ServiceProvider,
};
pub use push::{
    DeviceToken, DeviceTokenList, PushEventDetail, PushNotificationEvents, PushNotificationRegistration,
    PushNotificationRegistrations,
};
pub use service::{ServiceEntry, Services};
pub use subscription::{EventPackageList, HttpContact, Subscription, SubscriptionList, TargetIdType};
pub use versions::{VersionBaseline, Versions};
