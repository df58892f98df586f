//! Callers known by their client certificates. authservice.md 4 and 6
//!
//! The handshake has checked chain, validity and use; here stands who may call at all, and who may speak for users.

use openadp_settings::{Context, Kind, Parameter, Tree, context};

/// The use that internal certificates of BroadWorks networks are marked with.
pub(crate) const BROADWORKS_USAGE: &str = "1.3.6.1.4.1.6431.1.1.8.2.1.3";
/// Client authentication.
pub(crate) const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

context! {
    /// Callers with client certificates. While the list is empty, a client certificate that its interface accepts changes
    /// nothing; once it is not, callers that show a certificate must be on it.
    pub struct CertificateCaller =
        Context::table(Tree::Adp, "Applications/AuthenticationService/ClientCertificates") => {
        /// Common name of the certificate's subject.
        pub common_name: String =
            Parameter::new("commonName", Kind::text(1, 256)).header("Common Name").key().left();
        /// Common name of its issuer; any that the trust anchors allow where none is given.
        pub issuer: Option<String> = Parameter::new("issuer", Kind::text(1, 256)).header("Issuer").left();
        /// Whether it must be marked for use in BroadWorks networks (1.3.6.1.4.1.6431.1.1.8.2.1.3), as those of an internal
        /// authority are. Those of Webex are not.
        pub broadworks_usage: bool =
            Parameter::new("requireBroadWorksEku", Kind::Boolean).header("Require BroadWorks EKU").default("true");
        /// Whether it is trusted to name the user by itself (userId=), without any proof of the user. Give this to nobody but
        /// a server of your own that has proved the user.
        pub asserts: bool =
            Parameter::new("trustedAsserter", Kind::Boolean).header("Trusted Asserter").default("false");
    }
}
