//! EventResponse (xsi.md 5.7, cti.md 7).

use crate::api::{Call, Outcome};
use crate::delivery::Acknowledged;
use crate::error::ApiError;
use crate::{Method, Reply};
use openadp_xsi_schema::EventResponse;
use uuid::Uuid;

/// Takes an answer to an event. An unknown or old event is answered 200 too: one client ends on anything else.
pub(super) fn acknowledge(call: &Call<'_>) -> Outcome {
    if !matches!(call.method, Method::Post | Method::Put) {
        return Err(ApiError::MethodNotAllowed { allow: "POST" });
    }
    let response: EventResponse = call.read()?;
    let owner = call.owner();
    let status = response.status_code;
    let known = Uuid::parse_str(response.event_id.trim()).is_ok_and(|event| {
        let status = u16::try_from(status).unwrap_or(400);
        call.api.hub.step(|machine, now| machine.acknowledge(now, event, status, &owner))
            == Acknowledged::Known
    });
    metrics::counter!("xsi_event_responses_total", "known" => if known { "yes" } else { "no" }).increment(1);
    Ok(Reply::empty(200))
}
