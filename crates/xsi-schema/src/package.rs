//! Names of event packages (xsi.md 5.5): literal, with blanks.

use crate::field::enumeration;

enumeration! {
    /// An event package. Which ones a server offers is not decided here.
    EventPackage, "an event package" {
        /// Calls, in every detail.
        AdvancedCall = "Advanced Call",
        /// Calls.
        BasicCall = "Basic Call",
        /// Calls, conferences and recording.
        StandardCall = "Standard Call",
        /// BroadWorks Anywhere.
        BroadWorksAnywhere = "BroadWorks Anywhere",
        /// State of a call centre agent.
        CallCenterAgent = "Call Center Agent",
        /// What a supervisor sees of agents.
        CallCenterAgentMonitoring = "Call Center Agent Monitoring",
        /// Policies of a call centre.
        CallCenterConfiguration = "Call Center Configuration",
        /// Statistics of a call centre.
        CallCenterMonitoring = "Call Center Monitoring",
        /// Calls of a call centre.
        CallCenterQueue = "Call Center Queue",
        /// Call Forwarding Always.
        CallForwardingAlways = "Call Forwarding Always",
        /// Call Forwarding Always of the secondary number.
        CallForwardingAlwaysSecondary = "Call Forwarding Always Secondary",
        /// Call Forwarding Busy.
        CallForwardingBusy = "Call Forwarding Busy",
        /// Call Forwarding No Answer.
        CallForwardingNoAnswer = "Call Forwarding No Answer",
        /// Parked calls.
        CallPark = "Call Park",
        /// Recording; refused by the product since R20.
        CallRecording = "Call Recording",
        /// Call Transfer.
        CallTransfer = "Call Transfer",
        /// Call Waiting.
        CallWaiting = "Call Waiting",
        /// Rooms.
        CollaborateRoom = "Collaborate Room",
        /// CommPilot Express.
        CommPilotExpress = "CommPilot Express",
        /// Do Not Disturb.
        DoNotDisturb = "Do Not Disturb",
        /// Flexible seating.
        FlexibleSeatingGuest = "Flexible Seating Guest",
        /// Hoteling.
        HotelingGuest = "Hoteling Guest",
        /// Last Number Redial.
        LastNumberRedial = "Last Number Redial",
        /// Conference bridges.
        MeetMeConference = "Meet Me Conference",
        /// Music On Hold.
        MusicOnHold = "Music On Hold",
        /// N-Way Call.
        NWayCall = "N-Way Call",
        /// Personal Assistant.
        PersonalAssistant = "Personal Assistant",
        /// Registrations for push notifications.
        PushNotificationRegistration = "Push Notification Registration",
        /// Remote Office.
        RemoteOffice = "Remote Office",
        /// Calls of a route point.
        RoutePointQueue = "Route Point Queue",
        /// Security Classification.
        SecurityClassification = "Security Classification",
        /// Sequential Ring.
        SequentialRing = "Sequential Ring",
        /// Silent Alerting.
        SilentAlerting = "Silent Alerting",
        /// Simultaneous Ring Personal.
        SimultaneousRingPersonal = "Simultaneous Ring Personal",
        /// Voice mail of somebody else's making.
        ThirdPartyVoiceMailSupport = "Third-Party Voice Mail Support",
        /// Three-Way Call.
        ThreeWayCall = "Three-Way Call",
        /// Counts of voice messages.
        VoiceMailMessageSummary = "Voice Mail Message Summary",
        /// Voice Messaging.
        VoiceMessaging = "Voice Messaging",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_unique() {
        let names: std::collections::BTreeSet<_> =
            EventPackage::ALL.iter().map(|package| package.as_str()).collect();
        assert_eq!(names.len(), 38);
        for package in EventPackage::ALL {
            assert_eq!(EventPackage::parse(package.as_str()), Some(*package));
        }
        assert_eq!(EventPackage::parse("advanced call"), None);
    }
}
