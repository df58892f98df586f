//! Long-lived tokens: how they are made, and the one way they are checked. authservice.md 7, 8 and 14

use crate::claims::{AUDIENCE, KIND, MAX_HOURS, VERSION};
use crate::{Claims, IssueError, TokenError, strict};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openadp_keystore::{KeyStore, SigningKey, is_kid};

/// Bytes of a token at most.
pub const MAX_TOKEN: usize = 8 * 1024;
/// Seconds that clocks may differ.
pub const LEEWAY: i64 = 60;
const TYPE: &str = "bwllt+jwt";

/// Makes a token, signed by the active key (the first one is made if there is none). Costs an RSA signature: keep it off
/// threads that serve connections.
///
/// # Errors
/// The ring cannot sign, or the token would be too long.
pub fn issue(keystore: &KeyStore, claims: &Claims) -> Result<String, IssueError> {
    issue_by(&*keystore.active()?, claims)
}

/// As [`issue`], by this key: makes none.
///
/// # Errors
/// The key cannot sign, or the token would be too long.
pub fn issue_by(key: &SigningKey, claims: &Claims) -> Result<String, IssueError> {
    let payload = serde_json::to_vec(claims).map_err(|_| IssueError::TooLong { limit: MAX_TOKEN })?;
    // Names of algorithms and key ids are base64url or fixed words, so that nothing needs escaping.
    let header = format!(r#"{{"alg":"{}","kid":"{}","typ":"{TYPE}"}}"#, key.algorithm().name(), key.kid());
    let mut token = String::with_capacity(1024);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > MAX_TOKEN {
        return Err(IssueError::TooLong { limit: MAX_TOKEN });
    }
    Ok(token)
}

/// What a token must say, beyond what every token must.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Its issuer: the setting `tokenIssuer`.
    pub issuer: &'a str,
}

/// A token that was checked. Cannot be made otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidToken(Claims, String);

impl ValidToken {
    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.0
    }
    /// The id of the key that signed it.
    pub fn kid(&self) -> &str {
        &self.1
    }
    /// The user id.
    pub fn user(&self) -> &str {
        &self.0.sub
    }
    /// Milliseconds since 1970 when it was issued, to compare with the time of a revocation.
    pub fn issued_at_millis(&self) -> i64 {
        self.0.iat.saturating_mul(1000)
    }
}

/// Checks a token: form, key, signature, kind, issuer, audience, times; in this order. Whether its user still exists and
/// has not revoked it is the caller's to ask.
///
/// # Errors
/// Why it is refused.
pub fn validate(
    keystore: &KeyStore,
    token: &str,
    now_unix: i64,
    expected: &Expected<'_>,
) -> Result<ValidToken, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let read = decode(header)?;
    let named = strict::header(&read).ok_or(TokenError::Malformed)?;
    if named.others {
        return Err(TokenError::Header);
    }
    if named.typ.as_deref() != Some(TYPE) {
        return Err(TokenError::Kind);
    }
    let kid = named.kid.as_deref().filter(|kid| is_kid(kid)).ok_or(TokenError::UnknownKey)?;
    let key = keystore.verify_key(kid).ok_or(TokenError::UnknownKey)?;
    if named.alg.as_deref() != Some(key.algorithm().name()) {
        return Err(TokenError::Algorithm);
    }
    let signed = token.get(..header.len() + 1 + payload.len()).ok_or(TokenError::Malformed)?;
    if !key.verify(signed.as_bytes(), &decode(signature)?) {
        return Err(TokenError::Signature);
    }
    let claims = Claims::read(&decode(payload)?).ok_or(TokenError::Malformed)?;
    check(&claims, now_unix, expected)?;
    Ok(ValidToken(claims, kid.to_owned()))
}

/// The checks of what a well-signed token says.
fn check(claims: &Claims, now: i64, expected: &Expected<'_>) -> Result<(), TokenError> {
    let refuse_unless = |good: bool, error| if good { Ok(()) } else { Err(error) };
    refuse_unless(claims.kind == KIND && claims.ver == VERSION, TokenError::Kind)?;
    refuse_unless(!claims.sub.is_empty(), TokenError::Malformed)?;
    refuse_unless(claims.iss == expected.issuer, TokenError::Issuer)?;
    refuse_unless(claims.aud.iter().any(|audience| audience == AUDIENCE), TokenError::Audience)?;
    refuse_unless(claims.nbf.max(claims.iat) <= now.saturating_add(LEEWAY), TokenError::NotYet)?;
    refuse_unless(now < claims.exp.saturating_add(LEEWAY), TokenError::Expired)?;
    refuse_unless((1..=MAX_HOURS * 3600).contains(&claims.lifetime()), TokenError::Lifetime)
}
