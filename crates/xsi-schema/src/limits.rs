//! How much of a document is read before it is refused.

/// Bounds of a document that comes from a socket. Each has a default that every known client stays far below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Depth of nested elements (objects and arrays in JSON); the root has depth 1.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Bytes of one element's text, or of one attribute's value.
    pub text: usize,
    /// Elements of the whole document.
    pub elements: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, depth: 32, attributes: 32, text: 64 * 1024, elements: 20_000 }
    }
}

impl ReadLimits {
    /// The default with another bound on the whole document.
    #[must_use]
    pub fn with_bytes(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }
}
