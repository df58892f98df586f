//! Services (xsi.md 3.2 and 3.3). All members of a service are optional: a PUT changes only what it names.

use super::Address;
use crate::Patch;
use crate::field::document;

document! {
    /// `service`: one entry of the list.
    ServiceEntry = "service" {
        /// Display name.
        name: String = "name",
        /// URI of its document, from `/v2.0` on; absent for services without settings.
        uri: Option<String> = "uri",
    }
}

document! {
    /// `Services`: what the user has.
    Services = "Services" {
        /// The services.
        services: Vec<ServiceEntry> = "service",
    }
}

document! {
    /// `DoNotDisturb`.
    DoNotDisturb = "DoNotDisturb" {
        /// Whether callers get busy.
        active: Option<bool> = "active",
        /// Whether the phone gives a short ring for a refused call.
        ring_splash: Option<bool> = "ringSplash",
    }
}

document! {
    /// `CallForwardingAlways`.
    CallForwardingAlways = "CallForwardingAlways" {
        /// Whether calls are forwarded.
        active: Option<bool> = "active",
        /// Where to.
        forward_to_phone_number: Patch<Address> = "forwardToPhoneNumber",
        /// Whether the phone gives a short ring for a forwarded call.
        ring_splash: Option<bool> = "ringSplash",
    }
}

document! {
    /// `CallForwardingBusy`.
    CallForwardingBusy = "CallForwardingBusy" {
        /// Whether calls are forwarded while busy.
        active: Option<bool> = "active",
        /// Where to.
        forward_to_phone_number: Patch<Address> = "forwardToPhoneNumber",
    }
}

document! {
    /// `CallForwardingNoAnswer`.
    CallForwardingNoAnswer = "CallForwardingNoAnswer" {
        /// Whether unanswered calls are forwarded.
        active: Option<bool> = "active",
        /// Where to.
        forward_to_phone_number: Patch<Address> = "forwardToPhoneNumber",
        /// Rings before it happens: 0, 2 to 20. Not checked here.
        number_of_rings: Option<u32> = "numberOfRings",
    }
}
