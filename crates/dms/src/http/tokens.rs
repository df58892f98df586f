//! Tokens by the container's authenticator, by the identity provider, and by the bridge of activated devices.

use crate::activation::Activation;
use crate::service::{Denied, Shown, Tokens};
use async_trait::async_trait;
use openadp_appserver::{AccountKind, FileCredentials, Principal};
use openadp_identity::{Denied as Unproven, Identities};
use openadp_webcontainer::{AuthError, Authenticator};
use std::time::Duration;

/// Within which a token is judged, whoever is asked: every request is answered within two seconds.
const JUDGED_WITHIN: Duration = Duration::from_millis(1700);

/// Everybody who may know a token.
pub(crate) struct Bearers {
    pub(crate) activation: Activation,
    pub(crate) authenticator: Authenticator,
    pub(crate) identities: Identities,
}

#[async_trait]
impl Tokens for Bearers {
    async fn owner(&self, token: &str, secure: bool) -> Result<FileCredentials, Denied> {
        match tokio::time::timeout(JUDGED_WITHIN, self.judge(token, secure)).await {
            Ok(judged) => judged,
            Err(_) => Err(Denied::Unavailable("nobody said in time whose token it is".into())),
        }
    }
}

impl Bearers {
    async fn judge(&self, token: &str, secure: bool) -> Result<FileCredentials, Denied> {
        match self.authenticator.authenticate_token(token).await {
            Ok(Principal::Subscriber { user_id, .. }) => return Ok(FileCredentials::Subscriber(user_id)),
            // Only subscribers have devices.
            Ok(Principal::Administrator { .. } | Principal::ClientApplication { .. })
            | Err(AuthError::PasswordExpired { .. }) => return Err(Denied::Challenge(Shown::Token)),
            Err(AuthError::Missing | AuthError::Refused) => {}
            Err(error @ AuthError::Unavailable(_)) => return Err(Denied::Unavailable(Box::new(error))),
            // No limit of failures holds for tokens, which nobody can guess.
            Err(error @ (AuthError::Internal(_) | AuthError::TooManyFailures { .. })) => {
                return Err(Denied::Internal(Box::new(error)));
            }
        }
        // Not one of ours. Others are not told tokens that went over the network in clear.
        if !secure {
            return Err(Denied::Challenge(Shown::Token));
        }
        let asked = self.identities.is_on();
        if asked {
            match self.identities.verify(token).await {
                Ok(proven) => {
                    return match &proven.account().kind {
                        AccountKind::Subscriber { .. } => {
                            Ok(FileCredentials::Subscriber(proven.account().user_id.clone()))
                        }
                        AccountKind::Administrator(_) => Err(Denied::Challenge(Shown::Token)),
                    };
                }
                // A bad token is a clean 401, whatever is bad about it, so that a second try starts.
                Err(Unproven::Token(_)) => {}
                Err(Unproven::Scope | Unproven::User(_)) => {
                    return Err(Denied::Challenge(Shown::Elsewhere));
                }
                Err(Unproven::Unavailable(reason)) => {
                    return Err(Denied::Unavailable(
                        format!("the identity provider cannot say: {reason}").into(),
                    ));
                }
                Err(Unproven::Internal) => {
                    return Err(Denied::Internal("the identity provider's answer cannot be used".into()));
                }
            }
        }
        match self.activation.device(token).await {
            Some(Ok(address)) => Ok(FileCredentials::HardwareAddress(address.into_digits())),
            Some(Err(denied)) => Err(denied),
            None if asked => Err(Denied::Challenge(Shown::Elsewhere)),
            None => Err(Denied::Challenge(Shown::Token)),
        }
    }
}
