//! Handing notifications over to the push server: nps.md section 4.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method};
use openadp_appserver_embedded::{PushSendError, PushSender};
use openadp_outgoing::{Call, Calls};
use openadp_settings::Secret;
use std::time::Duration;

/// Everything together; the caller's limit is ten seconds.
const TIMEOUT: Duration = Duration::from_secs(9);
const CONNECT: Duration = Duration::from_secs(3);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 256 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SECRET: HeaderName = HeaderName::from_static("x-nps-secret");

/// Posts notifications, with TLS by the settings of outgoing connections.
pub struct HttpPushSender(Calls);

impl HttpPushSender {
    /// A sender over these calls.
    pub fn new(calls: Calls) -> Self {
        Self(calls)
    }
}

#[async_trait]
impl PushSender for HttpPushSender {
    async fn send(
        &self,
        url: &str,
        secret: &Secret,
        idempotency_key: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), PushSendError> {
        let value = |text| HeaderValue::from_str(text).map_err(|error| PushSendError(error.into()));
        // The key makes another try safe, where a kept connection was of no use.
        let mut headers = vec![(IDEMPOTENCY_KEY, value(idempotency_key)?)];
        if !secret.is_empty() {
            let mut secret = value(secret.expose())?;
            secret.set_sensitive(true);
            headers.push((SECRET, secret));
        }
        let call = Call {
            method: Method::POST,
            url,
            headers,
            content_type: "application/json",
            body: body.into(),
            max_answer: MAX_ANSWER,
            timeout: TIMEOUT,
            connect_timeout: CONNECT,
        };
        let answer = self.0.call(&call).await.map_err(PushSendError)?;
        Ok((answer.status.as_u16(), answer.body.to_vec()))
    }
}
