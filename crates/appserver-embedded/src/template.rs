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
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json;charset=UTF-8",
            Self::Plain => "text/plain;charset=UTF-8",
            Self::Xml => "application/xml;charset=UTF-8",
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
