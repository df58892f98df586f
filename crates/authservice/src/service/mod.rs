//! The rules: who gets a token, who is slowed down, what is told of a token. Over the ports, the ring and the settings.

mod failures;
mod mint;
mod validation;

pub(crate) use failures::{Failures, Limits};
pub(crate) use mint::{Minted, Minter, Wanted};
pub(crate) use validation::Validator;
