//! The `cti` process: the CTI server alone.

use openadp_daemon::{Program, ServerSpec};
use std::process::ExitCode;

fn main() -> ExitCode {
    openadp_daemon::run(Program {
        name: "cti",
        about: "The CTI server: XSI and its events over TCP, TLS and mutual TLS",
        applications: &[],
        servers: &[ServerSpec {
            name: "CTI",
            modules: openadp_cti::MODULES,
            needs_application_server: true,
            build: openadp_cti::build,
        }],
    })
}
