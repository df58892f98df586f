//! Subscriptions (xsi.md 5.5, cti.md 6.2).

use super::contact;
use super::lifetime::{grant, remaining};
use crate::api::{Call, MAX_ID, Outcome, own_provider};
use crate::delivery::{Package, Packages, Refused, SetKey};
use crate::error::ApiError;
use crate::{Method, Reply};
use openadp_appserver::{AdminLevel, Owner, Principal, SubscriptionRecord, SubscriptionTarget};
use openadp_xsi_schema::{
    Document, EventPackageList, HttpContact, Subscription, SubscriptionList, TargetIdType,
};
use uuid::Uuid;

/// Whether the principal may watch a target that is no user (cti.md 4.1 and 4.3: below the account; the system needs a
/// system administrator; a client application may watch everything).
fn may_watch(principal: &Principal, target: &SubscriptionTarget) -> bool {
    match (principal, target) {
        // The path's user was checked before.
        (_, SubscriptionTarget::User(_)) | (Principal::ClientApplication { .. }, _) => true,
        (Principal::Subscriber { .. }, _) => false,
        (Principal::Administrator { level, .. }, target) => match (level, target) {
            (AdminLevel::System, _) => true,
            (
                AdminLevel::ServiceProvider { provider: own },
                SubscriptionTarget::ServiceProvider { provider } | SubscriptionTarget::Group { provider, .. },
            ) => own == provider,
            (
                AdminLevel::Group { provider: own, group: own_group },
                SubscriptionTarget::Group { provider, group },
            ) => own == provider && own_group == group,
            (AdminLevel::ServiceProvider { .. } | AdminLevel::Group { .. }, _) => false,
        },
    }
}

/// Why somebody may not watch a target: what is outside of the own enterprise looks like what is not there.
fn outside(principal: &Principal, target: &SubscriptionTarget) -> ApiError {
    let (provider, what) = match target {
        SubscriptionTarget::User(_) | SubscriptionTarget::System => return ApiError::Forbidden,
        SubscriptionTarget::ServiceProvider { provider } => (provider, "service provider"),
        SubscriptionTarget::Group { provider, .. } => (provider, "group"),
    };
    if own_provider(principal) == Some(provider) { ApiError::Forbidden } else { ApiError::NotFound { what } }
}

/// A group without its service provider: the one of the account (xsi.md 5.5).
pub(super) async fn create_for_group(call: &Call<'_>, group: &str) -> Outcome {
    let provider = match call.principal {
        Principal::Administrator { level: AdminLevel::Group { provider, .. }, .. }
        | Principal::Administrator { level: AdminLevel::ServiceProvider { provider }, .. }
        | Principal::Subscriber { provider, .. } => provider.clone(),
        Principal::Administrator { level: AdminLevel::System, .. } | Principal::ClientApplication { .. } => {
            return Err(ApiError::NotFound { what: "group" });
        }
    };
    create(call, SubscriptionTarget::Group { provider, group: group.to_owned() }).await
}

/// Makes a subscription.
pub(super) async fn create(call: &Call<'_>, target: SubscriptionTarget) -> Outcome {
    if call.method != Method::Post {
        return Err(ApiError::MethodNotAllowed { allow: "POST" });
    }
    if !may_watch(call.principal, &target) {
        return Err(outside(call.principal, &target));
    }
    let asked: Subscription = call.read()?;
    let packages = packages(&asked)?;
    let (set, http_contact) = match (asked.channel_set_id.as_deref().map(str::trim), &asked.http_contact) {
        (Some(set), _)
            if !set.is_empty() && set.chars().count() <= MAX_ID && !set.chars().any(char::is_control) =>
        {
            (set.to_owned(), None)
        }
        (Some(_), _) => {
            return Err(ApiError::BadDocument { reason: "channelSetId is empty or too long".to_owned() });
        }
        (None, Some(wanted)) => {
            let url = contact::parse(&wanted.uri)?;
            // An outgoing connection that no operator allowed.
            if !contact::is_allowed(&url, &call.api.hub.allowed_targets()) {
                return Err(ApiError::Unsupported { what: "this httpContact" });
            }
            (contact::set_name(url.as_str()), Some(url.to_string()))
        }
        (None, None) => return Err(ApiError::BadDocument { reason: "channelSetId is missing".to_owned() }),
    };
    let application_id = asked.application_id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    if application_id.as_ref().is_some_and(|id| id.chars().count() > MAX_ID) {
        return Err(ApiError::BadDocument { reason: "applicationId is too long".to_owned() });
    }
    exists(call, &target).await?;

    call.api.hub.ready().await;
    let owner = call.owner();
    let key = SetKey { owner: owner.clone(), name: set.as_str().into() };
    // The store is asked only when the set is not known here yet: another process may just have opened the channel.
    if http_contact.is_none() && call.api.hub.look(|machine| machine.channels_in(&key)) == 0 {
        let channels = call.api.ports.subscriptions.channels().await?;
        if !channels.iter().any(|record| record.owner == owner && record.channel_set_id == set) {
            return Err(ApiError::ChannelSetNotFound);
        }
    }
    let settings = call.api.hub.general();
    if matches!(owner, Owner::User(_))
        && call.api.hub.look(|machine| machine.subscriptions_of(&owner))
            >= settings.max_subscriptions_per_user
    {
        return Err(ApiError::LimitReached { what: "subscriptions" });
    }
    let life = grant(call.api.hub.now(), asked.expires, settings.maximum_expires_in_seconds);
    let record = SubscriptionRecord {
        subscription_id: Uuid::new_v4().to_string(),
        owner,
        target,
        package: packages.to_record(),
        channel_set_id: set,
        http_contact,
        application_id,
        call_control: settings.call_control_application_name.clone(),
        expires_at: life.expires_at,
        sequence_reserved: 0,
    };
    let replaced = call.api.ports.subscriptions.add_subscription(&record).await?;
    let answer = Subscription {
        subscription_id: Some(record.subscription_id.clone()),
        expires: Some(life.seconds),
        ..Subscription::default()
    };
    let mut reply = Reply::document(200, answer.to_element());
    reply.after = call.api.hub.subscribed(record, replaced.as_ref());
    Ok(reply)
}

fn packages(asked: &Subscription) -> Result<Packages, ApiError> {
    let listed = asked.event_package_list.iter().flat_map(|list| list.event.iter());
    let packages = asked
        .event
        .iter()
        .chain(listed)
        .map(|name| {
            Package::parse(name).map_err(|refused| {
                // What the client sent goes back cut short, so that an answer stays small.
                let name = name.trim().chars().take(60).collect();
                match refused {
                    Refused::NotOffered => ApiError::PackageNotOffered { name },
                    Refused::Unknown => ApiError::PackageUnknown { name },
                }
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if packages.is_empty() {
        return Err(ApiError::BadDocument { reason: "event is missing".to_owned() });
    }
    Ok(Packages::new(packages))
}

async fn exists(call: &Call<'_>, target: &SubscriptionTarget) -> Result<(), ApiError> {
    let directory = &call.api.ports.directory;
    let (found, what) = match target {
        SubscriptionTarget::User(_) | SubscriptionTarget::System => (true, "system"),
        SubscriptionTarget::ServiceProvider { provider } => {
            (directory.organisation_exists(provider, None).await?, "service provider")
        }
        SubscriptionTarget::Group { provider, group } => {
            (directory.organisation_exists(provider, Some(group)).await?, "group")
        }
    };
    if found { Ok(()) } else { Err(ApiError::NotFound { what }) }
}

/// The principal's own subscription.
async fn own(call: &Call<'_>, id: &str) -> Result<SubscriptionRecord, ApiError> {
    let record = call.api.ports.subscriptions.subscription(id).await?;
    let here = record.call_control == call.api.hub.general().call_control_application_name;
    if here && record.owner == call.owner() { Ok(record) } else { Err(ApiError::SubscriptionNotFound) }
}

/// One subscription.
pub(super) async fn one(call: &Call<'_>, id: &str) -> Outcome {
    let record = own(call, id).await?;
    match call.method {
        Method::Get => Ok(Reply::document(200, describe(&record, call.api.hub.now()).to_element())),
        Method::Put => {
            let asked: Subscription = call.read()?;
            let maximum = call.api.hub.general().maximum_expires_in_seconds;
            let life = grant(call.api.hub.now(), asked.expires, maximum);
            call.api.ports.subscriptions.refresh_subscription(id, life.expires_at).await?;
            let answer = Subscription {
                subscription_id: Some(record.subscription_id),
                expires: Some(life.seconds),
                ..Subscription::default()
            };
            let mut reply = Reply::document(200, answer.to_element());
            reply.after = call.api.hub.refreshed(id, life.expires_at);
            Ok(reply)
        }
        Method::Delete => {
            call.api.ports.subscriptions.remove_subscription(id).await?;
            call.api.hub.step(|machine, now| machine.unsubscribe(now, id, true));
            Ok(Reply::empty(200))
        }
        Method::Post => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET, PUT" }),
    }
}

/// All subscriptions of the principal, filtered by the query (cti.md 12, GetSubscriptionsRequest).
pub(super) async fn list(call: &Call<'_>) -> Outcome {
    if call.method != Method::Get {
        return Err(ApiError::MethodNotAllowed { allow: "GET" });
    }
    let owner = call.owner();
    if call.query.get("subscriberId").is_some_and(|id| !id.eq_ignore_ascii_case(owner.id())) {
        return Err(ApiError::Forbidden);
    }
    let now = call.api.hub.now();
    let general = call.api.hub.general();
    let fits = |record: &SubscriptionRecord| {
        let (kind, target, parent) = target_parts(&record.target);
        let same = |name: &str, value: Option<&str>| {
            call.query
                .get(name)
                .is_none_or(|wanted| value.is_some_and(|value| value.eq_ignore_ascii_case(wanted)))
        };
        record.owner == owner
            && record.call_control == general.call_control_application_name
            && same("targetId", target)
            && same("targetGrpParentId", parent)
            && same("targetEntityType", Some(kind))
            && same("extAppId", record.application_id.as_deref())
            && call
                .query
                .get("event")
                .is_none_or(|wanted| record.package.split(',').any(|name| name == wanted))
    };
    let records = call.api.ports.subscriptions.subscriptions().await?;
    let subscriptions =
        records.iter().filter(|record| fits(record)).map(|record| describe(record, now)).collect();
    Ok(Reply::document(200, SubscriptionList { subscriptions }.to_element()))
}

/// Type, id and parent of a target, as documents spell them.
fn target_parts(target: &SubscriptionTarget) -> (&'static str, Option<&str>, Option<&str>) {
    match target {
        SubscriptionTarget::Group { provider, group } => ("Group", Some(group), Some(provider)),
        SubscriptionTarget::ServiceProvider { provider } => ("ServiceProvider", Some(provider), None),
        SubscriptionTarget::System => ("System", None, None),
        SubscriptionTarget::User(user) => ("User", Some(user.as_str()), None),
    }
}

fn describe(record: &SubscriptionRecord, now: i64) -> Subscription {
    let (kind, target, parent) = target_parts(&record.target);
    let packages: Vec<String> = record.package.split(',').map(str::to_owned).collect();
    let (event, event_package_list) = match packages.as_slice() {
        [one] => (Some(one.clone()), None),
        _ => (None, Some(EventPackageList { event: packages })),
    };
    let (subscriber_id, client_id) = match &record.owner {
        Owner::Client(client) => (None, Some(client.clone())),
        Owner::User(user) => (Some(user.to_string()), None),
    };
    Subscription {
        subscription_id: Some(record.subscription_id.clone()),
        subscriber_id,
        client_id,
        target_id_type: TargetIdType::parse(kind),
        target_grp_parent_id: parent.map(str::to_owned),
        target_id: target.map(str::to_owned),
        event,
        event_package_list,
        expires: Some(remaining(now, record.expires_at)),
        http_contact: record.http_contact.clone().map(|uri| HttpContact { uri }),
        channel_set_id: Some(record.channel_set_id.clone()).filter(|_| record.http_contact.is_none()),
        application_id: record.application_id.clone(),
        ..Subscription::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_appserver::{Account, AccountKind, UserId};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test says who asks")]
    fn accounts_watch_what_lies_below_them() {
        let provider = |name: &str| SubscriptionTarget::ServiceProvider { provider: name.to_owned() };
        let group =
            |name: &str| SubscriptionTarget::Group { provider: "acme".to_owned(), group: name.to_owned() };
        let account = |user: &str, kind| {
            Principal::of(Account { user_id: UserId::new(user), kind, password_expires_days: None })
        };
        let admin = |level| account("admin@lab.example", AccountKind::Administrator(level));
        let system = admin(AdminLevel::System);
        let acme = admin(AdminLevel::ServiceProvider { provider: "acme".to_owned() });
        let north = admin(AdminLevel::Group { provider: "acme".to_owned(), group: "north".to_owned() });
        let alice = account(
            "alice@lab.example",
            AccountKind::Subscriber { provider: "acme".to_owned(), group: "north".to_owned() },
        );
        let client = Principal::client_application("cti.lab.invalid".to_owned());
        for (who, target, allowed) in [
            (&system, SubscriptionTarget::System, true),
            (&system, provider("acme"), true),
            (&acme, SubscriptionTarget::System, false),
            (&acme, provider("acme"), true),
            (&acme, provider("other"), false),
            (&acme, group("south"), true),
            (&north, provider("acme"), false),
            (&north, group("north"), true),
            (&north, group("south"), false),
            (&alice, group("north"), false),
            (&alice, SubscriptionTarget::System, false),
            (&client, SubscriptionTarget::System, true),
        ] {
            assert_eq!(may_watch(who, &target), allowed, "{who:?} {target:?}");
        }
    }
}
