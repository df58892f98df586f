//! Push registrations of subscribers' apps.

use crate::{PortResult, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// One token of a registration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceToken {
    /// The token that APNs or FCM gave.
    pub token: String,
    /// `VoIP` or `Normal`.
    pub kind: String,
    /// Events that are pushed to it, `NEW_CALL` say.
    pub events: Vec<String>,
}

impl std::fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceToken")
            .field("kind", &self.kind)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// A registration of one app on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRegistration {
    /// Unique per device, app and user.
    pub registration_id: String,
    /// `com.cisco.squared` say.
    pub application_id: String,
    /// Version of the app.
    pub application_version: String,
    /// `ios` or `android`.
    pub device_os_type: String,
    /// Version of the system.
    pub device_os_version: String,
    /// Its tokens.
    pub tokens: Vec<DeviceToken>,
}

/// Push registrations.
#[async_trait]
pub trait PushRegistrations: Send + Sync {
    /// The subscriber's registrations.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn registrations(&self, user: &UserId) -> PortResult<Vec<PushRegistration>>;

    /// Adds a registration or replaces the one with the same id.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber, `LimitReached`, `Invalid`.
    async fn put_registration(&self, user: &UserId, registration: &PushRegistration) -> PortResult<()>;

    /// Removes a registration.
    ///
    /// # Errors
    /// `NotFound`.
    async fn remove_registration(&self, user: &UserId, registration_id: &str) -> PortResult<()>;
}
