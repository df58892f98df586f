//! Firebase Cloud Messaging, HTTP v1: `protocols/nps.md` 6.

mod answer;
mod oauth;
mod payload;

pub(crate) use oauth::ServiceAccount;

use super::apns::{cut, failed, without};
use super::cloud::{CloudTokens, PushToken};
use super::{Action, Fault, Gateway, Outcome, Processed, Provider, ProviderHealth, Push, ended};
use crate::MAX_ANSWER;
use crate::configuration::{Configurations, FcmConfiguration, FcmRoute};
use crate::events;
use crate::wire::PushService;
use answer::Failure;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use oauth::{AccessTokens, GrantError};
use openadp_appserver::Clock;
use openadp_outgoing::{Connector, Endpoint, Pool, PoolOptions};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

/// HTTP/2 if offered, else HTTP/1.1 (section 9).
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];
/// Google asks for a minute when a 429 does not say (section 10).
const QUOTA_PAUSE: Duration = Duration::from_mins(1);

/// The adapter.
pub(crate) struct Fcm {
    configurations: Arc<Configurations>,
    connector: Arc<Connector>,
    access: AccessTokens,
    cloud: CloudTokens,
    pools: Mutex<HashMap<Endpoint, Pool>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Fcm {
    pub(crate) fn new(
        configurations: Arc<Configurations>,
        connector: Arc<Connector>,
        clock: Arc<dyn Clock>,
        cloud: CloudTokens,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let access = AccessTokens::new(connector.clone(), clock, tasks.clone(), shutdown.clone());
        Self { configurations, connector, access, cloud, pools: Mutex::default(), tasks, shutdown }
    }

    fn pool(&self, endpoint: Endpoint) -> Pool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        // There is one pushURL: a changed one leaves the old connections without a user.
        pools.retain(|known, _| *known == endpoint);
        pools
            .entry(endpoint.clone())
            .or_insert_with(|| {
                Pool::new(endpoint, self.connector.clone(), self.tasks.clone(), self.shutdown.clone())
            })
            .clone()
    }
}

/// Credentials that FCM did not take.
#[derive(Default)]
struct Refused {
    own: Option<Arc<Zeroizing<String>>>,
    cloud: Option<Arc<PushToken>>,
}

/// Credentials for one request, and where it goes.
struct Authorized {
    url: url::Url,
    authorization: Zeroizing<String>,
    refused: Refused,
}

impl Fcm {
    async fn authorize(
        &self,
        route: &FcmRoute<'_>,
        fcm: &FcmConfiguration,
        refused: Option<&Refused>,
        push: Push<'_>,
    ) -> Result<Authorized, Outcome> {
        match route {
            FcmRoute::Own(url, account) => {
                let own = refused.and_then(|refused| refused.own.as_ref());
                match self.access.current(account, fcm, own, push.deadline).await {
                    Ok(token) => Ok(Authorized {
                        url: url.clone(),
                        authorization: Zeroizing::new(format!("Bearer {}", token.as_str())),
                        refused: Refused { own: Some(token), cloud: None },
                    }),
                    Err(GrantError::Refused(reason)) => {
                        events::configuration_fault(Provider::Fcm, &reason);
                        Err(Outcome::Refused { reason, fault: Fault::Configuration { stops: true } })
                    }
                    Err(GrantError::Unavailable(reason)) => {
                        Err(Outcome::Failed { reason, after: None, processed: Processed::No })
                    }
                }
            }
            FcmRoute::Cloud => {
                let before = refused.and_then(|refused| refused.cloud.as_ref());
                let application = &push.target.application_id;
                let token = self.cloud.current(PushService::Fcm, application, before).await;
                let token = token.map_err(|none| without(Provider::Fcm, none))?;
                let url = fcm
                    .push_to(token.project.as_deref().unwrap_or_default())
                    .map_err(|reason| Outcome::NotConfigured { reason })?;
                let authorization = token.authorization.clone();
                Ok(Authorized { url, authorization, refused: Refused { own: None, cloud: Some(token) } })
            }
        }
    }
}

fn request(url: &url::Url, body: Bytes, authorization: &str) -> Option<Request<Full<Bytes>>> {
    let mut authorization = HeaderValue::from_str(authorization).ok()?;
    authorization.set_sensitive(true);
    Request::post(url.as_str())
        .header(http::header::AUTHORIZATION, authorization)
        .header(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))
        .body(Full::new(body))
        .ok()
}

fn options(fcm: &FcmConfiguration) -> PoolOptions {
    PoolOptions {
        size: fcm.pool_size,
        connect: fcm.timeout,
        timeout: fcm.timeout,
        idle: fcm.idle,
        first_alone: false,
        alpn: ALPN,
        max_answer: MAX_ANSWER,
    }
}

#[async_trait]
impl Gateway for Fcm {
    async fn push(&self, push: Push<'_>) -> Outcome {
        let configuration = self.configurations.current();
        let fcm = &configuration.fcm;
        let route = match configuration.fcm_route(&push.target.application_id) {
            Ok(route) => route,
            Err(reason) => return Outcome::NotConfigured { reason },
        };
        let too_large = || Outcome::Refused { reason: "message too large".to_owned(), fault: Fault::Ours };
        let Ok(mut body) = payload::build(push, false) else { return too_large() };
        let (mut refused, mut shortened) = (None, false);
        loop {
            let authorized = match self.authorize(&route, fcm, refused.as_ref(), push).await {
                Ok(authorized) => authorized,
                Err(outcome) => return outcome,
            };
            let Some(endpoint) = Endpoint::of(&authorized.url) else {
                return Outcome::NotConfigured { reason: "pushURL has no host" };
            };
            let pool = self.pool(endpoint);
            let Some(request) = request(&authorized.url, body.clone(), &authorized.authorization) else {
                return Outcome::Refused { reason: "request cannot be built".to_owned(), fault: Fault::Ours };
            };
            let answer = match pool.send(&options(fcm), request, push.deadline).await {
                Ok(answer) => answer,
                Err(error) => return failed(Provider::Fcm, &error),
            };
            let status = answer.status.as_u16();
            let failure = Failure::parse(&answer.body);
            events::answered(Provider::Fcm, status, failure.code.label());
            let name = failure.name();
            let text = if name.is_empty() { format!("status {status}") } else { cut(name) };
            match answer::action(status, &failure) {
                Action::Sent => {
                    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    return Outcome::Sent { provider_id: cut(body["name"].as_str().unwrap_or_default()) };
                }
                Action::Drop { guarded } => return Outcome::TokenDead { since: None, reason: text, guarded },
                Action::RenewOnce if refused.is_none() => refused = Some(authorized.refused),
                Action::ShortenOnce if !shortened => {
                    shortened = true;
                    let Ok(short) = payload::build(push, true) else { return too_large() };
                    body = short;
                }
                action @ (Action::HoldToken | Action::HoldApplication | Action::PauseRenewals) => {
                    let after = Some(answer.retry_after().unwrap_or(QUOTA_PAUSE));
                    let whole_application = action == Action::HoldApplication;
                    return Outcome::Throttled { reason: text, after, whole_application };
                }
                action => return ended(Provider::Fcm, action, text, &answer),
            }
        }
    }

    fn health(&self) -> ProviderHealth {
        let configuration = self.configurations.current();
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        ProviderHealth {
            configured: configuration.fcm.enabled && configuration.fcm_configured(),
            connections: pools.values().map(Pool::open).sum(),
            credentials_age_seconds: self
                .access
                .oldest_age()
                .max(self.cloud.oldest_age(|service| service == PushService::Fcm)),
        }
    }
}
