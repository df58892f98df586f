#!/bin/sh
# Builds `adp` and `adpcli` where needed, then runs `adp` with the given arguments: `./adp lab`.
# Needs Rust and a C compiler, nothing else. The build is quiet unless it has something to do.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
cargo build --quiet --manifest-path "$here/Cargo.toml" --package openadp-adp --package openadp-cli >&2
exec "$target/debug/$(basename "$0")" "$@"
