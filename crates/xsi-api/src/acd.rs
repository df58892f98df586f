//! Call centres on the wire: the queue's part of calls, agents and queue entries (xsi.md 3.3, 3.7, 3.8, 5.8).

use crate::convert;
use openadp_appserver as port;
use openadp_appserver::{AcdState, Agent, AgentQueue, AgentStatus, QueueEntry, QueueEventKind};
use openadp_xsi_schema::{Element, EventData, Value as _};

/// The state's name on the wire.
pub(crate) fn state_name(state: AcdState) -> &'static str {
    match state {
        AcdState::Available => "Available",
        AcdState::SignIn => "Sign-In",
        AcdState::SignOut => "Sign-Out",
        AcdState::Unavailable => "Unavailable",
        AcdState::WrapUp => "Wrap-Up",
    }
}

/// The state of a name on the wire.
pub(crate) fn state_of(name: &str) -> Option<AcdState> {
    [AcdState::Available, AcdState::SignIn, AcdState::SignOut, AcdState::Unavailable, AcdState::WrapUp]
        .into_iter()
        .find(|state| state_name(*state) == name)
}

fn push(element: &mut Element, name: &'static str, text: Option<String>) {
    if let Some(text) = text {
        element.push(Element::text(name, text));
    }
}

/// The queue's part of a call at an agent.
pub(crate) fn call_info(info: &port::AcdInfo, caller: &port::RemoteParty) -> Element {
    let mut calling = Element::new("callingPartyInfo");
    let party = convert::remote_party(caller);
    push(&mut calling, "name", party.name);
    push(&mut calling, "userId", party.user_id);
    if let Some(address) = party.address {
        calling.push(address.to_value("address"));
    }
    if party.privacy.0 {
        calling.push(Element::new("privacy"));
    }
    Element::new("acdCallInfo")
        .with(Element::text("acdUserId", info.user_id.to_string()))
        .with(Element::text("acdName", info.name.clone()))
        .with(convert::address(&info.number).to_value("acdNumber"))
        .with(Element::text("numCallsInQueue", info.waiting.to_string()))
        .with(Element::text("waitTime", (info.waited / 1_000).to_string()))
        .with(calling)
}

/// A caller who waits.
pub(crate) fn queue_entry(entry: &QueueEntry) -> Element {
    let mut element = Element::new("queueEntry")
        .with(Element::text("callId", entry.call_id.0.clone()))
        .with(Element::text("extTrackingId", entry.external_tracking_id.clone()))
        .with(convert::remote_party(&entry.remote).to_value("remoteParty"))
        .with(Element::text("addTime", entry.added_at.to_string()));
    push(&mut element, "removeTime", entry.removed_at.map(|time| time.to_string()));
    if entry.bounced {
        element.push(Element::new("bounced"));
    }
    element.push(Element::text("acdName", entry.name.clone()));
    element.push(convert::address(&entry.number).to_value("acdNumber"));
    if let Some((user, call)) = &entry.answered_by {
        element.push(Element::text("answeringUserId", user.to_string()));
        element.push(Element::text("answeringCallId", call.0.clone()));
    }
    element
}

/// All who wait.
pub(crate) fn queue_entries(entries: &[QueueEntry]) -> Option<Element> {
    (!entries.is_empty()).then(|| {
        entries.iter().fold(Element::new("queueEntries"), |list, entry| list.with(queue_entry(entry)))
    })
}

/// The full state of a queue.
pub(crate) fn queue_subscription(entries: &[QueueEntry], resync: bool) -> EventData {
    let kind = if resync { "ACDSubscriptionResyncEvent" } else { "ACDSubscriptionEvent" };
    EventData::new(kind, queue_entries(entries).into_iter().collect())
}

/// Something happened to who waits.
pub(crate) fn queue_event(kind: QueueEventKind, entry: &QueueEntry, position: Option<u32>) -> EventData {
    let name = match kind {
        QueueEventKind::Abandoned => "ACDCallAbandonedEvent",
        QueueEventKind::Added => "ACDCallAddedEvent",
        QueueEventKind::AnsweredByAgent => "ACDCallAnsweredByAgentEvent",
        QueueEventKind::Bounced => "ACDCallBouncedEvent",
        QueueEventKind::OfferedToAgent => "ACDCallOfferedToAgentEvent",
        QueueEventKind::Overflowed => "ACDCallOverflowedEvent",
        QueueEventKind::Transferred => "ACDCallTransferredEvent",
    };
    let mut children = vec![queue_entry(entry)];
    children.extend(position.map(|position| Element::text("position", position.to_string())));
    if kind == QueueEventKind::Overflowed {
        children.push(Element::text("overflowReason", "time"));
    }
    children.extend(entry.redirect.as_ref().map(|to| convert::redirect(to).to_value("redirect")));
    EventData::new(name, children)
}

fn state_info(name: &'static str, status: &AgentStatus) -> Element {
    let stamp = Element::new("stateTimestamp").with(Element::text("value", status.since.to_string()));
    let mut info = Element::new(name).with(Element::text("state", state_name(status.state))).with(stamp);
    push(&mut info, "unavailableCode", status.unavailable_code.clone());
    push(&mut info, "wrapUpCallId", status.wrap_up_call.as_ref().map(|call| call.0.clone()));
    push(&mut info, "signInTimestamp", status.sign_in_at.map(|time| time.to_string()));
    info
}

fn join_info(queue: &AgentQueue) -> Element {
    let info = Element::new("joinInfo").with(Element::text("acdUserId", queue.call_center.to_string()));
    if queue.joined { info.with(Element::new("joined")) } else { info }
}

/// The agent's state changed.
pub(crate) fn state_event(status: &AgentStatus) -> EventData {
    EventData::new("AgentStateEvent", vec![state_info("agentStateInfo", status)])
}

/// The agent joined or left a call centre.
pub(crate) fn join_event(queue: &AgentQueue) -> EventData {
    let data = Element::new("ccAgentJoinUpdateData").with(join_info(queue));
    EventData::new("ACDAgentJoinUpdateEvent", vec![data])
}

/// The full state of an agent; of who is none, that.
pub(crate) fn agent_subscription(agent: Option<&Agent>) -> EventData {
    let mut data = Element::new("joinData");
    let queues = agent.map(|agent| agent.queues.as_slice()).unwrap_or_default();
    if !queues.is_empty() {
        data.push(queues.iter().fold(Element::new("joinInfos"), |list, queue| list.with(join_info(queue))));
    }
    let mut children = vec![data];
    children.extend(agent.map(|agent| state_info("stateInfo", &agent.status)));
    EventData::new("AgentSubscriptionEvent", children)
}
