//! JSON documents of XSI clients.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_xsi_schema::{ReadLimits, read_json};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(element) = read_json(bytes, &ReadLimits::default()) {
        let again = read_json(element.to_json().as_bytes(), &ReadLimits::default());
        assert!(again.is_ok(), "what was written cannot be read: {again:?}");
    }
});
