//! JSON bytes to an [`Element`], within limits.

use crate::element::{is_xml_char, split_name};
use crate::{Attribute, AttributeName, Content, Element, Namespace, ReadError, ReadLimits};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

/// Reads one JSON document into the same tree that XML gives: the top level has one member, the root. Numbers and
/// booleans count as text, `null` as nil, `"@xmlns"` may be a string or `{"$": …}`. Linear in the size of the input.
///
/// # Errors
/// See [`ReadError`]: anything that is not JSON or does not follow the mapping, members of one name, and whatever
/// exceeds the limits.
pub fn read_json(bytes: &[u8], limits: &ReadLimits) -> Result<Element, ReadError> {
    if bytes.len() > limits.bytes {
        return Err(ReadError::TooLarge { limit: limits.bytes });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::InvalidEncoding { encoding: "UTF-8" })?;
    let state = State { limits, values: Cell::new(0), error: RefCell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let json = Seed { state: &state, depth: 0 }
        .deserialize(&mut deserializer)
        .map_err(|error| state.error.take().unwrap_or_else(|| refuse(&error, text)))?;
    deserializer.end().map_err(|_| ReadError::TrailingContent)?;
    document(json)
}

/// Maps the parser's errors; its texts may hold what the peer sent.
fn refuse(error: &serde_json::Error, text: &str) -> ReadError {
    if error.is_eof() {
        return ReadError::Incomplete;
    }
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let position = u64::try_from(before + error.column()).unwrap_or(u64::MAX);
    ReadError::Malformed { position, reason: "not JSON" }
}

/// JSON as far as the mapping needs it. Members keep their order.
enum Json {
    Null,
    Scalar(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct State<'a> {
    limits: &'a ReadLimits,
    values: Cell<usize>,
    error: RefCell<Option<ReadError>>,
}

impl State<'_> {
    fn fail<E: de::Error>(&self, error: ReadError) -> E {
        self.error.replace(Some(error));
        E::custom("refused")
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    state: &'a State<'a>,
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let limit = self.state.limits.depth;
        // The object around the root is no element; each element is an object, and lists add an array.
        if self.depth > limit {
            Err(self.state.fail(ReadError::TooDeep { limit }))
        } else {
            Ok(Self { depth: self.depth + 1, ..self })
        }
    }
    fn scalar<E: de::Error>(self, text: &str) -> Result<Json, E> {
        let limit = self.state.limits.text;
        if text.len() > limit {
            return Err(self.state.fail(ReadError::TextTooLong { limit }));
        }
        if !text.chars().all(is_xml_char) {
            return Err(self.state.fail(ReadError::InvalidCharacter));
        }
        Ok(Json::Scalar(text.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let values = self.state.values.get() + 1;
        self.state.values.set(values);
        let limit = self.state.limits.elements;
        // A text costs two values (its object and its scalar) where XML has one element.
        if values > limit.saturating_mul(2) {
            return Err(self.state.fail(ReadError::TooManyElements { limit }));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
        self.scalar(value)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let deeper = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(deeper)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let deeper = self.deeper()?;
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(deeper)?;
            members.push((key, value));
        }
        let mut seen = HashSet::with_capacity(members.len());
        if members.iter().all(|(key, _)| seen.insert(key.as_str())) {
            Ok(Json::Object(members))
        } else {
            Err(self.state.fail(ReadError::DuplicateKey))
        }
    }
}

fn not(reason: &'static str) -> ReadError {
    ReadError::NotADocument { reason }
}

fn document(json: Json) -> Result<Element, ReadError> {
    let Json::Object(members) = json else { return Err(not("the top level is not an object")) };
    let mut roots = members.into_iter().filter(|(key, _)| !key.starts_with('@'));
    match (roots.next(), roots.next()) {
        (Some((_, Json::Array(_))), _) => Err(not("the root is an array")),
        (Some((name, value)), None) => {
            let prefixed = name.contains(':');
            let mut has_namespace = prefixed;
            let mut element = element(&name, value, &mut has_namespace)?;
            element.namespace = if has_namespace { Namespace::Xsi } else { Namespace::None };
            Ok(element)
        }
        _ => Err(not("the top level does not have exactly one member")),
    }
}

/// Converts a member. The depth is bounded by the reader's limit, so the recursion is.
fn element(name: &str, json: Json, has_namespace: &mut bool) -> Result<Element, ReadError> {
    let (_, local) = split_name(name).ok_or(ReadError::InvalidName)?;
    let local = local.to_owned();
    match json {
        Json::Null => Ok(Element::nil(local)),
        Json::Scalar(text) => Ok(Element::text(local, text)),
        Json::Array(_) => Err(not("an array in an array")),
        Json::Object(members) => {
            let mut element = Element::new(local);
            let mut text = None;
            let mut children = Vec::new();
            for (key, value) in members {
                if key == "$" {
                    text = scalar(value)?;
                } else if let Some(key) = key.strip_prefix('@') {
                    if key == "xmlns" || key.starts_with("xmlns:") {
                        *has_namespace |= key == "xmlns" && scalar(value)?.is_some_and(|uri| !uri.is_empty());
                    } else if let Some(value) = scalar(value)? {
                        element.attributes.push(attribute(key, value)?);
                    }
                } else if let Json::Array(items) = value {
                    for item in items {
                        children.push(self::element(&key, item, &mut false)?);
                    }
                } else {
                    children.push(self::element(&key, value, &mut false)?);
                }
            }
            element.content = match text {
                _ if !children.is_empty() => Content::Children(children),
                Some(text) if !text.is_empty() => Content::Text(text),
                _ => Content::Empty,
            };
            Ok(element)
        }
    }
}

fn attribute(key: &str, value: String) -> Result<Attribute, ReadError> {
    let (prefix, local) = split_name(key).ok_or(ReadError::InvalidName)?;
    Ok(match (prefix, local) {
        (Some(_), "nil") => Attribute { name: AttributeName::Nil, value },
        (Some(_), "type") => {
            let value = value.trim();
            let value = value.split_once(':').map_or(value, |(_, local)| local).to_owned();
            Attribute { name: AttributeName::Type, value }
        }
        (_, local) => Attribute { name: AttributeName::Local(local.to_owned().into()), value },
    })
}

/// A scalar, bare or as `{"$": …}`; nothing for `null`.
fn scalar(json: Json) -> Result<Option<String>, ReadError> {
    match json {
        Json::Null => Ok(None),
        Json::Scalar(text) => Ok(Some(text)),
        Json::Object(members) => match members.into_iter().find(|(key, _)| key == "$") {
            Some((_, Json::Scalar(text))) => Ok(Some(text)),
            Some((_, Json::Null)) => Ok(None),
            _ => Err(not("an attribute or text is not a scalar")),
        },
        Json::Array(_) => Err(not("an attribute or text is not a scalar")),
    }
}
