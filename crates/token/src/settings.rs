//! How tokens are issued. Here rather than in the AuthenticationService, because whoever checks a token needs the issuer.
//! cli.md 5.5

use openadp_settings::{Context, Kind, Module, Parameter, Settings, Tree, context};

context! {
    /// How long-lived tokens are issued. A change holds at once; tokens of a former issuer are refused from then on.
    pub struct TokenManagement = Context::single(Tree::Adp, "Applications/AuthenticationService/TokenManagement")
        .aliases(&["Applications/AuthService/TokenManagement"]) => {
        /// Issuer that tokens name and that they are checked for; the same on every node.
        pub token_issuer: String = Parameter::new("tokenIssuer", Kind::text(1, 80)).default("BroadWorks");
        /// Time that a new token is valid.
        pub token_duration_in_hours: u32 =
            Parameter::new("tokenDurationInHours", Kind::integer(1, 4320)).default("720").unit("hours");
        /// Whether a request without a key gets the token unwrapped, over TLS or from this machine only.
        pub allow_unwrapped_token: bool = Parameter::new("allowUnwrappedToken", Kind::Boolean).default("false");
        /// Whether a token of a user whose password expires earlier lives no longer than that.
        pub cap_at_password_expiry: bool =
            Parameter::new("capTokenAtPasswordExpiry", Kind::Boolean).default("false");
        /// How long a token that was checked is not checked again but for its key, times and revocation.
        pub cache_in_seconds: u32 =
            Parameter::new("validationCacheInSeconds", Kind::integer(0, 60)).default("60").unit("seconds");
        /// How long the last known account and revocation time of a user are used while the application server cannot be
        /// asked; afterwards tokens get 503.
        pub stale_revocation_in_minutes: u32 =
            Parameter::new("staleRevocationInMinutes", Kind::integer(0, 60)).default("15").unit("minutes");
        /// Whether they are used for plain users even longer; never for administrators.
        pub allow_stale_revocation: bool =
            Parameter::new("allowStaleRevocation", Kind::Boolean).default("false");
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("token").contexts(&[TokenManagement::CONTEXT]);
