//! All request wrappers that clients know, with their methods (cti.md 12). Dispatch does not need them: it goes by
//! method and URI. The table only tells that a client's method is not the wrapper's.

/// The method of a wrapper, by its local name; `None` for one that is not in the table.
pub fn declared_method(wrapper: &str) -> Option<&'static str> {
    let at = WRAPPERS.binary_search_by(|(name, _)| (*name).cmp(wrapper)).ok()?;
    WRAPPERS.get(at).map(|(_, method)| *method)
}

/// Names and methods, ordered by name.
const WRAPPERS: &[(&str, &str)] = &[
    ("ACDBlindTransferRequest", "PUT"),
    ("ACDPromoteCallRequest", "PUT"),
    ("ACDReleaseCallRequest", "DELETE"),
    ("ACDReorderCallRequest", "PUT"),
    ("AddChannelRequest", "POST"),
    ("AddEnterpriseSubscriptionRequest", "POST"),
    ("AddGroupSubscriptionRequest", "POST"),
    ("AddServiceProviderSubscriptionRequest", "POST"),
    ("AddSystemSubscriptionRequest", "POST"),
    ("AddUserSubIdSubscriptionRequest", "POST"),
    ("AddUserSubscriptionRequest", "POST"),
    ("AllocateIMRNRequest", "PUT"),
    ("BlindTransferRequest", "PUT"),
    ("CallMeNowRequest", "POST"),
    ("CallReturnRequest", "POST"),
    ("ClearVoiceMailMessageSummaryRequest", "DELETE"),
    ("CoachAgentCallRequest", "POST"),
    ("CollaborateRoomLockRequest", "PUT"),
    ("CollaborateRoomMuteCallRequest", "PUT"),
    ("CollaborateRoomOutgoingDialRequest", "POST"),
    ("CollaborateRoomReleaseCallRequest", "DELETE"),
    ("CollaborateRoomSetClientSessionInfoRequest", "PUT"),
    ("CollaborateRoomUnlockRequest", "PUT"),
    ("CollaborateRoomUnmuteCallRequest", "PUT"),
    ("ConferenceAddParticipantRequest", "PUT"),
    ("ConferenceBargeInRequest", "PUT"),
    ("ConferenceDeafCallRequest", "PUT"),
    ("ConferenceHoldRequest", "PUT"),
    ("ConferenceMuteCallRequest", "PUT"),
    ("ConferenceReleaseRequest", "DELETE"),
    ("ConferenceRetrieveRequest", "PUT"),
    ("ConferenceSilentMonitorRequest", "PUT"),
    ("ConferenceStartRequest", "POST"),
    ("ConferenceSupervisorCoachRequest", "PUT"),
    ("ConferenceUnDeafCallRequest", "PUT"),
    ("ConferenceUnMuteCallRequest", "PUT"),
    ("ConferenceUnMuteRequest", "PUT"),
    ("ConsultativeTransferRequest", "PUT"),
    ("CustomerOriginatedTraceRequest", "POST"),
    ("DeleteChannelRequest", "DELETE"),
    ("DeleteSubscriptionRequest", "DELETE"),
    ("DeleteVoiceMessagingMessageRequest", "DELETE"),
    ("DialRequest", "POST"),
    ("DirectedCallPickupRequest", "POST"),
    ("DirectedCallPickupWithBargeInRequest", "POST"),
    ("EmergencyCallToSupervisorRequest", "POST"),
    ("EscalateToSupervisorRequest", "POST"),
    ("ExecutiveAssistantCallPushRequest", "PUT"),
    ("ExecutiveAssistantInitiateCallRequest", "POST"),
    ("FindMeFollowMeCallPushRequestRequest", "PUT"),
    ("GetACDRequest", "GET"),
    ("GetAgentStateRequest", "GET"),
    ("GetAllVoiceMessagingMessagesRequest", "GET"),
    ("GetApplicationControllerStateRequest", "GET"),
    ("GetCallForwardingAlwaysRequest", "GET"),
    ("GetCallForwardingBusyRequest", "GET"),
    ("GetCallForwardingNoAnswerRequest", "GET"),
    ("GetChannelSetRequest", "GET"),
    ("GetCollaborateRoomRequest", "GET"),
    ("GetDoNotDisturbRequest", "GET"),
    ("GetFlexibleSeatingGuestRequest", "GET"),
    ("GetFlexibleSeatingHostsRequest", "GET"),
    ("GetHotelingGuestRequest", "GET"),
    ("GetHotelingHostsRequest", "GET"),
    ("GetMeetMeConferenceRequest", "GET"),
    ("GetRoutePointRequest", "GET"),
    ("GetRoutePointStateRequest", "GET"),
    ("GetSingleSubscriptionRequest", "GET"),
    ("GetSubscriptionsRequest", "GET"),
    ("GetVoiceMailMessageSummaryRequest", "GET"),
    ("GetVoiceMessagingMessageRequest", "GET"),
    ("HoldRequest", "PUT"),
    ("LastNumberRedialRequest", "POST"),
    ("MarkAllVoiceMessagingMessagesAsReadRequest", "PUT"),
    ("MarkAllVoiceMessagingMessagesAsUnreadRequest", "PUT"),
    ("MarkVoiceMessagingMessageAsReadRequest", "PUT"),
    ("MarkVoiceMessagingMessageAsUnreadRequest", "PUT"),
    ("MeetMeConferenceHoldCallRequest", "PUT"),
    ("MeetMeConferenceLockRequest", "PUT"),
    ("MeetMeConferenceMuteCallRequest", "PUT"),
    ("MeetMeConferenceOutgoingDialRequest", "POST"),
    ("MeetMeConferencePauseRecordingRequest", "PUT"),
    ("MeetMeConferencePlaySecurityClassificationRequest", "PUT"),
    ("MeetMeConferenceReleaseCallRequest", "DELETE"),
    ("MeetMeConferenceResumeRecordingRequest", "PUT"),
    ("MeetMeConferenceRetrieveCallRequest", "PUT"),
    ("MeetMeConferenceSetConferenceClientSessionInfoRequest", "PUT"),
    ("MeetMeConferenceSetLectureModeRequest", "PUT"),
    ("MeetMeConferenceStartRecordingRequest", "PUT"),
    ("MeetMeConferenceStopRecordingRequest", "PUT"),
    ("MeetMeConferenceUnlockRequest", "PUT"),
    ("MeetMeConferenceUnmuteCallRequest", "PUT"),
    ("MeetMeConferenceUnsetLectureModeRequest", "PUT"),
    ("ModifyCallForwardingAlwaysRequest", "PUT"),
    ("ModifyCallForwardingBusyRequest", "PUT"),
    ("ModifyCallForwardingNoAnswerRequest", "PUT"),
    ("ModifyDoNotDisturbRequest", "PUT"),
    ("ModifyFlexibleSeatingGuestRequest", "PUT"),
    ("ModifyHotelingGuestRequest", "PUT"),
    ("ModifyRoutePointStateRequest", "PUT"),
    ("MonitorCallRequest", "POST"),
    ("MonitorNextCallRequest", "POST"),
    ("MuteTransferRequest", "PUT"),
    ("PauseRecordingRequest", "PUT"),
    ("PlayMusicOnHoldRequest", "PUT"),
    ("ReconnectRequest", "PUT"),
    ("RecordRequest", "PUT"),
    ("ReleaseRequest", "DELETE"),
    ("ResumeRecordingRequest", "PUT"),
    ("RetrieveCallDetailsRequest", "GET"),
    ("RetrieveCallIdInfoListRequest", "GET"),
    ("RetrieveHookStatusRequest", "GET"),
    ("RetrieveRequest", "PUT"),
    ("RoutePointAdmitCallRequest", "PUT"),
    ("RoutePointBlindTransferRequest", "PUT"),
    ("RoutePointBounceCallRequest", "PUT"),
    ("RoutePointConnectToVoiceXMLRequest", "PUT"),
    ("RoutePointDistributeCallRequest", "PUT"),
    ("RoutePointFailCallRequest", "PUT"),
    ("RoutePointOutgoingDialRequest", "POST"),
    ("RoutePointPlayBusyRequest", "PUT"),
    ("RoutePointPlayMOHRequest", "PUT"),
    ("RoutePointPlayRingbackRequest", "PUT"),
    ("RoutePointPlaySilenceRequest", "PUT"),
    ("RoutePointPlayTreatmentRequest", "PUT"),
    ("RoutePointRejectCallRequest", "PUT"),
    ("RoutePointReleaseCallRequest", "DELETE"),
    ("SetAgentStateRequest", "PUT"),
    ("SetApplicationControllerStateRequest", "PUT"),
    ("SetClientSessionInfoRequest", "PUT"),
    ("StopRecordingRequest", "PUT"),
    ("TagDispositionCodeRequest", "POST"),
    ("TagDispositionCodeToCallIdRequest", "POST"),
    ("TalkRequest", "PUT"),
    ("TransferToVoiceMail", "PUT"),
    ("TransmitDTMFRequest", "PUT"),
    ("UpdateChannelRequest", "PUT"),
    ("UpdateSubscriptionRequest", "PUT"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Call, expand};

    #[test]
    fn the_table_is_ordered_and_whole() {
        assert!(WRAPPERS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(WRAPPERS.len(), 138);
        assert_eq!(declared_method("HoldRequest"), Some("PUT"));
        assert_eq!(declared_method("emptyRequestPayload"), None);
    }

    #[test]
    fn every_template_expands() {
        let templates = include_str!("../../tests/golden/wrappers.tsv");
        let mut seen = 0;
        for line in templates.lines() {
            let [name, method, template, params] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            seen += 1;
            assert_eq!(declared_method(name), Some(method), "{name}");
            let params: Vec<(String, String)> = params
                .split_ascii_whitespace()
                .map(|param| (param.trim_end_matches('?').to_owned(), format!("v/{param}")))
                .collect();
            let call = Call {
                wrapper: name.to_owned(),
                uri: format!("/com.broadsoft.xsi-actions/v2.0/{template}"),
                method: method.to_owned(),
                params: params.clone(),
                document: None,
            };
            let target = expand(&call).unwrap_or_else(|error| panic!("{name}: {error}"));
            for (_, value) in &params {
                let value = value.replace('/', "%2F").replace('?', "%3F");
                assert!(
                    target.path.contains(&value) || target.query.contains(&value),
                    "{name}: {value} in {target:?}"
                );
            }
        }
        assert_eq!(seen, WRAPPERS.len());
    }
}
