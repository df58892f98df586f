//! The profile family (xsi.md 3.1).

use crate::field::document;
use crate::{DocumentError, Element, Patch, Value};

/// `serviceProvider`: its id, and whether it is an enterprise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceProvider {
    /// Id.
    pub id: String,
    /// Whether it is an enterprise.
    pub is_enterprise: bool,
}

impl Value for ServiceProvider {
    fn to_value(&self, name: &'static str) -> Element {
        Element::text(name, self.id.clone())
            .with_attribute("isEnterprise", if self.is_enterprise { "true" } else { "false" })
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(Self {
            id: element.trimmed_text().to_owned(),
            is_enterprise: element
                .attribute("isEnterprise")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
        })
    }
}

document! {
    /// `nameDialingName`.
    NameDialingName = "nameDialingName" {
        /// Last name.
        last_name: String = "nameDialingLastName",
        /// First name.
        first_name: String = "nameDialingFirstName",
    }
}

document! {
    /// `details` of a profile.
    ProfileDetails = "details" {
        /// User id.
        user_id: String = "userId",
        /// Id of an outside system.
        external_id: Option<String> = "externalId",
        /// First name.
        first_name: Patch<String> = "firstName",
        /// Last name.
        last_name: Patch<String> = "lastName",
        /// Last name in kana; the Latin name where there is none. The spelling is the wire's.
        hiragana_last_name: Patch<String> = "hiranganaLastName",
        /// First name in kana.
        hiragana_first_name: Patch<String> = "hiranganaFirstName",
        /// Name for dialling by name.
        name_dialing_name: Option<NameDialingName> = "nameDialingName",
        /// Group.
        group_id: Option<String> = "groupId",
        /// Service provider or enterprise.
        service_provider: Option<ServiceProvider> = "serviceProvider",
        /// Number with a dash after the country code, `+1-5550100123`.
        number: Option<String> = "number",
        /// Extension.
        extension: Option<String> = "extension",
    }
}

document! {
    /// `additionalDetails` of profiles and directory entries.
    AdditionalDetails = "additionalDetails" {
        /// Mobile number.
        mobile: Option<String> = "mobile",
        /// Id at Yahoo.
        yahoo_id: Option<String> = "yahooId",
        /// Pager.
        pager: Option<String> = "pager",
        /// E-mail address.
        email_address: Option<String> = "emailAddress",
        /// Job title.
        title: Option<String> = "title",
        /// Location.
        location: Option<String> = "location",
        /// Address, first line.
        address_line1: Option<String> = "addressLine1",
        /// Address, second line.
        address_line2: Option<String> = "addressLine2",
        /// City.
        city: Option<String> = "city",
        /// State or province.
        state: Option<String> = "state",
        /// Postal code.
        zip: Option<String> = "zip",
        /// Country.
        country: Option<String> = "country",
        /// Department.
        department: Option<String> = "department",
        /// Id for messaging and presence.
        imp_id: Option<String> = "impId",
        /// Conference bridge.
        bridge_id: Option<String> = "bridgeId",
        /// Room.
        room_id: Option<String> = "roomId",
        /// Name of a virtual service user.
        service_name: Option<String> = "serviceName",
        /// Location dialling code.
        location_dialing_code: Option<String> = "locationDialingCode",
    }
}

document! {
    /// `Profile`.
    Profile = "Profile" {
        /// Who it is.
        details: ProfileDetails = "details",
        /// How to reach them otherwise.
        additional_details: AdditionalDetails = "additionalDetails",
        /// Days until the password expires; 2147483647 for never.
        password_expires_days: Option<i64> = "passwordExpiresDays",
        /// URI of the feature access codes, from `/v2.0` on; so are the next three.
        fac: Option<String> = "fac",
        /// URI of the registrations.
        registrations: Option<String> = "registrations",
        /// URI of the schedules.
        schedule_list: Option<String> = "scheduleList",
        /// URI for changing the portal password.
        portal_password_change: Option<String> = "portalPasswordChange",
        /// Country code, without `+`.
        country_code: Option<String> = "countryCode",
        /// National prefix.
        national_prefix: Option<String> = "nationalPrefix",
        /// Time zone, `Europe/London` say.
        time_zone: Option<String> = "timeZone",
        /// Time zone for people.
        time_zone_display_name: Option<String> = "timeZoneDisplayName",
    }
}

/// `deviceUserNamePassword`: what a soft client proves itself with at the device management.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DeviceUserNamePassword {
    /// User name.
    pub user_name: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for DeviceUserNamePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceUserNamePassword").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

impl Value for DeviceUserNamePassword {
    fn to_value(&self, name: &'static str) -> Element {
        Element::new(name)
            .with(Element::text("userName", self.user_name.clone()))
            .with(Element::text("password", self.password.clone()))
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(Self {
            user_name: crate::Field::read("userName", element)?,
            password: crate::Field::read("password", element)?,
        })
    }
}

document! {
    /// `accessDevice`.
    AccessDevice = "accessDevice" {
        /// Name.
        device_name: String = "deviceName",
        /// `System`, `Service Provider` or `Group`.
        device_level: String = "deviceLevel",
        /// Type, `Business Communicator - PC` say.
        device_type: String = "deviceType",
        /// Line and port.
        device_line_port: String = "deviceLinePort",
        /// Base URL of its files, with a slash at the end.
        device_type_url: Option<String> = "deviceTypeUrl",
        /// Credentials, where the operator lets them out.
        device_user_name_password: Option<DeviceUserNamePassword> = "deviceUserNamePassword",
        /// Version of the device.
        version: Option<String> = "version",
        /// Whether calls may end there.
        allow_termination: Option<bool> = "allowTermination",
        /// `Primary`, `Shared Call Appearance` and so on.
        endpoint_type: Option<String> = "endpointType",
    }
}

document! {
    /// `AccessDevices`.
    AccessDevices = "AccessDevices" {
        /// The devices.
        access_devices: Vec<AccessDevice> = "accessDevice",
    }
}

/// `LoginToken`: a single-sign-on token.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LoginToken {
    /// The token.
    pub token: String,
}

impl std::fmt::Debug for LoginToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginToken").finish_non_exhaustive()
    }
}

impl Value for LoginToken {
    fn to_value(&self, name: &'static str) -> Element {
        Element::new(name).with(Element::text("token", self.token.clone()))
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        Ok(Self { token: crate::Field::read("token", element)? })
    }
}

impl crate::Document for LoginToken {
    const ROOT: &'static str = "LoginToken";
}

document! {
    /// `IMPProfile`: how somebody is reached by messages.
    ImpProfile = "IMPProfile" {
        /// Host of the service.
        service_net_address: Option<String> = "serviceNetAddress",
        /// Its port.
        service_port: Option<u16> = "servicePort",
        /// Address for messages.
        imp_user_id: Option<String> = "impUserId",
        /// URL for browsers.
        bosh_url: Option<String> = "boshURL",
    }
}

/// `Portal`: a change of the web password.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PortalPassword {
    /// The password until now; whoever administers the account may leave it out.
    pub old_password: Option<String>,
    /// The new one.
    pub new_password: String,
}

impl std::fmt::Debug for PortalPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortalPassword").finish_non_exhaustive()
    }
}

impl Value for PortalPassword {
    fn to_value(&self, name: &'static str) -> Element {
        let mut element = Element::new(name);
        crate::Field::write(&self.old_password, "oldPassword", &mut element);
        element.with(Element::text("newPassword", self.new_password.clone()))
    }
    fn from_value(element: &Element) -> Result<Self, DocumentError> {
        // To the letter: blanks around a password belong to it.
        let text = |name: &'static str| match element.child(name).map(|child| &child.content) {
            Some(crate::Content::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let new_password = text("newPassword").ok_or(DocumentError::Missing { element: "newPassword" })?;
        Ok(Self { old_password: text("oldPassword"), new_password })
    }
}

impl crate::Document for PortalPassword {
    const ROOT: &'static str = "Portal";
}
