//! The XML form.

mod decode;
mod reader;
mod writer;

pub use reader::read_xml;
pub use writer::{EmptyForm, XML_DECLARATION, XmlStyle, escape_into};
