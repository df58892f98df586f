//! What operators look after from time to time: upgrades, patches, licenses. cli.md 5.4 and 5.7

mod licensing;
mod patching;
mod release;
mod tools;

pub use licensing::{LicenseFile, Licensing};
pub use patching::Patching;
pub(crate) use release::{Relation, Release};
pub use tools::Tools;
