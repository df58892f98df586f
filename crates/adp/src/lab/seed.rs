//! What a seeded lab is: accounts, passwords, ports, keys of the push stand-ins. Kept as one file, mode 0600.

use super::plan::{Plan, Ports};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A subscriber as `--describe` names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subscriber {
    /// User id.
    pub(crate) user_id: String,
    /// Web password.
    pub(crate) password: String,
    /// E.164 number.
    pub(crate) number: String,
    /// Extension.
    pub(crate) extension: String,
    /// Group id.
    pub(crate) group: String,
    /// Enterprise id.
    pub(crate) enterprise: String,
}

/// An administrator as `--describe` names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Administrator {
    /// User id.
    pub(crate) user_id: String,
    /// Web password.
    pub(crate) password: String,
    /// `system`, `enterprise` or `group`.
    pub(crate) level: String,
}

/// What the stand-in of APNs verifies provider tokens with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApnsKey {
    /// Key id, ten characters.
    pub(crate) key_id: String,
    /// Team id, ten characters.
    pub(crate) team_id: String,
    /// Public key, PEM.
    pub(crate) public_key: String,
}

/// What the stand-in of FCM verifies assertions with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FcmProject {
    /// Project id.
    pub(crate) project_id: String,
    /// The service account.
    pub(crate) client_email: String,
    /// Id of its key.
    pub(crate) key_id: String,
    /// Public key, PEM.
    pub(crate) public_key: String,
}

/// A complete seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seed {
    /// Ports that the settings name now.
    pub(crate) ports: Ports,
    /// Everybody with a telephone.
    pub(crate) subscribers: Vec<Subscriber>,
    /// Everybody who administers.
    pub(crate) administrators: Vec<Administrator>,
    /// The push key of the lab's iOS app.
    pub(crate) apns: ApnsKey,
    /// The push project of the lab's Android app.
    pub(crate) fcm: FcmProject,
}

impl Seed {
    /// Reads the seed of a data directory; `None` where there is none yet.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>> {
        let path = Plan::seed_file(data_dir);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; delete the data directory", path.display()))
            .map(Some)
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<()> {
        let path = Plan::seed_file(data_dir);
        let temporary = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .with_context(|| format!("making {}", temporary.display()))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&temporary, &path))
            .with_context(|| format!("writing {}", path.display()))
    }
}
