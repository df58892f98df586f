//! Settings of the AuthenticationService beside those of tokens and keys. authservice.md 11

mod identity_provider;

pub use identity_provider::{
    AllowedRole, AllowedScope, CiscoIdentityProvider, Federation, IdentityProviderScopes, Partner,
};

use openadp_settings::{Context, Kind, Module, Parameter, Settings, Tree, context};

context! {
    /// How many failed attempts are taken before further ones are refused. Successful requests are never counted.
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

/// All contexts that only this application has; those of tokens and keys are in their crates' modules.
pub const MODULE: Module = Module::new("authservice")
    .contexts(&[
        FailureLimits::CONTEXT,
        CiscoIdentityProvider::CONTEXT,
        IdentityProviderScopes::CONTEXT,
        Federation::CONTEXT,
        Partner::CONTEXT,
        AllowedRole::CONTEXT,
        AllowedScope::CONTEXT,
    ])
    .checks(&[identity_provider::check]);
