//! XSI over the embedded application server, without a socket.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails the test")]

mod actions;
mod authorization;
mod control;
mod events;
mod lab;
