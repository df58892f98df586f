//! Services of a subscriber.

mod catalogue;
mod declare;

pub use catalogue::{
    ACTIVE, FORWARD_TO, NUMBER_OF_RINGS, PHONE_NUMBER, PREFIX, RING_SPLASH, SPEED_CODE, SPEED_DIAL_8,
    SPEED_DIAL_100, ServiceKind, ServiceSpec,
};
pub use declare::{Member, MemberKind, Patch, Setting, Settings, Wish};

use crate::{PortError, PortResult, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A service with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which one.
    pub kind: ServiceKind,
    /// Its settings.
    pub settings: Settings,
}

impl Service {
    /// As it is when it is given to a subscriber.
    pub fn new(kind: ServiceKind) -> Self {
        Self { kind, settings: Settings::first(kind.spec().members) }
    }

    /// With a value, unchecked.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Setting>) -> Self {
        self.settings.put(name, value.into());
        self
    }

    /// Whether it acts.
    pub fn is_active(&self) -> bool {
        self.settings.flag(ACTIVE)
    }

    /// Where it forwards to now.
    pub fn forwards_to(&self) -> Option<&str> {
        self.settings.text(FORWARD_TO).filter(|_| self.is_active())
    }

    /// Makes a partial change.
    ///
    /// # Errors
    /// `Invalid`: what cannot be cleared is, or it would be active without what it needs.
    pub fn change(&mut self, patch: Patch) -> PortResult<()> {
        self.settings.change(patch)?;
        match self.kind.spec().needs {
            Some(field) if self.is_active() && self.settings.text(field).is_none() => {
                Err(PortError::Invalid { field, reason: "must be set to activate the service".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// Services of subscribers.
#[async_trait]
pub trait Services: Send + Sync {
    /// Which services the subscriber has.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn assigned(&self, user: &UserId) -> PortResult<Vec<ServiceKind>>;

    /// A service's settings, with the feed position at which they hold.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber, `NotAssigned`.
    async fn service(&self, user: &UserId, kind: ServiceKind) -> PortResult<(u64, Service)>;

    /// Changes what the patch names of a service's settings, at once with reading them, and puts the change into the event
    /// feed. A change that changes nothing tells nobody.
    ///
    /// # Errors
    /// `NotFound`, `NotAssigned`, `Invalid` (forwarding activated without a number, a number that cannot be dialled).
    async fn change_service(&self, user: &UserId, kind: ServiceKind, patch: Patch) -> PortResult<()>;
}
