//! The suite that every adapter of the ports runs in its tests.
