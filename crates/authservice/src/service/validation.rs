//! What is told of a token to hosts without a ring. authservice.md 3.2, RFC 7662

use super::mint::Chain;
use crate::wire::Refusal;
use openadp_token::Claims;
use openadp_webcontainer::{AuthError, Authenticator};
use serde::Serialize;

/// What is told.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Introspection {
    /// Valid, with what it says.
    Active {
        /// Always true.
        active: bool,
        /// Issuer.
        iss: String,
        /// User id.
        sub: String,
        /// Issued at.
        iat: i64,
        /// Expires at.
        exp: i64,
        /// Id of the token.
        jti: String,
        /// `llt`.
        kind: String,
        /// How the user proved who it is.
        amr: Vec<String>,
    },
    /// Refused; the reason goes to the log only.
    Inactive {
        /// Always false.
        active: bool,
    },
}

impl From<&Claims> for Introspection {
    fn from(claims: &Claims) -> Self {
        Self::Active {
            active: true,
            iss: claims.iss.clone(),
            sub: claims.sub.clone(),
            iat: claims.iat,
            exp: claims.exp,
            jti: claims.jti.clone(),
            kind: claims.kind.clone(),
            amr: claims.amr.clone(),
        }
    }
}

/// Checks tokens for others.
#[derive(Clone)]
pub(crate) struct Validator {
    pub(crate) authenticator: Authenticator,
}

impl Validator {
    /// Checks a token by the ring of this host, as every application does, then account and revocation.
    ///
    /// # Errors
    /// The application server cannot be asked.
    pub(crate) async fn introspect(&self, token: &str, tracking_id: &str) -> Result<Introspection, Refusal> {
        let count = |outcome: &'static str| {
            metrics::counter!("authservice_validated_total", "outcome" => outcome).increment(1);
        };
        match self.authenticator.introspect_token(token).await {
            Ok(valid) => {
                count("active");
                Ok(Introspection::from(valid.claims()))
            }
            Err(AuthError::Missing | AuthError::Refused | AuthError::PasswordExpired { .. }) => {
                // The reason stands in the line before, of the same request.
                count("inactive");
                tracing::info!(target: "audit", event = "tokenInactive", tracking_id);
                Ok(Introspection::Inactive { active: false })
            }
            Err(AuthError::TooManyFailures { left }) => Err(Refusal::SlowDown(left.as_secs() + 1)),
            Err(AuthError::Unavailable(error)) => {
                tracing::warn!(error = %Chain(&*error), tracking_id, "application server cannot say whether a token is revoked");
                Err(Refusal::Unavailable)
            }
            Err(AuthError::Internal(error)) => {
                tracing::error!(error = %Chain(&*error), tracking_id, "validation failed inside");
                Err(Refusal::Internal)
            }
        }
    }
}
