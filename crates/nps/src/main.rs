//! The `nps` process.

fn main() -> std::process::ExitCode {
    openadp_daemon::run(openadp_daemon::Program {
        name: "nps",
        about: "NotificationPushServer: call pushes to APNs and FCM",
        applications: &[openadp_nps::APPLICATION],
        servers: &[],
    })
}
