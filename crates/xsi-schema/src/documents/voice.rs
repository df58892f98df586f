//! Voice messages (xsi.md 3.4).

use super::address::Address;
use crate::Flag;
use crate::field::{document, enumeration};

enumeration! {
    /// Kind of a recording.
    MediaType, "a media type" {
        /// Facsimile.
        Tif = "TIF",
        /// Sound.
        Wav = "WAV",
        /// Film.
        Mov = "MOV",
        /// Compressed sound.
        Mp3 = "MP3",
    }
}

document! {
    /// `callingPartyInfo`.
    CallingPartyInfo = "callingPartyInfo" {
        /// Name.
        name: Option<String> = "name",
        /// User id.
        user_id: Option<String> = "userId",
        /// Address.
        address: Option<Address> = "address",
        /// Nothing of this may be shown.
        privacy: Flag = "privacy",
    }
}

document! {
    /// `messageInfo`.
    MessageInfo = "messageInfo" {
        /// Milliseconds.
        duration: Option<i64> = "duration",
        /// Who it is from.
        calling_party_info: Option<CallingPartyInfo> = "callingPartyInfo",
        /// It was marked as read.
        read: Flag = "read",
        /// It is urgent.
        urgent: Flag = "urgent",
        /// It may not be passed on.
        confidential: Flag = "confidential",
        /// It is a film.
        video: Flag = "video",
        /// It is a facsimile.
        fax: Flag = "fax",
        /// Milliseconds since 1970.
        time: i64 = "time",
        /// Pages of a facsimile.
        fax_page_count: Option<u32> = "faxPageCount",
        /// Its path, from `/v2.0` on.
        message_id: Option<String> = "messageId",
    }
}

document! {
    /// `messageInfoList`: the list, empty when there is none.
    MessageInfoList = "messageInfoList" {
        /// Messages.
        messages: Vec<MessageInfo> = "messageInfo",
    }
}

document! {
    /// `VoiceMessagingMessages`.
    VoiceMessagingMessages = "VoiceMessagingMessages" {
        /// The list.
        list: MessageInfoList = "messageInfoList",
    }
}

document! {
    /// `messageMediaContent`; clients take its children by their place.
    MessageMediaContent = "messageMediaContent" {
        /// What it is.
        description: String = "description",
        /// Kind.
        media_type: Option<MediaType> = "mediaType",
        /// Base64.
        content: String = "content",
    }
}

document! {
    /// `VoiceMessage`: a message with its recording.
    VoiceMessageDocument = "VoiceMessage" {
        /// About it.
        info: MessageInfo = "messageInfo",
        /// The recording.
        media: MessageMediaContent = "messageMediaContent",
    }
}

document! {
    /// `summary` and `messageSummary`: counts; zero is left out.
    MessageSummary = "summary" {
        /// Not read.
        new_messages: Option<u32> = "newMessages",
        /// Read.
        old_messages: Option<u32> = "oldMessages",
        /// Not read, and urgent.
        new_urgent_messages: Option<u32> = "newUrgentMessages",
        /// Read, and urgent.
        old_urgent_messages: Option<u32> = "oldUrgentMessages",
    }
}

document! {
    /// `VoiceMailMessageSummary`.
    VoiceMailMessageSummary = "VoiceMailMessageSummary" {
        /// The counts.
        summary: MessageSummary = "summary",
    }
}
