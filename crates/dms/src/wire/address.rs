//! Hardware addresses, and where they are found: in a header that a firewall in front adds, or in the name of a verified
//! certificate. `protocols/dms.md` 5.3. Pure.

use http::{HeaderMap, HeaderName};
use regex::{Regex, RegexBuilder};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest line or name that is looked at.
const MAX_TEXT: usize = 1024;
/// Most memory of a compiled pattern, bytes; operators' patterns take some kilobytes.
const MAX_COMPILED: usize = 256 * 1024;

/// A hardware address: twelve hexadecimal digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HardwareAddress(String);

impl HardwareAddress {
    /// Reads `0A1B2C3D4E5F`, `0a:1b:2c:3d:4e:5f` and the same with hyphens or dots.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: String =
            text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).map(|c| c.to_ascii_lowercase()).collect();
        let separators = text.len().saturating_sub(digits.len());
        let good = digits.len() == 12 && separators <= 5 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        good.then_some(Self(digits))
    }
    pub(crate) fn into_digits(self) -> String {
        self.0
    }
}

/// Compiles an operator's pattern: for the whole of a text, without regard to case, in linear time and bounded memory.
///
/// # Errors
/// What speaks against it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let build = |text: &str| {
        RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| format!("not a regular expression: {error}"))
    };
    // By itself first: half a group would become whole inside another.
    build(pattern)?;
    build(&format!("^(?:{pattern})$"))
}

/// The header that a pattern names: what stands before its first colon.
pub(crate) fn header_of(pattern: &str) -> Option<HeaderName> {
    let (name, _) = pattern.strip_prefix('^').unwrap_or(pattern).split_once(':')?;
    // Letters, digits and hyphens mean themselves in a pattern.
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| HeaderName::from_bytes(name.as_bytes()).ok()).flatten()
}

/// The last pattern and its compiled form.
#[derive(Default)]
pub(crate) struct Compiled(Mutex<Option<(String, Arc<Regex>)>>);

impl Compiled {
    fn of(&self, pattern: &str) -> Option<Arc<Regex>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, regex)) = held.as_ref().filter(|(own, _)| own == pattern) {
            return Some(regex.clone());
        }
        // It was compiled when it was set.
        let regex = Arc::new(compile(pattern).ok()?);
        *held = Some((pattern.to_owned(), regex.clone()));
        Some(regex)
    }
    /// The address that a text tells.
    pub(crate) fn find(&self, pattern: &str, text: &str) -> Option<HardwareAddress> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let regex = self.of(pattern)?;
        HardwareAddress::parse(regex.captures(text)?.get(1)?.as_str())
    }
}

/// What a header tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The header is not there.
    Nothing,
    /// This address.
    Address(HardwareAddress),
    /// Something that is none, or more than one.
    Unclear,
}

/// The address in the one line of the header that the pattern names.
pub(crate) fn told(compiled: &Compiled, pattern: &str, headers: &HeaderMap) -> Told {
    let Some(name) = header_of(pattern) else { return Told::Nothing };
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Told::Nothing };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    // As it is written, and as some write patterns.
    let find = |text: &str, between: &str| compiled.find(pattern, &format!("{name}:{between}{text}"));
    let found = text.and_then(|text| find(text, " ").or_else(|| find(text, "")));
    found.map_or(Told::Unclear, Told::Address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const GUIDE: &str = "macaddress:.*([0-9a-fA-F]{12}).*";

    fn address(text: &str) -> HardwareAddress {
        HardwareAddress(text.to_owned())
    }

    #[test]
    fn addresses_have_many_forms() {
        for good in ["0A1B2C3D4E5F", "0a:1b:2c:3d:4e:5f", "0a-1b-2c-3d-4e-5f", "0a1b.2c3d.4e5f"] {
            assert_eq!(HardwareAddress::parse(good), Some(address("0a1b2c3d4e5f")), "{good}");
        }
        for bad in
            ["", "0a1b2c3d4e5", "0a1b2c3d4e5f0", "0a1b2c3d4e5g", "::::::::::::0a1b2c3d4e5f", "0a1b 2c3d4e5f"]
        {
            assert_eq!(HardwareAddress::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_certificates_tell_addresses() {
        let compiled = Compiled::default();
        let pattern = ".*([0-9a-fA-F]{12}).*";
        assert_eq!(compiled.find(pattern, "CP-8851-SEP0A1B2C3D4E5F"), Some(address("0a1b2c3d4e5f")));
        assert_eq!(compiled.find(pattern, "desk phone"), None);
        assert_eq!(compiled.find("SEP([0-9A-F]{12})", "xSEP0A1B2C3D4E5F"), None, "the whole name");
        assert_eq!(compiled.find("(.*)", "no address"), None);
        assert!(compile("x)|(?:([0-9a-f]{12})").is_err(), "it would not be for the whole");
        assert_eq!(compiled.find(pattern, &"a".repeat(5000)), None);
    }

    #[test]
    fn one_line_of_one_header_tells_an_address() {
        let compiled = Compiled::default();
        let tell = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            told(&compiled, GUIDE, &headers)
        };
        let known = Told::Address(address("0a1b2c3d4e5f"));
        assert_eq!(tell(&[("macaddress", "0A1B2C3D4E5F")]), known);
        assert_eq!(tell(&[("macaddress", "SEP0A1B2C3D4E5F x")]), known);
        assert_eq!(tell(&[]), Told::Nothing);
        assert_eq!(tell(&[("user-agent", "macaddress: 0A1B2C3D4E5F")]), Told::Nothing);
        assert_eq!(tell(&[("macaddress", "nothing")]), Told::Unclear);
        assert_eq!(tell(&[("macaddress", "0A1B2C3D4E5F"), ("macaddress", "0A1B2C3D4E60")]), Told::Unclear);
        assert_eq!(header_of("^X-MAC:(.*)").unwrap(), "x-mac");
        for bad in [".*([0-9a-f]{12}).*", "mac.*:(x)", ":(x)", "(?i)mac:(x)"] {
            assert_eq!(header_of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", pattern in "\\PC{0,40}") {
            drop(HardwareAddress::parse(&text));
            drop(Compiled::default().find(&pattern, &text));
            drop(header_of(&pattern));
        }
    }
}
