//! What a long-lived token says. authservice.md 7

use crate::strict;
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

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

    /// Reads a payload as strictly as [`strict`] does; members that are not known are checked for their form and left out.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(payload);
        let claims = deserializer.deserialize_map(ClaimsVisitor).ok()?;
        deserializer.end().ok()?;
        Some(claims)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claims of a long-lived token")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        /// Fills a member, once.
        fn fill<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
            member: &mut Option<T>,
            map: &mut A,
        ) -> Result<(), A::Error> {
            match member.replace(map.next_value()?) {
                None => Ok(()),
                Some(_) => Err(A::Error::custom("a name occurs twice")),
            }
        }
        let (mut iss, mut sub, mut aud, mut iat, mut nbf, mut exp) = (None, None, None, None, None, None);
        let (mut jti, mut kind, mut ver, mut amr, mut auth_time) = (None, None, None, None, None);
        let (mut ci_org, mut lt): (Option<Option<String>>, _) = (None, None);
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        while let Some(name) = map.next_key_seed(strict::Text)? {
            match &*name {
                "iss" => fill(&mut iss, &mut map)?,
                "sub" => fill(&mut sub, &mut map)?,
                "aud" => fill(&mut aud, &mut map)?,
                "iat" => fill(&mut iat, &mut map)?,
                "nbf" => fill(&mut nbf, &mut map)?,
                "exp" => fill(&mut exp, &mut map)?,
                "jti" => fill(&mut jti, &mut map)?,
                "kind" => fill(&mut kind, &mut map)?,
                "ver" => fill(&mut ver, &mut map)?,
                "amr" => fill(&mut amr, &mut map)?,
                "auth_time" => fill(&mut auth_time, &mut map)?,
                "ci_org" => fill(&mut ci_org, &mut map)?,
                "lt" => fill(&mut lt, &mut map)?,
                _ => {
                    map.next_value_seed(strict::Level::MEMBER)?;
                    if others.len() == strict::MAX_MEMBERS || others.contains(&name) {
                        return Err(A::Error::custom("a name occurs twice, or there are too many"));
                    }
                    others.push(name);
                }
            }
        }
        let missing = A::Error::missing_field;
        Ok(Claims {
            iss: iss.ok_or_else(|| missing("iss"))?,
            sub: sub.ok_or_else(|| missing("sub"))?,
            aud: aud.ok_or_else(|| missing("aud"))?,
            iat: iat.ok_or_else(|| missing("iat"))?,
            nbf: nbf.ok_or_else(|| missing("nbf"))?,
            exp: exp.ok_or_else(|| missing("exp"))?,
            jti: jti.ok_or_else(|| missing("jti"))?,
            kind: kind.ok_or_else(|| missing("kind"))?,
            ver: ver.ok_or_else(|| missing("ver"))?,
            amr: amr.unwrap_or_default(),
            auth_time: auth_time.ok_or_else(|| missing("auth_time"))?,
            ci_org: ci_org.flatten(),
            lt: lt.ok_or_else(|| missing("lt"))?,
        })
    }
}
