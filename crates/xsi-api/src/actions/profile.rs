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
    AccessDevice, AccessDevices, AdditionalDetails, DeviceUserNamePassword, Document, Element, LoginToken,
    Patch, Profile, ProfileDetails, ServiceProvider,
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

/// One device by its line and port.
pub(super) async fn device(call: &Call<'_>, user: &UserId, line_port: &str) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.devices.devices(user).await?;
    let device = found
        .into_iter()
        .find(|device| device.line_port.eq_ignore_ascii_case(line_port))
        .ok_or(ApiError::NotFound { what: "device" })?;
    Ok(Reply::document(200, access_device(call, device).to_element().renamed("AccessDevice")))
}
