//! The `adpcli` command.

fn main() {}
