//! Paths of device files: what is taken is clean, and clean stays the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_dms::clean_path;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(path) = clean_path(text)
    {
        assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "{path}");
        assert!(!path.contains(['\\', '%']), "{path}");
        assert!(!path.chars().any(char::is_control), "{path:?}");
    }
});
