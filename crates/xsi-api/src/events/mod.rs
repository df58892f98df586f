//! Xsi-Events: channels, channel sets, subscriptions, event responses (xsi.md 5, cti.md 6 and 7).

mod channel;
mod contact;
mod lifetime;
mod response;
mod subscription;

use crate::api::{Call, Outcome, Path};
use crate::error::ApiError;
use crate::{Method, actions};
use openadp_appserver::SubscriptionTarget;

pub(crate) use channel::open;
pub(crate) use contact::Poster;

/// Finds the resource of a path below `/v2.0/`.
pub(crate) async fn route(call: &Call<'_>, path: &Path) -> Outcome {
    match *path.names() {
        ["versions"] => actions::versions(call),
        // Opening has a way of its own; a transport that sends it here cannot stream.
        ["channel"] => match call.method {
            Method::Post => Err(ApiError::Unsupported { what: "opening a channel here" }),
            _ => Err(ApiError::MethodNotAllowed { allow: "POST" }),
        },
        ["channel", "eventresponse"] => response::acknowledge(call).await,
        ["channel", _, "heartbeat"] => channel::heartbeat(call, path.id(1)).await,
        // An old client doubles the id (xsi.md 5.4).
        ["channel", _] => channel::one(call, path.id(1)).await,
        ["channel", first, second] if first == second => channel::one(call, path.id(1)).await,
        ["channelset", _] => channel::set(call, path.id(1)).await,
        ["subscription"] => subscription::list(call).await,
        ["subscription", _] => subscription::one(call, path.id(1)).await,
        ["user", _] | ["user", _, "subscription"] => {
            let user = call.subscriber(path.id(1)).await?;
            subscription::create(call, SubscriptionTarget::User(user)).await
        }
        ["enterprise" | "serviceprovider", _] | ["enterprise" | "serviceprovider", _, "subscription"] => {
            subscription::create(
                call,
                SubscriptionTarget::ServiceProvider { provider: path.id(1).to_owned() },
            )
            .await
        }
        ["enterprise" | "serviceprovider", _, "group", _]
        | ["enterprise" | "serviceprovider", _, "group", _, "subscription"] => {
            let target =
                SubscriptionTarget::Group { provider: path.id(1).to_owned(), group: path.id(3).to_owned() };
            subscription::create(call, target).await
        }
        ["group", _] | ["group", _, "subscription"] => subscription::create_for_group(call, path.id(1)).await,
        ["system"] | ["system", "subscription"] => {
            subscription::create(call, SubscriptionTarget::System).await
        }
        ["system", "services", "routepoint", "applicationcontroller", _] => {
            actions::application_controller(call)
        }
        _ => Err(ApiError::ResourceNotFound),
    }
}
