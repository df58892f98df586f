//! The `adpcli` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    openadp_cli::run(std::env::args_os())
}
