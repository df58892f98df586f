//! The `Authorization` header: `protocols/dms.md` 5.2.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use openadp_appserver::DeviceCredentials;
use zeroize::Zeroizing;

/// Longest header that is looked at: a token of 8 KiB and its scheme.
const MAX: usize = 8 * 1024 + 16;

/// Devices pad or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a request shows.
pub(crate) enum Presented {
    /// Nothing, or a scheme that is not known.
    Nothing,
    /// User name and password of a device.
    Password(DeviceCredentials),
    /// A token: `Bearer`, or `BroadWorksSSO` as apps send it.
    Token(Zeroizing<String>),
    /// Something that cannot be valid.
    Malformed,
}

impl Presented {
    /// Takes the header apart.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Self::Nothing };
        // With two, one proxy may have looked at the other.
        if values.next().is_some() || value.len() > MAX {
            return Self::Malformed;
        }
        let Ok(text) = value.to_str() else { return Self::Malformed };
        let Some((scheme, rest)) = text.trim().split_once(' ') else { return Self::Nothing };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("Basic") {
            basic(rest).map_or(Self::Malformed, Self::Password)
        } else if scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("BroadWorksSSO") {
            Self::Token(Zeroizing::new(rest.to_owned()))
        } else {
            Self::Nothing
        }
    }
    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Password(_) => "password",
            Self::Token(_) => "token",
            Self::Malformed => "malformed",
        }
    }
}

/// User name and password, in UTF-8, or else in ISO-8859-1 as old phones send them.
fn basic(encoded: &str) -> Option<DeviceCredentials> {
    let bytes = Zeroizing::new(BASE64.decode(encoded).ok()?);
    let text = Zeroizing::new(match std::str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    });
    let (user_name, password) = text.split_once(':')?;
    // Names have at most 161 characters and passwords 60 (section 2); this leaves room and bounds the work of hashing.
    let bounded = user_name.len() <= 512 && password.len() <= 512;
    let plain = !text.chars().any(char::is_control);
    (bounded && plain && !user_name.is_empty())
        .then(|| DeviceCredentials { user_name: user_name.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use proptest::prelude::*;

    fn presented(values: &[&[u8]]) -> Presented {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        Presented::of(&headers)
    }

    fn password(text: &[u8]) -> Option<(String, String)> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        match presented(&[format!("basic {encoded}").as_bytes()]) {
            Presented::Password(credentials) => Some((credentials.user_name, credentials.password)),
            Presented::Nothing | Presented::Token(_) | Presented::Malformed => None,
        }
    }

    #[test]
    fn schemes() {
        assert_eq!(presented(&[]).name(), "none");
        assert_eq!(presented(&[b"Digest username=\"x\""]).name(), "none");
        assert_eq!(presented(&[b"Basic"]).name(), "none");
        assert_eq!(presented(&[b"bearer abc"]).name(), "token");
        assert_eq!(presented(&[b"BroadWorksSSO abc"]).name(), "token");
        assert_eq!(presented(&[b"Bearer a", b"Bearer b"]).name(), "malformed");
        assert_eq!(presented(&[b"Basic !!!"]).name(), "malformed");
        assert_eq!(presented(&[&[b'x'; MAX + 1]]).name(), "malformed");
        assert_eq!(presented(&["Basic \u{e9}".as_bytes()]).name(), "malformed");
    }

    #[test]
    fn passwords() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(password(b"alice_pc:s3cret:with:colons"), pair("alice_pc", "s3cret:with:colons"));
        assert_eq!(password("andr\u{e9}:gr\u{fc}n".as_bytes()), pair("andr\u{e9}", "gr\u{fc}n"));
        assert_eq!(password(b"andr\xe9:x"), pair("andr\u{e9}", "x"));
        assert_eq!(password(b"alice:"), pair("alice", ""));
        assert_eq!(password(b":x"), None);
        assert_eq!(password(b"alice"), None);
        assert_eq!(password(b"alice:x\0"), None);
        assert_eq!(password(&[b"a:".as_slice(), &[b'x'; 600]].concat()), None);
    }

    proptest! {
        #[test]
        fn never_panics(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.append(AUTHORIZATION, value);
                let _name = Presented::of(&headers).name();
            }
        }
    }
}
