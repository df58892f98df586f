//! How typed values are read from and written into elements.

use crate::{DocumentError, Element};

/// A value of one element: text, number, enumeration or nested document.
pub trait Value: Sized {
    /// Whether an optional value that cannot be read counts as absent.
    const LENIENT: bool = false;

    /// The element of this value.
    fn to_value(&self, name: &'static str) -> Element;

    /// Reads the value of an element.
    ///
    /// # Errors
    /// `Invalid` when the text is not such a value, `Missing` for a nested document that lacks something.
    fn from_value(element: &Element) -> Result<Self, DocumentError>;
}

/// A member of a document: a required value, an optional one, a list, a flag or a [`Patch`].
pub trait Field: Sized {
    /// Appends it to its parent.
    fn write(&self, name: &'static str, parent: &mut Element);

    /// Reads it from its parent.
    ///
    /// # Errors
    /// `Missing` for a required value, `Invalid` for one that is not acceptable.
    fn read(name: &'static str, parent: &Element) -> Result<Self, DocumentError>;
}

/// A document with a root element of its own.
pub trait Document: Value {
    /// Name of the root.
    const ROOT: &'static str;

    /// The document as a tree.
    fn to_element(&self) -> Element {
        self.to_value(Self::ROOT)
    }

    /// Reads the document from a tree. Unknown elements are ignored; their order does not count.
    ///
    /// # Errors
    /// `WrongRoot`, or as [`Value::from_value`].
    fn from_element(element: &Element) -> Result<Self, DocumentError> {
        if element.name == Self::ROOT {
            Self::from_value(element)
        } else {
            Err(DocumentError::WrongRoot { expected: Self::ROOT })
        }
    }
}

/// A presence flag: an empty element that is there, or not (xsi.md 1.3, marked `!`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flag(pub bool);

/// A nillable value of a partial update (xsi.md 1.3, marked `~`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// The element is absent: the value stays as it is.
    #[default]
    Unchanged,
    /// The element is nil, or empty: the value is cleared.
    Clear,
    /// The element has a value.
    Set(T),
}

impl<T> Patch<T> {
    /// `Set` for a value, `Unchanged` (no element) for none: the form of answers.
    pub fn of(value: Option<T>) -> Self {
        value.map_or(Self::Unchanged, Self::Set)
    }
    /// The value, where one is set.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Unchanged | Self::Clear => None,
        }
    }
    /// Applies the change to a stored value.
    pub fn apply(self, stored: &mut Option<T>) {
        match self {
            Self::Unchanged => {}
            Self::Clear => *stored = None,
            Self::Set(value) => *stored = Some(value),
        }
    }
}

pub(crate) fn invalid(element: &Element, expected: &'static str) -> DocumentError {
    DocumentError::Invalid { element: element.name.clone().into_owned(), expected }
}

impl Value for String {
    fn to_value(&self, name: &'static str) -> Element {
        Element::text(name, self.clone())
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(element.trimmed_text().to_owned())
    }
}

impl Value for bool {
    fn to_value(&self, name: &'static str) -> Element {
        Element::text(name, if *self { "true" } else { "false" })
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        let text = element.trimmed_text();
        if text == "1" || text.eq_ignore_ascii_case("true") {
            Ok(true)
        } else if text == "0" || text.eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            Err(invalid(element, "a boolean"))
        }
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn to_value(&self, name: &'static str) -> Element {
                Element::text(name, self.to_string())
            }
            fn from_value(element: &Element) -> Result<Self, DocumentError> {
                element.trimmed_text().parse().map_err(|_| invalid(element, "a number in range"))
            }
        }
    )*};
}
number!(u16, u32, u64, i32, i64);

/// A tree taken as it is: for parts that have no type of their own.
impl Value for Element {
    fn to_value(&self, name: &'static str) -> Element {
        self.clone().renamed(name)
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(element.clone())
    }
}

impl<T: Value> Field for T {
    fn write(&self, name: &'static str, parent: &mut Element) {
        parent.push(self.to_value(name));
    }
    fn read(name: &'static str, parent: &Element) -> Result<Self, DocumentError> {
        match parent.child(name) {
            Some(element) if !element.is_nil() => T::from_value(element),
            _ => Err(DocumentError::Missing { element: name }),
        }
    }
}

impl<T: Value> Field for Option<T> {
    fn write(&self, name: &'static str, parent: &mut Element) {
        if let Some(value) = self {
            parent.push(value.to_value(name));
        }
    }
    fn read(name: &'static str, parent: &Element) -> Result<Self, DocumentError> {
        match parent.child(name).filter(|element| !element.is_nil()).map(T::from_value).transpose() {
            Err(_) if T::LENIENT => Ok(None),
            read => read,
        }
    }
}

impl<T: Value> Field for Vec<T> {
    fn write(&self, name: &'static str, parent: &mut Element) {
        for value in self {
            parent.push(value.to_value(name));
        }
    }
    fn read(name: &'static str, parent: &Element) -> Result<Self, DocumentError> {
        parent.all(name).filter(|element| !element.is_nil()).map(T::from_value).collect()
    }
}

impl<T: Value> Field for Patch<T> {
    fn write(&self, name: &'static str, parent: &mut Element) {
        match self {
            Self::Unchanged => {}
            Self::Clear => parent.push(Element::nil(name)),
            Self::Set(value) => parent.push(value.to_value(name)),
        }
    }
    fn read(name: &'static str, parent: &Element) -> Result<Self, DocumentError> {
        match parent.child(name) {
            None => Ok(Self::Unchanged),
            Some(element) if element.is_nil() => Ok(Self::Clear),
            Some(element) if element.children().is_empty() && element.trimmed_text().is_empty() => {
                Ok(Self::Clear)
            }
            Some(element) => T::from_value(element).map(Self::Set),
        }
    }
}

impl Field for Flag {
    fn write(&self, name: &'static str, parent: &mut Element) {
        if self.0 {
            parent.push(Element::new(name));
        }
    }
    fn read(name: &'static str, parent: &Element) -> Result<Self, DocumentError> {
        Ok(Self(parent.child(name).is_some_and(|element| {
            !element.is_nil() && !element.trimmed_text().eq_ignore_ascii_case("false")
        })))
    }
}

/// Declares a document: a struct whose members are elements in wire order.
macro_rules! document {
    ($(#[$meta:meta])* $name:ident = $root:literal {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $element:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }
        impl $crate::Value for $name {
            fn to_value(&self, name: &'static str) -> $crate::Element {
                let mut element = $crate::Element::new(name);
                $($crate::Field::write(&self.$field, $element, &mut element);)*
                element
            }
            fn from_value(element: &$crate::Element) -> Result<Self, $crate::DocumentError> {
                Ok(Self { $($field: $crate::Field::read($element, element)?,)* })
            }
        }
        impl $crate::Document for $name {
            const ROOT: &'static str = $root;
        }
    };
}

/// Declares an enumeration with its exact wire texts.
macro_rules! enumeration {
    ($(#[$meta:meta])* $name:ident, lenient $what:literal { $($rest:tt)* }) => {
        $crate::field::enumeration! { @ true, $(#[$meta])* $name, $what { $($rest)* } }
    };
    ($(#[$meta:meta])* $name:ident, $what:literal { $($rest:tt)* }) => {
        $crate::field::enumeration! { @ false, $(#[$meta])* $name, $what { $($rest)* } }
    };
    (@ $lenient:literal, $(#[$meta:meta])* $name:ident, $what:literal {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }
        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The wire's text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
            /// Reads the wire's text, exactly.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl $crate::Value for $name {
            const LENIENT: bool = $lenient;
            fn to_value(&self, name: &'static str) -> $crate::Element {
                $crate::Element::text(name, self.as_str())
            }
            fn from_value(element: &$crate::Element) -> Result<Self, $crate::DocumentError> {
                Self::parse(element.trimmed_text()).ok_or_else(|| $crate::field::invalid(element, $what))
            }
        }
    };
}

pub(crate) use {document, enumeration};
