//! Services of the cloud that know their callers by access tokens: push credentials of applications that others publish, the
//! bridge through which devices are activated, and the discovery of the identity provider. Their real formats are not public;
//! these are the proposed ones of `protocols/nps.md` 5.1 and of docs/devices.md.

use super::{Answer, Cloud, TOKENS, lock, wire};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

/// What gives push credentials: for an application id and an environment (`production`, `development`), the members of the
/// answer that depend on the platform, `authorization` and `expiresAt` among them. `None` for an application it does not know.
pub type PushTokens = Arc<dyn Fn(&str, &str) -> Option<Value> + Send + Sync>;

/// A device that was activated through the bridge.
#[derive(Debug, Clone)]
pub(super) struct Activated {
    address: String,
    /// Milliseconds since 1970.
    expires: i64,
}

impl Cloud {
    /// `GET .../v1/push-token`.
    pub(super) fn push_token(&self, headers: &HeaderMap, query: &str) -> Answer {
        let Some((client, _)) = self.client(headers) else { return Answer::refused(401, "invalid_token") };
        let query = Bytes::copy_from_slice(query.as_bytes());
        let Some(application) = wire::field(&query, "applicationId") else {
            return Answer { client: Some(client), ..Answer::refused(400, "invalid_request") };
        };
        let environment = wire::field(&query, "environment").unwrap_or_else(|| "production".to_owned());
        let source = self.push.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = match source.and_then(|source| source(&application, &environment)) {
            Some(mut body) => {
                body["applicationId"] = application.as_str().into();
                Answer::ok(body)
            }
            None => Answer::refused(403, "not_entitled"),
        };
        Answer { client: Some(client), user: Some(application), ..answer }
    }

    /// `POST .../v1/device-auth`: whose token is it?
    pub(super) fn device_auth(&self, headers: &HeaderMap, body: &Bytes) -> Answer {
        let Some((client, scope)) = self.client(headers) else {
            return Answer::refused(401, "invalid_token");
        };
        let wanted = &self.config.bridge_scope;
        if !wanted.is_empty() && !scope.split(' ').any(|one| one == wanted) {
            return Answer { client: Some(client), ..Answer::refused(403, "insufficient_scope") };
        }
        let Some(token) = wire::field(body, "token") else {
            return Answer { client: Some(client), ..Answer::refused(400, "invalid_request") };
        };
        let now = (self.clock)();
        let answer = match lock(&self.state).devices.get(&token) {
            Some(device) if device.expires > now => Answer {
                user: Some(device.address.clone()),
                ..Answer::ok(json!({
                    "active": true, "macAddress": device.address, "exp": device.expires / 1000,
                }))
            },
            Some(_) | None => Answer::ok(json!({"active": false})),
        };
        Answer { client: Some(client), ..answer }
    }

    /// `GET /.well-known/oauth-authorization-server` (RFC 8414).
    pub(super) fn discovery(&self) -> Answer {
        let issuer = self.config.clusters.first().map(|cluster| cluster.issuer.as_str());
        Answer::ok(json!({"issuer": issuer.unwrap_or("https://idbroker.webex.com/idb")}))
    }
}

/// Activates a device: gives the token that it brings from then on.
pub(super) fn activate(state: &mut super::State, address: &str, seconds: i64, now: i64) -> String {
    let token = wire::random();
    state.devices.retain(|_, device| device.expires > now);
    if state.devices.len() < TOKENS {
        let expires = now.saturating_add(seconds.saturating_mul(1000));
        state.devices.insert(token.clone(), Activated { address: address.to_owned(), expires });
    }
    token
}
