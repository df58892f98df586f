//! The public key that a client of the AuthenticationService sends; what is taken can be wrapped for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_token::{ClientKey, wrap};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = ClientKey::parse(text)
    {
        assert!(wrap(&key, "a.b.c").is_ok());
    }
});
