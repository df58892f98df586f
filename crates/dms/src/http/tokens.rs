//! Long-lived tokens by the container's authenticator.

use crate::service::{Denied, Shown, Tokens};
use async_trait::async_trait;
use openadp_appserver::{Principal, UserId};
use openadp_webcontainer::{AuthError, Authenticator};

#[async_trait]
impl Tokens for Authenticator {
    async fn subscriber(&self, token: &str) -> Result<UserId, Denied> {
        match self.authenticate_token(token).await {
            Ok(Principal::Subscriber { user_id, .. }) => Ok(user_id),
            // Only subscribers have devices.
            Ok(Principal::Administrator { .. } | Principal::ClientApplication { .. })
            | Err(AuthError::Missing | AuthError::Refused | AuthError::PasswordExpired { .. }) => {
                Err(Denied::Challenge(Shown::Token))
            }
            Err(error @ AuthError::Unavailable(_)) => Err(Denied::Unavailable(Box::new(error))),
            Err(error @ AuthError::Internal(_)) => Err(Denied::Internal(Box::new(error))),
        }
    }
}
