//! The `nps` process.

fn main() {}
