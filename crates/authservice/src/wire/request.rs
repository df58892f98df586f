//! What a request brings: credentials as presented, parameters, the form of answer it wants.

use super::Refusal;
use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;

/// What kind of credentials a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// User id and password.
    Basic,
    /// A token of some kind.
    Bearer,
    /// A single-use login token.
    SingleSignOn,
    /// User id and SIP password.
    Sip,
    /// None, or none of a kind that is known.
    Nothing,
}

/// Looks at the `Authorization` header without checking anything.
pub(crate) fn presented(headers: &HeaderMap) -> Presented {
    let text = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, _)) = text.and_then(|text| text.trim().split_once(' ')) else {
        return Presented::Nothing;
    };
    [
        ("Basic", Presented::Basic),
        ("Bearer", Presented::Bearer),
        ("BroadWorksSSO", Presented::SingleSignOn),
        ("BroadWorksSIP", Presented::Sip),
    ]
    .into_iter()
    .find_map(|(name, kind)| scheme.eq_ignore_ascii_case(name).then_some(kind))
    .unwrap_or(Presented::Nothing)
}

/// The token of a `Bearer` header; none where there is more than one header, of which another might read the other.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// The values of parameters in a query or a form; `None` where there is none or an empty one.
///
/// # Errors
/// One is there twice.
pub(crate) fn form_parameters<const N: usize>(
    encoded: &[u8],
    names: [&str; N],
) -> Result<[Option<String>; N], Refusal> {
    let mut found = [const { None }; N];
    for (key, value) in url::form_urlencoded::parse(encoded) {
        let Some(at) = names.iter().position(|name| *name == key) else { continue };
        if found[at].replace(value.into_owned()).is_some() {
            return Err(Refusal::InvalidRequest(format!("{key} is given twice")));
        }
    }
    Ok(found.map(|value| value.filter(|value| !value.is_empty())))
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
        let kind = |text: &str| presented(&header(AUTHORIZATION, text));
        assert_eq!(kind("Basic QWxpY2U6c2VjcmV0"), Presented::Basic);
        assert_eq!(kind("basic ???"), Presented::Basic);
        assert_eq!(kind("bearer x.y.z"), Presented::Bearer);
        assert_eq!(kind("BroadWorksSSO x"), Presented::SingleSignOn);
        assert_eq!(kind("broadworkssip basic=\"x\", sipUser=\"y\""), Presented::Sip);
        assert_eq!(kind("Basic"), Presented::Nothing);
        assert_eq!(kind("Digest x"), Presented::Nothing);
        assert_eq!(presented(&HeaderMap::new()), Presented::Nothing);
    }

    #[test]
    fn parameters_are_given_once() {
        let [key, user] = form_parameters(b"a=1&key=x%2Dy&userId=", ["key", "userId"]).unwrap();
        assert_eq!((key.as_deref(), user), (Some("x-y"), None));
        assert_eq!(form_parameters(b"key=", ["key"]).unwrap(), [None]);
        assert_eq!(form_parameters(b"", ["key"]).unwrap(), [None]);
        for twice in [&b"key=a&key=a"[..], b"key=a&k%65y=b", b"key=&key=a"] {
            assert!(form_parameters(twice, ["key"]).is_err());
        }
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
            drop(form_parameters(&bytes, ["key"]));
            drop(key_of_json(&bytes));
            presented(&header(AUTHORIZATION, &text));
            wants_json(&header(ACCEPT, &text));
        }
    }
}
