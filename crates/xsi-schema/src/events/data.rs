//! What an event says: made once, serialised once per form, shared by all receivers.

use super::envelope::EventForm;
use crate::documents::{
    Call, Conference, HookState, MessageSummary, PushNotificationRegistrations, RemoteParty,
};
use crate::field::enumeration;
use crate::{Element, Value, XmlStyle};
use bytes::Bytes;
use std::sync::OnceLock;

enumeration! {
    /// The events that carry one call and nothing else (xsi.md 5.8); the text is the type name.
    CallEventType, "a call event type" {
        /// Answered by either side.
        Answered = "CallAnsweredEvent",
        /// Barged into.
        BargedIn = "CallBargedInEvent",
        /// The client's text changed.
        ClientSessionInfoUpdated = "CallClientSessionInfoUpdatedEvent",
        /// Digits are collected.
        Collecting = "CallCollectingEvent",
        /// Detached from the user.
        Detached = "CallDetachedEvent",
        /// Forwarded.
        Forwarded = "CallForwardedEvent",
        /// Held by the user.
        Held = "CallHeldEvent",
        /// Monitored.
        Monitored = "CallMonitoredEvent",
        /// An outgoing call began.
        Originated = "CallOriginatedEvent",
        /// Click-to-dial accepted.
        Originating = "CallOriginatingEvent",
        /// A parked call was taken.
        ParkRetrieved = "CallParkRetrievedEvent",
        /// Picked up elsewhere.
        PickedUp = "CallPickedUpEvent",
        /// An incoming call rings.
        Received = "CallReceivedEvent",
        /// Recording pauses.
        RecordingPaused = "CallRecordingPausedEvent",
        /// Recording goes on.
        RecordingResumed = "CallRecordingResumedEvent",
        /// Recording runs.
        RecordingStarted = "CallRecordingStartedEvent",
        /// Recording begins.
        RecordingStarting = "CallRecordingStartingEvent",
        /// Over.
        Released = "CallReleasedEvent",
        /// A treatment is played before the end.
        Releasing = "CallReleasingEvent",
        /// Retrieved by the user.
        Retrieved = "CallRetrievedEvent",
        /// The security classification changed.
        SecurityClassificationUpdated = "CallSecurityClassificationUpdatedEvent",
        /// Transferred.
        Transferred = "CallTransferredEvent",
        /// Something else changed.
        Updated = "CallUpdatedEvent",
        /// Music on hold could not be played.
        PlayMusicOnHoldFailure = "PlayMusicOnHoldFailureEvent",
    }
}

/// `eventData`. Its bytes are made on first use, once per form, and shared from then on.
#[derive(Debug)]
pub struct EventData {
    element: Element,
    stream: OnceLock<Bytes>,
    cti: OnceLock<Bytes>,
}

impl EventData {
    /// The data of a type, `HookStatusEvent` say, with these children.
    pub fn new(type_name: impl Into<String>, children: Vec<Element>) -> Self {
        let mut element = Element::new("eventData").with_type(type_name);
        for child in children {
            element.push(child);
        }
        Self { element, stream: OnceLock::new(), cti: OnceLock::new() }
    }
    /// A call changed.
    pub fn call(event: CallEventType, call: &Call) -> Self {
        Self::new(event.as_str(), vec![call.to_value("call")])
    }
    /// `CallRedirectedEvent`: calls that the user redirected.
    pub fn calls_redirected(calls: &[Call]) -> Self {
        Self::new("CallRedirectedEvent", vec![list(calls)])
    }
    /// `CallRecordingStoppedEvent`: as the user asked, by a request or by the end of the call.
    pub fn recording_stopped(call: &Call) -> Self {
        let reason = Element::text("reason", "User Requested");
        Self::new("CallRecordingStoppedEvent", vec![call.to_value("call"), reason])
    }
    /// A conference changed; the type name says how, `ConferenceStartedEvent` say.
    pub fn conference(type_name: &'static str, conference: &Conference) -> Self {
        Self::new(type_name, vec![conference.to_value("conference")])
    }
    /// `CallParkedAgainstEvent`: who waits, or that nobody does any more.
    pub fn parked_against(party: Option<&RemoteParty>) -> Self {
        Self::new(
            "CallParkedAgainstEvent",
            party.map(|party| party.to_value("parkedParty")).into_iter().collect(),
        )
    }
    /// `CallSubscriptionEvent`: the full state when a subscription begins; with `resync`, after lost updates.
    pub fn call_subscription(
        calls: &[Call],
        conference: Option<&Conference>,
        hook: HookState,
        resync: bool,
    ) -> Self {
        let type_name = if resync { "CallSubscriptionResyncEvent" } else { "CallSubscriptionEvent" };
        let mut children = Vec::with_capacity(2);
        if !calls.is_empty() {
            children.push(list(calls));
        }
        children.extend(conference.map(|conference| conference.to_value("conference")));
        children.push(hook.to_value("hookStatus"));
        Self::new(type_name, children)
    }
    /// `HookStatusEvent`.
    pub fn hook_status(hook: HookState) -> Self {
        Self::new("HookStatusEvent", vec![hook.to_value("hookStatus")])
    }
    /// A service changed; `document` is the one that a GET gives (xsi.md 5.8).
    pub fn service(type_name: &'static str, document: Element) -> Self {
        Self::new(type_name, vec![document.renamed("info")])
    }
    /// A service was taken away.
    pub fn service_unassigned(type_name: &'static str) -> Self {
        Self::new(type_name, vec![Element::new("unassigned")])
    }
    /// `VoiceMailMessageSummaryEvent`.
    pub fn message_summary(summary: &MessageSummary) -> Self {
        Self::new("VoiceMailMessageSummaryEvent", vec![summary.to_value("messageSummary")])
    }
    /// `PushNotificationRegistrationEvent`.
    pub fn push_registrations(registrations: &PushNotificationRegistrations) -> Self {
        Self::new(
            "PushNotificationRegistrationEvent",
            vec![registrations.to_value("pushNotificationRegistrations")],
        )
    }
    /// `SubscriptionTerminatedEvent`, empty. Its envelope has no `targetId` (xsi.md 5.5).
    pub fn subscription_terminated() -> Self {
        Self::new("SubscriptionTerminatedEvent", Vec::new())
    }
    /// The tree.
    pub fn element(&self) -> &Element {
        &self.element
    }
    /// The bytes in a form, shared.
    pub fn bytes(&self, form: EventForm) -> &Bytes {
        let (bytes, style) = match form {
            EventForm::Stream => (&self.stream, XmlStyle::EVENT),
            EventForm::Cti => (&self.cti, XmlStyle::EVENT_CTI),
        };
        bytes.get_or_init(|| {
            let mut out = String::with_capacity(1024);
            self.element.write_xml(&mut out, style.fragment());
            Bytes::from(out)
        })
    }
}

fn list(calls: &[Call]) -> Element {
    let mut element = Element::new("calls");
    for call in calls {
        element.push(call.to_value("call"));
    }
    element
}
