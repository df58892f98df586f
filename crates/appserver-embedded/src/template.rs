//! Tags in templates: one pass, no tags within values, escaped by the kind of file (dms.md section 6).

use std::borrow::Cow;

/// Longest name of a tag.
const MAX_NAME: usize = 64;

/// How values are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    Json,
    Plain,
    Xml,
}

impl Escape {
    /// By the extension of the file's name.
    pub(crate) fn of(name: &str) -> Self {
        match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "xml" => Self::Xml,
            "json" => Self::Json,
            _ => Self::Plain,
        }
    }

    /// Media type of such a file.
    pub(crate) fn content_type(self, encoding: Encoding) -> &'static str {
        match (self, encoding) {
            (Self::Json, Encoding::Latin1) => "application/json;charset=ISO-8859-1",
            (Self::Json, Encoding::Utf8) => "application/json;charset=UTF-8",
            (Self::Plain, Encoding::Latin1) => "text/plain;charset=ISO-8859-1",
            (Self::Plain, Encoding::Utf8) => "text/plain;charset=UTF-8",
            (Self::Xml, Encoding::Latin1) => "application/xml;charset=ISO-8859-1",
            (Self::Xml, Encoding::Utf8) => "application/xml;charset=UTF-8",
        }
    }

    fn push(self, out: &mut String, value: &str) {
        for c in value.chars() {
            match (self, c) {
                (Self::Xml, '&') => out.push_str("&amp;"),
                (Self::Xml, '<') => out.push_str("&lt;"),
                (Self::Xml, '>') => out.push_str("&gt;"),
                (Self::Xml, '"') => out.push_str("&quot;"),
                (Self::Xml, '\'') => out.push_str("&apos;"),
                (Self::Json, '"') => out.push_str("\\\""),
                (Self::Json, '\\') => out.push_str("\\\\"),
                // Neither XML 1.0 nor line-oriented files can hold them; the non-characters are not XML either.
                (_, c) if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
                (_, c) => out.push(c),
            }
        }
    }
}

/// How the characters of a file become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Latin1,
    Utf8,
}

impl Encoding {
    /// By the name that operators set; UTF-8 where they set none.
    pub(crate) fn of(name: Option<&str>) -> Self {
        if name == Some("ISO-8859-1") { Self::Latin1 } else { Self::Utf8 }
    }

    /// The bytes of a text. What ISO-8859-1 cannot hold is written as the kind of file allows: by reference, escaped, or as a
    /// question mark; the declaration of an XML file says what it is (dms.md section 6).
    pub(crate) fn encode(self, text: String, escape: Escape) -> Vec<u8> {
        if self == Self::Utf8 {
            return text.into_bytes();
        }
        let (declaration, rest) = match (escape, text.find("?>")) {
            (Escape::Xml, Some(end)) if text.starts_with("<?xml") => text.split_at(end),
            _ => ("", text.as_str()),
        };
        let mut bytes = declaration.replace("UTF-8", "ISO-8859-1").into_bytes();
        for c in rest.chars() {
            match (u8::try_from(u32::from(c)), escape) {
                (Ok(byte), _) => bytes.push(byte),
                (Err(_), Escape::Plain) => bytes.push(b'?'),
                (Err(_), Escape::Xml) => bytes.extend_from_slice(format!("&#{};", u32::from(c)).as_bytes()),
                (Err(_), Escape::Json) => {
                    let units = c
                        .encode_utf16(&mut [0; 2])
                        .iter()
                        .map(|unit| format!("\\u{unit:04x}"))
                        .collect::<String>();
                    bytes.extend_from_slice(units.as_bytes());
                }
            }
        }
        bytes
    }
}

/// Fills a template in. `%%` is a percent sign; an unknown tag and everything else stays as it is.
pub(crate) fn fill<'v>(
    template: &str,
    escape: Escape,
    value_of: impl Fn(&str) -> Option<Cow<'v, str>>,
) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let name_length = after
            .bytes()
            .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
            .count();
        let (name, behind) = after.split_at(name_length);
        let is_tag = (1..=MAX_NAME).contains(&name_length)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && behind.starts_with('%');
        match value_of(name).filter(|_| is_tag) {
            Some(value) => {
                escape.push(&mut out, &value);
                rest = behind.strip_prefix('%').unwrap_or(behind);
            }
            None if is_tag => {
                out.push('%');
                out.push_str(name);
                out.push('%');
                rest = behind.strip_prefix('%').unwrap_or(behind);
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(name: &str) -> Option<Cow<'static, str>> {
        match name {
            "A" => Some("<a & 'b'>".into()),
            "INNER" => Some("%A%".into()),
            "EMPTY" => Some("".into()),
            "BELL" => Some("x\u{7}\n\u{ffff}y".into()),
            _ => None,
        }
    }

    #[test]
    fn latin_1_holds_what_it_can() {
        let encode = |text: &str, escape| Encoding::Latin1.encode(text.to_owned(), escape);
        assert_eq!(
            encode("<?xml version=\"1.0\" encoding=\"UTF-8\"?><x>UTF-8 \u{e9}\u{20ac}</x>", Escape::Xml),
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><x>UTF-8 \xe9&#8364;</x>"
        );
        assert_eq!(encode("\"\u{e9}\u{1f600}\"", Escape::Json), b"\"\xe9\\ud83d\\ude00\"");
        assert_eq!(encode("\u{e9}\u{20ac}", Escape::Plain), b"\xe9?");
        assert_eq!(Encoding::Utf8.encode("\u{e9}".to_owned(), Escape::Plain), "\u{e9}".as_bytes());
        assert_eq!(Encoding::of(Some("ISO-8859-1")), Encoding::Latin1);
        assert_eq!((Encoding::of(Some("UTF-8")), Encoding::of(None)), (Encoding::Utf8, Encoding::Utf8));
    }

    #[test]
    fn tags_are_filled_in_once_and_escaped() {
        for (template, expected) in [
            ("<x>%A%</x>", "<x>&lt;a &amp; &apos;b&apos;&gt;</x>"),
            ("%INNER%", "%A%"),
            ("%EMPTY%|", "|"),
            ("%BELL%", "xy"),
            ("100%% %UNKNOWN% % %a% %-A%", "100% %UNKNOWN% % %a% %-A%"),
            ("%A", "%A"),
            ("%", "%"),
            ("%UNKNOWN%A%", "%UNKNOWN%A%"),
        ] {
            assert_eq!(fill(template, Escape::Xml, value), expected, "{template}");
        }
        assert_eq!(fill("%A%", Escape::Plain, value), "<a & 'b'>");
        assert_eq!(Escape::of("config-wxt.xml"), Escape::Xml);
        assert_eq!(Escape::of("x.cfg"), Escape::Plain);
    }

    proptest! {
        #[test]
        fn text_without_percent_is_left_alone(template in "[^%]{0,100}") {
            prop_assert_eq!(fill(&template, Escape::Xml, value), template);
        }

        #[test]
        fn a_value_never_adds_markup(text in "\\PC{0,60}") {
            let out = fill("%V%", Escape::Xml, |_| Some(Cow::Borrowed(text.as_str())));
            prop_assert!(!out.contains(['<', '>', '"', '\'']));
        }
    }
}
