//! Other ways to say and to prove who somebody is than a user id with its web password.

use crate::{Account, PortResult, UserId};
use async_trait::async_trait;

/// Login ids, single-use login tokens and SIP credentials.
#[async_trait]
pub trait Logins: Send + Sync {
    /// The account that somebody means who types this to sign in: a user id, one without the default domain, or an alternate
    /// id. Proves nothing.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    async fn find(&self, login: &str) -> PortResult<Account>;

    /// Makes a single-use token that proves the user for a short time. The store keeps no more than a digest of it.
    ///
    /// # Errors
    /// `NotFound` when there is no such user, `LimitReached` when the user has too many that are not used.
    async fn create_login_token(&self, user: &UserId) -> PortResult<String>;

    /// Takes a login token: of all that bring it, in whichever process, one gets the account.
    ///
    /// # Errors
    /// `CredentialsRefused` for one that is unknown, over, used, revoked, or of a user who is gone.
    async fn take_login_token(&self, token: &str) -> PortResult<Account>;

    /// Checks the SIP authentication user name and password of a device of the user.
    ///
    /// # Errors
    /// `CredentialsRefused` for everything that is not right, with equal work.
    async fn verify_sip(&self, login: &str, sip_user: &str, password: &str) -> PortResult<Account>;
}
