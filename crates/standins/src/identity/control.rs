//! What whoever runs the stand-in may ask of it: users' access tokens, and faults.

use super::{Endpoint, Fault, State, TOKENS, UserToken, add_fault, wire};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

/// An access token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// User id at the application server.
    pub user: String,
    /// Issuer that it names.
    pub issuer: String,
    /// Organisation of the user.
    pub organization: String,
    /// Scopes, separated by blanks.
    pub scope: String,
    /// Roles, separated by blanks.
    pub roles: String,
    /// Seconds that it is good for; may be negative.
    pub expires_in: i64,
    /// Whether the answer names the user by e-mail address only.
    pub by_email: bool,
    /// Whether it tells nothing by itself, in place of a JWT.
    pub opaque: bool,
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self {
            user: String::new(),
            issuer: "https://idbroker.webex.com/idb".to_owned(),
            organization: "5f6b1c0e-0000-4000-8000-000000000001".to_owned(),
            scope: "spark:kms broadworks-connector:user".to_owned(),
            roles: String::new(),
            expires_in: 43_200,
            by_email: false,
            opaque: false,
        }
    }
}

/// Makes an access token. As JWT its signature is random: whoever wants to know must ask.
pub(super) fn issue(state: &mut State, request: &TokenRequest, now: i64) -> String {
    let seconds = now / 1000;
    let expires = seconds.saturating_add(request.expires_in);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = if request.opaque {
        wire::random()
    } else {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "stand-in"});
        let payload = json!({
            "iss": request.issuer, "realm": request.organization, "exp": expires, "jti": wire::random(),
        });
        format!("{}.{}.{}", encode(&header), encode(&payload), URL_SAFE_NO_PAD.encode(wire::random()))
    };
    let mut answer = json!({
        "active": true,
        "iss": request.issuer,
        "sub": wire::random(),
        "org_id": request.organization,
        "scope": request.scope,
        "roles": request.roles.split_whitespace().collect::<Vec<_>>(),
        "iat": seconds,
        "exp": expires,
        "token_type": "Bearer",
    });
    answer[if request.by_email { "email" } else { "bwUserId" }] = request.user.as_str().into();
    state.users.retain(|_, token| token.expires > now);
    if state.users.len() < TOKENS {
        let kept = UserToken {
            answer,
            active: true,
            expires: expires.saturating_mul(1000),
            user: request.user.clone(),
        };
        state.users.insert(token.clone(), kept);
    }
    token
}

/// `POST /stand-in/tokens`: a form with `user`, and any of `issuer`, `organization`, `scope`, `roles`, `expires_in`,
/// `by_email`, `opaque`.
pub(super) fn token(state: &mut State, body: &Bytes, now: i64) -> Result<Value, String> {
    let mut request =
        TokenRequest { user: wire::field(body, "user").ok_or("user is missing")?, ..TokenRequest::default() };
    for (name, field) in [
        ("issuer", &mut request.issuer),
        ("organization", &mut request.organization),
        ("scope", &mut request.scope),
        ("roles", &mut request.roles),
    ] {
        if let Some(given) = wire::field(body, name) {
            *field = given;
        }
    }
    if let Some(seconds) = wire::field(body, "expires_in") {
        request.expires_in = seconds.parse().map_err(|_| "expires_in is no number")?;
    }
    request.by_email = wire::field(body, "by_email").as_deref() == Some("true");
    request.opaque = wire::field(body, "opaque").as_deref() == Some("true");
    let expires_in = request.expires_in;
    Ok(json!({"access_token": issue(state, &request, now), "token_type": "Bearer", "expires_in": expires_in}))
}

/// `POST /stand-in/devices`: a form with `macAddress`, and `expires_in`.
pub(super) fn device(state: &mut State, body: &Bytes, now: i64) -> Result<Value, String> {
    let address = wire::field(body, "macAddress").ok_or("macAddress is missing")?;
    let seconds = match wire::field(body, "expires_in") {
        None => 86_400,
        Some(text) => text.parse().map_err(|_| "expires_in is no number")?,
    };
    Ok(json!({"token": super::services::activate(state, &address, seconds, now), "expires_in": seconds}))
}

/// `POST /stand-in/faults`: a form with `endpoint` (token, introspection, federation, ping, pushToken, deviceAuth, discovery), `fault` (slow, status,
/// oversized, compressed, wrongIssuer, redirect, rotate, hangUp, cut, silence, garbage; none forgets them all), `times` and,
/// for slow and status, `value`.
pub(super) fn fault(state: &mut State, body: &Bytes) -> Result<Value, String> {
    let name = wire::field(body, "fault").ok_or("fault is missing")?;
    if name == "none" {
        state.faults.clear();
        return Ok(json!({"faults": 0}));
    }
    let endpoint =
        wire::field(body, "endpoint").and_then(|name| Endpoint::named(&name)).ok_or("no such endpoint")?;
    let number = |name: &str, default: u64| match wire::field(body, name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("{name} is no number")),
    };
    let times = usize::try_from(number("times", 1)?).unwrap_or(usize::MAX);
    let fault = match name.as_str() {
        "slow" => Fault::Slow(Duration::from_millis(number("value", 1900)?.min(60_000))),
        "status" => Fault::Status(u16::try_from(number("value", 500)?).unwrap_or(500)),
        "oversized" => Fault::Oversized,
        "compressed" => Fault::Compressed,
        "wrongIssuer" => Fault::WrongIssuer,
        "redirect" => Fault::Redirect,
        "rotate" => Fault::Rotate,
        "hangUp" => Fault::HangUp,
        "cut" => Fault::Cut,
        "silence" => Fault::Silence,
        "garbage" => Fault::Garbage,
        _ => return Err("no such fault".to_owned()),
    };
    add_fault(state, endpoint, fault, times);
    Ok(json!({"faults": state.faults.len()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_faults_are_made_from_forms() {
        let mut state = State::default();
        let form = |text: &'static str| Bytes::from_static(text.as_bytes());
        let made = token(&mut state, &form("user=alice%40lab.example&expires_in=60"), 1_000_000).unwrap();
        let text = made["access_token"].as_str().unwrap();
        assert_eq!(text.split('.').count(), 3);
        assert_eq!(state.users[text].answer["bwUserId"], "alice@lab.example");
        assert!(token(&mut state, &form("scope=x"), 0).is_err());
        fault(&mut state, &form("endpoint=introspection&fault=status&value=503&times=2")).unwrap();
        fault(&mut state, &form("endpoint=token&fault=rotate")).unwrap();
        assert_eq!(state.next_fault(Endpoint::Introspection), Some(Fault::Status(503)));
        assert_eq!(state.next_fault(Endpoint::Token), Some(Fault::Rotate));
        assert_eq!(state.next_fault(Endpoint::Token), None);
        assert_eq!(state.next_fault(Endpoint::Introspection), Some(Fault::Status(503)));
        assert_eq!(state.next_fault(Endpoint::Introspection), None);
        for wrong in ["fault=slow", "endpoint=x&fault=slow", "endpoint=token&fault=x", "endpoint=token"] {
            assert!(fault(&mut state, &Bytes::from_static(wrong.as_bytes())).is_err(), "{wrong}");
        }
    }
}
