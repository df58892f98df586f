//! Conditional requests: `protocols/dms.md` 10. Asked only after authorisation.

use http::HeaderMap;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Bytes of the digest in a tag: enough that two versions of a file never share one.
const TAG: usize = 16;

/// The form of HTTP dates (RFC 9110 5.6.7); always GMT.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// The strong tag of some bytes, quoted.
pub(crate) fn etag(content: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    let digits = digest.as_ref().iter().take(TAG).flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    format!("\"{hex}\"")
}

/// A time, milliseconds since 1970, as HTTP writes it.
pub(crate) fn http_date(millis: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).ok()?.format(HTTP_DATE).ok()
}

/// Whether what the client has is what we would send.
pub(crate) fn is_current(headers: &HeaderMap, etag: &str, built_at: i64) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        // With tags, dates do not count (RFC 9110 13.1.3).
        return headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag);
    }
    headers
        .get(IF_MODIFIED_SINCE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| time::PrimitiveDateTime::parse(text.trim(), HTTP_DATE).ok())
        .is_some_and(|since| built_at.div_euclid(1000) <= since.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn current(name: http::HeaderName, value: &str, etag: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        is_current(&headers, etag, 784_111_777_500)
    }

    #[test]
    fn tags_are_compared_weakly_and_lists_work() {
        let tag = etag(b"x");
        assert_eq!(tag, "\"2d711642b726b04401627ca9fbac32f5\"");
        assert!(current(IF_NONE_MATCH, &tag, &tag));
        assert!(current(IF_NONE_MATCH, &format!("\"a\", W/{tag}"), &tag));
        assert!(current(IF_NONE_MATCH, "*", &tag));
        assert!(!current(IF_NONE_MATCH, "\"a\"", &tag));
        assert!(!is_current(&HeaderMap::new(), &tag, 0));
    }

    #[test]
    fn dates() {
        assert_eq!(http_date(784_111_777_500).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(current(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT", "\"a\""));
        assert!(!current(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT", "\"a\""));
        assert!(!current(IF_MODIFIED_SINCE, "yesterday", "\"a\""));
        let mut both = HeaderMap::new();
        both.insert(IF_NONE_MATCH, HeaderValue::from_static("\"b\""));
        both.insert(IF_MODIFIED_SINCE, HeaderValue::from_static("Sun, 06 Nov 2094 08:49:37 GMT"));
        assert!(!is_current(&both, "\"a\"", 0));
    }
}
