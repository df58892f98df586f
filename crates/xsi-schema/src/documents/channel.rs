//! Channels and event responses (xsi.md 5.2, 5.4, 5.7).

use crate::field::document;

document! {
    /// `Channel`.
    Channel = "Channel" {
        /// Id, a UUID; ignored in requests that create.
        channel_id: Option<String> = "channelId",
        /// Set, named by the client.
        channel_set_id: Option<String> = "channelSetId",
        /// Lower is preferred; 1 where absent.
        priority: Option<u32> = "priority",
        /// Share within a priority; 50 where absent.
        weight: Option<u32> = "weight",
        /// Seconds; 2147483647 for never.
        expires: Option<i64> = "expires",
        /// Application, named by the client.
        application_id: Option<String> = "applicationId",
    }
}

document! {
    /// `ChannelSet`: the channels of a set.
    ChannelSet = "ChannelSet" {
        /// The channels.
        channels: Vec<Channel> = "channel",
    }
}

document! {
    /// `EventResponse`: the acknowledgement of an event.
    EventResponse = "EventResponse" {
        /// Id of the event.
        event_id: String = "eventID",
        /// 200, 400, 404, 481 or 500.
        status_code: i32 = "statusCode",
        /// For people.
        reason: Option<String> = "reason",
    }
}
