//! Services of a subscriber.

mod catalogue;
mod declare;

pub use catalogue::{
    ACTIVE, ANSWER_CONFIRMATION, CRITERIA, CRITERIA_LIST, CRITERIA_NAME, FORWARD_TO, LOCATIONS,
    NUMBER_OF_RINGS, PHONE_NUMBER, PREFIX, Part, RECORDING_MODE, REMOTE_OFFICE_NUMBER, RING_SPLASH,
    SEQUENTIAL_LOCATIONS, SIM_RING_LOCATIONS, SPEED_CODE, SPEED_DIAL_8, SPEED_DIAL_100, ServiceKind,
    ServiceSpec,
};
pub use declare::{Member, MemberKind, Nest, Patch, RecordChange, Records, Setting, Settings, Uri, Wish};

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
        let spec = kind.spec();
        let mut settings = Settings::first(spec.members);
        if let Some(part) = spec.part() {
            let part = Settings::first(part.members);
            part.iter().for_each(|(name, setting)| settings.put(name, setting.clone()));
        }
        Self { kind, settings }
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

    /// Whether calls need not look at it: what could act is switched off, or nothing is set.
    pub fn is_idle(&self) -> bool {
        if self.settings.get(ACTIVE).is_some() {
            return !self.is_active();
        }
        self.settings.iter().all(|(_, setting)| matches!(setting, Setting::Flag(false) | Setting::Integer(_)))
    }

    /// Makes, changes or removes one of its records.
    ///
    /// # Errors
    /// As of [`Settings::change_record`]; `NotFound` where there are no records.
    pub fn change_record(&mut self, key: &str, change: RecordChange) -> PortResult<()> {
        let (name, records) = self.kind.spec().records().ok_or(PortError::NotFound { what: "resource" })?;
        self.settings.change_record(name, records, key, change)
    }

    /// Makes a partial change.
    ///
    /// # Errors
    /// `Invalid`: what cannot be cleared is, or it would be active without what it needs. `NotFound`: a record that is none.
    pub fn change(&mut self, patch: Patch) -> PortResult<()> {
        self.settings.change(patch)?;
        match self.kind.spec().needs {
            Some(field) if self.is_active() && self.settings.get(field).is_none() => {
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

    /// Makes, changes or removes one of the records of a service, a location say. Its event and errors are those of
    /// [`change_service`](Self::change_service).
    ///
    /// # Errors
    /// Also `Conflict` for one that is there already, `LimitReached`.
    async fn change_record(
        &self,
        user: &UserId,
        kind: ServiceKind,
        key: &str,
        change: RecordChange,
    ) -> PortResult<()>;
}
