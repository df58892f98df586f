//! Apple Push Notification service: `protocols/nps.md` 7.

mod answer;
mod payload;
mod token;

pub(crate) use token::SigningKey;

use super::cloud::{CloudTokens, NoToken, PushToken};
use super::{Action, Fault, Gateway, Outcome, Processed, Provider, ProviderHealth, Push, ended};
use crate::MAX_ANSWER;
use crate::configuration::{ApnsCredential, ApnsEnvironment, Configurations};
use crate::events;
use crate::wire::PushService;
use answer::Reason;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use openadp_appserver::{Clock, epoch_millis};
use openadp_outgoing::{Answer, Connector, Endpoint, Pool, PoolOptions, SendError};
use payload::{Message, Skip};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use token::{Renewal, Tokens};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const ALPN: &[&[u8]] = &[b"h2"];
/// Pause after `TooManyProviderTokenUpdates` before a new connection is tried.
const RENEWAL_PAUSE: Duration = Duration::from_secs(2);
/// How long a phone that got too many pushes is left alone (section 11).
const HOLD: Duration = Duration::from_secs(5);

/// Connections are kept apart by server and team, and given up when the key changes. Which team is behind credentials of the
/// cloud service is not known: each application has connections of its own then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PoolKey {
    endpoint: Endpoint,
    team_id: String,
    key: [u8; 32],
}

/// What one request is authorised with.
enum Authorization {
    Own(Arc<str>),
    Cloud(Arc<PushToken>),
}

/// The adapter.
pub(crate) struct Apns {
    configurations: Arc<Configurations>,
    connector: Arc<Connector>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    cloud: CloudTokens,
    pools: Mutex<HashMap<PoolKey, Pool>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    timestamp: Option<i64>,
}

impl Apns {
    pub(crate) fn new(
        configurations: Arc<Configurations>,
        connector: Arc<Connector>,
        clock: Arc<dyn Clock>,
        cloud: CloudTokens,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            cloud,
            configurations,
            connector,
            clock,
            tokens: Tokens::default(),
            pools: Mutex::default(),
            tasks,
            shutdown,
        }
    }

    fn pool(&self, endpoint: Endpoint, credential: &ApnsCredential, application: &str) -> Pool {
        let (team_id, key) = match credential {
            ApnsCredential::Own(key) => (key.team_id().to_owned(), key.fingerprint()),
            ApnsCredential::Cloud => (String::new(), application_key(application)),
        };
        let wanted = PoolKey { endpoint: endpoint.clone(), team_id, key };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&wanted) {
            return pool.clone();
        }
        // Settings changed, or this is the first push: forget what no route leads to any more.
        let configuration = self.configurations.current();
        pools.retain(|key, _| {
            configuration.apns.iter().any(|environment| {
                environment.endpoint.as_ref() == Some(&key.endpoint)
                    && (environment
                        .keys()
                        .any(|signing| signing.team_id() == key.team_id && signing.fingerprint() == key.key)
                        || (key.team_id.is_empty()
                            && environment.cloud_applications().any(|one| application_key(one) == key.key)))
            })
        });
        let pool = Pool::new(endpoint, self.connector.clone(), self.tasks.clone(), self.shutdown.clone());
        pools.insert(wanted, pool.clone());
        pool
    }

    /// One request and its answer.
    async fn attempt(
        &self,
        push: Push<'_>,
        environment: &ApnsEnvironment,
        authorization: &Authorization,
        pool: &Pool,
        message: &Message,
    ) -> Result<Answer, Outcome> {
        let request = request(environment, push, message, authorization)
            .map_err(|reason| Outcome::Refused { reason: reason.to_owned(), fault: Fault::Ours })?;
        let options = PoolOptions {
            size: environment.pool_size,
            connect: environment.timeout,
            timeout: environment.timeout,
            idle: environment.idle,
            first_alone: true,
            alpn: ALPN,
            max_answer: MAX_ANSWER,
        };
        pool.send(&options, request, push.deadline).await.map_err(|error| failed(Provider::Apns, &error))
    }
}

impl Apns {
    /// What the next request is authorised with. `refused` are credentials of the cloud service that Apple did not take.
    async fn authorization(
        &self,
        environment: &ApnsEnvironment,
        credential: &ApnsCredential,
        application: &str,
        refused: Option<&Arc<PushToken>>,
    ) -> Result<Authorization, Outcome> {
        match credential {
            ApnsCredential::Own(key) => {
                self.tokens.current(key, self.clock.now()).map(Authorization::Own).map_err(|error| {
                    events::configuration_fault(Provider::Apns, &error.to_string());
                    Outcome::Refused {
                        reason: error.to_string(),
                        fault: Fault::Configuration { stops: false },
                    }
                })
            }
            ApnsCredential::Cloud => {
                let token = self.cloud.current(environment.service, application, refused).await;
                token.map(Authorization::Cloud).map_err(|none| without(Provider::Apns, none))
            }
        }
    }
}

/// Connections of an application without a key of ours.
fn application_key(application: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, application.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(digest.as_ref());
    key
}

/// What it means to the service that the cloud service gives no credentials.
pub(super) fn without(provider: Provider, none: NoToken) -> Outcome {
    match none {
        NoToken::Refused(reason) => {
            events::configuration_fault(provider, &reason);
            Outcome::Refused { reason, fault: Fault::Configuration { stops: true } }
        }
        NoToken::Unavailable(reason) => Outcome::Failed { reason, after: None, processed: Processed::No },
    }
}

/// What a failed exchange means to the service.
pub(super) fn failed(provider: Provider, error: &SendError) -> Outcome {
    events::exchange_failed(provider, error);
    let processed = match error {
        SendError::Connect { .. }
        | SendError::NoConnection
        | SendError::NotProcessed(_)
        | SendError::StreamRefused(_) => Processed::No,
        SendError::Lost(_) | SendError::TooLong { .. } | SendError::Timeout => Processed::Unknown,
    };
    Outcome::Failed { reason: error.to_string(), after: None, processed }
}

fn request(
    environment: &ApnsEnvironment,
    push: Push<'_>,
    message: &Message,
    authorization: &Authorization,
) -> Result<Request<Full<Bytes>>, &'static str> {
    // Only hexadecimal digits may become part of a path.
    if push.target.token.is_empty() || !push.target.token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("BadDeviceToken");
    }
    let mut authorization = match authorization {
        Authorization::Own(token) => HeaderValue::from_str(&format!("bearer {token}")),
        Authorization::Cloud(token) => HeaderValue::from_str(&token.authorization),
    }
    .map_err(|_| "provider token is not a header value")?;
    authorization.set_sensitive(true);
    let topic = HeaderValue::from_str(&message.topic).map_err(|_| "BadTopic")?;
    let mut builder = Request::post(format!("{}/{}", environment.url, push.target.token))
        .header(http::header::AUTHORIZATION, authorization)
        .header("apns-topic", topic)
        .header("apns-push-type", message.push_type)
        .header("apns-priority", message.priority)
        .header("apns-expiration", message.expiration)
        .header("apns-id", message.id.to_string());
    if let Some(collapse_id) = &message.collapse_id {
        builder = builder.header("apns-collapse-id", collapse_id);
    }
    builder.body(Full::new(message.body.clone())).map_err(|_| "request cannot be built")
}

#[async_trait]
impl Gateway for Apns {
    async fn push(&self, push: Push<'_>) -> Outcome {
        let configuration = self.configurations.current();
        let application = &push.target.application_id;
        let (environment, credential) = match configuration.apns_route(application) {
            Ok(route) => route,
            Err(reason) => return Outcome::NotConfigured { reason },
        };
        let Some(endpoint) = environment.endpoint.clone() else {
            return Outcome::NotConfigured { reason: "url has no host" };
        };
        let mut message = match payload::build(push, false) {
            Ok(message) => message,
            Err(Skip::NotForToken(reason)) => return Outcome::NotForToken { reason },
            Err(Skip::TooLarge) => {
                return Outcome::Refused { reason: "PayloadTooLarge".to_owned(), fault: Fault::Ours };
            }
        };
        if push.target.token.bytes().any(|byte| !byte.is_ascii_hexdigit()) {
            // Apple would say so; asking it would put the token into a path.
            return Outcome::TokenDead { since: None, reason: "BadDeviceToken".to_owned(), guarded: true };
        }
        let pool = self.pool(endpoint, credential, application);
        let (mut renewed, mut shortened, mut refused) = (false, false, None);
        loop {
            let authorized =
                match self.authorization(environment, credential, application, refused.as_ref()).await {
                    Ok(authorized) => authorized,
                    Err(outcome) => return outcome,
                };
            let answer = match self.attempt(push, environment, &authorized, &pool, &message).await {
                Ok(answer) => answer,
                Err(outcome) => return outcome,
            };
            let status = answer.status.as_u16();
            let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
            let reason = Reason::parse(&body.reason);
            events::answered(Provider::Apns, status, reason.label());
            let text = if body.reason.is_empty() { format!("status {status}") } else { cut(&body.reason) };
            match answer::action(status, reason) {
                Action::Sent => {
                    let id = answer.headers.get("apns-id").and_then(|id| id.to_str().ok());
                    return Outcome::Sent { provider_id: cut(id.unwrap_or_default()) };
                }
                Action::Drop { guarded } => {
                    return Outcome::TokenDead { since: body.timestamp, reason: text, guarded };
                }
                Action::RenewOnce if !renewed => {
                    renewed = true;
                    let too_early = match (credential, authorized) {
                        (ApnsCredential::Own(key), _) => {
                            self.tokens.renew(key, epoch_millis(self.clock.now())) == Renewal::TooEarly
                        }
                        (ApnsCredential::Cloud, Authorization::Cloud(token)) => {
                            refused = Some(token);
                            false
                        }
                        (ApnsCredential::Cloud, Authorization::Own(_)) => true,
                    };
                    if too_early {
                        events::configuration_fault(Provider::Apns, &text);
                        return Outcome::Refused {
                            reason: text,
                            fault: Fault::Configuration { stops: true },
                        };
                    }
                    // One token per connection and 20 minutes: the new one wants new connections.
                    pool.retire_all();
                }
                Action::ShortenOnce if !shortened => {
                    shortened = true;
                    message = match payload::build(push, true) {
                        Ok(message) => message,
                        Err(_) => return Outcome::Refused { reason: text, fault: Fault::Ours },
                    };
                }
                Action::PauseRenewals => {
                    if let ApnsCredential::Own(key) = credential {
                        self.tokens.pause(key, epoch_millis(self.clock.now()));
                    }
                    pool.retire_all();
                    return Outcome::Throttled {
                        reason: text,
                        after: Some(RENEWAL_PAUSE),
                        whole_application: false,
                    };
                }
                Action::HoldToken | Action::HoldApplication => {
                    let after = answer.retry_after().unwrap_or(HOLD);
                    return Outcome::Throttled { reason: text, after: Some(after), whole_application: false };
                }
                action => return ended(Provider::Apns, action, text, &answer),
            }
        }
    }

    fn health(&self) -> ProviderHealth {
        let configuration = self.configurations.current();
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        ProviderHealth {
            configured: configuration.apns_configured(),
            connections: pools.values().map(Pool::open).sum(),
            credentials_age_seconds: self
                .tokens
                .oldest_age(self.clock.now())
                .max(self.cloud.oldest_age(|service| service != PushService::Fcm)),
        }
    }
}

/// Texts of a provider go into logs and answers: printable, and not long.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(128).collect()
}
