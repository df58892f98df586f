//! XML bytes to an [`Element`], strictly and within limits.

use super::decode::decode;
use crate::element::{is_xml_char, split_name};
use crate::{Attribute, AttributeName, Content, Element, Namespace, ReadError, ReadLimits};
use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesStart, Event};
use std::borrow::Cow;

/// Reads one XML document (xsi.md 1.3): any prefixing, any white space, with or without declaration, UTF-8 or
/// ISO-8859-1 as declared. Comments and processing instructions are skipped. Linear in the size of the input.
///
/// # Errors
/// See [`ReadError`]: document type declarations, entities beyond the predefined five, anything not well-formed and
/// anything after the root element are refused, as is whatever exceeds the limits.
pub fn read_xml(bytes: &[u8], limits: &ReadLimits) -> Result<Element, ReadError> {
    if bytes.len() > limits.bytes {
        return Err(ReadError::TooLarge { limit: limits.bytes });
    }
    let text = decode(bytes)?;
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_comments = true;
    config.check_end_names = true;
    let mut builder = Builder { limits, open: Vec::new(), root: None, elements: 0, declared: false };
    loop {
        let position = reader.buffer_position();
        match reader.read_event().map_err(|error| refuse(&error, reader.error_position()))? {
            Event::Decl(_) if position == 0 && !builder.declared => builder.declared = true,
            Event::Decl(_) => return Err(malformed(position, "a declaration in the middle")),
            Event::DocType(_) => return Err(ReadError::DoctypeForbidden),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Start(tag) => {
                builder.open(&tag, position)?;
            }
            Event::Empty(tag) => {
                builder.open(&tag, position)?;
                builder.close();
            }
            Event::End(_) => builder.close(),
            Event::Text(text) => builder.text(&text, position)?,
            Event::CData(text) => builder.cdata(&text, position)?,
            Event::GeneralRef(reference) => {
                let c = resolve(&reference)?;
                builder.reference(c, position)?;
            }
            Event::Eof => break,
        }
    }
    if !builder.open.is_empty() {
        return Err(ReadError::Incomplete);
    }
    builder.root.ok_or(ReadError::Empty)
}

fn malformed(position: u64, reason: &'static str) -> ReadError {
    ReadError::Malformed { position, reason }
}

/// Maps the parser's errors; its texts may hold what the peer sent.
fn refuse(error: &Error, position: u64) -> ReadError {
    match error {
        Error::Syntax(
            SyntaxError::UnclosedTag
            | SyntaxError::UnclosedComment
            | SyntaxError::UnclosedCData
            | SyntaxError::UnclosedDoctype,
        )
        | Error::IllFormed(IllFormedError::MissingEndTag(_)) => ReadError::Incomplete,
        Error::IllFormed(IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_)) => {
            malformed(position, "end tag does not match")
        }
        Error::Syntax(_) | Error::IllFormed(_) => malformed(position, "bad markup"),
        Error::InvalidAttr(_) => malformed(position, "bad attribute"),
        _ => malformed(position, "unreadable"),
    }
}

/// An element whose end tag is to come.
struct Open {
    element: Element,
    text: String,
}

struct Builder<'a> {
    limits: &'a ReadLimits,
    open: Vec<Open>,
    root: Option<Element>,
    elements: usize,
    declared: bool,
}

impl Builder<'_> {
    fn open(&mut self, tag: &BytesStart<'_>, position: u64) -> Result<(), ReadError> {
        if self.root.is_some() {
            return Err(ReadError::TrailingContent);
        }
        if self.open.len() >= self.limits.depth {
            return Err(ReadError::TooDeep { limit: self.limits.depth });
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(ReadError::TooManyElements { limit: self.limits.elements });
        }
        let name = tag.name();
        let (prefix, local) = split_name(name.as_ref()).ok_or(ReadError::InvalidName)?;
        let mut element = Element::new(local.to_owned());
        let declared = self.attributes(tag, prefix, &mut element, position)?;
        if self.open.is_empty() && prefix.is_none() && !declared {
            element.namespace = Namespace::None;
        }
        self.open.push(Open { element, text: String::new() });
        Ok(())
    }

    /// Reads the attributes; tells whether a default namespace is declared.
    fn attributes(
        &self,
        tag: &BytesStart<'_>,
        element_prefix: Option<&str>,
        element: &mut Element,
        position: u64,
    ) -> Result<bool, ReadError> {
        let mut default_namespace = element_prefix.is_some();
        // The parser's own check for duplicates compares all pairs; the bound on their number comes first.
        for (count, attribute) in tag.attributes().with_checks(true).enumerate() {
            if count >= self.limits.attributes {
                return Err(ReadError::TooManyAttributes { limit: self.limits.attributes });
            }
            let attribute = attribute.map_err(|_| malformed(position, "bad attribute"))?;
            if attribute.value.len() > self.limits.text {
                return Err(ReadError::TextTooLong { limit: self.limits.text });
            }
            let value = attribute_value(&attribute.value, position)?;
            let (prefix, local) = split_name(attribute.key.as_ref()).ok_or(ReadError::InvalidName)?;
            let name = match (prefix, local) {
                (None, "xmlns") => {
                    default_namespace |= !value.is_empty();
                    continue;
                }
                (Some("xmlns"), _) => continue,
                (Some(_), "nil") => AttributeName::Nil,
                (Some(_), "type") => AttributeName::Type,
                (_, local) => AttributeName::Local(Cow::Owned(local.to_owned())),
            };
            let value = match name {
                AttributeName::Type => unprefixed(&value).to_owned(),
                _ => value,
            };
            element.attributes.push(Attribute { name, value });
        }
        Ok(default_namespace)
    }

    fn close(&mut self) {
        let Some(Open { mut element, text }) = self.open.pop() else { return };
        if element.children().is_empty() && !text.is_empty() {
            element.content = Content::Text(text);
        }
        match self.open.last_mut() {
            Some(parent) => parent.element.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str, position: u64) -> Result<(), ReadError> {
        if text.contains("]]>") {
            return Err(malformed(position, "`]]>` in text"));
        }
        if text.contains('\r') {
            self.append(&text.replace("\r\n", "\n").replace('\r', "\n"), position)
        } else {
            self.append(text, position)
        }
    }

    fn cdata(&mut self, text: &str, position: u64) -> Result<(), ReadError> {
        if self.open.is_empty() {
            return Err(self.outside(position));
        }
        self.append(&text.replace("\r\n", "\n").replace('\r', "\n"), position)
    }

    fn reference(&mut self, c: char, position: u64) -> Result<(), ReadError> {
        if self.open.is_empty() {
            return Err(self.outside(position));
        }
        self.append(c.encode_utf8(&mut [0; 4]), position)
    }

    fn append(&mut self, text: &str, position: u64) -> Result<(), ReadError> {
        let limit = self.limits.text;
        match self.open.last_mut() {
            None if text.bytes().all(|byte| byte.is_ascii_whitespace()) => Ok(()),
            None => Err(self.outside(position)),
            Some(open) if open.text.len() + text.len() > limit => Err(ReadError::TextTooLong { limit }),
            Some(open) => {
                open.text.push_str(text);
                Ok(())
            }
        }
    }

    fn outside(&self, position: u64) -> ReadError {
        if self.root.is_some() {
            ReadError::TrailingContent
        } else {
            malformed(position, "text before the root element")
        }
    }
}

/// The local part of a qualified name in a value.
fn unprefixed(value: &str) -> &str {
    let value = value.trim();
    value.split_once(':').map_or(value, |(_, local)| local)
}

/// Unescapes an attribute's value; white space characters become blanks (XML 1.0, 3.3.3).
fn attribute_value(raw: &str, position: u64) -> Result<String, ReadError> {
    if raw.contains('<') {
        return Err(malformed(position, "`<` in an attribute"));
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        let (plain, reference) = rest.split_at(at);
        push_normalised(&mut value, plain);
        let (name, after) = reference
            .strip_prefix('&')
            .and_then(|reference| reference.split_once(';'))
            .ok_or_else(|| malformed(position, "`&` without `;`"))?;
        value.push(resolve(name)?);
        rest = after;
    }
    push_normalised(&mut value, rest);
    Ok(value)
}

fn push_normalised(value: &mut String, plain: &str) {
    value.extend(plain.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }));
}

/// The character of a reference without `&` and `;`.
fn resolve(name: &str) -> Result<char, ReadError> {
    let number = match name {
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "gt" => return Ok('>'),
        "lt" => return Ok('<'),
        "quot" => return Ok('"'),
        _ => name.strip_prefix('#').ok_or(ReadError::UnknownEntity)?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // Eight digits hold every code point with leading zeros to spare; a sign is not a digit.
    if digits.is_empty() || digits.len() > 8 || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(ReadError::InvalidReference);
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|c| is_xml_char(*c))
        .ok_or(ReadError::InvalidReference)
}
