//! Services of a subscriber.

use crate::{PortResult, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Do Not Disturb.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoNotDisturb {
    /// Whether callers get busy.
    pub active: bool,
    /// Whether the phone gives a short ring for a refused call.
    pub ring_splash: bool,
}

/// Call Forwarding Always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallForwardingAlways {
    /// Whether calls are forwarded.
    pub active: bool,
    /// Where to; must be set to activate.
    pub forward_to: Option<String>,
    /// Whether the phone gives a short ring for a forwarded call.
    pub ring_splash: bool,
}

/// Call Forwarding Busy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallForwardingBusy {
    /// Whether calls are forwarded while busy.
    pub active: bool,
    /// Where to; must be set to activate.
    pub forward_to: Option<String>,
}

/// Call Forwarding No Answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallForwardingNoAnswer {
    /// Whether unanswered calls are forwarded.
    pub active: bool,
    /// Where to; must be set to activate.
    pub forward_to: Option<String>,
    /// Rings before it happens: 0, 2 to 20.
    pub number_of_rings: u32,
}

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Call Forwarding Always.
    CallForwardingAlways,
    /// Call Forwarding Busy.
    CallForwardingBusy,
    /// Call Forwarding No Answer.
    CallForwardingNoAnswer,
    /// Do Not Disturb.
    DoNotDisturb,
}

impl ServiceKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::CallForwardingAlways,
        Self::CallForwardingBusy,
        Self::CallForwardingNoAnswer,
        Self::DoNotDisturb,
    ];

    /// Name as the service list and the event packages spell it.
    pub fn display_name(self) -> &'static str {
        match self {
            Self::CallForwardingAlways => "Call Forwarding Always",
            Self::CallForwardingBusy => "Call Forwarding Busy",
            Self::CallForwardingNoAnswer => "Call Forwarding No Answer",
            Self::DoNotDisturb => "Do Not Disturb",
        }
    }
}

/// A service with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// Call Forwarding Always.
    CallForwardingAlways(CallForwardingAlways),
    /// Call Forwarding Busy.
    CallForwardingBusy(CallForwardingBusy),
    /// Call Forwarding No Answer.
    CallForwardingNoAnswer(CallForwardingNoAnswer),
    /// Do Not Disturb.
    DoNotDisturb(DoNotDisturb),
}

impl Service {
    /// Its kind.
    pub fn kind(&self) -> ServiceKind {
        match self {
            Self::CallForwardingAlways(_) => ServiceKind::CallForwardingAlways,
            Self::CallForwardingBusy(_) => ServiceKind::CallForwardingBusy,
            Self::CallForwardingNoAnswer(_) => ServiceKind::CallForwardingNoAnswer,
            Self::DoNotDisturb(_) => ServiceKind::DoNotDisturb,
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

    /// Replaces a service's settings and puts the change into the event feed.
    ///
    /// # Errors
    /// `NotFound`, `NotAssigned`, `Invalid` (forwarding activated without a number).
    async fn set_service(&self, user: &UserId, service: Service) -> PortResult<()>;
}
