//! The application server's interface, bytes to types and back: `protocols/nps.md` 4. Pure.

mod answer;
mod notification;

pub(crate) use answer::{Answer, Feedback, FeedbackEntry, Status, TargetResult};
pub(crate) use notification::{
    EndReason, Event, MAX_BODY, Notification, OsType, SchemaProblem, Target, TokenType,
};
