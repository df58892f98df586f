//! Why a document cannot be read. No error repeats what the peer sent: it may be a secret.

/// Why bytes are not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The document is empty, or white space only.
    #[error("the document is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// Elements are nested too deep.
    #[error("the document is nested deeper than {limit}")]
    TooDeep {
        /// The bound.
        limit: usize,
    },
    /// An element has too many attributes.
    #[error("an element has more than {limit} attributes")]
    TooManyAttributes {
        /// The bound.
        limit: usize,
    },
    /// Too many elements.
    #[error("the document has more than {limit} elements")]
    TooManyElements {
        /// The bound.
        limit: usize,
    },
    /// A text or attribute value is too long.
    #[error("a text is longer than {limit} bytes")]
    TextTooLong {
        /// The bound.
        limit: usize,
    },
    /// There is a document type declaration.
    #[error("document type declarations are not accepted")]
    DoctypeForbidden,
    /// A reference to an entity other than the predefined five.
    #[error("an entity is not one of the predefined five")]
    UnknownEntity,
    /// A numeric reference to something that is no XML character.
    #[error("a character reference is not valid")]
    InvalidReference,
    /// A character that XML does not allow.
    #[error("a character is not allowed in XML")]
    InvalidCharacter,
    /// A name that is not one.
    #[error("a name is not valid")]
    InvalidName,
    /// The bytes are not what the encoding says.
    #[error("the document is not valid {encoding}")]
    InvalidEncoding {
        /// The encoding.
        encoding: &'static str,
    },
    /// An encoding other than UTF-8, US-ASCII or ISO-8859-1.
    #[error("the encoding is not supported; use UTF-8")]
    UnsupportedEncoding,
    /// Something follows the document.
    #[error("there is something after the end of the document")]
    TrailingContent,
    /// The document ends in the middle.
    #[error("the document is not complete")]
    Incomplete,
    /// Not well formed.
    #[error("not well-formed at byte {position}: {reason}")]
    Malformed {
        /// Where, bytes from the start (in UTF-8).
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// JSON that does not follow the mapping of XSI documents.
    #[error("not an XSI document: {reason}")]
    NotADocument {
        /// What is wrong.
        reason: &'static str,
    },
    /// A JSON object with two members of one name.
    #[error("an object has two members of one name")]
    DuplicateKey,
}

impl ReadError {
    /// Whether a bound was exceeded, as opposed to something malformed.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::TooDeep { .. }
                | Self::TooManyAttributes { .. }
                | Self::TooManyElements { .. }
                | Self::TextTooLong { .. }
        )
    }
}

/// Why an element is not the expected document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The root is another one.
    #[error("the root element must be {expected}")]
    WrongRoot {
        /// The root that was expected.
        expected: &'static str,
    },
    /// Something required is not there.
    #[error("{element} is missing")]
    Missing {
        /// Name of the element.
        element: &'static str,
    },
    /// A value is not acceptable.
    #[error("{element} is not {expected}")]
    Invalid {
        /// Name of the element.
        element: String,
        /// What it should be.
        expected: &'static str,
    },
}
