//! Stored values and their typed forms.

use std::net::IpAddr;
use zeroize::Zeroizing;

/// A secret in memory: does not print, is erased when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
    /// The secret itself; keep the borrow short.
    pub fn expose(&self) -> &str {
        &self.0
    }
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(********)")
    }
}

/// One value of a row, as the running process holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Canonical text.
    Text(String),
    /// A decrypted secret.
    Secret(Secret),
}

impl Value {
    /// The text; a secret's too, so never print what this gives.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
    /// What `get` prints: stars for a secret that is set.
    pub fn shown(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Secret(secret) if secret.is_empty() => "",
            Self::Secret(_) => "********",
        }
    }
}

/// A type that a stored value is read as.
///
/// Values were checked against the declared kind when they were stored, so reading cannot fail: what does not fit the
/// type (a declaration that changed between releases) reads as the type's empty value.
pub trait FromValue: Sized {
    /// Reads the value; `None` where the row has none and the parameter no default.
    fn from_value(value: Option<&str>) -> Self;
}

impl FromValue for String {
    fn from_value(value: Option<&str>) -> Self {
        value.unwrap_or_default().to_owned()
    }
}

impl FromValue for Secret {
    fn from_value(value: Option<&str>) -> Self {
        Self::new(value.unwrap_or_default())
    }
}

impl FromValue for bool {
    fn from_value(value: Option<&str>) -> Self {
        value == Some("true")
    }
}

macro_rules! numbers {
    ($($number:ty),+) => { $(
        impl FromValue for $number {
            fn from_value(value: Option<&str>) -> Self {
                value.and_then(|text| text.parse().ok()).unwrap_or_default()
            }
        }
    )+ };
}
numbers!(u16, u32, u64, i64, usize);

impl FromValue for IpAddr {
    fn from_value(value: Option<&str>) -> Self {
        value.and_then(|text| text.parse().ok()).unwrap_or(Self::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Option<&str>) -> Self {
        value.filter(|text| !text.is_empty()).map(|text| T::from_value(Some(text)))
    }
}
