//! XSI documents: typed requests, responses and events in their XML and JSON forms. No I/O, no application server.
//!
//! A document is an [`Element`] tree on its way between bytes and a typed value:
//!
//! ```
//! use openadp_xsi_schema::{Document, Element, ReadLimits, Services, read_xml};
//! let bytes = br#"<Services xmlns="http://schema.broadsoft.com/xsi"><service><name>Privacy</name></service></Services>"#;
//! let element: Element = read_xml(bytes, &ReadLimits::default())?;
//! let document = Services::from_element(&element)?;
//! assert_eq!(document.services[0].name, "Privacy");
//! assert!(document.to_element().to_xml().ends_with("<service><name>Privacy</name></service></Services>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading: [`read`] sniffs the format ([`sniff`]), [`read_xml`] and [`read_json`] parse it; both hold [`ReadLimits`] and
//! are safe to call on anything (the fuzz targets do). Writing: [`Element::to_xml`], [`Element::to_json`], and
//! [`Element::write_xml`] for fragments in another form. Events are assembled by [`SubscriptionEvent::assemble`] around
//! [`EventData`], whose bytes all receivers share.
//!
//! Elements and attributes are matched by local name: clients use any prefix, or none (xsi.md 1.3). The format facts are
//! in `protocols/xsi.md`; sections are cited beside the code.

mod documents;
mod element;
mod error;
mod events;
mod field;
mod json;
mod limits;
mod package;
mod sniff;
mod xml;

pub use documents::*;
pub use element::{Attribute, AttributeName, Content, Element, Namespace};
pub use error::{DocumentError, ReadError};
pub use events::*;
pub use field::{Document, Field, Flag, Patch, Value};
pub use json::read_json;
pub use limits::ReadLimits;
pub use package::EventPackage;
pub use sniff::{Format, read, sniff};
pub use xml::{EmptyForm, XML_DECLARATION, XmlStyle, escape_into, read_xml};

/// Namespace of all XSI documents (xsi.md 1.3).
pub const XSI_NAMESPACE: &str = "http://schema.broadsoft.com/xsi";

/// Namespace of the `type` and `nil` attributes.
pub const XML_SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
