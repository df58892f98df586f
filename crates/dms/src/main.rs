//! The `dms` process.

fn main() -> std::process::ExitCode {
    openadp_daemon::run(openadp_daemon::Program {
        name: "dms",
        about: "DMS: device configuration files",
        applications: &[openadp_dms::APPLICATION],
        servers: &[],
    })
}
