//! The application server's interface, bytes to types and back: `protocols/nps.md` 4. Pure.

mod answer;
mod notification;
mod push_token;

pub(crate) use answer::{Answer, Feedback, FeedbackEntry, Status, TargetResult};
pub(crate) use notification::{
    EndReason, Event, MAX_BODY, Notification, OsType, SchemaProblem, Target, TokenType,
};
pub(crate) use push_token::{PushService, push_token};
