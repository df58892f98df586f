//! What event clients hold open, and what they are told: `ADP_CLI/Applications/Xsi-Events/{Channels,ChannelSets,Subscriptions}`
//! and `ADP_CLI/Monitoring/Events`.
//!
//! Channels and subscriptions are rows that every process of the node follows, so whatever is taken out here ends in the
//! process that serves it.

use super::table::table;
use super::{Done, argument, needed, query, with_store};
use crate::Shared;
use crate::db::fault;
use crate::feed::Feed;
use crate::subscriptions::Subscriptions as Store;
use openadp_appserver::{
    ChannelRecord, Event, EventFeed as _, EventSubscriptions as _, FeedEvent, PortError, PortResult,
    SubscriptionTarget,
};
use openadp_settings::{Action, ActionContext, ActionOutput, Context, Kind, Parameter, Tree, context};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

/// Most rows that are listed.
const MOST: usize = 10_000;
/// Events of one answer.
const MOST_EVENTS: usize = 500;
/// How long a follower waits for something new, and how often it looks.
const PATIENCE: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(50);

const OWNER: Parameter = Parameter::new("owner", Kind::text(0, 161)).default("").mandatory().help(
    "User id of the subscriber or administrator, or the client's common name; all where none is given.",
);

context! {
    /// Event channels: connections that clients hold open for events.
    pub struct Channels = Context::actions_only(Tree::Adp, "Applications/Xsi-Events/Channels").actions(&[
        Action { name: "get", help: "Lists the channels of all owners, or of one.", arguments: &[OWNER], run: channels },
        Action {
            name: "terminate",
            help: "Ends a channel: its client gets a ChannelTerminatedEvent, and its connection closes.",
            arguments: &[CHANNEL],
            run: end_channel,
        },
    ]) => {}
}

context! {
    /// Channel sets: channels of one owner that share their subscriptions.
    pub struct ChannelSets = Context::actions_only(Tree::Adp, "Applications/Xsi-Events/ChannelSets").actions(&[
        Action { name: "get", help: "Lists the channel sets of all owners, or of one.", arguments: &[OWNER], run: sets },
    ]) => {}
}

context! {
    /// Subscriptions: which events go to whom.
    pub struct Subscriptions = Context::actions_only(Tree::Adp, "Applications/Xsi-Events/Subscriptions").actions(&[
        Action {
            name: "get",
            help: "Lists the subscriptions of all owners, or of one.",
            arguments: &[OWNER],
            run: subscriptions,
        },
        Action {
            name: "terminate",
            help: "Ends a subscription: its client gets a SubscriptionTerminatedEvent.",
            arguments: &[SUBSCRIPTION],
            run: end_subscription,
        },
    ]) => {}
}

context! {
    /// What happens to subscribers, as it happens. The command watch prints it.
    pub struct Events = Context::actions_only(Tree::Adp, "Monitoring/Events").actions(&[
        Action {
            name: "follow",
            help: "Prints the events of a target behind a position of the feed, an object a line, after waiting a moment for them.",
            arguments: &[TARGET, AFTER],
            run: follow,
        },
    ]) => {}
}

const CHANNEL: Parameter =
    Parameter::new("channelId", Kind::text(1, 80)).key().help("A channel, as get lists it.");
const SUBSCRIPTION: Parameter =
    Parameter::new("subscriptionId", Kind::text(1, 80)).key().help("A subscription, as get lists it.");
const TARGET: Parameter = Parameter::new("target", Kind::text(4, 400))
    .key()
    .help("user/<userId>, group/<provider>/<group>, serviceprovider/<id>, enterprise/<id> or system.");
const AFTER: Parameter = Parameter::new("after", Kind::text(0, 20))
    .default("")
    .mandatory()
    .help("Position of the last event that is known; without one only the present position is told.");

fn owner(arguments: &[Option<String>]) -> Option<String> {
    argument(arguments, 0).filter(|owner| !owner.is_empty()).map(str::to_ascii_lowercase)
}

/// Seconds until then, or what stands for never.
fn left(expires_at: Option<i64>, now: OffsetDateTime) -> String {
    let now = openadp_appserver::epoch_millis(now);
    expires_at.map_or("never".to_owned(), |at| (at.saturating_sub(now).max(0) / 1_000).to_string())
}

async fn channels_of(shared: Arc<Shared>, owner: Option<String>) -> PortResult<Vec<ChannelRecord>> {
    let mut channels = Store { shared }.channels().await?;
    channels
        .retain(|channel| owner.as_ref().is_none_or(|owner| channel.owner.id().eq_ignore_ascii_case(owner)));
    channels.sort_by(|a, b| {
        (a.owner.id(), &a.channel_set_id, a.priority).cmp(&(b.owner.id(), &b.channel_set_id, b.priority))
    });
    channels.truncate(MOST);
    Ok(channels)
}

fn channels(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let owner = owner(arguments);
    let found = with_store(context, |shared| channels_of(shared, owner))?;
    let row = |channel: ChannelRecord| {
        [
            channel.owner.id().to_owned(),
            channel.channel_set_id,
            channel.channel_id,
            channel.application_id.unwrap_or_default(),
            channel.priority.to_string(),
            channel.weight.to_string(),
            left(channel.expires_at, context.now),
        ]
    };
    let rows: Vec<_> = found.into_iter().map(row).collect();
    let headers =
        ["Owner", "Channel Set Id", "Channel Id", "Application Id", "Priority", "Weight", "Expires In"];
    Ok(query(table(headers, [true, true, true, true, false, false, false], &rows)))
}

fn end_channel(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = needed(context, arguments, 0)?;
    with_store(context, |shared| async move {
        if (Store { shared }).remove_channel(&id).await? {
            Ok(())
        } else {
            Err(PortError::NotFound { what: "channel" })
        }
    })?;
    Ok(ActionOutput::default())
}

fn sets(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let owner = owner(arguments);
    let (channels, subscriptions) = with_store(context, |shared| async move {
        let channels = channels_of(shared.clone(), owner).await?;
        Ok((channels, Store { shared }.subscriptions().await?))
    })?;
    let mut sets: BTreeMap<(String, String), [usize; 2]> = BTreeMap::new();
    for channel in channels {
        let key = (channel.owner.id().to_owned(), channel.channel_set_id);
        sets.entry(key).or_default()[0] += 1;
    }
    for subscription in subscriptions {
        let key = (subscription.owner.id().to_owned(), subscription.channel_set_id);
        if let Some(set) = sets.get_mut(&key) {
            set[1] += 1;
        }
    }
    let row = |((owner, set), [channels, subscriptions]): ((String, String), [usize; 2])| {
        [owner, set, channels.to_string(), subscriptions.to_string()]
    };
    let rows: Vec<_> = sets.into_iter().map(row).collect();
    Ok(query(table(
        ["Owner", "Channel Set Id", "Channels", "Subscriptions"],
        [true, true, false, false],
        &rows,
    )))
}

fn subscriptions(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let owner = owner(arguments);
    let mut found = with_store(context, |shared| async move { Store { shared }.subscriptions().await })?;
    found.retain(|one| owner.as_ref().is_none_or(|owner| one.owner.id().eq_ignore_ascii_case(owner)));
    found.sort_by(|a, b| (a.owner.id(), &a.package).cmp(&(b.owner.id(), &b.package)));
    found.truncate(MOST);
    let rows: Vec<_> = found
        .into_iter()
        .map(|one| {
            [
                one.owner.id().to_owned(),
                one.package,
                named(&one.target),
                one.subscription_id,
                one.channel_set_id,
                left(one.expires_at, context.now),
            ]
        })
        .collect();
    let headers = ["Owner", "Event Package", "Target", "Subscription Id", "Channel Set Id", "Expires In"];
    Ok(query(table(headers, [true, true, true, true, true, false], &rows)))
}

fn end_subscription(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let id = needed(context, arguments, 0)?;
    with_store(context, |shared| async move { Store { shared }.remove_subscription(&id).await })?;
    Ok(ActionOutput::default())
}

/// A target as operators name it.
fn named(target: &SubscriptionTarget) -> String {
    match target {
        SubscriptionTarget::Group { provider, group } => format!("group/{provider}/{group}"),
        SubscriptionTarget::ServiceProvider { provider } => format!("serviceprovider/{provider}"),
        SubscriptionTarget::System => "system".to_owned(),
        SubscriptionTarget::User(user) => format!("user/{}", user.as_str()),
    }
}

/// Reads what [`named`] writes; words of the form in any case.
fn target(text: &str) -> Option<SubscriptionTarget> {
    if text.eq_ignore_ascii_case("system") {
        return Some(SubscriptionTarget::System);
    }
    let (kind, id) = text.split_once('/').filter(|(_, id)| !id.is_empty())?;
    match kind.to_ascii_lowercase().as_str() {
        "user" => Some(SubscriptionTarget::User(openadp_appserver::UserId::new(id))),
        "serviceprovider" | "enterprise" => {
            Some(SubscriptionTarget::ServiceProvider { provider: id.to_owned() })
        }
        "group" => {
            let (provider, group) = id.split_once('/').filter(|(_, group)| !group.is_empty())?;
            Some(SubscriptionTarget::Group { provider: provider.to_owned(), group: group.to_owned() })
        }
        _ => None,
    }
}

fn concerns(event: &FeedEvent, target: &SubscriptionTarget) -> bool {
    match target {
        SubscriptionTarget::Group { provider, group } => event.provider == *provider && event.group == *group,
        SubscriptionTarget::ServiceProvider { provider } => event.provider == *provider,
        SubscriptionTarget::System => true,
        SubscriptionTarget::User(user) => event.subscriber == *user,
    }
}

/// Whether there is such a one: nobody watches a name with a slip of the pen in it for hours.
async fn known(shared: &Shared, target: &SubscriptionTarget) -> PortResult<()> {
    let (what, found): (&'static str, Option<(i64,)>) = match target {
        SubscriptionTarget::System => return Ok(()),
        SubscriptionTarget::User(user) => (
            "user",
            sqlx::query_as("SELECT 1 FROM users WHERE user_id = ?")
                .bind(user.as_str())
                .fetch_optional(shared.db.read())
                .await
                .map_err(fault)?,
        ),
        SubscriptionTarget::ServiceProvider { provider } => (
            "service provider",
            sqlx::query_as("SELECT 1 FROM providers WHERE provider = ?")
                .bind(provider)
                .fetch_optional(shared.db.read())
                .await
                .map_err(fault)?,
        ),
        SubscriptionTarget::Group { provider, group } => (
            "group",
            sqlx::query_as("SELECT 1 FROM groups WHERE provider = ? AND group_id = ?")
                .bind(provider)
                .bind(group)
                .fetch_optional(shared.db.read())
                .await
                .map_err(fault)?,
        ),
    };
    found.map(|_| ()).ok_or(PortError::NotFound { what })
}

fn follow(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let text = needed(context, arguments, 0)?;
    let after = argument(arguments, 1).and_then(|after| after.parse::<u64>().ok());
    let lines = with_store(context, |shared| async move {
        let target = target(&text).ok_or(PortError::Invalid {
            field: "target",
            reason:
                "user/<userId>, group/<provider>/<group>, serviceprovider/<id>, enterprise/<id> or system"
                    .to_owned(),
        })?;
        let feed = Feed { shared: shared.clone() };
        let Some(mut position) = after else {
            known(&shared, &target).await?;
            return Ok(vec![json!({"position": feed.position().await?}).to_string()]);
        };
        let began = Instant::now();
        let mut lines = Vec::new();
        while lines.is_empty() && began.elapsed() < PATIENCE {
            match feed.read(position, MOST_EVENTS).await {
                Ok(events) if events.is_empty() => tokio::time::sleep(LOOK).await,
                Ok(events) => {
                    position = events.last().map_or(position, |event| event.position);
                    lines.extend(
                        events.iter().filter(|event| concerns(event, &target)).map(|event| told(event)),
                    );
                }
                // Too slow for what is kept: it says so, and goes on from here.
                Err(PortError::NotFound { .. }) => {
                    let now = feed.position().await?;
                    lines.push(json!({"missed": true}).to_string());
                    position = now;
                }
                Err(error) => return Err(error),
            }
        }
        lines.push(json!({"position": position}).to_string());
        Ok(lines)
    })?;
    Ok(query(lines))
}

/// One event for people and programs: what it is called on the wire, and of a call what tells it from others.
fn told(event: &FeedEvent) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok());
    let mut told = json!({
        "time": time,
        "userId": event.subscriber.as_str(),
        "sequence": event.sequence,
    });
    match &event.event {
        Event::Call { kind, call } => {
            told["event"] = format!("Call{kind:?}Event").into();
            told["callId"] = call.id.0.clone().into();
            told["trackingId"] = call.external_tracking_id.clone().into();
            told["personality"] = format!("{:?}", call.personality).into();
            told["state"] = format!("{:?}", call.state).into();
            if !call.remote.private {
                told["remote"] = call.remote.address.value.clone().into();
            }
        }
        Event::Conference { kind, conference } => {
            told["event"] = format!("Conference{kind:?}Event").into();
            told["state"] = format!("{:?}", conference.state).into();
        }
        Event::Parked { party } => {
            told["event"] = "CallParkedAgainstEvent".into();
            if let Some(party) = party.as_ref().filter(|party| !party.private) {
                told["remote"] = party.address.value.clone().into();
            }
        }
        Event::Agent(status) => {
            told["event"] = "AgentStateEvent".into();
            told["state"] = format!("{:?}", status.state).into();
        }
        Event::AgentJoin(queue) => {
            told["event"] = "ACDAgentJoinUpdateEvent".into();
            told["callCenter"] = queue.call_center.as_str().into();
        }
        Event::Queue { kind, entry, .. } => {
            told["event"] = format!("ACDCall{kind:?}Event").into();
            told["trackingId"] = entry.external_tracking_id.clone().into();
            if !entry.remote.private {
                told["remote"] = entry.remote.address.value.clone().into();
            }
        }
        Event::Hook(status) => {
            told["event"] = "HookStatusEvent".into();
            told["state"] = format!("{status:?}").into();
        }
        Event::Service(service) => told["event"] = format!("{:?}Event", service.kind).into(),
        Event::Messages(summary) => {
            told["event"] = "VoiceMailMessageSummaryEvent".into();
            told["newMessages"] = summary.new.into();
            told["oldMessages"] = summary.old.into();
        }
        Event::PushRegistrations => told["event"] = "PushNotificationRegistrationEvent".into(),
        Event::CredentialsChanged => told["event"] = "CredentialsChanged".into(),
        Event::SubscriberDeleted => told["event"] = "SubscriberDeleted".into(),
    }
    told.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_named() {
        for text in ["user/alice@lab.example", "group/acme/north", "serviceprovider/acme", "system"] {
            assert_eq!(named(&target(text).unwrap()), text);
        }
        assert_eq!(target("Enterprise/acme"), target("serviceprovider/acme"));
        for bad in ["", "user", "user/", "group/acme", "group/acme/", "queue/x", "systems"] {
            assert_eq!(target(bad), None, "{bad}");
        }
    }
}
