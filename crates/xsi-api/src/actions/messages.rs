//! Voice messages (xsi.md 3.4).

use super::get_only;
use crate::api::{Call, MAX_ID, Outcome};
use crate::error::ApiError;
use crate::text::percent_encode;
use crate::{Method, Reply, convert};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openadp_appserver::{MediaKind, UserId, VoiceMessage};
use openadp_xsi_schema::{
    CallingPartyInfo, Document, Flag, MediaType, MessageInfo, MessageInfoList, MessageMediaContent,
    VoiceMailMessageSummary, VoiceMessageDocument, VoiceMessagingMessages,
};

fn info(user: &UserId, message: &VoiceMessage) -> MessageInfo {
    let caller = &message.caller;
    let shown = !caller.private;
    MessageInfo {
        duration: Some(message.duration),
        calling_party_info: Some(CallingPartyInfo {
            name: caller.name.clone().filter(|_| shown),
            user_id: caller.user_id.as_ref().filter(|_| shown).map(ToString::to_string),
            address: caller.address.as_ref().filter(|_| shown).map(convert::address),
            privacy: Flag(caller.private),
        }),
        read: Flag(message.read),
        urgent: Flag(message.urgent),
        confidential: Flag(message.confidential),
        video: Flag(message.media == MediaKind::Mov),
        fax: Flag(message.media == MediaKind::Tif),
        time: message.time,
        fax_page_count: None,
        message_id: Some(format!(
            "/v2.0/user/{}/VoiceMessagingMessages/{}",
            percent_encode(user.as_str()),
            percent_encode(&message.id)
        )),
    }
}

/// The messages, newest first.
pub(super) async fn list(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let found = call.api.ports.messages.messages(user).await?;
    let messages = found.iter().map(|message| info(user, message)).collect();
    let document = VoiceMessagingMessages { list: MessageInfoList { messages } };
    Ok(Reply::document(200, document.to_element()))
}

fn known(id: &str) -> Result<(), ApiError> {
    if id.len() > MAX_ID { Err(ApiError::NotFound { what: "message" }) } else { Ok(()) }
}

/// One message: with its recording, or deleted.
pub(super) async fn one(call: &Call<'_>, user: &UserId, id: &str) -> Outcome {
    known(id)?;
    match call.method {
        Method::Get => {
            let (message, content) = call.api.ports.messages.message(user, id).await?;
            let (media_type, description) = match message.media {
                MediaKind::Mov => (MediaType::Mov, "Video message"),
                MediaKind::Mp3 => (MediaType::Mp3, "Voice message"),
                MediaKind::Tif => (MediaType::Tif, "Fax message"),
                MediaKind::Wav => (MediaType::Wav, "Voice message"),
            };
            let document = VoiceMessageDocument {
                info: info(user, &message),
                media: MessageMediaContent {
                    description: description.to_owned(),
                    media_type: Some(media_type),
                    content: STANDARD.encode(content),
                },
            };
            Ok(Reply::document(200, document.to_element()))
        }
        Method::Delete => {
            call.may_control()?;
            call.api.ports.messages.remove(user, id).await?;
            Ok(Reply::empty(200))
        }
        Method::Post | Method::Put => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET" }),
    }
}

/// Marks one message, or all, as read or as not read.
pub(super) async fn mark(call: &Call<'_>, user: &UserId, id: Option<&str>, read: bool) -> Outcome {
    if call.method != Method::Put {
        return Err(ApiError::MethodNotAllowed { allow: "PUT" });
    }
    id.map_or(Ok(()), known)?;
    call.may_control()?;
    call.api.ports.messages.mark(user, id, read).await?;
    Ok(Reply::empty(200))
}

/// What was said, as text. Nobody here turns sound into text, so whoever has the message is told that the service is not
/// there.
pub(super) async fn transcript(call: &Call<'_>, user: &UserId, id: &str) -> Outcome {
    get_only(call)?;
    known(id)?;
    call.api.ports.messages.message(user, id).await?;
    Err(ApiError::NotAssigned { service: "Voice Messaging Transcription" })
}

/// How many there are; what is zero is left out.
pub(super) async fn summary(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let (_, found) = call.api.ports.messages.summary(user).await?;
    let document = VoiceMailMessageSummary { summary: convert::message_summary(found) };
    Ok(Reply::document(200, document.to_element()))
}
