//! Xsi-Actions: profile, services, directories, call logs, calls, push registrations (xsi.md 3).

mod call_center;
mod calls;
mod conference;
mod directories;
mod logs;
mod messages;
mod profile;
mod push;
mod services;

use crate::api::{Call, Outcome, Path};
use crate::error::ApiError;
use crate::{Method, Reply};
use openadp_appserver::PhoneList;
use openadp_xsi_schema::{Document, Element, VersionBaseline, Versions};

/// The release whose interface this is.
const BASELINE: &str = "24.0";

/// Finds the resource of a path below `/v2.0/`.
pub(crate) async fn route(call: &Call<'_>, path: &Path) -> Outcome {
    match *path.names() {
        ["versions"] => versions(call),
        ["system", "services", "routepoint", "applicationcontroller", _] => application_controller(call),
        ["callcenter", _, "profile"] => call_center::profile(call, path.id(1)).await,
        ["callcenter", _, "calls"] => call_center::calls(call, path.id(1)).await,
        ["group", _, "services", "callcenter", "unavailablecodes"] => {
            call_center::unavailable_codes(call, path.id(1)).await
        }
        ["user", _, ..] => {
            let user = call.subscriber(path.id(1)).await?;
            match path.names()[2..] {
                ["profile"] => profile::profile(call, &user).await,
                ["profile", "logintoken"] => profile::login_token(call, &user).await,
                ["profile", "fac"] => profile::feature_access_codes(call, &user).await,
                ["profile", "registrations"] => profile::registrations(call, &user).await,
                ["profile", "schedule"] => profile::schedules(call, &user).await,
                ["profile", "password", "portal"] => profile::portal_password(call, &user).await,
                ["profile", "imp"] => profile::messaging(call, &user).await,
                ["profile", "device"] => profile::devices(call, &user).await,
                ["profile", "device", _] => profile::device(call, &user, path.id(4)).await,
                ["profile", "pushnotificationregistrations"] => push::all(call, &user).await,
                ["profile", "pushnotificationregistrations", _] => push::one(call, &user, path.id(4)).await,
                ["services"] => services::list(call, &user).await,
                ["services", "callcenter"] => call_center::agent(call, &user).await,
                ["services", segment] => services::one(call, &user, segment).await,
                ["services", service, below] => services::below(call, &user, service, below).await,
                ["services", service, below, _] => {
                    services::record(call, &user, service, below, path.id(5)).await
                }
                ["directories", "enterprise"] => directories::enterprise(call, &user).await,
                ["directories", "group"] => directories::group(call, &user).await,
                ["directories", "enterprisecommon"] => {
                    directories::phone_list(call, &user, PhoneList::Enterprise).await
                }
                ["directories", "groupcommon"] => {
                    directories::phone_list(call, &user, PhoneList::Group).await
                }
                ["directories", "personal"] => {
                    directories::phone_list(call, &user, PhoneList::Personal).await
                }
                ["directories", "customcontact"] => directories::custom(call, &user).await,
                ["directories", "customcontact", _] => directories::custom_one(call, &user, path.id(4)).await,
                ["directories", "calllogs"] => logs::all(call, &user).await,
                ["directories", "calllogs", kind] => logs::one(call, &user, kind).await,
                ["directories", "enhancedcalllogs"] => logs::enhanced(call, &user, None).await,
                ["directories", "enhancedcalllogs", kind] => logs::enhanced(call, &user, Some(kind)).await,
                ["voicemessagingmessages"] => messages::list(call, &user).await,
                ["voicemessagingmessages", "markallasread"] => messages::mark(call, &user, None, true).await,
                ["voicemessagingmessages", "markallasunread"] => {
                    messages::mark(call, &user, None, false).await
                }
                ["voicemessagingmessages", _] => messages::one(call, &user, path.id(3)).await,
                ["voicemessagingmessages", _, "markasread"] => {
                    messages::mark(call, &user, Some(path.id(3)), true).await
                }
                ["voicemessagingmessages", _, "markasunread"] => {
                    messages::mark(call, &user, Some(path.id(3)), false).await
                }
                ["voicemessagingmessages", _, "transcript"] => {
                    messages::transcript(call, &user, path.id(3)).await
                }
                ["calls", "messagesummary"] => messages::summary(call, &user).await,
                ["calls"] => calls::list(call, &user, path.id(1)).await,
                ["calls", "new"] => calls::dial(call, &user).await,
                ["calls", "hookstatus"] => calls::hook_status(call, &user).await,
                ["calls", "conference"] => conference::all(call, &user).await,
                ["calls", "conference", part @ ("hold" | "mute" | "talk" | "unmute")] => {
                    conference::act(call, &user, part).await
                }
                ["calls", "conference", _] => conference::one(call, &user, path.id(4)).await,
                ["calls", "conference", _, part] => {
                    conference::act_on_call(call, &user, path.id(4), part).await
                }
                ["calls", what @ ("callparkretrieve" | "callpickup" | "directedcallpickup")] => {
                    calls::pick_up(call, &user, what).await
                }
                ["calls", _] => calls::one(call, &user, path.id(3)).await,
                ["calls", _, action] => calls::act(call, &user, path.id(3), action).await,
                ["calls", _, "consulttransfer", _] => {
                    calls::consult_transfer(call, &user, path.id(3), path.id(5)).await
                }
                _ => Err(ApiError::ResourceNotFound),
            }
        }
        _ => Err(ApiError::ResourceNotFound),
    }
}

/// What release this is (xsi.md 1.2); clients use it as their first test.
pub(crate) fn versions(call: &Call<'_>) -> Outcome {
    get_only(call)?;
    let baseline = VersionBaseline { baseline: BASELINE.to_owned() };
    let versions = Versions { commands: baseline.clone(), event_packages: Some(baseline) };
    Ok(Reply::document(200, versions.to_element()))
}

/// Whether requests are served: a contact-centre client asks this as its health check (cti.md 8).
pub(crate) fn application_controller(call: &Call<'_>) -> Outcome {
    get_only(call)?;
    Ok(Reply::document(200, Element::new("ApplicationController").with(Element::text("state", "ready"))))
}

fn get_only(call: &Call<'_>) -> Result<(), ApiError> {
    if call.method == Method::Get { Ok(()) } else { Err(ApiError::MethodNotAllowed { allow: "GET" }) }
}
