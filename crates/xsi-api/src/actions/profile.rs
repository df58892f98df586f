//! The profile family (xsi.md 3.1).

use super::get_only;
use crate::api::{Call, Outcome};
use crate::convert::dashed;
use crate::error::ApiError;
use crate::text::percent_encode;
use crate::{Method, Reply};
use openadp_appserver as port;
use openadp_appserver::UserId;
use openadp_xsi_schema::{
    AccessDevice, AccessDevices, AdditionalDetails, DeviceUserNamePassword, Document, Element, Field as _,
    ImpProfile, LoginToken, Patch, PortalPassword, Profile, ProfileDetails, ServiceProvider,
};

/// Days that mean never (xsi.md 1.4).
const NEVER: i64 = 2_147_483_647;

/// The profile. `fac`, `registrations`, `scheduleList` and `countryCode` are always there: one client needs them.
pub(super) async fn profile(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.directory.profile(user).await?;
    let below =
        |resource: &str| Some(format!("/v2.0/user/{}/profile/{resource}", percent_encode(&found.user_id)));
    let document = Profile {
        details: details(&found),
        additional_details: additional(&found),
        password_expires_days: Some(found.password_expires_days.unwrap_or(NEVER)),
        fac: below("Fac"),
        registrations: below("Registrations"),
        schedule_list: below("Schedule"),
        portal_password_change: below("Password/Portal"),
        country_code: Some(found.country_code.clone()),
        time_zone: found.time_zone.clone(),
        ..Profile::default()
    };
    Ok(Reply::document(200, document.to_element()))
}

/// The reading of a name: the Latin one when nothing else is known (xsi.md 0, item 25).
pub(super) fn details(found: &port::Profile) -> ProfileDetails {
    ProfileDetails {
        user_id: found.user_id.clone(),
        first_name: Patch::Set(found.first_name.clone()),
        last_name: Patch::Set(found.last_name.clone()),
        hiragana_last_name: Patch::Set(found.last_name.clone()),
        hiragana_first_name: Patch::Set(found.first_name.clone()),
        group_id: Some(found.group_id.clone()),
        service_provider: Some(ServiceProvider {
            id: found.service_provider.clone(),
            is_enterprise: found.is_enterprise,
        }),
        number: found.number.as_deref().map(|number| dashed(number, &found.country_code)),
        extension: found.extension.clone(),
        ..ProfileDetails::default()
    }
}

pub(super) fn additional(found: &port::Profile) -> AdditionalDetails {
    AdditionalDetails {
        mobile: found.mobile.as_deref().map(|number| dashed(number, &found.country_code)),
        email_address: found.email_address.clone(),
        title: found.title.clone(),
        department: found.department.clone(),
        imp_id: found.imp_id.clone(),
        ..AdditionalDetails::default()
    }
}

/// The subscriber must exist, whoever asks; then a list that this application server keeps nothing for is empty.
async fn empty_list(call: &Call<'_>, user: &UserId, root: &'static str) -> Outcome {
    get_only(call)?;
    call.api.ports.directory.profile(user).await?;
    Ok(Reply::document(200, Element::new(root)))
}

/// A single-use token that proves the user a moment later (authservice.md 12). Nobody gets one of somebody else.
pub(super) async fn login_token(call: &Call<'_>, user: &UserId) -> Outcome {
    if call.method != Method::Post {
        return Err(ApiError::MethodNotAllowed { allow: "POST" });
    }
    if call.principal.id() != user.as_str() {
        return Err(ApiError::Forbidden);
    }
    let token = call.api.ports.logins.create_login_token(user).await?;
    Ok(Reply::document(200, LoginToken { token }.to_element()))
}

/// Changes the web password: one's own with the old one, that of somebody whom one administers without.
pub(super) async fn portal_password(call: &Call<'_>, user: &UserId) -> Outcome {
    if call.method != Method::Put {
        return Err(ApiError::MethodNotAllowed { allow: "PUT" });
    }
    call.may_control()?;
    let asked: PortalPassword = call.read()?;
    if call.principal.id() == user.as_str() && asked.old_password.is_none() {
        return Err(ApiError::BadDocument { reason: "oldPassword is missing".to_owned() });
    }
    let credentials = &call.api.ports.credentials;
    credentials.change_password(user, asked.old_password.as_deref(), &asked.new_password).await?;
    Ok(Reply::empty(200))
}

/// How the user is reached by messages; not assigned to who has no address for them.
pub(super) async fn messaging(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.directory.profile(user).await?;
    let address = found.imp_id.ok_or(ApiError::NotAssigned { service: "Integrated IMP" })?;
    let service = address.split_once('@').map(|(_, domain)| domain.to_owned());
    let document =
        ImpProfile { service_net_address: service, imp_user_id: Some(address), ..ImpProfile::default() };
    Ok(Reply::document(200, document.to_element()))
}

/// Feature access codes: the application server has none.
pub(super) async fn feature_access_codes(call: &Call<'_>, user: &UserId) -> Outcome {
    empty_list(call, user, "FAC").await
}

/// Schedules: the application server has none.
pub(super) async fn schedules(call: &Call<'_>, user: &UserId) -> Outcome {
    empty_list(call, user, "ScheduleUri").await
}

/// Registrations of phones: the application server registers none.
pub(super) async fn registrations(call: &Call<'_>, user: &UserId) -> Outcome {
    empty_list(call, user, "Registrations").await
}

fn access_device(call: &Call<'_>, device: port::AccessDevice) -> AccessDevice {
    let with_credentials = call.api.actions.load().return_device_credentials;
    AccessDevice {
        device_name: device.name,
        device_level: match device.level {
            port::DeviceLevel::Group => "Group",
            port::DeviceLevel::ServiceProvider => "Service Provider",
            port::DeviceLevel::System => "System",
        }
        .to_owned(),
        device_type: device.device_type,
        device_line_port: device.line_port,
        device_type_url: device.type_url,
        device_user_name_password: device
            .credentials
            .filter(|_| with_credentials)
            .map(|found| DeviceUserNamePassword { user_name: found.user_name, password: found.password }),
        allow_termination: Some(device.allow_termination),
        endpoint_type: Some("Primary".to_owned()),
        ..AccessDevice::default()
    }
}

/// The devices with the URLs of their files and the credentials for them.
pub(super) async fn devices(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.devices.devices(user).await?;
    let access_devices = found.into_iter().map(|device| access_device(call, device)).collect();
    Ok(Reply::document(200, AccessDevices { access_devices }.to_element()))
}

/// One device by its line and port; PUT says whether calls may end there.
pub(super) async fn device(call: &Call<'_>, user: &UserId, line_port: &str) -> Outcome {
    match call.method {
        Method::Get => {
            let found = call.api.ports.devices.devices(user).await?;
            let device = found
                .into_iter()
                .find(|device| device.line_port.eq_ignore_ascii_case(line_port))
                .ok_or(ApiError::NotFound { what: "device" })?;
            Ok(Reply::document(200, access_device(call, device).to_element().renamed("AccessDevice")))
        }
        Method::Put => {
            call.may_control()?;
            let bad = |reason: String| ApiError::BadDocument { reason };
            let element = call.document("AccessDevice")?;
            if !element.name.eq_ignore_ascii_case("AccessDevice") {
                return Err(bad("the document is not an AccessDevice".to_owned()));
            }
            // All else about a device is the operator's.
            let allow = bool::read("allowTermination", element).map_err(|error| bad(error.to_string()))?;
            call.api.ports.devices.allow_termination(user, line_port, allow).await?;
            Ok(Reply::empty(200))
        }
        Method::Delete | Method::Post => Err(ApiError::MethodNotAllowed { allow: "GET, PUT" }),
    }
}
