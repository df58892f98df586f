//! How often logins may fail. authservice.md 11; read by the one authenticator of all applications.

use openadp_settings::{Context, Kind, Network, Parameter, Tree, context};

context! {
    /// How many failed logins with passwords and single-use tokens are taken before further ones are refused: at
    /// AuthenticationService, Xsi-Actions, Xsi-Events and CTI together, in each process. Successful ones are never counted.
    pub struct FailureLimits = Context::single(Tree::Adp, "Applications/AuthenticationService/FailureLimits")
        .aliases(&["Applications/AuthService/FailureLimits"]) => {
        /// Failures a minute that one source may go on with; IPv6 sources are counted by networks of 64 bits.
        pub per_minute_and_source: u32 =
            Parameter::new("failuresPerMinutePerSource", Kind::integer(1, 10_000)).default("20").unit("failures");
        /// Failures that one source may have at once.
        pub burst_per_source: u32 =
            Parameter::new("failureBurstPerSource", Kind::integer(1, 10_000)).default("40").unit("failures");
        /// Failures of one user from one source within the window; others may go on for that user from elsewhere.
        pub per_user_and_source: u32 =
            Parameter::new("failuresPerUserAndSource", Kind::integer(1, 1000)).default("5").unit("failures");
        /// The window for them.
        pub window_minutes: u32 =
            Parameter::new("failureWindowInMinutes", Kind::integer(1, 1440)).default("15").unit("minutes");
    }
}

context! {
    /// Sources that stand for many people, clouds and proxies: their failures are counted by user alone.
    pub struct ExemptSource = Context::table(Tree::Adp, "Applications/AuthenticationService/FailureLimits/ExemptSources")
        .aliases(&["Applications/AuthService/FailureLimits/ExemptSources"]) => {
        /// An address, or a network as address/bits.
        pub network: Network = Parameter::new("network", Kind::Named(Network::KIND)).header("Network").key().left();
        /// Who it is.
        pub description: String = Parameter::new("description", Kind::text(0, 80)).header("Description").default("").left();
    }
}
