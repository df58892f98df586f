//! Who somebody is, and how that is proved.

use crate::PortResult;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A user id with its domain, `alice@lab.example` say. Compared without regard to ASCII case; kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// Takes a user id as it came, in any case.
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far an administrator's rights reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AdminLevel {
    /// Users of one group.
    Group {
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
    },
    /// Everything of one service provider or enterprise.
    ServiceProvider {
        /// Service provider or enterprise.
        provider: String,
    },
    /// Everything.
    System,
}

/// What kind of account a user id belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountKind {
    /// Somebody with a telephone.
    Subscriber {
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
    },
    /// Somebody who administers.
    Administrator(AdminLevel),
}

/// An account of the application server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub user_id: UserId,
    /// What it is.
    pub kind: AccountKind,
    /// Days until the password expires; negative when it has, `None` for never.
    pub password_expires_days: Option<i64>,
}

/// Who a request is made as, after authentication. Nothing else proves anybody: it can be made from a verified account
/// ([`Principal::of`], which only the container's authenticator may call) or from a verified certificate
/// ([`Principal::client_application`], only CTI); clippy holds both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A subscriber.
    #[non_exhaustive]
    Subscriber {
        /// Its id.
        user_id: UserId,
        /// Service provider or enterprise.
        provider: String,
        /// Group.
        group: String,
    },
    /// An administrator.
    #[non_exhaustive]
    Administrator {
        /// Its id.
        user_id: UserId,
        /// How far its rights reach.
        level: AdminLevel,
    },
    /// A client application known by its certificate (CTI).
    #[non_exhaustive]
    ClientApplication {
        /// Common name of the certificate, listed in `AS_CLI/System/ClientIdentity`.
        client_id: String,
    },
}

impl Principal {
    /// The principal of a client application whose certificate was verified and is listed.
    pub fn client_application(client_id: String) -> Self {
        Self::ClientApplication { client_id }
    }
    /// The principal of a verified account.
    pub fn of(account: Account) -> Self {
        match account.kind {
            AccountKind::Subscriber { provider, group } => {
                Self::Subscriber { user_id: account.user_id, provider, group }
            }
            AccountKind::Administrator(level) => Self::Administrator { user_id: account.user_id, level },
        }
    }
    /// The user id, or the client application's name: what owns channels and subscriptions.
    pub fn id(&self) -> &str {
        match self {
            Self::Subscriber { user_id, .. } | Self::Administrator { user_id, .. } => user_id.as_str(),
            Self::ClientApplication { client_id } => client_id,
        }
    }
    /// Whether it may see and act for a subscriber of this provider and group.
    pub fn may_access(&self, user: &UserId, provider: &str, group: &str) -> bool {
        match self {
            Self::Subscriber { user_id, .. } => user_id == user,
            Self::Administrator { level, .. } => match level {
                AdminLevel::Group { provider: p, group: g } => p == provider && g == group,
                AdminLevel::ServiceProvider { provider: p } => p == provider,
                AdminLevel::System => true,
            },
            Self::ClientApplication { .. } => true,
        }
    }
}

/// Accounts and their passwords.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Checks a web password. One call per attempt: the application server counts failures.
    ///
    /// Expensive by design; adapters keep verified credentials for a short time in a bounded cache under a keyed hash and
    /// forget them when the password changes, in every process.
    ///
    /// # Errors
    /// `CredentialsRefused` for unknown users, wrong passwords and locked accounts alike, with equal work; `PasswordExpired`
    /// for the right password where the application server enforces its change.
    async fn verify_password(&self, user: &UserId, password: &str) -> PortResult<Account>;

    /// The account of a user id, without proof.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    async fn account(&self, user: &UserId) -> PortResult<Account>;

    /// Tokens issued before this time (milliseconds since 1970) are void for the user; the later of the user's own and
    /// the system-wide time.
    ///
    /// # Errors
    /// `NotFound` when there is no such user.
    async fn tokens_revoked_before(&self, user: &UserId) -> PortResult<Option<i64>>;

    /// Voids all tokens issued until now, of one user or of everybody.
    ///
    /// # Errors
    /// `NotFound` when there is no such user.
    async fn revoke_tokens(&self, user: Option<&UserId>) -> PortResult<()>;

    /// Changes a web password. With the old one given, it is checked first, and a wrong one counts as a failed login; without,
    /// somebody who administers the account does it. What was verified with the old password is void at once.
    ///
    /// # Errors
    /// `CredentialsRefused` for a wrong old password, `Invalid` for a new one that the rules do not allow, `NotFound`;
    /// `NotAssigned` where passwords are changed elsewhere, which is what an adapter has that says nothing of it.
    async fn change_password(&self, user: &UserId, old: Option<&str>, new: &str) -> PortResult<()> {
        _ = (user, old, new);
        Err(crate::PortError::NotAssigned { service: "Password Change" })
    }
}
