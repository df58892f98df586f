//! Devices and their configuration files.

use crate::{PortResult, UserId};
use async_trait::async_trait;

/// Level at which a device is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceLevel {
    /// Group.
    Group,
    /// Service provider.
    ServiceProvider,
    /// System.
    System,
}

/// Credentials of a device.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceCredentials {
    /// User name.
    pub user_name: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for DeviceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceCredentials").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

/// A device of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessDevice {
    /// Name.
    pub name: String,
    /// Level.
    pub level: DeviceLevel,
    /// Device type, `Business Communicator - PC` say.
    pub device_type: String,
    /// Line and port, `alice_pc@lab.example` say.
    pub line_port: String,
    /// Base URL of its files, ending in `/`.
    pub type_url: Option<String>,
    /// Credentials, where the application server may give them away.
    pub credentials: Option<DeviceCredentials>,
    /// Whether calls may end there.
    pub allow_termination: bool,
}

/// How a file request proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum FileCredentials {
    /// Nothing was given.
    None,
    /// User name and password of a device.
    Password(DeviceCredentials),
    /// A subscriber known by a verified token.
    Subscriber(UserId),
    /// A device by its hardware address, twelve lower-case hexadecimal digits, that somebody trusted has proved.
    HardwareAddress(String),
}

/// A request for a file.
#[derive(Clone)]
pub struct FileRequest {
    /// Path below the DMS context, without leading slash: `bc/pc/config-wxt.xml`.
    pub path: String,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Proof of identity.
    pub credentials: FileCredentials,
}

/// What to ask the client for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChallenge {
    /// User name and password.
    Password,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFile {
    /// Name.
    pub name: String,
    /// Its bytes, tags substituted.
    pub content: Vec<u8>,
    /// Media type with charset.
    pub content_type: &'static str,
    /// Whether it holds credentials, so that nothing between may keep it.
    pub confidential: bool,
    /// When it was built, milliseconds since 1970.
    pub built_at: i64,
}

/// Whether the request may have the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileDecision {
    /// It must prove more.
    Challenge(FileChallenge),
    /// Authenticated, but there is no such file.
    NotFound,
    /// Here it is.
    File(DeviceFile),
}

/// Devices and their files.
#[async_trait]
pub trait Devices: Send + Sync {
    /// The subscriber's devices.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn devices(&self, user: &UserId) -> PortResult<Vec<AccessDevice>>;

    /// Says whether calls may end at a device. A subscriber none of whose devices takes calls is busy for callers.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber or a line that is none of his; `NotAssigned` where this cannot be said, which is
    /// what an adapter has that says nothing of it.
    async fn allow_termination(&self, user: &UserId, line_port: &str, allow: bool) -> PortResult<()> {
        _ = (user, line_port, allow);
        Err(crate::PortError::NotAssigned { service: "Device Termination Control" })
    }

    /// Decides over a file request and gives the file. Without valid credentials an unknown file looks like a known one.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn file(&self, request: &FileRequest) -> PortResult<FileDecision>;
}
