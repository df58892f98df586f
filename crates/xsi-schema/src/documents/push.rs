//! Push notification registrations (xsi.md 3.9).

use crate::field::document;
use crate::{Document, DocumentError, Element, Field, Value};

document! {
    /// `eventDetail`: an event with options. Parameter lists are not kept.
    PushEventDetail = "eventDetail" {
        /// Name of the event.
        name: String = "name",
        /// Whether it shows nothing.
        silent: Option<bool> = "silent",
        /// Whether the app may change it before it shows.
        mutable_content: Option<bool> = "mutableContent",
    }
}

document! {
    /// `pushNotificationEvents`: names, or names with options.
    PushNotificationEvents = "pushNotificationEvents" {
        /// Names.
        events: Vec<String> = "event",
        /// Names with options.
        details: Vec<PushEventDetail> = "eventDetail",
    }
}

/// `deviceToken`: a token of APNs or FCM.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DeviceToken {
    /// The token.
    pub token: String,
    /// `VoIP` or `Normal`.
    pub kind: Option<String>,
    /// Events that are pushed to it.
    pub events: PushNotificationEvents,
}

impl std::fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceToken")
            .field("kind", &self.kind)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Value for DeviceToken {
    fn to_value(&self, name: &'static str) -> Element {
        let mut element = Element::new(name);
        self.token.write("token", &mut element);
        self.kind.write("type", &mut element);
        self.events.write("pushNotificationEvents", &mut element);
        element
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        let events: Option<PushNotificationEvents> = Field::read("pushNotificationEvents", element)?;
        Ok(Self {
            token: Field::read("token", element)?,
            kind: Field::read("type", element)?,
            events: events.unwrap_or_default(),
        })
    }
}

impl Document for DeviceToken {
    const ROOT: &'static str = "deviceToken";
}

document! {
    /// `deviceTokenList`.
    DeviceTokenList = "deviceTokenList" {
        /// The tokens.
        tokens: Vec<DeviceToken> = "deviceToken",
    }
}

document! {
    /// `PushNotificationRegistration`: one app on one device.
    PushNotificationRegistration = "PushNotificationRegistration" {
        /// `com.cisco.squared` say.
        application_id: String = "applicationId",
        /// Version of the app.
        application_version: String = "applicationVersion",
        /// Unique per device, app and user.
        registration_id: String = "registrationId",
        /// `ios` or `android`.
        device_os_type: String = "deviceOSType",
        /// Version of the system.
        device_os_version: String = "deviceOSVersion",
        /// Tokens.
        device_token_list: DeviceTokenList = "deviceTokenList",
    }
}

document! {
    /// `PushNotificationRegistrations`: those of a user.
    PushNotificationRegistrations = "PushNotificationRegistrations" {
        /// The registrations.
        registrations: Vec<PushNotificationRegistration> = "pushNotificationRegistration",
    }
}
