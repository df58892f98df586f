//! An [`Element`] to XML, on one line (xsi.md 0, items 7 to 11).

use crate::element::is_xml_char;
use crate::{AttributeName, Content, Element, Namespace, XML_SCHEMA_INSTANCE, XSI_NAMESPACE};

/// The declaration that every document starts with, and the only line feed it holds.
pub const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// How empty elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmptyForm {
    /// `<read/>`: HTTP (xsi.md 5.8).
    SelfClosed,
    /// `<read></read>`: CTI (cti.md 2, rule 5).
    Pair,
}

/// Which form of XML is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct XmlStyle {
    /// Whether elements carry the prefix `xsi:` (events) instead of a default namespace (everything else).
    pub prefixed: bool,
    /// How empty elements are written.
    pub empty: EmptyForm,
    /// Whether the namespaces are declared here, on the root; a fragment inside an envelope of ours has them already.
    pub declare_namespaces: bool,
}

impl XmlStyle {
    /// Actions, channels and subscriptions: default namespace.
    pub const PLAIN: Self = Self { prefixed: false, empty: EmptyForm::SelfClosed, declare_namespaces: true };
    /// The same inside a CTI message.
    pub const PLAIN_CTI: Self = Self { prefixed: false, empty: EmptyForm::Pair, declare_namespaces: true };
    /// Event documents.
    pub const EVENT: Self = Self { prefixed: true, empty: EmptyForm::SelfClosed, declare_namespaces: true };
    /// Event documents inside a CTI message.
    pub const EVENT_CTI: Self = Self { prefixed: true, empty: EmptyForm::Pair, declare_namespaces: true };

    /// The same without namespace declarations.
    #[must_use]
    pub fn fragment(self) -> Self {
        Self { declare_namespaces: false, ..self }
    }
}

impl Element {
    /// The document with its declaration, default namespace.
    pub fn to_xml(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push_str(XML_DECLARATION);
        self.write_xml(&mut out, XmlStyle::PLAIN);
        out
    }

    /// Appends the element, without declaration, in the form asked for. Text is escaped so that the result has no line
    /// feed; characters that XML does not allow are left out.
    pub fn write_xml(&self, out: &mut String, style: XmlStyle) {
        out.push('<');
        push_name(out, self, style);
        if style.declare_namespaces {
            self.push_namespaces(out, style);
        }
        for attribute in &self.attributes {
            out.push(' ');
            let prefix = match &attribute.name {
                AttributeName::Local(name) => {
                    out.push_str(name);
                    ""
                }
                AttributeName::Nil => {
                    out.push_str("xsi1:nil");
                    ""
                }
                AttributeName::Type => {
                    out.push_str("xsi1:type");
                    "xsi:"
                }
            };
            out.push_str("=\"");
            out.push_str(prefix);
            escape_into(out, &attribute.value);
            out.push('"');
        }
        match &self.content {
            Content::Text(text) if !text.is_empty() => {
                out.push('>');
                escape_into(out, text);
            }
            Content::Children(children) if !children.is_empty() => {
                out.push('>');
                for child in children {
                    child.write_xml(out, style.fragment());
                }
            }
            _ if style.empty == EmptyForm::SelfClosed => {
                out.push_str("/>");
                return;
            }
            _ => out.push('>'),
        }
        out.push_str("</");
        push_name(out, self, style);
        out.push('>');
    }

    fn push_namespaces(&self, out: &mut String, style: XmlStyle) {
        let mut declare = |name: &str, uri: &str| {
            for part in [" ", name, "=\"", uri, "\""] {
                out.push_str(part);
            }
        };
        if style.prefixed {
            declare("xmlns:xsi", XSI_NAMESPACE);
            declare("xmlns:xsi1", XML_SCHEMA_INSTANCE);
            return;
        }
        if self.namespace == Namespace::Xsi {
            declare("xmlns", XSI_NAMESPACE);
        }
        if self.uses_instance_attributes() {
            declare("xmlns:xsi", XSI_NAMESPACE);
            declare("xmlns:xsi1", XML_SCHEMA_INSTANCE);
        }
    }
}

fn push_name(out: &mut String, element: &Element, style: XmlStyle) {
    if style.prefixed {
        out.push_str("xsi:");
    }
    out.push_str(&element.name);
}

/// Appends text for use in element content or a double-quoted attribute: markup characters as the predefined entities,
/// tab, line feed and carriage return as numeric references, characters that XML does not allow left out.
pub fn escape_into(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(needs_care) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            Some('\t') => out.push_str("&#9;"),
            Some('\n') => out.push_str("&#10;"),
            Some('\r') => out.push_str("&#13;"),
            _ => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

fn needs_care(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '"' | '\t' | '\n' | '\r') || !is_xml_char(c)
}
