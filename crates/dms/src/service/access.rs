//! Who gets which file. The application server decides; this brings it what it needs to know.

use crate::wire::{HardwareAddress, Presented};
use async_trait::async_trait;
use openadp_appserver::{DeviceFile, Devices, FileCredentials, FileDecision, FileRequest, PortError};
use std::sync::Arc;

/// Verifies tokens: those of our own, of the identity provider and of activated devices, or a stand-in in tests.
#[async_trait]
pub(crate) trait Tokens: Send + Sync {
    /// Whose token it is, in the form that the application server knows. `secure`: it came over TLS.
    async fn owner(&self, token: &str, secure: bool) -> Result<FileCredentials, Denied>;
}

/// What a request that is challenged had shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    /// Something that can be guessed.
    Password,
    /// The name of a device that its firewall or its certificate proves: it is wrong by mistake, not by guessing.
    Address,
    /// A token that others had to be asked about: that costs them and us.
    Elsewhere,
    /// A token, which cannot: many apps behind one address may try expired ones first, and that is no attack.
    Token,
}

/// Why there is no file.
#[derive(Debug)]
pub(crate) enum Denied {
    /// Prove who you are.
    Challenge(Shown),
    /// Authenticated, but there is no such file.
    NotFound,
    /// The application server cannot say now.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// A fault of ours.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl From<PortError> for Denied {
    fn from(error: PortError) -> Self {
        match error {
            PortError::CredentialsRefused | PortError::PasswordExpired { .. } => {
                Self::Challenge(Shown::Password)
            }
            PortError::NotFound { .. } | PortError::NotAssigned { .. } => Self::NotFound,
            PortError::Unavailable(_) | PortError::LimitReached { .. } => Self::Unavailable(Box::new(error)),
            PortError::WrongState { .. }
            | PortError::Invalid { .. }
            | PortError::Conflict { .. }
            | PortError::Internal(_) => Self::Internal(Box::new(error)),
        }
    }
}

/// The rules over the ports.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) devices: Arc<dyn Devices>,
    pub(crate) tokens: Arc<dyn Tokens>,
}

impl Access {
    /// The file of a clean path, for who shows this.
    pub(crate) async fn file(
        &self,
        path: String,
        secure: bool,
        allow_password: bool,
        proven: Option<HardwareAddress>,
        presented: Presented,
    ) -> Result<DeviceFile, Denied> {
        if let Some(address) = proven {
            let credentials = FileCredentials::HardwareAddress(address.into_digits());
            let request = FileRequest { path: path.clone(), secure, credentials };
            match self.devices.file(&request).await? {
                FileDecision::File(file) => return Ok(file),
                FileDecision::NotFound => return Err(Denied::NotFound),
                // A device that is not known may be known by what it shows itself.
                FileDecision::Challenge(_) if matches!(presented, Presented::Nothing) => {
                    return Err(Denied::Challenge(Shown::Address));
                }
                FileDecision::Challenge(_) => {}
            }
        }
        let (credentials, shown) = match presented {
            Presented::Nothing => (FileCredentials::None, Shown::Nothing),
            // Something that cannot be valid: not worth a question to the application server.
            Presented::Malformed => return Err(Denied::Challenge(Shown::Password)),
            Presented::Password(_) if !allow_password => (FileCredentials::None, Shown::Nothing),
            Presented::Password(credentials) => (FileCredentials::Password(credentials), Shown::Password),
            // A token that fails is a clean 401, whatever the path, so that the app's second try starts.
            Presented::Token(token) => (self.tokens.owner(&token, secure).await?, Shown::Token),
        };
        match self.devices.file(&FileRequest { path, secure, credentials }).await? {
            FileDecision::Challenge(_) => Err(Denied::Challenge(shown)),
            FileDecision::NotFound => Err(Denied::NotFound),
            FileDecision::File(file) => Ok(file),
        }
    }
}
