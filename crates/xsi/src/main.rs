//! The `xsi` process.

fn main() -> std::process::ExitCode {
    openadp_daemon::run(openadp_daemon::Program {
        name: "xsi",
        applications: &[openadp_xsi::APPLICATION],
        servers: &[],
    })
}
