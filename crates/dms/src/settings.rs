//! Declarations: `Applications/BroadworksDms` and below. Names of our own; the known ones of `protocols/cli.md` 5.6 come
//! with the ways of authentication that they switch on.

use openadp_settings::{Context, Kind, Module, Parameter, Settings, Tree, context};

context! {
    /// How devices prove who they are, and what happens to those that cannot.
    pub struct AccessControl = Context::single(Tree::Adp, "Applications/BroadworksDms/AccessControl") => {
        /// Realm of the challenge.
        pub realm: String = Parameter::new("realm", Kind::text(1, 80)).default("BroadWorks");
        /// Whether passwords are taken over interfaces without TLS.
        pub allow_basic_over_http: bool = Parameter::new("allowBasicOverHttp", Kind::Boolean).default("false");
        /// Wrong credentials from one source within the window before it is refused for a while.
        pub failures_per_source: u32 =
            Parameter::new("failuresPerSource", Kind::integer(5, 100_000)).default("100");
        /// The window.
        pub failure_window_seconds: u64 = Parameter::new("failureWindowInSeconds", Kind::integer(10, 86_400))
            .default("600").unit("seconds");
        /// How long such a source is answered 429.
        pub block_seconds: u64 =
            Parameter::new("blockInSeconds", Kind::integer(1, 86_400)).default("60").unit("seconds");
    }
}

/// All declarations of this application.
pub const MODULE: Module = Module::new("dms").contexts(&[AccessControl::CONTEXT]);
