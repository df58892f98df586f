//! Rules: who gets which file, and which sources have failed too often.

mod access;
mod failures;

pub(crate) use access::{Access, Denied, Shown, Tokens};
pub(crate) use failures::{Failures, Limits};
