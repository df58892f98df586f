//! What a request brings: credentials as presented, parameters, the form of answer it wants.

use super::Refusal;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// Clients pad or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What kind of credentials a request brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// User id and password; the user id's bytes in lower case, to count failures by. They are not checked here.
    Basic(Vec<u8>),
    /// A token of some kind.
    Bearer,
    /// A single-use login token, to count failures by.
    SingleSignOn(Vec<u8>),
    /// User id and SIP password; the user id as with Basic.
    Sip(Vec<u8>),
    /// None, or none of a kind that is known.
    Nothing,
}

/// Looks at the `Authorization` header without checking anything.
pub(crate) fn presented(headers: &HeaderMap) -> Presented {
    let Some(text) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Presented::Nothing;
    };
    let Some((scheme, rest)) = text.trim().split_once(' ') else { return Presented::Nothing };
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Presented::Bearer;
    }
    if scheme.eq_ignore_ascii_case("BroadWorksSSO") {
        return Presented::SingleSignOn(rest.trim().as_bytes().to_vec());
    }
    let user = |encoded: &str| {
        let decoded = Zeroizing::new(BASE64.decode(encoded.trim()).unwrap_or_default());
        decoded.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase()
    };
    if scheme.eq_ignore_ascii_case("BroadWorksSIP") {
        let value = |part: &str| {
            let (name, value) = part.trim().split_once('=')?;
            name.trim().eq_ignore_ascii_case("basic").then(|| value.trim().trim_matches('"').to_owned())
        };
        return Presented::Sip(user(&rest.split(',').find_map(value).unwrap_or_default()));
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Presented::Nothing;
    }
    Presented::Basic(user(rest))
}

/// The token of a `Bearer` header; none where there is more than one header, of which another might read the other.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// The value of a parameter in a query or a form; `None` where there is none or an empty one.
///
/// # Errors
/// It is there twice.
pub(crate) fn form_parameter(encoded: &[u8], name: &str) -> Result<Option<String>, Refusal> {
    let mut values =
        url::form_urlencoded::parse(encoded).filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::InvalidRequest(format!("{name} is given twice")));
    }
    Ok(first.map(std::borrow::Cow::into_owned).filter(|value| !value.is_empty()))
}

/// The key in a body `{"key":"..."}`; a JWK may stand there as text only.
///
/// # Errors
/// Not such a body.
pub(crate) fn key_of_json(body: &[u8]) -> Result<Option<String>, Refusal> {
    struct Body(Option<String>);
    struct BodyVisitor;
    impl<'de> Visitor<'de> for BodyVisitor {
        type Value = Body;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with the member key")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
            let mut key = None;
            while let Some(name) = map.next_key::<String>()? {
                if name == "key" {
                    if key.replace(map.next_value::<String>()?).is_some() {
                        return Err(serde::de::Error::custom("key is given twice"));
                    }
                } else {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
            Ok(Body(key))
        }
    }
    impl<'de> Deserialize<'de> for Body {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(BodyVisitor)
        }
    }
    serde_json::from_slice::<Body>(body)
        .map(|body| body.0.filter(|key| !key.is_empty()))
        .map_err(|_| Refusal::InvalidRequest("the body is not an object with one text member key".to_owned()))
}

/// Whether the client asks for the JSON form: it names `application/json`, and not with weight 0.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
            let refused = parts.any(|part| {
                part.split_once('=').is_some_and(|(name, weight)| {
                    name.trim().eq_ignore_ascii_case("q")
                        && weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
                })
            });
            json && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn header(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn credentials_are_recognised() {
        let basic = |text: &str| presented(&header(AUTHORIZATION, text));
        assert_eq!(basic("Basic QWxpY2U6c2VjcmV0"), Presented::Basic(b"alice".to_vec()));
        assert_eq!(basic("basic QWxpY2U6c2VjcmV0MQ"), Presented::Basic(b"alice".to_vec()));
        assert_eq!(basic("Basic ???"), Presented::Basic(Vec::new()));
        assert_eq!(basic("bearer x.y.z"), Presented::Bearer);
        assert_eq!(basic("BroadWorksSSO x"), Presented::SingleSignOn(b"x".to_vec()));
        assert_eq!(
            basic(r#"broadworkssip sipUser="YQ==", basic="QWxpY2U6MQ==""#),
            Presented::Sip(b"alice".to_vec())
        );
        assert_eq!(basic("BroadWorksSIP x"), Presented::Sip(Vec::new()));
        assert_eq!(basic("Basic"), Presented::Nothing);
        assert_eq!(presented(&HeaderMap::new()), Presented::Nothing);
    }

    #[test]
    fn parameters_are_given_once() {
        assert_eq!(form_parameter(b"a=1&key=x%2Dy", "key").unwrap().as_deref(), Some("x-y"));
        assert_eq!(form_parameter(b"key=", "key").unwrap(), None);
        assert_eq!(form_parameter(b"", "key").unwrap(), None);
        assert!(form_parameter(b"key=a&key=a", "key").is_err());
        assert!(form_parameter(b"key=a&k%65y=b", "key").is_err());
        assert_eq!(key_of_json(br#"{"key":"x","later":[1]}"#).unwrap().as_deref(), Some("x"));
        assert_eq!(key_of_json(b"{}").unwrap(), None);
        for bad in [r#"{"key":"x","key":"x"}"#, r#"{"key":1}"#, "[]", "", "{", r#"{"key":"x"} x"#] {
            assert!(key_of_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_is_given_to_those_who_name_it() {
        let json = |text: &str| wants_json(&header(ACCEPT, text));
        assert!(json("application/json"));
        assert!(json("text/html, Application/JSON; charset=utf-8;q=0.5"));
        assert!(!json("*/*"));
        assert!(!json("application/jose, application/json;q=0"));
        assert!(!wants_json(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[ -~]{0,80}") {
            drop(form_parameter(&bytes, "key"));
            drop(key_of_json(&bytes));
            presented(&header(AUTHORIZATION, &text));
            wants_json(&header(ACCEPT, &text));
        }
    }
}
