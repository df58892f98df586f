//! Tests of the machine.

mod bench;
mod property;
mod steps;
