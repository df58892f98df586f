//! Bytes and header texts; pure.

pub(crate) mod cookie;
pub(crate) mod form;
pub(crate) mod path;
