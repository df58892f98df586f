//! Call centres: the agent's service, queues, unavailable codes (xsi.md 3.3, 3.8).

use super::get_only;
use crate::api::{Call, Outcome};
use crate::error::ApiError;
use crate::{Method, Reply, acd};
use openadp_appserver::{AccountKind, AdminLevel, AgentChange, PortError, Principal, UserId};
use openadp_xsi_schema::Element;

/// Root and segment of the agent's service.
pub(super) const SERVICE: &str = "CallCenter";
/// Its name in the list of services.
pub(super) const NAME: &str = "Call Center - Basic";
/// Settings of the protocol that nothing would follow from.
const NEVER: &[&str] = &[
    "enableGuardTimer",
    "forceAgentUnavailableOnDNDActivation",
    "forceUnavailableOnPersonalCalls",
    "forceAgentUnavailableOnBouncedCallLimit",
    "makeOutgoingCallsAsCallCenter",
];

/// The agent's service: state and call centres.
pub(super) async fn agent(call: &Call<'_>, user: &UserId) -> Outcome {
    let port = &call.api.ports.call_centers;
    let (_, agent) = port.agent(user).await?;
    match call.method {
        Method::Get => {
            let state = acd::state_name(agent.status.state);
            let mut document = Element::new(SERVICE).with(Element::text("agentACDState", state));
            if let Some(code) = agent.status.unavailable_code {
                document.push(Element::text("agentUnavailableCode", code));
            }
            let mut list = Element::new("callCenterList");
            for queue in agent.queues {
                let mut details = Element::new("callCenterDetails")
                    .with(Element::text("serviceUserId", queue.call_center.to_string()))
                    .with(Element::text("available", if queue.joined { "true" } else { "false" }));
                for (name, value) in [("phoneNumber", queue.number), ("extension", queue.extension)] {
                    if let Some(value) = value {
                        details.push(Element::text(name, value));
                    }
                }
                list.push(details.with(Element::text("isLogOffAllowed", "true")));
            }
            Ok(Reply::document(200, document.with(list)))
        }
        Method::Put => {
            call.may_control()?;
            port.change_agent(user, &asked(call.document(SERVICE)?)?).await?;
            Ok(Reply::empty(200))
        }
        Method::Delete | Method::Post => Err(ApiError::MethodNotAllowed { allow: "GET, PUT" }),
    }
}

fn asked(document: &Element) -> Result<AgentChange, ApiError> {
    let bad = |reason: &str| ApiError::BadDocument { reason: reason.to_owned() };
    if document.name != SERVICE {
        return Err(bad("the document is not a CallCenter"));
    }
    if NEVER
        .iter()
        .any(|name| document.child_text(name).is_some_and(|text| text.eq_ignore_ascii_case("true")))
    {
        return Err(bad("it asks for something that cannot be set here"));
    }
    let state = document
        .child_text("agentACDState")
        .map(|text| acd::state_of(text).ok_or(bad("agentACDState is none")));
    let code = document.child("agentUnavailableCode").map(|child| {
        let text = child.trimmed_text().to_owned();
        (!child.is_nil() && !text.is_empty()).then_some(text)
    });
    let mut joins = Vec::new();
    for details in document.child("callCenterList").into_iter().flat_map(|list| list.all("callCenterDetails"))
    {
        let center = details.child_text("serviceUserId").ok_or(bad("serviceUserId is missing"))?;
        match details.child_text("available") {
            Some(text) if text.eq_ignore_ascii_case("true") => joins.push((UserId::new(center), true)),
            Some(text) if text.eq_ignore_ascii_case("false") => joins.push((UserId::new(center), false)),
            Some(_) => return Err(bad("available is neither true nor false")),
            None => {}
        }
    }
    Ok(AgentChange { state: state.transpose()?, unavailable_code: code, joins })
}

/// The call centre of a path: its agents may see it, and whoever administers it.
async fn center(call: &Call<'_>, id: &str) -> Result<UserId, ApiError> {
    let center = UserId::new(id);
    match call.principal {
        Principal::Subscriber { user_id, .. } if *user_id != center => {
            let agent = match call.api.ports.call_centers.agent(user_id).await {
                Err(PortError::NotAssigned { .. }) => return Err(ApiError::Forbidden),
                agent => agent?.1,
            };
            let of_it = agent.queues.iter().any(|queue| queue.call_center == center);
            if of_it { Ok(center) } else { Err(ApiError::Forbidden) }
        }
        _ => call.subscriber(id).await,
    }
}

/// What a call centre is.
pub(super) async fn profile(call: &Call<'_>, id: &str) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.call_centers.call_center(&center(call, id).await?).await?;
    let mut instance = Element::new("serviceInstanceProfile")
        .with(Element::text("name", format!("{} {}", found.first_name, found.last_name)))
        .with(Element::text("callingLineIdLastName", found.last_name))
        .with(Element::text("callingLineIdFirstName", found.first_name));
    for (name, value) in [("phoneNumber", found.number), ("extension", found.extension)] {
        if let Some(value) = value {
            instance.push(Element::text(name, value));
        }
    }
    let document = Element::new("ACDProfile")
        .with(instance)
        .with(Element::text("type", "Basic"))
        .with(Element::text("policy", "Longest Idle"));
    Ok(Reply::document(200, document))
}

/// Who waits.
pub(super) async fn calls(call: &Call<'_>, id: &str) -> Outcome {
    get_only(call)?;
    let (_, entries) = call.api.ports.call_centers.queue(&center(call, id).await?).await?;
    let mut document = Element::new("ACDQueue");
    if let Some(entries) = acd::queue_entries(&entries) {
        document.push(entries);
    }
    Ok(Reply::document(200, document))
}

/// The reasons for being unavailable, for everybody of the group.
pub(super) async fn unavailable_codes(call: &Call<'_>, group: &str) -> Outcome {
    get_only(call)?;
    let asked = call.query.get("enterpriseId").or_else(|| call.query.get("serviceProviderId"));
    let (provider, allowed) = match call.principal {
        Principal::Subscriber { user_id, .. } => {
            match call.api.ports.credentials.account(user_id).await?.kind {
                AccountKind::Subscriber { provider, group: own } => {
                    let allowed = own == group && asked.is_none_or(|asked| asked == provider);
                    (provider, allowed)
                }
                AccountKind::Administrator(_) => return Err(ApiError::Forbidden),
            }
        }
        Principal::Administrator { level, .. } => {
            let missing =
                || ApiError::BadParameter { name: "enterpriseId", reason: "it is missing".to_owned() };
            match level {
                AdminLevel::System => (asked.ok_or_else(missing)?.to_owned(), true),
                AdminLevel::ServiceProvider { provider } => {
                    (provider.clone(), asked.is_none_or(|asked| asked == provider))
                }
                AdminLevel::Group { provider, group: own } => {
                    (provider.clone(), own == group && asked.is_none_or(|asked| asked == provider))
                }
            }
        }
        Principal::ClientApplication { .. } => return Err(ApiError::Forbidden),
    };
    if !allowed {
        return Err(ApiError::Forbidden);
    }
    if !call.api.ports.directory.organisation_exists(&provider, Some(group)).await? {
        return Err(ApiError::NotFound { what: "group" });
    }
    let codes = call.api.ports.call_centers.unavailable_codes(&provider).await?;
    let mut list = Element::new("unavailableCodes");
    for code in &codes {
        list.push(
            Element::new("unavailableCodeDetail")
                .with_attribute("isDefault", "false")
                .with(Element::text("active", "true"))
                .with(Element::text("code", code.code.clone()))
                .with(Element::text("description", code.description.clone())),
        );
    }
    let document = Element::new("ACDAgentUnavailableCodes")
        .with(Element::text("enableAgentUnavailableCodes", if codes.is_empty() { "false" } else { "true" }))
        .with(Element::text("forceUseOfAgentUnavailableCodes", "false"))
        .with(list);
    Ok(Reply::document(200, document))
}
