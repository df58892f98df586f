//! What a node consists of.

use openadp_appserver::{Clock, SystemClock};
use openadp_listener::{ConnectionHandler, Filter};
use openadp_settings::Module;
use openadp_webcontainer::{ApplicationSpec, BuildError, Host};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A server that is no HTTP application: CTI.
#[derive(Clone, Copy)]
pub struct ServerSpec {
    /// Its name, in logs.
    pub name: &'static str,
    /// The settings it reads, its own and those of the libraries it uses.
    pub modules: &'static [Module],
    /// Whether it needs the ports of the application server.
    pub needs_application_server: bool,
    /// Builds what serves its connections. Must not block or bind.
    pub build: fn(&Host) -> Result<Arc<dyn ConnectionHandler>, BuildError>,
}

impl std::fmt::Debug for ServerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a node consists of.
#[derive(Clone)]
pub struct NodeOptions {
    /// Name of the process: on the admin socket and in logs.
    pub name: String,
    /// Directory of the installation; made with mode 0700 if missing.
    pub data_dir: PathBuf,
    /// HTTP applications.
    pub applications: Vec<ApplicationSpec>,
    /// The CTI server; at most one.
    pub servers: Vec<ServerSpec>,
    /// Further settings that the process knows without hosting what reads them.
    pub modules: Vec<Module>,
    /// Which of the configured interfaces it serves.
    pub filter: Filter,
    /// Where metrics and health answer.
    pub metrics: Option<SocketAddr>,
    /// Opens the embedded application server even if nothing hosted needs it (to provision it, say).
    pub application_server: bool,
    /// Whether this is a lab, where some rules are eased.
    pub lab: bool,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl NodeOptions {
    /// A node without applications that serves all interfaces and no metrics.
    pub fn new(name: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            data_dir: data_dir.into(),
            applications: Vec::new(),
            servers: Vec::new(),
            modules: Vec::new(),
            filter: Filter::All,
            metrics: None,
            application_server: false,
            lab: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// The modules of everything that the node knows.
    pub(crate) fn modules(&self) -> impl Iterator<Item = Module> + '_ {
        [
            crate::MODULE,
            openadp_appserver_embedded::MODULE,
            openadp_keystore::MODULE,
            openadp_listener::MODULE,
            openadp_outgoing::MODULE,
            openadp_tls::MODULE,
            openadp_token::MODULE,
            openadp_webcontainer::MODULE,
        ]
        .into_iter()
        .chain(self.applications.iter().flat_map(|application| application.modules.iter().copied()))
        .chain(self.servers.iter().flat_map(|server| server.modules.iter().copied()))
        .chain(self.modules.iter().copied())
    }

    pub(crate) fn needs_application_server(&self) -> bool {
        self.application_server
            || self.applications.iter().any(|application| application.needs_application_server)
            || self.servers.iter().any(|server| server.needs_application_server)
    }
}
