//! The admin socket: how `adpcli` reaches the processes of a data directory.
//!
//! Every process listens on a UNIX socket `DATA_DIR/run/admin/<name>-<pid>.sock`; the directory has mode 0700, the socket
//! 0600, unless a role is given to somebody, and the peer's credentials say who asks. One JSON object a line each way, answers in the order of the requests;
//! a session ends when the peer closes it, is silent for too long, or sends something that is no request.
//! See docs/adr for why this is not HTTP.
//!
//! This module must not know what the settings mean. Reading order: [`Request`], [`Answer`], [`AdminSocket`], [`Client`].

mod client;
mod roles;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientError, discover, refusal};
pub use roles::{RoleSettings, Who, rights, rights_of_name};
pub use server::{Admin, AdminSocket, Interfaces, respond};
pub use socket::author;

use openadp_settings::{
    ActionDone, AuditEntry, AuditReport, Change, Committed, MaskedSnapshot, Origin, Pending, Preview,
    Problems, Revision, Rights, RowChange,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Most bytes of a request: the tree of a large site, imported as one change.
pub(crate) const MAX_REQUEST: usize = 16 * 1024 * 1024;
/// Most bytes of an answer: a snapshot or a list of revisions of a large site.
pub(crate) const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// Most revisions of one answer.
pub const MAX_REVISIONS: u64 = 1000;

/// What a session may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Who is there; answered with [`Hello`].
    Hello,
    /// The tree without its secrets; answered with [`MaskedSnapshot`].
    Snapshot,
    /// Checks a change and accepts it, or with `dry_run` only tells what it would do; answered with [`Done`] or
    /// [`Preview`]. The author is who the socket says, not who the change says.
    #[serde(rename_all = "camelCase")]
    Commit {
        /// The change.
        change: Change,
        /// Change nothing.
        #[serde(default)]
        dry_run: bool,
        /// Take it back by itself unless it is confirmed within so many minutes.
        #[serde(default)]
        confirm_within: Option<u32>,
        /// The revision that the change was made from, where who asks wants to know what others did since.
        #[serde(default)]
        seen: Option<u64>,
        /// Refuse the change when others changed the same since, rather than remark on it.
        #[serde(default)]
        exclusive: bool,
    },
    /// Keeps the change that waits for its confirmation; answered with [`Done`].
    Confirm,
    /// The change that waits for its confirmation; answered with [`Pending`] or nothing.
    Pending,
    /// The last revisions up to and including `to`; answered with a list of [`Revision`].
    Revisions {
        /// The oldest wanted.
        from: u64,
        /// The newest wanted.
        to: u64,
    },
    /// What leads from one revision to another; answered with a list of [`RowChange`].
    Diff {
        /// From this revision,
        from: u64,
        /// to this one.
        to: u64,
    },
    /// The tree, or what is at and below a path, as commands; answered with lines.
    #[serde(rename_all = "camelCase")]
    Export {
        /// Full path; the whole tree without one.
        below: Option<String>,
        /// Secrets sealed for this installation, rather than left out.
        #[serde(default)]
        seal: bool,
    },
    /// The revision that gave a parameter its value; answered with [`Origin`] or nothing.
    Origin {
        /// Full path of the context.
        context: String,
        /// The row's key; empty for a single-row context.
        key: Vec<String>,
        /// The parameter's name.
        parameter: String,
    },
    /// The last entries of the audit log; answered with a list of [`AuditEntry`].
    Audit {
        /// How many, at most.
        most: usize,
    },
    /// Checks the audit log; answered with [`AuditReport`].
    VerifyAudit,
    /// Goes back to a revision; answered like [`Request::Commit`].
    #[serde(rename_all = "camelCase")]
    Rollback {
        /// The revision.
        to: u64,
        /// Overrule what may be overruled.
        #[serde(default)]
        force: bool,
        /// Change nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Runs a declared action; answered with [`ActionDone`].
    Action {
        /// Full path of the context.
        context: String,
        /// Its name.
        action: String,
        /// In declared order; `None` where not given.
        arguments: Vec<Option<String>>,
        /// Overrule what may be overruled.
        #[serde(default)]
        force: bool,
    },
    /// The metrics of the process, as text for Prometheus; answered with lines.
    Counters,
    /// Reads what another process committed; answered with the present revision.
    Refresh,
    /// Goes on as another user of the machine, with the rights of that one; only who always administers may. Answered with
    /// [`Operator`].
    Login {
        /// The user's name.
        user: String,
    },
    /// How the process is, once it has applied a revision; answered with [`Status`].
    Status {
        /// The revision to wait for.
        revision: u64,
    },
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The process's name, `adp` or `xsi` say.
    pub process: String,
    /// Its id.
    pub pid: u32,
    /// Its release.
    pub version: String,
    /// Full paths of the contexts it knows.
    pub contexts: Vec<String>,
    /// The revision it started with: what needs a restart and came later is not in force there.
    #[serde(default)]
    pub started_with: u64,
}

/// Who a session acts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The name that revisions and the audit log get.
    pub name: String,
    /// What they may do.
    pub rights: Rights,
}

/// An interface of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// `http` or `cti`.
    pub kind: String,
    /// Its address as configured.
    pub address: IpAddr,
    /// Its port as configured.
    pub port: u16,
    /// Why it is not listening; `None` while it is.
    pub not_listening: Option<String>,
}

/// How a process is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The revision it has applied.
    pub revision: u64,
    /// The interfaces it serves.
    pub interfaces: Vec<InterfaceStatus>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer<T> {
    /// What was asked for.
    Ok(T),
    /// The change or action is refused.
    Refused(Problems),
    /// The request cannot be answered: malformed, not allowed, too many sessions.
    Failed(String),
}

/// An accepted change, as the socket answers it.
pub type Done = Committed;

/// Every answer's content in one type, for the server.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Action(ActionDone),
    Audit(Vec<AuditEntry>),
    AuditReport(AuditReport),
    Changes(Vec<RowChange>),
    Done(Done),
    Hello(Hello),
    Lines(Vec<String>),
    Operator(Operator),
    Origin(Option<Origin>),
    Pending(Option<Pending>),
    Preview(Preview),
    Revision(u64),
    Revisions(Vec<Revision>),
    Snapshot(MaskedSnapshot),
    Status(Status),
}
