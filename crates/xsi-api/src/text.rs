//! Paths and queries of requests: percent-encoding, booleans, user ids.

/// Decodes `%XX`; anything that is no valid escape stays as it is.
///
/// `+` in a query stays a plus sign: clients write `address=+15550100123` unencoded (xsi.md 1.4).
pub(crate) fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = after;
            continue;
        }
        out.push(first);
        rest = tail;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Encodes everything but unreserved characters, as ids are written into URIs of documents (`alice%40lab.example`).
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    out
}

/// The parameters of a request's query, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// Most parameters that are looked at; searches use about a dozen.
const MAX_PARAMETERS: usize = 64;

impl Query {
    /// Parses what follows the `?`.
    pub(crate) fn parse(query: &str) -> Self {
        Self(
            query
                .split('&')
                .filter(|item| !item.is_empty())
                .take(MAX_PARAMETERS)
                .map(|item| {
                    let (name, value) = item.split_once('=').unwrap_or((item, ""));
                    (percent_decode(name), percent_decode(value))
                })
                .collect(),
        )
    }
    /// A parameter that is there and not empty; names match without regard to case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
    /// A boolean in any case; `None` when absent or something else.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        if value.eq_ignore_ascii_case("true") {
            Some(true)
        } else if value.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }
    /// All parameters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_come_raw_and_encoded() {
        assert_eq!(percent_decode("alice%40lab.example"), "alice@lab.example");
        assert_eq!(percent_decode("alice@lab.example"), "alice@lab.example");
        assert_eq!(percent_decode("50%"), "50%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
        assert_eq!(percent_encode("alice@lab.example"), "alice%40lab.example");
        assert_eq!(percent_encode("callhalf-71:0"), "callhalf-71:0");
    }

    #[test]
    fn queries_are_lenient() {
        let query = Query::parse("address=+15550100123&decline=TRUE&x&name=%2Asmi%2A%2Fi&Start=11");
        assert_eq!(query.get("address"), Some("+15550100123"));
        assert_eq!(query.flag("Decline"), Some(true));
        assert_eq!(query.flag("x"), None);
        assert_eq!(query.get("name"), Some("*smi*/i"));
        assert_eq!(query.get("start"), Some("11"));
    }

    proptest! {
        #[test]
        fn encoding_goes_both_ways(text in ".{0,40}") {
            prop_assert_eq!(percent_decode(&percent_encode(&text)), text);
        }

        #[test]
        fn decoding_never_fails(text in ".{0,60}") {
            percent_decode(&text);
            Query::parse(&text);
        }
    }
}
