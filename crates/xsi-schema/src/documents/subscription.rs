//! Subscriptions (xsi.md 5.5).

use crate::field::{document, enumeration};

enumeration! {
    /// What kind of thing a subscription is about.
    TargetIdType, lenient "a target type" {
        /// One user.
        User = "User",
        /// A group.
        Group = "Group",
        /// A service provider or enterprise.
        ServiceProvider = "ServiceProvider",
        /// Everybody.
        System = "System",
    }
}

document! {
    /// `eventPackageList`.
    EventPackageList = "eventPackageList" {
        /// Names of packages; see [`crate::EventPackage`].
        event: Vec<String> = "event",
    }
}

document! {
    /// `httpContact`.
    HttpContact = "httpContact" {
        /// Where events are posted to.
        uri: String = "uri",
    }
}

document! {
    /// `Subscription`. The event package stays text, so that an unknown one can be answered as such.
    Subscription = "Subscription" {
        /// Id, a UUID.
        subscription_id: Option<String> = "subscriptionId",
        /// Shared id.
        shared_subscription_id: Option<String> = "sharedSubscriptionId",
        /// Owner, where it is a user.
        subscriber_id: Option<String> = "subscriberId",
        /// Owner, where it is a client application.
        client_id: Option<String> = "clientId",
        /// Kind of target; a text that is none counts as absent, since what a request says is ignored.
        target_id_type: Option<TargetIdType> = "targetIdType",
        /// Service provider or enterprise of a group.
        target_grp_parent_id: Option<String> = "targetGrpParentId",
        /// Target.
        target_id: Option<String> = "targetId",
        /// Part of the target.
        target_sub_id: Option<String> = "targetSubId",
        /// Event package.
        event: Option<String> = "event",
        /// Several event packages.
        event_package_list: Option<EventPackageList> = "eventPackageList",
        /// Seconds; 2147483647 for never.
        expires: Option<i64> = "expires",
        /// Delivery by HTTP.
        http_contact: Option<HttpContact> = "httpContact",
        /// Delivery by the channels of a set; wins over `httpContact`.
        channel_set_id: Option<String> = "channelSetId",
        /// Application, named by the client.
        application_id: Option<String> = "applicationId",
    }
}

document! {
    /// `SubscriptionList`.
    SubscriptionList = "SubscriptionList" {
        /// The subscriptions.
        subscriptions: Vec<Subscription> = "subscription",
    }
}
