//! Cipher and protocol inheritance, certificates, trust anchors and peer identity as rustls configurations.
