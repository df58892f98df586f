//! What the application server says, as XSI documents: each mapping once.

use crate::acd;
use crate::delivery::{Package, Packages, StateKind};
use crate::services;
use openadp_appserver as port;
use openadp_appserver::{Event, PortError, PortResult, Ports, UserId};
use openadp_xsi_schema as wire;
use openadp_xsi_schema::{CallEventType, EventData, Flag};
use std::sync::Arc;

/// An address.
pub(crate) fn address(address: &port::Address) -> wire::Address {
    wire::Address::of(&address.value, address.country_code.as_deref())
}

/// One party's half of a call (xsi.md 3.7).
pub(crate) fn call(call: &port::Call) -> wire::Call {
    wire::Call {
        call_id: call.id.0.clone(),
        ext_tracking_id: call.external_tracking_id.clone(),
        network_call_id: Some(call.network_call_id.clone()).filter(|id| !id.is_empty()),
        personality: match call.personality {
            port::CallPersonality::ClickToDial => wire::Personality::ClickToDial,
            port::CallPersonality::Originator => wire::Personality::Originator,
            port::CallPersonality::Terminator => wire::Personality::Terminator,
        },
        state: match call.state {
            port::CallState::Active => wire::CallState::Active,
            port::CallState::Alerting => wire::CallState::Alerting,
            port::CallState::Detached => wire::CallState::Detached,
            port::CallState::Held => wire::CallState::Held,
            port::CallState::Released => wire::CallState::Released,
            port::CallState::RemoteHeld => wire::CallState::RemoteHeld,
        },
        release_cause: call.release_cause.map(|cause| wire::ReleaseCause {
            internal_release_cause: Some(match cause {
                port::InternalReleaseCause::Busy => wire::InternalReleaseCause::Busy,
                port::InternalReleaseCause::Forbidden => wire::InternalReleaseCause::Forbidden,
                port::InternalReleaseCause::RequestTimeout => wire::InternalReleaseCause::RequestTimeout,
                port::InternalReleaseCause::TemporarilyUnavailable => {
                    wire::InternalReleaseCause::TemporarilyUnavailable
                }
                port::InternalReleaseCause::UserNotFound => wire::InternalReleaseCause::UserNotFound,
            }),
            ..wire::ReleaseCause::default()
        }),
        releasing_party: call.releasing_party.map(|party| match party {
            port::ReleasingParty::Local => wire::ReleasingParty::LocalRelease,
            port::ReleasingParty::Remote => wire::ReleasingParty::RemoteRelease,
        }),
        remote_party: remote_party(&call.remote),
        redirect: call.redirect.as_ref().map(redirect),
        redirections: redirections(&call.redirections),
        endpoint: Some(endpoint(call)),
        appearance: Some(call.appearance),
        allow_answer: Flag(call.allow_answer),
        start_time: call.start_time,
        answer_time: call.answer_time,
        held_time: call.held_time,
        total_held_time: call.total_held_time,
        detached_time: call.detached_time,
        release_time: call.release_time,
        allow_retrieve: Flag(call.state == port::CallState::Held),
        recall_type: call.recall.map(|recall| match recall {
            port::RecallType::BusyCampOn => wire::RecallType::BusyCampOn,
            port::RecallType::CallPark => wire::RecallType::CallPark,
            port::RecallType::CallTransfer => wire::RecallType::CallTransfer,
        }),
        acd_call_info: call.acd.as_ref().map(|info| acd::call_info(info, &call.remote)),
        recorded: call.recording.map(|recording| recording.recorded),
        allowed_recording_controls: call.recording.map(|recording| match recording.controls {
            port::RecordingControls::None => wire::AllowedRecordingControls::None,
            port::RecordingControls::Record => wire::AllowedRecordingControls::Record,
            port::RecordingControls::Pause => wire::AllowedRecordingControls::Pause,
            port::RecordingControls::PauseStop => wire::AllowedRecordingControls::PauseStop,
            port::RecordingControls::Resume => wire::AllowedRecordingControls::Resume,
            port::RecordingControls::ResumeStop => wire::AllowedRecordingControls::ResumeStop,
        }),
        recording_state: call.recording.and_then(|recording| recording.state).map(|state| match state {
            port::RecordingState::Paused => wire::RecordingState::Paused,
            port::RecordingState::Started => wire::RecordingState::Started,
        }),
        ..wire::Call::default()
    }
}

/// Where a call was sent on to.
pub(crate) fn redirect(redirect: &port::Redirect) -> wire::Redirect {
    wire::Redirect {
        address: Some(address(&redirect.address)),
        reason: redirect.reason.clone(),
        redirect_time: redirect.time,
    }
}

/// The device, or the place that takes its part. Places that the protocol has no type for leave the device.
fn endpoint(call: &port::Call) -> wire::Endpoint {
    let kind = match call.place.as_ref().map(|place| place.kind) {
        Some(port::PlaceKind::BroadWorksAnywhere) => wire::EndpointKind::BroadWorksAnywhere,
        Some(port::PlaceKind::Mobility) => wire::EndpointKind::BroadWorksMobility,
        Some(port::PlaceKind::RemoteOffice) => wire::EndpointKind::RemoteOffice,
        Some(port::PlaceKind::Number) | None => {
            return wire::Endpoint::access(call.address_of_record.clone());
        }
    };
    let place = call.place.as_ref().map(|place| address(&place.address).uri);
    wire::Endpoint { kind, address: place.unwrap_or_default() }
}

/// How a call came, where it did not come straight.
pub(crate) fn redirections(redirections: &[port::Redirection]) -> Option<wire::Redirections> {
    let all = || wire::Redirections { redirections: redirections.iter().map(redirection).collect() };
    (!redirections.is_empty()).then(all)
}

fn redirection(redirection: &port::Redirection) -> wire::Redirection {
    wire::Redirection {
        party: Some(remote_party(&redirection.party)),
        reason: wire::RedirectionReason::parse(&redirection.reason)
            .or(Some(wire::RedirectionReason::Unknown)),
        counter: Some(redirection.counter),
    }
}

/// A conference.
pub(crate) fn conference(conference: &port::Conference) -> wire::Conference {
    wire::Conference {
        state: Some(match conference.state {
            port::CallState::Held => wire::ConferenceState::Held,
            port::CallState::Released => wire::ConferenceState::Released,
            port::CallState::Active
            | port::CallState::Alerting
            | port::CallState::Detached
            | port::CallState::RemoteHeld => wire::ConferenceState::Active,
        }),
        endpoint: Some(wire::Endpoint::access(conference.address_of_record.clone())),
        appearance: Some(conference.appearance),
        muted: Flag(conference.muted),
        participants: wire::ConferenceParticipants {
            participants: conference
                .participants
                .iter()
                .map(|participant| wire::ConferenceParticipant {
                    call_id: participant.call.0.clone(),
                    muted: Flag(participant.muted),
                    deaf: Flag(participant.deaf),
                })
                .collect(),
        },
    }
}

fn conference_event(kind: port::ConferenceEventKind) -> &'static str {
    use port::ConferenceEventKind as Kind;
    match kind {
        Kind::CallMadeDeaf => "ConferenceCallMadeDeafEvent",
        Kind::CallMadeUnDeaf => "ConferenceCallMadeUnDeafEvent",
        Kind::CallMuted => "ConferenceCallMutedEvent",
        Kind::CallUnMuted => "ConferenceCallUnMutedEvent",
        Kind::Held => "ConferenceHeldEvent",
        Kind::Muted => "ConferenceMutedEvent",
        Kind::Released => "ConferenceReleasedEvent",
        Kind::Retrieved => "ConferenceRetrievedEvent",
        Kind::Started => "ConferenceStartedEvent",
        Kind::Unmuted => "ConferenceUnmutedEvent",
        Kind::Updated => "ConferenceUpdatedEvent",
    }
}

/// With privacy neither name nor address nor anything that tells them (xsi.md 3.7).
pub(crate) fn remote_party(party: &port::RemoteParty) -> wire::RemoteParty {
    let shown = !party.private;
    wire::RemoteParty {
        name: party.name.clone().filter(|_| shown),
        address: shown.then(|| address(&party.address)),
        user_id: party.user_id.as_ref().filter(|_| shown).map(ToString::to_string),
        user_dn: party.user_dn.as_ref().filter(|_| shown).map(address),
        privacy: Flag(party.private),
        call_type: Some(match party.call_type {
            port::CallType::Enterprise => wire::CallType::Enterprise,
            port::CallType::Group => wire::CallType::Group,
            port::CallType::Network => wire::CallType::Network,
        }),
    }
}

/// Hook status.
pub(crate) fn hook(status: port::HookStatus) -> wire::HookState {
    match status {
        port::HookStatus::OffHook => wire::HookState::OffHook,
        port::HookStatus::OnHook => wire::HookState::OnHook,
    }
}

/// The data of a feed event; `None` for what no package carries or what needs a look at a port first.
pub(crate) fn event_data(subscriber: &UserId, event: &Event) -> Option<Arc<EventData>> {
    let data = match event {
        Event::Call { kind: port::CallEventKind::RecordingStopped, call: half } => {
            EventData::recording_stopped(&call(half))
        }
        Event::Conference { kind, conference: changed } => {
            EventData::conference(conference_event(*kind), &conference(changed))
        }
        Event::Agent(status) => acd::state_event(status),
        Event::AgentJoin(queue) => acd::join_event(queue),
        Event::Queue { kind, entry, position } => acd::queue_event(*kind, entry, *position),
        Event::Parked { party } => EventData::parked_against(party.as_ref().map(remote_party).as_ref()),
        Event::Call { kind: port::CallEventKind::Redirected, call: half } => {
            EventData::calls_redirected(&[call(half)])
        }
        Event::Call { kind, call: half } => EventData::call(
            match kind {
                port::CallEventKind::Answered => CallEventType::Answered,
                port::CallEventKind::Forwarded => CallEventType::Forwarded,
                port::CallEventKind::Held => CallEventType::Held,
                port::CallEventKind::Originated => CallEventType::Originated,
                port::CallEventKind::Originating => CallEventType::Originating,
                port::CallEventKind::Received => CallEventType::Received,
                port::CallEventKind::Released => CallEventType::Released,
                port::CallEventKind::Retrieved => CallEventType::Retrieved,
                port::CallEventKind::Transferred => CallEventType::Transferred,
                port::CallEventKind::ParkRetrieved => CallEventType::ParkRetrieved,
                port::CallEventKind::PickedUp => CallEventType::PickedUp,
                port::CallEventKind::RecordingPaused => CallEventType::RecordingPaused,
                port::CallEventKind::RecordingResumed => CallEventType::RecordingResumed,
                port::CallEventKind::RecordingStarted => CallEventType::RecordingStarted,
                port::CallEventKind::RecordingStarting => CallEventType::RecordingStarting,
                port::CallEventKind::RecordingStopped
                | port::CallEventKind::Redirected
                | port::CallEventKind::Updated => CallEventType::Updated,
            },
            &call(half),
        ),
        Event::Hook(status) => EventData::hook_status(hook(*status)),
        Event::Service(changed) => {
            EventData::service(changed.kind.spec().event?, services::document(subscriber, changed))
        }
        Event::Messages(summary) => EventData::message_summary(&message_summary(*summary)),
        Event::CredentialsChanged | Event::PushRegistrations | Event::SubscriberDeleted => return None,
    };
    Some(Arc::new(data))
}

/// How many messages there are; what is zero is left out (xsi.md 3.4).
pub(crate) fn message_summary(summary: port::MessageSummary) -> wire::MessageSummary {
    let some = |count: u32| Some(count).filter(|count| *count > 0);
    wire::MessageSummary {
        new_messages: some(summary.new),
        old_messages: some(summary.old),
        new_urgent_messages: some(summary.new_urgent),
        old_urgent_messages: some(summary.old_urgent),
    }
}

/// A push registration.
pub(crate) fn push_registration(registration: &port::PushRegistration) -> wire::PushNotificationRegistration {
    wire::PushNotificationRegistration {
        application_id: registration.application_id.clone(),
        application_version: registration.application_version.clone(),
        registration_id: registration.registration_id.clone(),
        device_os_type: registration.device_os_type.clone(),
        device_os_version: registration.device_os_version.clone(),
        device_token_list: wire::DeviceTokenList {
            tokens: registration
                .tokens
                .iter()
                .map(|token| wire::DeviceToken {
                    token: token.token.clone(),
                    kind: Some(token.kind.clone()),
                    events: wire::PushNotificationEvents {
                        events: token.events.clone(),
                        details: Vec::new(),
                    },
                })
                .collect(),
        },
    }
}

/// All push registrations.
pub(crate) fn push_registrations(
    registrations: &[port::PushRegistration],
) -> wire::PushNotificationRegistrations {
    wire::PushNotificationRegistrations {
        registrations: registrations.iter().map(push_registration).collect(),
    }
}

/// The event that says them.
pub(crate) fn push_registrations_event(registrations: &[port::PushRegistration]) -> Arc<EventData> {
    Arc::new(EventData::push_registrations(&push_registrations(registrations)))
}

/// The full state of a user for some packages, and the feed position that it holds at: the earliest of its parts, so
/// that nothing is missed.
pub(crate) async fn state(
    ports: &Ports,
    kind: StateKind,
    user: &UserId,
    packages: &Packages,
) -> PortResult<(u64, Vec<Arc<EventData>>)> {
    let mut position = u64::MAX;
    let mut events = Vec::with_capacity(packages.len());
    if packages.iter().any(Package::is_call) {
        let overview = ports.calls.overview(user).await?;
        position = position.min(overview.position);
        let calls: Vec<wire::Call> = overview.calls.iter().map(call).collect();
        let resync = kind == StateKind::Resync;
        let joined = overview.conference.as_ref().map(conference);
        let hook = hook(overview.hook_status);
        events.push(Arc::new(EventData::call_subscription(&calls, joined.as_ref(), hook, resync)));
    }
    for package in packages.iter() {
        if let Some(kind) = package.service() {
            match ports.services.service(user, kind).await {
                Ok((at, found)) => {
                    position = position.min(at);
                    if let Some(event) = kind.spec().event {
                        events.push(Arc::new(EventData::service(event, services::document(user, &found))));
                    }
                }
                Err(PortError::NotAssigned { .. }) => {
                    if let Some(event) = kind.spec().event {
                        events.push(Arc::new(EventData::service_unassigned(event)));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if package == Package::VoiceMailMessageSummary {
            match ports.messages.summary(user).await {
                Ok((at, found)) => {
                    position = position.min(at);
                    events.push(Arc::new(EventData::message_summary(&message_summary(found))));
                }
                // Nothing lies in a mailbox that is not there.
                Err(PortError::NotAssigned { .. }) => {
                    let none = port::MessageSummary::default();
                    events.push(Arc::new(EventData::message_summary(&message_summary(none))));
                }
                Err(error) => return Err(error),
            }
        }
        if package == Package::CallCenterAgent {
            let (at, agent) = match ports.call_centers.agent(user).await {
                Ok((at, agent)) => (at, Some(agent)),
                Err(PortError::NotAssigned { .. }) => (ports.feed.position().await?, None),
                Err(error) => return Err(error),
            };
            position = position.min(at);
            events.push(Arc::new(acd::agent_subscription(agent.as_ref())));
        }
        if package == Package::CallCenterQueue {
            let (at, entries) = match ports.call_centers.queue(user).await {
                // Who is no call centre has nobody waiting.
                Err(PortError::NotFound { .. }) => (ports.feed.position().await?, Vec::new()),
                found => found?,
            };
            position = position.min(at);
            events.push(Arc::new(acd::queue_subscription(&entries, kind == StateKind::Resync)));
        }
        if package == Package::CallPark {
            let (at, party) = ports.calls.parked(user).await?;
            position = position.min(at);
            let party = party.as_ref().map(remote_party);
            events.push(Arc::new(EventData::parked_against(party.as_ref())));
        }
        if package == Package::PushNotificationRegistration {
            position = position.min(ports.feed.position().await?);
            events.push(push_registrations_event(&ports.push.registrations(user).await?));
        }
    }
    if position == u64::MAX {
        position = 0;
    }
    Ok((position, events))
}

/// A number with a dash after its country code (xsi.md 1.4): `+1-5550100123`.
pub(crate) fn dashed(number: &str, country_code: &str) -> String {
    match number.strip_prefix('+').and_then(|rest| rest.strip_prefix(country_code)) {
        Some(rest) if !country_code.is_empty() && !rest.is_empty() && !rest.starts_with('-') => {
            format!("+{country_code}-{rest}")
        }
        _ => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_their_dash() {
        assert_eq!(dashed("+15550100123", "1"), "+1-5550100123");
        assert_eq!(dashed("+442079460123", "44"), "+44-2079460123");
        assert_eq!(dashed("+1-5550100123", "1"), "+1-5550100123");
        assert_eq!(dashed("1012", "1"), "1012");
        assert_eq!(dashed("+49", "49"), "+49");
    }

    #[test]
    fn private_parties_show_nothing() {
        let party = port::RemoteParty {
            name: Some("Bo Li".to_owned()),
            address: port::Address { value: "+15550100124".to_owned(), country_code: Some("1".to_owned()) },
            user_id: Some(UserId::new("bo@lab.example")),
            user_dn: Some(port::Address { value: "+15550100124".to_owned(), country_code: None }),
            call_type: port::CallType::Group,
            private: true,
        };
        let shown = remote_party(&party);
        assert_eq!((shown.name, shown.address, shown.user_id, shown.user_dn), (None, None, None, None));
        assert!(shown.privacy.0);
    }
}
