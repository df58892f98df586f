//! Where a host without a key ring of its own has tokens checked; cli.md 5.4, authservice.md 8.

use openadp_settings::{Context, Kind, Parameter, Tree, context};

context! {
    /// The AuthenticationService that checks long-lived tokens for a host whose key ring is empty. A process that has a ring
    /// checks tokens itself. Another machine than this one must know us as a peer (KeyManagement/PeerAccess).
    pub struct AuthServiceAddress = Context::single(
        Tree::Adp,
        "System/CommunicationUtility/DefaultSettings/ExternalAuthentication/AuthService",
    ) => {
        /// URL of the application, http://127.0.0.1:80/authService say; unset, tokens are checked by the ring alone.
        pub url: Option<String> = Parameter::new("url", Kind::Url(&["http", "https"]));
    }
}
