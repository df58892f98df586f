//! Bytes of the protocol to types and back, pure: parameters, credentials as presented, answers, errors.

mod error;
mod request;

pub(crate) use error::Refusal;
pub(crate) use request::{Presented, bearer, form_parameters, key_of_json, presented, wants_json};
