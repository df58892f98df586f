//! Local stand-ins of APNs, FCM and the identity cloud that check what the real ones check.
//!
//! `adp lab` and the tests point NotificationPushServer here. Each stand-in is a real TLS server with the provider's own
//! rules: the shapes, statuses and reason codes of `protocols/nps.md` sections 6, 7, 11 and 12, and of
//! `protocols/authservice.md` 5. It keeps a bounded record
//! of what it received, hands each push to a sink (the lab prints them), and misbehaves on request ([`Script`]).
//!
//! It verifies tokens with its own code on aws-lc-rs and shares none with NotificationPushServer, so that a mistake
//! there is not repeated here. It must know nothing of our applications.
//!
//! Reading order: [`Environment`], [`apns`], [`fcm`], [`identity`], [`Handle`], [`Script`].

pub mod apns;
pub mod fcm;
mod handle;
pub mod identity;
mod jws;
mod record;
mod server;

pub use handle::{Environment, Handle, Millis, Sink, StartError, TlsPair};
pub use record::{ApnsPush, FcmPush, IdentityQuestion, Received, TokenGrant, Verdict};
pub use server::Script;

/// Which device tokens a stand-in knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownTokens {
    /// Every well-formed token is taken, for the topic or project it is used with first. For the lab, where anybody
    /// may register a made-up token.
    #[default]
    Accept,
    /// Only tokens that were registered with the stand-in; others are answered as the provider does.
    Refuse,
}
