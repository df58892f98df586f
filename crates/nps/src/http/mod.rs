//! The application server's side, over HTTP: `protocols/nps.md` 4.

mod peer;

use crate::configuration::Configurations;
use crate::error::Refusal;
use crate::gateway::cloud::CloudTokens;
use crate::service::{Overloaded, Service};
use crate::wire::{Feedback, MAX_BODY, Notification, SchemaProblem};
use axum::extract::{Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderName, StatusCode};
use openadp_webcontainer::{BodyError, read_body};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits for its results before it is answered 202: below the two seconds that every request of the
/// suite is answered in.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) configurations: Arc<Configurations>,
    pub(crate) service: Service,
    pub(crate) cloud: CloudTokens,
}

/// The routes, below `/nps`.
pub(crate) fn router(edge: Edge) -> Router {
    Router::new()
        .route("/v1/notifications", post(notify))
        .route("/v1/feedback", get(feedback))
        .route("/v1/health", get(health))
        .layer(middleware::from_fn_with_state(edge.clone(), authenticate))
        .with_state(edge)
}

async fn authenticate(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    match peer::check(&edge.configurations.current(), &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn notify(State(edge): State<Edge>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = read_body(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge { .. } => Refusal::TooLarge,
        BodyError::Timeout => Refusal::BodyTimeout,
        BodyError::Broken(_) => Refusal::BodyBroken,
    })?;
    let notification = Notification::parse(&body).map_err(Refusal::Schema)?;
    if let Some(key) = head.headers.get(IDEMPOTENCY_KEY)
        && key.as_bytes() != notification.id.as_bytes()
    {
        let reason = "is not the Idempotency-Key of the request";
        return Err(Refusal::Schema(vec![SchemaProblem { field: "notificationId".to_owned(), reason }]));
    }
    let wait = if wants_async(&head.headers) { Duration::ZERO } else { ANSWER_WITHIN };
    let submitted = edge.service.submit(notification).map_err(|Overloaded| Refusal::Overloaded)?;
    let (answer, complete) = submitted.answer(wait).await;
    let status = if complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(answer)).into_response())
}

/// `Prefer: respond-async` (RFC 7240).
fn wants_async(headers: &HeaderMap) -> bool {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn feedback(State(edge): State<Edge>, Query(Since { since }): Query<Since>) -> Json<Feedback> {
    Json(edge.service.feedback(since))
}

async fn health(State(edge): State<Edge>) -> Json<serde_json::Value> {
    let (apns, fcm, waiting) = edge.service.health();
    Json(
        json!({ "waiting": waiting, "providers": { "apns": apns, "fcm": fcm }, "cloud": edge.cloud.health() }),
    )
}
