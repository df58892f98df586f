//! Event documents (xsi.md 5.3, 5.6, 5.8).

mod data;
mod envelope;

pub use data::{CallEventType, EventData};
pub use envelope::{
    ChannelTerminationReason, EventForm, EventOwner, EventRoute, HEARTBEAT, SubscriptionEvent,
    channel_terminated_event, error_event, wire_sequence,
};
