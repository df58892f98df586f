//! TLS as others meet it: what is offered is what the CLI says, certificates change under open connections, client
//! certificates count where they should. The clients are OpenSSL's and sslyze.

#[path = "tls/levels.rs"]
mod levels;

use anyhow::{Context as _, Result, ensure};
use openadp_suite::Lab;
use std::process::{Command, Output, Stdio};

/// `openssl s_client` against a port of this machine, trusting the lab's authority.
pub(crate) fn s_client(lab: &Lab, port: u16, arguments: &[&str]) -> Result<Output> {
    Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"])
        .arg(lab.ca())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("running openssl s_client")
}

/// What a refused command printed.
pub(crate) fn refused(lab: &Lab, command: &str) -> Result<String> {
    let output = lab.adpcli(&[command])?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1), "{command}: {:?}: {printed}", output.status);
    Ok(printed + &String::from_utf8_lossy(&output.stderr))
}
