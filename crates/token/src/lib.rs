//! Formats of long-lived tokens and their validation over a key ring.
