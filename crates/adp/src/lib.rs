//! `adp`, the host of any set of applications, and the lab.
//!
//! `adp run` hosts the applications that its flags or its configuration file name, over one data directory. `adp lab` seeds a
//! data directory with an authority, an enterprise and stand-ins of the push providers, and serves everything on loopback.
//! This crate composes; what it composes lives in the crates below.
//!
//! Reading order: `hosted` (what there is), `run`, `lab`.

mod hosted;
mod lab;
mod run;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::process::ExitCode;

/// Hosts OpenADP's applications.
#[derive(Debug, Parser)]
#[command(name = "adp", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve everything on loopback, with an embedded application server and a seeded enterprise
    Lab(lab::LabArguments),
    /// Host applications of an installation
    Run(run::RunArguments),
    /// Run only the lab's stand-ins of APNs and FCM, for processes that are started one by one
    StandIns(lab::StandInsArguments),
}

/// All of `main`.
pub fn main() -> ExitCode {
    if let Some(code) = openadp_daemon::generate(&Arguments::command(), std::env::args_os()) {
        return code;
    }
    let parsed =
        Arguments::command().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    match parsed {
        Ok(Arguments { command: Command::Lab(arguments) }) => lab::lab(&arguments),
        Ok(Arguments { command: Command::Run(arguments) }) => run::run(&arguments),
        Ok(Arguments { command: Command::StandIns(arguments) }) => lab::stand_ins(&arguments),
        Err(error) => openadp_daemon::usage(&error),
    }
}
