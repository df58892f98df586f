//! Events are posted to addresses of clients (xsi.md 5.9), over the connections that calls to nodes take.

use bytes::Bytes;
use http::Method;
use openadp_outgoing::{Call, Calls};
use openadp_xsi_api::ContactSender;
use std::pin::Pin;
use std::time::Duration;

/// Most bytes of an answer: nothing in it counts.
const MAX_ANSWER: usize = 64 * 1024;

/// Posts over pooled connections.
pub(crate) struct Contacts(pub(crate) Calls);

impl ContactSender for Contacts {
    fn post(
        &self,
        uri: String,
        document: Bytes,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'static>> {
        let calls = self.0.clone();
        Box::pin(async move {
            let call = Call {
                method: Method::POST,
                url: &uri,
                headers: Vec::new(),
                content_type: "text/xml;charset=UTF-8",
                body: document,
                max_answer: MAX_ANSWER,
                timeout,
                connect_timeout: timeout,
            };
            match calls.call(&call).await {
                Ok(answer) if answer.status.is_success() => true,
                Ok(answer) => {
                    tracing::debug!(status = answer.status.as_u16(), "an event that was posted was refused");
                    false
                }
                Err(error) => {
                    tracing::debug!(%error, "an event could not be posted");
                    false
                }
            }
        })
    }
}
