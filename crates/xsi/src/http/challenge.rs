//! What a 401 asks for (xsi.md 2.2).

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};

const NO_CHALLENGE: HeaderName = HeaderName::from_static("x-broadworks-no-authchallenge");
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"XtendedServicesInterface\"");
const SIP: HeaderValue = HeaderValue::from_static("BroadWorksSIP");

/// Adds the challenge, unless the client (a browser's page) does not want one.
pub(super) fn add(request: &HeaderMap, answer: &mut HeaderMap) {
    let text =
        |name: &HeaderName| request.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(&NO_CHALLENGE).trim().eq_ignore_ascii_case("true") {
        return;
    }
    let scheme = text(&AUTHORIZATION).split(' ').next().unwrap_or_default();
    let challenge = if scheme.eq_ignore_ascii_case("BroadWorksSIP") { SIP } else { BASIC };
    answer.insert(WWW_AUTHENTICATE, challenge);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenged(headers: &[(HeaderName, &'static str)]) -> Option<String> {
        let request = headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v))).collect();
        let mut answer = HeaderMap::new();
        add(&request, &mut answer);
        answer.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    #[test]
    fn challenges_fit_the_client() {
        let basic = Some("Basic realm=\"XtendedServicesInterface\"".to_owned());
        assert_eq!(challenged(&[]), basic);
        assert_eq!(challenged(&[(AUTHORIZATION, "Bearer x")]), basic);
        assert_eq!(
            challenged(&[(AUTHORIZATION, "BroadWorksSIP basic=\"\"")]),
            Some("BroadWorksSIP".to_owned())
        );
        assert_eq!(challenged(&[(NO_CHALLENGE, "true")]), None);
        assert_eq!(challenged(&[(NO_CHALLENGE, "false")]), basic);
    }
}
