//! Bad input: each gets its protocol's own clear error, and costs the others nothing. The whole suite runs; somebody else's
//! request follows each offence and is answered as ever.

#[path = "bad_input/authentication.rs"]
mod authentication;
#[path = "bad_input/cli.rs"]
mod cli;
#[path = "bad_input/cti.rs"]
mod cti;
#[path = "bad_input/documents.rs"]
mod documents;
#[path = "bad_input/http.rs"]
mod http;
#[path = "bad_input/slow.rs"]
mod slow;
#[path = "bad_input/stuck.rs"]
mod stuck;
#[path = "bad_input/tls.rs"]
mod tls;

use anyhow::{Result, ensure};
use openadp_suite::{Account, Lab, Plain, Response};

pub(crate) const ACTIONS: &str = "/com.broadsoft.xsi-actions/v2.0";
pub(crate) const EVENTS: &str = "/com.broadsoft.xsi-events/v2.0";

/// A lab with a plain HTTP interface.
pub(crate) fn lab() -> Result<(Lab, Plain)> {
    let lab = Lab::start()?;
    let plain = Plain::open(&lab)?;
    plain.others_are_served()?;
    Ok((lab, plain))
}

pub(crate) fn user(account: &Account, resource: &str) -> String {
    format!("{ACTIONS}/user/{}/{resource}", account.user_id)
}

/// Asserts XSI's own error form, with this status.
pub(crate) fn error_info(what: &str, answer: Response, status: u16) -> Result<Response> {
    ensure!(answer.status == status, "{what}: expected {status}, got {answer:?}");
    ensure!(
        answer.body.contains("<ErrorInfo xmlns=\"http://schema.broadsoft.com/xsi\">"),
        "{what}: {answer:?}"
    );
    ensure!(answer.text_of("summary").is_some_and(|text| !text.is_empty()), "{what}: {answer:?}");
    ensure!(
        answer.text_of("errorCode").is_some_and(|code| code.parse::<u32>().is_ok()),
        "{what}: {answer:?}"
    );
    ensure!(
        !answer.body.contains("panic") && !answer.body.contains(".rs:"),
        "{what} shows its inside: {answer:?}"
    );
    Ok(answer)
}

/// Cases that went wrong: all of a table are tried before the test fails.
#[derive(Default)]
pub(crate) struct Report(Vec<String>);

impl Report {
    pub(crate) fn note(&mut self, what: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.0.push(format!("{what}: {error:#}"));
        }
    }
    pub(crate) fn end(self) -> Result<()> {
        ensure!(self.0.is_empty(), "{} wrong:\n{}", self.0.len(), self.0.join("\n"));
        Ok(())
    }
}
