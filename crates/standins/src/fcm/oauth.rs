//! The token endpoint: a signed assertion (RFC 7523) for an access token.

use super::{Access, Fcm, TOKENS};
use crate::jws::Jws;
use crate::record::{Received, TokenGrant, Verdict};
use crate::server::{self, BodyFault};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use std::sync::PoisonError;

/// Largest request body.
const BODY: usize = 16 * 1024;
/// Longest life of an assertion, and life of an access token, seconds.
const HOUR: i64 = 3600;
/// An assertion dated further ahead than this is not accepted, seconds.
const AHEAD: i64 = 60;
/// The scope that messages need.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// The only grant type served.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What Google says about wrong times.
const TIMES: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.";

type Refusal = (&'static str, String);

fn grant_error(description: impl Into<String>) -> Refusal {
    ("invalid_grant", description.into())
}

impl Fcm {
    /// Answers a request for an access token.
    pub(super) async fn grant(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, incoming) = request.into_parts();
        // HTTP/2 has the authority in the URI, HTTP/1.1 in the Host header.
        let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let authority =
            head.uri.authority().map_or_else(|| host.unwrap_or_default(), http::uri::Authority::as_str);
        let url = format!("https://{authority}{}", head.uri.path());
        let mut grant = TokenGrant {
            at: (self.clock)(),
            issuer: String::new(),
            lifetime: 0,
            verdict: Verdict { status: 200, reason: None },
        };
        let body = server::body(incoming, BODY).await;
        let response = match self.check_grant(&url, body, &mut grant) {
            Ok(token) => server::json(
                200,
                &json!({ "access_token": token, "expires_in": HOUR - 1, "token_type": "Bearer" }),
            ),
            Err((error, description)) => {
                grant.verdict = Verdict { status: 400, reason: Some(error.to_owned()) };
                server::json(400, &json!({ "error": error, "error_description": description }))
            }
        };
        self.log.add(Received::Grant(grant));
        response
    }

    fn check_grant(
        &self,
        url: &str,
        body: Result<Bytes, BodyFault>,
        grant: &mut TokenGrant,
    ) -> Result<String, Refusal> {
        let body = body.map_err(|_| ("invalid_request", "Bad Request".to_owned()))?;
        let field = |name: &str| {
            url::form_urlencoded::parse(&body)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let kind = field("grant_type")
            .ok_or(("invalid_request", "Required parameter is missing: grant_type".to_owned()))?;
        if kind != GRANT {
            return Err(("unsupported_grant_type", format!("Invalid grant_type: {kind}")));
        }
        let assertion = field("assertion")
            .ok_or(("invalid_request", "Required parameter is missing: assertion".to_owned()))?;
        let jws = Jws::parse(&assertion).ok_or_else(|| grant_error("Bad Request"))?;
        let issuer = jws.text("iss").unwrap_or_default();
        issuer.clone_into(&mut grant.issuer);
        let account =
            self.accounts.get(issuer).ok_or_else(|| grant_error("Invalid grant: account not found"))?;
        if jws.header("kid").is_some_and(|kid| kid != account.key_id) || !jws.verified_by(&account.key) {
            return Err(grant_error("Invalid JWT Signature."));
        }
        let now = grant.at / 1000;
        let (Some(issued), Some(expires)) = (jws.number("iat"), jws.number("exp")) else {
            return Err(grant_error(TIMES));
        };
        grant.lifetime = expires.saturating_sub(issued);
        if issued > now + AHEAD || expires <= now || expires <= issued || expires - issued > HOUR {
            return Err(grant_error(TIMES));
        }
        if jws.text("aud") != Some(url) {
            return Err(grant_error(format!(
                "Invalid JWT: Failed audience check. The right audience is {url}"
            )));
        }
        if !jws.text("scope").is_some_and(|scopes| scopes.split(' ').any(|scope| scope == SCOPE)) {
            return Err(("invalid_scope", "Invalid OAuth scope or ID token audience provided.".to_owned()));
        }
        let token = format!("ya29.{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        access.retain(|_, access| access.expires > grant.at);
        if access.len() < TOKENS {
            let given = Access { project: account.project_id.clone(), expires: grant.at + (HOUR - 1) * 1000 };
            access.insert(token.clone(), given);
        }
        Ok(token)
    }
}
