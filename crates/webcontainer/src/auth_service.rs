//! Where a host without a key ring of its own has tokens checked; cli.md 5.4, authservice.md 8.

use openadp_settings::{Context, Kind, Parameter, Tree, Unused, context};

context! {
    /// The AuthenticationService that checks long-lived tokens for a host without a key ring. Every process of an installation
    /// shares the ring of its data directory and checks tokens itself.
    pub struct AuthServiceAddress = Context::single(
        Tree::Adp,
        "System/CommunicationUtility/DefaultSettings/ExternalAuthentication/AuthService",
    ) => {
        /// URL of the application, http://127.0.0.1:80/authService say.
        pub url: Option<String> = Parameter::new("url", Kind::Url(&["http", "https"])).unused(Unused::Later);
    }
}
