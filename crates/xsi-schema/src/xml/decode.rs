//! Bytes to text: byte order marks and the two encodings that XSI clients use.

use crate::ReadError;
use crate::element::is_xml_char;
use std::borrow::Cow;

/// How far from the start an encoding declaration is looked for, bytes.
const DECLARATION_REACH: usize = 256;

/// Decodes a document by its declaration and checks that it has only characters that XML allows.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ReadError> {
    if bytes.starts_with(b"\xFE\xFF") || bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\0<") {
        return Err(ReadError::UnsupportedEncoding);
    }
    let (marked, bytes) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let bytes = bytes.trim_ascii_start();
    let text = match declared_encoding(bytes) {
        Some(name) if !marked => match name.to_ascii_lowercase().as_slice() {
            b"iso-8859-1" | b"iso8859-1" | b"iso_8859-1" | b"latin1" | b"latin-1" => {
                Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect())
            }
            b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" => utf8(bytes)?,
            _ => return Err(ReadError::UnsupportedEncoding),
        },
        _ => utf8(bytes)?,
    };
    if text.chars().all(is_xml_char) { Ok(text) } else { Err(ReadError::InvalidCharacter) }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, ReadError> {
    std::str::from_utf8(bytes)
        .map(Cow::Borrowed)
        .map_err(|_| ReadError::InvalidEncoding { encoding: "UTF-8" })
}

/// The encoding that the XML declaration names, if there is one.
fn declared_encoding(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..DECLARATION_REACH).unwrap_or(bytes).strip_prefix(b"<?xml")?;
    let head = head.get(..head.windows(2).position(|pair| pair == b"?>")?)?;
    let at = head.windows(8).position(|window| window == b"encoding")?;
    let rest = head.get(at + 8..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    rest.get(..rest.iter().position(|byte| byte == quote)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_by_declaration_only() {
        let document = b"<?xml version='1.0' encoding = 'ISO-8859-1'?><a>\xE9</a>";
        assert!(decode(document).is_ok_and(|text| text.ends_with("<a>é</a>")));
        assert_eq!(decode(b"<a>\xE9</a>"), Err(ReadError::InvalidEncoding { encoding: "UTF-8" }));
        assert_eq!(decode(b"\xFF\xFE<\0a\0"), Err(ReadError::UnsupportedEncoding));
        assert_eq!(
            decode(b"<?xml version=\"1.0\" encoding=\"EBCDIC-US\"?><a/>"),
            Err(ReadError::UnsupportedEncoding)
        );
    }

    #[test]
    fn marks_and_leading_blanks_are_dropped() {
        assert_eq!(decode(b"\xEF\xBB\xBF \n<a/>").as_deref(), Ok("<a/>"));
        assert_eq!(decode(b"<a>\x01</a>"), Err(ReadError::InvalidCharacter));
    }
}
