//! The `authservice` process.

fn main() {}
