//! Delivery of events: the state machine, and the tasks that feed it and do what it says.

mod driver;
mod hub;
mod index;
mod machine;
#[cfg(test)]
mod machine_tests;
mod package;
mod types;

pub(crate) use driver::{chain, spawn};
pub(crate) use hub::Hub;
pub(crate) use machine::Acknowledged;
pub(crate) use package::{Package, Packages, Refused};
pub(crate) use types::{Millis, SetKey, StateKind};
