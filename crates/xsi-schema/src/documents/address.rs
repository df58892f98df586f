//! Telephone addresses (xsi.md 1.4).

use crate::{DocumentError, Element, Value};

/// An `Address`: a `tel:` or `sip:` URI; E.164 numbers carry their country code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Address {
    /// The text as on the wire. Requests may leave the scheme out.
    pub uri: String,
    /// Country code of an E.164 number, without `+`. Ignored when a client sends it.
    pub country_code: Option<String>,
}

impl Address {
    /// The address of a number, extension or SIP URI without scheme: `+15550100123`, `1012`, `sip:bo@lab.example`.
    pub fn of(value: &str, country_code: Option<&str>) -> Self {
        let uri = if has_scheme(value) { value.to_owned() } else { format!("tel:{value}") };
        Self { uri, country_code: country_code.map(str::to_owned) }
    }
    /// The address without `tel:`; SIP URIs stay whole.
    pub fn without_scheme(&self) -> &str {
        match self.uri.split_at_checked(4) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel:") => rest,
            _ => &self.uri,
        }
    }
}

fn has_scheme(value: &str) -> bool {
    ["tel:", "sip:", "sips:"]
        .iter()
        .any(|scheme| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

impl Value for Address {
    fn to_value(&self, name: &'static str) -> Element {
        let element = Element::text(name, self.uri.clone());
        match &self.country_code {
            Some(code) => element.with_attribute("countryCode", code.clone()),
            None => element,
        }
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(Self {
            uri: element.trimmed_text().to_owned(),
            country_code: element.attribute("countryCode").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_come_and_go() {
        assert_eq!(Address::of("1012", None).uri, "tel:1012");
        assert_eq!(Address::of("sip:bo@lab.example", None).uri, "sip:bo@lab.example");
        assert_eq!(Address::of("TEL:+1555", Some("1")).without_scheme(), "+1555");
        assert_eq!(Address { uri: "é".into(), country_code: None }.without_scheme(), "é");
    }
}
