//! Voice messages: a mailbox for each subscriber.

use crate::{Address, PortResult, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Who left a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Name, where known.
    pub name: Option<String>,
    /// User id, for callers of the same enterprise.
    pub user_id: Option<UserId>,
    /// Address.
    pub address: Option<Address>,
    /// Whether none of this may be shown.
    pub private: bool,
}

/// What kind of recording a message has; the names are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaKind {
    /// A film.
    Mov,
    /// Sound, compressed.
    Mp3,
    /// A facsimile.
    Tif,
    /// Sound.
    Wav,
}

impl MediaKind {
    /// The kind of a recording, by how it begins: RIFF (Microsoft 1991), MPEG audio with or without ID3v2, TIFF 6.0, and the
    /// `ftyp` box of ISO 14496-12.
    pub fn of(content: &[u8]) -> Option<Self> {
        match content {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'I', b'D', b'3', ..] | [0xff, 0xf2 | 0xf3 | 0xfa | 0xfb, ..] => Some(Self::Mp3),
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(Self::Tif),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mov),
            _ => None,
        }
    }
}

/// A message that somebody leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Who it is from.
    pub caller: Caller,
    /// How long it is, milliseconds; of sound in WAV, what its header says counts.
    pub duration: i64,
    /// Whether it is urgent.
    pub urgent: bool,
    /// Whether it may not be passed on.
    pub confidential: bool,
    /// The recording.
    pub content: Vec<u8>,
}

/// A message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceMessage {
    /// Id, a UUID.
    pub id: String,
    /// Who it is from.
    pub caller: Caller,
    /// How long it is, milliseconds.
    pub duration: i64,
    /// When it came, milliseconds since 1970.
    pub time: i64,
    /// Whether it was marked as read.
    pub read: bool,
    /// Whether it is urgent.
    pub urgent: bool,
    /// Whether it may not be passed on.
    pub confidential: bool,
    /// What kind of recording it has.
    pub media: MediaKind,
}

/// How many messages a mailbox has. Urgent ones are counted among the others too (RFC 3842, 5.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSummary {
    /// Not read.
    pub new: u32,
    /// Read.
    pub old: u32,
    /// Not read, and urgent.
    pub new_urgent: u32,
    /// Read, and urgent.
    pub old_urgent: u32,
}

/// Voice messages. Each change puts an event with the new summary into the feed, unless the summary stays the same. All is
/// `NotAssigned` for who does not have the service Voice Messaging; messages that were left before stay.
#[async_trait]
pub trait VoiceMessages: Send + Sync {
    /// The subscriber's messages, newest first.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn messages(&self, user: &UserId) -> PortResult<Vec<VoiceMessage>>;

    /// One message with its recording.
    ///
    /// # Errors
    /// `NotFound`.
    async fn message(&self, user: &UserId, id: &str) -> PortResult<(VoiceMessage, Vec<u8>)>;

    /// How many there are, and the feed position at which this holds.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn summary(&self, user: &UserId) -> PortResult<(u64, MessageSummary)>;

    /// Marks one message, or all, as read or as not read.
    ///
    /// # Errors
    /// `NotFound`.
    async fn mark(&self, user: &UserId, id: Option<&str>, read: bool) -> PortResult<()>;

    /// Deletes a message.
    ///
    /// # Errors
    /// `NotFound`.
    async fn remove(&self, user: &UserId, id: &str) -> PortResult<()>;

    /// Leaves a message; gives its id.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber, `LimitReached` for a full mailbox or a recording that is too large, `Invalid` for
    /// one of no kind that is known.
    async fn deposit(&self, user: &UserId, message: &NewMessage) -> PortResult<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_known_by_how_they_begin() {
        for (content, kind) in [
            (&b"RIFF\0\0\0\0WAVEfmt "[..], Some(MediaKind::Wav)),
            (b"ID3\x04", Some(MediaKind::Mp3)),
            (b"\xff\xfb\x90", Some(MediaKind::Mp3)),
            (b"II*\0", Some(MediaKind::Tif)),
            (b"MM\0*", Some(MediaKind::Tif)),
            (b"\0\0\0\x14ftypqt  ", Some(MediaKind::Mov)),
            (b"RIFF\0\0\0\0AVI ", None),
            (b"", None),
            (b"<script>", None),
        ] {
            assert_eq!(MediaKind::of(content), kind, "{content:?}");
        }
    }
}
