//! Calls (xsi.md 3.6 and 3.7).

use super::Address;
use crate::field::{document, enumeration, invalid};
use crate::{Document, DocumentError, Element, Field, Flag, Value};

enumeration! {
    /// Part of the user in the call.
    #[derive(Default)]
    Personality, "a personality" {
        /// Called.
        #[default]
        Originator = "Originator",
        /// Was called.
        Terminator = "Terminator",
        /// Asked for by a click, own phone not yet picked up.
        ClickToDial = "Click-to-Dial",
    }
}

enumeration! {
    /// State of the user's half.
    #[derive(Default)]
    CallState, "a call state" {
        /// Ringing, here or there.
        Alerting = "Alerting",
        /// Talking.
        Active = "Active",
        /// Held by the user.
        Held = "Held",
        /// Held by the other side.
        RemoteHeld = "Remote Held",
        /// Forwarded away, tracked only.
        Detached = "Detached",
        /// Over.
        Released = "Released",
        /// Nothing yet.
        #[default]
        Idle = "Idle",
    }
}

enumeration! {
    /// How the other party relates to the user.
    CallType, "a call type" {
        /// Same group.
        Group = "Group",
        /// Same enterprise.
        Enterprise = "Enterprise",
        /// From or to outside.
        Network = "Network",
        /// Emergency services.
        Emergency = "Emergency",
        /// Repair services.
        Repair = "Repair",
        /// City-wide centrex.
        CityWideCentrex = "City-Wide Centrex",
        /// Private dial plan.
        PrivateDialPlan = "Private Dial Plan",
        /// Not known.
        Unknown = "Unknown",
        /// Could not be told.
        Error = "Error",
    }
}

enumeration! {
    /// Who ended the call.
    ReleasingParty, "a releasing party" {
        /// The user.
        LocalRelease = "localRelease",
        /// The other side.
        RemoteRelease = "remoteRelease",
    }
}

enumeration! {
    /// Why a call failed.
    InternalReleaseCause, "a release cause" {
        /// Busy.
        Busy = "Busy",
        /// Not allowed.
        Forbidden = "Forbidden",
        /// No route.
        RoutingFailure = "Routing Failure",
        /// Failed everywhere.
        GlobalFailure = "Global Failure",
        /// Bad request.
        RequestFailure = "Request Failure",
        /// A server failed.
        ServerFailure = "Server Failure",
        /// The number could not be translated.
        TranslationFailure = "Translation Failure",
        /// Not available now.
        TemporarilyUnavailable = "Temporarily Unavailable",
        /// No such user.
        UserNotFound = "User Not Found",
        /// Nobody answered in time.
        RequestTimeout = "Request Timeout",
        /// Nothing was dialled in time.
        DialToneTimeout = "Dial Tone Timeout",
        /// No credit.
        InsufficientCredits = "Insufficient Credits",
    }
}

enumeration! {
    /// Why a call was redirected.
    RedirectionReason, "a redirection reason" {
        /// Busy.
        UserBusy = "user-busy",
        /// No answer.
        NoAnswer = "no-answer",
        /// Not available.
        Unavailable = "unavailable",
        /// Always.
        Unconditional = "unconditional",
        /// By the time of day.
        TimeOfDay = "time-of-day",
        /// Do Not Disturb.
        DoNotDisturb = "do-not-disturb",
        /// Sent on while ringing.
        Deflection = "deflection",
        /// Follow me.
        FollowMe = "follow-me",
        /// Out of service.
        OutOfService = "out-of-service",
        /// Away.
        Away = "away",
        /// Transferred.
        Transfer = "transfer",
        /// To voice mail.
        Voicemail = "voicemail",
        /// By a hunt group.
        HuntGroup = "hunt-group",
        /// By a call centre.
        CallCenter = "call-center",
        /// By a route point.
        RoutePoint = "route-point",
        /// The agent wraps up.
        AgentWrapUp = "agent-wrap-up",
        /// A VoiceXML script ended.
        VoicexmlScriptTermination = "voicexml-script-termination",
        /// Not known.
        Unknown = "unknown",
    }
}

enumeration! {
    /// Hook status.
    #[derive(Default)]
    HookState, "a hook status" {
        /// No call up.
        #[default]
        OnHook = "On-Hook",
        /// A call is up.
        OffHook = "Off-Hook",
    }
}

enumeration! {
    /// What the user may do with a recording.
    AllowedRecordingControls, "allowed recording controls" {
        /// Nothing.
        None = "none",
        /// Begin it.
        Record = "record",
        /// Pause it.
        Pause = "pause",
        /// Pause or end it.
        PauseStop = "pause-stop",
        /// Go on.
        Resume = "resume",
        /// Go on or end it.
        ResumeStop = "resume-stop",
        /// End it.
        Stop = "stop",
    }
}

enumeration! {
    /// How far a recording is.
    RecordingState, "a recording state" {
        /// It is to begin.
        Pending = "Pending",
        /// It runs.
        Started = "Started",
        /// It waits.
        Paused = "Paused",
        /// It does not work.
        Failed = "Failed",
    }
}

enumeration! {
    /// Why a call came back.
    RecallType, "a recall type" {
        /// The busy party did not get free in time.
        BusyCampOn = "Busy Camp On Callback",
        /// Nobody took the transferred call.
        CallTransfer = "Call Transfer Recall",
        /// Nobody took the parked call.
        CallPark = "Call Park Recall",
        /// It was held too long.
        AutomaticHoldRetrieve = "Automatic Hold/Retrieve Recall",
        /// An executive did not take it.
        ExecutiveAssistantCallPush = "Executive-Assistant Call Push Recall",
    }
}

enumeration! {
    /// State of a conference.
    #[derive(Default)]
    ConferenceState, "a conference state" {
        /// The user is in it.
        #[default]
        Active = "Active",
        /// The user holds it.
        Held = "Held",
        /// Over.
        Released = "Released",
    }
}

enumeration! {
    /// Type of an endpoint: the instance type of the element.
    EndpointKind, "an endpoint type" {
        /// A device; its address is an address of record.
        Access = "AccessEndpoint",
        /// A BroadWorks Anywhere location.
        BroadWorksAnywhere = "BroadWorksAnywhereEndpoint",
        /// A remote office number.
        RemoteOffice = "RemoteOfficeEndpoint",
        /// A mobile.
        BroadWorksMobility = "BroadWorksMobilityEndpoint",
        /// An executive's assistant.
        ExecutiveAssistant = "ExecutiveAssistantEndpoint",
    }
}

/// `endpoint`: where the user's half is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its type.
    pub kind: EndpointKind,
    /// Address of record, or address.
    pub address: String,
}

impl Endpoint {
    /// A device's endpoint.
    pub fn access(address_of_record: impl Into<String>) -> Self {
        Self { kind: EndpointKind::Access, address: address_of_record.into() }
    }
    fn member(kind: EndpointKind) -> &'static str {
        match kind {
            EndpointKind::Access => "addressOfRecord",
            EndpointKind::BroadWorksAnywhere
            | EndpointKind::RemoteOffice
            | EndpointKind::BroadWorksMobility
            | EndpointKind::ExecutiveAssistant => "address",
        }
    }
}

impl Value for Endpoint {
    fn to_value(&self, name: &'static str) -> Element {
        Element::new(name)
            .with_type(self.kind.as_str())
            .with(Element::text(Self::member(self.kind), self.address.clone()))
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        let kind = element
            .type_name()
            .and_then(EndpointKind::parse)
            .ok_or_else(|| invalid(element, "an endpoint of a known type"))?;
        Ok(Self { kind, address: Field::read(Self::member(kind), element)? })
    }
}

document! {
    /// `remoteParty`. With `privacy`, the address is left out.
    RemoteParty = "remoteParty" {
        /// Name.
        name: Option<String> = "name",
        /// Address.
        address: Option<Address> = "address",
        /// User id, for parties of the same group or enterprise.
        user_id: Option<String> = "userId",
        /// Directory number, for the same.
        user_dn: Option<Address> = "userDN",
        /// Whether name and address must not be shown.
        privacy: Flag = "privacy",
        /// Relation.
        call_type: Option<CallType> = "callType",
    }
}

document! {
    /// `redirection`: one hop of an incoming call.
    Redirection = "redirection" {
        /// Who redirected it.
        party: Option<RemoteParty> = "party",
        /// Why.
        reason: Option<RedirectionReason> = "reason",
        /// How often.
        counter: Option<u32> = "counter",
    }
}

document! {
    /// `redirections`, most recent first.
    Redirections = "redirections" {
        /// The hops.
        redirections: Vec<Redirection> = "redirection",
    }
}

document! {
    /// `redirect`: the user sent the call on.
    Redirect = "redirect" {
        /// Where to.
        address: Option<Address> = "address",
        /// Why; text, since engines have reasons of their own. See [`RedirectionReason`].
        reason: String = "reason",
        /// When, milliseconds since 1970.
        redirect_time: i64 = "redirectTime",
    }
}

document! {
    /// `releaseCause`, on failures only.
    ReleaseCause = "releaseCause" {
        /// Why.
        internal_release_cause: Option<InternalReleaseCause> = "internalReleaseCause",
        /// Cause of Q.850.
        q850_cause: Option<String> = "q850Cause",
        /// Status of SIP.
        sip_status: Option<String> = "sipStatus",
        /// Cause of the call detail record.
        cdr_termination_cause: Option<String> = "cdrTerminationCause",
    }
}

document! {
    /// `Call`: one party's half.
    Call = "Call" {
        /// Id of this half.
        call_id: String = "callId",
        /// Shared by both halves.
        ext_tracking_id: String = "extTrackingId",
        /// A SIP Call-ID.
        network_call_id: Option<String> = "networkCallId",
        /// Part of the user.
        personality: Personality = "personality",
        /// State.
        state: CallState = "state",
        /// Why it failed.
        release_cause: Option<ReleaseCause> = "releaseCause",
        /// Who ended it.
        releasing_party: Option<ReleasingParty> = "releasingParty",
        /// The other party.
        remote_party: RemoteParty = "remoteParty",
        /// How it came here.
        redirections: Option<Redirections> = "redirections",
        /// Where the user sent it.
        redirect: Option<Redirect> = "redirect",
        /// Where this half is.
        endpoint: Option<Endpoint> = "endpoint",
        /// Line appearance.
        appearance: Option<u32> = "appearance",
        /// Whether `Talk` would answer it.
        allow_answer: Flag = "allowAnswer",
        /// Whether it can be retrieved.
        allow_retrieve: Flag = "allowRetrieve",
        /// Which address was called.
        alternate_address_type: Option<String> = "alternateAddressType",
        /// Hunt group that gave it.
        hunt_group_user_id: Option<String> = "huntGroupUserId",
        /// Ring pattern.
        distinctive_ring: Option<String> = "distinctiveRing",
        /// Whether it may not be forwarded.
        diversion_inhibited: Flag = "diversionInhibited",
        /// Why it came back.
        recall_type: Option<RecallType> = "recallType",
        /// When it began, milliseconds since 1970; so are the next times.
        start_time: i64 = "startTime",
        /// When it was answered.
        answer_time: Option<i64> = "answerTime",
        /// Since when it is held.
        held_time: Option<i64> = "heldTime",
        /// How long it was held before, milliseconds.
        total_held_time: Option<i64> = "totalHeldTime",
        /// When it was sent away.
        detached_time: Option<i64> = "detachedTime",
        /// When it ended.
        release_time: Option<i64> = "releaseTime",
        /// The queue that it comes from.
        acd_call_info: Option<Element> = "acdCallInfo",
        /// Whether it is recorded; absent without the service.
        recorded: Option<bool> = "recorded",
        /// What the user may do with the recording.
        allowed_recording_controls: Option<AllowedRecordingControls> = "allowedRecordingControls",
        /// How far the recording is.
        recording_state: Option<RecordingState> = "recordingState",
        /// Executive that it belongs to.
        executive_user_id: Option<String> = "executiveUserId",
        /// Free text of the client.
        client_session_info: Option<String> = "clientSessionInfo",
    }
}

/// `call` of the list `Calls`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallReference {
    /// Whether it is in a conference (an attribute).
    pub in_conference: bool,
    /// Id.
    pub call_id: String,
    /// Its URI, from `/v2.0` on.
    pub uri: Option<String>,
}

impl Value for CallReference {
    fn to_value(&self, name: &'static str) -> Element {
        let mut element = Element::new(name)
            .with_attribute("inConference", if self.in_conference { "true" } else { "false" });
        self.call_id.write("callId", &mut element);
        self.uri.write("uri", &mut element);
        element
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(Self {
            in_conference: element
                .attribute("inConference")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
            call_id: Field::read("callId", element)?,
            uri: Field::read("uri", element)?,
        })
    }
}

impl Document for CallReference {
    const ROOT: &'static str = "call";
}

document! {
    /// `Calls`.
    Calls = "Calls" {
        /// The user's calls.
        calls: Vec<CallReference> = "call",
    }
}

document! {
    /// `CallStartInfo`: what a dial request gives.
    CallStartInfo = "CallStartInfo" {
        /// Id of the caller's half.
        call_id: String = "callId",
        /// Shared by both halves.
        external_tracking_id: String = "externalTrackingId",
    }
}

document! {
    /// `HookStatus`.
    HookStatus = "HookStatus" {
        /// Hook status.
        hook_status: HookState = "hookStatus",
    }
}

document! {
    /// `conferenceParticipant`: a call in a conference.
    ConferenceParticipant = "conferenceParticipant" {
        /// The user's half.
        call_id: String = "callId",
        /// Is not heard.
        muted: Flag = "muted",
        /// Hears nothing.
        deaf: Flag = "deaf",
    }
}

document! {
    /// `conferenceParticipantList`.
    ConferenceParticipants = "conferenceParticipantList" {
        /// The calls.
        participants: Vec<ConferenceParticipant> = "conferenceParticipant",
    }
}

document! {
    /// `Conference`: calls of the user that are joined.
    Conference = "Conference" {
        /// State.
        state: Option<ConferenceState> = "state",
        /// Where the user is in it.
        endpoint: Option<Endpoint> = "endpoint",
        /// Line appearance.
        appearance: Option<u32> = "appearance",
        /// Whether the user is not heard.
        muted: Flag = "muted",
        /// Its calls.
        participants: ConferenceParticipants = "conferenceParticipantList",
    }
}
