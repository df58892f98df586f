//! The settings of CTI, declared once. Interfaces and their limits are declared in `listener`.

use openadp_settings::{Apply, Context, Kind, Module, Parameter, Settings, Tree, context};

context! {
    /// Client applications that the application server knows by the common name of their certificate (cti.md 4.3).
    /// bwcticlient.webex.com for Webex.
    pub struct ClientIdentity = Context::table(Tree::As, "System/ClientIdentity") => {
        /// Common name of the subject, compared without regard to case.
        pub common_name: String = Parameter::new("commonName", Kind::text(1, 256)).header("Common Name").key().left();
    }
}

context! {
    /// Authentication of client applications by certificate, on CTI interfaces that require one.
    pub struct CertificateAuthentication = Context::single(
        Tree::Adp,
        "System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CertificateAuthentication",
    ) => {
        /// Whether a client whose certificate names an entry of AS_CLI/System/ClientIdentity is accepted as that client
        /// application, without user credentials.
        pub allow_client_app: bool = Parameter::new("allowClientApp", Kind::Boolean).default("false");
    }
}

context! {
    /// Limits and timers of CTI connections.
    pub struct GeneralSettings = Context::single(Tree::Adp, "Applications/CTI/GeneralSettings") => {
        /// Largest message that a client may send. A larger one closes its connection.
        pub max_message_size: usize = Parameter::new("maxMessageSizeInBytes", Kind::integer(4096, 16_777_216))
            .default("1048576").unit("bytes").apply(Apply::NextConnection);
        /// Requests of one connection that may wait or run at once; more are not read until some are answered.
        pub max_pending_requests: usize = Parameter::new("maxPendingRequests", Kind::integer(1, 10_000))
            .default("200").unit("requests").apply(Apply::NextConnection);
        /// Sessions of one connection whose credentials are remembered; the one that was not used for longest is
        /// forgotten, and must send its credentials again.
        pub max_sessions: usize = Parameter::new("maxSessionsPerConnection", Kind::integer(1, 100_000))
            .default("1000").unit("sessions").apply(Apply::NextConnection);
        /// Channels of one connection.
        pub max_channels: usize = Parameter::new("maxChannelsPerConnection", Kind::integer(1, 100_000))
            .default("1000").unit("channels").apply(Apply::NextConnection);
        /// Messages that may wait for a client to read them; with more, its connection is closed.
        pub outbound_messages: usize = Parameter::new("outboundQueueSize", Kind::integer(16, 1_000_000))
            .default("5000").unit("messages").apply(Apply::NextConnection);
        /// Bytes that may wait for a client to read them; with more, its connection is closed.
        pub outbound_bytes: usize = Parameter::new("outboundQueueBytes", Kind::integer(65_536, 1_073_741_824))
            .default("8388608").unit("bytes").apply(Apply::NextConnection);
        /// Time within which somebody must prove who they are.
        pub unauthenticated_timeout: u32 = Parameter::new("unauthenticatedTimeoutInSeconds", Kind::integer(1, 3600))
            .default("30").unit("seconds").apply(Apply::NextConnection);
        /// Refused credentials in a row after which the connection is closed.
        pub max_authentication_failures: u32 = Parameter::new("maxAuthenticationFailures", Kind::integer(1, 1000))
            .default("5").apply(Apply::NextConnection);
        /// Time between two keepalives of the server; 0 sends none, since no client is known to answer them.
        pub keepalive_period: u32 = Parameter::new("keepalivePeriodInSeconds", Kind::integer(0, 3600))
            .default("0").unit("seconds").apply(Apply::NextConnection);
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("cti").contexts(&[
    ClientIdentity::CONTEXT,
    CertificateAuthentication::CONTEXT,
    GeneralSettings::CONTEXT,
]);

/// Its own contexts and those of the XSI that it carries.
pub const MODULES: &[Module] = &[MODULE, openadp_xsi_api::MODULE];

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_settings::{Registry, Store};

    #[test]
    fn defaults_read_as_documented() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        assert!(!store.get::<CertificateAuthentication>().allow_client_app);
        assert!(store.rows::<ClientIdentity>().is_empty());
        assert_eq!(store.get::<GeneralSettings>().unauthenticated_timeout, 30);
        assert_eq!(store.get::<GeneralSettings>().keepalive_period, 0);
    }
}
