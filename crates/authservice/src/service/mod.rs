//! The rules: who gets a token, who is slowed down, what is told of a token, who makes keys. Over the ports, the ring and the
//! settings.

mod callers;
mod clock;
mod farm;
mod mint;
mod rates;
mod validation;

pub(crate) use callers::{Standing, standing};
pub(crate) use farm::{Claim, Farm};
pub(crate) use mint::{Minted, Minter, Proof, Wanted};
pub(crate) use rates::Rates;
pub(crate) use validation::Validator;
