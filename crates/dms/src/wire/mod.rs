//! What comes over the wire, taken apart: paths, credentials, conditions. Pure, never panics.

mod address;
mod authorization;
mod condition;
mod path;

pub(crate) use address::{Compiled, HardwareAddress, Told, compile, header_of, told};
pub(crate) use authorization::Presented;
pub(crate) use condition::{etag, http_date, is_current};
pub use path::{PathFault, clean_path};
