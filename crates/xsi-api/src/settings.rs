//! The settings of Xsi-Actions and Xsi-Events, declared once.

use crate::limits::{self, CommunicationDefaults, OverloadControl};
use openadp_settings::{Context, Kind, Module, Parameter, Settings, Tree, context};

context! {
    /// General behaviour of Xsi-Actions.
    pub struct ActionsGeneral = Context::single(Tree::Adp, "Applications/Xsi-Actions/GeneralSettings") => {
        /// Whether the id of a client's request (X-Request-Id) follows the call that it starts: its caller sees it as
        /// networkCallId, and the other side where AS_CLI/Interface/SIP says so.
        pub enable_call_correlation_id: bool =
            Parameter::new("enableCallCorrelationID", Kind::Boolean).default("false");
        /// Whether a client application (known by its certificate) may start and control calls and change settings.
        /// Without it, it may read and subscribe.
        pub client_application_control: bool =
            Parameter::new("clientApplicationControl", Kind::Boolean).default("false");
        /// Whether the answer to profile/device carries the devices' user names and passwords.
        pub return_device_credentials: bool =
            Parameter::new("returnDeviceCredentials", Kind::Boolean).default("true");
    }
}

context! {
    /// Page sizes of directories and call logs.
    pub struct ActionsPaging = Context::single(Tree::Adp, "Applications/Xsi-Actions/Paging") => {
        /// Entries of a page when the client does not say.
        pub default_page_size: usize =
            Parameter::new("defaultPageSize", Kind::integer(1, 1000)).default("50").unit("entries");
        /// Most entries of a page, whatever the client asks for.
        pub available_user_max_limit: usize =
            Parameter::new("availableUserMaxLimit", Kind::integer(1, 10_000)).default("100").unit("entries");
    }
}

context! {
    /// Channels and subscriptions of Xsi-Events and CTI.
    pub struct EventsGeneral = Context::single(Tree::Adp, "Applications/Xsi-Events/GeneralSettings") => {
        /// Name under which the application server knows these nodes; the same on all of them. Each subscription keeps the
        /// one that it was made under, and its events go to nodes of that name only: a change ends all subscriptions, and
        /// their clients are told so.
        pub call_control_application_name: String = Parameter::new("callControlApplicationName", Kind::text(1, 80))
            .default("com.broadsoft.xsi-events");
        /// Time between two heartbeats of the server on a channel.
        pub heartbeat_period_in_seconds: u32 =
            Parameter::new("heartbeatPeriodInSeconds", Kind::integer(1, 300)).default("15").unit("seconds");
        /// A channel whose client sends no heartbeat for this long ends with NonResponsiveChannel. Not on CTI, where the
        /// connection says it.
        pub client_heartbeat_timeout_in_seconds: u32 =
            Parameter::new("clientHeartbeatTimeoutInSeconds", Kind::integer(5, 3600)).default("60").unit("seconds");
        /// An event that is not answered for this long is tried on the next channel of the set; when none is left, the
        /// channels end with NonResponsiveChannel.
        pub notification_timeout_in_seconds: u32 =
            Parameter::new("notificationTimeoutInSeconds", Kind::integer(1, 300)).default("10").unit("seconds");
        /// How long subscriptions live on without any channel of their set.
        pub channel_set_grace_period_in_seconds: u32 =
            Parameter::new("channelSetGracePeriodInSeconds", Kind::integer(1, 86_400)).default("3600").unit("seconds");
        /// Longest lifetime that a channel or subscription is given, short of 2147483647, which means for ever.
        pub maximum_expires_in_seconds: u32 =
            Parameter::new("maximumExpiresInSeconds", Kind::integer(3600, 2_147_483_646)).default("86400").unit("seconds");
        /// Most channels in one channel set.
        pub max_channels_per_set: usize = Parameter::new("maxChannelsPerSet", Kind::integer(1, 1000)).default("20");
        /// Most channels of one user or client application.
        pub max_channels_per_user: usize =
            Parameter::new("maxChannelsPerUser", Kind::integer(1, 100_000)).default("100");
        /// Most subscriptions of one user. Client applications are not limited.
        pub max_subscriptions_per_user: usize =
            Parameter::new("maxSubscriptionsPerUser", Kind::integer(1, 1_000_000)).default("10000");
    }
}

context! {
    /// How events of the application server are handled.
    pub struct EventsIntegration = Context::single(Tree::Adp, "Applications/Xsi-Events/BWIntegration") => {
        /// Most events that wait: not written yet or not answered yet on one channel, or kept for one subscription while
        /// its set has no channel. A channel that has more ends with NonResponsiveChannel; a subscription that has more
        /// gets one event with the full state instead.
        pub event_queue_size: usize =
            Parameter::new("eventQueueSize", Kind::integer(1, 100_000)).default("2000").unit("events");
        /// How much of what the delivery of events needs of the application server (full states, numbers, channels and
        /// subscriptions that are over) is asked for at once. Events themselves are handled in the order of the feed.
        pub event_handler_thread_count: usize =
            Parameter::new("eventHandlerThreadCount", Kind::integer(1, 1000)).default("50");
    }
}

context! {
    /// Events that are posted to addresses of clients (httpContact) in place of channels. Only what AllowedTargets names is
    /// posted to.
    pub struct HttpContact = Context::single(Tree::Adp, "Applications/Xsi-Events/HttpContact") => {
        /// Time for one attempt, from the connection to the answer.
        pub timeout_in_milliseconds: u32 =
            Parameter::new("timeoutInMilliseconds", Kind::integer(100, 10_000)).default("2000").unit("milliseconds");
        /// Attempts for one event. When none is answered with 2xx the event is dropped, and a gap in the numbers shows it.
        pub maximum_attempts: u32 = Parameter::new("maximumAttempts", Kind::integer(1, 10)).default("3");
    }
}

context! {
    /// Hosts that events may be posted to. Whoever may subscribe can make this server send requests there, so list none that
    /// trusts this server for its address.
    pub struct AllowedTarget = Context::table(Tree::Adp, "Applications/Xsi-Events/HttpContact/AllowedTargets") => {
        /// Name or address, as clients write it.
        pub host: String = Parameter::new("host", Kind::Host).header("Host").key().left();
        /// The only port; any where none is given.
        pub port: Option<u16> = Parameter::new("port", Kind::integer(1, 65_535)).header("Port");
        /// Whether events may go there without TLS, in clear.
        pub allow_plain_http: bool =
            Parameter::new("allowPlainHttp", Kind::Boolean).header("Allow Plain HTTP").default("false");
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("xsi-api")
    .contexts(&[
        ActionsGeneral::CONTEXT,
        ActionsPaging::CONTEXT,
        EventsGeneral::CONTEXT,
        EventsIntegration::CONTEXT,
        HttpContact::CONTEXT,
        AllowedTarget::CONTEXT,
        CommunicationDefaults::CONTEXT,
        OverloadControl::CONTEXT,
    ])
    .checks(&[limits::check]);

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_settings::{Registry, Store};

    #[test]
    fn defaults_read_as_documented() {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        assert_eq!(store.get::<EventsGeneral>().call_control_application_name, "com.broadsoft.xsi-events");
        assert_eq!(store.get::<EventsIntegration>().event_queue_size, 2000);
        assert_eq!(store.get::<ActionsPaging>().default_page_size, 50);
    }
}
