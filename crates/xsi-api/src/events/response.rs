//! EventResponse (xsi.md 5.7, cti.md 7).

use crate::api::{Call, Outcome};
use crate::delivery::{Acknowledged, chain};
use crate::error::ApiError;
use crate::{Method, Reply};
use openadp_appserver::PortError;
use openadp_xsi_schema::EventResponse;
use uuid::Uuid;

/// Takes an answer to an event. An unknown or old event is answered 200 too: one client ends on anything else.
pub(super) async fn acknowledge(call: &Call<'_>) -> Outcome {
    if !matches!(call.method, Method::Post | Method::Put) {
        return Err(ApiError::MethodNotAllowed { allow: "POST" });
    }
    let response: EventResponse = call.read()?;
    let owner = call.owner();
    let status = u16::try_from(response.status_code).unwrap_or(400);
    let outcome = Uuid::parse_str(response.event_id.trim()).map_or(Acknowledged::Unknown, |event| {
        call.api.hub.step(|machine, now| machine.acknowledge(now, event, status, &owner))
    });
    if let Acknowledged::Ended(subscription) = &outcome {
        match call.api.ports.subscriptions.remove_subscription(subscription).await {
            Ok(_) | Err(PortError::NotFound { .. }) => {}
            // It comes back with the next look at the store, and so does the client's 481.
            Err(error) => tracing::warn!(error = %chain(&error), "a subscription cannot be removed"),
        }
    }
    let known = match outcome {
        Acknowledged::Ended(_) | Acknowledged::Known => "yes",
        Acknowledged::Unknown => "no",
    };
    metrics::counter!("xsi_event_responses_total", "known" => known).increment(1);
    Ok(Reply::empty(200))
}
