//! The `adp` command.

fn main() {}
