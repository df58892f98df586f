//! Settings of every process.

use openadp_settings::{Context, Kind, Module, Parameter, Settings, Tree, context};

context! {
    /// What every process logs. Log lines go to the standard error stream.
    pub struct LogSettings = Context::single(Tree::Adp, "System/Logging") => {
        /// The least severe lines that are logged. A process that was started with --log-level keeps that one.
        pub level: String =
            Parameter::new("level", Kind::Choice(&["error", "warn", "info", "debug", "trace"])).default("info");
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("daemon").contexts(&[LogSettings::CONTEXT]);
