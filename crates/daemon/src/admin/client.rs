//! The client of the admin socket; it blocks, since the tool that uses it does one thing after another.

use super::socket::{directory, short};
use super::{Answer, Done, Hello, MAX_ANSWER, Operator, Request, Status};
use openadp_settings::{
    ActionDone, AuditEntry, AuditReport, Change, MaskedSnapshot, Origin, Pending, Preview, Problems,
    Revision, RowChange,
};
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Time that a process has to say hello.
const HELLO: Duration = Duration::from_secs(2);
/// Time that a process has for an answer; actions may ask another server.
const ANSWER: Duration = Duration::from_mins(1);
/// Sockets looked at; more than any node runs.
const MAX_SOCKETS: usize = 256;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The process cannot be reached any more.
    #[error("the process {process} does not answer: {source}")]
    Io {
        /// Its name.
        process: String,
        /// What the system said.
        source: io::Error,
    },
    /// The process refuses the change or action.
    #[error(transparent)]
    Refused(#[from] Problems),
    /// The process does not serve the request.
    #[error("the process {process} answers: {reason}")]
    Failed {
        /// Its name.
        process: String,
        /// Its words.
        reason: String,
    },
}

/// A session with one process.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    hello: Hello,
}

/// Sessions with every process of a data directory, by name. Sockets that nobody listens on are removed.
pub fn discover(data_dir: &Path) -> Vec<Client> {
    let Ok(entries) = std::fs::read_dir(directory(data_dir)) else { return Vec::new() };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .take(MAX_SOCKETS)
        .collect();
    paths.sort();
    paths.iter().filter_map(|path| Client::connect(path).ok()).collect()
}

/// What a process of a data directory says to a user whom it does not serve; `None` where none says so.
pub fn refusal(data_dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(directory(data_dir)).ok()?;
    let mut refused =
        entries.flatten().take(MAX_SOCKETS).filter_map(|entry| match Client::connect(&entry.path()) {
            Err(Some(ClientError::Failed { reason, .. })) => Some(reason),
            _ => None,
        });
    refused.next()
}

impl Client {
    fn connect(path: &Path) -> Result<Self, Option<ClientError>> {
        let (name, _directory) = short(path).map_err(|_| None)?;
        let stream = match UnixStream::connect(name) {
            Ok(stream) => stream,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    // Its process is gone; if another came first, so be it.
                    let _removed = std::fs::remove_file(path);
                }
                return Err(None);
            }
        };
        let timeouts = |time| stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time));
        timeouts(Some(HELLO)).map_err(|_| None)?;
        let process = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let hello = Hello { process, pid: 0, version: String::new(), contexts: Vec::new(), started_with: 0 };
        let mut client = Self { stream: BufReader::new(stream), hello };
        client.hello = client.ask(&Request::Hello).map_err(Some)?;
        client.stream.get_ref().set_read_timeout(Some(ANSWER)).map_err(|_| None)?;
        client.stream.get_ref().set_write_timeout(Some(ANSWER)).map_err(|_| None)?;
        Ok(client)
    }

    /// Who is there.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whether the process knows the context with this full path.
    pub fn knows(&self, context: &str) -> bool {
        self.hello.contexts.iter().any(|known| known == context)
    }

    /// The tree without its secrets.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read its settings.
    pub fn snapshot(&mut self) -> Result<MaskedSnapshot, ClientError> {
        self.ask(&Request::Snapshot)
    }

    /// Commits a change.
    ///
    /// # Errors
    /// The process cannot be reached or refuses the change.
    pub fn commit(&mut self, change: &Change) -> Result<Done, ClientError> {
        self.commit_as(change, None, None, false)
    }

    /// Commits a change that was made from a revision: what others did since is remarked on, or with `exclusive` is a reason
    /// to refuse it. With a number of minutes it goes back by itself unless it is confirmed within them.
    ///
    /// # Errors
    /// The process cannot be reached or refuses the change.
    pub fn commit_as(
        &mut self,
        change: &Change,
        confirm_within: Option<u32>,
        seen: Option<u64>,
        exclusive: bool,
    ) -> Result<Done, ClientError> {
        let change = change.clone();
        self.ask(&Request::Commit { change, dry_run: false, confirm_within, seen, exclusive })
    }

    /// Goes on as another user of the machine.
    ///
    /// # Errors
    /// The process cannot be reached, there is no such user, or who asks may not.
    pub fn login(&mut self, user: &str) -> Result<Operator, ClientError> {
        self.ask(&Request::Login { user: user.to_owned() })
    }

    /// Commits a change that goes back by itself unless it is confirmed within so many minutes.
    ///
    /// # Errors
    /// The process cannot be reached or refuses the change.
    pub fn commit_confirmed(&mut self, change: &Change, minutes: u32) -> Result<Done, ClientError> {
        self.commit_as(change, Some(minutes), None, false)
    }

    /// Keeps the change that waits for its confirmation.
    ///
    /// # Errors
    /// The process cannot be reached, or no change waits.
    pub fn confirm(&mut self) -> Result<Done, ClientError> {
        self.ask(&Request::Confirm)
    }

    /// The change that waits for its confirmation.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read its settings.
    pub fn pending(&mut self) -> Result<Option<Pending>, ClientError> {
        self.ask(&Request::Pending)
    }

    /// What a change would do.
    ///
    /// # Errors
    /// The process cannot be reached or refuses the change.
    pub fn preview(&mut self, change: &Change) -> Result<Preview, ClientError> {
        let (change, dry_run) = (change.clone(), true);
        self.ask(&Request::Commit { change, dry_run, confirm_within: None, seen: None, exclusive: false })
    }

    /// Revisions from one number to another, at most the last [`MAX_REVISIONS`](super::MAX_REVISIONS) of them.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read its settings.
    pub fn revisions(&mut self, from: u64, to: u64) -> Result<Vec<Revision>, ClientError> {
        self.ask(&Request::Revisions { from, to })
    }

    /// What leads from one revision to another.
    ///
    /// # Errors
    /// The process cannot be reached, or there is no such revision.
    pub fn diff(&mut self, from: u64, to: u64) -> Result<Vec<RowChange>, ClientError> {
        self.ask(&Request::Diff { from, to })
    }

    /// The tree, or what is at and below a path, as commands that make it.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read its settings.
    pub fn export(&mut self, below: Option<&str>, seal: bool) -> Result<Vec<String>, ClientError> {
        self.ask(&Request::Export { below: below.map(str::to_owned), seal })
    }

    /// The revision that gave a parameter of a row its value.
    ///
    /// # Errors
    /// The process cannot be reached or does not know the parameter.
    pub fn origin(
        &mut self,
        context: &str,
        key: &[String],
        parameter: &str,
    ) -> Result<Option<Origin>, ClientError> {
        let (context, parameter) = (context.to_owned(), parameter.to_owned());
        self.ask(&Request::Origin { context, key: key.to_vec(), parameter })
    }

    /// The last entries of the audit log, oldest first.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read it.
    pub fn audit(&mut self, most: usize) -> Result<Vec<AuditEntry>, ClientError> {
        self.ask(&Request::Audit { most })
    }

    /// Checks the audit log.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read it.
    pub fn verify_audit(&mut self) -> Result<AuditReport, ClientError> {
        self.ask(&Request::VerifyAudit)
    }

    /// Goes back to a revision.
    ///
    /// # Errors
    /// The process cannot be reached or refuses.
    pub fn rollback(&mut self, to: u64, force: bool) -> Result<Done, ClientError> {
        self.ask(&Request::Rollback { to, force, dry_run: false })
    }

    /// What going back to a revision would do.
    ///
    /// # Errors
    /// The process cannot be reached or refuses.
    pub fn preview_rollback(&mut self, to: u64, force: bool) -> Result<Preview, ClientError> {
        self.ask(&Request::Rollback { to, force, dry_run: true })
    }

    /// Runs a declared action.
    ///
    /// # Errors
    /// The process cannot be reached or refuses.
    pub fn action(
        &mut self,
        context: &str,
        action: &str,
        arguments: &[Option<String>],
        force: bool,
    ) -> Result<ActionDone, ClientError> {
        let (context, action) = (context.to_owned(), action.to_owned());
        self.ask(&Request::Action { context, action, arguments: arguments.to_vec(), force })
    }

    /// The metrics of the process, as text for Prometheus.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn counters(&mut self) -> Result<Vec<String>, ClientError> {
        self.ask(&Request::Counters)
    }

    /// Tells the process that another one committed; gives the revision it now has.
    ///
    /// # Errors
    /// The process cannot be reached or cannot read its settings.
    pub fn refresh(&mut self) -> Result<u64, ClientError> {
        self.ask(&Request::Refresh)
    }

    /// How the process is, once it has applied a revision.
    ///
    /// # Errors
    /// The process cannot be reached.
    pub fn status(&mut self, revision: u64) -> Result<Status, ClientError> {
        self.ask(&Request::Status { revision })
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        let asked = self.exchange(request);
        let line = asked.map_err(|source| ClientError::Io { process: self.hello.process.clone(), source })?;
        match serde_json::from_slice(&line) {
            Ok(Answer::Ok(content)) => Ok(content),
            Ok(Answer::Refused(problems)) => Err(problems.into()),
            Ok(Answer::Failed(reason)) => {
                Err(ClientError::Failed { process: self.hello.process.clone(), reason })
            }
            Err(error) => Err(ClientError::Io { process: self.hello.process.clone(), source: error.into() }),
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        // A process that refuses the session has said why before it closed: read that first.
        let written = self.stream.get_mut().write_all(&line);
        let mut answer = Vec::new();
        let count = (&mut self.stream).take(MAX_ANSWER as u64 + 2).read_until(b'\n', &mut answer)?;
        if count == 0 || answer.last() != Some(&b'\n') {
            written?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}
