//! What a process gives to its applications, and what an application gives back.

use crate::{Authenticator, ServiceLock};
use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Method};
use openadp_appserver::{Clock, Ports};
use openadp_keystore::KeyStore;
use openadp_settings::{Module, Store};
use openadp_tls::Tls;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the process gives to every application that it hosts.
#[derive(Clone)]
pub struct Host {
    /// Proves who somebody is.
    pub authenticator: Authenticator,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The data directory of the installation.
    pub data_dir: PathBuf,
    /// The key ring.
    pub keystore: Arc<KeyStore>,
    /// Whether this is a lab, where some rules are eased.
    pub lab: bool,
    /// Whether new work is refused; the web container looks at it for all its applications.
    pub lock: ServiceLock,
    /// The application server; `None` where no hosted application needs it.
    pub ports: Option<Ports>,
    /// Cancelled when the process is to end: long answers finish then.
    pub shutdown: CancellationToken,
    /// The settings.
    pub store: Arc<Store>,
    /// All tasks run in here, so that the process can wait for them.
    pub tasks: TaskTracker,
    /// TLS for outgoing connections.
    pub tls: Arc<Tls>,
}

impl Host {
    /// The application server's ports.
    ///
    /// # Errors
    /// When the process was composed without one.
    pub fn require_ports(&self) -> Result<Ports, BuildError> {
        self.ports
            .clone()
            .ok_or_else(|| BuildError::new("it needs the application server, and there is none"))
    }
}

/// Why an application cannot be built: wrong configuration, mostly. The process does not start.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct BuildError {
    reason: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BuildError {
    /// An error with its reason in an operator's words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), source: None }
    }
    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// An HTTP application that a process can host.
///
/// ```
/// use openadp_webcontainer::{Application, ApplicationSpec, Mount};
///
/// pub const APPLICATION: ApplicationSpec = ApplicationSpec {
///     name: "Hello",
///     modules: &[],
///     needs_application_server: false,
///     exclusive: false,
///     build: |_host| {
///         let router = axum::Router::new().route("/world", axum::routing::get(|| async { "hello" }));
///         Ok(Application { name: "Hello", mounts: vec![Mount::new("/hello", router)] })
///     },
/// };
/// ```
#[derive(Clone, Copy)]
pub struct ApplicationSpec {
    /// Its name, `AuthenticationService` say: in logs, metrics and `WebApps`.
    pub name: &'static str,
    /// The settings it reads, its own and those of the libraries it uses.
    pub modules: &'static [Module],
    /// Whether it needs the ports of the application server.
    pub needs_application_server: bool,
    /// Whether it must not share a process with other applications outside a lab.
    pub exclusive: bool,
    /// Builds it. Must not block, bind or spawn anything that does not end with `Host::shutdown`.
    pub build: fn(&Host) -> Result<Application, BuildError>,
}

impl std::fmt::Debug for ApplicationSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplicationSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A built application.
#[derive(Debug)]
pub struct Application {
    /// Its name, as in its spec.
    pub name: &'static str,
    /// Where it answers.
    pub mounts: Vec<Mount>,
}

/// A router and the path it answers under.
#[derive(Debug, Clone)]
pub struct Mount {
    /// One or more segments, `/com.broadsoft.xsi-actions` say; matched without regard to case.
    pub path: String,
    /// What answers there; it sees the path below `path`.
    pub router: Router,
    /// The application that it belongs to where operators know it as one of its own (`Xsi-Actions`, of what is built as
    /// one with `Xsi-Events`).
    pub application: Option<&'static str>,
    /// What the container refuses work with in its place, where it has a form of its own for that.
    pub refusal: Option<Refusal>,
    /// Which requests belong to what is already open, and are served on while new work is refused.
    pub finishes: Option<Finishes>,
}

/// A request that the container refuses in an application's place.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// The request's id.
    pub id: &'a str,
    /// What follows the `?`; empty where there is none.
    pub query: &'a str,
    /// Its headers: what form of answer is asked for stands there.
    pub headers: &'a HeaderMap,
}

/// Content type and body of a refusal.
pub type Refusal = fn(&Refused<'_>) -> (&'static str, Bytes);
/// Whether a request, by its method and the path below the mount, only finishes or keeps what is open.
pub type Finishes = fn(&Method, &str) -> bool;

impl Mount {
    /// A router under a path.
    pub fn new(path: impl Into<String>, router: Router) -> Self {
        Self { path: path.into(), router, application: None, refusal: None, finishes: None }
    }
    /// Says in what form the container refuses work in its place (503).
    #[must_use]
    pub fn refuses_with(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }
    /// Says what is served on while new work is refused.
    #[must_use]
    pub fn finishes(mut self, finishes: Finishes) -> Self {
        self.finishes = Some(finishes);
        self
    }
    /// Says which application it belongs to, where that is not the one it was built with.
    #[must_use]
    pub fn of(mut self, application: &'static str) -> Self {
        self.application = Some(application);
        self
    }
}
