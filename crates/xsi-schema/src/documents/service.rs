//! The list of services (xsi.md 3.2). What each service's own document holds is declared with the services themselves.

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
