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
mod voice;

pub use address::Address;
pub use call::{
    AllowedRecordingControls, Call, CallReference, CallStartInfo, CallState, CallType, Calls, Conference,
    ConferenceParticipant, ConferenceParticipants, ConferenceState, Endpoint, EndpointKind, HookState,
    HookStatus, InternalReleaseCause, Personality, RecallType, RecordingState, Redirect, Redirection,
    RedirectionReason, Redirections, ReleaseCause, ReleasingParty, RemoteParty,
};
pub use call_logs::{CallLog, CallLogKind, CallLogs, CallLogsEntry, EnhancedCallLogs};
pub use channel::{Channel, ChannelSet, EventResponse};
pub use directory::{
    Contact, ContactList, CustomContact, CustomContactDirectory, CustomContactReference, DirectoryDetails,
    EnterpriseCommon, EnterpriseDirectory, EnterpriseList, GroupCommon, GroupDirectory, GroupList,
    PersonalDirectory, PhoneEntry,
};
pub use error_info::ErrorInfo;
pub use profile::{
    AccessDevice, AccessDevices, AdditionalDetails, DeviceUserNamePassword, ImpProfile, LoginToken,
    NameDialingName, PortalPassword, Profile, ProfileDetails, ServiceProvider,
};
pub use push::{
    DeviceToken, DeviceTokenList, PushEventDetail, PushNotificationEvents, PushNotificationRegistration,
    PushNotificationRegistrations,
};
pub use service::{ServiceEntry, Services};
pub use subscription::{EventPackageList, HttpContact, Subscription, SubscriptionList, TargetIdType};
pub use versions::{VersionBaseline, Versions};
pub use voice::{
    CallingPartyInfo, MediaType, MessageInfo, MessageInfoList, MessageMediaContent, MessageSummary,
    VoiceMailMessageSummary, VoiceMessageDocument, VoiceMessagingMessages,
};
