//! What a provider says of an access token, and whether that is enough. Pure. authservice.md 5.2

use crate::config::Provider;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Longest access token that is looked at.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;
/// How far clocks may be apart, seconds.
const LEEWAY: i64 = 60;
/// Longest name of a user, an organisation, a scope or a role that is believed.
const MAX_NAME: usize = 320;
/// Most scopes, or roles, that are read.
const MAX_NAMES: usize = 256;

/// What a token says of itself. It is only used to choose whom to ask, and believed in nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) issuer: Option<String>,
    pub(crate) organization: Option<String>,
}

/// Whether a text can be an access token at all: RFC 6750 2.1.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TOKEN
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

/// Reads issuer and organisation of a token that is a JWT.
pub(crate) fn claimed(token: &str) -> Claimed {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Claimed::default();
    };
    let decoded = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).unwrap_or_default();
    let Ok(Value::Object(members)) = serde_json::from_slice(&decoded) else { return Claimed::default() };
    Claimed {
        issuer: text(&members, &["iss"]).ok().flatten(),
        organization: text(&members, ORGANIZATION).ok().flatten(),
    }
}

const ORGANIZATION: &[&str] = &["org_id", "orgId", "realm"];

/// What a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// User ids to look for, best first: the BroadWorks id, else what the application server may know by another name.
    pub(crate) users: Vec<String>,
    pub(crate) organization: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) roles: Vec<String>,
    /// Seconds since 1970.
    pub(crate) issued: Option<i64>,
    /// Seconds since 1970.
    pub(crate) expires: Option<i64>,
}

/// Why a token is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insufficient {
    /// The provider does not vouch for it.
    Inactive,
    /// It has expired.
    Expired,
    /// It names another issuer than the one that was asked.
    Issuer,
    /// Nobody is named.
    NoUser,
    /// Its organisation is not one of ours.
    Organization,
    /// A scope is missing.
    Scope,
}

impl Insufficient {
    /// For logs and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Inactive => "ciInactive",
            Self::Expired => "ciExpired",
            Self::Issuer => "ciIssuer",
            Self::NoUser => "ciNoUser",
            Self::Organization => "ciOrganization",
            Self::Scope => "ciScope",
        }
    }
}

/// The answer is not one: neither yes nor no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusable;

/// Reads an answer to a question about a token.
///
/// # Errors
/// It is no JSON object, a member is of a wrong kind, or members that mean the same contradict each other.
pub(crate) fn read(body: &[u8]) -> Result<Result<Answered, Insufficient>, Unusable> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return Err(Unusable) };
    let active = match members.get("active") {
        None => None,
        Some(Value::Bool(active)) => Some(*active),
        Some(_) => return Err(Unusable),
    };
    if active == Some(false) {
        return Ok(Err(Insufficient::Inactive));
    }
    let named = text(&members, &["bwUserId", "broadworksUserId"])?.or(text(&members, &["username"])?);
    let subject =
        text(&members, &["sub"])?.or(text(&members, &["user_id"])?).or(text(&members, &["userId"])?);
    let mut users: Vec<String> = Vec::new();
    let candidates = match named {
        // Who is named is meant, and nobody else.
        Some(named) => vec![Some(named)],
        None => vec![text(&members, &["email", "user_email"])?, subject],
    };
    for user in candidates.into_iter().flatten() {
        if !users.contains(&user) {
            users.push(user);
        }
    }
    // Without `active`, only an answer that names somebody says yes.
    if users.is_empty() {
        return Ok(Err(if active.is_none() { Insufficient::Inactive } else { Insufficient::NoUser }));
    }
    let vouched = Vouched {
        users,
        organization: text(&members, ORGANIZATION)?,
        scopes: names(&members, &["scope", "scopes", "entitlements"])?,
        roles: names(&members, &["role", "roles"])?,
        issued: number(&members, "iat")?,
        expires: number(&members, "exp")?,
    };
    Ok(Ok(Answered { vouched, issuer: text(&members, &["iss", "issuer"])? }))
}

/// An answer that speaks for the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) vouched: Vouched,
    pub(crate) issuer: Option<String>,
}

impl Answered {
    /// Whether it is enough.
    pub(crate) fn judge(self, provider: &Provider, issuer: &str, now: i64) -> Result<Vouched, Insufficient> {
        let Self { vouched, issuer: own } = self;
        if own.is_some_and(|own| own != issuer) {
            return Err(Insufficient::Issuer);
        }
        if vouched.is_expired(now) {
            return Err(Insufficient::Expired);
        }
        if !provider.allows(vouched.organization.as_deref()) {
            return Err(Insufficient::Organization);
        }
        if provider.scopes.are_met(&vouched.scopes) { Ok(vouched) } else { Err(Insufficient::Scope) }
    }
}

impl Vouched {
    /// Whether the token is over, clocks that differ considered.
    pub(crate) fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires.saturating_add(LEEWAY) <= now)
    }

    /// Whether it will do for an administrator: each list that is not empty must be met, and one must be.
    pub(crate) fn may_administer(&self, roles: &[String], scopes: &[String]) -> bool {
        let met = |wanted: &[String], own: &[String]| {
            wanted.is_empty() || wanted.iter().any(|one| own.contains(one))
        };
        !(roles.is_empty() && scopes.is_empty()) && met(roles, &self.roles) && met(scopes, &self.scopes)
    }
}

/// The text of the members that mean the same; those that are there must agree.
fn text(members: &Map<String, Value>, names: &[&str]) -> Result<Option<String>, Unusable> {
    let mut found: Option<&str> = None;
    for name in names {
        let text = match members.get(*name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.trim(),
            Some(_) => return Err(Unusable),
        };
        if text.is_empty() {
            continue;
        }
        if text.len() > MAX_NAME
            || text.chars().any(char::is_control)
            || found.is_some_and(|other| other != text)
        {
            return Err(Unusable);
        }
        found = Some(text);
    }
    Ok(found.map(str::to_owned))
}

/// All names of the members that mean the same, each a text with blanks or a list.
fn names(members: &Map<String, Value>, keys: &[&str]) -> Result<Vec<String>, Unusable> {
    let mut found: Vec<String> = Vec::new();
    for key in keys {
        match members.get(*key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => found.extend(text.split_whitespace().map(str::to_owned)),
            Some(Value::Array(list)) => {
                for one in list {
                    let Value::String(text) = one else { return Err(Unusable) };
                    found.push(text.clone());
                }
            }
            Some(_) => return Err(Unusable),
        }
        if found.len() > MAX_NAMES || found.iter().any(|name| name.len() > MAX_NAME) {
            return Err(Unusable);
        }
    }
    Ok(found)
}

fn number(members: &Map<String, Value>, name: &str) -> Result<Option<i64>, Unusable> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        // Some say seconds with a fraction.
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            #[expect(clippy::cast_possible_truncation, reason = "a time beyond every calendar stays one")]
            (None, Some(broken)) if broken.is_finite() => Ok(Some(broken as i64)),
            _ => Err(Unusable),
        },
        Some(_) => Err(Unusable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Registration, Scopes, Slot};
    use proptest::prelude::*;
    use serde_json::json;

    const ISSUER: &str = "https://idbroker.webex.com/idb";
    const NOW: i64 = 1_795_255_200;

    fn provider(organizations: &[&str]) -> Provider {
        Provider {
            name: "Cisco".into(),
            issuer_name: ISSUER.into(),
            token_info_url: "https://proxy.example/authenticate".parse().unwrap(),
            scopes: Scopes::All(vec!["broadworks-connector:user".into()]),
            organizations: organizations.iter().map(|id| (*id).to_owned()).collect(),
            registration: Registration {
                provider: "Cisco".into(),
                client_id: "c".into(),
                client_secret: openadp_settings::Secret::default(),
                issuer_url: ISSUER.parse().unwrap(),
                slot: Slot::federation(),
                scope: None,
                max_body: 65_536,
            },
            partners: Vec::new(),
            max_body: 65_536,
        }
    }

    fn judge(body: &Value, organizations: &[&str]) -> Result<Vouched, Insufficient> {
        read(body.to_string().as_bytes())
            .expect("an answer")
            .and_then(|answer| answer.judge(&provider(organizations), ISSUER, NOW))
    }

    fn good() -> Value {
        json!({
            "active": true, "sub": "8f1c", "bwUserId": "alice@bw.example", "org_id": "org-1", "iss": ISSUER,
            "scope": "spark:kms broadworks-connector:user", "exp": NOW + 3600, "iat": NOW - 10, "more": {"any": [1]},
        })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut body = good();
        body[member] = value;
        body
    }

    #[test]
    fn a_good_answer_names_the_user() {
        let vouched = judge(&good(), &[]).unwrap();
        assert_eq!(vouched.users, ["alice@bw.example"]);
        assert_eq!(vouched.organization.as_deref(), Some("org-1"));
        assert_eq!((vouched.issued, vouched.expires), (Some(NOW - 10), Some(NOW + 3600)));
        let aliases = json!({
            "userId": "u-1", "email": "alice@mail.example", "orgId": "org-1", "entitlements": ["broadworks-connector:user"],
        });
        assert_eq!(judge(&aliases, &["org-1"]).unwrap().users, ["alice@mail.example", "u-1"]);
    }

    #[test]
    fn what_is_missing_is_said() {
        use Insufficient::{Expired, Inactive, Issuer, NoUser, Organization, Scope};
        for (body, expected) in [
            (with("active", json!(false)), Inactive),
            (json!({"active": false}), Inactive),
            (json!({}), Inactive),
            (json!({"active": true}), NoUser),
            (with("exp", json!(NOW - 60)), Expired),
            (with("iss", json!("https://idbroker-eu.webex.com/idb")), Issuer),
            (with("scope", json!("broadworks-connector:userx")), Scope),
            (with("scope", Value::Null), Scope),
        ] {
            assert_eq!(judge(&body, &[]), Err(expected), "{body}");
        }
        assert!(judge(&with("exp", json!(NOW - 59)), &[]).is_ok(), "clocks differ");
        assert_eq!(judge(&good(), &["org-2"]), Err(Organization));
        assert_eq!(judge(&with("org_id", Value::Null), &["org-1"]), Err(Organization));
        assert!(judge(&good(), &["org-2", "org-1"]).is_ok());
    }

    #[test]
    fn what_is_neither_yes_nor_no_is_not_used() {
        for body in [
            with("active", json!("true")),
            with("orgId", json!("org-2")),
            with("sub", json!(7)),
            with("exp", json!("soon")),
            with("scope", json!([1])),
            with("bwUserId", json!("a\u{0}b")),
            with("bwUserId", json!("x".repeat(400))),
            json!([good()]),
            json!("yes"),
        ] {
            assert_eq!(read(body.to_string().as_bytes()), Err(Unusable), "{body}");
        }
        assert_eq!(read(b"<html>"), Err(Unusable));
    }

    #[test]
    fn administrators_need_a_role_or_scope_that_is_listed() {
        let vouched = judge(&with("roles", json!(["id_full_admin"])), &[]).unwrap();
        let list = |name: &str| vec![name.to_owned()];
        assert!(!vouched.may_administer(&[], &[]));
        assert!(vouched.may_administer(&list("id_full_admin"), &[]));
        assert!(!vouched.may_administer(&list("id_readonly_admin"), &[]));
        assert!(!vouched.may_administer(&list("id_full_admin"), &list("other")));
        assert!(vouched.may_administer(&[], &list("spark:kms")));
    }

    #[test]
    fn a_token_only_says_whom_to_ask() {
        let jwt = |payload: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload));
        let claims = claimed(&jwt(r#"{"iss":"https://idbroker.webex.com/idb","realm":"org-1"}"#));
        assert_eq!(claims.issuer.as_deref(), Some(ISSUER));
        assert_eq!(claims.organization.as_deref(), Some("org-1"));
        for opaque in ["opaque", "a.b", "a.b.c", "a.b.c.d", &jwt("[]"), &jwt(r#"{"iss":7}"#)] {
            assert_eq!(claimed(opaque), Claimed::default(), "{opaque}");
        }
        assert!(is_token("abc-._~+/=") && !is_token("a b") && !is_token("") && !is_token("ä"));
        assert!(!is_token(&"x".repeat(MAX_TOKEN + 1)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,200}") {
            drop(read(&bytes));
            drop(read(text.as_bytes()));
            claimed(&text);
            claimed(&format!("a.{}.b", URL_SAFE_NO_PAD.encode(&bytes)));
        }
    }
}
