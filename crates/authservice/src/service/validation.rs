//! What is told of a token to hosts without a ring. authservice.md 3.2, RFC 7662

use super::mint::Chain;
use crate::wire::Refusal;
use openadp_appserver::Clock;
use openadp_keystore::KeyStore;
use openadp_settings::Live;
use openadp_token::{Claims, Expected, TokenManagement, validate};
use openadp_webcontainer::{AuthError, Authenticator};
use serde::Serialize;
use std::sync::Arc;

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
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keystore: Arc<KeyStore>,
    pub(crate) settings: Live<TokenManagement>,
}

impl Validator {
    /// Checks a token: signature, times and claims over the ring, then account and revocation at the application server.
    ///
    /// # Errors
    /// The application server cannot be asked.
    pub(crate) async fn introspect(&self, token: &str, tracking_id: &str) -> Result<Introspection, Refusal> {
        let issuer = self.settings.load().token_issuer.clone();
        let now = self.clock.now().unix_timestamp();
        let refused = |reason: &'static str| {
            metrics::counter!("authservice_validated_total", "outcome" => reason).increment(1);
            tracing::info!(
                event = "tokenRefused",
                reason,
                tracking_id,
                "a token that a host asked about is not valid"
            );
            Ok(Introspection::Inactive { active: false })
        };
        // First the way that every application takes, so that all of them answer alike; then what the token says.
        let accepted = self.authenticator.authenticate_token(token).await;
        let checked = validate(&self.keystore, token, now, &Expected { issuer: &issuer });
        match accepted {
            Ok(_) => match checked {
                Ok(valid) => {
                    metrics::counter!("authservice_validated_total", "outcome" => "active").increment(1);
                    Ok(Introspection::from(valid.claims()))
                }
                // Revoked between the two.
                Err(error) => refused(error.label()),
            },
            Err(AuthError::Missing | AuthError::Refused) => {
                refused(checked.err().map_or("revoked", openadp_token::TokenError::label))
            }
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
