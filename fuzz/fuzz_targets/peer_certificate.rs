//! Client certificates: whatever a peer presents, its identity is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_tls::PeerIdentity;
use rustls_pki_types::CertificateDer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(identity) = PeerIdentity::from_certificate(&CertificateDer::from(bytes)) {
        assert!(!identity.has_usage("not an object identifier"));
    }
});
