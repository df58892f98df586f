//! Why a token or a client's key is refused.

use openadp_keystore::KeyStoreError;

/// Why a token is refused. For logs and metrics; the client only learns that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The algorithm is not the key's.
    #[error("algorithm is not the key's")]
    Algorithm,
    /// It is for somebody else.
    #[error("not for this audience")]
    Audience,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// The header has members that a token of ours never has: `crit`, `jku`, `zip` and the like.
    #[error("header has a member that is not allowed")]
    Header,
    /// Issued by somebody else.
    #[error("other issuer")]
    Issuer,
    /// Not a long-lived token, but some other one.
    #[error("other kind of token")]
    Kind,
    /// It lives longer than any token may.
    #[error("lifetime too long")]
    Lifetime,
    /// Not three parts of base64url with strict JSON, or too long.
    #[error("malformed")]
    Malformed,
    /// Not valid yet.
    #[error("not valid yet")]
    NotYet,
    /// The signature is not the key's.
    #[error("wrong signature")]
    Signature,
    /// The ring has no such key, or has it no more.
    #[error("unknown key")]
    UnknownKey,
}

impl TokenError {
    /// A short word for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::Header => "header",
            Self::Issuer => "issuer",
            Self::Kind => "kind",
            Self::Lifetime => "lifetime",
            Self::Malformed => "malformed",
            Self::NotYet => "not_yet",
            Self::Signature => "signature",
            Self::UnknownKey => "unknown_key",
        }
    }
}

/// Why a token cannot be made or wrapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// aws-lc refused; practically out of randomness or memory.
    #[error("cannot encrypt the token")]
    Encrypt,
    /// The key ring cannot sign.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// It would be longer than a token may be.
    #[error("the token would be longer than {limit} bytes")]
    TooLong {
        /// How long it may be.
        limit: usize,
    },
}

/// Why a client's key is refused; the text may be shown to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientKeyError {
    /// Not base64url.
    #[error("key is not base64url")]
    Encoding,
    /// The exponent is even or too small.
    #[error("key has an exponent that is even or below 65537")]
    Exponent,
    /// Not a public key in one of the three forms.
    #[error("key is no SubjectPublicKeyInfo, PEM text or JWK of an RSA public key")]
    Form,
    /// It holds a private key.
    #[error("key holds a private key; send the public one, and replace this one")]
    Private,
    /// Its size is not allowed.
    #[error("key must have 2048 to 4096 bits")]
    Size,
    /// More characters than allowed.
    #[error("key is longer than 2048 characters")]
    TooLong,
}
