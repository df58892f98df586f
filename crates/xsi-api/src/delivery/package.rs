//! Event packages: which exist, which are offered, and which event types each one carries. The one table of it.

use openadp_appserver::{CallEventKind, Event, ServiceKind};
use openadp_xsi_schema::EventPackage;

/// An event package that this server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Package {
    AdvancedCall,
    BasicCall,
    CallCenterAgent,
    CallCenterQueue,
    CallPark,
    PushNotificationRegistration,
    /// The state of a service that tells of itself.
    Service(ServiceKind),
    StandardCall,
    /// Counts of voice messages.
    VoiceMailMessageSummary,
}

/// Why a package name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A package of the product that no engine here feeds.
    NotOffered,
    /// No package at all.
    Unknown,
}

impl Package {
    /// All that are offered.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let services = ServiceKind::ALL.iter().copied().filter(|kind| kind.spec().event.is_some());
        [
            Self::AdvancedCall,
            Self::BasicCall,
            Self::CallCenterAgent,
            Self::CallCenterQueue,
            Self::CallPark,
            Self::PushNotificationRegistration,
            Self::StandardCall,
            Self::VoiceMailMessageSummary,
        ]
        .into_iter()
        .chain(services.map(Self::Service))
    }

    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AdvancedCall => EventPackage::AdvancedCall.as_str(),
            Self::BasicCall => EventPackage::BasicCall.as_str(),
            Self::CallCenterAgent => EventPackage::CallCenterAgent.as_str(),
            Self::CallCenterQueue => EventPackage::CallCenterQueue.as_str(),
            Self::CallPark => EventPackage::CallPark.as_str(),
            Self::PushNotificationRegistration => EventPackage::PushNotificationRegistration.as_str(),
            Self::Service(kind) => kind.package_name(),
            Self::StandardCall => EventPackage::StandardCall.as_str(),
            Self::VoiceMailMessageSummary => EventPackage::VoiceMailMessageSummary.as_str(),
        }
    }

    /// The package of a name as it came; blanks around it are ignored.
    pub(crate) fn parse(name: &str) -> Result<Self, Refused> {
        let name = name.trim();
        match Self::all().find(|package| package.name() == name) {
            Some(package) => Ok(package),
            None if EventPackage::parse(name).is_some() => Err(Refused::NotOffered),
            None => Err(Refused::Unknown),
        }
    }

    /// Whether its full state is calls and hook status.
    pub(crate) fn is_call(self) -> bool {
        matches!(self, Self::AdvancedCall | Self::BasicCall | Self::StandardCall)
    }

    /// The service whose state it reports.
    pub(crate) fn service(self) -> Option<ServiceKind> {
        if let Self::Service(kind) = self { Some(kind) } else { None }
    }

    /// Whether it carries an event. cti.md 6.3: Advanced Call carries every call event of the engine; Basic and Standard
    /// Call those that public clients use, Standard also conferences and recording.
    pub(crate) fn carries(self, event: &Event) -> bool {
        match event {
            Event::Call { kind, .. } => match kind {
                CallEventKind::Answered
                | CallEventKind::Held
                | CallEventKind::Originated
                | CallEventKind::Originating
                | CallEventKind::Received
                | CallEventKind::Released
                | CallEventKind::Retrieved
                | CallEventKind::Transferred
                | CallEventKind::Updated => self.is_call(),
                CallEventKind::RecordingPaused
                | CallEventKind::RecordingResumed
                | CallEventKind::RecordingStarted
                | CallEventKind::RecordingStarting
                | CallEventKind::RecordingStopped => matches!(self, Self::AdvancedCall | Self::StandardCall),
                CallEventKind::Forwarded
                | CallEventKind::ParkRetrieved
                | CallEventKind::PickedUp
                | CallEventKind::Redirected => self == Self::AdvancedCall,
            },
            Event::Conference { .. } => matches!(self, Self::AdvancedCall | Self::StandardCall),
            Event::Agent(_) | Event::AgentJoin(_) => self == Self::CallCenterAgent,
            Event::Queue { .. } => self == Self::CallCenterQueue,
            Event::Parked { .. } => self == Self::CallPark,
            Event::Hook(_) => self.is_call(),
            Event::Service(service) => self.service() == Some(service.kind),
            Event::Messages(_) => self == Self::VoiceMailMessageSummary,
            Event::PushRegistrations => self == Self::PushNotificationRegistration,
            Event::CredentialsChanged | Event::SubscriberDeleted => false,
        }
    }
}

/// The packages of one subscription, and their text in the store: names joined by commas (no name has one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packages(Vec<Package>);

impl Packages {
    /// In canonical order, each once.
    pub(crate) fn new(mut packages: Vec<Package>) -> Self {
        packages.sort_unstable();
        packages.dedup();
        Self(packages)
    }
    /// Reads the store's text; names that this release does not offer are left out.
    pub(crate) fn of_record(text: &str) -> Self {
        Self::new(text.split(',').filter_map(|name| Package::parse(name).ok()).collect())
    }
    /// The store's text.
    pub(crate) fn to_record(&self) -> String {
        self.0.iter().map(|package| package.name()).collect::<Vec<_>>().join(",")
    }
    /// Whether any of them carries the event.
    pub(crate) fn carry(&self, event: &Event) -> bool {
        self.0.iter().any(|package| package.carries(event))
    }
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Package> + '_ {
        self.0.iter().copied()
    }
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_appserver::{HookStatus, Service};

    #[test]
    fn every_name_is_known_once() {
        for package in Package::all() {
            assert!(EventPackage::parse(package.name()).is_some(), "{package:?}");
            assert_eq!(Package::parse(package.name()), Ok(package));
        }
        assert_eq!(Package::parse("Call Center Monitoring"), Err(Refused::NotOffered));
        assert_eq!(Package::parse("advanced call"), Err(Refused::Unknown));
    }

    #[test]
    fn events_go_to_their_packages_only() {
        let hook = Event::Hook(HookStatus::OnHook);
        let dnd = Event::Service(Service::new(ServiceKind::DoNotDisturb));
        assert!(Package::BasicCall.carries(&hook));
        assert!(!Package::Service(ServiceKind::DoNotDisturb).carries(&hook));
        assert!(Package::Service(ServiceKind::DoNotDisturb).carries(&dnd));
        assert!(!Package::AdvancedCall.carries(&dnd));
        assert!(!Package::Service(ServiceKind::CallForwardingBusy).carries(&dnd));
    }

    #[test]
    fn lists_survive_the_store() {
        let packages =
            Packages::new(vec![Package::StandardCall, Package::AdvancedCall, Package::StandardCall]);
        assert_eq!(packages.to_record(), "Advanced Call,Standard Call");
        assert_eq!(Packages::of_record(&packages.to_record()), packages);
        assert_eq!(Packages::of_record("Gone Package,Do Not Disturb").len(), 1);
    }
}
