//! What a long-lived token says. authservice.md 7

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Hours that a token lives at most (180 days).
pub const MAX_HOURS: i64 = 4320;
/// The audience of every token: the applications of this suite.
pub const AUDIENCE: &str = "broadworks-xsp";
pub(crate) const KIND: &str = "llt";
pub(crate) const VERSION: u32 = 1;

/// The payload of a long-lived token. Times are seconds since 1970. The holder can read it, so it has no name, number or
/// address beyond the user id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the setting `tokenIssuer`.
    pub iss: String,
    /// User id with its domain.
    pub sub: String,
    /// Audience.
    pub aud: Vec<String>,
    /// Issued at.
    pub iat: i64,
    /// Not valid before.
    pub nbf: i64,
    /// Expires at.
    pub exp: i64,
    /// Id of the token.
    pub jti: String,
    /// `llt`.
    pub kind: String,
    /// Version of this form.
    pub ver: u32,
    /// How the user proved who it is: `pwd`, `ci`, `mtls`, `sso`; with `pwd-expired` where the password has expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the user proved it.
    pub auth_time: i64,
    /// Organisation of the Webex identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_org: Option<String>,
    /// Level of the login, `User` or `Administrator`.
    pub lt: String,
}

impl Claims {
    /// A token of a user for some hours from now (seconds since 1970), proved now by these methods. More hours than
    /// [`MAX_HOURS`] count as that.
    pub fn new(issuer: &str, user: &str, methods: &[&str], now: i64, hours: i64) -> Self {
        Self {
            iss: issuer.to_owned(),
            sub: user.to_owned(),
            aud: vec![AUDIENCE.to_owned()],
            iat: now,
            nbf: now,
            exp: now.saturating_add(hours.clamp(1, MAX_HOURS) * 3600),
            jti: uuid::Uuid::new_v4().to_string(),
            kind: KIND.to_owned(),
            ver: VERSION,
            amr: methods.iter().map(|method| (*method).to_owned()).collect(),
            auth_time: now,
            ci_org: None,
            lt: "User".to_owned(),
        }
    }

    /// Seconds that it lives.
    pub fn lifetime(&self) -> i64 {
        self.exp.saturating_sub(self.iat)
    }

    /// Reads a payload; members that are not known are left out.
    pub(crate) fn read(members: Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(members)).ok()
    }
}
