//! Channels and channel sets (xsi.md 5.2 to 5.4, cti.md 6.1).

use super::lifetime::{Lifetime, grant, remaining};
use crate::api::{Call, Inner, MAX_ID, Outcome, owner_of};
use crate::delivery::SetKey;
use crate::error::ApiError;
use crate::{ChannelTransport, Method, OpenChannel, Reply};
use openadp_appserver::{ChannelRecord, Principal, TerminationReason};
use openadp_xsi_schema::{Channel, ChannelSet, Document, Element};
use uuid::Uuid;

/// Defaults of xsi.md 5.2.
const PRIORITY: u32 = 1;
const WEIGHT: u32 = 50;

/// Opens a channel for a transport that then writes its documents.
pub(crate) async fn open(
    api: &Inner,
    principal: &Principal,
    document: Option<&Element>,
    transport: ChannelTransport,
) -> Result<OpenChannel, ApiError> {
    let element =
        document.ok_or_else(|| ApiError::BadDocument { reason: "Channel is missing".to_owned() })?;
    let asked = Channel::from_element(element)
        .map_err(|error| ApiError::BadDocument { reason: error.to_string() })?;
    let channel_id = Uuid::new_v4().to_string();
    let text =
        |value: Option<String>| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let application_id = text(asked.application_id);
    // A client that names no set gets one of its own.
    let channel_set_id = text(asked.channel_set_id).unwrap_or_else(|| channel_id.clone());
    for (name, value) in [("channelSetId", Some(&channel_set_id)), ("applicationId", application_id.as_ref())]
    {
        if value.is_some_and(|value| value.chars().count() > MAX_ID || value.chars().any(char::is_control)) {
            return Err(ApiError::BadDocument {
                reason: format!("{name} is longer than {MAX_ID} characters, or has control characters"),
            });
        }
    }

    api.hub.ready().await;
    let settings = api.hub.general();
    let owner = owner_of(principal);
    let key = SetKey { owner: owner.clone(), name: channel_set_id.as_str().into() };
    let (in_set, of_owner) = api.hub.look(|machine| (machine.channels_in(&key), machine.channels_of(&owner)));
    if in_set >= settings.max_channels_per_set || of_owner >= settings.max_channels_per_user {
        return Err(ApiError::LimitReached { what: "channels" });
    }

    let life = grant(api.hub.now(), asked.expires, settings.maximum_expires_in_seconds);
    let record = ChannelRecord {
        channel_id,
        channel_set_id,
        owner,
        application_id,
        priority: asked.priority.unwrap_or(PRIORITY),
        weight: asked.weight.unwrap_or(WEIGHT),
        expires_at: life.expires_at,
        process: api.hub.process_name().to_owned(),
    };
    let ended = api.ports.subscriptions.put_channel(&record).await?;
    let answer = granted(&record.channel_id, life);
    Ok(api.hub.attach(record, transport, &ended, answer.to_element()))
}

fn granted(channel_id: &str, life: Lifetime) -> Channel {
    Channel { channel_id: Some(channel_id.to_owned()), expires: Some(life.seconds), ..Channel::default() }
}

/// The owner's channel as the store has it, wherever its connection is.
async fn stored(call: &Call<'_>, id: &str) -> Result<ChannelRecord, ApiError> {
    let owner = call.owner();
    let channels = call.api.ports.subscriptions.channels().await?;
    channels
        .into_iter()
        .find(|record| record.channel_id == id && record.owner == owner)
        .ok_or(ApiError::ChannelNotFound)
}

/// A heartbeat of the client. When the connection is in another process, it is only known whether the channel exists.
pub(super) async fn heartbeat(call: &Call<'_>, id: &str) -> Outcome {
    if !matches!(call.method, Method::Put | Method::Post) {
        return Err(ApiError::MethodNotAllowed { allow: "PUT" });
    }
    let owner = call.owner();
    if !call.api.hub.step(|machine, now| machine.heartbeat(now, id, &owner)) {
        let record = stored(call, id).await?;
        if record.process == call.api.hub.process_name() {
            return Err(ApiError::ChannelNotFound);
        }
    }
    Ok(Reply::empty(200))
}

/// Refreshes or deletes a channel.
pub(super) async fn one(call: &Call<'_>, id: &str) -> Outcome {
    match call.method {
        Method::Put => refresh(call, id).await,
        Method::Delete => delete(call, id).await,
        Method::Get | Method::Post => Err(ApiError::MethodNotAllowed { allow: "DELETE, PUT" }),
    }
}

async fn refresh(call: &Call<'_>, id: &str) -> Outcome {
    let asked: Channel = call.read()?;
    let mut record = stored(call, id).await?;
    let maximum = call.api.hub.general().maximum_expires_in_seconds;
    let life = grant(call.api.hub.now(), asked.expires, maximum);
    record.expires_at = life.expires_at;
    // The record keeps its process: that one sees the new time and goes by it.
    call.api.ports.subscriptions.put_channel(&record).await?;
    call.api.hub.step(|machine, now| machine.refresh_channel(now, id, life.expires_at));
    Ok(Reply::document(200, granted(id, life).to_element()))
}

async fn delete(call: &Call<'_>, id: &str) -> Outcome {
    let record = stored(call, id).await?;
    call.api.ports.subscriptions.remove_channel(&record.channel_id).await?;
    call.api.hub.step(|machine, now| machine.terminate(now, id, TerminationReason::ExplicitDelete));
    Ok(Reply::empty(200))
}

/// The channels of a set.
pub(super) async fn set(call: &Call<'_>, id: &str) -> Outcome {
    if call.method != Method::Get {
        return Err(ApiError::MethodNotAllowed { allow: "GET" });
    }
    let owner = call.owner();
    let now = call.api.hub.now();
    let channels: Vec<Channel> = call
        .api
        .ports
        .subscriptions
        .channels()
        .await?
        .into_iter()
        .filter(|record| record.owner == owner && record.channel_set_id == id)
        .map(|record| Channel {
            channel_id: Some(record.channel_id),
            channel_set_id: Some(record.channel_set_id),
            priority: Some(record.priority),
            weight: Some(record.weight),
            expires: Some(remaining(now, record.expires_at)),
            application_id: record.application_id,
        })
        .collect();
    if channels.is_empty() {
        return Err(ApiError::ChannelSetNotFound);
    }
    Ok(Reply::document(200, ChannelSet { channels }.to_element()))
}
