//! XML documents of XSI and CTI clients: what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_xsi_schema::{ReadLimits, read_xml};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(element) = read_xml(bytes, &ReadLimits::default()) {
        let again = read_xml(element.to_xml().as_bytes(), &ReadLimits::default());
        assert!(again.is_ok(), "what was written cannot be read: {again:?}");
    }
});
