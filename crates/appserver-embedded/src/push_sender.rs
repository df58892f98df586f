//! The way out to the push server, implemented by whoever has an HTTP client.

use async_trait::async_trait;
use openadp_settings::Secret;

/// Why a notification could not be handed over. Trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("the push server could not be reached")]
pub struct PushSendError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Posts notifications to the push server (nps.md section 4).
#[async_trait]
pub trait PushSender: Send + Sync + 'static {
    /// Posts a JSON body (`Content-Type: application/json`) to `url` with the headers `Idempotency-Key` and
    /// `X-NPS-Secret` (left out while the secret is empty), follows no redirect, and gives status and body of the answer.
    /// Must end within ten seconds and bound the answer to 256 KiB.
    ///
    /// # Errors
    /// When there was no answer.
    async fn send(
        &self,
        url: &str,
        secret: &Secret,
        idempotency_key: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), PushSendError>;
}
