//! The `xsi` process.

fn main() {}
