//! The `cti` process.

fn main() {}
