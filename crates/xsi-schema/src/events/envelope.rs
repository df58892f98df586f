//! The envelope around event data, and the other documents of a stream.

use super::data::EventData;
use crate::field::enumeration;
use crate::{XML_DECLARATION, escape_into};
use bytes::Bytes;

/// The heartbeat of a stream, byte for byte (xsi.md 0, items 9 and 10).
pub const HEARTBEAT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChannelHeartBeat xmlns=\"http://schema.broadsoft.com/xsi\"/>";

/// How an event document starts up to its instance type.
const ROOT: &str = concat!(
    "<xsi:Event xmlns:xsi=\"http://schema.broadsoft.com/xsi\" ",
    "xmlns:xsi1=\"http://www.w3.org/2001/XMLSchema-instance\" xsi1:type=\"xsi:"
);
/// How it ends.
const END: &str = "</xsi:Event>";
/// Largest sequence number; the next one is 1 (xsi.md 5.6).
const MAX_SEQUENCE: u64 = 2_147_483_647;

/// Which form an event document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventForm {
    /// A document of an HTTP stream: declaration, line feed, one line; empty elements self-closed.
    Stream,
    /// A bare element for the payload of a CTI message; empty elements as pairs.
    Cti,
}

/// Who owns the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOwner<'a> {
    /// A user or administrator (`userId`).
    User(&'a str),
    /// A client application (`clientId`).
    Client(&'a str),
}

/// Which way the event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRoute<'a> {
    /// Down a channel (`channelId`).
    Channel(&'a str),
    /// To an address (`httpContact/uri`).
    HttpContact(&'a str),
}

/// The envelope of a `SubscriptionEvent`: what differs from receiver to receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionEvent<'a> {
    /// Id, a UUID; comes back in the event response.
    pub event_id: &'a str,
    /// Number on the wire; see [`wire_sequence`].
    pub sequence_number: u64,
    /// Owner of the subscription.
    pub owner: EventOwner<'a>,
    /// `applicationId` of the subscription; the element is there even when it is empty.
    pub application_id: &'a str,
    /// Subscription.
    pub subscription_id: &'a str,
    /// Shared id of the subscription.
    pub shared_subscription_id: Option<&'a str>,
    /// Way.
    pub route: EventRoute<'a>,
    /// Whom the event is about; left out for a terminated subscription.
    pub target_id: Option<&'a str>,
    /// Part of the target.
    pub target_sub_id: Option<&'a str>,
}

impl SubscriptionEvent<'_> {
    /// The whole document in one buffer, for one write.
    pub fn assemble(&self, data: &EventData, form: EventForm) -> Bytes {
        let data = data.bytes(form);
        let mut out = Writer::begin(form, "SubscriptionEvent", data.len() + 1024);
        out.element("eventID", self.event_id);
        out.element("sequenceNumber", &self.sequence_number.to_string());
        match self.owner {
            EventOwner::Client(id) => out.element("clientId", id),
            EventOwner::User(id) => out.element("userId", id),
        }
        out.element("externalApplicationId", self.application_id);
        out.element("subscriptionId", self.subscription_id);
        out.optional("sharedSubscriptionId", self.shared_subscription_id);
        match self.route {
            EventRoute::Channel(id) => out.element("channelId", id),
            EventRoute::HttpContact(uri) => {
                out.0.extend_from_slice(b"<xsi:httpContact>");
                out.element("uri", uri);
                out.0.extend_from_slice(b"</xsi:httpContact>");
            }
        }
        out.optional("targetId", self.target_id);
        out.optional("targetSubId", self.target_sub_id);
        out.0.extend_from_slice(data);
        out.end()
    }
}

enumeration! {
    /// Why a channel ended (xsi.md 5.4).
    ChannelTerminationReason, "a termination reason" {
        /// A second channel set of the same application.
        DuplicateChannelSet = "DuplicateChannelSet",
        /// Its owner was deleted.
        UserDeleted = "UserDeleted",
        /// Events were not acknowledged, or heartbeats stopped.
        NonResponsiveChannel = "NonResponsiveChannel",
        /// Deleted by its owner.
        ExplicitDelete = "ExplicitDelete",
        /// Its time was over.
        Expired = "Expired",
        /// The client does not know it.
        UnknownChannel = "UnknownChannel",
    }
}

/// `ChannelTerminatedEvent`: the last document of a channel, never acknowledged.
pub fn channel_terminated_event(
    channel_id: &str,
    reason: ChannelTerminationReason,
    form: EventForm,
) -> Bytes {
    let mut out = Writer::begin(form, "ChannelTerminatedEvent", 512);
    out.element("channelId", channel_id);
    out.element("reason", reason.as_str());
    out.end()
}

/// `ErrorEvent`: the client wrote something unexpected (cti.md 7 and 9).
pub fn error_event(error_code: u32, error_message: &str, form: EventForm) -> Bytes {
    let mut out = Writer::begin(form, "ErrorEvent", 512);
    out.element("errorCode", &error_code.to_string());
    out.element("errorMessage", error_message);
    out.end()
}

/// The number on the wire of a subscription's n-th event: 1 to 2147483647, then 1 again.
pub fn wire_sequence(n: u64) -> u64 {
    n.saturating_sub(1) % MAX_SEQUENCE + 1
}

struct Writer(Vec<u8>);

impl Writer {
    fn begin(form: EventForm, type_name: &str, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        if form == EventForm::Stream {
            out.extend_from_slice(XML_DECLARATION.as_bytes());
        }
        out.extend_from_slice(ROOT.as_bytes());
        out.extend_from_slice(type_name.as_bytes());
        out.extend_from_slice(b"\">");
        Self(out)
    }
    fn element(&mut self, name: &str, text: &str) {
        let mut escaped = String::with_capacity(text.len());
        escape_into(&mut escaped, text);
        for part in ["<xsi:", name, ">", &escaped, "</xsi:", name, ">"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }
    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.element(name, text);
        }
    }
    fn end(mut self) -> Bytes {
        self.0.extend_from_slice(END.as_bytes());
        Bytes::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_to_one() {
        assert_eq!(
            [0, 1, MAX_SEQUENCE, MAX_SEQUENCE + 1, 2 * MAX_SEQUENCE + 5].map(wire_sequence),
            [1, 1, MAX_SEQUENCE, 1, 5]
        );
    }
}
