//! The key ring that all AuthenticationService nodes share.
