//! The `authservice` process.

fn main() -> std::process::ExitCode {
    openadp_daemon::run(openadp_daemon::Program {
        name: "authservice",
        about: "AuthenticationService: long-lived tokens and their validation",
        applications: &[openadp_authservice::APPLICATION],
        servers: &[],
    })
}
