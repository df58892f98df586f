//! Every resource of XSI, and what becomes of a request for it: the one table that `docs/xsi-resources.md` is made from and that
//! tests walk, against a running server and with the wrong credentials.

use crate::{Application, Method};
use crate::{Application::Actions, Application::Events};
use crate::{Method::Delete, Method::Get, Method::Post, Method::Put};
use openadp_appserver::ServiceKind;
use std::fmt::Write as _;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceState {
    /// It is served; with the root of the document that the answer has, where it has one.
    Served(Option<&'static str>),
    /// It is known and refused as not assigned, to everybody, for this reason.
    Refused(&'static str),
    /// There is no such resource here, for this reason.
    Missing(&'static str),
}

/// One method of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// Section of the protocol page.
    pub section: &'static str,
    /// Application.
    pub application: Application,
    /// Method.
    pub method: Method,
    /// Path below `/v2.0/`; what stands in braces is an id.
    pub path: &'static str,
    /// What becomes of it.
    pub state: ResourceState,
}

const fn row(
    section: &'static str,
    application: Application,
    method: Method,
    path: &'static str,
    state: ResourceState,
) -> Resource {
    Resource { section, application, method, path, state }
}
/// An answer with a document.
const fn gives(root: &'static str) -> ResourceState {
    ResourceState::Served(Some(root))
}
/// An answer without one.
const DONE: ResourceState = ResourceState::Served(None);
const fn refused(reason: &'static str) -> ResourceState {
    ResourceState::Refused(reason)
}
const fn missing(reason: &'static str) -> ResourceState {
    ResourceState::Missing(reason)
}

const NO_CENTERS: ResourceState =
    missing("the application server does not list call centers, their agents and supervisors");
const NO_EXECUTIVES: ResourceState = missing("the application server has no executives and assistants");
const NO_HOTELING: ResourceState = missing("the application server has no hoteling");
const NO_SEATS: ResourceState = missing("Flexible Seating is not part of this server");

/// All of them.
pub const RESOURCES: &[Resource] = &[
    row("1.2", Actions, Get, "versions", gives("Versions")),
    row("1.2", Events, Get, "versions", gives("Versions")),
    row("3.1", Actions, Get, "user/{user}/profile", gives("Profile")),
    row("3.1", Actions, Get, "user/{user}/profile/Fac", gives("FAC")),
    row("3.1", Actions, Get, "user/{user}/profile/Registrations", gives("Registrations")),
    row("3.1", Actions, Get, "user/{user}/profile/Schedule", gives("ScheduleUri")),
    row(
        "3.1",
        Actions,
        Get,
        "user/{user}/profile/Schedule/{schedule}",
        missing("the application server has no schedules, and the list is empty"),
    ),
    row("3.1", Actions, Put, "user/{user}/profile/Password/Portal", DONE),
    row("3.1", Actions, Post, "user/{user}/profile/logintoken", gives("LoginToken")),
    row("3.1", Actions, Get, "user/{user}/profile/device", gives("AccessDevices")),
    row("3.1", Actions, Get, "user/{user}/profile/device/{linePort}", gives("AccessDevice")),
    row("3.1", Actions, Put, "user/{user}/profile/device/{linePort}", DONE),
    row("3.1", Actions, Get, "user/{user}/profile/IMP", gives("IMPProfile")),
    row(
        "3.1",
        Actions,
        Get,
        "user/{user}/profile/DeviceToken",
        missing("nothing public says what such a token is good for"),
    ),
    row("3.2", Actions, Get, "user/{user}/services", gives("Services")),
    row("3.3", Actions, Get, "user/{user}/services/{Service}", gives("{Service}")),
    row("3.3", Actions, Put, "user/{user}/services/{Service}", DONE),
    row("3.4", Actions, Get, "user/{user}/VoiceMessagingMessages", gives("VoiceMessagingMessages")),
    row("3.4", Actions, Put, "user/{user}/VoiceMessagingMessages/MarkAllAsRead", DONE),
    row("3.4", Actions, Put, "user/{user}/VoiceMessagingMessages/MarkAllAsUnread", DONE),
    row("3.4", Actions, Get, "user/{user}/VoiceMessagingMessages/{message}", gives("VoiceMessage")),
    row("3.4", Actions, Put, "user/{user}/VoiceMessagingMessages/{message}/MarkAsRead", DONE),
    row("3.4", Actions, Put, "user/{user}/VoiceMessagingMessages/{message}/MarkAsUnread", DONE),
    row(
        "3.4",
        Actions,
        Get,
        "user/{user}/VoiceMessagingMessages/{message}/transcript",
        refused("nothing here turns sound into text"),
    ),
    row("3.4", Actions, Delete, "user/{user}/VoiceMessagingMessages/{message}", DONE),
    row("3.4", Actions, Get, "user/{user}/calls/MessageSummary", gives("VoiceMailMessageSummary")),
    row("3.5", Actions, Get, "user/{user}/directories/Enterprise", gives("Enterprise")),
    row("3.5", Actions, Get, "user/{user}/directories/Group", gives("Group")),
    row("3.5", Actions, Get, "user/{user}/directories/EnterpriseCommon", gives("EnterpriseCommon")),
    row("3.5", Actions, Get, "user/{user}/directories/GroupCommon", gives("GroupCommon")),
    row("3.5", Actions, Get, "user/{user}/directories/Personal", gives("Personal")),
    row("3.5", Actions, Get, "user/{user}/directories/CustomContact", gives("CustomContact")),
    row("3.5", Actions, Get, "user/{user}/directories/CustomContact/{directory}", gives("Directory")),
    row("3.5", Actions, Get, "user/{user}/directories/CallLogs", gives("CallLogs")),
    row("3.5", Actions, Get, "user/{user}/directories/CallLogs/Placed", gives("placed")),
    row("3.5", Actions, Get, "user/{user}/directories/CallLogs/Received", gives("received")),
    row("3.5", Actions, Get, "user/{user}/directories/CallLogs/Missed", gives("missed")),
    row("3.5", Actions, Delete, "user/{user}/directories/CallLogs", DONE),
    row("3.5", Actions, Get, "user/{user}/directories/EnhancedCallLogs", gives("EnhancedCallLogs")),
    row("3.5", Actions, Get, "user/{user}/directories/EnhancedCallLogs/Placed", gives("EnhancedCallLogs")),
    row("3.5", Actions, Get, "user/{user}/directories/EnhancedCallLogs/Received", gives("EnhancedCallLogs")),
    row("3.5", Actions, Get, "user/{user}/directories/EnhancedCallLogs/Missed", gives("EnhancedCallLogs")),
    row("3.5", Actions, Get, "user/{user}/directories/CallCenters", NO_CENTERS),
    row("3.5", Actions, Get, "user/{user}/directories/Agents", NO_CENTERS),
    row("3.5", Actions, Get, "user/{user}/directories/Supervisors", NO_CENTERS),
    row("3.5", Actions, Get, "user/{user}/directories/HotelingHosts", NO_HOTELING),
    row("3.5", Actions, Get, "user/{user}/directories/FlexibleSeatingHosts", NO_SEATS),
    row(
        "3.5",
        Actions,
        Get,
        "user/{user}/directories/BroadWorksAnywherePortal",
        missing("the application server has no portal that could be dialled"),
    ),
    row("3.6", Actions, Get, "user/{user}/calls", gives("Calls")),
    row("3.6", Actions, Post, "user/{user}/calls/new", gives("CallStartInfo")),
    row("3.6", Actions, Get, "user/{user}/calls/HookStatus", gives("HookStatus")),
    row("3.6", Actions, Get, "user/{user}/calls/{call}", gives("Call")),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/Hold", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/Talk", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/Reconnect", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/BlindTransfer", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/ConsultTransfer/{otherCall}", DONE),
    row("3.6", Actions, Delete, "user/{user}/calls/{call}", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/VmTransfer", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/MuteTransfer", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/Park", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/GroupCallPark", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/Deflect", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/TransmitDTMF", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/Record", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/StopRecording", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/PauseRecording", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/ResumeRecording", DONE),
    row("3.6", Actions, Post, "user/{user}/calls/CallParkRetrieve", gives("CallStartInfo")),
    row("3.6", Actions, Post, "user/{user}/calls/CallPickup", gives("CallStartInfo")),
    row("3.6", Actions, Post, "user/{user}/calls/DirectedCallPickup", gives("CallStartInfo")),
    row("3.6", Actions, Get, "user/{user}/calls/Conference", gives("Conference")),
    row("3.6", Actions, Post, "user/{user}/calls/Conference", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/{call}", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/{call}/Deaf", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/{call}/UnDeaf", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/{call}/Mute", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/{call}/UnMute", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/Hold", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/Talk", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/Mute", DONE),
    row("3.6", Actions, Put, "user/{user}/calls/Conference/UnMute", DONE),
    row("3.6", Actions, Delete, "user/{user}/calls/Conference/{call}", DONE),
    row("3.6", Actions, Delete, "user/{user}/calls/Conference", DONE),
    row(
        "3.6",
        Actions,
        Put,
        "user/{user}/calls/{call}/BargeIn",
        missing("the call engine lets nobody barge in"),
    ),
    row(
        "3.6",
        Actions,
        Put,
        "user/{user}/calls/{call}/SilentMonitor",
        missing("the call engine lets nobody monitor"),
    ),
    row("3.6", Actions, Put, "user/{user}/calls/{call}/ExecutiveAssistantCallPush", NO_EXECUTIVES),
    row("3.6", Actions, Post, "user/{user}/calls/ExecutiveAssistantInitiateCall", NO_EXECUTIVES),
    row(
        "3.6",
        Actions,
        Post,
        "user/{user}/calls/imrn",
        missing("the call engine gives no numbers away for a call"),
    ),
    row(
        "3.6",
        Actions,
        Post,
        "user/{user}/calls/CallMeNow",
        missing("the application server has no Call Me Now"),
    ),
    row(
        "3.6",
        Actions,
        Put,
        "user/{user}/calls/{call}/CustomerOriginatedTrace",
        missing("the call engine traces nothing"),
    ),
    row("3.8", Actions, Get, "callcenter/{center}/profile", gives("ACDProfile")),
    row("3.8", Actions, Get, "callcenter/{center}/calls", gives("ACDQueue")),
    row(
        "3.8",
        Actions,
        Get,
        "group/{group}/services/callcenter/unavailablecodes",
        gives("ACDAgentUnavailableCodes"),
    ),
    row(
        "3.8",
        Actions,
        Get,
        "system/services/routepoint/applicationcontroller/{controller}",
        gives("ApplicationController"),
    ),
    row(
        "3.9",
        Actions,
        Get,
        "user/{user}/profile/PushNotificationRegistrations",
        gives("PushNotificationRegistrations"),
    ),
    row(
        "3.9",
        Actions,
        Post,
        "user/{user}/profile/PushNotificationRegistrations",
        gives("PushNotificationRegistration"),
    ),
    row(
        "3.9",
        Actions,
        Get,
        "user/{user}/profile/PushNotificationRegistrations/{registration}",
        gives("PushNotificationRegistration"),
    ),
    row("3.9", Actions, Put, "user/{user}/profile/PushNotificationRegistrations/{registration}", DONE),
    row("3.9", Actions, Delete, "user/{user}/profile/PushNotificationRegistrations/{registration}", DONE),
    row("5.2", Events, Post, "channel", gives("Channel")),
    row("5.4", Events, Put, "channel/{channel}/heartbeat", DONE),
    row("5.4", Events, Put, "channel/{channel}", gives("Channel")),
    row("5.4", Events, Get, "channelset/{channelSet}", gives("ChannelSet")),
    row("5.5", Events, Post, "user/{user}", gives("Subscription")),
    row("5.5", Events, Post, "user/{user}/subscription", gives("Subscription")),
    row("5.5", Events, Post, "group/{group}", gives("Subscription")),
    row("5.5", Events, Post, "serviceprovider/{provider}/group/{group}", gives("Subscription")),
    row("5.5", Events, Post, "serviceprovider/{provider}", gives("Subscription")),
    row("5.5", Events, Post, "enterprise/{provider}", gives("Subscription")),
    row("5.5", Events, Post, "system", gives("Subscription")),
    row("5.5", Events, Get, "subscription", gives("SubscriptionList")),
    row("5.5", Events, Get, "subscription/{subscription}", gives("Subscription")),
    row("5.5", Events, Put, "subscription/{subscription}", gives("Subscription")),
    row("5.5", Events, Delete, "subscription/{subscription}", DONE),
    row("5.7", Events, Post, "channel/eventresponse", DONE),
    row("5.4", Events, Delete, "channel/{channel}", DONE),
];

/// Documents of services that the protocol page has, by their segments.
const SERVICES: &[&str] = &[
    "AlternateNumbers",
    "AnonymousCallRejection",
    "AutomaticCallback",
    "BargeInExempt",
    "BroadWorksAnywhere",
    "BroadWorksMobility",
    "BusyLampField",
    "CallCenter",
    "CallForwardingAlways",
    "CallForwardingAlwaysSecondary",
    "CallForwardingBusy",
    "CallForwardingNoAnswer",
    "CallForwardingNotReachable",
    "CallForwardingSelective",
    "CallMeNow",
    "CallNotify",
    "CallPark",
    "CallRecording",
    "CallTransfer",
    "CallWaiting",
    "CallingLineIDBlockingOverride",
    "CallingLineIDDeliveryBlocking",
    "CallingNameRetrieval",
    "Collaborate",
    "CommPilotExpress",
    "ConnectedLineIdentificationPresentation",
    "ConnectedLineIdentificationRestriction",
    "CustomRingbackUser",
    "DoNotDisturb",
    "Executive",
    "ExecutiveAssistant",
    "ExternalCallingLineIDDelivery",
    "FlexibleSeatingGuest",
    "HotelingGuest",
    "HotelingHost",
    "IntegratedIMPService",
    "InternalCallingLineIDDelivery",
    "MusicOnHold",
    "PersonalAssistant",
    "PriorityAlert",
    "Privacy",
    "PushNotification",
    "RemoteOffice",
    "SecurityClassification",
    "SelectiveCallAcceptance",
    "SelectiveCallRejection",
    "SequentialRing",
    "SilentAlerting",
    "SimultaneousRingPersonal",
    "SpeedDial100",
    "SpeedDial8",
    "ThirdPartyVoiceMailSupport",
    "VoiceMessaging",
];

/// Every service by the segment of its URI, and whether it is served.
pub fn service_resources() -> impl Iterator<Item = (&'static str, bool)> {
    // What an agent is ready for is no declared service, and is kept with the call centers.
    let served = |segment: &str| {
        segment == "CallCenter" || ServiceKind::ALL.iter().any(|kind| kind.spec().segment == segment)
    };
    SERVICES.iter().map(move |segment| (*segment, served(segment)))
}

/// The table as `docs/xsi-resources.md` has it.
pub fn resources_page() -> String {
    let mut page = String::from(
        "# Resources of XSI\n\nWhat `Xsi-Actions` and `Xsi-Events` answer, over HTTP and over CTI. This page is made from the table in\n\
         `crates/xsi-api/src/resources.rs`; a test walks the table against a running server. What stands in braces is an id. Names in\n\
         paths may be written in any case.\n\n\
         *Served*: does what it says; the root of the answer's document is named. *Not assigned*: known, and refused to everybody with\n\
         error 210408. *Missing*: refused with error 210404.\n",
    );
    let mut section = "";
    for resource in RESOURCES {
        if resource.section != section {
            section = resource.section;
            // Writing to a string cannot fail.
            _ = write!(
                page,
                "\n## Section {section}\n\n| application | method | path | state |\n|---|---|---|---|\n"
            );
        }
        let application = match resource.application {
            Actions => "Xsi-Actions",
            Events => "Xsi-Events",
        };
        let state = match resource.state {
            ResourceState::Served(Some(root)) => format!("served: `{root}`"),
            ResourceState::Served(None) => "served".to_owned(),
            ResourceState::Refused(reason) => format!("not assigned: {reason}"),
            ResourceState::Missing(reason) => format!("missing: {reason}"),
        };
        _ = writeln!(
            page,
            "| {application} | {} | `{}` | {state} |",
            resource.method.as_str(),
            resource.path
        );
    }
    page.push_str(
        "\n## Services\n\nThe documents of `services/{Service}`, with what lies below them. A service that an operator took away is not\n\
         assigned.\n\n| document | state |\n|---|---|\n",
    );
    for (segment, served) in service_resources() {
        let kind = ServiceKind::ALL.iter().find(|kind| kind.spec().segment == segment);
        let below: Vec<String> = kind.iter().flat_map(|kind| below(**kind)).collect();
        let state = match (served, below.is_empty()) {
            (true, true) => "served".to_owned(),
            (true, false) => format!("served, with {}", below.join(" and ")),
            (false, _) => "missing: the application server does not have the service".to_owned(),
        };
        _ = writeln!(page, "| `{segment}` | {state} |");
    }
    page
}

/// What lies below the document of a service.
fn below(kind: ServiceKind) -> Vec<String> {
    let spec = kind.spec();
    let part = spec.part().map(|part| format!("`{}` (GET, PUT)", part.segment));
    let records = spec
        .records()
        .map(|(_, records)| format!("`{0}` (POST) and `{0}/{{id}}` (GET, PUT, DELETE)", records.segment));
    part.into_iter().chain(records).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_service_is_listed() {
        for kind in ServiceKind::ALL {
            assert!(SERVICES.contains(&kind.spec().segment), "{kind:?}");
        }
        assert!(SERVICES.is_sorted());
    }

    #[test]
    fn no_resource_stands_twice() {
        let rows: BTreeSet<_> = RESOURCES
            .iter()
            .map(|r| (r.application == Actions, r.method.as_str(), r.path.to_ascii_lowercase()))
            .collect();
        assert_eq!(rows.len(), RESOURCES.len());
    }

    #[test]
    fn the_page_says_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/xsi-resources.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, resources_page()).expect("written");
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == resources_page(),
            "docs/xsi-resources.md: UPDATE_GOLDEN=1 cargo nextest run -p openadp-xsi-api -E 'test(the_page)' writes it"
        );
    }
}
