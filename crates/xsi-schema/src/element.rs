//! The tree between bytes and typed documents.

use std::borrow::Cow;

/// Name of an attribute. Prefixes are not kept: any prefix on `nil` or `type` means the XMLSchema-instance attribute,
/// declared or not (xsi.md 1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeName {
    /// An attribute of the document's own.
    Local(Cow<'static, str>),
    /// `xsi:type` of XMLSchema-instance; the value is kept without its prefix.
    Type,
    /// `xsi:nil` of XMLSchema-instance.
    Nil,
}

/// An attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: AttributeName,
    /// Its value, unescaped.
    pub value: String,
}

/// What an element holds. White space between children, and any text beside children, is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// Text, unescaped.
    Text(String),
    /// Other elements.
    Children(Vec<Element>),
}

/// Namespace of a document; only the root's is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Namespace {
    /// The XSI namespace.
    #[default]
    Xsi,
    /// None: the single call logs (xsi.md 3.5).
    None,
}

/// One element with everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Local name.
    pub name: Cow<'static, str>,
    /// Namespace, where this is the root.
    pub namespace: Namespace,
    /// Attributes, namespace declarations left out.
    pub attributes: Vec<Attribute>,
    /// Content.
    pub content: Content,
}

impl Element {
    /// An empty element. The name must be a valid XML name: names from outside come through the readers, which check.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), namespace: Namespace::Xsi, attributes: Vec::new(), content: Content::Empty }
    }
    /// An element with text.
    pub fn text(name: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        let mut element = Self::new(name);
        element.content = Content::Text(text.into());
        element
    }
    /// An element that is explicitly nothing (`nil="true"`).
    pub fn nil(name: impl Into<Cow<'static, str>>) -> Self {
        let mut element = Self::new(name);
        element.attributes.push(Attribute { name: AttributeName::Nil, value: "true".to_owned() });
        element
    }
    /// With a child appended.
    #[must_use]
    pub fn with(mut self, child: Self) -> Self {
        self.push(child);
        self
    }
    /// With an attribute.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.attributes.push(Attribute { name: AttributeName::Local(name.into()), value: value.into() });
        self
    }
    /// With an instance type, `AccessEndpoint` say (no prefix).
    #[must_use]
    pub fn with_type(mut self, type_name: impl Into<String>) -> Self {
        self.attributes.push(Attribute { name: AttributeName::Type, value: type_name.into() });
        self
    }
    /// Without namespace.
    #[must_use]
    pub fn without_namespace(mut self) -> Self {
        self.namespace = Namespace::None;
        self
    }
    /// Under another name.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }
    /// Appends a child; text that was there is given up.
    pub fn push(&mut self, child: Self) {
        match &mut self.content {
            Content::Children(children) => children.push(child),
            Content::Empty | Content::Text(_) => self.content = Content::Children(vec![child]),
        }
    }
    /// Its children; none for text.
    pub fn children(&self) -> &[Self] {
        match &self.content {
            Content::Children(children) => children,
            Content::Empty | Content::Text(_) => &[],
        }
    }
    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children().iter().find(|child| child.name == name)
    }
    /// All children of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> + 'a {
        self.children().iter().filter(move |child| child.name == name)
    }
    /// Its text without white space around it; empty for anything but text.
    pub fn trimmed_text(&self) -> &str {
        self.raw_text().trim()
    }
    /// Its text as it is; empty for anything but text.
    pub fn raw_text(&self) -> &str {
        match &self.content {
            Content::Text(text) => text,
            Content::Empty | Content::Children(_) => "",
        }
    }
    /// The trimmed text of the first child of a name.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(Self::trimmed_text)
    }
    /// Value of an own attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.find(|candidate| matches!(candidate, AttributeName::Local(local) if local == name))
    }
    /// The instance type, without prefix.
    pub fn type_name(&self) -> Option<&str> {
        self.find(|candidate| *candidate == AttributeName::Type)
    }
    /// Whether it is explicitly nothing.
    pub fn is_nil(&self) -> bool {
        self.find(|candidate| *candidate == AttributeName::Nil)
            .is_some_and(|value| matches!(value.trim(), "1") || value.trim().eq_ignore_ascii_case("true"))
    }
    fn find(&self, wanted: impl Fn(&AttributeName) -> bool) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| wanted(&attribute.name))
            .map(|attribute| attribute.value.as_str())
    }
    /// Whether the tree has an instance attribute anywhere, so that the prefixes must be declared.
    pub(crate) fn uses_instance_attributes(&self) -> bool {
        self.attributes.iter().any(|attribute| !matches!(attribute.name, AttributeName::Local(_)))
            || self.children().iter().any(Self::uses_instance_attributes)
    }
}

/// Whether a text is a local name as the readers accept it: a letter, `_` or a non-ASCII character first, then also
/// digits, `-` and `.`.
pub(crate) fn is_local_name(text: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_' || is_name_char_beyond_ascii(c);
    let mut chars = text.chars();
    chars.next().is_some_and(start) && chars.all(|c| start(c) || c.is_ascii_digit() || matches!(c, '-' | '.'))
}

/// The ranges of NameStartChar beyond ASCII (XML 1.0, production 4).
fn is_name_char_beyond_ascii(c: char) -> bool {
    matches!(u32::from(c),
        0xC0..=0xD6 | 0xD8..=0xF6 | 0xF8..=0x2FF | 0x370..=0x37D | 0x37F..=0x1FFF | 0x200C..=0x200D
        | 0x2070..=0x218F | 0x2C00..=0x2FEF | 0x3001..=0xD7FF | 0xF900..=0xFDCF | 0xFDF0..=0xFFFD | 0x1_0000..=0xE_FFFF)
}

/// Splits a qualified name into prefix and local name, and checks both.
pub(crate) fn split_name(name: &str) -> Option<(Option<&str>, &str)> {
    match name.split_once(':') {
        None => is_local_name(name).then_some((None, name)),
        Some((prefix, local)) => {
            (is_local_name(prefix) && is_local_name(local)).then_some((Some(prefix), local))
        }
    }
}

/// Whether XML 1.0 allows a character (production 2).
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}
