//! adpcli, the administration CLI.
