//! The `dms` process.

fn main() {}
