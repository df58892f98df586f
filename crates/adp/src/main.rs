//! `adp`: hosts any set of applications, and the lab.

use std::process::ExitCode;

fn main() -> ExitCode {
    openadp_adp::main()
}
