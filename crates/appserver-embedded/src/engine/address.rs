//! What somebody dials: an extension, a number, or a `tel:` or `sip:` URI, and what it may mean.

use openadp_appserver::{Address, UserId};

/// Longest text that is an address: a SIP user and host (dms.md and the schema allow 161 characters).
const MAX_CHARACTERS: usize = 161;
/// Shortest and longest E.164 number, without `+`.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 4..=15;

/// A checked address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// `+` and digits.
    International(String),
    /// Digits, `*` and `#`.
    Digits(String),
    /// `user@host`, in lower case.
    Sip(String),
    /// The mailbox of a subscriber; nobody can dial it, services lead there.
    Mailbox(UserId),
}

/// One meaning of an address; they are tried in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// An extension of the own group, then of the own enterprise.
    Extension(String),
    /// An E.164 number with `+`.
    Number(String),
    /// A user id or address of record.
    Identity(String),
}

impl Dialled {
    /// Reads an address; the reason of a refusal is for the caller to see.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.chars().count() > MAX_CHARACTERS {
            return Err(format!("longer than {MAX_CHARACTERS} characters"));
        }
        let rest = strip_scheme(text, "tel:")
            .or_else(|| strip_scheme(text, "sips:"))
            .or_else(|| strip_scheme(text, "sip:"))
            .unwrap_or(text);
        // Parameters and headers of a URI do not say who is called.
        let rest = rest.split([';', '?', '>']).next().unwrap_or_default();
        if let Some((user, host)) = rest.rsplit_once('@') {
            let word = |part: &str| {
                !part.is_empty()
                    && part.chars().all(|c| c.is_alphanumeric() || "-_.+!~*'()&=$,%#".contains(c))
            };
            let host_good = !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']' | '_'));
            if !word(user) || !host_good {
                return Err("not a SIP address".to_owned());
            }
            return Ok(Self::Sip(format!("{user}@{host}").to_lowercase()));
        }
        // Visual separators of RFC 3966 section 5.1.1, and blanks that people paste.
        let compact: String = rest.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
        if let Some(digits) = compact.strip_prefix('+') {
            if !E164_DIGITS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err("not an E.164 number".to_owned());
            }
            return Ok(Self::International(compact));
        }
        if compact.is_empty() || !compact.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#')) {
            return Err("neither a number, an extension, a tel: nor a sip: URI".to_owned());
        }
        if compact.len() > 32 {
            return Err("more than 32 digits".to_owned());
        }
        Ok(Self::Digits(compact))
    }

    /// What it may mean for somebody in a country.
    pub(crate) fn candidates(&self, country_code: &str) -> Vec<Candidate> {
        match self {
            Self::International(number) => vec![Candidate::Number(number.clone())],
            Self::Mailbox(_) => Vec::new(),
            Self::Sip(address) => {
                let mut candidates = vec![Candidate::Identity(address.clone())];
                let user = address.split('@').next().unwrap_or_default();
                if let Ok(number @ Self::International(_)) = Self::parse(user) {
                    candidates.extend(number.candidates(country_code));
                }
                candidates
            }
            Self::Digits(digits) => {
                let mut candidates = vec![Candidate::Extension(digits.clone())];
                if let Some(international) = digits.strip_prefix("00").or_else(|| digits.strip_prefix("011"))
                {
                    candidates.push(Candidate::Number(format!("+{international}")));
                }
                let national = digits.strip_prefix('0').unwrap_or(digits);
                candidates.push(Candidate::Number(format!("+{country_code}{national}")));
                candidates.push(Candidate::Number(format!("+{digits}")));
                candidates
            }
        }
    }

    /// The address as documents show it.
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::International(number) => Address::of(number),
            Self::Digits(digits) => Address::of(digits),
            Self::Sip(address) => Address::of(&format!("sip:{address}")),
            Self::Mailbox(user) => Address::of(&format!("sip:{user}")),
        }
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| text.get(scheme.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_usual_form_is_understood() {
        let parse = |text| Dialled::parse(text).expect(text);
        assert_eq!(parse("2101"), Dialled::Digits("2101".into()));
        assert_eq!(parse("tel:2101"), Dialled::Digits("2101".into()));
        assert_eq!(parse("*72"), Dialled::Digits("*72".into()));
        assert_eq!(parse("+1 (212) 555-0101"), Dialled::International("+12125550101".into()));
        assert_eq!(parse("TEL:+1-2125550101;phone-context=x"), Dialled::International("+12125550101".into()));
        assert_eq!(parse("sip:Bo.Li@Lab.Example;transport=tls"), Dialled::Sip("bo.li@lab.example".into()));
        assert_eq!(parse("bo@lab.example"), Dialled::Sip("bo@lab.example".into()));
        for bad in ["", "tel:", "bo", "+", "+12", "+1x", "sip:@x", "sip:a@", "a b@c", "\u{0}1", "١٢٣", "<1>"]
        {
            assert!(Dialled::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Dialled::parse(&"1".repeat(200)).is_err());
    }

    #[test]
    fn numbers_mean_what_they_mean_at_home() {
        let digits = Dialled::parse("02079460123").expect("digits");
        assert!(digits.candidates("44").contains(&Candidate::Number("+442079460123".into())));
        let sip = Dialled::parse("sip:+12125550101@lab.example").expect("sip");
        assert!(sip.candidates("1").contains(&Candidate::Number("+12125550101".into())));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            if let Ok(dialled) = Dialled::parse(&text) {
                let _ = (dialled.candidates("1"), dialled.address());
            }
        }
    }
}
