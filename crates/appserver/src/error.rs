//! Why a port refuses. Every application maps these to its own wire errors in one exhaustive function.

/// Result of a port's operation.
pub type PortResult<T> = Result<T, PortError>;

/// Why a port refuses an operation.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// User id or password wrong, account locked, user unknown: never told apart towards the outside.
    #[error("credentials refused")]
    CredentialsRefused,
    /// User id and password are right, but the password has expired and another is demanded first.
    #[error("the password has expired")]
    PasswordExpired {
        /// Days since it did.
        days: i64,
    },
    /// The named thing does not exist.
    #[error("{what} not found")]
    NotFound {
        /// Kind of thing: `user`, `call`, `subscription`.
        what: &'static str,
    },
    /// The user does not have the service.
    #[error("service {service} is not assigned")]
    NotAssigned {
        /// Display name of the service.
        service: &'static str,
    },
    /// The call (or other thing) is in a state that does not allow the operation.
    #[error("not possible now: {reason}")]
    WrongState {
        /// What state it is in.
        reason: String,
    },
    /// A value is not acceptable.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It exists already, or somebody else was faster.
    #[error("{what} exists already")]
    Conflict {
        /// Kind of thing.
        what: &'static str,
    },
    /// A limit is reached.
    #[error("limit of {what} reached")]
    LimitReached {
        /// What there is too much of.
        what: &'static str,
    },
    /// The application server cannot be reached or is overloaded; trying again may help.
    #[error("application server unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of the adapter.
    #[error("internal fault of the application server adapter")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}
