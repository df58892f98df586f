//! The versions resource (xsi.md 1.2).

use crate::field::document;

document! {
    /// A baseline; patched commands are not listed, since this server has none.
    VersionBaseline = "commands" {
        /// Release, `24.0` say.
        baseline: String = "baseline",
    }
}

document! {
    /// `Versions`: what the server implements.
    Versions = "Versions" {
        /// Commands.
        commands: VersionBaseline = "commands",
        /// Event packages.
        event_packages: Option<VersionBaseline> = "eventPackages",
    }
}
