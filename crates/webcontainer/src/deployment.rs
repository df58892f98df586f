//! What is deployed: which of the built applications answer, where, and which folders of files do.

use openadp_settings::Snapshot;
use std::path::PathBuf;
use std::sync::Arc;

/// Whether a known application answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// It does.
    Up,
    /// It is deployed and stopped: its paths answer 503.
    Stopped,
    /// It is not deployed: its paths answer 404.
    Down,
}

/// One known application. What is built and not known to the settings answers always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Its name, `Xsi-Actions` say.
    pub name: String,
    /// Its context path.
    pub path: String,
    /// Whether it answers.
    pub service: Service,
    /// What answers there.
    pub content: Content,
}

/// What answers at a deployed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An application that was built into this process, where it was.
    BuiltIn,
    /// The files of an installed archive, below this folder with its index.
    Files(PathBuf),
}

/// Reads what is deployed from the settings; asked once per revision, at the first request after it.
pub type Deployments = Arc<dyn Fn(&Snapshot) -> Vec<Deployed> + Send + Sync>;
