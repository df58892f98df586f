//! The one table of services: names, settings, and who has them. xsi.md 3.2 and 3.3

use super::declare::{Member, MemberKind, Nest, Patch, Records, Uri, Wish};
use crate::{PortError, PortResult};

/// A service, declared.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Name as the service list and the event packages spell it.
    pub name: &'static str,
    /// Segment of its URI, and root of its document.
    pub segment: &'static str,
    /// Its settings, in the order of the wire.
    pub members: &'static [Member],
    /// What must have a value while it is active.
    pub needs: Option<&'static str>,
    /// Type of the event that tells of it, where there is an event package of its name.
    pub event: Option<&'static str>,
}

/// Settings of a service that have a resource of their own and do not show in the service's document.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Segment below the service's.
    pub segment: &'static str,
    /// Root of its document.
    pub root: &'static str,
    /// Its members.
    pub members: &'static [Member],
}

impl ServiceSpec {
    /// The member whose entries are resources of their own, with what is declared of them.
    pub fn records(&self) -> Option<(&'static str, &'static Records)> {
        self.members.iter().find_map(|member| match member.kind {
            MemberKind::Records(records) => Some((member.name, records)),
            _ => None,
        })
    }

    /// The part that has a resource of its own.
    pub fn part(&self) -> Option<&'static Part> {
        (self.segment == "VoiceMessaging").then_some(&GREETINGS)
    }
}

const fn flag(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Flag { default: false } }
}
const fn number(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Number }
}
const fn text(name: &'static str, most: usize) -> Member {
    Member { name, kind: MemberKind::Text { most } }
}

const fn on(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Flag { default: true } }
}
const fn never(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Fixed { value: false } }
}
const fn always(name: &'static str) -> Member {
    Member { name, kind: MemberKind::Fixed { value: true } }
}
const fn integer(name: &'static str, least: u32, most: u32, default: u32) -> Member {
    Member { name, kind: MemberKind::Integer { least, most, zero: false, default } }
}
const fn word(name: &'static str, words: &'static [&'static str], default: &'static str) -> Member {
    Member { name, kind: MemberKind::Word { words, default: Some(default) } }
}
const fn group(name: &'static str, members: &'static [Member]) -> Member {
    Member { name, kind: MemberKind::Group { members } }
}
const fn records(name: &'static str, records: &'static Records) -> Member {
    Member { name, kind: MemberKind::Records(records) }
}

/// Whether it acts.
pub const ACTIVE: &str = "active";
/// Where calls are forwarded to.
pub const FORWARD_TO: &str = "forwardToPhoneNumber";
/// Rings before an unanswered call is forwarded.
pub const NUMBER_OF_RINGS: &str = "numberOfRings";
/// A short ring for a call that did not come through.
pub const RING_SPLASH: &str = "ringSplash";
/// Digits before the code of a Speed Dial 100.
pub const PREFIX: &str = "prefix";
/// What is dialled for a number.
pub const SPEED_CODE: &str = "speedCode";
/// The number that is dialled.
pub const PHONE_NUMBER: &str = "phoneNumber";
/// Codes of Speed Dial 8.
pub const SPEED_DIAL_8: &str = "speedDial8Entry";
/// Codes of Speed Dial 100.
pub const SPEED_DIAL_100: &str = "speedDial100Entry";

/// The number that takes the place of the own device.
pub const REMOTE_OFFICE_NUMBER: &str = "remoteOfficeNumber";
/// Numbers that ring together with the own device.
pub const SIM_RING_LOCATIONS: &str = "simRingLocations";
/// Whether who answers there must press a key first.
pub const ANSWER_CONFIRMATION: &str = "answerConfirmationRequired";
/// Locations of BroadWorks Anywhere.
pub const LOCATIONS: &str = "locations";
/// Locations of Sequential Ring, in order.
pub const SEQUENTIAL_LOCATIONS: [&str; 5] = ["location1", "location2", "location3", "location4", "location5"];
/// Criteria of a selective service.
pub const CRITERIA: &str = "criteriaActivations";
/// Criteria of a service that rings several places.
pub const CRITERIA_LIST: &str = "criteriaActivationList";
/// What tells criteria apart.
pub const CRITERIA_NAME: &str = "criteriaName";
/// When calls are recorded.
pub const RECORDING_MODE: &str = "recordingMode";

const GREETINGS: Part = Part {
    segment: "greetings",
    root: "VoiceMessagingGreetings",
    members: &[Member {
        name: "noAnswerNumberOfRings",
        kind: MemberKind::Integer { least: 2, most: 20, zero: true, default: 3 },
    }],
};

/// Members of a criterion: of whom a call must be (xsi.md 3.3).
const CRITERION: &[Member] = &[
    flag("blackListed"),
    on(ACTIVE),
    text(CRITERIA_NAME, 50),
    Member { name: "timeSchedule", kind: MemberKind::Schedule },
    Member { name: "holidaySchedule", kind: MemberKind::Schedule },
    group(
        "criteriaFromDn",
        &[
            word("fromDnCriteriaSelection", &["Any", "Forwarded", "Specified Only"], "Any"),
            flag("includeAnonymousCallers"),
            flag("includeUnavailableCallers"),
            Member { name: "phoneNumberList", kind: MemberKind::Numbers { item: "phoneNumber", most: 12 } },
        ],
    ),
    Member { name: "criteriaCallToNumber", kind: MemberKind::Schedule },
];

const fn criteria(root: &'static str) -> Records {
    Records {
        what: "criteria",
        item: "criteriaActivation",
        key: CRITERIA_NAME,
        uri: Uri::Last("uri"),
        shown: &[CRITERIA_NAME, ACTIVE],
        segment: "Criteria",
        root,
        members: CRITERION,
        bare: false,
        nest: Some(Nest { name: "criteria", outside: &["blackListed"], hidden: &[ACTIVE] }),
        most: 20,
    }
}

const FORWARDING_CRITERIA: Records = criteria("CallForwardingSelectiveCriteria");
const REJECTION_CRITERIA: Records = criteria("SelectiveCallRejectionCriteria");
const ACCEPTANCE_CRITERIA: Records = criteria("SelectiveCallAcceptanceCriteria");
const SIM_RING_CRITERIA: Records = criteria("SimultaneousRingPersonalCriteria");
const SEQUENTIAL_CRITERIA: Records = criteria("SequentialRingCriteria");

const ANYWHERE_LOCATION: Records = Records {
    what: "BroadWorks Anywhere number",
    item: "location",
    key: PHONE_NUMBER,
    uri: Uri::First("locationUri"),
    shown: &[PHONE_NUMBER, ACTIVE, "description"],
    segment: "location",
    root: "BroadWorksAnywhereLocation",
    members: &[
        number(PHONE_NUMBER),
        text("description", 80),
        on(ACTIVE),
        never("broadworksCallControl"),
        always("useDiversionInhibitor"),
        flag(ANSWER_CONFIRMATION),
    ],
    bare: false,
    nest: None,
    most: 10,
};

const EXCLUSION_NUMBER: Records = Records {
    what: "exclusion number",
    item: "exclusionNumber",
    key: "number",
    uri: Uri::Last("uri"),
    shown: &[],
    segment: "exclusionnumber",
    root: "PersonalAssistantExclusionNumber",
    members: &[number("number"), text("description", 80)],
    bare: false,
    nest: None,
    most: 20,
};

const MOBILE_IDENTITY: Records = Records {
    what: "mobile number",
    item: "mobileIdentity",
    key: "mobileNumber",
    uri: Uri::Last("identityUri"),
    shown: &["mobileNumber", "description", "enableAlerting", "primary"],
    segment: "mobileidentity",
    root: "BroadWorksMobilityMobileIdentity",
    members: &[
        number("mobileNumber"),
        text("description", 80),
        on("enableAlerting"),
        flag("primary"),
        never("alertAgentCalls"),
        on("alertClickToDialCalls"),
        never("alertGroupPagingCalls"),
        never("useMobilityCallingLineID"),
        always("useDiversionInhibitor"),
        flag(ANSWER_CONFIRMATION),
        never("broadworksCallControl"),
        never("useMobilityConnectedIdentity"),
    ],
    bare: true,
    nest: None,
    most: 10,
};

const SEQUENTIAL_LOCATION: &[Member] =
    &[number("address"), integer(NUMBER_OF_RINGS, 2, 20, 3), flag(ANSWER_CONFIRMATION)];

const INCOMING: &[&str] = &["Do not Ring if on a Call", "Ring for all Incoming Calls"];
const PRESENCE: &[&str] = &[
    "Business Trip",
    "Gone for the Day",
    "Lunch",
    "Meeting",
    "None",
    "Out Of Office",
    "Temporarily Out",
    "Training",
    "Unavailable",
    "Vacation",
];
const MODES: &[&str] = &["always", "always-pause-resume", "never", "on-demand", "on-demand-user-start"];

const CODES_8: &[&str] = &["2", "3", "4", "5", "6", "7", "8", "9"];
const CODES_100: &[&str] = &[
    "00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33",
    "34", "35", "36", "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "47", "48", "49", "50",
    "51", "52", "53", "54", "55", "56", "57", "58", "59", "60", "61", "62", "63", "64", "65", "66", "67",
    "68", "69", "70", "71", "72", "73", "74", "75", "76", "77", "78", "79", "80", "81", "82", "83", "84",
    "85", "86", "87", "88", "89", "90", "91", "92", "93", "94", "95", "96", "97", "98", "99",
];

macro_rules! services {
    ($($(#[$meta:meta])* $kind:ident = $name:literal, $segment:literal, [$($member:expr),*], $needs:expr, $event:expr;)*) => {
        /// Which service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum ServiceKind {
            $($(#[$meta])* $kind,)*
        }

        impl ServiceKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// What is declared of it.
            pub fn spec(self) -> &'static ServiceSpec {
                match self {
                    $(Self::$kind => {
                        const SPEC: &ServiceSpec = &ServiceSpec {
                            name: $name,
                            segment: $segment,
                            members: &[$($member),*],
                            needs: $needs,
                            event: $event,
                        };
                        SPEC
                    })*
                }
            }
        }
    };
}

services! {
    /// Refuses callers who do not show who they are.
    AnonymousCallRejection = "Anonymous Call Rejection", "AnonymousCallRejection", [flag(ACTIVE)], None, None;
    /// Rings other numbers together with the own device, and calls from there.
    BroadWorksAnywhere = "BroadWorks Anywhere", "BroadWorksAnywhere",
        [flag("alertAllLocationsForClickToDialCalls"), never("alertAllLocationsForGroupPagingCalls"),
         records(LOCATIONS, &ANYWHERE_LOCATION)], None, Some("BroadWorksAnywhereEvent");
    /// Rings mobiles together with the own device, or in its place, and calls from there.
    BroadWorksMobility = "BroadWorks Mobility", "BroadWorksMobility",
        [flag(ACTIVE), never("allowCallAnchoringControl"), never("preventCallsToOwnMobiles"),
         group("profileIdentity", &[group("profileAlertingPolicy", &[
            word("devicesToRing", &["Both", "Fixed", "Mobile"], "Both"), never("includeSharedCallAppearance"),
            on("includeBroadWorksAnywhere"), never("includeExecutiveAssistant")])]),
         records("mobileIdentity", &MOBILE_IDENTITY)], None, None;
    /// Forwards all calls.
    CallForwardingAlways = "Call Forwarding Always", "CallForwardingAlways",
        [flag(ACTIVE), number(FORWARD_TO), flag(RING_SPLASH)], Some(FORWARD_TO), Some("CallForwardingAlwaysEvent");
    /// Forwards calls while busy.
    CallForwardingBusy = "Call Forwarding Busy", "CallForwardingBusy",
        [flag(ACTIVE), number(FORWARD_TO)], Some(FORWARD_TO), Some("CallForwardingBusyEvent");
    /// Forwards calls that nobody answers.
    CallForwardingNoAnswer = "Call Forwarding No Answer", "CallForwardingNoAnswer",
        [flag(ACTIVE), number(FORWARD_TO),
         Member { name: NUMBER_OF_RINGS, kind: MemberKind::Integer { least: 2, most: 20, zero: true, default: 3 } }],
        Some(FORWARD_TO), Some("CallForwardingNoAnswerEvent");
    /// Forwards calls while nothing of the subscriber's can ring.
    CallForwardingNotReachable = "Call Forwarding Not Reachable", "CallForwardingNotReachable",
        [flag(ACTIVE), number(FORWARD_TO)], Some(FORWARD_TO), None;
    /// Forwards the calls of some.
    CallForwardingSelective = "Call Forwarding Selective", "CallForwardingSelective",
        [flag(ACTIVE), number("defaultForwardToPhoneNumber"), never("playRingReminder"),
         records(CRITERIA, &FORWARDING_CRITERIA)], Some("defaultForwardToPhoneNumber"), None;
    /// Records calls.
    CallRecording = "Call Recording", "CallRecording",
        [word(RECORDING_MODE, MODES, "never"),
         word("pauseResumeNotifyMethod", &["announcement", "beeponly", "none"], "none"),
         never("recordVoiceMessaging"), never("playCallRecordingStartStopAnnouncement"), never("playCallRecordingWarningTone")],
        None, None;
    /// Gets transferred calls back that nobody takes.
    CallTransfer = "Call Transfer", "CallTransfer",
        [flag("recallActive"), integer("recallNumberOfRings", 2, 20, 4),
         flag("busyCampOnActive"), integer("busyCampOnSeconds", 30, 600, 120),
         flag("useDiversionInhibitorForBlindTransfer"), never("useDiversionInhibitorForConsultativeCalls")],
        None, Some("CallTransferEvent");
    /// Offers a second call while the first one lasts.
    CallWaiting = "Call Waiting", "CallWaiting",
        [Member { name: ACTIVE, kind: MemberKind::Flag { default: true } }], None, Some("CallWaitingEvent");
    /// Shows who calls although they block it.
    CallingLineIdBlockingOverride = "Calling Line ID Blocking Override", "CallingLineIDBlockingOverride",
        [flag(ACTIVE)], None, None;
    /// Hides from those who are called who calls.
    CallingLineIdDeliveryBlocking = "Calling Line ID Delivery Blocking", "CallingLineIDDeliveryBlocking",
        [flag(ACTIVE)], None, None;
    /// Shows the names of those who call from outside.
    CallingNameRetrieval = "Calling Name Retrieval", "CallingNameRetrieval", [on(ACTIVE)], None, None;
    /// Shows to who calls whom they reached.
    ConnectedLineIdentificationPresentation = "Connected Line Identification Presentation",
        "ConnectedLineIdentificationPresentation", [on(ACTIVE)], None, None;
    /// Does not show to who calls whom they reached.
    ConnectedLineIdentificationRestriction = "Connected Line Identification Restriction",
        "ConnectedLineIdentificationRestriction", [flag(ACTIVE)], None, None;
    /// Lets no call ring.
    DoNotDisturb = "Do Not Disturb", "DoNotDisturb", [flag(ACTIVE), flag(RING_SPLASH)], None, Some("DoNotDisturbEvent");
    /// Shows who calls from outside.
    ExternalCallingLineIdDelivery = "External Calling Line ID Delivery", "ExternalCallingLineIDDelivery",
        [on(ACTIVE)], None, None;
    /// Shows who calls from inside.
    InternalCallingLineIdDelivery = "Internal Calling Line ID Delivery", "InternalCallingLineIDDelivery",
        [on(ACTIVE)], None, None;
    /// Tells callers that somebody is away, and sends them to the attendant or the mailbox.
    PersonalAssistant = "Personal Assistant", "PersonalAssistant",
        [flag(ACTIVE), word("presence", PRESENCE, "None"), never("enableExpirationTime"),
         flag("enableTransferToAttendant"), number("attendantNumber"), never(RING_SPLASH),
         flag("alertMeFirst"), integer(NUMBER_OF_RINGS, 2, 20, 3), records("exclusionNumberList", &EXCLUSION_NUMBER)],
        None, Some("PersonalAssistantEvent");
    /// Says which calls wake the apps of the user.
    PushNotification = "Push Notification", "PushNotification",
        [flag("sendPushNotificationForClickToDial"), never("sendPushNotificationForGroupPaging")], None, None;
    /// Lets another number take the place of the own device.
    RemoteOffice = "Remote Office", "RemoteOffice",
        [flag(ACTIVE), number(REMOTE_OFFICE_NUMBER)], Some(REMOTE_OFFICE_NUMBER), Some("RemoteOfficeEvent");
    /// Takes the calls of some only.
    SelectiveCallAcceptance = "Selective Call Acceptance", "SelectiveCallAcceptance",
        [records(CRITERIA, &ACCEPTANCE_CRITERIA)], None, None;
    /// Refuses the calls of some.
    SelectiveCallRejection = "Selective Call Rejection", "SelectiveCallRejection",
        [records(CRITERIA, &REJECTION_CRITERIA)], None, None;
    /// Rings one place after the other.
    SequentialRing = "Sequential Ring", "SequentialRing",
        [on("ringBaseLocationFirst"), integer("baseLocationNumberOfRings", 2, 20, 2), on("continueIfBaseLocationIsBusy"),
         never("callerMayStopSearch"),
         group("location1", SEQUENTIAL_LOCATION), group("location2", SEQUENTIAL_LOCATION),
         group("location3", SEQUENTIAL_LOCATION), group("location4", SEQUENTIAL_LOCATION),
         group("location5", SEQUENTIAL_LOCATION), records(CRITERIA_LIST, &SEQUENTIAL_CRITERIA)],
        None, Some("SequentialRingEvent");
    /// Wakes the apps of the user without a sound.
    SilentAlerting = "Silent Alerting", "SilentAlerting", [flag(ACTIVE)], None, Some("SilentAlertingEvent");
    /// Rings other numbers together with the own device.
    SimultaneousRingPersonal = "Simultaneous Ring Personal", "SimultaneousRingPersonal",
        [flag(ACTIVE), word("incomingCalls", INCOMING, INCOMING[1]),
         Member { name: SIM_RING_LOCATIONS, kind: MemberKind::Items { item: "simRingLocation", most: 10,
            members: &[number("address"), flag(ANSWER_CONFIRMATION)] } },
         records(CRITERIA_LIST, &SIM_RING_CRITERIA)],
        Some(SIM_RING_LOCATIONS), Some("SimultaneousRingPersonalEvent");
    /// Dials by two digits.
    SpeedDial100 = "Speed Dial 100", "SpeedDial100",
        [text(PREFIX, 3),
         Member { name: SPEED_DIAL_100, kind: MemberKind::Entries { key: SPEED_CODE, members: &[
            Member { name: SPEED_CODE, kind: MemberKind::Word { words: CODES_100, default: None } }, number(PHONE_NUMBER), text("description", 80)] } }],
        None, None;
    /// Dials by one digit.
    SpeedDial8 = "Speed Dial 8", "SpeedDial8",
        [Member { name: SPEED_DIAL_8, kind: MemberKind::Entries { key: SPEED_CODE, members: &[
            Member { name: SPEED_CODE, kind: MemberKind::Word { words: CODES_8, default: None } }, number(PHONE_NUMBER), text("description", 80)] } }],
        None, None;
    /// Takes calls into a mailbox.
    VoiceMessaging = "Voice Messaging User", "VoiceMessaging",
        [flag(ACTIVE), word("processing", &["Unified Voice and Email Messaging"], "Unified Voice and Email Messaging"),
         never("usePhoneMessageWaitingIndicator"), never("sendVoiceMessageNotifyEmail"), never("sendCarbonCopyVoiceMessage"),
         flag("transferOnZeroToPhoneNumber"), number("transferPhoneNumber"),
         flag("alwaysRedirectToVoiceMail"), on("busyRedirectToVoiceMail"), on("noAnswerRedirectToVoiceMail"),
         never("outOfPrimaryZoneRedirectToVoiceMail")],
        None, Some("VoiceMessagingEvent");
}

impl ServiceKind {
    /// Name as the service list spells it.
    pub fn display_name(self) -> &'static str {
        self.spec().name
    }

    /// Name as the event packages spell it.
    pub fn package_name(self) -> &'static str {
        let name = self.spec().name;
        name.strip_suffix(" User").unwrap_or(name)
    }

    /// A change of plain members by their names; `None` clears.
    ///
    /// # Errors
    /// `Invalid`: no such member, or not a value of it.
    pub fn patch(self, wishes: &[(&'static str, Option<&str>)]) -> PortResult<Patch> {
        plain(self.spec().members, wishes)
    }

    /// A change of one entry of a member that has entries, the entry's key among the wishes.
    ///
    /// # Errors
    /// As of [`patch`](Self::patch).
    pub fn entry_patch(
        self,
        name: &'static str,
        wishes: &[(&'static str, Option<&str>)],
    ) -> PortResult<Patch> {
        let member = member(self.spec().members, name)?;
        let MemberKind::Entries { members, .. } = member.kind else {
            return Err(PortError::Invalid { field: name, reason: "has no entries".to_owned() });
        };
        Ok(vec![(member, Wish::Entries(vec![plain(members, wishes)?]))])
    }
}

fn member(members: &'static [Member], name: &'static str) -> PortResult<&'static Member> {
    let unknown = || PortError::Invalid { field: name, reason: "no such member".to_owned() };
    members.iter().find(|member| member.name == name).ok_or_else(unknown)
}

fn plain(members: &'static [Member], wishes: &[(&'static str, Option<&str>)]) -> PortResult<Patch> {
    let wish = |&(name, text): &(&'static str, Option<&str>)| {
        let member = member(members, name)?;
        let wish = text.map_or(Ok(Wish::Clear), |text| member.parse(text).map(Wish::Set));
        Ok((member, wish.map_err(|reason| PortError::Invalid { field: name, reason })?))
    };
    wishes.iter().map(wish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_declaration_is_whole() {
        let specs: Vec<_> = ServiceKind::ALL.iter().map(|kind| kind.spec()).collect();
        let names: BTreeSet<_> = specs.iter().map(|spec| spec.name).collect();
        let segments: BTreeSet<_> = specs.iter().map(|spec| spec.segment.to_lowercase()).collect();
        assert_eq!((names.len(), segments.len()), (specs.len(), specs.len()));
        for spec in specs {
            if let Some(needs) = spec.needs {
                assert!([needs, ACTIVE].iter().all(|name| spec.members.iter().any(|m| m.name == *name)));
            }
            for member in spec.members {
                let MemberKind::Entries { key, members } = &member.kind else { continue };
                let key = members.iter().find(|member| member.name == *key).expect("its key");
                let MemberKind::Word { words, .. } = key.kind else {
                    panic!("{} has another key", member.name)
                };
                assert!(words.is_sorted(), "entries are kept in the order of {}", key.name);
            }
        }
    }
}
