//! Errors (xsi.md 4).

use crate::{Document, DocumentError, Element, Field, Value};

/// `ErrorInfo`: always with both summaries, since one client fails without `summary` (xsi.md 0, item 18).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorInfo {
    /// For people, in their language.
    pub summary: String,
    /// For people, in English.
    pub summary_english: String,
    /// For programs, where there is a code.
    pub error_code: Option<u32>,
}

impl ErrorInfo {
    /// An error with one English text for both summaries.
    pub fn new(summary: impl Into<String>, error_code: Option<u32>) -> Self {
        let summary = summary.into();
        Self { summary_english: summary.clone(), summary, error_code }
    }
}

impl Value for ErrorInfo {
    fn to_value(&self, name: &'static str) -> Element {
        let mut element = Element::new(name);
        self.summary.write("summary", &mut element);
        self.summary_english.write("summaryEnglish", &mut element);
        self.error_code.write("errorCode", &mut element);
        element
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        let summary_english: String = Field::read("summaryEnglish", element)?;
        let summary: Option<String> = Field::read("summary", element)?;
        Ok(Self {
            summary: summary.unwrap_or_else(|| summary_english.clone()),
            summary_english,
            error_code: Field::read("errorCode", element)?,
        })
    }
}

impl Document for ErrorInfo {
    const ROOT: &'static str = "ErrorInfo";
}
