//! Bytes to messages and back; pure.

mod envelope;
mod framer;
mod uri;
mod wrappers;
mod write;

pub use envelope::{Call, EnvelopeError, Inbound, Presented, Request, parse};
pub use framer::{FrameError, Framer};
pub use uri::{ExpandError, Target, expand};
pub use wrappers::declared_method;
pub use write::{event, keepalive, keepalive_response, response};

/// Namespace of the message envelope (cti.md 3).
pub const ENVELOPE_NAMESPACE: &str = "http://schema.broadsoft.com/XspXMLInterface";
