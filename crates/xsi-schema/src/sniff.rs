//! XML or JSON: told by the first byte, never by the Content-Type (xsi.md 0, item 3).

use crate::{Element, ReadError, ReadLimits, read_json, read_xml};

/// Form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// XML.
    Xml,
    /// JSON.
    Json,
}

/// Tells the form by the first byte that is not blank; a UTF-8 byte order mark counts as blank. `None` for anything
/// else, the empty document included.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'<' => Some(Format::Xml),
        b'{' => Some(Format::Json),
        _ => None,
    }
}

/// Reads a document in whichever form it is.
///
/// # Errors
/// `Empty` for a blank document; `NotADocument` when it begins with neither `<` nor `{`; else as [`read_xml`] and
/// [`read_json`].
pub fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Element, ReadError> {
    match sniff(bytes) {
        Some(Format::Xml) => read_xml(bytes, limits),
        Some(Format::Json) => read_json(bytes, limits),
        None if bytes.iter().all(u8::is_ascii_whitespace) => Err(ReadError::Empty),
        None => Err(ReadError::NotADocument { reason: "it begins with neither `<` nor `{`" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides() {
        assert_eq!(sniff(b" \r\n<a/>"), Some(Format::Xml));
        assert_eq!(sniff(b"\xEF\xBB\xBF {}"), Some(Format::Json));
        assert_eq!(sniff(b""), None);
        assert_eq!(read(b" \n", &ReadLimits::default()), Err(ReadError::Empty));
        assert!(matches!(read(b"a=b", &ReadLimits::default()), Err(ReadError::NotADocument { .. })));
    }
}
