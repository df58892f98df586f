//! The `xsi` process.

fn main() -> std::process::ExitCode {
    openadp_daemon::run(openadp_daemon::Program {
        name: "xsi",
        about: "Xsi-Actions and Xsi-Events: call control, profile, services and events over HTTP",
        applications: &[openadp_xsi::APPLICATION],
        servers: &[],
    })
}
