//! XML or JSON, as the client asked (xsi.md 0, items 3, 4 and 6).

use bytes::Bytes;
use openadp_xsi_schema::{Element, ReadError, ReadLimits, read, sniff};

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Xml,
}

/// Content types always have a charset: a Java client needs it.
pub(crate) const JSON: &str = "application/json;charset=UTF-8";
pub(crate) const XML: &str = "application/xml;charset=UTF-8";
/// Of a channel (xsi.md 0, item 14).
pub(crate) const STREAM: &str = "text/xml;charset=UTF-8";

impl Form {
    /// JSON only when asked for: `format=json` in the query, else an Accept that names JSON and not XML before it.
    pub(crate) fn asked(query: &str, accept: Option<&str>) -> Self {
        let format = query.split('&').find_map(|item| {
            let (name, value) = item.split_once('=')?;
            name.eq_ignore_ascii_case("format").then_some(value)
        });
        match format {
            Some(format) if format.eq_ignore_ascii_case("json") => Self::Json,
            Some(format) if format.eq_ignore_ascii_case("xml") => Self::Xml,
            _ => accept.map_or(Self::Xml, Self::accepted),
        }
    }

    fn accepted(accept: &str) -> Self {
        for range in accept.split(',') {
            let mut parts = range.split(';');
            let media = parts.next().unwrap_or_default().trim();
            let refused = parts.any(|part| matches!(part.trim(), "q=0" | "q=0.0"));
            if refused {
                continue;
            }
            if media.eq_ignore_ascii_case("application/json") {
                return Self::Json;
            }
            if ["application/xml", "text/xml"].iter().any(|xml| media.eq_ignore_ascii_case(xml)) {
                return Self::Xml;
            }
        }
        Self::Xml
    }

    /// A document in this form, with its content type.
    pub(crate) fn write(self, document: &Element) -> (Bytes, &'static str) {
        match self {
            Self::Json => (Bytes::from(document.to_json()), JSON),
            Self::Xml => (Bytes::from(document.to_xml()), XML),
        }
    }
}

/// Reads a request's document. What begins with neither `<` nor `{` is no document: clients send form bodies and blanks
/// where nothing is needed, and where something is needed its absence is refused later.
pub(crate) fn document(body: &[u8], limits: &ReadLimits) -> Result<Option<Element>, ReadError> {
    if sniff(body).is_none() {
        return Ok(None);
    }
    read(body, limits).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_only_when_asked_for() {
        for (query, accept, form) in [
            ("", None, Form::Xml),
            ("", Some("*/*"), Form::Xml),
            ("", Some("text/html, image/gif, */*; q=.2"), Form::Xml),
            ("", Some("application/json"), Form::Json),
            ("", Some("Application/JSON; charset=UTF-8"), Form::Json),
            ("", Some("application/json, text/plain, */*"), Form::Json),
            ("", Some("application/xml, application/json"), Form::Xml),
            ("", Some("application/json;q=0, */*"), Form::Xml),
            ("format=json", Some("application/xml"), Form::Json),
            ("start=1&Format=JSON", None, Form::Json),
            ("format=xml", Some("application/json"), Form::Xml),
        ] {
            assert_eq!(Form::asked(query, accept), form, "{query} {accept:?}");
        }
    }

    #[test]
    fn bodies_are_sniffed() {
        let limits = ReadLimits::default();
        assert_eq!(document(b"", &limits), Ok(None));
        assert_eq!(document(b"a=b", &limits), Ok(None));
        assert!(document(b" <a/>", &limits).is_ok_and(|found| found.is_some()));
        assert!(document(br#"{"a":{}}"#, &limits).is_ok_and(|found| found.is_some()));
        assert!(document(b"<a>", &limits).is_err());
    }
}
